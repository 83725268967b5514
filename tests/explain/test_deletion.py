"""The deletion test against deleting one by one, and on games with known answers."""

import itertools

import numpy as np
import pytest

from hanjax.errors import DataError
from hanjax.explain.deletion import faithfulness_of
from hanjax.scoring.influence import shapley

RANDOM = np.random.default_rng(0)


def test_curves_are_those_of_deleting_one_by_one():
    worths = RANDOM.normal(size=(16, 5))
    found = faithfulness_of(worths, np.arange(5))
    parts = shapley(worths)
    for k in (1, 2, 3):
        row = found.curves.set_index("deleted").loc[k]
        top, said, every, best = [], [], [], []
        for i in range(5):
            order = sorted(range(4), key=lambda a, i=i: -parts[a, i])
            fall = lambda gone, i=i: worths[15, i] - worths[15 - sum(1 << a for a in gone), i]
            top.append(fall(order[:k]))
            said.append(parts[order[:k], i].sum())
            every.append(np.mean([fall(gone) for gone in itertools.combinations(range(4), k)]))
            best.append(max(fall(gone) for gone in itertools.combinations(range(4), k)))
        expected = [np.mean(one) for one in (top, said, every, best)]
        np.testing.assert_allclose(row[["top", "predicted", "random", "best"]], expected, atol=1e-12)
    area = found.curves.mean()
    ratio = (area["top"] - area["random"]) / (area["best"] - area["random"])
    assert found.faithfulness == pytest.approx(ratio) and found.faithfulness < 1
    assert found.low <= found.faithfulness <= found.high and found.accounts == 5


def test_where_effects_add_up_contributions_are_right():
    effects = RANDOM.normal(size=(4, 6))
    subsets = (np.arange(16)[:, None] >> np.arange(4) & 1) @ effects
    found = faithfulness_of(subsets, np.arange(6))
    assert found.faithfulness == pytest.approx(1) and found.agreement == pytest.approx(1)
    np.testing.assert_allclose(found.curves["top"], found.curves["predicted"], atol=1e-12)
    assert "100% of the way" in found.sentence and "predicted" in repr(found)


def test_where_nothing_matters_there_is_nothing_to_believe():
    found = faithfulness_of(np.ones((8, 3)), np.arange(3))
    assert np.isnan([found.faithfulness, found.agreement]).all() and "nothing to believe" in found.sentence


def test_one_aspect_is_too_few():
    with pytest.raises(DataError, match="needs two with inputs"):
        faithfulness_of(np.zeros((2, 3)), np.arange(3))
