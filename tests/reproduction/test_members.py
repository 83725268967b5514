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
    account, won, pairs = np.arange(30) // 3, 0.0, 0
    for v, x in zip(values, interest, strict=True):
        for i, j in itertools.permutations(range(5), 2):
            if x[i] > x[j] and not np.isnan(v[i] + v[j]):
                pairs += 1
                won += (v[i] > v[j]) + 0.5 * (v[i] == v[j])
    found = concordance(values, interest, account, np.random.default_rng(1).multinomial(10, [0.1] * 10, 200) * 1.0)
    assert found.value == pytest.approx(won / pairs)
    assert found.resampled.min() < found.value < found.resampled.max()


def test_equal_interest_says_nothing():
    found = concordance(np.ones((2, 3)), np.ones((2, 3)), np.array([0, 1]), np.ones((4, 2)))
    assert np.isnan(found.value)
