"""What a reader should know before believing the page."""

from collections.abc import Iterator

import numpy as np

from hanjax.report.blocks import Section, Text, number, percent, plural, ranged
from hanjax.report.material import Material
from hanjax.report.quality import MODEL, Quality

FEW, WIDE = 30, 0.1
"""Conversions below which figures are rough, and the width of an AUC's interval above which it says little."""
_DRIFT = 2.0
"""The mean score is said to drift when it changes by more than this factor."""


def warnings_of(material: Material, quality: Quality | None) -> list[str]:
    """Everything that should make a reader careful, one sentence or two each, the gravest first."""
    return [*(_unjudged(material) if quality is None else _judged(quality)), *_always(material)]


def warnings_section(warnings: list[str]) -> Section:
    """All warnings."""
    blocks = [Text(warning, note=True) for warning in warnings] or [Text("None: nothing that was checked stands out.")]
    checked = (
        "Checked are: how many conversions the figures rest on, how sure they are, whether the model is better than "
        "the baselines, whether probabilities are true, drift, and what is new in these data."
    )
    return Section("warnings", "Warnings", checked, blocks)


def _unjudged(material: Material) -> Iterator[str]:
    """Why nothing is said about quality."""
    if material.evaluation is None:
        yield f"How good the model is cannot be said. {material.why_not}"
    else:
        known = material.evaluation.known
        yield (
            f"How good the model is cannot be said: {plural(len(known), 'sample')} of accounts that training has not "
            f"seen have a known outcome, and {plural(int(known['label'].sum()), 'conversion')} is among them, so that "
            "there is nothing to tell apart. Bring more accounts, or a longer time."
        )


def _judged(quality: Quality) -> Iterator[str]:
    """What the figures themselves warn of."""
    for baseline in quality.beside.differences:
        verdict = quality.beside.verdict(baseline, "auc")
        if verdict == "worse":
            yield f"The model ranks worse than the baseline “{baseline}”: use that, or find out why."
        elif verdict == "unsure":
            yield f"It is not shown that the model ranks better than the baseline “{baseline}”."
    conversions = quality.metrics["conversions"]
    if conversions < FEW:
        yield (
            f"The figures rest on {plural(conversions, 'conversion')}: with fewer than {FEW}, all of them are rough, "
            "and differences may be chance."
        )
    table = quality.beside.table
    auc = table[(table["model"] == MODEL) & (table["measure"] == "auc")].iloc[0]
    if not np.isfinite([auc["low"], auc["high"]]).all():
        yield "How sure the figures are cannot be said: at least two accounts that convert, and two others, are needed."
    elif auc["high"] - auc["low"] > WIDE:
        yield f"The AUC is not known well: {ranged(auc['value'], auc['low'], auc['high'])}."
    expected = 0.05 * len(quality.reliability)
    if len(quality.off) > max(1, expected):
        yield (
            f"Calibration is off: in {len(quality.off)} of {len(quality.reliability)} groups of samples the interval "
            f"of the observed rate misses the predicted one; {number(expected)} would by chance. Rankings are not "
            "affected; probabilities can be made truer with `calibrate`."
        )
    mean, rate = quality.known[["probability", "label"]].to_numpy(float).mean(axis=0)
    if rate > 0 and not 0.5 <= mean / rate <= 2:
        yield f"On average {percent(mean)} was predicted, and {percent(rate)} converted."
    one_class, used = quality.metrics["periods_one_class"], quality.metrics["periods_used"]
    if one_class > used:
        yield (
            f"In {one_class:,} of {one_class + used:,} periods all or none of the accounts converted: these have no "
            "AUC, and the mean over periods is one of the others alone."
        )
    losses = quality.metrics["log_loss"], quality.metrics["log_loss_base_rate"]
    if losses[0] > losses[1]:
        yield (
            f"The log loss, {number(losses[0])}, is above that of saying the rate of everybody, {number(losses[1])}: "
            "the probabilities, taken as they are, say less than nothing."
        )


def _always(material: Material) -> Iterator[str]:
    """What the data and the run warn of, with or without an evaluation."""
    for horizon, calibration in zip(material.run.config.panel.horizons, material.run.calibrations or (), strict=False):
        if calibration.note:
            yield f"Calibration within {plural(horizon, 'period')}: {calibration.note}"
    accounts = material.scores.accounts
    now, total = (accounts["cutoff"] == material.latest).to_numpy(), accounts["account_id"].nunique()
    if now.sum() < 0.1 * total and not material.outcomes:
        yield (
            f"Only {now.sum():,} of {plural(total, 'account')} can be scored at the latest cut-off, "
            f"{material.latest:%Y-%m-%d}; the others have converted, or were not watched to the end."
        )
    seen = np.isin(material.parts[now], ("train", "validation")).sum()
    if seen:
        yield (
            f"{seen:,} of the {plural(int(now.sum()), 'account')} in the ranking took part in training, which knew how "
            "they had fared: their probabilities may be surer than those of the others."
        )
    yield from _drift(material)
    for note in material.panel.notes:
        if "training never saw" in note:
            yield f"New in these data: {note}."


def _drift(material: Material) -> Iterator[str]:
    """Whether the mean score of the latest quarter of the cut-offs is another one than before."""
    by_cutoff = material.scores.accounts.groupby("cutoff")["probability"].agg(["sum", "size"]).sort_index()
    quarter = len(by_cutoff) // 4
    if not quarter:
        return
    late, early = by_cutoff.iloc[-quarter:].sum(), by_cutoff.iloc[:-quarter].sum()
    late, early = late["sum"] / late["size"], early["sum"] / early["size"]
    if late > _DRIFT * early or early > _DRIFT * late:
        yield (
            f"The mean score drifts: {percent(late)} over the latest quarter of the cut-offs, {percent(early)} before. "
            "Accounts, or how they are logged, may have changed since."
        )
