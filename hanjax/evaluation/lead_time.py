"""How early a score warns: an account is warned of when its score first reaches a threshold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from hanjax.errors import DataError
from hanjax.evaluation.resampling import samples_of

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Of the scores: the thresholds where none are given."""


def lead_time(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"],
    thresholds: Sequence[float] | None = None,
) -> pd.DataFrame:
    """How many conversions are warned of, how long before, and at what cost, threshold by threshold.

    An account is alarmed once, in the first of its periods whose score is at or above the threshold. An account
    converts in the last of its periods labeled 1; what comes after does not count. All that are not seen to convert
    count as false alarms if they are alarmed, although some of them may convert later.

    Args:
        scores: ``[N]`` higher for likelier.
        labels: ``[N]`` 1 where the account converts, 0 where not, NaN where unknown: such samples are left out.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period: its number, or its cut-off, of which all periods must then occur.
        thresholds: of the score; None for the ``QUANTILES`` of the scores, equal ones once.

    Returns:
        One row a threshold, as given: ``threshold``; ``warned``, the share of converting accounts that are alarmed no
        later than in the period in which they convert; ``median_lead`` and ``mean_lead`` of these, in periods from the
        alarm to the conversion (0: in the last period); ``false_alarms``, the share of the other accounts that are
        alarmed; ``false_alarms_per_100``, the same for 100 of their samples, each of which is a period of an account;
        ``precision``, the share of alarmed accounts that convert; ``alarms``, how many are alarmed. NaN where there is
        nothing to take a share of.

    Raises:
        DataError: if the arrays do not fit together, or a score, account or period is missing.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.lead_time import lead_time
        >>> scores, labels = np.array([0.1, 0.6, 0.7, 0.2, 0.5]), np.array([0, 0, 1, 0, 0])
        >>> lead_time(scores, labels, ["a", "a", "a", "b", "b"], [1, 2, 3, 2, 3], [0.65, 0.5]).T
                                  0     1
        threshold              0.65   0.5
        warned                 1.00   1.0
        median_lead            0.00   1.0
        mean_lead              0.00   1.0
        false_alarms           0.00   1.0
        false_alarms_per_100   0.00  50.0
        precision              1.00   0.5
        alarms                 1.00   2.0
    """
    labels = np.asarray(labels)
    given = samples_of(scores, labels, accounts, periods, where=~pd.isna(labels))
    numbers = np.asarray(periods)[~pd.isna(labels)]
    when = numbers if numbers.dtype.kind in "iu" else given.periods
    none = np.iinfo(np.int64).max
    converts = np.full(len(given.names), -none)
    np.maximum.at(converts, given.accounts[given.labels == 1], when[given.labels == 1])
    converting = converts > -none
    counts = ~converting[given.accounts] | (when <= converts[given.accounts])
    others, watched = int((~converting).sum()), int((~converting[given.accounts]).sum())
    if thresholds is None:
        thresholds = np.unique(np.quantile(given.scores, QUANTILES)) if len(given.scores) else ()
    asked = np.asarray(thresholds, float)
    if np.isnan(asked).any():
        raise DataError(f"thresholds: NaN is none (at {int(np.isnan(asked).argmax())}).")
    rows = []
    for threshold in asked:
        alarmed = counts & (given.scores >= threshold)
        first = np.full(len(given.names), none)
        np.minimum.at(first, given.accounts[alarmed], when[alarmed])
        warned = converting & (first < none)
        lead = converts[warned] - first[warned]
        false = int((~converting & (first < none)).sum())
        rows.append(
            {
                "threshold": float(threshold),
                "warned": _share(len(lead), converting.sum()),
                "median_lead": np.median(lead) if len(lead) else np.nan,
                "mean_lead": lead.mean() if len(lead) else np.nan,
                "false_alarms": _share(false, others),
                "false_alarms_per_100": 100 * _share(false, watched),
                "precision": _share(len(lead), len(lead) + false),
                "alarms": len(lead) + false,
            }
        )
    names = ["threshold", "warned", "median_lead", "mean_lead", "false_alarms", "false_alarms_per_100", "precision"]
    return pd.DataFrame(rows, columns=[*names, "alarms"])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
