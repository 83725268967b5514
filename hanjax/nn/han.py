"""The hierarchical attention network, from the bottom up: activities, periods, individuals, accounts."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Integer

from hanjax.config import ModelConfig
from hanjax.errors import ConfigError, DataError
from hanjax.nn.aggregators import AGGREGATORS, Logit
from hanjax.nn.encoders import ActivityEncoder, IndividualLayer, WindowEncoder
from hanjax.nn.pooling import Pooled
from hanjax.types import Batch, Output


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the data say of a model's size; fitted on the training accounts and stored with the model.

    Args:
        vocabulary: number of activity ids, those of padding (0) and the unknown activity (1) included.
        levels: for each static category, its number of ids, those of padding and the unknown level included.
        numbers: number of account numbers: static ones, then those as of the cut-off.
        horizons: number of outcomes.
        max_members: largest number of members of a group.

    Raises:
        ConfigError: if a size cannot be.
    """

    vocabulary: int
    levels: tuple[int, ...] = ()
    numbers: int = 0
    horizons: int = 1
    max_members: int = 25

    def __post_init__(self) -> None:
        """Checks each size."""
        lowest = {"vocabulary": 2, "numbers": 0, "horizons": 1, "max_members": 1}
        wrong = [f"{name}={getattr(self, name)}" for name, least in lowest.items() if getattr(self, name) < least]
        wrong += [f"levels={self.levels}"] if min(self.levels, default=2) < 2 else []
        if wrong:
            raise ConfigError(f"Sizes: {', '.join(wrong)} (ids number at least 2: padding and the unknown).")

    @classmethod
    def of(cls, batch: Batch) -> "Sizes":
        """The smallest sizes that hold a batch.

        Args:
            batch: every id that is to be known occurs in it; later batches can be compared with ``check``.

        Example:
            >>> import numpy as np
            >>> sizes = Sizes.of(Batch.from_dense(np.full((2, 3, 4, 9), 5), members=np.ones((2, 3), bool)))
            >>> sizes.vocabulary, sizes.max_members
            (6, 3)
        """
        return cls(
            vocabulary=max(2, int(np.max(batch.sequences)) + 1),
            levels=tuple(max(2, int(most) + 1) for most in np.max(batch.individuals, axis=0)),
            numbers=_numbers(batch),
            horizons=batch.label.shape[1],
            max_members=max(1, batch.members.shape[1]),
        )

    def check(self, batch: Batch) -> None:
        """Refuses a batch that is too large; JAX itself takes an id beyond its table for another one, without a word.

        It reads values, so it belongs outside of ``jit``.

        Args:
            batch: any batch; its ids and numbers of columns are compared.

        Raises:
            DataError: if an id is beyond these sizes, or there are other columns than the network takes.
        """
        own, wrong = Sizes.of(batch), []
        if own.vocabulary > self.vocabulary:
            wrong.append(f"sequences hold the id {own.vocabulary - 1}, and vocabulary is {self.vocabulary}")
        if len(own.levels) != len(self.levels):
            wrong.append(f"individuals have {len(own.levels)} categories instead of {len(self.levels)}")
        for column, (here, most) in enumerate(zip(own.levels, self.levels, strict=False)):
            if here > most:
                wrong.append(f"column {column} of individuals holds the id {here - 1}, and levels[{column}] is {most}")
        if own.numbers != self.numbers:
            wrong.append(f"accounts have {own.numbers} numbers instead of {self.numbers}")
        if own.horizons != self.horizons and np.any(batch.label_mask):
            wrong.append(f"label has {own.horizons} horizons instead of {self.horizons}")
        if own.max_members > self.max_members:
            wrong.append(f"members have {own.max_members} places, and max_members is {self.max_members}")
        if wrong:
            raise DataError(f"The batch does not fit the sizes of the network: {'; '.join(wrong)}.")


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
        initial_logit: where the log-odds start, one for all horizons or ``[H]``: the log-odds of the base rate, as
            weighted by the loss, save the first epochs from learning it.
        rngs: random streams of the initial parameters.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes, *, initial_logit: Logit = 0.0, rngs: nnx.Rngs):
        """Draws the parameters."""
        kind = AGGREGATORS[config.aggregator]
        width = sizes.horizons if kind.takes_logits else config.member_width
        self.activity = ActivityEncoder(sizes.vocabulary, config.activity_width, config.activity_embedding, rngs=rngs)
        self.window = WindowEncoder(config.activity_width, config.window_width, rngs=rngs)
        self.individual = IndividualLayer(
            config.window_width,
            sizes.levels,
            category_width=config.category_width,
            width=width,
            logits=kind.takes_logits,
            initial_logit=kind.member_logit(initial_logit),
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

    def __call__(self, batch: Batch) -> Output:
        """Says of each sample how likely it converts, and what counted at each level."""
        periods = self.encode_periods(batch.sequences, where=batch.activity_mask)
        windows = self.encode_windows(periods.value, batch.windows, where=batch.period_mask)
        people = self.encode_people(windows.value[batch.member_windows], batch.individuals[batch.members])
        group = jax.vmap(self.aggregate)(people, where=batch.member_mask, account=account_numbers(batch))
        return Output(group.logit, group.share, windows.weights, periods.weights)

    def individual_logits(self, batch: Batch) -> Float[Array, "B K H"]:
        """Scores each member: log-odds of the group made of that individual alone; 0 where no member is.

        The individual stands in the first place, and the account's own numbers are unchanged.
        """
        periods = self.encode_periods(batch.sequences, where=batch.activity_mask)
        windows = self.encode_windows(periods.value, batch.windows, where=batch.period_mask)
        people = self.encode_people(windows.value[batch.member_windows], batch.individuals[batch.members])
        return self.score_alone(people, where=batch.member_mask, account=account_numbers(batch))

    def encode_periods(self, sequences: Integer[Array, "S L"], *, where: Bool[Array, "S L"]) -> Pooled:
        """Encodes sequences ``[S, L]`` of activities as values ``[S, D]``, with shares ``[S, L]``."""
        return jax.vmap(self.activity)(sequences, where=where)

    def encode_windows(
        self, periods: Float[Array, "S D"], windows: Int[Array, "M W"], *, where: Bool[Array, "M W"]
    ) -> Pooled:
        """Encodes windows ``[M, W]``, as rows of ``periods [S, D]``, as values ``[M, D']``, with shares ``[M, W]``."""
        return jax.vmap(self.window)(periods[windows], where=where)

    def encode_people(self, windows: Float[Array, "B K D"], categories: Int[Array, "B K F"]) -> Float[Array, "B K E"]:
        """Joins what each member did, ``[B, K, D']``, with their static categories ``[B, K, F]``."""
        return jax.vmap(jax.vmap(self.individual))(windows, categories)

    def score_alone(
        self, people: Float[Array, "B K E"], *, where: Bool[Array, "B K"], account: Float[Array, "B N"]
    ) -> Float[Array, "B K H"]:
        """Aggregates the group made of each of ``people [B, K, E]`` alone; 0 where no member is."""

        def alone(person: Array, account: Array) -> Array:
            return self.aggregate(person[None], where=jnp.ones(1, bool), account=account).logit

        logit = jax.vmap(jax.vmap(alone, in_axes=(0, None)))(people, account)
        return jnp.where(where[..., None], logit, 0.0)

    def score(
        self,
        windows: Float[Array, "B K D"],
        categories: Int[Array, "B K F"],
        account: Float[Array, "B N"],
        *,
        where: Bool[Array, "B K"],
    ) -> Scored:
        """Scores samples and their members from the windows' encodings.

        Args:
            windows: ``[B, K, D']`` encoding of each member's window; zeros if the member was quiet.
            categories: ``[B, K, F]`` each member's static categories.
            account: ``[B, N]`` the account's numbers.
            where: ``[B, K]`` True where a member is.
        """
        people = self.encode_people(windows, categories)
        group = jax.vmap(self.aggregate)(people, where=where, account=account)
        return Scored(group.logit, group.share, self.score_alone(people, where=where, account=account))


def _numbers(batch: Batch) -> int:
    """How many numbers ``account_numbers`` gives."""
    return batch.accounts.shape[1] + (0 if batch.account_numbers is None else batch.account_numbers.shape[1])


def account_numbers(batch: Batch) -> Float[Array, "B N"]:
    """The numbers of each sample's account: the static ones, then those as of the cut-off if there are any."""
    static = batch.accounts[batch.account]
    return static if batch.account_numbers is None else jnp.concatenate([static, batch.account_numbers], axis=1)
