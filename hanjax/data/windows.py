"""Rolling windows: for every individual and cut-off, what the last W periods held."""

import numpy as np
from jaxtyping import Int

from hanjax.data.sequences import Cells


def calendar_windows(cells: Cells, individuals: range, cutoffs: range, *, window: int) -> Int[np.ndarray, "n c W"]:
    """The last W calendar periods before each cut-off, the latest at the right.

    Args:
        cells: versions of cells, sorted.
        individuals: codes of the individuals wanted.
        cutoffs: the cut-offs wanted.
        window: W.

    Returns:
        ``[n, c, W]`` positions in ``cells`` plus 1, as known at the cut-off; 0 for a quiet period.
    """
    slots, mine = _empty(cells, individuals, cutoffs, window)
    individual, period = cells.individual[mine] - individuals.start, cells.period[mine]
    for lag in range(1, window + 1):
        at = period + lag
        seen = (cells.valid_from[mine] <= at) & (at < cells.valid_to[mine])
        seen &= (at >= cutoffs.start) & (at < cutoffs.stop)
        seen = np.flatnonzero(seen)
        slots[individual[seen], at[seen] - cutoffs.start, window - lag] = seen + mine.start + 1
    return slots


def active_windows(cells: Cells, individuals: range, cutoffs: range, *, window: int) -> Int[np.ndarray, "n c W"]:
    """The last W periods in which the individual was active before each cut-off, however old, the latest at the right.

    Args and returned values are those of ``calendar_windows``; places left of an individual's first period are 0.
    """
    slots, mine = _empty(cells, individuals, cutoffs, window)
    state = np.zeros((len(individuals), window), np.int32)
    arriving = mine.start + np.argsort(cells.valid_from[mine], kind="stable")
    begins = np.searchsorted(cells.valid_from[arriving], np.arange(cutoffs.stop + 1))
    for cutoff in range(cutoffs.stop):
        new = arriving[begins[cutoff] : begins[cutoff + 1]]
        if len(new):
            rows = np.unique(cells.individual[new]) - individuals.start
            old = state[rows]
            # Versions are sorted by individual, period and cut-off, so the sorted positions are in that order, too.
            known = np.union1d(old[old > 0] - 1, new)
            person, period = cells.individual[known] - individuals.start, cells.period[known]
            replaced = (person[:-1] == person[1:]) & (period[:-1] == period[1:])
            keep = np.append(~replaced, True)
            known, person = known[keep], person[keep]
            from_end = np.searchsorted(person, person, side="right") - 1 - np.arange(len(person))
            latest = from_end < window
            state[rows] = 0
            state[person[latest], window - 1 - from_end[latest]] = known[latest] + 1
        if cutoff >= cutoffs.start:
            slots[:, cutoff - cutoffs.start] = state
    return slots


def _empty(cells: Cells, individuals: range, cutoffs: range, window: int) -> tuple[np.ndarray, slice]:
    """The slots, all quiet, and the part of ``cells`` that belongs to the individuals."""
    begin, end = np.searchsorted(cells.individual, [individuals.start, individuals.stop])
    return np.zeros((len(individuals), len(cutoffs), window), np.int32), slice(int(begin), int(end))
