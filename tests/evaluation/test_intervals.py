"""Intervals by resampling accounts: against materialized resamples, and their coverage where the truth is known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hanjax.errors import DataError
from hanjax.evaluation.intervals import (
    account_weights,
    auc_interval,
    difference,
    interval,
    paired_difference,
    resampled_auc,
    resampled_period_auc,
)


def samples(seed, accounts=25, ties=False):
    random = np.random.default_rng(seed)
    account = np.sort(random.integers(0, accounts, 8 * accounts))
    labels = (random.random(len(account)) < 0.2).astype(int)
    scores = labels + random.normal(size=len(account))
    return random.permutation(np.arange(len(account))), np.round(scores) if ties else scores, labels, account


@pytest.mark.parametrize("ties", [False, True])
def test_the_areas_are_those_of_materialized_resamples(ties):
    order, scores, labels, account = samples(0, ties=ties)
    weights = account_weights(25, resamples=30, seed=3)
    found = resampled_auc(scores[order], labels[order], account[order], weights)
    for weight, area in zip(weights.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(scores)), weight[account])
        assert area == pytest.approx(roc_auc_score(labels[drawn], scores[drawn]), abs=1e-12)


def test_the_mean_over_periods_is_that_of_materialized_resamples():
    _, scores, labels, account = samples(1)
    periods = np.random.default_rng(1).integers(0, 5, len(scores))
    weights = account_weights(25, resamples=20)
    found = resampled_period_auc(scores, labels, account, periods, weights)
    for weight, mean in zip(weights.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(scores)), weight[account])
        within = [drawn[periods[drawn] == period] for period in range(5)]
        areas = [roc_auc_score(labels[rows], scores[rows]) for rows in within if len(set(labels[rows])) == 2]
        assert mean == pytest.approx(np.mean(areas), abs=1e-12)


def test_a_resample_with_one_class_is_undefined_and_counted():
    scores, labels, account = np.array([0.9, 0.1, 0.2]), np.array([1, 0, 0]), np.arange(3)
    found = auc_interval(scores, labels, account, resamples=500)
    assert found.value == 1.0 and 250 < found.resamples < 400  # (2/3)^3 of them miss the only positive, 1/27 the rest
    assert np.isnan(auc_interval(scores, np.zeros(3, int), account, resamples=10).low)


def test_large_inputs_are_compared_in_parts(monkeypatch):
    _, scores, labels, account = samples(2)
    weights = account_weights(25, resamples=10)
    whole = resampled_auc(scores, labels, account, weights)
    monkeypatch.setattr("hanjax.evaluation.intervals._PAIRS", 300)
    np.testing.assert_allclose(resampled_auc(scores, labels, account, weights), whole, rtol=0, atol=1e-14)


def test_intervals_cover_the_true_area():
    """Accounts whose samples are copies of each other: an interval over samples would be far too narrow."""
    random, truth = np.random.default_rng(0), 0.7602499389065233  # Phi(1 / sqrt 2)
    covered = 0
    for repeat in range(150):
        labels = np.repeat(random.random(120) < 0.4, 5).astype(int)
        scores = labels + np.repeat(random.normal(size=120), 5)
        found = auc_interval(scores, labels, np.repeat(np.arange(120), 5), resamples=300, seed=repeat)
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 150 <= 0.99


def test_a_paired_difference_is_surer_than_two_intervals():
    random = np.random.default_rng(1)
    labels, account = (random.random(900) < 0.2).astype(int), np.arange(900) // 3
    shared = labels + random.normal(size=900)
    better, worse = shared + 0.3 * labels, shared + 0.1 * random.normal(size=900)
    found = paired_difference(better, worse, labels, account, resamples=500)
    alone = auc_interval(better, labels, account, resamples=500)
    assert found.value > 0 and found.low > 0 and found.p < 0.01
    assert found.deviation < alone.deviation
    swapped = paired_difference(worse, better, labels, account, resamples=500)
    np.testing.assert_allclose([swapped.value, swapped.low, swapped.p], [-found.value, -found.high, found.p])


def test_p_is_uniform_where_there_is_no_difference():
    random, small = np.random.default_rng(2), 0
    for repeat in range(120):
        labels, account = (random.random(240) < 0.3).astype(int), np.arange(240) // 2
        first, second = labels + random.normal(size=(2, 240))
        small += paired_difference(first, second, labels, account, resamples=200, seed=repeat).p < 0.1
    assert 0.03 <= small / 120 <= 0.2


def test_undefined_measures_stay_undefined():
    assert np.isnan(interval(np.nan, np.full(5, np.nan)).high)
    assert np.isnan(difference(0.1, np.full(5, np.nan)).p)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros(2), np.zeros(3), np.zeros(2, int)),
        (np.array([0.0, np.nan]), np.zeros(2), np.zeros(2, int)),
        (np.zeros(2), np.array([0, 2]), np.zeros(2, int)),
        (np.zeros(2), np.zeros(2), np.array([0, 9])),
    ],
)
def test_what_does_not_fit_is_refused(arguments):
    with pytest.raises(DataError):
        resampled_auc(*arguments, np.ones((1, 3)))
