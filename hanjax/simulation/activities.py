"""What individuals do: a hidden interest that moves from week to week, and the activities that it drives."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

ACTIVITIES = (
    "open email",
    "click email",
    "send email",
    "unsubscribe email",
    "open sales email",
    "click sales email",
    "send sales email",
    "forwarded email received",
    "forwarded email sent",
)
"""The paper's nine types (Table 1)."""

OPEN, CLICK, SEND, UNSUBSCRIBE, OPEN_SALES, CLICK_SALES, SEND_SALES, FORWARD_IN, FORWARD_OUT = range(9)

WEEK = 7 * 86400
COLD, WARM, HOT = range(3)
INTEREST = np.array([0.0, 0.5, 1.0], dtype=np.float32)
"""Interest of someone cold, warm and hot."""

NEXT_INTEREST = np.array(
    [
        [[0.965, 0.030, 0.005], [0.22, 0.74, 0.04], [0.08, 0.20, 0.72]],
        [[0.840, 0.130, 0.030], [0.07, 0.75, 0.18], [0.01, 0.05, 0.94]],
    ]
)
"""Interest next week, given this week's: while the account is at rest, and while it looks for something to buy."""

FIRST_INTEREST = np.array([[0.85, 0.13, 0.02], [0.50, 0.35, 0.15]])

STARTS_LOOKING, STOPS_LOOKING = 0.02, 0.08
"""Probability that an account starts to look for something to buy in a week, and that it gives up."""

ACTIVE = np.array([-0.17, 0.08, 0.25])
OPENS = np.array([-0.10, 0.04, 0.16])
CLICKS = np.array([-0.12, 0.04, 0.22])
FORWARDS = np.array([-0.5, 0.2, 2.0])
KEEPS_ORDER = np.array([-0.48, 0.1, 0.48])
"""What interest adds to the probability of an active week, of opening what was sent, of clicking what was opened, to
how often one is forwarded to, and to the probability that a week keeps its order."""

UNSUBSCRIBES = np.array([0.006, 0.002, 0.0005])
"""Probability that an active week ends with an unsubscription, by interest."""


class Activity(NamedTuple):
    """Activities, sorted by individual and time.

    Args:
        individual: who did it.
        week: in which week.
        second: at which second of that week.
        activity: what, as a position in ``ACTIVITIES``.
    """

    individual: Int[np.ndarray, " e"]
    week: Int[np.ndarray, " e"]
    second: Int[np.ndarray, " e"]
    activity: UInt8[np.ndarray, " e"]


class Paths(NamedTuple):
    """Everybody's interest and active weeks.

    Args:
        interest: ``[I, T + 1]`` COLD, WARM or HOT in each week; cold before arrival and after the last week.
        active: ``[I, T]`` the weeks in which an individual does something.
        unsubscribed: ``[I]`` the week that ends with an unsubscription; T if none does.
    """

    interest: UInt8[np.ndarray, "i t1"]
    active: Bool[np.ndarray, "i t"]
    unsubscribed: Int[np.ndarray, " i"]


def volume_distribution() -> Float[np.ndarray, "114"]:
    """Probability of 1 to 114 activities in an active week; 90 % do at most 8 and 96 % at most 9, as in the paper."""
    body = np.array([0.15, 0.14, 0.13, 0.125, 0.115, 0.105, 0.095, 0.07, 0.042])
    tail = np.arange(10.0, 115.0) ** -1.5
    return np.concatenate([body, (1 - body.sum()) * tail / tail.sum()])


def draw_paths(
    rng: np.random.Generator,
    *,
    account: Int[np.ndarray, " i"],
    arrival: Int[np.ndarray, " i"],
    last: Int[np.ndarray, " i"],
    can_unsubscribe: Bool[np.ndarray, " i"],
    weeks: int,
    count_signal: float,
) -> Paths:
    """Lets everybody's interest move from arrival to the last week, with quiet weeks in between.

    The first week is active, and so is the last one if it lies within the log. Whoever unsubscribes is gone after that.
    """
    n = len(arrival)
    interest = np.zeros((n, weeks + 1), dtype=np.uint8)
    chances = np.concatenate([NEXT_INTEREST, FIRST_INTEREST[:, None]], axis=1)
    cumulative = np.cumsum(chances, axis=-1, dtype=np.float32)[..., :2]
    looking = np.zeros(account[-1] + 1, dtype=np.intp)
    for t in range(weeks + 1):
        moves = rng.random(len(looking)) < np.where(looking, STOPS_LOOKING, STARTS_LOOKING)
        looking = np.where(moves, 1 - looking, looking)
        before = np.where(arrival == t, 3, interest[:, t - 1])
        state = (rng.random((n, 1), dtype=np.float32) > cumulative[looking[account], before]).sum(axis=1)
        interest[:, t] = np.where((t >= arrival) & (t <= last), state, COLD)

    week = np.arange(weeks)
    rate = 0.55 + count_signal * ACTIVE
    here = (week >= arrival[:, None]) & (week <= last[:, None])
    active = here & (rng.random((n, weeks), dtype=np.float32) < rate[interest[:, :weeks]])
    active |= (week == arrival[:, None]) | (week == last[:, None])
    leaves = active & (rng.random((n, weeks), dtype=np.float32) < UNSUBSCRIBES[interest[:, :weeks]])
    leaves &= can_unsubscribe[:, None]
    unsubscribed = np.where(leaves.any(axis=1), leaves.argmax(axis=1), weeks)
    active &= week <= unsubscribed[:, None]
    interest[np.arange(weeks + 1) > unsubscribed[:, None]] = COLD
    return Paths(interest, active, unsubscribed)


def transitions(count_signal: float) -> Float[np.ndarray, "3 3 10 9"]:
    """Probability of the next activity, by role, interest and the activity before (9: a week's first).

    An email that was sent is opened, what was opened is clicked, what was clicked is forwarded, each with some
    probability; otherwise something else begins. Decision-makers are forwarded to, others forward; interest clicks.
    """
    forward_in, forward_out = np.array([0.04, 0.06, 0.12]), np.array([0.22, 0.18, 0.08])
    told, opens, clicks = 1 + count_signal * FORWARDS, 0.72 + count_signal * OPENS, 0.50 + count_signal * CLICKS
    table = np.zeros((3, 3, 10, 9))
    for role in range(3):
        for mood in range(3):
            begins = np.zeros(9)
            begins[[SEND, SEND_SALES, OPEN, OPEN_SALES, CLICK]] = 0.60, 0.20, 0.06, 0.02, 0.01
            begins[FORWARD_IN] = forward_in[role] * told[mood]
            table[role, mood] = begins / begins.sum()
            follows = {
                SEND: (OPEN, opens[mood]),
                OPEN: (CLICK, clicks[mood]),
                CLICK: (FORWARD_OUT, forward_out[role]),
                SEND_SALES: (OPEN_SALES, opens[mood]),
                OPEN_SALES: (CLICK_SALES, clicks[mood]),
                CLICK_SALES: (FORWARD_OUT, forward_out[role]),
                FORWARD_IN: (OPEN, 0.5),
            }
            for before, (after, chance) in follows.items():
                table[role, mood, before] *= 1 - chance
                table[role, mood, before, after] += chance
    return table


def draw_activities(
    rng: np.random.Generator,
    paths: Paths,
    *,
    role: Int[np.ndarray, " i"],
    no_email: Bool[np.ndarray, " i"],
    arrival: Int[np.ndarray, " i"],
    arrival_second: Int[np.ndarray, " i"],
    until: Int[np.ndarray, " i"],
    order_signal: float,
    count_signal: float,
) -> Activity:
    """Draws every activity of every active week.

    All weeks begin as chains of activities that follow from each other. A week then keeps that order, or is
    shuffled; the more interest, the more often it is kept. So the order tells interest, and volumes do not show it.

    Args:
        rng: where randomness comes from.
        paths: interest and active weeks.
        role: ``[I]`` roles.
        no_email: ``[I]`` who gets sales email in place of marketing email.
        arrival: ``[I]`` week of arrival.
        arrival_second: ``[I]`` second of that week; the first activity comes after it.
        until: ``[I]`` the last week that matters.
        order_signal: how far the order tells interest.
        count_signal: how far volumes do.
    """
    weeks = paths.active.shape[1]
    individual, week = np.nonzero(paths.active & (np.arange(weeks) <= until[:, None]))
    volume = 1 + np.searchsorted(np.cumsum(volume_distribution())[:-1], rng.random(len(individual)))
    mood = paths.interest[individual, week]
    ends = np.cumsum(volume)
    starts = ends - volume
    row = np.repeat(np.arange(len(individual)), volume)
    place = np.arange(len(row)) - starts[row]

    activity = _chains(rng, starts, volume, 3 * role[individual] + mood, transitions(count_signal))
    kept = rng.random(len(individual)) < 0.5 + (order_signal * KEEPS_ORDER)[mood]
    activity = _shuffled(rng, activity, row, ~kept)
    to_sales = np.arange(9, dtype=np.uint8)
    to_sales[[OPEN, CLICK, SEND]] = OPEN_SALES, CLICK_SALES, SEND_SALES
    activity = np.where(no_email[individual][row], to_sales[activity], activity)
    activity[ends[week == paths.unsubscribed[individual]] - 1] = UNSUBSCRIBE

    first = np.where(week == arrival[individual], arrival_second[individual] + 1, 0)
    gaps = np.cumsum(rng.standard_exponential(len(row)))
    before = np.concatenate([[0.0], gaps])[starts]
    total = gaps[ends - 1] - before + rng.standard_exponential(len(individual))
    share = (gaps - before[row]) / total[row]
    second = first[row] + np.floor(share * (WEEK - first - volume)[row]).astype(np.int64) + place
    return Activity(individual[row], week[row], second, activity)


def _chains(
    rng: np.random.Generator,
    starts: Int[np.ndarray, " r"],
    volume: Int[np.ndarray, " r"],
    kind: Int[np.ndarray, " r"],
    table: Float[np.ndarray, "3 3 10 9"],
) -> UInt8[np.ndarray, " e"]:
    """Draws the rows' chains, one place after the other: rows sorted by volume, so that those left are in front."""
    steps = (np.cumsum(table, axis=-1).reshape(-1, 9)[:, :-1] + 2.0 * np.arange(90)[:, None]).ravel()
    order = np.argsort(-volume, kind="stable")
    starts, kind, sizes = starts[order], 10 * kind[order], volume[order]
    out = np.empty(int(volume.sum()), dtype=np.uint8)
    state = np.full(len(order), 9)
    for place in range(int(volume.max(initial=0))):
        left = int(np.searchsorted(-sizes, -place, side="left"))
        row = kind[:left] + state[:left]
        state[:left] = np.searchsorted(steps, 2.0 * row + rng.random(left), side="right") - 8 * row
        out[starts[:left] + place] = state[:left]
    return out


def _shuffled(
    rng: np.random.Generator,
    activity: UInt8[np.ndarray, " e"],
    row: Int[np.ndarray, " e"],
    where: Bool[np.ndarray, " r"],
) -> UInt8[np.ndarray, " e"]:
    """Shuffles the order within the rows ``where``; ``row`` is sorted."""
    chosen = np.flatnonzero(where[row])
    activity = activity.copy()
    activity[chosen] = activity[chosen[np.argsort(row[chosen] + rng.random(len(chosen)), kind="stable")]]
    return activity
