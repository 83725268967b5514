"""The order of members, against counting pairs one by one."""

import itertools

import numpy as np
import pytest

from hanjax.reproduction.members import concordance


def test_pairs_are_counted_within_samples_alone():
    random = np.random.default_rng(0)
    values = np.round(random.normal(size=(30, 5)), 0)
    interest = random.choice([0.0, 0.5, 1.0], (30, 5))
    values[random.random((30, 5)) < 0.2] = np.nan
    account, won, pairs = np.arange(30) // 3, np.zeros(10), np.zeros(10)
    for a, v, x in zip(account, values, interest, strict=True):
        for i, j in itertools.permutations(range(5), 2):
            if x[i] > x[j] and not np.isnan(v[i] + v[j]):
                pairs[a] += 1
                won[a] += (v[i] > v[j]) + 0.5 * (v[i] == v[j])
    weights = np.random.default_rng(1).multinomial(10, [0.1] * 10, 20) * 1.0
    found = concordance(values, interest, account, weights)
    assert found.value == pytest.approx(won.sum() / pairs.sum())
    np.testing.assert_allclose(found.resampled, (weights @ won) / (weights @ pairs))


def test_equal_interest_says_nothing():
    found = concordance(np.ones((2, 3)), np.ones((2, 3)), np.array([0, 1]), np.ones((4, 2)))
    assert np.isnan(found.value)
