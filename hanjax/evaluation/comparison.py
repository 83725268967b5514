"""Two models on the same samples: every measure of both, and how sure their differences are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hanjax.errors import DataError
from hanjax.evaluation.delong import delong_test
from hanjax.evaluation.intervals import account_weights, difference
from hanjax.evaluation.metrics import Metric, auc, average_precision, brier, log_loss
from hanjax.evaluation.over_time import over_time
from hanjax.evaluation.resampling import MEASURES, Samples, resampled, samples_of

COLUMNS = ["measure", "first", "second", "difference", "low", "high", "p", "p_delong", "deviation"]


def compare(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"] | None = None,
    *,
    where: Bool[np.ndarray, " N"] | None = None,
    measures: Sequence[str] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Every measure of two scores, with the interval and the p of its difference under the same resampled accounts.

    Args:
        first: ``[N]`` one model's probabilities; any numbers if neither ``log_loss`` nor ``brier`` is asked for.
        second: ``[N]`` the other's.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period; None leaves out ``auc_period_mean``.
        where: ``[N]`` the samples that count; None for all.
        measures: which of ``hanjax.evaluation.resampling.MEASURES``; None for all.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a measure: ``measure``, ``first``, ``second``, ``difference`` (the first less the second; higher is
        better for the areas and the precision, lower for the losses), ``low``, ``high``, ``p`` (see
        ``hanjax.evaluation.intervals.difference``), and ``p_delong``, the closed form's for the AUC, with accounts as
        clusters; NaN for the others, and where a measure is not defined; ``deviation`` of the difference over the
        resamples.

    Raises:
        ConfigError: if a measure is unknown, or needs periods that are not given.
        DataError: if the arrays do not fit together, a score or label that counts is unknown, or a loss is asked of
            scores that are no probabilities.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.comparison import compare
        >>> random = np.random.default_rng(0)
        >>> labels, accounts = random.integers(0, 2, 300), np.arange(300) // 3
        >>> sharp, blunt = (np.clip(0.5 + (labels - 0.5) * s + random.normal(0, 0.2, 300), 0, 1) for s in (0.4, 0.1))
        >>> found = compare(sharp, blunt, labels, accounts, resamples=500).set_index("measure")
        >>> found.loc[["auc", "brier"], ["first", "second", "difference", "low", "high", "p"]].round(2)
                 first  second  difference   low  high    p
        measure
        auc       0.94    0.70        0.24  0.17  0.30  0.0
        brier     0.12    0.22       -0.10 -0.12 -0.08  0.0

    Source: resampling whole accounts, as their samples are not independent; for ``p_delong`` Obuchowski (1997).
    """
    if np.shape(first) != np.shape(second):
        raise DataError(f"first and second must be [N] both; got {list(np.shape(first))} and {list(np.shape(second))}.")
    given = samples_of(np.stack([first, second]), labels, accounts, periods, where=where)
    if measures is None:
        measures = [measure for measure in MEASURES if measure != "auc_period_mean" or periods is not None]
    outside = int(((given.scores < 0) | (given.scores > 1)).sum())
    if outside and {"log_loss", "brier"} & set(measures):
        raise DataError(
            f"first and second: {outside:,} scores lie outside 0..1, where log_loss and brier are not defined; "
            'leave them out with `measures`, as in measures=("auc", "average_precision").'
        )
    weights = account_weights(len(given.names), resamples=resamples, seed=seed)
    codes = None if periods is None else given.periods
    first, second = given.scores
    drawn = [resampled(s, given.labels, given.accounts, weights, measures, periods=codes) for s in (first, second)]
    rows = []
    for measure in measures:
        one, other = measured(measure, first, given), measured(measure, second, given)
        found = difference(one - other, drawn[0][measure] - drawn[1][measure], level=level, positives=given.carriers)
        p = delong_test(first, second, given.labels, given.accounts).p if measure == "auc" else np.nan
        rows.append([measure, one, other, found.value, found.low, found.high, found.p, p, found.deviation])
    return pd.DataFrame(rows, columns=COLUMNS)


_METRICS: dict[str, Metric] = {
    "auc": auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
}


def measured(measure: str, scores: Float[np.ndarray, " N"], given: Samples) -> float:
    """One of the measures, by name, of scores of the samples."""
    if measure == "auc_period_mean":
        return float(over_time(scores, given.labels, given.periods)["auc"].mean())
    return float(_METRICS[measure](scores, given.labels))
