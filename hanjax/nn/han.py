"""The hierarchical attention network, from the bottom up: activities, periods, individuals, accounts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from hanjax.config import ModelConfig
from hanjax.nn.aggregators import AGGREGATORS, Aggregated, Aggregator, Logit
from hanjax.nn.encoders import ActivityEncoder, IndividualLayer, WindowEncoder
from hanjax.nn.pooling import Pooled
from hanjax.nn.sizes import Sizes
from hanjax.types import Batch, Output


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
        self.config, self.sizes, self.takes_logits = config, sizes, kind.takes_logits
        self.activity = ActivityEncoder(sizes.vocabulary, config.activity_width, config.activity_embedding, rngs=rngs)
        self.window = WindowEncoder(config.activity_width, config.window_width, rngs=rngs)
        self.individual = IndividualLayer(
            config.window_width,
            sizes.levels,
            category_width=config.category_width,
            width=width,
            logits=kind.takes_logits,
            initial_logit=kind.member_logit(initial_logit) if kind.takes_logits else 0.0,
            rngs=rngs,
        )
        self.aggregate = kind(
            width,
            horizons=sizes.horizons,
            numbers=sizes.numbers,
            max_members=sizes.max_members,
            hidden=config.head_width,
            initial_logit=initial_logit,
            rngs=rngs,
        )

    def __call__(self, batch: Batch, *, key: Array | None = None) -> Output:
        """Says of each sample how likely it converts, and what counted at each level; with a key, under dropout."""
        periods = self.encode_periods(batch)
        windows = self.encode_windows(periods.value, batch)
        people = self._people(windows.value, batch)
        group = jax.vmap(self._group)(people, where=batch.member_mask, account=account_numbers(batch))
        member_logit = jnp.where(batch.member_mask[..., None], people, 0.0) if self.takes_logits else None
        return Output(group.logit, group.share, windows.weights, periods.weights, member_logit)

    def individual_logits(self, batch: Batch) -> Float[Array, "B K H"]:
        """Scores each member: log-odds of the group made of that individual alone; 0 where no member is.

        The individual stands in the first place, and the account's own numbers are unchanged.
        """
        windows = self.encode_windows(self.encode_periods(batch).value, batch)
        return self._alone(self._people(windows.value, batch), batch)

    def encode_periods(self, batch: Batch) -> Pooled:
        """Encodes a batch's sequences ``[S, L]`` of activities as values ``[S, D]``, with shares ``[S, L]``."""
        self.sizes.check_fields(batch, self.config)
        return jax.vmap(self.activity)(batch.sequences, where=batch.activity_mask)

    def encode_windows(self, periods: Float[Array, "S D"], batch: Batch) -> Pooled:
        """Encodes a batch's windows ``[M, W]``, as rows of ``periods [S, D]``: ``[M, D']``, with shares ``[M, W]``."""
        self.sizes.check_fields(batch, self.config)
        return jax.vmap(self.window)(periods[batch.windows], where=batch.period_mask)

    def score(self, windows: Float[Array, "M D"], batch: Batch) -> Scored:
        """Scores a batch's samples and their members from its windows' encodings.

        Args:
            windows: ``[M, D']`` encodings of the windows, as ``batch.member_windows`` counts them.
            batch: its samples, and the tables of individuals and accounts.
        """
        self.sizes.check_fields(batch, self.config)
        people = self._people(windows, batch)
        group = jax.vmap(self._group)(people, where=batch.member_mask, account=account_numbers(batch))
        return Scored(group.logit, group.share, self._alone(people, batch))

    def _people(self, windows: Float[Array, "M D"], batch: Batch) -> Float[Array, "B K E"]:
        """Joins what each member did with who they are."""
        return jax.vmap(jax.vmap(self.individual))(windows[batch.member_windows], batch.individuals[batch.members])

    def _group(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates one group."""
        return self.aggregate(people, where=where, account=account)

    def _alone(self, people: Float[Array, "B K E"], batch: Batch) -> Float[Array, "B K H"]:
        """Aggregates the group made of each member alone; 0 where no member is."""

        def alone(person: Array, account: Array) -> Array:
            return self._group(person[None], where=jnp.ones(1, bool), account=account).logit

        logit = jax.vmap(jax.vmap(alone, in_axes=(0, None)))(people, account_numbers(batch))
        return jnp.where(batch.member_mask[..., None], logit, 0.0)


def account_numbers(batch: Batch) -> Float[Array, "B N"]:
    """The numbers of each sample's account: the static ones, then those as of the cut-off if there are any."""
    static = batch.accounts[batch.account]
    return static if batch.account_numbers is None else jnp.concatenate([static, batch.account_numbers], axis=1)
