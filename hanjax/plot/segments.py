"""What is learned of segments, one below the other: offsets with their intervals, and how much they rest on."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OPTIONAL = ("horizon", "samples", "conversions", "tau")
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
    optional = [name for name in _OPTIONAL if name in table]
    table = style.readable(table, numbers=optional).reindex(columns=list(dict.fromkeys([*table, *_OPTIONAL])))
    table = table[~(table["horizon"] > table["horizon"].min())]
    # Those that rest on the most come first; where nothing is known of that, the surest.
    order = table.sort_values(["samples", "sd"], ascending=[False, True], kind="stable")
    kept = order.groupby("factor", sort=False).head(most)
    left, factors = len(table) - len(kept), list(dict.fromkeys(table["factor"]))
    table = kept.sort_values("intercept", ascending=False, kind="stable")
    table = table.sort_values("factor", key=lambda names: names.map(factors.index), kind="stable")
    several = len(factors) > 1
    ax = style.axes(ax, rows=len(table))
    names = [style.label(f"{r.factor} {r.level}" if several else r.level, 40) for r in table.itertuples()]
    value, half = table["intercept"].to_numpy(float), _HALF * table["sd"].to_numpy(float)
    values = np.stack([value, value - half, value + half], axis=1)
    sure = (values[:, 1] > 0) | (values[:, 2] < 0)
    texts = [
        f"{value:+.2f}" + (f"  [{low:+.2f}, {high:+.2f}]" if np.isfinite(low) else "") + _counts(*counts)
        for (value, low, high), counts in zip(values, table[["samples", "conversions"]].to_numpy(float), strict=True)
    ]
    style.forest(ax, names, values, [style.COLORS[0] if certain else style.PALE for certain in sure], texts)
    _bands(ax, table["factor"].tolist(), table["tau"].to_numpy(float))
    ax.axvline(0, color="black", linewidth=1)
    others = f", without {left:,} small ones" if left else ""
    ax.set(
        title=f"Offset of each {'segment' if several else style.label(factors[0])}{others}",
        xlabel="Log-odds apart from the global model (gray: zero is not ruled out; band: 95 % of all segments)",
    )
    return ax


def _counts(samples: float, conversions: float) -> str:
    """How many conversions a segment has among how many samples, as far as that is known."""
    if not np.isfinite(samples):
        return ""
    return f"  {conversions:,.0f} of {samples:,.0f}" if np.isfinite(conversions) else f"  of {samples:,.0f}"


def _bands(ax: "Axes", factors: list[str], tau: np.ndarray) -> None:
    """Where the prior of each factor has 95 % of all its segments; those of a factor stand together."""
    for factor in dict.fromkeys(factors):
        rows = [place for place, name in enumerate(factors) if name == factor]
        half = _HALF * tau[rows[0]]
        if np.isfinite(half):
            span = [rows[0] - 0.5, rows[-1] + 0.5]
            ax.fill_betweenx(span, -half, half, color=style.GRID, alpha=0.6, zorder=0, linewidth=0)
