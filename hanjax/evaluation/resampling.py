"""Many weightings of the accounts at once: every measure under ten thousand of them, on the device."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int, Shaped

from hanjax.compiled import Compiled
from hanjax.errors import ConfigError, DataError

MEASURES = ("auc", "auc_period_mean", "average_precision", "log_loss", "brier")
"""What can be resampled; the last two are of probabilities."""

_CELLS = 2**23
"""Cells of the largest array, on the host and on the device, which bounds the memory."""


class Samples(NamedTuple):
    """Samples that were checked, and whose outcome is known.

    Args:
        scores: ``[N]`` or ``[M, N]``, of one or more models.
        labels: ``[N]`` 0 or 1.
        accounts: ``[N]`` each one's account, as a place in ``names``.
        periods: ``[N]`` each one's period, as its place among those that occur; all 0 where none were given.
        names: the accounts.
    """

    scores: Float[np.ndarray, "*M N"]
    labels: Int[np.ndarray, " N"]
    accounts: Int[np.ndarray, " N"]
    periods: Int[np.ndarray, " N"]
    names: pd.Index

    @property
    def carriers(self) -> int:
        """How many accounts have a positive sample, or a negative one if fewer have: what an interval rests on."""
        return min(len(np.unique(self.accounts[self.labels == label])) for label in (0, 1))


def samples_of(scores: Any, labels: Any, accounts: Any, periods: Any = None, *, where: Any = None) -> Samples:
    """Checks samples, and gives accounts and periods numbers.

    Args:
        scores: ``[N]`` or ``[M, N]`` any numbers.
        labels: ``[N]`` 0 or 1.
        accounts: ``[N]`` ids or numbers.
        periods: ``[N]`` numbers or cut-offs; None if they do not matter.
        where: ``[N]`` the samples that count; None for all.

    Returns:
        Those that count.

    Raises:
        DataError: if the arrays do not fit together, an account or a period is missing, or a score or label that counts
            is unknown.

    Example:
        >>> from hanjax.evaluation.resampling import samples_of
        >>> found = samples_of([0.1, 0.4, 0.2], [0, 1, 0], ["b", "a", "b"])
        >>> found.accounts.tolist(), found.names.tolist(), found.carriers
        ([1, 0, 1], ['a', 'b'], 1)
    """
    scores, labels, accounts = np.asarray(scores, float), np.asarray(labels), pd.Index(accounts)
    periods = pd.Index(np.zeros(len(labels), int) if periods is None else periods)
    where = np.ones(len(labels), bool) if where is None else np.asarray(where)
    shapes = [scores.shape[-1:], labels.shape, accounts.shape, periods.shape, where.shape]
    if len(set(shapes)) > 1 or scores.ndim not in (1, 2) or labels.ndim != 1 or where.dtype != bool:
        shown = ", ".join(str(list(shape)) for shape in [scores.shape, *shapes[1:]])
        raise DataError(
            "scores, labels, accounts, periods and where must be [N] or [M, N], and [N] each, where bool; "
            f"got {shown}, where {where.dtype}."
        )
    scores, labels, accounts, periods = scores[..., where], labels[where], accounts[where], periods[where]
    for name, wrong, shown, remedy in (
        ("scores", np.isnan(np.atleast_2d(scores)).any(axis=0), "are NaN", "samples without a score"),
        ("labels", ~np.isin(labels, (0, 1)), "are neither 0 nor 1", "unknown outcomes"),
        ("accounts", accounts.isna(), "are missing", "samples without an account"),
        ("periods", periods.isna(), "are missing", "samples without a period"),
    ):
        if wrong.any():
            first = ", ".join(map(str, np.flatnonzero(wrong)[:5]))
            raise DataError(
                f"{name}: {wrong.sum():,} of {len(labels):,} that count {shown} (first at: {first}); "
                f"leave out {remedy} with `where`."
            )
    codes, names = pd.factorize(accounts, sort=True)
    return Samples(scores, labels.astype(int), codes, pd.factorize(periods, sort=True)[0], pd.Index(names))


def weighed_samples(
    scores: Any, labels: Any, accounts: Any, periods: Any = None, *, weights: Float[np.ndarray, "R A"]
) -> Samples:
    """Checks samples whose accounts are columns of weights, and keeps the accounts so.

    Args:
        scores: ``[N]`` or ``[M, N]`` any numbers.
        labels: ``[N]`` 0 or 1.
        accounts: ``[N]`` numbers 0..A-1.
        periods: ``[N]`` numbers or cut-offs; None if they do not matter.
        weights: ``[R, A]`` how much each account counts.

    Returns:
        The samples.

    Raises:
        DataError: if the arrays do not fit together, a score or label is unknown, or an account has no column.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.resampling import weighed_samples
        >>> weighed_samples([0.1, 0.4], [0, 1], [2, 0], weights=np.ones((1, 3))).accounts.tolist()
        [2, 0]
    """
    given, columns = samples_of(scores, labels, accounts, periods), np.asarray(accounts)
    if weights.ndim != 2:
        raise DataError(f"weights: expected [R, A], got {list(weights.shape)}.")
    if len(columns) and not (columns.dtype.kind in "iu" and columns.min() >= 0 and columns.max() < weights.shape[1]):
        raise DataError(f"accounts: expected columns of the weights, 0..{weights.shape[1] - 1}.")
    return given._replace(accounts=columns.astype(int))


def resampled(
    scores: Float[np.ndarray, " N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, "R A"],
    measures: Sequence[str] = ("auc", "average_precision", "log_loss", "brier"),
    *,
    periods: Shaped[np.ndarray, " N"] | None = None,
) -> dict[str, Float[np.ndarray, " R"]]:
    """Measures under each of many weightings of the accounts.

    A sample counts as often as its account weighs. With u the distinct scores of positive samples, everything that the
    AUC and the average precision need are sums over accounts, w @ C, where C[a, u] counts account a's samples at u,
    below it or above it. C is counted once, and the products are the device's work, in float32: counts stay exact up
    to 2^24, so that figures agree with float64 to 1e-6.

    Args:
        scores: ``[N]`` higher for likelier; probabilities for ``log_loss`` and ``brier``.
        labels: ``[N]`` 1 for positive, 0 for negative.
        accounts: ``[N]`` each sample's account, as a column of ``weights``.
        weights: ``[R, A]`` how much each account counts; see ``hanjax.evaluation.intervals.account_weights``.
        measures: which of ``MEASURES``.
        periods: ``[N]`` each sample's period, for ``auc_period_mean``: the mean over those that have both classes,
            weighed as by ``hanjax.evaluation.intervals.resampled_period_auc``.

    Returns:
        ``[R]`` for each measure, NaN where a weighting leaves it undefined.

    Raises:
        ConfigError: if a measure is unknown, or needs periods that are not given.
        DataError: if the arrays do not fit together, or a score or label is unknown.

    Example:
        >>> import numpy as np
        >>> from hanjax.evaluation.resampling import resampled
        >>> once_and_twice = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0]])
        >>> found = resampled([0.9, 0.2, 0.95], [1, 0, 0], np.array([0, 1, 2]), once_and_twice)
        >>> found["auc"].tolist(), found["average_precision"].tolist(), found["brier"].round(4).tolist()
        ([0.5, 1.0], [0.5, 1.0], [0.3175, 0.03])

    Source: the areas as in ``hanjax.evaluation.intervals.resampled_auc``, which is exact and stays on the host.
    """
    if unknown := sorted(set(measures) - set(MEASURES)):
        raise ConfigError(f"measures: {', '.join(unknown)} unknown; there are {', '.join(MEASURES)}.")
    if "auc_period_mean" in measures and periods is None:
        raise ConfigError("measures: auc_period_mean needs `periods`.")
    weights = np.asarray(weights, float)
    given = weighed_samples(scores, labels, accounts, periods, weights=weights)
    found, size = {}, weights.shape[1]
    for measure in measures:
        if measure in ("log_loss", "brier"):
            sums = np.bincount(given.accounts, _losses(measure, given), size)
            found[measure] = _ratio(weights @ sums, weights @ np.bincount(given.accounts, minlength=size))
        elif measure == "average_precision":
            found[measure] = _average_precision(given, weights)
        else:
            pooled = given._replace(periods=np.zeros_like(given.periods))
            found[measure] = _period_mean_auc(given if measure == "auc_period_mean" else pooled, weights)
    return found


def _ratio(part: np.ndarray, whole: np.ndarray, nothing: float = np.nan) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), nothing), where=whole > 0)


def _losses(measure: str, given: Samples) -> Float[np.ndarray, " N"]:
    """Each sample's loss."""
    if measure == "brier":
        return (given.scores - given.labels) ** 2
    step = np.finfo(float).eps  # as in `metrics.log_loss`
    inside = np.clip(given.scores, step, 1 - step)
    return -np.where(given.labels == 1, np.log(inside), np.log1p(-inside))


class _Block(NamedTuple):
    """Some thresholds, which are the distinct scores of positive samples, each in its period.

    Args:
        through: ``[N]`` how many of them are at or below each sample; all those of earlier periods are.
        below: ``[N]`` how many are below it.
        periods: ``[U]`` the period of each threshold.
    """

    through: Int[np.ndarray, " N"]
    below: Int[np.ndarray, " N"]
    periods: Int[np.ndarray, " U"]

    def counts(self, given: Samples, label: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """``[A, U]`` how many samples with a label each account has at each threshold or above, and above."""
        rows, places = given.labels == label, len(self.periods) + 1
        found = []
        for passed in (self.through, self.below):
            cells = np.bincount(given.accounts[rows] * places + passed[rows], minlength=size * places)
            found.append(cells.reshape(size, places)[:, :0:-1].cumsum(axis=1)[:, ::-1])
        return found[0], found[1]


def _blocks(given: Samples, size: int) -> Iterator[_Block]:
    """All thresholds, some at a time."""
    rank = np.unique(given.scores, return_inverse=True)[1]  # float32 would make ties of near ones
    key = given.periods * len(rank) + rank
    thresholds = np.unique(key[given.labels == 1])
    through, below = np.searchsorted(thresholds, key, side="right"), np.searchsorted(thresholds, key)
    step = max(_CELLS // max(size, 1), 1)
    for begin in range(0, len(thresholds), step):
        some = thresholds[begin : begin + step]
        inside = [np.clip(passed - begin, 0, len(some)) for passed in (through, below)]
        yield _Block(inside[0], inside[1], some // len(rank))


def _average_precision(given: Samples, weights: np.ndarray) -> np.ndarray:
    """Precision at each threshold, averaged with the weight of the positive samples there."""
    given, size, total = given._replace(periods=np.zeros_like(given.periods)), weights.shape[1], np.zeros(len(weights))
    for block in _blocks(given, size):
        hits, hits_above = block.counts(given, 1, size)
        misses, _ = block.counts(given, 0, size)
        total += _on_device(_PRECISIONS, weights, hits - hits_above, hits, misses)
    return _ratio(total, weights @ np.bincount(given.accounts, given.labels, size))


def _period_mean_auc(given: Samples, weights: np.ndarray) -> np.ndarray:
    """The mean over periods of the areas within each, a period counting as often as its conversions are drawn."""
    size, periods = weights.shape[1], given.periods.max(initial=0) + 1
    of_period = np.zeros((2, size, periods))
    np.add.at(of_period, (given.labels, given.accounts, given.periods), 1)
    negatives, positives = of_period
    not_before = np.cumsum(negatives[:, ::-1], axis=1)[:, ::-1]
    wins = np.zeros((len(weights), periods))
    for block in _blocks(given, size):
        hits, hits_above = block.counts(given, 1, size)
        misses, misses_above = block.counts(given, 0, size)
        beaten = not_before[:, block.periods] - (misses + misses_above) / 2  # below the threshold, ties half
        wins += _on_device(_WINS, weights, hits - hits_above, beaten, np.eye(periods)[:, block.periods])
    beaten, drawn = weights @ negatives, weights @ positives
    used = (beaten > 0) & (positives.sum(axis=0) > 0) & (negatives.sum(axis=0) > 0)
    counts = np.where(used, drawn / np.maximum(positives.sum(axis=0), 1), 0)
    return _ratio((counts * _ratio(wins, drawn * beaten, nothing=0.0)).sum(axis=1), counts.sum(axis=1))


def _on_device(program: Compiled, weights: np.ndarray, *tables: np.ndarray) -> np.ndarray:
    """What a program finds for each weighting. Tables are made as wide as a power of two, so that few are compiled."""
    width = 1 << (tables[0].shape[1] - 1).bit_length()
    padded = [np.pad(table, ((0, 0), (0, width - table.shape[1]))).astype(np.float32) for table in tables]
    at_once = min(max(_CELLS // width, 1), len(weights))
    return np.asarray(program(at_once, weights.astype(np.float32), *padded), float)


def _map(of_one: Callable[..., Array]) -> Compiled:
    """A program for all weightings, some at once."""

    def program(at_once: int, weights: Float[Array, "R A"], *tables: Float[Array, "_ U"]) -> Array:
        with jax.default_matmul_precision("highest"):  # the counts must stay exact
            return jax.lax.map(lambda w: of_one(w, *tables), weights, batch_size=at_once)

    return Compiled(program, static_argnums=0)


def _precisions(
    w: Float[Array, " A"], at: Float[Array, "A U"], hits: Float[Array, "A U"], misses: Float[Array, "A U"]
) -> Float[Array, ""]:
    hits = w @ hits
    return (w @ at * hits / jnp.maximum(hits + w @ misses, _LEAST)).sum()


def _wins(
    w: Float[Array, " A"], at: Float[Array, "A U"], beaten: Float[Array, "A U"], period: Float[Array, "T U"]
) -> Float[Array, " T"]:
    return period @ (w @ at * (w @ beaten))


_LEAST = np.finfo(np.float32).tiny
_PRECISIONS, _WINS = _map(_precisions), _map(_wins)
