"""What holds for every picture of a table: it is legible, and a table that cannot be drawn is told so."""

import inspect

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible

plt = pytest.importorskip("matplotlib.pyplot")

RATES = {"mean_probability": [0.002, 0.011, 0.02], "rate": [0.001, 0.012, 0.018]}
BINS = {"low_edge": [0, 0.005, 0.012], "high_edge": [0.005, 0.012, 0.03], "samples": [500, 400, 300]}
WEEKS = pd.date_range("2025-12-14", periods=12, freq="7D", tz="Europe/Berlin")
LONG = [f"0015e00002aB{i:04d}$x$_long-identifier" for i in range(24)]
TABLES = {
    "reliability": pd.DataFrame({**BINS, **RATES, "rate_low": [0.0002, 0.004, 0.007], "rate_high": [0.01, 0.03, 0.04]}),
    "gains": pd.DataFrame({"share": [0.01, 0.1, 0.5, 1.0], "captured": [0.2, 0.6, 0.9, 1.0]}),
    "lift": pd.DataFrame(
        {"tier": ["High vs Avg", "Medium vs Avg", "Low vs Avg"], "samples": [1200, 12000, 1234567]}
        | {"conversions": [12, 31, 4], "rate": [0.01, 0.0026, 3e-6], "lift": [5.1, 1.3, 0.01]}
        | {"low": [3, 0.9, 0.0], "high": [8, 1.8, 0.02]}
    ),
    "over_time": pd.DataFrame(
        {"period": WEEKS, "auc": np.linspace(0.6, 1, 12), "samples": 400, "conversions": np.arange(1, 13)}
    ),
    "lead_time": pd.DataFrame(
        {"threshold": np.geomspace(0.3, 0.002, 12), "warned": np.linspace(0, 1, 12) ** 0.4}
        | {"false_alarms": np.linspace(0, 1, 12), "median_lead": np.arange(12.0)}
    ),
    "heat_map": pd.DataFrame(
        {
            "individual_id": np.repeat(LONG, 3),
            "period": list(WEEKS[:3]) * 24,
            "weight": 1 / 72,
            "activities": "demo request",
        }
    ),
    "activities": pd.DataFrame({"activity": LONG, "weight": np.linspace(0.08, 0.003, 24)}),
    "compare": pd.DataFrame(
        {"first": [0.84, 0.02, 4.2], "second": [0.82, 0.021, 3.9], "difference": [0.02, -0.001, 0.3]}
        | {"low": [0.01, -0.002, -0.4], "high": [0.03, -0.0001, 1.0], "p": [0.01, 0.04, 0.4]},
        index=["AUC", "log loss", "lift of the likeliest 5 %"],
    ),
    "metrics": pd.DataFrame(
        {"model": ["hierarchical attention network", *LONG[:4]], "value": [0.84, 0.81, 0.8, 0.79, 0.7]}
        | {"low": [0.8, 0.77, 0.76, 0.72, 0.6], "high": [0.88, 0.85, 0.84, 0.83, 0.75]}
    ),
    "ranking": pd.DataFrame({"account_id": LONG, "probability": np.geomspace(0.04, 0.001, 24)}),
    "segments": pd.DataFrame(
        {"factor": ["region"] * 4 + ["region:industry"] * 20, "level": LONG}
        | {"intercept": np.linspace(1, -1.2, 24), "sd": np.linspace(0.1, 0.6, 24)}
    ),
}
ALL = sorted(TABLES)


def test_every_function_of_a_table_is_here():
    found = {name for name in plot.__all__ if "table" in inspect.signature(getattr(plot, name)).parameters}
    assert found | {"ranking"} == set(TABLES)


@pytest.mark.parametrize("rows", [None, 1])
@pytest.mark.parametrize("name", ALL)
def test_pictures_are_legible_and_leave_the_table_as_it_is(name, rows):
    table = TABLES[name][:rows]
    before = table.copy(deep=True)
    ax = getattr(plot, name)(table)
    assert_legible(ax)
    assert ax.get_title() and ax.get_position().width > 0.4
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("name", ALL)
def test_given_axes_are_drawn_on_and_returned(name):
    ax = plt.subplots(2, figsize=(9, 9), layout="constrained")[1][1]
    assert getattr(plot, name)(TABLES[name], ax=ax) is ax
    assert len(plt.get_fignums()) == 1


ESSENTIAL = {
    **{
        "reliability": {"mean_probability", "rate"},
        "gains": {"share", "captured"},
        "lift": {"lift"},
        "over_time": set(),
    },
    **{"lead_time": {"threshold", "warned", "false_alarms"}, "heat_map": {"weight"}, "activities": {"weight"}},
    **{"compare": {"difference"}, "metrics": {"value"}, "ranking": {"probability"}, "segments": {"intercept"}},
}
"""Numbers without which there is nothing to draw."""


@pytest.mark.parametrize("name", ALL)
def test_a_table_that_cannot_be_drawn_is_told_so(name):
    draw, table = getattr(plot, name), TABLES[name]
    with pytest.raises(DataError, match="table: no rows to draw"):
        draw(table[:0])
    for column in table:
        numeric = pd.api.types.is_numeric_dtype(table[column])
        unknown = table.assign(**{column: pd.Series([None] * len(table), index=table.index, dtype=object)})
        with pytest.raises(DataError, match=f"there is no column {column}; it has "):
            draw(table.drop(columns=column))
        if column in ESSENTIAL[name]:
            with pytest.raises(
                DataError, match=f"no rows to draw, and .*{column}.* unknown in all of the {len(table)}"
            ):
                draw(unknown)
        elif numeric or column == "activities":
            draw(unknown)
        else:
            with pytest.raises(DataError, match=rf"table\.{column}: is missing \(.*first: 0.*Leave these rows out"):
                draw(unknown)
        if numeric:
            with pytest.raises(DataError, match=f"{column}.* have to be numbers"):
                draw(table.assign(**{column: "many"}))
