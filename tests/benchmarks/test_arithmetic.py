"""What the benchmark of training counts as arithmetic."""

import dataclasses

import numpy as np

import hanjax
from benchmarks.arithmetic import Cells, cells_of, forward_flops, training_flops
from hanjax.data.batches import plan_epoch

CONFIG = hanjax.ModelConfig(activity_width=5, window_width=3, member_width=2, category_width=4)
SIZES = hanjax.Sizes(vocabulary=7, levels=(3, 4), numbers=6)


def test_cells_are_distinct_real_ones_step_by_step():
    sequences = np.zeros((3, 2, 2, 4), int)
    sequences[0, 0] = [[5, 5, 0, 0], [3, 0, 0, 0]]
    sequences[0, 1] = sequences[0, 0]  # shares the window
    sequences[1, 0, 1] = [3, 0, 0, 0]  # shares a sequence, in another step
    members = np.array([[True, True], [True, True], [True, False]])
    batch = hanjax.Batch.from_dense(sequences, members=members)
    windows = batch.member_windows.copy()
    windows[0, 1] = windows[0, 0]
    batch = batch._replace(member_windows=windows)
    plan = plan_epoch(batch, np.arange(3), batch_size=1, seed=None)
    assert cells_of(batch, plan) == Cells(activities=3 + 1, periods=2 + 1, members=5, samples=3)
    pair = plan_epoch(batch, np.arange(3), batch_size=2, seed=None)  # the last place is only filled up
    assert cells_of(batch, pair) == Cells(activities=3 + 1, periods=2 + 1, members=5, samples=3)


def test_operations_of_each_kind_of_cell():
    def one(**cells):
        return forward_flops(Cells(**{name: cells.get(name, 0) for name in Cells._fields}), CONFIG, SIZES)

    assert one(activities=1) == 2 * 5 * 15 + 2 * 5 * 5 + 4 * 5
    assert one(periods=1) == 2 * 5 * 9 + 2 * 3 * 9 + 2 * 3 * 3 + 4 * 3
    assert one(members=1) == 2 * (3 + 2 * 4) * 2 + 2 * (2 * 2 * 6) + 2 * 2 * 2 + 4 * 2
    assert one(samples=1) == 2 * (2 + 6)
    assert one(periods=7) == 7 * one(periods=1)
    assert training_flops(Cells(1, 2, 3, 4), CONFIG, SIZES) == 3 * forward_flops(Cells(1, 2, 3, 4), CONFIG, SIZES)
    wide = dataclasses.replace(CONFIG, activity_width=10)
    assert forward_flops(Cells(1, 0, 0, 0), wide, SIZES) > one(activities=1)
