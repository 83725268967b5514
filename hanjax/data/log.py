"""The checked log: a user's tables as plain arrays of codes, dates and numbers, before any encoding is fitted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt

from hanjax.types import LeftOut

NEVER = np.iinfo(np.int64).max
"""A time after every other: not converted, never known."""

ALWAYS = np.iinfo(np.int64).min
"""A time before every other: known from the start."""


class Outcomes(NamedTuple):
    """What was decided elsewhere; one sample is made of each row. Sorted by account, cut-off and segments.

    Args:
        account: account code.
        cutoff: start of the period that the question falls into, microseconds since 1970, UTC.
        known_at: when the outcome became known.
        label: 0 or 1, in between if it is not sure, NaN where it is not known.
        segments: text columns, which tell apart rows of the same account and cut-off.
    """

    account: Int[np.ndarray, " r"]
    cutoff: Int[np.ndarray, " r"]
    known_at: Int[np.ndarray, " r"]
    label: Float[np.ndarray, " r"]
    segments: pd.DataFrame

    def take(self, rows: Int[np.ndarray, " n"]) -> "Outcomes":
        """Some of the rows, by position."""
        arrays = (array[rows] for array in (self.account, self.cutoff, self.known_at, self.label))
        return Outcomes(*arrays, segments=self.segments.iloc[rows].reset_index(drop=True))

    @classmethod
    def joined(cls, parts: "Sequence[Outcomes]") -> "Outcomes":
        """The rows of several, one below the other."""
        *arrays, segments = zip(*parts, strict=True)
        return cls(*map(np.concatenate, arrays), segments=pd.concat(segments, ignore_index=True))


class Log(NamedTuple):
    """What ``check`` makes of a user's tables; every time is int64 microseconds since 1970, UTC.

    Accounts are sorted by id. Individuals are sorted by (account, arrival, id), so that an account's members are
    neighbors and stand in order of arrival; "code" means the position in that order. Events are unsorted: they stand in
    the order of the rows that they came from.

    Args:
        account_ids: ids of the accounts.
        individual_ids: ids of the individuals.
        individual_account: each individual's account code.
        arrived_at: when each individual arrived.
        observed_from: when each account's observation began.
        observed_to: when it ended.
        converted_at: when each account converted; ``NEVER`` if it has not.
        activities: names of the activities, sorted.
        event_individual: each event's individual code.
        event_time: each event's time.
        event_activity: each event's activity, as a position in ``activities``.
        event_count: each event's weight; None if every weight is 1.
        event_known: when each event became known; None if at once.
        event_order: breaks ties of time; None if not given.
        categories: ``individual`` (code), ``known_at`` (``ALWAYS`` where constant), and a column of strings (None where
            missing) for each static category; sorted by individual and ``known_at``.
        numbers: ``account`` (code), ``known_at``, and a float column (NaN where missing) for each static number;
            sorted by account and ``known_at``.
        segments: one row an account: its ``name`` and text columns, if any.
        features: ``account``, ``known_at`` and float columns that change over time; None if there are none.
        fold: each account's fold; None if there are none.
        left_out: rows that were not used, by reason.
        notes: other things that a reader should know.
        outcomes: what the samples are and how they ended; None if they are every period of every account, which end
            with its conversion. If there are any, ``converted_at`` is ``NEVER`` throughout.
        segment_versions: ``account``, ``known_at`` and the columns of ``segments`` as they were said then (None where
            they never were); sorted by account and ``known_at``. None where each account has one version.
    """

    account_ids: pd.Index
    individual_ids: pd.Index
    individual_account: Int[np.ndarray, " n"]
    arrived_at: Int[np.ndarray, " n"]
    observed_from: Int[np.ndarray, " a"]
    observed_to: Int[np.ndarray, " a"]
    converted_at: Int[np.ndarray, " a"]
    activities: tuple[str, ...]
    event_individual: Int[np.ndarray, " e"]
    event_time: Int[np.ndarray, " e"]
    event_activity: UInt[np.ndarray, " e"]
    event_count: Int[np.ndarray, " e"] | None
    event_known: Int[np.ndarray, " e"] | None
    event_order: Int[np.ndarray, " e"] | None
    categories: pd.DataFrame
    numbers: pd.DataFrame
    segments: pd.DataFrame
    features: pd.DataFrame | None
    fold: Int[np.ndarray, " a"] | None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    outcomes: Outcomes | None = None
    segment_versions: pd.DataFrame | None = None

    @property
    def converts(self) -> Bool[np.ndarray, " a"]:
        """Which accounts convert, as far as is known; of outcomes, those with one of 0.5 at least."""
        if self.outcomes is None:
            return self.converted_at != NEVER
        converting = np.zeros(len(self.account_ids), bool)
        converting[self.outcomes.account[self.outcomes.label >= 0.5]] = True
        return converting
