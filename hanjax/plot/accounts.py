"""Accounts beside each other: a ranking, and when each is likely to convert."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ranking(accounts: pd.DataFrame, *, top: int = 20, ax: "Axes | None" = None) -> "Axes":
    """Draws the likeliest accounts, each with its probability now, the one before, and an arrow between them.

    The axis is logarithmic where the probabilities span more than a factor of 30.

    Args:
        accounts: ``account_id`` and ``probability``; optional ``probability_before`` (NaN for a new account),
            ``probability_low`` and ``probability_high`` (an interval), ``tier`` (which gives the color).
        top: how many to draw.
        ax: where to draw; None makes a new figure, as high as it needs to be.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if a column is missing, or no probability is known.

    Example:
        >>> import pandas as pd
        >>> from hanjax.plot import ranking
        >>> now = pd.DataFrame({"account_id": ["a", "b"], "probability": [0.02, 0.05]})
        >>> ax = ranking(now.assign(probability_before=[0.03, 0.01]))
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['b', 'a']
    """
    optional = ["probability_before", "probability_low", "probability_high"]
    accounts = accounts.assign(**{name: np.nan for name in optional if name not in accounts})
    numbers = ["probability", *optional]
    likeliest = style.readable(accounts, keys=["account_id"], numbers=numbers, known=["probability"])
    likeliest = likeliest.sort_values("probability", ascending=False, kind="stable")
    total, likeliest = len(likeliest), likeliest[:top]
    tiers = likeliest["tier"].map(str) if "tier" in likeliest else pd.Series("now", index=likeliest.index)
    colors = {tier: style.COLORS[place % len(style.COLORS)] for place, tier in enumerate(tiers.unique())}
    ax = style.axes(ax, rows=len(likeliest))
    style.row_axis(ax, map(style.label, likeliest["account_id"]))
    places = np.arange(len(likeliest))
    now, before, low, high = (likeliest[name].to_numpy() for name in numbers)
    color = [colors[tier] for tier in tiers]
    intervals = ax.hlines(places, low, high, color=style.GRID, linewidth=7, label="interval")
    ax.hlines(places, before, now, color=color, linewidth=1.5)
    hollow = dict(color=style.GRAY, marker="o", markerfacecolor="white", markersize=6, linestyle="none")
    (earlier,) = ax.plot(before, places, label="before", **hollow)
    handles: list[Any] = []
    for tier, of_tier in colors.items():
        for marker, moved in ((">", now > before), ("<", now < before), ("o", ~((now > before) | (now < before)))):
            mine = moved & (tiers == tier).to_numpy()
            ax.plot(now[mine], places[mine], marker=marker, color=of_tier, markersize=8, linestyle="none", zorder=3)
        look = dict(color=of_tier, marker="o", markersize=8, linestyle="none")
        handles += ax.plot([], [], label=style.label(tier), **look)
    handles += [earlier] if np.isfinite(before).any() else []
    handles += [intervals] if np.isfinite(low + high).any() else []
    style.probability_axis(ax, np.concatenate([now, before, low, high]), which="x")
    shown = (
        f"The {len(likeliest)} likeliest of {total:,} accounts" if total > len(likeliest) else "Accounts by probability"
    )
    ax.set(title=shown, xlabel="Probability of conversion in the next period")
    if len(handles) > 1:
        style.legend(ax, handles)
    return ax


def survival(curves: Any, labels: Sequence[Any], *, ax: "Axes | None" = None) -> "Axes":
    """Draws the probability of having converted within so many periods, a step a period.

    Args:
        curves: ``[B, n+1]`` of each account, for 0, 1, ... n periods ahead; of a DataFrame the columns are the periods.
        labels: ``[B]`` names of the accounts. More than 8 have no color, but for the 5 likeliest.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if there is no curve, none has a known value, or there is not one label for each.

    Example:
        >>> import numpy as np
        >>> from hanjax.plot import survival
        >>> ax = survival(np.array([[0, 0.02, 0.05], [0, 0.1, 0.15]]), ["a", "b"])
        >>> [line.get_label() for line in ax.lines]
        ['b', 'a']
    """
    table = curves if isinstance(curves, pd.DataFrame) else pd.DataFrame(np.asarray(curves))
    values, labels = table.to_numpy(float), list(labels)
    if not np.isfinite(values).any():
        raise DataError(f"curves: no known value in {values.shape[0]:,} curves of {values.shape[1]:,} values.")
    if len(labels) != len(values):
        raise DataError(f"labels: there are {len(labels):,}, for {len(values):,} curves; give one for each.")
    ax, ahead = style.axes(ax), style.moments(pd.Series(table.columns))
    order = sorted(range(len(values)), key=lambda row: np.nanmax(values[row], initial=0), reverse=True)
    looks = style.ranked([labels[row] for row in order], 4 if len(ahead) <= 20 else 0)
    for row, (_, text, look) in zip(order, looks, strict=True):
        ax.plot(ahead, values[row], label=text, drawstyle="steps-post", **look | dict(linewidth=1.8))
    style.probability_axis(ax, values, log=False)
    style.time_axis(ax, ahead)
    ax.set(title="How soon each account is likely to convert", xlabel="Periods ahead")
    ax.set_ylabel("Probability of having converted")
    style.legend(ax)
    return ax
