"""How good forecasts over several periods are, when some accounts were not watched for long enough.

The samples are landmarks: each account gives one at every cut-off, and waits from there for its conversion. They
depend on each other, so that intervals come from resampling accounts: every measure takes the weights that a resample
gives to the samples (``time_dependent_auc`` shows how). What is assumed of censoring is that how much longer an account
is watched says nothing of how much longer it takes to convert.
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from hanjax.errors import ConfigError, DataError


def periods_to_event(
    labels: Float[np.ndarray, " N"], accounts: Shaped[np.ndarray, " N"], periods: Int[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """How many periods after each cut-off the account converts, or for how many it was seen not to.

    Args:
        labels: ``[N]`` 1 where the account converts in the period that begins at the cut-off, 0 where not, NaN where
            that is unknown, as at the end of the log.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` the number of that period. Every account has a sample each period until its conversion or the
            end of observation; where some are missing in between, the later ones show that it had not converted.

    Returns:
        ``time`` ``[N]``: 1 for a conversion in the very next period; without one, the number of whole periods that the
        account was seen to go without, 0 at least. ``event`` ``[N]``: whether it converts.

    Raises:
        DataError: if the arrays do not fit together, a sample is there twice, or an account has samples after its
            conversion.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival_metrics import periods_to_event
        >>> labels, accounts = np.array([0, 0, 1, 0, np.nan]), np.array([7, 7, 7, 8, 8])
        >>> time, event = periods_to_event(labels, accounts, np.array([3, 4, 5, 4, 5]))
        >>> time.tolist(), event.tolist()
        ([3, 2, 1, 1, 0], [True, True, True, False, False])
    """
    labels, accounts, periods = np.asarray(labels, np.float64), np.asarray(accounts), np.asarray(periods)
    if not labels.shape == accounts.shape == periods.shape or labels.ndim != 1:
        raise DataError(
            "labels, accounts and periods must be [N] each; "
            f"got {list(labels.shape)}, {list(accounts.shape)} and {list(periods.shape)}."
        )
    if len(periods) and periods.dtype.kind not in "iu":
        raise DataError(f"periods: expected integers, got {periods.dtype}; number the cut-offs.")
    periods = periods.astype(int)
    wrong = ~(np.isnan(labels) | np.isin(labels, (0, 1)))
    _refuse("labels", wrong, accounts, "must be 0, 1, or NaN where unknown", "Look at how they were made.")
    codes, names = pd.factorize(accounts)
    twice = pd.DataFrame({"account": codes, "period": periods}).duplicated().to_numpy()
    _refuse("periods", twice, accounts, "are there twice for one account", "Keep one sample for each.")
    last, end = np.full(len(names), np.iinfo(int).min), np.full(len(names), np.iinfo(int).max)
    known = ~np.isnan(labels)
    np.maximum.at(last, codes[known], periods[known])
    np.minimum.at(end, codes[labels == 1], periods[labels == 1])
    late = periods > end[codes]
    _refuse("labels", late, accounts, "are there after the account's conversion", "Samples stop with the conversion.")
    event = end[codes] < np.iinfo(int).max
    last = np.maximum(last[codes], periods - 1)  # unknown from the beginning: seen for 0 periods
    return np.where(event, end[codes], last) - periods + 1, event


def kaplan_meier(
    time: Shaped[np.ndarray, " N"], event: Bool[np.ndarray, " N"], *, weights: Float[np.ndarray, " N"] | None = None
) -> pd.DataFrame:
    """The share that has not converted, over time, with those who were not watched to the end counted while they were.

    S(t) = product over times u <= t of 1 - conversions(u) / at_risk(u)

    Args:
        time: ``[N]`` of the conversion, or for how long there was none.
        event: ``[N]`` whether it is a conversion.
        weights: ``[N]`` how many times each one counts; None for once.

    Returns:
        One row for each time in the data, in order: ``periods``, ``at_risk`` (not converted before, and still watched;
        those watched for just that long are), ``conversions``, ``censored`` and ``survival``.

    Raises:
        DataError: if the arrays do not fit together.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival_metrics import kaplan_meier
        >>> kaplan_meier(np.array([1, 2, 2, 3]), np.array([True, False, True, False]))
           periods  at_risk  conversions  censored  survival
        0        1        4            1         0      0.75
        1        2        3            1         1      0.50
        2        3        1            0         1      0.50

    Source: Kaplan and Meier (1958).
    """
    time, event, counts = _watched(time, event, weights)
    time, event, counts = time[counts > 0], event[counts > 0], counts[counts > 0]
    times, codes = np.unique(time, return_inverse=True)
    conversions = np.bincount(codes, counts * event, len(times))
    everyone = np.bincount(codes, counts, len(times))
    at_risk = everyone[::-1].cumsum()[::-1]
    table = {"at_risk": at_risk, "conversions": conversions, "censored": everyone - conversions}
    if weights is None:
        table = {name: column.astype(int) for name, column in table.items()}
    return pd.DataFrame({"periods": times, **table, "survival": np.cumprod(1 - conversions / at_risk)})


def time_dependent_auc(
    risk: Float[np.ndarray, " N"],
    time: Int[np.ndarray, " N"],
    event: Bool[np.ndarray, " N"],
    n: int,
    *,
    weights: Float[np.ndarray, " N"] | None = None,
) -> float:
    """How often a sample that converts within n periods is scored above one that does not (cumulative, dynamic).

    AUC = (sum over pairs i, j of w_i ([r_i > r_j] + [r_i = r_j] / 2)) / (sum over pairs of w_i)

    with i the samples seen to convert within n periods and j those seen not to. w_i = 1 / P(watched for time_i periods)
    makes up for others who converted as late and were not watched until then; that probability is estimated from the
    same samples, by Kaplan and Meier. In whole periods a conversion in period m is seen by all who are watched for m
    periods or more, so one who is last watched in m is taken to be lost after the conversions of m: what other tools
    give when half a period is added to the times without a conversion.

    Args:
        risk: ``[N]`` higher for likelier within n periods: the probability within n, or any score.
        time: ``[N]`` as from ``periods_to_event``.
        event: ``[N]`` likewise.
        n: the horizon, in periods.
        weights: ``[N]`` how many times each sample counts; None for once.

    Returns:
        The area, NaN where nobody was seen to convert within n periods, or not to.

    Raises:
        DataError: if the arrays do not fit together, or a value is unknown.

    Example:
        The interval, by resampling accounts:

        >>> import numpy as np
        >>> from hanjax.evaluation.intervals import account_weights, interval
        >>> from hanjax.evaluation.survival_metrics import time_dependent_auc
        >>> random, accounts = np.random.default_rng(0), np.arange(90) // 3
        >>> time, event, risk = random.integers(1, 9, 90), random.random(90) < 0.5, random.random(90)
        >>> drawn = account_weights(30, resamples=50)[:, accounts]
        >>> areas = [time_dependent_auc(risk, time, event, 4, weights=weights) for weights in drawn]
        >>> found = interval(time_dependent_auc(risk, time, event, 4), np.array(areas))
        >>> found.low < found.value < found.high
        True

    Source: Uno, Cai, Tian and Wei (2007); Hung and Chiang (2010).
    """
    time, event, counts = _whole_periods(time, event, weights)
    risk = _forecasts("risk", risk, time)
    watched = _watched_for(time, event, counts)
    case, control = event & (time <= n) & (counts > 0), _lost_after(time, event) > n
    order = np.argsort(risk[control], kind="stable")
    beaten, below = risk[control][order], np.r_[0.0, np.cumsum(counts[control][order])]
    wins = (below[np.searchsorted(beaten, risk[case])] + below[np.searchsorted(beaten, risk[case], "right")]) / 2
    weight = counts[case] / watched(time[case])
    pairs = weight.sum() * below[-1]
    return float(weight @ wins / pairs) if pairs > 0 else np.nan


def time_dependent_brier(
    probability_within_n: Float[np.ndarray, " N"],
    time: Int[np.ndarray, " N"],
    event: Bool[np.ndarray, " N"],
    n: int,
    *,
    weights: Float[np.ndarray, " N"] | None = None,
) -> float:
    """The mean squared error of the probabilities of conversion within n periods, made up for censoring.

    BS = (1/N) sum of (1 - p)^2 / P(watched for time) over those seen to convert within n periods, and
         p^2 / P(watched for n) over those seen not to

    Those lost before count through the others' weights; how these are estimated is said in ``time_dependent_auc``.

    Args:
        probability_within_n: ``[N]`` of conversion within n periods.
        time: ``[N]`` as from ``periods_to_event``.
        event: ``[N]`` likewise.
        n: the horizon, in periods.
        weights: ``[N]`` how many times each sample counts; None for once.

    Returns:
        The mean, lower is better; NaN where nobody was watched for that long, and without samples.

    Raises:
        DataError: if the arrays do not fit together, or a value is unknown or no probability.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival_metrics import time_dependent_brier
        >>> time, event = np.array([1, 3, 1]), np.array([True, False, False])
        >>> time_dependent_brier(np.array([0.5, 0.5, 0.9]), time, event, 2)
        0.25

    Source: Graf, Schmoor, Sauerbrei and Schumacher (1999).
    """
    time, event, counts = _whole_periods(time, event, weights)
    p = _forecasts("probability_within_n", probability_within_n, time, bound=1.0)
    watched = _watched_for(time, event, counts)
    case, control = event & (time <= n) & (counts > 0), _lost_after(time, event) > n
    for_n = watched(np.array(n))
    if not counts.sum() > 0 or not for_n > 0:
        return np.nan
    error = (counts[case] * (1 - p[case]) ** 2 / watched(time[case])).sum()
    error += (counts[control] * p[control] ** 2).sum() / for_n
    return float(error / counts.sum())


def integrated_brier(
    within: Float[np.ndarray, "N P"],
    time: Int[np.ndarray, " N"],
    event: Bool[np.ndarray, " N"],
    periods: Int[np.ndarray, " P"],
    *,
    weights: Float[np.ndarray, " N"] | None = None,
) -> float:
    """The Brier score over a range of horizons: its integral by trapezoids over the range's length.

    Args:
        within: ``[N, P]`` probabilities of conversion within each horizon.
        time: ``[N]`` as from ``periods_to_event``.
        event: ``[N]`` likewise.
        periods: ``[P]`` the horizons, rising, two at least.
        weights: ``[N]`` how many times each sample counts; None for once.

    Returns:
        The mean, lower is better; NaN where one of the scores is.

    Raises:
        ConfigError: if the horizons do not rise, or there is only one.
        DataError: if the arrays do not fit together, or a value is unknown or no probability.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.survival_metrics import integrated_brier
        >>> time, event = np.array([1, 3, 3]), np.array([True, True, False])
        >>> integrated_brier(np.full((3, 3), 0.5), time, event, np.array([1, 2, 3]))
        0.25

    Source: Graf, Schmoor, Sauerbrei and Schumacher (1999).
    """
    within, periods = np.asarray(within, np.float64), np.asarray(periods)
    if len(periods) < 2 or (np.diff(periods) <= 0).any():
        raise ConfigError(f"periods: expected two rising horizons at least, got {periods.tolist()}.")
    if within.ndim != 2 or within.shape[1] != len(periods):
        raise DataError(f"within: expected [N, {len(periods)}], one column a horizon; got {list(within.shape)}.")
    scores = [time_dependent_brier(p, time, event, n, weights=weights) for p, n in zip(within.T, periods, strict=True)]
    return float(np.trapezoid(scores, periods) / (periods[-1] - periods[0]))


def _lost_after(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Times at which ties are in order: one who is last watched in a period is lost after its conversions."""
    return time + 0.5 * ~event


def _watched_for(time: np.ndarray, event: np.ndarray, counts: np.ndarray) -> Any:
    """The probability of being watched for m periods or more, as a function of m."""
    table = kaplan_meier(_lost_after(time, event), ~event, weights=counts)
    lost, still = table["periods"].to_numpy(), np.r_[1.0, table["survival"]]
    return lambda m: still[np.searchsorted(lost, m)]


def _watched(time: Any, event: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time, event = np.asarray(time), np.asarray(event)
    counts = np.ones(time.shape) if weights is None else np.asarray(weights, np.float64)
    if time.ndim != 1 or not time.shape == event.shape == counts.shape or event.dtype != bool:
        raise DataError(
            "time, event and weights must be [N], bool [N] and [N]; "
            f"got {list(time.shape)}, {event.dtype}{list(event.shape)} and {list(counts.shape)}."
        )
    for name, values in (("time", time), ("weights", counts)):
        wrong = ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            raise DataError(
                f"{name}: must be finite, 0 at least ({wrong.sum():,} of {len(wrong):,} are not; "
                f"first: {values[wrong][0]})."
            )
    return time, event, counts


def _whole_periods(time: Any, event: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time, event, counts = _watched(time, event, weights)
    if (time % 1 > 0).any():
        raise DataError(f"time: expected whole periods, got {time[time % 1 > 0][0]}.")
    return time, event, counts


def _forecasts(name: str, values: Any, time: np.ndarray, bound: float = np.inf) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.shape != time.shape:
        raise DataError(f"{name}: expected [{len(time)}], one for each sample; got {list(values.shape)}.")
    wrong = np.isnan(values) | (bound < np.inf) & ((values < 0) | (values > bound))
    if wrong.any():
        raise DataError(
            f"{name}: {wrong.sum():,} of {len(wrong):,} are unknown or no probabilities (first: {values[wrong][0]})."
        )
    return values


def _refuse(name: str, wrong: np.ndarray, accounts: np.ndarray, problem: str, remedy: str) -> None:
    if wrong.any():
        first = [str(account) for account in dict.fromkeys(accounts[wrong].tolist())]
        raise DataError.rows("samples", name, problem, count=int(wrong.sum()), first=first, remedy=remedy)
