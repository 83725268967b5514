"""Evaluation as it will be used: train up to a date, test on what follows, roll on."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax.api.evaluating import labeled_scores, unseen_panel
from hanjax.api.evaluation import Evaluation
from hanjax.api.fitting import fit
from hanjax.api.given import Data, settings_of, tables_of
from hanjax.config import Config
from hanjax.data.dates import parse_date
from hanjax.data.panel import calendar_of
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError
from hanjax.run import Run
from hanjax.types import Scores, Tables


class WalkForward(NamedTuple):
    """Models trained up to one date after the other, each tested on what came next.

    Args:
        steps: one row a model: ``until`` (it was trained on what was known before), ``before`` (it was tested up to
            there), ``samples``, ``conversions``, ``auc``, ``log_loss`` and ``log_loss_base_rate``; None where there is
            none.
        evaluation: of all tested samples together, each scored by the last model trained before it.
        runs: the models.
    """

    steps: pd.DataFrame
    evaluation: Evaluation
    runs: tuple[Run, ...]

    def __repr__(self) -> str:
        """The steps, and the figures of all of them."""
        steps = self.steps.to_string(index=False, float_format="{:.4f}".format, na_rep="-")
        return f"{steps}\n\nAll steps together:\n{self.evaluation}"


def walk_forward(
    data: Data,
    start: Any,
    *,
    every: int = 4,
    config: Config | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> WalkForward:
    """Trains on what was known before a date, tests on the periods that follow, and rolls on to the end of the log.

    This is what a user of the scores would have seen: every sample is scored by a model that knows nothing of its
    period or later ones. Accounts recur from step to step, so the test is of another time, not of other accounts. Steps
    in which a table of outcomes asks nothing are passed over.

    Args:
        data: tables, or their folder.
        start: the first date; steps begin with the period that holds it.
        every: periods from one training to the next.
        config: all settings; None for the defaults. ``until``, ``test`` and ``test_fold`` have no meaning here.
        out: a folder that gets a run folder for every step, named by its date; None to keep them in memory.
        resume: take steps that are there already.
        progress: show bars.

    Returns:
        The steps, and the evaluation of all of them together.

    Raises:
        ConfigError: if ``every`` is below 1, or ``start`` is no date within the log.
        DataError: if the tables are not what they should be, or what is known before a date holds one outcome only.
        RunError: if there are steps in ``out`` and ``resume`` is not set.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, weeks=20, conversions=0.4, seed=1)
        >>> small = hanjax.Config().replace(epochs=1, activity_width=4, window_width=4)
        >>> walk = hanjax.walk_forward(market.tables, "2021-04-04", every=8, config=small)
        >>> walk.steps["until"].dt.strftime("%m-%d").tolist()
        ['04-04']

    Source: evaluation on a rolling origin, Tashman 2000, Out-of-sample tests of forecasting accuracy.
    """
    config, tables = settings_of(config, Config), tables_of(data)
    if every < 1:
        raise ConfigError(f"every: expected at least 1 period, got {every}.")
    runs, parts, rows = [], [], []
    for begin, end in _steps(tables, start, every, config):
        settings = config.replace(until=begin.isoformat(), test=0.0, test_fold=None)
        folder = None if out is None else Path(out) / f"{begin:%Y-%m-%d}"
        if folder is not None and resume and (folder / "model.npz").exists():
            run = Run.read(folder)
        else:
            run = fit(tables, folder, config=settings, resume=resume and folder is not None, progress=progress)
        panel = unseen_panel(run, tables, end.isoformat())
        scores = labeled_scores(run, panel, progress=progress)
        runs.append(run)
        parts.append(scores)
        figures = Evaluation.of(scores).metrics
        shown = ("samples", "conversions", "auc", "log_loss", "log_loss_base_rate")
        rows.append({"until": begin, "before": end, **{name: figures[name] for name in shown}})
    together = Scores(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))
    evaluation = Evaluation.of(together, horizons=config.panel.horizons, outcomes=tables.outcomes is not None)
    return WalkForward(pd.DataFrame(rows), evaluation, tuple(runs))


def _steps(tables: Tables, start: Any, every: int, config: Config) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """The cut-offs at which models are trained, each with the end of what it is tested on.

    The last one is the end of the last wholly observed period; outcomes say themselves whether they are known.
    """
    log = check(tables, config.panel)
    calendar = calendar_of(log, config.panel)
    time = parse_date(start, config.panel.timezone, name="start")
    first = int(calendar.period_of(np.array([time]))[0])
    last = int(np.searchsorted(calendar.starts, log.observed_to.max(), side="right")) - 1
    if log.outcomes is not None:
        last = len(calendar.starts) - 1
    if not 0 < first < last:
        begin, end = calendar.dates(np.array([1, max(last - 1, 1)])).strftime("%Y-%m-%d")
        raise DataError(f"start: {start} leaves nothing to train on or to test on. Choose one from {begin} to {end}.")
    numbers = np.append(np.arange(first, last, every), last)
    dates, begins = calendar.dates(numbers), calendar.starts[numbers]
    asked = np.ones(len(numbers) - 1, bool)
    if log.outcomes is not None:
        asked = np.diff(np.searchsorted(np.sort(log.outcomes.cutoff), begins)) > 0
    if not asked.any():
        raise DataError(f"outcomes: there is no row from {start} on, so that nothing can be tested.")
    return [(dates[i], dates[i + 1]) for i in np.flatnonzero(asked)]
