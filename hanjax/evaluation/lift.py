"""How many conversions are among the best-scored accounts of a period: tiers, lift and gains, ties always shared."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hanjax.errors import ConfigError
from hanjax.evaluation.intervals import Difference, account_weights, difference, interval
from hanjax.evaluation.resampling import Samples, samples_of

TIERS = (("High", 0.1), ("Medium", 0.2))
"""Names, best first, and the share of each period's accounts that each has; what is left is called "Low"."""
REST = "Low"

Tiers = Sequence[tuple[str, float]]


def tiers(
    scores: Float[np.ndarray, " N"], periods: Shaped[np.ndarray, " N"] | None = None, shares: Tiers = TIERS
) -> Shaped[np.ndarray, " N"]:
    """The tier of each sample, among those of its period: somebody has so many calls a week.

    Equal scores get one tier, that in which the middle of their places lies, whatever the order of the rows. So a
    constant score puts everybody into the tier at half of the places, which is "Low".

    Args:
        scores: ``[N]`` higher for likelier.
        periods: ``[N]`` each sample's period; None if all are of the same one.
        shares: name and share of each tier, best first.

    Returns:
        ``[N]`` names.

    Raises:
        ConfigError: if the shares are not between 0 and 1, sum to more than 1, or names repeat.
        DataError: if the arrays do not fit together, or a score is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lift import tiers
        >>> tiers(np.array([0.9, 0.5, 0.2, 0.1]), shares=[("High", 0.25), ("Medium", 0.5)]).tolist()
        ['High', 'Medium', 'Medium', 'Low']
    """
    names, edges = _edges(shares)
    nothing = np.zeros(np.shape(scores), int)
    begin, end = _places(samples_of(scores, nothing, nothing, periods))
    return np.array(names)[np.searchsorted(edges[1:-1], np.round((begin + end) / 2, 12), side="right")]


def lift(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"] | None = None,
    *,
    where: Bool[np.ndarray, " N"] | None = None,
    shares: Tiers = TIERS,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """How much likelier a conversion is in a tier than on average: lift = rate in the tier / rate among all.

    Equal scores share the places that they take: if three accounts tie for two places of a tier, each of them is in it
    to two thirds, which is the mean over all orders. A constant score has a lift of exactly 1 in every tier.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period, within which the tiers are; None if all are of the same one.
        where: ``[N]`` the samples that count; None for all.
        shares: name and share of each tier, best first; "Low" is the rest.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a tier, best first: ``tier``, ``samples`` and ``conversions`` (with fractions where ties are shared or a
        share of a period's accounts is no whole number), ``rate``, ``lift``, ``low`` and ``high``. The interval is that
        of the tier's share of the conversions, over resampled accounts that stay in their tiers. NaN where the tier is
        empty or nobody converts.

    Raises:
        ConfigError: if the shares are not between 0 and 1, sum to more than 1, or names repeat.
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lift import lift
        >>> scores, labels = np.arange(40) / 40, (np.arange(40) % 4 == 3) & (np.arange(40) > 15)
        >>> lift(scores, labels, np.arange(40), resamples=200).round(2)
             tier  samples  conversions  rate  lift   low  high
        0    High      4.0          1.0  0.25  1.67  0.28  5.85
        1  Medium      8.0          2.0  0.25  1.67  0.49  3.48
        2     Low     28.0          3.0  0.11  0.71  0.27  1.16
    """
    given = samples_of(scores, labels, accounts, periods, where=where)
    weights = account_weights(len(given.names), resamples=resamples, seed=seed)
    rows = [
        [one.name, one.samples, one.conversions, one.conversions / one.samples if one.samples else np.nan,
         one.lift, one.low, one.high]
        for one in tier_lifts(given, weights, shares=shares, level=level)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["tier", "samples", "conversions", "rate", "lift", "low", "high"])


class TierLift(NamedTuple):
    """The lift of one tier.

    Args:
        name: of the tier.
        samples: in it, with fractions where ties are shared.
        conversions: among them.
        lift: rate in the tier / rate among all; NaN where the tier is empty or nobody converts, like the rest.
        low: lower end of its interval.
        high: upper end.
        resampled: ``[R]`` the lift under each weighting of the accounts, which stay in their tiers.
    """

    name: str
    samples: float
    conversions: float
    lift: float
    low: float
    high: float
    resampled: Float[np.ndarray, " R"]


def tier_lifts(
    given: Samples, weights: Float[np.ndarray, "R A"], *, shares: Tiers = TIERS, level: float = 0.95
) -> list[TierLift]:
    """The lift of every tier, under weightings of the accounts that the caller chooses; see ``lift``.

    Args:
        given: the samples, with their periods.
        weights: ``[R, A]`` how much each account counts.
        shares: name and share of each tier, best first.
        level: of the intervals.

    Returns:
        One a tier, best first.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lift import tier_lifts
        >>> from hanjax.evaluation.resampling import samples_of
        >>> given = samples_of([0.9, 0.5, 0.2, 0.1], [1, 0, 0, 0], [0, 1, 2, 3])
        >>> tier_lifts(given, np.ones((2, 4)), shares=[("Top", 0.25)])[0].resampled.tolist()
        [4.0, 4.0]
    """
    names, edges = _edges(shares)
    begin, end = _places(given)
    n, total = len(given.labels), int(given.labels.sum())
    drawn = weights @ np.bincount(given.accounts, given.labels, len(given.names))
    found = []
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        inside = np.maximum(np.minimum(end, high) - np.maximum(begin, low), 0) / (end - begin)
        samples, conversions = inside.sum(), (inside * given.labels).sum()
        if not samples or not total:
            nothing = np.full(len(weights), np.nan)
            found.append(TierLift(name, samples, conversions, np.nan, np.nan, np.nan, nothing))
            continue
        # Whole numbers, weighed only then: where everybody ties, the sums are 0 to the bit.
        values, of_value = np.unique(inside, return_inverse=True)
        excess = values @ np.bincount(of_value, n * given.labels - total)
        mine = weights @ np.bincount(given.accounts, inside * given.labels, len(given.names))
        captured = np.divide(mine, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)
        share = interval(
            min(conversions / total, 1.0), captured, level=level, positives=given.carriers, measure="share"
        )
        # How many a resample has in the tier is chance that tiers of a fixed share do not have: rates, so, not shares.
        size, everybody = (weights @ np.bincount(given.accounts, x, len(given.names)) for x in (inside, None))
        with np.errstate(invalid="ignore", divide="ignore"):  # nobody in the tier, or no conversion
            resampled = captured * everybody / size
        scale = n / samples
        value = float(1 + excess / (total * samples))
        found.append(TierLift(name, samples, conversions, value, share.low * scale, share.high * scale, resampled))
    return found


class LiftDifference(NamedTuple):
    """How much more of the conversions one score has in its top tier than another.

    Args:
        first: lift of the first score's top tier.
        second: that of the second's.
        difference: the first less the second, with its interval.
    """

    first: float
    second: float
    difference: Difference


def lift_difference(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"] | None = None,
    *,
    where: Bool[np.ndarray, " N"] | None = None,
    share: float = TIERS[0][1],
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> LiftDifference:
    """The difference of two scores' lift in the top tier, under the same resampled accounts, which stay in their tiers.

    Args:
        first: ``[N]`` one score, higher for likelier.
        second: ``[N]`` the other.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period, within which the tiers are; None if all are of the same one.
        where: ``[N]`` the samples that count; None for all.
        share: of each period's samples that the top tier has.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the interval.

    Returns:
        Both lifts, and their difference; NaN where nobody converts.

    Raises:
        ConfigError: if the share is not between 0 and 1.
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lift import lift_difference
        >>> labels = np.arange(40) >= 30
        >>> found = lift_difference(np.arange(40), np.arange(40) % 20, labels, np.arange(40), share=0.25)
        >>> round(found.first, 2), round(found.second, 2), round(found.difference.p, 2)
        (4.0, 2.0, 0.18)
    """
    given = [samples_of(scores, labels, accounts, periods, where=where) for scores in (first, second)]
    weights = account_weights(len(given[0].names), resamples=resamples, seed=seed)
    one, other = (tier_lifts(samples, weights, shares=[("top", share)])[0] for samples in given)
    drawn = one.resampled - other.resampled
    found = difference(one.lift - other.lift, drawn, level=level, positives=given[0].carriers)
    return LiftDifference(one.lift, other.lift, found)


def gains(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    *,
    where: Bool[np.ndarray, " N"] | None = None,
) -> pd.DataFrame:
    """What contacting the best-scored samples finds, for every number of them; the mean over all orders of ties.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        One row for each k in 1..N: ``contacted`` (k), ``share`` (of the samples), ``conversions`` found, ``captured``
        (their share of all conversions), ``precision`` and ``lift``; NaN for what is not defined without a conversion.

    Raises:
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lift import gains
        >>> gains(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 0, 1, 0]))
           contacted  share  conversions  captured  precision      lift
        0          1   0.25          1.0      0.50   1.000000  2.000000
        1          2   0.50          1.5      0.75   0.750000  1.500000
        2          3   0.75          2.0      1.00   0.666667  1.333333
        3          4   1.00          2.0      1.00   0.500000  1.000000
    """
    given = _of_one_account(scores, labels, where)
    n, total = len(given.labels), int(given.labels.sum())
    contacted = np.arange(1, n + 1)
    found, excess = _found(given, contacted)
    nothing = np.full(n, np.nan)
    return pd.DataFrame(
        {
            "contacted": contacted,
            "share": contacted / n,
            "conversions": found,
            "captured": found / total if total else nothing,
            "precision": found / contacted,
            "lift": 1 + excess / (contacted * total) if total else nothing,
        }
    )


def capture_at(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    *,
    contacted: float | None = None,
    share: float | None = None,
    where: Bool[np.ndarray, " N"] | None = None,
) -> float:
    """The share of all conversions that contacting the best-scored samples finds; the mean over all orders of ties.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        contacted: how many samples; or
        share: which share of them.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        The share, NaN where nobody converts.

    Raises:
        ConfigError: if not just one of ``contacted`` and ``share`` is given, or it is outside 0..N or 0..1.
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lift import capture_at
        >>> scores, labels = np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 0, 1, 0])
        >>> capture_at(scores, labels, contacted=2), capture_at(scores, labels, share=0.75)
        (0.75, 1.0)
    """
    given = _of_one_account(scores, labels, where)
    n, total = len(given.labels), int(given.labels.sum())
    if (contacted is None) == (share is None):
        raise ConfigError("contacted and share: give one of them.")
    wanted = contacted if share is None else share * n
    if wanted is None or not 0 <= wanted <= n:
        raise ConfigError(f"contacted and share: expected 0..{n} or 0..1, got {contacted if share is None else share}.")
    return float(_found(given, np.array([wanted]))[0][0] / total) if total else float("nan")


def _edges(shares: Tiers) -> tuple[list[str], Float[np.ndarray, " T"]]:
    """Names of all tiers, and the places at which they begin and end, as shares."""
    names, sizes = [name for name, _ in shares], [size for _, size in shares]
    edges = np.round(np.cumsum([0.0, *sizes]), 12)
    if not sizes or min(sizes) <= 0 or edges[-1] > 1:
        raise ConfigError(f"shares: expected shares above 0 that sum to 1 at most, got {sizes}.")
    if edges[-1] < 1:
        names, edges = [*names, REST], np.append(edges, 1.0)
    if len(set(names)) < len(names):
        raise ConfigError(f"shares: names repeat: {', '.join(names)}.")
    return names, edges


def _places(given: Samples) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Where the places of each sample and its equals begin and end in its period, from 0, the best, to 1."""
    by_period = pd.Series(given.scores).groupby(given.periods)
    size = by_period.transform("size").to_numpy()
    begin = by_period.rank(method="min", ascending=False).to_numpy() - 1
    return begin / size, by_period.rank(method="max", ascending=False).to_numpy() / size


def _found(given: Samples, contacted: Shaped[np.ndarray, " k"]) -> tuple[Float[np.ndarray, " k"], ...]:
    """Conversions among so many of the best, and N times what they are more than by chance, exactly 0 where all tie."""
    n, total = len(given.labels), int(given.labels.sum())
    _, group = np.unique(-given.scores, return_inverse=True)
    size, hits = np.bincount(group), np.bincount(group, given.labels).astype(np.int64)
    end, hits_end = np.cumsum(size), np.cumsum(hits)
    here = np.minimum(np.searchsorted(end, contacted), max(len(end) - 1, 0))
    before, hits_before, size, hits = (end - size)[here], (hits_end - hits)[here], size[here], hits[here]
    into = (contacted - before) / size
    excess = n * hits_before - total * before + into * (n * hits - total * size)
    return hits_before + into * hits, excess


def _of_one_account(scores: Any, labels: Any, where: Any) -> Samples:
    return samples_of(scores, labels, np.zeros(np.shape(labels), int), where=where)
