"""From a data set to the tables that are watched: what a model was given of each account, and its scores."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hanjax.config import PanelConfig
from hanjax.data.encoding import Encoding
from hanjax.data.log import ALWAYS, Log
from hanjax.data.numbers import versions_as_of
from hanjax.data.panel import calendar_of
from hanjax.data.periods import Calendar
from hanjax.data.totals import account_totals
from hanjax.monitoring.columns import MOST_LEVELS, kind_of
from hanjax.types import Panel

_OWN = ("account_id", "cutoff", "period", "n_members", "name")


def segment_columns(panel: Panel) -> tuple[str, ...]:
    """The columns of a panel's samples that make segments: texts with no more than 30 levels.

    Args:
        panel: the samples.

    Returns:
        Their names.

    Example:
        >>> import hanjax
        >>> from hanjax.monitoring.frames import segment_columns
        >>> segment_columns(hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables))
        ('industry',)
    """
    columns = {str(name): values for name, values in panel.samples.items() if name not in _OWN}
    return tuple(
        name
        for name, values in columns.items()
        if kind_of(values) == "level" and values.astype(str).nunique() <= MOST_LEVELS
    )


def frames_of(
    log: Log,
    config: PanelConfig,
    encoding: Encoding,
    panel: Panel,
    *,
    rows: Bool[np.ndarray, " B"] | None = None,
) -> dict[str, pd.DataFrame]:
    """Lays out what a model is given, in tables that can be read.

    Args:
        log: the checked log.
        config: the data's settings.
        encoding: names the activities that are counted.
        panel: the samples made of the log.
        rows: ``[B]`` the samples that count; None for all.

    Returns:
        ``accounts``, one row a sample: members, segments, static numbers as of the cut-off, dated features and how many
        periods old they are, and how many activities of each kind the last period had. ``individuals``, one row a
        member of a sample, if they have categories. ``events``, one row an event that the sample's cut-off was the
        first to see, with its activity. All have ``account_id`` and ``period``, the number of the cut-off.

    Example:
        >>> import hanjax
        >>> from hanjax.data.encoding import fit_encoding
        >>> from hanjax.data.tables import check
        >>> from hanjax.monitoring.frames import frames_of
        >>> config, log = hanjax.PanelConfig(), check(hanjax.simulate(accounts=20, seed=0).tables)
        >>> encoding = fit_encoding(log, config)
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> list(frames_of(log, config, encoding, panel))
        ['accounts', 'individuals', 'events']
    """
    calendar = calendar_of(log, config)
    some = np.flatnonzero(np.ones(len(panel.samples), bool) if rows is None else rows)
    samples = panel.samples.iloc[some].reset_index(drop=True)
    account = log.account_ids.get_indexer(samples["account_id"])
    cutoff = samples["period"].to_numpy()
    accounts = samples.drop(columns=["cutoff", "name"], errors="ignore")
    known = [
        _as_of(log.numbers, calendar, account, cutoff)[0],
        *([] if log.features is None else _with_age(log.features, calendar, account, cutoff)),
        _activities(log, calendar, encoding, account, cutoff),
    ]
    for table in known:
        taken = {name: f"{name} (dated)" for name in table if name in accounts}
        accounts = pd.concat([accounts, table.rename(columns=taken)], axis=1)
    found = {"accounts": accounts}
    if log.categories.shape[1] > 2:
        who = panel.member_ids[some]
        sample, place = np.nonzero(who >= 0)
        categories, _ = _as_of(log.categories, calendar, who[sample, place], cutoff[sample])
        keys = samples[["account_id", "period"]].iloc[sample].reset_index(drop=True)
        found["individuals"] = pd.concat([keys, categories], axis=1)
    return found | {"events": _events(log, calendar, account, cutoff)}


def _as_of(
    table: pd.DataFrame, calendar: Calendar, who: Int[np.ndarray, " n"], cutoff: Int[np.ndarray, " n"]
) -> tuple[pd.DataFrame, Int[np.ndarray, " n"]]:
    """The values of a history at cut-offs, missing where nothing was known yet, and the rows that they stand in."""
    row = versions_as_of(table, calendar)(who, cutoff)
    values = table.iloc[:, 2:]
    if values.empty:  # no columns, or no rows: a look-up would fail
        return pd.DataFrame({name: np.full(len(who), np.nan) for name in values}, index=range(len(who))), row
    taken = values.iloc[np.where(row < 0, 0, row)].reset_index(drop=True)
    return taken.where(pd.Series(row >= 0), np.nan), row


def _with_age(
    table: pd.DataFrame, calendar: Calendar, who: Int[np.ndarray, " n"], cutoff: Int[np.ndarray, " n"]
) -> list[pd.DataFrame]:
    """Dated features, and for how many periods they have been known: of a feed that stopped, they grow old."""
    values, row = _as_of(table, calendar, who, cutoff)
    if table.empty:
        return [values]
    known = table.iloc[:, 1].to_numpy()[np.where(row < 0, 0, row)]
    age = cutoff - calendar.first_cutoff_after(np.where(known == ALWAYS, calendar.starts[0], known))
    return [values, pd.DataFrame({"periods since features": np.where(row < 0, np.nan, age)})]


def _activities(
    log: Log, calendar: Calendar, encoding: Encoding, account: Int[np.ndarray, " n"], cutoff: Int[np.ndarray, " n"]
) -> pd.DataFrame:
    """How often each activity was in the last period before the cut-off."""
    counts = account_totals(log, calendar, encoding, account, cutoff, window=1)
    return pd.DataFrame({f"activities: {name.removesuffix(', 1 back')}": each for name, each in counts.items()})


def _events(
    log: Log, calendar: Calendar, account: Int[np.ndarray, " n"], cutoff: Int[np.ndarray, " n"]
) -> pd.DataFrame:
    """The events that each sample's cut-off was the first to see."""
    of, first = _first_seen(log, calendar)
    periods = len(calendar.starts) + 1
    rows = np.isin(of * periods + first, account.astype(np.int64) * periods + cutoff)
    names = np.array(log.activities, object)
    return pd.DataFrame(
        {
            "account_id": log.account_ids[of[rows]],
            "period": first[rows].astype(np.int64),
            "activity": names[log.event_activity[rows]],
        }
    )


def _first_seen(log: Log, calendar: Calendar) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """The account of each event, and the first cut-off that sees it."""
    known = log.event_time if log.event_known is None else np.maximum(log.event_time, log.event_known)
    return log.individual_account[log.event_individual].astype(np.int64), calendar.first_cutoff_after(known)


def latest_event(log: Log, config: PanelConfig, panel: Panel) -> int | None:
    """The period in which the accounts of a panel had their latest event that its last cut-off may see.

    Args:
        log: the checked log.
        config: the data's settings.
        panel: the samples made of the log.

    Returns:
        The number of the first cut-off that saw it, as in the ``events`` of ``frames_of``; None if there is none.
    """
    of, first = _first_seen(log, calendar_of(log, config))
    seen = np.isin(of, log.account_ids.get_indexer(panel.samples["account_id"])) & (
        first <= panel.samples["period"].max()
    )
    return int(first[seen].max()) if seen.any() else None


def score_frame(scores: pd.DataFrame, segments: Sequence[str]) -> pd.DataFrame:
    """The scores of accounts as a table to be watched, with their segments.

    Args:
        scores: one row a sample: ``account_id``, ``probability`` and the segments.
        segments: names of columns; those that the scores lack are passed over.

    Returns:
        The table; without periods, as scores are made when they are asked for.

    Example:
        >>> import pandas as pd
        >>> from hanjax.monitoring.frames import score_frame
        >>> scores = pd.DataFrame({"account_id": ["a"], "cutoff": [3], "probability": [0.1], "region": ["EMEA"]})
        >>> list(score_frame(scores, ["region", "product"]))
        ['account_id', 'probability', 'region']
    """
    return scores[["account_id", "probability", *(name for name in segments if name in scores)]].reset_index(drop=True)
