"""Reductions over what is there. Nobody-there is handled here and nowhere else: zeros, with zero gradients, not NaN."""

import math

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


def zeroed(values: Float[Array, "n ..."], *, where: Bool[Array, " n"]) -> Float[Array, "n ..."]:
    """The values where something is, zeros elsewhere, so that nothing that stands there can overflow.

    Args:
        values: ``[n, ...]`` rows; finite everywhere.
        where: ``[n]`` True where something is.

    Returns:
        ``[n, ...]`` the same rows, or zeros.

    Example:
        >>> zeroed(jnp.array([1.0, 9.0]), where=jnp.array([True, False])).tolist()
        [1.0, 0.0]
    """
    return jnp.where(where.reshape(-1, *(1,) * (values.ndim - 1)), values, 0.0)


def normalized(parts: Float[Array, " n"], *, where: Bool[Array, " n"]) -> Float[Array, " n"]:
    """Parts of a whole: proportional to numbers that are not negative, equal if all of them are zero.

    w_i = v_i / sum_{j there} v_j

    Args:
        parts: ``[n]`` numbers of at least 0; finite everywhere.
        where: ``[n]`` True where something is.

    Returns:
        ``[n]`` parts, which sum to 1; all zero if nothing is there at all.

    Example:
        >>> normalized(jnp.array([3.0, 1.0, 9.0]), where=jnp.array([True, True, False])).round(4).tolist()
        [0.75, 0.25, 0.0]
        >>> normalized(jnp.zeros(2), where=jnp.ones(2, bool)).tolist()
        [0.5, 0.5]
    """
    # As a softmax of logarithms a single part is exactly 1, and tiny ones do not underflow in the sum.
    return softmax(jnp.log(jnp.maximum(parts, jnp.finfo(parts.dtype).tiny)), where=where)


def mean(values: Float[Array, "n h"], *, where: Bool[Array, " n"]) -> Float[Array, " h"]:
    """Arithmetic mean of what is there.

    y = sum_{i there} v_i / n

    Args:
        values: ``[n, h]`` rows, each column for itself.
        where: ``[n]`` True where something is.

    Returns:
        ``[h]`` the means; zeros, without a gradient, if nothing is there at all.

    Example:
        >>> mean(jnp.array([[1.0], [2.0], [9.0]]), where=jnp.array([True, True, False])).tolist()
        [1.5]
    """
    return zeroed(values, where=where).sum(axis=0) / jnp.maximum(where.sum(), 1).astype(values.dtype)


def at_least_one(logits: Float[Array, "n h"], *, where: Bool[Array, " n"]) -> Float[Array, " h"]:
    """Log-odds that at least one of several independent events happens, from the log-odds of each.

    P = 1 - prod_i (1 - p_i),  log P / (1 - P) = log(exp(t) - 1)  with  t = sum_i log(1 + exp(z_i)) = -log(1 - P)

    The derivative by z_i is p_i / P. It grows with the number of events.

    Args:
        logits: ``[n, h]`` log-odds z, each column for itself; finite.
        where: ``[n]`` True where there is an event.

    Returns:
        ``[h]`` log-odds, right to rounding wherever they lie; zeros, without a gradient, if nothing is there at all.

    Example:
        >>> logit = at_least_one(jnp.array([[0.0], [0.0], [9.0]]), where=jnp.array([True, True, False]))
        >>> jax.nn.sigmoid(logit).round(4).tolist()
        [0.75]
        >>> f"{at_least_one(jnp.full((2, 1), -200.0), where=jnp.ones(2, bool))[0]:.4f}"
        '-199.3069'
    """
    return _of_softplus(logits, jnp.ones((), logits.dtype), where=where)


def geometric_mean(logits: Float[Array, "n h"], *, where: Bool[Array, " n"]) -> Float[Array, " h"]:
    """Log-odds of the geometric mean of probabilities, from the log-odds of each.

    P = (prod_i p_i)^(1/n),  log P / (1 - P) = -log(exp(t) - 1)  with  t = mean_i log(1 + exp(-z_i)) = -log P

    The derivative by z_i is (1 - p_i) / (1 - P) / n.

    Args:
        logits: ``[n, h]`` log-odds z, each column for itself; finite.
        where: ``[n]`` True where there is a probability.

    Returns:
        ``[h]`` log-odds, right to rounding wherever they lie; zeros, without a gradient, if nothing is there at all.

    Example:
        >>> geometric_mean(jnp.array([[-1.0], [-1.0], [9.0]]), where=jnp.array([True, True, False])).round(4).tolist()
        [-1.0]
    """
    count = jnp.maximum(where.sum(), 1).astype(logits.dtype)
    return -_of_softplus(-logits, 1 / count, where=where)


def mean_probability(logits: Float[Array, "n h"], *, where: Bool[Array, " n"]) -> Float[Array, " h"]:
    """Log-odds of the arithmetic mean of probabilities, from the log-odds of each.

    P = mean_i p_i,  log P / (1 - P) = log sum_i p_i - log sum_i (1 - p_i)

    The derivative by z_i is p_i (1 - p_i) / (P (1 - P)) / n.

    Args:
        logits: ``[n, h]`` log-odds, each column for itself; finite.
        where: ``[n]`` True where there is a probability.

    Returns:
        ``[h]`` log-odds, right to rounding wherever they lie; zeros, without a gradient, if nothing is there at all.

    Example:
        >>> mean_probability(jnp.array([[-2.0], [2.0], [9.0]]), where=jnp.array([True, True, False])).tolist()
        [0.0]
    """
    some = where | ~where.any()  # were nothing there, the zeros would be; their gradient ends at the last line
    logits, here = zeroed(logits, where=where), some[:, None]
    yes = jax.nn.logsumexp(jax.nn.log_sigmoid(logits), axis=0, where=here)
    no = jax.nn.logsumexp(jax.nn.log_sigmoid(-logits), axis=0, where=here)
    return jnp.where(where.any(), yes - no, 0.0)


_TINY = 1e-4  # below it a few terms of a series are right to rounding, also in float64


def _of_softplus(
    logits: Float[Array, "n h"], scale: Float[Array, ""], *, where: Bool[Array, " n"]
) -> Float[Array, " h"]:
    """log(exp(t) - 1) with t = scale * sum_i log(1 + exp(z_i)), for scale in (0, 1]; zeros if nothing is there.

    For t above _TINY that is t + log(1 - exp(-t)). Below, t itself may underflow, and its logarithm is summed in log
    space. Each side sees only arguments that it can take, so that its gradient is never NaN where it is not used.
    """
    some, here = where | ~where.any(), where[:, None]
    logits = jnp.where(here, logits, 0.0)
    total = scale * jnp.where(here, jax.nn.softplus(logits), 0.0).sum(axis=0)
    small = total < _TINY
    large = jnp.where(small, 1.0, total)
    above = large + jnp.log(-jnp.expm1(-large))
    little = jnp.where(small, total, 0.0)
    log_total = jnp.log(scale) + jax.nn.logsumexp(_log_softplus(logits), axis=0, where=some[:, None])
    below = log_total + little / 2 + little**2 / 24  # log((exp(t) - 1) / t) to order t^4
    return jnp.where(where.any(), jnp.where(small, below, above), 0.0)


def _log_softplus(logits: Float[Array, "..."]) -> Float[Array, "..."]:
    """log log(1 + x) with x = exp(z), also where x underflows: there it is z - x/2 + 5 x^2/24 - x^3/8 + O(x^4)."""
    small = logits < math.log(_TINY)
    x = jnp.exp(jnp.minimum(logits, 0.0))
    below = logits - x / 2 + 5 * x**2 / 24 - x**3 / 8
    return jnp.where(small, below, jnp.log(jax.nn.softplus(jnp.where(small, 0.0, logits))))
