"""The hierarchical attention network, from the bottom up: activities, periods, individuals, accounts."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Shaped

from hanjax.config import ModelConfig
from hanjax.errors import ConfigError
from hanjax.nn.aggregators import AGGREGATORS, Aggregated, Aggregator, GroupSpec, Logit
from hanjax.nn.encoders import ActivityEncoder, IndividualLayer, WindowEncoder
from hanjax.nn.pooling import Pooled
from hanjax.nn.segments import Segments
from hanjax.nn.sizes import Sizes
from hanjax.types import OF_SAMPLES, Batch, Output, Prefixes

Dropout = tuple[Float[Array, ""] | float, Float[Array, ""] | float]
"""Shares of the units of an individual's representation, and of the members, that a training step leaves out."""


class Scored(NamedTuple):
    """What the upper half of the network says of samples.

    Args:
        logit: ``[B, H]`` log-odds of conversion within each horizon.
        member_share: ``[B, K]`` each member's share in the aggregation.
        member_logit: ``[B, K, H]`` log-odds of the group made of that individual alone; 0 where no member is.
    """

    logit: Float[Array, "B H"]
    member_share: Float[Array, "B K"]
    member_logit: Float[Array, "B K H"]


class HAN(nnx.Module):
    """The hierarchical attention network with an aggregation over individuals.

    Source: section 5.2 and figure 2 of the paper.

    Args:
        config: the model's settings.
        sizes: what the data say of its size.
        aggregator: the aggregation; None for the one that the settings name.
        initial_logit: where the log-odds start, one for all horizons or ``[H]``: the log-odds of the base rate, as
            weighted by the loss, save the first epochs from learning it.
        rngs: random streams of the initial parameters.
    """

    def __init__(
        self,
        config: ModelConfig,
        sizes: Sizes,
        *,
        aggregator: type[Aggregator] | None = None,
        initial_logit: Logit = 0.0,
        rngs: nnx.Rngs,
    ):
        """Draws the parameters."""
        kind = AGGREGATORS[config.aggregator] if aggregator is None else aggregator
        width = sizes.horizons if kind.takes_logits else config.member_width
        _require_consistent(config, takes_logits=kind.takes_logits)
        self.config, self.sizes, self.takes_logits = config, sizes, kind.takes_logits
        ways, reads = 1 + config.bidirectional, config.period_input
        self.activity = (
            None
            if reads == "counts"
            else ActivityEncoder(
                sizes.vocabulary,
                config.activity_width,
                config.activity_embedding,
                time=config.time,
                bidirectional=config.bidirectional,
                rngs=rngs,
            )
        )
        of_sequence = 0 if reads == "counts" else ways * config.activity_width
        of_counts = 0 if reads == "sequence" else sizes.vocabulary
        features = of_sequence + of_counts + sizes.window_ages
        self.window = WindowEncoder(features, config.window_width, bidirectional=config.bidirectional, rngs=rngs)
        self.individual = IndividualLayer(
            ways * config.window_width,
            sizes.levels,
            category_width=config.category_width,
            width=width,
            numbers=sizes.member_numbers,
            logits=kind.takes_logits,
            initial_logit=kind.member_logit(initial_logit),
            rngs=rngs,
        )
        spec = GroupSpec(
            horizons=sizes.horizons,
            numbers=sizes.numbers,
            max_members=sizes.max_members,
            hidden=config.head_width,
            initial_logit=initial_logit,
        )
        self.aggregate = kind(width, spec, rngs=rngs)
        # It starts as if it were not there.
        joined, eye = sizes.horizons + sizes.numbers, lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)
        linear = nnx.Linear(joined, sizes.horizons, kernel_init=eye, rngs=rngs) if config.account_head else None
        self.account_head = linear
        self.segments = (
            Segments(sizes.segments, numbers=sizes.numbers, horizons=sizes.horizons, initial_logit=initial_logit)
            if sizes.segments
            else None
        )

    def __call__(self, batch: Batch, *, key: Array | None = None, dropout: Dropout | None = None) -> Output:
        """Says of each sample how likely it converts, and what counted at each level; with a key, under dropout.

        Args:
            batch: the samples.
            key: random; None for no dropout.
            dropout: rates in place of those of the settings, which may be traced.
        """
        periods = self.encode_periods(batch)
        windows = self.encode_windows(periods.value, batch)
        groups = []
        for number, block in enumerate(_blocks(batch)):
            where, scale = self._dropout(block, None if key is None else jax.random.fold_in(key, number), dropout)
            people = self._people(windows.value, block, scale=scale)
            group, variance = jax.vmap(self._group)(people, where, account_numbers(block), block.segments)
            member_logit = jnp.where(block.member_mask[..., None], people, 0.0) if self.takes_logits else None
            of_members = jax.tree.map(lambda own: _with_room(own, batch.members.shape[1]), (group.share, member_logit))
            groups.append((group.logit, variance, *of_members))
        logit, variance, share, member_logit = jax.tree.map(lambda *parts: jnp.concatenate(parts), *groups)
        penalty = None if self.segments is None else self.segments.penalty()
        return Output(logit, share, windows.weights, periods.weights, member_logit, variance, penalty)

    def individual_logits(self, batch: Batch) -> Float[Array, "B K H"]:
        """Scores each member: log-odds of the group made of that individual alone; 0 where no member is.

        The individual stands in the first place, and the account's own numbers are unchanged.
        """
        windows = self.encode_windows(self.encode_periods(batch).value, batch)
        return self._alone(self._people(windows.value, batch), batch)

    def encode_periods(self, batch: Batch) -> Pooled:
        """Encodes a batch's sequences ``[S, L]`` of activities as values ``[S, D]``, with shares ``[S, L]``."""
        self.sizes.check_fields(batch, self.config)
        if self.activity is None:
            dtype = self.individual.linear.kernel.dtype
            return Pooled(jnp.zeros((batch.sequences.shape[0], 0), dtype), jnp.zeros(batch.sequences.shape, dtype))
        gaps, prefixes = None if self.config.time == "none" else batch.gaps, self._shared(batch.sequence_prefixes)
        if prefixes is None:
            return jax.vmap(self.activity)(batch.sequences, where=batch.activity_mask, gaps=gaps)
        gaps = None if gaps is None else _last_items(gaps, prefixes)
        return self.activity.over_prefixes(_last_items(batch.sequences, prefixes), prefixes, gaps=gaps)

    def encode_windows(self, periods: Float[Array, "S D"], batch: Batch) -> Pooled:
        """Encodes a batch's windows ``[M, W]``, as rows of ``periods [S, D]``: ``[M, D']``, with shares ``[M, W]``.

        What else is known of each period is joined: its volumes, and how far back it lies.
        """
        self.sizes.check_fields(batch, self.config)
        prefixes = self._shared(batch.window_prefixes)
        items = (lambda table: table) if prefixes is None else (lambda table: _last_items(table, prefixes))
        parts = [] if self.activity is None else [periods[items(batch.windows)]]
        if self.config.period_input != "sequence":
            assert batch.counts is not None and batch.count_windows is not None
            counts = jnp.asarray(batch.counts, periods.dtype)
            counts = jnp.log1p(counts) if self.config.count_scale == "log" else counts
            parts.append(counts[items(batch.count_windows)])
        if batch.window_ages is not None:
            parts.append(jnp.log1p(jnp.asarray(items(batch.window_ages), periods.dtype))[..., None])
        joined = jnp.concatenate(parts, axis=-1)
        if prefixes is None:
            return jax.vmap(self.window)(joined, where=batch.period_mask)
        return self.window.over_prefixes(joined, prefixes)

    def score(self, windows: Float[Array, "M D"], batch: Batch) -> Scored:
        """Scores a batch's samples and their members from its windows' encodings.

        Args:
            windows: ``[M, D']`` encodings of the windows, as ``batch.member_windows`` counts them.
            batch: its samples, and the tables of individuals and accounts.
        """
        self.sizes.check_fields(batch, self.config)
        people = self._people(windows, batch)
        group, _ = jax.vmap(self._group)(people, batch.member_mask, account_numbers(batch), batch.segments)
        return Scored(group.logit, group.share, self._alone(people, batch))

    def _shared(self, prefixes: Prefixes | None) -> Prefixes | None:
        """The prefixes that share their states; none where a state depends on what comes after it, too."""
        return None if self.config.bidirectional else prefixes

    def _dropout(
        self, batch: Batch, key: Array | None, given: Dropout | None
    ) -> tuple[Bool[Array, "B K"], Float[Array, "B K joined"] | None]:
        """Which members a training step sees, and what it multiplies the parts of each by; all of them without key."""
        where, scale = batch.member_mask, None
        if key is None:
            return where, scale
        of_parts, of_members = jax.random.split(key)
        units, members = (self.config.dropout, self.config.member_dropout) if given is None else given
        if given is not None or units > 0:
            shape = (*batch.members.shape, self.individual.joined_width)
            dtype = self.individual.linear.kernel.dtype
            scale = jax.random.bernoulli(of_parts, 1 - units, shape).astype(dtype) / (1 - units)
        if given is not None or members > 0:
            drawn = jnp.where(where, jax.random.uniform(of_members, where.shape), -1.0)
            luckiest = jnp.arange(where.shape[1])[None] == drawn.argmax(axis=1)[:, None]  # stays in any case
            where = where & ((drawn >= members) | luckiest)
        return where, scale

    def _people(
        self, windows: Float[Array, "M D"], batch: Batch, *, scale: Float[Array, "B K joined"] | None = None
    ) -> Float[Array, "B K E"]:
        """Joins what each member did with who they are."""
        return jax.vmap(jax.vmap(self.individual))(
            windows[batch.member_windows], batch.individuals[batch.members], batch.member_numbers, scale=scale
        )

    def _group(
        self,
        people: Float[Array, "k e"],
        where: Bool[Array, " k"],
        account: Float[Array, " n"],
        segments: Int[Array, " q"] | None,
    ) -> tuple[Aggregated, Float[Array, " h"] | None]:
        """Aggregates one group and adds the effects of its segments, whose variance stands beside it."""
        group = self.aggregate(people, where=where, account=account)
        if self.account_head is not None:
            group = group._replace(logit=self.account_head(jnp.concatenate([group.logit, account])))
        if self.segments is None or segments is None:
            return group, None
        effect = self.segments(group.logit, account, segments)
        return group._replace(logit=group.logit + effect.mean), effect.variance

    def _alone(self, people: Float[Array, "B K E"], batch: Batch) -> Float[Array, "B K H"]:
        """Aggregates the group made of each member alone; 0 where no member is."""

        def alone(person: Array, account: Array, segments: Array | None) -> Array:
            return self._group(person[None], jnp.ones(1, bool), account, segments)[0].logit

        logit = jax.vmap(jax.vmap(alone, in_axes=(0, None, None)))(people, account_numbers(batch), batch.segments)
        return jnp.where(batch.member_mask[..., None], logit, 0.0)


def _require_consistent(config: ModelConfig, *, takes_logits: bool) -> None:
    """Refuses settings that contradict each other."""
    if config.account_head and not takes_logits:
        raise ConfigError(
            f"account_head: expected False, got True, because aggregator={config.aggregator!r} reads the account's "
            "numbers itself; it is for aggregations of the individuals' own log-odds, such as 'maximum'."
        )
    if config.time != "none" and config.period_input == "counts":
        raise ConfigError(f"time: expected 'none', got {config.time!r}, because period_input='counts' has no sequence.")


def _blocks(batch: Batch) -> Iterator[Batch]:
    """The small groups and then the others, without the places that no group of a run needs; see ``Batch.blocks``."""
    if batch.blocks is None:
        yield batch
        return
    begin = 0
    for samples, places, _ in (block.shape for block in batch.blocks):
        here = {name: getattr(batch, name) for name in OF_SAMPLES if getattr(batch, name) is not None}
        here = {name: array[begin : begin + samples] for name, array in here.items()}
        for name in ("members", "member_windows", "member_numbers"):
            if name in here:
                here[name] = here[name][:, :places]
        yield batch._replace(blocks=None, **here)
        begin += samples


def _with_room(of_members: Float[Array, "n k ..."], places: int) -> Float[Array, "n K ..."]:
    """What is said of members, with zeros in the places that a block of small groups does without."""
    missing = places - of_members.shape[1]
    return jnp.pad(of_members, [(0, 0), (0, missing)] + [(0, 0)] * (of_members.ndim - 2))


def _last_items(table: Shaped[Array, "S L"], prefixes: Prefixes) -> Shaped[Array, "C R"]:
    """The last item of every prefix."""
    return table.reshape(-1)[prefixes.cells]


def account_numbers(batch: Batch) -> Float[Array, "B N"]:
    """The numbers of each sample's account: the static ones, then those as of the cut-off if there are any."""
    static = batch.accounts[batch.account]
    return static if batch.account_numbers is None else jnp.concatenate([static, batch.account_numbers], axis=1)
