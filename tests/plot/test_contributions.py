"""Who carried a score, when, and by which activities: what is drawn are the table's numbers."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, row_names

plt = pytest.importorskip("matplotlib.pyplot")


def pairs(people=4, periods=6, *, activities=7):
    """Weights of people and periods, in no order, of which some pairs are missing."""
    random = np.random.default_rng(people)
    weeks = pd.date_range("2025-12-07", periods=periods, freq="7D", tz="UTC")
    rows = [
        (f"p{i}", week, random.random()) for i in range(people) for week in weeks if i == 0 or random.random() < 0.8
    ]
    table = pd.DataFrame(rows, columns=["individual_id", "period", "weight"]).assign(activities=activities)
    table["weight"] /= table["weight"].sum()
    return table.sample(frac=1, random_state=0)


def shades(ax):
    return ax.collections[0].get_array().reshape(ax.collections[0].get_coordinates().shape[0] - 1, -1)


def test_cells_are_weights_and_people_are_in_the_order_of_their_shares():
    table = pairs()
    ax = plot.heat_map(table)
    shares = table.groupby("individual_id")["weight"].sum().sort_values(ascending=False)
    assert row_names(ax) == list(shares.index)
    weeks = sorted(table["period"].unique())
    wanted = np.zeros((4, 6))
    for row in table.itertuples():
        wanted[list(shares.index).index(row.individual_id), weeks.index(row.period)] = row.weight
    np.testing.assert_array_equal(shades(ax), wanted)
    texts = {(round(text.get_position()[0]), text.get_position()[1]): text.get_text() for text in ax.texts[4:]}
    assert {place for place, text in texts.items() if text == "7"} == {
        (j, i) for i, j in zip(*np.nonzero(wanted), strict=True)
    }
    assert [text.get_text() for text in ax.texts[:4]] == [f"{100 * share:.3g} %" for share in shares]
    dates = [label.get_text() for label in ax.get_xticklabels()]
    assert dates == ["Dec 7\n2025", "Dec 14", "Dec 21", "Dec 28", "Jan 4\n2026", "Jan 11"]
    low, high = ax.get_ylim()
    assert low > high  # the first one is on top
    assert_legible(ax)


@pytest.mark.parametrize(("periods", "value", "shown"), [
    (5, "demo", "demo"), (5, "email open, web visit, demo request", "email open…"), (30, "demo request", ""),
    (5, 12, "12"), (60, 12, ""), (5, 0, ""), (5, np.nan, ""), (5, 1.5, "1.5"),
])  # fmt: skip
def test_texts_are_within_their_cells_or_left_out(periods, value, shown):
    ax = plot.heat_map(pairs(2, periods, activities=value))
    texts = {text.get_text() for text in ax.texts[2:]} - {""}
    assert texts == ({shown} - {""} if "…" not in shown else texts)
    assert all(text.startswith("email op") and text.endswith("…") for text in texts if "…" in shown)
    assert bool(texts) == bool(shown)
    assert_legible(ax)
    width = ax.get_window_extent().width / periods
    assert all(text.get_window_extent().width < width for text in ax.texts[2:] if text.get_text())


def test_of_many_people_the_rest_is_named_and_of_many_periods_some_are():
    table = pairs(40, 53).assign(activities="x")
    table["period"] = table["period"].rank(method="dense").astype(int) - 53
    ax = plot.heat_map(table)
    shares = table.groupby("individual_id")["weight"].sum().sort_values(ascending=False)
    assert row_names(ax) == [*shares.index[:20], "20 others"] and shades(ax).shape == (20, 53)
    assert ax.texts[20].get_text() == f"{100 * shares.iloc[20:].sum():.3g} %"
    assert [label.get_text() for label in ax.get_xticklabels()][-2:] == ["-6", "0"]
    assert_legible(ax)


def test_dates_leave_each_other_room_on_narrow_axes():
    ax = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")[1][0]
    plot.heat_map(pairs(periods=9), ax=ax)
    assert_legible(ax)
    assert ax.get_xticklabels()[-1].get_text().endswith("Feb 1")


def test_a_pair_may_be_there_once():
    table = pairs(1, 2)
    twice = pd.concat([table, table[:1]])
    with pytest.raises(DataError, match=r"individual_id, period: is there twice \(1 row; first: \('p0', .*Add up"):
        plot.heat_map(twice)


def test_no_weight_at_all_is_drawn_pale():
    ax = plot.heat_map(pairs(2, 2).assign(weight=0.0))
    assert not shades(ax).any()
    assert_legible(ax)


def test_bars_are_the_sums_of_each_activity():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"activity": random.integers(0, 26, 200), "weight": random.random(200)})
    ax = plot.activities(table)
    sums = table.groupby("activity")["weight"].sum().sort_values(ascending=False)
    assert row_names(ax) == [*map(str, sums.index[:20]), f"{len(sums) - 20} others"]
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths, [*sums.iloc[:20], sums.iloc[20:].sum()])
    labels = plot.activities(pd.DataFrame({"activity": ["a$b$", "c"], "weight": [0.875, 0.125]})).texts
    assert [text.get_text() for text in labels] == ["87.5 %", "12.5 %"]
