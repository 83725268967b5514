"""A market with a known truth: the tables that a user would bring, and the oracle behind them."""

import dataclasses
from typing import Any

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
    """
    config = dataclasses.replace(config or MarketConfig(), **changes)
    who_rng, path_rng, decision_rng, activity_rng = np.random.default_rng(config.seed).spawn(4)
    n, weeks = config.accounts, config.weeks
    who = people.draw_people(
        who_rng,
        accounts=n,
        weeks=weeks,
        smallest=config.min_members,
        mean=config.mean_members,
        largest=config.max_members,
    )
    paths = behavior.draw_paths(
        path_rng,
        arrival=who.arrival,
        last=who.last,
        can_unsubscribe=~who.no_email,
        weeks=weeks,
        count_signal=config.count_signal,
    )

    present = who.arrival[:, None] < np.arange(weeks + 1)
    share = decision.shares(
        present,
        account=who.account,
        influence=people.INFLUENCE[who.role],
        decides=who.role == people.DECISION_MAKER,
        decision_share=config.decision_share,
        accounts=n,
    )
    interest = behavior.INTEREST[paths.interest]
    pull = decision.pull(interest, share, account=who.account, accounts=n)
    log_odds = config.strength * pull + config.fit * (np.log(who.employees)[:, None] - 5.5) / 1.2
    possible = decision.sum_by_account(present, who.account, n) >= config.min_members
    intercept = decision.find_intercept(log_odds[:, :weeks], possible[:, :weeks], config.conversions)
    hazards = decision.hazard(log_odds, possible, intercept)
    converted = decision.decide(decision_rng, hazards[:, :weeks])

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
    week, second = converted.week[who.account][done.individual], converted.second[who.account][done.individual]
    seen = (done.week < week) | (done.second < second)
    done = behavior.Activity(*(column[seen] for column in done))
    known = np.zeros(len(who.account), dtype=bool)
    known[done.individual] = True
    tables, account_ids, individual_ids = _tables(config, who, converted, done, known)
    cutoffs = np.datetime64(config.start, "us") + np.arange(weeks + 1) * np.timedelta64(7, "D")
    first = who.arrival[np.cumsum(who.size) - who.size]
    asked = (np.arange(weeks + 1) > first[:, None]) & (np.arange(weeks + 1) <= converted.week[:, None])
    return Market(
        tables=tables,
        truth=_truth(asked, hazards, account_ids, cutoffs),
        individual_truth=_individual_truth(
            asked[who.account] & present & known[:, None],
            interest,
            share,
            account_ids.take(who.account),
            individual_ids,
            cutoffs,
        ),
        intercept=intercept,
        config=config,
    )


def _tables(
    config: MarketConfig,
    who: people.People,
    converted: decision.Decisions,
    done: behavior.Activity,
    known: Bool[np.ndarray, " i"],
) -> tuple[Tables, pd.Series, pd.Series]:
    """The user's tables, and the ids of everybody."""
    start = np.datetime64(config.start, "us")

    def at(week: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"]) -> np.ndarray:
        return start + (week * behavior.WEEK + second) * np.timedelta64(1, "s")

    account_ids, individual_ids = _ids("a", len(who.size)), _ids("i", len(who.account))
    arrived_at = at(who.arrival, who.arrival_second)
    individuals = pd.DataFrame(
        {
            "individual_id": individual_ids,
            "account_id": account_ids.take(who.account).reset_index(drop=True),
            "arrived_at": arrived_at,
            **people.categories(who),
        }
    )
    accounts = people.account_table(who, account_ids)
    converts = converted.week < config.weeks
    converted_at = np.where(converts, at(converted.week, converted.second), np.datetime64("NaT"))
    first = arrived_at[np.cumsum(who.size) - who.size]
    accounts.insert(1, "observed_from", first.astype("datetime64[D]").astype("datetime64[us]"))
    end = start + np.timedelta64(7 * config.weeks, "D")
    accounts.insert(2, "observed_to", np.where(converts, converted_at, end))
    accounts.insert(3, "converted_at", converted_at)
    events = pd.DataFrame(
        {
            "account_id": account_ids.take(who.account[done.individual]).reset_index(drop=True),
            "individual_id": individual_ids.take(done.individual).reset_index(drop=True),
            "timestamp": at(done.week, done.second),
            "activity": pd.Series(behavior.ACTIVITIES).take(done.activity).reset_index(drop=True),
        }
    )
    return Tables(events, individuals[known].reset_index(drop=True), accounts), account_ids, individual_ids


def _truth(
    asked: Bool[np.ndarray, "a t"],
    hazards: Float[np.ndarray, "a t"],
    ids: pd.Series,
    cutoffs: np.ndarray,
) -> pd.DataFrame:
    row, week = np.nonzero(asked)
    return pd.DataFrame(
        {
            "account_id": ids.take(row).reset_index(drop=True),
            "cutoff": cutoffs[week],
            "probability": hazards[row, week],
        }
    )


def _individual_truth(
    asked: Bool[np.ndarray, "i t"],
    interest: Float[np.ndarray, "i t"],
    share: Float[np.ndarray, "i t"],
    account_ids: pd.Series,
    individual_ids: pd.Series,
    cutoffs: np.ndarray,
) -> pd.DataFrame:
    row, week = np.nonzero(asked)
    return pd.DataFrame(
        {
            "account_id": account_ids.take(row).reset_index(drop=True),
            "individual_id": individual_ids.take(row).reset_index(drop=True),
            "cutoff": cutoffs[week],
            "interest": interest[row, week],
            "influence": share[row, week],
        }
    )


def _ids(letter: str, n: int) -> pd.Series:
    return letter + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(7)
