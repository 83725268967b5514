"""Tables that features are made of, read so that each row says when it happened and since when it was known."""

# Arrow makes its compute functions when it is imported, where pyright does not see them.
# pyright: reportAttributeAccessIssue=false

from pathlib import Path
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from hanjax.data.ids import distinct, is_text, no_nulls
from hanjax.data.times import MISSING, read_times
from hanjax.errors import DataError

TIME, KNOWN = "hanjax_time", "hanjax_known"
"""Columns beside those of the user: when a row happened and since when it was known, microseconds since 1970, UTC."""
SINCE = "hanjax_since"
"""Since when an individual belonged to an account, likewise."""
IDS = ("account_id", "individual_id")
_OWN = ("days_before", "hanjax_")


class Source(NamedTuple):
    """A table that features are made of, and what dates its rows.

    Args:
        data: a DataFrame of pandas, polars or pyarrow; or a Parquet file's path, or a pattern of several, such as
            ``usage/*.parquet``. It has a column ``account_id`` or ``individual_id``, or both.
        date: the column that says when a row happened. Times without a zone are in the mart's.
        known_at: the column that says when a row became known, where that was later; a row is used only by cut-offs
            after it. Where it is empty, the row was known at its date.

    Example:
        >>> import pandas as pd
        >>> from hanjax.features import Source
        >>> Source(pd.DataFrame({"account_id": [7], "day": ["2024-03-01"], "amount": [50.0]}), "day").date
        'day'
    """

    data: Any
    date: str
    known_at: str | None = None


def read_source(name: str, source: Source, timezone: str) -> pa.Table:
    """The rows of a source, each with its times.

    Args:
        name: of the source.
        source: where they are.
        timezone: of times without one.

    Returns:
        The user's columns, NaN made null and ids int64 or large strings; and ``TIME`` and ``KNOWN``.

    Raises:
        DataError: if a column is missing, an id or a date is missing or of another kind, or there is no such file.
    """
    table = plain(name, as_arrow(name, source.data))
    if not set(IDS) & set(table.column_names):
        raise DataError(f"{name}: there is neither account_id nor individual_id; it has {table.column_names}.")
    happened = _times(name, table, source.date, timezone, required=True)
    known = happened
    if source.known_at is not None:
        # Known in advance, a row still counts from its date on; MISSING is smaller than every date.
        known = np.maximum(happened, _times(name, table, source.known_at, timezone, required=False))
    return table.append_column(TIME, pa.array(happened)).append_column(KNOWN, pa.array(known))


def read_individuals(data: Any, timezone: str) -> pa.Table:
    """Who belongs to which account since when, of a table ``individuals`` as in ``Tables``.

    Args:
        data: ``individual_id, account_id``; optional ``arrived_at`` and ``known_at``. An individual with neither has
            always belonged to the account.
        timezone: of times without one.

    Returns:
        ``individual_id``, ``account_id``, ``SINCE``.

    Raises:
        DataError: if a column is missing, an id is missing or of another kind, or an individual comes to two accounts
            at once.
    """
    table = plain("individuals", as_arrow("individuals", data))
    since = np.full(len(table), MISSING)
    for column in ("arrived_at", "known_at"):
        if column in table.column_names:
            since = np.maximum(since, _times("individuals", table, column, timezone, required=False))
    for column in IDS:
        _require("individuals", table, column)
    roster = table.select(["individual_id", "account_id"]).append_column(SINCE, pa.array(since))
    roster = roster.group_by(["individual_id", "account_id", SINCE]).aggregate([])
    times = roster.group_by(["individual_id", SINCE]).aggregate([("account_id", "count")])
    double = distinct(times.filter(pc.greater(times["account_id_count"], 1))["individual_id"])
    if len(double):
        raise DataError.rows(
            "individuals",
            "account_id",
            "is another one for the same individual and date",
            count=len(double),
            first=double.slice(0, 5).to_pylist(),
            remedy="Give each individual one account at a time.",
        )
    return roster


def same_ids(tables: dict[str, pa.Table]) -> None:
    """Raises a DataError if ids are integers in one table and strings in another."""
    for column in IDS:
        having = {name: table for name, table in tables.items() if column in table.column_names}
        kinds = {name: str(table.schema.field(column).type) for name, table in having.items()}
        if len(set(kinds.values())) > 1:
            shown = ", ".join(f"{kind} in {name}" for name, kind in kinds.items())
            raise DataError(f"{column}: is {shown}. Use integers in every table, or strings in every table.")


def as_arrow(name: str, data: Any) -> pa.Table:
    """A DataFrame, or the Parquet files of a path, as an Arrow table."""
    if isinstance(data, str | Path):
        import duckdb

        try:
            with duckdb.connect() as connection:
                return connection.read_parquet(str(data)).to_arrow_table()
        except duckdb.Error as problem:
            raise DataError(f"{name}: {data} cannot be read as Parquet ({first_line(problem)}).") from None
    try:
        return nw.from_native(data, eager_only=True).to_arrow()
    except TypeError:
        kind = f"{type(data).__module__}.{type(data).__name__}"
        raise DataError(f"{name}: expected a DataFrame of pandas, polars or pyarrow, or a path, got {kind}.") from None
    except pa.ArrowException as problem:
        raise DataError(f"{name}: a column mixes kinds of values ({problem}). Convert it to one kind.") from None


def plain(name: str, table: pa.Table) -> pa.Table:
    """Ids of one kind, NaN made null, and no column that is named like one of the mart's own."""
    for column in table.column_names:
        if column.lower().startswith(_OWN):
            raise DataError(f"{name}: a column is named {column!r}, which is a name of the mart's own. Rename it.")
    folded = [column.lower() for column in table.column_names]
    double = sorted({column for column in folded if folded.count(column) > 1})
    if double:
        raise DataError(f"{name}: two columns are named {double[0]!r}, in whatever case, as SQL sees them. Rename one.")
    for place, column in enumerate(table.column_names):
        values = table[column]
        if pa.types.is_dictionary(values.type):  # whose order of levels may be that of the rows
            values = values.cast(values.type.value_type)
        if column in IDS:
            values = _ids(name, column, values)
        elif pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        table = table.set_column(place, column, values)
    return table


def _ids(name: str, column: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    no_nulls(name, column, values)
    kind = values.type
    if not (pa.types.is_integer(kind) or is_text(kind)):
        raise DataError(
            f"{name}.{column}: is {kind}, but ids are integers or strings. Convert it in every table alike."
        )
    return values.cast(pa.int64() if pa.types.is_integer(kind) else pa.large_string())


def _times(name: str, table: pa.Table, column: str, timezone: str, *, required: bool) -> Int[np.ndarray, " n"]:
    _require(name, table, column)
    if required:
        no_nulls(name, column, table[column])
    return read_times(name, column, table[column], timezone).values


def _require(name: str, table: pa.Table, column: str) -> None:
    if column not in table.column_names:
        raise DataError(f"{name}: the column {column!r} is missing; the table has {table.column_names}.")


def first_line(problem: Exception) -> str:
    """What DuckDB says is wrong, without the picture of where."""
    return str(problem).split("\n")[0]
