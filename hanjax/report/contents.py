"""What the data hold, what was left out of them, and how training went."""

import pandas as pd

from hanjax import plot
from hanjax.report.blocks import Details, Heading, Section, Table, Text, number, percent, picture
from hanjax.report.material import Material


def data_section(material: Material) -> Section:
    """The profile, everything that was left out with its reason, notes, and the course of training."""
    profile = material.profile
    blocks = [
        Table(
            ["", "Here", "In the paper"],
            [[str(name), number(row["here"]), number(row["paper"])] for name, row in profile.figures.iterrows()],
            "Beside the figures that the paper which the model comes from gives of its own data, where it gives any.",
        ),
        Details("Activities by frequency", [_activities(profile.activities)]),
        Heading("What was left out, and why"),
        _left_out(profile.left_out),
        Heading("Notes"),
        *([Text(f"{note.rstrip('.')}.") for note in profile.notes] or [Text("None.")]),
    ]
    history = material.run.history
    if history is not None and len(history):
        blocks += [
            Heading("Training"),
            picture(
                lambda: plot.history(history),
                "loss and validation AUC by epoch",
                "The loss should fall, and the AUC on accounts kept from training level off: the epoch where it is "
                "highest is the one that is used.",
            ),
        ]
    return Section("data", "The data", "What the model was given, and what no sample holds.", blocks)


def _activities(activities: pd.Series) -> Table:
    total = max(1, activities.sum())
    rows = [[str(name), number(count), percent(count / total)] for name, count in activities.items()]
    return Table(["Activity", "Events", "Share"], rows)


def _left_out(table: pd.DataFrame) -> Table | Text:
    if table.empty:
        return Text("Nothing: every row of every table is used.")
    rows = [
        [str(row.table), str(row.reason), ", ".join(map(str, row.first)), f"{row.rows:,}"] for row in table.itertuples()
    ]
    caption = "Nothing is dropped silently: these are all rows that no sample uses, with the first few by id."
    return Table(["Left out of", "Because", "The first of them", "Rows"], rows, caption, left=3)
