"""The padded peer: dense tensors, every place computed, masks where it matters."""

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.peers.decode import Dense, active_first
from benchmarks.peers.model import Attention, Peer


class PaddedBatch(NamedTuple):
    """A minibatch.

    Args:
        activities: ``[B, K, W, L]`` ids, 0 where none is; a window's active periods come first.
        members: ``[B, K]`` where a member is.
        categories: ``[B, K, F]`` static categories of individuals.
        numbers: ``[B, G]`` the accounts' numbers.
        label: ``[B, H]`` outcomes, NaN where unknown.
    """

    activities: Tensor
    members: Tensor
    categories: Tensor
    numbers: Tensor
    label: Tensor


class PaddedData:
    """All samples as tensors on the device, to take minibatches from by index.

    Args:
        dense: the samples.
        device: where the model is.
    """

    def __init__(self, dense: Dense, device: str | torch.device = "cpu"):
        """Copies the samples to the device."""
        dense = dense._replace(sequences=active_first(dense.sequences))
        self.samples = PaddedBatch(*(torch.tensor(array, device=device) for array in dense))

    def batch(self, rows: Tensor) -> PaddedBatch:
        """The samples with the numbers ``rows [n]``."""
        rows = rows.to(self.samples.label.device)
        return PaddedBatch(*(tensor[rows] for tensor in self.samples))


class Padded(Peer):
    """The network over padded tensors.

    Whatever stands right of the last activity, active period or member comes after it in a recurrent layer, so it does
    not reach the states before, and attention gives it no weight.
    """

    def forward(self, batch: PaddedBatch) -> Tensor:
        """Returns the log-odds ``[B, H]``."""
        b, k, w, length = batch.activities.shape
        ids = batch.activities.reshape(b * k * w, length).int()
        periods = pooled(self.activity_attention, self.activity_gru(self.one_hot(ids))[0], where=ids > 0)
        active = batch.activities[..., 0].reshape(b * k, w) > 0
        states = self.window_gru(periods.reshape(b * k, w, -1))[0]
        windows = pooled(self.window_attention, states, where=active).reshape(b, k, -1)
        people = self.people(windows, batch.categories)
        groups = pooled(self.member_attention, self.member_gru(people)[0], where=batch.members)
        return self.log_odds(groups, batch.numbers.to(groups.dtype))


def pooled(attention: Attention, items: Tensor, *, where: Tensor) -> Tensor:
    """The weighted means ``[n, d]`` of those of the ``items [n, t, d]`` that are there; zeros where none is."""
    # The smallest number and not -inf, of which a row without anything would become NaN.
    relevance = attention.relevance(items).masked_fill(~where, torch.finfo(items.dtype).min)
    weights = torch.softmax(relevance, 1) * where
    return (weights[:, None] @ items)[:, 0]
