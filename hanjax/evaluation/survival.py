"""When an account will convert: the model as a survival model, in whole periods.

The samples (account, period) are the risk set of a discrete-time hazard model with covariates that vary over time: an
account is in it each period until it converts or is no longer watched, and the model estimates the hazard
p_t = P(converts in t | has not before). The likelihood of the waiting times is exactly that of the samples, taken for
independent outcomes (Allison 1982; Singer and Willett 1993), so that the log loss over samples is the right one.

What follows from one cut-off is a forecast under the CURRENT state: as if the account went on as it was seen to. With
one horizon the hazard is constant, S(n) = (1 - p)^n. A model trained with several horizons, 1, 4 and 13 periods for
example, has learned what usually happens next: the curve goes through its probabilities, the hazard is constant in
between, and the last stretch's is carried on. Probabilities within a longer horizon that are below those within a
shorter one, which separate outputs may give, are raised to these (``monotone``).

Periods are counted from the cut-off: 1 is the very next one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.survival_metrics import kaplan_meier, periods_to_event

Within = Float[np.ndarray, "B H"]


def monotone(within: Within) -> tuple[Within, int]:
    """Probabilities that never fall from one horizon to the next: the running maximum.

    Args:
        within: ``[B, H]`` probabilities of conversion within each horizon, the shortest first.

    Returns:
        The probabilities, and how many had to be raised.

    Raises:
        DataError: if a value is no probability.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import monotone
        >>> found, raised = monotone(np.array([[0.1, 0.3, 0.2]]))
        >>> found.tolist(), raised
        ([[0.1, 0.3, 0.3]], 1)
    """
    within = np.asarray(within, np.float64)
    wrong = ~((within >= 0) & (within <= 1))
    if within.ndim != 2 or wrong.any():
        raise DataError(
            f"within: expected probabilities [B, H], got {list(within.shape)} with {wrong.sum():,} outside 0..1 or NaN."
        )
    rising = np.maximum.accumulate(within, axis=1)
    return rising, int((rising > within).sum())


def survival_curve(within: Within, horizons: Sequence[int], periods: int) -> Float[np.ndarray, "B n"]:
    """The probability of not having converted, after each number of periods.

    log S is linear between S(0) = 1 and S(h) = 1 - P(within h) at each horizon h, and goes on like that.

    Args:
        within: ``[B, H]`` probabilities of conversion within each horizon.
        horizons: H of them, rising, in periods.
        periods: how far the curve goes.

    Returns:
        ``[B, periods + 1]`` S(0), S(1), ..., never rising.

    Raises:
        ConfigError: if the horizons or the number of periods are no such.
        DataError: if the probabilities are none, or not as many as horizons.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import survival_curve
        >>> survival_curve(np.array([[0.5, 0.875]]), (1, 3), 4).round(4).tolist()
        [[1.0, 0.5, 0.25, 0.125, 0.0625]]

    Source: Singer and Willett (1993).
    """
    if periods < 0:
        raise ConfigError(f"periods: expected 0 at least, got {periods}.")
    return np.exp(-_cumulative_hazard(within, horizons, np.arange(periods + 1)))


def converts_within(within: Within, horizons: Sequence[int], n: int) -> Float[np.ndarray, " B"]:
    """The probability of conversion within n periods: 1 - S(n), without rounding away what is tiny.

    Args:
        within: ``[B, H]`` probabilities of conversion within each horizon.
        horizons: H of them, rising, in periods.
        n: how many periods.

    Returns:
        ``[B]``; at a horizon of the model, the model's own probability.

    Raises:
        ConfigError: if the horizons or n are no such.
        DataError: if the probabilities are none, or not as many as horizons.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import converts_within
        >>> converts_within(np.array([[0.5], [0.0]]), (1,), 2).tolist()
        [0.75, 0.0]
    """
    if n < 0:
        raise ConfigError(f"n: expected 0 periods at least, got {n}.")
    return -np.expm1(-_cumulative_hazard(within, horizons, np.array([n]))[:, 0]) + 0.0  # not -0.0


def expected_periods(within: Within, horizons: Sequence[int]) -> Float[np.ndarray, " B"]:
    """The mean number of the period in which the account converts: sum over n >= 0 of S(n).

    1 means for certain in the very next period: periods begun are counted, so the wait itself is about half of one
    shorter. It is mostly a matter of the hazard after the last horizon, which nothing was learned about: with a hazard
    of h throughout it is 1 / h. The median and the interval depend on that less.

    Args:
        within: ``[B, H]`` probabilities of conversion within each horizon.
        horizons: H of them, rising, in periods.

    Returns:
        ``[B]`` 1 at least; infinite where the last hazard is 0 and the account has not surely converted before.

    Raises:
        ConfigError: if the horizons are no such.
        DataError: if the probabilities are none, or not as many as horizons.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import expected_periods
        >>> expected_periods(np.array([[0.25], [1.0], [0.0]]), (1,)).round(9).tolist()
        [4.0, 1.0, inf]
    """
    starts, rates = _stretches(within, horizons)
    survival = np.exp(-_cumulative_hazard(within, horizons, starts))  # at the beginning of each stretch
    lengths = np.append(np.diff(starts), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):  # a geometric series, and its limit without a hazard
        series = np.where(rates > 0, np.expm1(-rates * lengths) / np.expm1(-rates), lengths)
        parts = np.where(survival > 0, survival * series, 0.0)
    return parts.sum(axis=1)


def median_periods(within: Within, horizons: Sequence[int]) -> Float[np.ndarray, " B"]:
    """The first number of periods within which the account is as likely to convert as not.

    Args:
        within: ``[B, H]`` probabilities of conversion within each horizon.
        horizons: H of them, rising, in periods.

    Returns:
        ``[B]`` whole numbers, 1 at least; infinite where it never gets that likely.

    Raises:
        ConfigError: if the horizons are no such.
        DataError: if the probabilities are none, or not as many as horizons.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import median_periods
        >>> median_periods(np.array([[0.25], [0.5], [0.0]]), (1,)).tolist()
        [3.0, 1.0, inf]
    """
    return _first_period(within, horizons, 0.5)


class ConversionInterval(NamedTuple):
    """Between which periods an account is predicted to convert, both of them included.

    Args:
        earliest: ``[B]`` the first period; infinite where conversion never gets likely enough.
        latest: ``[B]`` the last one; infinite where there is no end to it.
    """

    earliest: Float[np.ndarray, " B"]
    latest: Float[np.ndarray, " B"]


def conversion_interval(within: Within, horizons: Sequence[int], *, level: float = 0.5) -> ConversionInterval:
    """The central interval of the period in which the account converts.

    From the first period within which it has converted with probability (1 - level) / 2, to the first with
    (1 + level) / 2: so it converts between them with probability ``level`` or more, as periods are whole.

    Args:
        within: ``[B, H]`` probabilities of conversion within each horizon.
        horizons: H of them, rising, in periods.
        level: the probability inside, between 0 and 1.

    Returns:
        The two periods, counted from the cut-off: 1 is the very next one.

    Raises:
        ConfigError: if the horizons or the level are no such.
        DataError: if the probabilities are none, or not as many as horizons.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import conversion_interval
        >>> found = conversion_interval(np.array([[0.1], [0.9]]), (1,))
        >>> found.earliest.tolist(), found.latest.tolist()
        ([3.0, 1.0], [14.0, 1.0])
    """
    if not 0 < level < 1:
        raise ConfigError(f"level: expected a number between 0 and 1, got {level}.")
    return ConversionInterval(*(_first_period(within, horizons, (1 + side * level) / 2) for side in (-1, 1)))


def crossing(
    scores: Float[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"],
    threshold: float,
) -> pd.DataFrame:
    """When each account's score first reaches a threshold: the alert that a user would have got.

    Args:
        scores: ``[N]`` higher for likelier.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` its period: the number, or the cut-off.
        threshold: what the score has to reach.

    Returns:
        One row an account, in order: ``account``; ``first_crossed``, the first period with the score at or above the
        threshold (missing where there is none); ``from_the_start``, whether that was the account's first sample, so
        that nobody knows when it came to be above; ``still_above``, whether the last score is.

    Raises:
        DataError: if the arrays do not fit together, or a score is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import crossing
        >>> crossing(np.array([0.1, 0.4, 0.2, 0.1]), np.array([7, 7, 7, 8]), np.array([1, 2, 3, 3]), 0.3)
           account  first_crossed  from_the_start  still_above
        0        7              2           False        False
        1        8           <NA>           False        False
    """
    scores, accounts, periods = np.asarray(scores, np.float64), np.asarray(accounts), pd.Index(periods)
    if not scores.shape == accounts.shape == periods.shape or scores.ndim != 1:
        raise DataError(
            "scores, accounts and periods must be [N] each; "
            f"got {list(scores.shape)}, {list(accounts.shape)} and {list(periods.shape)}."
        )
    if np.isnan(scores).any():
        raise DataError(f"scores: {np.isnan(scores).sum():,} of {len(scores):,} are NaN; leave them out.")
    whole = pd.api.types.is_integer_dtype(periods.dtype)  # a missing one would make them floats
    when = pd.Series(periods).astype("Int64") if whole else pd.Series(periods)
    table = pd.DataFrame({"account": accounts, "period": when, "above": scores >= threshold})
    table = table.sort_values(["account", "period"], kind="stable")
    of_account = table.groupby("account")
    found = pd.DataFrame({"first_crossed": table[table["above"]].groupby("account")["period"].first()})
    found = found.reindex(of_account["above"].first().index)
    found["from_the_start"] = of_account["above"].first()
    found["still_above"] = of_account["above"].last()
    return found.rename_axis("account").reset_index()


class AfterCrossing(NamedTuple):
    """What came of the accounts whose score reached a threshold.

    Args:
        crossed: how many there are.
        conversions: how many of them were seen to convert, at the crossing or later.
        not_crossed: accounts whose score never reached it.
        conversions_not_crossed: how many of those converted all the same.
        never: the share that has not converted by the end of the longest wait that was watched; NaN where none crossed.
        quantiles: ``share`` and ``periods``, the first number of periods from the crossing within which that share
            converts, 1 being the period right after that cut-off; infinite where ``never`` stands in the way.
        curve: the whole distribution, as from ``kaplan_meier``.
    """

    crossed: int
    conversions: int
    not_crossed: int
    conversions_not_crossed: int
    never: float
    quantiles: pd.DataFrame
    curve: pd.DataFrame


def time_after_crossing(
    scores: Float[np.ndarray, " N"],
    labels: Float[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Int[np.ndarray, " N"],
    threshold: float,
    *,
    shares: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9),
) -> AfterCrossing:
    """How long it took accounts to convert once their score had first reached a threshold, learned from the past.

    Use accounts that the model was not trained on. Accounts no longer watched count for as long as they were (Kaplan
    and Meier); those above the threshold from their first sample count from there.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 where the account converts in the period that begins at the cut-off, 0 where not, NaN where
            unknown.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` the number of the period.
        threshold: what the score has to reach.
        shares: of the accounts that cross, for the quantiles.

    Returns:
        The distribution of the wait, and how many accounts it is made of.

    Raises:
        DataError: if the arrays do not fit together, a score is unknown, or the samples are no risk set.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival import time_after_crossing
        >>> scores, labels = np.array([0.1, 0.4, 0.5, 0.4, 0.1]), np.array([0, 0, 1, 0, 0])
        >>> accounts, periods = np.array([7, 7, 7, 8, 9]), np.array([1, 2, 3, 3, 3])
        >>> found = time_after_crossing(scores, labels, accounts, periods, 0.3, shares=(0.5,))
        >>> found.crossed, found.conversions, found.never, found.quantiles["periods"].tolist()
        (2, 1, 0.0, [2.0])

    Source: Kaplan and Meier (1958).
    """
    accounts, periods = np.asarray(accounts), np.asarray(periods)
    time, event = periods_to_event(labels, accounts, periods)
    first = crossing(scores, accounts, periods, threshold).set_index("account")["first_crossed"]
    crossed = first.notna()
    at = (first.reindex(accounts).to_numpy(float, na_value=np.nan) == periods) if len(accounts) else event
    converted = pd.Series(event).groupby(accounts).any().reindex(first.index)
    curve = kaplan_meier(time[at], event[at])
    reached = 1 - curve["survival"].to_numpy()
    last = np.searchsorted(reached, np.asarray(shares) - 1e-12)  # a rounding error is not a period
    return AfterCrossing(
        crossed=int(crossed.sum()),
        conversions=int(converted[crossed].sum()),
        not_crossed=int((~crossed).sum()),
        conversions_not_crossed=int(converted[~crossed].sum()),
        never=float(curve["survival"].iloc[-1]) if len(curve) else np.nan,
        quantiles=pd.DataFrame({"share": shares, "periods": np.append(curve["periods"], np.inf)[last]}),
        curve=curve,
    )


def _stretches(within: Any, horizons: Sequence[int]) -> tuple[Int[np.ndarray, " H"], Float[np.ndarray, "B H"]]:
    """Where the stretches between horizons begin, and -log(1 - hazard) of each period in them, infinite for sure."""
    ends = np.asarray(horizons)
    if ends.ndim != 1 or not len(ends) or ends.dtype.kind not in "iu" or (np.diff(ends, prepend=0) <= 0).any():
        raise ConfigError(f"horizons: expected increasing numbers of periods, from 1 on, got {horizons!r}.")
    within, _ = monotone(within)
    if within.shape[1] != len(ends):
        raise DataError(f"within: expected [B, {len(ends)}], one column a horizon; got {list(within.shape)}.")
    with np.errstate(divide="ignore", invalid="ignore"):
        total = -np.log1p(-within)
        rates = np.diff(total, prepend=0.0, axis=1) / np.diff(ends, prepend=0)
    rates = np.where(within < 1, rates, np.inf)  # once nobody is left, nobody is
    return np.append(0, ends[:-1]), rates


def _cumulative_hazard(within: Any, horizons: Sequence[int], after: np.ndarray) -> Float[np.ndarray, "B n"]:
    """-log S after each of some numbers of periods."""
    starts, rates = _stretches(within, horizons)
    ends = np.append(starts[1:], np.iinfo(np.int64).max)
    spent = np.clip(after[:, None], starts, ends) - starts  # [n, H] periods in each stretch
    finite = np.isfinite(rates)
    over = (~finite).astype(float) @ (spent.T > 0)
    return np.where(over > 0, np.inf, np.where(finite, rates, 0.0) @ spent.T)


def _first_period(within: Any, horizons: Sequence[int], share: float) -> Float[np.ndarray, " B"]:
    """The first number of periods within which conversion is as likely as ``share``; infinite where it never is."""
    starts, rates = _stretches(within, horizons)
    needed = -np.log1p(-share) - _cumulative_hazard(within, horizons, starts)  # [B, H] from each stretch's beginning on
    with np.errstate(divide="ignore", invalid="ignore"):
        more = np.where(np.isinf(rates), 1.0, np.ceil(needed / rates - 1e-9))  # a rounding error is not a period
    found = starts + np.where(needed > 0, more, 0.0)
    inside = found <= np.append(starts[1:], np.inf)
    return np.maximum(np.where(inside, found, np.inf).min(axis=1), 1.0)
