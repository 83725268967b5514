"""Baselines: counts against slow loops, measures against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from hanjax.data.counts import account_counts
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.report.baselines import Baseline, baselines, beside
from tests import trained


def slow(panel, row):
    """Counts of one sample, member by member and period by period."""
    batch, periods = panel.batch, panel.batch.windows.shape[1]
    activities = latest = active = members = 0
    recency = periods + 1
    for k in range(batch.members.shape[1]):
        if not batch.members[row, k]:
            continue
        members, window, some = members + 1, batch.member_windows[row, k], 0
        for w in range(periods):
            sequence = batch.windows[window, w]
            if batch.counts is None:
                volume = np.count_nonzero(batch.sequences[sequence])
            else:
                volume = batch.counts[batch.count_windows[window, w]].sum()
            some += volume
            latest += volume if w == periods - 1 else 0
            if sequence:
                age = periods - w if batch.window_ages is None else batch.window_ages[window, w]
                recency = min(recency, age)
        activities, active = activities + some, active + (some > 0)
    return [activities, latest, active, members, recency]


@pytest.mark.parametrize(
    "settings", [{}, dict(volumes=True), dict(window_ages=True, window_kind="active")], ids=["plain", "volumes", "ages"]
)
def test_counts_are_those_of_slow_loops(settings):
    config = trained.CONFIG.replace(**settings).panel
    encoding = trained.trained().encoding
    panel = make_panel(check(trained.market(), config), config, encoding)[0]
    counts = account_counts(panel)
    assert list(counts) == ["activities", "latest", "active_members", "members", "recency"]
    rows = np.arange(0, len(counts), 3)
    np.testing.assert_allclose(counts.to_numpy()[rows], [slow(panel, row) for row in rows])
    assert counts["recency"].nunique() > 2 and (counts["active_members"] < counts["members"]).any()


def test_the_regression_learns_from_the_training_samples_alone():
    panel = trained.panel()
    training = trained.trained().parts_of(panel.samples["account_id"]) == "train"
    found, missing = baselines(panel, account_counts(panel), training)
    assert [one.probabilities for one in found] == [False, False, True] and not missing
    turned = panel._replace(
        batch=panel.batch._replace(label=np.where(training[:, None], panel.batch.label, 1 - panel.batch.label))
    )
    np.testing.assert_array_equal(baselines(turned, account_counts(turned), training)[0][2].scores, found[2].scores)
    known = training & ~np.isnan(panel.batch.label[:, 0])
    mean, rate = found[2].scores[known].mean(), panel.batch.label[known, 0].mean()
    assert mean == pytest.approx(rate, rel=1e-3)  # that of a regression with an intercept on its own samples


def test_without_both_outcomes_to_learn_from_there_is_no_regression():
    panel = trained.panel()
    found, missing = baselines(panel, account_counts(panel), np.zeros(len(panel.samples), bool), recency=False)
    assert [one.name for one in found] == ["activities in the window"] and "no logistic regression" in missing
    assert "Recency is no baseline here" in missing


def test_measures_are_those_of_scikit_learn():
    panel = trained.panel()
    label = panel.batch.label[:, 0]
    known = ~np.isnan(label)
    random = np.random.default_rng(0)
    scores = pd.DataFrame(
        {
            "account_id": panel.samples["account_id"][known],
            "cutoff": panel.samples["cutoff"][known],
            "probability": np.clip(0.2 * label[known] + random.random(known.sum()) * 0.7, 0.01, 0.99),
            "label": label[known].astype(int),
        }
    ).reset_index(drop=True)
    found, _ = baselines(panel, account_counts(panel), known)
    others = [one._replace(scores=one.scores[known]) for one in found]
    result = beside(scores, others, model="mine", resamples=200)
    table = result.table.set_index(["model", "measure"])
    for name, values in [("mine", scores["probability"]), *((one.name, one.scores) for one in others)]:
        assert table.loc[(name, "auc"), "value"] == pytest.approx(roc_auc_score(scores["label"], values))
        precision = average_precision_score(scores["label"], values)
        if len(np.unique(values)) == len(values):
            assert table.loc[(name, "average_precision"), "value"] == pytest.approx(precision)
        row = table.loc[(name, "auc")]
        assert row["low"] < row["value"] < row["high"]
    assert table.loc[("mine", "log_loss"), "value"] == pytest.approx(log_loss(scores["label"], scores["probability"]))
    assert ("activities in the window", "brier") not in table.index
    for name, difference in result.differences.items():
        row = difference.set_index("measure").loc["auc"]
        assert row["difference"] == pytest.approx(
            table.loc[("mine", "auc"), "value"] - table.loc[(name, "auc"), "value"]
        )
        expected = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "unsure"
        assert result.verdict(name, "auc") == expected


def test_a_model_that_knows_is_better_and_one_that_is_reversed_is_worse():
    random = np.random.default_rng(1)
    label = random.integers(0, 2, 400)
    known = pd.DataFrame({"account_id": np.arange(400) // 4, "cutoff": np.arange(400) % 4, "label": label})
    noise = Baseline("noise", random.random(400))
    sharp = np.clip(label * 0.5 + random.random(400) * 0.5, 0, 1)
    verdicts = [
        beside(known.assign(probability=p), [noise], model="m", resamples=200).verdict("noise", "auc")
        for p in (sharp, 1 - sharp)
    ]
    assert verdicts == ["better", "worse"]
