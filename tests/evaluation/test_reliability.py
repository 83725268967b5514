"""Whether probabilities mean what they say: against scikit-learn, SciPy, brute force, and coverage of the truth."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.metrics import brier
from hanjax.evaluation.reliability import (
    BrierDecomposition,
    brier_decomposition,
    expected_calibration_error,
    log_loss_skill,
    reliability,
)


def samples(seed, n=400, ties=False):
    random = np.random.default_rng(seed)
    p = random.beta(1, 4, n)
    p = np.round(p, 1) if ties else p
    return p, (random.random(n) < p**1.3).astype(int)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("bins", [1, 2, 7, 10])
def test_the_bins_are_those_of_scikit_learn(bins, ties):
    p, labels = samples(0, ties=ties)
    found = reliability(p, labels, bins=bins)
    rate, mean = calibration_curve(labels, p, n_bins=bins, strategy="quantile")
    np.testing.assert_allclose(found["rate"], rate, rtol=1e-12)
    np.testing.assert_allclose(found["mean_probability"], mean, rtol=1e-12)
    if not ties:
        assert set(found["samples"]) <= {400 // bins, 400 // bins + 1}


def test_equal_probabilities_are_never_put_apart_and_nothing_is_lost():
    p, labels = samples(1, ties=True)
    found = reliability(p, labels)
    edges = found[["low_edge", "high_edge"]].to_numpy()
    assert (edges[:, 0] <= edges[:, 1]).all() and (edges[1:, 0] > edges[:-1, 1]).all()
    assert found["samples"].sum() == 400 and found["conversions"].sum() == labels.sum()
    for row in found.itertuples():
        inside = (p >= row.low_edge) & (p <= row.high_edge)
        assert (row.samples, row.conversions) == (inside.sum(), labels[inside].sum())
    assert len(reliability(np.full(9, 0.3), np.zeros(9))) == 1


def test_without_accounts_the_intervals_are_exact_binomial_ones():
    p, labels = samples(2, n=90)
    for row in reliability(p, labels, bins=9, level=0.9).itertuples():
        exact = binomtest(row.conversions, row.samples).proportion_ci(0.9, method="exact")
        np.testing.assert_allclose([row.rate_low, row.rate_high], [exact.low, exact.high], atol=1e-12)


def test_with_accounts_the_intervals_are_those_of_materialized_resamples():
    p, labels = samples(3, n=900)
    accounts = np.random.default_rng(3).integers(0, 60, 900)
    found = reliability(p, labels, accounts, bins=2, resamples=200, seed=5)
    drawn = np.random.default_rng(5).multinomial(60, np.full(60, 1 / 60), size=200)
    for row in found.itertuples():
        assert min(row.conversions, row.samples - row.conversions) >= 10
        inside = np.flatnonzero((p >= row.low_edge) & (p <= row.high_edge))
        rates = [labels[np.repeat(inside, times[accounts[inside]])].mean() for times in drawn]
        np.testing.assert_allclose([row.rate_low, row.rate_high], np.quantile(rates, [0.025, 0.975]), atol=1e-12)


def test_few_conversions_get_a_wide_interval_also_among_accounts():
    p, accounts = np.full(300, 0.01), np.arange(300) // 3
    none = reliability(p, np.zeros(300), accounts, resamples=200).iloc[0]
    assert none.rate_low == 0 and none.rate_high == pytest.approx(1 - 0.025 ** (1 / 300))
    few = np.zeros(300)
    few[[0, 30, 60, 90]] = 1
    one_each = reliability(p, few, accounts, resamples=2000).iloc[0]
    exact = binomtest(4, 300).proportion_ci(method="exact")
    np.testing.assert_allclose([one_each.rate_low, one_each.rate_high], [exact.low, exact.high], rtol=0.15)
    together = np.zeros(300)
    together[:3] = 1  # the same number, nearly, but all of one account
    clustered = reliability(p, together, accounts, resamples=2000).iloc[0]
    assert clustered.rate_high > 1.5 * one_each.rate_high


@pytest.mark.parametrize("rate, copies", [(0.4, 5), (0.02, 1), (0.02, 5)])
def test_intervals_cover_the_true_rate(rate, copies):
    """Accounts whose samples are copies of each other, with many and with few conversions."""
    random, covered = np.random.default_rng(0), 0
    for repeat in range(150):
        labels = np.repeat(random.random(120) < rate, copies).astype(int)
        p, accounts = np.full(len(labels), rate), np.repeat(np.arange(120), copies)
        found = reliability(p, labels, accounts, resamples=200, seed=repeat).iloc[0]
        covered += found.rate_low <= rate <= found.rate_high
    assert covered / 150 >= 0.86  # worst where copies are rare: in 9 of 100 repeats nobody converts


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("bins", [1, 4, 10, None])
def test_the_parts_of_a_brier_score_are_all_of_it(bins, ties):
    p, labels = samples(4, ties=ties)
    part = brier_decomposition(p, labels, bins)
    total = part.reliability - part.resolution + part.uncertainty + part.within_variance - part.within_covariance
    assert total == pytest.approx(float(brier(p, labels)), abs=1e-14)
    assert part.uncertainty == pytest.approx(labels.var(), abs=1e-14)
    if bins is None:
        np.testing.assert_allclose(part[3:], 0, atol=1e-16)
    if bins == 1:
        assert part.resolution == pytest.approx(0, abs=1e-16)


def test_each_part_is_that_of_loops_over_bins():
    p, labels = samples(5, n=80)
    order, parts = np.argsort(p), np.zeros(5)
    for rows in np.split(order, 4):
        mean, rate = p[rows].mean(), labels[rows].mean()
        parts[0] += len(rows) / 80 * (mean - rate) ** 2
        parts[1] += len(rows) / 80 * (rate - labels.mean()) ** 2
        parts[3] += sum((p[i] - mean) ** 2 for i in rows) / 80
        parts[4] += sum(2 * (labels[i] - rate) * (p[i] - mean) for i in rows) / 80
    parts[2] = labels.mean() * (1 - labels.mean())
    np.testing.assert_allclose(brier_decomposition(p, labels, 4), parts, rtol=1e-12)
    error = sum(len(r) / 80 * abs(p[r].mean() - labels[r].mean()) for r in np.split(order, 4))
    assert expected_calibration_error(p, labels, bins=4) == pytest.approx(error, abs=1e-14)


def test_the_skill_is_that_of_scikit_learns_log_losses():
    p, labels = samples(6)
    expected = 1 - log_loss(labels, p) / log_loss(labels, np.full(400, labels.mean()))
    assert log_loss_skill(p, labels) == pytest.approx(expected, abs=1e-12)
    assert log_loss_skill(labels, labels) == pytest.approx(1) and log_loss_skill(1 - p, labels) < 0


def test_nothing_there_and_one_class_only():
    nothing = np.zeros(0)
    assert len(reliability(nothing, nothing)) == len(reliability(nothing, nothing, nothing, resamples=10)) == 0
    assert np.isnan(brier_decomposition(nothing, nothing)).all() and np.isnan(log_loss_skill(nothing, nothing))
    assert np.isnan(expected_calibration_error(nothing, nothing))
    assert np.isnan(log_loss_skill(np.full(3, 0.2), np.zeros(3)))
    assert brier_decomposition(np.full(3, 0.5), np.ones(3)) == BrierDecomposition(0.25, 0, 0, 0, 0)
    single = reliability(np.array([0.2]), np.array([1]), np.array(["only"]), resamples=10).iloc[0]
    assert (single.rate, single.rate_high) == (1, 1) and single.rate_low == pytest.approx(0.025)


@pytest.mark.parametrize(
    "p, labels, accounts, message",
    [
        ([0.1, 1.5], [0, 1], None, "probabilities.*1 of 2 wrong; first: 1.5"),
        ([0.1, np.nan], [0, 1], None, "probabilities"),
        ([0.1, 0.2], [0, np.nan], None, "labels.*unknown"),
        ([0.1, 0.2], [0], None, r"\[2\] and \[1\]"),
        ([0.1, 0.2], [0, 1], [3], "accounts"),
    ],
)
def test_what_does_not_fit_is_refused(p, labels, accounts, message):
    with pytest.raises(DataError, match=message):
        reliability(np.array(p), np.array(labels), accounts if accounts is None else np.array(accounts))
    with pytest.raises(ConfigError, match="bins"):
        reliability(np.array([0.1]), np.array([1]), bins=0)
