"""Days, periods and seasons of opportunities, in the time zone of the rule."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.data.periods import make_calendar


def days_later(times: pd.Series, days: int) -> pd.Series:
    """The same local time some days later, whatever the clocks do in between.

    Args:
        times: timestamps with a zone; missing ones stay so.
        days: how many; negative for earlier.

    Returns:
        The times; one that occurs twice is the first of the two, one that does not exist the first after it.

    Example:
        >>> import pandas as pd
        >>> spring = pd.Series(pd.to_datetime(["2024-03-30"]).tz_localize("Europe/Berlin"))
        >>> str(days_later(spring, 2)[0])
        '2024-04-01 00:00:00+02:00'
    """
    local = times.dt.tz_localize(None) + pd.Timedelta(days=days)
    return _localized(local, str(times.dt.tz))


def period_of(times: pd.Series, period: str) -> Int[np.ndarray, " n"]:
    """A number for the period of each time, as in the calendar of a panel.

    Args:
        times: timestamps with a zone, none missing.
        period: D, W-SAT, M, Q, or a number of days such as 10D.

    Returns:
        ``[n]`` equal where the period is.

    Raises:
        ConfigError: if there is no such period.

    Example:
        >>> import pandas as pd
        >>> days = pd.Series(pd.to_datetime(["2024-01-06", "2024-01-07", "2024-01-13"]).tz_localize("UTC"))
        >>> period_of(days, "W-SAT").tolist()
        [0, 1, 1]
    """
    if not len(times):
        return np.zeros(0, np.int64)
    stamps = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("M8[us]").astype(np.int64)
    # A calendar has several periods; the number of the first one does not matter.
    year = 366 * 24 * 3_600_000_000
    calendar = make_calendar(int(stamps.min()), int(stamps.max()) + 2 * year, period=period, timezone=str(times.dt.tz))
    return calendar.period_of(stamps).astype(np.int64)


def seasons_of(times: pd.Series, seasons: tuple[tuple[str, str], ...]) -> tuple[pd.Series, pd.Series]:
    """The last day at or before each time on which accounts are scored.

    Args:
        times: timestamps with a zone, none missing.
        seasons: name and day of the year (MM-DD) of each, at least one.

    Returns:
        The name of each time's season, and the midnight with which that day begins.

    Example:
        >>> import pandas as pd
        >>> days = pd.Series(pd.to_datetime(["2024-01-06", "2024-06-30"]).tz_localize("UTC"))
        >>> name, day = seasons_of(days, (("mid-year", "06-30"), ("year-end", "12-31")))
        >>> list(zip(name, day.dt.strftime("%Y-%m-%d")))
        [('year-end', '2023-12-31'), ('mid-year', '2024-06-30')]
    """
    if not len(times):
        return pd.Series([], dtype="str", index=times.index), times
    years = range(int(times.dt.year.min()) - 1, int(times.dt.year.max()) + 1)
    days = sorted((pd.Timestamp(f"{year}-{day}"), name) for year in years for name, day in seasons)
    snapshots = _localized(pd.Series([day for day, _ in days]), str(times.dt.tz)).dt.as_unit("us")
    place = snapshots.searchsorted(times, side="right") - 1
    names = pd.Series([name for _, name in days], dtype="str")
    return names.iloc[place].set_axis(times.index), snapshots.iloc[place].set_axis(times.index)


def _localized(local: pd.Series, timezone: str) -> pd.Series:
    return local.dt.tz_localize(timezone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward")
