"""What networks are held against: scikit-learn's classifiers on counts of the same windows, and the oracles."""

from typing import Any

import numpy as np
from jaxtyping import Float

from hanjax.data.counts import activity_counts, level_shares, mean_and_maximum
from hanjax.errors import DataError
from hanjax.reproduction.worlds import Panels, World
from hanjax.tabular.estimators import SMALL_TREES
from hanjax.types import Panel


def features(panel: Panel, *, levels: tuple[int, ...] = ()) -> Float[np.ndarray, "b f"]:
    """What a tabular model is given of each sample, no more than a network is.

    Args:
        panel: encoded with ``volumes``.
        levels: of each static category of individuals, how many the encoding has; () to leave the categories out.

    Returns:
        ``[B, features]``: log(1 + count) of each activity in each period of the window, summed over members; the number
        of members; the account's numbers; the mean and the maximum over members of each of their numbers, if the panel
        has them; the share of members with each level of each category.

    Raises:
        DataError: if the panel holds no volumes.
    """
    batch = panel.batch
    if batch.counts is None:
        raise DataError("counts: the panel has no volumes; encode it with `volumes`.")
    counts = np.log1p(activity_counts(batch, vocabulary=batch.counts.shape[1])).reshape(len(batch.members), -1)
    numbers = [] if batch.account_numbers is None else [batch.account_numbers]
    numbers += mean_and_maximum(batch)
    members = np.asarray(batch.member_mask).sum(axis=1, keepdims=True)
    parts = [counts, members, batch.accounts[batch.account], *numbers, level_shares(batch, levels)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def activity_totals(panel: Panel) -> Float[np.ndarray, "b k"]:
    """How many activities each member had within the window.

    Args:
        panel: encoded with ``volumes``.

    Returns:
        ``[B, K]`` totals, 0 where no member is.
    """
    batch = panel.batch
    assert batch.counts is not None and batch.count_windows is not None
    return batch.counts.sum(axis=1)[batch.count_windows].sum(axis=1)[batch.member_windows]


_CHOICES: dict[str, dict[str, list[Any]]] = {
    "regression": {"logisticregression__C": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]},
    "boosting": {"max_iter": [50, 150, 400], "max_leaf_nodes": [3, 8]},
}
"""What a classifier that stands beside the recommended preset may choose from, by validation."""


def fit_counts(kind: str, panels: Panels, seed: int, *, choose: bool = False) -> dict[str, Float[np.ndarray, " b"]]:
    """Fits one of scikit-learn's classifiers on the training samples and scores the tests.

    Args:
        kind: "regression" or "boosting".
        panels: encoded with ``volumes``.
        seed: of the boosting.
        choose: also read the members' categories, and choose the settings by the AUC in four-fold cross-validation over
            training accounts, as a network that chooses its epoch does; otherwise they are fixed.

    Returns:
        Log-odds of each test's samples.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # scikit-learn needs it, too

    model: Any
    if kind == "regression":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    else:
        model = HistGradientBoostingClassifier(**SMALL_TREES, random_state=seed)
    levels = panels.sizes.levels if choose else ()
    label = panels.train.batch.label[:, 0]
    known = ~np.isnan(label)
    account = panels.train.samples["account_id"].to_numpy()[known]
    if choose:
        folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
        folds = list(folds.split(account, label[known], groups=account))
        model = GridSearchCV(model, _CHOICES[kind], scoring="roc_auc", cv=folds)
    # One thread: where others want the cores, too, OpenMP's threads wait for each other for minutes.
    with threadpool_limits(limits=1):
        model.fit(features(panels.train, levels=levels)[known], label[known].astype(int))
        return {
            name: _log_odds(model.predict_proba(features(test, levels=levels))[:, 1])
            for name, test in panels.tests.items()
        }


def oracle(kind: str, panels: Panels, world: World, seed: int = 0) -> dict[str, Float[np.ndarray, " b"]]:
    """The truth about each test's samples: what really decides, or the best guess of that from the log.

    Args:
        kind: "latent_oracle" or "log_oracle".
        panels: the tests.
        world: a simulated one.
        seed: of the log oracle's particles.

    Returns:
        Log-odds of each test's samples.

    Raises:
        DataError: if the world is not simulated, or its samples are not the weeks in which its accounts decide.
    """
    if world.market is None:
        raise DataError("oracle: only a simulated market has a truth.")
    found = {}
    for name, market in (("test", world.market), ("fresh", world.fresh)):
        if market is None:
            continue
        samples = panels.tests[name].samples[["account_id", "cutoff"]]
        truth = samples.merge(market.truth, on=["account_id", "cutoff"], how="left")
        unknown = int(truth["probability"].isna().sum())
        if unknown:
            raise DataError(
                f"cutoff: the truth of {unknown:,} of {len(samples):,} samples is not known, as a simulated market "
                "decides in weeks from Sunday to Saturday. Use the period W-SAT."
            )
        if kind == "log_oracle":
            from hanjax.simulation import log_oracle

            told = log_oracle(market, accounts=samples["account_id"].unique(), seed=seed)
            truth = samples.merge(told, on=["account_id", "cutoff"], how="left")
        found[name] = _log_odds(truth["probability"].to_numpy(float))
    return found


def _log_odds(probability: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(probability) - np.log1p(-probability)
