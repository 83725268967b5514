"""The statistical aggregations as they are written when nobody minds the numerics, to see what that alone does.

Probabilities are multiplied as they are, the result is clipped to [1e-7, 1 - 1e-7] as common frameworks do before they
take a logarithm, and training starts at probabilities of one half instead of the base rate. Where clipping sets in the
gradient is zero. Not for use: ``hanjax.nn.aggregators`` has the same equations in log space.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hanjax.nn.aggregators import Aggregated, Logit, Maximum

if TYPE_CHECKING:
    from hanjax.nn.aggregators import Aggregator

_SMALLEST = 1e-7
"""What TensorFlow and Keras keep probabilities away from 0 and 1."""


def _log_odds(probability: Float[Array, "*s"]) -> Float[Array, "*s"]:
    clipped = jnp.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return jnp.log(clipped) - jnp.log(1 - clipped)


class NaiveAtLeastOne(Maximum):
    """P = 1 - prod_k (1 - p_k), multiplied out and clipped.

    It takes the place of an aggregation without parameters, whose shares (the likeliest member's) it keeps.

    Source: section 6.2.2 of the paper.
    """

    def __call__(
        self, people: Float[Array, "k h"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``hanjax.nn.aggregators.Aggregator``."""
        each = jnp.where(where[:, None], jax.nn.sigmoid(people), 0.0)
        share = super().__call__(people, where=where, account=account).share
        return Aggregated(_log_odds(1 - jnp.prod(1 - each, axis=0)), share)

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Zero: every probability starts at one half."""
        return 0.0


class NaiveGeometricMean(Maximum):
    """P = (prod_k p_k)^(1 / K), multiplied out and clipped.

    It takes the place of an aggregation without parameters, whose shares (the likeliest member's) it keeps.

    Source: section 6.2.3 of the paper.
    """

    def __call__(
        self, people: Float[Array, "k h"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``hanjax.nn.aggregators.Aggregator``."""
        each = jnp.where(where[:, None], jax.nn.sigmoid(people), 1.0)
        share = super().__call__(people, where=where, account=account).share
        mean = jnp.prod(each, axis=0) ** (1 / jnp.maximum(where.sum(), 1))
        return Aggregated(_log_odds(mean), share)

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Zero: every probability starts at one half."""
        return 0.0


NAIVE: "dict[str, type[Aggregator]]" = {"at_least_one": NaiveAtLeastOne, "geometric_mean": NaiveGeometricMean}
"""The naive aggregations by the names of their careful counterparts."""
