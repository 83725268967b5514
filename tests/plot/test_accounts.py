"""Rankings and survival curves: what is drawn are the table's numbers."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, legend_texts, row_names, segments


def accounts(n=5, *, spread=1.0):
    probability = 0.002 * np.linspace(1, 3, n) ** spread
    table = pd.DataFrame({"account_id": [f"a{i}" for i in range(n)], "probability": probability})
    before = probability * np.resize([0.5, 2.0, 1.0, np.nan], n)
    return table.assign(
        probability_before=before, probability_low=0.8 * probability, probability_high=1.3 * probability
    )


def points(ax, color=None):
    """Where filled points are, with their markers."""
    found = [line for line in ax.lines if line.get_zorder() == 3 and (color is None or line.get_color() == color)]
    return {(x, int(y)): line.get_marker() for line in found for x, y in line.get_xydata()}


def test_accounts_are_ranked_with_arrows_from_their_probability_before():
    table = accounts()
    ax = plot.ranking(table)
    ordered = table[::-1].reset_index(drop=True)
    assert row_names(ax) == list(ordered["account_id"])
    arrows = {0.5: ">", 2.0: "<", 1.0: "o"}
    wanted = [arrows.get(row.probability_before / row.probability, "o") for row in ordered.itertuples()]
    assert points(ax) == {(p, i): wanted[i] for i, p in enumerate(ordered["probability"])}
    intervals, moves = ax.collections
    np.testing.assert_array_equal(segments(intervals)[:, :, 0], ordered[["probability_low", "probability_high"]])
    ends = segments(moves)[[0, 2, 3, 4], :, 0]  # the other account is new
    np.testing.assert_array_equal(ends, ordered[["probability_before", "probability"]].dropna())
    hollow = next(line for line in ax.lines if line.get_label() == "before")
    np.testing.assert_array_equal(hollow.get_xdata(), ordered["probability_before"])
    assert hollow.get_markerfacecolor() == "white"
    assert legend_texts(ax) == ["now", "before", "interval"]
    assert_legible(ax)


def test_only_the_top_ones_and_their_tiers_have_colors():
    table = accounts(40).assign(tier=["Low"] * 32 + ["Medium"] * 5 + ["High"] * 3)
    ax = plot.ranking(table, top=10)
    assert row_names(ax) == [f"a{i}" for i in range(39, 29, -1)]
    assert ax.get_title() == "The 10 likeliest of 40 accounts"
    assert legend_texts(ax) == ["High", "Medium", "Low", "before", "interval"]
    colors = [handle.get_color() for handle in ax.get_legend().legend_handles[:3]]
    assert [len(points(ax, color)) for color in colors] == [3, 5, 2]


def test_a_bare_ranking_and_one_that_spans_magnitudes():
    ax = plot.ranking(accounts()[["account_id", "probability"]])
    assert ax.get_legend() is None and ax.get_xscale() == "linear" and ax.get_xlim()[0] == 0
    assert set(points(ax).values()) == {"o"}
    ax = plot.ranking(accounts(spread=4))
    assert ax.get_xscale() == "log"
    assert_legible(ax)


@pytest.mark.parametrize(("n", "named"), [(1, 1), (8, 8), (12, 5)])
def test_survival_draws_each_account_as_steps_the_likeliest_first(n, named):
    random = np.random.default_rng(0)
    curves = np.cumsum(0.01 * random.random((n, 13)), axis=1)
    labels = [f"_account {i} $x$ {'-' * 40}" for i in range(n)]
    ax = plot.survival(curves, labels)
    order = np.argsort(-curves[:, -1])
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], curves[order])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(13))
    assert {line.get_drawstyle() for line in ax.lines} == {"steps-post"}
    others = [f"{n - named} others"] if n > named else []
    shown = legend_texts(ax)
    assert [text[:11].strip() for text in shown[:named]] == [labels[i][:10] for i in order[:named]]
    assert shown[named:] == others and ax.get_ylim()[0] == 0
    assert_legible(ax)


def test_columns_of_a_frame_are_the_periods_ahead_and_unknown_curves_are_empty():
    frame = pd.DataFrame([[0, 0.1, 0.3], [np.nan] * 3], columns=[0, 4, 12])
    ax = plot.survival(frame, ["a", "b"])
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert list(ax.lines[0].get_xdata()) == [0, 4, 12]
    with pytest.raises(DataError, match="labels: there are 1, for 2 curves"):
        plot.survival(frame, ["a"])
    for nothing in (frame[1:], frame[:0], np.zeros((0, 4))):
        with pytest.raises(DataError, match="curves: no known value in"):
            plot.survival(nothing, ["b"] * len(nothing))
