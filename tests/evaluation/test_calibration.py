"""Probabilities after a weighted loss, against a search for its minimum; calibrations against scikit-learn."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.calibration import (
    METHODS,
    Calibration,
    apply_calibration,
    fit_calibration,
    probability,
    unweight,
)


@pytest.mark.parametrize("weight", [1.0, 0.25, 500.0, 750.0])
def test_the_base_rate_of_a_rare_outcome_is_recovered(weight):
    rate, q = 0.002, np.linspace(0, 1, 1_000_001)[1:-1]
    loss = -weight * rate * np.log(q) - (1 - rate) * np.log1p(-q)
    trained = q[loss.argmin()]  # what a model with this weight says of everybody
    if weight == 500:
        assert abs(trained - 0.5) < 0.001
    logit = np.log(trained / (1 - trained))
    found = probability(unweight(logit, positive_weight=weight))
    assert found == pytest.approx(rate, rel=1e-3)
    assert found == pytest.approx(trained / (trained + weight * (1 - trained)), rel=1e-12)


def test_extreme_log_odds_stay_finite_and_in_order():
    logit = np.array([-800.0, -40.0, 0.0, 30.0, 800.0])
    found = probability(logit)
    assert np.isfinite(found).all() and (np.diff(found) > 0).all() and found[0] == 0 and found[-1] == 1
    np.testing.assert_allclose(found[1:4], 1 / (1 + np.exp(-logit[1:4])), rtol=1e-14)
    assert probability(np.float32(-20.0)).dtype == np.float64


def conversions(seed, samples, distort=lambda z: z):
    """Log-odds as a model gives them, and outcomes that follow other ones."""
    random = np.random.default_rng(seed)
    logit = random.normal(-1, 1.5, samples)
    return logit, (random.random(samples) < probability(distort(logit))).astype(int)


def log_odds(p):
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("slope, intercept", [(0.4, -2.0), (1.0, 0.0), (2.5, 1.0)])
def test_a_known_distortion_is_undone(slope, intercept):
    logit, label = conversions(0, 50_000, lambda z: slope * z + intercept)
    found = fit_calibration(logit, label, "platt")
    assert found.slope == pytest.approx(slope, rel=0.04) and found.intercept == pytest.approx(intercept, abs=0.05)
    assert not found.note
    truth = probability(slope * logit + intercept)
    isotonic = apply_calibration(fit_calibration(logit, label, "isotonic"), logit)
    assert np.abs(isotonic - truth).mean() < 0.01


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_platt_is_that_of_scikit_learn(weighted, scale):
    logit, label = conversions(1, 400)
    weights = np.random.default_rng(1).integers(0, 4, 400).astype(float) if weighted else None
    a, b = _sigmoid_calibration(scale * logit, label.astype(float), weights)
    found = fit_calibration(scale * logit, label, "platt", weights=weights)
    np.testing.assert_allclose([found.slope, found.intercept], [-a, -b], rtol=1e-4, atol=1e-5)


def test_the_slope_of_platt_is_where_its_loss_is_least():
    logit, label = conversions(2, 60)
    found = fit_calibration(logit, label, "platt")
    n = label.sum()
    target = np.where(label == 1, (n + 1) / (n + 2), 1 / (60 - n + 2))
    rest = apply_calibration(found, logit) - target  # the gradient of the log loss in log-odds
    np.testing.assert_allclose([rest.sum(), rest @ logit], 0, atol=1e-8)


def test_platt_of_separated_classes_is_finite():
    found = fit_calibration(np.array([-3.0, -2.0, 1.0, 2.0]), np.array([0, 0, 1, 1]), "platt")
    p = apply_calibration(found, np.array([-3.0, -2.0, 1.0, 2.0]))
    assert found.slope > 0 and ((p > 0.05) & (p < 0.95)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "logit", [np.array([3.0, 2.0, 1.0, 0.0, -1.0]), np.full(5, 2.0)], ids=["backwards", "constant"]
)
def test_scores_that_rank_backwards_or_not_at_all_give_one_probability_and_a_note(method, logit):
    found = fit_calibration(logit, np.array([0, 0, 0, 1, 1]), method)
    p = apply_calibration(found, np.linspace(-5, 5, 11))
    smoothed = (3 * 1 / 5 + 2 * 3 / 4) / 5
    np.testing.assert_allclose(p, smoothed if method == "platt" else 0.4, rtol=1e-12)
    assert "do not rank" in found.note


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_is_that_of_scikit_learn_but_for_the_ends(weighted):
    logit, label = conversions(3, 500)
    logit = np.round(logit, 1)  # ties
    weights = np.random.default_rng(3).integers(0, 4, 500).astype(float) if weighted else None
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logit, label, sample_weight=weights)
    found = fit_calibration(logit, label, "isotonic", weights=weights)
    expected, mine = theirs.predict(logit), apply_calibration(found, logit)
    inside = (expected > 0) & (expected < 1)
    assert 0.3 < inside.mean() < 1
    np.testing.assert_allclose(mine[inside], expected[inside], rtol=1e-12)
    counts = np.ones(500) if weights is None else weights
    lowest, highest = (expected == 0), (expected == 1)
    n, next_to_it = counts[lowest].sum(), expected[inside].min()
    np.testing.assert_allclose(mine[lowest], next_to_it / (n + 1), rtol=1e-12)
    n, next_to_it = counts[highest].sum(), expected[inside].max()
    np.testing.assert_allclose(mine[highest], (n + next_to_it) / (n + 1), rtol=1e-12)


def test_isotonic_between_and_beyond_its_knots_is_that_of_scikit_learn():
    logit = np.array([-2.0, -2.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    label = np.array([0, 1, 0, 1, 1, 0, 1, 1])  # both outcomes at either end
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logit, label)
    between = np.linspace(-4, 4, 101)
    found = apply_calibration(fit_calibration(logit, label, "isotonic"), between)
    np.testing.assert_allclose(found, theirs.predict(between), rtol=1e-12)


def test_two_steps_alone_stay_apart_and_inside():
    found = fit_calibration(np.array([-1.0, -1.0, 1.0]), np.array([0, 0, 1]), "isotonic")
    np.testing.assert_allclose(apply_calibration(found, np.array([-9.0, 9.0])), [1 / 3, 1 / 2], rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_ranks_never_reverse_and_surprises_are_finite(method):
    logit, label = conversions(4, 300)
    found = fit_calibration(logit, label, method)
    knots = np.array(found.logits)
    beside = np.concatenate([knots, np.nextafter(knots, -np.inf), np.nextafter(knots, np.inf)])
    some = np.sort(np.concatenate([beside, logit, np.linspace(-20, 20, 100_001)]))
    p = apply_calibration(found, some)
    assert (np.diff(p) >= 0).all() and (p > 0).all() and (p < 1).all()
    assert np.isnan(apply_calibration(found, np.array([[np.nan]]))[0, 0])


def test_rounding_reverses_no_ranks_beside_a_knot():
    random, reversed_alone = np.random.default_rng(0), 0
    for _ in range(1000):
        knots, heights = np.sort(random.normal(size=5)), np.sort(random.uniform(0.01, 0.99, 5))
        below = np.nextafter(knots, -np.inf)
        found = apply_calibration(Calibration("isotonic", logits=knots, probabilities=heights), below)
        assert (found <= heights).all()
        reversed_alone += (np.interp(below, knots, heights) > heights).sum()
    assert reversed_alone > 0  # NumPy's interpolation by itself does


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_outlives_json(method):
    logit, label = conversions(5, 200)
    found = fit_calibration(logit, label, method)
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    np.testing.assert_array_equal(apply_calibration(again, logit), apply_calibration(found, logit))


def test_using_a_calibration_takes_no_scikit_learn():
    code = (
        "import sys; from hanjax.evaluation.calibration import Calibration, apply_calibration as use\n"
        "use(Calibration('platt'), [0.0]), use(Calibration('isotonic', logits=[0], probabilities=[0.5]), [0.0])\n"
        "print('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("label", [np.zeros(3), np.ones(3), np.zeros(0)])
def test_one_class_alone_is_refused_with_a_remedy(label):
    with pytest.raises(DataError, match="more validation accounts"):
        fit_calibration(np.arange(len(label)), label, "platt")


@pytest.mark.parametrize(
    "logit, label, weights, message",
    [
        ([0.0, np.nan], [0, 1], None, "logit.*finite"),
        ([0.0, 1.0], [0, np.nan], None, "label.*0 or 1"),
        ([0.0, 1.0], [0, 1], [1.0, -1.0], "weights"),
        ([0.0, 1.0], [0, 1, 1], None, r"\[2\], \[3\]"),
        ([0.0, 1.0], [0, 1], [1.0, 0.0], "0 of 1 samples that count"),
    ],
)
def test_samples_that_do_not_fit_are_refused(logit, label, weights, message):
    with pytest.raises(DataError, match=message):
        fit_calibration(logit, label, "isotonic", weights=weights)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"method": "beta"},
        {"method": "platt", "slop": 1.0},
        {"method": "platt", "slope": -1.0},
        {"method": "platt", "logits": [0.0], "probabilities": [0.5]},
        {"method": "isotonic"},
        {"method": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.5]},
        {"method": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.5, 0.4]},
        {"method": "isotonic", "logits": [1.0, 0.0], "probabilities": [0.4, 0.5]},
        {"method": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.4, 1.0]},
    ],
)
def test_what_is_no_calibration_is_refused(stored):
    with pytest.raises((ConfigError, DataError)):
        Calibration.from_dict(stored)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="platt, isotonic"):
        fit_calibration(np.array([0.0, 1.0]), np.array([0, 1]), "beta")
