"""Numbers as of a cut-off: of accounts and of members, dated or counted, standardized as on the training accounts."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.config import PanelConfig
from hanjax.data.distinct import AsOf
from hanjax.data.encoding import Encoding, Scale, scaled
from hanjax.data.log import ALWAYS, Log
from hanjax.data.moments import Column
from hanjax.data.periods import Calendar
from hanjax.data.samples import Groups
from hanjax.data.sequences import Cells
from hanjax.data.totals import account_totals
from hanjax.errors import DataError
from hanjax.types import Panel


def versions_as_of(table: pd.DataFrame, calendar: Calendar) -> AsOf:
    """The look-up of a history's rows: first column the thing, second when the row became known."""
    entity, known = table.iloc[:, 0].to_numpy(), table.iloc[:, 1].to_numpy()
    cutoff = np.where(known == ALWAYS, 0, calendar.first_cutoff_after(known))
    return AsOf(entity, cutoff, len(calendar.starts) + 1)


def scaled_as_of(
    table: pd.DataFrame, scales: tuple[Scale, ...], calendar: Calendar, group: Groups, *, name: str
) -> tuple[Float[np.ndarray, "v g"], Int[np.ndarray, " b"]]:
    """A history's rows, scaled, and each sample's row; the one added last, at -1, is for what is not known yet."""
    unknown = [scale.apply(np.array([np.nan])) for scale in scales]
    values = np.concatenate([scaled(table, scales, name=name), np.concatenate(unknown, axis=1)])
    return values, versions_as_of(table, calendar)(group.account, group.cutoff)


def account_numbers(
    log: Log,
    calendar: Calendar,
    config: PanelConfig,
    encoding: Encoding,
    group: Groups,
    *,
    training: Bool[np.ndarray, " a"] | None,
) -> tuple[Float[np.ndarray, "b N"] | None, Encoding]:
    """Numbers of each sample's account: dated features, and what is counted up to the cut-off.

    Args:
        log: the checked log.
        calendar: its periods.
        config: the data's settings; ``account_numbers`` says what is counted.
        encoding: its scales of as-of numbers are used, or fitted if there are none yet.
        group: the samples.
        training: the accounts on which scales are fitted; all when None.

    Returns:
        The numbers, None if there are none; and the encoding with its scales.
    """
    columns = []
    if encoding.features:
        if log.features is None:
            raise DataError("account_features: the model was trained with this table and the data do not have it.")
        values, version = scaled_as_of(log.features, encoding.features, calendar, group, name="account_features")
        columns.append(values[version])
    counted = {
        "periods_observed": lambda: group.cutoff - calendar.period_of(log.observed_from)[group.account],
        "individuals_so_far": lambda: _arrived(log, calendar, group),
        "log_periods_observed": lambda: np.log1p(counted["periods_observed"]()),
        "active_individuals": lambda: group.recent[:, 0],
        "activities": lambda: group.recent[:, 1],
    }
    raw = {name: counted[name]().astype(float) for name in config.account_numbers if name in counted}
    totals = {}
    if "activity_counts" in config.account_numbers:
        totals = account_totals(log, calendar, encoding, group.account, group.cutoff, window=config.window)
    if encoding.as_of is None:
        fitted_on = slice(None) if training is None else training[group.account]
        scales = _fitted(raw, fitted_on) + _fitted(totals, fitted_on, logged=True)
        encoding = dataclasses.replace(encoding, as_of=scales)
    raw |= totals
    columns += [scale.apply(raw[scale.column]) for scale in encoding.as_of or ()]
    return (np.concatenate(columns, axis=1) if columns else None), encoding


def member_numbers(
    log: Log,
    calendar: Calendar,
    config: PanelConfig,
    encoding: Encoding,
    group: Groups,
    cells: Cells,
    *,
    training: Bool[np.ndarray, " a"] | None,
) -> tuple[Float[np.ndarray, "s N"] | None, Encoding]:
    """Numbers of each member of each sample, counted up to the cut-off from what was known then.

    Args and returned values are those of ``account_numbers``, for ``config.member_numbers``; ``cells`` say what
    individuals did.
    """
    if not config.member_numbers:
        return None, encoding if encoding.of_members else dataclasses.replace(encoding, of_members=())
    who, cutoff = group.individual, group.for_members(group.cutoff)
    arrived = calendar.period_of(log.arrived_at)[who]
    past = _past(cells, who, cutoff, len(calendar.starts) + 1)
    counted = {
        "periods_since_arrival": cutoff - arrived,
        "periods_since_activity": cutoff - np.where(past.periods > 0, past.latest, arrived),
        "active_periods": past.periods,
        "activities": past.activities,
    }
    raw = {name: counted[name].astype(float) for name in config.member_numbers}
    if encoding.of_members is None:
        fitted_on = slice(None) if training is None else group.for_members(training[group.account])
        encoding = dataclasses.replace(encoding, of_members=_fitted(raw, fitted_on))
    return np.concatenate([scale.apply(raw[scale.column]) for scale in encoding.of_members or ()], axis=1), encoding


def unscaled(encoding: Encoding, config: PanelConfig) -> Encoding:
    """The encoding with which numbers as of a cut-off stay what was counted, so that they can be scaled afterwards."""
    return dataclasses.replace(
        encoding,
        as_of=tuple(_PLAIN._replace(column=name) for name in _counted(encoding, config)),
        of_members=tuple(_PLAIN._replace(column=name) for name in config.member_numbers),
    )


def columns_as_of(
    panel: Panel, encoding: Encoding, training: Bool[np.ndarray, " b"]
) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """What is known of the unscaled numbers of a panel: of the accounts, and of the members, of some samples.

    Args:
        panel: made with ``unscaled(encoding)``.
        encoding: that encoding.
        training: the samples on which scales are fitted.
    """
    batch, columns = panel.batch, []
    members = (panel.member_ids >= 0) & training[:, None]
    for table, where, scales in (
        (batch.account_numbers, training, encoding.as_of), (batch.member_numbers, members, encoding.of_members)
    ):  # fmt: skip
        if table is None or not scales:
            columns.append(())
            continue
        counted = table[where][:, -len(scales) :]  # before these stand dated numbers, scaled already
        columns.append(tuple(Column.of(one.column, _counts(one, counted[:, i])) for i, one in enumerate(scales)))
    return columns[0], columns[1]


def scales_as_of(
    encoding: Encoding, config: PanelConfig, accounts: Sequence[Column], members: Sequence[Column]
) -> Encoding:
    """The encoding with the scales of numbers as of a cut-off fitted to what is known of their columns."""
    logged = _counted(encoding, config)
    return dataclasses.replace(
        encoding,
        as_of=tuple(Scale.of(column, logged=logged[column.name]) for column in accounts),
        of_members=tuple(Scale.of(column) for column in members),
    )


def scale_as_of(panel: Panel, encoding: Encoding) -> Panel:
    """Scales the numbers of a panel that was made with ``unscaled(encoding)``."""
    batch = panel.batch
    numbers, of_members = batch.account_numbers, batch.member_numbers
    if numbers is not None and encoding.as_of:
        first = numbers.shape[1] - len(encoding.as_of)
        columns = [one.apply(_counts(one, numbers[:, first + i])) for i, one in enumerate(encoding.as_of)]
        numbers = np.concatenate([numbers[:, :first], *columns], axis=1)
    if of_members is not None:
        member = panel.member_ids >= 0
        raw = of_members[member]
        columns = [one.apply(_counts(one, raw[:, i])) for i, one in enumerate(encoding.of_members or ())]
        scaled_members = np.concatenate(columns, axis=1)
        of_members = np.zeros((*member.shape, scaled_members.shape[1]), np.float32)
        of_members[member] = scaled_members
    return panel._replace(batch=batch._replace(account_numbers=numbers, member_numbers=of_members))


def _counts(scale: Scale, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """What was counted, as it was before a panel rounded it: counts were not, but the logarithm of one was."""
    values = values.astype(float)
    return np.log1p(np.rint(np.expm1(values))) if scale.column == "log_periods_observed" else values


_PLAIN = Scale("", False, 0.0, 1.0, False)


def _counted(encoding: Encoding, config: PanelConfig) -> dict[str, bool | None]:
    """The columns that ``account_numbers`` counts, in its order, and whether they are logged; None where values say."""
    names: dict[str, bool | None] = {name: None for name in config.account_numbers if name != "activity_counts"}
    if "activity_counts" in config.account_numbers:
        lags = range(1, config.window + 1)
        names |= {f"{name}, {lag} back": True for lag in lags for name in encoding.activities}
    return names


def _fitted(
    raw: dict[str, np.ndarray], fitted_on: np.ndarray | slice, *, logged: bool | None = None
) -> tuple[Scale, ...]:
    return tuple(Scale.fit(name, values[fitted_on], logged=logged) for name, values in raw.items())


def _arrived(log: Log, calendar: Calendar, group: Groups) -> Int[np.ndarray, " b"]:
    """Individuals of each sample's account who have arrived by its cut-off, whether they left again or not."""
    cutoffs = len(calendar.starts) + 1
    # Individuals are sorted by account and arrival, so this is a position less that of the account's first.
    key = log.individual_account.astype(np.int64) * cutoffs + calendar.first_cutoff_after(log.arrived_at)
    upto = np.searchsorted(key, group.account.astype(np.int64) * cutoffs + group.cutoff, side="right")
    return upto - np.searchsorted(log.individual_account, group.account)


class _Past(NamedTuple):
    """What individuals had done so far: in how many periods, the latest of these, and how many activities."""

    periods: Int[np.ndarray, " s"]
    latest: Int[np.ndarray, " s"]
    activities: Int[np.ndarray, " s"]


def _past(cells: Cells, who: Int[np.ndarray, " s"], cutoff: Int[np.ndarray, " s"], cutoffs: int) -> _Past:
    """Sums up individuals' cells as known at a cut-off; each version adds what it has more than the one before."""
    new = np.ones(len(cells.period), bool)
    new[1:] = (np.diff(cells.individual) != 0) | (np.diff(cells.period) != 0)
    before = np.where(new, 0, np.roll(cells.amount, 1))
    # Individuals follow one another, each by the cut-off from which on a version is known.
    order = np.argsort(cells.individual.astype(np.int64) * cutoffs + cells.valid_from, kind="stable")
    known = AsOf(cells.individual[order], cells.valid_from[order], cutoffs)
    row = known(who, cutoff)
    begin = np.searchsorted(cells.individual, who)  # sorted by individual before and after
    none = row < 0

    def summed(values: np.ndarray) -> np.ndarray:
        total = np.append(0, np.cumsum(values[order], dtype=np.int64))
        return np.where(none, 0, total[row + 1] - total[np.where(none, 0, begin)])

    # The largest period so far, of whichever individual: a later individual's are made larger than an earlier one's.
    highest = np.maximum.accumulate(cells.individual[order].astype(np.int64) * cutoffs + cells.period[order])
    latest = np.where(none, -1, np.append(highest, 0)[row] % cutoffs)
    return _Past(summed(new), latest, summed(cells.amount - before))
