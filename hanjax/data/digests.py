"""What was known of each account at each cut-off, as a number that almost surely differs where anything does."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt

from hanjax.config import PanelConfig
from hanjax.data.encoding import Encoding, activity_ids, category_ids, scaled
from hanjax.data.log import ALWAYS, Log
from hanjax.data.periods import Calendar
from hanjax.data.pieces import pieces
from hanjax.data.samples import Span


class Digests(NamedTuple):
    """What each account's samples see, by the first cut-off that sees it.

    Args:
        rows: ``[a, P + 2]`` how many rows of the tables are first seen at each cut-off.
        total: ``[a, P + 2]`` the sum of their hashes, modulo 2^64: the order of rows does not matter.
    """

    rows: Int[np.ndarray, "a p"]
    total: UInt[np.ndarray, "a p"]


def make_digests(log: Log, calendar: Calendar, config: PanelConfig, encoding: Encoding, span: Span) -> Digests:
    """Digests everything that goes into the samples of each account, in the form in which it does.

    Two logs in which an account has the same digests up to a cut-off give it the same samples up to there. Events,
    arrivals, statics and numbers count from the first cut-off that knows them, statics not before the arrival, and
    nothing before the account's first sample; when observation began counts from there, too. What the encoding does not
    use is not looked at.

    Args:
        log: the checked log.
        calendar: its periods.
        config: the data's settings.
        encoding: what was fitted on the training accounts.
        span: the accounts' cut-offs.

    Returns:
        The digests, for cut-offs numbered as in the calendar.

    Raises:
        DataError: if a column that the encoding needs is missing.

    Example:
        >>> import hanjax
        >>> from hanjax.config import PanelConfig
        >>> from hanjax.data.encoding import fit_encoding
        >>> from hanjax.data.panel import calendar_of
        >>> from hanjax.data.samples import find_presence, find_span
        >>> from hanjax.data.tables import check
        >>> market, config = hanjax.simulate(accounts=20, seed=0).tables, PanelConfig()
        >>> def digest(events):
        ...     log = check(market._replace(events=events))
        ...     calendar = calendar_of(log, config)
        ...     span, _ = find_span(log, calendar, find_presence(log, calendar, opt_out_activity=None))
        ...     return make_digests(log, calendar, config, fit_encoding(log, config), span).total
        >>> bool((digest(market.events) == digest(market.events.iloc[::-1])).all())
        True
        >>> bool((digest(market.events) == digest(market.events.iloc[1:])).all())
        False
    """
    shape = len(log.account_ids), len(calendar.starts) + 1
    rows, total = np.zeros(shape, np.int32), np.zeros(shape, np.uint64)
    for account, cutoff, value in _hashed(log, calendar, config, encoding, span):
        at = account.astype(np.int64) * shape[1] + np.maximum(cutoff, span.first[account])
        np.add.at(rows.reshape(-1), at, 1)
        np.add.at(total.reshape(-1), at, value)
    return Digests(rows, total)


def _hashed(
    log: Log, calendar: Calendar, config: PanelConfig, encoding: Encoding, span: Span
) -> Iterator[tuple[np.ndarray, np.ndarray, UInt[np.ndarray, " n"]]]:
    """Rows of every table: their accounts, the first cut-offs that know them, and their hashes."""
    accounts = np.arange(len(log.account_ids))
    yield accounts, span.first, _hash("accounts", log.observed_from)

    # Values of ids, not their places, which change with whoever else is there.
    who = pd.util.hash_array(log.individual_ids.to_numpy())
    arrives = calendar.first_cutoff_after(log.arrived_at)
    yield log.individual_account, arrives, _hash("arrivals", who, log.arrived_at)

    activity = activity_ids(log, encoding).astype(np.int64)
    if config.opt_out_activity in log.activities:
        activity[log.activities.index(config.opt_out_activity)] += encoding.vocabulary
    for part in pieces(len(log.event_time)):
        individual, time = log.event_individual[part], log.event_time[part]
        known = time if log.event_known is None else np.maximum(time, log.event_known[part])
        count, order = (
            np.full(len(time), default) if column is None else column[part]
            for column, default in ((log.event_count, 1), (log.event_order, 0))
        )
        value = _hash("events", who[individual], time, known, activity[log.event_activity[part]], count, order)
        yield log.individual_account[individual], calendar.first_cutoff_after(known), value

    yield from _of_segments(log, calendar, encoding)
    histories = [("numbers", log.numbers, encoding.numbers), ("features", log.features, encoding.features)]
    if encoding.categories:
        individual, known = (log.categories[name].to_numpy() for name in ("individual", "known_at"))
        value = _hash("categories", who[individual], known, *category_ids(log, encoding).T)
        seen = np.maximum(_first_known(known, calendar), arrives[individual])
        yield log.individual_account[individual], seen, value
    for name, table, scales in histories:
        if scales and table is not None:
            account, known = (table[column].to_numpy() for column in ("account", "known_at"))
            numbers = scaled(table, scales, name=name).view(np.uint32)
            yield account, _first_known(known, calendar), _hash(name, known, *numbers.T)


def _of_segments(
    log: Log, calendar: Calendar, encoding: Encoding
) -> Iterator[tuple[np.ndarray, np.ndarray, UInt[np.ndarray, " n"]]]:
    """The accounts' segments that the encoding reads, from the first cut-offs that know them."""
    read = {column for factor in encoding.segments for column in factor.columns}
    table = log.segments if log.segment_versions is None else log.segment_versions
    columns = [pd.util.hash_array(table[name].fillna("").to_numpy(object)) for name in table if name in read]
    if not columns:
        return
    if log.segment_versions is None:
        yield np.arange(len(table)), np.zeros(len(table), int), _hash("segments", *columns)
    else:
        account, known = (table[name].to_numpy() for name in ("account", "known_at"))
        yield account, _first_known(known, calendar), _hash("segments", known, *columns)


def _first_known(known: Int[np.ndarray, " n"], calendar: Calendar) -> Int[np.ndarray, " n"]:
    return np.where(known == ALWAYS, 0, calendar.first_cutoff_after(known))


def _hash(table: str, *columns: Int[np.ndarray, " n"]) -> UInt[np.ndarray, " n"]:
    """Hashes rows of whole numbers, column by column, with the finalizer of splitmix64 (Steele et al. 2014)."""
    value = np.full(len(columns[0]), int.from_bytes(table.encode()[:8]), np.uint64)
    for column in columns:
        value ^= column.astype(np.uint64)
        value += np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value ^= value >> np.uint64(shift)
            value *= np.uint64(factor)
        value ^= value >> np.uint64(31)
    return value
