"""How good scores are within groups of accounts: of one size, one segment, one region."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.intervals import auc_interval
from hanjax.evaluation.over_time import summary

_SUMMARY = ("auc_period_mean", "average_precision", "log_loss", "log_loss_base_rate", "brier")


def by_group(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"],
    groups: Any,
    *,
    where: Bool[np.ndarray, " N"] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """The measures within each group. A model that only tells groups apart has an AUC of 0.5 within all of them.

    Args:
        scores: ``[N]`` probabilities.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period: its number, or its cut-off.
        groups: ``[N]`` each sample's group, by any column; samples without a value are a group of their own, the last.
        where: ``[N]`` the samples that count; None for all.
        resamples: how many times the accounts of a group are drawn.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a group, in the groups' order: ``group``, ``accounts``, ``samples``, ``conversions``, ``auc`` with
        ``auc_low`` and ``auc_high``, ``auc_period_mean``, ``average_precision``, ``log_loss``, ``log_loss_base_rate``
        (of a model that knows nothing but the group's rate) and ``brier``; NaN for what is not defined. An interval
        needs two accounts that convert.

    Raises:
        DataError: if the arrays do not fit together, a score or label that counts is unknown, or a score is not a
            probability.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.groups import by_group
        >>> scores, labels = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 1, 1, 0])
        >>> found = by_group(scores, labels, np.arange(4), np.zeros(4), ["small", "small", "large", "large"])
        >>> found[["group", "accounts", "samples", "conversions", "auc"]]
           group  accounts  samples  conversions  auc
        0  large         2        2            1  0.0
        1  small         2        2            1  1.0
    """
    scores, labels, periods = np.asarray(scores), np.asarray(labels), pd.Index(periods)
    accounts, column = pd.Index(accounts), pd.Series(groups).reset_index(drop=True)
    counts = np.ones(len(scores), bool) if where is None else np.asarray(where)
    if len({len(array) for array in (scores, labels, periods, accounts, column, counts)}) > 1 or counts.dtype != bool:
        raise DataError(
            "scores, labels, accounts, periods, groups and where must be [N] each, where bool; got "
            f"{len(scores)}, {len(labels)}, {len(accounts)}, {len(periods)}, {len(column)} and "
            f"{counts.dtype}[{len(counts)}]."
        )
    rows = []
    column = column[counts]
    for group, members in column.groupby(column, dropna=False, observed=True):
        place = members.index.to_numpy()
        found = summary(scores[place], labels[place], periods[place])
        sure = auc_interval(scores[place], labels[place], accounts[place], resamples=resamples, seed=seed, level=level)
        sizes = {"accounts": accounts[place].nunique(dropna=False)}
        sizes |= {name: found[name] for name in ("samples", "conversions")}
        areas = {"auc": sure.value, "auc_low": sure.low, "auc_high": sure.high}
        rest = {name: np.nan if found[name] is None else found[name] for name in _SUMMARY}
        rows.append({"group": group, **sizes, **areas, **rest})
    names = ["group", "accounts", "samples", "conversions", "auc", "auc_low", "auc_high", *_SUMMARY]
    return pd.DataFrame(rows, columns=names)


def size_bands(n_members: Int[np.ndarray, " N"], edges: Sequence[int] = (1, 2, 3, 6, 11, 26)) -> pd.Categorical:
    """Names of bands of account sizes, in order, as groups for ``by_group``: a sum or a maximum grows with the size.

    Args:
        n_members: ``[N]`` how many members each sample has.
        edges: the smallest size of each band, ascending; the last band has no upper end.

    Returns:
        ``[N]`` names, such as "1", "3 to 5" and "26 or more".

    Raises:
        ConfigError: if the edges do not ascend.
        DataError: if a size is missing, or below the first edge.

    Example:
        >>> from hanjax.evaluation.groups import size_bands
        >>> size_bands([4, 1, 30]).tolist()
        ['3 to 5', '1', '26 or more']
    """
    sizes, begins = np.asarray(n_members, float), np.asarray(edges)
    if not len(begins) or (np.diff(begins) <= 0).any():
        raise ConfigError(f"edges: expected ascending sizes, got {tuple(edges)}.")
    wrong = ~(sizes >= begins[0])
    if wrong.any():
        raise DataError(
            f"n_members: {wrong.sum():,} of {len(sizes):,} are missing or below {begins[0]} "
            f"(first: {sizes[wrong][0]}); let the first of `edges` be the smallest size."
        )
    names = [
        str(begin) if begin == end - 1 else f"{begin} to {end - 1}"
        for begin, end in zip(begins[:-1], begins[1:], strict=True)
    ]
    codes = np.searchsorted(begins, sizes, side="right") - 1
    return pd.Categorical.from_codes(codes, [*names, f"{begins[-1]} or more"], ordered=True)
