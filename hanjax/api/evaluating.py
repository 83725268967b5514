"""How good a run is on what it has not seen, and whether it is better than another."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.api.evaluation import Comparison, Evaluation
from hanjax.api.given import Data, run_of, tables_of
from hanjax.api.scoring import probabilities, score_encoded
from hanjax.data.dates import parse_date
from hanjax.data.log import ALWAYS, NEVER
from hanjax.data.panel import make_panel
from hanjax.data.splits import take_accounts
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.evaluation.trainings import Combine, compare_trainings
from hanjax.scoring.scores import training_logits
from hanjax.tabular.run import AnyRun
from hanjax.types import Panel, Scores, Tables, hard_label


def evaluate(
    run: AnyRun | str | Path,
    data: Data,
    *,
    against: AnyRun | str | Path | None = None,
    before: Any = None,
    progress: bool = False,
) -> Evaluation:
    """Says how good a model is on what it was not trained on.

    If it was trained on what was known before ``until``, that is all accounts from then on. Otherwise it is the test
    accounts of its split, where the data hold any, else the accounts that the split does not know.

    A label of a table of outcomes that is not sure counts as a conversion from 0.5 on.

    Args:
        run: the model, or its folder; a folder's ``metrics.json`` gets the figures, too.
        data: tables, or their folder.
        against: another model, or its folder, to be compared on what neither has seen.
        before: a date: only cut-offs before it count. None for all.
        progress: show a bar.

    Returns:
        Figures, their course over time, the scores, and everything that can be made of these: see ``Evaluation``.

    Raises:
        DataError: if the tables are not what they should be, hold no account to test on, or nothing that neither model
            has seen.
        RunError: if a run cannot be read.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> evaluation = hanjax.evaluate(run, market.tables)
        >>> evaluation.metrics["conversions"] > 0
        True
        >>> evaluation.lift()["tier"].tolist()
        ['High', 'Medium', 'Low']
    """
    run, tables = run_of(run), tables_of(data)
    panel = unseen_panel(run, tables, before)
    scores = labeled_scores(run, panel, progress=progress)
    comparison = None if against is None else _compare(run, panel, run_of(against), tables, before)
    outcomes = panel.unit is not None
    result = Evaluation.of(scores, horizons=run.config.panel.horizons, comparison=comparison, outcomes=outcomes)
    run.metrics["test"] = result.metrics
    if run.folder is not None:
        run.write_metrics()
    return result


def labeled_scores(run: AnyRun, panel: Panel, *, progress: bool = False) -> Scores:
    """Scores of a panel, with the outcome (``label``, NaN where unknown) and the ``period`` beside each account's.

    An outcome that is not sure is a conversion from 0.5 on.
    """
    scores = score_encoded(run, panel, progress=progress)
    added = {"period": panel.samples["period"], "label": hard_label(panel.batch.label[:, 0].astype(float))}
    return scores._replace(accounts=scores.accounts.assign(**added))


def unseen_panel(run: AnyRun, tables: Tables, before: Any = None) -> Panel:
    """The samples that a run may be tested on.

    Args:
        run: the model.
        tables: the data.
        before: a date: only cut-offs before it. None for all.

    Returns:
        The panel.

    Raises:
        DataError: if there are none.
    """
    log, config = check(tables, run.config.panel), run.config
    begin, end = ALWAYS, NEVER
    if config.train.until is not None:
        begin = parse_date(config.train.until, config.panel.timezone, name="until")
    else:
        log = take_accounts(log, run.unseen(log.account_ids))
    if before is not None:
        end = parse_date(before, config.panel.timezone, name="before") - 1
    return make_panel(log, config.panel, run.encoding, cutoffs=(begin, end))[0]


class Common(NamedTuple):
    """What two models say of the samples that neither has seen and whose outcome is known.

    Args:
        samples: ``[N]`` rows, with ``account_id`` and ``period``.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        logits: of each model ``[n, N]`` log-odds for the first horizon, one row a network.
        combine: of each model what makes probabilities of its mean log-odds.
        left_out: how many samples of each model, with a known outcome, the other one lacks or has seen.
    """

    samples: pd.DataFrame
    labels: Int[np.ndarray, " N"]
    logits: tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "m N"]]
    combine: tuple[Combine, Combine]
    left_out: tuple[int, int]


def common_samples(runs: tuple[AnyRun, AnyRun], panels: tuple[Panel, Panel]) -> Common:
    """Scores the samples that neither of two models has seen and whose outcome is known.

    Args:
        runs: the models.
        panels: what each may be tested on; see ``unseen_panel``.

    Returns:
        What both say of them.

    Raises:
        DataError: if there are none, or the models tell samples apart by other columns.
    """
    keys = panels[0].keys
    if panels[1].keys != keys:
        raise DataError(
            f"against: samples are told apart by {', '.join(keys)} and by {', '.join(panels[1].keys)}. Train both "
            "models with the same `exclude`."
        )
    known = [p.samples[keys].assign(row=np.arange(len(p.samples)))[~np.isnan(p.batch.label[:, 0])] for p in panels]
    common = known[0].merge(known[1], on=keys, suffixes=("_first", "_second"))
    if common.empty:
        raise DataError(
            f"against: of {len(known[0]):,} and {len(known[1]):,} samples that the two models have not seen, none is "
            "the same. Train both with the same test accounts (`test` and `split_seed`, or `test_fold`) and periods."
        )
    rows = common["row_first"].to_numpy(), common["row_second"].to_numpy()
    first, second = (training_logits(r, p)[:, i, 0] for r, p, i in zip(runs, panels, rows, strict=True))
    return Common(
        panels[0].samples.iloc[rows[0]],
        hard_label(panels[0].batch.label[rows[0], 0]).astype(int),
        (first, second),
        (partial(probabilities, runs[0]), partial(probabilities, runs[1])),
        (len(known[0]) - len(common), len(known[1]) - len(common)),
    )


def _compare(run: AnyRun, panel: Panel, other: AnyRun, tables: Tables, before: Any) -> Comparison:
    """Compares two models on the samples that neither has seen and whose outcome is known."""
    both = common_samples((run, other), (panel, unseen_panel(other, tables, before)))
    accounts, periods = both.samples["account_id"], both.samples["period"].to_numpy()
    return Comparison(
        compare_trainings(*both.logits, both.labels, accounts, periods, combine=both.combine),
        samples=len(both.samples),
        accounts=accounts.nunique(),
        conversions=int(both.labels.sum()),
        left_out=both.left_out,
        trainings=(len(both.logits[0]), len(both.logits[1])),
    )
