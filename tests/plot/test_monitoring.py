"""Pictures of drift and of performance over time."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, assert_nothing_cut_off, legend_texts, row_names

BINS = pd.DataFrame({"bin": [f"bin {i}" for i in range(20)], "reference": 0.05, "current": [0.24, *[0.04] * 19]})
WINDOWS = pd.DataFrame(
    {
        "first": pd.date_range("2024-01-07", periods=4, freq="28D", tz="Europe/Berlin"),
        "last": pd.date_range("2024-01-28", periods=4, freq="28D", tz="Europe/Berlin"),
        "complete": [True, True, True, False],
        "reference": [True, True, False, False],
        **{
            f"{name}{end}": np.array([0.8, 0.82, 0.7, 0.75]) + shift
            for name in ("auc", "ratio", "log_loss", "lift", "intercept")
            for end, shift in (("", 0), ("_low", -0.1), ("_high", 0.1))
        },
    }
)


def test_a_distribution_keeps_the_bins_that_moved_most():
    ax = plot.distribution(BINS)
    assert_legible(ax)
    assert row_names(ax)[0] == "bin 0" and row_names(ax)[-1] == "9 others" and len(row_names(ax)) == 12
    widths = [bar.get_width() for bar in ax.patches]
    assert sum(widths) == pytest.approx(2) and max(widths) == pytest.approx(9 * 0.05)
    with pytest.raises(DataError, match="no rows to draw"):
        plot.distribution(BINS[:0])


@pytest.mark.parametrize(("columns", "most"), [(1, 9), (5, 4)])
def test_distributions_are_small_pictures(columns, most):
    bins = pd.concat([BINS[:6].assign(table="accounts_$x$", column=f"column {i}") for i in range(columns)])
    figure = plot.distributions(bins, most=most).figure
    assert len(figure.axes) == min(columns, most)
    for ax in figure.axes:
        assert_nothing_cut_off(ax)
    assert figure.axes[0].get_title(loc="left").endswith("column 0")


def test_the_map_is_in_multiples_of_the_threshold():
    names = [f"0015e00002aB{i:04d}$x$_long-identifier" for i in range(30)]
    table = pd.DataFrame({"table": "accounts", "column": np.repeat(names, 3)})
    table["segment"] = ["", "region=EMEA", "region=APAC"] * 30
    table = table.assign(value=np.linspace(0.9, 0.0, 90), threshold=0.3)
    ax = plot.drift_map(table)
    assert_legible(ax)
    assert len(row_names(ax)) == 24 and ax.texts[0].get_text() == "3.0"
    with pytest.raises(DataError, match="no threshold is above 0"):
        plot.drift_map(table.assign(threshold=0.0))
    with pytest.raises(DataError, match="there is no column value"):
        plot.drift_map(table.drop(columns="value"))


@pytest.mark.parametrize("measure", ["auc", "ratio", "log_loss", "lift", "intercept"])
def test_the_course_shows_reference_and_alarms(measure):
    ax = plot.course(WINDOWS, measure=measure, alarms=pd.DataFrame({"period": WINDOWS["last"][2:3]}))
    assert_legible(ax)
    assert {"reference", "later", "not over yet", "alarm"} <= set(legend_texts(ax))
    single = plot.course(WINDOWS[:1].assign(**{f"{measure}_low": np.nan}), measure=measure)
    assert_legible(single)
    with pytest.raises(DataError, match="measure: 'f1' is unknown"):
        plot.course(WINDOWS, measure="f1")


def test_the_chart_shows_both_sides():
    table = pd.DataFrame({"period": range(10), "more": np.linspace(0, 4, 10), "fewer": 0.5, "threshold": 3.9})
    ax = plot.control_chart(table.assign(alarm=[*[""] * 9, "more"]))
    assert_legible(ax)
    assert ax.lines[1].get_ydata().max() == -0.5 and ax.collections[0].get_offsets().tolist() == [[9, 4]]
    assert "alarm" not in legend_texts(plot.control_chart(table.assign(alarm="")))
