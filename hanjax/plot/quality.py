"""How good scores are at one time or over all: calibration, cumulative gain, and lift by tier."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability(table: pd.DataFrame, *, probabilities: Any = None, ax: "Axes | None" = None) -> "Axes":
    """Draws how many really converted against the probability that was predicted, with intervals.

    Perfectly calibrated scores are on the diagonal. Both axes are logarithmic where the bins' mean probabilities span
    more than a factor of 30; a bin in which nobody converted is then a triangle at the bottom. The gray bars show where
    the samples are.

    Args:
        table: one row a bin: ``low_edge`` and ``high_edge``, ``samples``, ``mean_probability``, ``rate`` (the share
            that converted), ``rate_low`` and ``rate_high`` (its interval, NaN for none). Bins without samples are left
            out.
        probabilities: ``[N]`` of the samples, for finer gray bars than the bins'; None draws one bar a bin.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no bin has samples.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import reliability
        >>> bins = pd.DataFrame({"low_edge": [0, 0.02], "high_edge": [0.02, 0.2], "samples": [900, 100]})
        >>> bins = bins.assign(mean_probability=[0.01, 0.05], rate=[0.011, 0.04], rate_low=[0.006, 0.02])
        >>> ax = reliability(bins.assign(rate_high=[0.02, 0.1]))
        >>> ax.lines[-1].get_xydata().tolist()
        [[0.01, 0.011], [0.05, 0.04]]

    Source: Murphy and Winkler (1977), the reliability diagram.
    """
    rates = ["mean_probability", "rate"]
    numbers = ["low_edge", "high_edge", "samples", *rates, "rate_low", "rate_high"]
    table = style.readable(table, numbers=numbers, known=rates).sort_values("mean_probability")
    predicted, rate = table["mean_probability"].to_numpy(), table["rate"].to_numpy()
    low, high = table["rate_low"].fillna(table["rate"]), table["rate_high"].fillna(table["rate"])
    log, ax = style.spans_magnitudes(predicted), style.axes(ax)
    largest = min(max(high.max(), predicted.max()), 4 * max(rate.max(), predicted.max()))
    smallest = 0.5 * min(rate[rate > 0].min(initial=1), predicted.min()) if log else 0
    ends = (0.7 * predicted.min(), 1.4 * predicted.max()) if log else (0, 1.08 * predicted.max() or 1)
    if probabilities is not None:
        probabilities = np.asarray(probabilities, float)
        usual = np.nanquantile(probabilities[probabilities > 0], [0.005, 0.995]) if (probabilities > 0).any() else ends
        ends = (min(ends[0], usual[0]), max(ends[1], usual[1]))
    for which, values in (("x", ends), ("y", [smallest, largest])):
        style.probability_axis(ax, values, which=which, log=log)
    ax.set_xlim(*ends)
    if log:
        ax.set_ylim(smallest * (smallest / largest) ** 0.15, 1.2 * largest)  # room for the gray bars

    if probabilities is None:
        edges, counts = table[["low_edge", "high_edge"]].to_numpy().T.clip(*ends), table["samples"].fillna(0).to_numpy()
    else:
        cuts = np.geomspace(*ends, 41) if log else np.linspace(*ends, 41)
        counts = np.histogram(probabilities, cuts)[0]
        edges = np.stack([cuts[:-1], cuts[1:]])
    look = dict(color="#DDDDDD", edgecolor="white", linewidth=0.5, zorder=0, transform=ax.get_xaxis_transform())
    text, heights = f"samples\n(highest bar: {counts.max():,.0f})", 0.13 * counts / max(counts.max(), 1)
    bars = ax.bar(edges[0], heights, edges[1] - edges[0], align="edge", label=text, **look)
    diagonal = np.geomspace(*ends, 50) if log else np.linspace(*ends, 2)
    (ideal,) = ax.plot(diagonal, diagonal, label="perfectly calibrated", **style.REFERENCE)
    ax.vlines(predicted, np.maximum(low, 1e-12 if log else 0), high, color=style.COLORS[0], linewidth=1.5)
    handles = [bars, ideal]
    some = rate > 0 if log else np.ones(len(rate), bool)
    if not some.all():
        none = dict(color=style.COLORS[0], marker="v", markerfacecolor="white", markersize=7, linestyle="none")
        handles += ax.plot(predicted[~some], np.full((~some).sum(), smallest), label="no conversion", **none)
    look = dict(color=style.COLORS[0], marker="o", markersize=6, linewidth=1.2)
    handles += ax.plot(predicted, np.where(some, rate, np.nan), label="bins, with intervals", **look)
    ax.set(title="Predicted and observed conversions", xlabel="Predicted probability (mean of the bin)")
    ax.set_ylabel("Share that converted")
    style.legend(ax, handles[::-1])
    return ax


def gains(
    table: pd.DataFrame, *, base_rate: float | None = None, log: bool = False, ax: "Axes | None" = None
) -> "Axes":
    """Draws which share of the conversions the likeliest share of the samples holds.

    Of a share s, scores that say nothing hold s of the conversions, and perfect ones min(1, s / base rate).

    Args:
        table: rows of ``share`` (of the samples, the likeliest ones) and ``captured`` (share of all conversions that
            are among them). With a column ``precision`` (share of those samples that convert) the base rate is known.
        base_rate: the share of all samples that convert, for the perfect curve; None finds it from the precision, or
            draws no such curve.
        log: a logarithmic axis of shares, for lists that are short beside the market.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, nothing is known, or the base rate is no share.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import gains
        >>> ax = gains(pd.DataFrame({"share": [0.01, 0.1, 1.0], "captured": [0.2, 0.7, 1.0]}), base_rate=0.02)
        >>> [line.get_label() for line in ax.lines]
        ['perfect', 'in random order', 'by score']
    """
    table = style.readable(table, numbers=["share", "captured"], known=["share", "captured"]).sort_values("share")
    share, captured = table["share"].to_numpy(), table["captured"].to_numpy()
    if base_rate is None and "precision" in table:
        found = (table["precision"].astype("float64") * share / captured)[captured > 0].dropna()
        base_rate = found.iloc[-1] if len(found) else None
    if base_rate is not None and not 0 < base_rate <= 1:
        raise DataError(f"base_rate: {base_rate:g} is no share of samples that convert; it is above 0 and at most 1.")
    ax, first = style.axes(ax), share[(share > 0) & (share < 1)].min(initial=0.1)
    dense = np.geomspace(0.8 * first, 1, 200) if log else np.linspace(0, 1, 501)
    if base_rate is not None:
        dense = np.union1d(dense, [max(base_rate, dense[0])])  # the corner is where it is
        perfect = dict(color=style.COLORS[2], linewidth=1.2, linestyle="--", label="perfect")
        ax.plot(dense, np.minimum(dense / base_rate, 1), **perfect)
    ax.plot(dense, dense, label="in random order", **style.REFERENCE)
    if log:
        share, captured = share[share > 0], captured[share > 0]
    elif share[0] > 0:
        share, captured = np.append(0, share), np.append(0, captured)
    marker = dict(marker="o", markersize=4) if len(share) <= 25 else {}
    ax.plot(share, captured, color=style.COLORS[0], linewidth=2, label="by score", **marker)
    ax.fill_between(share, share, captured, color=style.COLORS[0], alpha=0.1, linewidth=0)
    for which in ("x", "y"):
        style.probability_axis(ax, dense, which=which, log=log and which == "x")
    ax.set(xlim=(dense[0], 1), ylim=(0, 1.03))
    ax.set(title="How many of the conversions are at the top of the list", ylabel="Share of the conversions found")
    ax.set_xlabel("Share of the samples, likeliest first")
    style.legend(ax, ax.get_legend_handles_labels()[0][::-1])
    return ax


def lift(table: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws how many times the average rate each tier converts at, with intervals.

    Args:
        table: one row a tier, drawn in the order given: ``tier`` (such as "High"), ``samples``, ``conversions``,
            ``rate`` (their ratio), ``lift`` (rate of the tier / rate of all) and its interval, ``low`` and ``high``;
            NaN where unknown.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no lift is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import lift
        >>> tiers = pd.DataFrame({"tier": ["High", "Low"], "samples": [100, 900], "conversions": [8, 2]})
        >>> ax = lift(tiers.assign(rate=[0.08, 0.0022], lift=[8, 0.22], low=[4, 0.1], high=[11, 0.7]))
        >>> [text.get_text() for text in ax.texts]
        ['8×   8 of 100 (8 %)', '0.22×   2 of 900 (0.22 %)', 'average']
    """
    numbers = ["samples", "conversions", "rate", "lift", "low", "high"]
    table = style.readable(table, keys=["tier"], numbers=numbers, known=["lift"], keep=True)
    ax = style.axes(ax, rows=len(table))
    style.row_axis(ax, map(style.label, table["tier"]))
    for place, row in enumerate(table.itertuples()):
        ax.barh(place, row.lift, height=0.6, color=style.COLORS[0] if row.lift >= 1 else style.COLORS[5])
        ax.hlines(place, row.low, row.high, color="black", linewidth=1.5)
        found = f"{row.conversions:,.0f} of {row.samples:,.0f}"
        times = f"{row.lift:.3g}" if row.lift >= 1 else f"{row.lift:.2g}"
        text = f"{times}×   {found} ({style.percent(row.rate)})" if np.isfinite(row.lift) else found
        end = np.nanmax([row.lift, row.high, 1])  # the line at 1 goes through no text
        ax.annotate(text, (end, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    ax.axvline(1, **style.REFERENCE)
    ax.text(1, 1, "average", transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=9)
    longest = np.nanmax(table[["lift", "high"]].to_numpy())
    ax.set(xlim=(0, 1.35 * max(longest, 1)), xlabel="Times the average rate of conversion")
    ax.set_title("How much more often each tier converts than the average", pad=20)
    style.grid(ax, "x")
    return ax
