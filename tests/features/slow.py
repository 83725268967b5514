"""Values of features by loops over rows, with pandas' own periods: slow, and independent of DuckDB and the calendar."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

PERIODS = {"day": "D", "week": "W-SAT", "month": "M"}
SQL = {
    "sum(amount)": lambda rows: sum(amounts(rows)) if amounts(rows) else None,
    "avg(amount)": lambda rows: sum(amounts(rows)) / len(amounts(rows)) if amounts(rows) else None,
    "max(amount)": lambda rows: max(amounts(rows), default=None),
    "count(*)": len,
    "count(amount)": lambda rows: len(amounts(rows)),
    "min(days_before)": lambda rows: min(row.days_before for row in rows),
    "last(amount)": lambda rows: rows[-1].amount,
    "count(DISTINCT product)": lambda rows: len({row.product for row in rows}),
    "product_share": lambda rows: sum(amounts(rows)) / len(rows) if amounts(rows) else None,
}
"""Expressions, and the same of a list of rows in the order of date and, of one date, of all their values."""


class Row(NamedTuple):
    """One row of a source; times are Timestamps, and what is missing is None."""

    date: pd.Timestamp
    known: pd.Timestamp
    amount: float | None
    product: str
    given: pd.Timestamp  # known_at as it stands in the table, far in the future where it is empty
    days_before: float = 0.0


def amounts(rows):
    return [row.amount for row in rows if row.amount is not None]


def by_entity(table, column="account_id"):
    """The rows of each account or individual, in a list."""
    found = {}
    for row in table.to_dict("records"):
        known = row["date"] if pd.isna(row["known"]) else max(row["known"], row["date"])
        amount = None if pd.isna(row["amount"]) else row["amount"]
        given = pd.Timestamp("2200", tz="UTC") if pd.isna(row["known"]) else row["known"]
        found.setdefault(row[column], []).append(Row(row["date"], known, amount, row["product"], given))
    return found


@cache
def localized(naive, zone):
    """A local time as an instant."""
    return pd.Timestamp(naive).tz_localize(zone, ambiguous=True, nonexistent="shift_forward")


@cache
def granule(instant, granularity, zone):
    """The day, week or month that holds an instant: its beginning and its end."""
    period = pd.Period(instant.tz_convert(zone).tz_localize(None), freq=PERIODS[granularity])
    return localized(period.start_time, zone), localized((period + 1).start_time, zone)


@cache
def look_back(cutoff, feature, zone):
    """Where the look-back begins."""
    if feature.look_back is None:
        return pd.Timestamp("1900-01-01", tz="UTC")
    unit = {"D": "days", "W": "weeks", "M": "months"}[feature.look_back[-1]]
    end = granule(cutoff, feature.granularity, zone)[0].tz_convert(zone).tz_localize(None)
    return localized(end - pd.DateOffset(**{unit: int(feature.look_back[:-1])}), zone)


def value(feature, rows, cutoff, zone):
    """A feature's value of the rows of one entity."""
    cutoff = localized(cutoff, zone) if pd.Timestamp(cutoff).tzinfo is None else pd.Timestamp(cutoff)
    since, kept = look_back(cutoff, feature, zone), []
    for row in rows:
        begin, end = granule(row.date, feature.granularity, zone)
        if begin >= since and end <= cutoff and row.known < cutoff:
            kept.append(row._replace(days_before=(cutoff - row.date) / pd.Timedelta(days=1)))
    kept.sort(key=lambda row: (row.date, row.known, row.given, row.amount is None, row.amount or 0.0, row.product))
    if feature.how == "latest":
        there = [row for row in kept if row.amount is not None]
        found = max(there, key=lambda row: (row.date, row.known, row.amount)).amount if there else None
    else:
        found = SQL[feature.expression or feature.function.__name__](kept) if kept else None
    return np.nan if found is None else found
