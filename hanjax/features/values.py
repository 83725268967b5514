"""Values of features as of cut-offs, by DuckDB: joins of the cut-offs with the rows known before them.

One thread, and rows in the order of their dates and values, so that sums are the same to the bit whatever the order of
a table, and whatever follows the cut-off. Only the users' own expressions are put into SQL as they are, checked to be
one expression that looks at nothing but its rows; names are quoted.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int

from hanjax.data.periods import make_calendar
from hanjax.data.times import MISSING
from hanjax.errors import DataError
from hanjax.features.expressions import connect
from hanjax.features.feature import Feature
from hanjax.features.source import IDS, KNOWN, SINCE, TIME, first_line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FROM, _UNTIL = "hanjax_from", "hanjax_until"
"""Beginning and end of a row's granule."""
_DAY = 86_400_000_000
_CHUNK = 20_000
"""Cut-offs of accounts that are joined with their rows at a time."""


class Zone(NamedTuple):
    """Where days, weeks and months begin.

    Args:
        timezone: the zone of their midnights.
        week: a pandas alias of weeks, such as W-SAT: Sunday to Saturday.
    """

    timezone: str
    week: str


def evaluate(
    features: Sequence[Feature],
    tables: dict[str, pa.Table],
    roster: pa.Table | None,
    requests: pd.DataFrame,
    zone: Zone,
) -> pd.DataFrame:
    """The value of each feature for each request, NaN where it has none; ``fill`` is not looked at.

    Args:
        features: which.
        tables: their sources by name, as ``read_source`` gives them.
        roster: who belongs to which account, as ``read_individuals`` gives it; None if no feature needs it.
        requests: ``account_id`` and ``cutoff``, microseconds since 1970, UTC; no row twice, index 0, 1, 2, ...
        zone: where days, weeks and months begin.

    Returns:
        One row a request and one column a feature.

    Raises:
        DataError: if a value is infinite, an expression fails on a row, or a function does.
    """
    columns: dict[str, np.ndarray] = {}
    with connect(zone.timezone) as connection:
        for individuals in (False, True):
            mine = [feature for feature in features if (feature.entity == "individual") == individuals]
            if not mine:
                continue
            asked = requests.rename(columns={"account_id": "id"}).assign(request=requests.index)
            if individuals:
                assert roster is not None
                asked = _members(connection, roster, requests)
            values = _values(connection, mine, tables, asked, zone)
            for feature in mine:
                found = values[feature.name]
                if individuals:
                    found = _over_members(feature, found, asked["request"], len(requests))
                columns[feature.name] = found.to_numpy()
    return pd.DataFrame({feature.name: columns[feature.name] for feature in features}, requests.index)


def _members(connection: "DuckDBPyConnection", roster: pa.Table, requests: pd.DataFrame) -> pd.DataFrame:
    """The individuals of each request's account, by where each of them was last known to be before the cut-off."""
    connection.register("roster", roster)
    connection.register(
        "accounts", pa.table({name: _array(requests[name]) for name in requests} | {"request": requests.index})
    )
    return connection.execute(
        "SELECT a.request, m.individual_id AS id, a.cutoff FROM accounts a "
        "JOIN (SELECT DISTINCT individual_id, account_id FROM roster) m ON m.account_id = a.account_id "
        f"ASOF JOIN roster l ON l.individual_id = m.individual_id AND a.cutoff > l.{SINCE} "
        "WHERE l.account_id = a.account_id ORDER BY a.request, m.individual_id"
    ).df()


def _over_members(feature: Feature, values: pd.Series, request: pd.Series, requests: int) -> pd.Series:
    """Values of accounts from those of their members; members without one are passed over."""
    groups = values.groupby(request)
    found = groups.sum(min_count=1) if feature.over_members == "sum" else groups.agg(feature.over_members)
    return found.reindex(range(requests)).astype(float)  # an account of nobody has no value, nor a count


def _values(
    connection: "DuckDBPyConnection",
    features: list[Feature],
    tables: dict[str, pa.Table],
    asked: pd.DataFrame,
    zone: Zone,
) -> pd.DataFrame:
    """The value of each feature for each of the ids and cut-offs that are asked for."""
    import duckdb

    values = pd.DataFrame(np.nan, asked.index, [feature.name for feature in features])
    order = lambda feature: (feature.source, feature.granularity, feature.look_back or "", feature.how)
    for (source, granularity, _, how), group in groupby(sorted(features, key=order), key=order):
        group = list(group)
        connection.register("source", _with_granules(tables[source], granularity, zone))
        start = _starts(asked["cutoff"].to_numpy(), group[0], zone)
        for begin in range(0, len(asked), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            rows = asked[part]
            columns = {"id": _array(rows["id"]), "cutoff": rows["cutoff"], "start": start[part], "place": rows.index}
            connection.register("asked", pa.table(columns))
            try:
                found = (_latest if how == "latest" else _windows)(connection, group)
            except duckdb.Error as problem:
                names = ", ".join(feature.name for feature in group)
                raise DataError(f"{source}: {names} cannot be computed ({first_line(problem)}).") from None
            values.loc[found.index, found.columns] = found
    _check_finite(values, asked)
    return values


def _windows(connection: "DuckDBPyConnection", features: list[Feature]) -> pd.DataFrame:
    """Aggregates, and values of functions, of the rows within the look-back of each place."""
    entity = IDS[features[0].entity == "individual"]
    rows = (
        f"SELECT a.place AS hanjax_place, s.{TIME}, s.{KNOWN}, s.* EXCLUDE ({TIME}, {KNOWN}, {_FROM}, {_UNTIL}), "
        f"(a.cutoff - s.{TIME}) / {_DAY} AS days_before FROM asked a JOIN source s ON s.{entity} = a.id "
        f"AND s.{_UNTIL} <= a.cutoff AND s.{KNOWN} < a.cutoff AND s.{_FROM} >= a.start ORDER BY ALL"
    )
    expressions = [feature for feature in features if feature.expression is not None]
    columns = ", ".join(f"CAST(({one.expression}\n) AS DOUBLE)" for one in expressions)
    found = pd.DataFrame()
    if expressions:
        query = f"SELECT hanjax_place, {columns} FROM ({rows}) GROUP BY hanjax_place"
        found = connection.execute(query).df()
        found = found.set_axis(["place", *(one.name for one in expressions)], axis=1).set_index("place")
    functions = [feature for feature in features if feature.function is not None]
    if functions:
        frame = connection.execute(rows).df().drop(columns=[TIME, KNOWN])
        groups = [(place, own.reset_index(drop=True)) for place, own in frame.groupby("hanjax_place")]
        results = {one.name: [_called(one, own.drop(columns="hanjax_place")) for _, own in groups] for one in functions}
        found = pd.concat([found, pd.DataFrame(results, [place for place, _ in groups], dtype=float)], axis=1)
    return found


def _called(feature: Feature, rows: pd.DataFrame) -> float:
    """What a user's function says of some rows."""
    assert feature.function is not None
    try:
        value = feature.function(rows)
        return math.nan if value is None or value is pd.NA else float(value)
    except Exception as problem:
        who = rows[IDS[feature.entity == "individual"]].iloc[0]
        raise DataError(
            f"{feature.name}.function: fails on {len(rows)} rows of {feature.entity} {who!r} "
            f"({type(problem).__name__}: {problem}). It has to return a number, or None where there is none."
        ) from problem


def _latest(connection: "DuckDBPyConnection", features: list[Feature]) -> pd.DataFrame:
    """The last known values: each entity's best row so far whenever one becomes available, joined as of the cut-off.

    A row counts from the first cut-off at which its granule is over and it is known; a late one may be older than what
    was known before, so that the last row to become available is not always the last one by date.
    """
    entity, columns = IDS[features[0].entity == "individual"], {}
    for feature in features:
        found = connection.execute(
            f"WITH valued AS (SELECT {entity} AS id, greatest({KNOWN}, {_UNTIL} - 1) AS available, "
            f"{TIME}, {KNOWN}, CAST(({feature.expression}\n) AS DOUBLE) AS hanjax_value, {_FROM} FROM source), "
            "known AS (SELECT * FROM valued WHERE hanjax_value IS NOT NULL AND NOT isnan(hanjax_value)), "
            f"versions AS (SELECT DISTINCT id, available, max(row({TIME}, {KNOWN}, hanjax_value, {_FROM})) "
            "OVER (PARTITION BY id ORDER BY available) AS best FROM known) "
            "SELECT a.place, v.best[3] AS value FROM asked a ASOF JOIN versions v "
            "ON v.id = a.id AND a.cutoff > v.available WHERE v.best[4] >= a.start"
        ).df()
        columns[feature.name] = found.set_index("place")["value"]
    return pd.DataFrame(columns)


def _with_granules(table: pa.Table, granularity: str, zone: Zone) -> pa.Table:
    """A source with the beginning and the end of each row's granule."""
    begin, end = _granules(table[TIME].to_numpy(), granularity, zone)
    return table.append_column(_FROM, pa.array(begin)).append_column(_UNTIL, pa.array(end))


def _granules(
    times: Int[np.ndarray, " n"], granularity: str, zone: Zone
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The beginning and the end of the day, week or month that holds each time."""
    if not len(times):
        return times, times
    period = {"day": "D", "week": zone.week, "month": "M"}[granularity]
    # A little more than there is, since a calendar has at least two periods.
    reach = 62 * _DAY
    calendar = make_calendar(int(times.min()) - reach, int(times.max()) + reach, period=period, timezone=zone.timezone)
    held = calendar.period_of(times)
    return calendar.starts[held], calendar.starts[held + 1]


def _starts(cutoff: Int[np.ndarray, " n"], feature: Feature, zone: Zone) -> Int[np.ndarray, " n"]:
    """Where the look-back of each cut-off begins: so many days before the beginning of the granule that holds it."""
    if feature.reach is None or not len(cutoff):
        return np.full(len(cutoff), MISSING)
    distinct, place = np.unique(cutoff, return_inverse=True)
    end = _granules(distinct, feature.granularity, zone)[0]
    amount, unit = feature.reach
    back = pd.DateOffset(**{{"D": "days", "W": "weeks", "M": "months"}[unit]: amount})
    local = pd.DatetimeIndex(end.view("M8[us]")).tz_localize("UTC").tz_convert(zone.timezone).tz_localize(None) - back
    zoned = local.tz_localize(zone.timezone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward")
    return zoned.tz_convert("UTC").tz_localize(None).as_unit("us").asi8[place]


def _array(ids: pd.Series) -> pa.Array:
    """Ids for DuckDB: integers, or strings."""
    return pa.Array.from_pandas(ids)


def _check_finite(values: pd.DataFrame, asked: pd.DataFrame) -> None:
    for name in values:
        rows = np.flatnonzero(np.isinf(values[name]))
        if len(rows):
            days = pd.to_datetime(asked["cutoff"].iloc[rows[:5]], unit="us", utc=True)
            first = [f"{who!r} at {day:%Y-%m-%d}" for who, day in zip(asked["id"].iloc[rows[:5]], days, strict=True)]
            remedy = "Say what a division by zero is to give, for instance with nullif(..., 0)."
            raise DataError.rows("features", str(name), "is infinite", count=len(rows), first=first, remedy=remedy)
