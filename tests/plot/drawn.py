"""What the tests of pictures read back from them."""

from itertools import combinations

import numpy as np


def assert_nothing_cut_off(ax):
    figure = ax.figure
    figure.draw_without_rendering()
    box, whole = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole[0] and box.y1 <= whole[1]


def assert_legible(ax):
    """Nothing is cut off, and no text lies upon another."""
    assert_nothing_cut_off(ax)
    legend = ax.get_legend()
    texts = [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend else [])]
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        along = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across <= 1 or along <= 1, f"{one!r} and {other!r} overlap"


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def segments(collection):
    """Ends of the lines of `hlines` or `vlines`: [lines, 2 ends, x and y]."""
    return np.array([np.ma.filled(path.vertices, np.nan) for path in collection.get_paths()])


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
