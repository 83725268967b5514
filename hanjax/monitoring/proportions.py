"""Two groups, two rates: their difference and their ratio with intervals that hold for few successes, and sizes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hanjax.errors import ConfigError, DataError

_FAR = 1e12
"""A ratio beyond all that is looked for."""


class Estimate(NamedTuple):
    """A figure and its interval.

    Args:
        value: the figure.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


class Proportions(NamedTuple):
    """Two rates and how they differ; the first group is the one that was given priority.

    Args:
        rates: of both groups.
        difference: the first less the second.
        ratio: the first over the second.
        p: two-sided, by the score test.
        p_exact: two-sided, by Fisher's exact test; NaN where counts are no whole numbers.
    """

    rates: tuple[float, float]
    difference: Estimate
    ratio: Estimate
    p: float
    p_exact: float


class Sizes(NamedTuple):
    """How many are needed.

    Args:
        first: in the group that is given priority.
        second: in the other one.
    """

    first: int
    second: int


def two_proportions(
    successes: tuple[float, float], totals: tuple[float, float], *, level: float = 0.95, method: str = "newcombe"
) -> Proportions:
    """Compares the rates of two groups.

    The interval of the difference is Newcombe's, from Wilson's score intervals [l, u] of both rates,
    d - sqrt((r1 - l1)^2 + (u2 - r2)^2) to d + sqrt((u1 - r1)^2 + (r2 - l2)^2), or the one of all differences that the
    score test of Miettinen and Nurminen does not reject. That of the ratio is always of the latter kind.

    Args:
        successes: of the group that was given priority, and of the other one; fractions are fine.
        totals: of both groups.
        level: of the intervals.
        method: "newcombe" or "score", for the difference.

    Returns:
        The rates, their difference and ratio, and p.

    Raises:
        ConfigError: if the method is unknown or the level is none.
        DataError: if a group is empty, or successes are negative or more than the total.

    Example:
        >>> from hanjax.monitoring.proportions import two_proportions
        >>> found = two_proportions((120, 80), (400, 400))
        >>> [round(value, 3) for value in found.difference], [round(value, 2) for value in found.ratio]
        ([0.1, 0.04, 0.159], [1.5, 1.17, 1.92])

    Source: Newcombe (1998), method 10; Miettinen and Nurminen (1985), Comparative analysis of two rates.
    """
    if method not in ("newcombe", "score"):
        raise ConfigError(f"method: expected 'newcombe' or 'score', got {method!r}.")
    if not 0 < level < 1:
        raise ConfigError(f"level: expected a number between 0 and 1, got {level}.")
    hits, sizes = (tuple(map(float, pair)) for pair in (successes, totals))
    if not all(size > 0 and 0 <= hit <= size for hit, size in zip(hits, sizes, strict=True)):
        raise DataError(
            f"successes and totals: expected 0 <= successes <= totals, and totals > 0; got {hits}, {sizes}."
        )
    normal = _normal((1 + level) / 2)
    first, second = hits[0] / sizes[0], hits[1] / sizes[1]
    apart = lambda delta: _difference_score(hits, sizes, delta)
    if method == "newcombe":
        (low1, high1), (low2, high2) = (_wilson(hit, size, normal) for hit, size in zip(hits, sizes, strict=True))
        low = first - second - np.hypot(first - low1, high2 - second)
        high = first - second + np.hypot(high1 - first, second - low2)
    else:
        low, high = (_crossing(apart, first - second, end, normal) for end in (-1.0, 1.0))
    value = first / second if second else np.inf if first else np.nan
    of_log = lambda log: _ratio_score(hits, sizes, float(np.exp(log)))
    around = float(np.log(value)) if 0 < value < np.inf else 0.0
    ends = [0.0, np.inf]
    if first:
        ends[0] = float(np.exp(_crossing(of_log, around if second else np.log(_FAR), -np.log(_FAR), normal)))
    if second:
        ends[1] = float(np.exp(_crossing(of_log, around if first else -np.log(_FAR), np.log(_FAR), normal)))
    return Proportions(
        (first, second),
        Estimate(first - second, float(low), float(high)),
        Estimate(float(value), *ends),
        2 * _cumulative(-abs(apart(0.0))),
        _fisher(hits, sizes),
    )


def required_sample(
    base_rate: float, lift: float, *, power: float = 0.8, alpha: float = 0.05, ratio: float = 1.0, spread: float = 1.0
) -> Sizes:
    """How many it takes to show a lift, by the two-sided test of two proportions.

    n2 = spread (z_alpha sqrt(r (1 - r) (1 + 1/k)) + z_power sqrt(r1 (1 - r1) / k + r2 (1 - r2)))^2 / (r1 - r2)^2,
    n1 = k n2, with r the rate of both groups together

    Args:
        base_rate: r2, of those without priority.
        lift: r1 / r2, such as 1.22 for 22 % more.
        power: how often the difference is to be shown.
        alpha: how often one may be shown that is not there.
        ratio: k, how many get priority for each that does not.
        spread: by how much more rates vary than they would if all were independent, such as those of e-mails to few
            accounts; 1 if they are.

    Returns:
        The sizes of both groups.

    Raises:
        ConfigError: if a number cannot work, such as a lift of 1, which no sample shows.

    Example:
        >>> from hanjax.monitoring.proportions import required_sample
        >>> required_sample(0.2, 1.265)  # a win rate of 20 % that rises by 5.3 points
        Sizes(first=978, second=978)

    Source: Fleiss, Levin and Paik (2003), Statistical methods for rates and proportions, chapter 4.
    """
    first = _lifted(base_rate, lift)
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}: expected a number between 0 and 1, got {value}.")
    if not ratio > 0 or not spread > 0:
        raise ConfigError(f"ratio and spread: expected more than 0, got {ratio} and {spread}.")
    together, alone = _deviations(first, base_rate, ratio)
    size = ((_normal(1 - alpha / 2) * together + _normal(power) * alone) / (first - base_rate)) ** 2 * spread
    return Sizes(int(np.ceil(ratio * size)), int(np.ceil(size)))


def power_of(
    base_rate: float, lift: float, first: float, second: float, *, alpha: float = 0.05, spread: float = 1.0
) -> float:
    """How often groups of given sizes would show a lift.

    Args:
        base_rate: of those without priority.
        lift: the rate of those with it, over that.
        first: how many get priority.
        second: how many do not.
        alpha: how often a difference may be shown that is not there.
        spread: as for ``required_sample``.

    Returns:
        The power, of the two-sided test in the lift's direction.

    Raises:
        ConfigError: if a number cannot work.

    Example:
        >>> from hanjax.monitoring.proportions import power_of
        >>> round(power_of(0.2, 1.265, 978, 978), 2)
        0.8
    """
    rate = _lifted(base_rate, lift)
    if not min(first, second) > 0 or not spread > 0 or not 0 < alpha < 1:
        raise ConfigError(f"first, second, spread, alpha: cannot work with {first}, {second}, {spread}, {alpha}.")
    together, alone = _deviations(rate, base_rate, first / second)
    apart = abs(rate - base_rate) * np.sqrt(second / spread)
    return _cumulative((apart - _normal(1 - alpha / 2) * together) / alone)


def _lifted(base_rate: float, lift: float) -> float:
    if not 0 < base_rate < 1 or not 0 < base_rate * lift < 1 or lift == 1:
        raise ConfigError(
            f"base_rate, lift: expected rates between 0 and 1 that differ, got {base_rate} and {lift} times that."
        )
    return base_rate * lift


def _deviations(first: float, second: float, k: float) -> tuple[float, float]:
    """Deviation of the difference times sqrt(n2): if both rates are one, and as they are."""
    pooled = (k * first + second) / (k + 1)
    alone = np.sqrt(first * (1 - first) / k + second * (1 - second))
    return float(np.sqrt(pooled * (1 - pooled) * (1 + 1 / k))), float(alone)


def _wilson(hits: float, size: float, normal: float) -> tuple[float, float]:
    rate = hits / size
    middle, half = (
        rate + normal**2 / (2 * size),
        normal * np.sqrt(rate * (1 - rate) / size + (normal / (2 * size)) ** 2),
    )
    return float((middle - half) / (1 + normal**2 / size)), float((middle + half) / (1 + normal**2 / size))


def _difference_score(hits: tuple[float, ...], sizes: tuple[float, ...], delta: float) -> float:
    """How far the difference is from delta, in deviations if delta were true."""
    (x1, x2), (n1, n2), both = hits, sizes, sum(sizes)
    cubic = [both, (n1 + 2 * n2) * delta - both - x1 - x2, (n2 * delta - both - 2 * x2) * delta + x1 + x2]
    square, linear, constant = cubic[1] / both, cubic[2] / both, x2 * delta * (1 - delta) / both
    q = square**3 / 27 - square * linear / 6 + constant / 2
    p = np.copysign(np.sqrt(max(square**2 / 9 - linear / 3, 0.0)), q)
    angle = (np.pi + np.arccos(np.clip(q / p**3, -1, 1))) / 3 if p else np.pi / 2
    second = float(np.clip(2 * p * np.cos(angle) - square / 3, max(0.0, -delta), min(1.0, 1 - delta)))
    first = second + delta
    variance = (first * (1 - first) / n1 + second * (1 - second) / n2) * both / max(both - 1, 1)
    return _standardized(x1 / n1 - x2 / n2 - delta, variance)


def _ratio_score(hits: tuple[float, ...], sizes: tuple[float, ...], ratio: float) -> float:
    """How far the ratio is from another one, in deviations if that were true."""
    (x1, x2), (n1, n2), both = hits, sizes, sum(sizes)
    a, b, c = both * ratio, -(n1 * ratio + x1 + n2 + x2 * ratio), x1 + x2
    second = float(2 * c / (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))))  # the smaller root, without cancellation
    first = min(ratio * second, 1.0)
    variance = (first * (1 - first) / n1 + ratio**2 * second * (1 - second) / n2) * both / max(both - 1, 1)
    return _standardized(x1 / n1 - ratio * x2 / n2, variance)


def _standardized(apart: float, variance: float) -> float:
    if variance > 0:
        return float(apart / np.sqrt(variance))
    return 0.0 if abs(apart) < 1e-15 else float(np.copysign(np.inf, apart))


def _crossing(score: Callable[[float], float], inside: float, outside: float, normal: float) -> float:
    """Where the score, falling, leaves -normal .. normal between a point inside and one outside."""
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(score(middle)) <= normal:
            inside = middle
        else:
            outside = middle
    return inside


def _fisher(hits: tuple[float, ...], sizes: tuple[float, ...]) -> float:
    if not all(value.is_integer() for value in (*hits, *sizes)):
        return float("nan")
    from scipy.stats import fisher_exact

    table = [[int(hit), int(size - hit)] for hit, size in zip(hits, sizes, strict=True)]
    return float(fisher_exact(table).pvalue)  # pyright: ignore


def _normal(p: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(p))


def _cumulative(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(z))
