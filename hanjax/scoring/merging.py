"""Puts stored scores and new ones together, in the order, and with the ranks, that they have when made at once."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Int

from hanjax.data.ids import Lookup, is_text
from hanjax.data.log import Log
from hanjax.data.periods import Calendar
from hanjax.errors import RunError


class Located(NamedTuple):
    """Scores of some samples, and which samples these are.

    Args:
        accounts: ``[b]`` the scores of accounts.
        individuals: the scores of their members, sample after sample.
        account: ``[b]`` code of each sample's account in the log; -1 where it has none.
        cutoff: ``[b]`` number of its cut-off in the calendar.
    """

    accounts: pa.Table
    individuals: pa.Table
    account: Int[np.ndarray, " b"]
    cutoff: Int[np.ndarray, " b"]


def locate(accounts: pa.Table, individuals: pa.Table, log: Log, calendar: Calendar) -> Located:
    """Finds the samples of scores, which lie in the order of ``score_panel``, in a log."""
    times = accounts["cutoff"].cast(pa.timestamp("us", calendar.timezone)).cast(pa.int64()).to_numpy()
    cutoff = np.searchsorted(calendar.starts, times)
    return Located(accounts, individuals, account_codes(accounts["account_id"], log), cutoff)


def account_codes(ids: pa.ChunkedArray, log: Log) -> Int[np.ndarray, " n"]:
    """The codes of accounts in a log; -1 where it has them not.

    Raises:
        RunError: if the ids are integers here and texts there.
    """
    known = pa.array(log.account_ids)
    if is_text(ids.type) != is_text(known.type):
        raise RunError(
            f"account_id: the stored scores have ids of type {ids.type}, the data of type {known.type}. Give them as "
            "before, or score anew, without append."
        )
    return Lookup(known.cast(pa.large_string()) if is_text(known.type) else known)(ids)


def merge(
    before: Located | None, kept: Bool[np.ndarray, " b"], added: Located | None, segments: pa.Table
) -> tuple[pa.Table, pa.Table, Int[np.ndarray, " a"]]:
    """Replaces some stored scores by new ones.

    Args:
        before: the stored scores; None if there are none.
        kept: ``[b]`` which of them stay.
        added: the new scores; None if there are none.
        segments: of each account of the log, as it is said to be now.

    Returns:
        The scores of accounts and those of individuals, sorted by account and cut-off; and the ranks of the new ones,
        which are, like all that change, among all accounts at their cut-offs, by ``raw_score``.
    """
    parts = [part for part in (before, added) if part is not None]
    account, cutoff = (np.concatenate([getattr(part, name) for part in parts]) for name in ("account", "cutoff"))
    stays = np.append(kept, np.ones(len(account) - len(kept), bool))
    order = np.flatnonzero(stays)
    order = order[np.argsort(account[order] * (cutoff.max() + 1) + cutoff[order], kind="stable")]

    schema = parts[-1].accounts.schema
    own = schema.names[: schema.names.index("attention") + 1]  # what follows are segments
    table = pa.concat_tables([_cast(part.accounts.select(own), schema) for part in parts]).combine_chunks()
    size = table["n_members"].to_numpy()
    accounts, new = table.take(order), order >= len(kept)
    # Where a cut-off has only new scores, their ranks are right.
    mixed = np.intersect1d(cutoff[order[~new]], np.append(cutoff[~stays], cutoff[order[new]]))
    rank, at = accounts["rank"].to_numpy().copy(), np.flatnonzero(np.isin(cutoff[order], mixed))
    raw_score = pd.Series(accounts["raw_score"].to_numpy()[at])
    rank[at] = raw_score.groupby(cutoff[order[at]]).rank(ascending=False, method="min").astype(rank.dtype)
    accounts = accounts.set_column(own.index("rank"), schema.field("rank"), pa.array(rank))
    for name, column in zip(segments.column_names, segments.take(account[order]).columns, strict=True):
        accounts = accounts.append_column(name, column)

    schema = parts[-1].individuals.schema
    individuals = pa.concat_tables([_cast(part.individuals, schema) for part in parts]).combine_chunks()
    begin, length = (np.cumsum(size) - size)[order], size[order]
    rows = np.arange(length.sum()) + np.repeat(begin - (np.cumsum(length) - length), length)
    return accounts.replace_schema_metadata(parts[-1].accounts.schema.metadata), individuals.take(rows), rank[new]


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the types of another one, which differ if versions of libraries do."""
    return table.cast(pa.schema([schema.field(name) for name in table.column_names], schema.metadata))
