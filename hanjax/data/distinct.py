"""Distinct rows of integer tables, room for them, and look-ups of what was valid as of a cut-off."""

import numpy as np
import pandas as pd
from jaxtyping import Int


def distinct_rows(rows: Int[np.ndarray, "n c"]) -> tuple[Int[np.ndarray, "u c"], Int[np.ndarray, " n"]]:
    """Finds the distinct rows of a table of non-negative integers.

    Args:
        rows: ``[n, c]`` the table.

    Returns:
        The distinct rows in lexicographic order, the row of zeros always among them and therefore first, and for each
        row of the table its position there.

    Example:
        >>> import numpy as np
        >>> from hanjax.data.distinct import distinct_rows
        >>> table, index = distinct_rows(np.array([[2, 1], [1, 0], [2, 1]]))
        >>> table.tolist(), index.tolist()
        ([[0, 0], [1, 0], [2, 1]], [2, 1, 2])
    """
    if rows.shape[0] == 0 or rows.shape[1] == 0:
        return np.zeros((1, rows.shape[1]), rows.dtype), np.zeros(len(rows), np.int32)
    # Columns are packed into one integer as long as they fit; ranks, which keep the order, make room for more.
    codes, size = rows[:, 0].astype(np.int64), int(rows[:, 0].max()) + 1
    for column in rows.T[1:]:
        levels = int(column.max()) + 1
        if size * levels >= 2**62:
            codes, uniques = pd.factorize(codes, sort=True)
            size = len(uniques)
        codes = codes * levels + column
        size *= levels
    codes, uniques = pd.factorize(codes, sort=True)
    first = np.empty(len(uniques), np.int64)
    first[codes[::-1]] = np.arange(len(rows) - 1, -1, -1)
    table = rows[first]
    if table[0].any():
        return np.pad(table, ((1, 0), (0, 0))), (codes + 1).astype(np.int32)
    return table, codes.astype(np.int32)


def capacity(need: int) -> int:
    """The smallest rung of the ladder 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, ... that holds ``need`` rows.

    The rungs are 1, 1.25, 1.5 and 1.75 times the powers of two: at most a fifth of a table is padding, and while the
    need of an epoch varies by a percent or so, it seldom crosses a rung. Each rung that is reached is a compilation.

    Example:
        >>> [capacity(need) for need in (1, 64, 65, 1000, 1025)]
        [64, 64, 80, 1024, 1280]
    """
    step = max(16, 1 << max(0, (need - 1).bit_length() - 3))
    return max(64, -(-need // step) * step)


class AsOf:
    """Versions of things, each valid from a cut-off on; finds the one that counts at a cut-off.

    Args:
        entity: ``[n]`` the thing that each version belongs to, ascending.
        cutoff: ``[n]`` the first cut-off at which the version is known, ascending within an entity.
        cutoffs: a number larger than every cut-off.
    """

    def __init__(self, entity: Int[np.ndarray, " n"], cutoff: Int[np.ndarray, " n"], cutoffs: int):
        """Joins thing and cut-off into one sorted key."""
        self.entity, self.cutoffs = entity, cutoffs
        self.key = entity.astype(np.int64) * cutoffs + cutoff

    def __call__(self, entity: Int[np.ndarray, "..."], cutoff: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
        """The version of each entity known at each cut-off, or -1 where none is."""
        if len(self.key) == 0:
            return np.full(np.broadcast_shapes(np.shape(entity), np.shape(cutoff)), -1)
        found = np.searchsorted(self.key, np.asarray(entity, np.int64) * self.cutoffs + cutoff, side="right") - 1
        return np.where((found >= 0) & (self.entity[np.maximum(found, 0)] == entity), found, -1)
