"""Measures and differences with their intervals: what is drawn are the table's numbers."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from tests.plot.drawn import assert_legible, row_names, segments


def forest(ax):
    """[rows, low, value, high] as drawn."""
    intervals = np.array([segments(collection)[0, :, 0] for collection in ax.collections])
    values = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    return np.stack([intervals[:, 0], values, intervals[:, 1]], axis=1)


def test_models_are_points_with_intervals_and_the_first_stands_out():
    table = pd.DataFrame({"model": ["network", "counts", "recency"], "value": [0.84, 0.8, np.nan]})
    table = table.assign(low=[0.8, np.nan, np.nan], high=[0.87, np.nan, np.nan])
    ax = plot.metrics(table, baseline=0.5)
    assert row_names(ax) == list(table["model"])
    np.testing.assert_array_equal(forest(ax), table[["low", "value", "high"]])
    assert [text.get_text() for text in ax.texts] == ["0.840  [0.800, 0.870]", "0.800", "unknown"]
    colors = [line.get_color() for line in ax.lines[:3]]
    assert colors[0] != colors[1] == colors[2] and list(ax.lines[-1].get_xdata()) == [0.5, 0.5]
    assert ax.get_title() == "AUC of each model"
    assert_legible(ax)
    assert len(plot.metrics(table, measure="log loss").lines) == 3


@pytest.mark.parametrize(
    ("value", "text"), [(12.345, "12.3"), (0.00234567, "0.00235"), (123456.7, "123457"), (0, "0.00")]
)
def test_numbers_have_three_digits_that_count(value, text):
    ax = plot.metrics(pd.DataFrame({"model": ["a"], "value": [value], "low": [np.nan], "high": [np.nan]}))
    assert ax.texts[0].get_text() == text


def differences():
    table = pd.DataFrame({"first": [0.84, 0.07], "second": [0.82, 0.05], "difference": [0.02, 0.02]})
    return table.assign(low=[0.005, -0.003], high=[0.035, 0.047], p=[0.012, 0.3], measure=["AUC", "average precision"])


def test_differences_of_a_kind_are_on_one_scale_and_have_a_color_where_zero_is_outside():
    table = differences()
    ax = plot.compare(table, names=("network", "counts"))
    np.testing.assert_array_equal(forest(ax), table[["low", "difference", "high"]])
    assert row_names(ax) == ["AUC\n0.84 against 0.82", "average precision\n0.07 against 0.05"]
    assert ax.get_title() == "network less counts"
    assert list(ax.lines[-1].get_xdata()) == [0, 0]
    sure, unsure = (line.get_color() for line in ax.lines[:2])
    assert sure != unsure
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["+0.0200  [+0.0050, +0.0350]  p = 0.012", "+0.0200  [-0.0030, +0.0470]  p = 0.3"]
    upside_down = plot.compare(table.assign(difference=-0.02, low=-table["high"], high=-table["low"]))
    assert [line.get_color() for line in upside_down.lines[:2]] == [sure, unsure]
    assert_legible(ax)


def test_differences_of_different_sizes_are_each_on_their_own_scale():
    table = differences()
    table.loc[1, ["difference", "low", "high"]] = [-0.0004, -0.0006, -0.0002]
    ax = plot.compare(table.set_index("measure"))
    half = (table["high"] - table["low"]) / 2
    np.testing.assert_allclose(forest(ax), table[["low", "difference", "high"]].div(half, axis=0))
    assert "half widths of its own interval" in ax.get_xlabel()
    assert row_names(ax)[1].startswith("average precision\n")


def test_unknown_intervals_and_differences_leave_out_what_is_unknown():
    table = differences().assign(low=np.nan, high=np.nan, p=np.nan)
    table.loc[1, "difference"] = np.nan
    ax = plot.compare(table)
    assert [text.get_text() for text in ax.texts] == ["+0.0200", "unknown"]
    assert_legible(ax)
    assert_legible(plot.compare(table.assign(difference=0.0)))
