"""How numbers are written, and pictures put into the page."""

import base64

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.report import blocks


@pytest.mark.parametrize("write", [blocks.percent, blocks.number, blocks.measure])
@pytest.mark.parametrize("unknown", [None, float("nan"), np.inf])
def test_what_is_unknown_is_a_dash(write, unknown):
    assert write(unknown) == "–"


def drawing(n):
    table = pd.DataFrame(
        {"share": np.linspace(0.01, 1, n), "captured": np.random.default_rng(0).random(n).cumsum() / n}
    )
    return blocks.picture(lambda: plot.gains(table), "gains", "how to read it")


def test_a_picture_is_a_drawing_unless_it_is_very_large():
    small, large = drawing(20), drawing(20_000)
    kinds = [one.source.split(";")[0] for one in (small, large)]
    assert kinds == ["data:image/svg+xml", "data:image/png"]
    assert b"<svg" in base64.b64decode(small.source.split(",")[1])
    assert base64.b64decode(large.source.split(",")[1]).startswith(b"\x89PNG")
    assert drawing(20) == small  # to the byte


def test_figures_are_closed():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    drawing(5)
    assert plt.get_fignums() == before


def test_where_there_is_nothing_to_draw_a_sentence_says_so():
    table = pd.DataFrame({"share": [], "captured": []})
    nothing = blocks.picture(lambda: plot.gains(table), "gains")
    assert nothing.kind == "text" and "no rows to draw" in nothing.text
