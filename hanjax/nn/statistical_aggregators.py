"""Aggregations of the individuals' own log-odds: fixed functions of probabilities, computed in log space.

None of them has parameters, reads the account's numbers, or depends on the order of the members. One member alone
keeps exactly its own log-odds. With P_k for a member's log-odds, as in the paper, p_k = 1 / (1 + exp(-P_k)).

Source: section 6.2 of the paper.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from hanjax import masked
from hanjax.nn.aggregation import Aggregated, GroupSpec, Logit

TYPICAL_MEMBERS = 5
"""Members of a typical account: 4.6 on average in the paper's data (section 7.1)."""


class _Statistical(nnx.Module):
    """What the functions below have in common; each says how it combines log-odds, and whose part is how large."""

    takes_logits: ClassVar[bool] = True

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Has no parameters; see ``Aggregator``."""

    def __call__(
        self, people: Float[Array, "k h"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        people = masked.zeroed(people, where=where)
        return Aggregated(self._combine(people, where), self._share(people, where))

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """The account's own: such a function of equal log-odds is one of them."""
        return initial_logit

    def _combine(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " h"]:
        raise NotImplementedError

    def _share(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
        raise NotImplementedError


class Maximum(_Statistical):
    """The account is as likely to convert as its likeliest individual.

    logit = max_k P_k, the log-odds of p = max_k p_k

    The share is the derivative of the account's log-odds by the member's: 1 for the likeliest individual, divided
    equally among ties, and averaged over horizons. It grows with the group only as a maximum of more draws does.

    Source: section 6.2.1 of the paper.

    Example:
        >>> aggregate = Maximum(1, GroupSpec(), rngs=nnx.Rngs(0))
        >>> people = jnp.array([[-6.0], [-5.0], [0.0]])
        >>> logit, share = aggregate(people, where=jnp.array([True, True, False]), account=jnp.zeros(0))
        >>> logit.tolist(), share.tolist()
        ([-5.0], [0.0, 1.0, 0.0])
    """

    def _combine(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " h"]:
        return masked.maximum(people, where=where)

    def _share(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
        return masked.share_of_maximum(people, where=where)


class AtLeastOne(_Statistical):
    """The account converts if at least one individual does, each on their own (noisy-or).

    p = 1 - prod_k (1 - p_k)

    The share is the derivative of the account's log-odds by the member's, which is p_k / p, made to sum to 1:
    p_k / sum_j p_j, averaged over horizons. More members make the account more likely, also if they only repeat others.

    Source: section 6.2.2 of the paper.

    Example:
        >>> aggregate = AtLeastOne(1, GroupSpec(), rngs=nnx.Rngs(0))
        >>> logit, share = aggregate(jnp.zeros((3, 1)), where=jnp.array([True, True, False]), account=jnp.zeros(0))
        >>> jax.nn.sigmoid(logit).round(4).tolist(), share.tolist()
        ([0.75], [0.5, 0.5, 0.0])
    """

    def _combine(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " h"]:
        return masked.at_least_one(people, where=where)

    def _share(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
        return _proportional(jax.nn.log_sigmoid(people), where)

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Such that a typical account of ``TYPICAL_MEMBERS`` equal members starts at ``initial_logit``.

        With p for the account's probability each member's is 1 - (1 - p)^(1/5), whose complement is the geometric mean
        of 1 - p and four ones.
        """
        # A one is the log-odds of a probability that float32 cannot tell from 1.
        account = -jnp.ravel(jnp.asarray(initial_logit, float))[None]
        ones = jnp.full((TYPICAL_MEMBERS - 1, account.shape[1]), 200.0, account.dtype)
        everyone = jnp.ones(TYPICAL_MEMBERS, bool)
        member = -masked.geometric_mean(jnp.concatenate([account, ones]), where=everyone)
        return member.reshape(jnp.shape(initial_logit))


class GeometricMean(_Statistical):
    """The account's probability is the geometric mean of its individuals'.

    p = (prod_k p_k)^(1/K)

    The share is the derivative of the account's log-odds by the member's, (1 - p_k) / (1 - p) / K, made to sum to 1:
    (1 - p_k) / sum_j (1 - p_j), averaged over horizons. So it is largest for those who hold the account back.

    Source: section 6.2.3 of the paper.

    Example:
        >>> aggregate = GeometricMean(1, GroupSpec(), rngs=nnx.Rngs(0))
        >>> logit, share = aggregate(jnp.zeros((3, 1)), where=jnp.array([True, True, False]), account=jnp.zeros(0))
        >>> jax.nn.sigmoid(logit).round(4).tolist(), share.tolist()
        ([0.5], [0.5, 0.5, 0.0])
    """

    def _combine(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " h"]:
        return masked.geometric_mean(people, where=where)

    def _share(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
        return _proportional(jax.nn.log_sigmoid(-people), where)


class MeanProbability(_Statistical):
    """The account's probability is the arithmetic mean of its individuals'.

    p = sum_k p_k / K

    The share is the member's part in the sum, p_k / sum_j p_j, averaged over horizons. This is also the account's score
    of a model whose individuals are trained each with the account's outcome.

    Source: not in the paper, which prefers the geometric mean (section 6.2.3).

    Example:
        >>> aggregate = MeanProbability(1, GroupSpec(), rngs=nnx.Rngs(0))
        >>> logit, share = aggregate(jnp.zeros((3, 1)), where=jnp.array([True, True, False]), account=jnp.zeros(0))
        >>> jax.nn.sigmoid(logit).round(4).tolist(), share.tolist()
        ([0.5], [0.5, 0.5, 0.0])
    """

    def _combine(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " h"]:
        return masked.mean_probability(people, where=where)

    def _share(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
        return _proportional(jax.nn.log_sigmoid(people), where)


class MeanLogOdds(_Statistical):
    """The account's log-odds are the mean of its individuals': the normalized geometric mean of odds.

    logit = sum_k P_k / K

    The share is the derivative of the account's log-odds by the member's: equal for all.

    Source: not in the paper; the logarithmic opinion pool with equal weights (Genest and Zidek 1986).

    Example:
        >>> aggregate = MeanLogOdds(1, GroupSpec(), rngs=nnx.Rngs(0))
        >>> people = jnp.array([[-6.0], [-5.0], [0.0]])
        >>> logit, share = aggregate(people, where=jnp.array([True, True, False]), account=jnp.zeros(0))
        >>> logit.tolist(), share.tolist()
        ([-5.5], [0.5, 0.5, 0.0])
    """

    def _combine(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " h"]:
        return masked.mean(people, where=where)

    def _share(self, people: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
        return masked.normalized(jnp.ones_like(people, shape=where.shape), where=where)


def _proportional(log_parts: Float[Array, "k h"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
    """Parts proportional to numbers given by their logarithms, column by column, then averaged over columns."""
    return jax.vmap(lambda column: masked.softmax(column, where=where), 1)(log_parts).mean(axis=0)
