"""What a log says about its members, week by week: likelihoods of what they did, given what nobody sees."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.simulation import activities, interest, people
from hanjax.simulation.settings import Market

_NONE = 9
"""Before the first activity of a week."""


class Evidence(NamedTuple):
    """The log of some accounts, as likelihoods; members are sorted by account and stand in order of arrival.

    Args:
        account_ids: ``[A]`` the accounts.
        offset: ``[A]`` log-odds of converting when all members are cold.
        end: ``[A]`` the last cut-off that is asked for, as a number of weeks.
        account: ``[M]`` each member's account.
        arrival: ``[M]`` week of arrival.
        doing: ``[M, T, 4]`` likelihood of what was done in a week, by state, up to a factor.
        leaves: ``[M, T]`` weeks that end with an unsubscription.
        arrived_as: ``[M, 3]`` log-likelihood of a member's static categories, by role.
        sales: ``[M, T, 3]`` log-likelihood of whose email a week's was, by role.
    """

    account_ids: pd.Index
    offset: Float[np.ndarray, " a"]
    end: Int[np.ndarray, " a"]
    account: Int[np.ndarray, " m"]
    arrival: Int[np.ndarray, " m"]
    doing: Float[np.ndarray, "m t 4"]
    leaves: Bool[np.ndarray, "m t"]
    arrived_as: Float[np.ndarray, "m 3"]
    sales: Float[np.ndarray, "m t 3"]


def read_log(market: Market, wanted: pd.Index) -> Evidence:
    """Reads a market's tables, and nothing else of it but the settings and the intercept.

    Args:
        market: the market.
        wanted: ids of the accounts, in the order of its table ``accounts``.
    """
    config = market.config
    start = pd.Timestamp(config.start, tz="UTC")
    week_of = lambda times: ((times - start) // pd.Timedelta(days=7)).to_numpy().astype(np.int64)
    accounts = market.tables.accounts
    accounts = accounts[accounts["account_id"].isin(wanted)].reset_index(drop=True)
    converted = week_of(accounts["converted_at"].fillna(start + pd.Timedelta(weeks=config.weeks)))
    individuals = market.tables.individuals
    individuals = individuals[individuals["account_id"].isin(wanted)]
    individuals = individuals.sort_values(["account_id", "arrived_at", "individual_id"]).reset_index(drop=True)
    account = pd.Index(accounts["account_id"]).get_indexer(individuals["account_id"])
    arrival = week_of(individuals["arrived_at"])
    no_email = (individuals["opt_out_of_email"] == "yes").to_numpy()
    no_phone = (individuals["opt_out_of_phone"] == "yes").to_numpy()
    source = pd.Index(people.SOURCES).get_indexer(individuals["source_of_arrival"])
    phone = np.where(no_phone[:, None], people.NO_PHONE_OF_ROLE, 1 - people.NO_PHONE_OF_ROLE)

    events = market.tables.events
    member = pd.Index(individuals["individual_id"]).get_indexer(events["individual_id"])
    inside = member >= 0
    member, times = member[inside], events["timestamp"][inside]
    kind = pd.Index(activities.ACTIVITIES).get_indexer(events["activity"][inside])
    order = np.lexsort((times.to_numpy(), member))
    cell = (member * config.weeks + week_of(times))[order]
    log_likelihood, email, ends = _weeks(cell, kind[order], config.order_signal, config.count_signal)
    cells = np.unique(cell)
    row, week = cells // config.weeks, cells % config.weeks

    rate = interest.active_rate(config.count_signal)
    doing = np.repeat((1 - rate)[None], len(individuals) * config.weeks, axis=0)
    leaving = np.where(no_email[row, None], 0.0, interest.UNSUBSCRIBES)
    happens = np.where(ends[:, None], leaving, 1 - leaving)
    happens *= np.where((week == arrival[row])[:, None], 1.0, rate[:3])
    log_likelihood -= log_likelihood.max(axis=1, keepdims=True)
    doing[cells, :3] = np.exp(log_likelihood) * happens
    doing[cells, interest.GONE] = 0
    leaves = np.zeros(len(individuals) * config.weeks, dtype=bool)
    leaves[cells] = ends
    whose = np.zeros((len(individuals) * config.weeks, 3))
    chance = np.stack([np.ones(3), activities.SALES_WEEKS, 1 - activities.SALES_WEEKS])[email]
    whose[cells] = np.where(no_email[row, None], 0.0, np.log(chance))
    shape = len(individuals), config.weeks
    return Evidence(
        account_ids=pd.Index(accounts["account_id"]),
        offset=market.intercept + config.fit * people.standardize(accounts["employees"].to_numpy()),
        end=np.minimum(converted, config.weeks),
        account=account,
        arrival=arrival,
        doing=doing.reshape(*shape, 4),
        leaves=leaves.reshape(shape),
        arrived_as=np.log(people.SOURCE_OF_ROLE.T[source] * phone),
        sales=whose.reshape(*shape, 3),
    )


def _weeks(
    cell: Int[np.ndarray, " e"], kind: Int[np.ndarray, " e"], order_signal: float, count_signal: float
) -> tuple[Float[np.ndarray, "c 3"], Int[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
    """Of each active week: log-likelihood by interest, whose email it was, and whether an unsubscription ends it.

    P(week) = kept * prod_i chain(activity i | activity i - 1) + (1 - kept) * prod_i share(activity i)

    An unsubscription hides which activity it replaces. Email is 0 (none), 1 (from sales) or 2 (marketing).
    """
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    table = activities.chains(count_signal)
    base = activities.MARKETING[kind].astype(np.intp)
    before = np.roll(base, 1)
    before[first] = _NONE
    shown = kind != activities.UNSUBSCRIBE
    before[before == activities.UNSUBSCRIBE] = _NONE  # never used: nothing follows an unsubscription
    with np.errstate(divide="ignore"):
        chain, share = np.log(table), np.log(activities.shares(table))
    chain[:, :, activities.UNSUBSCRIBE] = share[:, activities.UNSUBSCRIBE] = 0
    ordered = np.add.reduceat(chain[:, before, base], first, axis=1)
    loose = np.add.reduceat(share[:, base], first, axis=1)
    kept = activities.keeps_order(order_signal)[:, None]
    with np.errstate(divide="ignore"):
        likelihood = np.logaddexp(np.log(kept) + ordered, np.log(1 - kept) + loose)
    whose = np.zeros(9, dtype=np.int64)
    whose[[activities.OPEN_SALES, activities.CLICK_SALES, activities.SEND_SALES]] = 1
    whose[[activities.OPEN, activities.CLICK, activities.SEND]] = 2
    return likelihood.T, np.maximum.reduceat(whose[kind], first), np.logical_or.reduceat(~shown, first)
