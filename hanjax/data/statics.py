"""What is said of accounts and individuals: static categories, numbers and segments, and dated numbers."""

import math
from collections.abc import Set

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int

from hanjax.data.frames import COLUMNS
from hanjax.data.ids import is_text, no_nulls
from hanjax.data.rosters import Accounts, Individuals
from hanjax.data.strays import Strays
from hanjax.data.times import read_times
from hanjax.errors import DataError

MOST_LEVELS = 50
"""A category with more levels than this is taken for a mistake."""


def read_categories(
    people: Individuals, code: Int[np.ndarray, " n"], exclude: tuple[str, ...], *, part: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Static categories as strings, one row for each kept row of the table, and the names of the columns.

    Args:
        people: the individuals.
        code: each one's final code; -1 where left out.
        exclude: columns that are no categories.
        part: whether these are some individuals of more, in whom a level seldom recurs.

    Raises:
        DataError: if a column has too many levels to be a category.
    """
    rows = np.flatnonzero(code[people.row_individual] >= 0)
    who, known = code[people.row_individual[rows]], people.row_known[rows]
    order = np.lexsort((known, who))
    names = [name for name in people.table.column_names if name not in (*COLUMNS["individuals"], *exclude)]
    columns: dict[str, np.ndarray | pd.Series] = {"individual": who[order], "known_at": known[order]}
    for name in names:
        texts = _category(name, people.table[name], None if part else len(people.ids))[rows[order]]
        columns[name] = pd.Series(texts, dtype=object)  # or pandas would make NaN of None
    return pd.DataFrame(columns), names


def _category(name: str, data: pa.ChunkedArray, n: int | None) -> np.ndarray:
    """One category as an object array of strings and None."""
    kind = plain(data.type)
    if pa.types.is_nested(kind):
        raise _unfit("individuals", name, f"is {kind}, not a category", data)
    encoded = data.cast(kind).combine_chunks().dictionary_encode()
    levels = [_as_text(value) for value in encoded.dictionary.to_pylist()]
    check_levels(name, {level for level in levels if level is not None}, n, rows=len(data))
    lookup = np.array([*levels, None], object)
    return lookup[encoded.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)]


def check_levels(name: str, levels: Set[str], n: int | None, *, rows: int) -> None:
    """Raises if a column of individuals has too many levels to be a category.

    Args:
        name: the column.
        levels: its levels.
        n: how many individuals there are; None if there are others, of whom as little as this is known.
        rows: of the column.
    """
    if len(levels) > MOST_LEVELS or (n is not None and n > 20 and len(levels) > n / 2):
        of = "individuals" if n is None else f"{n:,} individuals"
        raise DataError.rows(
            "individuals",
            name,
            f"has {len(levels):,} levels, too many for a category of {of} (at most {MOST_LEVELS})",
            count=rows,
            first=sorted(levels)[:5],
            remedy=f"Leave it out with the setting exclude: ({name!r},), or group its levels.",
        )


def _as_text(value: object) -> str | None:
    """A level as a string: whole floats as integers, booleans as true or false, missing and empty as None."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def read_numbers(
    table: pa.Table, accounts: Accounts, code: Int[np.ndarray, " a"], exclude: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Static numbers of accounts, one row for each kept row of the table, and segments, one row an account.

    Beside these are the segments of each kept row, where an account has several, as known from then on.

    Args:
        table: the table accounts.
        accounts: the accounts.
        code: each one's final code; -1 where left out.
        exclude: columns that are neither.

    Raises:
        DataError: if a number is infinite, or a column is neither numbers nor text.
    """
    rows = np.flatnonzero(code[accounts.row_account] >= 0)
    who, known = code[accounts.row_account[rows]], accounts.row_known[rows]
    order = np.lexsort((known, who))
    rows, who = rows[order], who[order]
    numbers: dict[str, np.ndarray] = {"account": who, "known_at": known[order]}
    segments: dict[str, np.ndarray] = {}
    said: dict[str, np.ndarray] = {"account": who, "known_at": known[order]}
    reserved = [name for name in COLUMNS["accounts"] if name != "name"]
    for name in table.column_names:
        if name in reserved or name in exclude:
            continue
        data = table[name]
        if name == "name" or is_text(plain(data.type)):
            said[name] = texts_of(data)[rows]
            segments[name] = _last(said[name], who, int((code >= 0).sum()))
        else:
            numbers[name] = numbers_of("accounts", name, data)[rows]
    index = pd.RangeIndex(int((code >= 0).sum()))
    segments_now = pd.DataFrame(segments, index=index, dtype=object)
    if len(who) == len(index) or not segments:
        return pd.DataFrame(numbers), segments_now, None
    versions = pd.DataFrame(said)
    of_texts = versions.columns[2:]
    # What a later row is silent about stays as it was.
    filled = versions.groupby("account")[list(of_texts)].ffill()
    return pd.DataFrame(numbers), segments_now, versions.assign(**{name: filled[name] for name in of_texts})


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values, or the type itself."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def texts_of(data: pa.ChunkedArray) -> np.ndarray:
    """A column as an object array of strings and None."""
    return np.array([_as_text(value) for value in data.to_pylist()], object)


def _last(values: np.ndarray, who: Int[np.ndarray, " r"], n: int) -> np.ndarray:
    """Each account's last value that is not None."""
    given = np.flatnonzero(values != np.array(None))
    last = np.full(n, None, object)
    last[who[given]] = values[given]
    return last


def numbers_of(table: str, name: str, data: pa.ChunkedArray) -> np.ndarray:
    """One column of numbers as floats, NaN where missing."""
    kind = plain(data.type)
    if not (pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)
            or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):  # fmt: skip
        raise _unfit(table, name, f"is {kind}, not a number", data)
    data = data.cast(kind)
    data = data.cast(pa.int8()) if pa.types.is_boolean(kind) else data
    values = data.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    rows = np.flatnonzero(np.isinf(values))
    if len(rows):
        raise DataError.rows(
            table,
            name,
            "is infinite",
            count=len(rows),
            first=[f"{values[row]} (row {row})" for row in rows[:5].tolist()],
            remedy="Leave the value empty where it is not known.",
        )
    return values


def _unfit(table: str, name: str, problem: str, data: pa.ChunkedArray) -> DataError:
    """The error of a column that can be no feature."""
    remedy = f"Convert it to numbers or text, or leave it out with the setting exclude: ({name!r},)."
    return DataError.rows(table, name, problem, count=len(data), first=data.slice(0, 5).to_pylist(), remedy=remedy)


def read_features(
    table: pa.Table | None,
    accounts: Accounts,
    code: Int[np.ndarray, " a"],
    strays: Strays,
    exclude: tuple[str, ...],
    timezone: str,
) -> pd.DataFrame | None:
    """Numbers of accounts that change over time, sorted by account and ``known_at``.

    Raises:
        DataError: if a date is missing or doubled, or a value is no number.
    """
    if table is None:
        return None
    name = "account_features"
    no_nulls(name, "known_at", table["known_at"])
    who = accounts_of(name, table, accounts, code, strays)
    known = read_times(name, "known_at", table["known_at"], timezone).values
    order = np.lexsort((known, who))
    order = order[who[order] >= 0]
    same = (np.diff(who[order]) == 0) & (np.diff(known[order]) == 0)
    double = np.sort(order[1:][same])
    if len(double):
        raise DataError.rows(
            name,
            "account_id, known_at",
            "stands more than once",
            count=len(double),
            first=[f"account {table['account_id'][row].as_py()!r} (row {row})" for row in double[:5].tolist()],
            remedy="Keep one row of each account and date.",
        )
    columns = {"account": who[order], "known_at": known[order]}
    for column in table.column_names:
        if column not in (*COLUMNS[name], *exclude):
            columns[column] = numbers_of(name, column, table[column])[order]
    return pd.DataFrame(columns)


def accounts_of(
    name: str, table: pa.Table, accounts: Accounts, code: Int[np.ndarray, " a"], strays: Strays
) -> Int[np.ndarray, " n"]:
    """The final code of each row's account, -1 where there is none, which is counted by its reason.

    Args:
        name: of the table.
        table: with a column ``account_id``.
        accounts: the accounts.
        code: each one's final code; -1 where left out.
        strays: what becomes of rows that belong nowhere.
    """
    found = accounts.lookup(table["account_id"])
    unknown = np.flatnonzero(found < 0)
    strays.unknown(name, "account_id", table["account_id"], unknown, "accounts")
    who = np.append(code, np.int32(-1))[found]
    gone = np.flatnonzero((who < 0) & (found >= 0))
    strays.add(
        name,
        "account_id",
        "is an account that was left out",
        count=len(gone),
        first=[table["account_id"][row].as_py() for row in gone[:5].tolist()],
        remedy="Remove these rows.",
    )
    return who


def read_folds(table: pa.Table | None, accounts: Accounts, code: Int[np.ndarray, " a"]) -> np.ndarray | None:
    """Each kept account's fold.

    Raises:
        DataError: if an account has no fold or two, is unknown, or a fold is no integer.
    """
    if table is None:
        return None
    no_nulls("folds", "fold", table["fold"])
    found = accounts.lookup(table["account_id"])
    if not pa.types.is_integer(table["fold"].type):
        raise _fold("fold", f"is {table['fold'].type}", table["fold"].to_pylist(), "Number the folds 0, 1, 2.")
    unknown = table["account_id"].filter(pa.array(found < 0)).to_pylist()
    if unknown:
        raise _fold("account_id", "is not in the table accounts", unknown, "Remove these rows, or add the accounts.")
    times = np.bincount(found, minlength=len(accounts.ids))
    for number, problem in ((0, "has no fold for some accounts"), (2, "stands more than once")):
        wrong = np.flatnonzero(times == 0 if number == 0 else times > 1)
        if len(wrong):
            raise _fold("account_id", problem, accounts.ids.take(wrong).to_pylist(), "Give each account one fold.")
    fold = np.empty(len(accounts.ids), np.int64)
    fold[found] = table["fold"].to_numpy()
    return fold[code >= 0]


def _fold(column: str, problem: str, offenders: list, remedy: str) -> DataError:
    """An error about the folds."""
    return DataError.rows("folds", column, problem, count=len(offenders), first=offenders, remedy=remedy)
