"""Which rows of a panel each step needs: planned on the host, gathered on the device.

A step's minibatch uses only some of the panel's distinct windows, and these only some of its distinct sequences.
A ``Plan`` lists them for every step of an epoch, as index arrays padded to one capacity, so that the whole epoch is a
single compiled loop; ``gather`` then makes a step's small ``Batch`` by indexing.

The capacity is the epoch's largest need, rounded up to the next rung of a ladder (``capacity``). It depends on nothing
but the epoch itself: neither on earlier epochs, so that a resumed run sees the shapes, and hence the bits, of an
uninterrupted one, nor on a guess, so that it cannot overflow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int, UInt

from hanjax.errors import DataError
from hanjax.types import Batch


class Plan(NamedTuple):
    """The rows of a panel that each of T steps uses; a single step's plan has no leading axis.

    "Local" numbers are positions in the step's own tables, whose row 0 is the empty one, like the panel's.

    Args:
        samples: ``[T, B]`` the step's samples, as rows of the panel. Where ``mask`` is False, a sample is repeated.
        mask: ``[T, B]`` False where a place only fills up the shape.
        windows: ``[T, M]`` the distinct windows that the samples use, as rows of the panel's; 0 fills up the capacity.
        sequences: ``[T, S]`` the distinct sequences that those windows use, likewise.
        window_sequences: ``[T, M, W]`` what each of those windows consists of, as local sequences.
        member_windows: ``[T, B, K]`` what each member did, as local windows.
    """

    samples: Int[np.ndarray | Array, "T B"]
    mask: Bool[np.ndarray | Array, "T B"]
    windows: Int[np.ndarray | Array, "T M"]
    sequences: Int[np.ndarray | Array, "T S"]
    window_sequences: Int[np.ndarray | Array, "T M W"]
    member_windows: Int[np.ndarray | Array, "T B K"]


def plan_epoch(
    batch: Batch, rows: Int[np.ndarray, " n"], *, batch_size: int, seed: UInt[np.ndarray, " words"] | None
) -> Plan:
    """Plans one pass over the given samples in minibatches, each sample once.

    With fewer samples than ``batch_size``, a step has only as many places as there are samples. A last minibatch that
    is not full is filled up with repetitions of its last sample, which are masked.

    Args:
        batch: the panel's batch, as NumPy arrays.
        rows: ``[n]`` the samples, as rows of the panel.
        batch_size: samples in a step.
        seed: any number of uint32 words that determine the order, such as a JAX key's data; None keeps the order given.

    Returns:
        The plan of the ``ceil(n / batch_size)`` steps.

    Raises:
        DataError: if there is no sample, or a row lies outside the panel.

    Example:
        >>> import numpy as np
        >>> from hanjax.types import Batch
        >>> batch = Batch.from_dense(np.ones((5, 3, 4, 9), int), members=np.ones((5, 3), bool))
        >>> plan = plan_epoch(batch, np.arange(5), batch_size=2, seed=None)
        >>> plan.samples.tolist(), plan.mask[-1].tolist()
        ([[0, 1], [2, 3], [4, 4]], [True, False])
    """
    rows = np.asarray(rows)
    n = len(batch.mask)
    if len(rows) == 0:
        raise DataError(f"There is no sample to plan for (the panel has {n:,}).")
    if rows.min() < 0 or rows.max() >= n:
        raise DataError(f"Samples {rows.min()} to {rows.max()} were asked for, but the panel has only 0 to {n - 1}.")
    if seed is not None:
        rows = np.random.default_rng([int(word) for word in np.ravel(seed)]).permutation(rows)

    places = min(batch_size, len(rows))
    steps = -(-len(rows) // places)
    mask = (np.arange(steps * places) < len(rows)).reshape(steps, places)
    samples = np.pad(rows, (0, mask.size - len(rows)), mode="edge").astype(np.int32).reshape(steps, places)

    windows, sequences, window_sequences = [], [], []
    table = np.asarray(batch.windows)
    member_windows = np.asarray(batch.member_windows)[samples].astype(np.int32, copy=False)
    window_at, sequence_at = np.zeros(len(table), np.int32), np.zeros(len(batch.sequences), np.int32)
    for t in range(steps):
        used, member_windows[t] = _distinct(member_windows[t], window_at)
        windows.append(used)
        used, local = _distinct(table[used], sequence_at)
        sequences.append(used)
        window_sequences.append(local)

    n_windows = capacity(max(map(len, windows)))
    return Plan(
        samples=samples,
        mask=mask,
        windows=_stack(windows, n_windows),
        sequences=_stack(sequences, capacity(max(map(len, sequences)))),
        window_sequences=_stack(window_sequences, n_windows),
        member_windows=member_windows,
    )


def gather(panel: Batch, step: Plan) -> Batch:
    """Makes one step's batch out of the panel's, with the rows of sequences and windows that it uses and no others.

    Plain indexing, so it works on NumPy and on JAX arrays, inside a compiled function or outside. ``individuals``,
    ``accounts`` and ``counts`` stay whole, because their rows are only looked up.

    Args:
        panel: every sample.
        step: the plan of one step, without the leading axis.

    Returns:
        The step's samples; decoded, they are what they are in the panel.

    Example:
        >>> import numpy as np
        >>> from hanjax.types import Batch
        >>> batch = Batch.from_dense(np.ones((5, 3, 4, 9), int), members=np.ones((5, 3), bool))
        >>> plan = plan_epoch(batch, np.array([2, 0]), batch_size=2, seed=None)
        >>> step = Plan(*(array[0] for array in plan))
        >>> gather(batch, step).account.tolist()
        [3, 1]
    """
    return panel._replace(
        sequences=panel.sequences[step.sequences],
        windows=step.window_sequences,
        members=panel.members[step.samples],
        member_windows=step.member_windows,
        account=panel.account[step.samples],
        label=panel.label[step.samples],
        mask=panel.mask[step.samples] & step.mask,
        count_windows=None if panel.count_windows is None else panel.count_windows[step.windows],
        account_numbers=None if panel.account_numbers is None else panel.account_numbers[step.samples],
        gaps=None if panel.gaps is None else panel.gaps[step.sequences],
        window_ages=None if panel.window_ages is None else panel.window_ages[step.windows],
        member_numbers=None if panel.member_numbers is None else panel.member_numbers[step.samples],
    )


def capacity(need: int) -> int:
    """The smallest rung of the ladder 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, ... that holds ``need`` rows.

    The rungs are 1, 1.25, 1.5 and 1.75 times the powers of two: at most a fifth of a table is padding, and while the
    need of an epoch varies by a percent or so, it seldom crosses a rung. Each rung that is reached is a compilation.

    Example:
        >>> [capacity(need) for need in (1, 64, 65, 1000, 1025)]
        [64, 64, 80, 1024, 1280]
    """
    step = max(16, 1 << max(0, (need - 1).bit_length() - 3))
    return max(64, -(-need // step) * step)


def _distinct(
    indices: Int[np.ndarray, "..."], position: Int[np.ndarray, " rows"]
) -> tuple[Int[np.ndarray, " distinct"], Int[np.ndarray, "..."]]:
    """The distinct indices, 0 first and then ascending, and the position of each index among them.

    Like ``np.unique(..., return_inverse=True)``, but it sorts only the distinct ones, so it is several times faster.

    Args:
        indices: any shape.
        position: scratch space of one int32 for each row of the table; row 0 must be 0, the others may hold anything.
    """
    present = indices[indices > 0]
    order = np.arange(len(present), dtype=np.int32)
    position[present] = order  # of equal indices, one wins: that one stands for all
    distinct = np.sort(present[position[present] == order])
    position[distinct] = np.arange(1, len(distinct) + 1, dtype=np.int32)
    return np.concatenate([np.zeros(1, distinct.dtype), distinct]), position[indices]


def _stack(tables: Sequence[Int[np.ndarray, "_ ..."]], rows: int) -> Int[np.ndarray, "T capacity ..."]:
    """Stacks tables of different lengths, filled up with zeros."""
    stacked = np.zeros((len(tables), rows, *tables[0].shape[1:]), np.int32)
    for t, table in enumerate(tables):
        stacked[t, : len(table)] = table
    return stacked
