"""Gated recurrent units that pass over what is not there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

from hanjax.types import REACH


def gru_step(
    projected: Float[Array, " gates"],
    hidden: Float[Array, " d"],
    *,
    kernel: Float[Array, "d gates"],
    bias: Float[Array, " gates"],
    gate: Float[Array, " d"] | None = None,
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
        gate: ``[d]`` what the new content is multiplied by, such as ``time_gate``: h' = (1 - z) gate n + z h; None
            for no such gate.

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
    return (1 - update) * (new if gate is None else gate * new) + update * hidden


def time_gate(
    projected: Float[Array, " d"], times: Float[Array, " t"], *, kernel: Float[Array, "t d"]
) -> Float[Array, " d"]:
    """How much of an item gets into the state, by what it is and by how long ago the one before it was.

    T = sigmoid(W_x x + b + sigmoid(W_t t))

    Source: Zhu et al. 2017, What to Do Next: Modeling User Behaviors by Time-LSTM, model 1, eq. 7, whose time is one
    number; here it is a GRU that has the gate.

    Args:
        projected: ``[d]`` the item, already multiplied by its kernel W_x and with its bias b.
        times: ``[t]`` the time, in whatever numbers tell of it.
        kernel: ``[t, d]`` W_t.

    Returns:
        ``[d]`` the gate, between 0 and 1.

    Example:
        >>> time_gate(jnp.full(2, -0.5), jnp.ones(1), kernel=jnp.zeros((1, 2))).tolist()
        [0.5, 0.5]
    """
    return jax.nn.sigmoid(projected + jax.nn.sigmoid(times @ kernel))


def gru_states(
    items: PyTree,
    *,
    where: Bool[Array, " n"],
    project: Callable[..., Float[Array, " gates"] | tuple[Float[Array, " gates"], Float[Array, " d"]]],
    kernel: Float[Array, "d gates"],
    bias: Float[Array, " gates"],
    reverse: bool = False,
) -> Float[Array, "n d"]:
    """The states of a gated recurrent unit after each item, starting from zeros.

    Args:
        items: ``[n, ...]`` what comes in, in order; one array or several.
        where: ``[n]`` True where something is; elsewhere the state is carried over as it is.
        project: multiplies one item with the input kernel and adds the input bias; with a gate for the new content, it
            returns the two. It runs inside the loop: doing so for all items beforehand costs more in memory traffic
            than it saves.
        kernel: ``[d, 3 d]`` recurrent kernel.
        bias: ``[3 d]`` recurrent bias.
        reverse: whether to begin with the last item that is there, and to go backward.

    Returns:
        ``[n, d]`` states; where nothing is, the state of the last item that was there (zeros if none was yet).
    """

    def step(hidden: Array, item: tuple[PyTree, Array]) -> tuple[Array, Array]:
        value, present = item
        hidden = jnp.where(present, _extended(value, hidden, project=project, kernel=kernel, bias=bias), hidden)
        return hidden, hidden

    # Recomputing a step when differentiating is cheaper than storing its gates. A scan already keeps the two apart.
    step = jax.checkpoint(step, prevent_cse=False)
    nothing, turns = jnp.zeros_like(kernel, shape=kernel.shape[:1]), _turns_in_one(len(where), most=32)
    return jax.lax.scan(step, nothing, (items, where), reverse=reverse, unroll=turns)[1]


def prefix_states(
    items: PyTree,
    parents: Int[Array, "C R"],
    *,
    project: Callable[..., Float[Array, " gates"] | tuple[Float[Array, " gates"], Float[Array, " d"]]],
    kernel: Float[Array, "d gates"],
    bias: Float[Array, " gates"],
) -> Float[Array, "N d"]:
    """The states of a gated recurrent unit after many rows of items that share their beginnings, each computed once.

    Args:
        items: ``[C, R, ...]`` the last item of each prefix; one array or several.
        parents: ``[C, R]`` the prefix without it; see ``Prefixes``.
        project: see ``gru_states``.
        kernel: ``[d, 3 d]`` recurrent kernel.
        bias: ``[3 d]`` recurrent bias.

    Returns:
        ``[C R, d]`` states after each prefix.
    """
    rows = parents.shape[1]

    def one(value: PyTree, hidden: Array) -> Array:
        return _extended(value, hidden, project=project, kernel=kernel, bias=bias)

    def step(latest: Array, chunk: tuple[PyTree, Array]) -> tuple[Array, Array]:
        values, parent = chunk
        states = jax.vmap(one)(values, latest[parent])
        return jnp.concatenate([latest[:1], latest[1 + rows :], states]), states

    # As in gru_states. Only the latest chunks are carried along: copies of all states would cost more than they do.
    step = jax.checkpoint(step, prevent_cse=False)
    nothing = jnp.zeros_like(kernel, shape=(1 + REACH * rows, len(kernel)))
    states = jax.lax.scan(step, nothing, (items, parents), unroll=_turns_in_one(len(parents), most=4))[1]
    return states.reshape(-1, len(kernel))


def _turns_in_one(turns: int, *, most: int) -> int:
    """How many turns of a loop are compiled as one: on a GPU many, as most of the time of each is its overhead.

    On a CPU that takes longer to compile and no less time to run.
    """
    return max(1, min(turns, most)) if jax.default_backend() == "gpu" else 1


def _extended(value: PyTree, hidden: Array, *, project: Callable[..., Any], kernel: Array, bias: Array) -> Array:
    """The state after one more item, which is projected first."""
    projected = project(value)
    projected, gate = projected if isinstance(projected, tuple) else (projected, None)
    return gru_step(projected, hidden, kernel=kernel, bias=bias, gate=gate)


class GRU(nnx.Module):
    """A gated recurrent unit over vectors; see ``gru_step`` for its equations.

    Args:
        features: size of each vector that comes in; times that come with ids count as part of it.
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
        drawn = _uniform(features + width + 2, 3 * width, width, rngs)
        self.input_kernel = nnx.Param(drawn[:features])
        self.kernel = nnx.Param(drawn[features:-2])
        self.input_bias = nnx.Param(drawn[-2])
        self.bias = nnx.Param(drawn[-1])

    def __call__(
        self, items: Float[Array, "n f"], *, where: Bool[Array, " n"], reverse: bool = False
    ) -> Float[Array, "n d"]:
        """Returns the states ``[n, d]`` after each of the ``items [n, f]``."""
        return gru_states(items, where=where, reverse=reverse, **self._of_vectors())

    def over_ids(
        self,
        ids: Int[Array, " n"],
        *,
        where: Bool[Array, " n"],
        table: Float[Array, "v f"] | None = None,
        times: Float[Array, "n t"] | None = None,
        reverse: bool = False,
    ) -> Float[Array, "n d"]:
        """Returns the states ``[n, d]`` after each of the ids, each standing for a row of ``table [v, f]``.

        Without a table an id is one-hot. The ids' ``times [n, t]``, if any, are joined to these vectors.
        """
        return gru_states((ids, times), where=where, reverse=reverse, **self._of_ids(table, times))

    def over_prefixes(self, items: Float[Array, "C R f"], *, parents: Int[Array, "C R"]) -> Float[Array, "N d"]:
        """Returns the states ``[N, d]`` after prefixes whose last items are ``items [C, R, f]``."""
        return prefix_states(items, parents, **self._of_vectors())

    def over_prefixes_of_ids(
        self,
        ids: Int[Array, "C R"],
        *,
        parents: Int[Array, "C R"],
        table: Float[Array, "v f"] | None = None,
        times: Float[Array, "C R t"] | None = None,
    ) -> Float[Array, "N d"]:
        """Returns the states ``[N, d]`` after prefixes whose last items are ``ids [C, R]``; see ``over_ids``."""
        return prefix_states((ids, times), parents, **self._of_ids(table, times))

    def _of_vectors(self) -> dict[str, Any]:
        """The recurrence over vectors."""
        return self._recurrence(lambda item: item @ self.input_kernel[...] + self.input_bias[...])

    def _of_ids(self, table: Array | None, times: Array | None) -> dict[str, Any]:
        """The recurrence over ids, and their times if there are any."""
        kernel = self.input_kernel[...]
        features = len(kernel) - (0 if times is None else times.shape[-1])
        look_up = _look_up(kernel[:features], table)

        def project(item: tuple[Array, Array | None]) -> Array:
            of_time = 0.0 if item[1] is None else item[1] @ kernel[features:]
            return look_up(item[0]) + of_time + self.input_bias[...]

        return self._recurrence(project)

    def _recurrence(self, project: Callable[..., Array]) -> dict[str, Any]:
        return {"project": project, "kernel": self.kernel[...], "bias": self.bias[...]}


class TimeGatedGRU(nnx.Module):
    """A gated recurrent unit with one more gate, of the time, which the new content is multiplied by.

    h' = (1 - z) T n + z h, with r, z, n as in ``gru_step``, and T as in ``time_gate``

    Args:
        features: size of each vector that comes in.
        width: size of the state.
        times: how many numbers tell of an item's time.
        rngs: random streams of the initial parameters, uniform in +-1/sqrt(width).

    Example:
        >>> gru = TimeGatedGRU(7, 2, times=1, rngs=nnx.Rngs(0))
        >>> gru.over_ids(jnp.array([3, 5]), where=jnp.ones(2, bool), times=jnp.ones((2, 1))).shape
        (2, 2)
    """

    def __init__(self, features: int, width: int, *, times: int, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.input_kernel = nnx.Param(_uniform(features, 4 * width, width, rngs))  # the gate of time comes last
        self.input_bias = nnx.Param(_uniform(1, 4 * width, width, rngs)[0])
        self.time_kernel = nnx.Param(_uniform(times, width, width, rngs))
        drawn = _uniform(width + 1, 3 * width, width, rngs)
        self.kernel, self.bias = nnx.Param(drawn[:-1]), nnx.Param(drawn[-1])

    def over_ids(
        self,
        ids: Int[Array, " n"],
        *,
        where: Bool[Array, " n"],
        times: Float[Array, "n t"],
        table: Float[Array, "v f"] | None = None,
        reverse: bool = False,
    ) -> Float[Array, "n d"]:
        """Returns the states ``[n, d]`` after each of the ids, which stand for rows of ``table [v, f]`` or are one-hot.

        Their ``times [n, t]`` make the gate.
        """
        return gru_states((ids, times), where=where, reverse=reverse, **self._of_ids(table))

    def over_prefixes_of_ids(
        self,
        ids: Int[Array, "C R"],
        *,
        parents: Int[Array, "C R"],
        times: Float[Array, "C R t"],
        table: Float[Array, "v f"] | None = None,
    ) -> Float[Array, "N d"]:
        """Returns the states ``[N, d]`` after prefixes whose last items are ``ids [C, R]``; see ``over_ids``."""
        return prefix_states((ids, times), parents, **self._of_ids(table))

    def _of_ids(self, table: Array | None) -> dict[str, Any]:
        """The recurrence over ids and their times."""
        look_up, gates = _look_up(self.input_kernel[...], table), self.bias.shape[0]

        def project(item: tuple[Array, Array]) -> tuple[Array, Array]:
            projected, of_gate = jnp.split(look_up(item[0]) + self.input_bias[...], [gates])
            return projected, time_gate(of_gate, item[1], kernel=self.time_kernel[...])

        return {"project": project, "kernel": self.kernel[...], "bias": self.bias[...]}


class BothWays(nnx.Module):
    """Two recurrent layers, one forward and one backward in time, their states joined.

    The backward one begins with the last item that is there, so what is not there changes nothing.

    Source: Schuster and Paliwal 1997; ``torch.nn.GRU(bidirectional=True)``.

    Args:
        forward: the layer that goes forward.
        backward: the layer that goes backward.

    Example:
        >>> gru = BothWays(GRU(3, 2, rngs=nnx.Rngs(0)), GRU(3, 2, rngs=nnx.Rngs(1)))
        >>> gru(jnp.ones((4, 3)), where=jnp.array([False, True, True, False])).shape
        (4, 4)
    """

    def __init__(self, forward: GRU | TimeGatedGRU, backward: GRU | TimeGatedGRU):
        """Takes the two layers as they are."""
        self.forward, self.backward = forward, backward

    def __call__(self, items: Float[Array, "n f"], *, where: Bool[Array, " n"]) -> Float[Array, "n e"]:
        """Returns the states ``[n, 2 d]`` at each of the ``items [n, f]``."""
        return self._joined(lambda layer, reverse: layer(items, where=where, reverse=reverse))

    def over_ids(
        self,
        ids: Int[Array, " n"],
        *,
        where: Bool[Array, " n"],
        table: Float[Array, "v f"] | None = None,
        times: Float[Array, "n t"] | None = None,
    ) -> Float[Array, "n e"]:
        """Returns the states ``[n, 2 d]`` at each of the ids; see either layer."""
        return self._joined(
            lambda layer, reverse: layer.over_ids(ids, where=where, table=table, times=times, reverse=reverse)
        )

    def _joined(self, states: Callable[[Any, bool], Array]) -> Array:
        return jnp.concatenate([states(self.forward, False), states(self.backward, True)], axis=1)


def _uniform(rows: int, columns: int, width: int, rngs: nnx.Rngs) -> Float[Array, "rows columns"]:
    """Random numbers on the scale of a layer of some width."""
    return jax.random.uniform(rngs.params(), (rows, columns), minval=-(width**-0.5), maxval=width**-0.5)


def _look_up(
    kernel: Float[Array, "f gates"], table: Float[Array, "v f"] | None
) -> Callable[[Array], Float[Array, " gates"]]:
    """A function of an id that multiplies its vector, a row of ``table`` or a one-hot one, with ``kernel``.

    Either way the ids' projections make one small table, and picking its rows by a product with one-hot vectors has a
    far cheaper gradient on a CPU than picking them by index.
    """
    projections = kernel if table is None else table @ kernel
    size, dtype = projections.shape[0], projections.dtype
    return lambda item: jax.nn.one_hot(item, size, dtype=dtype) @ projections
