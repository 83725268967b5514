"""One account over time, and the course of training."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot._style import COLORS, axes, label, legend, moments, probability_axis, ranked, time_axis
from hanjax.types import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    names = sorted(by_member, key=lambda name: by_member[name]["score"].max(), reverse=True)

    ax = axes(ax)
    size = 5 if len(account) <= 20 else 3
    for name, text, look in ranked(names, size):
        ax.plot(moments(by_member[name]["cutoff"]), by_member[name]["score"], label=text, **look)
    thick = dict(color="black", linewidth=3.5, marker="o", markersize=size + 2, zorder=2.5)
    ax.plot(moments(account["cutoff"]), account["probability"], label="account", **thick)
    if converted_at is not None:
        when = moments(pd.Series([pd.Timestamp(converted_at)]))[0]
        ax.axvline(when, color="black", linestyle=":", linewidth=1.5, label=f"converted {when:%Y-%m-%d}")

    probability_axis(ax, np.concatenate([account["probability"], members["score"]]).astype(float))
    time_axis(ax, moments(account["cutoff"]))
    ax.set(title=f"Account {label(account_id, 60)}", ylabel="Probability of conversion\nin the next period")
    lines = ax.get_legend_handles_labels()[0]
    legend(ax, sorted(lines, key=lambda line: line.get_label() != "account"))
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
    ax = axes(ax)
    style = dict(color=COLORS[0], marker="o", markersize=6, linewidth=1.8)
    handles = ax.plot(history["epoch"], history["loss"], label="training loss", **style)
    ax.set(title="Training", xlabel="Epoch")
    ax.set_ylabel("Training loss", color=COLORS[0])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(history) == 1:
        ax.set_xticks(history["epoch"])
    if "validation_auc" in history and np.isfinite(history["validation_auc"].to_numpy(float)).any():
        right = ax.twinx()
        right.spines[["top", "left"]].set_visible(False)
        auc = history["validation_auc"]
        style = dict(color=COLORS[1], marker="s", markersize=4, linewidth=1.8, linestyle="--")
        handles += right.plot(history["epoch"], auc, label="validation AUC", **style)
        right.set_ylabel("Validation AUC", color=COLORS[1])
        best = history.loc[auc.idxmax()]
        best_text = f"best: epoch {best['epoch']:.0f}, AUC {best['validation_auc']:.3f}"
        handles.append(right.axvline(best["epoch"], color="black", linestyle=":", linewidth=1.5, label=best_text))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return ax


def _of(table: pd.DataFrame, account_id: Any) -> pd.DataFrame:
    rows: pd.DataFrame = table[table["account_id"] == account_id]
    return rows.sort_values("cutoff")
