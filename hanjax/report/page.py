"""The page: its sections, one below the other, in one file."""

from collections.abc import Sequence

from hanjax.report.blocks import Section, Text
from hanjax.report.contents import data_section
from hanjax.report.head import head, tiles
from hanjax.report.hottest import hottest_section
from hanjax.report.material import Material
from hanjax.report.quality import quality_of, quality_section, trust_section
from hanjax.report.template import html_page
from hanjax.report.warnings import warnings_of, warnings_section


def page(material: Material, *, accounts: int = 3, more: Sequence[Section] = ()) -> str:
    """Makes the page.

    Args:
        material: a run, a data set, and what the one says of the other.
        accounts: how many of the likeliest accounts are shown one by one.
        more: further sections, which stand behind that of the likeliest accounts.

    Returns:
        HTML, from which nothing is loaded; all that the data hold is escaped.
    """
    quality = quality_of(material)
    warnings = warnings_of(material, quality)
    if quality is None:
        nothing = [Text(warnings[0], note=True)]
        judged = [
            Section("quality", "How good it is", "How well the score tells accounts apart.", nothing),
            Section("trust", "How far to trust it", "Whether the probabilities mean what they say.", nothing),
        ]
    else:
        judged = [quality_section(material, quality), trust_section(material, quality)]
    return html_page(
        title=f"Account scores as of {material.latest:%Y-%m-%d}",
        lead="Which accounts are likely to convert next, who in them counts, and how far to believe it.",
        tiles=tiles(material, quality),
        warnings=warnings,
        warned="Before you believe it",
        sections=[
            head(material),
            hottest_section(material, accounts=accounts),
            *more,
            *judged,
            data_section(material),
            warnings_section(warnings),
        ],
        about=material.about,
    )
