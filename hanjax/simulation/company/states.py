"""What nobody sees: each account's growth, affinity, usage and performance, which drift from week to week."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hanjax.simulation.company.settings import CompanyConfig

REGIONS = ("Central", "West", "East", "North", "South", "Alps", "Coast", "Isles")
REGION_SHARES = np.array([0.34, 0.24, 0.16, 0.10, 0.07, 0.05, 0.03, 0.01])
"""How many of the units are in each region: the smallest must borrow from the others."""

INDUSTRIES = ("software", "manufacturing", "finance", "health care", "retail", "education")
INDUSTRY_GROWTH = np.array([0.5, -0.1, 0.1, 0.3, -0.3, -0.5])
"""What an industry adds to its companies' growth, in standard deviations."""

PERSISTENCE = {"growth": 0.97, "affinity": 0.90, "usage": 0.95, "performance": 0.95}
"""How much of a state is left after a week; each has mean 0 and standard deviation 1 in the long run."""


class Units(NamedTuple):
    """Whom a seller sells to: an account in a region; most accounts have one, some have two.

    Args:
        account: ``[U]`` account of each unit, sorted.
        region: ``[U]`` its region.
    """

    account: Int[np.ndarray, " u"]
    region: Int[np.ndarray, " u"]


class States(NamedTuple):
    """States of the accounts at the start of each week, and what does not change.

    Args:
        growth, affinity, usage, performance: ``[A, T]``.
        social: ``[A]`` how well sellers are connected to the account's people.
        industry: ``[A]``.
        employees: ``[A, T]`` headcount, which growth moves.
    """

    growth: Float[np.ndarray, "a t"]
    affinity: Float[np.ndarray, "a t"]
    usage: Float[np.ndarray, "a t"]
    performance: Float[np.ndarray, "a t"]
    social: Float[np.ndarray, " a"]
    industry: Int[np.ndarray, " a"]
    employees: Float[np.ndarray, "a t"]


class Effects(NamedTuple):
    """What segments add to the log-odds of a first sale.

    Args:
        region: ``[R]`` of a region.
        nested: ``[R, J]`` of an industry within a region.
        lift: ``[R]`` of a region, for each standard deviation of growth.
    """

    region: Float[np.ndarray, " r"]
    nested: Float[np.ndarray, "r j"]
    lift: Float[np.ndarray, " r"]


def draw_units(rng: np.random.Generator, accounts: int) -> Units:
    """Draws the regions of each account: one in two of three cases, else two different ones."""
    first, second = rng.choice(len(REGIONS), size=(2, accounts), p=REGION_SHARES)
    two = (rng.random(accounts) < 1 / 3) & (first != second)
    account = np.concatenate([np.arange(accounts), np.flatnonzero(two)])
    region = np.concatenate([first, second[two]])
    order = np.lexsort((region, account))
    return Units(account[order], region[order])


def draw_states(rng: np.random.Generator, config: CompanyConfig) -> States:
    """Draws the accounts' states: autoregressive, with the industry in growth."""
    shape = config.accounts, config.weeks
    industry = rng.integers(len(INDUSTRIES), size=config.accounts)
    states = {name: _autoregressive(rng, shape, kept) for name, kept in PERSISTENCE.items()}
    states["growth"] += INDUSTRY_GROWTH[industry][:, None]
    size = np.exp(5.5 + 1.2 * rng.standard_normal((config.accounts, 1)))
    employees = np.maximum(np.round(size * np.exp(0.004 * np.cumsum(states["growth"], axis=1))), 5)
    return States(**states, social=rng.standard_normal(config.accounts), industry=industry, employees=employees)


def draw_effects(rng: np.random.Generator, config: CompanyConfig) -> Effects:
    """Draws the segments' effects, each kind with mean 0 over its levels."""
    regions, industries = len(REGIONS), len(INDUSTRIES)
    region, lift = rng.standard_normal((2, regions))
    nested = rng.standard_normal((regions, industries))
    return Effects(
        config.region_spread * (region - region.mean()),
        config.nested_spread * (nested - nested.mean(axis=1, keepdims=True)),
        config.lift_spread * (lift - lift.mean()),
    )


def _autoregressive(rng: np.random.Generator, shape: tuple[int, int], kept: float) -> Float[np.ndarray, "a t"]:
    """x_t = kept x_{t-1} + sqrt(1 - kept^2) e_t, from its long-run distribution on."""
    noise = rng.standard_normal(shape)
    state = np.empty(shape)
    state[:, 0] = noise[:, 0]
    for t in range(1, shape[1]):
        state[:, t] = kept * state[:, t - 1] + np.sqrt(1 - kept**2) * noise[:, t]
    return state
