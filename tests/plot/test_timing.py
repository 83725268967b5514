"""AUC by period, and early warning: what is drawn are the table's numbers."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, legend_texts

dates = pytest.importorskip("matplotlib.dates")


def periods(n, *, start="2025-11-02", zone="America/New_York"):
    """AUCs of n weeks, of which every fifth has none."""
    random = np.random.default_rng(n)
    conversions = np.where(np.arange(n) % 5 == 4, 0, random.integers(1, 9, n))
    auc = np.where(conversions > 0, random.uniform(0.3, 1, n), np.nan)
    weeks = pd.date_range(start, periods=n, freq="7D", tz=zone)
    return pd.DataFrame({"period": weeks, "auc": auc, "samples": 400, "conversions": conversions})


@pytest.mark.parametrize("n", [1, 3, 8, 60])
def test_dots_are_aucs_and_their_areas_grow_with_conversions(n):
    table = periods(n)
    ax = plot.over_time(table.sample(frac=1, random_state=0))
    known, dots = table.dropna(subset="auc"), ax.collections[0]
    days = dates.date2num([week.replace(tzinfo=None) for week in known["period"]])
    np.testing.assert_allclose(dots.get_offsets(), np.stack([days, known["auc"]], axis=1))
    areas = dots.get_sizes()
    ratio = (areas - 15) / known["conversions"]
    np.testing.assert_allclose(ratio, ratio.iloc[0])
    assert legend_texts(ax)[0].startswith(f"{known['conversions'].min()} conversion")
    assert_legible(ax)


def test_periods_of_one_class_are_marked_and_counted():
    ax = plot.over_time(periods(12).reset_index(drop=True).assign(period=np.arange(12)))
    marks = ax.lines[-1]
    assert list(marks.get_xdata()) == [4, 9] and (marks.get_ydata() < 0.1).all()
    assert legend_texts(ax)[-1] == "2 periods without AUC:\nall or none converted"
    ax = plot.over_time(periods(5).assign(auc=np.nan))
    assert legend_texts(ax) == ["no better than chance", "5 periods without AUC:\nall or none converted"]
    assert_legible(ax)


@pytest.mark.parametrize(("n", "width"), [(10, None), (11, 5), (60, 9)])
def test_the_line_is_the_mean_of_neighbors_weighted_by_conversions(n, width):
    """Against sums that are written out. Of 10 and 11 periods 8 and 9 have an AUC."""
    table = periods(n)
    found = [line for line in plot.over_time(table).lines if line.get_label().startswith("mean of")]
    if width is None:
        assert not found
        return
    assert found[0].get_label() == f"mean of {width} periods,\nweighted by conversions"
    auc, weight = table.dropna(subset="auc")[["auc", "conversions"]].to_numpy().T
    for place, mean in enumerate(found[0].get_ydata()):
        near = slice(max(place - width // 2, 0), place + width // 2 + 1)
        assert mean == pytest.approx(np.average(auc[near], weights=weight[near]), rel=1e-12)


@pytest.mark.parametrize("kind", ["text", "period", "naive", "numbers"])
def test_periods_may_be_written_in_many_ways(kind):
    table = periods(6, zone=None)
    columns = {
        "text": table["period"].dt.strftime("%Y-%m-%d"),
        "period": table["period"].dt.to_period("W-SUN").dt.asfreq("D"),
        "naive": table["period"],
        "numbers": pd.Series([3, 4, 5, 6, 7, 8], dtype="Int64"),
    }
    ax = plot.over_time(table.assign(period=columns[kind]))
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    if kind == "numbers":
        assert ax.get_xlabel() == "Period" and list(ax.collections[0].get_offsets()[:, 0]) == [3, 4, 5, 6, 8]
    else:
        assert labels == ["Nov 2\n2025", "Nov 9", "Nov 16", "Nov 23", "Nov 30", "Dec 7"]
    with pytest.raises(DataError, match="table.period: has to hold dates or numbers"):
        plot.over_time(table.assign(period="soon"))


def thresholds(n, curve=lambda alarms: alarms**0.3):
    alarms = np.linspace(0, 0.6, n)
    table = pd.DataFrame({"threshold": np.geomspace(0.3, 0.002, n), "warned": curve(alarms), "false_alarms": alarms})
    return table.assign(median_lead=np.arange(n, dtype=float))


@pytest.mark.parametrize("n", [2, 25])
@pytest.mark.parametrize("curve", [lambda x: x**0.3, lambda x: x**0.01, lambda x: 0.9 + 0 * x, lambda x: x**3])
def test_warnings_are_drawn_against_false_alarms_and_texts_leave_each_other_room(n, curve):
    table = thresholds(n, curve)
    ax = plot.lead_time(table.sample(frac=1, random_state=0))
    drawn = next(line for line in ax.lines if line.get_label() == "thresholds")
    np.testing.assert_array_equal(drawn.get_xydata(), table[["false_alarms", "warned"]])
    assert len(ax.texts) <= 5 and (n < 25 or len(ax.texts) >= 2)
    for text in ax.texts:
        row = table[(table["false_alarms"] == text.xy[0]) & (table["warned"] == text.xy[1])].iloc[0]
        threshold, lead = text.get_text().removesuffix("s").removesuffix(" period").split(" %: ")
        assert float(threshold) == pytest.approx(100 * row["threshold"], rel=0.06)
        assert float(lead) == row["median_lead"]
    assert_legible(ax)


def test_thresholds_without_a_lead_have_no_text_and_scores_are_no_percentages():
    ax = plot.lead_time(thresholds(9).assign(median_lead=np.nan))
    assert not ax.texts and legend_texts(ax) == ["as often as the others", "thresholds"]
    ax = plot.lead_time(thresholds(2).assign(threshold=[30.0, 2.0]))
    assert [text.get_text() for text in ax.texts] == ["2: 1 period"]
