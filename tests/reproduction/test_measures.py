"""Figures from finished scores."""

import numpy as np
import pytest

from hanjax.evaluation.metrics import auc
from hanjax.reproduction.measures import BANDS, compare, measure, normalized, on_common_samples, weights_for
from tests.reproduction.examples import random_scores, scored


def test_figures_are_means_over_seeds_and_unknown_outcomes_are_left_out():
    one, other = random_scores(0), random_scores(1)
    one = one._replace(label=np.where(np.arange(400) == 5, np.nan, one.label))
    weights = weights_for(40, 200)
    found = measure([one, other], weights)
    known = ~np.isnan(one.label)
    expected = [auc(one.score[known].astype(float), one.label[known]), auc(other.score.astype(float), other.label)]
    np.testing.assert_allclose(found.areas, expected)
    assert found.auc.value == pytest.approx(np.mean(expected)) and found.spread > 0
    assert found.auc.low < found.auc.value < found.auc.high
    assert (found.periods, found.one_class, found.conversions) == (1, 9, 14)
    assert len(found.bands) == len(BANDS)


def test_a_row_does_not_differ_from_itself():
    found = measure([random_scores(0)], weights_for(40, 100))
    none = compare(found, found)
    assert (none.value, none.low, none.high, none.p) == (0.0, 0.0, 0.0, 1.0)


def test_pairs_are_on_the_samples_of_both_in_one_order():
    first = scored([0, 0, 1], [1, 2, 1], [0.1, 0.2, 0.3], [0, 0, 1])
    second = scored([1, 0, 2], [1, 2, 1], [0.7, 0.6, 0.5], [1, 0, 0])
    one, other = on_common_samples(first, second)
    assert one.account.tolist() == other.account.tolist() == [0, 1]
    np.testing.assert_allclose([one.score, other.score], [[0.2, 0.3], [0.6, 0.7]], rtol=1e-6)


def test_normalization_adds_members_within_each_period():
    probability = np.array([0.1, 0.2, 0.3, 0.4])
    odds = np.log(probability / (1 - probability))
    found = normalized(scored([0, 1, 2, 0], [1, 1, 1, 2], odds, [0, 0, 1, 0], members=[6, 2, 3, 3]))
    np.testing.assert_allclose(found.score, [(0.6 - 0.4) / 0.5, 0.0, 1.0, 0.5], atol=1e-6)
