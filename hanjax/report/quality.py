"""How good the model is on what training has not seen: beside baselines, calibrated or not, over time, by size."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax import plot
from hanjax.evaluation.survival import converts_within
from hanjax.report.baselines import Beside, baselines, beside
from hanjax.report.blocks import Heading, Section, Table, Text, measure, number, percent, picture, plural, ranged
from hanjax.report.material import Material, picture_names

MODEL = "this model"
_NAMES = {
    "auc": "AUC, all samples together",
    "auc_period_mean": "AUC, mean over periods",
    "average_precision": "Average precision",
    "log_loss": "Log loss (lower is better)",
    "brier": "Brier score (lower is better)",
}
_POINTS = 400
"""Points of a curve, at most."""


class Quality(NamedTuple):
    """What an evaluation says, made once for all sections.

    Args:
        metrics: the figures.
        known: scores whose outcome is known.
        beside: the model beside baselines.
        missing: which baseline is missing and why, empty if none.
        lift: by tier.
        reliability: by bin.
        lead_time: by threshold; None with outcomes, which are no course up to a conversion.
        by_size: measures within bands of the accounts' sizes.
        ahead: probabilities of conversion within more periods; None likewise.
        over_time: AUC by period.
    """

    metrics: dict[str, Any]
    known: pd.DataFrame
    beside: Beside
    missing: str
    lift: pd.DataFrame
    reliability: pd.DataFrame
    lead_time: pd.DataFrame | None
    by_size: pd.DataFrame
    ahead: pd.DataFrame | None
    over_time: pd.DataFrame

    @property
    def off(self) -> pd.DataFrame:
        """The bins of the reliability whose interval does not hold the mean probability."""
        mean = self.reliability["mean_probability"]
        return self.reliability[(mean < self.reliability["rate_low"]) | (mean > self.reliability["rate_high"])]


def quality_of(material: Material) -> Quality | None:
    """Everything that the page says about quality; None where nothing can be said."""
    evaluation = material.evaluation
    if evaluation is None or not material.judged:
        return None
    panel = material.panel
    tells = material.run.config.panel.window_kind == "calendar" or panel.batch.window_ages is not None
    others, missing = baselines(panel, material.counts, material.training, recency=tells)
    keys = panel.keys
    rows = panel.samples[keys].assign(row=np.arange(len(panel.samples)))
    rows = evaluation.known[keys].merge(rows, on=keys, how="left", validate="one_to_one")["row"].to_numpy()
    return Quality(
        metrics=evaluation.metrics,
        known=evaluation.known,
        beside=beside(evaluation.known, [one._replace(scores=one.scores[rows]) for one in others], model=MODEL),
        missing=missing,
        lift=evaluation.lift(),
        reliability=evaluation.reliability(),
        lead_time=None if material.outcomes else evaluation.lead_time(),
        by_size=evaluation.by("n_members"),
        ahead=None if material.outcomes else evaluation.ahead(),
        over_time=evaluation.over_time,
    )


def quality_section(material: Material, quality: Quality) -> Section:
    """The figures, beside what can be said without a network."""
    known, metrics, table = quality.known, quality.metrics, quality.beside.table
    whose = (
        f"on all accounts from {material.run.config.train.until} on"
        if material.run.config.train.until is not None
        else "on accounts that training did not see"
    )
    rate = known["label"].mean()
    blocks = [
        Text(
            f"All figures are {whose}: {plural(metrics['samples'], 'sample')} of "
            f"{plural(known['account_id'].nunique(), 'account')}, of which {plural(metrics['conversions'], 'sample')} "
            f"({percent(rate)}) converted. The baselines are scores that need no network: the number of activities in "
            "the window, how recent the last activity is, and a logistic regression on a handful of such counts (with "
            "the account's numbers as of the cut-off, where the model is offered any), learned from the same training "
            "accounts."
        ),
        _measures(quality, rate),
        picture(
            lambda: plot.metrics(_of_measure(table, "auc"), measure="AUC", baseline=0.5),
            "AUC of the model and of the baselines, with intervals",
            "Farther right is better; the dotted line is chance. Overlapping intervals do not mean that two models are "
            "equally good, as all were measured on the same accounts: the sentences below compare them in pairs.",
        ),
        *[Text(_compared(quality, name)) for name in quality.beside.differences],
        *([Text(quality.missing, note=True)] if quality.missing else []),
        Text(
            "These accounts stay a fair test only as long as nothing is chosen by them: settings that were picked to "
            "raise these figures make them too good.",
            note=True,
        ),
        _lift_table(quality.lift),
    ]
    return Section(
        "quality", "How good it is", "How well the score tells accounts that convert from those that do not.", blocks
    )


def trust_section(material: Material, quality: Quality) -> Section:
    """Calibration, gains, the course over time, lead time, sizes, and more periods ahead."""
    known, by_size = quality.known, quality.by_size
    evaluation = material.evaluation
    assert evaluation is not None
    gains, off = evaluation.gains(), quality.off
    thin = gains.iloc[np.unique(np.geomspace(1, len(gains), _POINTS).astype(int)) - 1]
    mean, rate = known["probability"].mean(), known["label"].mean()
    fits = (
        "In none of them does the interval of the observed rate miss the predicted one."
        if off.empty
        else f"In {len(off)} of them the interval of the observed rate misses the predicted one, where by chance "
        f"{number(0.05 * len(quality.reliability))} would."
    )
    step = material.period_name
    blocks = [
        Heading("Are the probabilities true?"),
        Text(
            f"On average {percent(mean)} was predicted and {percent(rate)} converted. The samples are in "
            f"{plural(len(quality.reliability), 'group')} of about the same probability. {fits}"
        ),
        picture(
            lambda: plot.reliability(quality.reliability, probabilities=known["probability"].to_numpy()),
            "observed rate of conversion against predicted probability",
            "On the dotted line, as many convert as was predicted; above it more, below it fewer. Gray: where the "
            "samples are.",
        ),
        Heading("What a short list finds"),
        picture(
            lambda: plot.lift(quality.lift),
            "lift by tier",
            "How many times more often each tier converts than the average; the black lines are intervals.",
        ),
        picture(
            lambda: plot.gains(thin, base_rate=rate),
            "share of the conversions found against the share of samples contacted",
            "Read it upwards: whoever contacts this share of the samples, the likeliest first, finds that share of the "
            "conversions.",
        ),
        Heading("Over time"),
        picture(
            lambda: plot.over_time(quality.over_time),
            "AUC by period",
            f"One dot a {step}, the larger the more conversions; a {step} with few of them says little by itself.",
        ),
        *_early(quality.lead_time, step),
        Heading("Within accounts of one size"),
        Table(
            ["Members", "Accounts", "Samples", "Conversions", "AUC"],
            [
                [
                    str(row.group),
                    number(row.accounts),
                    number(row.samples),
                    number(row.conversions),
                    ranged(row.auc, row.auc_low, row.auc_high),
                ]
                for row in by_size.itertuples()
            ],
            "A score that only tells large accounts from small ones has an AUC of 0.5 in every row.",
        ),  # fmt: skip
        *_later(material, quality.ahead, step),
    ]
    return Section("trust", "How far to trust it", "Whether the probabilities mean what they say, and when.", blocks)


def _early(before: pd.DataFrame | None, step: str) -> list[Any]:
    """How early the score warns; nothing with outcomes."""
    if before is None:
        return []
    return [
        Heading("How early it warns"),
        Text(
            "An account is warned of when its probability first reaches a threshold. A lower threshold warns earlier "
            "and of more, and raises more false alarms."
        ),
        picture(
            lambda: plot.lead_time(before),
            "warnings in time against false alarms",
            "Each dot is a threshold. Higher is better, farther left is better.",
        ),
        _lead_table(before, step),
    ]


def _later(material: Material, ahead: pd.DataFrame | None, step: str) -> list[Any]:
    """How good the probabilities of converting within several periods are; nothing with outcomes."""
    if ahead is None:
        return []
    rows = [
        [number(row.periods), percent(row.probability), percent(row.rate), measure(row.auc), number(row.brier),
         number(row.brier_base_rate)]
        for row in ahead.itertuples()
    ]  # fmt: skip
    return [
        Heading(f"More than one {step} ahead"),
        Table(
            [f"{step.capitalize()}s ahead", "Predicted", "Observed", "AUC", "Brier score", "of the rate alone"],
            rows,
            "The account is taken to stay as it is at the cut-off. Observed counts in that some are not watched to the "
            "end (Kaplan and Meier). A Brier score above that of the rate alone means that the probabilities are no "
            "better than saying the same of everybody.",
        ),
        survival_picture(material),
    ]


def survival_picture(material: Material, *, accounts: int = 5, periods: int = 13) -> Any:
    """How soon the likeliest accounts are likely to convert."""
    every, horizons = material.scores.accounts, material.run.config.panel.horizons
    now = every[every["cutoff"] == material.latest].nlargest(accounts, "probability")
    within = now[["probability", *(f"probability_within_{n}" for n in horizons[1:])]].to_numpy(float)
    curves = np.stack([converts_within(within, horizons, n) for n in range(periods + 1)], axis=1)
    return picture(
        lambda: plot.survival(curves, picture_names(now).tolist()),
        "probability of having converted, by periods ahead",
        f"The likeliest accounts now: how likely each is to have converted after so many {material.period_name}s.",
    )


def _of_measure(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["measure"] == name]


def _measures(quality: Quality, rate: float) -> Table:
    """Every measure of the model and of the baselines."""
    table = quality.beside.table
    models = table["model"].unique()
    cells = table.set_index(["measure", "model"])
    base = {
        "auc": 0.5,
        "auc_period_mean": 0.5,
        "average_precision": rate,
        "log_loss": quality.metrics["log_loss_base_rate"],
        "brier": rate * (1 - rate),
    }
    rows = []
    for name, text in _NAMES.items():
        form = number if name in ("log_loss", "brier") else measure
        row = [text]
        for model in models:
            there = (name, model) in cells.index
            found = cells.loc[(name, model)] if there else None
            row.append("–" if found is None else ranged(found["value"], found["low"], found["high"], form))
        rows.append([*row, form(base[name])])
    columns = ["Measure", *models, "knowing nothing but the rate"]
    caption = (
        "Each figure with its 95 % interval, by drawing accounts again and again. Counts and recency are no "
        "probabilities, so that log loss and Brier score are not theirs to have."
    )
    return Table(columns, rows, caption)


def _compared(quality: Quality, baseline: str) -> str:
    """What a paired comparison says, in a sentence."""
    row = quality.beside.differences[baseline].set_index("measure").loc["auc"]
    difference = f"AUC {row['first']:.3f} against {row['second']:.3f}"
    if np.isfinite([row["low"], row["high"]]).all():
        difference += f", a difference of {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    else:
        difference += "; accounts with both outcomes are too few for an interval"
    said = {
        "better": f"The model ranks better than “{baseline}”",
        "worse": f"The model ranks worse than “{baseline}”",
        "unsure": f"It is not shown that the model ranks better than “{baseline}”",
    }[quality.beside.verdict(baseline, "auc")]
    return f"{said}: {difference}."


def _lift_table(lift: pd.DataFrame) -> Table:
    rows = [
        [str(row.tier), number(round(row.samples)), number(round(row.conversions)), percent(row.rate),
         ranged(row.lift, row.low, row.high, lambda value: f"{number(value)}×")]
        for row in lift.itertuples()
    ]  # fmt: skip
    caption = "A lift of 1× is the average. Tiers are made within each period: High is the likeliest tenth, Medium the "
    return Table(["Tier", "Samples", "Conversions", "Rate", "Lift"], rows, caption + "next fifth, Low the others.")


def _lead_table(table: pd.DataFrame, step: str) -> Table:
    rows = [
        [percent(row.threshold), percent(row.warned), number(row.median_lead), percent(row.false_alarms),
         percent(row.precision)]
        for row in table.itertuples()
    ]  # fmt: skip
    columns = ["Threshold", "Converting accounts warned of", f"{step.capitalize()}s before (median)", "False alarms"]
    caption = "False alarms: share of the other accounts that ever reach the threshold. Right alarms: share of all."
    return Table([*columns, "Right alarms"], rows, caption, left=0)
