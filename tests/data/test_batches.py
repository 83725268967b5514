"""Plans of an epoch, and the batches gathered by them."""

import jax
import numpy as np
import pytest

from hanjax.data.batches import gather, plan_epoch
from hanjax.data.distinct import capacity
from hanjax.errors import DataError
from tests.training.standin import decode, panel

SEED = np.array([7, 11], np.uint32)


def steps(plan):
    """The plan of each step."""
    return [jax.tree.map(lambda array: array[t], plan) for t in range(len(plan.mask))]  # noqa: B023


@pytest.mark.parametrize("batch_size", [1, 7, 25, 50, 512])
@pytest.mark.parametrize("seed", [None, SEED])
def test_a_steps_batch_decodes_to_what_the_panel_holds(batch_size, seed):
    whole = panel()
    dense = decode(whole)
    for step in steps(plan_epoch(whole, np.arange(50), batch_size=batch_size, seed=seed)):
        batch = gather(whole, step)
        for name, got, table in zip(dense._fields, decode(batch), dense, strict=True):
            np.testing.assert_array_equal(got, table[step.samples], err_msg=name)
        np.testing.assert_array_equal(batch.mask, step.mask)
        for table in (batch.sequences, batch.windows):
            assert not table[0].any()
        # Quiet stays quiet: 0 is told apart from a window or a sequence, not only decoded to the same zeros.
        np.testing.assert_array_equal(batch.member_windows == 0, whole.member_windows[step.samples] == 0)
        np.testing.assert_array_equal(batch.windows == 0, whole.windows[step.windows] == 0)


def test_only_distinct_rows_and_all_of_those_that_are_used():
    whole = panel()
    plan = plan_epoch(whole, np.arange(50), batch_size=5, seed=SEED)
    for step in steps(plan):
        used = np.union1d(0, whole.member_windows[step.samples])
        np.testing.assert_array_equal(step.windows[: len(used)], used)
        assert not step.windows[len(used) :].any() and not step.window_sequences[len(used) :].any()
        used = np.union1d(0, whole.windows[used])
        np.testing.assert_array_equal(step.sequences[: len(used)], used)
        assert not step.sequences[len(used) :].any()


@pytest.mark.parametrize("batch_size", [1, 8, 50, 64])
def test_every_sample_once_an_epoch(batch_size):
    rows = np.random.default_rng(0).permutation(50)[:41]
    plan = plan_epoch(panel(), rows, batch_size=batch_size, seed=SEED)
    assert len(plan.samples) == -(-41 // batch_size)
    np.testing.assert_array_equal(np.sort(plan.samples[plan.mask]), np.sort(rows))
    np.testing.assert_array_equal(rows[plan.order], plan.samples)
    assert set(np.unique(plan.mask.sum(axis=1))) <= {41 // len(plan.mask), -(-41 // len(plan.mask))}


def test_every_step_has_as_many_small_groups_as_the_others():
    whole = panel(200)
    last = whole.members.shape[1] - np.argmax(whole.members[:, ::-1] > 0, axis=1)  # the place of the last member
    few = np.arange(200)[last <= 4]
    assert 50 < len(few) < 150
    plan = plan_epoch(whole, np.arange(200), batch_size=32, seed=SEED)
    assert [block.shape[2:] for block in plan.blocks] == [(4, 0), (6, 0)]
    small, large = (block.shape[1] for block in plan.blocks)
    assert small + large == plan.samples.shape[1] <= 32 + 2
    for samples, mask in zip(plan.samples, plan.mask, strict=True):
        assert (last[samples[:small]] <= 4).all() and (last[samples[small:]] > 4).all()
        assert small - 1 <= mask[:small].sum() <= small and large - 1 <= mask[small:].sum() <= large
    # Whatever the order, the shapes stay: nothing is compiled anew because of them.
    again = plan_epoch(whole, np.arange(200), batch_size=32, seed=SEED + 1)
    assert [block.shape for block in again.blocks] == [block.shape for block in plan.blocks]


def test_the_order_depends_on_the_seed_and_on_nothing_else():
    plans = [plan_epoch(panel(), np.arange(50), batch_size=8, seed=seed) for seed in (SEED, SEED.copy(), SEED + 1)]
    jax.tree.map(np.testing.assert_array_equal, plans[0], plans[1])
    assert (plans[0].samples != plans[2].samples).any()
    in_order = plan_epoch(panel(), np.arange(50), batch_size=8, seed=None)
    np.testing.assert_array_equal(in_order.restored(in_order.samples), np.arange(50))


def test_a_minibatch_is_the_same_on_the_device():
    whole = panel()
    step = steps(plan_epoch(whole, np.arange(50), batch_size=8, seed=SEED))[-1]
    here, there = gather(whole, step), jax.jit(gather)(whole, step)
    jax.tree.map(np.testing.assert_array_equal, there, here)


def test_masked_samples_of_the_panel_stay_masked():
    whole = panel()._replace(mask=np.arange(50) != 3)
    plan = plan_epoch(whole, np.arange(50), batch_size=50, seed=None)
    np.testing.assert_array_equal(plan.restored(gather(whole, steps(plan)[0]).mask[None]), whole.mask)


def test_optional_fields_may_be_absent():
    whole = panel()._replace(counts=None, count_windows=None, account_numbers=None)
    batch = gather(whole, steps(plan_epoch(whole, np.arange(3), batch_size=8, seed=None))[0])
    assert batch.count_windows is None and batch.account_numbers is None and batch.counts is None


def test_gaps_ages_and_members_numbers_go_with_their_rows():
    whole, random = panel(), np.random.default_rng(0)
    whole = whole._replace(
        gaps=random.normal(size=whole.sequences.shape).astype(np.float32),
        window_ages=random.integers(0, 9, whole.windows.shape).astype(np.int16),
        member_numbers=random.normal(size=(*whole.members.shape, 2)).astype(np.float32),
    )
    looked_up = lambda b: (b.gaps[b.windows[b.member_windows]], b.window_ages[b.member_windows], b.member_numbers)
    for step in steps(plan_epoch(whole, np.arange(50), batch_size=16, seed=SEED)):
        for found, expected in zip(looked_up(gather(whole, step)), looked_up(whole), strict=True):
            np.testing.assert_array_equal(found, expected[step.samples])


def test_what_is_computed_of_the_samples_gets_back_into_their_order():
    whole, rows = panel(), np.array([9, 3, 3, 40, 0])
    for batch_size in (2, 5, 16):
        for seed in (None, SEED):
            plan = plan_epoch(whole, rows, batch_size=batch_size, seed=seed)
            assert len(plan.samples) == -(-5 // batch_size)
            np.testing.assert_array_equal(plan.restored(plan.samples), rows)


def test_a_capacity_is_the_next_rung_and_never_too_small():
    needs = np.arange(1, 20_000)
    rungs = np.array([capacity(need) for need in needs.tolist()])
    assert (rungs >= needs).all() and (np.diff(rungs) >= 0).all()
    assert (rungs[64:] <= 1.25 * needs[64:]).all()
    np.testing.assert_array_equal([capacity(rung) for rung in np.unique(rungs).tolist()], np.unique(rungs))
    assert len(np.unique(rungs)) < 40


def test_an_epoch_larger_than_any_before_still_fits():
    whole = panel(2000, seed=1)
    for batch_size in (2, 500, 2000):
        plan = plan_epoch(whole, np.arange(2000), batch_size=batch_size, seed=SEED)
        assert (
            plan.member_windows.max() < plan.windows.shape[1] and plan.window_sequences.max() < plan.sequences.shape[1]
        )


def test_wrong_rows_are_refused():
    with pytest.raises(DataError, match="no sample"):
        plan_epoch(panel(), np.array([], int), batch_size=4, seed=None)
    with pytest.raises(DataError, match="only 0 to 49"):
        plan_epoch(panel(), np.array([3, 50]), batch_size=4, seed=None)
