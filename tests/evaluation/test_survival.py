"""Forecasts of the time until conversion: against sums, searches, simulated waits, and scikit-survival."""

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.survival import (
    conversion_interval,
    converts_within,
    crossing,
    expected_periods,
    median_periods,
    monotone,
    survival_curve,
    time_after_crossing,
)

HORIZONS = (1, 4, 13)


def probabilities(seed, rows=40):
    return np.sort(np.random.default_rng(seed).uniform(0.02, 0.9, (rows, 3)), axis=1)


def test_with_one_horizon_the_hazard_is_constant():
    hazard = np.array([0.0, 0.001, 0.3, 1.0])
    curve = survival_curve(hazard[:, None], (1,), 30)
    np.testing.assert_allclose(curve, (1 - hazard[:, None]) ** np.arange(31), rtol=1e-12)
    within_four = 1 - (1 - hazard) ** 4
    np.testing.assert_allclose(survival_curve(within_four[:, None], (4,), 30), curve, rtol=1e-12)


def test_the_curve_goes_through_the_models_probabilities_with_constant_hazards_in_between():
    within = probabilities(0)
    curve = survival_curve(within, HORIZONS, 20)
    np.testing.assert_allclose(curve[:, HORIZONS], 1 - within, rtol=1e-12)
    hazard = 1 - curve[:, 1:] / curve[:, :-1]
    for begin, end in ((0, 1), (1, 4), (4, 20)):
        np.testing.assert_allclose(hazard[:, begin:end], hazard[:, [begin]].repeat(end - begin, 1), rtol=1e-9)
    for row, p in enumerate(within):
        knots = np.log(np.r_[1, 1 - p])
        np.testing.assert_allclose(np.log(curve[row, :14]), np.interp(range(14), (0, *HORIZONS), knots), atol=1e-12)
    assert all((converts_within(within, HORIZONS, n) == pytest.approx(1 - curve[:, n], abs=1e-14)) for n in range(21))


def test_tiny_probabilities_are_not_rounded_away():
    assert converts_within(np.array([[1e-18]]), (1,), 3)[0] == pytest.approx(3e-18, rel=1e-12)
    assert expected_periods(np.array([[1e-18]]), (1,))[0] == pytest.approx(1e18, rel=1e-12)


def test_the_expected_period_is_the_sum_of_the_curve():
    within = probabilities(1)
    within[:, 2] = np.maximum(within[:, 2], within[:, 1] + 0.05 * (1 - within[:, 1]))  # the sum has to end
    brute = survival_curve(within, HORIZONS, 20_000).sum(axis=1)
    np.testing.assert_allclose(expected_periods(within, HORIZONS), brute, rtol=1e-9)
    flat = np.array([[0.2, 0.2, 0.3], [0.0, 0.0, 0.5]])  # no hazard at first
    np.testing.assert_allclose(expected_periods(flat, HORIZONS), survival_curve(flat, HORIZONS, 9000).sum(1), rtol=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_median_and_interval_are_those_of_a_search_along_the_curve(level):
    within = probabilities(2)
    reached = 1 - survival_curve(within, HORIZONS, 20_000)
    first = lambda share: np.where((reached >= share).any(1), (reached >= share).argmax(1), np.inf)
    found = conversion_interval(within, HORIZONS, level=level)
    np.testing.assert_array_equal(median_periods(within, HORIZONS), first(0.5))
    np.testing.assert_array_equal(found.earliest, first((1 - level) / 2))
    np.testing.assert_array_equal(found.latest, first((1 + level) / 2))


def test_a_rounding_error_is_not_a_period():
    for n in range(1, 200):
        hazard = -np.expm1(np.log(0.5) / n)
        assert median_periods(np.array([[hazard]]), (1,))[0] == n
        assert median_periods(np.array([[0.01, 0.5]]), (1, n + 1))[0] == n + 1


def test_simulated_waits_are_as_forecast():
    within, random = np.array([[0.1, 0.3, 0.5]]), np.random.default_rng(3)
    curve = survival_curve(within, HORIZONS, 400)[0]
    hazard = 1 - curve[1:] / curve[:-1]
    wait = (random.random((20_000, 400)) < hazard).argmax(axis=1) + 1
    assert wait.mean() == pytest.approx(expected_periods(within, HORIZONS)[0], rel=0.03)
    assert np.median(wait) == pytest.approx(median_periods(within, HORIZONS)[0], abs=1)
    assert (wait <= 9).mean() == pytest.approx(converts_within(within, HORIZONS, 9)[0], abs=0.01)
    for level in (0.5, 0.8):
        (earliest,), (latest,) = conversion_interval(within, HORIZONS, level=level)
        inside = curve[int(earliest) - 1] - curve[int(latest)]
        assert inside >= level and ((wait >= earliest) & (wait <= latest)).mean() == pytest.approx(inside, abs=0.01)


def test_geometric_waits_are_as_forecast():
    wait = np.random.default_rng(4).geometric(0.08, 100_000)
    within = np.array([[0.08]])
    assert wait.mean() == pytest.approx(expected_periods(within, (1,))[0], rel=0.02)
    assert np.median(wait) == median_periods(within, (1,))[0]
    (earliest,), (latest,) = conversion_interval(within, (1,))
    np.testing.assert_array_equal(np.quantile(wait, [0.25, 0.75], method="inverted_cdf"), [earliest, latest])


def test_falling_probabilities_are_raised_and_counted():
    within = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]])
    found, raised = monotone(within)
    assert raised == 2 and found.tolist() == [[0.3, 0.3, 0.3], [0.1, 0.2, 0.3]] and within[0, 1] == 0.2
    curve = survival_curve(within, HORIZONS, 20)
    assert (np.diff(curve, axis=1) <= 0).all() and curve[0, 20] == pytest.approx(0.7)
    assert expected_periods(within, HORIZONS)[0] == np.inf  # no hazard is left to be carried on


def test_certainty_and_impossibility():
    within = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.4, 1.0, 1.0]])
    curve = survival_curve(within, HORIZONS, 5)
    assert curve[:, :4].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, pytest.approx(0.6), 0, 0]]
    assert converts_within(within, HORIZONS, 0).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(expected_periods(within, HORIZONS), [np.inf, 1, 2, 1.6])
    assert median_periods(within, HORIZONS).tolist() == [np.inf, 1, 2, 2]
    assert conversion_interval(within, HORIZONS).earliest.tolist() == [np.inf, 1, 2, 1]
    assert survival_curve(np.zeros((0, 3)), HORIZONS, 2).shape == (0, 3)
    assert (
        median_periods(np.zeros((0, 3)), HORIZONS).shape == expected_periods(np.zeros((0, 3)), HORIZONS).shape == (0,)
    )


@pytest.mark.parametrize(
    "within, horizons, error",
    [
        ([[0.1]], (), ConfigError),
        ([[0.1]], (0,), ConfigError),
        ([[0.1]], (1.5,), ConfigError),
        ([[0.1, 0.2]], (4, 1), ConfigError),
        ([[0.1, 0.2]], (1,), DataError),
        ([[1.1]], (1,), DataError),
        ([[np.nan]], (1,), DataError),
        ([0.1], (1,), DataError),
    ],
)
def test_what_is_no_forecast_is_refused(within, horizons, error):
    with pytest.raises(error):
        expected_periods(np.array(within), horizons)


def test_settings_that_cannot_be_are_refused():
    within = np.array([[0.5]])
    for call in (
        lambda: survival_curve(within, (1,), -1),
        lambda: converts_within(within, (1,), -1),
        lambda: conversion_interval(within, (1,), level=1.0),
    ):
        with pytest.raises(ConfigError):
            call()


def market(seed, accounts=60):
    """Scores and outcomes of accounts that are watched from different periods on, in no order."""
    random, rows = np.random.default_rng(seed), []
    for account in range(accounts):
        begin, length, level = random.integers(0, 4), random.integers(1, 15), random.normal()
        for t in range(begin, begin + length):
            score = level + random.normal()
            label = float(random.random() < 0.05 + 0.1 * (score > 1))
            rows.append((score, label, account, t))
            if label:
                break
    order = random.permutation(len(rows))
    return tuple(np.array(column)[order] for column in zip(*rows, strict=True))


def of_account(account, scores, labels, accounts, periods):
    rows = np.flatnonzero(accounts == account)
    return rows[np.argsort(periods[rows])]


def test_crossings_are_those_of_a_loop():
    scores, labels, accounts, periods = market(0)
    found = crossing(scores, accounts, periods, 1.0)
    assert found["account"].tolist() == list(range(60)) and found["first_crossed"].isna().any()
    assert found["from_the_start"].any() and found["still_above"].any()
    for row in found.itertuples():
        rows = of_account(row.account, scores, labels, accounts, periods)
        above = scores[rows] >= 1.0
        assert (row.from_the_start, row.still_above) == (above[0], above[-1])
        if above.any():
            assert row.first_crossed == periods[rows[above.argmax()]]
        else:
            assert row.first_crossed is pd.NA


def test_a_score_that_equals_the_threshold_has_crossed_it_and_dates_stay_dates():
    dates = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-01"]).tz_localize("Europe/Berlin")
    found = crossing(np.array([0.1, 0.5, 0.1]), np.array(["a", "a", "b"]), dates, 0.5)
    assert found["first_crossed"].iloc[0] == dates[1] and found["first_crossed"].iloc[1] is pd.NaT
    assert found["first_crossed"].dtype == dates.dtype


def test_waits_after_a_crossing_are_those_of_a_loop_and_scikit_survival():
    scores, labels, accounts, periods = market(1)
    found = time_after_crossing(scores, labels, accounts, periods, 1.0)
    waits, events, without = [], [], 0
    for account in range(60):
        rows = of_account(account, scores, labels, accounts, periods)
        above = scores[rows] >= 1.0
        if above.any():
            waits.append(len(rows) - above.argmax())
            events.append(bool(labels[rows[-1]]))
        else:
            without += int(labels[rows[-1]])
    assert (found.crossed, found.not_crossed) == (len(waits), 60 - len(waits)) and found.not_crossed > 0
    assert (found.conversions, found.conversions_not_crossed) == (sum(events), without) and without > 0
    times, survival = pytest.importorskip("sksurv.nonparametric").kaplan_meier_estimator(
        np.array(events), np.array(waits, float)
    )
    np.testing.assert_array_equal(found.curve["periods"], times)
    np.testing.assert_allclose(found.curve["survival"], survival, atol=1e-12)
    assert found.never == pytest.approx(survival[-1])
    for share, n in found.quantiles.itertuples(index=False):
        assert n == next((t for t, s in zip(times, survival, strict=True) if 1 - s >= share - 1e-12), np.inf)


def test_quantiles_beyond_the_share_that_converts_are_infinite():
    labels, accounts, periods = np.array([1, 0, 0, 0]), np.array([1, 2, 3, 3]), np.array([5, 5, 5, 6])
    found = time_after_crossing(np.ones(4), labels, accounts, periods, 0.5, shares=(1 / 3, 0.5))
    assert found.quantiles["periods"].tolist() == [1, np.inf] and found.never == pytest.approx(2 / 3)


@pytest.mark.parametrize("accounts", [0, 3])
def test_nobody_crosses(accounts):
    rows = np.arange(accounts)
    found = time_after_crossing(np.zeros(accounts), np.zeros(accounts), rows, rows, 0.5)
    assert (found.crossed, found.conversions, found.not_crossed) == (0, 0, accounts) and np.isnan(found.never)
    assert (found.quantiles["periods"] == np.inf).all() and len(crossing(rows, rows, rows, 9.0)) == accounts


def test_crossings_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="NaN"):
        crossing(np.array([np.nan]), np.array([1]), np.array([1]), 0.5)
    with pytest.raises(DataError, match=r"\[2\]"):
        crossing(np.zeros(2), np.zeros(1), np.zeros(2, int), 0.5)
