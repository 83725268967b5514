"""Values of features by loops over rows, with pandas' own periods: slow, and independent of DuckDB and the calendar."""

import numpy as np
import pandas as pd

PERIODS = {"day": "D", "week": "W-SAT", "month": "M"}
SQL = {
    "sum(amount)": lambda rows: rows["amount"].sum(min_count=1),
    "avg(amount)": lambda rows: rows["amount"].mean(),
    "max(amount)": lambda rows: rows["amount"].max(),
    "count(*)": lambda rows: len(rows),
    "count(amount)": lambda rows: rows["amount"].notna().sum(),
    "min(days_before)": lambda rows: rows["days_before"].min(),
    "last(amount)": lambda rows: rows["amount"].iloc[-1],
    "count(DISTINCT product)": lambda rows: rows["product"].nunique(),
}
"""Expressions, and the same in pandas, of rows in the order of date, known_at, amount (missing last) and product."""


def localized(naive, zone):
    """A local time as an instant."""
    return pd.Timestamp(naive).tz_localize(zone, ambiguous=True, nonexistent="shift_forward")


def granule(instant, granularity, zone):
    """The day, week or month that holds an instant: its beginning and its end."""
    period = pd.Period(instant.tz_convert(zone).tz_localize(None), freq=PERIODS[granularity])
    return localized(period.start_time, zone), localized((period + 1).start_time, zone)


def look_back(cutoff, feature, zone):
    """Where the look-back begins."""
    if feature.look_back is None:
        return pd.Timestamp("1900-01-01", tz="UTC")
    unit = {"D": "days", "W": "weeks", "M": "months"}[feature.look_back[-1]]
    end = granule(cutoff, feature.granularity, zone)[0].tz_convert(zone).tz_localize(None)
    return localized(end - pd.DateOffset(**{unit: int(feature.look_back[:-1])}), zone)


def value(feature, rows, cutoff, zone):
    """A feature's value of the rows of one entity, which have ``date`` and ``known`` (NaT: at its date)."""
    cutoff = localized(cutoff, zone) if pd.Timestamp(cutoff).tzinfo is None else pd.Timestamp(cutoff)
    since, kept = look_back(cutoff, feature, zone), []
    for place, row in enumerate(rows.to_dict("records")):
        begin, end = granule(row["date"], feature.granularity, zone)
        known = row["date"] if pd.isna(row["known"]) else max(row["known"], row["date"])
        if begin >= since and end <= cutoff and known < cutoff:
            kept.append((place, (cutoff - row["date"]) / pd.Timedelta(days=1), known))
    if not kept:
        return np.nan
    places, days, known = zip(*kept, strict=True)
    chosen = rows.iloc[list(places)].assign(days_before=days, known=known)
    chosen = chosen.sort_values(["date", "known", "amount", "product"], na_position="last")
    if feature.how == "latest":
        there = chosen[chosen["amount"].notna()]
        return there["amount"].iloc[-1] if len(there) else np.nan
    return (SQL[feature.expression] if feature.function is None else feature.function)(chosen)
