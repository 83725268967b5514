"""How opportunities come and go: first attempts and further ones, contracts, add-ons and renewals."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.simulation.company.settings import CompanyConfig
from hanjax.simulation.company.states import Effects, States, Units

PRODUCTS = ("Hiring", "Learning", "Marketing")
PRICES = np.array([900.0, 400.0, 650.0])
"""Dollars a seat and year of each product."""

NEW, ADD_ON, RENEWAL = "new", "add-on", "renewal"

FIRST_SALE = {"growth": 0.45, "affinity": 0.55, "social selling": 0.35}
UPSELL = {"usage": 1.6, "performance": 1.0, "white space": 1.0}
"""What a standard deviation of each aspect adds to the log-odds of a first sale, and of an upsell."""

FIRST_SALE_INTERCEPT, UPSELL_INTERCEPT = -0.9, -1.0
STAYS_INTERCEPT, STAYS_USAGE = 1.8, 0.9
"""Log-odds of a renewal, and what a standard deviation of usage adds."""

ATTEMPTS, ATTEMPTS_AGAIN, ADD_ONS = 1 / 45, 1 / 14, 1 / 26
"""How often in a week a first attempt begins, one in the half year after a disengagement, and an add-on."""

YEAR, HALF_YEAR, NOTICE = 52, 26, 8
"""Weeks of a contract, weeks in which another attempt is likelier, and from a renewal to the contract's end."""


class Deals(NamedTuple):
    """What happened, in weeks and positions.

    Args:
        table: one row an opportunity, in order of creation: ``unit, kind``, the weeks ``created`` and ``closed`` (which
            may lie behind the end), whether it will be ``won``, ``seats`` sold, ``contract_start, contract_end``, the
            ``log_odds`` of being won (of a renewal: with an increase) and what each aspect adds to them.
        product: ``[U]`` what each unit buys.
        seats: ``[U, T]`` seats under contract in each week.
        potential: ``[U]`` seats that could be sold at most.
    """

    table: pd.DataFrame
    product: Int[np.ndarray, " u"]
    seats: Float[np.ndarray, "u t"]
    potential: Float[np.ndarray, " u"]


class _Closing(NamedTuple):
    """Opportunities of one kind that close in one week."""

    kind: str
    unit: Int[np.ndarray, " k"]
    won: Int[np.ndarray, " k"]
    seats: Float[np.ndarray, " k"]


def run_business(
    rng: np.random.Generator, config: CompanyConfig, units: Units, states: States, effects: Effects
) -> Deals:
    """Lets the business run, week by week.

    Args:
        rng: where randomness comes from.
        config: the settings.
        units: whom there is to sell to.
        states: what accounts are like at the start of each week, by which an opportunity created in it is decided.
        effects: what segments add.
    """
    n = len(units.account)
    product = rng.integers(len(PRODUCTS), size=n)
    potential = np.maximum(np.round(states.employees[units.account, 0] * rng.uniform(0.2, 0.8, n)), 8)
    seats, last_week = np.zeros(n), np.full(n, -1)  # of the contract at work
    busy_until, again_until = np.full(n, -1), np.full(n, -1)
    closing: dict[int, list[_Closing]] = {}
    rows, seats_over_time = [], np.zeros((n, config.weeks))
    for t in range(config.weeks):
        for kind, unit, won, sold in closing.pop(t, []):
            if kind == ADD_ON:
                seats[unit[won]] += sold[won]
                continue
            seats[unit] = np.where(won, sold, 0)
            last_week[unit] = np.where(won, t + YEAR - 1, -1)
            again_until[unit[~won]] = t + HALF_YEAR
        seats_over_time[:, t] = seats
        customer, free, left, drawn = last_week >= t, busy_until < t, last_week - t, rng.random(n)
        attempted = drawn < np.where(again_until >= t, ATTEMPTS_AGAIN, ATTEMPTS)
        settled = (left > NOTICE + 6) & (left < YEAR - 6)
        for kind, begins in (
            (NEW, ~customer & attempted),
            (ADD_ON, customer & settled & (drawn < ADD_ONS)),
            (RENEWAL, customer & (left == NOTICE)),
        ):
            unit = np.flatnonzero(begins & free)
            parts = _aspects(config, units, states, effects, t, kind, unit, seats[unit], potential[unit])
            log_odds = np.sum(list(parts.values()), axis=0)
            won = rng.random(len(unit)) < _logistic(log_odds)
            more = np.maximum(1, np.round((potential[unit] - seats[unit]) * rng.uniform(0.1, 0.5, len(unit))))
            if kind == RENEWAL:
                usage = states.usage[units.account[unit], t]
                increased, won = won, rng.random(len(unit)) < _logistic(STAYS_INTERCEPT + STAYS_USAGE * usage)
                fewer = np.maximum(1, np.round(seats[unit] * rng.uniform(0.8, 1.0, len(unit))))
                sold, closed = np.where(increased, seats[unit] + more, fewer), np.full(len(unit), t + NOTICE)
            else:
                weeks = 3 + rng.geometric(1 / 7, len(unit)) if kind == NEW else 1 + rng.geometric(1 / 3, len(unit))
                sold, closed = more, t + np.minimum(weeks, HALF_YEAR)
            if kind == ADD_ON:  # it closes while its contract still runs
                closed = np.minimum(closed, last_week[unit] - NOTICE - 1)
            start = np.where(won, closed, -1) if kind != ADD_ON else last_week[unit] - YEAR + 1
            busy_until[unit] = closed
            for week in np.unique(closed):
                now = closed == week
                closing.setdefault(int(week), []).append(_Closing(kind, unit[now], won[now], sold[now]))
            what = {"unit": unit, "kind": kind, "created": t, "closed": closed, "won": won, "seats": sold}
            contract = {"contract_start": start, "contract_end": np.where(start >= 0, start + YEAR - 1, -1)}
            rows.append(pd.DataFrame({**what, **contract, "log_odds": log_odds, **parts}))
    return Deals(pd.concat(rows, ignore_index=True), product, seats_over_time, potential)


def amounts(deals: Deals, opportunities: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Dollars a year of some of the opportunities."""
    return opportunities["seats"].to_numpy() * PRICES[deals.product[opportunities["unit"].to_numpy()]]


def white_space(
    seats: Float[np.ndarray, "*shape"], potential: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """How much is still to be sold to a customer, as a number of about mean 0 and standard deviation 1."""
    return (np.log(np.maximum(potential, 1) / np.maximum(seats, 1)) - 1.0) / 0.8


def _aspects(
    config: CompanyConfig,
    units: Units,
    states: States,
    effects: Effects,
    t: int,
    kind: str,
    unit: Int[np.ndarray, " k"],
    seats: Float[np.ndarray, " k"],
    potential: Float[np.ndarray, " k"],
) -> dict[str, Float[np.ndarray, " k"]]:
    """What each aspect adds to the log-odds of opportunities that are created in a week."""
    account, region = units.account[unit], units.region[unit]
    if kind != NEW:
        now = {
            "usage": states.usage[account, t],
            "performance": states.performance[account, t],
            "white space": white_space(seats, potential),
        }
        found = {name: config.upsell_strength * UPSELL[name] * value for name, value in now.items()}
        return {"intercept": np.full(len(unit), UPSELL_INTERCEPT), **found}
    growth = states.growth[account, t]
    turned = config.turn is not None and t >= config.turn
    now = {
        "growth": -growth if turned else growth,
        "affinity": states.affinity[account, t],
        "social selling": states.social[account],
    }
    found = {name: config.strength * FIRST_SALE[name] * value for name, value in now.items()}
    nested = effects.nested[region, states.industry[account]]
    segment = effects.region[region] + nested + effects.lift[region] * growth
    return {"intercept": np.full(len(unit), FIRST_SALE_INTERCEPT), **found, "segment": segment}


def _logistic(log_odds: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    return 1 / (1 + np.exp(-log_odds))
