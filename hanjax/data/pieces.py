"""Long columns, a piece at a time: what is computed in between stays small, and in the processor's cache."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

PIECE = 1 << 16
"""Rows in a piece; eight bytes of each fill half of a usual second-level cache."""


def pieces(n: int) -> Iterator[slice]:
    """The slices that make up n rows.

    Example:
        >>> from hanjax.data.pieces import pieces
        >>> list(pieces(100_000))
        [slice(0, 65536, None), slice(65536, 100000, None)]
    """
    for start in range(0, n, PIECE):
        yield slice(start, min(start + PIECE, n))


def counted(codes: Int[np.ndarray, " n"], kinds: int) -> Int[np.ndarray, " k"]:
    """How often each code below ``kinds`` occurs; ``np.bincount`` would copy a whole column of small integers."""
    total = np.zeros(kinds, np.int64)
    for part in pieces(len(codes)):
        total += np.bincount(codes[part], minlength=kinds)
    return total


def padded(
    values: np.ndarray, start: Int[np.ndarray, " r"], length: Int[np.ndarray, " r"], width: int, *, empty: int = 0
) -> np.ndarray:
    """Lays runs of values into the rows of a table, from the left; the rest of each row is empty.

    Args:
        values: ``[n, ...]`` what runs are taken from.
        start: ``[r]`` where each run begins.
        length: ``[r]`` how many values it has, at most ``width``.
        width: places of a row.
        empty: what stands where no value does.

    Returns:
        ``[r, width, ...]`` the table.

    Example:
        >>> import numpy as np
        >>> from hanjax.data.pieces import padded
        >>> padded(np.array([5, 6, 7]), np.array([0, 2]), np.array([2, 1]), 3).tolist()
        [[5, 6, 0], [7, 0, 0]]
    """
    table = np.full((len(start) * width, *values.shape[1:]), empty, values.dtype)
    for part in pieces(len(start)):
        n = length[part]
        ends = np.cumsum(n)
        within = np.arange(ends[-1]) - np.repeat(ends - n, n)
        rows = np.arange(part.start, part.stop) * width
        table[np.repeat(rows, n) + within] = values[np.repeat(start[part], n) + within]
    return table.reshape(len(start), width, *values.shape[1:])
