"""Effects of segments that borrow strength from each other: large ones speak for themselves, small ones hardly."""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from hanjax.nn.aggregation import Logit

_START = (0.5, 0.25, 0.1)
"""Standard deviations of the intercept, slopes and scale before training: wide, as a narrow prior would hold effects at
zero; less so those that could take each other's place, of which the intercept is to win."""
_PACE = (1.0, 1.0, 0.2)
"""How fast means of these kinds move: an optimizer that takes equal steps everywhere would give a scale the intercept's
share wherever the global log-odds hardly differ, so that both say the same."""
_STEEP = 5.0
"""How much faster the logarithm of a standard deviation moves than a parameter: it has a longer way to go."""
_LEAST = 1e-12
"""Below this the variance of a prior makes no difference, but keeps its logarithm finite."""


class Effect(NamedTuple):
    """What its segments add to a sample's log-odds.

    Args:
        mean: ``[h]`` the mean, which predicts.
        variance: ``[h]`` the variance, which training averages the loss over.
    """

    mean: Float[Array, "*b h"]
    variance: Float[Array, "*b h"]


class Posterior(NamedTuple):
    """What is known of the effects of one factor: each is normal, and so are they among each other.

    The kinds of effects are the intercept, a slope for each number of the account, and the scale of the log-odds.

    Args:
        mean: ``[levels, 2 + n, h]`` means, which add up to zero over the levels.
        sd: ``[levels, 2 + n, h]`` standard deviations.
        tau: ``[3, h]`` standard deviation among the levels of intercepts, of slopes (all alike, as numbers are
            standardized) and of scales: learned as that which makes the effects likeliest.
    """

    mean: Float[Array, "*b levels kinds h"]
    sd: Float[Array, "*b levels kinds h"]
    tau: Float[Array, "*b 3 h"]


def gaussian_divergence(
    mean: Float[Array, "*shape"], sd: Float[Array, "*shape"], tau: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """How far a normal distribution is from one around zero, in nats.

    KL(N(m, s^2) || N(0, tau^2)) = log(tau / s) + (s^2 + m^2) / (2 tau^2) - 1/2

    Args:
        mean: m.
        sd: s, above 0.
        tau: that of the other one, above 0.

    Example:
        >>> gaussian_divergence(jnp.array(1.0), jnp.array(1.0), jnp.array(1.0)).tolist()
        0.5
    """
    return jnp.log(tau / sd) + (sd**2 + mean**2) / (2 * tau**2) - 0.5


class Segments(nnx.Module):
    """Adds to the log-odds of a sample the effects of the levels that it belongs to, one of each factor.

    logit = g + sum_f (u_l + v_l . x + k_l (g - p)),  l the level of factor f

    g are the global log-odds, x the account's standardized numbers, p the log-odds of the base rate. The effects of a
    factor (intercepts u, slopes v, scales k) have posteriors N(m, s^2), of which the means add up to zero over its
    levels, each counted once, and a prior N(0, tau^2) whose tau is learned by empirical Bayes: for given m and s, the
    penalty sum KL(N(m, s^2) || N(0, tau^2)) is least where tau^2 = mean(m^2 + s^2). A posterior, unlike a best guess of
    effects and tau together, does not collapse to tau = 0. A level that is missing or not known has no effects.

    Source: Gelman and Hill 2007, Data Analysis Using Regression and Multilevel/Hierarchical Models, chapter 12; Tan and
    Nott 2013, Variational Inference for Generalized Linear Mixed Models Using Partially Noncentered Parametrizations.

    Args:
        levels: for each factor its number of ids, of which 0 is missing and 1 the unknown level.
        numbers: how many numbers an account has.
        horizons: number of outcomes.
        initial_logit: p, one for all horizons or ``[h]``; it is kept.

    Example:
        >>> segments = Segments((4,), numbers=1, horizons=1)
        >>> segments.mean[...] = jnp.array([[1.0, 0.5, 0.0], [-1.0, -0.5, 0.0]])[..., None]  # of the ids 2 and 3
        >>> [segments(jnp.zeros(1), jnp.ones(1), jnp.array([i])).mean.tolist() for i in range(4)]
        [[0.0], [0.0], [1.5], [-1.5]]
    """

    def __init__(self, levels: tuple[int, ...], *, numbers: int = 0, horizons: int = 1, initial_logit: Logit = 0.0):
        """Starts without effects."""
        self.levels = tuple(levels)
        shape = sum(levels) - 2 * len(levels), 2 + numbers, horizons
        self.mean, self.log_sd = nnx.Param(jnp.zeros(shape)), nnx.Param(jnp.zeros(shape))
        self.pivot = nnx.Param(jnp.broadcast_to(jnp.asarray(initial_logit, jnp.float32), (horizons,)))

    def __call__(self, logit: Float[Array, " h"], account: Float[Array, " n"], segments: Int[Array, " q"]) -> Effect:
        """The effects on the global log-odds ``logit [h]`` of an account with the numbers ``account [n]``."""
        posteriors = self.posteriors()
        mean, variance = (
            jnp.concatenate([jnp.zeros_like(tables[0][:1]), *tables])  # row 0 is for levels without effects
            for tables in ([each.mean for each in posteriors], [each.sd**2 for each in posteriors])
        )
        begin = np.array([first for first, _ in _places(self.levels)])
        row = jnp.where(segments >= 2, begin + segments - 1, 0)
        apart = logit - jax.lax.stop_gradient(self.pivot[...])
        same = jnp.concatenate([jnp.ones(1, logit.dtype), account])[:, None]
        times = jnp.concatenate([jnp.broadcast_to(same, (len(same), len(logit))), apart[None]])[None]
        return Effect((mean[row] * times).sum(axis=(0, 1)), (variance[row] * times**2).sum(axis=(0, 1)))

    def posteriors(self) -> list[Posterior]:
        """What is known of the effects of each factor."""
        return posteriors_of(self.mean[...], self.log_sd[...], self.levels)

    def penalty(self) -> Float[Array, " h"]:
        """The divergence of all effects from their priors, in nats, for each horizon."""
        terms = []
        for each in self.posteriors():
            for kind, tau in zip(_kinds(each.mean.shape[1]), each.tau, strict=True):
                apart = gaussian_divergence(each.mean[:, kind], each.sd[:, kind], tau[None, None])
                terms.append(apart.sum(axis=(0, 1)))
        return jnp.stack(terms).sum(axis=0)


def posteriors_of(
    mean: Float[Array, "rows kinds h"], log_sd: Float[Array, "rows kinds h"], levels: tuple[int, ...]
) -> list[Posterior]:
    """What parameters say of the effects of each factor.

    Args:
        mean: means, of the levels of all factors one below the other; what they have in common has no meaning.
        log_sd: where standard deviations are, in steps of a logarithmic scale from the one before training.
        levels: for each factor its number of ids.

    Returns:
        The posteriors.

    Example:
        >>> [one] = posteriors_of(jnp.ones((2, 2, 1)), jnp.zeros((2, 2, 1)), (4,))
        >>> one.mean[:, 0, 0].tolist(), one.tau[0].tolist()
        ([0.0, 0.0], [0.5])
    """
    found = []
    start, pace = (
        jnp.array([first, *[middle] * (mean.shape[1] - 2), last], mean.dtype)[None, :, None]
        for first, middle, last in (_START, _PACE)
    )
    for begin, end in _places(levels):
        own, sd = pace * mean[begin:end], start * jnp.exp(_STEEP * log_sd[begin:end])
        own = own - own.sum(axis=0, keepdims=True) / max(len(own), 1)
        squares = [(own**2 + sd**2)[:, kind].reshape(-1, own.shape[2]) for kind in _kinds(own.shape[1])]
        tau = [jnp.sqrt(square.sum(axis=0) / max(len(square), 1) + _LEAST) for square in squares]
        found.append(Posterior(own, sd, jnp.stack(tau)))
    return found


def _places(levels: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where the levels of each factor stand among those of all."""
    return list(pairwise(np.cumsum([0, *(size - 2 for size in levels)]).tolist()))


def _kinds(kinds: int) -> tuple[slice, slice, slice]:
    """Which effects are the intercept, which the slopes, and which the scale."""
    return slice(0, 1), slice(1, kinds - 1), slice(kinds - 1, kinds)
