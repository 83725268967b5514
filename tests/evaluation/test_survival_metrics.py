"""Measures under censoring: against scikit-survival, materialized resamples, loops, and samples without censoring."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.survival_metrics import (
    integrated_brier,
    kaplan_meier,
    periods_to_event,
    time_dependent_auc,
    time_dependent_brier,
)


def samples(seed, n=300, ties=True):
    """Risks, waits that are shorter for higher ones, and independent censoring, in whole periods."""
    random = np.random.default_rng(seed)
    risk = random.random(n)
    risk = np.round(risk, 1) if ties else risk
    converts, lost = random.geometric(0.02 + 0.3 * risk), random.integers(0, 12, n)
    return risk, np.minimum(converts, lost), converts <= lost, converts


def outside(time, event):
    """The same outcomes for scikit-survival, to which a tie of conversion and censoring has to be told by times."""
    return pytest.importorskip("sksurv.util").Surv.from_arrays(event, time + 0.5 * ~event)


HORIZONS = np.array([1, 2, 4, 7, 10])


@pytest.mark.parametrize("ties", [False, True])
def test_the_auc_is_that_of_scikit_survival(ties):
    metrics = pytest.importorskip("sksurv.metrics")
    risk, time, event, _ = samples(0, ties=ties)
    theirs, _ = metrics.cumulative_dynamic_auc(outside(time, event), outside(time, event), risk, HORIZONS)
    mine = [time_dependent_auc(risk, time, event, n) for n in HORIZONS]
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10)


def test_the_brier_scores_are_those_of_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics")
    risk, time, event, _ = samples(1)
    within = 1 - (1 - risk[:, None]) ** HORIZONS
    known = outside(time, event)
    _, theirs = metrics.brier_score(known, known, 1 - within, HORIZONS)
    mine = [time_dependent_brier(p, time, event, n) for p, n in zip(within.T, HORIZONS, strict=True)]
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10)
    theirs = metrics.integrated_brier_score(known, known, 1 - within, HORIZONS)
    assert integrated_brier(within, time, event, HORIZONS) == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("all_censored", [False, True])
def test_the_curve_is_that_of_scikit_survival(all_censored):
    estimator = pytest.importorskip("sksurv.nonparametric").kaplan_meier_estimator
    _, time, event, _ = samples(2)
    event = event & (not all_censored)
    times, survival = estimator(event, time)
    found = kaplan_meier(time, event)
    np.testing.assert_array_equal(found["periods"], times)
    np.testing.assert_allclose(found["survival"], survival, rtol=0, atol=1e-12)
    assert found["at_risk"].iloc[0] == 300 and found[["conversions", "censored"]].to_numpy().sum() == 300


def test_without_censoring_the_measures_are_the_plain_ones():
    risk, _, _, time = samples(3)
    seen = np.ones(300, bool)
    for n in (1, 3, 8):
        assert time_dependent_auc(risk, time, seen, n) == pytest.approx(roc_auc_score(time <= n, risk), abs=1e-12)
        assert time_dependent_brier(risk, time, seen, n) == pytest.approx((((time <= n) - risk) ** 2).mean())


def test_censoring_moves_no_measure_on_average():
    """Whole periods, where conversions and censoring tie all the time: the mean over many samples is the truth."""
    found, truth, naive = [], [], []
    for seed in range(60):
        risk, time, event, converts = samples(seed, n=400)
        p = 0.4 + 0.5 * risk
        found.append([time_dependent_auc(risk, time, event, 5), time_dependent_brier(p, time, event, 5)])
        label = converts <= 5
        truth.append([roc_auc_score(label, risk), ((label - p) ** 2).mean()])
        naive.append((((event & (time <= 5)) - p) ** 2).mean())  # those lost counted as if they never converted
    error = np.std(np.subtract(found, truth), axis=0) / np.sqrt(60)
    assert (np.abs(np.mean(found, axis=0) - np.mean(truth, axis=0)) < 3 * error).all() and error.max() < 0.005
    assert np.mean(naive) - np.mean(truth, axis=0)[1] > 0.03


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_repetitions(seed):
    risk, time, event, _ = samples(seed, n=60)
    weights = np.random.default_rng(seed).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), weights)
    p, repeated = risk, (time[rows], event[rows])
    for n in (1, 4, 9):
        weighted = time_dependent_auc(risk, time, event, n, weights=weights)
        np.testing.assert_allclose(weighted, time_dependent_auc(risk[rows], *repeated, n), atol=1e-12)
        weighted = time_dependent_brier(p, time, event, n, weights=weights)
        np.testing.assert_allclose(weighted, time_dependent_brier(p[rows], *repeated, n), atol=1e-12)
    np.testing.assert_allclose(kaplan_meier(time, event, weights=weights), kaplan_meier(*repeated), atol=1e-12)


def test_waits_are_those_of_a_search_through_the_risk_set():
    random, rows = np.random.default_rng(4), []
    for account in "abcdefghij":
        begin, length = random.integers(0, 5), random.integers(1, 7)
        labels = np.zeros(length)
        labels[-1] = random.choice([0, 1, np.nan])
        rows += [(label, account, begin + t) for t, label in enumerate(labels)]
    rows = [rows[i] for i in random.permutation(len(rows))]
    labels, accounts, periods = (np.array(column) for column in zip(*rows, strict=True))
    time, event = periods_to_event(labels, accounts, periods)
    assert set(labels[~np.isnan(labels)]) == {0, 1} and np.isnan(labels).any()
    for i, (_, account, begin) in enumerate(rows):
        later = sorted((t, label) for label, of, t in rows if of == account and t >= begin)
        converts = [t for t, label in later if label == 1]
        without = sum(label == 0 for _, label in later)
        assert event[i] == bool(converts)
        assert time[i] == (converts[0] - begin + 1 if converts else without)


def test_a_conversion_after_a_hole_is_counted_in_periods():
    time, event = periods_to_event(np.array([0, 1, 0, 0]), np.array([1, 1, 2, 2]), np.array([3, 9, 3, 6]))
    assert time.tolist() == [7, 1, 4, 1] and event.tolist() == [True, True, False, False]


def test_what_is_not_defined_is_nan():
    risk, none = np.array([0.2, 0.4]), np.zeros(0, int)
    assert np.isnan(time_dependent_auc(risk, np.array([3, 4]), np.array([False, False]), 2))
    assert np.isnan(time_dependent_auc(risk, np.array([1, 1]), np.array([True, False]), 2))
    assert np.isnan(time_dependent_brier(risk, np.array([1, 1]), np.array([True, False]), 2))
    assert np.isnan(time_dependent_auc(none, none, none.astype(bool), 1))
    assert np.isnan(time_dependent_brier(none, none, none.astype(bool), 1))
    assert len(kaplan_meier(none, none.astype(bool))) == 0
    assert [len(part) for part in periods_to_event(none, none, none)] == [0, 0]


@pytest.mark.parametrize(
    "labels, accounts, periods, message",
    [
        ([0, 0], [1, 1], [3, 3], "twice"),
        ([1, 0], [1, 1], [3, 4], "stop with the conversion"),
        ([1, 1], [1, 1], [3, 4], "1 row; first: 1"),
        ([2, 0], [1, 1], [3, 4], "0, 1, or NaN"),
        ([0, 0], [1, 1], [3.0, 4.0], "integers"),
        ([0, 0], [1], [3, 4], r"\[1\]"),
    ],
)
def test_what_is_no_risk_set_is_refused(labels, accounts, periods, message):
    with pytest.raises(DataError, match=message):
        periods_to_event(np.array(labels), np.array(accounts), np.array(periods))


@pytest.mark.parametrize(
    "p, time, event, message",
    [
        ([0.1, 1.2], [1, 2], [True, False], "first: 1.2"),
        ([0.1, np.nan], [1, 2], [True, False], "unknown"),
        ([0.1], [1, 2], [True, False], r"\[1\]"),
        ([0.1, 0.2], [1, -2], [True, False], "time: must be finite"),
        ([0.1, 0.2], [1, 2.5], [True, False], "whole periods"),
        ([0.1, 0.2], [1, 2], [1, 0], "bool"),
    ],
)
def test_forecasts_and_outcomes_that_do_not_fit_are_refused(p, time, event, message):
    with pytest.raises(DataError, match=message):
        time_dependent_brier(np.array(p), np.array(time), np.array(event), 1)


@pytest.mark.parametrize("periods", [[1], [2, 2], [3, 1]])
def test_horizons_have_to_rise(periods):
    with pytest.raises(ConfigError, match="rising"):
        integrated_brier(np.zeros((1, len(periods))), np.array([1]), np.array([True]), np.array(periods))
    with pytest.raises(DataError, match="one column"):
        integrated_brier(np.zeros((1, 3)), np.array([1]), np.array([True]), np.array([1, 2]))
