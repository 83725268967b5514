"""How well individuals' scores order the members of an account by what really interests them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.reproduction.learn import Scored
from hanjax.types import Panel

_SAMPLES = 2000


def true_interest(panel: Panel, truth: pd.DataFrame) -> Float[np.ndarray, "b k"]:
    """Each member's interest at the cut-off.

    Args:
        panel: the samples.
        truth: a simulated market's ``individual_truth``.

    Returns:
        ``[B, K]``, NaN where no member is.
    """
    b, k = np.nonzero(panel.batch.member_mask)
    asked = pd.DataFrame(
        {
            "individual_id": panel.individual_ids.to_numpy()[panel.member_ids[b, k]],
            "cutoff": panel.samples["cutoff"].array[b],
        }
    )
    told = asked.merge(truth[["individual_id", "cutoff", "interest"]], on=["individual_id", "cutoff"], how="left")
    found = np.full(panel.batch.members.shape, np.nan)
    found[b, k] = told["interest"].to_numpy(float)
    return found


def own_scores(scored: Scored, shape: tuple[int, ...]) -> Float[np.ndarray, "b k"]:
    """Individuals' scores laid out by sample and place.

    Args:
        scored: a model's scores.
        shape: ``(B, K)``.

    Returns:
        ``[B, K]``, NaN where no member is.
    """
    found = np.full(shape, np.nan)
    found[scored.sample, scored.individual] = scored.own
    return found


class Concordance(NamedTuple):
    """A share of pairs in the right order.

    Args:
        value: the share.
        resampled: ``[R]`` the same under each resample of the accounts.
    """

    value: float
    resampled: Float[np.ndarray, " r"]


def concordance(
    values: Float[np.ndarray, "b k"],
    interest: Float[np.ndarray, "b k"],
    account: Int[np.ndarray, " b"],
    weights: Float[np.ndarray, "r a"],
) -> Concordance:
    """How often, of two members of one account at one cut-off, the more interested one has the higher value.

    Ties of values count one half; pairs of equal interest do not count. 0.5 is chance, 1 a perfect order.

    Args:
        values: ``[B, K]`` what orders the members, NaN where no member is.
        interest: ``[B, K]`` their true interest.
        account: ``[B]`` each sample's account, as a column of ``weights``.
        weights: ``[R, A]`` resamples of the accounts.

    Returns:
        The share, also under each resample.

    Example:
        >>> import numpy as np
        >>> from hanjax.reproduction.members import concordance
        >>> values, interest = np.array([[3.0, 1.0, 2.0]]), np.array([[1.0, 0.0, 0.5]])
        >>> concordance(values, interest, np.array([0]), np.ones((2, 1))).value
        1.0
    """
    won, pairs = np.zeros(len(values)), np.zeros(len(values))
    for begin in range(0, len(values), _SAMPLES):
        v, x = values[begin : begin + _SAMPLES], interest[begin : begin + _SAMPLES]
        higher = (x[:, :, None] > x[:, None, :]) & ~np.isnan(v[:, :, None] + v[:, None, :])
        wins = (v[:, :, None] > v[:, None, :]) + 0.5 * (v[:, :, None] == v[:, None, :])
        won[begin : begin + _SAMPLES] = (wins * higher).sum(axis=(1, 2))
        pairs[begin : begin + _SAMPLES] = higher.sum(axis=(1, 2))
    size = weights.shape[1]
    won, pairs = np.bincount(account, won, size), np.bincount(account, pairs, size)
    if pairs.sum() == 0:
        return Concordance(np.nan, np.full(len(weights), np.nan))
    total = weights @ pairs
    resampled = np.divide(weights @ won, total, out=np.full(len(weights), np.nan), where=total > 0)
    return Concordance(float(won.sum() / pairs.sum()), resampled)
