"""Distinct rows of integer tables, room for them, and look-ups of what was valid as of a cut-off."""

from collections.abc import Iterator, Sequence

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
    codes, table = np.zeros(len(rows), np.int64), np.zeros((1, 0), rows.dtype)
    for columns, bits in _in_one_integer(rows):
        codes, keys = pd.factorize(_packed(codes, rows[:, columns], bits))
        table = _unpacked(keys, table, bits)
    # Rows recur, so it is the distinct ones that are sorted.
    order = lexicographic_order(table)
    table, rank = table.take(order, axis=0), np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    if table[0].any():
        return np.pad(table, ((1, 0), (0, 0))), (rank + 1)[codes]
    return table, rank[codes]


def joined(tables: Sequence[Int[np.ndarray, "n c"]]) -> tuple[Int[np.ndarray, "u c"], Int[np.ndarray, " m"]]:
    """Joins tables of distinct rows, as ``distinct_rows`` finds them, into one.

    Args:
        tables: one or more.

    Returns:
        The distinct rows of all tables in lexicographic order, and for each row of one table after the other its
        position there.
    """
    rows = np.concatenate(tables)
    order = lexicographic_order(rows)  # few rows recur, so there is no looking for distinct ones first
    rows = rows.take(order, axis=0)
    new = np.zeros(len(rows), bool)
    new[0] = True
    for column in rows.T:
        new[1:] |= column[1:] != column[:-1]
    index = np.empty(len(rows), np.int32)
    index[order] = np.cumsum(new) - 1
    return rows[new], index


def lexicographic_order(rows: Int[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
    """The order that sorts rows of non-negative integers by their first column, ties by the second, and so on."""
    order, rank = np.arange(len(rows)), np.zeros(len(rows), np.int64)
    for columns, bits in _in_one_integer(rows):
        key = _packed(rank, rows[:, columns].take(order, axis=0), bits)
        step = np.argsort(key, kind="stable")  # fast where much is in order already, as it is but for the first columns
        order, key = order[step], key[step]
        rank = np.cumsum(np.diff(key, prepend=key[:1]) > 0)
    return order


def _in_one_integer(rows: Int[np.ndarray, "n c"]) -> Iterator[tuple[slice, list[int]]]:
    """Runs of columns that fit into 63 bits, all but the first beside a number below n; and the bits of each column."""
    widths = [int(column.max(initial=0)).bit_length() for column in rows.T]
    begin, room = 0, 63
    for end in range(1, len(widths) + 1):
        if end == len(widths) or sum(widths[begin : end + 1]) > room:
            assert sum(widths[begin:end]) <= room, "a number is too large to be sorted beside others"
            yield slice(begin, end), widths[begin:end]
            begin, room = end, 63 - len(rows).bit_length()


def _packed(before: Int[np.ndarray, " n"], columns: Int[np.ndarray, "n c"], bits: list[int]) -> Int[np.ndarray, " n"]:
    """One integer for what stands before some columns and for these, in the same order as all of them."""
    key = before.copy()
    for column, width in zip(columns.T, bits, strict=True):
        key <<= width
        key |= column
    return key


def _unpacked(keys: Int[np.ndarray, " u"], before: Int[np.ndarray, "p b"], bits: list[int]) -> Int[np.ndarray, "u c"]:
    """The columns that integers were packed from, those before them from a table."""
    columns = []
    for width in reversed(bits):
        columns.append(keys & ((1 << width) - 1))
        keys = keys >> width
    return np.column_stack([before.take(keys, axis=0), *(column.astype(before.dtype) for column in reversed(columns))])


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
        """Joins thing and cut-off into one sorted key; where each thing has one version, a table of them will do."""
        self.entity, self.cutoff, self.cutoffs = entity, cutoff, cutoffs
        self.only: np.ndarray | None = None
        if len(entity) and (entity[1:] > entity[:-1]).all():
            self.only = np.full(int(entity[-1]) + 2, -1, np.int32)  # one more at the end, where none is
            self.only[entity] = np.arange(len(entity), dtype=np.int32)
        else:
            self.key = entity.astype(np.int64) * cutoffs + cutoff

    def __call__(self, entity: Int[np.ndarray, "..."], cutoff: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
        """The version of each entity known at each cut-off, or -1 where none is."""
        if len(self.entity) == 0:
            return np.full(np.broadcast_shapes(np.shape(entity), np.shape(cutoff)), -1)
        if self.only is not None:
            found = self.only.take(entity, mode="clip")
            return np.where(self.cutoff[found] <= cutoff, found, -1)
        found = np.searchsorted(self.key, np.asarray(entity, np.int64) * self.cutoffs + cutoff, side="right") - 1
        return np.where((found >= 0) & (self.entity[np.maximum(found, 0)] == entity), found, -1)
