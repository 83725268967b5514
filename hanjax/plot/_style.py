"""What the pictures share: colors, axes, labels, and the check of the table that is to be drawn."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from hanjax.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6914", "#555555")
"""Okabe and Ito (2008), told apart by color-blind readers; their yellow is too pale for thin lines on white."""
MARKERS = "osD^vP*X"
GRAY, PALE, GRID = "#777777", "#BBBBBB", "#E5E5E5"
REFERENCE = dict(color="#555555", linewidth=1.2, linestyle=":")
"""Look of a line to compare with: chance, the average, perfect calibration."""
_ALL_NAMED, _TOP_NAMED = 8, 5
"""Up to 8 curves all have a color; of more than that only the top 5, and the others are gray."""


def readable(
    table: pd.DataFrame,
    *,
    keys: Sequence[str] = (),
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    known: Sequence[str] = (),
    keep: bool = False,
) -> pd.DataFrame:
    """The rows of a table that can be drawn, their numbers as float64.

    Args:
        table: what the user gave.
        keys: columns that have to be there and in which no value may be missing.
        texts: columns that have to be there.
        numbers: columns of numbers, NaN where unknown.
        known: those among them without which there is nothing to draw: rows where one is unknown are left out.
        keep: leave such rows in, if one row at least has all that is needed.

    Raises:
        DataError: if a column is missing, a key is unknown, a number is none, or no row is left.
    """
    missing = [name for name in (*keys, *texts, *numbers) if name not in table]
    if missing:
        raise DataError(f"table: there is no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")
    for name in keys:
        unknown = table[name].isna().to_numpy()
        if unknown.any():
            first, remedy = np.flatnonzero(unknown), "Leave these rows out."
            raise DataError.rows("table", name, "is missing", count=len(first), first=first, remedy=remedy)
    try:
        table = table.assign(**{name: table[name].astype("float64") for name in numbers})
    except (TypeError, ValueError) as problem:
        raise DataError(f"table: {', '.join(numbers)} have to be numbers ({problem}).") from None
    rows = table[np.isfinite(table[list(known)].to_numpy()).all(axis=1)] if known else table
    if rows.empty:
        told = f", and {', '.join(known)} unknown in all of the {len(table):,}" if len(table) else ""
        raise DataError(f"table: no rows to draw{told}.")
    return table if keep else rows


def axes(ax: "Axes | None", *, rows: int = 0) -> "Axes":
    """The given axes, or those of a new figure, which keeps room for labels and legend.

    Args:
        ax: what the user gave.
        rows: names that stand below each other, for which a new figure has just the height; 0 for none.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        height = max(2.4, 1.5 + 0.3 * rows) if rows else 4.5
        ax = plt.subplots(figsize=(9, height), layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def label(name: Any, most: int = 24) -> str:
    """A name as text that leaves room for the picture, and that matplotlib shows as it is."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(name))
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    text = text.replace("$", r"\$")  # two of them would enclose a formula
    return f" {text}" if text.startswith("_") else text  # legends leave out what begins so


def percent(value: float) -> str:
    """A share in per cent, with three digits: even rates of a thousandth can be read."""
    return f"{100 * value:.3g} %"


def ranked(names: Sequence[Any], size: float) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """Each of some curves with its label and its look: the first ones have colors, of many the others are gray.

    Args:
        names: of the curves, the most important first.
        size: of their markers.
    """
    named = len(names) if len(names) <= _ALL_NAMED else _TOP_NAMED
    for place, name in enumerate(names):
        if place < named:
            look = dict(color=COLORS[place], marker=MARKERS[place], markersize=size, linewidth=1.2)
            yield name, label(name), look
        else:
            look = dict(color=PALE, marker=".", markersize=3, linewidth=0.8, zorder=1.5)
            yield name, f"{len(names) - named} others" if place == named else f"_{name}", look  # _: not in the legend


def legend(ax: "Axes", handles: Sequence[Any] | None = None, **options: Any) -> None:
    """A legend to the right of the axes, where it hides nothing."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else list(handles)
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, **options)


def color_bar(ax: "Axes", shades: Any, text: str) -> None:
    """What the shades of a heat map mean, in per cent."""
    bar = ax.figure.colorbar(shades, ax=ax, label=text, shrink=0.8, pad=0.02, format=lambda value, _: percent(value))
    bar.outline.set_visible(False)  # pyright: ignore


def spans_magnitudes(values: Any) -> bool:
    """Whether probabilities are so different, by more than a factor of 30, that only a logarithmic axis shows them."""
    finite = np.asarray(values, float)[np.isfinite(np.asarray(values, float))]
    return bool(finite.size and finite.min() > 0 and finite.max() > 30 * finite.min())


def probability_axis(ax: "Axes", values: Any, *, which: Literal["x", "y"] = "y", log: bool | None = None) -> None:
    """An axis in per cent: from zero, or logarithmic where the values span more than a factor of 30.

    Args:
        ax: the axes.
        values: all that is drawn.
        which: of the two axes.
        log: None decides by the values.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    finite = np.asarray(values, float)[np.isfinite(np.asarray(values, float))]
    percent_axis(ax, which)
    if log or (log is None and spans_magnitudes(finite)):
        positive = finite[finite > 0]
        ax.set(**{f"{which}scale": "log"})
        decades = np.log10(positive.max() / positive.min())
        axis = getattr(ax, f"{which}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
        axis.set_minor_formatter(NullFormatter())
        percent_axis(ax, which)  # a new scale comes with its own formatter
    else:
        ax.set(**{f"{which}lim": (0, 1.08 * finite.max() if finite.size and finite.max() > 0 else 1)})


def percent_axis(ax: "Axes", which: Literal["x", "y"]) -> None:
    """Ticks in per cent, and a line at each; room beyond a hundred has no ticks' names."""
    from matplotlib.ticker import FuncFormatter

    getattr(ax, f"{which}axis").set_major_formatter(
        FuncFormatter(lambda value, _: percent(value) if value < 1.0001 else "")
    )
    grid(ax, which)


def grid(ax: "Axes", which: Literal["x", "y"]) -> None:
    """A pale line at each tick, behind all that is drawn."""
    ax.grid(axis=which, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)


def row_axis(ax: "Axes", names: Iterable[str]) -> None:
    """Names that stand below each other, the first one on top, at 0, 1, 2, ..."""
    names = list(names)
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def forest(ax: "Axes", names: list[str], values: np.ndarray, colors: list[str], texts: list[str]) -> None:
    """Points with intervals, a row each, and their numbers on the right."""
    row_axis(ax, names)
    for place, (value, low, high) in enumerate(values):
        ax.hlines(place, low, high, color=colors[place], linewidth=2.5)
        ax.plot(value, place, "o", color=colors[place], markersize=8)
        ax.text(1.02, place, texts[place], transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    grid(ax, "x")


def moments(times: pd.Series) -> np.ndarray:
    """Numbers as they are; dates as their own time zone shows them, without the zone: they are labels here.

    Raises:
        DataError: if they are neither.
    """
    if pd.api.types.is_numeric_dtype(times):
        return times.to_numpy(float)
    if isinstance(times.dtype, pd.PeriodDtype):
        times = times.dt.to_timestamp()
    try:
        times = pd.to_datetime(times, format="ISO8601")
        naive = times.dt.tz_localize(None) if times.dt.tz is not None else times
    except (TypeError, ValueError, AttributeError) as problem:
        raise DataError(f"table.{times.name}: has to hold dates or numbers ({problem}).") from None
    return naive.astype("datetime64[us]").dt.to_pydatetime().to_numpy()


def date_names(times: Sequence[Any]) -> list[str]:
    """Days, and below the first one of each year the year; numbers as they are."""
    if not all(hasattr(when, "year") for when in times):
        return [f"{when:g}" for when in times]
    years = ["", *(when.year for when in times)]
    return [f"{when:%b} {when.day}" + f"\n{when.year}" * (when.year != years[i]) for i, when in enumerate(times)]


def time_axis(ax: "Axes", times: np.ndarray) -> None:
    """Few dates are all labeled; of many, the months are. Numbers get whole ones."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    if times.dtype != object:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    elif len(times) <= 8:
        ax.set_xticks(times, date_names(times))
    else:
        locator = AutoDateLocator(minticks=4, maxticks=10)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    if len(times) == 1:
        low, high = ax.dataLim.intervalx
        ax.set_xlim(low - 3, high + 3)
