"""The encoding in slow, obvious Python: loops over accounts, cut-offs and members, straight from the user's tables."""

import math

import numpy as np
import pandas as pd


def utc(value, timezone="UTC"):
    """A timestamp in UTC, or None where it is missing."""
    stamp = pd.Timestamp(value)
    if stamp is pd.NaT:
        return None
    return (stamp if stamp.tzinfo else stamp.tz_localize(timezone)).tz_convert("UTC")


def samples(tables, config):
    """Every sample by (account_id, cut-off): its members with their windows and statics, and its label."""
    events = tables.events.assign(time=[utc(t, config.timezone) for t in tables.events["timestamp"]])
    known = events["known_at"] if "known_at" in events else events["timestamp"]
    events["known"] = [utc(t, config.timezone) for t in known]
    if "order" not in events:
        events["order"] = 0
    if "count" not in events:
        events["count"] = 1
    arrived = {}
    for _, row in tables.individuals.iterrows():
        own = events[events["individual_id"] == row["individual_id"]]
        given = utc(row["arrived_at"], config.timezone) if "arrived_at" in row else None
        arrived[row["individual_id"]] = given or min(max(e.time, e.known) for e in own.itertuples())
    log_end = max([*events["time"], *arrived.values()])
    statics = [c for c in tables.individuals if c not in ("individual_id", "account_id", "arrived_at", "known_at")]

    found = {}
    for _, account in tables.accounts.iterrows():
        who = tables.individuals[tables.individuals["account_id"] == account["account_id"]]["individual_id"].unique()
        its = events[events["account_id"] == account["account_id"]]
        begin = utc(account.get("observed_from"), config.timezone) or min([arrived[i] for i in who] + list(its["time"]))
        end = utc(account.get("observed_to"), config.timezone) or log_end
        converted = utc(account.get("converted_at"), config.timezone)
        period = pd.Period(begin.tz_convert(config.timezone).tz_localize(None), config.period)
        while True:
            period = period + 1
            cutoff = _start(period, config)
            if cutoff > end or (converted and converted < cutoff):
                break
            members = []
            for individual in sorted(who, key=lambda i: (arrived[i], i)):
                own = its[(its["individual_id"] == individual) & (its["time"] < cutoff) & (its["known"] < cutoff)]
                gone = (own["activity"] == config.opt_out_activity).any()
                if arrived[individual] >= cutoff or gone:
                    continue
                window = _window(own, period, config)
                if config.membership == "active" and not any(window):
                    continue
                history = tables.individuals[tables.individuals["individual_id"] == individual]
                if "known_at" in history:
                    stamps = [utc(t, config.timezone) for t in history["known_at"]]
                    history = history[np.array([t < cutoff for t in stamps], bool)].sort_values("known_at")
                static = tuple(history[statics].iloc[-1]) if len(history) else (None,) * len(statics)
                last = max(own["time"]).value if len(own) else -math.inf
                members.append((individual, window, static, last))
            if not members:
                continue
            keep = sorted(range(len(members)), key=lambda i: (-members[i][3], i))[: config.max_members]
            label = []
            for horizon in config.horizons:
                until = _start(period + horizon, config)
                if converted and converted < until:
                    label.append(1.0)
                else:
                    label.append(0.0 if until <= end else math.nan)
            found[account["account_id"], cutoff] = ([members[i][:3] for i in sorted(keep)], label)
    return found


def _start(period, config):
    return period.start_time.tz_localize(config.timezone).tz_convert("UTC")


def _window(own, period, config):
    """The last W calendar or active periods before the given one, each a tuple of activities, oldest first."""
    periods = [pd.Period(t.tz_convert(config.timezone).tz_localize(None), config.period) for t in own["time"]]
    if config.window_kind == "calendar":
        wanted = [period - lag for lag in range(config.window, 0, -1)]
    else:
        wanted = sorted(set(periods))[-config.window :]
        wanted = [None] * (config.window - len(wanted)) + wanted
    window = []
    for one in wanted:
        mine = own[np.array([p == one for p in periods], bool)].sort_values(["time", "order", "activity"])
        steps = []
        for row in mine.itertuples():
            steps += [row.activity] * (row.count if config.expand_counts else 1)
        size = config.max_activities
        window.append(tuple(steps[-size:] if config.keep == "last" else steps[:size]))
    return tuple(window)


def decode(panel, encoding):
    """The same from a panel: what its indices stand for."""
    batch = panel.batch
    names = [None, "?", *encoding.activities]
    found = {}
    for b, row in enumerate(panel.samples.itertuples()):
        members = []
        for k in range(batch.members.shape[1]):
            if batch.members[b, k] == 0:
                continue
            window = tuple(
                tuple(names[a] for a in batch.sequences[s] if a) for s in batch.windows[batch.member_windows[b, k]]
            )
            levels = zip(encoding.categories, batch.individuals[batch.members[b, k]], strict=True)
            static = tuple(None if i == 1 else known[i - 2] for (_, known), i in levels)
            members.append((panel.individual_ids[panel.member_ids[b, k]], window, static))
        found[row.account_id, row.cutoff.tz_convert("UTC")] = (members, batch.label[b].tolist())
    return found
