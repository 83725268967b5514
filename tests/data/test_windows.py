"""Rolling windows against loops over versions of cells."""

import numpy as np
import pytest

from hanjax.data.sequences import ALWAYS_VALID, Cells
from hanjax.data.windows import active_windows, calendar_windows

PERIODS = 12


def random_cells(seed, *, late):
    """Versions of some cells, sorted; with ``late`` some cells change, and become known, long after their period."""
    rng = np.random.default_rng(seed)
    rows = []
    for individual in range(6):
        for period in sorted(rng.choice(PERIODS, rng.integers(0, 8), replace=False)):
            known = [period + 1]
            if late and rng.random() < 0.6:
                begin = period + 1 + rng.integers(0, 4)
                known = sorted({int(begin + step) for step in rng.integers(0, 5, 3)})
            for start, end in zip(known, [*known[1:], ALWAYS_VALID], strict=True):
                rows.append((individual, period, start, end))
    columns = np.array(rows, np.int32).T
    zeros = np.zeros(len(rows), np.int32)
    return Cells(*columns, sequence=zeros, counts=None, n_activities=zeros, amount=zeros, last_time=zeros), rows


def slow(rows, individual, cutoff, window, kind):
    """What is known at a cut-off of an individual's periods before it: the version that is valid then."""
    known = {p: i + 1 for i, (who, p, start, end) in enumerate(rows) if who == individual and start <= cutoff < end}
    if kind == "calendar":
        return [known.get(cutoff - lag, 0) for lag in range(window, 0, -1)]
    latest = [known[p] for p in sorted(known)][-window:]
    return [0] * (window - len(latest)) + latest


@pytest.mark.parametrize("kind", ["calendar", "active"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("window", [1, 3, 5])
def test_windows_hold_what_was_known(kind, late, window):
    for seed in range(4):
        cells, rows = random_cells(seed, late=late)
        make = calendar_windows if kind == "calendar" else active_windows
        for individuals, cutoffs in ((range(6), range(PERIODS + 3)), (range(2, 5), range(4, 9))):
            found = make(cells, individuals, cutoffs, window=window)
            expected = [[slow(rows, i, c, window, kind) for c in cutoffs] for i in individuals]
            np.testing.assert_array_equal(found, expected)


def test_individuals_who_did_nothing_have_empty_windows():
    cells, rows = random_cells(0, late=False)
    for make in (calendar_windows, active_windows):
        assert not make(cells, range(6, 9), range(3, 8), window=4).any()
