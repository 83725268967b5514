"""Trained estimators as bytes, and back, without pickle: nothing in a file is ever run.

scikit-learn's are stored by skops, which makes objects of known types alone, XGBoost's as its own JSON. A tree whose
nodes point outside of it would be followed by compiled code to wherever that leads, so every tree is looked through.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hanjax.errors import RunError

TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types that a file may hold beside those which skops trusts itself: numbers of nodes and weights, and no code."""


def dump(estimator: Any) -> tuple[bytes, str]:
    """A trained estimator as bytes.

    Args:
        estimator: scikit-learn's or XGBoost's.

    Returns:
        The content of a file, and how its name ends: "skops" or "json".
    """
    if _by_xgboost(type(estimator)):
        return bytes(estimator.get_booster().save_raw("json")), "json"
    from skops import io

    return io.dumps(estimator), "skops"


def load(path: Path, kind: type, *, columns: int) -> Any:
    """Reads an estimator.

    Args:
        path: the file.
        kind: the class that it has to be of; of a pipeline, the last step's.
        columns: how many columns it has to be trained on.

    Returns:
        The estimator.

    Raises:
        RunError: if the file is missing, damaged, holds another model, or a type that is not trusted.
    """
    try:
        content = path.read_bytes()
        model = _xgboost(content, kind) if _by_xgboost(kind) else _scikit_learn(content, path)
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        fits = type(last) is kind and model.n_features_in_ == columns
        if fits:
            _check_trees(last, columns)
    except RunError:
        raise
    except Exception as error:  # of zip, JSON, NumPy, scikit-learn and XGBoost, by the kind of damage
        raise RunError(f"{path} is missing or damaged ({_first_line(error)}). Restore it, or train anew.") from error
    if not fits:
        raise RunError(f"{path} holds another model than config.json and tabular.json describe.")
    return model


def _by_xgboost(kind: type) -> bool:
    return kind.__module__.startswith("xgboost.")


def _scikit_learn(content: bytes, path: Path) -> Any:
    from skops import io

    strange = sorted(set(io.get_untrusted_types(data=content)) - set(TRUSTED))
    if strange:
        raise RunError(f"{path} holds what no model of hanjax does, and is not read: {', '.join(strange)}.")
    return io.loads(content, trusted=list(TRUSTED))


def _xgboost(content: bytes, kind: type) -> Any:
    learner = json.loads(content)["learner"]
    booster, columns = learner["gradient_booster"], int(learner["learner_model_param"]["num_feature"])
    for tree in booster.get("gbtree", booster)["model"].get("trees", []):
        left = tree["left_children"]
        lengths = {len(tree[name]) for name in tree if isinstance(tree[name], list) and "categories" not in name}
        if lengths != {int(tree["tree_param"]["num_nodes"])}:
            raise ValueError("a tree has lists of different lengths")
        _check_tree(left, tree["right_children"], tree["split_indices"], np.array(left) < 0, columns)
    model = kind()
    model.load_model(bytearray(content))
    return model


def _check_trees(model: Any, columns: int) -> None:
    """Looks through all trees of a scikit-learn model, if it has any."""
    for tree in _trees(model):
        if hasattr(tree, "children_left"):
            _check_tree(
                tree.children_left, tree.children_right, tree.feature, np.asarray(tree.children_left) < 0, columns
            )
        else:
            nodes = tree.nodes
            if nodes["is_categorical"].any():
                raise ValueError("a tree asks for categories, where all columns are numbers")
            _check_tree(nodes["left"], nodes["right"], nodes["feature_idx"], nodes["is_leaf"].astype(bool), columns)


def _trees(model: Any) -> Iterator[Any]:
    if hasattr(model, "tree_"):
        yield model.tree_
    elif hasattr(model, "_predictors"):
        yield from (tree for trees in model._predictors for tree in trees)
    elif hasattr(model, "estimators_"):
        yield from (tree.tree_ for tree in model.estimators_)


def _check_tree(left: Any, right: Any, feature: Any, leaf: np.ndarray, columns: int) -> None:
    """Raises unless every node's children lie behind it in the tree, so that following them ends."""
    nodes, inner = np.arange(len(leaf)), ~leaf
    for child in (np.asarray(left, np.int64), np.asarray(right, np.int64)):
        if ((child <= nodes) | (child >= len(nodes)))[inner].any():
            raise ValueError("a node of a tree points outside of it")
    column = np.asarray(feature, np.int64)[inner]
    if ((column < 0) | (column >= columns)).any() or not len(nodes):
        raise ValueError("a node of a tree asks for a column that there is not")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
