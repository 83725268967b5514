"""A particle filter over everything that is hidden in a market, vectorized over accounts, members and particles."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hanjax.simulation import interest, rules
from hanjax.simulation.people import DECISION_MAKER, INFLUENCER, USER
from hanjax.simulation.settings import MarketConfig


class Problem(NamedTuple):
    """What was seen of A accounts with M members, sorted by account, in T weeks; see ``likelihood.Evidence``.

    Args:
        config: of the market.
        offset: ``[A]`` log-odds of converting when all members are cold.
        end: ``[A]`` the last cut-off at which an account is still there.
        account: ``[M]`` each member's account.
        arrival: ``[M]`` week of arrival; below 0: before the first of these weeks.
        doing: ``[M, T, 4]`` likelihood of what was done in a week, by state, up to a factor.
        leaves: ``[M, T]`` weeks that end with an unsubscription.
        arrived_as: ``[M, 3]`` log-likelihood of a member's static categories, by role.
        sales: ``[M, T, 3]`` log-likelihood of whose email a week's was, by role.
        pairs: ``[C, 2]`` who may be decision-maker and influencer, by order of arrival.
        chance: ``[C]`` with which probability.
        looking: probability that an account looks for something to buy, before the first week.
        first: ``[2, 4]`` state before the first week of whoever had arrived, by phase.
    """

    config: MarketConfig
    offset: Float[np.ndarray, " a"]
    end: Int[np.ndarray, " a"]
    account: Int[np.ndarray, " m"]
    arrival: Int[np.ndarray, " m"]
    doing: Float[np.ndarray, "m t 4"]
    leaves: Bool[np.ndarray, "m t"]
    arrived_as: Float[np.ndarray, "m 3"]
    sales: Float[np.ndarray, "m t 3"]
    pairs: Int[np.ndarray, "c 2"]
    chance: Float[np.ndarray, " c"]
    looking: float
    first: Float[np.ndarray, "2 4"]


class _Particles(NamedTuple):
    """Samples of what is hidden, N for each account.

    Args:
        phase: ``[A, N]`` whether the account looks for something to buy.
        state: ``[M, N]`` members' states.
        weight: ``[A, N]`` log-weights, without survival.
        survival: ``[A, C, N]`` log-probability of not having converted, given who decides.
    """

    phase: UInt8[np.ndarray, "a n"]
    state: UInt8[np.ndarray, "m n"]
    weight: Float[np.ndarray, "a n"]
    survival: Float[np.ndarray, "a c n"]


def run_filter(problem: Problem, *, particles: int, rng: np.random.Generator) -> Float[np.ndarray, "a t"]:
    """The probability of converting at the cut-off after each week, given the weeks up to it.

    Given its phase, its state a week ago and what it did, each member's state is drawn from its exact conditional
    distribution, and the phase from its own, given all members' states a week ago. Decision-maker and influencer are
    summed over: each particle holds the survival under every pair. An account's particles are drawn anew when half of
    them have lost their weight.

    Args:
        problem: what was seen.
        particles: N.
        rng: where randomness comes from.

    Returns:
        ``[A, T]`` probabilities; 0 where nobody has arrived, or after the end.
    """
    accounts, weeks = len(problem.offset), problem.doing.shape[1]
    size = accounts, particles
    starts = np.searchsorted(problem.account, np.arange(accounts))
    phase = (rng.random(size) < problem.looking).astype(np.uint8)
    before = np.cumsum(problem.first, axis=1)[:, :3].astype(np.float32)
    state = _draw(before[phase[problem.account]], rng)
    state[problem.arrival >= 0] = interest.NOT_YET
    cloud = _Particles(
        phase, state, np.zeros(size, np.float32), np.zeros((accounts, len(problem.pairs), particles), np.float32)
    )
    role = _roles(problem, starts)
    result = np.zeros((accounts, weeks))
    for week in range(weeks):
        waits = problem.arrival[starts] > week
        cloud.phase[waits] = rng.random((waits.sum(), particles)) < interest.PHASES[cloud.phase[waits], 1]
        alive = ~waits & (week + 1 <= problem.end)
        rows = np.flatnonzero((problem.arrival <= week) & alive[problem.account])
        kept = np.flatnonzero(alive)
        if not len(kept):
            continue
        account = np.searchsorted(kept, problem.account[rows])
        part = _Particles(cloud.phase[kept], cloud.state[rows], cloud.weight[kept], cloud.survival[kept])
        part = _move(part, problem, rows, account, week, rng)
        part, result[kept, week] = _decide(part, problem, account, kept, role[kept, :, week], rng)
        cloud.phase[kept], cloud.state[rows], cloud.weight[kept], cloud.survival[kept] = part
    return result


def _roles(problem: Problem, starts: Int[np.ndarray, " a"]) -> Float[np.ndarray, "a c t"]:
    """Log-probability of each pair of decision-maker and influencer, given what statics and email say, up to a week."""
    week = np.arange(problem.doing.shape[1])
    told = np.cumsum(problem.sales, axis=1) + problem.arrived_as[:, None]
    told = np.where((problem.arrival[:, None] <= week)[:, :, None], told - told[:, :, USER, None], 0.0)
    size = np.diff(np.append(starts, len(problem.account)))[:, None, None]
    total = np.log(problem.chance)[:, None] + np.zeros((len(starts), 1, len(week)))
    for column, role in enumerate((DECISION_MAKER, INFLUENCER)):
        place = problem.pairs[:, column]
        member = np.minimum(starts[:, None] + np.maximum(place, 0), len(told) - 1)
        there = (place[:, None] >= 0) & (place[:, None] < size)
        total = total + np.where(there, told[member, :, role], 0.0)
    return total


def _move(
    cloud: _Particles,
    problem: Problem,
    rows: Int[np.ndarray, " m"],
    account: Int[np.ndarray, " m"],
    week: int,
    rng: np.random.Generator,
) -> _Particles:
    """Phases and states a week later, given what was done in that week."""
    doing = problem.doing[rows, week]
    starts = np.searchsorted(account, np.arange(len(cloud.phase)))
    _revive(cloud, account, np.flatnonzero(doing[:, interest.GONE] == 0))
    spread = rules.SPREADS.get(problem.config.rule, 0.0)
    tables = [interest.transitions(interest.NEXT)]
    share = None
    if spread:
        tables.append(interest.transitions(interest.INFECTED))
        share = (spread * interest.hot_share(cloud.state, starts)).astype(np.float32)[account]
    # [M, 2 phases, 5 states, 4 states]: reached with and doing what was done, summed up to each state.
    reach = [np.cumsum(table * doing[:, None, None], axis=-1).astype(np.float32) for table in tables]

    def look(entry: int, code: Int[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
        found = [np.ascontiguousarray(table[..., entry]).ravel().take(code) for table in reach]
        return found[0] if share is None else (1 - share) * found[0] + share * found[1]

    code = np.arange(0, 10 * len(rows), 10, dtype=np.int32)[:, None] + cloud.state
    if share is None:
        with np.errstate(divide="ignore"):
            total = np.log(reach[0][..., 3])
        logs = [total.ravel().take(code + 5 * phase) for phase in range(2)]
    else:
        with np.errstate(divide="ignore"):
            logs = [np.log(look(3, code + 5 * phase)) for phase in range(2)]
    ways = [np.add.reduceat(part, starts, axis=0) for part in logs]
    with np.errstate(divide="ignore"):
        rest, looks = (np.log(interest.PHASES[:, k].astype(np.float32))[cloud.phase] + ways[k] for k in range(2))
    both = np.logaddexp(rest, looks)
    looks = np.where(both > -np.inf, looks, 0) - np.where(both > -np.inf, both, 0)
    phase = (rng.random(both.shape, dtype=np.float32) < np.exp(looks)).astype(np.uint8)
    code += 5 * phase[account]
    drawn = rng.random(code.shape, dtype=np.float32) * look(3, code)
    state = np.zeros(code.shape, dtype=np.uint8)
    for entry in range(3):
        state += drawn >= look(entry, code)
    state[problem.leaves[rows, week]] = interest.GONE
    return cloud._replace(phase=phase, state=state, weight=cloud.weight + both)


def _revive(cloud: _Particles, account: Int[np.ndarray, " m"], acts: Int[np.ndarray, " r"]) -> None:
    """Brings back whoever acts but is gone, in accounts all of whose particles hold that to be impossible.

    It happens where someone returns who had been quiet for very long, so that no particle was left without a departure.
    """
    acts = acts[(cloud.state[acts] == interest.GONE).any(axis=1)]
    if not len(acts):
        return
    wrong = cloud.weight == -np.inf
    np.logical_or.at(wrong, account[acts], cloud.state[acts] == interest.GONE)
    lost = acts[wrong.all(axis=1)[account[acts]]]
    state = cloud.state[lost]
    cloud.state[lost] = np.where(state == interest.GONE, interest.COLD, state)


def _decide(
    cloud: _Particles,
    problem: Problem,
    account: Int[np.ndarray, " m"],
    kept: Int[np.ndarray, " a"],
    role: Float[np.ndarray, "a c"],
    rng: np.random.Generator,
) -> tuple[_Particles, Float[np.ndarray, " a"]]:
    """The probability of converting now; then the particles, given that it did not happen."""
    config = problem.config
    starts = np.searchsorted(account, np.arange(len(kept)))
    size = np.diff(np.append(starts, len(account)))
    hazard = np.zeros_like(cloud.survival)
    absent = np.uint8(interest.NOT_YET)
    group = rules.make_group(
        cloud.state, starts=starts, decides=cloud.phase, influences=cloud.phase, decision_share=config.decision_share
    )
    for pair, places in enumerate(problem.pairs):
        there = [((place >= 0) & (place < size))[:, None] for place in places]
        member = [starts + np.clip(place, 0, size - 1) for place in places]
        of_role = [np.where(here, cloud.state[who], absent) for here, who in zip(there, member, strict=True)]
        pull = rules.RULES[config.rule](group._replace(decides=of_role[0], influences=of_role[1]))
        hazard[:, pair] = 1 / (1 + np.exp(-problem.offset[kept, None] - config.strength * pull))
    hazard[size < config.min_members] = 0
    joint = cloud.survival + role[:, :, None] + cloud.weight[:, None]
    joint = np.exp(joint - joint.max(axis=(1, 2), keepdims=True))
    probability = (joint * hazard).sum(axis=(1, 2)) / joint.sum(axis=(1, 2))
    cloud = cloud._replace(survival=cloud.survival + np.log1p(-hazard))
    return _renew(cloud, account, role, rng), probability


def _renew(
    cloud: _Particles, account: Int[np.ndarray, " m"], role: Float[np.ndarray, "a c"], rng: np.random.Generator
) -> _Particles:
    """Draws an account's particles anew, by weight, where fewer than half as many would count as much."""
    joint = cloud.survival + role[:, :, None]
    top = joint.max(axis=1, keepdims=True)
    ahead = np.log(np.exp(joint - top).sum(axis=1)) + top[:, 0]
    total = cloud.weight + ahead
    weight = np.exp(total - total.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    n = weight.shape[1]
    poor = np.flatnonzero(1 / (weight**2).sum(axis=1) < n / 2)
    cloud.weight[:] -= cloud.weight.max(axis=1, keepdims=True)
    if not len(poor):
        return cloud
    ticks = np.cumsum(weight[poor], axis=1)
    ticks = np.floor(ticks / ticks[:, -1:] * n + rng.random((len(poor), 1))).astype(np.int64)
    copies = np.diff(ticks, axis=1, prepend=0)
    copies[:, -1] += n - copies.sum(axis=1)
    chosen = np.repeat(np.tile(np.arange(n), len(poor)), copies.ravel()).reshape(len(poor), n)
    cloud.phase[poor] = np.take_along_axis(cloud.phase[poor], chosen, axis=1)
    cloud.survival[poor] = np.take_along_axis(cloud.survival[poor], chosen[:, None], axis=2)
    cloud.weight[poor] = -np.take_along_axis(ahead[poor], chosen, axis=1)
    place = np.full(len(weight), -1)
    place[poor] = np.arange(len(poor))
    rows = np.flatnonzero(place[account] >= 0)
    cloud.state[rows] = np.take_along_axis(cloud.state[rows], chosen[place[account[rows]]], axis=1)
    return cloud


def _draw(cumulative: Float[np.ndarray, "m n 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "m n"]:
    random = rng.random((*cumulative.shape[:2], 1), dtype=np.float32)
    return (random >= cumulative).sum(axis=-1, dtype=np.uint8)
