"""Intervals by resampling accounts: against materialized resamples, and their coverage where the truth is known."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.intervals import (
    account_weights,
    auc_interval,
    difference,
    interval,
    paired_difference,
    resampled_auc,
    resampled_period_auc,
)
from hanjax.evaluation.over_time import over_time


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
    once = np.bincount(periods, labels)
    for weight, mean in zip(weights.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(scores)), weight[account])
        within = [drawn[periods[drawn] == period] for period in range(5)]
        both = [period for period in range(5) if len(set(labels[within[period]])) == 2]
        areas = [roc_auc_score(labels[within[period]], scores[within[period]]) for period in both]
        often = [labels[within[period]].sum() / once[period] for period in both]
        assert mean == pytest.approx(np.average(areas, weights=often), abs=1e-12)
    plain = over_time(scores, labels, periods)["auc"].mean()
    assert resampled_period_auc(scores, labels, account, periods, np.ones((1, 25)))[0] == pytest.approx(plain)


def test_the_deviation_of_the_mean_over_periods_is_that_of_new_data():
    """One conversion in each of 24 periods: the mean is one of 24 independent shares."""
    random, means, deviations = np.random.default_rng(3), [], []
    periods, labels = np.repeat(np.arange(24), 30), np.tile(np.arange(30) == 0, 24).astype(int)
    for repeat in range(60):
        scores, account = labels + random.normal(size=len(labels)), np.arange(len(labels))
        means.append(over_time(scores, labels, periods)["auc"].mean())
        weights = account_weights(len(labels), resamples=200, seed=repeat)
        deviations.append(resampled_period_auc(scores, labels, account, periods, weights).std())
    assert np.mean(deviations) == pytest.approx(np.std(means), rel=0.2)


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


def test_intervals_have_the_shape_of_their_measure():
    resampled = np.random.default_rng(0).normal(0.8, 0.05, size=4000)
    deviation = resampled.std(ddof=1)
    wide = lambda found: found.high - found.low
    # very many conversions: log-odds and the normal distribution
    found, step = interval(0.8, resampled), stats.norm.ppf(0.975) * deviation / 0.16
    assert [found.low, found.high] == pytest.approx([expit(logit(0.8) - step), expit(logit(0.8) + step)])
    # few: Student's t, and half an account more that is all or nothing
    few, spread = interval(0.8, resampled, positives=13), np.sqrt((12 * deviation**2 + 0.16 / 26) / 12.5)
    step = stats.t.ppf(0.975, 12) * spread / 0.16
    assert [few.low, few.high] == pytest.approx([expit(logit(0.8) - step), expit(logit(0.8) + step)])
    assert wide(few) > wide(found) > wide(interval(0.8, resampled, level=0.9))
    precision = interval(0.8, resampled, positives=13, measure="average_precision")
    tail = stats.norm.cdf(stats.t.ppf(0.025, 12) * np.sqrt(13 / 12))
    step = stats.t.ppf(0.975, 12) * deviation / 0.16
    assert precision.low == pytest.approx(min(expit(logit(0.8) - step), np.quantile(resampled, tail)))
    assert precision.high == pytest.approx(max(expit(logit(0.8) + step), np.quantile(resampled, 1 - tail)))
    loss = interval(0.8, resampled, positives=13, measure="brier")
    assert loss.low * loss.high == pytest.approx(0.64) and np.log(loss.high / 0.8) == pytest.approx(
        stats.norm.ppf(0.975) * deviation / 0.8
    )


def test_a_share_has_wilsons_interval():
    accounts = 40  # each of which converts once, 30 of them where one looks
    found_there = (np.arange(accounts) < 30).astype(float)
    weights = account_weights(accounts, resamples=20_000)
    found = interval(0.75, weights @ found_there / accounts, measure="share", positives=accounts)
    expected = stats.binomtest(30, 40).proportion_ci(method="wilson")
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.01)  # one account fewer is free
    for hits, value in ((0, 0.0), (13, 1.0)):
        expected = stats.binomtest(hits, 13).proportion_ci(method="wilson")
        for measure in ("share", "auc"):
            ends = interval(value, np.full(50, value), measure=measure, positives=13)[1:3]
            np.testing.assert_allclose(ends, expected, atol=1e-12)


def test_a_difference_is_judged_by_students_t():
    resampled = np.random.default_rng(0).normal(0.1, 0.05, size=1000)
    found, deviation = difference(0.1, resampled, positives=13), resampled.std(ddof=1)
    assert found.p == pytest.approx(2 * stats.t.sf(0.1 / deviation, 12))
    assert [found.low, found.high] == pytest.approx(stats.t.interval(0.95, 12, 0.1, deviation))
    assert difference(0.1, resampled).p == pytest.approx(2 * stats.norm.sf(0.1 / deviation), rel=1e-6)
    assert difference(0.0, np.zeros(20)).p == 1.0


def test_undefined_measures_stay_undefined():
    assert np.isnan(interval(np.nan, np.full(5, np.nan)).high)
    assert np.isnan(difference(0.1, np.full(5, np.nan)).p)
    assert np.isnan(interval(0.9, np.array([0.8, 0.9]), positives=1).low)  # nobody knows how others would be scored
    assert np.isnan(difference(0.1, np.array([0.2, 0.1]), positives=1).p)


def test_a_measure_that_does_not_exist_or_fit_is_refused():
    with pytest.raises(ConfigError, match="'accuracy' is unknown"):
        interval(0.5, np.array([0.5, 0.6]), measure="accuracy")
    with pytest.raises(DataError, match="cannot be"):
        interval(1.2, np.array([0.5, 0.6]))


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
