"""Dates that a user names: when training stops to look, as of when accounts are scored."""

from typing import Any

import numpy as np
import pandas as pd

from hanjax.config import PanelConfig
from hanjax.data.log import NEVER, Log
from hanjax.data.panel import calendar_of
from hanjax.errors import ConfigError, DataError


def parse_date(date: Any, timezone: str, *, name: str) -> int:
    """A date as microseconds since 1970, UTC.

    Args:
        date: text, or any date or timestamp; one without a zone is in ``timezone``.
        timezone: name of the zone.
        name: of the setting, for the error.

    Returns:
        The time; of a date without a time, the first moment of the day.

    Raises:
        ConfigError: if it is no date.

    Example:
        >>> from hanjax.data.dates import parse_date
        >>> parse_date("1970-01-02", "UTC", name="until")
        86400000000
    """
    try:
        stamp = pd.Timestamp(date)
        if stamp is pd.NaT:
            raise ValueError
    except (ValueError, TypeError):
        raise ConfigError(f"{name}: {date!r} is not a date, such as 2024-05-01.") from None
    if stamp.tzinfo is None:  # where clocks change at midnight, the first one that there is
        stamp = stamp.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")
    return int(stamp.tz_convert("UTC").tz_localize(None).to_datetime64().astype("M8[us]").astype(np.int64))


def observed_until(log: Log, config: PanelConfig, date: Any) -> tuple[Log, int]:
    """The cut-off at the start of the period that holds a date, and the log observed up to it.

    Args:
        log: the checked log.
        config: the data's settings.
        date: as of when; in the log, or in the period that follows it.

    Returns:
        The log, in which accounts that are observed to its end are observed to the cut-off if that is later; and the
        cut-off, in microseconds since 1970, UTC.

    Raises:
        ConfigError: if it is no date.
        DataError: if the date lies outside the log.
    """
    time, open_ended = parse_date(date, config.timezone, name="as_of"), log.converted_at == NEVER
    # By default an account is observed to its own conversion where that is later than everything else.
    end = int(log.observed_to[open_ended if open_ended.any() else slice(None)].max())
    calendar = calendar_of(log._replace(observed_to=np.maximum(log.observed_to, time)), config)
    final = end if end in log.event_time else end - 1  # observation up to a cut-off holds nothing of what follows
    asked, last = calendar.period_of(np.array([time, final]))
    first = calendar.period_of(log.observed_from).min()
    if not first < asked <= last + 1:
        begin, stop = calendar.dates(np.array([first + 1, last + 1])).strftime("%Y-%m-%d")
        raise DataError(
            f"as_of: {date} lies outside the log, which can be scored from {begin} to the end of the period that "
            f"begins on {stop}."
        )
    cutoff = int(calendar.starts[asked])
    # Whoever is observed to the end of the log is still observed at the cut-off that follows it.
    running = (log.observed_to == end) & open_ended
    return log._replace(observed_to=np.where(running, max(end, cutoff), log.observed_to)), cutoff
