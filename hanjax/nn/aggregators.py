"""How individuals become an account: one class an aggregation, all called the same way.

To add one, write a class that follows ``Aggregator`` and name it in ``AGGREGATORS``.
"""

from typing import ClassVar, NamedTuple, Protocol

import jax.numpy as jnp  # noqa: F401  (the examples use it)
from flax import nnx
from jaxtyping import Array, Bool, Float

from hanjax import masked
from hanjax.nn.head import Head
from hanjax.nn.pooling import AttentionPool
from hanjax.nn.recurrent import GRU

Logit = float | Float[Array, "..."]


class Aggregated(NamedTuple):
    """What an aggregation says of a group.

    Args:
        logit: ``[h]`` log-odds of conversion within each horizon.
        share: ``[k]`` each member's part in it; sums to 1, and is 0 where no member is.
    """

    logit: Float[Array, "*b h"]
    share: Float[Array, "*b k"]


class Aggregator(Protocol):
    """The convention that every aggregation follows, for one group.

    * ``Aggregator(width, horizons=, numbers=, max_members=, hidden=, initial_logit=, rngs=)`` draws the parameters.
    * ``takes_logits`` says what the individual layer hands over: log-odds ``[h]`` of each individual, or (False) a
      representation of ``ModelConfig.member_width``. ``width`` is the size of either.
    * Called with the members in order of arrival; where no member is, the values are arbitrary but finite, and
      change nothing. Any number of places up to ``max_members`` will do. A group without members is finite too.
    * ``member_logit`` is where the individuals' own log-odds start, so that the account's start at ``initial_logit``.
    """

    takes_logits: ClassVar[bool]

    def __init__(
        self,
        width: int,
        *,
        horizons: int,
        numbers: int,
        max_members: int,
        hidden: int | None = None,
        initial_logit: Logit,
        rngs: nnx.Rngs,
    ):
        """Draws the parameters.

        Args:
            width: size of each row of ``people``.
            horizons: number of outcomes.
            numbers: size of ``account``.
            max_members: largest number of members of a group.
            hidden: size of a hidden tanh layer between the aggregation and the log-odds; None for none.
            initial_logit: where the log-odds start, one for all horizons or ``[h]``.
            rngs: random streams of the initial parameters.
        """
        ...

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group.

        Args:
            people: ``[k, e]`` what the individual layer made of each member, in order of arrival.
            where: ``[k]`` True where a member is.
            account: ``[n]`` the account's own numbers.
        """
        ...

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Where the individual layer's log-odds start; only asked for if ``takes_logits``."""
        ...


class GRUAttention(nnx.Module):
    """A GRU over members in order of arrival, attention over its states, then a layer with the account's numbers.

    h = GRU(P_1, ..., P_K),  a = attention(h),  logit = W [sum_k a_k h_k, account] + b

    Source: section 6.1.3 of the paper (many-to-many GRU followed by attention).

    Example:
        >>> aggregate = GRUAttention(4, horizons=1, numbers=2, max_members=25, initial_logit=0.0, rngs=nnx.Rngs(0))
        >>> group = aggregate(jnp.ones((3, 4)), where=jnp.array([True, False, False]), account=jnp.zeros(2))
        >>> group.logit.shape, group.share.tolist()
        ((1,), [1.0, 0.0, 0.0])
    """

    takes_logits: ClassVar[bool] = False

    def __init__(
        self,
        width: int,
        *,
        horizons: int,
        numbers: int,
        max_members: int,
        hidden: int | None = None,
        initial_logit: Logit,
        rngs: nnx.Rngs,
    ):
        """Draws the parameters; see ``Aggregator``."""
        self.gru = GRU(width, width, rngs=rngs)
        self.pool = AttentionPool(width, rngs=rngs)
        self.head = Head(
            width, numbers=numbers, horizons=horizons, hidden=hidden, initial_logit=initial_logit, rngs=rngs
        )

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        group, share = self.pool(self.gru(people, where=where), where=where)
        return Aggregated(self.head(group, account), share)

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Not asked for: members are representations."""
        return 0.0


class Maximum(nnx.Module):
    """The account is as likely to convert as its likeliest individual; the account's own numbers are not used.

    logit = max_k P_k, the log-odds of p = max_k p_k

    The share is 1 for the likeliest individual, divided equally among ties, and averaged over horizons.

    Source: section 6.2.1 of the paper.

    Example:
        >>> aggregate = Maximum(1, horizons=1, numbers=0, max_members=25, initial_logit=0.0, rngs=nnx.Rngs(0))
        >>> people = jnp.array([[-6.0], [-5.0], [0.0]])
        >>> logit, share = aggregate(people, where=jnp.array([True, True, False]), account=jnp.zeros(0))
        >>> logit.tolist(), share.tolist()
        ([-5.0], [0.0, 1.0, 0.0])
    """

    takes_logits: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        *,
        horizons: int,
        numbers: int,
        max_members: int,
        hidden: int | None = None,
        initial_logit: Logit,
        rngs: nnx.Rngs,
    ):
        """Has no parameters; see ``Aggregator``."""

    def __call__(
        self, people: Float[Array, "k h"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        return Aggregated(masked.maximum(people, where=where), masked.share_of_maximum(people, where=where))

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """The account's own: a maximum of equal log-odds is one of them."""
        return initial_logit


AGGREGATORS: dict[str, type[Aggregator]] = {"gru_attention": GRUAttention, "maximum": Maximum}
"""The aggregations by their names in ``ModelConfig.aggregator``."""
