"""The head of the page: what this is, what was trained on what, with which settings."""

import pandas as pd

from hanjax.config import Config
from hanjax.report.blocks import Details, Section, Table, Text, measure, number, percent, plural
from hanjax.report.material import Material
from hanjax.report.quality import Quality
from hanjax.types import hard_label

WORDS = (
    ("Account", "a group of people who decide together, such as a company that may buy."),
    ("Individual, member, person", "somebody who belongs to an account and whose activities are logged."),
    ("Conversion", "what the model foresees: the account buys, or decides in some other way."),
    ("Cut-off", "the start of a period, at which a score is made from what was known before it."),
    ("Probability", "how likely the account converts in the period that begins at the cut-off."),
    ("Log-odds", "log(p / (1 - p)) of a probability p: a scale on which effects add up."),
    ("Tier", "High: the likeliest 10 % of the accounts of a cut-off; Medium: the next 20 %; Low: the others."),
    ("AUC", "how often an account that converts is ranked above one that does not: 0.5 is chance, 1 is perfect."),
    ("Average precision", "how many of the top-ranked accounts convert, averaged over all conversions; chance gives "
     "the rate of conversion."),
    ("Log loss, Brier score", "how far probabilities are from what happened; lower is better."),
    ("Lift", "how many times more often a tier converts than the average account."),
    ("Interval, written [low, high]", "where the figure would lie in 95 of 100 cases with other accounts of the same "
     "kind, by drawing the accounts again and again."),
)  # fmt: skip


def head(material: Material) -> Section:
    """What was trained on what."""
    run, epochs = material.run, 0 if material.run.history is None else len(material.run.history)
    several = run.config.train.ensemble
    networks = "one network" if several == 1 else f"the mean of {several} networks"
    train, model = run.config.train, run.config.model
    epoch = run.metrics.get("validation", {}).get("epoch")
    best = "" if epoch is None else f", of which epoch {epoch:.0f} was the best"
    read = {
        "sequence": "the activities, in their order,",
        "counts": "how many activities there were of each kind",
        "both": "the activities, in their order and by their number,",
    }[model.period_input]
    active = " in which that person was active" if run.config.panel.window_kind == "active" else ""
    parts = set(run.split)
    kept = [
        "each network kept another part of them to choose its epoch" if train.cross_validation else "",
        "those called validation chose the epoch" if "validation" in parts else "",
        "those called test were never read in training" if "test" in parts else "",
    ]
    blocks = [
        Text(
            f"The model is {networks} of hierarchical attention: it reads {read} of each person in the last "
            f"{plural(run.config.panel.window, material.period_name)}{active}, and brings an account's people "
            f"together ({model.aggregator.replace('_', ' ')}). It was trained over {plural(epochs, 'epoch')}{best}, "
            f"on the accounts that the table calls train{''.join(f'; {how}' for how in kept if how)}."
            + (f" Nothing that became known from {train.until} on was used." if train.until is not None else "")
        ),
        _parts(material),
        Details("Settings that differ from the defaults", [_settings(material)]),
        Details("Versions and origin", [Table(["", ""], [[k, str(v)] for k, v in material.about.items()], left=2)]),
        Details("Words used on this page", [Table(["Word", "Meaning"], WORDS, left=2)]),
    ]
    return Section("about", "What this is", "Which model this is, and what it was trained on.", blocks)


def tiles(material: Material, quality: Quality | None) -> list[tuple[str, str]]:
    """The few figures to know, each with what it is."""
    samples = material.panel.samples
    now = (samples["cutoff"] == material.latest).sum()
    found = [(f"{now:,}", f"{'outcomes' if material.outcomes else 'accounts'} scored at {material.latest:%Y-%m-%d}")]
    if quality is not None:
        metrics, lift = quality.metrics, quality.lift.set_index("tier")
        found += [
            (measure(metrics["auc"]), "AUC on accounts not seen in training (0.5 is chance, 1 is perfect)"),
            (f"{number(lift['lift'].iloc[0])}×", f"conversions in the tier {lift.index[0]}, beside the average"),
            (number(metrics["conversions"]), "conversions behind these figures"),
        ]
    return found


def _parts(material: Material) -> Table:
    """Accounts, samples and conversions of the data, by what they were for."""
    label = hard_label(material.panel.batch.label[:, 0])
    table = pd.DataFrame(
        {"part": material.parts, "account": material.panel.samples["account_id"].astype(str), "label": label}
    )
    rows = []
    for part, name in {
        "train": "train",
        "validation": "validation",
        "test": "test",
        "": "not known to the run",
    }.items():
        some = table[table["part"] == part]
        if len(some) or part == "train":
            converted = int(some["label"].sum())
            known = int(some["label"].notna().sum())
            rate = percent(converted / known) if known else "–"
            rows.append([name, f"{some['account'].nunique():,}", f"{len(some):,}", f"{converted:,}", rate])
    columns = ["Part", "Accounts", "Samples", "Conversions", "Rate a sample"]
    return Table(
        columns, rows, f"These data by part. A sample is one account at one cut-off ({material.period_name}s)."
    )


def _settings(material: Material) -> Table | Text:
    default, own = Config().to_dict(), material.run.config.to_dict()
    rows = [
        [part, name, str(value), str(default[part][name])]
        for part, values in own.items()
        for name, value in values.items()
        if value != default[part][name]
    ]
    return Table(["Group", "Setting", "Here", "Default"], rows, left=4) if rows else Text("None: all are the defaults.")
