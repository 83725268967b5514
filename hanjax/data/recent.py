"""The part of a log that samples at late cut-offs can see, so that new periods are encoded without the old ones."""

import numpy as np
from jaxtyping import Bool, Int

from hanjax.config import PanelConfig
from hanjax.data.log import Log
from hanjax.data.periods import Calendar
from hanjax.data.splits import take_accounts

_OF_ALL_TIME = {"active_periods", "activities"}
"""Numbers of a member that count everything that it ever did."""


def take_recent(
    log: Log, calendar: Calendar, config: PanelConfig, earliest: Int[np.ndarray, " a"]
) -> tuple[Log, Int[np.ndarray, " b"]]:
    """Leaves out of a log what no sample from given cut-offs on can see.

    Samples made of what is left, with the same calendar, are the same to the bit. Of what each individual did before
    the first cut-off wanted there stay

    * the last W periods, which windows of the calendar hold;
    * before these the last period that was active, on which hang the gap of the next activity, the order in which
      members are crowded out, and the periods since the last activity; with windows of active periods, W + 1 of them;
    * what became known after that cut-off, however old it is;
    * opt-outs.

    Members' numbers that count everything (``active_periods``, ``activities``) keep all events of these accounts.

    Args:
        log: the checked log.
        calendar: its periods.
        config: the data's settings.
        earliest: ``[a]`` number of the first cut-off wanted of each account; ``len(calendar.starts)`` if none is.

    Returns:
        The log of the accounts of which some cut-off is wanted, with all their individuals; if none of these ever did
        anything, there is one more account, since no log is without events. And ``earliest`` of these accounts.

    Example:
        >>> import hanjax, numpy as np
        >>> from hanjax.config import PanelConfig
        >>> from hanjax.data.panel import calendar_of
        >>> from hanjax.data.tables import check
        >>> log = check(hanjax.simulate(accounts=20, seed=0).tables)
        >>> calendar = calendar_of(log, PanelConfig())
        >>> recent, _ = take_recent(log, calendar, PanelConfig(), np.full(20, len(calendar.starts) - 2))
        >>> len(recent.individual_ids) == len(log.individual_ids), len(recent.event_time) < len(log.event_time) / 2
        (True, True)
    """
    wanted = earliest < len(calendar.starts)
    if not wanted[log.individual_account[log.event_individual]].any():
        wanted[log.individual_account[log.event_individual[0]]] = True
    recent, earliest = take_accounts(log, wanted), earliest[wanted]
    if _OF_ALL_TIME & set(config.member_numbers):
        return recent, earliest
    events = _seen(recent, calendar, config, earliest[recent.individual_account])
    fields = ("event_individual", "event_time", "event_activity", "event_count", "event_known", "event_order")
    there = {name: getattr(recent, name) for name in fields}
    kept = {name: None if column is None else column[events] for name, column in there.items()}
    return recent._replace(**kept), earliest


def _seen(log: Log, calendar: Calendar, config: PanelConfig, earliest: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " e"]:
    """Which events can matter from each individual's earliest cut-off on."""
    period = calendar.period_of(log.event_time)
    seen = period >= (earliest - config.window)[log.event_individual]
    older = np.flatnonzero(~seen)
    who, when = log.event_individual[older], period[older]
    stays = np.zeros(len(older), bool)
    if log.event_known is not None:  # these may fill up periods that do not stay otherwise, which nothing sees then
        stays = calendar.first_cutoff_after(log.event_known[older]) > earliest[who]
    for _ in range(1 if config.window_kind == "calendar" else config.window + 1):
        latest = np.full(len(earliest), -1, np.int32)
        np.maximum.at(latest, who[~stays], when[~stays])
        stays |= when == latest[who]
    if config.opt_out_activity in log.activities:
        stays |= log.event_activity[older] == log.activities.index(config.opt_out_activity)
    seen[older] = stays
    return seen
