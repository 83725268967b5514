"""Accounts, their individuals, and when each of them comes and goes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Integer

USER, INFLUENCER, DECISION_MAKER = 0, 1, 2
"""Roles of individuals. Each account has one decision-maker and one influencer; nobody tells a model who they are."""

CIRCLE = 3
"""The decision-maker and the influencer are among the first so many to arrive."""

DECIDES = np.array([0.2, 0.4, 0.4])
"""Probability that the first, second and third to arrive is the decision-maker; the influencer is another of them."""

LOG_EMPLOYEES = 5.5, 1.2
"""Mean and standard deviation of the logarithm of an account's employees."""

INDUSTRIES = ("software", "manufacturing", "finance", "health care", "retail", "education")
SOURCES = ("webinar", "website", "trade show", "referral", "purchased list")
SOURCE_OF_ROLE = np.array(
    [[0.36, 0.36, 0.06, 0.04, 0.18], [0.10, 0.12, 0.62, 0.10, 0.06], [0.05, 0.08, 0.12, 0.73, 0.02]]
)
NO_PHONE_OF_ROLE = np.array([0.10, 0.20, 0.40])


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
    role = _roles(rng, size, smallest, len(account))
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
        source=(rng.random((len(account), 1)) > chance[:, :-1]).sum(axis=1),
        no_email=rng.random(len(account)) < 0.04,
        no_phone=rng.random(len(account)) < NO_PHONE_OF_ROLE[role],
    )


def standardize(employees: Integer[np.ndarray, " a"]) -> Float[np.ndarray, " a"]:
    """Log employees as standard deviations from their mean."""
    return (np.log(employees) - LOG_EMPLOYEES[0]) / LOG_EMPLOYEES[1]


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


def circles(smallest: int) -> tuple[Int[np.ndarray, "c 2"], Float[np.ndarray, " c"]]:
    """Who may be decision-maker and influencer, by order of arrival, and with which probability.

    Args:
        smallest: size of the smallest group; in a group of one, nobody is the influencer (-1).
    """
    first = min(smallest, CIRCLE)
    pairs = [(i, j) for i in range(first) for j in range(first) if i != j] or [(0, -1)]
    chance = DECIDES[[i for i, _ in pairs]]
    return np.array(pairs), chance / chance.sum()


def _roles(
    rng: np.random.Generator, size: Int[np.ndarray, " a"], smallest: int, individuals: int
) -> Int[np.ndarray, " i"]:
    """One decision-maker and one influencer an account; the others are users."""
    pairs, chance = circles(smallest)
    decides, influences = pairs[rng.choice(len(pairs), len(size), p=chance)].T
    role = np.full(individuals, USER)
    first = np.cumsum(size) - size
    role[(first + influences)[influences >= 0]] = INFLUENCER
    role[first + decides] = DECISION_MAKER
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
