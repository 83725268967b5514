"""How good scores are period by period: a number pooled over all of them may hide that it only tells periods apart."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hanjax.errors import DataError
from hanjax.evaluation.metrics import auc, average_precision, brier, log_loss


def over_time(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"],
    *,
    where: Bool[np.ndarray, " N"] | None = None,
) -> pd.DataFrame:
    """The AUC within each period, among the accounts that were scored at the same cut-off.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        periods: ``[N]`` the period of each sample: its number, or its cut-off.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        One row a period, in order: ``period``, ``auc`` (NaN where the period has one class only), ``samples``,
        ``conversions`` and ``mean_score``.

    Raises:
        DataError: if the arrays do not fit together, or a score or label that counts is unknown.

    Example:
        >>> import numpy as np
        >>> labels, periods = np.array([1, 0, 0, 0]), np.array([7, 7, 7, 8])
        >>> over_time(np.array([0.6, 0.2, 0.4, 0.1]), labels, periods)
           period  auc  samples  conversions  mean_score
        0       7  1.0        3            1         0.4
        1       8  NaN        1            0         0.1
    """
    scores, labels, periods = _counted(scores, labels, periods, where)
    rows = [
        {
            "period": period,
            "auc": float(auc(scores[rows], labels[rows])),
            "samples": len(rows),
            "conversions": int(labels[rows].sum()),
            "mean_score": float(scores[rows].mean()),
        }
        for period, rows in pd.Series(periods).groupby(periods).indices.items()
    ]
    return pd.DataFrame(rows, columns=["period", "auc", "samples", "conversions", "mean_score"])


def summary(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"],
    *,
    where: Bool[np.ndarray, " N"] | None = None,
) -> dict[str, float | int | None]:
    """The numbers that describe a model's probabilities on one set of samples, ready for JSON.

    Args:
        scores: ``[N]`` probabilities.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        periods: ``[N]`` the period of each sample: its number, or its cut-off.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        ``auc`` over all samples at once; ``auc_period_mean``, the plain mean over the ``periods_used`` that have both
        classes (``periods_one_class`` have not); ``average_precision``; ``log_loss`` and, to compare, the
        ``log_loss_base_rate`` of a model that knows nothing but these samples' rate of conversion; ``brier``;
        ``samples`` and ``conversions``. A measure that is not defined is None.

    Raises:
        DataError: if the arrays do not fit together, a score or label that counts is unknown, or a score is not a
            probability.

    Example:
        >>> import numpy as np
        >>> labels, periods = np.array([1, 0, 0, 0]), np.array([7, 7, 7, 8])
        >>> found = summary(np.array([0.6, 0.2, 0.4, 0.1]), labels, periods)
        >>> found["auc"], found["auc_period_mean"], found["periods_used"], found["periods_one_class"]
        (1.0, 1.0, 1, 1)
    """
    scores, labels, periods = _counted(scores, labels, periods, where)
    if outside := int(((scores < 0) | (scores > 1)).sum()):
        raise DataError(f"scores: {outside:,} of {len(scores):,} lie outside 0..1; probabilities are expected.")
    per_period = over_time(scores, labels, periods)["auc"].to_numpy(float)
    used = ~np.isnan(per_period)
    base_rate = np.full(len(labels), labels.mean() if len(labels) else 0.0)
    measures = {
        "auc": auc(scores, labels),
        "auc_period_mean": per_period[used].mean() if used.any() else np.nan,
        "average_precision": average_precision(scores, labels),
        "log_loss": log_loss(scores, labels),
        "log_loss_base_rate": log_loss(base_rate, labels),
        "brier": brier(scores, labels),
    }
    return {name: None if np.isnan(value) else float(value) for name, value in measures.items()} | {
        "periods_used": int(used.sum()),
        "periods_one_class": int((~used).sum()),
        "samples": len(labels),
        "conversions": int(labels.sum()),
    }


def _counted(scores: Any, labels: Any, periods: Any, where: Any) -> tuple[np.ndarray, np.ndarray, pd.Index]:
    """The samples that count, checked: scores, labels as 0 or 1, periods."""
    scores, labels, periods = np.asarray(scores), np.asarray(labels), pd.Index(periods)
    where = np.ones(len(scores), bool) if where is None else np.asarray(where)
    shapes = [array.shape for array in (scores, labels, periods, where)]
    if len(set(shapes)) > 1 or scores.ndim != 1 or where.dtype != bool:
        raise DataError(
            "scores, labels, periods and where must be [N] each, where bool; "
            f"got {', '.join(str(list(shape)) for shape in shapes)}, where {where.dtype}."
        )
    scores, labels, periods = scores[where], labels[where], periods[where]
    if unknown := int(np.isnan(scores.astype(float)).sum()):
        raise DataError(f"scores: {unknown:,} of {len(scores):,} that count are NaN; leave them out with `where`.")
    wrong = ~np.isin(labels, (0, 1))
    if wrong.any():
        raise DataError(
            f"labels: {wrong.sum():,} of {len(labels):,} that count are neither 0 nor 1 (first: {labels[wrong][0]}); "
            "leave unknown outcomes out with `where`."
        )
    return scores, labels.astype(int), periods
