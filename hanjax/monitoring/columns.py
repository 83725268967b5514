"""One column of a table: what kind of values it holds, in which bins they are counted, and how many there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

MOST_LEVELS = 30
"""So many levels, the most frequent ones, are bins of their own; the others share one."""
OTHER = "(other)"
_NAMES = 50
"""A text column with more levels than this, more than half as many as rows, holds names or ids."""
_FAMILY = {"level": "text", "name": "text"}


class Column(NamedTuple):
    """What a column of the reference looks like.

    Args:
        kind: "number", "level" (texts, booleans), "name" (texts that hardly repeat: only their number is watched),
            "date" or "empty" (nothing but missing values).
        rows: how many rows there are.
        present: in how many a value is.
        edges: of numbers: bin k holds the values in (edge k - 1, edge k].
        levels: of levels: the bins but for the last, which holds the others.
        counts: rows in each bin; empty for other kinds.
        known: all levels, to tell which are new.
        single: levels that one account alone has: by their number, new ones are to be expected.
        accounts: how many accounts have a value.
        middle: median of numbers, None of others.
        ends: lowest and highest of numbers, None of others.
    """

    kind: str
    rows: int
    present: int
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    known: tuple[str, ...] = ()
    single: int = 0
    accounts: int = 0
    middle: float | None = None
    ends: tuple[float, float] | None = None

    @property
    def bins(self) -> list[str]:
        """The bins' names, in order."""
        if self.kind == "level":
            return [*self.levels, OTHER]
        if self.kind != "number":
            return []
        names, low = [], None
        for edge, following in zip(self.edges, (*self.edges[1:], np.nan), strict=False):
            if low is not None and np.nextafter(edge, -np.inf) == low:
                names.append(f"{edge:.4g}")
            elif np.nextafter(following, -np.inf) == edge:  # the next bin is of one value
                names.append(f"{'below' if low is None else f'{low:.4g} to'} {following:.4g}")
            else:
                names.append(f"{'up to' if low is None else f'{low:.4g} to'} {edge:.4g}")
            low = edge
        return [*names, "all" if low is None else f"above {low:.4g}"]

    def codes(self, values: pd.Series) -> Int[np.ndarray, " n"]:
        """The bin of each value, -1 where there is none or none of this kind; 0 for all values of other kinds."""
        if self.kind == "number":
            numbers = as_numbers(values)
            return np.where(np.isnan(numbers), -1, np.searchsorted(self.edges, numbers, side="left")).astype(np.int16)
        if self.kind != "level":
            return np.where(values.isna(), -1, 0).astype(np.int16)
        texts = as_texts(values)
        found = pd.Index(self.levels).get_indexer(texts)
        return np.where(texts.isna(), -1, np.where(found < 0, len(self.levels), found)).astype(np.int16)


def kind_of(values: pd.Series) -> str:
    """What kind of values a column holds, by its values where pandas only says "object".

    Args:
        values: the column.

    Returns:
        One of the kinds of ``Column``.

    Example:
        >>> import pandas as pd
        >>> from hanjax.monitoring.columns import kind_of
        >>> kind_of(pd.Series([1, None], dtype=object)), kind_of(pd.Series(["1"])), kind_of(pd.Series([None]))
        ('number', 'level', 'empty')
    """
    there = values.dropna()
    if there.empty:
        return "empty"
    if isinstance(there.dtype, pd.CategoricalDtype):
        there = there.astype(there.cat.categories.dtype)
    if there.dtype == object:
        there = there.infer_objects()
    if pd.api.types.is_bool_dtype(there):
        return "level"
    if pd.api.types.is_numeric_dtype(there):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(there) or pd.api.types.infer_dtype(there) in ("date", "datetime"):
        return "date"
    distinct = there.astype(str).nunique()
    return "name" if distinct > _NAMES and distinct > len(there) / 2 else "level"


def same_kind(first: str, second: str) -> bool:
    """Whether two kinds may be the same column: of an empty one, nothing is known.

    Example:
        >>> from hanjax.monitoring.columns import same_kind
        >>> same_kind("level", "name"), same_kind("number", "level"), same_kind("number", "empty")
        (True, False, True)
    """
    return "empty" in (first, second) or _FAMILY.get(first, first) == _FAMILY.get(second, second)


def column_of(values: pd.Series, accounts: Int[np.ndarray, " n"], *, bins: int) -> Column:
    """Describes a column of the reference.

    Args:
        values: the column.
        accounts: ``[n]`` the account of each row, as a number.
        bins: into how many quantiles numbers are put.

    Returns:
        The description.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.monitoring.columns import column_of
        >>> found = column_of(pd.Series([0.0, 0, 0, 1, 2]), np.arange(5), bins=2)
        >>> dict(zip(found.bins, found.counts))
        {'below 0': 0, '0': 3, 'above 0': 2}
    """
    kind, present = kind_of(values), int(values.notna().sum())
    there = values.notna().to_numpy()
    found = Column(kind, len(values), present, accounts=len(np.unique(accounts[there])))
    if kind == "number":
        numbers = as_numbers(values)[there]
        ends = float(numbers.min()), float(numbers.max())
        found = found._replace(edges=bin_edges(numbers, bins), middle=float(np.median(numbers)), ends=ends)
    elif kind == "level":
        texts = as_texts(values)[there]
        often = texts.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable").index
        holders = pd.Series(accounts[there]).groupby(texts.to_numpy()).nunique()
        levels = tuple(map(str, often[:MOST_LEVELS]))
        found = found._replace(levels=levels, known=tuple(sorted(often)), single=int((holders == 1).sum()))
    else:
        return found
    return found._replace(counts=tuple(histogram(found.codes(values), len(found.bins)).tolist()))


def bin_edges(numbers: Float[np.ndarray, " n"], bins: int) -> tuple[float, ...]:
    """Upper edges of bins between quantiles; a value on which several quantiles fall is a bin of its own.

    Args:
        numbers: ``[n]`` at least one, none missing.
        bins: how many quantiles.

    Returns:
        The edges in order: the rule of ``hanjax.evaluation.drift.binned``.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.columns import bin_edges
        >>> bin_edges(np.arange(1.0, 9), 4)
        (2.0, 4.0, 6.0)
    """
    # Found with whole numbers alone, as 3 * 0.2 is not 0.6.
    quantiles = np.sort(numbers)[np.maximum(-(-np.arange(bins + 1) * len(numbers) // bins) - 1, 0)]
    values, times = np.unique(quantiles, return_counts=True)
    own = values[times > 1]
    return tuple(np.unique(np.concatenate([quantiles[1:-1], own, np.nextafter(own, -np.inf)])).tolist())


def as_numbers(values: pd.Series) -> Float[np.ndarray, " n"]:
    """Numbers in float64; NaN where there is none."""
    return np.asarray(pd.to_numeric(values.astype(object), errors="coerce"), np.float64)


def as_texts(values: pd.Series) -> pd.Series:
    """Levels as texts; missing where there is none."""
    return values.astype(object).where(values.notna(), None).map(str, na_action="ignore")


def histogram(codes: Int[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " b"]:
    """How many rows each bin has; those without a value are in none."""
    return np.bincount(codes[codes >= 0], minlength=bins)


def shown(values: Sequence[Any], most: int = 3) -> str:
    """The first of some names, in a sentence."""
    return ", ".join(str(value)[:40] for value in list(values)[:most]) + (", ..." if len(values) > most else "")
