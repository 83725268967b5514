"""Calibration, gain and lift: what is drawn are the table's numbers."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, legend_texts, row_names, segments


def bins(*, spread=1.0, zeros=0):
    """Five bins of unequal samples; the first `zeros` of them have no conversion."""
    predicted = 0.004 * np.linspace(1, 3, 5) ** spread
    rate = np.where(np.arange(5) < zeros, 0, 1.3 * predicted)
    table = pd.DataFrame(
        {"low_edge": 0.9 * predicted, "high_edge": 1.1 * predicted, "samples": [100, 400, 300, 200, 50]}
    )
    table = table.assign(mean_probability=predicted, rate=rate, rate_low=0.5 * rate, rate_high=rate + 0.003)
    return table.iloc[[3, 0, 4, 1, 2]]  # rows in no order


def test_bins_are_points_with_intervals_beside_the_diagonal():
    table, ax = bins(), plot.reliability(bins())
    ordered = table.sort_values("mean_probability")
    diagonal, points = ax.lines
    np.testing.assert_array_equal(points.get_xydata(), ordered[["mean_probability", "rate"]])
    np.testing.assert_array_equal(*diagonal.get_xydata().T)
    ends = segments(ax.collections[0])
    np.testing.assert_array_equal(ends[:, :, 0], ordered["mean_probability"].to_numpy()[:, None].repeat(2, axis=1))
    np.testing.assert_array_equal(ends[:, :, 1], ordered[["rate_low", "rate_high"]])
    assert ax.get_xscale() == ax.get_yscale() == "linear"
    bars = np.array([bar.get_height() for bar in ax.patches])
    np.testing.assert_allclose(bars / bars.max(), ordered["samples"] / 400)
    assert legend_texts(ax)[-1] == "samples\n(highest bar: 400)"


def test_rare_conversions_get_logarithmic_axes_and_bins_without_any_are_shown_there():
    ax = plot.reliability(bins(spread=4, zeros=2))
    assert ax.get_xscale() == ax.get_yscale() == "log"
    points, none = (next(line for line in ax.lines if line.get_label() == name) for name in
                    ("bins, with intervals", "no conversion"))  # fmt: skip
    table = bins(spread=4, zeros=2).sort_values("mean_probability")
    np.testing.assert_array_equal(points.get_ydata(), [np.nan, np.nan, *table["rate"][2:]])
    np.testing.assert_array_equal(none.get_xdata(), table["mean_probability"][:2])
    low, high = ax.get_ylim()
    assert (low < none.get_ydata()).all() and (none.get_ydata() < table["rate"].to_numpy()[2]).all()
    assert high > table["rate"].max()
    assert_legible(ax)
    assert_legible(plot.reliability(bins(spread=4, zeros=5)))


def test_the_samples_themselves_give_finer_bars():
    probabilities = np.concatenate([np.full(70, 0.004), np.full(30, 0.012), [np.nan]])
    for spread in (1, 4):
        ax = plot.reliability(bins(spread=spread), probabilities=probabilities)
        heights = np.array([bar.get_height() for bar in ax.patches])
        assert len(heights) == 40 and sorted(heights / heights.max())[-3:] == pytest.approx([0, 3 / 7, 1])
        assert legend_texts(ax)[-1] == "samples\n(highest bar: 70)"
        holding = ax.patches[int(heights.argmax())]
        assert holding.get_x() <= 0.004 <= holding.get_x() + holding.get_width()


def test_bins_without_samples_or_interval():
    table = bins()
    table.iloc[0, table.columns.get_indexer(["mean_probability", "rate"])] = np.nan
    ax = plot.reliability(table.assign(rate_low=np.nan, rate_high=np.nan))
    assert len(ax.lines[-1].get_xdata()) == 4
    np.testing.assert_array_equal(*segments(ax.collections[0])[:, :, 1].T)


def lines(ax):
    return {line.get_label(): line.get_xydata() for line in ax.lines}


@pytest.mark.parametrize("log", [False, True])
def test_the_curve_of_gains_lies_between_random_and_perfect(log):
    random = np.random.default_rng(0)
    labels = random.random(2000) < 0.03
    found = np.cumsum(labels[np.argsort(-1.5 * labels - random.normal(size=2000))])
    share = np.array([1.0, 0.01, 0.05, 0.2])
    count = (2000 * share).astype(int)
    table = pd.DataFrame(
        {"share": share, "captured": found[count - 1] / found[-1], "precision": found[count - 1] / count}
    )
    ax = plot.gains(table, log=log)
    drawn = lines(ax)
    ours = table.sort_values("share")[["share", "captured"]].to_numpy()
    np.testing.assert_array_equal(drawn["by score"], ours if log else [[0, 0], *ours])
    np.testing.assert_array_equal(*drawn["in random order"].T)
    best = np.array([min(labels.sum(), 2000 * at) / labels.sum() for at in drawn["perfect"][:, 0]])
    np.testing.assert_allclose(drawn["perfect"][:, 1], best, rtol=1e-12)
    assert labels.mean() == pytest.approx(drawn["perfect"][np.argmax(drawn["perfect"][:, 1] >= 1 - 1e-12), 0])
    assert ax.get_xscale() == ("log" if log else "linear")
    assert_legible(ax)


def test_without_a_base_rate_there_is_no_perfect_curve():
    table = pd.DataFrame({"share": [0.1, 1.0], "captured": [0.5, 1.0]})
    assert set(lines(plot.gains(table))) == {"by score", "in random order"}
    drawn = lines(plot.gains(table, base_rate=0.25))["perfect"]
    np.testing.assert_allclose(drawn[:, 1], np.minimum(4 * drawn[:, 0], 1))
    assert set(lines(plot.gains(table.assign(precision=np.nan)))) == {"by score", "in random order"}
    for wrong in (0, 1.2, np.nan):
        with pytest.raises(DataError, match="base_rate: .* is no share"):
            plot.gains(table, base_rate=wrong)


def test_bars_of_lift_have_intervals_and_the_average_is_a_line():
    table = pd.DataFrame({"tier": ["High", "Medium", "Low"], "samples": [100, 300, 0], "conversions": [8, 2, 0]})
    table = table.assign(
        rate=[0.08, 2 / 300, np.nan], lift=[3.2, 0.267, np.nan], low=[2, np.nan, np.nan], high=[5, np.nan, np.nan]
    )
    ax = plot.lift(table)
    assert row_names(ax) == ["High", "Medium", "Low"]
    np.testing.assert_array_equal([bar.get_width() for bar in ax.patches], table["lift"])
    np.testing.assert_array_equal(segments(ax.collections[0])[0], [[2, 0], [5, 0]])
    assert list(ax.lines[0].get_xdata()) == [1, 1]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["3.2×   8 of 100 (8 %)", "0.27×   2 of 300 (0.667 %)", "0 of 0", "average"]
    assert_legible(ax)
