"""Pictures of drift and of performance over time: then beside now, where segments moved, and when to be alarmed."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BINS = 12
"""Of more bins than these, the others are drawn as one."""
_ACROSS = 3
"""Small pictures beside each other."""
_MOST_COLUMNS = 24
"""Rows of the heat map."""
_ALARM = style.COLORS[1]


def distribution(bins: pd.DataFrame, *, title: str = "", ax: "Axes | None" = None) -> "Axes":
    """Draws the shares of a column's bins in the reference beside those now.

    Args:
        bins: one row a bin, in order: ``bin`` (its name), ``reference`` and ``current`` (shares). Of more than 12,
            those that moved least are drawn as one.
        title: above it; "" says what is drawn.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or there is no bin.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import distribution
        >>> ax = distribution(pd.DataFrame({"bin": ["EMEA", "APAC"], "reference": [0.7, 0.3], "current": [0.5, 0.5]}))
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['EMEA', 'APAC']
    """
    bins = style.readable(bins, keys=["bin"], numbers=["reference", "current"], known=["reference", "current"])
    if len(bins) > _MOST_BINS:
        moved = (bins["current"] - bins["reference"]).abs().rank(method="first", ascending=False)
        rest = bins[moved >= _MOST_BINS]
        others = {"bin": f"{len(rest)} others", **rest[["reference", "current"]].sum()}
        bins = pd.concat([bins[moved < _MOST_BINS], pd.DataFrame([others])])
    ax = style.axes(ax, rows=len(bins))
    style.row_axis(ax, [style.label(name, 18) for name in bins["bin"]])
    rows = np.arange(len(bins))
    ax.barh(rows - 0.2, bins["reference"], height=0.38, color=style.PALE, label="in training")
    ax.barh(rows + 0.2, bins["current"], height=0.38, color=style.COLORS[0], label="now")
    style.probability_axis(ax, bins[["reference", "current"]].to_numpy(), which="x", log=False)
    ax.locator_params(axis="x", nbins=4)
    ax.set_title(title or "Shares of the rows, in training and now")
    if not title:
        style.legend(ax)
    return ax


def distributions(bins: pd.DataFrame, *, most: int = 9) -> "Axes":
    """Draws several columns' distributions in the reference beside those now, as small pictures in a new figure.

    Args:
        bins: one row a bin: ``table``, ``column``, ``bin``, ``reference`` and ``current``; the columns to be drawn
            first come first.
        most: how many columns are drawn.

    Returns:
        The axes of the first column; the others are in its figure.

    Raises:
        DataError: if a column is missing, or there is nothing to draw.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import distributions
        >>> bins = pd.DataFrame({"table": "accounts", "column": ["a", "a", "b"], "bin": ["x", "y", "x"]})
        >>> len(distributions(bins.assign(reference=[0.5, 0.5, 1.0], current=[0.6, 0.4, 1.0])).figure.axes)
        2
    """
    import matplotlib.pyplot as plt

    bins = style.readable(
        bins, keys=["table", "column", "bin"], numbers=["reference", "current"], known=["reference", "current"]
    )
    groups = [
        (f"{rows['table'].iloc[0]}.{rows['column'].iloc[0]}", rows)
        for _, rows in bins.groupby(["table", "column"], sort=False)
    ][: max(most, 1)]
    across = min(_ACROSS, len(groups))
    down = -(-len(groups) // across)
    tallest = min(max(len(rows) for _, rows in groups), _MOST_BINS)
    size = (3.6 * across + 0.4, down * max(1.4, 0.9 + 0.17 * tallest) + 0.4)
    figure, grid = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    for ax in grid.flat[len(groups) :]:
        ax.remove()
    for ax, (name, rows) in zip(grid.flat, groups, strict=False):
        distribution(rows, title=" ", ax=ax)
        ax.set_title(style.label(name, 34), fontsize=9, loc="left")
        ax.tick_params(labelsize=7)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return grid.flat[0]


def drift_map(findings: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws how far each column has moved in each segment, in multiples of what is an alarm.

    Args:
        findings: one row a column and segment: ``table``, ``column``, ``segment`` ("" for all), ``value`` and
            ``threshold``. The columns that moved most are on top, 24 of them at most.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no value is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import drift_map
        >>> found = pd.DataFrame({"table": "t", "column": ["a", "a", "b"], "segment": ["", "region=EMEA", ""]})
        >>> ax = drift_map(found.assign(value=[0.1, 0.9, 0.2], threshold=0.3))
        >>> [text.get_text() for text in ax.get_yticklabels()], [text.get_text() for text in ax.texts]
        (['t.a', 't.b'], ['0.3', '3.0', '0.7'])
    """
    findings = style.readable(
        findings,
        keys=["table", "column", "segment"],
        numbers=["value", "threshold"],
        known=["value", "threshold"],
    )
    names = findings["table"].astype(str) + "." + findings["column"].astype(str)
    times = findings.assign(
        name=names, times=findings["value"] / findings["threshold"].where(findings["threshold"] > 0)
    )
    cells = times.pivot_table(index="name", columns="segment", values="times", aggfunc="max")
    cells = cells.loc[cells.max(axis=1).sort_values(ascending=False, kind="stable").index[:_MOST_COLUMNS]]
    if cells.empty:
        raise DataError("findings: no rows to draw, as no threshold is above 0.")
    ax = style.axes(ax, rows=len(cells))
    style.row_axis(ax, [style.label(name, 36) for name in cells.index])
    values = cells.to_numpy(float)
    mesh = ax.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5, np.arange(len(values) + 1) - 0.5, np.minimum(values, 2.0),
        cmap="OrRd", vmin=0, vmax=2, edgecolor="white", linewidth=1,
    )  # fmt: skip
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="x", length=0)
    ax.set_xticks(
        np.arange(values.shape[1]), [style.label(name or "all", 22) for name in cells.columns],
        rotation=30 if values.shape[1] > 3 else 0, ha="right" if values.shape[1] > 3 else "center",
    )  # fmt: skip
    if values.shape[1] <= 14:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                text = f"{value:.1f}" if value < 99.95 else ">99"
                color = "white" if value > 1.3 else "black"
                ax.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    bar = ax.figure.colorbar(mesh, ax=ax, label="Stability index / alarm threshold", shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)  # pyright: ignore
    bar.set_ticks([0, 0.5, 1, 1.5, 2], labels=["0", "0.5", "1", "1.5", "2 or more"])
    ax.set_title("Which columns moved, and in which segments")
    return ax


_MEASURES = {
    "auc": ("AUC", 0.5, "no better than chance"),
    "ratio": ("Conversions / expected", 1.0, "as the probabilities say"),
    "log_loss": ("Log loss", None, ""),
    "lift": ("Lift of the likeliest tenth", 1.0, "the average"),
    "intercept": ("Calibration intercept", 0.0, "as the probabilities say"),
}


def course(
    windows: pd.DataFrame, *, measure: str = "auc", alarms: pd.DataFrame | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws a measure window by window, with intervals and alarms.

    Args:
        windows: one row a window, in order: ``first`` and ``last`` (periods), ``complete`` and ``reference`` (booleans)
            and the measure with ``_low`` and ``_high``.
        measure: "auc", "ratio", "log_loss", "lift" or "intercept".
        alarms: ``period`` of each alarm that is to be marked; None for none.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or the measure is unknown in all windows.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import course
        >>> windows = pd.DataFrame({"first": [0, 4], "last": [3, 7], "complete": True, "reference": [True, False]})
        >>> ax = course(windows.assign(auc=[0.8, 0.7], auc_low=0.6, auc_high=0.9))
        >>> ax.get_ylabel()
        'AUC'
    """
    if measure not in _MEASURES:
        raise DataError(f"measure: {measure!r} is unknown; there are {', '.join(_MEASURES)}.")
    text, base, meaning = _MEASURES[measure]
    ends = [measure, f"{measure}_low", f"{measure}_high"]
    windows = style.readable(windows, keys=["first", "last", "complete", "reference"], numbers=ends, known=[measure])
    ax = style.axes(ax)
    when = style.moments(windows["last"])
    values, low, high = (windows[name].to_numpy() for name in ends)
    kinds = np.where(~windows["complete"], "not over yet", np.where(windows["reference"], "reference", "later"))
    looks = {"reference": style.GRAY, "later": style.COLORS[0], "not over yet": style.PALE}
    if base is not None:
        ax.axhline(base, label=meaning, **style.REFERENCE)
    for kind, color in looks.items():
        rows = kinds == kind
        if rows.any():
            error = np.nan_to_num(np.abs([values - low, high - values]))[:, rows]
            ax.errorbar(when[rows], values[rows], error, fmt="o", markersize=5, linewidth=1.2, color=color, label=kind)
    if alarms is not None and len(alarms):
        for place, moment in enumerate(style.moments(pd.Series(alarms["period"]).drop_duplicates())):
            ax.axvline(moment, color=_ALARM, linewidth=1.2, alpha=0.6, label="alarm" if not place else "_alarm")
    style.grid(ax, "y")
    ax.margins(x=0.04)
    style.time_axis(ax, when)
    ax.set(title=f"{text}, window by window", ylabel=text)
    style.legend(ax)
    return ax


def control_chart(course: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws the sums of a control chart of conversions, period by period.

    Args:
        course: one row a period: ``period``, ``more`` and ``fewer`` (the sums), ``threshold`` and ``alarm`` ("" for
            none).
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on: evidence for more conversions upwards, for fewer downwards.

    Raises:
        DataError: if a column is missing, or there is no period.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import control_chart
        >>> rows = pd.DataFrame({"period": [1, 2], "more": [0.2, 3.1], "fewer": 0.0, "threshold": 3.0})
        >>> ax = control_chart(rows.assign(alarm=["", "more"]))
        >>> ax.collections[0].get_offsets().tolist()
        [[2.0, 3.1]]
    """
    course = style.readable(
        course, keys=["period", "alarm"], numbers=["more", "fewer", "threshold"], known=["more", "fewer"]
    )
    ax, when = style.axes(ax), style.moments(course["period"])
    sums: dict[str, Any] = {"more": course["more"].to_numpy(), "fewer": -course["fewer"].to_numpy()}
    for color, (name, values) in zip((style.COLORS[0], style.COLORS[2]), sums.items(), strict=True):
        ax.plot(when, values, color=color, marker=".", linewidth=1.4, label=f"evidence of {name} conversions")
    threshold = float(course["threshold"].iloc[0])
    for side in (threshold, -threshold):
        ax.axhline(side, label="alarm from here on" if side > 0 else "_below", **{**style.REFERENCE, "color": _ALARM})
    for name, values in sums.items():
        rows = (course["alarm"] == name).to_numpy()
        if rows.any():
            ax.scatter(when[rows], values[rows], s=70, marker="D", color=_ALARM, zorder=3, label="alarm")
    ax.set_yticks([-threshold, 0, threshold], [f"{threshold:.2g}", "0", f"{threshold:.2g}"])
    ax.margins(x=0.04)
    style.time_axis(ax, when)
    ax.set(title="Conversions against what the probabilities say", ylabel="Log-likelihood ratio, added up")
    style.legend(ax)
    return ax
