"""What can be said without a network, from counts of the same samples: whoever has a model should beat these."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hanjax.evaluation.comparison import compare, measured
from hanjax.evaluation.intervals import account_weights, interval
from hanjax.evaluation.resampling import MEASURES, resampled, samples_of
from hanjax.types import Panel, hard_label

RANKINGS = MEASURES[:3]
"""Measures of the order of scores alone; the others are of probabilities."""
RESAMPLES = 2000


class Baseline(NamedTuple):
    """Scores of a simple kind.

    Args:
        name: of the baseline.
        scores: ``[B]`` higher for likelier.
        probabilities: whether they are such.
    """

    name: str
    scores: Float[np.ndarray, " B"]
    probabilities: bool = False


def baselines(
    panel: Panel, counts: pd.DataFrame, training: Bool[np.ndarray, " B"], *, recency: bool = True
) -> tuple[list[Baseline], str]:
    """Simple scores of every sample of a panel.

    Args:
        panel: the samples.
        counts: of each of them, as ``hanjax.data.counts.account_counts`` gives them.
        training: ``[B]`` the samples that may be learned from.
        recency: whether the panel's windows tell how long ago an activity was.

    Returns:
        The baselines; and what is missing among them, in a sentence, empty if nothing.
    """
    counts = counts if recency else counts.drop(columns="recency")
    found = [Baseline("activities in the window", counts["activities"].to_numpy(float))]
    missing = ""
    if recency:
        found.append(Baseline("recency of the last activity", -counts["recency"].to_numpy()))
    else:
        missing = "Recency is no baseline here, as a window of active periods does not say how long ago they were."
    label = hard_label(panel.batch.label[:, 0])
    rows = training & ~np.isnan(label)
    if len(np.unique(label[rows])) < 2:
        none = (
            "There is no logistic regression to compare with: the data hold none of the accounts that the model was "
            "trained on, or only one outcome of theirs."
        )
        return found, f"{missing} {none}".strip()
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = [np.log1p(counts.drop(columns="recency", errors="ignore"))]
    known += [counts[["recency"]]] if recency else []
    known += [] if panel.batch.account_numbers is None else [panel.batch.account_numbers]
    table = np.concatenate([np.asarray(part, float) for part in known], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(table[rows], label[rows])
    return [*found, Baseline("logistic regression on counts", model.predict_proba(table)[:, 1], True)], missing


class Beside(NamedTuple):
    """The model beside baselines, on the same samples.

    Args:
        table: one row a model (the first is the model itself) and measure: ``model``, ``measure``, ``value``, ``low``
            and ``high``.
        differences: of the model less each baseline, by its name, as ``hanjax.evaluation.comparison.compare`` gives
            them.
    """

    table: pd.DataFrame
    differences: dict[str, pd.DataFrame]

    def verdict(self, baseline: str, name: str) -> str:
        """Whether the model ranks better than a baseline: "better", "worse", or "unsure"."""
        row = self.differences[baseline].set_index("measure").loc[name]
        return "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "unsure"


def beside(known: pd.DataFrame, others: list[Baseline], *, model: str, resamples: int = RESAMPLES) -> Beside:
    """Measures a model beside baselines, with intervals under the same resampled accounts.

    Args:
        known: the model's scores: account_id, cutoff, probability, label (0 or 1).
        others: baselines, whose scores are of the same rows.
        model: name of the model.
        resamples: how many times the accounts are drawn.

    Returns:
        The measures and the paired differences.
    """
    label, account, cutoff = (known[name].array for name in ("label", "account_id", "cutoff"))
    rows: list[list[Any]] = []
    differences = {}
    for one in [Baseline(model, known["probability"].to_numpy(), True), *others]:
        measures = MEASURES if one.probabilities else RANKINGS
        given = samples_of(one.scores, label, account, cutoff)
        weights = account_weights(len(given.names), resamples=resamples)
        drawn = resampled(given.scores, given.labels, given.accounts, weights, measures, periods=given.periods)
        for name in measures:
            value = measured(name, given.scores, given)
            found = interval(value, drawn[name], positives=given.carriers, measure=name)
            rows.append([one.name, name, found.value, found.low, found.high])
        if one.name != model:
            differences[one.name] = compare(
                known["probability"].to_numpy(),
                one.scores,
                label,
                account,
                cutoff,
                measures=measures,
                resamples=resamples,
            )
    return Beside(pd.DataFrame(rows, columns=["model", "measure", "value", "low", "high"]), differences)
