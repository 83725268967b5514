"""What individuals do: the activities of a week, which interest drives, and the chances that they follow."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hanjax.simulation.interest import Paths

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

SALES = np.array([OPEN_SALES, CLICK_SALES, SEND_SALES, UNSUBSCRIBE, *range(OPEN_SALES, 9)], dtype=np.uint8)
"""The activity that stands for each in a week of sales email."""

MARKETING = np.array([OPEN, CLICK, SEND, UNSUBSCRIBE, OPEN, CLICK, SEND, FORWARD_IN, FORWARD_OUT], dtype=np.uint8)
"""The activity that each stands for, whoever writes."""

WEEK = 7 * 86400

BEGINS = {SEND: 0.70, OPEN: 0.12, CLICK: 0.06, FORWARD_IN: 0.12}
"""How a chain of activities begins."""

OPENS, CLICKS, FORWARDS = 0.75, 0.60, 0.50
"""Probability that what was sent is opened, what was opened is clicked and what was clicked is forwarded."""

OPENS_MORE = np.array([-0.08, 0.03, 0.09])
CLICKS_MORE = np.array([-0.18, 0.06, 0.23])
FORWARDS_MORE = np.array([-0.11, 0.04, 0.15])
KEEPS_ORDER_MORE = np.array([-0.45, 0.15, 0.45])
"""What interest adds to these probabilities, and to the one half with which a week keeps its order."""

SALES_WEEKS = np.array([0.15, 0.25, 0.45])
"""Probability that a week's email is from sales instead of marketing, by role; 1 for whoever opted out of email."""


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


def volume_distribution() -> Float[np.ndarray, "114"]:
    """Probability of 1 to 114 activities in an active week; 90 % do at most 8 and 96 % at most 9, as in the paper."""
    body = np.array([0.15, 0.14, 0.13, 0.125, 0.115, 0.105, 0.095, 0.07, 0.042])
    tail = np.arange(10.0, 115.0) ** -1.5
    return np.concatenate([body, (1 - body.sum()) * tail / tail.sum()])


def keeps_order(order_signal: float) -> Float[np.ndarray, "3"]:
    """Probability that a week keeps its order, by interest."""
    return 0.5 + order_signal * KEEPS_ORDER_MORE


def chains(count_signal: float) -> Float[np.ndarray, "3 10 9"]:
    """Probability of the next activity in a week that keeps its order, by interest and the activity before (9: none).

    An email that was sent is opened, what was opened is clicked, what was clicked is forwarded, each with some
    probability; otherwise something else begins.
    """
    opens, clicks, forwards = (
        chance + count_signal * more
        for chance, more in ((OPENS, OPENS_MORE), (CLICKS, CLICKS_MORE), (FORWARDS, FORWARDS_MORE))
    )
    table = np.zeros((3, 10, 9))
    table[:, :, list(BEGINS)] = list(BEGINS.values())
    for before, after, chance in (
        (SEND, OPEN, opens),
        (FORWARD_IN, OPEN, opens),
        (OPEN, CLICK, clicks),
        (CLICK, FORWARD_OUT, forwards),
    ):
        table[:, before] *= 1 - chance[:, None]
        table[:, before, after] += chance
    return table


def shares(table: Float[np.ndarray, "3 10 9"]) -> Float[np.ndarray, "3 9"]:
    """What a week that does not keep its order draws from: the activities' expected shares in one that does."""
    volume = volume_distribution()
    place = np.zeros((3, 10))
    place[:, 9] = 1
    total = np.zeros((3, 9))
    for left in np.cumsum(volume[::-1])[::-1]:  # the probability that there is a next activity
        place = np.pad(np.einsum("mi,mij->mj", place, table), ((0, 0), (0, 1)))
        total += left * place[:, :9]
    return total / total.sum(axis=1, keepdims=True)


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

    A week either keeps its order, and then is a chain of activities that follow from each other; or its activities
    are drawn independently, with the same expected counts. The more interest, the more often order is kept. So the
    order tells interest, and volumes show less of it. Whose email it is (marketing or sales) tells roles.

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
    mood = paths.state[individual, week].astype(np.intp)
    ends = np.cumsum(volume)
    starts = ends - volume
    row = np.repeat(np.arange(len(individual)), volume)
    place = np.arange(len(row)) - starts[row]

    table = chains(count_signal)
    loose = np.repeat(shares(table)[:, None], 10, axis=1)
    kept = rng.random(len(individual)) < keeps_order(order_signal)[mood]
    activity = _chains(rng, starts, volume, mood + 3 * ~kept, np.concatenate([table, loose]))
    sales = rng.random(len(individual)) < np.where(no_email, 1.0, SALES_WEEKS[role])[individual]
    activity = np.where(sales[row], SALES[activity], activity)
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
    table: Float[np.ndarray, "k 10 9"],
) -> UInt8[np.ndarray, " e"]:
    """Draws the rows' chains, one place after the other: rows sorted by volume, so that those left are in front."""
    steps = (np.cumsum(table, axis=-1).reshape(-1, 9)[:, :-1] + 2.0 * np.arange(10 * len(table))[:, None]).ravel()
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
