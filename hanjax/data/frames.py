"""A user's tables, whatever library made them, as Arrow tables with the standard names of columns."""

import difflib
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from hanjax.config import PanelConfig
from hanjax.errors import DataError
from hanjax.types import Tables

COLUMNS = {
    "events": ("account_id", "individual_id", "timestamp", "activity", "count", "known_at", "order"),
    "individuals": ("individual_id", "account_id", "arrived_at", "known_at"),
    "accounts": ("account_id", "observed_from", "observed_to", "converted_at", "name", "known_at"),
    "account_features": ("account_id", "known_at"),
    "folds": ("account_id", "fold"),
    "outcomes": ("account_id", "as_of", "label", "known_at"),
}
"""Every column that has a meaning of its own, by table."""

REQUIRED = {
    "events": ("account_id", "individual_id", "timestamp", "activity"),
    "individuals": ("individual_id", "account_id"),
    "accounts": ("account_id",),
    "account_features": ("account_id", "known_at"),
    "folds": ("account_id", "fold"),
    "outcomes": ("account_id", "as_of", "label"),
}
"""The columns that a table must have."""

OPTIONAL = ("account_features", "folds", "outcomes")
"""Tables that may be None."""


class Frames(NamedTuple):
    """The tables of ``Tables`` as Arrow tables with standard names."""

    events: pa.Table
    individuals: pa.Table
    accounts: pa.Table
    account_features: pa.Table | None = None
    folds: pa.Table | None = None
    outcomes: pa.Table | None = None


def frames(tables: Tables, config: PanelConfig, *, part: bool = False) -> Frames:
    """Converts each table, renames columns by ``config.columns``, and checks that what is required is there.

    Args:
        tables: the tables.
        config: the settings.
        part: whether they hold some accounts of a larger data set, and may have no rows.

    Raises:
        DataError: if a table is missing, empty or no DataFrame, or if a column is missing, doubled or mixed.
    """
    missing = [name for name, table in tables._asdict().items() if table is None and name not in OPTIONAL]
    if missing:
        raise DataError(f"{missing[0]}: the table is missing. hanjax needs events, individuals and accounts.")
    given = {name: _arrow(name, table) for name, table in tables._asdict().items() if table is not None}
    given = _renamed(given, config.columns)
    for name, table in given.items():
        _require(name, table, part=part)
    return Frames(**given)


def _arrow(name: str, data: Any) -> pa.Table:
    """One table as an Arrow table."""
    if isinstance(data, pa.Table):
        _distinct_names(name, data.column_names)
        return data
    if isinstance(data, pd.DataFrame):
        _distinct_names(name, [str(column) for column in data.columns])
        index = [level for level in data.index.names if level in REQUIRED[name] and level not in data.columns]
        if index:
            raise DataError(f"{name}: {index[0]!r} is the index. Make a column of it with .reset_index().")
        return pa.table({str(column): _pandas_column(name, str(column), series) for column, series in data.items()})
    return _other(name, data)


def _other(name: str, data: Any) -> pa.Table:
    """A DataFrame of another library, such as polars, as an Arrow table."""
    try:
        import narwhals as nw
    except ImportError as missing:
        raise DataError(
            f"{name}: a {type(data).__module__}.{type(data).__name__} needs the package narwhals "
            "(pip install narwhals); or give a pandas DataFrame or a pyarrow Table."
        ) from missing
    try:
        return nw.from_native(data, eager_only=True).to_arrow()
    except TypeError as wrong:
        raise DataError(
            f"{name}: expected a DataFrame of pandas, polars or pyarrow, got {type(data).__module__}."
            f"{type(data).__name__}. Collect a lazy frame first; read a folder with hanjax.read(folder)."
        ) from wrong


def _pandas_column(table: str, column: str, series: pd.Series) -> pa.ChunkedArray:
    """A pandas column as Arrow; NaN and NaT become null."""
    try:
        if series.dtype == object and pd.api.types.infer_dtype(series, skipna=True) in ("datetime", "date"):
            series = _timestamps(table, column, series)
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, OverflowError) as unfit:
        raise _mixed(table, column, series) from unfit
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _mixed(table: str, column: str, series: pd.Series) -> DataError:
    """The error of a column whose values Arrow cannot hold together."""
    kinds = pd.Series([type(value).__name__ for value in series.dropna()]).value_counts()
    rare = [f"{value!r} (row {row})" for row, value in enumerate(series) if type(value).__name__ == kinds.index[-1]]
    return DataError.rows(
        table,
        column,
        f"mixes {' and '.join(sorted(kinds.index))}" if len(kinds) > 1 else f"holds values of type {kinds.index[0]}",
        count=len(rare),
        first=rare,
        remedy="Make all of its values integers, or all of them strings, for instance with .astype(str).",
    )


def _timestamps(table: str, column: str, series: pd.Series) -> pd.Series:
    """A column of Python datetimes or dates as datetime64."""
    aware = series.map(lambda value: getattr(value, "tzinfo", None) is not None) & series.notna()
    naive = series.notna() & ~aware
    if aware.any() and naive.any():
        rows = [row for row, flag in enumerate(naive) if flag][:5]
        raise mixed_zones(table, column, int(naive.sum()), [f"{series.iloc[row]} (row {row})" for row in rows])
    return pd.to_datetime(series, utc=bool(aware.any()))


def mixed_zones(table: str, column: str, count: int, first: list[str]) -> DataError:
    """The error of a column in which some times have a zone and others have none."""
    return DataError.rows(
        table,
        column,
        "has no time zone while other rows have one",
        count=count,
        first=first,
        remedy="Give every time an offset (such as Z), or none; times without one are read in the setting `timezone`.",
    )


def _distinct_names(table: str, names: list[str]) -> None:
    """Raises if two columns of a table have the same name."""
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{table}: two columns are named {doubled[0]!r}. Rename or drop one of them.")


def _renamed(given: dict[str, pa.Table], pairs: tuple[tuple[str, str], ...]) -> dict[str, pa.Table]:
    """Gives the columns named in ``pairs`` (standard, theirs) their standard names."""
    for standard, theirs in pairs:
        if not any(standard in names for names in COLUMNS.values()):
            known = sorted({name for names in COLUMNS.values() for name in names})
            raise DataError(f"columns: {standard!r} is no standard column. Standard columns are {known}.")
        homes = [table for table in given if standard in COLUMNS[table]]
        found = [table for table in homes if theirs in given[table].column_names]
        if not found:
            listed = "; ".join(f"{table} has {given[table].column_names}" for table in homes)
            raise DataError(f"columns: no table has the column {theirs!r} that {standard}={theirs} names. {listed}.")
        for table in found:
            names = given[table].column_names
            if standard in names and standard != theirs:
                raise DataError(
                    f"{table}: has both {standard!r} and {theirs!r}, which columns renames to it. Drop one of them."
                )
            given[table] = given[table].rename_columns([standard if name == theirs else name for name in names])
    return given


def _require(table: str, data: pa.Table, *, part: bool) -> None:
    """Raises if a required column is missing or the table has no rows, unless it is a part of one."""
    for column in REQUIRED[table]:
        if column not in data.column_names:
            raise DataError(_missing(table, column, data.column_names))
    if data.num_rows == 0 and not part:
        raise DataError(f"{table}: the table has no rows. Check the query or the file that it came from.")


def _missing(table: str, column: str, names: list[str]) -> str:
    """What to say of a missing column: what there is, what may be meant, and how to say so."""
    others = [name for name in names if name not in COLUMNS[table]]
    folded = {name.lower().replace(" ", "_"): name for name in others}
    close = [folded[name] for name in difflib.get_close_matches(column, folded, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    theirs = close[0] if close else "their name"
    return (
        f"{table}: the column {column!r} is missing; the table has {names}. {hint}"
        f"Another name is given with the setting columns: (({column!r}, {theirs!r}),)."
    )
