"""What nobody sees: an account's phases, and its members' interest, which moves from week to week."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

COLD, WARM, HOT, GONE = range(4)
NOT_YET = 4
"""The state before arrival, from which the first week's is drawn."""

INTEREST = np.array([0.0, 0.5, 1.0, 0.0], dtype=np.float32)
"""Interest of someone cold, warm, hot and gone."""

STARTS_LOOKING, STOPS_LOOKING = 0.03, 0.10
"""Probability that an account starts to look for something to buy in a week, and that it gives up."""

PHASES = np.array([[1 - STARTS_LOOKING, STARTS_LOOKING], [STOPS_LOOKING, 1 - STOPS_LOOKING]])
"""Phase next week (at rest, looking), given this week's. Accounts are at rest when the log begins."""

NEXT = np.array(
    [
        [[0.965, 0.030, 0.005], [0.25, 0.71, 0.04], [0.10, 0.25, 0.65]],
        [[0.780, 0.180, 0.040], [0.06, 0.72, 0.22], [0.01, 0.07, 0.92]],
    ]
)
"""Interest next week, given this week's: while the account is at rest, and while it looks for something to buy."""

FIRST = np.array([[0.88, 0.10, 0.02], [0.50, 0.35, 0.15]])
"""Interest in the week of arrival, by phase."""

INFECTED = np.array([[0.45, 0.45, 0.10], [0.04, 0.56, 0.40], [0.01, 0.04, 0.95]])
"""Interest next week of someone all of whose colleagues are hot, under the rule "contagion"."""

LEAVES = np.array([0.035, 0.015, 0.01])
"""Probability that someone cold, warm and hot is gone for good the week after."""

ACTIVE, ACTIVE_MORE = 0.56, np.array([-0.19, 0.09, 0.30])
"""Probability of an active week, and what interest adds to it."""

UNSUBSCRIBES = np.array([0.006, 0.002, 0.0005])
"""Probability that an active week ends with an unsubscription, by interest; whoever unsubscribes is gone."""


class Paths(NamedTuple):
    """Everybody's interest and active weeks.

    Args:
        state: ``[I, T]`` COLD, WARM, HOT, GONE or NOT_YET in each week; it drives what is done in that week.
        after: ``[I, T]`` the same at the end of the week: GONE after an unsubscription. It decides at the next cut-off.
        active: ``[I, T]`` the weeks in which an individual does something.
        unsubscribed: ``[I]`` the week that ends with an unsubscription; T if none does.
    """

    state: UInt8[np.ndarray, "i t"]
    after: UInt8[np.ndarray, "i t"]
    active: Bool[np.ndarray, "i t"]
    unsubscribed: Int[np.ndarray, " i"]


def transitions(next_interest: Float[np.ndarray, "*z 3 3"]) -> Float[np.ndarray, "*z 5 4"]:
    """Probability of next week's state, given this week's (row NOT_YET: of the first), departures included."""
    table = np.zeros((2, 5, 4))
    table[:, :3, :3] = (1 - LEAVES[:, None]) * next_interest
    table[:, :3, GONE] = LEAVES
    table[:, GONE, GONE] = 1
    table[:, NOT_YET, :3] = FIRST
    return table


def active_rate(count_signal: float) -> Float[np.ndarray, "4"]:
    """Probability of an active week, by state."""
    return np.append(ACTIVE + count_signal * ACTIVE_MORE, 0.0)


def draw_paths(
    rng: np.random.Generator,
    *,
    account: Int[np.ndarray, " i"],
    arrival: Int[np.ndarray, " i"],
    can_unsubscribe: Bool[np.ndarray, " i"],
    weeks: int,
    count_signal: float,
    contagion: float,
) -> Paths:
    """Lets everybody's interest move from arrival on, with quiet weeks in between; the first week is active.

    Args:
        rng: where randomness comes from.
        account: ``[I]`` each individual's account, sorted.
        arrival: ``[I]`` week of arrival.
        can_unsubscribe: ``[I]`` who gets marketing email.
        weeks: T.
        count_signal: how far volumes tell interest.
        contagion: how far interest spreads: weight of ``INFECTED`` when all other members who are there are hot.
    """
    n = len(arrival)
    starts = np.searchsorted(account, np.arange(account[-1] + 1))
    alone, infected = (np.cumsum(transitions(p), axis=-1, dtype=np.float32)[..., :3] for p in (NEXT, INFECTED))
    rate, leaving = active_rate(count_signal).astype(np.float32), np.append(UNSUBSCRIBES, 0.0).astype(np.float32)
    state, after = (np.full((weeks, n), NOT_YET, dtype=np.uint8) for _ in range(2))
    active = np.zeros((weeks, n), dtype=bool)
    unsubscribed = np.full(n, weeks)
    looking = np.zeros(len(starts), dtype=np.intp)
    now = np.full(n, NOT_YET, dtype=np.uint8)
    for t in range(weeks):
        looking = (rng.random(len(looking)) < PHASES[looking, 1]).astype(np.intp)
        here = arrival <= t
        steps = alone[looking[account], now]
        if contagion:
            share = (contagion * hot_share(now[:, None], starts)).astype(np.float32)[account]
            steps = (1 - share) * steps + share * infected[looking[account], now]
        moved = (rng.random((n, 1), dtype=np.float32) >= steps).sum(axis=1, dtype=np.uint8)
        state[t, here] = moved[here]
        active[t] = here & (rng.random(n, dtype=np.float32) < rate[np.minimum(state[t], GONE)])
        active[t] |= arrival == t
        ends = active[t] & can_unsubscribe & (rng.random(n, dtype=np.float32) < leaving[np.minimum(state[t], GONE)])
        unsubscribed[ends] = t
        now = np.where(ends, np.uint8(GONE), state[t])
        after[t] = now
    return Paths(state.T, after.T, active.T, unsubscribed)


def hot_share(state: UInt8[np.ndarray, "i n"], starts: Int[np.ndarray, " a"]) -> Float[np.ndarray, "a n"]:
    """The share of those who are hot among the members who are there.

    Args:
        state: ``[I, N]`` members' states, sorted by account.
        starts: ``[A]`` each account's first member.
    """
    hot = np.add.reduceat(state == HOT, starts, axis=0, dtype=np.int32)
    return hot / np.maximum(np.add.reduceat(state < GONE, starts, axis=0, dtype=np.int32), 1)
