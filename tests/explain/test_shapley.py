"""Shapley values against all orders, the axioms, and the closed form of a linear model."""

import itertools

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.explain.shapley import explain_columns, shapley_of

RANDOM = np.random.default_rng(0)


def test_values_are_the_means_over_all_orders_of_several_games_at_once():
    worth = RANDOM.normal(size=(16, 3))
    found = shapley_of(lambda known: worth[known @ (1 << np.arange(4))], 4)
    added = np.zeros((4, 3))
    for order in itertools.permutations(range(4)):
        for n, k in enumerate(order):
            before = sum(1 << other for other in order[:n])
            added[k] += worth[before | 1 << k] - worth[before]
    np.testing.assert_allclose(found, added / 24, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), worth[-1] - worth[0], atol=1e-12)


def test_a_dummy_gets_what_it_adds_and_equals_get_the_same():
    """Players 0 and 1 enter alike, 2 adds nothing, 3 always adds 2."""
    found = shapley_of(lambda s: s[:, 0] * s[:, 1] + (s[:, 0] | s[:, 1]) * 3.0 + 2 * s[:, 3], 4)
    np.testing.assert_allclose(found, [2, 2, 0, 2], atol=1e-12)


def test_games_that_cannot_be_are_an_error():
    with pytest.raises(ConfigError, match="at most 12"):
        shapley_of(lambda known: known.sum(axis=1), 13)
    with pytest.raises(DataError, match="8 worths"):
        shapley_of(lambda known: np.zeros(3), 3)


def columns(n=20):
    table = pd.DataFrame(RANDOM.normal(size=(n, 4)), columns=["a", "b", "c", "d"])
    return table.assign(whole=np.arange(n), level=np.where(np.arange(n) % 3, "x", "y"))


def test_of_a_linear_model_there_is_a_closed_form():
    table, w = columns(), np.array([1.0, -2.0, 0.5, 0.0, 0.1])
    numbers = ["a", "b", "c", "d", "whole"]
    model = lambda rows: 0.3 + rows[numbers].to_numpy(float) @ w + (rows["level"] == "x")
    found = explain_columns(model, table.iloc[:7], table, {"one": ["a", "b"], "two": ["level"], "none": ["d"]})
    moved = (table[numbers] - table[numbers].mean()).to_numpy() * w
    np.testing.assert_allclose(found["one"], moved[:7, :2].sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(found["other"], moved[:7, [2, 4]].sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(found["two"], (table["level"] == "x")[:7] - 1.0, atol=1e-12)  # most are x
    assert (found["none"] == 0).all()
    np.testing.assert_allclose(found["baseline"], 0.3 + table[numbers].mean() @ w + 1, atol=1e-12)
    parts = found.drop(columns="log_odds").sum(axis=1)
    np.testing.assert_allclose(parts, found["log_odds"], atol=1e-12)


def test_a_product_is_shared_and_a_single_row_is_a_reference_too():
    table = columns(3)
    found = explain_columns(lambda rows: rows["a"] * rows["b"], table, table.iloc[0], {"a": ["a"], "b": ["b"]})
    a, b, a0, b0 = table["a"], table["b"], table["a"][0], table["b"][0]
    np.testing.assert_allclose(found["a"], (a - a0) * (b + b0) / 2, atol=1e-12)
    np.testing.assert_allclose(found["b"], (b - b0) * (a + a0) / 2, atol=1e-12)


def test_a_reference_that_lacks_a_column_is_an_error():
    with pytest.raises(DataError, match="lacks the columns b, c"):
        explain_columns(lambda rows: rows["a"], columns(3)[["a", "b", "c"]], pd.Series({"a": 1.0}), {"all": ["*"]})
