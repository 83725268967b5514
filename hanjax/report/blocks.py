"""What a section consists of: sentences, tables and pictures; and how numbers are written in them."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hanjax.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 150_000
"""Bytes of a drawing; pictures of very many lines are smaller as pixels."""


class Heading(NamedTuple):
    """A title within a section."""

    text: str
    kind = "heading"


class Text(NamedTuple):
    """A paragraph; ``note`` sets one apart that says how far to believe the others."""

    text: str
    note: bool = False
    kind = "text"


class Table(NamedTuple):
    """Cells that are texts already.

    Args:
        columns: their titles.
        rows: the cells.
        caption: how to read them.
        left: how many columns at the left hold words, which are not set flush right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    left: int = 1
    kind = "table"


class Picture(NamedTuple):
    """A picture within the page.

    Args:
        source: a data URL.
        alternative: what is said to those who do not see it.
        caption: how to read it.
    """

    source: str
    alternative: str
    caption: str = ""
    kind = "picture"


class Details(NamedTuple):
    """Blocks that are shown when they are asked for."""

    summary: str
    blocks: Sequence[Any]
    kind = "details"


class Section(NamedTuple):
    """A section of the page: its anchor, its title, a sentence on what it is about, and its blocks."""

    anchor: str
    title: str
    lead: str
    blocks: Sequence[Any]


def picture(draw: Callable[[], "Axes"], alternative: str, caption: str = "") -> Picture | Text:
    """Draws a picture for the page; where there is nothing to draw, a sentence says why.

    Args:
        draw: one of the functions of ``hanjax.plot``, with its arguments.
        alternative: what is said to those who do not see it.
        caption: how to read it.
    """
    import matplotlib.pyplot as plt

    try:
        figure = draw().figure
    except DataError as nothing:
        return Text(f"No picture ({alternative}): {nothing}", note=True)
    source = rendered(figure)
    plt.close(figure)
    return Picture(source, alternative, caption)


def rendered(figure: Any) -> str:
    """A figure as a data URL: a drawing, or pixels if it is smaller so."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "hanjax"}):  # the same figure gives the same bytes
        figure.savefig(content, format="svg", bbox_inches="tight", metadata={"Date": None})
    form = "svg+xml"
    if content.tell() > _LARGEST:
        content, form = io.BytesIO(), "png"
        figure.savefig(content, format="png", bbox_inches="tight", dpi=160, metadata={"Software": None})
    return f"data:image/{form};base64,{base64.b64encode(content.getvalue()).decode()}"


def percent(value: Any) -> str:
    """A probability or share, with three digits that count.

    Example:
        >>> percent(0.12345), percent(0.000001), percent(None)
        ('12.3 %', 'below 0.001 %', '–')
    """
    if value is None or not np.isfinite(value):
        return "–"
    return "below 0.001 %" if 0 < value < 1e-5 else f"{100 * value:.3g} %"


def number(value: Any) -> str:
    """A count whole, with commas; another number with three digits that count.

    Example:
        >>> number(12345), number(0.012345), number(1234.5), number(float("nan"))
        ('12,345', '0.0123', '1,234', '–')
    """
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.3g}"


def measure(value: Any) -> str:
    """An area or precision between 0 and 1.

    Example:
        >>> measure(0.81249)
        '0.812'
    """
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def ranged(value: Any, low: Any, high: Any, form: Callable[[Any], str] = measure) -> str:
    """A value with its interval, if that is known.

    Example:
        >>> ranged(0.8, 0.75, 0.84), ranged(0.8, float("nan"), float("nan"))
        ('0.800 [0.750, 0.840]', '0.800')
    """
    return f"{form(value)} [{form(low)}, {form(high)}]" if np.isfinite([low, high]).all() else form(value)


def plural(count: int, noun: str, many: str = "") -> str:
    """A count and its noun, whose plural is given if it has no plain s.

    Example:
        >>> plural(1, "account"), plural(2000, "account"), plural(2, "person", "people")
        ('1 account', '2,000 accounts', '2 people')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
