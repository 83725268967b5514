"""The calendar: half-open periods ``[start, end)``, numbered from 0, whose starts are the cut-offs."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.data.pieces import pieces
from hanjax.errors import ConfigError, DataError

_SUNDAY = pd.Timestamp("1970-01-04")
"""Periods of n days are counted from here, so that two data sets have the same ones."""


class Calendar(NamedTuple):
    """The periods that a log touches.

    Args:
        starts: ``[P + 1]`` start of each period and the end of the last, int64 microseconds since 1970, UTC.
        timezone: the zone in which periods begin at midnight.
    """

    starts: Int[np.ndarray, " p"]
    timezone: str

    def period_of(self, times: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The period that holds each time: the largest p with ``starts[p] <= time``."""
        length = self.starts[1] - self.starts[0]
        if (np.diff(self.starts) == length).all():  # no daylight saving, no months: a division, not a search
            period = np.empty(len(times), np.int32)
            for part in pieces(len(times)):
                inside = np.clip(times[part], self.starts[0] - 1, self.starts[-1])
                inside -= self.starts[0]
                period[part] = inside // length
            return period
        return (np.searchsorted(self.starts, times, side="right") - 1).astype(np.int32)

    def first_cutoff_after(self, times: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The first cut-off that may use what became known at each time: the smallest p with ``starts[p] > time``."""
        return np.searchsorted(self.starts, times, side="right").astype(np.int32)

    def dates(self, periods: Int[np.ndarray, " n"]) -> pd.DatetimeIndex:
        """The start of each period as a timestamp in the calendar's zone."""
        return (
            pd.DatetimeIndex(self.starts[periods].view("datetime64[us]")).tz_localize("UTC").tz_convert(self.timezone)
        )


def make_calendar(first: int, last: int, *, period: str, timezone: str) -> Calendar:
    """Lays periods over the time from ``first`` to ``last``.

    Args:
        first: earliest time, microseconds since 1970, UTC.
        last: latest time; it lies inside the last period.
        period: a pandas period alias, such as W-SAT (Sunday to Saturday), D, M or Q, or n days as ``"10D"``, counted
            from Sunday 1970-01-04.
        timezone: the zone whose midnights bound the periods.

    Returns:
        The calendar; its last period holds ``last``.

    Raises:
        ConfigError: if pandas knows no such period or zone.
        DataError: if one period holds the whole time, so that no cut-off lies inside it.

    Example:
        >>> import pandas as pd
        >>> from hanjax.data.periods import make_calendar
        >>> first, last = (pd.Timestamp(day).value // 1000 for day in ("2021-01-05", "2021-01-20"))
        >>> make_calendar(first, last, period="W-SAT", timezone="UTC").dates([0, 1, 2]).strftime("%a %d").tolist()
        ['Sun 03', 'Sun 10', 'Sun 17']
    """
    edges = _edges(first, last, period, timezone)
    if len(edges) < 3:
        begin, end = (pd.Timestamp(time, unit="us", tz="UTC").tz_convert(timezone) for time in (first, last))
        raise DataError(
            f"events.timestamp: the whole log, {begin.tz_localize(None)} to {end.tz_localize(None)}, lies inside one "
            f"period of {period!r}, so that no cut-off lies inside it. Choose a shorter `period`, or bring a longer "
            "log."
        )
    return Calendar(edges, timezone)


def around(
    times: Int[np.ndarray, " n"], *, period: str, timezone: str
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The start and the end of the period that holds each time.

    Args:
        times: microseconds since 1970, UTC.
        period: as ``make_calendar`` takes it.
        timezone: likewise.

    Returns:
        ``[n]`` starts, and ``[n]`` ends, which belong to the next period.

    Raises:
        ConfigError: if pandas knows no such period or zone.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.data.periods import around
        >>> time = np.array([pd.Timestamp("2021-01-05").value // 1000])
        >>> [found.view("M8[us]").astype("M8[D]").item().isoformat() for found in around(time, period="W-SAT",
        ...                                                                              timezone="UTC")]
        ['2021-01-03', '2021-01-10']
    """
    if not len(times):
        return times, times
    edges = _edges(int(times.min()), int(times.max()), period, timezone)
    after = np.searchsorted(edges, times, side="right")
    return edges[after - 1], edges[after]


def _edges(first: int, last: int, period: str, timezone: str) -> Int[np.ndarray, " p"]:
    """The start of each period that touches a stretch of time, and the end of the last."""
    try:
        local = pd.DatetimeIndex(np.array([first, last]).view("datetime64[us]")).tz_localize("UTC").tz_convert(timezone)
    except Exception as error:
        raise ConfigError(f"timezone: {timezone!r} is not a known time zone ({error}).") from None
    local = local.tz_localize(None)
    days = re.fullmatch(r"(\d+)D", period)
    if days:
        step = pd.Timedelta(days=int(days[1]))
        if step <= pd.Timedelta(0):
            raise ConfigError(f"period: {period!r} must be at least one day long.")
        origin = _SUNDAY + (local[0] - _SUNDAY) // step * step
        starts = pd.date_range(origin, local[1] + step, freq=step).as_unit("us")
    else:
        try:
            periods = pd.period_range(local[0], local[1], freq=period)
            starts = periods.append(periods[-1:] + 1).start_time.as_unit("us")
        except Exception as error:
            raise ConfigError(
                f"period: {period!r} is not a pandas period ({error}). Use W-SAT, D, M, Q, or days such as '10D'."
            ) from None
        if getattr(periods.freq, "n", 1) != 1:
            raise ConfigError(f"period: {period!r} has no fixed start; write a number of days, such as '14D'.")
    zoned = starts.tz_localize(timezone, ambiguous=np.ones(len(starts), bool), nonexistent="shift_forward")
    return zoned.tz_convert("UTC").tz_localize(None).as_unit("us").asi8
