"""Measures with their intervals, one below the other: several models, and differences between two."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SAME_SCALE = 10
"""Differences whose sizes are farther apart than this factor would not be seen on one scale."""


def metrics(
    table: pd.DataFrame, *, measure: str = "AUC", baseline: float | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws a measure of several models with its intervals; the first model stands out.

    Args:
        table: one row a model, drawn in the order given: ``model``, ``value`` and its interval, ``low`` and ``high``;
            NaN where unknown.
        measure: what the values are.
        baseline: a value to compare with, such as 0.5 for the AUC of chance, drawn as a line; None for none.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no value is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import metrics
        >>> found = pd.DataFrame({"model": ["network", "counts"], "value": [0.84, 0.79], "low": [0.81, 0.75]})
        >>> ax = metrics(found.assign(high=[0.87, 0.83]), baseline=0.5)
        >>> [text.get_text() for text in ax.texts]
        ['0.840  [0.810, 0.870]', '0.790  [0.750, 0.830]']
    """
    numbers = ["value", "low", "high"]
    table = style.readable(table, keys=["model"], numbers=numbers, known=["value"], keep=True)
    ax = style.axes(ax, rows=len(table))
    colors = [style.COLORS[0]] + [style.COLORS[7]] * (len(table) - 1)
    digits = _digits(table[numbers].to_numpy())
    texts = []
    for value, low, high in table[numbers].to_numpy():
        interval = f"  [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low + high) else ""
        texts.append(f"{value:.{digits}f}{interval}" if np.isfinite(value) else "unknown")
    style.forest(ax, [style.label(name, 40) for name in table["model"]], table[numbers].to_numpy(), colors, texts)
    if baseline is not None:
        ax.axvline(baseline, **style.REFERENCE)
    ax.set(title=f"{measure} of each model", xlabel=measure)
    return ax


def compare(table: pd.DataFrame, *, names: tuple[str, str] = ("first", "second"), ax: "Axes | None" = None) -> "Axes":
    """Draws how much two models differ in each measure; where zero is outside the interval, the difference has a color.

    Differences of very different sizes, more than a factor of 10, are each drawn in half widths of their own interval.

    Args:
        table: one row a measure, whose name is in the index or in a column ``measure``: ``first`` and ``second`` (the
            values of the two), ``difference`` (first less second), its interval, ``low`` and ``high``, and ``p``; NaN
            where unknown.
        names: of the two models.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no difference is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import compare
        >>> found = pd.DataFrame({"first": [0.84], "second": [0.79], "difference": [0.05]}, index=["AUC"])
        >>> ax = compare(found.assign(low=0.02, high=0.08, p=0.004), names=("network", "counts"))
        >>> [text.get_text() for text in ax.texts]
        ['+0.0500  [+0.0200, +0.0800]  p = 0.004']
    """
    numbers = ["difference", "low", "high"]
    table = style.readable(table, numbers=[*numbers, "first", "second", "p"], known=["difference"], keep=True)
    ax, values = style.axes(ax, rows=2 * len(table)), table[numbers].to_numpy()
    sizes = np.nanmax(np.abs(np.where(np.isfinite(values), values, 0)), axis=1)
    halves = np.abs(values[:, 2] - values[:, 1]) / 2
    own_scales = sizes.max() > _SAME_SCALE * sizes[sizes > 0].min(initial=np.inf) and bool((halves > 0).any())
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(halves[:, None] > 0, values / halves[:, None], np.nan) if own_scales else values
    sure = (values[:, 1] > 0) | (values[:, 2] < 0)
    colors = [style.COLORS[0] if certain else style.PALE for certain in sure]
    rows, texts = [], []
    for name, row in zip(table["measure"] if "measure" in table else table.index, table.itertuples(), strict=True):
        rows.append(f"{style.label(name, 40)}\n{row.first:.4g} against {row.second:.4g}")
        digits = _digits(np.array([row.difference, row.low, row.high]))
        interval = f"  [{row.low:+.{digits}f}, {row.high:+.{digits}f}]" if np.isfinite(row.low + row.high) else ""
        chance = f"  p = {row.p:.2g}" if np.isfinite(row.p) else ""
        texts.append(f"{row.difference:+.{digits}f}{interval}{chance}" if np.isfinite(row.difference) else "unknown")
    style.forest(ax, rows, drawn, colors, texts)
    ax.axvline(0, color="black", linewidth=1)
    first, second = (style.label(name) for name in names)
    scale = ", in half widths of its own interval" if own_scales else ""
    ax.set(title=f"{first} less {second}", xlabel=f"Difference{scale} (gray: zero is not ruled out)")
    return ax


def _digits(values: np.ndarray) -> int:
    """Digits behind the point, so that the largest number has three that count."""
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 8)) if largest > 0 else 2
