"""Outcomes that were decided elsewhere, such as opportunities won or disengaged: a table whose rows are the samples."""

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float, Int

from hanjax.config import PanelConfig
from hanjax.data.frames import COLUMNS
from hanjax.data.ids import is_text, no_nulls
from hanjax.data.log import NEVER, Log, Outcomes
from hanjax.data.periods import around
from hanjax.data.rosters import Accounts, show
from hanjax.data.statics import accounts_of, numbers_of, plain, texts_of
from hanjax.data.strays import Strays
from hanjax.data.times import MISSING, read_times
from hanjax.errors import ConfigError, DataError

EVIDENCE = ("rule", "snapshot", "opportunity_ids", "evidence", "created_at", "closed_at", "amount", "weight")
"""Columns that say where an outcome comes from; they are no segments, whatever they hold."""


def with_outcomes(
    log: Log, table: pa.Table, accounts: Accounts, code: Int[np.ndarray, " a"], strays: Strays, config: PanelConfig
) -> Log:
    """Adds a table of outcomes to a checked log; what it says is then all that is said of outcomes.

    Args:
        log: the checked log.
        table: the outcomes.
        accounts: the accounts, by their provisional codes.
        code: each one's final code; -1 where left out.
        strays: what becomes of rows of accounts that there are not.
        config: the data's settings.

    Returns:
        The log with ``outcomes``, sorted by account, cut-off and segments, and without conversions; the accounts'
        segments whose names the outcomes take are gone.

    Raises:
        ConfigError: if there are several horizons.
        DataError: if a value is missing or impossible, or two rows ask the same.
    """
    if config.horizons != (1,):
        raise ConfigError(
            f"horizons: expected (1,), got {config.horizons!r}. The table outcomes says how each of its rows ended, "
            "not when, so there is one label."
        )
    name = "outcomes"
    no_nulls(name, "as_of", table["as_of"])
    who = accounts_of(name, table, accounts, code, strays)
    times = {column: read_times(name, column, table[column], config.timezone) for column in ("as_of", "known_at")
             if column in table.column_names}  # fmt: skip
    as_of = times["as_of"].values
    cutoff, end = around(as_of, period=config.period, timezone=config.timezone)
    known = end - 1  # the last moment of the period, if nothing is said
    if "known_at" in times:
        given = times["known_at"].values
        _not_before(table, given, cutoff)
        known = np.where(given == MISSING, known, given)
    segments = {
        column: texts_of(table[column])
        for column in table.column_names
        if is_text(plain(table[column].type)) and column not in (*COLUMNS[name], *EVIDENCE, *config.exclude)
    }
    found = Outcomes(who, cutoff, known, _labels(table), pd.DataFrame(segments, index=range(len(who)), dtype=object))
    outcomes = found.take(_order(table, found))
    if not len(outcomes.account) and not strays.part:
        raise DataError("outcomes: no row is left, since no account_id is in the table accounts.")
    versions = log.segment_versions
    return log._replace(
        outcomes=outcomes,
        converted_at=np.full_like(log.converted_at, NEVER),
        segments=log.segments.drop(columns=list(segments), errors="ignore"),
        segment_versions=None if versions is None else versions.drop(columns=list(segments), errors="ignore"),
        left_out=tuple(strays.left_out),
        notes=(*log.notes, *_notes(table, log, list(segments), [c for c, read in times.items() if read.naive], config)),
    )


def _labels(table: pa.Table) -> Float[np.ndarray, " n"]:
    """The labels, NaN where not known."""
    label = numbers_of("outcomes", "label", table["label"])
    wrong = np.flatnonzero((label < 0) | (label > 1))
    if len(wrong):
        raise DataError.rows(
            "outcomes",
            "label",
            "lies outside 0 to 1",
            count=len(wrong),
            first=[f"{label[row]:g} (row {row})" for row in wrong[:5].tolist()],
            remedy="A label is 1 or 0, in between if it is not sure, and empty where the outcome is not known.",
        )
    return label


def _not_before(table: pa.Table, known: Int[np.ndarray, " n"], cutoff: Int[np.ndarray, " n"]) -> None:
    """Raises if an outcome was known before the cut-off at which it is to be foretold."""
    wrong = np.flatnonzero((known < cutoff) & (known != MISSING))
    if len(wrong):
        raise DataError.rows(
            "outcomes",
            "known_at",
            "is before the period that holds as_of",
            count=len(wrong),
            first=[
                f"account {table['account_id'][row].as_py()!r}: {show(known.item(row))} < {show(cutoff.item(row))}"
                for row in wrong[:5].tolist()
            ],
            remedy="What was known already is not to be foretold: correct the dates, or remove these rows.",
        )


def _order(table: pa.Table, outcomes: Outcomes) -> Int[np.ndarray, " n"]:
    """The rows whose account there is, by account, cut-off and segments; two that ask the same are an error."""
    names = ["account_id", "as_of", *outcomes.segments]
    keys = pd.concat([pd.Series(outcomes.account), pd.Series(outcomes.cutoff), outcomes.segments], axis=1)
    keys = keys.set_axis([str(place) for place in range(len(names))], axis=1).loc[outcomes.account >= 0]
    again = keys.index[keys.duplicated()].to_numpy()
    if len(again):
        raise DataError.rows(
            "outcomes",
            ", ".join(names),
            "stands more than once within a period",
            count=len(again),
            first=[f"account {table['account_id'][row].as_py()!r} (row {row})" for row in again[:5].tolist()],
            remedy="Keep one row, or tell them apart by a column of text, such as region or product; or give the rule "
            "of the labels the same `period` as the data.",
        )
    return keys.sort_values(list(keys)).index.to_numpy()


def _notes(table: pa.Table, log: Log, segments: list[str], naive: list[str], config: PanelConfig) -> list[str]:
    """What was read how, and what was not."""
    notes = []
    if naive:
        columns = ", ".join(f"outcomes.{column}" for column in naive)
        notes.append(f"Times and dates without a zone were read in {config.timezone}: {columns}.")
    taken = [column for column in segments if column in log.segments]
    if taken:
        notes.append(f"accounts: not used, as outcomes have a column of the same name: {', '.join(taken)}.")
    if (log.converted_at != NEVER).any():
        notes.append("accounts.converted_at: not used, as there is a table of outcomes.")
    known = {*COLUMNS["outcomes"], *segments, *config.exclude}
    unused = [column for column in table.column_names if column not in known]
    if unused:
        notes.append(f"outcomes: not used: {', '.join(unused)}.")
    return notes
