"""The report's pictures. Matplotlib is imported when one is drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax.types import Scores

_BLUE, _ORANGE, _GRAY = "#0072B2", "#D55E00", "#999999"


def draw_experiments(table: list[dict[str, Any]], path: Path, *, prefix: str = "") -> None:
    """Draws each row's AUC with its interval beside the paper's figure.

    Args:
        table: the report's table of experiments.
        path: of the PNG.
        prefix: "" for the frozen test, "fresh_" for fresh accounts.
    """
    plt = _pyplot()
    shown = [record for record in table if record.get(f"{prefix}auc") is not None]
    figure, ax = plt.subplots(figsize=(9, 0.36 * len(shown) + 1.4), layout="constrained")
    y = np.arange(len(shown))[::-1]
    value = np.array([record[f"{prefix}auc"] for record in shown])
    ends = [[record.get(f"{prefix}auc_{end}") for record in shown] for end in ("low", "high")]
    low, high = (np.array(end, float) for end in ends)
    error = np.array([value - low, high - value]).clip(0)
    ax.errorbar(value, y, xerr=error, fmt="o", color=_BLUE, markersize=6, capsize=3, label="here, 95 % interval")
    told = [(record["paper"], place) for record, place in zip(shown, y, strict=True) if record["paper"] is not None]
    if told:
        ax.plot(*zip(*told, strict=True), "D", color=_ORANGE, markersize=6, label="paper", linestyle="none")
    ax.axvline(0.5, color=_GRAY, linewidth=1, linestyle=":")
    ax.set_yticks(y, [_cut(record["title"], 70) for record in shown])
    ax.set_xlabel("AUC")
    ax.grid(axis="x", color="#E5E5E5")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def draw_grid(table: list[dict[str, Any]], path: Path) -> None:
    """Draws AUCs by row and world as a heat map; the best that learned in each world has a frame.

    Args:
        table: the report's grid.
        path: of the PNG.
    """
    plt = _pyplot()
    rules = [name for name in table[0] if name not in ("row", "title", "kind")]
    values = np.array([[np.nan if r[rule] is None else r[rule] for rule in rules] for r in table], float)
    figure, ax = plt.subplots(figsize=(1.15 * len(rules) + 4.2, 0.42 * len(table) + 1.6), layout="constrained")
    image = ax.imshow(values, cmap="cividis", vmin=0.5, vmax=max(np.nanmax(values, initial=0.6), 0.6), aspect="auto")
    learned = np.array(["oracle" not in record["kind"] for record in table])
    for (i, j), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        bright = value > 0.5 + 0.62 * (image.norm.vmax - 0.5)
        best = learned[i] and value == np.nanmax(values[learned, j])
        weight = "bold" if best else "normal"
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if bright else "white", weight=weight)
        if best:
            ax.add_patch(plt.Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, fill=False, edgecolor="white", linewidth=2))
    if (~learned).any():
        ax.axhline(np.flatnonzero(~learned)[0] - 0.5, color="white", linewidth=3)
    ax.set_xticks(np.arange(len(rules)), [rule.replace("_", "\n") for rule in rules])
    ax.set_yticks(np.arange(len(table)), [_cut(record["title"].split(":")[0], 48) for record in table])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title("AUC by model and by the rule that the accounts decide by")
    figure.colorbar(image, ax=ax, label="AUC", shrink=0.7)
    _save(figure, path)


def draw_crossings(table: list[dict[str, Any]], path: Path) -> None:
    """Draws how early, and how often, a threshold is crossed before conversion, against false alarms.

    Args:
        table: the report's table of thresholds.
        path: of the PNG.
    """
    plt = _pyplot()
    found = pd.DataFrame(table).astype(float)
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    share = 100 * found["false_alarms"]
    axes[0].plot(share, 100 * found["caught"], "o-", color=_BLUE)
    axes[0].plot([0, 100], [0, 100], color=_GRAY, linestyle=":", label="as often as the others")
    axes[0].set(xlabel="False alarms: accounts that never convert\nand cross (%)", xlim=(0, 1.05 * share.max()))
    axes[0].set(ylabel="Converting accounts that cross\nbefore they convert (%)", ylim=(0, 103))
    axes[0].legend(frameon=False, loc="lower right")
    axes[1].fill_between(share, found["quarter"], found["three_quarters"], color=_BLUE, alpha=0.2, label="quartiles")
    axes[1].plot(share, found["periods_before"], "o-", color=_BLUE, label="median")
    axes[1].set(xlabel="False alarms: accounts that never convert\nand cross (%)", xlim=(0, 1.05 * share.max()))
    axes[1].set(ylabel="Periods from the first crossing\nto the conversion", ylim=(0, None))
    axes[1].legend(frameon=False, loc="upper left")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#E5E5E5")
        ax.set_axisbelow(True)
    _save(figure, path)


def draw_accounts(scores: Scores, accounts: list[tuple[Any, Any, str]], path: Path) -> None:
    """Draws the trajectories of accounts and their individuals, one below the other.

    Args:
        scores: of every cut-off.
        accounts: id, time of conversion (None if there is none) and title of each.
        path: of the PNG.
    """
    from hanjax.plot import trajectory

    plt = _pyplot()
    figure, axes = plt.subplots(len(accounts), 1, figsize=(9, 4 * len(accounts)), layout="constrained", squeeze=False)
    for ax, (account, converted_at, title) in zip(axes[:, 0], accounts, strict=True):
        trajectory(scores, account, converted_at=converted_at, ax=ax)
        ax.set_title(title)
        ax.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_members(table: list[dict[str, Any]], path: Path) -> None:
    """Draws how well each row orders the members of an account.

    Args:
        table: the report's table of individuals.
        path: of the PNG.
    """
    plt = _pyplot()
    ranked = sorted(table, key=lambda record: record["concordance"])
    figure, ax = plt.subplots(figsize=(9, 0.36 * len(ranked) + 1.1), layout="constrained")
    value = np.array([record["concordance"] for record in ranked], float)
    ends = [np.array([record[f"concordance_{end}"] for record in ranked], float) for end in ("low", "high")]
    colors = [_ORANGE if record["row"] == "activities" else _BLUE for record in ranked]
    ax.hlines(np.arange(len(ranked)), *ends, color=colors, linewidth=2)
    ax.scatter(value, np.arange(len(ranked)), color=colors, zorder=3)
    ax.axvline(0.5, color=_GRAY, linestyle=":", linewidth=1)
    ax.set_yticks(np.arange(len(ranked)), [_cut(record["title"], 62) for record in ranked])
    ax.set_xlabel("Pairs of members in the order of their true interest (0.5: chance)")
    ax.grid(axis="x", color="#E5E5E5")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path) -> None:
    partial = path.with_name(f".{path.stem}.partial.png")
    figure.savefig(partial, dpi=130, bbox_inches="tight")
    partial.replace(path)
    _pyplot().close(figure)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
