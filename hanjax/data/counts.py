"""What can be counted of each sample, from what a network is given of it and no more."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.types import Batch, Panel

_CHUNK = 4096


def account_counts(panel: Panel) -> pd.DataFrame:
    """A handful of counts of each sample, from what the network is given of it.

    Args:
        panel: the samples.

    Returns:
        One row a sample: ``activities`` of all members within the window, ``latest`` of these in its last period,
        ``active_members``, ``members``, and ``recency``: periods since the latest activity, one more than the window
        has where there was none. Of windows of active periods it says nothing, unless the panel has ``window_ages``.

    Example:
        >>> import hanjax
        >>> from hanjax.data.counts import account_counts
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> list(account_counts(panel))
        ['activities', 'latest', 'active_members', 'members', 'recency']
    """
    batch = panel.batch
    if batch.counts is None:
        volume = np.asarray(batch.activity_mask).sum(axis=1)[batch.windows]
    else:
        volume = batch.counts.sum(axis=1)[batch.count_windows]
    of_window, periods = volume.sum(axis=1), batch.windows.shape[1]
    if batch.window_ages is None:
        ages = np.broadcast_to(np.arange(periods, 0, -1), batch.windows.shape)
    else:
        ages = batch.window_ages
    age = np.where(batch.windows > 0, ages, np.iinfo(np.int16).max).min(axis=1)  # of a quiet window, the largest
    recency = age[batch.member_windows].min(axis=1, initial=np.iinfo(np.int16).max)
    return pd.DataFrame(
        {
            "activities": of_window[batch.member_windows].sum(axis=1),
            "latest": volume[:, -1][batch.member_windows].sum(axis=1),
            "active_members": (of_window[batch.member_windows] > 0).sum(axis=1),
            "members": np.asarray(batch.member_mask).sum(axis=1),
            "recency": np.minimum(recency, periods + 1).astype(float),
        }
    )


def activity_counts(batch: Batch, *, vocabulary: int) -> Float[np.ndarray, "B W V"]:
    """How often each activity was done in each period of the window, by all members together.

    Args:
        batch: the samples; the untruncated volumes are counted if it has them, else what stands in the sequences.
        vocabulary: how many ids of activities there are, padding and the unknown one among them.

    Returns:
        ``[B, W, V]`` counts; those of padding are 0.

    Example:
        >>> import numpy as np
        >>> from hanjax import Batch
        >>> from hanjax.data.counts import activity_counts
        >>> batch = Batch.from_dense(np.array([[[[2, 2, 0], [3, 0, 0]]]]), members=np.ones((1, 1), bool))
        >>> activity_counts(batch, vocabulary=4).astype(int).tolist()
        [[[0, 0, 2, 0], [0, 0, 0, 1]]]
    """
    if batch.counts is None or batch.count_windows is None:
        counts, windows = np.zeros((len(batch.sequences), vocabulary), np.float32), batch.windows
        row, place = np.nonzero(batch.activity_mask)
        np.add.at(counts, (row, batch.sequences[row, place]), 1)
    else:
        counts, windows = batch.counts, batch.count_windows
    found = np.zeros((len(batch.members), windows.shape[1], counts.shape[1]), np.float32)
    for begin in range(0, len(found), _CHUNK):
        some = windows[batch.member_windows[begin : begin + _CHUNK]]
        for w in range(windows.shape[1]):
            found[begin : begin + _CHUNK, w] = counts[some[:, :, w]].sum(axis=1)
    return found


def level_shares(batch: Batch, levels: tuple[int, ...]) -> Float[np.ndarray, "B l"]:
    """The share of each sample's members that have each level of each static category.

    Args:
        batch: the samples.
        levels: of each category, how many ids there are, padding and the unknown level among them.

    Returns:
        ``[B, l]`` shares, category by category, from the unknown level on.

    Example:
        >>> import numpy as np
        >>> from hanjax import Batch
        >>> from hanjax.data.counts import level_shares
        >>> statics = np.array([[[2], [2], [3], [1]]])
        >>> batch = Batch.from_dense(np.ones((1, 4, 1, 1), int), members=np.ones((1, 4), bool), individuals=statics)
        >>> level_shares(batch, (4,)).tolist()
        [[0.25, 0.5, 0.25]]
    """
    # Level 0 is padding, so that the places without a member add nothing.
    of_level: list[Any] = [batch.individuals[:, f, None] == np.arange(1, levels[f]) for f in range(len(levels))]
    indicators = np.concatenate([np.zeros((len(batch.individuals), 0)), *of_level], axis=1)
    steps = range(0, len(batch.members), _CHUNK)
    held = [indicators[batch.members[begin : begin + _CHUNK]].sum(axis=1) for begin in steps]
    held = np.concatenate([np.zeros((0, indicators.shape[1])), *held])
    return held / np.asarray(batch.member_mask).sum(axis=1, keepdims=True)


def mean_and_maximum(batch: Batch) -> list[Float[np.ndarray, "B N"]]:
    """The mean and the maximum over members of each of their numbers.

    Args:
        batch: the samples.

    Returns:
        The two arrays; no array if members have no numbers.

    Example:
        >>> import numpy as np
        >>> from hanjax import Batch
        >>> from hanjax.data.counts import mean_and_maximum
        >>> batch = Batch.from_dense(np.ones((1, 2, 1, 1), int), members=np.ones((1, 2), bool))
        >>> numbers = np.array([[[1.0], [3.0]]])
        >>> [one.tolist() for one in mean_and_maximum(batch._replace(member_numbers=numbers))]
        [[[2.0]], [[3.0]]]
    """
    if batch.member_numbers is None:
        return []
    there = np.asarray(batch.member_mask)
    mean = batch.member_numbers.sum(axis=1) / there.sum(axis=1, keepdims=True)
    return [mean, np.where(there[..., None], batch.member_numbers, -np.inf).max(axis=1)]
