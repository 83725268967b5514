"""Nothing at or after a cut-off changes the value of a feature: the future of its sources is altered, and compared."""

# Arrow makes its compute functions when it is imported, where pyright does not see them.
# pyright: reportAttributeAccessIssue=false

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hanjax.checks.verdict import Verdict
from hanjax.checks.worlds import HOWS, How
from hanjax.data.dates import parse_date
from hanjax.data.ids import is_text
from hanjax.data.times import MISSING, read_times
from hanjax.errors import ConfigError, DataError
from hanjax.features import Feature, Mart, Source
from hanjax.features.source import IDS, KNOWN, SINCE, TIME
from hanjax.settings import check_names

_DONE = {"delete": "deleted", "change": "changed", "add": "added to"}
_KEYS = ["account_id", "cutoff"]
_REACH = 70 * 86_400_000_000
"""How far an altered future goes."""


def check_mart(mart: Mart, cutoffs: Iterable[Any], *, planned: Iterable[str] = (), seed: int = 0) -> Verdict:
    """Alters what comes after some cut-offs in the sources of a mart, and looks whether any feature tells of it.

    For each cut-off c, sources S, and sources S' that agree with S on all that was known before c, each feature f has
    f_S(account, c) = f_S'(account, c) bit for bit. What comes at or after c is deleted, changed and added to, also rows
    that happened before and became known then, and arrivals of individuals. What that cannot show is looked for, too:

    * another date of a row that lies at or after the cut-off, such as the day on which it was loaded, though the row
      is used before: without such rows no value may change, unless the column is named in ``planned``;
    * functions that use data other than their rows, or look something up by the ids of accounts;
    * values that are not the same when they are computed again.

    Args:
        mart: the features that it computes are checked; nothing is stored.
        cutoffs: dates, as ``Mart.compute`` takes them.
        planned: columns, as ``"source.column"``, of dates that are known ahead, such as the end of a contract.
        seed: of what is drawn for the other futures.

    Returns:
        The verdict, which names the features that tell of the future.

    Raises:
        ConfigError: if there is no cut-off, or a planned column is not there.

    Example:
        >>> import pandas as pd
        >>> from hanjax.checks import check_mart
        >>> from hanjax.features import Feature, Mart, Source
        >>> table = pd.DataFrame({"account_id": 7, "day": ["2024-02-01", "2024-02-20"], "amount": [1.0, 2.0]})
        >>> booked = Feature(name="booked", aspect="booking", source="bookings", expression="sum(amount)")
        >>> check_mart(Mart([booked], {"bookings": Source(table, "day")}), ["2024-02-10"]).passed
        True
        >>> table["loaded"] = ["2024-02-02", "2024-03-30"]
        >>> print(check_mart(Mart([booked], {"bookings": Source(table, "day")}), ["2024-03-01"]).problems[0][:75])
        booked tells of the future: it uses rows of bookings that loaded dates at o

    Source: Kaufman et al. 2012, Leakage in Data Mining: Formulation, Detection, and Avoidance.
    """
    dates = _dates(mart)
    check_names(planned, {f"{name}.{column}" for name, column in dates}, "the sources' columns of dates")
    scratch = mart.with_data(mart.tables, mart.roster)
    whole = scratch.compute(cutoffs)
    if whole.empty:
        raise ConfigError("cutoffs: there is none before which anything was known. Choose later ones.")
    told: dict[str, str] = {}  # the first thing that was found of each feature
    for name, row, value, other in _differing(whole, scratch.compute(cutoffs)):
        told[name] = (
            f"{name} is not the same when it is computed again: for {_who(row)} it is {value:g}, then {other:g}."
        )
    random, worlds = np.random.default_rng(seed), 0
    for cutoff, rows in whole.groupby("cutoff"):
        since = parse_date(cutoff, mart.zone.timezone, name="cutoffs")
        for how in HOWS:
            tables = {name: _altered(table, since, how, random) for name, table in mart.tables.items()}
            roster = None if mart.roster is None else _moved(mart.roster, since, how, random)
            after, worlds = mart.with_data(tables, roster).compute([cutoff]), worlds + 1
            what = f"with all that comes from then on {_DONE[how]}"
            if after["account_id"].tolist() != rows["account_id"].tolist():
                told.setdefault("", f"Other accounts are known at {cutoff:%Y-%m-%d} {what}.")
                continue
            for name, row, value, other in _differing(rows, after):
                text = f"{name} tells of the future: {what}, for {_who(row)} it is {other:g} instead of {value:g}."
                told.setdefault(name, text)
        for (source, column), times in dates.items():
            late = (times >= since) & (mart.tables[source][KNOWN].to_numpy() < since)
            if not late.any() or f"{source}.{column}" in planned:
                continue
            tables = mart.tables | {source: mart.tables[source].filter(pa.array(~late))}
            after, worlds = mart.with_data(tables, mart.roster).compute(rows[_KEYS]), worlds + 1
            for name, row, value, other in _differing(rows, after):
                told.setdefault(
                    name,
                    f"{name} tells of the future: it uses rows of {source} that {column} dates at or after the "
                    f"cut-off. Without them, for {_who(row)} it is {other:g} instead of {value:g}. If they were not "
                    f"known before that date, give the source known_at={column!r}; if it is known ahead, name it in "
                    "planned.",
                )
    for name, text in (*_reaching_out(mart), *_looking_up(mart, whole)):
        told.setdefault(name, text)
    span = " to ".join(dict.fromkeys(f"{one:%Y-%m-%d}" for one in (whole["cutoff"].min(), whole["cutoff"].max())))
    checked = (
        f"{whole['cutoff'].nunique()} cut-offs ({span}), {worlds} other futures of {len(mart.tables)} sources; "
        f"{len(mart.features)} features of {len(whole):,} accounts and cut-offs compared bit for bit"
    )
    return Verdict("check_mart", not told, checked, tuple(told.values()), _notes(mart))


def _who(row: pd.Series) -> str:
    return f"account {row['account_id']!r} at {row['cutoff']:%Y-%m-%d}"


def _differing(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, pd.Series, float, float]]:
    """The features of which a value differs, the first row where it does, and both values."""
    for name in before.columns.difference(_KEYS, sort=False):
        own, other = before[name].to_numpy(float), after[name].to_numpy(float)
        rows = np.flatnonzero(~((own == other) | (np.isnan(own) & np.isnan(other))))
        if len(rows):
            yield str(name).removesuffix("__missing"), before.iloc[rows[0]], own[rows[0]], other[rows[0]]


def _altered(table: pa.Table, since: int, how: How, random: np.random.Generator) -> pa.Table:
    """A source with another future: of what was not known before, less, more, or other values at other times."""
    known = table[KNOWN].to_numpy()
    past, future = table.filter(pa.array(known < since)), table.filter(pa.array(known >= since))
    if how == "delete" or not len(table):
        return past
    if how == "add":
        # Of old rows, some happen from the cut-off on, many of them exactly then, and some become known only then.
        more = table.take(random.integers(0, len(table), len(table)))
        late = random.random(len(more)) < 0.5
        happened = np.where(late, np.minimum(more[TIME].to_numpy(), since), _later(since, len(more), random))
        return pa.concat_tables([table, _with_others(more, table, happened, np.maximum(happened, since), random)])
    times = _later(since, len(future), random)
    return pa.concat_tables([past, _with_others(future, table, times, times, random)])


def _with_others(
    rows: pa.Table, table: pa.Table, happened: np.ndarray, known: np.ndarray, random: np.random.Generator
) -> pa.Table:
    """Rows of the same ids with other times, and with values of other rows, numbers far from them."""
    others = table.take(random.integers(0, len(table), len(rows)))
    for place, name in enumerate(rows.column_names):
        column = others[name]
        if name in IDS:
            column = rows[name]
        elif name in (TIME, KNOWN):
            column = pa.chunked_array([happened if name == TIME else known])
        elif pa.types.is_floating(column.type):
            column = pc.add(pc.multiply(column, 7), 1e6).cast(column.type)
        rows = rows.set_column(place, rows.schema.field(name), column)
    return rows


def _later(since: int, n: int, random: np.random.Generator) -> np.ndarray:
    return since + random.integers(0, _REACH, n) * (random.random(n) < 0.7)


def _moved(roster: pa.Table, since: int, how: How, random: np.random.Generator) -> pa.Table:
    """Who belongs to which account, arrivals from the cut-off on deleted, sent elsewhere, or more of them."""
    coming = roster[SINCE].to_numpy() >= since
    past = roster.filter(pa.array(~coming))
    if how == "delete":
        return past
    moving = roster.filter(pa.array(coming))
    if how == "add":  # everybody moves
        moving = past.group_by("individual_id").aggregate([("account_id", "max")]).rename_columns(IDS[::-1])
        moving = moving.append_column(SINCE, pa.array(np.full(len(moving), since)))
    accounts = roster["account_id"].take(random.integers(0, len(roster), len(moving)))
    return pa.concat_tables([past, moving.select(roster.column_names).set_column(1, "account_id", accounts)])


def _dates(mart: Mart) -> dict[tuple[str, str], np.ndarray]:
    """Columns of dates that are not those by which the mart goes, as microseconds since 1970; empty ones are early."""
    found = {}
    for name, table in mart.tables.items():
        source: Source = mart.sources[name]
        for column in table.column_names:
            kind = table.schema.field(column).type
            if column in (source.date, source.known_at, *IDS):
                continue
            if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_text(kind):
                try:
                    times = read_times(name, column, table[column], mart.zone.timezone).values
                except DataError:  # a text that is no date
                    continue
                if (times != MISSING).any():
                    found[name, column] = times
    return found


def _reaching_out(mart: Mart) -> Iterator[tuple[str, str]]:
    """Functions that use data from outside: what is said of each."""
    for feature in mart.features:
        if feature.function is not None:
            around = inspect.getclosurevars(feature.function)
            defaults = {f"a default of {name}": value for name, value in _defaults(feature)}
            names = [
                name for name, value in {**around.globals, **around.nonlocals, **defaults}.items() if _is_data(value)
            ]
            if names:
                yield (
                    feature.name,
                    f"{feature.name} can tell of the future: its function uses data other than its rows "
                    f"({', '.join(sorted(names))}). Make them a source, or plain numbers.",
                )


def _defaults(feature: Feature) -> Iterator[tuple[str, Any]]:
    for name, parameter in inspect.signature(feature.function).parameters.items():  # pyright: ignore
        yield name, parameter.default


def _is_data(value: Any) -> bool:
    """Whether a value is a table, an array or a mart, or holds one."""
    if isinstance(value, dict | list | tuple | set) and not isinstance(value, Source):
        return any(_is_data(one) for one in (value.values() if isinstance(value, dict) else value))
    protocols = ("__array__", "__arrow_c_stream__", "__dataframe__")
    return isinstance(value, Mart | Source) or (
        not isinstance(value, type) and not np.isscalar(value) and any(hasattr(value, name) for name in protocols)
    )


def _looking_up(mart: Mart, whole: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Functions whose values depend on what accounts and individuals are called: what is said of each."""
    functions = {feature.name for feature in mart.features if feature.function is not None}
    if not functions:
        return
    tables = {name: _renamed(table) for name, table in mart.tables.items()}
    other = mart.with_data(tables, None if mart.roster is None else _renamed(mart.roster))
    asked = _renamed(pa.table({name: pa.Array.from_pandas(whole[name]) for name in _KEYS}))
    remedy = "It seems to look something up by them."
    try:
        after = other.compute(asked)
    except DataError as problem:
        yield "", f"With other ids of accounts and individuals, {problem} {remedy}"
        return
    for name, row, value, new in _differing(whole, after):
        if name in functions:
            text = f"{name} depends on the ids of accounts or individuals: for {_who(row)} it is {new:g} with other ids"
            yield name, f"{text} instead of {value:g}. {remedy}"


def _renamed(table: pa.Table) -> pa.Table:
    """A table in which all ids are others, in the same order."""
    for column in set(IDS) & set(table.column_names):
        ids = table[column]
        if pa.types.is_integer(ids.type):
            ids = pc.add(ids, 1_000_003)
        else:
            prefix, nothing = pa.scalar("other ", ids.type), pa.scalar("", ids.type)
            ids = pc.binary_join_element_wise(prefix, ids, nothing)
        table = table.set_column(table.column_names.index(column), column, ids)
    return table


def _notes(mart: Mart) -> tuple[str, ...]:
    """What no alteration can show."""
    notes = []
    undated = [name for name, source in mart.sources.items() if source.known_at is None]
    if undated:
        notes.append(f"Taken as known at their date, for want of known_at: the rows of {', '.join(undated)}.")
    if mart.roster is not None and (mart.roster[SINCE].to_numpy() == MISSING).any():
        notes.append("Individuals without arrived_at count as members at all times, which cannot be checked.")
    return tuple(notes)
