"""How sure a measure is: intervals and differences by resampling accounts, whose samples are not independent.

Where the truth is known, with 13 conversions among 381 accounts, the percentiles of the resamples hold an AUC only 85
to 89 times out of 100 at a level of 95 %, and tell two equally good models apart 8 to 11 times. So the intervals here
have shapes that were chosen by ``benchmarks/coverage.py``. In its three settings of that size, with 1,000 test sets
each, they hold the AUC 93 to 97 times, its mean over periods 93 to 97, average precision 96 to 97, log-loss 94 to 95,
the Brier score 95 to 96, the lift of the best tenth 94 to 96, a difference of two AUCs 93 to 96; two models with equal
AUCs are told apart 3 to 6 times. Differences of average precision, with 92 to 96, and above all of Brier scores, with
86 to 89, are surer than they should be if the models are not equally good. With 100 conversions among 2,000 accounts,
everything holds 93 to 96 times.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.calibration import probability
from hanjax.evaluation.metrics import auc
from hanjax.evaluation.resampling import samples_of, weighed_samples

_PAIRS = 8_000_000
"""Pairs of samples compared at a time; bounds the memory."""
_MANY = 10**9
"""So many positive accounts that their number plays no part."""
_AREAS, _LOSSES = ("auc", "auc_period_mean"), ("log_loss", "brier")


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
        p: two-sided: how often the difference would be as far from 0 by chance.
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
    if not accounts:
        return np.zeros((resamples, 0))
    drawn = np.random.default_rng(seed).multinomial(accounts, np.full(accounts, 1 / accounts), size=resamples)
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
    given = weighed_samples(scores, labels, accounts, weights=weights)
    order = np.argsort(given.accounts, kind="stable")
    scores, labels, accounts = given.scores[order], given.labels[order], given.accounts[order]
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

    A period weighs as its positive samples do, against what they weigh when all accounts count once: then all periods
    weigh the same. If each period had the same weight in every resample, too, one with a single conversion would count
    no more where this is drawn twice, and the deviation would come out by a quarter too small.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account, as a column of ``weights``.
        periods: ``[N]`` each sample's period.
        weights: ``[R, A]`` how much each account counts.

    Returns:
        ``[R]`` weighted means over the periods in which both classes have weight, NaN where there is none.

    Raises:
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import resampled_period_auc
        >>> scores, labels, accounts = np.array([0.9, 0.2, 0.1]), np.array([1, 0, 0]), np.arange(3)
        >>> resampled_period_auc(scores, labels, accounts, np.array([4, 4, 5]), np.ones((1, 3))).tolist()
        [1.0]
    """
    scores, labels, accounts, periods, _ = weighed_samples(scores, labels, accounts, periods, weights=weights)
    total, used = np.zeros(len(weights)), np.zeros(len(weights))
    for period in np.unique(periods[labels == 1]):
        rows = periods == period
        area = resampled_auc(scores[rows], labels[rows], accounts[rows], weights)
        positive = np.bincount(accounts[rows], labels[rows], weights.shape[1])
        counts = np.where(np.isnan(area), 0, weights @ positive / positive.sum())
        total, used = total + counts * np.nan_to_num(area), used + counts
    return np.divide(total, used, out=np.full(len(weights), np.nan), where=used > 0)


def interval(
    value: float,
    resampled: Float[np.ndarray, " r"],
    *,
    level: float = 0.95,
    positives: int | None = None,
    measure: str = "auc",
) -> Interval:
    """The interval of a measure, from its deviation over resamples, in the shape that fits the measure.

    With v the value, d the deviation, m the accounts with positive samples, z the quantile of the normal distribution
    and q that of Student's with m - 1 degrees of freedom:

    * an area ("auc", "auc_period_mean", or another share of pairs in order): log-odds(v) +- q s / (v (1 - v)) in
      log-odds, where s^2 = ((m - 1) d^2 + v (1 - v) / 2m) / (m - 1/2), as if half an account more had been all or
      nothing: a few positives that all happen to be ranked high look surer than they are;
    * "average_precision": on each side the wider one of that with s = d, and of the resamples' quantiles at the level
      that t asks for, Phi(-q sqrt(m / (m - 1)));
    * "log_loss" and "brier": v exp(+- z d / v);
    * "share" of the conversions: Wilson's, from v (1 - v) / d^2 m / (m - 1) of them; from m where v is 0 or 1.

    Args:
        value: the measure itself.
        resampled: ``[R]`` the measure on each resample; NaN where it is not defined.
        level: how often the interval is to hold the truth.
        positives: m, how many accounts have a sample of the rarer class; None for very many. Without it, an interval
            from less than some dozens is too narrow.
        measure: one of the names above.

    Returns:
        The measure with its interval, which is NaN where fewer than two resamples have it, or m is below 2.

    Raises:
        ConfigError: if the measure is unknown.
        DataError: if the value is outside 0..1, or of a loss below 0.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import interval
        >>> resampled = np.random.default_rng(0).normal(0.8, 0.05, size=1000)
        >>> found = interval(0.8, resampled), interval(0.8, resampled, positives=13)
        >>> [(round(one.low, 2), round(one.high, 2)) for one in found]
        [(0.69, 0.88), (0.66, 0.89)]

    Source: Wilson (1927); Hesterberg (2015), What teachers should know about the bootstrap, for the quantiles' level.
        Which shape holds the truth as often as it says was measured, by ``benchmarks/coverage.py``.
    """
    if measure not in (names := (*_AREAS, "average_precision", *_LOSSES, "share")):
        raise ConfigError(f"measure: {measure!r} is unknown; there are {', '.join(names)}.")
    if value < 0 or (value > 1 and measure not in _LOSSES):
        raise DataError(f"value: {value} cannot be of the measure {measure!r}.")
    defined, m = resampled[~np.isnan(resampled)], _MANY if positives is None else positives
    if np.isnan(value) or len(defined) < 2 or m < 2:
        return Interval(float(value), np.nan, np.nan, np.nan, len(defined))
    deviation = float(defined.std(ddof=1))
    low, high = _ends(measure, value, deviation, defined, m, level)
    return Interval(float(value), float(low), float(high), deviation, len(defined))


def _ends(
    measure: str, value: float, deviation: float, defined: np.ndarray, m: int, level: float
) -> tuple[float, float]:
    """Both ends of an interval."""
    from scipy.special import ndtr, stdtrit

    normal, student = stdtrit([_MANY, m - 1], (1 + level) / 2)
    if measure in _LOSSES:
        factor = np.exp(normal * deviation / value) if value else 1.0
        return value / factor, value * factor
    whole = value * (1 - value)
    if measure == "share" or not whole:
        n = whole / deviation**2 * m / (m - 1) if whole and deviation else m
        middle, half = value + normal**2 / (2 * n), normal * np.sqrt(whole / n + (normal / (2 * n)) ** 2)
        return (middle - half) / (1 + normal**2 / n), (middle + half) / (1 + normal**2 / n)
    variance = deviation**2
    if measure in _AREAS:
        variance = ((m - 1) * variance + whole / (2 * m)) / (m - 0.5)
    half = student * np.sqrt(variance) / whole
    low, high = probability(np.log(value) - np.log1p(-value) + np.array([-half, half]))
    if measure == "average_precision":
        tail = ndtr(-student * np.sqrt(m / (m - 1)))
        lowest, highest = np.quantile(defined, [tail, 1 - tail])
        low, high = min(low, lowest), max(high, highest)
    return low, high


def difference(
    value: float, resampled: Float[np.ndarray, " r"], *, level: float = 0.95, positives: int | None = None
) -> Difference:
    """The interval of a difference, v +- q d, and a two-sided p: Student's, with d the deviation over resamples.

    Args:
        value: v, the difference itself.
        resampled: ``[R]`` the difference on each resample; NaN where it is not defined.
        level: how often the interval is to hold the truth.
        positives: m, how many accounts have a sample of the rarer class, for m - 1 degrees of freedom; None for very
            many. Without it, what less than some dozens tell is taken for too sure.

    Returns:
        The difference with its interval and p; where all resamples are equal, p is 1 if there is no difference, and
        otherwise as if one resample more had none. NaN where fewer than two resamples have it, or m is below 2.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import difference
        >>> resampled = np.random.default_rng(0).normal(0.1, 0.05, size=1000)
        >>> [round(difference(0.1, resampled, positives=m).p, 2) for m in (None, 13)]
        [0.04, 0.06]
    """
    from scipy.special import stdtr, stdtrit

    defined, m = resampled[~np.isnan(resampled)], _MANY if positives is None else positives
    if np.isnan(value) or len(defined) < 2 or m < 2:
        return Difference(float(value), np.nan, np.nan, np.nan, np.nan, len(defined))
    deviation = float(defined.std(ddof=1))
    half = float(stdtrit(m - 1, (1 + level) / 2)) * deviation
    if np.ptp(defined) == 0:
        p = 1.0 if value == 0 else 2 / (len(defined) + 1)
    else:
        p = float(2 * stdtr(m - 1, -abs(value) / deviation))
    return Difference(float(value), float(value - half), float(value + half), p, deviation, len(defined))


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
        The area and its interval.

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
    given = samples_of(scores, labels, accounts)
    weights = account_weights(len(given.names), resamples=resamples, seed=seed)
    resampled = resampled_auc(given.scores, given.labels, given.accounts, weights)
    return interval(float(auc(given.scores, given.labels)), resampled, level=level, positives=given.carriers)


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
        The difference, its interval and a two-sided p.

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
    given = samples_of(np.stack([first, second]), labels, accounts)
    weights = account_weights(len(given.names), resamples=resamples, seed=seed)
    areas = [resampled_auc(scores, given.labels, given.accounts, weights) for scores in given.scores]
    value = float(auc(given.scores[0], given.labels)) - float(auc(given.scores[1], given.labels))
    return difference(value, areas[0] - areas[1], level=level, positives=given.carriers)
