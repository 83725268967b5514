"""Performance when outcomes are known: how good scores are window by window, and when to be alarmed about it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.calibration import probability
from hanjax.evaluation.intervals import account_weights, difference, interval, resampled_auc
from hanjax.evaluation.lift import lift
from hanjax.evaluation.metrics import auc, log_loss
from hanjax.evaluation.resampling import Samples, samples_of
from hanjax.monitoring.chart import chart
from hanjax.monitoring.reference import segment_of
from hanjax.monitoring.verdict import worst
from hanjax.report.blocks import number, plural

_CELLS = 20_000_000
"""Accounts in all draws; of very many accounts, there are fewer draws."""
_TOP = (("High", 0.1),)


class Performance(NamedTuple):
    """How good scores were over time.

    Args:
        windows: one row a segment ("" for all) and window of successive periods: ``segment``, ``first`` and ``last``
            period, ``samples``, ``accounts``, ``conversions``, ``expected`` (the sum of the probabilities); ``ratio``
            (conversions / expected), ``intercept`` (what would have to be added to the log-odds), ``auc``,
            ``log_loss`` and ``lift`` (of the likeliest tenth), each with ``_low`` and ``_high``; ``complete`` (False of
            a last window in which too few are expected so far), ``reference`` (whether it is among those that later
            ones are compared with) and ``auc_p`` (two-sided, of the difference from the reference).
        course: one row a segment and period, see ``hanjax.monitoring.chart``, and the chart's ``threshold``.
        alarms: ``segment``, ``kind`` ("more conversions", "fewer conversions", "AUC"), ``period``, ``value``,
            ``threshold``, ``severity`` (an alarm of more than ``recent`` periods ago is a warning) and a ``sentence``.
        false_alarms: the share of years in which charts, and as many in which AUCs, raise an alarm by chance.
        notes: what was left out, and why.
    """

    windows: pd.DataFrame
    course: pd.DataFrame
    alarms: pd.DataFrame
    false_alarms: float
    notes: tuple[str, ...] = ()

    @property
    def severity(self) -> str:
        """The gravest of all alarms."""
        return worst(self.alarms["severity"])

    @property
    def ok(self) -> bool:
        """Whether nothing is an alarm now."""
        return self.severity != "alarm"

    @property
    def told(self) -> pd.DataFrame:
        """The latest alarm of each kind in each segment: what goes on being so is an alarm again and again."""
        return self.alarms.groupby(["segment", "kind"], sort=False).tail(1)

    def __repr__(self) -> str:
        """The figures of all samples, and the latest alarm of each kind."""
        whole = self.windows[self.windows["segment"] == ""]
        names = ["first", "last", "samples", "conversions", "expected", "ratio", "auc", "log_loss", "lift"]
        lines = [whole[names].to_string(index=False, float_format="{:.4g}".format, na_rep="-")]
        lines += [f"{row.severity}: {row.sentence}" for row in self.told.itertuples()]
        return "\n".join([*lines, *self.notes])


class _Settings(NamedTuple):
    """What all segments share: ``budget`` is the share of years with a false alarm that one of them has, ``recent`` the
    first period of which an alarm is still one.
    """

    least: int
    per_year: int
    budget: float
    odds: float
    resamples: int
    seed: int
    level: float
    reference: Any
    recent: Any


def performance_over_time(
    scores: pd.DataFrame,
    *,
    period: str = "cutoff",
    segments: Sequence[str] = (),
    reference: Any = None,
    least: int = 10,
    per_year: int | None = None,
    false_alarms: float = 0.1,
    odds: float = 1.5,
    recent: int | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Performance:
    """Measures scores whose outcomes have arrived, window by window, and says where they got worse.

    A window is as many successive periods as it takes until enough conversions are expected: if it ended when enough
    had come, it would hold too many of them, and if none came, it would never end. Alarms know that they are looked for
    again and again. One kind comes from the chart of conversions against their probabilities, whose threshold is
    simulated (see ``hanjax.monitoring.chart.chart``). The other one compares the AUC of each complete window with that
    of the reference windows, on the same draws of accounts, as the same account may be in both: a lower one is an alarm
    if its one-sided p is below the budget of a year over the windows of a year. Segments have equal shares of both
    budgets, and so have all samples together.

    Args:
        scores: one row an account and period: ``account_id``, ``probability``, ``label`` (1 if it converted, 0 if not;
            rows with another one, such as NaN, are left out) and the columns named below.
        period: the column with the period: numbers or cut-offs.
        segments: columns whose levels are watched apart; levels in which fewer than twice ``least`` conversions are
            expected are not.
        reference: the first period, a number or a date, that is no longer reference; None for the first half of the
            complete windows.
        least: conversions expected in a window, and as many samples that do not convert.
        per_year: periods of a year; None to tell by the dates, or 52 for numbers.
        false_alarms: in which share of years there may be an alarm by chance, for each kind.
        odds: the change of the odds that the chart finds soonest.
        recent: for how many periods an alarm is one, before it becomes a warning of the past, counted back from the
            last period of all samples; None for a quarter.
        resamples: how many times accounts are drawn.
        level: of the intervals.
        seed: of all draws.

    Returns:
        Windows, the course of the charts, and alarms.

    Raises:
        ConfigError: if a setting cannot work.
        DataError: if a column is missing, or no sample has a known outcome.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.monitoring import performance_over_time
        >>> random = np.random.default_rng(0)
        >>> scores = pd.DataFrame({"account_id": range(2000), "cutoff": np.arange(2000) // 200})
        >>> scores["probability"] = random.beta(1, 19, 2000)
        >>> scores["label"] = random.binomial(1, scores["probability"])
        >>> found = performance_over_time(scores)
        >>> found.ok, int(found.windows["conversions"].sum() - scores["label"].sum())
        (True, 0)

    Source: Steiner et al. (2000) for the chart; Cox (1958) for the intercept; Hanley and McNeil (1983) for comparing
        AUCs on cases in common.
    """
    if least < 2:
        raise ConfigError(f"least: expected 2 at least, got {least}.")
    needed = ("account_id", "probability", "label", period, *segments)
    if missing := [name for name in needed if name not in scores]:
        raise DataError(f"scores: there is no column {', '.join(missing)}; it has {', '.join(map(str, scores))}.")
    known = scores["label"].isin((0, 1)).to_numpy()
    if not known.any():
        raise DataError(f"scores.label: none of {plural(len(scores), 'row')} has a known outcome, 0 or 1.")
    notes = [] if known.all() else [f"{plural(int((~known).sum()), 'sample')} left out: no outcome of 0 or 1 yet."]
    scores = scores[known].reset_index(drop=True)
    parts = [("", np.arange(len(scores)))]
    for column in segments:
        small = []
        levels = segment_of(scores, column)
        for name, rows in ((name, np.flatnonzero(levels == name)) for name in sorted(set(levels))):
            enough = scores["probability"].iloc[rows].sum() >= 2 * least
            parts += [(f"{column}={name}", rows)] if enough else []
            small += [] if enough else [name]
        if small:
            notes.append(f"{column}: too few conversions expected to be watched apart: {', '.join(small)}.")
    per_year = per_year or _per_year(scores[period])
    recent = max(per_year // 4, 1) if recent is None else recent
    latest = pd.Index(scores[period]).unique().sort_values()[-max(recent, 1) :]
    settings = _Settings(
        least, per_year, false_alarms / len(parts), odds, resamples, seed, level, reference,
        recent=latest[0],
    )  # fmt: skip
    found = [_part(name, scores.iloc[rows], period, settings) for name, rows in parts]
    windows, courses, alarms = (pd.concat(tables, ignore_index=True) for tables in zip(*found, strict=True))
    return Performance(windows, courses, alarms, false_alarms, tuple(notes))


def calibration_intercept(
    probabilities: Float[np.ndarray, " N"], labels: Int[np.ndarray, " N"], accounts: Int[np.ndarray, " N"]
) -> tuple[float, float]:
    """What would have to be added to all log-odds for as many conversions as there are, and its deviation.

    a with sum_i y_i - 1 / (1 + exp(-logit(p_i) - a)) = 0; its deviation adds up the residuals of each account first.

    Args:
        probabilities: ``[N]`` of conversion.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, as a number.

    Returns:
        a, infinite where all or none convert, and its standard deviation.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.performance import calibration_intercept
        >>> [round(found, 3) for found in calibration_intercept(np.full(8, 0.5), np.arange(8) % 4 == 0, np.arange(8))]
        [-1.099, 0.816]

    Source: Cox (1958), Two further applications of a model for binary regression; Liang and Zeger (1986).
    """
    labels = np.asarray(labels, float)
    if not 0 < labels.sum() < len(labels):
        return float(np.inf if labels.sum() else -np.inf), np.nan
    step = np.finfo(float).eps
    inside = np.clip(probabilities, step, 1 - step)
    logit, a = np.log(inside) - np.log1p(-inside), 0.0
    low, high = -100.0, 100.0
    for _ in range(200):  # Newton within a bracket
        fitted = probability(logit + a)
        excess, slope = float((labels - fitted).sum()), float((fitted * (1 - fitted)).sum())
        low, high = (a, high) if excess > 0 else (low, a)
        next_ = a + excess / slope if slope else (low + high) / 2
        next_ = next_ if low < next_ < high else (low + high) / 2
        if abs(next_ - a) < 1e-12:
            break
        a = next_
    fitted = probability(logit + a)
    residuals = np.bincount(accounts, labels - fitted)
    return a, float(np.sqrt((residuals**2).sum()) / (fitted * (1 - fitted)).sum())


def _part(segment: str, scores: pd.DataFrame, period: str, to: _Settings) -> tuple[pd.DataFrame, ...]:
    """Windows, course and alarms of one segment."""
    given = samples_of(scores["probability"], scores["label"], scores["account_id"], scores[period])
    names = pd.Index(scores[period]).unique().sort_values()
    charted = chart(
        given.scores, given.labels, given.periods,
        per_year=to.per_year, false_alarms=to.budget, odds=to.odds, seed=to.seed,
        simulations=max(2000, int(20 / to.budget)),
    )  # fmt: skip
    course = charted.course.assign(period=names, threshold=charted.threshold)  # both are in order
    resamples = int(np.clip(_CELLS // len(given.names), 100, to.resamples))
    weights = account_weights(len(given.names), resamples=resamples, seed=to.seed)
    groups = _windows(given, to.least)
    complete = [index for index, (_, _, whole) in enumerate(groups) if whole]
    before = set(complete[: (len(complete) + 1) // 2])
    if to.reference is not None:
        start = _moment(to.reference, names)
        before = {index for index in complete if names[groups[index][1]] < start}
    base_rows = np.isin(given.periods, [t for index in before for t in range(groups[index][0], groups[index][1] + 1)])
    base = _area(given, base_rows, weights)
    looks = to.per_year / (np.mean([groups[index][1] - groups[index][0] + 1 for index in complete]) if complete else 1)
    limit = to.budget / max(looks, 1)
    rows, alarms = [], []
    for index, (first, last, whole) in enumerate(groups):
        inside = (given.periods >= first) & (given.periods <= last)
        area, p = _area(given, inside, weights), np.nan
        if whole and before and index not in before:
            carriers = min(_taken(given, some).carriers for some in (inside, base_rows))
            apart = difference(area[0] - base[0], area[1] - base[1], positives=carriers)
            p = apart.p
            if apart.value < 0 and p / 2 <= limit:
                said = (
                    f"the AUC from {_date(names[first])} to {_date(names[last])} is {area[0]:.3f}, below the "
                    f"{base[0]:.3f} of the reference (one-sided p {p / 2:.2g})"
                )
                alarms.append([last, "AUC", area[0], np.nan, said])
        measures = _measures(given, inside, weights, area, to)
        rows.append([segment, names[first], names[last], *measures, whole, index in before, p])
    for row in course[course["alarm"] != ""].itertuples():
        value = row.more if row.alarm == "more" else row.fewer
        said = (
            f"{row.alarm} conversions than the probabilities say, up to {_date(row.period)}: the chart's sum reached "
            f"{value:.3g}, beyond {charted.threshold:.3g}"
        )
        alarms.append([row.Index, f"{row.alarm} conversions", value, charted.threshold, said])
    whole = lambda said: f"{segment}: {said}." if segment else f"{said[0].upper()}{said[1:]}."
    told = [
        [segment, kind, names[at], *figures, "alarm" if names[at] >= to.recent else "warning", whole(said)]
        for at, kind, *figures, said in sorted(alarms, key=lambda alarm: alarm[:2])
    ]
    columns = ["segment", "kind", "period", "value", "threshold", "severity", "sentence"]
    return (
        pd.DataFrame(rows, columns=_COLUMNS),
        course.assign(segment=segment)[["segment", *course.columns]],
        pd.DataFrame(told, columns=columns),
    )


_COLUMNS = [
    "segment", "first", "last", "samples", "accounts", "conversions", "expected",
    *[f"{name}{end}" for name in ("ratio", "intercept", "auc", "log_loss", "lift") for end in ("", "_low", "_high")],
    "complete", "reference", "auc_p",
]  # fmt: skip


def _windows(given: Samples, least: int) -> list[tuple[int, int, bool]]:
    """First and last period of each window, and whether enough of both outcomes are expected in it."""
    counts = np.stack([np.bincount(given.periods, p) for p in (given.scores, 1 - given.scores)], axis=1)
    found, first, total = [], 0, np.zeros(2)
    for t, count in enumerate(counts):
        total = total + count
        if (total >= least).all():
            found.append((first, t, True))
            first, total = t + 1, np.zeros(2)
    return found + ([(first, len(counts) - 1, False)] if first < len(counts) else [])


def _taken(given: Samples, rows: np.ndarray) -> Samples:
    """Some of the samples; accounts keep their numbers."""
    return given._replace(
        scores=given.scores[rows], labels=given.labels[rows], accounts=given.accounts[rows], periods=given.periods[rows]
    )


def _area(given: Samples, rows: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The AUC of some samples, and on each draw of the accounts."""
    some = _taken(given, rows)
    return float(auc(some.scores, some.labels)), resampled_auc(some.scores, some.labels, some.accounts, weights)


def _measures(
    given: Samples, rows: np.ndarray, weights: np.ndarray, area: tuple[float, np.ndarray], to: _Settings
) -> Iterator[Any]:
    """The figures of a window, in the order of the columns."""
    some, normal = _taken(given, rows), _normal(to.level)
    p, y, size = some.scores, some.labels, weights.shape[1]
    hits, expected = int(y.sum()), float(p.sum())
    yield from (len(y), len(np.unique(some.accounts)), hits, expected)
    # Rows of one account may depend on each other: as if there were fewer of them.
    residual, usual = np.bincount(some.accounts, y - p), float((p * (1 - p)).sum())
    spread = max(float((residual**2).sum()) / usual, 1.0) if usual else 1.0
    yield from (hits / expected if expected else np.nan, *_poisson(hits / spread, expected / spread, to.level))
    intercept, deviation = calibration_intercept(p, y, some.accounts)
    yield from (intercept, intercept - normal * deviation, intercept + normal * deviation)
    found = interval(area[0], area[1], level=to.level, positives=some.carriers)
    yield from (found.value, found.low, found.high)
    loss = float(log_loss(p, y))
    inside = np.clip(p, np.finfo(float).eps, 1 - np.finfo(float).eps)
    sums = weights @ np.bincount(some.accounts, -np.log(np.where(y == 1, inside, 1 - inside)), size)
    count = weights @ np.bincount(some.accounts, minlength=size)
    drawn = np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
    found = interval(loss, drawn, level=to.level, measure="log_loss")
    yield from (found.value, found.low, found.high)
    top = lift(
        p, y, some.accounts, some.periods, shares=_TOP, resamples=len(weights), level=to.level, seed=to.seed
    ).iloc[0]  # fmt: skip
    yield from (float(top["lift"]), max(float(top["low"]), 0.0), float(top["high"]))  # rounding may go below


def _poisson(hits: float, expected: float, level: float) -> tuple[float, float]:
    """The exact interval of a count, over what was expected (Garwood 1936)."""
    from scipy.special import gammaincinv

    if not expected:
        return np.nan, np.nan
    low = gammaincinv(hits, (1 - level) / 2) if hits else 0.0
    return float(low / expected), float(gammaincinv(hits + 1, (1 + level) / 2) / expected)


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def _per_year(periods: pd.Series) -> int:
    """Periods of a year, by the usual distance of two."""
    names = pd.Index(periods).unique().sort_values()
    if not isinstance(names, pd.DatetimeIndex) or len(names) < 2:
        return 52
    return max(round(pd.Timedelta(days=365.25) / pd.Series(names).diff().median()), 1)


def _moment(reference: Any, names: pd.Index) -> Any:
    """A date as a timestamp in the zone of the periods; a number as it is."""
    if not isinstance(names, pd.DatetimeIndex):
        return reference
    moment = pd.Timestamp(reference)
    return moment if moment.tzinfo is not None else moment.tz_localize(names.tz)


def _date(period: Any) -> str:
    return f"{period:%Y-%m-%d}" if isinstance(period, pd.Timestamp) else number(period)
