"""The last layers: a group's representation and the account's own numbers become log-odds."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Head(nnx.Module):
    """A linear layer over a group and its account, or one hidden tanh layer and then a linear one.

    logit = W [group, account] + b,  or  logit = W tanh(V [group, account] + c) + b

    Source: section 5.2 of the paper: "After aggregation, static features of the account are concatenated and passed
    through another fully connected layer".

    Args:
        width: size of the group's representation.
        numbers: size of the account's numbers.
        horizons: number of outcomes.
        hidden: size of the hidden layer; None for none.
        initial_logit: where the log-odds start, one for all horizons or ``[h]``.
        rngs: random streams of the initial parameters.

    Example:
        >>> head = Head(4, numbers=2, horizons=1, hidden=3, initial_logit=-6.0, rngs=nnx.Rngs(0))
        >>> head(jnp.zeros(4), jnp.zeros(2)).tolist()
        [-6.0]
    """

    def __init__(
        self,
        width: int,
        *,
        numbers: int,
        horizons: int,
        hidden: int | None,
        initial_logit: float | Float[Array, "..."],
        rngs: nnx.Rngs,
    ):
        """Draws the parameters."""
        joined = width + numbers
        self.hidden = nnx.Linear(joined, hidden, rngs=rngs) if hidden else None
        start = nnx.initializers.constant(initial_logit)
        self.output = nnx.Linear(hidden or joined, horizons, bias_init=start, rngs=rngs)

    def __call__(self, group: Float[Array, " d"], account: Float[Array, " n"]) -> Float[Array, " h"]:
        """Returns the log-odds ``[h]`` of the ``group [d]`` with the numbers ``account [n]``."""
        joined = jnp.concatenate([group, account])
        return self.output(joined if self.hidden is None else jnp.tanh(self.hidden(joined)))
