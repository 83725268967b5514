"""Tiny samples with all that a model may be offered, and networks whose settings cover every option."""

import dataclasses
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hanjax.config import ModelConfig
from hanjax.nn import Sizes, network
from hanjax.types import Batch
from tests.nn.examples import drawn, on_device

LEVELS, HORIZONS, NUMBERS, MEMBER_NUMBERS, VOCABULARY = (4,), 2, 2, 2, 5
SMALL = dict(activity_width=3, window_width=2, member_width=2, category_width=1)


class Variant(NamedTuple):
    """A model's settings, and which of the optional fields its batch has."""

    config: ModelConfig
    ages: bool = False
    numbers: bool = False

    @property
    def network(self):
        sizes = Sizes(
            vocabulary=VOCABULARY,
            levels=LEVELS,
            numbers=NUMBERS,
            horizons=HORIZONS,
            max_members=9,
            member_numbers=MEMBER_NUMBERS if self.numbers else 0,
            window_ages=self.ages,
        )
        return network(self.config, sizes)

    def offered(self, batch):
        """The batch without what this variant is not offered; volumes and gaps stay, whether they are read or not."""
        kept = {"window_ages": self.ages, "member_numbers": self.numbers}
        return batch._replace(**{name: None for name, keep in kept.items() if not keep})

    @property
    def parameters(self):
        with jax.enable_x64(False):
            return drawn(jax.eval_shape(self.network.init, jax.random.key(0)))


def settings(**options):
    return ModelConfig(**SMALL, **options)


VARIANTS = {
    "joined": Variant(
        settings(period_input="both", time="concatenated", bidirectional=True, aggregator="maximum", account_head=True),
        ages=True,
        numbers=True,
    ),
    "gated": Variant(
        settings(period_input="both", count_scale="raw", time="gated", activity_embedding=2),
        numbers=True,
    ),
    "counts": Variant(settings(period_input="counts", bidirectional=True), ages=True),
    "gated_both_ways": Variant(settings(time="gated", bidirectional=True, aggregator="maximum"), ages=True),
    "concatenated": Variant(settings(time="concatenated", activity_embedding=2, bidirectional=True), numbers=True),
    "raw_counts": Variant(
        settings(period_input="counts", count_scale="raw", aggregator="maximum", account_head=True), numbers=True
    ),
}
"""What the tests go through."""


class Offered(NamedTuple):
    """Dense samples with all that a model may be offered."""

    sequences: np.ndarray
    members: np.ndarray
    individuals: np.ndarray
    accounts: np.ndarray
    label: np.ndarray
    gaps: np.ndarray
    counts: np.ndarray
    ages: np.ndarray
    numbers: np.ndarray

    def batch(self):
        """Every row once per use."""
        base = Batch.from_dense(self.sequences, members=self.members, individuals=self.individuals,
                                accounts=self.accounts, label=self.label)  # fmt: skip
        b, k, w, length = self.sequences.shape

        def table(rows, size):
            return np.pad(rows.reshape(size, -1), ((1, 0), (0, 0)))

        return on_device(
            base._replace(
                gaps=table(self.gaps, b * k * w).astype(np.float32),
                counts=table(self.counts, b * k * w).astype(np.float32),
                count_windows=base.windows,
                window_ages=table(self.ages, b * k).astype(np.int16),
                member_numbers=self.numbers.astype(np.float32),
            )
        )


@cache
def offered():
    """Three samples: a quiet period, a quiet member, missing members, unknown activities, first activities ever."""
    rng = np.random.default_rng(1)
    b, k, w, length = 3, 4, 3, 4  # the last member and the last activity are never there
    filled = rng.integers(1, length, (b, k, w))
    members = np.arange(k) < np.array([3, 1, 2])[:, None]
    filled[0, 0, 1] = filled[2, 1, 2] = 0
    filled[0, 1] = 0
    there = (np.arange(length) < filled[..., None]) & members[..., None, None]
    sequences = np.where(there, rng.integers(1, VOCABULARY, there.shape), 0)
    gaps = np.where(there, rng.integers(0, 8, there.shape) / 4, 0)
    gaps[:, :, 0, 0] = np.where(there[:, :, 0, 0], -1, 0)
    active = there.any(-1)
    counts = rng.integers(0, 4, (b, k, w, VOCABULARY)) * active[..., None]
    counts[..., 0] = 0
    return Offered(
        sequences,
        members,
        rng.integers(1, 4, (b, k, 1)) * members[..., None],
        rng.normal(size=(b, NUMBERS)).astype(np.float32).astype(float),
        (rng.random((b, HORIZONS)) < 0.5).astype(np.float32),
        gaps,
        counts,
        np.where(active, np.arange(w, 0, -1), 0),
        (rng.normal(size=(b, k, MEMBER_NUMBERS)) * members[..., None]).astype(np.float32).astype(float),
    )


@cache
def shared():
    """The same samples with each distinct row once, shuffled, beside rows that nobody uses; of the same shapes."""
    whole, wide = offered(), offered().batch()
    rng = np.random.default_rng(3)

    def distinct(rows, size, unused):
        """A table with the empty row first, the others shuffled among unused ones; and the rows' places in it."""
        table, place = np.unique(rows.reshape(-1, rows.shape[-1]), axis=0, return_inverse=True)
        assert not table[0].any() and len(table) <= size
        where = np.concatenate([[0], 1 + rng.permutation(size - 1)[: len(table) - 1]])
        full = np.full((size, rows.shape[-1]), unused, float)
        full[where] = table
        return full, where[place.reshape(rows.shape[:-1])]

    length, w = whole.sequences.shape[-1], whole.sequences.shape[-2]
    activities, sequences = distinct(np.concatenate([whole.sequences, whole.gaps], -1), len(wide.sequences), 3)
    counts, count_windows = distinct(whole.counts, len(wide.counts), 2)
    windows, member_windows = distinct(np.concatenate([sequences, count_windows, whole.ages], -1), len(wide.windows), 1)
    individuals, members = distinct(whole.individuals, len(wide.individuals), 3)
    return on_device(
        wide._replace(
            sequences=activities[:, :length].astype(np.uint8),
            gaps=activities[:, length:].astype(np.float32),
            counts=counts.astype(np.float32),
            windows=windows[:, :w].astype(np.int32),
            count_windows=windows[:, w : 2 * w].astype(np.int32),
            window_ages=windows[:, 2 * w :].astype(np.int16),
            individuals=individuals.astype(np.int32),
            members=members.astype(np.int32),
            member_windows=member_windows.astype(np.int32),
        )
    )


def with_rates(config, **rates):
    """The settings with dropout."""
    return dataclasses.replace(config, **rates)


def total(net):
    """Mean cross-entropy of a batch, as a function of the parameters."""

    def loss(params, batch):
        logit = net.apply(params, batch).logit
        return jnp.mean(jnp.logaddexp(0, logit) - batch.label * logit)

    return loss
