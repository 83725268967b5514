"""How an account decides: from its members' hidden interest to a hazard, and from hazards to conversions."""

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


def shares(
    present: Bool[np.ndarray, "i t"],
    *,
    account: Int[np.ndarray, " i"],
    influence: Float[np.ndarray, " i"],
    decides: Bool[np.ndarray, " i"],
    decision_share: float,
    accounts: int,
) -> Float[np.ndarray, "i t"]:
    """Each individual's share in the decision of its account, at each cut-off.

    The decision-maker has the share d. The other members who have arrived divide 1 - d in proportion to influence. As
    long as the decision-maker has not arrived, d is nobody's.

    Args:
        present: ``[I, T]`` who has arrived by each cut-off.
        account: ``[I]`` each individual's account.
        influence: ``[I]`` each individual's weight among the others, above 0.
        decides: ``[I]`` who the decision-makers are, one an account.
        decision_share: d.
        accounts: how many accounts there are.
    """
    others = np.where(decides, 0.0, influence)[:, None] * present
    total = sum_by_account(others, account, accounts)[account]
    divided = (1 - decision_share) * others / np.where(total > 0, total, 1.0)
    return np.where(decides[:, None], decision_share * present, divided)


def pull(
    interest: Float[np.ndarray, "i t"],
    share: Float[np.ndarray, "i t"],
    *,
    account: Int[np.ndarray, " i"],
    accounts: int,
) -> Float[np.ndarray, "a t"]:
    """The members' interest, weighted by their shares in the decision: 0 all cold, 1 all hot."""
    return sum_by_account(share * interest, account, accounts)


def sum_by_account(
    values: Float[np.ndarray, "i t"] | Bool[np.ndarray, "i t"], account: Int[np.ndarray, " i"], accounts: int
) -> Float[np.ndarray, "a t"]:
    """Sums each column over the members of each account; ``account`` is sorted and names every account."""
    return np.add.reduceat(values, np.searchsorted(account, np.arange(accounts)), axis=0, dtype=np.float64)


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
