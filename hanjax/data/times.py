"""Dates and times of any kind as int64 microseconds since 1970, UTC.

Times without a zone are local times of the setting ``timezone``, dates are midnight there. A local time that occurs
twice (clocks set back) is read as the first of the two; one that never occurs (clocks set forward) as the first
instant after the gap.
"""

# Arrow makes its compute functions when it is imported, where pyright does not see them.
# pyright: reportAttributeAccessIssue=false

import difflib
import zoneinfo
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from hanjax.data.frames import mixed_zones
from hanjax.data.log import ALWAYS
from hanjax.errors import ConfigError, DataError

MISSING = ALWAYS
"""How ``read_times`` marks a missing time (as NumPy marks NaT)."""

_ZONED = r"\d[Tt ]\d.*([zZ]|[+-]\d{2}(:?\d{2})?)$"
_PIECE = 1 << 20


class Times(NamedTuple):
    """A column of times.

    Args:
        values: microseconds since 1970, UTC; ``MISSING`` where null.
        naive: whether the column had no zone, so that the setting ``timezone`` was used.
    """

    values: Int[np.ndarray, " n"]
    naive: bool


def check_timezone(timezone: str) -> None:
    """Raises a ConfigError if there is no such time zone."""
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        close = difflib.get_close_matches(timezone, zoneinfo.available_timezones(), n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"timezone: {timezone!r} is no known time zone, such as America/New_York.{hint}") from unknown


def read_times(table: str, column: str, data: pa.ChunkedArray, timezone: str) -> Times:
    """Reads a column of timestamps, dates or ISO 8601 strings.

    Args:
        table: its table, for messages.
        column: its name, for messages.
        data: the column.
        timezone: the zone of times that state none.

    Returns:
        The times, ``MISSING`` where null.

    Raises:
        DataError: if it holds something else, or some values state a zone and others do not.

    Example:
        >>> import pyarrow as pa
        >>> read_times("events", "timestamp", pa.chunked_array([["1970-01-01T00:00:01"]]), "UTC")
        Times(values=array([1000000]), naive=True)
    """
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    kind = data.type
    if data.null_count == len(data):  # of any type: pandas reads an empty column of a CSV file as floats
        return Times(np.full(len(data), MISSING), False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        data = _parsed(table, column, data.cast(pa.large_string()))
    elif pa.types.is_date(kind):
        data = data.cast(pa.timestamp("ms"))
    elif not pa.types.is_timestamp(kind):
        first = [value for value in data.slice(0, 1000).to_pylist() if value is not None]
        raise DataError.rows(
            table,
            column,
            f"is {kind}, which is no date or time",
            count=len(data),
            first=first,
            remedy="Convert it to timestamps, for instance with pandas.to_datetime(column, unit='s').",
        )
    naive = data.type.tz is None
    pieces = (data.slice(start, _PIECE) for start in range(0, len(data), _PIECE))
    values = np.empty(len(data), np.int64)
    for number, piece in enumerate(pieces):
        start = number * _PIECE
        for chunk in piece.chunks:
            try:
                values[start : start + len(chunk)] = _microseconds(chunk, timezone)
            except pa.ArrowInvalid as impossible:
                raise _impossible(table, column, data) from impossible
            start += len(chunk)
    return Times(values, naive)


def _microseconds(chunk: pa.TimestampArray, timezone: str) -> Int[np.ndarray, " n"]:
    """One chunk of timestamps of any unit, with or without a zone."""
    if chunk.type.tz is None and timezone != "UTC":
        chunk = pc.assume_timezone(chunk, timezone, ambiguous="earliest", nonexistent="latest")
    nanoseconds = chunk.type.unit == "ns"
    if not nanoseconds:
        chunk = chunk.cast(pa.timestamp("us", chunk.type.tz))
    whole = chunk.cast(pa.int64())
    values = (whole.fill_null(0) if whole.null_count else whole).to_numpy(zero_copy_only=False)
    if nanoseconds:
        values = values // 1000
    if chunk.null_count:
        values = np.where(chunk.is_null().to_numpy(zero_copy_only=False), MISSING, values)
    return values


def _impossible(table: str, column: str, data: pa.ChunkedArray) -> DataError:
    """The error of times that cannot be counted in microseconds."""
    seconds = data.cast(pa.timestamp("s", data.type.tz), safe=False).cast(pa.int64()).fill_null(0).to_numpy()
    rows = np.flatnonzero(abs(seconds) > 9_000_000_000_000)
    return DataError.rows(
        table,
        column,
        "is a date hundreds of thousands of years away",
        count=len(rows),
        first=[f"{seconds[row]:,} s since 1970 (row {row})" for row in rows[:5].tolist()],
        remedy="The numbers were probably converted with a wrong unit; pandas.to_datetime takes a unit.",
    )


def _parsed(table: str, column: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 strings as timestamps; an empty string is null."""
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)
    zoned = pc.match_substring_regex(text, _ZONED)
    n_zoned, n = pc.sum(zoned).as_py() or 0, len(text) - text.null_count
    if 0 < n_zoned < n:
        rows = np.flatnonzero(~zoned.fill_null(True).to_numpy())
        _parsed_slowly(table, column, text.take(rows), pa.timestamp("us"), rows)
        raise mixed_zones(table, column, len(rows), [f"{text[row].as_py()} (row {row})" for row in rows[:5].tolist()])
    kind = pa.timestamp("us", "UTC") if n_zoned else pa.timestamp("us")
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        return _parsed_slowly(table, column, text, kind, np.arange(len(text)))


def _parsed_slowly(
    table: str, column: str, text: pa.ChunkedArray, kind: pa.DataType, rows: Int[np.ndarray, " n"]
) -> pa.ChunkedArray:
    """The forms of ISO 8601 that Arrow does not read, or an error that names the rows which hold none."""
    series = text.to_pandas()
    parsed = pd.to_datetime(series, format="ISO8601", utc=kind.tz is not None, errors="coerce")
    wrong = np.flatnonzero((parsed.isna() & series.notna()).to_numpy())
    if len(wrong):
        raise DataError.rows(
            table,
            column,
            "is no ISO 8601 date or time",
            count=len(wrong),
            first=[f"{series.iloc[i]!r} (row {rows[i]})" for i in wrong[:5].tolist()],
            remedy="Write times as 2024-01-31T09:30:00Z (or without a zone), or convert them before.",
        )
    return pa.chunked_array([pa.Array.from_pandas(parsed)])
