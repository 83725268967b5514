"""A market with a known truth: the tables that a user would bring, and the oracle behind them."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.simulation import behavior, decision, people
from hanjax.simulation.settings import Market, MarketConfig
from hanjax.types import Tables


def simulate(config: MarketConfig | None = None, **changes: Any) -> Market:
    """Simulates accounts, their individuals, what these do week after week, and which accounts convert when.

    Each individual has a hidden interest x (0 cold, 0.5 warm, 1 hot) that moves from week to week and drives what it
    does: interest keeps the activities of a week in order (sent, opened, clicked, forwarded), and clicks a little more.
    An account that has not converted converts in the week that starts at a cut-off with log-odds

    intercept + strength * sum_k influence_k x_k + fit * (log employees - 5.5) / 1.2

    over the members k who have arrived; with fewer than ``min_members`` of them it does not convert. Influences sum to
    1; the decision-maker's is ``decision_share``, the others divide what is left according to their hidden roles.

    Opt-outs are as they stood on arrival: whoever has opted out of email gets sales email only. Later ones are the
    activity "unsubscribe email", an individual's last.

    Args:
        config: the settings; None for the defaults, a market like the paper's.
        **changes: settings that differ from ``config``.

    Returns:
        The market; the same settings give the same one, to the bit.

    Raises:
        ConfigError: if a setting cannot work.

    Example:
        >>> from hanjax.simulation import simulate
        >>> market = simulate(accounts=50, seed=1)
        >>> list(market.tables.events)
        ['account_id', 'individual_id', 'timestamp', 'activity']
        >>> list(market.truth)
        ['account_id', 'cutoff', 'probability']
        >>> len(market.tables.accounts), len(market.tables.individuals)
        (50, 229)
    """
    config = dataclasses.replace(config or MarketConfig(), **changes)
    who_rng, path_rng, decision_rng, activity_rng = np.random.default_rng(config.seed).spawn(4)
    who = people.draw_people(
        who_rng,
        accounts=config.accounts,
        weeks=config.weeks,
        smallest=config.min_members,
        mean=config.mean_members,
        largest=config.max_members,
    )
    paths = behavior.draw_paths(
        path_rng,
        account=who.account,
        arrival=who.arrival,
        last=who.last,
        can_unsubscribe=~who.no_email,
        weeks=config.weeks,
        count_signal=config.count_signal,
    )
    oracle = _oracle(config, who, paths)
    converted = decision.decide(decision_rng, oracle.hazard[:, : config.weeks])
    done = behavior.draw_activities(
        activity_rng,
        paths,
        role=who.role,
        no_email=who.no_email,
        arrival=who.arrival,
        arrival_second=who.arrival_second,
        until=converted.week[who.account],
        order_signal=config.order_signal,
        count_signal=config.count_signal,
    )
    done = _before(done, converted, who.account)
    ids = _Ids(_ids("a", config.accounts), _ids("i", len(who.account)))
    known = np.zeros(len(who.account), dtype=bool)
    known[done.individual] = True
    return Market(
        _tables(config, who, converted, done, known, ids),
        *_truth(config, who, converted, oracle, known, ids),
        intercept=oracle.intercept,
        config=config,
    )


class _Oracle(NamedTuple):
    """What decides, at each cut-off: who is there, their interest and shares, and the account's hazard."""

    present: Bool[np.ndarray, "i t"]
    interest: Float[np.ndarray, "i t"]
    share: Float[np.ndarray, "i t"]
    hazard: Float[np.ndarray, "a t"]
    intercept: float


class _Ids(NamedTuple):
    account: pd.Series
    individual: pd.Series


def _oracle(config: MarketConfig, who: people.People, paths: behavior.Paths) -> _Oracle:
    n, weeks = config.accounts, config.weeks
    present = who.arrival[:, None] < np.arange(weeks + 1)
    interest = behavior.INTEREST[paths.interest]
    share = decision.shares(
        present,
        account=who.account,
        influence=people.INFLUENCE[who.role],
        decides=who.role == people.DECISION_MAKER,
        decision_share=config.decision_share,
        accounts=n,
    )
    mean, deviation = people.LOG_EMPLOYEES
    fit = (np.log(who.employees)[:, None] - mean) / deviation
    log_odds = config.strength * decision.pull(interest, share, account=who.account, accounts=n) + config.fit * fit
    possible = decision.sum_by_account(present, who.account, n) >= config.min_members
    intercept = decision.find_intercept(log_odds[:, :weeks], possible[:, :weeks], config.conversions)
    return _Oracle(present, interest, share, decision.hazard(log_odds, possible, intercept), intercept)


def _before(
    done: behavior.Activity, converted: decision.Decisions, account: Int[np.ndarray, " i"]
) -> behavior.Activity:
    """The activities before the conversion."""
    week, second = converted.week[account][done.individual], converted.second[account][done.individual]
    seen = (done.week < week) | (done.second < second)
    return behavior.Activity(*(column[seen] for column in done))


def _tables(
    config: MarketConfig,
    who: people.People,
    converted: decision.Decisions,
    done: behavior.Activity,
    known: Bool[np.ndarray, " i"],
    ids: _Ids,
) -> Tables:
    """The user's tables; an individual is known once it has done something."""
    start = np.datetime64(config.start, "us")

    def at(week: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"]) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(start + (week * behavior.WEEK + second) * np.timedelta64(1, "s")).tz_localize("UTC")

    arrived_at = at(who.arrival, who.arrival_second)
    individuals = pd.DataFrame(
        {
            "individual_id": ids.individual,
            "account_id": people.pick(ids.account, who.account),
            "arrived_at": arrived_at,
            **people.categories(who),
        }
    )
    accounts = people.account_table(who, ids.account)
    converts = converted.week < config.weeks
    converted_at = at(converted.week, converted.second).where(converts)
    end = pd.Timestamp(start, tz="UTC") + pd.Timedelta(weeks=config.weeks)
    accounts.insert(1, "observed_from", arrived_at[_first_members(who)].normalize())
    accounts.insert(2, "observed_to", converted_at.fillna(end))
    accounts.insert(3, "converted_at", converted_at)
    events = pd.DataFrame(
        {
            "account_id": people.pick(ids.account, who.account[done.individual]),
            "individual_id": people.pick(ids.individual, done.individual),
            "timestamp": at(done.week, done.second),
            "activity": people.pick(behavior.ACTIVITIES, done.activity),
        }
    )
    return Tables(events, individuals[known].reset_index(drop=True), accounts)


def _truth(
    config: MarketConfig,
    who: people.People,
    converted: decision.Decisions,
    oracle: _Oracle,
    known: Bool[np.ndarray, " i"],
    ids: _Ids,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The truth about accounts and individuals, at each cut-off from the first arrival to the conversion or the end."""
    week = np.arange(config.weeks + 1)
    cutoffs = pd.date_range(config.start, periods=config.weeks + 1, freq="7D", tz="UTC", unit="us")
    asked = (week > who.arrival[_first_members(who)][:, None]) & (week <= converted.week[:, None])
    row, column = np.nonzero(asked)
    accounts = pd.DataFrame(
        {
            "account_id": people.pick(ids.account, row),
            "cutoff": cutoffs[column],
            "probability": oracle.hazard[row, column],
        }
    )
    row, column = np.nonzero(asked[who.account] & oracle.present & known[:, None])
    individuals = pd.DataFrame(
        {
            "account_id": people.pick(ids.account, who.account[row]),
            "individual_id": people.pick(ids.individual, row),
            "cutoff": cutoffs[column],
            "interest": oracle.interest[row, column],
            "influence": oracle.share[row, column],
        }
    )
    return accounts, individuals


def _first_members(who: people.People) -> Int[np.ndarray, " a"]:
    return np.cumsum(who.size) - who.size


def _ids(letter: str, n: int) -> pd.Series:
    return letter + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(7)
