"""From an account's log-odds to a hazard, and from hazards to conversions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Decisions(NamedTuple):
    """When accounts convert.

    Args:
        week: week in which each account converts; the number of weeks if it does not.
        second: second of that week.
    """

    week: Int[np.ndarray, " a"]
    second: Int[np.ndarray, " a"]


def find_intercept(log_odds: Float[np.ndarray, "a t"], possible: Bool[np.ndarray, "a t"], conversions: float) -> float:
    """The intercept with which a given share of the accounts is expected to convert.

    Args:
        log_odds: ``[A, T]`` log-odds of converting in each week, up to the intercept.
        possible: ``[A, T]`` the weeks in which an account can convert.
        conversions: the share.
    """
    low, high = -60.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        expected = converting(hazard(log_odds, possible, middle)).mean()
        low, high = (middle, high) if expected < conversions else (low, middle)
    return middle


def hazard(
    log_odds: Float[np.ndarray, "a t"], possible: Bool[np.ndarray, "a t"], intercept: float
) -> Float[np.ndarray, "a t"]:
    """Probability of converting in each week, given that it has not happened before."""
    return possible / (1 + np.exp(-intercept - log_odds))


def converting(hazards: Float[np.ndarray, "a t"]) -> Float[np.ndarray, " a"]:
    """Probability of converting in any of the weeks."""
    return 1 - np.prod(1 - hazards, axis=1)


def decide(rng: np.random.Generator, hazards: Float[np.ndarray, "a t"]) -> Decisions:
    """Draws which accounts convert, and when.

    Accounts are drawn systematically: each converts with exactly its own probability, and the number of conversions
    is the expected one, rounded up or down. The week is then drawn from its distribution given conversion.
    """
    accounts, weeks = hazards.shape
    chance = converting(hazards)
    order = rng.permutation(accounts)
    ticks = np.floor(np.cumsum(chance[order]) + rng.random())
    converts = np.empty(accounts, dtype=bool)
    converts[order] = np.diff(ticks, prepend=0.0) > 0
    reached = 1 - np.cumprod(1 - hazards, axis=1)
    week = (rng.random(accounts)[:, None] * chance[:, None] >= reached).sum(axis=1)
    return Decisions(np.where(converts, np.minimum(week, weeks - 1), weeks), rng.integers(1, 7 * 86400, size=accounts))
