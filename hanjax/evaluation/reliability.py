"""Whether probabilities mean what they say: rates of conversion beside them, and what the errors are made of."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.intervals import account_weights
from hanjax.evaluation.metrics import log_loss

_FEW = 10
"""With fewer conversions than these, or fewer samples without one, resampling says too little about a rate."""


def reliability(
    probabilities: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"] | None = None,
    *,
    bins: int = 10,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """The rate of conversion among samples with about the same probability.

    The edges are quantiles of the probabilities, so that the bins are about equally full; equal probabilities are never
    put apart, and bins that are empty for that reason are left out.

    A rate's interval is the percentile interval over resampled accounts, whose samples are not independent. In a bin
    with fewer than 10 conversions, or fewer than 10 samples without one, that is too narrow (without a conversion it
    has no width). There it is the exact binomial interval of Clopper and Pearson, for p (1 - p) / variance over the
    resamples instead of the number of samples where that is smaller (Korn and Graubard). Where nobody converts there is
    no variance, and every sample counts: the account may convert in each of its periods, but once only. Without
    ``accounts`` it is the exact binomial interval throughout, which takes samples for independent.

    Args:
        probabilities: ``[N]`` of conversion.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number; None where every sample is one of its own.
        bins: how many, at most.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a bin, in order: ``low_edge`` and ``high_edge``, the lowest and the highest probability in it,
        ``samples``, ``conversions``, ``mean_probability``, ``rate``, ``rate_low`` and ``rate_high``.

    Raises:
        ConfigError: if there is no bin.
        DataError: if the arrays do not fit together, a label is unknown, or a probability is none.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.reliability import reliability
        >>> found = reliability(np.array([0.1, 0.1, 0.6, 0.8]), np.array([0, 0, 1, 0]), bins=2)
        >>> found[["low_edge", "high_edge", "samples", "rate", "rate_low", "rate_high"]].round(2)
           low_edge  high_edge  samples  rate  rate_low  rate_high
        0       0.1        0.1        2   0.0      0.00       0.84
        1       0.6        0.8        2   0.5      0.01       0.99

    Source: Murphy and Winkler (1977); Clopper and Pearson (1934); Korn and Graubard (1998).
    """
    probabilities, labels = _checked(probabilities, labels)
    which = _bins(probabilities, bins)
    by_bin = pd.Series(probabilities).groupby(which)
    samples, conversions = np.bincount(which), np.bincount(which[labels == 1], minlength=which.max(initial=-1) + 1)
    rate = conversions / samples
    low, high = _binomial_interval(conversions, samples, level)
    if accounts is not None and len(labels):
        drawn = _resampled_rates(which, labels, np.asarray(accounts), resamples, seed)
        for row, rates in enumerate(drawn.T):
            rates = rates[~np.isnan(rates)]
            variance = rates.var(ddof=1) if len(rates) > 1 else 0.0
            if min(conversions[row], samples[row] - conversions[row]) >= _FEW and variance > 0:
                low[row], high[row] = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
            elif variance > 0 and 0 < rate[row] < 1:
                effective = min(rate[row] * (1 - rate[row]) / variance, samples[row])
                low[row], high[row] = _binomial_interval(rate[row] * effective, effective, level)
    return pd.DataFrame(
        {
            "low_edge": by_bin.min().to_numpy(),
            "high_edge": by_bin.max().to_numpy(),
            "samples": samples,
            "conversions": conversions,
            "mean_probability": by_bin.mean().to_numpy(),
            "rate": rate,
            "rate_low": low,
            "rate_high": high,
        }
    )


class BrierDecomposition(NamedTuple):
    """What a Brier score is made of: reliability - resolution + uncertainty + within_variance - within_covariance.

    Args:
        reliability: how far the mean probabilities of the bins lie from their rates; lower is better.
        resolution: how far the bins' rates lie apart; higher is better.
        uncertainty: the variance of the outcome, which no model changes.
        within_variance: the variance of the probabilities within bins.
        within_covariance: twice the covariance of probabilities and outcomes within bins; higher is better.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float


def brier_decomposition(
    probabilities: Float[np.ndarray, " N"], labels: Shaped[np.ndarray, " N"], bins: int | None = 10
) -> BrierDecomposition:
    """Takes the Brier score apart, into terms whose sum it is exactly.

    With bins k of n_k samples, their mean probability f_k and rate o_k, and the overall rate o, in the order of the
    fields: (1/N) sum n_k (f_k - o_k)^2, (1/N) sum n_k (o_k - o)^2, o (1 - o), and over the samples of each bin
    (1/N) sum (p - f_k)^2 and (2/N) sum (y - o_k) (p - f_k).

    Args:
        probabilities: ``[N]`` of conversion.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        bins: how many, at most, as those of ``reliability``; None for one each distinct probability, where the terms
            within bins are 0 but every sample is likely to be a bin.

    Returns:
        The five terms; NaN where there are no samples.

    Raises:
        ConfigError: if there is no bin.
        DataError: if the arrays do not fit together, a label is unknown, or a probability is none.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.reliability import brier_decomposition
        >>> brier_decomposition(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 1])).resolution
        0.25

    Source: Murphy (1973); the terms within bins are those of Stephenson, Coelho and Jolliffe (2008).
    """
    probabilities, labels = _checked(probabilities, labels)
    if not len(labels):
        return BrierDecomposition(*[np.nan] * 5)
    which = np.unique(probabilities, return_inverse=True)[1] if bins is None else _bins(probabilities, bins)
    samples = np.bincount(which)
    mean = (np.bincount(which, probabilities) / samples)[which]
    rate = (np.bincount(which, labels) / samples)[which]
    overall = labels.mean()
    terms = (
        np.mean((mean - rate) ** 2),
        np.mean((rate - overall) ** 2),
        overall * (1 - overall),
        np.mean((probabilities - mean) ** 2),
        2 * np.mean((labels - rate) * (probabilities - mean)),
    )
    return BrierDecomposition(*map(float, terms))


def expected_calibration_error(
    probabilities: Float[np.ndarray, " N"], labels: Shaped[np.ndarray, " N"], *, bins: int = 10
) -> float:
    """How far off the probabilities are, on average: sum over bins of n_k / N |mean probability - rate|.

    The bins are about equally full, those of ``reliability``: with bins of equal width, the rare outcomes of this field
    would all lie in the first one. Noise in the rates makes it larger than 0 for perfect probabilities too, and the
    more so, the more bins there are: compare it only where samples and bins are the same.

    Args:
        probabilities: ``[N]`` of conversion.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        bins: how many, at most.

    Returns:
        The mean over samples, lower is better; NaN where there are none.

    Raises:
        ConfigError: if there is no bin.
        DataError: if the arrays do not fit together, a label is unknown, or a probability is none.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.reliability import expected_calibration_error
        >>> expected_calibration_error(np.array([0.25, 0.25, 0.5, 0.5]), np.array([0, 0, 1, 0]), bins=2)
        0.125

    Source: Naeini, Cooper and Hauskrecht (2015), with bins of equal count.
    """
    probabilities, labels = _checked(probabilities, labels)
    off = np.bincount(_bins(probabilities, bins), probabilities - labels)
    return float(np.abs(off).sum() / len(labels)) if len(labels) else np.nan


def log_loss_skill(probabilities: Float[np.ndarray, " N"], labels: Shaped[np.ndarray, " N"]) -> float:
    """The share of the log loss that is saved, compared with saying the rate of conversion of everybody.

    skill = 1 - log_loss(p) / log_loss(rate of these samples)

    Args:
        probabilities: ``[N]`` of conversion.
        labels: ``[N]`` 1 where the account converts, 0 where not.

    Returns:
        1 for perfect probabilities, 0 for those that know nothing but the rate, below 0 for worse; NaN where all
        samples are of one class.

    Raises:
        DataError: if the arrays do not fit together, a label is unknown, or a probability is none.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.reliability import log_loss_skill
        >>> log_loss_skill(np.full(4, 0.25), np.array([0, 0, 0, 1]))
        0.0

    Source: McFadden (1974), the pseudo-R2, with probabilities that need not have been fitted to these samples.
    """
    probabilities, labels = _checked(probabilities, labels)
    if len(set(labels.tolist())) < 2:
        return np.nan
    return float(1 - log_loss(probabilities, labels) / log_loss(np.full(len(labels), labels.mean()), labels))


def _bins(probabilities: np.ndarray, bins: int) -> Int[np.ndarray, " N"]:
    """Each sample's bin, from 0 and without gaps."""
    if bins < 1:
        raise ConfigError(f"bins: expected 1 at least, got {bins}.")
    if not len(probabilities):
        return np.zeros(0, int)
    inner = np.quantile(probabilities, np.arange(1, bins) / bins)
    return np.unique(np.searchsorted(inner, probabilities), return_inverse=True)[1]


def _resampled_rates(
    which: np.ndarray, labels: np.ndarray, accounts: np.ndarray, resamples: int, seed: int
) -> Float[np.ndarray, "r k"]:
    """The rate of each bin on each resample of the accounts; NaN where none of its accounts was drawn."""
    if accounts.shape != labels.shape:
        raise DataError(f"accounts: expected [{len(labels)}], one for each sample; got {list(accounts.shape)}.")
    names, codes = np.unique(accounts, return_inverse=True)
    weights = account_weights(len(names), resamples=resamples, seed=seed)
    drawn = np.full((resamples, which.max(initial=-1) + 1), np.nan)
    for k in range(drawn.shape[1]):
        mine = which == k
        total = weights @ np.bincount(codes[mine], minlength=len(names))
        hits = weights @ np.bincount(codes[mine], labels[mine], minlength=len(names))
        np.divide(hits, total, out=drawn[:, k], where=total > 0)
    return drawn


def _binomial_interval(hits: Any, total: Any, level: float) -> tuple[Any, Any]:
    """Clopper and Pearson: the rates under which so many hits, or so few, are not too unlikely."""
    from scipy.special import betaincinv

    hits, total, tail = np.asarray(hits, float), np.asarray(total, float), (1 - level) / 2
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1e-9), total - hits + 1, tail), 0.0)
    high = np.where(hits < total, betaincinv(hits + 1, np.maximum(total - hits, 1e-9), 1 - tail), 1.0)
    return low, high


def _checked(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities in float64 and labels as integers, checked."""
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 1 or probabilities.shape != labels.shape:
        raise DataError(
            f"probabilities and labels must be [N] each; got {list(probabilities.shape)} and {list(labels.shape)}."
        )
    for name, values, right, rule in (
        ("probabilities", probabilities, (probabilities >= 0) & (probabilities <= 1), "must lie in 0..1"),
        ("labels", labels, np.isin(labels, (0, 1)), "must be 0 or 1; leave unknown outcomes out"),
    ):
        if not right.all():
            raise DataError(f"{name}: {rule} ({(~right).sum():,} of {len(right):,} wrong; first: {values[~right][0]}).")
    return probabilities, labels.astype(int)
