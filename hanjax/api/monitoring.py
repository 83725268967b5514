"""Watching a run: the reference of its training data, and what later data and outcomes say of it."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax import __version__
from hanjax.api.evaluating import labeled_scores, unseen_panel
from hanjax.api.given import Data, keep_registered, run_of, tables_of
from hanjax.api.scoring import score_encoded
from hanjax.config import PanelConfig
from hanjax.data.asked import find_asked, known_at
from hanjax.data.dates import observed_until, parse_date
from hanjax.data.log import ALWAYS, NEVER, Log
from hanjax.data.panel import calendar_of, make_panel
from hanjax.data.periods import Calendar
from hanjax.data.samples import find_presence, find_span
from hanjax.data.splits import TRAIN, VALIDATION, known_before, take_accounts
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.monitoring.drift import DriftReport, check_drift
from hanjax.monitoring.frames import frames_of, latest_event, score_frame, segment_columns
from hanjax.monitoring.page import monitoring_page
from hanjax.monitoring.performance import Performance, performance_over_time
from hanjax.monitoring.reference import LEAST_ACCOUNTS, Reference, reference_of
from hanjax.monitoring.verdict import exit_code, worst
from hanjax.report.blocks import plural
from hanjax.tabular.run import AnyRun
from hanjax.types import Panel


@dataclass(frozen=True)
class Monitoring:
    """What was found out about a run.

    Args:
        drift: of the data and the scores, against the training data.
        performance: how good the scores were over time; None where no outcome is known.
        why_not: why there is no performance, in a sentence.
        as_of: the cut-off at which the data were looked at.
        about: names and values, such as versions.
    """

    drift: DriftReport
    performance: Performance | None
    why_not: str
    as_of: pd.Timestamp
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """The gravest of what was found: "ok", "warning" or "alarm"."""
        return worst([self.drift.severity, *([] if self.performance is None else [self.performance.severity])])

    @property
    def ok(self) -> bool:
        """Whether nothing is an alarm."""
        return self.severity != "alarm"

    @property
    def alarms(self) -> list[str]:
        """The sentence of each alarm; of one that goes on, the latest."""
        found = [] if self.performance is None else self.performance.told.query("severity == 'alarm'")["sentence"]
        return [*found, *self.drift.alarms]

    def __repr__(self) -> str:
        """Every warning and alarm, and the course of the performance."""
        course = self.why_not if self.performance is None else repr(self.performance)
        return f"As of {self.as_of:%Y-%m-%d}: {self.severity}\n{self.drift!r}\n\n{course}"

    def page(self) -> str:
        """One page with pictures, as HTML."""
        return monitoring_page(
            self.drift,
            self.performance,
            why_not=self.why_not,
            title=f"State of the model as of {self.as_of:%Y-%m-%d}",
            about=self.about,
        )

    def write(self, folder: str | Path) -> Path:
        """Writes the page, all tables and the verdict.

        Args:
            folder: it is made if it is not there.

        Returns:
            The page, ``monitoring.html``. Beside it stand ``findings.csv``, ``bins.csv``, ``verdict.json`` and, where
            outcomes are known, ``windows.csv``, ``course.csv`` and ``alarms.csv``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {"findings": self.drift.findings, "bins": self.drift.bins}
        if self.performance is not None:
            tables |= {name: getattr(self.performance, name) for name in ("windows", "course", "alarms")}
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        verdict = {
            "as_of": f"{self.as_of:%Y-%m-%d}",
            "severity": self.severity,
            "exit_code": exit_code(self),
            "alarms": self.alarms,
        }
        (folder / "verdict.json").write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")
        page = folder / "monitoring.html"
        page.write_text(self.page(), encoding="utf-8")
        return page


def make_reference(
    run: AnyRun | str | Path,
    data: Data,
    out: str | Path | None = None,
    *,
    periods: int | None = None,
    segments: tuple[str, ...] | None = None,
    progress: bool = False,
) -> Reference:
    """Describes the data that a run was trained on, for ``monitor`` to hold later data against.

    The tables are those of the training accounts alone, as they stood at every cut-off up to ``until``. The scores are
    those of the validation accounts, where there are enough: a model is surer of the accounts that it has learned from.
    Where accounts grow as time goes by, later data have moved away from the whole training, and are better held against
    its last ``periods``.

    Args:
        run: the model, or its folder.
        data: the tables that it was trained on, or their folder.
        out: the folder to write to; None for the run's own, if it has one. Not that of a registered version.
        periods: how many of the last cut-offs make the reference; None for all.
        segments: text columns of the accounts whose levels are looked at apart; None for all that have few levels.
        progress: show a bar.

    Returns:
        The reference.

    Raises:
        ConfigError: if the number of periods is below 1.
        DataError: if the tables are not what they should be, or hold no training account.
        RunError: if the run cannot be read, or the folder is a registered version.

    Example:
        >>> import hanjax
        >>> from hanjax.api import make_reference
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> list(make_reference(run, market.tables).tables)
        ['accounts', 'individuals', 'events', 'scores']
    """
    run = run_of(run)
    folder = run.folder if out is None else out
    keep_registered(
        folder,
        "Write the reference to another folder (`out`), and give that to `monitor` as its `reference`; or make it "
        "before the run is registered.",
    )
    config = run.config.panel
    log = check(tables_of(data), config)
    if run.config.train.until is not None:
        log = known_before(log, parse_date(run.config.train.until, config.timezone, name="until"))
    parts = run.parts_of(log.account_ids)
    if not (parts == TRAIN).any():
        raise DataError("accounts: none of them is a training account of the run. Bring the data it was trained on.")
    training, calendar = take_accounts(log, parts == TRAIN), calendar_of(log, config)
    last = int(calendar.starts[_last(log, config, calendar)])
    begin = ALWAYS if periods is None else _first(log, config, last, periods)
    panel = make_panel(training, config, run.encoding, cutoffs=(begin, NEVER))[0]
    segments = segment_columns(panel) if segments is None else segments
    frames = frames_of(training, config, run.encoding, panel)
    judged = panel
    if (parts == VALIDATION).sum() >= LEAST_ACCOUNTS:
        judged = make_panel(take_accounts(log, parts == VALIDATION), config, run.encoding, cutoffs=(begin, NEVER))[0]
    scores = score_encoded(run, judged, progress=progress)
    reference = reference_of({**frames, "scores": score_frame(scores.accounts, segments)}, segments=segments)
    if folder is not None:
        reference.write(folder)
    return reference


def monitor(
    run: AnyRun | str | Path,
    data: Data,
    *,
    as_of: Any = None,
    periods: int = 1,
    reference: Reference | str | Path | None = None,
    outcomes: bool = True,
    alpha: float = 0.01,
    resamples: int = 500,
    least: float = 0.0,
    false_alarms: float = 0.1,
    progress: bool = False,
) -> Monitoring:
    """Looks whether data and scores are still what they were in training, and how good the scores have been.

    Drift is looked for at the cut-off (or at the last few, where each has few rows, as with a table of outcomes), in
    all that the model is given there, and in its scores. Performance is that on what the run was not trained on, at
    every cut-off whose outcome was decided by then: the time in which accounts may convert was wholly observed. Where
    it is cut short, those who convert are known, and nobody of whom it is certain that they do not. So a week in which
    the log ends, be it in its last minutes, counts as soon as the log goes on, or ``observed_to`` lies beyond the week.
    With a table of outcomes, those count that were known (``known_at``) before the cut-off, or all if no date is given.

    Args:
        run: the model, or its folder.
        data: the tables as they are now, or their folder.
        as_of: a date: the cut-off is the start of the period that holds it. None for the last one (with outcomes, the
            last for which there is one). A date so late that the log should go on, but does not, is an alarm.
        periods: how many cut-offs, the last of which is that one, drift is looked for in.
        reference: of the training data, or its folder; None for that in the run's folder.
        outcomes: whether to look at performance, too.
        alpha: in which share of reports drift may be an alarm by chance.
        resamples: how many times accounts are drawn for thresholds and intervals.
        least: a population stability index below which a distribution is a warning at most.
        false_alarms: in which share of years performance may be an alarm by chance, for each kind of alarm.
        progress: show bars.

    Returns:
        Drift, performance and verdict; ``write`` makes the page.

    Raises:
        ConfigError: if the number of periods is below 1.
        DataError: if the tables are not what they should be, or nobody can be scored as of the date.
        RunError: if the run or the reference cannot be read.

    Example:
        >>> import hanjax
        >>> from hanjax.api import make_reference, monitor
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> reference = make_reference(run, market.tables)
        >>> found = monitor(run, market.tables, as_of="2021-06-30", reference=reference, resamples=50)
        >>> found.as_of.strftime("%Y-%m-%d"), found.performance is not None
        ('2021-06-27', True)
    """
    run, tables = run_of(run), tables_of(data)
    if reference is None and run.folder is None:
        raise RunError("reference: the run has no folder that could hold one. Make one with `make_reference`.")
    if not isinstance(reference, Reference):
        reference = Reference.read(run.folder if reference is None else reference)  # pyright: ignore
    config = run.config.panel
    whole = check(tables, config)
    log, cutoff, late = _now(whole, config, as_of)
    panel = make_panel(log, config, run.encoding, cutoffs=(_first(log, config, cutoff, periods), cutoff))[0]
    scores = score_encoded(run, panel, progress=progress).accounts
    frames = frames_of(log, config, run.encoding, panel)
    latest = latest_event(log, config, panel)
    drift = check_drift(
        reference,
        {**frames, "scores": score_frame(scores, reference.segments)},
        alpha=alpha,
        resamples=resamples,
        least=least,
        now=int(panel.samples["period"].max()) + late,
        latest={} if latest is None else {"events": latest},
    )
    new = tuple(f"{note}." for note in panel.notes if "training never saw" in note)
    drift = drift._replace(notes=(*drift.notes, *new))
    performance, why_not = None, "Outcomes were not asked for."
    if outcomes:
        try:
            unseen = unseen_panel(run, tables, as_of)
            by = NEVER if as_of is None and whole.outcomes is not None else cutoff
            decided, left_out = _decided(unseen, whole, config, by)
            if not decided.any():
                raise DataError(f"No outcome is known yet: {left_out}")
            known = labeled_scores(run, unseen, progress=progress).accounts[decided]
            here = [name for name in reference.segments if name in known]
            performance = performance_over_time(
                known, segments=here, false_alarms=false_alarms, resamples=max(resamples, 100)
            )  # fmt: skip
            if not decided.all():
                performance = performance._replace(notes=(*performance.notes, left_out))
            why_not = ""
        except DataError as nothing:
            why_not = str(nothing)
    about = {
        "Run": run.folder or "in memory",
        "Data": "tables in memory" if not isinstance(data, str | Path) else data,
        "Written": f"{datetime.now():%Y-%m-%d %H:%M}",
        "hanjax": __version__,
    }
    return Monitoring(drift, performance, why_not, panel.samples["cutoff"].max(), about)


def _now(log: Log, config: PanelConfig, as_of: Any) -> tuple[Log, int, int]:
    """The log as it is to be seen, the cut-off, and how many periods the log ends too early for it."""
    calendar = calendar_of(log, config)
    if as_of is None:
        return log, int(calendar.starts[_last(log, config, calendar)]), 0
    time = parse_date(as_of, config.timezone, name="as_of")
    last = int(calendar.period_of(np.array([log.event_time.max()]))[0])
    longer = calendar_of(log._replace(observed_to=np.maximum(log.observed_to, time)), config)
    asked = int(longer.period_of(np.array([time]))[0])
    if asked <= last + 1:
        return *observed_until(log, config, as_of), 0
    log, cutoff = observed_until(log, config, longer.dates(np.array([last + 1]))[0])
    return log, cutoff, asked - last - 1


def _decided(panel: Panel, log: Log, config: PanelConfig, by: int) -> tuple[Bool[np.ndarray, " b"], str]:
    """Which samples' outcomes were decided by a time, and a sentence on the others."""
    calendar = calendar_of(log, config)
    if log.outcomes is not None:
        decided, why = known_at(panel, log, calendar) < by, "their outcome was not known before"
    else:
        running = log.converted_at == NEVER
        by = min(by, int(log.observed_to[running if running.any() else slice(None)].max()))
        period = calendar.period_of(pd.DatetimeIndex(panel.samples["cutoff"]).as_unit("us").asi8)
        ends = np.append(calendar.starts, NEVER)
        decided = ends[np.minimum(period + config.horizons[0], len(ends) - 1)] <= by
        why = "the time in which they may convert was not wholly observed by"
    date = pd.Timestamp(min(by, int(calendar.starts[-1])), unit="us", tz="UTC").tz_convert(config.timezone)
    return decided, f"{plural(int((~decided).sum()), 'sample')} left out: {why} {date:%Y-%m-%d}."


def _first(log: Log, config: PanelConfig, last: int, periods: int) -> int:
    """The first of so many cut-offs of which the last is known, or that of the log."""
    if periods < 1:
        raise ConfigError(f"periods: expected 1 at least, got {periods}.")
    starts = calendar_of(log, config).starts
    return int(starts[max(int(np.searchsorted(starts, last)) - periods + 1, 0)])


def _last(log: Log, config: PanelConfig, calendar: Calendar) -> int:
    """The last cut-off at which an account is a sample; with outcomes, for which there is one."""
    span, _ = find_span(log, calendar, find_presence(log, calendar, opt_out_activity=config.opt_out_activity))
    if log.outcomes is not None:
        span = find_asked(log, calendar, span)[0].span(len(log.account_ids))
    return int(span.last[span.last >= span.first].max(initial=0))
