"""What all individuals of an account did together, by activity and period, as known at a cut-off."""

import numpy as np
from jaxtyping import Int

from hanjax.data.encoding import Encoding, activity_ids
from hanjax.data.log import Log
from hanjax.data.periods import Calendar
from hanjax.data.sequences import UNKNOWN

FIRST = UNKNOWN + 1
"""The smallest id of an activity that the encoding knows."""


def account_totals(
    log: Log,
    calendar: Calendar,
    encoding: Encoding,
    account: Int[np.ndarray, " b"],
    cutoff: Int[np.ndarray, " b"],
    *,
    window: int,
) -> dict[str, Int[np.ndarray, " b"]]:
    """Counts each activity in each of the last W periods, over all individuals of the account, members or not.

    Args:
        log: the checked log; an event counts as often as its ``count`` says, from the first cut-off that knows it.
        calendar: its periods.
        encoding: names the activities that are counted.
        account: ``[b]`` the samples' accounts.
        cutoff: ``[b]`` their cut-offs.
        window: W.

    Returns:
        The counts ``[b]`` by name, such as "click email, 2 back".
    """
    periods, kinds = len(calendar.starts), len(encoding.activities)
    period = calendar.period_of(log.event_time)
    activity = activity_ids(log, encoding).astype(np.int64)[log.event_activity] - FIRST
    place = (log.individual_account[log.event_individual].astype(np.int64) * periods + period) * kinds + activity
    # What is known of a period grows with the cut-offs that follow it; without late rows all is known at the first.
    delay = None if log.event_known is None else calendar.first_cutoff_after(log.event_known) - period

    def table(lag: int) -> Int[np.ndarray, "c v"]:
        rows = activity >= 0 if delay is None else (activity >= 0) & (delay <= lag)
        weights = None if log.event_count is None else log.event_count[rows]
        size = len(log.account_ids) * periods * kinds
        return np.bincount(place[rows], weights=weights, minlength=size).reshape(-1, kinds)

    totals, known = {}, table(1)
    for lag in range(1, window + 1):
        if delay is not None and lag > 1:
            known = table(lag)
        there = cutoff >= lag
        at = account.astype(np.int64) * periods + np.where(there, cutoff - lag, 0)
        counts = np.where(there[:, None], known[at], 0)
        totals |= {f"{name}, {lag} back": counts[:, i] for i, name in enumerate(encoding.activities)}
    return totals
