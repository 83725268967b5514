"""Activity sequences: what one individual did in one period, in order of time, each distinct sequence kept once.

A *cell* is one individual in one active period. Usually a cell has one version, known from the next cut-off on. When
events carry ``known_at``, rows that became known later make further versions of their cell.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt

from hanjax.data.distinct import distinct_rows
from hanjax.data.gaps import gap_codes, gaps_of, previous_known, repeat_codes, revisions
from hanjax.data.log import Log
from hanjax.data.periods import Calendar
from hanjax.data.pieces import padded, pieces

PADDING, UNKNOWN = 0, 1
"""Ids that no activity and no level has; known ones start at 2."""

ALWAYS_VALID = np.iinfo(np.int32).max
"""The end of a version that no later one replaces."""


class Cells(NamedTuple):
    """Versions of cells, sorted by individual, period and cut-off.

    Args:
        individual: code of the individual.
        period: the active period.
        valid_from: first cut-off at which this version is what is known.
        valid_to: first cut-off at which a later version replaces it.
        sequence: row of the table of distinct sequences.
        counts: row of the table of distinct counts; None unless volumes are kept.
        n_activities: activities before truncation.
        amount: activities before truncation, each as often as its ``count`` says.
        last_time: time of the last activity.
    """

    individual: Int[np.ndarray, " n"]
    period: Int[np.ndarray, " n"]
    valid_from: Int[np.ndarray, " n"]
    valid_to: Int[np.ndarray, " n"]
    sequence: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"] | None
    n_activities: Int[np.ndarray, " n"]
    amount: Int[np.ndarray, " n"]
    last_time: Int[np.ndarray, " n"]

    @property
    def latest(self) -> np.ndarray:
        """The last version of each cell."""
        return self.valid_to == ALWAYS_VALID


class Sequences(NamedTuple):
    """The distinct sequences of a log, their gaps, its distinct counts, and the cells that use them."""

    table: UInt[np.ndarray, "S L"]
    gaps: Float[np.ndarray, "S L"] | None
    counts: Int[np.ndarray, "C V"] | None
    cells: Cells


def make_sequences(
    log: Log,
    calendar: Calendar,
    activity_ids: Int[np.ndarray, " a"],
    *,
    vocabulary: int,
    max_activities: int,
    keep: Literal["last", "first"] = "last",
    volumes: bool = False,
    gaps: bool = False,
    expand_counts: bool = False,
) -> Sequences:
    """Cuts every individual's events into periods and keeps each distinct sequence once.

    Activities are ordered by time, then by the log's ``order``, then by id; equal ones are interchangeable, so the
    order of the log's rows does not matter.

    Args:
        log: the checked log.
        calendar: its periods.
        activity_ids: id of each of ``log.activities``; ``UNKNOWN`` for those that the encoding does not know.
        vocabulary: how many activity ids the encoding has.
        max_activities: activities kept of a cell (L).
        keep: which end of a longer sequence is kept.
        volumes: also count every activity of a cell, untruncated.
        gaps: sequences also differ by the time since the individual's previous activity.
        expand_counts: an event of weight n is n steps of the sequence instead of one.

    Returns:
        The tables of distinct rows, and the cells.
    """
    individual, time, activity, rows = _in_order(log, activity_ids[log.event_activity])
    period = calendar.period_of(time)
    count = None if log.event_count is None else log.event_count[rows]
    visible = None
    if log.event_known is not None:
        visible = np.maximum(calendar.first_cutoff_after(log.event_known[rows]), period + 1)

    first = np.ones(len(individual), bool)
    np.not_equal(individual[1:], individual[:-1], out=first[1:])
    first[1:] |= period[1:] != period[:-1]
    start = np.flatnonzero(first)
    length = np.diff(start, append=len(first))
    cell_individual, cell_period = individual[start], period[start]
    valid_from, valid_to = cell_period + 1, np.full(len(start), ALWAYS_VALID, np.int32)

    first_event, every_time = start, time if gaps else time[:0]  # so that memory is not held for nothing
    if visible is not None:
        more = revisions(individual, visible, start) if gaps else None
        cell, valid_from, valid_to, events, length = _versions(visible, start, length, more)
        cell_individual, cell_period = cell_individual[cell], cell_period[cell]
        activity, time = activity[events], time[events]
        count = None if count is None else count[events]
        first_event = start[cell]
        start = np.cumsum(length) - length

    codes = None
    if gaps:
        before = previous_known(individual, visible, first_event, valid_from)
        codes = gap_codes(time, start, np.where(before < 0, -1, time[start] - every_time[before]))
    n_activities, amount = length, length if count is None else np.add.reduceat(count, start)
    steps, step_start, step_length = activity, start, length
    if expand_counts and count is not None:
        n_activities = amount
        # More would be cut off again; one more than is kept, since of the repeats only the first has a gap.
        repeats = np.minimum(count, max_activities + 1)
        steps = np.repeat(activity, repeats)
        step_length = np.add.reduceat(repeats, start)
        step_start = np.cumsum(step_length) - step_length
        if codes is not None:
            codes = repeat_codes(codes, repeats)
    table = _cut(steps, step_start, step_length, max_activities, keep)
    if codes is not None:
        table = np.concatenate([table, _cut(codes, step_start, step_length, max_activities, keep)], axis=1)
    table, sequence = distinct_rows(table)

    counts = count_row = None
    if volumes:
        place = np.repeat(np.arange(len(start)), length) * vocabulary + activity
        volume = np.bincount(place, weights=count, minlength=len(start) * vocabulary).reshape(-1, vocabulary)
        counts, count_row = distinct_rows(volume.astype(np.int64))
    cells = Cells(
        individual=cell_individual,
        period=cell_period,
        valid_from=valid_from,
        valid_to=valid_to,
        sequence=sequence,
        counts=count_row,
        n_activities=n_activities,
        amount=amount,
        last_time=time[start + length - 1],
    )
    table, codes = np.ascontiguousarray(table[:, :max_activities]), table[:, max_activities:]
    return Sequences(table, gaps_of(codes) if gaps else None, counts, cells)


def _in_order(log: Log, activity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | slice]:
    """Sorts events by individual, time, order and activity; returns these and the rows in that order.

    The four are packed into one integer where they fit, because sorting plain integers is many times faster than
    sorting by several keys; when nothing else hangs on the rows, not even the permutation is needed. A log that is in
    order already, as many are that come from a database, is taken as it is.
    """
    individual, time, order = log.event_individual, log.event_time, log.event_order
    if len(time) == 0:  # a part of a larger log may be without any
        return individual, time, activity, slice(None)
    origin, unit = int(time.min()), _unit(time)
    if order is not None:
        order = np.unique(order, return_inverse=True)[1]
    most = [(int(time.max()) - origin) // unit, 0 if order is None else int(order.max()), int(activity.max())]
    shifts = [size.bit_length() for size in most]
    if len(log.individual_ids).bit_length() + sum(shifts) > 63:
        zeros = np.zeros(len(time), np.int8)
        rows = np.lexsort((activity, zeros if order is None else order, time, individual))
        return individual[rows], time[rows], activity[rows], rows

    key, ascending = np.empty(len(time), np.int64), True
    for part in pieces(len(time)):
        packed = individual[part].astype(np.int64)
        packed <<= shifts[0]
        packed += (time[part] - origin) // unit
        packed <<= shifts[1]
        if order is not None:
            packed += order[part]
        packed <<= shifts[2]
        packed += activity[part]
        key[part] = packed
        since = max(part.start - 1, 0)
        ascending = ascending and bool((key[since : part.stop - 1] <= key[since + 1 : part.stop]).all())
    if ascending:
        return individual, time, activity, slice(None)
    if log.event_count is None and log.event_known is None:
        rows = slice(None)
        key.sort()
    else:
        rows = np.argsort(key)
        key = key[rows]
    individual, activity = np.empty(len(key), np.int32), np.empty(len(key), activity.dtype)
    for part in pieces(len(key)):
        packed = key[part]
        activity[part] = packed & ((1 << shifts[2]) - 1)
        packed >>= shifts[1] + shifts[2]
        individual[part] = packed >> shifts[0]
        packed &= (1 << shifts[0]) - 1
        packed *= unit
        packed += origin
    return individual, key, activity, rows


def _unit(time: Int[np.ndarray, " n"]) -> int:
    """The coarsest of seconds, milliseconds and microseconds, in microseconds, of which all times are whole numbers."""
    for unit in (1_000_000, 1_000):
        if all((time[part] // unit * unit == time[part]).all() for part in pieces(len(time))):
            return unit
    return 1


def _versions(
    visible: np.ndarray, start: np.ndarray, length: np.ndarray, more: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, ...]:
    """Makes one version of a cell for each cut-off at which more of it became known, or of what lies before it.

    Args:
        visible: the first cut-off at which each activity is known.
        start: where each cell begins.
        length: activities of each cell.
        more: cells and cut-offs at which a version begins besides.

    Returns:
        For each version its cell, the cut-offs from and to which it is valid, then the events of all versions one
        after the other, and how many each has.
    """
    cell_of_event = np.repeat(np.arange(len(start)), length)
    cutoffs = int(visible.max()) + 1
    begins = cell_of_event * cutoffs + visible
    if more is not None:
        begins = np.concatenate([begins, more[0] * cutoffs + more[1]])
    version = np.unique(begins)
    cell, valid_from = version // cutoffs, (version % cutoffs).astype(np.int32)
    valid_to = np.full(len(version), ALWAYS_VALID, np.int32)
    same = cell[1:] == cell[:-1]
    valid_to[:-1][same] = valid_from[1:][same]

    n = length[cell]
    of_version = np.repeat(np.arange(len(version)), n)
    events = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(start[cell], n)
    known = visible[events] <= valid_from[of_version]
    return cell, valid_from, valid_to, events[known], np.bincount(of_version[known], minlength=len(version))


def _cut(steps: np.ndarray, start: np.ndarray, length: np.ndarray, size: int, keep: str) -> np.ndarray:
    """Lays each cell's activities into a row of ``size`` places, from the left; the rest is padding."""
    kept = np.minimum(length, size)
    narrow = steps.astype(np.uint8 if steps.max(initial=0) < 256 else np.uint16, copy=False)
    return padded(narrow, start + length - kept if keep == "last" else start, kept, size)
