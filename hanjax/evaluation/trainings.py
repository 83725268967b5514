"""Comparing models that were trained several times: other accounts, or other trainings, might turn it around."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from hanjax.errors import DataError
from hanjax.evaluation.calibration import probability
from hanjax.evaluation.comparison import compare, measured
from hanjax.evaluation.resampling import samples_of

Combine = Callable[[Float[np.ndarray, " N"]], Float[np.ndarray, " N"]]


def compare_trainings(
    first: Float[np.ndarray, "n N"],
    second: Float[np.ndarray, "m N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"] | None = None,
    *,
    combine: tuple[Combine, Combine] | None = None,
    measures: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Every measure of two models, each the mean of several trainings, and how sure the difference is.

    variance of the difference = variance over resampled accounts
        + (n - 1) / n sum over trainings i of (theta_without_i - mean)^2, for each of the models

    Two trainings of the same settings differ in nothing but chance, and with enough accounts any two parameters are
    found to differ. Whether *settings* differ can only be told with several trainings of each, as the networks of an
    ensemble are: leaving out one after the other (the jackknife) says how much another training would change.

    Args:
        first: ``[n, N]`` log-odds, one row a training.
        second: ``[m, N]`` the other model's.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period; None leaves out ``auc_period_mean``.
        combine: what makes probabilities of the mean log-odds, for each model; None for the logistic function.
        measures: which of ``hanjax.evaluation.resampling.MEASURES``; None for all.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a measure: ``measure``, ``first``, ``second``, ``difference`` (the first less the second), ``low`` and
        ``high``, ``p`` (other accounts and other trainings; NaN if a model was trained once, where the interval is of
        other accounts alone), ``p_accounts`` (other accounts, these very parameters) and ``p_delong``.

    Raises:
        ConfigError: if a measure is unknown, or needs periods that are not given.
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.trainings import compare_trainings
        >>> random = np.random.default_rng(0)
        >>> labels, accounts = random.integers(0, 2, 300), np.arange(300) // 3
        >>> alike = [labels + random.normal(0, 1, 300) + random.normal(0, 1, (4, 300)) for _ in range(2)]
        >>> found = compare_trainings(*alike, labels, accounts, measures=["auc"], resamples=200)
        >>> found[["p", "p_accounts"]].round(2).to_numpy().tolist()
        [[0.33, 0.3]]

    Source: Efron and Stein 1981, The Jackknife Estimate of Variance; the degrees of freedom of the sum by Satterthwaite
    (1946).
    """
    stacks = [np.asarray(stack, float) for stack in (first, second)]
    if any(stack.ndim != 2 or len(stack) == 0 or stack.shape[1] != len(labels) for stack in stacks):
        raise DataError(
            f"first and second must be [n, {len(labels)}], one row a training; got "
            f"{list(stacks[0].shape)} and {list(stacks[1].shape)}."
        )
    combine = (probability, probability) if combine is None else combine
    whole = [of(stack.mean(axis=0)) for of, stack in zip(combine, stacks, strict=True)]
    chosen = dict(measures=measures, resamples=resamples, seed=seed, level=level)
    table = compare(whole[0], whole[1], labels, accounts, periods, **chosen).rename(columns={"p": "p_accounts"})
    table.insert(list(table).index("p_accounts"), "p", np.nan)
    if min(map(len, stacks)) == 1:
        return table
    given = samples_of(whole[0], labels, accounts, periods)
    for row, measure, deviation in table[["measure", "deviation"]].itertuples():
        parts = [(deviation**2, given.carriers - 1)]
        for of, stack in zip(combine, stacks, strict=True):
            others = [of(np.delete(stack, i, axis=0).mean(axis=0)) for i in range(len(stack))]
            values = np.array([measured(measure, scores, given) for scores in others])
            parts.append(((len(stack) - 1) * values.var(), len(stack) - 1))
        low, high, p = student(table.loc[row, "difference"], parts, level=level)
        table.loc[row, ["low", "high", "p", "deviation"]] = low, high, p, np.sqrt(sum(part for part, _ in parts))
    return table


def student(value: float, parts: Sequence[tuple[float, int]], *, level: float = 0.95) -> tuple[float, float, float]:
    """The interval and the two-sided p of a value whose variance is a sum of estimated parts.

    degrees of freedom = (sum of v)^2 / sum of v^2 / f

    Args:
        value: the value.
        parts: each part's variance v and its degrees of freedom f.
        level: of the interval.

    Returns:
        Its ends, and p; NaN where the variance is unknown, p of 1 or 0 where it is 0.

    Example:
        >>> from hanjax.evaluation.trainings import student
        >>> [round(found, 3) for found in student(2.0, [(0.5, 10), (0.5, 10)])]
        [-0.086, 4.086, 0.059]

    Source: Satterthwaite 1946, An Approximate Distribution of Estimates of Variance Components.
    """
    from scipy.special import stdtr, stdtrit

    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return (value, value, float(value == 0)) if variance == 0 else (np.nan, np.nan, np.nan)
    freedom = variance**2 / sum(part**2 / max(f, 1) for part, f in parts)
    half = float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance))
    return value - half, value + half, float(2 * stdtr(freedom, -abs(value) / np.sqrt(variance)))
