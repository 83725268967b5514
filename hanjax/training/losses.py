"""The weighted cross-entropy of the paper, from log-odds, and the constants that the data give it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


def cross_entropy_loss(
    logit: Float[Array, "*shape"],
    label: Float[Array, "*shape"],
    *,
    positive_weight: float = 1.0,
    where: Bool[Array, "*shape"],
) -> Float[Array, ""]:
    """The mean cross-entropy over the outcomes that are known, in which a conversion weighs more.

    L = -w y log P - (1 - y) log(1 - P),  P = 1 / (1 + exp(-logit))      (paper, section 5.2.1)

    It is computed from log-odds, so it and its gradient are finite for every finite logit. Where ``where`` is False,
    neither the label nor the logit reaches the value or the gradient, even if it is NaN.

    Args:
        logit: any shape; log-odds of conversion.
        label: the same shape; 1 converted, 0 not, in between if that is not sure.
        positive_weight: w, the weight of a conversion.
        where: the same shape; which outcomes count.

    Returns:
        The sum over the outcomes that count, divided by their number; 0 if there are none.

    Example:
        >>> import jax.numpy as jnp
        >>> from hanjax.training.losses import cross_entropy_loss
        >>> label = jnp.array([1.0, 0.0, jnp.nan])
        >>> loss = cross_entropy_loss(jnp.zeros(3), label, positive_weight=3.0, where=label == label)
        >>> round(float(loss), 4)  # (3 + 1) / 2 * log 2
        1.3863
    """
    logit, label = jnp.where(where, logit, 0), jnp.where(where, label, 0)  # before the logarithms, for the gradient
    loss = -positive_weight * label * jax.nn.log_sigmoid(logit) - (1 - label) * jax.nn.log_sigmoid(-logit)
    return jnp.sum(loss, where=where) / jnp.maximum(where.sum(), 1)


def expected_cross_entropy_loss(
    logit: Float[Array, "*shape"],
    variance: Float[Array, "*shape"] | None,
    label: Float[Array, "*shape"],
    *,
    positive_weight: float = 1.0,
    where: Bool[Array, "*shape"],
) -> Float[Array, ""]:
    """The mean of ``cross_entropy_loss`` over log-odds that are normally distributed.

    E L = sum_i c_i L(logit + sqrt(variance) x_i), by Gauss-Hermite quadrature with 7 nodes

    Args:
        logit: any shape; means of the log-odds.
        variance: the same shape; None where the log-odds are certain, and this is the plain loss.
        label: as ``cross_entropy_loss`` takes it.
        positive_weight: w, the weight of a conversion.
        where: the same shape; which outcomes count.

    Returns:
        The loss; nothing is drawn at random.

    Example:
        >>> import jax.numpy as jnp
        >>> from hanjax.training.losses import expected_cross_entropy_loss
        >>> loss = expected_cross_entropy_loss(jnp.zeros(1), jnp.ones(1), jnp.ones(1), where=jnp.ones(1, bool))
        >>> round(float(loss), 3)  # the integral of log(1 + exp(-x)) over the normal density; log 2 = 0.693 without
        0.806
    """
    if variance is None:
        return cross_entropy_loss(logit, label, positive_weight=positive_weight, where=where)
    known = where & (variance > 0)
    sd = jnp.where(known, jnp.sqrt(jnp.where(known, variance, 1)), 0)  # the root has no gradient at zero
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    losses = [
        weight * cross_entropy_loss(logit + float(node) * sd, label, positive_weight=positive_weight, where=where)
        for node, weight in zip(nodes, (weights / weights.sum()).tolist(), strict=True)
    ]
    return jnp.sum(jnp.stack(losses))


def penalty_weight(
    label: Float[np.ndarray, "n H"], *, positive_weight: float = 1.0, share: float = 1.0
) -> Float[np.ndarray, " H"]:
    """What a nat of a divergence from the prior adds to the mean weighted cross-entropy.

    c / N,  c = w / (1 + (w - 1) r),  for N known outcomes of all horizons and the rate r of conversions of each

    With w = 1 it is the evidence lower bound over N. Otherwise the weighted loss claims more than the samples say: its
    curvature in a constant log-odds is N w r (1 - r) / (1 + (w - 1) r), where N r (1 - r) is the information that there
    is. Their ratio is c, by which the prior has to weigh more, so that effects are shrunk as without the weight.

    Args:
        label: ``[n, H]`` 1 converted, 0 not, NaN unknown, of the training samples.
        positive_weight: w, the weight of a conversion.
        share: of the outcomes that each network learns from.

    Returns:
        ``[H]`` the weights, 0 for a horizon without an outcome.

    Example:
        >>> import numpy as np
        >>> from hanjax.training.losses import penalty_weight
        >>> penalty_weight(np.array([[1.0], [0.0], [0.0], [np.nan]]), positive_weight=2.0).tolist()  # 1.5 / 3
        [0.5]

    Source: Ribatet, Cooley and Davison 2012, Bayesian Inference from Composite Likelihoods, the magnitude adjustment.
    """
    known = ~np.isnan(label)
    rate = np.where(known, label, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    weight = positive_weight / (1 + (positive_weight - 1) * rate) / (share * max(known.sum(), 1))
    return np.where(known.any(axis=0), weight, 0).astype(np.float32)


def base_rate_logit(label: Float[np.ndarray, "n H"], *, positive_weight: float = 1.0) -> Float[np.ndarray, " H"]:
    """The log-odds of a constant model that minimizes the weighted loss: where training should start.

    log(w n1 / n0), with n1 conversions and n0 known outcomes without one, over all samples of a horizon. A model that
    starts at log-odds of 0 instead may see an infinite loss when it combines many members in probability space, and
    spends its first steps finding the base rate. A count of zero is taken as a half, so that the result is finite.

    Args:
        label: ``[n, H]`` 1 converted, 0 not, in between if that is not sure, NaN unknown.
        positive_weight: w, the weight of a conversion.

    Returns:
        ``[H]`` log-odds.

    Example:
        >>> import numpy as np
        >>> from hanjax.training.losses import base_rate_logit
        >>> base_rate_logit(np.array([[1.0], [0.0], [0.0], [np.nan]]), positive_weight=2.0).tolist()
        [0.0]
    """
    converted = np.maximum(np.nansum(label, axis=0, dtype=float), 0.5)
    not_converted = np.maximum(np.nansum(1 - label, axis=0, dtype=float), 0.5)
    return np.log(positive_weight * converted / not_converted).astype(np.float32)


def balanced_weight(label: Float[np.ndarray, "n H"]) -> float:
    """The weight that makes conversions count as much as all other known outcomes together, but at least 1.

    Args:
        label: ``[n, H]`` 1 converted, 0 not, in between if that is not sure, NaN unknown.

    Returns:
        w = max(1, n0 / n1), over all horizons.

    Example:
        >>> import numpy as np
        >>> from hanjax.training.losses import balanced_weight
        >>> balanced_weight(np.array([[1.0], [0.0], [0.0], [np.nan]]))
        2.0
    """
    return max(1.0, float(np.nansum(1 - label, dtype=float) / max(1.0, np.nansum(label, dtype=float))))
