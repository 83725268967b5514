"""A gated recurrent unit that passes over what is not there."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Shaped


def gru_step(
    projected: Float[Array, " gates"],
    hidden: Float[Array, " d"],
    *,
    kernel: Float[Array, "d gates"],
    bias: Float[Array, " gates"],
) -> Float[Array, " d"]:
    """One step of a gated recurrent unit, with PyTorch's equations.

    With i = W_i x + b_i (``projected``) and g = W_h h + b_h, each in three parts r, z, n:
    r = sigmoid(i_r + g_r),  z = sigmoid(i_z + g_z),  n = tanh(i_n + r g_n),  h' = (1 - z) n + z h.

    Source: Cho et al. 2014; ``torch.nn.GRU`` (its own bias inside the reset gate included).

    Args:
        projected: ``[3 d]`` the input, already multiplied by its kernel and with its bias.
        hidden: ``[d]`` the state so far.
        kernel: ``[d, 3 d]`` recurrent kernel; the gates in the order reset, update, new.
        bias: ``[3 d]`` recurrent bias.

    Returns:
        ``[d]`` the next state.

    Example:
        >>> gru_step(jnp.zeros(6), jnp.ones(2), kernel=jnp.zeros((2, 6)), bias=jnp.zeros(6)).tolist()
        [0.5, 0.5]
    """
    input_reset, input_update, input_new = jnp.split(projected, 3)
    hidden_reset, hidden_update, hidden_new = jnp.split(hidden @ kernel + bias, 3)
    reset = jax.nn.sigmoid(input_reset + hidden_reset)
    update = jax.nn.sigmoid(input_update + hidden_update)
    new = jnp.tanh(input_new + reset * hidden_new)
    return (1 - update) * new + update * hidden


def gru_states(
    items: Shaped[Array, "n ..."],
    *,
    where: Bool[Array, " n"],
    project: Callable[[Array], Float[Array, " gates"]],
    kernel: Float[Array, "d gates"],
    bias: Float[Array, " gates"],
) -> Float[Array, "n d"]:
    """The states of a gated recurrent unit after each item, starting from zeros.

    Args:
        items: ``[n, ...]`` what comes in, in order.
        where: ``[n]`` True where something is; elsewhere the state is carried over as it is.
        project: multiplies one item with the input kernel and adds the input bias. It runs inside the loop: doing so
            for all items beforehand costs more in memory traffic than it saves.
        kernel: ``[d, 3 d]`` recurrent kernel.
        bias: ``[3 d]`` recurrent bias.

    Returns:
        ``[n, d]`` states; where nothing is, the state of the last item that was there (zeros if none was yet).
    """

    def step(hidden: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        value, present = item
        hidden = jnp.where(present, gru_step(project(value), hidden, kernel=kernel, bias=bias), hidden)
        return hidden, hidden

    # Recomputing a step when differentiating is cheaper than storing its gates. A scan already keeps the two apart.
    step = jax.checkpoint(step, prevent_cse=False)
    return jax.lax.scan(step, jnp.zeros_like(kernel, shape=kernel.shape[:1]), (items, where))[1]


class GRU(nnx.Module):
    """A gated recurrent unit over vectors; see ``gru_step`` for its equations.

    Args:
        features: size of each vector that comes in.
        width: size of the state.
        rngs: random streams of the initial parameters, uniform in +-1/sqrt(width) as in PyTorch.

    Example:
        >>> gru = GRU(3, 2, rngs=nnx.Rngs(0))
        >>> states = gru(jnp.ones((4, 3)), where=jnp.array([False, True, True, False]))
        >>> states.shape, bool((states[0] == 0).all()), bool((states[3] == states[2]).all())
        ((4, 2), True, True)
    """

    def __init__(self, features: int, width: int, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        # One draw for all four: each draw takes a while to compile.
        rows, bound = features + width + 2, width**-0.5
        drawn = jax.random.uniform(rngs.params(), (rows, 3 * width), minval=-bound, maxval=bound)
        self.input_kernel = nnx.Param(drawn[:features])
        self.kernel = nnx.Param(drawn[features:-2])
        self.input_bias = nnx.Param(drawn[-2])
        self.bias = nnx.Param(drawn[-1])

    def __call__(self, items: Float[Array, "n f"], *, where: Bool[Array, " n"]) -> Float[Array, "n d"]:
        """Returns the states ``[n, d]`` after each of the ``items [n, f]``."""
        return self._states(items, where, lambda item: item @ self.input_kernel[...] + self.input_bias[...])

    def over_ids(
        self, ids: Int[Array, " n"], *, where: Bool[Array, " n"], table: Float[Array, "v f"] | None = None
    ) -> Float[Array, "n d"]:
        """Returns the states ``[n, d]`` after each of the ids, each standing for a row of ``table [v, f]``.

        Without a table an id is one-hot. Either way the ids' projections make one small table, and picking its rows
        by a product with one-hot vectors has a far cheaper gradient on a CPU than picking them by index.
        """
        projections = self.input_kernel[...] if table is None else table @ self.input_kernel[...]
        size, dtype = projections.shape[0], projections.dtype
        return self._states(
            ids, where, lambda item: jax.nn.one_hot(item, size, dtype=dtype) @ projections + self.input_bias[...]
        )

    def _states(self, items: Array, where: Array, project: Callable[[Array], Array]) -> Array:
        return gru_states(items, where=where, project=project, kernel=self.kernel[...], bias=self.bias[...])
