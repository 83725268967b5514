"""Rows that fit nowhere: an error, or left out and counted."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from hanjax.errors import DataError
from hanjax.types import LeftOut

_DROP = 'set strays="drop" to leave such rows out and count them.'


class Strays:
    """Collects what is left out, or raises at the first of it.

    Args:
        mode: the setting ``strays`` of ``PanelConfig``.
        part: whether these are the tables of some accounts of a larger data set, of which nothing may be left.
    """

    def __init__(self, mode: Literal["error", "drop"], *, part: bool = False):
        """Starts with nothing left out."""
        self.drop, self.part = mode == "drop", part
        self.left_out: list[LeftOut] = []

    def unknown(self, table: str, column: str, ids: pa.ChunkedArray, rows: Int[np.ndarray, " r"], there: str) -> None:
        """Leaves out rows whose id is not in the table ``there``, or raises.

        Args:
            table: the table that they belong to.
            column: its column of ids.
            ids: that column.
            rows: which rows.
            there: the table in which they should be.

        Raises:
            DataError: if strays are errors.
        """
        first = list(dict.fromkeys(ids[row].as_py() for row in rows[:1000].tolist()))
        problem, remedy = f"is not in the table {there}", f"Add what is missing to {there}, or remove these rows."
        self.add(table, column, problem, count=len(rows), first=first, remedy=remedy)

    def add(self, table: str, column: str, problem: str, *, count: int, first: Sequence[object], remedy: str) -> None:
        """Leaves rows out, or raises.

        Args:
            table: the table that they belong to.
            column: the column that shows it.
            problem: what is wrong with them, as a clause.
            count: how many.
            first: the first of them; five are kept.
            remedy: what the user can do beside leaving them out.

        Raises:
            DataError: if strays are errors.
        """
        if not count:
            return
        if not self.drop:
            raise DataError.rows(table, column, problem, count=count, first=first, remedy=f"{remedy} Or {_DROP}")
        self.left_out.append(LeftOut(table, f"{column}: {problem}", count, tuple(first[:5])))
