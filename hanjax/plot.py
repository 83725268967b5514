"""Pictures of scores and of training. Matplotlib is imported when the first one is drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.types import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6914", "#555555")
"""Okabe and Ito (2008), told apart by color-blind readers; their yellow is too pale for thin lines on white."""
_MARKERS = "osD^vP*X"
_ALL_NAMED, _TOP_NAMED = 8, 5
"""Up to 8 individuals all have a color; of more than that only the top 5, and the others are gray."""


def trajectory(scores: Scores, account_id: Any, *, converted_at: Any = None, ax: "Axes | None" = None) -> "Axes":
    """Draws one account's probability over time as a thick line, and its individuals' scores as thin ones.

    The axis of probabilities is logarithmic where they span more than a factor of 30.

    Args:
        scores: what ``hanjax.score`` gives for every cut-off.
        account_id: the account to draw.
        converted_at: date of its conversion, drawn as a vertical line; None for none.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        DataError: if the account has no score.

    Example:
        >>> import pandas as pd
        >>> from hanjax.types import Scores
        >>> weeks = pd.date_range("2026-01-04", periods=3, freq="7D", tz="UTC")
        >>> accounts = pd.DataFrame({"account_id": "a1", "cutoff": weeks, "probability": [0.01, 0.02, 0.05]})
        >>> people = pd.DataFrame({"account_id": "a1", "individual_id": "i1", "cutoff": weeks, "score": 0.01})
        >>> ax = trajectory(Scores(accounts, people), "a1")
        >>> [line.get_label() for line in ax.lines]
        ['i1', 'account']

    Source: figure 1 of the paper.
    """
    account, members = _of(scores.accounts, account_id), _of(scores.individuals, account_id)
    if account.empty:
        known = scores.accounts["account_id"].unique()
        examples = ", ".join(repr(name) for name in known[:5].tolist()) or "none"
        raise DataError(f"account_id: no score for {account_id!r}; {len(known):,} accounts have one: {examples}, ...")
    by_member = dict(tuple(members.groupby("individual_id", sort=True)))
    ranked = sorted(by_member, key=lambda name: by_member[name]["score"].max(), reverse=True)
    named = ranked if len(ranked) <= _ALL_NAMED else ranked[:_TOP_NAMED]

    ax = ax or _new_axes()
    size = 5 if len(account) <= 20 else 3
    for place, name in enumerate(ranked):
        of_member = by_member[name]
        if place < len(named):
            look = dict(color=_COLORS[place], marker=_MARKERS[place], markersize=size, linewidth=1.2)
            label = _short(name)
        else:
            look = dict(color="#BBBBBB", marker=".", markersize=3, linewidth=0.8, zorder=1.5)
            label = f"{len(ranked) - len(named)} others" if place == len(named) else f"_{name}"  # _: not in the legend
        ax.plot(_wall_time(of_member["cutoff"]), of_member["score"], label=label, **look)
    thick = dict(color="black", linewidth=3.5, marker="o", markersize=size + 2, zorder=2.5)
    ax.plot(_wall_time(account["cutoff"]), account["probability"], label="account", **thick)
    if converted_at is not None:
        when = _wall_time(pd.Series([pd.Timestamp(converted_at)]))[0]
        ax.axvline(when, color="black", linestyle=":", linewidth=1.5, label=f"converted {when:%Y-%m-%d}")

    _probability_axis(ax, np.concatenate([account["probability"], members["score"]]).astype(float))
    _date_axis(ax, _wall_time(account["cutoff"]))
    ax.set(title=f"Account {account_id}", ylabel="Probability of conversion\nin the next period")
    lines, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] != "account")
    texts = [labels[i] for i in order]
    ax.legend([lines[i] for i in order], texts, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return ax


def history(history: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draws the loss and the validation AUC of each epoch, and marks the epoch with the best AUC.

    Args:
        history: one row an epoch: ``epoch``, ``loss`` and, where there was a validation, ``validation_auc``.
        ax: where to draw the loss; the AUC has its own scale on the right. None makes a new figure.

    Returns:
        The axes of the loss.

    Raises:
        DataError: if there is no epoch in it.

    Example:
        >>> import pandas as pd
        >>> epochs = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.7, 0.5, 0.4], "validation_auc": [0.6, 0.8, 0.7]})
        >>> ax = history(epochs)
        >>> ax.get_legend().get_texts()[-1].get_text()
        'best: epoch 2, AUC 0.800'
    """
    from matplotlib.ticker import MaxNLocator

    if history.empty:
        raise DataError("history: no epoch has been trained yet.")
    ax = ax or _new_axes()
    style = dict(color=_COLORS[0], marker="o", markersize=6, linewidth=1.8)
    handles = ax.plot(history["epoch"], history["loss"], label="training loss", **style)
    ax.set(title="Training", xlabel="Epoch")
    ax.set_ylabel("Training loss", color=_COLORS[0])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(history) == 1:
        ax.set_xticks(history["epoch"])
    if "validation_auc" in history and np.isfinite(history["validation_auc"].to_numpy(float)).any():
        right = ax.twinx()
        right.spines[["top", "left"]].set_visible(False)
        auc = history["validation_auc"]
        style = dict(color=_COLORS[1], marker="s", markersize=4, linewidth=1.8, linestyle="--")
        handles += right.plot(history["epoch"], auc, label="validation AUC", **style)
        right.set_ylabel("Validation AUC", color=_COLORS[1])
        best = history.loc[auc.idxmax()]
        label = f"best: epoch {best['epoch']:.0f}, AUC {best['validation_auc']:.3f}"
        handles.append(right.axvline(best["epoch"], color="black", linestyle=":", linewidth=1.5, label=label))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return ax


def _new_axes() -> "Axes":
    """Axes of a new figure that keeps room for labels and legend; without a display it is drawn in memory."""
    import matplotlib.pyplot as plt

    ax = plt.subplots(figsize=(9, 4.5), layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _of(table: pd.DataFrame, account_id: Any) -> pd.DataFrame:
    rows: pd.DataFrame = table[table["account_id"] == account_id]
    return rows.sort_values("cutoff")


def _short(name: Any) -> str:
    """An id that leaves room for the picture."""
    return str(name) if len(str(name)) <= 24 else f"{str(name)[:23]}…"


def _wall_time(times: pd.Series) -> np.ndarray:
    """Dates as the panel's own time zone shows them, without the zone: they are labels here."""
    naive = times.dt.tz_localize(None) if times.dt.tz is not None else times
    return naive.astype("datetime64[us]").dt.to_pydatetime().to_numpy()


def _probability_axis(ax: "Axes", values: np.ndarray) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 30 * finite.min():
        ax.set_yscale("log")
        decades = np.log10(finite.max() / finite.min())
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_ylim(0, 1.08 * finite.max() if finite.size and finite.max() > 0 else 1)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)


def _date_axis(ax: "Axes", cutoffs: np.ndarray) -> None:
    """Few cut-offs are all labeled with their dates; of many, the months are."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if len(cutoffs) <= 8:
        years = ["", *(when.year for when in cutoffs)]
        names = [f"{when:%b} {when.day}" + f"\n{when.year}" * (when.year != years[i]) for i, when in enumerate(cutoffs)]
        ax.set_xticks(cutoffs, names)
    else:
        locator = AutoDateLocator(minticks=4, maxticks=10)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    if len(cutoffs) == 1:
        low, high = ax.dataLim.intervalx
        ax.set_xlim(low - 3, high + 3)
