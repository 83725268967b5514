"""What objects look like in a notebook: a few small tables, in which everything that data hold is escaped."""

import html

import pandas as pd


def html_of(title: str, *parts: str | pd.DataFrame) -> str:
    """Puts a title, sentences and tables one below the other.

    Args:
        title: what stands on top, in bold.
        *parts: sentences, or tables whose index is not shown; empty ones are left out. Ids may hold anything: none of
            it is read as HTML.

    Returns:
        HTML, for the method ``_repr_html_`` by which notebooks ask for it.

    Example:
        >>> html_of("Panel", "3 < 4")
        '<div><p><b>Panel</b></p><p>3 &lt; 4</p></div>'
    """
    shown = [f"<p><b>{html.escape(title)}</b></p>"]
    for part in parts:
        if isinstance(part, str):
            shown += [f"<p>{html.escape(part)}</p>"] if part else []
        elif len(part):
            number = lambda value: f"{value:,.4g}" if value % 1 else f"{value:,.0f}"
            shown.append(part.to_html(index=False, border=0, na_rep="", float_format=number, escape=True))
    return f"<div>{''.join(shown)}</div>"
