"""The time since an individual's previous activity, in steps that let sequences still recur.

"Previous" is whatever was known at the cut-off, in whichever period it lies. So an activity that becomes known late
also changes the gap of the one that follows it: of a later cell's first activity, if none lies in between.
"""

import numpy as np
from jaxtyping import Float, Int, UInt

_HOUR = 3_600_000_000
_STEPS = 4
_FIRST, _ZERO = 1, 2


def gap_codes(
    time: Int[np.ndarray, " n"], start: Int[np.ndarray, " c"], elapsed: Int[np.ndarray, " c"]
) -> UInt[np.ndarray, " n"]:
    """The gap before each activity as a small integer; 0 is left for padding.

    Args:
        time: of each activity, in microseconds; cell after cell, each in order of time.
        start: where each cell begins.
        elapsed: microseconds from the individual's last activity before each cell to the cell's first; -1 if there was
            none before.

    Returns:
        1 for an individual's first activity, else 2 and the number of steps of 1/4 in log(1 + hours).

    Example:
        >>> import numpy as np
        >>> hour = 3_600_000_000
        >>> codes = gap_codes(np.array([5, 5, 6, 30]) * hour, np.array([0, 3]), np.array([-1, 24 * hour]))
        >>> codes.tolist(), gaps_of(codes).tolist()
        ([1, 2, 5, 15], [-1.0, 0.0, 0.75, 3.25])
    """
    gap = np.diff(time, prepend=time[:1])
    first = start[elapsed < 0]
    gap[start] = np.maximum(elapsed, 0)
    codes = (np.rint(np.log1p(gap / _HOUR) * _STEPS) + _ZERO).astype(np.uint8)
    codes[first] = _FIRST
    return codes


def repeat_codes(codes: UInt[np.ndarray, " n"], repeats: Int[np.ndarray, " n"]) -> UInt[np.ndarray, " m"]:
    """The codes of activities that are repeated: of an activity's repeats, all but the first have gap 0."""
    repeated = np.full(repeats.sum(), _ZERO, codes.dtype)
    repeated[np.cumsum(repeats) - repeats] = codes
    return repeated


def gaps_of(codes: UInt[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The gaps that codes stand for: log(1 + hours) in steps of 1/4, -1 for a first activity, 0 for padding."""
    gaps = np.maximum(codes.astype(np.float32) - _ZERO, 0) / np.float32(_STEPS)
    gaps[codes == _FIRST] = -1
    return gaps


def previous_known(
    individual: Int[np.ndarray, " e"],
    visible: Int[np.ndarray, " e"] | None,
    start: Int[np.ndarray, " c"],
    cutoff: Int[np.ndarray, " c"],
) -> Int[np.ndarray, " c"]:
    """The last activity of the same individual before each cell that is known at a cut-off, or -1 if none is.

    Args:
        individual: of each activity, ascending; its activities in order of time.
        visible: the first cut-off at which each activity is known; None if all are in time.
        start: position of each cell's first activity.
        cutoff: the cut-off that is asked about, one for each cell.
    """
    found, pending = start - 1, np.arange(len(start))
    while len(pending):
        at = found[pending]
        none = (at < 0) | (individual[at] != individual[start[pending]])
        found[pending[none]] = -1
        if visible is None:
            break
        pending = pending[~none & (visible[at] > cutoff[pending])]
        found[pending] -= 1
    return found


def revisions(
    individual: Int[np.ndarray, " e"], visible: Int[np.ndarray, " e"], start: Int[np.ndarray, " c"]
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Cells, and the cut-offs at which another activity than before is the last one known to lie before the cell.

    Going back from a cell, only an activity that was known earlier than all those passed so far can ever have been the
    last one known, and behind one that was known when the cell was, nothing matters.

    Args:
        individual: of each activity, ascending; its activities in order of time.
        visible: the first cut-off at which each activity is known.
        start: position of each cell's first activity.

    Returns:
        For each revision the cell's number, and the cut-off, later than the first at which the cell is known.
    """
    known = np.minimum.reduceat(visible, start)
    cell, at, earliest = np.arange(len(start)), start - 1, np.full(len(start), np.iinfo(visible.dtype).max)
    cells, cutoffs = [], []
    while len(cell):
        when = visible[at]
        going = (at >= 0) & (individual[at] == individual[start[cell]]) & (when > known[cell])
        new = going & (when < earliest)
        cells.append(cell[new])
        cutoffs.append(when[new])
        cell, at, earliest = cell[going], at[going] - 1, np.minimum(earliest, when)[going]
    return np.concatenate(cells), np.concatenate(cutoffs)
