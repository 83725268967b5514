"""The reasons of the accounts' scores: how they stand in each aspect, a sentence each, and what to do."""

from typing import Any

import pandas as pd

from hanjax import plot
from hanjax.report.blocks import Details, Heading, Section, Table, Text, picture, plural
from hanjax.report.material import account_names, picture_names

_LISTED, _SHOWN = 20, 15
"""Accounts in the table, and in the picture, at most."""


def reasons_section(table: pd.DataFrame, long: pd.DataFrame, *, accounts: int = 3, believe: str = "") -> Section:
    """A section of the page about the reasons of accounts' scores.

    Args:
        table: one row an account, the highest score first: ``account_id``, optional ``name``, ``cutoff``, ``score``,
            ``tier``, ``sentence`` and ``action``, as in an explanation.
        long: one row an account and aspect, as in an explanation.
        accounts: how many accounts are shown one by one.
        believe: a sentence on how far to believe it all; none if it is empty.

    Returns:
        The section.
    """
    calls = dict(zip(table["account_id"], account_names(table), strict=True))
    drawn = dict(zip(table["account_id"], picture_names(table), strict=True))
    named = long.assign(account_id=long["account_id"].map(drawn))
    aspects = [name for name in long["aspect"].unique() if f"{name}_level" in table]
    rows = []
    for row in table.head(_LISTED).to_dict("records"):
        levels = [str(row[f"{name}_level"]) for name in aspects]
        rows.append([calls[row["account_id"]], str(int(row["score"] + 1e-9)), row["tier"], *levels, row["action"]])
    caption = (
        "The score says how many per cent of accounts are less likely, unless the run was told otherwise; a level, how "
        "what the aspect adds to the account's log-odds compares with other accounts: High is the upper quarter, Low "
        "the lower one. “No data” is said where nothing is known of an account."
    )
    blocks: list[Any] = [
        Text(f"{plural(len(table), 'account')} as of {table['cutoff'].iloc[0]:%Y-%m-%d}, the highest score first."),
        Table(["Account", "Score", "Tier", *aspects, "What to do"], rows, caption),
        picture(
            lambda: plot.aspects(named, top=_SHOWN),
            "how accounts stand in each aspect",
            "The darker, the higher an account stands among others; beside its name is its score.",
        ),
        Details("All sentences", [Text(text) for text in table["sentence"]]),
    ]
    for row in table.head(accounts).to_dict("records"):
        name = calls[row["account_id"]]
        blocks += [
            Heading(name),
            Text(row["sentence"]),
            picture(
                lambda name=drawn[row["account_id"]]: plot.waterfall(named, name),
                f"what the log-odds of {name} are made of",
                "From the average account down to this one, each bar begins where the one above it ends. The starting "
                "point is what so many members are worth before anything is known of them.",
            ),
        ]
    blocks += [Text(believe, note=True)] if believe else []
    return Section("reasons", "Reasons", "Why accounts have their scores, aspect by aspect, and what to do.", blocks)
