"""Figures are closed after each test: pyplot would keep them all."""

import pytest


@pytest.fixture(autouse=True)
def close_figures():
    plt = pytest.importorskip("matplotlib.pyplot")
    yield
    plt.close("all")
