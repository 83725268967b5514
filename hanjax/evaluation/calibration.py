"""Probabilities from log-odds: what the class weight did to them is undone."""

import numpy as np
from jaxtyping import Array, Float


def unweight(logit: Float[Array, "*shape"], *, positive_weight: float) -> Float[Array, "*shape"]:
    """Takes the class weight out of log-odds, so that they are those of conversion.

    A model trained with weight w estimates q = w p / (w p + 1 - p), hence p = q / (q + w (1 - q)); in log-odds this is
    a subtraction of log w.

    Args:
        logit: any shape; log-odds of a model trained with the weight.
        positive_weight: w, the weight of a conversion in training.

    Returns:
        The same shape; log-odds of p.

    Example:
        >>> from hanjax.evaluation.calibration import unweight
        >>> import numpy as np
        >>> float(unweight(np.log(500.0), positive_weight=500.0))
        0.0
    """
    return logit - np.log(positive_weight)


def probability(logit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The probability of log-odds, in float64 and without overflow: 1 / (1 + exp(-logit)).

    Args:
        logit: any shape; log-odds.

    Returns:
        The same shape.

    Example:
        >>> from hanjax.evaluation.calibration import probability
        >>> probability([0.0, -1000.0]).tolist()
        [0.5, 0.0]
    """
    return np.exp(-np.logaddexp(0.0, -np.asarray(logit, np.float64)))
