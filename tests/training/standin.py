"""A small panel with every kind of nothing, and a linear model on bags of activities, to test planning and training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hanjax.types import Batch, Output


def panel(samples: int = 50, *, seed: int = 0, horizons: int = 1, signal: float = 0.0) -> Batch:
    """Random samples: few members, quiet members, quiet periods, unknown outcomes; ``signal`` makes them learnable."""
    rng = np.random.default_rng(seed)
    vocabulary, length, k = 5, 4, 6
    sequences = rng.integers(1, vocabulary, (40, length)).astype(np.uint8)
    sequences[np.arange(length) >= rng.integers(1, length + 1, (40, 1))] = 0
    windows = np.where(rng.random((70, 3)) < 0.6, rng.integers(1, 40, (70, 3)), 0).astype(np.int32)
    sequences[0], windows[0] = 0, 0
    there = np.arange(k) < rng.integers(1, k + 1, (samples, 1))
    member_windows = np.where(there & (rng.random((samples, k)) < 0.7), rng.integers(1, 70, (samples, k)), 0)
    activity = (sequences == 2).sum(1)[windows].sum(1)[member_windows].sum(1)[:, None]
    label = (rng.random((samples, horizons)) < 1 / (1 + np.exp(1 - signal * (activity - 3)))).astype(np.float32)
    label[rng.random((samples, horizons)) < 0.1] = np.nan
    label[:4] = np.array([0, 1, 0, 1], np.float32)[:, None]
    return Batch(
        sequences=sequences,
        windows=windows,
        individuals=np.pad(rng.integers(1, 4, (30, 2)), ((1, 0), (0, 0))).astype(np.int32),
        accounts=np.pad(rng.normal(size=(9, 2)), ((1, 0), (0, 0))).astype(np.float32),
        members=np.where(there, rng.integers(1, 31, (samples, k)), 0).astype(np.int32),
        member_windows=member_windows.astype(np.int32),
        account=rng.integers(1, 10, samples).astype(np.int32),
        label=label,
        mask=np.ones(samples, bool),
        counts=rng.poisson(1.0, (12, vocabulary)).astype(np.float32),
        count_windows=rng.integers(0, 12, (70, 3)).astype(np.int32),
        account_numbers=rng.normal(size=(samples, 2)).astype(np.float32),
    )


class Dense(NamedTuple):
    """What a batch says of each sample, without any table."""

    sequences: np.ndarray
    counts: np.ndarray
    individuals: np.ndarray
    member_mask: np.ndarray
    accounts: np.ndarray
    account_numbers: np.ndarray
    label: np.ndarray


def decode(batch: Batch) -> Dense:
    """Looks everything up, sample by sample and member by member."""
    sequences, counts, individuals, accounts = [], [], [], []
    for sample in range(len(batch.mask)):
        for member, window in zip(batch.members[sample], batch.member_windows[sample], strict=True):
            sequences.append([batch.sequences[period] for period in batch.windows[window]])
            counts.append([batch.counts[period] for period in batch.count_windows[window]])
            individuals.append(batch.individuals[member])
        accounts.append(batch.accounts[batch.account[sample]])
    lead = batch.members.shape
    return Dense(
        sequences=np.asarray(sequences).reshape(*lead, *np.shape(sequences)[1:]),
        counts=np.asarray(counts).reshape(*lead, *np.shape(counts)[1:]),
        individuals=np.asarray(individuals).reshape(*lead, -1),
        member_mask=np.asarray(batch.members) > 0,
        accounts=np.asarray(accounts),
        account_numbers=np.asarray(batch.account_numbers),
        label=np.asarray(batch.label),
    )


class Linear(NamedTuple):
    """Log-odds that are linear in everything a batch holds; equal ones share their compiled programs."""

    horizons: int = 1

    def __eq__(self, other):
        """Named tuples of equal fields are equal, whatever their class; here subclasses are other models."""
        return type(self) is type(other) and self.horizons == other.horizons

    def __hash__(self):
        """As equality asks for."""
        return hash((type(self), self.horizons))

    def init(self, key, initial_logit):
        """Random weights, and the bias given."""
        activity, statics = jax.random.split(key)
        bias = jnp.broadcast_to(initial_logit, (self.horizons,))
        return {
            "activity": 0.1 * jax.random.normal(activity, (5, self.horizons)),
            "static": 0.1 * jax.random.normal(statics, (5, self.horizons)),
            "bias": bias,
        }

    def apply(self, params, batch):
        """The mean over members of what their activities weigh, and the statics."""
        activity = params["activity"].at[0].set(0)
        periods = activity[batch.sequences].sum(1)
        people = periods[batch.windows].sum(1)[batch.member_windows].sum(1)
        statics = jnp.where(batch.member_mask[..., None], batch.individuals[batch.members], 0).sum(1)[:, :1]
        numbers = jnp.concatenate([statics, batch.accounts[batch.account], batch.account_numbers], axis=1)
        logit = people + numbers @ params["static"] + params["bias"][None]
        alone = periods[batch.windows].sum(1)[batch.member_windows] + params["bias"][None, None]
        return Output(logit, *(jnp.zeros((0, 0)),) * 3, member_logit=alone)

    def train(self, params, batch, key, dropout=None):
        """The same: nothing is left to chance."""
        return self.apply(params, batch)
