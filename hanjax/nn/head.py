"""The last layers: a group's representation and the account's own numbers become log-odds."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hanjax.nn.aggregation import GroupSpec


class Head(nnx.Module):
    """A linear layer over a group and its account, or one hidden tanh layer and then a linear one.

    logit = W [group, account] + b,  or  logit = W tanh(V [group, account] + c) + b

    Source: section 5.2 of the paper: "After aggregation, static features of the account are concatenated and passed
    through another fully connected layer".

    Args:
        width: size of the group's representation.
        spec: the size of the account's numbers and of the hidden layer, the horizons, and where the log-odds start.
        rngs: random streams of the initial parameters.

    Example:
        >>> head = Head(4, GroupSpec(numbers=2, hidden=3, initial_logit=-6.0), rngs=nnx.Rngs(0))
        >>> head(jnp.zeros(4), jnp.zeros(2)).tolist()
        [-6.0]
    """

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        joined = width + spec.numbers
        self.hidden = nnx.Linear(joined, spec.hidden, rngs=rngs) if spec.hidden else None
        start = nnx.initializers.constant(spec.initial_logit)
        self.output = nnx.Linear(spec.hidden or joined, spec.horizons, bias_init=start, rngs=rngs)

    def __call__(self, group: Float[Array, " d"], account: Float[Array, " n"]) -> Float[Array, " h"]:
        """Returns the log-odds ``[h]`` of the ``group [d]`` with the numbers ``account [n]``."""
        joined = jnp.concatenate([group, account])
        return self.output(joined if self.hidden is None else jnp.tanh(self.hidden(joined)))
