"""Aggregations that read the members' representations in their order of arrival.

Source: section 6.1 of the paper.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from hanjax import masked
from hanjax.nn.aggregation import Aggregated, GroupSpec, OfRepresentations
from hanjax.nn.head import Head
from hanjax.nn.pooling import AttentionPool
from hanjax.nn.recurrent import GRU


class FNN(OfRepresentations):
    """Members side by side in as many slots as a group can have, with the account's numbers, through two hidden layers.

    x = [P_1, ..., P_K, 0, ..., 0, account],  g = tanh(W2 tanh(W1 x + b1) + b2),  logit = W [g, account] + b

    The hidden layers have 2 ``width`` and ``width`` units. Members fill the slots from the first on, in order of
    arrival; so the function depends on that order, on the number of members, and a slot that training groups rarely
    reach is hardly trained.

    The share is not learned: it is the part of the first layer's input that came from each member, by the sum of
    absolute values of P_k W1_k, with W1_k the rows of W1 for slot k. It has no gradient.

    Source: section 6.1.1 of the paper; it does not say the layers' sizes or kind.

    Example:
        >>> aggregate = FNN(4, GroupSpec(numbers=2), rngs=nnx.Rngs(0))
        >>> group = aggregate(jnp.ones((3, 4)), where=jnp.array([True, False, False]), account=jnp.zeros(2))
        >>> group.logit.shape, group.share.tolist()
        ((1,), [1.0, 0.0, 0.0])
    """

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters; see ``Aggregator``."""
        self.max_members = spec.max_members
        self.first = nnx.Linear(spec.max_members * width + spec.numbers, 2 * width, rngs=rngs)
        self.second = nnx.Linear(2 * width, width, rngs=rngs)
        self.head = Head(width, spec, rngs=rngs)

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        # Each row names a member's slot, so that the product with it moves members up and pads with zeros.
        slot = jax.nn.one_hot(jnp.cumsum(where) - 1, self.max_members, dtype=people.dtype) * where[:, None]
        slots = slot.T @ masked.zeroed(people, where=where)
        hidden = jnp.tanh(self.first(jnp.concatenate([slots.reshape(-1), account])))
        group = jnp.tanh(self.second(hidden))
        kernel = self.first.kernel[...][: slots.size].reshape(*slots.shape, -1)
        input_of_slot = jnp.abs(jnp.einsum("se,sed->sd", slots, kernel)).sum(axis=1)
        share = masked.normalized(jax.lax.stop_gradient(slot @ input_of_slot), where=where)
        return Aggregated(self.head(group, account), share)


class LastState(OfRepresentations):
    """A GRU over members in order of arrival, whose last state is the group.

    h_k = (1 - z_k) n_k + z_k h_{k-1} = GRU(P_1, ..., P_k),  logit = W [h_K, account] + b

    The share is not learned: it is what is left in h_K of what each member wrote, by the sum of absolute values of
    z_K ... z_{k+1} (1 - z_k) n_k. These vectors add up to h_K exactly; their sizes show that later members overwrite
    earlier ones, and not who was relevant. It has no gradient.

    Source: section 6.1.2 of the paper (many-to-one GRU).

    Example:
        >>> aggregate = LastState(4, GroupSpec(numbers=2), rngs=nnx.Rngs(0))
        >>> group = aggregate(jnp.ones((3, 4)), where=jnp.array([True, False, False]), account=jnp.zeros(2))
        >>> group.logit.shape, group.share.tolist()
        ((1,), [1.0, 0.0, 0.0])
    """

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters; see ``Aggregator``."""
        self.gru = GRU(width, width, rngs=rngs)
        self.head = Head(width, spec, rngs=rngs)

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        people = masked.zeroed(people, where=where)
        states = self.gru(people, where=where)
        return Aggregated(self.head(states[-1], account), self._share(people, states, where))

    def _share(
        self, people: Float[Array, "k e"], states: Float[Array, "k d"], where: Bool[Array, " k"]
    ) -> Float[Array, " k"]:
        """How much of the last state each member wrote, from the update gates, computed anew from the states."""
        people, states = jax.lax.stop_gradient((people, states))
        before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])
        d = states.shape[1]

        def update(person: Float[Array, " e"], state: Float[Array, " d"]) -> Float[Array, " d"]:
            projected = person @ self.gru.input_kernel[...] + self.gru.input_bias[...]
            recurrent = state @ self.gru.kernel[...] + self.gru.bias[...]
            return jax.nn.sigmoid(projected + recurrent)[d : 2 * d]  # gates in the order reset, update, new

        gate = jax.vmap(update)(people, before)
        kept = jnp.where(where[:, None], gate, 1.0)
        kept_after = jnp.cumprod(jnp.concatenate([jnp.ones_like(kept[:1]), kept[:0:-1]]), axis=0)[::-1]
        wrote = jax.lax.stop_gradient(kept_after * (states - gate * before))
        return masked.normalized(jnp.abs(wrote).sum(axis=1), where=where)


class GRUAttention(OfRepresentations):
    """A GRU over members in order of arrival, attention over its states, then a layer with the account's numbers.

    h = GRU(P_1, ..., P_K),  a = attention(h),  logit = W [sum_k a_k h_k, account] + b

    The share is the attention a.

    Source: section 6.1.3 of the paper (many-to-many GRU followed by attention).

    Example:
        >>> aggregate = GRUAttention(4, GroupSpec(numbers=2), rngs=nnx.Rngs(0))
        >>> group = aggregate(jnp.ones((3, 4)), where=jnp.array([True, False, False]), account=jnp.zeros(2))
        >>> group.logit.shape, group.share.tolist()
        ((1,), [1.0, 0.0, 0.0])
    """

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters; see ``Aggregator``."""
        self.gru = GRU(width, width, rngs=rngs)
        self.pool = AttentionPool(width, rngs=rngs)
        self.head = Head(width, spec, rngs=rngs)

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        states = self.gru(masked.zeroed(people, where=where), where=where)
        group, share = self.pool(states, where=where)
        return Aggregated(self.head(group, account), share)
