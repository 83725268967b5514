"""The draw of conversions, against slow and obvious versions."""

import numpy as np
import pytest

from hanjax.simulation import decision
from hanjax.simulation.people import size_distribution


def test_the_intercept_makes_the_expected_share_convert():
    rng = np.random.default_rng(0)
    log_odds, possible = rng.normal(size=(500, 20)), rng.random((500, 20)) < 0.8
    intercept = decision.find_intercept(log_odds, possible, 0.2)
    hazards = decision.hazard(log_odds, possible, intercept)
    assert decision.converting(hazards).mean() == pytest.approx(0.2, abs=1e-6)
    assert (hazards[~possible] == 0).all()


def test_every_account_converts_with_its_own_probability_in_its_own_weeks():
    hazards = np.array([[0.1, 0.2, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.0], [0.05, 0.0, 0.3]])
    rng = np.random.default_rng(1)
    weeks = np.array([decision.decide(rng, hazards).week for _ in range(4000)])
    for account, row in enumerate(hazards):
        survives = np.cumprod(np.concatenate([[1.0], 1 - row]))
        expected = np.append(survives[:-1] * row, survives[-1])
        np.testing.assert_allclose(np.bincount(weeks[:, account], minlength=4) / 4000, expected, atol=0.03)
    conversions = (weeks < 3).sum(axis=1)
    total = decision.converting(hazards).sum()
    assert set(conversions) <= {int(np.floor(total)), int(np.ceil(total))}


def test_group_sizes_have_the_mean_that_was_asked_for():
    p = size_distribution(3, 4.6, 25)
    assert p.sum() == pytest.approx(1) and p @ np.arange(3, 26) == pytest.approx(4.6)
    assert (np.diff(p) < 0).all()
