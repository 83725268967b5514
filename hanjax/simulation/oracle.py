"""The log oracle: what the best possible model of the log alone would say."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.errors import DataError
from hanjax.settings import require
from hanjax.simulation import interest, people
from hanjax.simulation.filter import Problem, run_filter
from hanjax.simulation.likelihood import Evidence, read_log
from hanjax.simulation.settings import Market

_CELLS = 2_000_000
"""Member states held at a time."""

_AGE = 12
"""Weeks since arrival of whoever had arrived before the window: a window does not tell."""


def log_oracle(
    market: Market,
    *,
    accounts: Sequence[Any] | None = None,
    window: int | None = None,
    particles: int = 128,
    seed: int = 0,
) -> pd.DataFrame:
    """The probability that an account converts in the week that starts at a cut-off, given the log before it.

    P(converts in week t | what its members did in the weeks before t, their static categories and arrivals, its
    employees, and that it has not converted yet)

    under the market's own rule and parameters. Roles, phases, interest and departures are hidden, and averaged over:
    who is decision-maker and influencer exactly, the rest by a particle filter, whose particles move as what was done
    makes likely. Exact sums would run over all members' phases at once, as the decision, and not having converted so
    far, couple them. No model that sees the log alone can do better, but for the Monte-Carlo error.

    Args:
        market: what ``simulate`` made. Of its hidden part, only the settings and the intercept are read.
        accounts: ids of the accounts to ask about; None for all.
        window: only what was done in the last so many weeks, as if the account had been met then; None for the whole
            log. A diagnosis: how much is lost by a model that sees so many weeks?
        particles: how many, in each of two independent halves.
        seed: of the particles.

    Returns:
        One row per account and cut-off, as in ``market.truth``: ``account_id, cutoff, probability`` and
        ``standard_error``, half the difference between the two halves, whose mean the probability is.

    Raises:
        ConfigError: if ``window`` or ``particles`` is below 1.
        DataError: if the market has no such account.

    Example:
        >>> from hanjax.simulation import log_oracle, simulate
        >>> market = simulate(accounts=30, weeks=10)
        >>> scores = log_oracle(market, accounts=["a0000001", "a0000002"])
        >>> list(scores)
        ['account_id', 'cutoff', 'probability', 'standard_error']
        >>> bool(scores["probability"].between(0, 1).all())
        True
    """
    require(window is None or window >= 1, "window", window, "a number of weeks of at least 1, or none")
    require(particles >= 1, "particles", particles, "an integer of at least 1")
    known = market.tables.accounts["account_id"]
    wanted = pd.Index(known if accounts is None else list(accounts))
    unknown = wanted[~wanted.isin(known)]
    if len(unknown):
        raise DataError(f"accounts: the market has no {', '.join(map(str, unknown[:5]))} ({len(unknown):,} unknown).")
    rows = market.truth[market.truth["account_id"].isin(wanted)][["account_id", "cutoff"]].reset_index(drop=True)
    evidence = read_log(market, wanted)
    halves = np.random.default_rng(seed).spawn(2)
    whole = [_ask(market, evidence, window, particles, rng) for rng in halves]
    start = pd.Timestamp(market.config.start, tz="UTC")
    week = ((rows["cutoff"] - start) // pd.Timedelta(days=7)).to_numpy()
    one, two = (table[evidence.account_ids.get_indexer(rows["account_id"]), week] for table in whole)
    return rows.assign(probability=(one + two) / 2, standard_error=abs(one - two) / 2)


def _ask(
    market: Market, evidence: Evidence, window: int | None, particles: int, rng: np.random.Generator
) -> Float[np.ndarray, "a t1"]:
    """The probabilities at every cut-off, by a filter of its own."""
    weeks = market.config.weeks
    table = np.zeros((len(evidence.account_ids), weeks + 1))
    if window is None:
        for accounts in _chunks(evidence, _CELLS // particles):
            problem = _problem(market, evidence, accounts, 0, weeks)
            table[accounts, 1:] = run_filter(problem, particles=particles, rng=rng)
        return table
    for cutoff in range(1, weeks + 1):
        begins = max(cutoff - window, 0)
        for accounts in _chunks(evidence, _CELLS // particles):
            problem = _problem(market, evidence, accounts, begins, cutoff)
            table[accounts, cutoff] = run_filter(problem, particles=particles, rng=rng)[:, -1]
    return table


def _chunks(evidence: Evidence, members: int) -> Iterator[slice]:
    """Accounts in a row, with about so many members each time."""
    first = np.searchsorted(evidence.account, np.arange(len(evidence.account_ids) + 1))
    begin = 0
    while begin < len(evidence.account_ids):
        end = max(int(np.searchsorted(first, first[begin] + members, side="right")) - 1, begin + 1)
        yield slice(begin, end)
        begin = end


def _problem(market: Market, evidence: Evidence, accounts: slice, begins: int, ends: int) -> Problem:
    """The log of some accounts in the weeks from ``begins`` to before ``ends``."""
    low, high = np.searchsorted(evidence.account, [accounts.start, accounts.stop])
    arrival = evidence.arrival[low:high]
    pairs, chance = people.circles(market.config.min_members)
    prior = _prior(market, begins)
    return Problem(
        config=market.config,
        offset=evidence.offset[accounts],
        end=evidence.end[accounts] - begins,
        account=evidence.account[low:high] - accounts.start,
        arrival=arrival - begins,
        doing=evidence.doing[low:high, begins:ends],
        leaves=evidence.leaves[low:high, begins:ends],
        arrived_as=evidence.arrived_as[low:high],
        sales=evidence.sales[low:high, begins:ends],
        pairs=pairs,
        chance=chance,
        looking=prior[1].sum() if begins else 0.0,
        first=prior / prior.sum(axis=1, keepdims=True),
    )


def _prior(market: Market, begins: int) -> Float[np.ndarray, "2 4"]:
    """Phase and state, before the first week of a window, of someone who had arrived before it."""
    weights = np.array([1.0, 0.0])
    for _ in range(max(begins - _AGE, 0)):
        weights = weights @ interest.PHASES
    table = np.zeros((2, 5))
    table[:, interest.NOT_YET] = weights
    step = interest.transitions(interest.NEXT)
    for _ in range(min(begins, _AGE)):
        table = np.pad(np.einsum("ys,yz,zsx->zx", table, interest.PHASES, step), ((0, 0), (0, 1)))
    return table[:, :4] if begins else np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
