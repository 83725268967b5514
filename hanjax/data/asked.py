"""Which samples a table of outcomes asks for: one for each of its rows, instead of every period of every account."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hanjax.config import PanelConfig
from hanjax.data.log import Log
from hanjax.data.periods import Calendar
from hanjax.data.samples import Groups, Span
from hanjax.types import LeftOut, Panel


class Asked(NamedTuple):
    """Rows of the log's outcomes that lie within the observation of their account, in their order.

    Args:
        row: ``[r]`` position among the log's outcomes.
        account: ``[r]`` account code, ascending.
        cutoff: ``[r]`` number of the cut-off, ascending within an account; several rows may have the same.
    """

    row: Int[np.ndarray, " r"]
    account: Int[np.ndarray, " r"]
    cutoff: Int[np.ndarray, " r"]

    def take(self, which: Bool[np.ndarray, " r"]) -> "Asked":
        """Some of the rows."""
        return Asked(*(array[which] for array in self))

    def within(self, span: Span) -> "Asked":
        """The rows whose cut-off lies within the span of their account."""
        return self.take((span.first[self.account] <= self.cutoff) & (self.cutoff <= span.last[self.account]))

    def span(self, accounts: int) -> Span:
        """The first and the last cut-off of each of so many accounts; last before first where there is none."""
        first, last = np.full(accounts, np.iinfo(np.int32).max, np.int32), np.full(accounts, -1, np.int32)
        np.minimum.at(first, self.account, self.cutoff)
        np.maximum.at(last, self.account, self.cutoff)
        return Span(first, last)

    def at(self, accounts: range, cutoffs: range) -> Bool[np.ndarray, "a c"]:
        """Which of some accounts are samples at which of some cut-offs."""
        begin, end = np.searchsorted(self.account, [accounts.start, accounts.stop])
        found = np.zeros((len(accounts), len(cutoffs)), bool)
        column = self.cutoff[begin:end] - cutoffs.start
        inside = (column >= 0) & (column < len(cutoffs))
        found[self.account[begin:end][inside] - accounts.start, column[inside]] = True
        return found

    def looks_at(
        self, account: Int[np.ndarray, " n"], period: Int[np.ndarray, " n"], config: PanelConfig
    ) -> Bool[np.ndarray, " n"]:
        """Whether some row's window can hold a period of its account; windows of active periods have no beginning."""
        bound = int(max(self.cutoff.max(initial=0), period.max(initial=0))) + 1
        key = self.account.astype(np.int64) * bound + self.cutoff
        after = np.searchsorted(key, account.astype(np.int64) * bound + period, side="right")
        there = np.append(self.account, -1)[after] == account
        near = np.append(self.cutoff, 0)[after] - period <= config.window
        return there & (near | (config.window_kind == "active"))


def find_asked(log: Log, calendar: Calendar, span: Span) -> tuple[Asked, list[LeftOut]]:
    """Places the rows of the log's outcomes in the calendar, and counts those that cannot be samples, by reason.

    Args:
        log: the checked log, with outcomes.
        calendar: its periods.
        span: the accounts' cut-offs, the last of which is that of the period in which observation ends.

    Returns:
        The rows within their account's observation; whether anybody is a member there shows later. And what is left
        out, with the accounts that no row asks for.
    """
    assert log.outcomes is not None
    account, cutoff = log.outcomes.account, calendar.period_of(log.outcomes.cutoff)
    early = cutoff < calendar.first_cutoff_after(log.observed_from)[account]
    late = ~early & (cutoff > span.last[account])
    left_out = [
        _left_out(log, calendar, rows, reason)
        for reason, rows in (
            ("at or before the beginning of its account's observation", np.flatnonzero(early)),
            ("after the end of its account's observation", np.flatnonzero(late)),
        )
        if len(rows)
    ]
    silent = ~np.isin(np.arange(len(log.account_ids)), account)
    if silent.any():
        first = tuple(log.account_ids[silent][:5])
        left_out.append(LeftOut("accounts", "no row of outcomes is theirs", int(silent.sum()), first))
    inside = ~early & ~late
    return Asked(np.flatnonzero(inside), account[inside], cutoff[inside]), left_out


def one_a_row(
    log: Log, calendar: Calendar, asked: Asked, group: Groups, window: Int[np.ndarray, " s"]
) -> tuple[Asked, Groups, Int[np.ndarray, " s"], list[LeftOut]]:
    """Makes a sample of each row, several of the same account and cut-off where rows differ in their segments.

    Args:
        log: the checked log.
        calendar: its periods.
        asked: the rows.
        group: each account at each cut-off that a row asks for, if it has a member there.
        window: ``[s]`` the window of each member of these.

    Returns:
        The rows that are samples; the samples; their members' windows; and the rows without a member, counted.
    """
    bound = int(asked.cutoff.max(initial=0)) + 1
    key = group.account.astype(np.int64) * bound + group.cutoff
    wanted = asked.account.astype(np.int64) * bound + asked.cutoff
    place = np.searchsorted(key, wanted)
    there = np.append(key, -1)[place] == wanted
    place, size = place[there], group.size[place[there]]
    begin = (np.cumsum(group.size) - group.size)[place]
    slots = np.arange(size.sum()) + np.repeat(begin - (np.cumsum(size) - size), size)
    repeated = group._replace(
        account=group.account[place],
        cutoff=group.cutoff[place],
        size=size,
        individual=group.individual[slots],
        recent=group.recent[place],
        memberless=np.zeros((0, 2), np.int32),
    )
    left_out = []
    if not there.all():
        left_out.append(_left_out(log, calendar, asked.row[~there], "nobody is a member at the cut-off"))
    return asked.take(there), repeated, window[slots], left_out


def known_at(panel: Panel, log: Log, calendar: Calendar) -> Int[np.ndarray, " b"]:
    """When the outcome of each sample was known, microseconds since 1970, UTC: as outcomes say, or with its period.

    Args:
        panel: the samples.
        log: what they were made of.
        calendar: its periods.
    """
    if log.outcomes is None:
        return calendar.starts[panel.samples["period"].to_numpy() + 1] - 1
    rows = log.outcomes.segments.assign(
        account_id=log.account_ids[log.outcomes.account],
        cutoff=pd.to_datetime(log.outcomes.cutoff, unit="us", utc=True).tz_convert(calendar.timezone).as_unit("us"),
        known_at=log.outcomes.known_at,
    )
    found = panel.samples[panel.keys].merge(rows, on=panel.keys, how="left", validate="one_to_one")
    return found["known_at"].to_numpy()


def _left_out(log: Log, calendar: Calendar, rows: Int[np.ndarray, " n"], reason: str) -> LeftOut:
    """Rows of the outcomes that are no samples, the first of them by account and cut-off."""
    assert log.outcomes is not None
    first = log.outcomes.take(rows[:5])
    times = pd.to_datetime(first.cutoff, unit="us", utc=True).tz_convert(calendar.timezone)
    pairs = [f"{log.account_ids[a]} at {t:%Y-%m-%d}" for a, t in zip(first.account, times, strict=True)]
    return LeftOut("outcomes", reason, len(rows), tuple(pairs))
