"""Drift: counts in bins against a slow loop, divergences against SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.drift import binned, jensen_shannon, population_stability


def smoothed(reference, current):
    p, q = (np.asarray(counts, float) + 0.5 for counts in (reference, current))
    return p / p.sum(), q / q.sum()


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_counted_between_quantiles_of_the_reference(seed):
    random = np.random.default_rng(seed)
    reference, current = random.normal(size=200), random.normal(0.5, 2, size=97)
    table = binned(reference, current, bins=5)
    edges = [-np.inf, *(sorted(reference)[int(200 * share) - 1] for share in (0.2, 0.4, 0.6, 0.8)), np.inf]
    for name, values in (("reference", reference), ("current", current)):
        expected = [sum(low < value <= high for value in values) for low, high in zip(edges, edges[1:], strict=False)]
        assert table[name].tolist() == expected
    assert table["reference"].tolist() == [40] * 5


def test_divergences_are_those_of_scipy():
    random = np.random.default_rng(0)
    reference, current = random.normal(size=300), random.normal(0.7, 1.5, size=200)
    table = binned(reference, current)
    p, q = smoothed(table["reference"], table["current"])
    assert population_stability(reference, current) == pytest.approx(entropy(p, q) + entropy(q, p))
    assert jensen_shannon(reference, current) == pytest.approx(jensenshannon(p, q, base=2) ** 2)


def test_levels_are_themselves_whichever_sample_has_them():
    reference, current = ["a"] * 6 + ["b"] * 3, ["a"] * 2 + ["c"] * 5
    assert binned(reference, current).to_numpy().tolist() == [["a", 6, 2], ["b", 3, 0], ["c", 0, 5]]
    p, q = smoothed([6, 3, 0], [2, 0, 5])
    assert population_stability(reference, current) == pytest.approx(entropy(p, q) + entropy(q, p))
    truth = pd.Series([True, False, True])
    assert binned(truth, ~truth).to_numpy().tolist() == [["False", 1, 2], ["True", 2, 1]]
    assert binned(pd.Series(["a", "b"], dtype="category"), ["b"])["current"].tolist() == [0, 1]


@pytest.mark.parametrize("reference", [[1.0, 2.0, np.nan, 4.0], ["x", "y", None, "y"]])
def test_missing_values_are_a_bin_of_their_own(reference):
    table = binned(reference, [*reference, *[reference[2]] * 5])
    assert table.iloc[-1].tolist() == ["missing", 1, 6]
    assert population_stability(reference, [*reference, *[reference[2]] * 50]) > 1


def test_a_frequent_value_is_told_from_what_lies_beside_it():
    reference = [0] * 60 + list(range(1, 41))
    table = binned(reference, [-1, 0, 0, 1]).set_index("bin")
    assert table.loc["0"].tolist() == [60, 2] and table.loc["(.., 0)"].tolist() == [0, 1]
    # A constant that becomes another one must be seen, on whichever side.
    assert population_stability([5.0] * 50, [3.0] * 50) > 3 and population_stability([5.0] * 50, [7.0] * 50) > 3
    assert population_stability([5.0] * 50, [5.0] * 20) < 0.1


def test_the_same_distribution_is_near_what_chance_gives():
    random = np.random.default_rng(1)
    found = [population_stability(random.normal(size=2000), random.normal(size=1000)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(9 * (1 / 2000 + 1 / 1000), rel=0.25)
    assert population_stability(range(50), range(50)) == jensen_shannon(range(50), range(50)) == 0


def test_infinite_all_missing_and_boxed_numbers():
    table = binned([1.0, 2.0, np.inf, -np.inf], [np.inf, 0.0], bins=2)
    assert table[["reference", "current"]].sum().tolist() == [4, 2]
    assert binned([np.nan, np.nan], [1.0, 2.0]).sum()[["reference", "current"]].tolist() == [2, 2]
    assert binned([None, None], [None])["bin"].tolist() == ["missing"]
    boxed = pd.Series([1, None, 3], dtype=object)
    assert binned(boxed, [1.0, 3.0])["current"].sum() == 2


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="current: there are no rows"):
        binned([1.0], [])
    with pytest.raises(DataError, match="one holds numbers and the other one levels"):
        binned([1.0], ["a"])
    with pytest.raises(ConfigError, match="bins: expected at least 1, got 0"):
        binned([1.0], [1.0], bins=0)
