"""The time since the previous activity: small cases with the answer beside them, and loops over random activities."""

import numpy as np
import pandas as pd
import pytest

from hanjax.api import encode
from hanjax.config import PanelConfig
from hanjax.data.gaps import gap_codes, gaps_of, previous_known, revisions
from tests.data.test_samples import account, tables

CONFIG = PanelConfig(gaps=True)
STEP = lambda hours: round(4 * np.log1p(hours)) / 4


def seen(panel, week):
    """Activities and gaps of a0's latest period before the cut-off that is so many weeks after the first."""
    row = panel.batch.windows[panel.batch.member_windows[week, 0]][-1]
    return panel.batch.sequences[row], panel.batch.gaps[row].tolist()


def test_gaps_reach_across_periods_and_begin_with_a_flag():
    events = [(0, "01-05", "open"), (0, "01-05 03:00", "open"), (0, "01-05 03:00", "open"), (0, "01-21", "open")]
    panel = encode(tables(account(events=events, observed_to="02-13")), CONFIG)
    assert seen(panel, 0)[1] == [-1.0, STEP(3), 0.0] + [0.0] * 6
    assert seen(panel, 2)[1] == [STEP(16 * 24 - 3)] + [0.0] * 8
    assert panel.batch.gaps.dtype == np.float32 and not panel.batch.gaps[0].any()


def test_the_previous_activity_is_the_individuals_own():
    events = [(0, "01-05", "open"), (1, "01-05 01:00", "open"), (0, "01-05 02:00", "open")]
    data = tables(account(arrivals=("01-05", "01-05"), events=events, observed_to="02-13"))
    panel = encode(data, CONFIG)
    found = [panel.batch.gaps[panel.batch.windows[panel.batch.member_windows[0, k]][-1]][:2].tolist() for k in (0, 1)]
    assert found == [[-1.0, STEP(2)], [-1.0, 0.0]]


def test_equal_activities_with_other_gaps_are_other_sequences():
    events = [(0, "01-05", "open"), (1, "01-05", "open"), (0, "01-12", "open"), (1, "01-14", "open")]
    data = tables(account(arrivals=("01-05", "01-05"), events=events, observed_to="02-13"))
    assert len(encode(data, PanelConfig()).batch.sequences) == 2 and encode(data).batch.gaps is None
    assert len(encode(data, CONFIG).batch.sequences) == 4


def test_a_late_row_changes_the_gap_behind_it_from_when_it_is_known():
    events = [(0, "01-05", "open"), (0, "01-08", "click"), (0, "01-12", "open")]
    data = tables(account(events=events, observed_to="02-13"))
    known = data.events.assign(known_at=pd.to_datetime(["2021-01-05", "2021-01-20", "2021-01-12"], utc=True))
    panel = encode(data._replace(events=known), PanelConfig(gaps=True, window=2))
    gaps = [panel.batch.gaps[panel.batch.windows[panel.batch.member_windows[week, 0]]][..., :2] for week in (1, 2)]
    assert gaps[0].tolist() == [[-1.0, 0.0], [STEP(7 * 24), 0.0]]  # at 01-17 the click is not known
    assert gaps[1][0].tolist() == [STEP(4 * 24), 0.0]  # at 01-24 it is
    events = known[known["activity"] == "open"]
    without = encode(data._replace(events=events), PanelConfig(gaps=True, window=2))
    row = without.batch.windows[without.batch.member_windows[1, 0]]
    assert without.batch.gaps[row][..., :2].tolist() == gaps[0].tolist()


@pytest.mark.parametrize(
    ("keep", "counts", "gaps"),
    [
        ("last", [2, 7, 1], [0, 0, STEP(5)]),  # of the seven, only repeats are left
        ("first", [2, 7, 1], [-1, 0, STEP(2)]),
        ("last", [9, 2, 1], [STEP(2), 0, STEP(5)]),
        ("first", [9, 2, 1], [-1, 0, 0]),
        ("last", [1, 1, 3], [STEP(5), 0, 0]),
        ("last", [1, 1, 4], [0, 0, 0]),
    ],
)
def test_repeats_have_no_gap_and_are_cut_off_with_their_gaps(keep, counts, gaps):
    events = [(0, "01-05 00:00", "open"), (0, "01-05 02:00", "open"), (0, "01-05 07:00", "open")]
    data = tables(account(events=events, observed_to="02-13"))
    data = data._replace(events=data.events.assign(count=counts))
    panel = encode(data, PanelConfig(gaps=True, expand_counts=True, max_activities=3, keep=keep))
    assert seen(panel, 0)[1] == gaps


def test_codes_hold_every_gap_that_times_can_have():
    time = np.array([0, 0, 3_000_000, 9_000_000_000_000_000_000])
    codes = gap_codes(time, np.array([0]), np.array([-1]))
    assert codes.dtype == np.uint8 and gaps_of(codes).tolist() == [-1.0, 0.0, 0.0, STEP(2.5e9)]


def random_activities(seed, n=60):
    """Activities of a few individuals, the first cut-off at which each is known, and where its cells begin."""
    random = np.random.default_rng(seed)
    individual = np.sort(random.integers(0, 5, n))
    period = np.concatenate([np.sort(random.integers(0, 6, k)) for k in np.bincount(individual)])
    visible = (period + 1 + random.integers(0, 6, n) * (random.random(n) < 0.5)).astype(np.int32)
    cells = np.stack([individual, period], axis=1)
    return individual, visible, np.flatnonzero(np.r_[True, (np.diff(cells, axis=0) != 0).any(1)])


def slow_previous(individual, visible, start, cutoff):
    before = [j for j in range(start) if individual[j] == individual[start] and visible[j] <= cutoff]
    return before[-1] if before else -1


@pytest.mark.parametrize("seed", range(5))
def test_previous_activities_and_their_revisions_equal_loops(seed):
    individual, visible, start = random_activities(seed)
    end = [*start[1:], len(visible)]
    expected = []
    for cell, (begin, stop) in enumerate(zip(start, end, strict=True)):
        first = visible[begin:stop].min()
        previous = [slow_previous(individual, visible, begin, cutoff) for cutoff in range(first, 15)]
        expected += [(cell, first + 1 + i) for i in np.flatnonzero(np.diff(previous))]
    assert sorted(zip(*map(np.ndarray.tolist, revisions(individual, visible, start)), strict=True)) == expected
    for cutoff in range(15):
        found = previous_known(individual, visible, start, np.full(len(start), cutoff))
        assert found.tolist() == [slow_previous(individual, visible, begin, cutoff) for begin in start]
    everything = previous_known(individual, None, start, start)
    assert everything.tolist() == [slow_previous(individual, visible, begin, 99) for begin in start]
