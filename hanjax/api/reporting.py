"""One page about a run and a data set."""

import platform
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax import __version__
from hanjax.api.data import conversions
from hanjax.api.evaluating import evaluate
from hanjax.api.explaining import explain_scores
from hanjax.api.given import Data, run_of, tables_of
from hanjax.api.scoring import score_encoded
from hanjax.data.asked import known_at
from hanjax.data.counts import account_counts
from hanjax.data.dates import parse_date
from hanjax.data.panel import calendar_of, make_panel
from hanjax.data.profile import profile
from hanjax.data.splits import TRAIN
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.report.material import Material, named_by
from hanjax.report.page import page
from hanjax.report.reasons import reasons_section
from hanjax.run import Run


def write_report(
    run: Run | str | Path,
    data: Data,
    out: str | Path = "report.html",
    *,
    accounts: int = 3,
    aspects: Any = None,
    progress: bool = False,
) -> Path:
    """Writes one page: the hottest accounts and why, how good the scores are and how far to trust them, and the data.

    The page is a single file with all pictures in it, for readers who have never seen the code. How good the model is
    is said of what ``evaluate`` tests on, which gives the figures to the run's folder, too; where there is nothing, the
    page says so.

    Args:
        run: the model, or its folder.
        data: tables, or their folder.
        out: the file to write; its folder is made.
        accounts: how many of the likeliest accounts are shown one by one.
        aspects: which inputs make up growth, usage and so on, for a section of reasons; see ``hanjax.api.explain``.
            None for no such section.
        progress: show a bar.

    Returns:
        The file.

    Raises:
        ConfigError: if the number of accounts is negative, or the aspects cannot be.
        DataError: if the tables are not what they should be.
        RunError: if the run cannot be read, or is a tabular model.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> hanjax.write_report(run, market.tables, accounts=0).name
        'report.html'
    """
    if accounts < 0:
        raise ConfigError(f"accounts: expected 0 at least, got {accounts}.")
    run, tables, out = run_of(run), tables_of(data), Path(out)
    if not isinstance(run, Run):
        raise RunError(f"run: the page shows what a network attends to, and the run is a {run.kind}. Give a network's.")
    config = run.config.panel
    log = check(tables, config)
    panel = make_panel(log, config, run.encoding)[0]
    calendar = calendar_of(log, config)
    starts = calendar.dates(np.arange(len(calendar.starts)))
    parts = run.parts_of(panel.samples["account_id"])
    training = parts == TRAIN
    if run.config.train.until is not None:
        until = parse_date(run.config.train.until, config.timezone, name="until")
        training &= known_at(panel, log, calendar) < until
    evaluation, why_not = None, ""
    try:
        evaluation = evaluate(run, tables, progress=progress)
    except DataError as error:  # nothing to test on is no reason to say nothing of the rest
        why_not = str(error)
    libraries = ("jax", "flax", "numpy", "pandas")
    last = pd.Timestamp(int(log.event_time.max()), unit="us", tz="UTC").tz_convert(config.timezone)
    about = {
        "Run": run.folder or "in memory",
        "Data": "tables in memory" if not isinstance(data, str | Path) else data,
        "Latest activity in the data": f"{last:%Y-%m-%d %H:%M %Z}",
        "Written": f"{datetime.now():%Y-%m-%d %H:%M}",
        "hanjax": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }
    material = Material(
        run=run,
        panel=panel,
        counts=account_counts(panel),
        scores=score_encoded(run, panel, progress=progress),
        profile=profile(log, config, panel),
        starts=starts,
        converted_at=conversions(tables, config),
        evaluation=evaluation,
        why_not=why_not,
        training=training,
        parts=parts,
        about=about,
    )
    more = []
    if aspects is not None:
        found = explain_scores(run, tables, aspects=aspects, progress=progress)
        believe = found.faithfulness().sentence if len(found.worths) > 2 else ""
        table, long = (named_by(own, found.unit) for own in (found.table, found.long))
        more = [reasons_section(table, long, accounts=accounts, believe=believe)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(material, accounts=accounts, more=more), encoding="utf-8")
    return out
