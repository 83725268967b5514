"""What the values of features look like: how many are there, how they are distributed, how far they have moved."""

import numpy as np
import pandas as pd

from hanjax.errors import DataError
from hanjax.plot.features import observed

_QUANTILES = {"minimum": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "maximum": 1.0}


def profile(matrix: pd.DataFrame, reference: pd.DataFrame | None = None) -> pd.DataFrame:
    """Describes each feature of a matrix.

    Args:
        matrix: as ``Mart.compute`` gives it.
        reference: one of other cut-offs to compare with; None for no comparison.

    Returns:
        One row a feature: ``feature``, ``rows``, ``coverage`` (share of rows with a value), ``distinct``, ``mean``,
        ``sd``, ``minimum``, ``q05``, ``q25``, ``median``, ``q75``, ``q95``, ``maximum``, ``zeros`` (share of 0 among
        the values); with a reference ``coverage_before``, ``population_stability`` and ``jensen_shannon`` (see
        ``hanjax.evaluation.drift``; missing values count as a bin of their own). What ``fill`` put there counts as
        missing. NaN is what is not defined.

    Raises:
        DataError: if the reference has other features, or either has no rows to compare.

    Example:
        >>> import pandas as pd
        >>> from hanjax.features.profile import profile
        >>> matrix = pd.DataFrame({"account_id": [1, 2, 3], "cutoff": "2024-03-03", "booked": [0.0, 4.0, None]})
        >>> profile(matrix)[["feature", "rows", "coverage", "mean", "zeros"]].round(2)
          feature  rows  coverage  mean  zeros
        0  booked     3      0.67   2.0    0.5
    """
    now, before = observed(matrix), None if reference is None else observed(reference)
    if before is not None and set(now.columns) != set(before.columns):
        odd = sorted(set(now.columns) ^ set(before.columns))
        raise DataError(f"reference: has not the same features as the matrix; one of the two lacks {', '.join(odd)}.")
    rows = []
    for name, column in now.items():
        there = column.dropna()
        row = {
            "feature": name,
            "rows": len(column),
            "coverage": column.notna().mean(),
            "distinct": there.nunique(),
            "mean": there.mean(),
            "sd": there.std(),
            **{part: there.quantile(share) for part, share in _QUANTILES.items()},
            "zeros": (there == 0).mean() if len(there) else np.nan,
        }
        if before is not None:
            from hanjax.evaluation.drift import jensen_shannon, population_stability

            row["coverage_before"] = before[name].notna().mean()
            row["population_stability"] = population_stability(before[name], column)
            row["jensen_shannon"] = jensen_shannon(before[name], column)
        rows.append(row)
    return pd.DataFrame(rows)
