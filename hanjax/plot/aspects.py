"""Reasons: how accounts stand in each aspect, and what the aspects of one account add up to."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHADES = {"Low": 0.08, "Medium Low": 0.3, "Medium High": 0.5, "High": 0.85}
"""How dark the cell of a level is; that of another one, such as "No data", is white."""
_START = "starting point"
_MOST_LETTERS = 18


def aspects(reasons: pd.DataFrame, *, top: int = 15, ax: "Axes | None" = None) -> "Axes":
    """Draws a table of accounts and aspects: what is said of each, the darker the higher the account stands in it.

    Args:
        reasons: one row an account and aspect: ``account_id``, ``aspect``, ``level`` (from "Low" to "High"; others,
            such as "No data", stay white) and ``text`` (what is said; often the level itself); optional ``score``,
            which is rounded down. The ``long`` of an explanation is one; its starting point is left out.
        top: how many accounts to draw, the first ones of the table.
        ax: where to draw; None makes a new figure, as large as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, there is no row to draw, or a pair is there twice.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import aspects
        >>> reasons = pd.DataFrame({"account_id": ["a", "a"], "aspect": ["usage", "growth"], "level": ["Low", "High"]})
        >>> ax = aspects(reasons.assign(text=["Low", "Top industry"]))
        >>> [text.get_text() for text in ax.texts]
        ['Low', 'Top industry']
    """
    import matplotlib.pyplot as plt

    keys = ["account_id", "aspect"]
    table = style.readable(reasons, keys=keys, texts=["level", "text"])
    table = style.readable(table[table["aspect"] != _START])
    twice = table.duplicated(keys)
    if twice.any():
        first, remedy = table.loc[twice, keys].itertuples(index=False, name=None), "Keep one of them."
        raise DataError.rows("table", ", ".join(keys), "is there twice", count=twice.sum(), first=first, remedy=remedy)
    accounts, names = table["account_id"].unique(), table["aspect"].unique()
    shown = accounts[:top]
    levels, texts = (
        table.pivot(index=keys[0], columns=keys[1], values=column).reindex(index=shown, columns=names).to_numpy(object)
        for column in ("level", "text")
    )
    shades = np.array([[_SHADES.get(level, 0.0) for level in row] for row in levels]).reshape(len(shown), len(names))
    if ax is None:
        size = (max(4.0, 2.6 + 1.55 * len(names)), max(1.6, 0.9 + 0.36 * len(shown)))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    style.axes(ax)
    ax.pcolormesh(shades, cmap="Blues", vmin=0, vmax=1, edgecolor=style.GRID, linewidth=1)
    ax.invert_yaxis()
    for (row, column), text in np.ndenumerate(texts):
        dark, known = shades[row, column] > 0.6, levels[row, column] in _SHADES
        color = "white" if dark else "black" if known else style.GRAY
        said = "" if pd.isna(text) else style.label(text, _MOST_LETTERS)
        ax.text(column + 0.5, row + 0.5, said, ha="center", va="center", fontsize=9, color=color)
    labels = [style.label(account) for account in shown]
    if "score" in table:
        score = table.drop_duplicates("account_id").set_index("account_id")["score"]
        labels = [f"{label}  {int(score[account] + 1e-9)}" for label, account in zip(labels, shown, strict=True)]
    ax.set_yticks(np.arange(len(shown)) + 0.5, labels)
    ax.set_xticks(np.arange(len(names)) + 0.5, [style.label(name, _MOST_LETTERS) for name in names])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    more = f" (the first {len(shown)} of {len(accounts):,} accounts)" if len(accounts) > len(shown) else ""
    ax.set_title(f"How accounts stand in each aspect{more}", pad=12)
    return ax


def waterfall(reasons: pd.DataFrame, account: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draws how the aspects of one account lead from the average account to its own log-odds, bar by bar.

    Args:
        reasons: one row an account and aspect: ``account_id``, ``aspect``, ``contribution`` (log-odds) and ``baseline``
            (those of the average account); optional ``text``. The ``long`` of an explanation is one.
        account: its id.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column or the account is missing, or a contribution is unknown.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import waterfall
        >>> reasons = pd.DataFrame({"account_id": "a", "aspect": ["usage", "growth"], "contribution": [1.0, -0.25]})
        >>> ax = waterfall(reasons.assign(baseline=-3.0), "a")
        >>> [text.get_text() for text in ax.texts]
        ['-3.00', '+1.00', '-0.25', '-2.25']
    """
    numbers = ["contribution", "baseline"]
    table = style.readable(reasons, keys=["account_id", "aspect"], numbers=numbers)
    table = table[table["account_id"] == account]
    if table.empty:
        raise DataError(f"account: there are no reasons of {account!r}.")
    unknown = ~np.isfinite(table[numbers]).all(axis=1).to_numpy()
    if unknown.any():
        raise DataError.rows(
            "table", ", ".join(numbers), "is unknown", count=int(unknown.sum()), first=table["aspect"][unknown],
            remedy="Without it the bars do not add up.",
        )  # fmt: skip
    order = np.lexsort((-table["contribution"].abs(), table["aspect"] != _START))
    table = table.iloc[order]
    steps = table["contribution"].to_numpy()
    begin = table["baseline"].iloc[0] + np.cumsum(steps) - steps
    end, places = begin + steps, np.arange(1, len(steps) + 1)
    names = [style.label(name) for name in table["aspect"]]
    if "text" in table:
        names = [f"{n}: {style.label(t, 16)}" if t else n for n, t in zip(names, table["text"].fillna(""), strict=True)]
    ax = style.axes(ax, rows=len(steps) + 2)
    style.row_axis(ax, ["average account", *names, "this account"])
    ax.barh(places, steps, left=begin, height=0.6, color=np.where(steps >= 0, style.COLORS[0], style.COLORS[1]))
    ends = np.array([begin[0], end[-1]])
    ax.plot(ends, [0, len(steps) + 1], marker="D", color="black", markersize=7, linestyle="none")
    for place, value in zip([*places - 1, len(steps)], [*begin, end[-1]], strict=True):
        ax.plot([value, value], [place, place + 1], color=style.GRAY, linewidth=0.8)
    low, high = min(begin.min(), end.min()), max(begin.max(), end.max())
    room = max(high - low, 1e-6)
    told = [f"{ends[0]:.2f}", *(f"{step:+.2f}" for step in steps), f"{ends[1]:.2f}"]
    right = [ends[0], *np.maximum(begin, end), ends[1]]
    for place, (text, at) in enumerate(zip(told, right, strict=True)):
        ax.text(at + 0.02 * room, place, text, va="center", fontsize=9)
    ax.set_xlim(low - 0.05 * room, high + 0.16 * room)
    style.grid(ax, "x")
    ax.set(title=f"What the log-odds of {style.label(account)} are made of", xlabel="Log-odds of conversion")
    return ax
