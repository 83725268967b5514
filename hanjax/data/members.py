"""All samples of a log, and the distinct windows of their members, a run of accounts at a time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Int

from hanjax.config import PanelConfig
from hanjax.data.asked import Asked
from hanjax.data.distinct import distinct_rows, joined
from hanjax.data.log import Log
from hanjax.data.periods import Calendar
from hanjax.data.samples import Groups, Presence, Span, find_groups
from hanjax.data.sequences import Cells

_SLOTS = 1_000_000
"""Individuals x cut-offs laid out at a time; what is worked on stays small, and near the processor."""

_THREADS = min(4, os.cpu_count() or 1)
"""Runs of accounts worked on at the same time: NumPy and pandas do most of it without holding the interpreter."""


def find_windows(
    log: Log,
    calendar: Calendar,
    cells: Cells,
    span: Span,
    presence: Presence,
    config: PanelConfig,
    *,
    max_members: int,
    asked: Asked | None = None,
) -> tuple[Groups, Int[np.ndarray, "M c"], Int[np.ndarray, " s"]]:
    """Finds every sample, its members, and what they did, each distinct window once.

    Args:
        log: the checked log.
        calendar: its periods.
        cells: what individuals did.
        span: the accounts' cut-offs.
        presence: the individuals' cut-offs.
        config: the data's settings.
        max_members: places for members (K).
        asked: the samples that are wanted, within the accounts' cut-offs; None for all.

    Returns:
        The samples, without the windows of their members; the distinct windows, as W rows of the distinct sequences,
        beside them W rows of the distinct counts and W ages where the settings ask for these; and for each member of
        each sample its row there.
    """
    tables = [_after_nothing(rows) for rows in (cells.sequence, cells.counts) if rows is not None]
    period = _after_nothing(cells.period)

    def find(accounts: range) -> tuple[Groups, Int[np.ndarray, "m c"], Int[np.ndarray, " n"]]:
        group = find_groups(log, cells, span, presence, accounts, config, max_members=max_members, asked=asked)
        columns = [rows.take(group.window) for rows in tables]
        if _ages_differ(config):
            age = group.for_members(group.cutoff)[:, None] - period.take(group.window)
            columns.append(np.where(group.window > 0, np.minimum(age, np.iinfo(np.int16).max), 0))
        table, index = distinct_rows(np.concatenate(columns, axis=1))
        return group._replace(window=np.zeros((0, config.window), np.int32)), table, index

    with ThreadPoolExecutor(_THREADS) as pool:
        groups, found, indices = zip(*pool.map(find, _chunks(log, calendar)), strict=True)
    windows, index = joined(found)
    rows = np.split(index, np.cumsum([len(table) for table in found])[:-1])
    return _join(groups), windows, np.concatenate([row.take(own) for row, own in zip(rows, indices, strict=True)])


def _after_nothing(rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """A column of the cells with a 0 before it, so that a quiet period finds 0."""
    return np.concatenate([np.zeros(1, np.int32), rows.astype(np.int32, copy=False)])


def _chunks(log: Log, calendar: Calendar) -> Iterator[range]:
    """Runs of accounts whose individuals, laid out over the calendar, fill about ``_SLOTS``."""
    if len(log.account_ids) == 0:  # a part of a larger log may be without any
        yield range(0)
        return
    ends = np.searchsorted(log.individual_account, np.arange(len(log.account_ids)), side="right")
    chunk = ends * len(calendar.starts) // _SLOTS
    begins = np.flatnonzero(np.diff(chunk, prepend=-1))
    for begin, end in zip(begins, [*begins[1:], len(ends)], strict=True):
        yield range(int(begin), int(end))


def _ages_differ(config: PanelConfig) -> bool:
    """Whether windows of the same sequences can lie at different times, so that their ages tell them apart."""
    return config.window_ages and config.window_kind == "active"


def ages(table: Int[np.ndarray, "M c"], config: PanelConfig) -> Int[np.ndarray, "M W"]:
    """How many periods back each period of each distinct window lies; in windows of the calendar, its place says so."""
    if _ages_differ(config):
        return table[:, -config.window :].astype(np.int16)
    return np.where(table[:, : config.window] > 0, np.arange(config.window, 0, -1), 0).astype(np.int16)


def _join(groups: Sequence[Groups]) -> Groups:
    """Puts the groups of all chunks one after the other."""
    arrays = {
        name: np.concatenate([getattr(group, name) for group in groups])
        for name in Groups._fields
        if name != "crowded_out"
    }
    return Groups(crowded_out=sum(group.crowded_out for group in groups), **arrays)
