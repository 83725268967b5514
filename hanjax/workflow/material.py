"""What training and scoring are given alike: tables, labels and features, all as of their dates."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.config import PanelConfig
from hanjax.data.log import Log
from hanjax.data.panel import calendar_of
from hanjax.data.periods import around
from hanjax.errors import DataError
from hanjax.features import Mart, load_features
from hanjax.types import Tables
from hanjax.workflow.settings import Workflow


def mart_of(
    workflow: Workflow, tables: Tables, config: PanelConfig, *, names: Iterable[str] | None = None
) -> Mart | None:
    """The features of a workflow and their sources.

    Args:
        workflow: the settings.
        tables: the data; features of individuals need their table.
        config: the settings of the data.
        names: of the features that are computed; None for those that the settings allow.

    Returns:
        The mart; None if there are no features.

    Raises:
        ConfigError: if a feature, a list or a source cannot work.
        DataError: if a source is not what it should be, or the data have account_features already.
    """
    given = workflow.features
    if given is None:
        return None
    if tables.account_features is not None:
        raise DataError(
            f"{workflow.data}: holds account_features, and the workflow computes features. Take out the table, or add "
            "it to features.sources."
        )
    features = load_features(given.file)
    allow, deny = (given.allow, given.deny) if names is None else (tuple(names), None)
    week = {"week": config.period} if config.period.startswith("W") else {}
    return Mart(
        features,
        given.tables,
        individuals=tables.individuals if any(one.entity == "individual" for one in features) else None,
        folder=given.store,
        allow=allow,
        deny=deny,
        timezone=config.timezone,
        **week,
    )


def versions_of(mart: Mart | None) -> dict[str, str]:
    """The version of each feature that a mart computes, by name."""
    return {} if mart is None else {one.name: one.version for one in mart.features}


def with_features(tables: Tables, mart: Mart | None, log: Log, config: PanelConfig) -> Tables:
    """Adds the features as of the cut-offs of the samples.

    Args:
        tables: the data; with outcomes, their rows are the samples, otherwise every account at every cut-off.
        mart: the features; None for none.
        log: the checked log of the data, whose own outcomes it has; it may lack those that were made of opportunities.
        config: the settings of the data.

    Returns:
        The tables with ``account_features``.
    """
    if mart is None:
        return tables
    if log.outcomes is not None:
        own = {"account_id": log.account_ids[log.outcomes.account], "cutoff": _dates(log.outcomes.cutoff)}
        cutoffs: Any = pd.DataFrame(own)
    elif tables.outcomes is None:
        calendar = calendar_of(log, config)
        cutoffs = list(calendar.dates(np.arange(1, len(calendar.starts))))
    else:
        cutoff = cutoffs_of(tables.outcomes["as_of"], config)
        cutoffs = pd.DataFrame({"account_id": tables.outcomes["account_id"].to_numpy(), "cutoff": _dates(cutoff)})
    table = mart.account_features(cutoffs)
    there = table["account_id"].isin(log.account_ids)  # a source may know of more accounts
    return tables._replace(account_features=table[there].reset_index(drop=True))


def cutoffs_of(as_of: pd.Series, config: PanelConfig) -> Int[np.ndarray, " n"]:
    """The start of the period that holds each time, in microseconds since 1970, UTC."""
    times = pd.DatetimeIndex(as_of).tz_convert("UTC").as_unit("us").asi8
    return around(times, period=config.period, timezone=config.timezone)[0]


def _dates(cutoffs: Int[np.ndarray, " n"]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(cutoffs.view("M8[us]")).tz_localize("UTC")


def held_out(tables: Tables, account_ids: pd.Index, share: float) -> Tables:
    """Puts accounts into fold 0, by a hash of their ids, and all others into fold 1.

    Whoever is held out once is so in every later training, whichever accounts come or go: so a champion and a
    challenger of different trainings have accounts that neither has seen.

    Args:
        tables: the data.
        account_ids: of all accounts.
        share: how many of them are held out, about.

    Returns:
        The tables with ``folds``.

    Example:
        >>> import pandas as pd
        >>> from hanjax.types import Tables
        >>> from hanjax.workflow.material import held_out
        >>> nothing = pd.DataFrame()
        >>> few, many = (
        ...     held_out(Tables(nothing, nothing, nothing), pd.Index(range(n)), 0.2).folds for n in (1000, 5000)
        ... )
        >>> bool(0.17 < (few["fold"] == 0).mean() < 0.23), bool((few["fold"] == many["fold"][:1000]).all())
        (True, True)
    """
    digests = (hashlib.sha256(str(account).encode()).digest()[:8] for account in account_ids)
    place = np.array([int.from_bytes(digest, "big") / 2**64 for digest in digests])
    folds = pd.DataFrame({"account_id": account_ids, "fold": np.where(place < share, 0, 1)})
    return tables._replace(folds=folds)


def digest_of(folder: str | Path, tables: Tables) -> str:
    """A hash of what a model is trained on: the files of the data, and the tables that were made beside them.

    Args:
        folder: of the data.
        tables: as they are given to the training.

    Returns:
        SHA-256 in hexadecimal.
    """
    files = [path for path in sorted(Path(folder).iterdir()) if path.name.split(".")[0] in Tables._fields]
    parts: list[Any] = []
    for path in files:
        with open(path, "rb") as file:
            parts.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    for name, table in tables._asdict().items():
        if isinstance(table, pd.DataFrame):
            rows = pd.util.hash_pandas_object(table, index=False).to_numpy()
            parts.append([name, list(table.columns), hashlib.sha256(rows.tobytes()).hexdigest()])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
