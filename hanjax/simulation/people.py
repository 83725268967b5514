"""Accounts, their individuals, and when each of them comes and goes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Integer

USER, INFLUENCER, DECISION_MAKER = 0, 1, 2
"""Roles of individuals; each account has one decision-maker. Nobody tells a model who it is."""

INFLUENCE = np.array([0.15, 1.0, 1.0])
"""How much an individual of each role weighs among the others; the decision-maker's share is a setting."""

LOG_EMPLOYEES = 5.5, 1.2
"""Mean and standard deviation of the logarithm of an account's employees."""

INDUSTRIES = ("software", "manufacturing", "finance", "health care", "retail", "education")
SOURCES = ("webinar", "website", "trade show", "referral", "purchased list")
SOURCE_OF_ROLE = np.array(
    [[0.34, 0.30, 0.12, 0.06, 0.18], [0.24, 0.30, 0.20, 0.12, 0.14], [0.12, 0.22, 0.26, 0.28, 0.12]]
)


class People(NamedTuple):
    """Who there is, hidden roles included; individuals are sorted by account and stand in order of arrival.

    Args:
        size: members of each account.
        employees: of each account.
        revenue: of each account, in dollars a year.
        industry: of each account.
        account: each individual's account.
        role: each individual's role.
        arrival: week in which each individual arrives.
        arrival_second: second of that week.
        last: last week in which each individual does anything, if it lies within the log.
        source: source of arrival.
        no_email: has opted out of marketing email on arrival.
        no_phone: has opted out of phone calls on arrival.
    """

    size: Int[np.ndarray, " a"]
    employees: Int[np.ndarray, " a"]
    revenue: Int[np.ndarray, " a"]
    industry: Int[np.ndarray, " a"]
    account: Int[np.ndarray, " i"]
    role: Int[np.ndarray, " i"]
    arrival: Int[np.ndarray, " i"]
    arrival_second: Int[np.ndarray, " i"]
    last: Int[np.ndarray, " i"]
    source: Int[np.ndarray, " i"]
    no_email: Bool[np.ndarray, " i"]
    no_phone: Bool[np.ndarray, " i"]


def size_distribution(smallest: int, mean: float, largest: int) -> Float[np.ndarray, " n"]:
    """Probability of each group size: a power law with a given mean.

    p(n) ~ (n - smallest + 1) ** -a,  smallest <= n <= largest

    Args:
        smallest: size of the smallest group.
        mean: the average; between ``smallest`` and halfway to ``largest``.
        largest: size of the largest group.

    Returns:
        Probabilities of the sizes from ``smallest`` to ``largest``.
    """
    step = np.arange(1, largest - smallest + 2, dtype=float)
    low, high = 0.0, 60.0
    for _ in range(60):
        a = (low + high) / 2
        p = step**-a / (step**-a).sum()
        low, high = (a, high) if p @ step + smallest - 1 > mean else (low, a)
    return p


def draw_people(
    rng: np.random.Generator, *, accounts: int, weeks: int, smallest: int, mean: float, largest: int
) -> People:
    """Draws accounts and individuals; larger companies tend to have larger groups.

    Group sizes are drawn by quantile, so that their mean and extremes do not vary with the seed.
    """
    scale = rng.standard_normal(accounts)
    employees = np.maximum(np.exp(LOG_EMPLOYEES[0] + LOG_EMPLOYEES[1] * scale).astype(np.int64), 5)
    revenue = np.round(employees * np.exp(12.0 + 0.5 * rng.standard_normal(accounts)), -3).astype(np.int64)
    p = size_distribution(smallest, mean, largest)
    rank = np.argsort(np.argsort(0.4 * scale + 0.9 * rng.standard_normal(accounts)))
    size = smallest + np.searchsorted(np.cumsum(p)[:-1], (rank + 0.5) / accounts)
    account = np.repeat(np.arange(accounts), size)
    place = np.arange(len(account)) - np.repeat(np.cumsum(size) - size, size)
    arrival, second = _arrivals(rng, account, place, weeks=weeks, smallest=smallest, accounts=accounts)
    order = np.lexsort((second, arrival, account))
    arrival, second = arrival[order], second[order]
    role = _roles(rng, account, place, size)
    brief = rng.random(len(account)) < 0.35
    lifetime = np.where(brief, rng.geometric(0.35, len(account)), rng.geometric(0.5 / weeks, len(account)))
    chance = np.cumsum(SOURCE_OF_ROLE, axis=1)[role]
    return People(
        size=size,
        employees=employees,
        revenue=revenue,
        industry=rng.integers(len(INDUSTRIES), size=accounts),
        account=account,
        role=role,
        arrival=arrival,
        arrival_second=second,
        last=arrival + lifetime - 1,
        source=(rng.random((len(account), 1)) > chance[:, :-1]).sum(axis=1),
        no_email=rng.random(len(account)) < 0.04,
        no_phone=rng.random(len(account)) < np.array([0.15, 0.2, 0.3])[role],
    )


def _arrivals(
    rng: np.random.Generator,
    account: Int[np.ndarray, " i"],
    place: Int[np.ndarray, " i"],
    *,
    weeks: int,
    smallest: int,
    accounts: int,
) -> tuple[Int[np.ndarray, " i"], Int[np.ndarray, " i"]]:
    """Week and second of each arrival: a small circle comes early, the others at any time up to the end."""
    start = np.floor((weeks - 4) * rng.random(accounts) ** 1.4).astype(np.int64)[account]
    early = start + rng.geometric(0.5, len(account)) - 1
    later = start + np.floor((weeks - start) * rng.random(len(account))).astype(np.int64)
    arrival = np.where(place == 0, start, np.where(place < smallest, early, later))
    return np.minimum(arrival, weeks - 1), rng.integers(1, 6 * 86400, size=len(account))


def _roles(
    rng: np.random.Generator, account: Int[np.ndarray, " i"], place: Int[np.ndarray, " i"], size: Int[np.ndarray, " a"]
) -> Int[np.ndarray, " i"]:
    """One decision-maker an account, seldom the first to arrive; a third of the others are influencers."""
    role = np.where(rng.random(len(account)) < 0.35, INFLUENCER, USER)
    chance = rng.random(len(account)) ** np.where(place == 0, 3.0, 1.0)
    chosen = np.lexsort((chance, account))[np.cumsum(size) - 1]
    role[chosen] = DECISION_MAKER
    return role


def account_table(people: People, ids: pd.Series) -> pd.DataFrame:
    """What a user knows of the accounts, dates aside."""
    return pd.DataFrame(
        {
            "account_id": ids,
            "name": "Company " + ids.str.slice(1),
            "industry": pick(INDUSTRIES, people.industry),
            "revenue": people.revenue,
            "employees": people.employees,
        }
    )


def categories(people: People) -> dict[str, pd.Series]:
    """The static categories of the individuals, as they stood on arrival."""
    return {
        "source_of_arrival": pick(SOURCES, people.source),
        "opt_out_of_email": pick(("no", "yes"), people.no_email.astype(int)),
        "opt_out_of_phone": pick(("no", "yes"), people.no_phone.astype(int)),
    }


def pick(values: pd.Series | Sequence[str], positions: Integer[np.ndarray, " n"]) -> pd.Series:
    """A column of the values at the positions."""
    return pd.Series(values).take(positions).reset_index(drop=True)
