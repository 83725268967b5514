"""Which rows of a panel each step needs: planned on the host, gathered on the device.

A step's minibatch uses only some of the panel's distinct windows, and these only some of its distinct sequences.
A ``Plan`` lists them for every step of an epoch, as index arrays padded to one capacity, so that the whole epoch is a
single compiled loop; ``gather`` then makes a step's small ``Batch`` by indexing.

Every minibatch holds the same mix of small and large groups, the small ones first, so that these are not computed with
room for as many members as the largest group has.

The capacity is the epoch's largest need, rounded up to the next rung of a ladder (``capacity``). It depends on nothing
but the epoch itself: neither on earlier epochs, so that a resumed run sees the shapes, and hence the bits, of an
uninterrupted one, nor on a guess, so that it cannot overflow.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int, UInt

from hanjax.data.dealing import Dealt, deal
from hanjax.data.distinct import capacity
from hanjax.data.prefixes import Forest, make_forest, plan_prefixes
from hanjax.types import Batch, Prefixes


class Plan(NamedTuple):
    """The rows of a panel that each of T steps uses; a single step's plan has no leading axis.

    "Local" numbers are positions in the step's own tables, whose row 0 is the empty one, like the panel's.

    Args:
        samples: ``[T, B]`` the step's samples, as rows of the panel. Where ``mask`` is False, a sample is repeated.
        mask: ``[T, B]`` False where a place only fills up the shape.
        order: ``[T, B]`` which of the rows that were planned for each sample is, by its place among them.
        windows: ``[T, M]`` the distinct windows that the samples use, as rows of the panel's; 0 fills up the capacity.
        sequences: ``[T, S]`` the distinct sequences that those windows use, likewise.
        window_sequences: ``[T, M, W]`` what each of those windows consists of, as local sequences.
        member_windows: ``[T, B, K]`` what each member did, as local windows.
        sequence_prefixes: the beginnings of those sequences; see ``Prefixes``. None to compute them row by row.
        window_prefixes: the beginnings of those windows, likewise.
        blocks: how the samples of a step are ordered by their number of members; see ``Batch.blocks``.
    """

    samples: Int[np.ndarray | Array, "T B"]
    mask: Bool[np.ndarray | Array, "T B"]
    order: Int[np.ndarray | Array, "T B"]
    windows: Int[np.ndarray | Array, "T M"]
    sequences: Int[np.ndarray | Array, "T S"]
    window_sequences: Int[np.ndarray | Array, "T M W"]
    member_windows: Int[np.ndarray | Array, "T B K"]
    sequence_prefixes: Prefixes | None
    window_prefixes: Prefixes | None
    blocks: tuple[Bool[np.ndarray | Array, "T n k 0"], ...]

    def room(self, *, spare: float = 0.0) -> "Room":
        """What it has room for, or more where another plan might need it.

        Args:
            spare: by which share needs may grow until the next rung of the ladder is taken.
        """

        def rows(used: np.ndarray) -> int:
            most = int((used > 0).sum(axis=-1).max()) + 1
            return max(used.shape[-1], capacity(math.ceil(most * (1 + spare))))

        def chunks(one: Prefixes) -> tuple[int, int]:
            number, size = one.cells.shape[-2:]
            return max(number, -(-capacity(math.ceil(int(one.paths.max()) * (1 + spare))) // size)), size

        prefixes = (self.sequence_prefixes, self.window_prefixes)
        return Room(
            blocks=tuple((block.shape[-3], block.shape[-2]) for block in self.blocks),
            windows=rows(self.windows),
            sequences=rows(self.sequences),
            prefixes=tuple(None if one is None else chunks(one) for one in prefixes),
        )

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Puts what was computed of each sample ``[T, B, ...]`` in the order of the rows that were planned for."""
        ordered = np.empty((self.mask.sum(), *values.shape[self.mask.ndim :]), values.dtype)
        ordered[self.order[self.mask]] = values[self.mask]
        return ordered


class Room(NamedTuple):
    """The shapes of the plan of another panel, to which a plan is filled up so that one program does for both.

    Args:
        blocks: samples of a step in each block, and for how many members each of them has room.
        windows: rows.
        sequences: rows.
        prefixes: of sequences and of windows, how many chunks there are, and how large they are; None row by row.
    """

    blocks: tuple[tuple[int, int], ...]
    windows: int
    sequences: int
    prefixes: tuple[tuple[int, int] | None, ...]


class Forests(NamedTuple):
    """The distinct beginnings of all sequences and all windows of a panel.

    Args:
        sequences: those of its sequences.
        windows: those of its windows, quiet periods passed over.
    """

    sequences: Forest
    windows: Forest

    @classmethod
    def of(cls, batch: Batch) -> "Forests":
        """Finds them; a gap before an activity, and a period's volumes and age, make it another one."""
        sequences = [batch.sequences]
        if batch.gaps is not None:
            sequences.append(np.asarray(batch.gaps, np.float32).view(np.uint32))  # equal numbers have equal bits
        windows = [table for table in (batch.windows, batch.count_windows, batch.window_ages) if table is not None]
        return cls(make_forest(*sequences, where=batch.activity_mask), make_forest(*windows, where=batch.period_mask))


def plan_epoch(
    batch: Batch,
    rows: Int[np.ndarray, " n"],
    *,
    batch_size: int,
    seed: UInt[np.ndarray, " words"] | None,
    forests: Forests | None = None,
    shards: int | None = None,
    steps: int | None = None,
    room: Room | None = None,
) -> Plan:
    """Plans one pass over the given samples in minibatches, each sample once.

    Samples of about as many members are dealt to the steps in equal parts, so that steps differ by few samples, and are
    filled up with repetitions, which are masked.

    Args:
        batch: the panel's batch, as NumPy arrays.
        rows: ``[n]`` the samples, as rows of the panel.
        batch_size: samples in a step, on average at most.
        seed: any number of uint32 words that determine the order, such as a JAX key's data; None deals them
            in the order given.
        forests: ``Forests.of(batch)``, for beginnings to be computed once; None for none of that.
        shards: among how many devices each step's samples are dealt; None for no such axis.
        steps: how many steps to make; None for as few as the size of a minibatch allows, ``ceil(n / batch_size)``.
        room: what the plan has room for at least; where it needs more, it has the next rungs of the ladder.

    Returns:
        The plan of the steps; with ``shards`` all arrays are ``[T, shards, ...]``, and a step
        has the same samples as without.

    Raises:
        DataError: if there is no sample, or a row lies outside the panel.

    Example:
        >>> import numpy as np
        >>> from hanjax.types import Batch
        >>> batch = Batch.from_dense(np.ones((5, 3, 4, 9), int), members=np.ones((5, 3), bool))
        >>> plan = plan_epoch(batch, np.arange(5), batch_size=2, seed=None)
        >>> plan.samples.tolist(), plan.mask[-1].tolist()
        ([[0, 3], [1, 4], [2, 4]], [True, False])
    """
    steps = -(-len(rows) // batch_size) if steps is None else steps
    plan = _laid_out(batch, rows, [deal(batch, rows, (shards or 1) * steps, seed, room and room.blocks)], forests, room)
    return plan if shards is None else _by_step(plan, shards)


def plan_epochs(
    batch: Batch,
    rows: Int[np.ndarray, " n"],
    *,
    batch_size: int,
    seeds: UInt[np.ndarray, "P words"],
    forests: Forests | None = None,
) -> tuple[Plan, Int[np.ndarray, " P"]]:
    """Plans passes over the given samples, each in an order of its own.

    Args:
        batch: the panel's batch, as NumPy arrays.
        rows: ``[n]`` the samples, as rows of the panel.
        batch_size: samples in a step, on average at most.
        seeds: ``[P, words]`` that of each pass; where they recur, passes are the same, and planned once.
        forests: as ``plan_epoch`` takes them.

    Returns:
        The plans of ``plan_epoch`` for D distinct seeds, with room for the largest in all of them, as arrays
        ``[T, D, ...]``; and ``[P]`` which of them each pass takes.

    Raises:
        DataError: if there is no sample, or a row lies outside the panel.
    """
    distinct, which = np.unique(seeds, axis=0, return_inverse=True)
    steps = -(-len(rows) // batch_size)
    plan = _laid_out(batch, rows, [deal(batch, rows, steps, seed) for seed in distinct], forests)
    return _by_step(plan, len(distinct)), which.ravel().astype(np.int32)


def _by_step(plan: Any, parts: int) -> Any:
    """Gives the arrays of a plan that has several parts, one after the other, the axes ``[T, parts, ...]``."""
    if plan is None:
        return None
    if isinstance(plan, np.ndarray):
        return plan.reshape(parts, len(plan) // parts, *plan.shape[1:]).swapaxes(0, 1)
    arrays = [_by_step(part, parts) for part in plan]
    return type(plan)._make(arrays) if hasattr(plan, "_make") else tuple(arrays)


def _laid_out(
    batch: Batch,
    rows: Int[np.ndarray, " n"],
    passes: Sequence[Dealt],
    forests: Forests | None,
    room: Room | None = None,
) -> Plan:
    """Finds what each step of some passes uses, one pass after the other."""
    each = ((deal.order, deal.mask, *deal.blocks) for deal in passes)
    order, mask, *blocks = map(np.concatenate, zip(*each, strict=True))
    samples = np.asarray(rows)[order].astype(np.int32)
    windows, sequences, window_sequences = [], [], []
    table = np.asarray(batch.windows)
    member_windows = np.asarray(batch.member_windows)[samples].astype(np.int32, copy=False)
    window_at, sequence_at = np.zeros(len(table), np.int32), np.zeros(len(batch.sequences), np.int32)
    for t in range(len(samples)):
        used, member_windows[t] = _distinct(member_windows[t], window_at)
        windows.append(used)
        used, local = _distinct(table[used], sequence_at)
        sequences.append(used)
        window_sequences.append(local)

    n_windows, n_sequences = capacity(max(map(len, windows))), capacity(max(map(len, sequences)))
    of_sequences = of_windows = None
    if room is not None:
        n_windows, n_sequences = max(n_windows, room.windows), max(n_sequences, room.sequences)
        of_sequences, of_windows = room.prefixes
    return Plan(
        samples=samples,
        mask=mask,
        order=order,
        windows=_stack(windows, n_windows),
        sequences=_stack(sequences, n_sequences),
        window_sequences=_stack(window_sequences, n_windows),
        member_windows=member_windows,
        sequence_prefixes=_prefixes(forests and forests.sequences, sequences, n_sequences, of_sequences),
        window_prefixes=_prefixes(forests and forests.windows, windows, n_windows, of_windows),
        blocks=tuple(blocks),
    )


def _prefixes(
    forest: Forest | None, steps: Sequence[np.ndarray], places: int, room: tuple[int, int] | None
) -> Prefixes | None:
    """The beginnings of the rows that steps use, with room for as many as another plan has; None row by row."""
    if forest is None:
        return None
    return plan_prefixes(forest, steps, places) if room is None else plan_prefixes(forest, steps, places, at_least=room)


def filled_up(batch: Batch, rows: dict[str, int]) -> Batch:
    """A panel's batch with rows of zeros below its own, so that panels of several sizes have one shape.

    Args:
        batch: the panel's batch, as NumPy arrays.
        rows: how many rows each of its fields is to have, by name.

    Returns:
        The batch; samples that only fill it up are masked.
    """
    there = {name: np.asarray(array) for name, array in batch._asdict().items() if array is not None}
    return batch._replace(
        **{
            name: np.pad(array, [(0, rows[name] - len(array)), *[(0, 0)] * (array.ndim - 1)])
            for name, array in there.items()
        }
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
        >>> import jax, numpy as np
        >>> from hanjax.types import Batch
        >>> batch = Batch.from_dense(np.ones((5, 3, 4, 9), int), members=np.ones((5, 3), bool))
        >>> plan = plan_epoch(batch, np.array([2, 0]), batch_size=2, seed=None)
        >>> step = jax.tree.map(lambda array: array[0], plan)
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
        sequence_prefixes=step.sequence_prefixes,
        window_prefixes=step.window_prefixes,
        blocks=step.blocks,
        segments=None if panel.segments is None else panel.segments[step.samples],
    )


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
