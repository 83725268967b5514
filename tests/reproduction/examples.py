"""Small scores whose properties are known, for the tests of everything that comes after training."""

import numpy as np

from hanjax.reproduction.learn import Scored


def scored(account, period, score, label, members=None, own=None) -> Scored:
    """Scores from lists; individuals' scores as ``[N, K]`` with NaN where nobody is."""
    own = np.full((len(account), 1), np.nan) if own is None else np.asarray(own, float)
    sample, place = np.nonzero(~np.isnan(own))
    return Scored(
        np.asarray(account, np.int32),
        np.asarray(period, np.int32),
        np.asarray(score, np.float32),
        np.asarray(label, np.float32),
        np.asarray([3] * len(account) if members is None else members, np.int16),
        sample.astype(np.int32),
        place.astype(np.int16),
        own[sample, place].astype(np.float32),
    )


def random_scores(seed=0, accounts=40, periods=10, signal=2.0) -> Scored:
    """Accounts of which every third converts in its last period, with scores that know it somewhat."""
    random = np.random.default_rng(seed)
    account, period = np.divmod(np.arange(accounts * periods), periods)
    label = (account % 3 == 0) & (period == periods - 1)
    score = signal * label + random.normal(size=len(account))
    return scored(account, period, score, label.astype(float), random.integers(3, 9, len(account)))
