"""Measures under many weightings: against scikit-learn, weighting by weighting, and against materialized resamples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation import resampling
from hanjax.evaluation.intervals import account_weights, resampled_auc, resampled_period_auc
from hanjax.evaluation.metrics import auc, average_precision
from hanjax.evaluation.over_time import over_time
from hanjax.evaluation.resampling import MEASURES, resampled, samples_of


def samples(seed, accounts=25, rate=0.2, ties=False):
    random = np.random.default_rng(seed)
    account = random.integers(0, accounts, 8 * accounts)
    labels = (random.random(len(account)) < rate).astype(int)
    scores = 1 / (1 + np.exp(1 - labels - random.normal(size=len(account))))
    return np.round(scores, 1) if ties else scores, labels, account, random.integers(0, 5, len(account))


@pytest.mark.parametrize("ties", [False, True])
def test_every_measure_is_scikit_learns_weighted_one(ties):
    scores, labels, account, periods = samples(0, ties=ties)
    weights = account_weights(25, resamples=12, seed=3)
    found = resampled(scores, labels, account, weights, MEASURES, periods=periods)
    inside = np.clip(scores, np.finfo(float).eps, 1 - np.finfo(float).eps)
    for r, weight in enumerate(weights):
        of_sample = {"sample_weight": weight[account]}
        assert found["auc"][r] == pytest.approx(roc_auc_score(labels, scores, **of_sample), abs=1e-6)
        expected = average_precision_score(labels, scores, **of_sample)
        assert found["average_precision"][r] == pytest.approx(expected, abs=1e-6)
        assert found["log_loss"][r] == pytest.approx(log_loss(labels, inside, **of_sample), rel=1e-9)
        assert found["brier"][r] == pytest.approx(brier_score_loss(labels, scores, **of_sample), rel=1e-9)


def test_areas_are_the_exact_ones_of_the_host_with_weights_of_any_kind():
    scores, labels, account, periods = samples(1, ties=True)
    weights = np.concatenate([account_weights(25, resamples=20), np.random.default_rng(0).random((3, 25))])
    found = resampled(scores, labels, account, weights, ["auc", "auc_period_mean"], periods=periods)
    np.testing.assert_allclose(found["auc"], resampled_auc(scores, labels, account, weights), atol=1e-6)
    exact = resampled_period_auc(scores, labels, account, periods, weights)
    np.testing.assert_allclose(found["auc_period_mean"], exact, atol=1e-6)


def test_each_account_once_is_the_measure_itself():
    scores, labels, account, periods = samples(2)
    found = resampled(scores, labels, account, np.ones((1, 25)), MEASURES, periods=periods)
    assert found["auc"][0] == pytest.approx(float(auc(scores, labels)), abs=1e-7)
    assert found["average_precision"][0] == pytest.approx(float(average_precision(scores, labels)), abs=1e-7)
    assert found["auc_period_mean"][0] == pytest.approx(over_time(scores, labels, periods)["auc"].mean(), abs=1e-7)


def test_near_scores_do_not_become_ties_in_float32():
    scores, labels = 0.5 + np.arange(6) * 1e-12, np.array([0, 1, 0, 1, 0, 1])
    found = resampled(scores, labels, np.arange(6), np.ones((1, 6)))
    assert found["auc"][0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-7)


def test_thresholds_are_taken_some_at_a_time(monkeypatch):
    scores, labels, account, periods = samples(3)
    weights = account_weights(25, resamples=7)
    whole = resampled(scores, labels, account, weights, MEASURES, periods=periods)
    monkeypatch.setattr(resampling, "_CELLS", 60)  # two thresholds, and some weightings, at a time
    parts = resampled(scores, labels, account, weights, MEASURES, periods=periods)
    for measure in MEASURES:
        np.testing.assert_allclose(parts[measure], whole[measure], rtol=1e-6)


def test_a_constant_score_has_half_the_area_and_the_base_rate_as_precision():
    _, labels, account, periods = samples(4)
    weights = account_weights(25, resamples=9)
    found = resampled(np.full(len(labels), 0.3), labels, account, weights, MEASURES, periods=periods)
    np.testing.assert_array_equal(found["auc"], 0.5)
    np.testing.assert_array_equal(found["auc_period_mean"], 0.5)
    rate = (weights[:, account] * labels).sum(axis=1) / weights[:, account].sum(axis=1)
    np.testing.assert_allclose(found["average_precision"], rate, atol=1e-6)


def test_what_a_weighting_leaves_out_is_undefined():
    scores, labels, account = np.array([0.9, 0.1, 0.2]), np.array([1, 0, 0]), np.arange(3)
    weights = np.array([[0.0, 2, 1], [3, 0, 0], [0, 0, 0]])
    found = resampled(scores, labels, account, weights, MEASURES, periods=np.zeros(3))
    assert np.isnan(found["auc"]).all() and np.isnan(found["auc_period_mean"]).all()
    np.testing.assert_allclose(found["average_precision"], [np.nan, 1, np.nan])
    np.testing.assert_allclose(found["brier"], [(2 * 0.01 + 0.04) / 3, 0.01, np.nan])
    nobody = resampled(np.zeros(2), np.zeros(2), np.arange(2), np.ones((1, 2)), MEASURES, periods=np.zeros(2))
    assert np.isnan([nobody[measure][0] for measure in MEASURES[:3]]).all() and nobody["brier"][0] == 0
    nothing = resampled(np.zeros(0), np.zeros(0), np.zeros(0, int), np.ones((2, 1)), MEASURES, periods=np.zeros(0))
    assert np.isnan(list(nothing.values())).all()


def test_samples_are_checked_and_numbered():
    given = samples_of(
        [[0.1, np.nan, 0.3], [1, 2, 3]], [0, np.nan, 1], ["b", "c", "a"], ["w2", "w1", "w9"], where=[True, False, True]
    )
    assert given.scores.tolist() == [[0.1, 0.3], [1, 3]] and given.labels.tolist() == [0, 1]
    assert (given.accounts.tolist(), given.periods.tolist(), given.names.tolist()) == ([1, 0], [0, 1], ["a", "b"])
    assert given.carriers == 1 and samples_of([], [], []).carriers == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((np.zeros(2), np.zeros(3), np.zeros(2)), "must be"),
        ((np.array([0.0, np.nan]), np.zeros(2), np.zeros(2)), "scores: 1 of 2 that count are NaN"),
        ((np.zeros(2), np.array([0, 2]), np.zeros(2)), "labels: 1 of 2"),
        ((np.zeros(2), np.zeros(2), np.array(["a", None])), "accounts: 1 of 2 that count are missing"),
        ((np.zeros(2), np.zeros(2), np.zeros(2), np.array([1.0, np.nan])), "periods: 1 of 2 that count are missing"),
    ],
)
def test_samples_that_do_not_fit_are_refused(arguments, told):
    with pytest.raises(DataError, match=told):
        samples_of(*arguments)


def test_measures_and_accounts_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="accuracy unknown"):
        resampled(np.zeros(2), np.zeros(2), np.arange(2), np.ones((1, 2)), ["accuracy"])
    with pytest.raises(ConfigError, match="needs `periods`"):
        resampled(np.zeros(2), np.zeros(2), np.arange(2), np.ones((1, 2)), ["auc_period_mean"])
    with pytest.raises(DataError, match="columns"):
        resampled(np.zeros(2), np.zeros(2), np.array([0, 5]), np.ones((1, 2)))
