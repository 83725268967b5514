"""The packed peer: PyTorch's packed sequences at every level, so that only what is there is computed."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from benchmarks.peers.decode import Dense, active_first
from benchmarks.peers.model import Attention, Peer


class PackedBatch(NamedTuple):
    """A minibatch. Each level's sequences are packed in order of length, so the level above says where each one is.

    Args:
        activities: activity ids of each active period of each member; None if there is no such period.
        periods: for each active member the positions of its active periods; None likewise.
        windows: ``[m]`` 1 + each member's position among the active ones, 0 for the quiet; m members in all.
        categories: ``[m, F]`` static categories of the members.
        members: for each sample the positions of its members.
        samples: ``[B]`` where each sample is among the packed.
        sample: ``[m]`` whose member each one is.
        numbers: ``[B, G]`` the accounts' numbers.
        label: ``[B, H]`` outcomes, NaN where unknown.
    """

    activities: PackedSequence | None
    periods: PackedSequence | None
    windows: Tensor
    categories: Tensor
    members: PackedSequence
    samples: Tensor
    sample: Tensor
    numbers: Tensor
    label: Tensor


class PackedData:
    """All samples as tensors on the host, where packing needs the lengths, to take minibatches from by index.

    Args:
        dense: the samples; each has a member.
        device: where the model is; minibatches go there.
    """

    def __init__(self, dense: Dense, device: str | torch.device = "cpu"):
        """Counts what is there."""
        self.device = torch.device(device)
        sequences = active_first(dense.sequences)
        self.activities = torch.tensor(sequences)
        self.lengths = torch.tensor((sequences > 0).sum(-1))  # of each period, 0 for a quiet one
        self.members, self.categories = torch.tensor(dense.members), torch.tensor(dense.individuals)
        self.numbers, self.label = torch.tensor(dense.accounts), torch.tensor(dense.label)

    def batch(self, rows: Tensor) -> PackedBatch:
        """The samples with the numbers ``rows [n]``."""
        lengths, members = self.lengths[rows], self.members[rows]
        active_period = lengths > 0
        n_active = active_period.sum(-1)
        active_member = n_active > 0
        activities = periods = None
        windows = torch.zeros(members.shape, dtype=torch.long)
        if active_member.any():
            activities, place = _pack(self.activities[rows][active_period], lengths[active_period])
            n_active = n_active[active_member]
            periods, place = _pack(_side_by_side(place, n_active), n_active)
            windows[active_member] = 1 + place
        size = members.sum(-1)
        group, samples = _pack(_side_by_side(torch.arange(int(size.sum())), size), size)
        batch = PackedBatch(
            activities=activities,
            periods=periods,
            windows=windows[members],
            categories=self.categories[rows][members],
            members=group,
            samples=samples,
            sample=torch.arange(len(rows)).repeat_interleave(size),
            numbers=self.numbers[rows],
            label=self.label[rows],
        )
        if self.device.type == "cpu":
            return batch
        return PackedBatch(*(part if part is None else part.to(self.device) for part in batch))


class Packed(Peer):
    """The network over packed sequences. Quiet periods are skipped, and quiet members' windows are zeros."""

    def forward(self, batch: PackedBatch) -> Tensor:
        """Returns the log-odds ``[B, H]``."""
        return self._account(self._people(batch), batch)

    def score(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Returns the log-odds ``[B, H]``, and those of the group made of each member alone, ``[m, H]``."""
        people = self._people(batch)
        alone = self.member_gru(people[:, None])[0][:, 0]  # attention to a single state is 1
        return self._account(people, batch), self.log_odds(alone, batch.numbers.to(alone.dtype)[batch.sample])

    def _people(self, batch: PackedBatch) -> Tensor:
        """What the individual layer makes of each member, ``[m, d]``."""
        windows = self.vectors.new_zeros(1, self.window_gru.hidden_size)
        if batch.activities is not None and batch.periods is not None:
            activities = batch.activities._replace(data=self.one_hot(batch.activities.data.int()))
            periods = encoded(self.activity_gru, self.activity_attention, activities)
            periods = batch.periods._replace(data=periods[batch.periods.data])
            windows = torch.cat([windows, encoded(self.window_gru, self.window_attention, periods)])
        return self.people(windows[batch.windows], batch.categories)

    def _account(self, people: Tensor, batch: PackedBatch) -> Tensor:
        """Log-odds of the samples, from all their members."""
        members = batch.members._replace(data=people[batch.members.data])
        groups = encoded(self.member_gru, self.member_attention, members)[batch.samples]
        return self.log_odds(groups, batch.numbers.to(groups.dtype))


def encoded(gru: nn.GRU, attention: Attention, items: PackedSequence) -> Tensor:
    """A recurrent layer, then attention over its states: ``[n, d]`` of n packed sequences, none of them empty."""
    states = gru(items)[0]
    # The relevance of what is there only; -inf elsewhere, so that it has no weight.
    relevance = states._replace(data=attention.relevance(states.data))
    relevance, _ = pad_packed_sequence(relevance, batch_first=True, padding_value=-torch.inf)
    states, _ = pad_packed_sequence(states, batch_first=True)
    # On a CPU faster than a batched product, of which each would be tiny.
    return (torch.softmax(relevance, 1)[..., None] * states).sum(1)


def _pack(padded: Tensor, lengths: Tensor) -> tuple[PackedSequence, Tensor]:
    """Packs sequences, and says where each of them has got to. Sorted here, PyTorch need not sort any states back."""
    order = torch.argsort(lengths, descending=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return pack_padded_sequence(padded[order], lengths[order], batch_first=True), place


def _side_by_side(items: Tensor, lengths: Tensor) -> Tensor:
    """Lays ``items``, one group after the other, out as rows of ``lengths [n]`` each, filled up with zeros."""
    there = torch.arange(int(lengths.max())) < lengths[:, None]
    padded = torch.zeros(there.shape, dtype=items.dtype)
    padded[there] = items
    return padded
