"""A table of opportunities, whatever library or file it comes from, checked and with standard names and kinds."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from hanjax.data.dates import parse_date
from hanjax.data.frames import mixed_zones
from hanjax.data.ids import no_nulls
from hanjax.data.times import read_times
from hanjax.errors import DataError
from hanjax.labels.rules import COLUMNS, KINDS, Rule, UpsellPropensity

TABLE = "opportunities"
SEPARATOR = ","
"""What stands between the ids of a label's opportunities."""
WON, DISENGAGED, OPEN = "won", "disengaged", "open"
AFTER_THE_END = "created after the end of observation"
_TIMES = ("created_at", "closed_at", "contract_start", "contract_end")
_INTEGER = r"-?[1-9]\d{0,17}|0"
_DROP = 'Or set strays="drop" in the rule to leave such rows out.'


class Opportunities(NamedTuple):
    """Opportunities that were checked, as they stood at the end of observation.

    Args:
        table: ``opportunity_id`` (text), ``account_id``, the unit's columns and segments (text), ``created_at``,
            ``closed_at`` (empty while open), ``stage``, ``status`` (won, disengaged or open), and as far as they are
            there ``kind``, ``amount``, ``contract_start`` and ``contract_end``.
        left_out: the same columns of rows that cannot be used, and the ``reason``.
        observed_to: the last moment of which something is known.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame
    observed_to: pd.Timestamp


def check_opportunities(given: Any, rule: Rule, observed_to: Any = None) -> Opportunities:
    """Reads and checks opportunities.

    Args:
        given: a DataFrame of pandas, polars or pyarrow, or the path of a file .parquet, .csv or .csv.gz.
        rule: names of columns, stages and kinds, the time zone, and what to do about rows that cannot be.
        observed_to: a date or time; what was created after it is left out, and what was closed after it is taken as
            still open. A date is its first moment. None for the latest time at which one was created or closed.

    Returns:
        The opportunities.

    Raises:
        DataError: if a column is missing or of the wrong kind, an id is missing or doubled, or, unless strays are
            dropped, a row cannot be.
        ConfigError: if ``observed_to`` is no date.

    Example:
        >>> import pandas as pd
        >>> from hanjax.labels import AccountPropensity
        >>> table = pd.DataFrame({"opportunity_id": [1], "account_id": [7], "created_at": ["2024-01-05"],
        ...                       "closed_at": ["2024-02-01"], "stage": ["closed won"]})
        >>> check_opportunities(table, AccountPropensity(unit=())).table["status"].tolist()
        ['won']
    """
    data = _named(read_table(given), rule)
    if not len(data):
        raise DataError(f"{TABLE}: the table has no rows. Check the query or the file that it came from.")
    columns: dict[str, Any] = {"opportunity_id": _ids(data["opportunity_id"])}
    columns["account_id"] = _account_ids(data["account_id"], untyped=_is_csv(given))
    columns |= {name: _text(name, data[name]) for name in (*rule.unit, *rule.segments)}
    for name in _TIMES:
        if name in data:
            columns[name] = _times(name, data[name], rule.timezone)
    columns["stage"] = _text("stage", data["stage"])
    columns["status"] = columns["stage"].map(
        {**dict.fromkeys(rule.won, WON), **dict.fromkeys(rule.disengaged, DISENGAGED)}
    )
    columns["status"] = columns["status"].fillna(OPEN).astype("str")
    if "kind" in data:
        kind = _text("kind", data["kind"])
        columns["kind"] = kind.map(dict(rule.kind_names)).astype("str").fillna(kind)
    if "amount" in data:
        columns["amount"] = _amounts(data["amount"])
    table = pd.DataFrame(columns)
    reason = _strays(table, rule)
    good = table.loc[reason == ""]
    end = _end(good, rule, observed_to)
    late = table["created_at"] > end
    reason[(reason == "") & late] = AFTER_THE_END
    good = table.loc[reason == ""].reset_index(drop=True)
    if good["account_id"].dtype == "Int64":
        good["account_id"] = good["account_id"].astype("int64")
    pending = good["closed_at"] > end
    good = good.assign(closed_at=good["closed_at"].mask(pending), status=good["status"].mask(pending, OPEN))
    left_out = table.loc[reason != ""].assign(reason=reason[reason != ""]).reset_index(drop=True)
    return Opportunities(good, left_out, end)


def read_table(given: Any) -> pd.DataFrame:
    """A user's table as a pandas DataFrame; the columns of a CSV file are text.

    Args:
        given: a DataFrame of pandas, polars or pyarrow, or the path of a file .parquet, .csv or .csv.gz.

    Returns:
        The table, with numbered rows.

    Raises:
        DataError: if it is none, the file cannot be read, or two columns have one name.
    """
    if isinstance(given, str | Path):
        given = _file(Path(given))
    if not isinstance(given, pd.DataFrame):
        import narwhals as nw

        try:
            given = nw.from_native(given, eager_only=True).to_pandas()
        except TypeError as wrong:
            raise DataError(
                f"{TABLE}: expected a DataFrame of pandas, polars or pyarrow, or the path of a file, got "
                f"{type(given).__module__}.{type(given).__name__}. Collect a lazy frame first."
            ) from wrong
    doubled = given.columns[given.columns.duplicated()]
    if len(doubled):
        raise DataError(f"{TABLE}: two columns are named {doubled[0]!r}. Rename or drop one of them.")
    return given.reset_index(drop=True)


def _is_csv(given: Any) -> bool:
    return isinstance(given, str | Path) and Path(given).suffix != ".parquet"


def _file(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""])  # a product may be called NA
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (pa.ArrowException, OSError, EOFError, ValueError) as damaged:
        kind, reason = "Parquet" if path.suffix == ".parquet" else "CSV", str(damaged).splitlines()[0].rstrip(".")
        raise DataError(f"{path}: cannot be read as {kind}: {reason}. Write the file anew.") from damaged


def _named(data: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """The columns that the rule uses, under their standard names."""
    theirs = dict(rule.columns)
    needed = list(dict.fromkeys((*rule.needed, *rule.unit, *rule.segments)))
    named = {}
    for name in dict.fromkeys((*needed, *COLUMNS)):
        source = theirs.get(name, name)
        if source in data:
            named[name] = data[source]
        elif name in needed or name in theirs:
            raise DataError(
                f"{TABLE}: the column {source!r} is missing; the table has {list(data.columns)}. Name the column that "
                f"holds {name!r} in the rule's `columns`: {{{name!r}: its name}}."
            )
        if name in theirs and name in data.columns and source != name and name not in theirs.values():
            raise DataError(
                f"{TABLE}: has both {name!r} and {source!r}, which `columns` renames to it. Drop one of them."
            )
    return pd.DataFrame(named)


def _column(name: str, series: pd.Series) -> pa.ChunkedArray:
    """A column as Arrow; NaN and NaT become null."""
    if series.dtype == object:
        aware = series.dropna().map(lambda value: getattr(value, "tzinfo", None) is not None)
        if aware.nunique() > 1:
            rows = aware.index[~aware.to_numpy(bool)]
            raise mixed_zones(TABLE, name, len(rows), [f"{series[row]} (row {row})" for row in rows[:5].tolist()])
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, OverflowError) as unfit:
        kinds = sorted({type(value).__name__ for value in series.dropna()})
        raise DataError(f"{TABLE}.{name}: mixes {' and '.join(kinds)}. Make all of its values of one kind.") from unfit
    data = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return data.cast(data.type.value_type) if pa.types.is_dictionary(data.type) else data


def _text(name: str, series: pd.Series) -> pd.Series:
    """A column of strings or whole numbers as text; an empty string is missing."""
    data = _column(name, series)
    if pa.types.is_floating(data.type):
        data = _whole(name, data)
    if data.null_count == len(data):
        return pd.Series([None] * len(data), dtype="str")
    text = pd.Series(data.to_pylist(), dtype=object).map(str, na_action="ignore").astype("str")
    return text.mask(text == "")


def _whole(name: str, data: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers that were stored as floats, as pandas does where some are missing."""
    values = data.to_pandas()
    wrong = values.notna() & (values % 1 != 0)
    if wrong.any():
        raise DataError.rows(
            TABLE, name, "is neither text nor a whole number", count=int(wrong.sum()),
            first=[f"{values[row]} (row {row})" for row in values.index[wrong][:5].tolist()],
            remedy="Write it as text.",
        )  # fmt: skip
    return data.cast(pa.int64())


def _ids(series: pd.Series) -> pd.Series:
    """Ids of opportunities as text: there, and each once."""
    text = _text("opportunity_id", series)
    no_nulls(TABLE, "opportunity_id", pa.chunked_array([pa.Array.from_pandas(text)]))
    for wrong, problem, remedy in (
        (text.duplicated(), "stands more than once", "Keep one row of each opportunity, the latest."),
        (text.str.contains(SEPARATOR, regex=False), "has a comma", "Labels list ids between commas: use another sign."),
    ):
        if wrong.any():
            first = [f"{text[row]!r} (row {row})" for row in text.index[wrong.to_numpy(bool)][:5].tolist()]
            raise DataError.rows(TABLE, "opportunity_id", problem, count=int(wrong.sum()), first=first, remedy=remedy)
    return text


def _account_ids(series: pd.Series, *, untyped: bool) -> pd.Series:
    """Ids of accounts as in the other tables: whole numbers, in CSV also if written so throughout, or else text."""
    data = _column("account_id", series)
    if pa.types.is_floating(data.type):
        data = _whole("account_id", data)
    if pa.types.is_integer(data.type):
        return pd.Series(data.to_pylist(), dtype="Int64")
    ids = _text("account_id", series)
    return ids.astype("Int64") if untyped and ids.dropna().str.fullmatch(_INTEGER).all() else ids


def _times(name: str, series: pd.Series, timezone: str) -> pd.Series:
    """A column of times, in the zone of the rule; what marks a missing one is NumPy's NaT."""
    values = read_times(TABLE, name, _column(name, series), timezone).values.view("M8[us]")
    return pd.Series(values).dt.tz_localize("UTC").dt.tz_convert(timezone)


def _amounts(series: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(series, errors="coerce").astype(float)
    wrong = (numbers.isna() & series.notna() & (series.astype("str") != "")) | np.isinf(numbers)
    if wrong.any():
        raise DataError.rows(
            TABLE, "amount", "is no number", count=int(wrong.sum()),
            first=[f"{series[row]!r} (row {row})" for row in series.index[wrong.to_numpy(bool)][:5].tolist()],
            remedy="Write plain numbers of one currency, such as 1250.50.",
        )  # fmt: skip
    return numbers


def _strays(table: pd.DataFrame, rule: Rule) -> pd.Series:
    """Why each row cannot be used; empty where it can."""
    reason = pd.Series("", index=table.index)
    closed = table["status"] != OPEN

    def refuse(wrong: pd.Series, column: str, problem: str, remedy: str, *shown: str) -> None:
        """Leaves rows out, or raises."""
        if not wrong.any():
            return
        if rule.strays == "error":
            rows = table.index[wrong][:5]
            values = [", ".join(f"{name} {_shown(table.at[row, name])}" for name in shown) for row in rows]
            ids = [repr(table.at[row, "opportunity_id"]) for row in rows]
            first = [
                f"{id} (row {row}{': ' * bool(value)}{value})" for id, row, value in zip(ids, rows, values, strict=True)
            ]
            raise DataError.rows(
                TABLE, column, problem, count=int(wrong.sum()), first=first, remedy=f"{remedy} {_DROP}"
            )
        reason[(reason == "") & wrong] = f"{column}: {problem}"

    for column in ("account_id", *rule.unit, "created_at", "stage"):
        refuse(table[column].isna(), column, "is missing", "Fill it in.")
    early, at = table["closed_at"] < table["created_at"], ("created_at", "closed_at")
    refuse(early, "closed_at", "is before created_at", "Correct one of the dates.", *at)
    if rule.open:
        unknown = ~closed & ~table["stage"].isin(rule.open) & table["stage"].notna()
        refuse(unknown, "stage", "is not named in the rule", "Add it to won, disengaged or open.", "stage")
    refuse(closed & table["closed_at"].isna(), "closed_at", "is missing in a closed stage", "Fill it in.", "stage")
    refuse(
        ~closed & table["closed_at"].notna(), "closed_at", "is given in an open stage",
        "Name the stage in won or disengaged of the rule, or empty the date.", "stage",
    )  # fmt: skip
    if "kind" in table:
        refuse(table["kind"].isna(), "kind", "is missing", "Fill it in.")
        unknown = ~table["kind"].isin(KINDS) & table["kind"].notna()
        refuse(unknown, "kind", f"is none of {', '.join(KINDS)}", "Say in kind_names which one it is.", "kind")
    for column, levels in rule.levels:
        unknown = ~table[column].isin(levels) & table[column].notna()
        refuse(unknown, column, "is none of the rule's levels", "Correct it, or add it to levels.", column)
    if isinstance(rule, UpsellPropensity):
        won = table["status"] == WON
        for column in ("amount", "contract_start", "contract_end"):
            refuse(won & table[column].isna(), column, "is missing, but it was won", "Fill it in.")
        refuse(won & (table["amount"] < 0), "amount", "is below 0", "Correct it.", "amount")
        backwards, at = table["contract_end"] < table["contract_start"], ("contract_start", "contract_end")
        refuse(backwards, "contract_end", "is before contract_start", "Correct one of the dates.", *at)
    return reason


def _shown(value: Any) -> str:
    return value.strftime("%Y-%m-%d") if isinstance(value, pd.Timestamp) else repr(value)


def _end(table: pd.DataFrame, rule: Rule, observed_to: Any) -> pd.Timestamp:
    """The end of observation."""
    if observed_to is not None:
        time = parse_date(observed_to, rule.timezone, name="observed_to")
        return pd.Timestamp(time, unit="us", tz="UTC").tz_convert(rule.timezone)
    return pd.concat([table["created_at"], table["closed_at"]]).max()
