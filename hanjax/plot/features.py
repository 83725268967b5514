"""What the values of features look like, and how many of them there are, cut-off by cut-off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot import _style as style
from hanjax.settings import check_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 30
_KEYS = ("account_id", "cutoff")


def features(
    matrix: pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    reference: pd.DataFrame | None = None,
    most: int = 12,
) -> np.ndarray:
    """Draws each feature as a row of two small pictures: the histogram of its values, and its coverage over time.

    Args:
        matrix: one row an account and cut-off: ``cutoff`` (a date), and a column of numbers for each feature; beside a
            feature ``<name>__missing`` may say which of its values were filled in, and count as missing.
        names: the features to be drawn; None for all.
        reference: another matrix, whose histograms are drawn as outlines of another color.
        most: how many features are drawn at most; a note says how many are left out.

    Returns:
        ``[n, 2]`` the axes of the histograms and of the coverages, of a new figure.

    Raises:
        DataError: if there are no rows or no features, or a feature is no number.
        ConfigError: if there is no feature of a name.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import features
        >>> matrix = pd.DataFrame({"cutoff": ["2024-03-03", "2024-03-10"], "booked": [None, 4.0]})
        >>> ax = features(matrix)
        >>> ax.shape, ax[0, 1].lines[0].get_ydata().tolist()
        ((1, 2), [0.0, 1.0])
    """
    import matplotlib.pyplot as plt

    there = observed(matrix)
    check_names(names or (), there.columns, "the features")
    chosen = list(there.columns if names is None else names)
    if not chosen:
        raise DataError("matrix: there is no feature to draw, only accounts and cut-offs.")
    drawn = chosen[:most]
    style.readable(matrix, keys=["cutoff"])
    coverage = pd.DataFrame(there.notna().groupby(matrix["cutoff"].to_numpy()).mean())
    when = style.moments(pd.Series(coverage.index, name="cutoff"))
    before = None if reference is None else observed(reference)
    size = (9, 0.9 + 1.15 * len(drawn))
    axes = plt.subplots(len(drawn), 2, figsize=size, layout="constrained", squeeze=False)[1]
    for row, name in enumerate(drawn):
        left, right = (style.axes(ax) for ax in axes[row])
        _histogram(left, there[name], None if before is None or name not in before else before[name])
        left.set_ylabel(style.label(name, 30), rotation=0, ha="right", va="center")
        right.plot(when, coverage[name], color=style.COLORS[0], linewidth=1.4, marker="." if len(when) < 40 else None)
        right.set_ylim(-0.04, 1.08)
        style.percent_axis(right, "y")
        style.time_axis(right, when)
        right.tick_params(axis="x", labelbottom=row == len(drawn) - 1)
    told = [] if len(drawn) == len(chosen) else [f"first {len(drawn)} of {len(chosen)} features"]
    told += [] if before is None else ["line: reference"]
    axes[0, 0].set_title("Values" + (f" ({'; '.join(told)})" if told else ""))
    axes[0, 1].set_title("Share of accounts with a value")
    return axes


def observed(matrix: pd.DataFrame) -> pd.DataFrame:
    """The features of a matrix alone, in float64; values that were filled in are missing again.

    Args:
        matrix: ``account_id``, ``cutoff``, features, and for some of them ``<name>__missing``.

    Raises:
        DataError: if a feature is no number.
    """
    columns = {}
    for name in matrix.columns:
        if name in _KEYS or str(name).endswith("__missing"):
            continue
        try:
            column = matrix[name].astype("float64")
        except (TypeError, ValueError) as problem:
            raise DataError(f"matrix.{name}: has to be a number ({problem}).") from None
        columns[name] = column.mask(matrix[f"{name}__missing"]) if f"{name}__missing" in matrix else column
    return pd.DataFrame(columns, matrix.index)


def _histogram(ax: "Axes", values: pd.Series, reference: pd.Series | None) -> None:
    """Shares of the values in bins that two samples have in common."""
    samples = [one.dropna().to_numpy() for one in (values, reference) if one is not None]
    samples = [one[np.isfinite(one)] for one in samples]
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if not sum(map(len, samples)):
        ax.set_xticks([])
        ax.text(0.5, 0.5, "no value", transform=ax.transAxes, ha="center", va="center", color=style.GRAY)
        return
    edges = np.histogram_bin_edges(np.concatenate(samples), _BINS)
    for place, one in enumerate(samples):
        if len(one):
            shares = np.histogram(one, edges)[0] / len(one)
            look = dict(color=style.COLORS[0], alpha=0.65) if place == 0 else dict(color=style.COLORS[1], linewidth=1.2)
            ax.stairs(shares, edges, fill=place == 0, **look)
