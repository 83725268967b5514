"""An account's individuals, and what they do: the warmer the account, the more, and the further along."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.simulation.company.settings import CompanyConfig
from hanjax.simulation.company.states import States
from hanjax.simulation.people import pick

ROLES = ("user", "manager", "director", "executive")
FUNCTIONS = ("human resources", "marketing", "sales", "operations", "finance")

ACTIVITIES = ("email sent", "open email", "click link", "visit page", "download paper", "attend webinar", "forward")
REACTIONS = np.array([1.6, 1.0, 0.2, 0.4, -0.8, -1.2, -1.6]), np.array([-0.5, 0.0, 0.4, 0.3, 0.4, 0.4, 0.6])
"""Log-weights of the activities of an account of average affinity, and what a standard deviation of it adds."""

ACTIVE, ACTIVE_MORE = -1.0, 0.6
"""Log-odds of a week in which an individual does anything, and what a standard deviation of affinity adds."""


class People(NamedTuple):
    """Individuals, sorted by account and arrival.

    Args:
        account: ``[I]``.
        arrival: ``[I]`` week.
        role: ``[I]``.
        function: ``[I]``.
    """

    account: Int[np.ndarray, " i"]
    arrival: Int[np.ndarray, " i"]
    role: Int[np.ndarray, " i"]
    function: Int[np.ndarray, " i"]


def draw_people(rng: np.random.Generator, config: CompanyConfig) -> People:
    """Draws two to twelve individuals an account; the first is there from the beginning, half of the others later."""
    size = np.minimum(1 + rng.geometric(0.35, config.accounts), 12)
    account = np.repeat(np.arange(config.accounts), size)
    first = np.diff(account, prepend=-1) > 0
    late = ~first & (rng.random(len(account)) < 0.5)
    arrival = np.where(late, rng.integers(config.weeks, size=len(account)), 0)
    order = np.lexsort((arrival, account))
    roles = rng.choice(len(ROLES), len(account), p=[0.5, 0.25, 0.15, 0.1])
    return People(account, arrival[order], roles, rng.integers(len(FUNCTIONS), size=len(account)))


def draw_events(
    rng: np.random.Generator, config: CompanyConfig, states: States, people: People
) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """Draws what individuals do.

    Returns:
        The individual, the second since the start, and the activity of each event, in order of individual and time.
    """
    there = people.arrival[:, None] <= np.arange(config.weeks)
    affinity = states.affinity[people.account]
    active = there & (rng.random(there.shape) < 1 / (1 + np.exp(-ACTIVE - ACTIVE_MORE * affinity)))
    who, week = np.nonzero(active)
    count = 1 + rng.poisson(np.exp(0.2 + 0.3 * affinity[who, week]))
    who, week = np.repeat(who, count), np.repeat(week, count)
    weights = np.exp(REACTIONS[0] + REACTIONS[1] * affinity[who, week][:, None])
    bound = np.cumsum(weights, axis=1)
    activity = (rng.random((len(who), 1)) * bound[:, -1:] >= bound[:, :-1]).sum(axis=1)
    second = week * 604_800 + rng.integers(604_800, size=len(who))
    order = np.lexsort((second, who))
    return who[order], second[order], activity[order]


def individual_table(people: People, ids: pd.Series, account_ids: pd.Series, day: pd.DatetimeIndex) -> pd.DataFrame:
    """Individuals as a user's table.

    Args:
        people: who there is.
        ids: of individuals.
        account_ids: of accounts.
        day: ``[T]`` the first day of each week.
    """
    return pd.DataFrame(
        {
            "individual_id": ids,
            "account_id": pick(account_ids, people.account),
            "arrived_at": day[people.arrival],
            "role": pick(ROLES, people.role),
            "function": pick(FUNCTIONS, people.function),
        }
    )
