"""Probabilities after a weighted loss, against a search for the constant that minimizes that loss."""

import numpy as np
import pytest

from hanjax.evaluation.calibration import probability, unweight


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
