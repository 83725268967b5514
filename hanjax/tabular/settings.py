"""Which tabular model is trained, and how."""

import json
import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from hanjax.errors import ConfigError
from hanjax.settings import check_types, require, setting


def _group(help: str) -> Any:
    """A field that holds a dictionary, with the sentence that explains it."""
    return field(default_factory=dict, metadata={"help": help})


@dataclass(frozen=True)
class Tabular:
    """One of scikit-learn's models, or XGBoost's, on what a network would be given of the same samples.

    Raises:
        ConfigError: if a value cannot work.

    Example:
        >>> from hanjax.tabular import Tabular
        >>> Tabular("random_forest", options={"max_depth": 4}).task
        'classification'
    """

    algorithm: Literal[
        "logistic_regression",
        "linear_regression",
        "decision_tree",
        "random_forest",
        "gradient_boosting",
        "neural_network",
        "xgboost",
    ] = setting("gradient_boosting", "what is trained; linear_regression goes with task='regression' alone")
    _: KW_ONLY
    task: Literal["classification", "regression"] = setting(
        "classification", "the outcome is a class, or a number from 0 to 1 whose predictions are clipped to that"
    )
    options: dict = _group("the library's own parameters of the model, by name")
    grid: dict = _group("parameters to choose from, by name, each a list; all combinations are tried")
    choose_by: Literal["log_loss", "auc"] = setting("log_loss", "what the grid's combinations are compared by")
    folds: int = setting(5, "parts of the training accounts for the grid and for the weights of components")
    segments: tuple[str, ...] = setting(
        (), "text columns of accounts or outcomes that the model is given beside what a network is, as of the cut-off"
    )
    components: dict = _group("aspects, each a list of columns (or patterns such as 'web *') with a model of its own")
    weights: dict = _group("weight of each aspect; none: learned")
    combine: Literal["log odds", "probability"] = setting(
        "log odds", "what of the components is summed up with the weights"
    )
    non_negative: bool = setting(True, "learned weights of log-odds are 0 at least; those of probabilities always are")
    jobs: int = setting(1, "cores to train on; -1: all")
    seed: int = setting(0, "of the models and of the folds")

    def __post_init__(self) -> None:
        """Checks each value, and keeps what JSON makes of the dictionaries, as a folder will."""
        check_types(self)
        for name in ("options", "grid", "components", "weights"):
            try:
                object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"{name}: {error}; a run folder can hold numbers, texts, lists and True, False and None alone."
                ) from error
        only = {"logistic_regression": "classification", "linear_regression": "regression"}
        require(
            self.task == only.get(self.algorithm, self.task),
            "task",
            self.task,
            f"the other one, because of algorithm={self.algorithm!r}",
        )
        for name, lists in (("grid", self.grid), ("components", self.components)):
            for key, value in lists.items():
                require(isinstance(value, list) and len(value) > 0, f"{name}[{key!r}]", value, "a list, not empty")
        for aspect, patterns in self.components.items():
            texts = all(isinstance(pattern, str) for pattern in patterns)
            require(texts, f"components[{aspect!r}]", patterns, "names or patterns of columns")
        both = sorted(set(self.options) & set(self.grid))
        require(not both, "grid", both, "parameters that `options` does not fix")
        for aspect, weight in self.weights.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
            least, expected = (0, "a number, 0 at least") if self.combine == "probability" else (-math.inf, "a number")
            require(number and weight >= least, f"weights[{aspect!r}]", weight, expected)
        some = not self.weights or self.combine == "log odds" or sum(self.weights.values()) > 0
        require(some, "weights", self.weights, "one above 0 at least")
        require(bool(self.components) or not self.weights, "weights", self.weights, "none, as there are no components")
        require(self.folds >= 2, "folds", self.folds, "2 at least")
        require(self.jobs >= 1 or self.jobs == -1, "jobs", self.jobs, "at least 1, or -1")
        require(0 <= self.seed < 2**32, "seed", self.seed, "at least 0 and below 2**32")
