"""Pictures of reasons: what stands in the cells, and bars that add up."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, row_names


def reasons(accounts=3):
    names = ["starting point", "usage", "growth", "white space"]
    table = pd.DataFrame(
        {
            "account_id": np.repeat([f"a${i}$" for i in range(accounts)], 4),
            "aspect": names * accounts,
            "contribution": np.tile([0.5, -0.25, 1.0, 0.0], accounts),
            "level": ["", "Low", "High", "No data"] * accounts,
            "text": ["", "Low", "Fast growth of everything there is", "No data"] * accounts,
            "baseline": -3.0,
        }
    )
    return table.assign(score=np.repeat(np.linspace(92.9, 0, accounts), 4))


@pytest.mark.parametrize("accounts", [1, 3, 20])
def test_a_table_of_levels(accounts):
    table = reasons(accounts)
    before = table.copy(deep=True)
    ax = plot.aspects(table, top=5)
    assert_legible(ax)
    shown = min(accounts, 5)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["usage", "growth", "white space"]
    assert row_names(ax)[0] == r"a\$0\$  92" and len(row_names(ax)) == shown
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["Low", "Fast growth of ev…", "No data"] * shown
    shades = ax.collections[0].get_array().reshape(shown, 3)
    assert (shades[:, 1] > shades[:, 0]).all() and (shades[:, 2] == 0).all()
    assert ("the first 5 of 20" in ax.get_title()) == (accounts == 20)
    pd.testing.assert_frame_equal(table, before)


def test_bars_add_up_to_the_score():
    ax = plot.waterfall(reasons(), "a$1$")
    assert_legible(ax)
    bars = ax.patches
    lengths = [bar.get_width() for bar in bars]
    assert lengths == [0.5, 1.0, -0.25, 0.0]  # the starting point first, then the longest
    ends = [bar.get_x() + bar.get_width() for bar in bars]
    np.testing.assert_allclose([bar.get_x() for bar in bars], [-3, *ends[:-1]])
    assert ends[-1] == pytest.approx(-3 + sum(lengths))
    assert [text.get_text() for text in ax.texts] == ["-3.00", "+0.50", "+1.00", "-0.25", "+0.00", "-1.75"]
    assert row_names(ax)[:2] == ["average account", "starting point"] and row_names(ax)[-1] == "this account"


def test_given_axes_are_drawn_on():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = plt.subplots(2, figsize=(9, 9), layout="constrained")[1]
    assert plot.aspects(reasons(), ax=axes[0]) is axes[0]
    assert plot.waterfall(reasons(), "a$0$", ax=axes[1]) is axes[1]


def test_a_table_that_cannot_be_drawn_is_told_so():
    table = reasons()
    with pytest.raises(DataError, match="no rows to draw"):
        plot.aspects(table[table["aspect"] == "starting point"])
    with pytest.raises(DataError, match="there is no column level"):
        plot.aspects(table.drop(columns="level"))
    with pytest.raises(DataError, match="is there twice"):
        plot.aspects(pd.concat([table, table]))
    with pytest.raises(DataError, match="no reasons of 'b'"):
        plot.waterfall(table, "b")
    with pytest.raises(DataError, match="is unknown .*first: usage"):
        plot.waterfall(table.assign(contribution=table["contribution"].replace(-0.25, np.nan)), "a$1$")
