"""Which samples each step of an epoch gets: like cards, those of small groups apart from those of large ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt

from hanjax.data.distinct import capacity
from hanjax.errors import DataError
from hanjax.types import Batch

FEW = 4
"""Groups of up to so many members, of up to twice as many, of up to four times as many and so on are dealt apart."""


def places_taken(batch: Batch) -> Int[np.ndarray, " B"]:
    """How many places each sample's members take: up to the last one's, as there may be empty ones before it."""
    member_mask = np.asarray(batch.member_mask)
    return np.max(member_mask * np.arange(1, member_mask.shape[1] + 1), axis=1, initial=0)


class Dealt(NamedTuple):
    """The samples of each step of one pass, small groups first.

    Args:
        order: their places among the rows.
        mask: which of them count.
        blocks: as in ``hanjax.data.batches.Plan``.
    """

    order: Int[np.ndarray, "T B"]
    mask: Bool[np.ndarray, "T B"]
    blocks: tuple[Bool[np.ndarray, "T n k 0"], ...]


def deal(
    batch: Batch,
    rows: Int[np.ndarray, " n"],
    steps: int,
    seed: UInt[np.ndarray, " words"] | None,
    blocks: Sequence[tuple[int, int]] | None = None,
) -> Dealt:
    """Deals samples to the steps of one pass.

    Args:
        batch: the panel's batch, as NumPy arrays.
        rows: ``[n]`` the samples, as rows of the panel.
        steps: how many steps there are.
        seed: what the order comes from; None for the order given.
        blocks: samples of a step, and places of each of them, in each block of another pass, which this one is to have
            at least; None for those that compute the fewest places.

    Raises:
        DataError: if there is no sample, or a row lies outside the panel.
    """
    rows, n = np.asarray(rows), len(batch.mask)
    if len(rows) == 0:
        raise DataError(f"There is no sample to plan for (the panel has {n:,}).")
    if rows.min() < 0 or rows.max() >= n:
        raise DataError(f"Samples {rows.min()} to {rows.max()} were asked for, but the panel has only 0 to {n - 1}.")
    order = np.arange(len(rows))
    if seed is not None:
        order = np.random.default_rng([int(word) for word in np.ravel(seed)]).permutation(order)
    places, sizes = batch.members.shape[1], places_taken(batch)[rows[order]]
    dealt, masks, largest, size, begin = [], [], [], 0, 0
    while size < places or not dealt:
        above, size = size if dealt else -1, min(2 * size or FEW, places)
        here = order[(sizes > above) & (sizes <= size)]
        if len(here) == 0:
            continue
        # Like cards, going on where the last ones ended, so that no step gets two samples more than another.
        at = (np.arange(steps)[:, None] - begin) % steps + steps * np.arange(-(-len(here) // steps))
        dealt.append(here[np.minimum(at, len(here) - 1)])
        masks.append(at < len(here))
        largest.append(size)
        begin += len(here)
    if blocks is not None:
        dealt, masks, shapes = _in_blocks(dealt, masks, largest, blocks)
    else:
        shapes = _two_blocks([part.shape[1] for part in dealt], largest)
    mask = np.concatenate(masks, axis=1)
    return Dealt(np.concatenate(dealt, axis=1), mask, tuple(np.zeros((steps, *shape, 0), bool) for shape in shapes))


def _in_blocks(
    dealt: Sequence[np.ndarray], masks: Sequence[np.ndarray], places: Sequence[int], blocks: Sequence[tuple[int, int]]
) -> tuple[list[np.ndarray], list[np.ndarray], list[tuple[int, int]]]:
    """Joins runs of samples to the blocks that another plan has, each filled up with samples that are masked."""
    bounds = [size for _, size in blocks]
    bounds[-1] = max(bounds[-1], places[-1])
    arrays, whether, shapes, above = [], [], [], -1
    for (samples, _), size in zip(blocks, bounds, strict=True):
        here = [i for i, most in enumerate(places) if above < most <= size]
        need = sum(dealt[i].shape[1] for i in here)
        width = samples if need <= samples else capacity(need)
        filler = np.zeros((len(dealt[0]), width - need), np.int64)
        arrays += [*(dealt[i] for i in here), filler]
        whether += [*(masks[i] for i in here), filler > 0]
        shapes.append((width, size))
        above = size
    return arrays, whether, shapes


def _two_blocks(samples: Sequence[int], places: Sequence[int]) -> list[tuple[int, int]]:
    """Joins runs of samples to one block or two, those that compute the fewest places: each takes a while to compile.

    Args:
        samples: how many there are in each run.
        places: for how many members each run has room, ascending.

    Returns:
        The samples and places of each block.
    """
    all_samples, most = sum(samples), places[-1]
    small = np.cumsum(samples)
    cut = int(np.argmin(small * np.array(places) + (all_samples - small) * most))
    blocks = [(int(small[cut]), places[cut]), (all_samples - int(small[cut]), most)]
    return blocks if blocks[1][0] else blocks[:1]
