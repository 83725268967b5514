"""From a user's tables to the checked log."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from hanjax.config import PanelConfig
from hanjax.data.events import Events, check_events
from hanjax.data.frames import COLUMNS, Frames, frames
from hanjax.data.ids import as_index, check_ids
from hanjax.data.log import ALWAYS, NEVER, Log
from hanjax.data.outcomes import with_outcomes
from hanjax.data.rosters import Accounts, Individuals, check_accounts, check_individuals
from hanjax.data.statics import read_categories, read_features, read_folds, read_numbers
from hanjax.data.strays import Strays
from hanjax.data.times import MISSING, check_timezone
from hanjax.types import Tables

_PIECE = 1 << 19


def check(tables: Tables, config: PanelConfig | None = None, *, part: bool = False) -> Log:
    """Checks a user's tables, and turns them into plain arrays.

    Everything that a table can have wrong is found here, before anything is encoded; messages count rows from 0.

    Args:
        tables: events, individuals, accounts, and what else there is.
        config: the settings ``timezone``, ``columns``, ``exclude`` and ``strays``, with outcomes also ``period`` and
            ``horizons``; None for the defaults.
        part: whether the tables hold some accounts of a larger data set, with all that belongs to them. Then they may
            be empty, and where no ``observed_to`` is given it stays ``NEVER``: ``observed_to_end`` fills it in.

    Returns:
        The log. Rows of the tables may stand in any order: it differs in the order of events only.

    Raises:
        DataError: if something does not fit; the message names table, column, number of rows, the first of them and
            what to do.

    Example:
        >>> import pandas as pd
        >>> from hanjax.types import Tables
        >>> events = pd.DataFrame({"account_id": [1], "individual_id": [7], "timestamp": ["2024-01-31T09:30:00Z"],
        ...                        "activity": ["visit"]})
        >>> individuals = pd.DataFrame({"individual_id": [7], "account_id": [1], "role": ["engineer"]})
        >>> log = check(Tables(events, individuals, pd.DataFrame({"account_id": [1]})))
        >>> log.activities, log.arrived_at.view("M8[us]").tolist()
        (('visit',), [datetime.datetime(2024, 1, 31, 9, 30)])
    """
    config = PanelConfig() if config is None else config
    check_timezone(config.timezone)
    given = check_ids(frames(tables, config, part=part))
    strays = Strays(config.strays, part=part)
    accounts = check_accounts(given.accounts, config.timezone)
    people = check_individuals(given.individuals, accounts, strays, config.timezone)
    events = check_events(given.events, accounts, people, strays, config.timezone)
    arrived_at = _arrivals(people, events)
    codes = _codes(accounts, people, arrived_at, strays)

    order = codes.order
    account_code = codes.account[people.account[order]]
    categories, category_names = read_categories(people, codes.individual, config.exclude, part=part)
    numbers, segments, segment_versions = read_numbers(given.accounts, accounts, codes.account, config.exclude)
    observed_from, observed_to, converted_at = _observation(accounts, people, arrived_at)
    kept = codes.account >= 0
    log = Log(
        account_ids=as_index(accounts.ids.filter(kept), "account_id"),
        individual_ids=as_index(people.ids.take(order), "individual_id"),
        individual_account=account_code,
        arrived_at=arrived_at[order],
        observed_from=observed_from[kept],
        observed_to=observed_to[kept],
        converted_at=converted_at[kept],
        activities=events.activities,
        event_individual=_renumbered(events.individual, codes.individual),
        event_time=events.time,
        event_activity=events.activity,
        event_count=events.count,
        event_known=events.known,
        event_order=events.order,
        categories=categories,
        numbers=numbers,
        segments=segments,
        features=read_features(
            given.account_features, accounts, codes.account, strays, config.exclude, config.timezone
        ),
        fold=read_folds(given.folds, accounts, codes.account),
        left_out=tuple(strays.left_out),
        notes=tuple(
            _notes(given, category_names, list(numbers)[2:], (*events.naive, *people.naive, *accounts.naive), config)
        ),
        segment_versions=segment_versions,
    )
    log = log if part else observed_to_end(log, end_of(log))
    if given.outcomes is None:
        return log
    return with_outcomes(log, given.outcomes, accounts, codes.account, strays, config)


def end_of(log: Log) -> int:
    """The last event or arrival of a log, in microseconds since 1970, UTC; ``ALWAYS`` if there is none."""
    return max(int(log.event_time.max(initial=ALWAYS)), int(log.arrived_at.max(initial=ALWAYS)))


def observed_to_end(log: Log, end: int) -> Log:
    """Lets accounts that are ``NEVER`` said to leave observation be observed to the end, or to a later conversion.

    Args:
        log: the log that ``check`` made of some accounts of a data set.
        end: of the whole log: an account's own last event would give its outcome away.
    """
    last = np.where(log.converted_at == NEVER, end, np.maximum(end, log.converted_at))
    return log._replace(observed_to=np.where(log.observed_to == NEVER, last, log.observed_to))


class _Codes(NamedTuple):
    """Final codes of provisional ones, -1 where left out; ``order`` holds the kept individuals in final order."""

    account: Int[np.ndarray, " a"]
    individual: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " m"]


def _arrivals(people: Individuals, events: Events) -> Int[np.ndarray, " n"]:
    """When each individual arrived, by default when its first event was known; ``NEVER`` where there is none.

    The first event is looked for only where it is needed: where no arrival is given.
    """
    missing = people.arrived_at == MISSING
    if not missing.any():
        return people.arrived_at
    seen = np.full(len(missing), NEVER)
    known = events.time if events.known is None else np.maximum(events.time, events.known)
    np.minimum.at(seen, events.individual, known)
    return np.where(missing, seen, people.arrived_at)


def _codes(accounts: Accounts, people: Individuals, arrived_at: Int[np.ndarray, " n"], strays: Strays) -> _Codes:
    """Numbers whoever is kept; individuals that never arrive, and accounts without any, are strays."""
    absent = np.flatnonzero(arrived_at == NEVER)
    strays.add(
        "individuals",
        "individual_id",
        "has neither an event nor arrived_at",
        count=len(absent),
        first=sorted(people.ids.take(absent).to_pylist())[:5],
        remedy="Give arrived_at.",
    )
    present = arrived_at != NEVER
    inhabited = np.zeros(len(accounts.ids), bool)
    inhabited[people.account[present]] = True
    deserted = np.flatnonzero(~inhabited)
    strays.add(
        "accounts",
        "account_id",
        "has no individual",
        count=len(deserted),
        first=accounts.ids.take(deserted).to_pylist(),
        remedy="Add its individuals.",
    )
    account = np.where(inhabited, np.cumsum(inhabited) - 1, -1).astype(np.int32)
    order = np.lexsort((people.place, arrived_at, people.account))
    order = order[present[order]]
    individual = np.full(len(present), -1, np.int32)
    individual[order] = np.arange(len(order), dtype=np.int32)
    return _Codes(account, individual, order)


def _renumbered(codes: Int[np.ndarray, " e"], final: Int[np.ndarray, " n"]) -> Int[np.ndarray, " e"]:
    """Final codes of events' individuals."""
    if (final == np.arange(len(final))).all():
        return codes
    for start in range(0, len(codes), _PIECE):
        codes[start : start + _PIECE] = final[codes[start : start + _PIECE]]
    return codes


def _observation(
    accounts: Accounts, people: Individuals, arrived_at: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " a"], Int[np.ndarray, " a"]]:
    """Each account's observed_from, observed_to and converted_at; ``NEVER`` where one of the latter is not given.

    By default observation begins with the first arrival: an event before it was not known yet, so that counting from
    it would tell of the future.
    """
    converted_at = np.where(accounts.converted_at == MISSING, NEVER, accounts.converted_at)
    observed_to = np.where(accounts.observed_to == MISSING, NEVER, accounts.observed_to)
    begin = np.minimum(converted_at, observed_to)
    np.minimum.at(begin, people.account, arrived_at)
    observed_from = np.where(accounts.observed_from == MISSING, begin, accounts.observed_from)
    return observed_from, observed_to, converted_at


def _notes(
    given: Frames, categories: list[str], numbers: list[str], naive: tuple[str, ...], config: PanelConfig
) -> list[str]:
    """Which columns were taken as constant, read in the setting's zone, or not used."""
    notes = []
    if naive:
        notes.append(f"Times and dates without a zone were read in {config.timezone}: {', '.join(naive)}.")
    for table, columns in (("individuals", categories), ("accounts", numbers)):
        if columns and "known_at" not in getattr(given, table).column_names:
            notes.append(f"{table}: taken as constant, since there is no column known_at: {', '.join(columns)}.")
    unused = [name for name in given.events.column_names if name not in COLUMNS["events"]]
    if unused:
        notes.append(f"events: not used: {', '.join(unused)}.")
    there = {name for table in given if table is not None for name in table.column_names}
    nowhere = [name for name in config.exclude if name not in there]
    if nowhere:
        notes.append(f"exclude: no table has the column {', '.join(nowhere)}.")
    return notes
