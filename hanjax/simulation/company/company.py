"""A company that sells to others, with a known truth: what its systems hold, and what its customers decide by."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from hanjax.simulation.company.deals import PRODUCTS, Deals, amounts, run_business
from hanjax.simulation.company.feeds import draw_sources
from hanjax.simulation.company.people import ACTIVITIES, draw_events, draw_people, individual_table
from hanjax.simulation.company.settings import Company, CompanyConfig
from hanjax.simulation.company.states import INDUSTRIES, REGIONS, Effects, Units, draw_effects, draw_states, draw_units
from hanjax.simulation.people import pick
from hanjax.types import Tables

WON, DISENGAGED, OPEN = "closed won", "closed disengaged", ("prospecting", "negotiation")
"""Stages of opportunities; an open one is negotiated from its fifth week on."""


def simulate_company(config: CompanyConfig | None = None, **changes: Any) -> Company:
    """Simulates what a seller's systems hold of several years, and keeps the truth.

    A unit is an account in a region. Attempts to sell begin at random; one that is created in a week is won with
    log-odds

        first sale:       -0.9 + .45 growth + .55 affinity + .35 social selling + region + region:industry
                          + lift of the region * growth
        add-on, renewal:  -1 + 1.6 usage + performance + white space   (a renewal: with an increase, if it renews)

    of the states at the start of that week, each with mean 0 and standard deviation 1, seen only through what they
    leave in the log and in the sources. Disengaged units are tried again, contracts run a year, and renewals are lost
    where usage is low. ``turn`` lets growth count the other way round from a week on; ``new_tracker`` lets the feed of
    usage count threefold.

    Args:
        config: the settings; None for the defaults.
        **changes: settings that differ from ``config``.

    Returns:
        The company; the same settings give the same one, to the bit.

    Raises:
        ConfigError: if a setting cannot work.

    Example:
        >>> from hanjax.simulation.company import simulate_company
        >>> company = simulate_company(accounts=40, weeks=60)
        >>> sorted(company.sources)
        ['bookings', 'connections', 'headcount', 'performance', 'seats', 'usage']
        >>> list(company.opportunities)[:5]
        ['opportunity_id', 'account_id', 'region', 'product', 'kind']
    """
    config = dataclasses.replace(config or CompanyConfig(), **changes)
    unit_rng, state_rng, effect_rng, deal_rng, people_rng, event_rng, source_rng = np.random.default_rng(
        config.seed
    ).spawn(7)
    units, states = draw_units(unit_rng, config.accounts), draw_states(state_rng, config)
    effects = draw_effects(effect_rng, config)
    deals, people = run_business(deal_rng, config, units, states, effects), draw_people(people_rng, config)
    weeks = pd.date_range(config.start, periods=config.weeks, freq="7D", tz="UTC", unit="us")
    ids = _ids("a", config.accounts), _ids("i", len(people.account))
    who, second, activity = draw_events(event_rng, config, states, people)
    events = pd.DataFrame(
        {
            "account_id": pick(ids[0], people.account[who]),
            "individual_id": pick(ids[1], who),
            "timestamp": weeks[0] + pd.to_timedelta(second, unit="s"),
            "activity": pick(ACTIVITIES, activity),
        }
    )
    accounts = pd.DataFrame(
        {
            "account_id": ids[0],
            "observed_from": weeks[0],
            "observed_to": weeks[0] + pd.Timedelta(weeks=config.weeks),
            "name": "Company " + ids[0].str.slice(1),
            "industry": pick(INDUSTRIES, states.industry),
        }
    )
    opportunities, truth = _opportunities(config, units, deals, ids[0], weeks)
    return Company(
        Tables(events, individual_table(people, ids[1], ids[0], weeks), accounts),
        opportunities,
        draw_sources(source_rng, config, units, states, deals, people, ids),
        truth,
        _effect_table(effects),
        config,
    )


def _opportunities(
    config: CompanyConfig, units: Units, deals: Deals, account_ids: pd.Series, weeks: pd.DatetimeIndex
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Opportunities as a seller's system holds them at the end of the history, and the truth about each."""
    table = deals.table
    unit, created, closed = (table[name].to_numpy() for name in ("unit", "created", "closed"))
    still_open = closed >= config.weeks
    age = config.weeks - created
    known = ~still_open & table["won"].to_numpy() | (table["kind"] == "add-on").to_numpy()
    ids = _ids("o", len(table))
    opportunities = pd.DataFrame(
        {
            "opportunity_id": ids,
            "account_id": pick(account_ids, units.account[unit]),
            "region": pick(REGIONS, units.region[unit]),
            "product": pick(PRODUCTS, deals.product[unit]),
            "kind": table["kind"].astype(str),
            "created_at": weeks[created],
            "closed_at": _dates(weeks[0], np.where(still_open, -1, closed)),
            "stage": np.select([still_open & (age < 5), still_open, table["won"]], [*OPEN, WON], DISENGAGED),
            "amount": amounts(deals, table),
            "contract_start": _dates(weeks[0], np.where(known, table["contract_start"], -1)),
            "contract_end": _dates(weeks[0], np.where(known, table["contract_end"] + 1, -1)),
        }
    )
    aspects = table.columns[table.columns.get_loc("log_odds") :]
    truth = table[aspects].fillna(0.0).assign(probability=1 / (1 + np.exp(-table["log_odds"])))
    truth.insert(0, "opportunity_id", ids)
    return opportunities, truth


def _dates(start: pd.Timestamp, week: Any) -> pd.Series:
    """The first day of each week; none where it is negative."""
    week = pd.Series(np.asarray(week))
    return (start + pd.to_timedelta(7 * week.clip(lower=0), unit="D")).where(week >= 0)


def _effect_table(effects: Effects) -> pd.DataFrame:
    """What segments add, one row a level."""
    nested = [f"{region}:{industry}" for region in REGIONS for industry in INDUSTRIES]
    parts = [
        pd.DataFrame({"factor": "region", "level": REGIONS, "intercept": effects.region, "lift": effects.lift}),
        pd.DataFrame({"factor": "region:industry", "level": nested, "intercept": effects.nested.ravel(), "lift": 0.0}),
    ]
    return pd.concat(parts, ignore_index=True)


def _ids(letter: str, n: int) -> pd.Series:
    return letter + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(6)
