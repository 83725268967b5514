"""How far a column's distribution has moved from that of a reference: numbers or levels, missing values counted."""

from typing import Any

import numpy as np
import pandas as pd

from hanjax.errors import ConfigError, DataError

_SMOOTHING = 0.5
"""Added to the count of every bin, so that an empty one gives a finite figure."""


def population_stability(reference: Any, current: Any, bins: int = 10) -> float:
    """The population stability index: how far the shares of a column's bins have moved.

    PSI = sum_b (q_b - p_b) log(q_b / p_b),  p_b = (n_b + 1/2) / (n + B/2)  of the reference, q_b of the current rows

    It is the sum of both Kullback-Leibler divergences, in nats: 0 where all shares are the same. A common reading is
    that below 0.1 nothing happened and above 0.25 much did; but without any change it is about (B - 1) (1/n + 1/m) by
    chance alone, so that small samples need thresholds of their own.

    Args:
        reference: ``[n]`` numbers, or levels such as texts and booleans; NaN and None are missing.
        current: ``[m]`` the same of other rows.
        bins: into how many quantiles of the reference numbers are put; see ``binned``.

    Returns:
        The index, at least 0.

    Raises:
        DataError: if there are no rows, or one holds numbers and the other one levels.
        ConfigError: if there is not one bin.

    Example:
        >>> from hanjax.evaluation.drift import population_stability
        >>> population_stability(["a", "a", "b", None], ["a", "a", "b", None])
        0.0
        >>> round(population_stability([1, 2, 3, 4] * 25, [3, 4, 5, 6] * 25, bins=4), 2)
        2.45

    Source: Siddiqi 2006, Credit Risk Scorecards, chapter on scorecard monitoring; Yurdakul 2018, Statistical Properties
    of Population Stability Index, for what it is by chance.
    """
    p, q = _shares(binned(reference, current, bins))
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: Any, current: Any, bins: int = 10) -> float:
    """The Jensen-Shannon divergence of a column's bins: 0 where all shares are the same, 1 where none is in common.

    JS = KL(p | m) / 2 + KL(q | m) / 2,  m = (p + q) / 2,  in bits, of the smoothed shares p and q that the population
    stability index has

    Args and errors are those of ``population_stability``. Its square root is a distance.

    Returns:
        The divergence, from 0 to 1; 1 itself is not reached, as the shares are smoothed.

    Example:
        >>> from hanjax.evaluation.drift import jensen_shannon
        >>> round(jensen_shannon(["a"] * 50 + ["b"] * 50, ["a"] * 50 + ["c"] * 50), 2)
        0.46

    Source: Lin 1991, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37 (1).
    """
    p, q = _shares(binned(reference, current, bins))
    middle = (p + q) / 2
    return float(max(0.0, np.sum(p * np.log2(p / middle) + q * np.log2(q / middle)) / 2))


def binned(reference: Any, current: Any, bins: int = 10) -> pd.DataFrame:
    """Counts the rows of two samples in the same bins.

    Numbers are put between quantiles of the reference, each bin with its upper edge and without its lower one. A value
    so frequent that several quantiles fall on it, such as 0, is a bin of its own. Levels are themselves. Missing values
    are the last bin, if there are any.

    Args:
        reference: ``[n]`` numbers or levels.
        current: ``[m]`` the same of other rows.
        bins: into how many quantiles of the reference numbers are put.

    Returns:
        One row a bin: ``bin`` (its text), ``reference`` and ``current`` (how many rows of each).

    Raises:
        DataError: if there are no rows, or one holds numbers and the other one levels.
        ConfigError: if there is not one bin.

    Example:
        >>> from hanjax.evaluation.drift import binned
        >>> binned([0, 0, 0, 1, 2, None], [0, 5, None], bins=2)
               bin  reference  current
        0   (.., 0)          0        0
        1         0          3        1
        2  (0, ..)          2        1
        3   missing          1        1
    """
    if bins < 1:
        raise ConfigError(f"bins: expected at least 1, got {bins}.")
    samples = [pd.Series(values) for values in (reference, current)]
    for name, values in zip(("reference", "current"), samples, strict=True):
        if values.empty:
            raise DataError(f"{name}: there are no rows, so there is no distribution to compare.")
    present = [values.dropna() for values in samples]
    kinds = {_numeric(values) for values in present if len(values)}
    if len(kinds) > 1:
        raise DataError("reference, current: one holds numbers and the other one levels. Convert one of them.")
    codes, names = _of_numbers(present, bins) if kinds == {True} else _of_levels(present)
    counts = [np.bincount(code, minlength=len(names)) for code in codes]
    missing = [len(values) - len(known) for values, known in zip(samples, present, strict=True)]
    if any(missing):
        names = [*names, "missing"]
        counts = [np.append(count, lost) for count, lost in zip(counts, missing, strict=True)]
    return pd.DataFrame({"bin": names, "reference": counts[0], "current": counts[1]})


def _numeric(values: pd.Series) -> bool:
    if values.dtype == object:  # numbers that stood beside None
        values = values.infer_objects()
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _of_numbers(present: list[pd.Series], bins: int) -> tuple[list[np.ndarray], list[str]]:
    """The bin of each number, and the bins' names."""
    numbers = [values.to_numpy(np.float64) for values in present]
    base = numbers[0] if len(numbers[0]) else numbers[1]  # of a reference that is all missing, nothing is known
    # The smallest value that k / bins of the rows do not exceed, found with whole numbers alone: 3 * 0.2 is not 0.6.
    quantiles = np.sort(base)[np.maximum(-(-np.arange(bins + 1) * len(base) // bins) - 1, 0)]
    values, times = np.unique(quantiles, return_counts=True)
    own = values[times > 1]
    edges = np.unique(np.concatenate([quantiles[1:-1], own, np.nextafter(own, -np.inf)]))
    shown = ["..", *(f"{edge:g}" for edge in edges), ".."]
    names = [
        f"({low}, {high}]" if high != ".." else f"({low}, ..)" for low, high in zip(shown, shown[1:], strict=False)
    ]
    for value in own:
        at = int(np.searchsorted(edges, value))
        names[at] = f"{value:g}"
        names[at - 1] = f"{names[at - 1].rpartition(', ')[0]}, {value:g})"
    return [np.searchsorted(edges, values, side="left") for values in numbers], names


def _of_levels(present: list[pd.Series]) -> tuple[list[np.ndarray], list[str]]:
    """The place of each level, and the levels' names."""
    texts = [values.astype(str) for values in present]
    levels = pd.Index(sorted(set(texts[0]) | set(texts[1])))
    return [levels.get_indexer(values) for values in texts], levels.tolist()


def _shares(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    counts = table[["reference", "current"]].to_numpy(np.float64).T + _SMOOTHING
    p, q = counts / counts.sum(axis=1, keepdims=True)
    return p, q
