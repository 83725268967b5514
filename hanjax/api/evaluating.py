"""How good a run is on what it has not seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax.api.given import Data, run_of, tables_of
from hanjax.api.scoring import score_encoded
from hanjax.data.dates import parse_date
from hanjax.data.log import NEVER
from hanjax.data.panel import make_panel
from hanjax.data.splits import take_accounts
from hanjax.data.tables import check
from hanjax.evaluation.over_time import over_time, summary
from hanjax.run import Run
from hanjax.types import Scores


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on accounts, or a time, that it has not seen.

    Args:
        metrics: the figures, as ``hanjax.evaluation.over_time.summary`` gives them.
        over_time: AUC, samples and conversions by cut-off.
        scores: the scores behind them, with the outcome beside each account's (``label``; NaN where unknown).
    """

    metrics: dict[str, Any]
    over_time: pd.DataFrame
    scores: Scores

    def __repr__(self) -> str:
        """The figures, one a line."""
        shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in self.metrics.items()}
        return "\n".join(f"{name:<22} {value}" for name, value in shown.items())


def evaluate(run: Run | str | Path, data: Data, *, progress: bool = False) -> Evaluation:
    """Says how good a model is on what it was not trained on.

    If it was trained on what was known before ``until``, that is all accounts from then on. Otherwise it is the test
    accounts of its split, where the data hold any, else the accounts that the split does not know.

    Args:
        run: the model, or its folder; a folder's ``metrics.json`` gets the figures, too.
        data: tables, or their folder.
        progress: show a bar.

    Returns:
        Figures, their course over time, and the scores.

    Raises:
        DataError: if the tables are not what they should be, or hold no account to test on.
        RunError: if the run cannot be read.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.3))
        >>> hanjax.evaluate(run, market.tables).metrics["conversions"] > 0
        True
    """
    run = run_of(run)
    log = check(tables_of(data), run.config.panel)
    cutoffs = None
    if run.config.train.until is not None:
        cutoffs = (parse_date(run.config.train.until, run.config.panel.timezone, name="until"), NEVER)
    else:
        log = take_accounts(log, run.unseen(log.account_ids))
    panel, _ = make_panel(log, run.config.panel, run.encoding, cutoffs=cutoffs)
    scores = score_encoded(run, panel, progress=progress)
    label = panel.batch.label[:, 0]
    scores = scores._replace(accounts=scores.accounts.assign(label=label))
    probability, cutoff = scores.accounts["probability"].to_numpy(), panel.samples["cutoff"]
    known = ~np.isnan(label)
    result = Evaluation(
        metrics=summary(probability, label, cutoff, where=known),
        over_time=over_time(probability, label, cutoff, where=known),
        scores=scores,
    )
    run.metrics["test"] = result.metrics
    if run.folder is not None:
        run.write_metrics()
    return result
