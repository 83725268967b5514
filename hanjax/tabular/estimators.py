"""The models themselves: scikit-learn's and XGBoost's, made by name, and what they say as log-odds."""

from typing import Any

import numpy as np
from jaxtyping import Float

from hanjax.errors import ConfigError, DataError
from hanjax.settings import check_names
from hanjax.tabular.settings import Tabular

EDGE = 1e-6
"""No probability is nearer to 0 or 1 than this: a tree's leaf in which nobody converts is no proof."""

SMALL_TREES = dict(max_iter=150, learning_rate=0.03, max_leaf_nodes=8, min_samples_leaf=50, l2_regularization=5.0)
"""Gradient boosting, held back: with the usual 31 leaves, some dozens of conversions are learned by heart."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "logistic_regression": dict(max_iter=1000),
    "linear_regression": {},
    "decision_tree": dict(min_samples_leaf=20),
    "random_forest": dict(n_estimators=200, min_samples_leaf=5),
    "gradient_boosting": SMALL_TREES,
    "neural_network": dict(hidden_layer_sizes=[16], alpha=1.0, max_iter=500),
    "xgboost": dict(n_estimators=150, learning_rate=0.03, max_depth=3, reg_lambda=5.0),
}
"""What is used where the options say nothing, as conversions are few; all else is the library's own default."""


def make_estimator(tabular: Tabular, chosen: dict[str, Any] | None = None, *, jobs: int = 1) -> Any:
    """An untrained model.

    Args:
        tabular: which one.
        chosen: parameters beside those of its ``options``.
        jobs: cores for a model that can use several.

    Returns:
        scikit-learn's estimator; linear models and neural networks standardize the columns first.

    Raises:
        ConfigError: if the model has no such parameter, or XGBoost is not installed.

    Example:
        >>> from hanjax.tabular import Tabular
        >>> from hanjax.tabular.estimators import make_estimator
        >>> make_estimator(Tabular("random_forest", options={"max_depth": 4})).max_depth
        4
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kind = class_of(tabular)
    known = kind().get_params()
    given = {**tabular.options, **(chosen or {})}
    check_names(given, known, f"the parameters of {kind.__name__}")
    own = {"random_state": tabular.seed, "n_jobs": jobs if kind.__name__ != "LogisticRegression" else None}
    own = {name: value for name, value in own.items() if name in known}
    model = kind(**{**_DEFAULTS[tabular.algorithm], **own, **given})
    scaled = tabular.algorithm in ("logistic_regression", "linear_regression", "neural_network")
    return make_pipeline(StandardScaler(), model) if scaled else model


def class_of(tabular: Tabular) -> Any:
    """The library's class of a model.

    Raises:
        ConfigError: if XGBoost is asked for and not installed.
    """
    from sklearn import ensemble, linear_model, neural_network, tree

    classes = tabular.task == "classification"
    if tabular.algorithm == "xgboost":
        try:
            import xgboost  # pyright: ignore[reportMissingImports]
        except ImportError as missing:
            raise ConfigError(
                'algorithm: "xgboost" needs the package of that name. Install it with `pip install "hanjax[tabular]"`, '
                'or take "gradient_boosting".'
            ) from missing
        return xgboost.XGBClassifier if classes else xgboost.XGBRegressor
    return {
        "logistic_regression": (None, linear_model.LogisticRegression),
        "linear_regression": (linear_model.LinearRegression, None),
        "decision_tree": (tree.DecisionTreeRegressor, tree.DecisionTreeClassifier),
        "random_forest": (ensemble.RandomForestRegressor, ensemble.RandomForestClassifier),
        "gradient_boosting": (ensemble.HistGradientBoostingRegressor, ensemble.HistGradientBoostingClassifier),
        "neural_network": (neural_network.MLPRegressor, neural_network.MLPClassifier),
    }[tabular.algorithm][classes]


def fit_estimator(
    tabular: Tabular,
    table: Float[np.ndarray, "n c"],
    label: Float[np.ndarray, " n"],
    chosen: dict[str, Any] | None = None,
    *,
    jobs: int = 1,
) -> Any:
    """Trains a model.

    Args:
        tabular: which one.
        table: ``[n, c]`` the columns.
        label: ``[n]`` from 0 to 1; to a classifier, a sample with a label in between is both outcomes, each with its
            share as weight.
        chosen: parameters beside those of its ``options``.
        jobs: cores for a model that can use several.

    Returns:
        The trained estimator.

    Raises:
        ConfigError: if a parameter cannot work.
        DataError: if a classifier is to learn from one outcome alone.

    Example:
        >>> import numpy as np
        >>> from hanjax.tabular import Tabular
        >>> from hanjax.tabular.estimators import fit_estimator, log_odds
        >>> table, label = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 0.0, 1.0, 1.0])
        >>> log_odds(fit_estimator(Tabular("logistic_regression"), table, label), table)[2] > 0
        np.True_
    """
    from threadpoolctl import threadpool_limits  # scikit-learn needs it, too

    model, given = make_estimator(tabular, chosen, jobs=jobs), {}
    if tabular.task == "classification":
        if not len(label) or label.max() == 0 or label.min() == 1:
            raise DataError(
                f"label: all {len(label):,} samples to learn from have the same outcome, or there are none. Bring more "
                "accounts with a conversion, or train with fewer `folds`."
            )
        if not np.isin(label, (0, 1)).all():
            weights = np.concatenate([label, 1 - label])
            used = weights > 0  # a row that weighs nothing would still count among the samples of a leaf
            given = _weights(model, weights[used])
            table, label = np.concatenate([table, table])[used], np.repeat([1, 0], len(label))[used]
        label = label.astype(int)
    try:
        with threadpool_limits(limits=None if jobs == -1 else jobs):
            return model.fit(table, label, **given)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{tabular.algorithm}: it cannot be trained with these parameters. {error}") from error


def _weights(model: Any, weights: np.ndarray) -> dict[str, np.ndarray]:
    """How a model, or the last step of a pipeline, is told what its samples weigh."""
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    step = f"{model.steps[-1][0]}__" if isinstance(model, Pipeline) else ""
    if not has_fit_parameter(model[-1] if step else model, "sample_weight"):
        raise ConfigError(
            "task: this version of scikit-learn trains no such classifier on outcomes between 0 and 1. Take "
            "task='regression', another algorithm, or a newer scikit-learn."
        )
    return {f"{step}sample_weight": weights}


def log_odds(model: Any, table: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """What a trained model says of samples.

    Args:
        model: of a classifier, the probability of the outcome 1 counts, of a regression the number itself; both are
            kept ``EDGE`` away from 0 and 1.
        table: ``[n, c]`` the columns that it was trained on.

    Returns:
        ``[n]`` log-odds.
    """
    from threadpoolctl import threadpool_limits

    if not len(table):
        return np.zeros(0)
    with threadpool_limits(limits=1):
        found = model.predict_proba(table)[:, 1] if hasattr(model, "predict_proba") else model.predict(table)
    found = np.clip(np.asarray(found, np.float64), EDGE, 1 - EDGE)
    return np.log(found) - np.log1p(-found)
