"""Samples: one account at one cut-off, with its outcome and the members present then."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.config import PanelConfig
from hanjax.data.distinct import AsOf
from hanjax.data.log import NEVER, Log
from hanjax.data.periods import Calendar
from hanjax.data.sequences import Cells
from hanjax.data.windows import active_windows, calendar_windows
from hanjax.types import LeftOut

if TYPE_CHECKING:
    from hanjax.data.asked import Asked


class Span(NamedTuple):
    """The cut-offs at which each account is a sample: ``first`` to ``last``, both included."""

    first: Int[np.ndarray, " a"]
    last: Int[np.ndarray, " a"]


class Presence(NamedTuple):
    """The cut-offs at which each individual is a member: ``arrives`` included, ``leaves`` not."""

    arrives: Int[np.ndarray, " n"]
    leaves: Int[np.ndarray, " n"]


class Groups(NamedTuple):
    """Samples of some accounts, and who did what in each.

    Args:
        account: ``[b]`` account code of each sample.
        cutoff: ``[b]`` its cut-off.
        size: ``[b]`` how many members it has.
        individual: ``[s]`` the members, sample after sample, each sample's in order of arrival, as individual codes.
        window: ``[s, W]`` what each of them did, as positions in the cells plus 1; 0 for a quiet period.
        recent: ``[b, 2]`` within the last W calendar periods of each sample: its members who were active, crowded out
            or not, and the untruncated activities of all individuals of the account; ``[b, 0]`` unless asked for.
        crowded_out: members beyond K, over all samples.
        memberless: account and cut-off of samples that nobody was a member of, ``[m, 2]``.
    """

    account: Int[np.ndarray, " b"]
    cutoff: Int[np.ndarray, " b"]
    size: Int[np.ndarray, " b"]
    individual: Int[np.ndarray, " s"]
    window: Int[np.ndarray, "s W"]
    recent: Int[np.ndarray, "b 2"]
    crowded_out: int
    memberless: Int[np.ndarray, "m 2"]

    def for_members(self, values: np.ndarray) -> np.ndarray:
        """What is given for each sample, once for each of its members."""
        return np.repeat(values, self.size, axis=0)


def find_presence(log: Log, calendar: Calendar, *, opt_out_activity: str | None) -> Presence:
    """When each individual is a member: from the first cut-off after the arrival to the one after an opt-out."""
    arrives = calendar.first_cutoff_after(log.arrived_at)
    leaves = np.full(len(arrives), np.iinfo(np.int32).max, np.int32)
    if opt_out_activity in log.activities:
        events = np.flatnonzero(log.event_activity == log.activities.index(opt_out_activity))
        known = log.event_time[events]
        if log.event_known is not None:
            known = np.maximum(known, log.event_known[events])
        np.minimum.at(leaves, log.event_individual[events], calendar.first_cutoff_after(known))
    return Presence(arrives, leaves)


def find_span(log: Log, calendar: Calendar, presence: Presence) -> tuple[Span, list[LeftOut]]:
    """The cut-offs of each account, and the accounts that have none, by reason.

    The first is the first after ``observed_from`` at which a member has arrived. The last is that of the period in
    which the account converts, else the last that lies within observation.
    """
    earliest = np.full(len(log.account_ids), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(earliest, log.individual_account, presence.arrives)
    first = np.maximum(calendar.first_cutoff_after(log.observed_from), earliest)
    converted = log.converted_at != NEVER
    last = calendar.period_of(np.where(converted, log.converted_at, log.observed_to))
    none = last < first
    left_out = [
        LeftOut("accounts", reason, int(which.sum()), tuple(log.account_ids[which][:5]))
        for reason, which in (
            ("converted before the first cut-off that has a member", none & converted),
            ("observation ends before the first cut-off that has a member", none & ~converted),
        )
        if which.any()
    ]
    return Span(first, last), left_out


def outcomes(
    log: Log,
    calendar: Calendar,
    account: Int[np.ndarray, " b"],
    cutoff: Int[np.ndarray, " b"],
    horizons: tuple[int, ...],
) -> Float[np.ndarray, "b H"]:
    """1 where the account converts within the horizon, 0 where it was wholly observed and did not, else NaN."""
    ends = np.append(calendar.starts, NEVER)
    converted, observed = log.converted_at[account], log.observed_to[account]
    label = np.full((len(account), len(horizons)), np.nan, np.float32)
    for column, horizon in enumerate(horizons):
        end = ends[np.minimum(cutoff + horizon, len(ends) - 1)]
        label[end <= observed, column] = 0
        label[(calendar.starts[cutoff] <= converted) & (converted < end) & (converted != NEVER), column] = 1
    return label


def find_groups(
    log: Log,
    cells: Cells,
    span: Span,
    presence: Presence,
    accounts: range,
    config: PanelConfig,
    *,
    max_members: int,
    asked: "Asked | None" = None,
) -> Groups:
    """Lays individuals out over cut-offs and finds each sample's members and their windows.

    Args:
        log: the checked log.
        cells: what individuals did.
        span: the accounts' cut-offs.
        presence: the individuals' cut-offs.
        accounts: codes of the accounts wanted.
        config: the data's settings.
        max_members: places for members (K); in a larger group the most recently active at the cut-off keep theirs.
        asked: the samples that are wanted, within the accounts' cut-offs; None for all.
    """
    begin, end = np.searchsorted(log.individual_account, [accounts.start, accounts.stop])
    first, last = span.first[accounts.start : accounts.stop], span.last[accounts.start : accounts.stop]
    made = first <= last
    if begin == end or not made.any():
        none, pairs = np.zeros(0, np.int32), np.zeros((0, 2), np.int32)
        recent = np.zeros((0, 2 if _needs_recent(config) else 0), np.int64)
        return Groups(none, none, none, none, np.zeros((0, config.window), np.int32), recent, 0, pairs)
    cutoffs = range(int(first[made].min()), int(last[made].max()) + 1)
    at = np.arange(cutoffs.start, cutoffs.stop, dtype=np.int32)

    individuals = range(int(begin), int(end))
    make_windows = calendar_windows if config.window_kind == "calendar" else active_windows
    windows = make_windows(cells, individuals, cutoffs, window=config.window)
    row = log.individual_account[begin:end] - accounts.start
    sampled = (first[:, None] <= at) & (at <= last[:, None])
    if asked is not None:
        sampled &= asked.at(accounts, cutoffs)
    member = (presence.arrives[begin:end, None] <= at) & (at < presence.leaves[begin:end, None]) & sampled[row]
    recent = None
    if _needs_recent(config):
        active = _sums(member & _recently_active(cells, windows, at, config), row, len(accounts))
        recent = np.stack([active, _activities(cells, individuals, cutoffs, row, len(accounts), config.window)], -1)
    if config.membership == "active":
        member &= windows.any(-1)

    size = _sums(member, row, len(accounts))
    crowded_out = int(np.maximum(size - max_members, 0).sum())
    if crowded_out:
        _keep_most_recent(member, size, row, cells, individuals, cutoffs, max_members)
        size = np.minimum(size, max_members)

    account, column = np.nonzero(sampled & (size > 0))
    empty = np.argwhere(sampled & (size == 0))
    slot = _by_sample(member, size, row)
    return Groups(
        account=(account + accounts.start).astype(np.int32),
        cutoff=at[column],
        size=size[account, column],
        individual=slot // np.int32(len(cutoffs)) + np.int32(begin),
        window=windows.reshape(-1, config.window).take(slot, axis=0),
        recent=np.zeros((len(account), 0), np.int64) if recent is None else recent[account, column],
        crowded_out=crowded_out,
        memberless=(empty + [accounts.start, cutoffs.start]).astype(np.int32),
    )


def _needs_recent(config: PanelConfig) -> bool:
    return not {"active_individuals", "activities"}.isdisjoint(config.account_numbers)


def _recently_active(
    cells: Cells, windows: Int[np.ndarray, "n c W"], at: Int[np.ndarray, " c"], config: PanelConfig
) -> Bool[np.ndarray, "n c"]:
    """Which individuals were active within the last W calendar periods before each cut-off."""
    if config.window_kind == "calendar":
        return windows.any(-1)
    latest = windows[:, :, -1]  # of active periods, however old
    return (latest > 0) & (at - np.append(0, cells.period)[latest] <= config.window)


def _activities(
    cells: Cells, individuals: range, cutoffs: range, row: np.ndarray, accounts: int, window: int
) -> Int[np.ndarray, "a c"]:
    """Activities of each account's individuals, members or not, within the last W calendar periods."""
    begin, end = np.searchsorted(cells.individual, [individuals.start, individuals.stop])
    counted_from = np.maximum(cells.valid_from[begin:end], cutoffs.start) - cutoffs.start
    counted_to = np.minimum(cells.valid_to[begin:end], cells.period[begin:end] + window + 1)
    counted_to = np.minimum(counted_to, cutoffs.stop) - cutoffs.start
    some = np.flatnonzero(counted_from < counted_to)
    account = row[cells.individual[begin:end][some] - individuals.start]
    change = np.zeros((accounts, len(cutoffs) + 1), np.int64)
    np.add.at(change, (account, counted_from[some]), cells.amount[begin:end][some])
    np.subtract.at(change, (account, counted_to[some]), cells.amount[begin:end][some])
    return np.cumsum(change[:, :-1], axis=1)


def _sums(member: np.ndarray, row: np.ndarray, accounts: int) -> np.ndarray:
    """Members of each account at each cut-off."""
    size = np.zeros((accounts, member.shape[1]), np.int32)
    begins = np.flatnonzero(np.diff(row, prepend=-1))
    size[row[begins]] = np.add.reduceat(member, begins, axis=0, dtype=np.int32)
    return size


def _by_sample(member: np.ndarray, size: np.ndarray, row: np.ndarray) -> Int[np.ndarray, " s"]:
    """Places of the members in the flattened array, sorted by account, cut-off and individual.

    Nothing is sorted: where a member comes is how many the samples before its own have, and how many arrived earlier.
    """
    arrived = np.cumsum(member, axis=0, dtype=np.int32)
    begins = np.cumsum(size.ravel(), dtype=np.int32).reshape(size.shape) - size
    first = np.flatnonzero(np.diff(row, prepend=-1))
    begins[row[first[1:]]] -= arrived[first[1:] - 1]  # members of accounts before
    there = np.flatnonzero(member)
    order = np.empty(len(there), np.int32)
    order[(arrived + begins[row]).ravel()[there] - 1] = there
    return order


def _keep_most_recent(
    member: np.ndarray,
    size: np.ndarray,
    row: np.ndarray,
    cells: Cells,
    individuals: range,
    cutoffs: range,
    max_members: int,
) -> None:
    """Takes the members beyond K out of groups that are too large: those whose last activity is oldest."""
    who, when = np.nonzero(member & (size > max_members)[row])
    begin, end = np.searchsorted(cells.individual, [individuals.start, individuals.stop])
    person, cutoff, time = cells.individual[begin:end], cells.valid_from[begin:end], cells.last_time[begin:end]
    order = np.lexsort((time, cutoff, person))
    person, cutoff = person[order], cutoff[order]
    latest = pd.Series(time[order]).groupby(person).cummax().to_numpy()  # a late row may be older than known ones
    bound = int(max(cutoff.max(initial=0), cutoffs.stop)) + 1
    known = AsOf(person, cutoff, bound)(who + individuals.start, when + cutoffs.start)
    recency = np.append(latest, np.iinfo(np.int64).min)[known]  # -1: never active

    group = row[who].astype(np.int64) * member.shape[1] + when
    newest_first = -np.unique(recency, return_inverse=True)[1]  # ranks, which can be negated without overflow
    order = np.lexsort((who, newest_first, group))
    group = group[order]
    rank = np.arange(len(order)) - np.searchsorted(group, group)
    beyond = order[rank >= max_members]
    member[who[beyond], when[beyond]] = False
