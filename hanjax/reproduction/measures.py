"""From the scores of finished rows to figures: areas with intervals, and differences on the same resamples."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hanjax.evaluation.intervals import (
    Difference,
    Interval,
    account_weights,
    difference,
    interval,
    resampled_auc,
    resampled_period_auc,
)
from hanjax.evaluation.metrics import auc
from hanjax.evaluation.over_time import over_time
from hanjax.reproduction.learn import Scored

BANDS = ((1, 3), (4, 6), (7, 25))
"""Numbers of members at the cut-off, within which the area is also told."""


class Measured(NamedTuple):
    """A row on one test, over its seeds.

    Args:
        areas: AUC over all samples at once, by seed.
        resampled: ``[R]`` the same on each resample, mean over seeds.
        period_areas: mean over periods of the AUC within each, by seed.
        period_resampled: ``[R]`` the same on each resample, mean over seeds; None if it was not asked for.
        periods: how many periods have both classes.
        one_class: how many have not.
        samples: with a known outcome.
        conversions: of them that convert.
        bands: AUC within each band of account sizes, mean over seeds.
    """

    areas: list[float]
    resampled: Float[np.ndarray, " R"]
    period_areas: list[float]
    period_resampled: Float[np.ndarray, " R"] | None
    periods: int
    one_class: int
    samples: int
    conversions: int
    bands: list[float]

    @property
    def auc(self) -> Interval:
        """The AUC over all samples at once, with its interval."""
        return interval(float(np.mean(self.areas)), self.resampled, positives=self.conversions)

    @property
    def period_auc(self) -> Interval:
        """The mean over periods, with its interval if it was asked for."""
        nothing = np.zeros(0)
        return interval(
            float(np.mean(self.period_areas)),
            nothing if self.period_resampled is None else self.period_resampled,
            positives=self.conversions,
        )

    @property
    def spread(self) -> float:
        """Standard deviation of the AUC over seeds."""
        return float(np.std(self.areas, ddof=1)) if len(self.areas) > 1 else float("nan")


def measure(scored: Sequence[Scored], weights: Float[np.ndarray, "r a"], *, periods: bool = True) -> Measured:
    """Measures a row on a test.

    Args:
        scored: its scores, by seed.
        weights: resamples of the test's accounts.
        periods: whether to resample the mean over periods, too, which takes longer.

    Returns:
        The figures.
    """
    areas, resampled, within, within_resampled, bands = [], [], [], [], []
    table = None
    for one in scored:
        rows = known(one)
        score, label = one.score[rows].astype(float), one.label[rows]
        account, period, members = one.account[rows], one.period[rows], one.members[rows]
        areas.append(float(auc(score, label)))
        resampled.append(resampled_auc(score, label, account, weights))
        table = over_time(score, label, period)
        within.append(float(table["auc"].mean()))
        if periods:
            within_resampled.append(resampled_period_auc(score, label, account, period, weights))
        bands.append([float(auc(score, label, where=(members >= low) & (members <= high))) for low, high in BANDS])
    assert table is not None, "a row without scores cannot be measured"
    return Measured(
        areas=areas,
        resampled=np.mean(resampled, axis=0),
        period_areas=within,
        period_resampled=np.mean(within_resampled, axis=0) if periods else None,
        periods=int(table["auc"].notna().sum()),
        one_class=int(table["auc"].isna().sum()),
        samples=int(table["samples"].sum()),
        conversions=int(table["conversions"].sum()),
        bands=np.mean(bands, axis=0).tolist(),
    )


def known(scored: Scored) -> Bool[np.ndarray, " N"]:
    """Which samples have a known outcome and a score."""
    return ~np.isnan(scored.label) & ~np.isnan(scored.score)


def compare(first: Measured, second: Measured) -> Difference:
    """The AUC of one row less that of another, on the same resamples.

    Args:
        first: one row.
        second: the other, measured on the same test with the same weights.

    Returns:
        The difference with its interval.
    """
    value = float(np.mean(first.areas) - np.mean(second.areas))
    return difference(value, first.resampled - second.resampled, positives=first.conversions)


def on_common_samples(first: Scored, second: Scored) -> tuple[Scored, Scored]:
    """The samples that two rows share, where their settings make different ones.

    Args:
        first: one row's scores.
        second: the other's.

    Returns:
        Both, on the same samples in the same order.
    """
    keys = [one.account.astype(np.int64) * 100_000 + one.period for one in (first, second)]
    _, *places = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    return tuple(  # type: ignore[return-value]
        one._replace(**{name: getattr(one, name)[rows] for name in ("account", "period", "score", "label", "members")})
        for one, rows in zip((first, second), places, strict=True)
    )


def normalized(scored: Scored) -> Scored:
    """Members' probabilities added and min-max normalized within each period, from a mean over members.

    Args:
        scored: baseline 1's scores, whose probabilities are means over members.

    Returns:
        The same samples with other scores; a score then depends on the other accounts of its period.
    """
    total = scored.members / (1 + np.exp(-scored.score.astype(float)))
    found = np.zeros(len(total))
    for period in np.unique(scored.period):
        rows = scored.period == period
        low, high = total[rows].min(), total[rows].max()
        found[rows] = (total[rows] - low) / (high - low) if high > low else 0.5
    return scored._replace(score=found)


def weights_for(accounts: int, resamples: int) -> Float[np.ndarray, "r a"]:
    """The resamples that everything on one test is measured with.

    Args:
        accounts: of the test.
        resamples: how many.

    Returns:
        ``[R, A]`` how often each account is drawn.
    """
    return account_weights(accounts, resamples=resamples, seed=0)


def as_record(found: Interval | Difference, prefix: str) -> dict[str, Any]:
    """An interval or a difference as columns of a table.

    Args:
        found: it.
        prefix: of the columns' names.

    Returns:
        Values by column.
    """
    columns = {prefix: found.value, f"{prefix}_low": found.low, f"{prefix}_high": found.high}
    return {**columns, f"{prefix}_p": found.p} if isinstance(found, Difference) else columns
