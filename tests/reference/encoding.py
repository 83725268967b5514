"""The encoding in slow, obvious Python: loops over accounts, cut-offs and members, straight from the user's tables."""

import itertools
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
    """Every sample by (account_id, cut-off): its members, its label, and the numbers of its account.

    A member is (individual, windows, statics, gaps, ages, numbers), where gaps and ages go with the windows. The
    account's numbers are those of ``ACCOUNT_NUMBERS``, the counts by activity and period last.
    """
    events = tables.events.assign(time=[utc(t, config.timezone) for t in tables.events["timestamp"]])
    known = events["known_at"] if "known_at" in events else events["timestamp"]
    events["known"] = [utc(t, config.timezone) for t in known]
    if "order" not in events:
        events["order"] = 0
    if "count" not in events:
        events["count"] = 1
    events["period"] = [_period(t, config) for t in events["time"]]
    events["ordinal"] = [period.ordinal for period in events["period"]]
    names, arrived = sorted(set(events["activity"])), {}
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
        converted = utc(account.get("converted_at"), config.timezone)
        end = utc(account.get("observed_to"), config.timezone) or max(log_end, converted or log_end)
        period = first = _period(begin, config)
        while True:
            period = period + 1
            cutoff = _start(period, config)
            if cutoff > end or (converted and converted < cutoff):
                break
            members, active = [], 0
            for individual in sorted(who, key=lambda i: (arrived[i], i)):
                own = its[(its["individual_id"] == individual) & (its["time"] < cutoff) & (its["known"] < cutoff)]
                gone = (own["activity"] == config.opt_out_activity).any()
                if arrived[individual] >= cutoff or gone:
                    continue
                active += (period.ordinal - own["ordinal"] <= config.window).any()
                window, gaps, ages = _window(own, period, config)
                if config.membership == "active" and not any(window):
                    continue
                history = tables.individuals[tables.individuals["individual_id"] == individual]
                if "known_at" in history:
                    stamps = [utc(t, config.timezone) for t in history["known_at"]]
                    history = history[np.array([t < cutoff for t in stamps], bool)].sort_values("known_at")
                static = tuple(history[statics].iloc[-1]) if len(history) else (None,) * len(statics)
                last = max(own["time"]).value if len(own) else -math.inf
                numbers = _numbers(own, period, _period(arrived[individual], config))
                members.append((individual, window, static, gaps, ages, numbers, last))
            if not members:
                continue
            keep = sorted(range(len(members)), key=lambda i: (-members[i][-1], i))[: config.max_members]
            label = []
            for horizon in config.horizons:
                until = _start(period + horizon, config)
                if converted and converted < until:
                    label.append(1.0)
                else:
                    label.append(0.0 if until <= end else math.nan)
            so_far = sum(arrived[individual] < cutoff for individual in who)
            observed = period.ordinal - first.ordinal
            logged = float(np.float32(math.log1p(observed)))
            known = its[(its["time"] < cutoff) & (its["known"] < cutoff)]
            total = dict.fromkeys(itertools.product(range(1, config.window + 1), names), 0)
            for event in known[period.ordinal - known["ordinal"] <= config.window].itertuples():
                total[period.ordinal - event.ordinal, event.activity] += event.count
            totals = total.values()
            counted = (observed, logged, so_far, active, sum(totals), *totals)
            found[account["account_id"], cutoff] = ([members[i][:-1] for i in sorted(keep)], label, counted)
    return found


def _start(period, config):
    return period.start_time.tz_localize(config.timezone).tz_convert("UTC")


def _period(time, config):
    return pd.Period(time.tz_convert(config.timezone).tz_localize(None), config.period)


def _window(own, period, config):
    """The last W calendar or active periods before the given one, oldest first: activities, gaps, and ages of each."""
    if config.window_kind == "calendar":
        wanted = [period - lag for lag in range(config.window, 0, -1)]
    else:
        wanted = sorted(set(own["period"]))[-config.window :]
        wanted = [None] * (config.window - len(wanted)) + wanted
    steps, previous = {one: [] for one in wanted}, None
    for row in own.sort_values(["time", "order", "activity"]).itertuples():
        gap = -1.0
        if previous is not None:
            gap = round(4 * math.log1p((row.time - previous) / pd.Timedelta(hours=1))) / 4
        previous = row.time
        if row.period in steps:
            repeats = row.count if config.expand_counts else 1
            steps[row.period] += [(row.activity, gap)] + [(row.activity, 0.0)] * (repeats - 1)
    size = config.max_activities
    kept = [steps[one][-size:] if config.keep == "last" else steps[one][:size] for one in wanted]
    return (
        tuple(tuple(activity for activity, _ in one) for one in kept),
        tuple(tuple(gap for _, gap in one) for one in kept),
        tuple(period.ordinal - one.ordinal if steps[one] else 0 for one in wanted),
    )


def _numbers(own, period, arrival):
    """Periods since arrival and since the latest activity, active periods, and activities."""
    latest = max(own["period"], default=arrival)
    since = (period.ordinal - arrival.ordinal, period.ordinal - latest.ordinal)
    return (*since, own["period"].nunique(), int(own["count"].sum()))


def decode(panel, encoding):
    """The same from a panel, whose numbers are not scaled: what its indices stand for, None for what it leaves out."""
    batch = panel.batch
    names = [None, "?", *encoding.activities]
    found = {}
    for b, row in enumerate(panel.samples.itertuples()):
        members = []
        for k in range(batch.members.shape[1]):
            if batch.members[b, k] == 0:
                continue
            m, gaps, ages, numbers = batch.member_windows[b, k], None, None, None
            window = tuple(tuple(names[a] for a in batch.sequences[s] if a) for s in batch.windows[m])
            if batch.gaps is not None:
                gaps = tuple(tuple(batch.gaps[s][batch.sequences[s] > 0].tolist()) for s in batch.windows[m])
            if batch.window_ages is not None:
                ages = tuple(batch.window_ages[m].tolist())
            if batch.member_numbers is not None:
                numbers = tuple(batch.member_numbers[b, k].tolist())
            levels = zip(encoding.categories, batch.individuals[batch.members[b, k]], strict=True)
            static = tuple(None if i == 1 else known[i - 2] for (_, known), i in levels)
            individual = panel.individual_ids[panel.member_ids[b, k]]
            members.append((individual, window, static, gaps, ages, numbers))
        counted = None if batch.account_numbers is None else tuple(batch.account_numbers[b].tolist())
        found[row.account_id, row.cutoff.tz_convert("UTC")] = (members, batch.label[b].tolist(), counted)
    return found
