"""The picture of features: histograms of what there is, and its share over time."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import ConfigError, DataError
from tests.plot.drawn import assert_legible, assert_nothing_cut_off

plt = pytest.importorskip("matplotlib.pyplot")


def matrix(features=4, accounts=50, weeks=20, seed=0):
    random = np.random.default_rng(seed)
    cutoff = pd.date_range("2024-01-07", periods=weeks, freq="7D", tz="Europe/Berlin")
    table = pd.DataFrame({"account_id": np.repeat(np.arange(accounts), weeks), "cutoff": np.tile(cutoff, accounts)})
    for number in range(features):
        values = random.lognormal(number % 3, 1, len(table)) * (random.random(len(table)) < 0.7)
        known = random.random(len(table)) < (np.tile(np.arange(weeks), accounts) + 1 + number) / (weeks + features)
        table[f"feature_of_a_long_name_{number}"] = np.where(known, values, np.nan)
    return table


def test_coverage_and_histogram_are_those_of_the_values():
    table = matrix(2)
    name = "feature_of_a_long_name_1"
    ax = plot.features(table, names=[name])
    assert ax.shape == (1, 2)
    expected = [part[name].notna().mean() for _, part in table.groupby("cutoff")]
    np.testing.assert_allclose(ax[0, 1].lines[0].get_ydata(), expected)
    counts, edges = np.histogram(table[name].dropna(), bins=30)
    np.testing.assert_allclose(ax[0, 0].patches[0].get_data().values, counts / counts.sum())
    np.testing.assert_allclose(ax[0, 0].patches[0].get_data().edges, edges)


def test_what_was_filled_in_counts_as_missing():
    table = pd.DataFrame({"cutoff": ["2024-01-07"] * 4, "x": [0.0, 0.0, 1.0, 2.0]})
    ax = plot.features(table.assign(x__missing=[True, False, False, False]))
    assert ax.shape == (1, 2) and ax[0, 1].lines[0].get_ydata().tolist() == [0.75]


def test_many_features_with_a_reference_are_legible():
    table = matrix(6)
    table["nothing"] = np.nan
    ax = plot.features(table, reference=matrix(6, seed=1), most=5)
    assert ax.shape == (5, 2) and ax[0, 0].get_title() == "Values (first 5 of 7 features; line: reference)"
    assert len(ax[0, 0].patches) == 2
    assert_nothing_cut_off(ax[0, 0])
    assert_legible(ax[-1, 0])
    assert_legible(ax[-1, 1])
    assert plot.features(table, names=["nothing"])[0, 0].texts[0].get_text() == "no value"


def test_what_cannot_be_drawn_is_told():
    table = matrix(1)
    with pytest.raises(DataError, match="table: no rows to draw"):
        plot.features(table[:0])
    with pytest.raises(DataError, match="there is no feature to draw"):
        plot.features(table[["account_id", "cutoff"]])
    with pytest.raises(DataError, match="matrix.text: has to be a number"):
        plot.features(table.assign(text="many"))
    with pytest.raises(ConfigError, match="'booked' is not among the features"):
        plot.features(table, names=["booked"])
