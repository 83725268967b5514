"""How sure a measure is: intervals and differences by resampling accounts, whose samples are not independent."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from hanjax.errors import DataError
from hanjax.evaluation.metrics import auc

_PAIRS = 8_000_000
"""Pairs of samples compared at a time; bounds the memory."""


class Interval(NamedTuple):
    """A measure and how far it could have been off.

    Args:
        value: the measure, on all accounts as they are.
        low: lower end of the interval.
        high: upper end.
        deviation: standard deviation over the resamples.
        resamples: how many of them had the measure defined.
    """

    value: float
    low: float
    high: float
    deviation: float
    resamples: int


class Difference(NamedTuple):
    """The difference of two measures on the same accounts.

    Args:
        value: the first less the second.
        low: lower end of the interval.
        high: upper end.
        p: two-sided: how often, at most, resampling alone turns the sign.
        deviation: standard deviation over the resamples.
        resamples: how many of them had both measures defined.
    """

    value: float
    low: float
    high: float
    p: float
    deviation: float
    resamples: int


def account_weights(accounts: int, *, resamples: int = 2000, seed: int = 0) -> Float[np.ndarray, "r a"]:
    """How often each account is drawn when as many accounts as there are get drawn with replacement.

    Args:
        accounts: how many there are.
        resamples: how many times they are drawn.
        seed: the same one gives the same draws; use it for all that is to be compared.

    Returns:
        ``[R, A]`` counts, each row summing to the number of accounts.

    Example:
        >>> from hanjax.evaluation.intervals import account_weights
        >>> account_weights(5, resamples=3).sum(axis=1).tolist()
        [5.0, 5.0, 5.0]

    Source: Efron (1979), the bootstrap; the account is what is drawn, as its samples depend on each other.
    """
    drawn = np.random.default_rng(seed).multinomial(accounts, np.full(accounts, 1 / max(accounts, 1)), size=resamples)
    return drawn.astype(np.float64)


def resampled_auc(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, "r a"],
) -> Float[np.ndarray, " r"]:
    """The AUC under each of many weightings of the accounts, all at once.

    With G[a, b] = sum over positives i of a and negatives j of b of [s_i > s_j] + [s_i = s_j] / 2, and n+ and n- the
    accounts' numbers of positives and negatives, the area under weights w is (w G w) / ((w n+) (w n-)): samples are
    compared once, whatever the number of resamples.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account, as a column of ``weights``.
        weights: ``[R, A]`` how much each account counts.

    Returns:
        ``[R]`` areas, NaN where one class has no weight.

    Raises:
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import resampled_auc
        >>> once_and_twice = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0]])
        >>> resampled_auc(np.array([0.9, 0.2, 0.95]), np.array([1, 0, 0]), np.array([0, 1, 2]), once_and_twice).tolist()
        [0.5, 1.0]
    """
    scores, labels, accounts = _checked(scores, labels, accounts, weights)
    order = np.argsort(accounts, kind="stable")
    scores, labels, accounts = scores[order], labels[order], accounts[order]
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    if not len(positive) or not len(negative):
        return np.full(len(weights), np.nan)
    winners, of_winner, n_positive = np.unique(accounts[positive], return_index=True, return_counts=True)
    losers, of_loser, n_negative = np.unique(accounts[negative], return_index=True, return_counts=True)
    beaten = scores[negative]
    wins = np.zeros((len(positive), len(losers)))
    step = max(_PAIRS // len(negative), 1)
    for begin in range(0, len(positive), step):
        mine = scores[positive[begin : begin + step], None]
        won = (mine > beaten) + 0.5 * (mine == beaten)
        wins[begin : begin + step] = np.add.reduceat(won, of_loser, axis=1)
    pairs = np.add.reduceat(wins, of_winner, axis=0)
    up, down = weights[:, winners], weights[:, losers]
    total = (up @ n_positive) * (down @ n_negative)
    return np.divide(((up @ pairs) * down).sum(axis=1), total, out=np.full(len(weights), np.nan), where=total > 0)


def resampled_period_auc(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Int[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"],
    weights: Float[np.ndarray, "r a"],
) -> Float[np.ndarray, " r"]:
    """The mean over periods of the AUC within each, under each of many weightings of the accounts.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account, as a column of ``weights``.
        periods: ``[N]`` each sample's period.
        weights: ``[R, A]`` how much each account counts.

    Returns:
        ``[R]`` means over the periods in which both classes have weight, NaN where there is none.

    Raises:
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import resampled_period_auc
        >>> scores, labels, accounts = np.array([0.9, 0.2, 0.1]), np.array([1, 0, 0]), np.arange(3)
        >>> resampled_period_auc(scores, labels, accounts, np.array([4, 4, 5]), np.ones((1, 3))).tolist()
        [1.0]
    """
    scores, labels, accounts = _checked(scores, labels, accounts, weights)
    periods = np.asarray(periods)
    total, used = np.zeros(len(weights)), np.zeros(len(weights))
    for period in np.unique(periods[labels == 1]):
        rows = periods == period
        area = resampled_auc(scores[rows], labels[rows], accounts[rows], weights)
        total, used = total + np.nan_to_num(area), used + ~np.isnan(area)
    return np.divide(total, used, out=np.full(len(weights), np.nan), where=used > 0)


def interval(value: float, resampled: Float[np.ndarray, " r"], *, level: float = 0.95) -> Interval:
    """The percentile interval of a measure.

    Args:
        value: the measure itself.
        resampled: ``[R]`` the measure on each resample; NaN where it is not defined.
        level: share of the resamples that lie inside.

    Returns:
        The measure with its interval; NaN where no resample has it.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import interval
        >>> found = interval(0.5, np.linspace(0, 1, 101), level=0.5)
        >>> found.low, found.high
        (0.25, 0.75)
    """
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(value) or len(defined) < 2:
        return Interval(float(value), np.nan, np.nan, np.nan, len(defined))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), float(defined.std(ddof=1)), len(defined))


def difference(value: float, resampled: Float[np.ndarray, " r"], *, level: float = 0.95) -> Difference:
    """The percentile interval of a difference, and a two-sided p.

    Args:
        value: the difference itself.
        resampled: ``[R]`` the difference on each resample; NaN where it is not defined.
        level: share of the resamples that lie inside.

    Returns:
        The difference with its interval and p: twice the smaller share of resamples on either side of 0, counting the
        data themselves as one, and 1 at most.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import difference
        >>> difference(0.1, np.full(99, 0.1)).p
        0.02
    """
    found = interval(value, resampled, level=level)
    defined = resampled[~np.isnan(resampled)]
    p = np.nan
    if not np.isnan(found.low):
        side = min((defined <= 0).sum(), (defined >= 0).sum())
        p = float(min(2 * (side + 1) / (len(defined) + 1), 1.0))
    return Difference(found.value, found.low, found.high, p, found.deviation, found.resamples)


def auc_interval(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The AUC with its interval from resampling accounts.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account, by id or number.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the interval.

    Returns:
        The area and its percentile interval.

    Raises:
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import auc_interval
        >>> random = np.random.default_rng(0)
        >>> labels, accounts = random.integers(0, 2, 300), np.arange(300) // 3
        >>> found = auc_interval(labels + random.normal(size=300), labels, accounts, resamples=200)
        >>> found.low < found.value < found.high
        True
    """
    names, codes = np.unique(np.asarray(accounts), return_inverse=True)
    weights = account_weights(len(names), resamples=resamples, seed=seed)
    value = float(auc(np.asarray(scores), np.asarray(labels)))
    return interval(value, resampled_auc(scores, labels, codes, weights), level=level)


def paired_difference(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """How much larger the AUC of one score is than that of another on the same samples, under the same resamples.

    Args:
        first: ``[N]`` one score, higher for likelier.
        second: ``[N]`` the other.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account, by id or number.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the interval.

    Returns:
        The difference, its percentile interval and a two-sided p.

    Raises:
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import paired_difference
        >>> random = np.random.default_rng(0)
        >>> labels, accounts = random.integers(0, 2, 300), np.arange(300) // 3
        >>> score = labels + random.normal(size=300)
        >>> paired_difference(score, score, labels, accounts, resamples=100).value
        0.0
    """
    names, codes = np.unique(np.asarray(accounts), return_inverse=True)
    weights = account_weights(len(names), resamples=resamples, seed=seed)
    areas = [resampled_auc(scores, labels, codes, weights) for scores in (first, second)]
    value = float(auc(np.asarray(first), np.asarray(labels))) - float(auc(np.asarray(second), np.asarray(labels)))
    return difference(value, areas[0] - areas[1], level=level)


def _checked(
    scores: np.ndarray, labels: np.ndarray, accounts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, labels, accounts = np.asarray(scores, np.float64), np.asarray(labels), np.asarray(accounts)
    if not scores.shape == labels.shape == accounts.shape or scores.ndim != 1 or weights.ndim != 2:
        raise DataError(
            "scores, labels, accounts and weights must be [N], [N], [N] and [R, A]; got "
            f"{list(scores.shape)}, {list(labels.shape)}, {list(accounts.shape)} and {list(weights.shape)}."
        )
    if len(accounts) and (accounts.dtype.kind not in "iu" or accounts.min() < 0 or accounts.max() >= weights.shape[1]):
        raise DataError(f"accounts: expected columns of the weights, 0..{weights.shape[1] - 1}.")
    if np.isnan(scores).any() or not np.isin(labels, (0, 1)).all():
        raise DataError("scores and labels: unknown scores, or labels that are neither 0 nor 1; leave them out.")
    return scores, labels, accounts
