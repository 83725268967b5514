"""From sections to one file of HTML, from which nothing is loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanjax.report.blocks import Section


def html_page(
    *,
    title: str,
    lead: str,
    tiles: Sequence[tuple[str, str]],
    warnings: Sequence[str],
    warned: str,
    sections: Sequence[Section],
    about: Mapping[str, Any],
) -> str:
    """Lays sections below each other; all that the data hold is escaped.

    Args:
        title: of the page.
        lead: what it is for, in a sentence.
        tiles: the few figures to know, each with what it is.
        warnings: what should be known first; the page shows five of them and refers to the section "warnings".
        warned: what stands above them.
        sections: of the page.
        about: names and values for the foot.

    Returns:
        HTML.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return template.render(
        title=title, lead=lead, tiles=tiles, warnings=warnings, warned=warned, sections=sections, about=about
    )
