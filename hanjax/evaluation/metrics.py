"""Measures of scores against outcomes, each with one signature: ``metric(scores, labels, *, where=None)``.

They are written once for both worlds: JAX arrays in, and they can be jitted and vmapped; NumPy arrays in, and they
are computed on the host in float64.
"""

from types import ModuleType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from hanjax.errors import DataError

Values = Float[Array | np.ndarray, " N"]
Outcomes = Shaped[Array | np.ndarray, " N"]
Where = Bool[Array | np.ndarray, " N"] | None
Scalar = Float[Array, ""] | np.floating


class Metric(Protocol):
    """What every function in this module looks like."""

    def __call__(self, scores: Values, labels: Outcomes, *, where: Where = None) -> Scalar:
        """Measures scores ``[N]`` against labels ``[N]`` in {0, 1}, over the samples in ``where``."""
        ...


def auc(scores: Values, labels: Outcomes, *, where: Where = None) -> Scalar:
    """Area under the ROC curve: how often a positive sample is scored above a negative one.

    AUC = (sum over pairs of [s+ > s-] + [s+ = s-] / 2) / (n+ n-)

    Counted with integers throughout, so neither the number of samples nor the order of the rows changes a digit: a
    constant score gives exactly 0.5, also in float32.

    Args:
        scores: ``[N]`` any numbers, higher for likelier; infinities are fine.
        labels: ``[N]`` 1 (or True) for positive, 0 for negative.
        where: ``[N]`` the samples that count; None for all. What stands elsewhere is never read.

    Returns:
        The area, NaN where one class is missing or a score or label that counts is NaN.

    Example:
        >>> import numpy as np
        >>> float(auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1])))
        0.875

    Source: Mann and Whitney (1947), the U statistic with midranks.
    """
    xp, scores, positive, negative = _prepare(scores, labels, where)
    n_positive, n_negative = positive.sum(), negative.sum()
    sorted_negatives = xp.sort(xp.where(negative, scores, np.inf))
    below = xp.searchsorted(sorted_negatives, scores)
    through = xp.minimum(xp.searchsorted(sorted_negatives, scores, side="right"), n_negative)
    wins = xp.where(positive, below + through, 0)  # twice the negatives below, once those that tie
    whole, rest = _exact_mean(xp, wins, n_positive)
    centered = (whole - n_negative) / xp.maximum(n_negative, 1) + rest / xp.maximum(n_negative, 1)
    defined = (n_positive > 0) & (n_negative > 0) & ~_any_nan(xp, scores, positive | negative)
    return xp.where(defined, 0.5 + 0.5 * centered, np.nan)[()]


def average_precision(scores: Values, labels: Outcomes, *, where: Where = None) -> Scalar:
    """Mean precision at the positives: the area under the precision-recall curve, without interpolation.

    AP = (1 / n+) sum over positives i of TP(s >= s_i) / (TP(s >= s_i) + FP(s >= s_i))

    Args:
        scores: ``[N]`` any numbers, higher for likelier.
        labels: ``[N]`` 1 for positive, 0 for negative.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        The mean, about the base rate for random scores; NaN without a positive or where a score that counts is NaN.

    Example:
        >>> import numpy as np
        >>> round(float(average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))), 4)
        0.8333

    Source: as defined by scikit-learn, ties share one threshold.
    """
    xp, scores, positive, negative = _prepare(scores, labels, where)
    n_positive = positive.sum()
    at_least = lambda among: among.sum() - xp.searchsorted(xp.sort(xp.where(among, scores, np.inf)), scores)
    hits, misses = at_least(positive), at_least(negative)
    precision = xp.where(positive, hits / xp.maximum(hits + misses, 1), 0.0)
    defined = (n_positive > 0) & ~_any_nan(xp, scores, positive | negative)
    return xp.where(defined, precision.sum() / xp.maximum(n_positive, 1), np.nan)[()]


def log_loss(scores: Values, labels: Outcomes, *, where: Where = None) -> Scalar:
    """Mean negative log-likelihood of the outcomes: -mean(y log p + (1 - y) log(1 - p)), in nats.

    Args:
        scores: ``[N]`` probabilities; kept one rounding step away from 0 and 1, as scikit-learn does.
        labels: ``[N]`` 1 for positive, 0 for negative.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        The mean, lower is better; NaN where no sample counts.

    Example:
        >>> import numpy as np
        >>> round(float(log_loss(np.array([0.5, 0.9]), np.array([0, 1]))), 4)
        0.3993
    """
    given = getattr(scores, "dtype", np.dtype(float))
    step = float(jnp.finfo(given if jnp.issubdtype(given, jnp.floating) else float).eps)
    xp, scores, positive, negative = _prepare(scores, labels, where)
    inside = xp.clip(xp.where(positive | negative, scores, 0.5), step, 1 - step)
    surprise = -xp.where(positive, xp.log(inside), xp.where(negative, xp.log1p(-inside), 0.0))
    return _mean(xp, surprise, positive | negative)


def brier(scores: Values, labels: Outcomes, *, where: Where = None) -> Scalar:
    """Mean squared error of probabilities: mean((p - y)^2).

    Args:
        scores: ``[N]`` probabilities.
        labels: ``[N]`` 1 for positive, 0 for negative.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        The mean, between 0 and 1, lower is better; NaN where no sample counts.

    Example:
        >>> import numpy as np
        >>> round(float(brier(np.array([0.5, 0.9]), np.array([0, 1]))), 4)
        0.13
    """
    xp, scores, positive, negative = _prepare(scores, labels, where)
    error = xp.where(positive | negative, scores, 0.0) - positive
    return _mean(xp, error**2, positive | negative)


def _prepare(scores: Any, labels: Any, where: Any) -> tuple[ModuleType, Any, Any, Any]:
    """The library the arrays belong to (JAX's if any does), scores as floats, who is positive, who is negative."""
    xp = jnp if any(isinstance(array, jax.Array) for array in (scores, labels, where)) else np
    scores, labels = xp.asarray(scores).astype(float), xp.asarray(labels)
    counts = xp.ones(scores.shape, bool) if where is None else xp.asarray(where)
    if scores.ndim != 1 or not scores.shape == labels.shape == counts.shape or counts.dtype != bool:
        raise DataError(
            "scores, labels and where must be [N], [N] and bool [N]; "
            f"got {list(scores.shape)}, {list(labels.shape)} and {counts.dtype}{list(counts.shape)}."
        )
    scores = xp.where(labels == labels, scores, np.nan)  # an unknown outcome that counts is an error to be seen
    return xp, scores, counts & (labels > 0), counts & ~(labels > 0)


def _any_nan(xp: ModuleType, scores: Any, where: Any) -> Any:
    return (xp.isnan(scores) & where).any()


def _mean(xp: ModuleType, values: Any, where: Any) -> Any:
    """Mean of values that are 0 elsewhere; NaN where nothing counts."""
    return xp.where(where.any(), values.sum() / xp.maximum(where.sum(), 1), np.nan)[()]


def _exact_mean(xp: ModuleType, values: Any, count: Any) -> tuple[Any, Any]:
    """Mean of integers 0 .. 2N, as whole and fractional part, by a long division whose digits cannot overflow.

    The sum itself may be as large as N^2 / 2, far outside 32 bits. Its digits to the base 2^bits are summed apart.
    """
    bits = np.iinfo(values.dtype).bits - 2 - len(values).bit_length()
    count = xp.maximum(count, 1)
    whole, remainder = xp.zeros_like(count), xp.zeros_like(count)
    for place in reversed(range(0, len(values).bit_length() + 1, bits)):
        digits = (values >> place) & ((1 << bits) - 1)
        remainder = (remainder << bits) + digits.sum()
        whole = (whole << bits) + remainder // count
        remainder = remainder % count
    return whole, remainder / count
