"""Scores over time: how good they are period by period, and how early they warn."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTHED = 8
"""Of more periods than these a moving mean is drawn."""
_ANNOTATED = 5
"""Thresholds that have a text, at most."""


def over_time(table: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws the AUC of each period as a dot whose area is its number of conversions.

    Of more than 8 periods with an AUC, the line is their centered moving mean, weighted by conversions.

    Args:
        table: one row a period: ``period`` (a date or a number), ``auc`` (NaN where all or none converted),
            ``samples``, ``conversions``.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on. Periods without an AUC are crosses at the bottom.

    Raises:
        DataError: if a column is missing, there is no period, or a period is neither date nor number.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import over_time
        >>> weeks = pd.DataFrame({"period": [1, 2, 3], "auc": [0.8, None, 0.9], "samples": 50})
        >>> ax = over_time(weeks.assign(conversions=[2, 0, 4]))
        >>> ax.collections[0].get_offsets().tolist()
        [[1.0, 0.8], [3.0, 0.9]]
    """
    table = style.readable(table, keys=["period"], numbers=["auc", "samples", "conversions"]).sort_values("period")
    known = table["auc"].notna().to_numpy()
    when, auc = style.moments(table["period"]), table["auc"].to_numpy()
    ax, weight = style.axes(ax), table["conversions"].fillna(0).to_numpy()
    most = max(weight[known].max(initial=0), 1)
    area = lambda conversions: 15 + 165 * conversions / most
    handles = []
    if known.any():
        look = dict(color=style.COLORS[0], alpha=0.65, linewidth=0)
        ax.scatter(when[known], auc[known], s=area(weight[known]), zorder=2.5, **look)
        for count in sorted({weight[known].min(), weight[known].max()}):
            text = f"{count:,.0f} conversion{'' if count == 1 else 's'}"
            handles.append(ax.scatter([], [], s=area(count), label=text, **look))
    if known.sum() > _SMOOTHED:
        width = max(5, known.sum() // 6 | 1)
        sums = pd.DataFrame({"area": auc * weight, "weight": weight})[known]
        sums = sums.rolling(width, center=True, min_periods=1).sum()
        text = f"mean of {width} periods,\nweighted by conversions"
        handles += ax.plot(when[known], sums["area"] / sums["weight"], color=style.COLORS[1], linewidth=2, label=text)
    handles.append(ax.axhline(0.5, label="no better than chance", **style.REFERENCE))
    if not known.all():
        count = (~known).sum()
        text = f"{count} period{'' if count == 1 else 's'} without AUC:\nall or none converted"
        look = dict(color=style.GRAY, marker="x", markersize=6, linestyle="none", transform=ax.get_xaxis_transform())
        handles += ax.plot(when[~known], np.full(count, 0.04), label=text, clip_on=False, **look)
    low, high = (np.nanmin(auc), np.nanmax(auc)) if known.any() else (0.4, 1)
    ax.set_ylim(min(low - 0.08, 0.4), min(max(high + 0.04, 0.7), 1.04))
    style.grid(ax, "y")
    ax.margins(x=0.04)
    style.time_axis(ax, when)
    ax.set(title="How well conversions are told from the others, period by period", ylabel="AUC")
    if when.dtype != object:
        ax.set_xlabel("Period")
    style.legend(ax, handles, labelspacing=0.9)
    return ax


def lead_time(table: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws, threshold by threshold, how many converting accounts it warns of against its false alarms.

    Args:
        table: one row a threshold: ``threshold``, ``warned`` (share of the converting accounts that cross it before
            they convert), ``false_alarms`` (share of the other accounts that cross it), ``median_lead`` (periods from
            the warning to the conversion; NaN where it warns of none).
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on. A few thresholds have their median lead written beside them.

    Raises:
        DataError: if a column is missing, or no threshold has both shares.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import lead_time
        >>> crossed = pd.DataFrame({"threshold": [0.02, 0.1], "warned": [0.8, 0.4], "false_alarms": [0.3, 0.05]})
        >>> ax = lead_time(crossed.assign(median_lead=[6, 1]))
        >>> [text.get_text() for text in ax.texts]
        ['10 %: 1 period', '2 %: 6 periods']
    """
    numbers = ["threshold", "warned", "median_lead", "false_alarms"]
    table = style.readable(table, numbers=numbers, known=["threshold", "warned", "false_alarms"])
    table = table.sort_values("threshold", ascending=False)
    alarms, warned = table["false_alarms"].to_numpy(), table["warned"].to_numpy()
    ax = style.axes(ax)
    most, top = max(alarms.max(), 1e-9), max(warned.max(), 1e-9)
    ax.plot([0, 1], [0, 1], label="as often as the others", **style.REFERENCE)
    look = dict(color=style.COLORS[0], linewidth=1.8, marker="o", markersize=3.5 if len(table) > 15 else 5)
    ax.plot(alarms, warned, label="thresholds", **look)

    shares = table["threshold"].between(0, 1).all()
    wanted = table["median_lead"].notna().to_numpy() & (warned > 0.08 * top)  # below, texts would hide the axis
    places = _apart(np.stack([alarms / most, warned / top], axis=1), np.flatnonzero(wanted))
    for row in table.iloc[places].itertuples():
        threshold = f"{100 * row.threshold:.2g} %" if shares else f"{row.threshold:.3g}"
        ax.plot(row.false_alarms, row.warned, "o", color=style.COLORS[1], markersize=8, zorder=3)
        text = f"{threshold}: {row.median_lead:.3g} period{'' if row.median_lead == 1 else 's'}"
        beside = dict(xytext=(9, -3), textcoords="offset points", va="top", fontsize=9)
        beside["bbox"] = dict(facecolor="white", edgecolor="none", alpha=0.8, pad=0.5)
        ax.annotate(text, (row.false_alarms, row.warned), **beside)
    if places:
        mark = dict(color=style.COLORS[1], marker="o", markersize=8, linestyle="none")
        ax.plot([], [], label="threshold, and median time\nfrom warning to conversion", **mark)
    for which in ("x", "y"):
        style.percent_axis(ax, which)
    ax.set(xlim=(0, 1.4 * most), ylim=(0, 1.05 * top))  # texts are to the right of the points
    ax.set(title="Warnings before conversion, and false alarms", ylabel="Converting accounts warned of in time")
    ax.set_xlabel("False alarms: other accounts that cross the threshold")
    style.legend(ax, labelspacing=0.9)
    return ax


def _apart(points: np.ndarray, candidates: np.ndarray) -> list[int]:
    """A few points whose texts, to the right of each, do not lie upon each other: the outermost first, then halves."""
    order, steps = [], len(candidates) - 1
    for parts in (1, 2, 4, 8, 16):
        order += [candidates[round(steps * i / parts)] for i in range(parts + 1)] if len(candidates) else []
    chosen: list[int] = []
    for place in order:
        gaps = np.abs(points[chosen] - points[place])
        if len(chosen) < _ANNOTATED and ((gaps[:, 0] > 0.45) | (gaps[:, 1] > 0.09)).all():
            chosen.append(int(place))
    return sorted(chosen)
