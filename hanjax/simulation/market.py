"""A market with a known truth: the tables that a user would bring, and the oracle behind them."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.simulation import activities, decision, interest, people, rules
from hanjax.simulation.folds import draw_test
from hanjax.simulation.settings import Market, MarketConfig
from hanjax.types import Tables


def simulate(config: MarketConfig | None = None, **changes: Any) -> Market:
    """Simulates accounts, their individuals, what these do week after week, and which accounts convert when.

    Each individual has a hidden interest x (0 cold, 0.5 warm, 1 hot) that moves from week to week until it is gone for
    good, and drives what it does: interest keeps the activities of a week in order (sent, opened, clicked, forwarded),
    and clicks a little more. An account that has not converted converts in the week that starts at a cut-off with
    log-odds

    intercept + strength * pull(x_1 .. x_K) + fit * (log employees - 5.5) / 1.2

    where pull is the ``rule`` by which its members decide (``hanjax.simulation.rules``), and x_k their interest at the
    end of the week before; with fewer than ``min_members`` who have arrived it does not convert.

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
        (50, 230)
    """
    config = dataclasses.replace(config or MarketConfig(), **changes)
    who_rng, path_rng, decision_rng, activity_rng, split_rng = np.random.default_rng(config.seed).spawn(5)
    who = people.draw_people(
        who_rng,
        accounts=config.accounts,
        weeks=config.weeks,
        smallest=config.min_members,
        mean=config.mean_members * (1 + _UNSEEN * config.conversions),
        largest=config.max_members,
    )
    paths = interest.draw_paths(
        path_rng,
        account=who.account,
        arrival=who.arrival,
        can_unsubscribe=~who.no_email,
        weeks=config.weeks,
        count_signal=config.count_signal,
        contagion=rules.SPREADS.get(config.rule, 0.0),
    )
    log_odds, possible = _log_odds(config, who, paths)
    intercept = decision.find_intercept(log_odds[:, :-1], possible[:, :-1], config.conversions)
    converted = decision.decide(decision_rng, decision.hazard(log_odds[:, :-1], possible[:, :-1], intercept))
    done = activities.draw_activities(
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
    known = np.zeros(len(who.account), dtype=bool)
    known[done.individual] = True
    known &= ~_superfluous(split_rng, config, who, known)
    done = activities.Activity(*(column[known[done.individual]] for column in done))
    absent = np.where(known[:, None], paths.after, np.uint8(interest.NOT_YET))
    paths = paths._replace(after=np.where(np.arange(config.weeks) == config.weeks - 1, absent, paths.after))
    hazard = decision.hazard(*_log_odds(config, who, paths), intercept)
    ids = _Ids(_ids("a", config.accounts), _ids("i", len(who.account)))
    tables = _tables(config, who, converted, done, known, ids)
    size = np.bincount(who.account[known], minlength=config.accounts)
    test = draw_test(split_rng, size, converted.week < config.weeks)
    folds = pd.DataFrame({"account_id": ids.account, "fold": test.astype(np.int64)})
    return Market(
        tables._replace(folds=folds),
        *_truth(config, who, converted, paths, hazard, known, ids, intercept),
        intercept=intercept,
        config=config,
    )


_UNSEEN = 0.7
"""Individuals to draw in excess for each account that converts, as a share: some would have arrived after that."""


class _Ids(NamedTuple):
    account: pd.Series
    individual: pd.Series


def _log_odds(
    config: MarketConfig, who: people.People, paths: interest.Paths
) -> tuple[Float[np.ndarray, "a t1"], Bool[np.ndarray, "a t1"]]:
    """Log-odds of converting in each week, up to the intercept, and the weeks in which it is possible at all."""
    starts = _first_members(who)
    state = np.pad(paths.after, ((0, 0), (1, 0)), constant_values=interest.NOT_YET)
    arrived = np.add.reduceat(who.arrival[:, None] < np.arange(config.weeks + 1), starts, axis=0, dtype=np.int32)
    of_role = []
    for role in (people.DECISION_MAKER, people.INFLUENCER):
        holder = np.flatnonzero(who.role == role)
        of_role.append(np.full((len(starts), state.shape[1]), interest.NOT_YET, dtype=np.uint8))
        of_role[-1][who.account[holder]] = state[holder]
    group = rules.make_group(
        state, starts=starts, decides=of_role[0], influences=of_role[1], decision_share=config.decision_share
    )
    fit = config.fit * people.standardize(who.employees)[:, None]
    return config.strength * rules.RULES[config.rule](group) + fit, arrived >= config.min_members


def _superfluous(
    rng: np.random.Generator, config: MarketConfig, who: people.People, known: Bool[np.ndarray, " i"]
) -> Bool[np.ndarray, " i"]:
    """Who is left out to come to ``mean_members`` on average: only arrivals in the last week, who decide nothing.

    More were drawn than are wanted, because whoever would arrive after the conversion is never seen.
    """
    place = np.arange(len(who.account)) - _first_members(who)[who.account]
    late = np.flatnonzero(known & (who.arrival == config.weeks - 1) & (place >= config.min_members))
    surplus = max(int(known.sum()) - round(config.accounts * config.mean_members), 0)
    chosen = np.zeros(len(known), dtype=bool)
    chosen[rng.permutation(late)[:surplus]] = True
    return chosen


def _before(
    done: activities.Activity, converted: decision.Decisions, account: Int[np.ndarray, " i"]
) -> activities.Activity:
    """The activities before the conversion."""
    week, second = converted.week[account][done.individual], converted.second[account][done.individual]
    seen = (done.week < week) | (done.second < second)
    return activities.Activity(*(column[seen] for column in done))


def _tables(
    config: MarketConfig,
    who: people.People,
    converted: decision.Decisions,
    done: activities.Activity,
    known: Bool[np.ndarray, " i"],
    ids: _Ids,
) -> Tables:
    """The user's tables; an individual is known once it has done something."""
    start = np.datetime64(config.start, "us")

    def at(week: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"]) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(start + (week * activities.WEEK + second) * np.timedelta64(1, "s")).tz_localize("UTC")

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
            "activity": people.pick(activities.ACTIVITIES, done.activity),
        }
    )
    return Tables(events, individuals[known].reset_index(drop=True), accounts)


def _truth(
    config: MarketConfig,
    who: people.People,
    converted: decision.Decisions,
    paths: interest.Paths,
    hazard: Float[np.ndarray, "a t1"],
    known: Bool[np.ndarray, " i"],
    ids: _Ids,
    intercept: float,
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
            "probability": hazard[row, column],
        }
    )
    state = np.pad(paths.after, ((0, 0), (1, 0)), constant_values=interest.NOT_YET)
    share = rules.shares(
        state < interest.GONE,
        account=who.account,
        decides=who.role == people.DECISION_MAKER,
        influences=who.role == people.INFLUENCER,
        decision_share=config.decision_share,
    )
    row, column = np.nonzero(asked[who.account] & (who.arrival[:, None] < week) & known[:, None])
    own = interest.INTEREST[state[row, column]]
    alone = config.strength * own + config.fit * people.standardize(who.employees)[who.account[row]]
    individuals = pd.DataFrame(
        {
            "account_id": people.pick(ids.account, who.account[row]),
            "individual_id": people.pick(ids.individual, row),
            "cutoff": cutoffs[column],
            "interest": own,
            "influence": share[row, column],
            "probability": 1 / (1 + np.exp(-intercept - alone)),
        }
    )
    return accounts, individuals


def _first_members(who: people.People) -> Int[np.ndarray, " a"]:
    return np.cumsum(who.size) - who.size


def _ids(letter: str, n: int) -> pd.Series:
    return letter + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(7)
