"""How a group makes up its mind: each rule turns the members' interest into a pull between 0 and 1."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from hanjax.simulation.interest import COLD, GONE, HOT, INTEREST, WARM

INFLUENCER_SHARE = 0.5
"""The influencer's part of what the decision-maker leaves to the others, under "weighted_influence" and "veto"."""

SOFTNESS = 6.0
"""How close "consensus" comes to the least interested member: 0 is the mean, infinity the minimum."""

STEEPNESS = 4.0
"""How sharply "majority" tells a minority from a majority."""


class Group(NamedTuple):
    """All that a rule may ask of the members of an account who are there (arrived, and not gone).

    Args:
        warm: ``[A, N]`` how many are warm.
        hot: ``[A, N]`` how many are hot.
        size: ``[A, N]`` how many there are.
        decides: ``[A, N]`` state of the decision-maker; GONE or above: is not there.
        influences: ``[A, N]`` state of the influencer, likewise.
        decision_share: the decision-maker's share in the decision, where there are shares.
    """

    warm: Shaped[np.ndarray, "a n"]
    hot: Shaped[np.ndarray, "a n"]
    size: Shaped[np.ndarray, "a n"]
    decides: UInt8[np.ndarray, "a n"]
    influences: UInt8[np.ndarray, "a n"]
    decision_share: float


def weighted_influence(group: Group) -> Float[np.ndarray, "a n"]:
    """The members' interest, weighted by their shares in the decision; see ``shares``.

    pull = d x_decision-maker + i x_influencer + (1 - d - i) mean of the others,  i = (1 - d) / 2
    """
    d = group.decision_share
    i = INFLUENCER_SHARE * (1 - d)
    decides, influences = _interest(group.decides), _interest(group.influences)
    others = group.size - (group.decides < GONE) - (group.influences < GONE)
    rest = (0.5 * group.warm + group.hot - decides - influences) / np.maximum(others, 1)
    return d * decides + i * influences + (1 - d - i) * rest


def any_one(group: Group) -> Float[np.ndarray, "a n"]:
    """One is enough: the interest of the most interested member."""
    return np.where(group.hot > 0, 1.0, np.where(group.warm > 0, 0.5, 0.0))


def consensus(group: Group) -> Float[np.ndarray, "a n"]:
    """All must agree: a soft minimum of the members' interest.

    pull = -log(mean of exp(-b x)) / b,  b = 6
    """
    cold = group.size - group.warm - group.hot
    b = SOFTNESS
    total = cold + np.exp(-b / 2) * group.warm + np.exp(-b) * group.hot
    return np.where(group.size > 0, -np.log(np.where(group.size > 0, total, 1) / np.maximum(group.size, 1)) / b, 0.0)


def majority(group: Group) -> Float[np.ndarray, "a n"]:
    """Most must agree: a steep curve of the share s of the members who are warm or hot.

    pull = s^4 / (s^4 + (1 - s)^4)
    """
    share = (group.warm + group.hot) / np.maximum(group.size, 1)
    return share**STEEPNESS / (share**STEEPNESS + (1 - share) ** STEEPNESS)


def decision_maker(group: Group) -> Float[np.ndarray, "a n"]:
    """One decides: the interest of the decision-maker, once arrived; 0 before and after."""
    return _interest(group.decides)


def veto(group: Group) -> Float[np.ndarray, "a n"]:
    """As ``weighted_influence``, unless the influencer is there and cold: then nothing."""
    return np.where(group.influences == COLD, 0.0, weighted_influence(group))


def contagion(group: Group) -> Float[np.ndarray, "a n"]:
    """The mean interest of members who make each other interested: that part lies in how interest moves."""
    return (0.5 * group.warm + group.hot) / np.maximum(group.size, 1)


RULES: dict[str, Callable[[Group], Float[np.ndarray, "a n"]]] = {
    "weighted_influence": weighted_influence,
    "any_one": any_one,
    "consensus": consensus,
    "majority": majority,
    "decision_maker": decision_maker,
    "veto": veto,
    "contagion": contagion,
}
"""Every rule by its name."""

SPREADS = {"contagion": 1.0}
"""How far interest spreads among members, by rule; 0 under all others."""


def make_group(
    state: UInt8[np.ndarray, "i n"],
    *,
    starts: Int[np.ndarray, " a"],
    decides: UInt8[np.ndarray, "a n"],
    influences: UInt8[np.ndarray, "a n"],
    decision_share: float,
) -> Group:
    """Counts the members who are there.

    Args:
        state: ``[I, N]`` members' states, sorted by account.
        starts: ``[A]`` each account's first member.
        decides: ``[A, N]`` state of the decision-maker.
        influences: ``[A, N]`` state of the influencer.
        decision_share: the decision-maker's share in the decision.
    """
    # One sum for three counts of up to 255 members each, as digits.
    digit = np.zeros(256, dtype=np.uint32)
    digit[:GONE] = 1
    digit[WARM] += 1 << 8
    digit[HOT] += 1 << 16
    total = np.add.reduceat(digit[state], starts, axis=0)
    warm, hot, size = (((total >> shift) & 255).astype(np.float32) for shift in (8, 16, 0))
    return Group(warm, hot, size, decides, influences, decision_share)


def shares(
    present: Bool[np.ndarray, "i t"],
    *,
    account: Int[np.ndarray, " i"],
    decides: Bool[np.ndarray, " i"],
    influences: Bool[np.ndarray, " i"],
    decision_share: float,
) -> Float[np.ndarray, "i t"]:
    """Each individual's share in the decision of its account under weighted influence, at each cut-off.

    The decision-maker has the share d, the influencer half of what is left; those of the others who are there divide
    the rest equally. The share of a decision-maker or influencer who is not there is nobody's.

    Args:
        present: ``[I, T]`` who is there at each cut-off: has arrived, and is not gone.
        account: ``[I]`` each individual's account, sorted; every account has a member.
        decides: ``[I]`` who the decision-makers are, one an account.
        influences: ``[I]`` who the influencers are, at most one an account.
        decision_share: d.
    """
    starts = np.searchsorted(account, np.arange(account[-1] + 1))
    i = INFLUENCER_SHARE * (1 - decision_share)
    other = present & ~(decides | influences)[:, None]
    count = np.add.reduceat(other, starts, axis=0, dtype=np.int32)[account]
    rest = (1 - decision_share - i) / np.maximum(count, 1)
    share = np.where(decides[:, None], decision_share, np.where(influences[:, None], i, rest))
    return np.where(present, share, 0.0)


def _interest(state: UInt8[np.ndarray, "a n"]) -> Float[np.ndarray, "a n"]:
    return INTEREST[np.minimum(state, GONE)]
