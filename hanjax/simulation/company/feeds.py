"""What the company's systems say of accounts: sources of features, with the flaws that such sources have."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.simulation.company.deals import PRODUCTS, Deals, amounts
from hanjax.simulation.company.people import People
from hanjax.simulation.company.settings import CompanyConfig
from hanjax.simulation.company.states import States, Units
from hanjax.simulation.people import pick

LATE = 0.15
"""Share of the accounts whose headcount is not known in the first half of the history."""

UNREPORTED = 0.04
"""Share of the reports of headcount that are empty."""

DELAY = 10
"""Days after which a report of headcount is known."""

TRACKER = 3
"""What the new tracker counts for one session."""


def draw_sources(
    rng: np.random.Generator,
    config: CompanyConfig,
    units: Units,
    states: States,
    deals: Deals,
    people: People,
    ids: tuple[pd.Series, pd.Series],
) -> dict[str, pd.DataFrame]:
    """Draws every source.

    Args:
        rng: where randomness comes from.
        config: the settings.
        units: whom there is to sell to.
        states: what accounts are like.
        deals: what was sold.
        people: the individuals.
        ids: of accounts and of individuals.
    """
    start = pd.Timestamp(config.start, tz="UTC")
    days = pd.date_range(start, periods=7 * config.weeks, unit="us")
    first = np.flatnonzero(days.day == 1)  # the months that begin within the history
    return {
        "headcount": _headcount(rng, config, states, days[first], first // 7, ids[0]),
        "bookings": _bookings(config, units, deals, days[::7], ids[0]),
        "usage": _usage(rng, config, units, states, deals, days, ids[0]),
        "performance": _performance(rng, units, states, deals, days[::7], ids[0]),
        "seats": _seats(units, deals, days[first], first // 7, ids[0]),
        "connections": _connections(rng, states, people, days[first], first // 7, ids),
    }


def _headcount(
    rng: np.random.Generator,
    config: CompanyConfig,
    states: States,
    day: pd.DatetimeIndex,
    week: Int[np.ndarray, " m"],
    ids: pd.Series,
) -> pd.DataFrame:
    """Employees at the start of each month, known some days later; of some accounts not from the beginning."""
    reported = (rng.random(config.accounts) >= LATE)[:, None] | (week >= config.weeks // 2)
    account, month = np.nonzero(reported)
    employees = states.employees[account, week[month]]
    employees[rng.random(len(employees)) < UNREPORTED] = np.nan
    return pd.DataFrame(
        {
            "account_id": pick(ids, account),
            "day": day[month],
            "known_at": day[month] + pd.Timedelta(days=DELAY),
            "employees": employees,
        }
    )


def _bookings(config: CompanyConfig, units: Units, deals: Deals, day: pd.DatetimeIndex, ids: pd.Series) -> pd.DataFrame:
    """What was sold, on the day on which it was."""
    sold = deals.table[deals.table["won"] & (deals.table["closed"] < config.weeks)]
    sold = sold.iloc[np.argsort(sold["closed"], kind="stable")]
    unit = sold["unit"].to_numpy()
    return pd.DataFrame(
        {
            "account_id": pick(ids, units.account[unit]),
            "day": day[sold["closed"].to_numpy()],
            "product": pick(PRODUCTS, deals.product[unit]),
            "amount": amounts(deals, sold),
        }
    )


def _usage(
    rng: np.random.Generator,
    config: CompanyConfig,
    units: Units,
    states: States,
    deals: Deals,
    days: pd.DatetimeIndex,
    ids: pd.Series,
) -> pd.DataFrame:
    """Sessions of customers on working days; a day without any has no row."""
    unit, day = np.nonzero(np.repeat(deals.seats > 0, 7, axis=1) & (days.day_of_week < 5))
    week = day // 7
    sessions = rng.poisson(np.exp(1.2 + 0.7 * states.usage[units.account[unit], week]))
    if config.new_tracker is not None:
        sessions = np.where(week >= config.new_tracker, TRACKER * sessions, sessions)
    some = np.flatnonzero(sessions)
    return pd.DataFrame(
        {
            "account_id": pick(ids, units.account[unit[some]]),
            "day": days[day[some]],
            "product": pick(PRODUCTS, deals.product[unit[some]]),
            "sessions": sessions[some],
        }
    )


def _performance(
    rng: np.random.Generator, units: Units, states: States, deals: Deals, week_day: pd.DatetimeIndex, ids: pd.Series
) -> pd.DataFrame:
    """What customers post with the product in a week, and the responses that they get."""
    unit, week = np.nonzero(deals.seats > 0)
    posts = rng.poisson(4.0, len(unit))
    rate = np.exp(0.7 + 0.5 * states.performance[units.account[unit], week])
    return pd.DataFrame(
        {
            "account_id": pick(ids, units.account[unit]),
            "day": week_day[week],
            "posts": posts,
            "responses": rng.poisson(posts * rate),
        }
    )


def _seats(
    units: Units, deals: Deals, day: pd.DatetimeIndex, week: Int[np.ndarray, " m"], ids: pd.Series
) -> pd.DataFrame:
    """Seats under contract at the start of each month, and how many could be sold."""
    unit, month = np.nonzero(deals.seats[:, week] > 0)
    return pd.DataFrame(
        {
            "account_id": pick(ids, units.account[unit]),
            "day": day[month],
            "product": pick(PRODUCTS, deals.product[unit]),
            "seats": deals.seats[unit, week[month]],
            "potential": deals.potential[unit],
        }
    )


def _connections(
    rng: np.random.Generator,
    states: States,
    people: People,
    day: pd.DatetimeIndex,
    week: Int[np.ndarray, " m"],
    ids: tuple[pd.Series, pd.Series],
) -> pd.DataFrame:
    """How many sellers each individual is connected to, month by month."""
    who, month = np.nonzero(people.arrival[:, None] <= week)
    return pd.DataFrame(
        {
            "account_id": pick(ids[0], people.account[who]),
            "individual_id": pick(ids[1], who),
            "day": day[month],
            "connections": rng.poisson(np.exp(0.8 + 0.7 * states.social[people.account[who]])),
        }
    )
