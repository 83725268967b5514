"""What individuals did: the events as arrays of codes, each in its place.

Fifty million rows must pass through here, so there is no work per row outside NumPy and Arrow, and what few rows
are at fault are found first and described afterwards.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, UInt

from hanjax.data.activities import read_activities
from hanjax.data.ids import no_nulls
from hanjax.data.log import ALWAYS, NEVER
from hanjax.data.rosters import Accounts, Individuals, show
from hanjax.data.strays import Strays
from hanjax.data.times import MISSING, read_times
from hanjax.errors import DataError

_PIECE = 1 << 20


class Events(NamedTuple):
    """Events in the order of their rows; fields as in ``Log``, with provisional codes of individuals."""

    individual: Int[np.ndarray, " e"]
    time: Int[np.ndarray, " e"]
    activity: UInt[np.ndarray, " e"]
    count: Int[np.ndarray, " e"] | None
    known: Int[np.ndarray, " e"] | None
    order: Int[np.ndarray, " e"] | None
    activities: tuple[str, ...]
    naive: tuple[str, ...]


def check_events(
    table: pa.Table, accounts: Accounts, individuals: Individuals, strays: Strays, timezone: str
) -> Events:
    """Checks each column of the events, and that each event fits its individual and account.

    Raises:
        DataError: if a value is missing or impossible, or an individual acts in an account that is not its own.
    """
    for column in ("timestamp", "activity", "count", "known_at", "order"):
        if column in table.column_names:
            no_nulls("events", column, table[column])
    individual = individuals.lookup(table["individual_id"])
    lost = _unknown_or_elsewhere(table, individual, accounts, individuals, strays)
    individual[lost] = -1

    times = {
        column: read_times("events", column, table[column], timezone)
        for column in ("timestamp", "known_at")
        if column in table.column_names
    }
    time, known = times["timestamp"].values, times["known_at"].values if "known_at" in times else None
    outside = _outside(table, individual, time, accounts, individuals, strays)
    individual[outside] = -1

    count = _counts(table["count"]) if "count" in table.column_names else None
    order = _whole("order", table["order"]) if "order" in table.column_names else None
    activity, activities = read_activities(table["activity"])
    events = Events(
        individual=individual,
        time=time,
        activity=activity,
        count=count,
        known=None if known is None or bool((known <= time).all()) else known,
        order=order,
        activities=activities,
        naive=tuple(f"events.{column}" for column, read in times.items() if read.naive),
    )
    return _without_strays(events, part=strays.part) if len(lost) + len(outside) else events


def _without_strays(events: Events, *, part: bool) -> Events:
    """The events that have an individual, and the activities that are left."""
    keep = events.individual >= 0
    if not keep.any() and not part:
        raise DataError("events: no row is left, since all of them are strays. Check the ids and dates of the tables.")
    events = events._replace(
        **{name: value[keep] for name, value in events._asdict().items() if isinstance(value, np.ndarray)}
    )
    used = np.bincount(events.activity, minlength=len(events.activities)) > 0
    code = np.cumsum(used) - 1
    return events._replace(
        activity=code.astype(events.activity.dtype)[events.activity],
        activities=tuple(name for name, flag in zip(events.activities, used.tolist(), strict=True) if flag),
    )


def _unknown_or_elsewhere(
    table: pa.Table, individual: Int[np.ndarray, " e"], accounts: Accounts, individuals: Individuals, strays: Strays
) -> Int[np.ndarray, " r"]:
    """Rows of unknown individuals or accounts; an individual in another account than its own is an error."""
    own = np.append(individuals.account, np.int32(-2))
    account = accounts.lookup(table["account_id"])
    rows = _where(lambda part: own[individual[part]] != account[part], len(individual))
    stranger, unknown = individual[rows] < 0, account[rows] < 0
    _elsewhere(table, rows[~stranger & ~unknown], individual, individuals, accounts)
    strays.unknown("events", "individual_id", table["individual_id"], rows[stranger], "individuals")
    strays.unknown("events", "account_id", table["account_id"], rows[unknown & ~stranger], "accounts")
    return rows


def _elsewhere(
    table: pa.Table,
    rows: Int[np.ndarray, " r"],
    individual: Int[np.ndarray, " e"],
    individuals: Individuals,
    accounts: Accounts,
) -> None:
    """Raises if there are events of an individual in an account that is not its own."""
    if not len(rows):
        return
    first = []
    for row in rows[:5].tolist():
        home = accounts.ids[individuals.account[individual[row]]].as_py()
        who, where = table["individual_id"][row].as_py(), table["account_id"][row].as_py()
        first.append(f"individual {who!r} of account {home!r} in account {where!r} (row {row})")
    raise DataError.rows(
        "events",
        "account_id",
        "is not the account of the individual",
        count=len(rows),
        first=first,
        remedy="An individual belongs to one account: give each membership an id of its own, in individuals as well.",
    )


def _outside(
    table: pa.Table,
    individual: Int[np.ndarray, " e"],
    time: Int[np.ndarray, " e"],
    accounts: Accounts,
    individuals: Individuals,
    strays: Strays,
) -> Int[np.ndarray, " r"]:
    """Rows outside [observed_from, observed_to), or before the individual's given arrival."""
    begin = accounts.observed_from[individuals.account]
    end = accounts.observed_to[individuals.account]
    end = np.where(end == MISSING, NEVER, end)
    low = np.append(np.maximum(begin, individuals.arrived_at), ALWAYS)
    high = np.append(end, NEVER)
    if (low == ALWAYS).all() and (high == NEVER).all():
        return np.zeros(0, np.int64)
    check_low, check_high = bool((low > ALWAYS).any()), bool((high < NEVER).any())

    def wrong(part: slice) -> Bool[np.ndarray, " p"]:
        who, when = individual[part], time[part]
        early = when < low[who] if check_low else np.zeros(len(who), bool)
        return early | (when >= high[who]) if check_high else early

    rows = _where(wrong, len(time))
    who, when = individual[rows], time[rows]
    before, after = when < begin[who], when >= end[who]
    reasons = (
        (before, "is before observed_from of its account", "Correct or empty observed_from.", begin),
        (after, "is at or after observed_to of its account", "Correct or empty observed_to.", end),
        (~before & ~after, "is before arrived_at of its individual", "Correct or empty arrived_at.",
         individuals.arrived_at),
    )  # fmt: skip
    for flag, problem, remedy, bound in reasons:
        first = []
        for row in rows[flag][:5].tolist():
            limit = bound.item(individual.item(row))
            first.append(f"individual {table['individual_id'][row].as_py()!r} at {show(time.item(row))}, "
                         f"limit {show(limit)} (row {row})")  # fmt: skip
        strays.add("events", "timestamp", problem, count=int(flag.sum()), first=first, remedy=remedy)
    return rows


def _where(test: Callable[[slice], Bool[np.ndarray, " p"]], n: int) -> Int[np.ndarray, " r"]:
    """The rows for which a test of slices holds."""
    found = [np.flatnonzero(test(slice(start, min(start + _PIECE, n)))) + start for start in range(0, n, _PIECE)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _counts(data: pa.ChunkedArray) -> Int[np.ndarray, " e"] | None:
    """Weights of events; None if all are 1."""
    counts = _whole("count", data)
    rows = _where(lambda part: counts[part] < 1, len(counts))
    if len(rows):
        raise _bad("count", "is below 1", rows, data, "A count says how often it happened: at least 1; remove others.")
    if (counts == 1).all():
        return None
    return counts.astype(np.int32) if counts.max() <= np.iinfo(np.int32).max else counts


def _whole(column: str, data: pa.ChunkedArray) -> Int[np.ndarray, " e"]:
    """A column of whole numbers."""
    if pa.types.is_floating(data.type):
        values = data.to_numpy()
        rows = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values))))
        if len(rows):
            raise _bad(column, "is no whole number", rows, data, "Use whole numbers.")
        return values.astype(np.int64)
    if not pa.types.is_integer(data.type):
        raise _bad(column, f"is {data.type}", np.arange(len(data)), data, "Use whole numbers.")
    return data.to_numpy()


def _bad(column: str, problem: str, rows: Int[np.ndarray, " r"], data: pa.ChunkedArray, remedy: str) -> DataError:
    """The error of a value that cannot be."""
    first = [f"{data[row].as_py()!r} (row {row})" for row in rows[:5].tolist()]
    return DataError.rows("events", column, problem, count=len(rows), first=first, remedy=remedy)
