"""Offsets of segments: what is drawn are the table's numbers, and what is left out is told."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from tests.plot.drawn import assert_legible, row_names, segments


def effects():
    table = pd.DataFrame({"factor": ["region"] * 3 + ["product"] * 2, "level": ["north", "south", "west", "a", "b"]})
    table = table.assign(
        intercept=[-0.5, 0.8, 0.1, -0.2, 0.2], sd=[0.5, 0.1, 0.3, 0.05, np.nan], tau=[0.6] * 3 + [0.2] * 2
    )
    return table.assign(samples=[40, 900, 120, 5000, 0], conversions=[1, 90, np.nan, 50, 0], horizon=1)


def test_offsets_are_points_with_intervals_the_highest_of_each_factor_on_top():
    table = effects()
    ax = plot.segments(table)
    names = ["region south", "region west", "region north", "product b", "product a"]
    assert row_names(ax) == names
    own = table.set_index(table["factor"] + " " + table["level"]).loc[names]
    lines = np.array([segments(one)[0, :, 0] for one in ax.collections[:5]])
    half = 1.96 * own["sd"]
    np.testing.assert_allclose(lines, np.stack([own["intercept"] - half, own["intercept"] + half], 1))
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == own["intercept"].tolist()
    color = [line.get_color() for line in points]
    assert color[0] == color[4] != color[1] == color[2] == color[3]  # zero is ruled out, or not
    texts = ["+0.80  [+0.60, +1.00]  90 of 900", "+0.10  [-0.49, +0.69]  of 120", "-0.50  [-1.48, +0.48]  1 of 40",
             "+0.20  0 of 0", "-0.20  [-0.30, -0.10]  50 of 5,000"]  # fmt: skip
    assert [text.get_text() for text in ax.texts] == texts
    bands = [one.get_paths()[0].get_extents() for one in ax.collections[5:]]
    for band, tau, rows in zip(bands, (0.6, 0.2), ((-0.5, 2.5), (2.5, 4.5)), strict=True):
        np.testing.assert_allclose([band.x0, band.x1, band.y0, band.y1], [-1.96 * tau, 1.96 * tau, *rows])
    assert ax.get_title() == "Offset of each segment"
    assert_legible(ax)


def test_of_many_segments_those_that_rest_on_the_most_are_drawn():
    ax = plot.segments(effects(), most=1)
    assert row_names(ax) == ["region south", "product a"]
    assert ax.get_title() == "Offset of each segment, without 3 small ones"
    ax = plot.segments(effects()[["factor", "level", "intercept", "sd"]][:3], most=2)  # by how sure they are
    assert row_names(ax) == ["south", "west"] and ax.get_title() == "Offset of each region, without 1 small ones"


def test_of_several_horizons_the_first_is_drawn():
    table = pd.concat([effects().assign(horizon=4, intercept=9.0), effects()], ignore_index=True)
    assert len(plot.segments(table).texts) == 5 and "+9.00" not in str(plot.segments(table).texts)
    with pytest.raises(DataError, match="horizon, samples, conversions, tau have to be numbers"):
        plot.segments(effects().assign(tau="large"))
