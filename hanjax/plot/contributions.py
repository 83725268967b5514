"""What carried a score: which person, in which period, and which activities."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 20
_LETTER, _DATE = 5.2, 45
"""Width in points of a letter, at the size of the texts within cells, and of a date."""


def heat_map(table: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws which share of an account's score each person carried in each period: the darker, the more.

    People are in the order of their shares, which are written on the right; of more than 20 the others have but that.

    Args:
        table: one row for each of some pairs of ``individual_id`` and ``period`` (a date or a number), with ``weight``
            (its share of the score) and ``activities`` (their number, or a text), which is written within the cell
            where there is room.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, no weight is known, or a pair is there twice.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import heat_map
        >>> pairs = pd.DataFrame({"individual_id": ["i1", "i2", "i2"], "period": [1, 1, 2], "activities": [3, 1, 2]})
        >>> ax = heat_map(pairs.assign(weight=[0.2, 0.3, 0.5]))
        >>> [text.get_text() for text in ax.get_yticklabels()], [text.get_text() for text in ax.texts]
        (['i2', 'i1'], ['80 %', '20 %', '1', '2', '3'])
    """
    keys = ["individual_id", "period"]
    table = style.readable(table, keys=keys, texts=["activities"], numbers=["weight"], known=["weight"])
    twice = table.duplicated(keys)
    if twice.any():
        first, remedy = table.loc[twice, keys].itertuples(index=False, name=None), "Add up their weights."
        raise DataError.rows("table", ", ".join(keys), "is there twice", count=twice.sum(), first=first, remedy=remedy)
    weights = table.pivot(index=keys[0], columns=keys[1], values="weight").fillna(0).sort_index(axis=1)
    weights = weights.loc[weights.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    texts = table.pivot(index=keys[0], columns=keys[1], values="activities").reindex_like(weights).to_numpy(object)
    shades, names = weights.to_numpy(), [style.label(name, 20) for name in weights.index]
    shares = shades.sum(axis=1)
    if len(names) > _MOST_ROWS:
        names = [*names[:_MOST_ROWS], f"{len(names) - _MOST_ROWS} others"]
        shares = np.append(shares[:_MOST_ROWS], shares[_MOST_ROWS:].sum())
        shades, texts = shades[:_MOST_ROWS], texts[:_MOST_ROWS]

    ax = style.axes(ax, rows=len(names))
    style.row_axis(ax, names)
    for row, share in enumerate(shares):
        ax.text(1.01, row, style.percent(share), transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    most, (people, periods) = max(shades.max(), 1e-12), shades.shape
    mesh = ax.pcolormesh(_edges(periods), _edges(people), shades, cmap="Blues", vmin=0, vmax=most)
    mesh.set(edgecolor="white", linewidth=1 if periods <= 30 else 0.3)
    ax.set_ylim(len(names) - 0.5, -0.5)
    when = style.moments(weights.columns.to_series())
    ax.set_xticks([0], style.date_names(when[:1]))  # the others are as high
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="x", length=0)
    style.color_bar(ax, mesh, "Share of the score")
    ax.set_title("Who carried the score, and when")
    ax.figure.figure.draw_without_rendering()  # lays the axes out, which tells how wide the cells are
    width = ax.get_window_extent().width * 72 / ax.figure.dpi
    fit = int(np.clip(width / _DATE, 1, 10))
    shown = np.arange(periods - 1, -1, -periods // fit)[::-1]  # the last one has a name
    ax.set_xticks(shown, style.date_names(when[shown]))
    room = int(width / periods / _LETTER) - 1
    for (row, column), value in np.ndenumerate(texts):
        text = _brief(value, room)
        if text:
            color = "white" if shades[row, column] > 0.55 * most else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    return ax


def activities(table: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws which share of a score each kind of activity carried, the largest on top.

    Args:
        table: ``activity`` and ``weight`` (its share of the score); the weights of rows with the same activity are
            added up. Of more than 20 activities the rest is one bar.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no weight is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import activities
        >>> ax = activities(pd.DataFrame({"activity": ["visit", "demo", "visit"], "weight": [0.1, 0.7, 0.2]}))
        >>> [text.get_text() for text in ax.get_yticklabels()], [text.get_text() for text in ax.texts]
        (['demo', 'visit'], ['70 %', '30 %'])
    """
    table = style.readable(table, keys=["activity"], numbers=["weight"], known=["weight"])
    sums: pd.Series = table.groupby("activity", observed=True)["weight"].sum()
    sums = sums.sort_values(ascending=False, kind="stable")
    names, shares = [style.label(name, 40) for name in sums.index], sums.to_numpy()
    if len(names) > _MOST_ROWS:
        names = [*names[:_MOST_ROWS], f"{len(names) - _MOST_ROWS} others"]
        shares = np.append(shares[:_MOST_ROWS], shares[_MOST_ROWS:].sum())
    ax = style.axes(ax, rows=len(names))
    style.row_axis(ax, names)
    bars = ax.barh(np.arange(len(names)), shares, height=0.6, color=style.COLORS[0])
    ax.bar_label(bars, [style.percent(share) for share in shares], padding=4, fontsize=9)
    style.probability_axis(ax, 1.05 * shares, which="x", log=False)
    ax.set(title="Which activities carried the score", xlabel="Share of the score")
    return ax


def _edges(count: int) -> np.ndarray:
    return np.arange(count + 1) - 0.5


def _brief(value: Any, room: int) -> str:
    """What fits of a number or text into a cell: numbers whole or not at all, of texts at least eight letters."""
    if pd.isna(value) or value == 0:
        return ""
    text = value if isinstance(value, str) else f"{value:g}"
    least = 8 if isinstance(value, str) else len(text)
    return style.label(text, room) if room >= min(len(text), least) else ""
