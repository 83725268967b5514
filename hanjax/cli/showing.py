"""How the commands show tables and write pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def as_text(table: "pd.DataFrame", *, index: bool = False) -> str:
    """A table for the screen: four digits, dates without times, a dash where nothing is known."""
    dates = {name: table[name].dt.strftime("%Y-%m-%d") for name in table if table[name].dtype.kind == "M"}
    return table.assign(**dates).to_string(index=index, float_format="{:.4f}".format, na_rep="-")


def without_screen() -> None:
    """Lets matplotlib draw into files alone."""
    import matplotlib

    matplotlib.use("agg")


def save(axes: "Axes", path: Path) -> None:
    """Writes the picture that some axes belong to, and forgets it."""
    import matplotlib.pyplot as plt

    axes.figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(axes.figure)  # pyright: ignore[reportArgumentType]
