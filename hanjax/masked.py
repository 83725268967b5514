"""Reductions over what is there. Nobody-there is handled here and nowhere else: zeros, with zero gradients, not NaN."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def softmax(scores: Float[Array, " n"], *, where: Bool[Array, " n"]) -> Float[Array, " n"]:
    """Weights that are positive where something is, zero elsewhere, and sum to 1.

    w_i = exp(s_i) / sum_{j there} exp(s_j)

    Args:
        scores: ``[n]`` log-weights up to a constant; finite everywhere, also where nothing is.
        where: ``[n]`` True where something is.

    Returns:
        ``[n]`` weights; all zero if nothing is there at all.

    Example:
        >>> softmax(jnp.array([0.0, 0.0, 9.0]), where=jnp.array([True, True, False])).tolist()
        [0.5, 0.5, 0.0]
        >>> softmax(jnp.zeros(2), where=jnp.zeros(2, bool)).tolist()
        [0.0, 0.0]
    """
    return jax.nn.softmax(scores, where=where)


def maximum(values: Float[Array, "n h"], *, where: Bool[Array, " n"]) -> Float[Array, " h"]:
    """Largest value among those that are there; tied values share the gradient equally.

    y = max_{i there} v_i, and 0 if nothing is there

    Args:
        values: ``[n, h]`` rows to choose from, each column for itself; any real number, so padding must not be 0.
        where: ``[n]`` True where something is.

    Returns:
        ``[h]`` the largest values; zeros, without a gradient, if nothing is there at all.

    Example:
        >>> maximum(jnp.array([[-3.0], [-6.0], [0.0]]), where=jnp.array([True, True, False])).tolist()
        [-3.0]
        >>> maximum(jnp.zeros((2, 1)), where=jnp.zeros(2, bool)).tolist()
        [0.0]
    """
    # The outer `where` also keeps -inf out of the gradient when nothing is there.
    largest = jnp.max(jnp.where(where[:, None], values, -jnp.inf), axis=0)
    return jnp.where(where.any(), largest, 0.0)


def share_of_maximum(values: Float[Array, "n h"], *, where: Bool[Array, " n"]) -> Float[Array, " n"]:
    """Who holds the largest value: 1, or an equal part among ties; the mean over columns if there are several.

    Args:
        values: ``[n, h]`` rows to choose from, each column for itself.
        where: ``[n]`` True where something is.

    Returns:
        ``[n]`` shares, which sum to 1; all zero if nothing is there at all.

    Example:
        >>> share_of_maximum(jnp.array([[2.0], [2.0], [1.0]]), where=jnp.ones(3, bool)).tolist()
        [0.5, 0.5, 0.0]
    """
    holds = (values == maximum(values, where=where)[None]) & where[:, None]
    share = holds / jnp.maximum(holds.sum(axis=0, keepdims=True), 1)
    return share.mean(axis=1).astype(values.dtype)
