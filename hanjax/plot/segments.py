"""What is learned of segments, one below the other: offsets with their intervals, and how much they rest on."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HALF = 1.96
"""Half of a 95 % interval, in standard deviations."""


def segments(table: pd.DataFrame, *, most: int = 40, ax: "Axes | None" = None) -> "Axes":
    """Draws the offset of each segment with its 95 % interval; where zero is outside of it, the offset has a color.

    Segments stand factor by factor, the highest offset on top; on the right is how many samples and conversions each
    rests on, where that is known. The band is where the learned prior has 95 % of all segments.

    Args:
        table: ``hanjax.api.segment_effects``, of one horizon or, if there are several, of which the first is drawn:
            ``factor``, ``level``, ``intercept`` and its ``sd``; NaN where unknown. ``samples``, ``conversions``,
            ``tau`` and ``horizon`` if they are there.
        most: how many segments of each factor, at most; the others are those with the fewest samples or, without
            samples, the most uncertain ones, and the title says how many they are.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no offset is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import segments
        >>> found = pd.DataFrame({"factor": "region", "level": ["north", "south"], "intercept": [0.4, -0.4]})
        >>> ax = segments(found.assign(sd=[0.1, 0.3], samples=[900, 40], conversions=[90, 1], tau=0.5))
        >>> [text.get_text() for text in ax.texts]
        ['+0.40  [+0.20, +0.60]  90 of 900', '-0.40  [-0.99, +0.19]  1 of 40']
    """
    table = style.readable(table, keys=["factor", "level"], numbers=["intercept", "sd"], known=["intercept"])
    if "horizon" in table and table["horizon"].notna().any():
        table = table[table["horizon"] == table["horizon"].min()]
    size = table["samples"] if "samples" in table and table["samples"].notna().any() else -table["sd"]
    kept = size.rank(ascending=False, method="first").groupby(table["factor"]).rank() <= most
    left, table = int((~kept).sum()), table[kept]
    place = table["factor"].map({name: i for i, name in enumerate(dict.fromkeys(table["factor"]))})
    table = table.assign(place=place).sort_values(["place", "intercept"], ascending=[True, False], kind="stable")
    ax, several = style.axes(ax, rows=len(table)), table["factor"].nunique() > 1
    style.row_axis(ax, [style.label(f"{r.factor} {r.level}" if several else r.level, 40) for r in table.itertuples()])
    for row, (value, sd) in enumerate(table[["intercept", "sd"]].to_numpy()):
        low, high = value - _HALF * sd, value + _HALF * sd
        color = style.COLORS[0] if low > 0 or high < 0 else style.PALE
        ax.hlines(row, low, high, color=color, linewidth=2.5)
        ax.plot(value, row, "o", color=color, markersize=8)
        text = f"{value:+.2f}" + (f"  [{low:+.2f}, {high:+.2f}]" if np.isfinite(sd) else "")
        ax.text(1.02, row, text + _counts(table.iloc[row]), transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    if "tau" in table:
        _bands(ax, table)
    ax.axvline(0, color="black", linewidth=1)
    style.grid(ax, "x")
    others = f", without {left:,} small ones" if left else ""
    ax.set(
        title=f"Offset of each {'segment' if several else style.label(table['factor'].iloc[0])}{others}",
        xlabel="Log-odds apart from the global model (gray: zero is not ruled out)",
    )
    return ax


def _counts(row: pd.Series) -> str:
    """How many conversions a segment has among how many samples, as far as that is known."""
    samples, conversions = (row.get(name, np.nan) for name in ("samples", "conversions"))
    if not np.isfinite(samples):
        return ""
    return f"  {conversions:,.0f} of {samples:,.0f}" if np.isfinite(conversions) else f"  of {samples:,.0f}"


def _bands(ax: "Axes", table: pd.DataFrame) -> None:
    """Where the prior of each factor has 95 % of all its segments."""
    begin = 0
    for _, own in table.groupby("place"):
        tau, end = own["tau"].iloc[0], begin + len(own)
        if np.isfinite(tau):
            span = [begin - 0.5, end - 0.5]
            ax.fill_betweenx(span, -_HALF * tau, _HALF * tau, color=style.GRID, alpha=0.6, zorder=0, linewidth=0)
        begin = end
