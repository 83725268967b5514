"""The variance of AUCs in closed form, without resampling; of independent samples, or of accounts with several each."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from hanjax.errors import DataError
from hanjax.evaluation.resampling import samples_of


class Areas(NamedTuple):
    """AUCs of several scores on the same samples.

    Args:
        areas: ``[M]`` one a score; NaN where one class is missing.
        covariance: ``[M, M]`` of their errors; NaN unless two accounts have positive samples and two negative ones.
    """

    areas: Float[np.ndarray, " M"]
    covariance: Float[np.ndarray, "M M"]


class Tested(NamedTuple):
    """Two AUCs on the same samples, and whether they differ.

    Args:
        first: one area.
        second: the other.
        difference: the first less the second.
        deviation: standard deviation of the difference.
        p: two-sided, of the difference over its deviation as a normal variable.
    """

    first: float
    second: float
    difference: float
    deviation: float
    p: float


def delong(
    scores: Float[np.ndarray, "M N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"] | None = None,
    *,
    where: Bool[np.ndarray, " N"] | None = None,
) -> Areas:
    """AUCs of several scores with the covariance of their errors.

    With V[i] the share of negative samples that a positive one beats, V[j] the share of positive samples that beat a
    negative one (ties count half), m and n the numbers of both, and the sums of V - AUC over account a's samples P[a]
    and Q[a], of which I+ and I- accounts have any, of I in all:

    S+ = I+ / ((I+ - 1) m) sum P P',  S- = I- / ((I- - 1) n) sum Q Q',  S+- = I / (I - 1) sum P Q'

    covariance = S+ / m + S- / n + (S+- + S+-') / (m n)

    If each account has one sample, this is DeLong's: the last term vanishes.

    Args:
        scores: ``[M, N]`` of M models, higher for likelier.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account; None if samples are independent.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        Areas and their covariance.

    Raises:
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.delong import delong
        >>> found = delong(np.array([[0.1, 0.4, 0.3, 0.8]]), np.array([0, 0, 1, 1]))
        >>> found.areas.tolist(), found.covariance.tolist()
        ([0.75], [[0.125]])

    Source: DeLong, DeLong and Clarke-Pearson (1988); with ranks instead of pairs, Sun and Xu (2014); of accounts,
        Obuchowski (1997), Nonparametric analysis of clustered ROC curve data.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels)
    if scores.ndim != 2:
        raise DataError(f"scores: expected [M, N], one row a model, got {list(scores.shape)}.")
    given = samples_of(scores, labels, np.arange(len(labels)) if accounts is None else accounts, where=where)
    positive, size = given.labels == 1, len(given.names)
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return Areas(np.full(len(scores), np.nan), np.full((len(scores), len(scores)), np.nan))
    shares = np.array([_shares(score, positive) for score in given.scores])
    areas = shares[:, positive].mean(axis=1)
    errors = shares - areas[:, None]
    up, down = (
        np.array([np.bincount(given.accounts[rows], error[rows], size) for error in errors])
        for rows in (positive, ~positive)
    )
    few_up, few_down, few = (
        _few(len(np.unique(accounts)))
        for accounts in (given.accounts[positive], given.accounts[~positive], given.names)
    )
    crossed = few * up @ down.T / (m * n)
    return Areas(areas, few_up * up @ up.T / m**2 + few_down * down @ down.T / n**2 + crossed + crossed.T)


def delong_test(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"] | None = None,
    *,
    where: Bool[np.ndarray, " N"] | None = None,
) -> Tested:
    """Whether the AUCs of two scores on the same samples differ.

    Args:
        first: ``[N]`` one score, higher for likelier.
        second: ``[N]`` the other.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account; None if samples are independent.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        Both areas, their difference, its deviation and p; p is 1 where the deviation is 0 and they are equal.

    Raises:
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.delong import delong_test
        >>> first, second = np.array([0.1, 0.4, 0.3, 0.8]), np.array([0.3, 0.1, 0.2, 0.4])
        >>> delong_test(first, second, np.array([0, 0, 1, 1]))
        Tested(first=0.75, second=0.75, difference=0.0, deviation=0.5, p=1.0)

    Source: DeLong, DeLong and Clarke-Pearson (1988); of accounts, Obuchowski (1997).
    """
    from scipy.special import ndtr

    if np.shape(first) != np.shape(second):
        raise DataError(f"first and second must be [N] both; got {list(np.shape(first))} and {list(np.shape(second))}.")
    areas, covariance = delong(np.stack([first, second]), labels, accounts, where=where)
    apart = float(areas[0] - areas[1])
    deviation = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    if deviation:  # also where it is not known
        p = float(2 * ndtr(-abs(apart) / deviation))
    else:
        p = 1.0 if apart == 0 else 0.0
    return Tested(float(areas[0]), float(areas[1]), apart, deviation, p)


def _shares(scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """How many of the other class a sample is on the right side of, as a share; ties count half."""
    shares = np.empty(len(scores))
    for mine, others in ((positive, ~positive), (~positive, positive)):
        ordered = np.sort(scores[others])
        twice = np.searchsorted(ordered, scores[mine]) + np.searchsorted(ordered, scores[mine], side="right")
        shares[mine] = twice / (2 * len(ordered))
    shares[~positive] = 1 - shares[~positive]
    return shares


def _few(accounts: int) -> float:
    """What a sum of squares over so few accounts is multiplied by."""
    return accounts / (accounts - 1) if accounts > 1 else np.nan
