"""Samples as dense tensors: what hanjax's tables of distinct rows stand for."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from hanjax.types import Batch

_HOW_TO_COMPUTE = {"sequence_prefixes", "window_prefixes", "blocks"}
"""Fields that say nothing of the samples."""


class Dense(NamedTuple):
    """Samples without tables, as ``Batch.from_dense`` takes them.

    Args:
        sequences: ``[B, K, W, L]`` activity ids; 0 is padding, right of a period's activities.
        members: ``[B, K]`` where a member is.
        individuals: ``[B, K, F]`` static categories; 0 where no member is.
        accounts: ``[B, G]`` the accounts' numbers.
        label: ``[B, H]`` outcomes, NaN where unknown.
    """

    sequences: UInt[np.ndarray, "B K W L"]
    members: Bool[np.ndarray, "B K"]
    individuals: Int[np.ndarray, "B K F"]
    accounts: Float[np.ndarray, "B G"]
    label: Float[np.ndarray, "B H"]

    def take(self, rows: Int[np.ndarray, " n"]) -> "Dense":
        """Some of the samples."""
        return Dense(*(array[rows] for array in self))


def decode(batch: Batch) -> Dense:
    """Writes out every row of a batch once per use.

    Args:
        batch: samples on the host, with nothing but the paper's own fields.

    Raises:
        ValueError: if it has other fields, or members stand right of empty places.
    """
    more = [name for name in Batch._field_defaults if getattr(batch, name) is not None and name not in _HOW_TO_COMPUTE]
    if more:
        raise ValueError(f"The peers read activities and statics only, and the batch also has {', '.join(more)}.")
    members = np.asarray(batch.member_mask)
    if (members[:, 1:] & ~members[:, :-1]).any():
        raise ValueError("Groups must fill their places from the first on.")
    return Dense(
        sequences=np.asarray(batch.sequences)[np.asarray(batch.windows)[batch.member_windows]],
        members=members,
        individuals=np.asarray(batch.individuals)[batch.members],
        accounts=np.asarray(batch.accounts)[batch.account],
        label=np.where(batch.label_mask, batch.label, np.nan).astype(np.float32),
    )


def active_first(sequences: UInt[np.ndarray, "B K W L"]) -> UInt[np.ndarray, "B K W L"]:
    """Moves the active periods of each window to its front, in order of time, and the quiet ones behind them.

    A recurrent state that is carried over quiet periods and an attention that skips them see no difference, and
    PyTorch's recurrent layers then need nothing special for them.

    Args:
        sequences: ``[B, K, W, L]`` activity ids, the oldest period first.
    """
    order = np.argsort(sequences[..., 0] == 0, axis=2, kind="stable")
    return np.take_along_axis(sequences, order[..., None], axis=2)
