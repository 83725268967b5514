"""Probabilities from log-odds: what the class weight did to them is undone, and what training did beyond that."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.settings import check_names

METHODS = ("platt", "isotonic")
"""Ways to fit a calibration: two numbers, or a staircase with as many steps as the data ask for."""


@dataclass(frozen=True)
class Calibration:
    """A map from log-odds to probability that never reverses a ranking, learned from accounts not trained on.

    Args:
        method: "platt": p = 1 / (1 + exp(-(slope z + intercept))); "isotonic": linear between knots, level outside.
        slope: of "platt", 0 at least.
        intercept: of "platt".
        logits: of "isotonic", the knots, rising.
        probabilities: of "isotonic", their probabilities, never falling, all of them above 0 and below 1.
        note: what a reader should know about it, in a sentence; empty if nothing.
    """

    method: str
    slope: float = 1.0
    intercept: float = 0.0
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    note: str = ""

    def __post_init__(self):
        """Refuses what is no rising map."""
        if self.method not in METHODS:
            raise ConfigError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}.")
        for name in ("logits", "probabilities"):
            object.__setattr__(self, name, tuple(float(number) for number in getattr(self, name)))
        if not np.isfinite([self.slope, self.intercept]).all() or self.slope < 0:
            raise DataError(
                f"slope, intercept: expected numbers, the slope 0 at least; got {self.slope} and {self.intercept}."
            )
        knots, heights = np.array(self.logits), np.array(self.probabilities)
        rising = len(knots) == len(heights) and np.isfinite(knots).all() and (np.diff(knots) > 0).all()
        rising = rising and (np.diff(heights) >= 0).all() and ((heights > 0) & (heights < 1)).all()
        if not rising or (self.method == "isotonic") != (len(knots) > 0):
            raise DataError(
                "logits, probabilities: expected rising knots with probabilities inside 0..1 that never fall, for "
                f"isotonic only; got {len(knots)} and {len(heights)} of them for {self.method}."
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return dataclasses.asdict(self) | {"logits": list(self.logits), "probabilities": list(self.probabilities)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Calibration":
        """Makes a calibration again from what ``to_dict`` gave.

        Args:
            stored: its fields; those that are missing take their defaults.

        Returns:
            The calibration.

        Raises:
            ConfigError: if a field or the method is not known.
            DataError: if the numbers are no map that rises.

        Example:
            >>> from hanjax.evaluation.calibration import Calibration
            >>> Calibration.from_dict({"method": "platt", "slope": 0.8}).slope
            0.8
        """
        check_names(stored, [field.name for field in dataclasses.fields(cls)], "the fields of a calibration")
        if "method" not in stored:
            raise ConfigError(f"method: missing from the calibration; it is one of {', '.join(METHODS)}.")
        return cls(**stored)


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
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return np.exp(-np.logaddexp(0.0, -np.asarray(logit, np.float64)))


def fit_calibration(
    logit: Float[np.ndarray, " N"],
    label: Shaped[np.ndarray, " N"],
    method: str,
    *,
    weights: Float[np.ndarray, " N"] | None = None,
) -> Calibration:
    """Learns how often accounts with given log-odds convert.

    "platt" minimizes the log loss of p = 1 / (1 + exp(-(slope z + intercept))) against softened outcomes,
    (n+ + 1) / (n+ + 2) for a conversion and 1 / (n- + 2) otherwise: two numbers, for few conversions. A slope below 0
    would turn the ranking around; it is then 0, every probability about the rate of conversion, and the note says so.

    "isotonic" minimizes the squared error over all maps that never fall: any shape, but it takes some hundred
    conversions. Its lowest step is often 0 and its highest 1, of which one surprise makes the log loss infinite. Such
    a step of n samples gets the rate it has once one more sample is added to it, that converts as often as those of the
    next step do, r: r / (n + 1) at the lower end, (n + r) / (n + 1) at the upper one. No order changes by that.

    Args:
        logit: ``[N]`` log-odds of samples that were not trained on, the class weight taken out by ``unweight``.
        label: ``[N]`` 1 where the account converts, 0 where not.
        method: "platt" or "isotonic".
        weights: ``[N]`` how many samples each one counts for; None for one.

    Returns:
        The calibration.

    Raises:
        ConfigError: if the method is not known.
        DataError: if the arrays do not fit together, a value is unknown, or all samples are of one class.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.calibration import apply_calibration, fit_calibration
        >>> logit, label = np.array([-2.0, -1.0, 0.0, 1.0]), np.array([0, 1, 0, 1])
        >>> apply_calibration(fit_calibration(logit, label, "isotonic"), logit).tolist()
        [0.25, 0.5, 0.5, 0.75]

    Source: Platt (1999), section 2.2; Zadrozny and Elkan (2002).
    """
    logit, label, weights = _counted(logit, label, weights)
    if method == "platt":
        return _platt(logit, label, weights)
    if method == "isotonic":
        return _isotonic(logit, label, weights)
    raise ConfigError(f"method: expected one of {', '.join(METHODS)}, got {method!r}.")


def apply_calibration(calibration: Calibration, logit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The probability of log-odds, by a calibration; it takes NumPy and nothing else.

    Args:
        calibration: what ``fit_calibration`` learned.
        logit: any shape; log-odds, as those it was learned from.

    Returns:
        The same shape; never lower for higher log-odds, NaN where these are.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.calibration import Calibration, apply_calibration
        >>> float(apply_calibration(Calibration("platt", slope=2.0, intercept=-1.0), np.array(0.5)))
        0.5
    """
    logit = np.asarray(logit, np.float64)
    if calibration.method == "platt":
        return probability(calibration.slope * logit + calibration.intercept)
    knots, heights = np.array(calibration.logits), np.array(calibration.probabilities)
    ceiling = heights[np.minimum(np.searchsorted(knots, logit), len(knots) - 1)]
    return np.minimum(np.interp(logit, knots, heights), ceiling)  # rounded, a value may lie above the next knot


def _platt(logit: np.ndarray, label: np.ndarray, weights: np.ndarray) -> Calibration:
    from sklearn.linear_model import LogisticRegression

    positive, negative = weights[label == 1].sum(), weights[label == 0].sum()
    target = np.where(label == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    center, scale = logit.mean(), logit.std()
    slope = 0.0
    if scale > 0:
        rows = np.concatenate([logit, logit])[:, None]  # a soft outcome is both outcomes, each with its share
        outcomes = np.repeat([1, 0], len(logit))
        shares = np.concatenate([weights * target, weights * (1 - target)])
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
        model.fit((rows - center) / scale, outcomes, sample_weight=shares)
        slope = float(model.coef_[0, 0] / scale)
        intercept = float(np.ravel(model.intercept_)[0] - slope * center)
    if slope > 0:
        return Calibration("platt", slope, intercept)
    rate = np.average(target, weights=weights)
    return Calibration("platt", 0.0, float(np.log(rate / (1 - rate))), note=_USELESS)


def _isotonic(logit: np.ndarray, label: np.ndarray, weights: np.ndarray) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(logit, label, sample_weight=weights)
    knots, heights = fitted.X_thresholds_, fitted.y_thresholds_
    steps, inside = fitted.predict(logit), heights[(heights > 0) & (heights < 1)]
    below, above = weights[steps == 0].sum(), weights[steps == 1].sum()
    low = inside.min(initial=1.0) / (below + 1) if below else 0.0
    high = (above + inside.max(initial=0.0)) / (above + 1) if above else 1.0
    useless = _USELESS if heights[0] == heights[-1] else ""
    return Calibration("isotonic", logits=knots, probabilities=np.clip(heights, low, high), note=useless)


_USELESS = "The log-odds do not rank these samples at all, so that each gets about the same probability, their rate."


def _counted(logit: Any, label: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples that a calibration is learned from, checked, as float64; those without weight are left out."""
    logit, label = np.asarray(logit, np.float64), np.asarray(label, np.float64)
    weights = np.ones(logit.shape) if weights is None else np.asarray(weights, np.float64)
    if logit.ndim != 1 or not logit.shape == label.shape == weights.shape:
        raise DataError(
            "logit, label and weights must be [N] each; "
            f"got {list(logit.shape)}, {list(label.shape)} and {list(weights.shape)}."
        )
    for name, values, wrong, rule in (
        ("logit", logit, ~np.isfinite(logit), "must be finite"),
        ("label", label, ~np.isin(label, (0, 1)), "must be 0 or 1; leave unknown outcomes out"),
        ("weights", weights, ~(np.isfinite(weights) & (weights >= 0)), "must be finite, 0 at least"),
    ):
        if wrong.any():
            raise DataError(f"{name}: {rule} ({wrong.sum():,} of {len(wrong):,} wrong; first: {values[wrong][0]}).")
    counts = weights > 0
    logit, label, weights = logit[counts], label[counts], weights[counts]
    if len(set(label.tolist())) < 2:
        raise DataError(
            f"label: {int(label.sum()):,} of {len(label):,} samples that count are conversions; a calibration is "
            "learned from both outcomes. Bring more validation accounts."
        )
    return logit, label, weights
