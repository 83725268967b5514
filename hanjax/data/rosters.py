"""Who there is: accounts and individuals, their dates, and which account each individual belongs to.

Here codes are provisional: accounts by id, individuals by (account, given arrival, id), before anyone is left out.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from hanjax.data.ids import Lookup, distinct
from hanjax.data.log import ALWAYS
from hanjax.data.strays import Strays
from hanjax.data.times import MISSING, read_times
from hanjax.errors import DataError


class Accounts(NamedTuple):
    """The accounts' ids and dates.

    Args:
        ids: ids, sorted.
        lookup: finds their codes.
        observed_from: ``MISSING`` where not given.
        observed_to: ``MISSING`` where not given.
        converted_at: ``MISSING`` where the account has not converted.
        row_account: the account of each row of the table.
        row_known: when each row became known; ``ALWAYS`` where not said.
        naive: columns of times without a zone.
    """

    ids: pa.Array
    lookup: Lookup
    observed_from: Int[np.ndarray, " a"]
    observed_to: Int[np.ndarray, " a"]
    converted_at: Int[np.ndarray, " a"]
    row_account: Int[np.ndarray, " r"]
    row_known: Int[np.ndarray, " r"]
    naive: tuple[str, ...]


class Individuals(NamedTuple):
    """The individuals' ids, accounts and arrivals.

    Args:
        ids: ids, sorted by (account, given arrival, id).
        lookup: finds their codes.
        place: the place of each id among the sorted ids.
        account: each one's account.
        arrived_at: ``MISSING`` where not given.
        table: the table, without the rows that were left out.
        row_individual: the individual of each row of the table.
        row_known: when each row became known; ``ALWAYS`` where not said.
        naive: columns of times without a zone.
    """

    ids: pa.Array
    lookup: Lookup
    place: Int[np.ndarray, " n"]
    account: Int[np.ndarray, " n"]
    arrived_at: Int[np.ndarray, " n"]
    table: pa.Table
    row_individual: Int[np.ndarray, " r"]
    row_known: Int[np.ndarray, " r"]
    naive: tuple[str, ...]


def check_accounts(table: pa.Table, timezone: str) -> Accounts:
    """Checks the accounts' ids and dates.

    Raises:
        DataError: if an id stands twice without ``known_at``, or the dates contradict each other.
    """
    ids = distinct(table["account_id"])
    lookup = Lookup(ids)
    rows = lookup(table["account_id"])
    history = History("accounts", "account_id", table, rows, len(ids), timezone)
    observed_from, observed_to, converted_at = (
        history.times(column) for column in ("observed_from", "observed_to", "converted_at")
    )
    _in_order(ids, "observed_to", observed_to, "converted_at", converted_at)
    _in_order(ids, "converted_at", converted_at, "observed_from", observed_from)
    _in_order(ids, "observed_to", observed_to, "observed_from", observed_from)
    naive = tuple(history.naive)
    return Accounts(ids, lookup, observed_from, observed_to, converted_at, rows, history.known, naive)


def _in_order(
    ids: pa.Array, late: str, after: Int[np.ndarray, " a"], early: str, before: Int[np.ndarray, " a"]
) -> None:
    """Raises if a date lies before another one that it must not precede."""
    wrong = np.flatnonzero((after < before) & (after != MISSING) & (before != MISSING))
    if len(wrong):
        raise DataError.rows(
            "accounts",
            late,
            f"is before {early}",
            count=len(wrong),
            first=[
                f"account {ids[i].as_py()!r}: {show(after.item(i))} < {show(before.item(i))}"
                for i in wrong[:5].tolist()
            ],
            remedy="observed_from <= converted_at <= observed_to must hold; correct the dates, or leave one empty.",
        )


def check_individuals(table: pa.Table, accounts: Accounts, strays: Strays, timezone: str) -> Individuals:
    """Checks the individuals' ids, accounts and arrivals.

    Raises:
        DataError: if an individual stands in two accounts, or twice without ``known_at``, or in an unknown account.
    """
    row_account = accounts.lookup(table["account_id"])
    unknown = np.flatnonzero(row_account < 0)
    strays.unknown("individuals", "account_id", table["account_id"], unknown, "accounts")
    if len(unknown):
        table, row_account = table.filter(pa.array(row_account >= 0)), row_account[row_account >= 0]
        if not len(table) and not strays.part:
            raise DataError("individuals: no row is left, since no account_id is in the table accounts.")
    ids = distinct(table["individual_id"])
    rows = Lookup(ids)(table["individual_id"])
    account = np.empty(len(ids), np.int32)
    account[rows] = row_account
    _one_account(table, account[rows] != row_account)
    history = History("individuals", "individual_id", table, rows, len(ids), timezone)
    arrived_at = history.times("arrived_at")

    order = np.lexsort((arrived_at, account))
    rank = np.empty(len(ids), np.int32)
    rank[order] = np.arange(len(ids), dtype=np.int32)
    ids = ids.take(pa.array(order))
    return Individuals(
        ids=ids,
        lookup=Lookup(ids),
        place=order,
        account=account[order],
        arrived_at=arrived_at[order],
        table=table,
        row_individual=rank[rows],
        row_known=history.known,
        naive=tuple(history.naive),
    )


def _one_account(table: pa.Table, differs: np.ndarray) -> None:
    """Raises if rows name another account for an individual than its other rows do."""
    wrong = np.flatnonzero(differs)
    if len(wrong):
        first = table.take(wrong[:5]).to_pydict()
        pairs = zip(first["individual_id"], first["account_id"], wrong.tolist(), strict=False)
        raise DataError.rows(
            "individuals",
            "account_id",
            "puts an individual into a second account",
            count=len(wrong),
            first=[f"individual {who!r} also in account {where!r} (row {row})" for who, where, row in pairs],
            remedy="An individual belongs to one account: give each membership an id of its own, in events as well.",
        )


class History:
    """One or several dated rows of each id, and the values that hold in the end.

    Args:
        table: name of the table.
        key: its column of ids.
        data: the table.
        rows: the code of each row's id.
        n: how many ids there are.
        timezone: the zone of times without one.

    Raises:
        DataError: if an id has several rows and no ``known_at`` tells them apart.
    """

    def __init__(self, table: str, key: str, data: pa.Table, rows: Int[np.ndarray, " r"], n: int, timezone: str):
        """Orders the rows by id and date."""
        self.table, self.data, self.rows, self.n, self.timezone = table, data, rows, n, timezone
        self.naive: list[str] = []
        self.known = np.full(len(rows), ALWAYS)
        dated = "known_at" in data.column_names
        if dated:
            self.known = self._read("known_at")
        self.order = np.lexsort((self.known, rows))
        code, known = rows[self.order], self.known[self.order]
        double = self.order[1:][(code[1:] == code[:-1]) & (known[1:] == known[:-1])]
        if len(double):
            double = np.sort(double)
            raise DataError.rows(
                table,
                f"{key}, known_at" if dated else key,
                "stands more than once",
                count=len(double),
                first=[f"{data[key][row].as_py()!r} (row {row})" for row in double[:5].tolist()],
                remedy="Keep one row of each"
                + (" and date." if dated else "; several rows of one id need a column known_at that dates them."),
            )

    def times(self, column: str) -> Int[np.ndarray, " n"]:
        """Each id's last time that is not missing; ``MISSING`` where there is none."""
        if column not in self.data.column_names:
            return np.full(self.n, MISSING)
        values = self._read(column)
        order = self.order[values[self.order] != MISSING]
        last = np.full(self.n, MISSING)
        last[self.rows[order]] = values[order]
        return last

    def _read(self, column: str) -> Int[np.ndarray, " r"]:
        times = read_times(self.table, column, self.data[column], self.timezone)
        if times.naive:
            self.naive.append(f"{self.table}.{column}")
        return times.values


def show(time: int) -> str:
    """A time for a message."""
    return str(np.datetime64(int(time), "us")).removesuffix(".000000") + "Z"
