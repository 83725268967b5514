"""A control chart of conversions: whether there are more, or fewer, than the probabilities said."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.errors import ConfigError, DataError

_GROUPS = 24
"""Of more samples in a period, like probabilities are drawn together, so many groups of them."""


class Chart(NamedTuple):
    """What a control chart says.

    Args:
        course: one row a period: ``period``, ``samples``, ``conversions``, ``expected``, ``more`` and ``fewer`` (the
            two sums), and ``alarm`` ("more", "fewer" or "").
        threshold: at which a sum is an alarm; it begins anew after one.
        false_alarms: the share of years with an alarm, were the probabilities true.
    """

    course: pd.DataFrame
    threshold: float
    false_alarms: float


def chart(
    probabilities: Float[np.ndarray, " N"],
    labels: Int[np.ndarray, " N"],
    periods: Sequence,
    *,
    per_year: int = 52,
    false_alarms: float = 0.1,
    odds: float = 1.5,
    simulations: int = 2000,
    seed: int = 0,
) -> Chart:
    """Adds up, period by period, how much better other odds than the model's explain the conversions.

    W_t = sum_i y_i log(R) - log(1 - p_i + R p_i),  S_t = max(0, S_{t-1} + W_t),  once for R = odds, once for 1 / odds

    is the log-likelihood ratio of all odds being R times those of the model, added up since it last spoke for the
    model. The threshold is the one that so many of the simulated years reach in which conversions fall just as the
    model's probabilities say, with the periods drawn from those that there are. It thus knows that it will be looked at
    every period, how many accounts there are, and how rare conversions are.

    Args:
        probabilities: ``[N]`` of conversion.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        periods: ``[N]`` the period of each sample, by number or date.
        per_year: how many periods a year has.
        false_alarms: in which share of years there may be an alarm although the probabilities are true.
        odds: R, how many times larger, or smaller, the odds are whose change is found soonest.
        simulations: how many years are simulated.
        seed: of the simulation.

    Returns:
        The chart.

    Raises:
        ConfigError: if a setting cannot work.
        DataError: if the arrays do not fit together, a label is unknown or a probability is none.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.chart import chart
        >>> labels = np.tile([1, 0, 0, 0, 0], 40)  # a fifth convert, where a twentieth should
        >>> found = chart(np.full(200, 0.05), labels, np.repeat(np.arange(10), 20))
        >>> found.course.loc[found.course["alarm"] != "", ["period", "conversions", "alarm"]].values.tolist()[0]
        [3, 4, 'more']

    Source: Steiner, Cook, Farewell and Treasure (2000), Monitoring surgical performance using risk-adjusted cumulative
        sum charts.
    """
    for name, value, right, rule in (
        ("per_year", per_year, per_year >= 1, "1 at least"),
        ("false_alarms", false_alarms, 0 < false_alarms < 1, "a share between 0 and 1"),
        ("odds", odds, odds > 1, "more than 1"),
        ("simulations", simulations, simulations >= 1 / false_alarms if 0 < false_alarms < 1 else True, "more"),
    ):
        if not right:
            raise ConfigError(f"{name}: expected {rule}, got {value}.")
    probabilities, labels, when = np.asarray(probabilities, float), np.asarray(labels), pd.Index(periods)
    if not probabilities.shape == labels.shape == when.shape or probabilities.ndim != 1:
        raise DataError(
            f"probabilities, labels and periods must be [N] each; got {list(probabilities.shape)}, "
            f"{list(labels.shape)} and {list(when.shape)}."
        )
    if not (((probabilities >= 0) & (probabilities <= 1)).all() and np.isin(labels, (0, 1)).all()):
        raise DataError("probabilities must lie in 0..1, and labels be 0 or 1; leave unknown outcomes out.")
    of, names = pd.factorize(when, sort=True)
    ratios = np.log(odds) * np.array([1.0, -1.0])
    # All that depends on the outcomes is how many convert: the rest of a period's W is known before.
    offset = np.stack([np.bincount(of, np.log1p(np.expm1(r) * probabilities), len(names)) for r in ratios], axis=1)
    hits = np.bincount(of, labels, len(names)).astype(int)
    threshold = np.inf
    if len(names):
        threshold = _threshold(probabilities, of, offset, ratios, per_year, false_alarms, simulations, seed)
    sums, rows = np.zeros(2), []
    for t, name in enumerate(names):
        sums = np.maximum(0, sums + hits[t] * ratios - offset[t])
        passed = sums >= threshold
        said = ("more" if passed[0] else "fewer") if passed.any() else ""
        here = of == t
        rows.append([name, int(here.sum()), hits[t], float(probabilities[here].sum()), *sums.tolist(), said])
        sums = np.where(passed.any(), 0, sums)
    columns = ["period", "samples", "conversions", "expected", "more", "fewer", "alarm"]
    return Chart(pd.DataFrame(rows, columns=columns), threshold, false_alarms)


def _threshold(
    probabilities: np.ndarray,
    of: np.ndarray,
    offset: np.ndarray,
    ratios: np.ndarray,
    per_year: int,
    false_alarms: float,
    simulations: int,
    seed: int,
) -> float:
    """What the largest sum of a simulated year reaches in just so many of them."""
    random = np.random.default_rng(seed)
    groups = []
    for t in range(len(offset)):
        sorted_ = np.sort(probabilities[of == t])
        parts = np.array_split(sorted_, min(_GROUPS, len(sorted_)))
        groups.append((np.array([len(part) for part in parts]), np.array([part.mean() for part in parts])))
    drawn = random.integers(len(offset), size=(simulations, per_year))
    hits = np.zeros(drawn.shape)
    for t, (size, mean) in enumerate(groups):
        where = drawn == t
        hits[where] = random.binomial(size, mean, size=(int(where.sum()), len(size))).sum(axis=1)
    sums, highest = np.zeros((simulations, 2)), np.zeros(simulations)
    for step in range(per_year):
        sums = np.maximum(0, sums + hits[:, step, None] * ratios - offset[drawn[:, step]])
        highest = np.maximum(highest, sums.max(axis=1))
    # Few accounts have few values; the next higher one makes alarms rarer than asked for, not more frequent.
    at = np.quantile(highest, 1 - false_alarms, method="higher")
    above = highest[highest > at]
    return float((at + above.min()) / 2 if len(above) else np.nextafter(at, np.inf))
