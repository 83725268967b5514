"""Component models: one a group of columns, such as growth or usage, and one score that is a weighted sum of theirs."""

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.errors import ConfigError
from hanjax.evaluation.calibration import probability
from hanjax.settings import check_names
from hanjax.tabular.estimators import EDGE, log_odds
from hanjax.tabular.settings import Tabular
from hanjax.types import Panel

if TYPE_CHECKING:
    from hanjax.tabular.run import TabularRun

OTHER = "other"
"""The aspect of the columns that no aspect names."""


class Aspect(NamedTuple):
    """A group of columns.

    Args:
        name: of the aspect; "" for all columns, where there are no components.
        columns: places of its columns.
    """

    name: str
    columns: tuple[int, ...]


class Combination(NamedTuple):
    """How components become one score.

    log odds: z = b + sum_c w_c z_c;    probability: p = b + sum_c w_c p_c

    Args:
        weights: w, one an aspect.
        intercept: b; 0 for probabilities.
        centers: mean of each component (z_c or p_c) over the samples that the weights were learned from.
        combine: "log odds" or "probability".
    """

    weights: tuple[float, ...] = (1.0,)
    intercept: float = 0.0
    centers: tuple[float, ...] = (0.0,)
    combine: str = "log odds"

    def terms(self, components: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """What is weighted and summed up, of components' log-odds: these, or their probabilities."""
        return components if self.combine == "log odds" else probability(components)

    def logit(self, components: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """The combined log-odds."""
        total = self.intercept + self.terms(components) @ np.array(self.weights)
        if self.combine == "log odds":
            return total
        total = np.clip(total, EDGE, 1 - EDGE)
        return np.log(total) - np.log1p(-total)


def aspects_of(columns: Sequence[str], components: dict[str, list[str]]) -> tuple[Aspect, ...]:
    """Deals columns to aspects.

    Args:
        columns: names of the columns.
        components: for each aspect, names of columns or patterns, in which * stands for any text and ? for one letter.

    Returns:
        The aspects in their order, "other" last with what no aspect names, if there is such a column; one aspect
        without a name if there are no components.

    Raises:
        ConfigError: if a pattern fits no column, or a column belongs to two aspects.

    Example:
        >>> from hanjax.tabular.components import aspects_of
        >>> [tuple(one) for one in aspects_of(["web visits", "web forms", "size"], {"web": ["web *"]})]
        [('web', (0, 1)), ('other', (2,))]
    """
    if not components:
        return (Aspect("", tuple(range(len(columns)))),)
    owner: dict[int, str] = {}
    for aspect, patterns in components.items():
        for pattern in patterns:
            # A column may be called [x]: its own name always fits.
            fits = [i for i, name in enumerate(columns) if name == pattern or fnmatch.fnmatchcase(name, pattern)]
            if not fits:
                check_names([pattern], columns, f"the columns that components[{aspect!r}] may name")
            for i in fits:
                if owner.setdefault(i, aspect) != aspect:
                    raise ConfigError(
                        f"components: the column {columns[i]!r} is in {owner[i]!r} and in {aspect!r}. Each column "
                        "belongs to one aspect."
                    )
    names = [*components, *([OTHER] if OTHER not in components and len(owner) < len(columns) else [])]
    places = {name: [i for i in range(len(columns)) if owner.get(i, OTHER) == name] for name in names}
    return tuple(Aspect(name, tuple(found)) for name, found in places.items())


def combine(
    tabular: Tabular,
    aspects: Sequence[Aspect],
    components: Float[np.ndarray, "n c"],
    label: Float[np.ndarray, " n"],
) -> Combination:
    """Finds the weights of components, or takes those that are given.

    Log-odds: w and b minimize the log loss of p = 1 / (1 + exp(-(b + sum_c w_c z_c))) plus |w|^2 / 2, which is logistic
    regression as scikit-learn's defaults have it; with given weights b alone. Probabilities: w, which are at least 0
    and sum to 1, maximize the likelihood of p = sum_c w_c p_c; given ones are made to sum to 1.

    Args:
        tabular: ``weights``, ``combine`` and ``non_negative``.
        aspects: the aspects.
        components: ``[n, c]`` log-odds of samples by components that have not learned from them.
        label: ``[n]`` outcomes, 0 to 1.

    Returns:
        The combination.

    Raises:
        ConfigError: if weights are given, but not for just these aspects.

    Example:
        >>> import numpy as np
        >>> from hanjax.tabular import Tabular
        >>> from hanjax.tabular.components import Aspect, combine
        >>> tabular = Tabular(components={"a": ["x"], "b": ["y"]}, weights={"a": 3, "b": 1}, combine="probability")
        >>> combine(tabular, [Aspect("a", (0,)), Aspect("b", (1,))], np.zeros((4, 2)), np.ones(4)).weights
        (0.75, 0.25)

    Source: linear and logarithmic opinion pools, Genest and Zidek 1986, Combining Probability Distributions.
    """
    given = None
    if tabular.weights:
        check_names(tabular.weights, [one.name for one in aspects], "the aspects")
        missing = [one.name for one in aspects if one.name not in tabular.weights]
        if missing:
            raise ConfigError(f"weights: none is given for {', '.join(missing)}. Give one to every aspect, or none.")
        given = np.array([tabular.weights[one.name] for one in aspects], float)
    terms = Combination(combine=tabular.combine).terms(components)
    if tabular.combine == "probability":
        weights = _mixture(terms, label) if given is None else given / given.sum()
        intercept = 0.0
    else:
        weights, intercept = _regression(terms, label, given, non_negative=tabular.non_negative)
    return Combination(tuple(weights.tolist()), float(intercept), tuple(terms.mean(axis=0).tolist()), tabular.combine)


def _regression(
    terms: np.ndarray, label: np.ndarray, given: np.ndarray | None, *, non_negative: bool
) -> tuple[np.ndarray, float]:
    """Weights and intercept of log-odds."""
    from scipy.optimize import minimize

    fixed = 0.0 if given is None else terms @ given
    table = np.column_stack([np.ones(len(terms)), *([] if given is not None else [terms])])

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        logit, ridge = fixed + table @ found, np.append(0.0, found[1:])
        value = (np.logaddexp(0, logit) - label * logit).sum() + (ridge**2).sum() / 2
        return value, table.T @ (probability(logit) - label) + ridge

    bounds = [(None, None), *[(0.0, None) if non_negative else (None, None)] * (table.shape[1] - 1)]
    start = np.append(0.0, np.full(table.shape[1] - 1, 1 / terms.shape[1]))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=dict(ftol=1e-14, gtol=1e-9)).x
    return (found[1:] if given is None else given), float(found[0])


def _mixture(terms: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Weights of probabilities, by expectation and maximization: each step raises the likelihood."""
    weights = np.full(terms.shape[1], 1 / terms.shape[1])
    for _ in range(1000):
        mixed = (terms @ weights)[:, None]
        responsible = label[:, None] * terms / mixed + (1 - label[:, None]) * (1 - terms) / (1 - mixed)
        before, weights = weights, weights * responsible.mean(axis=0)
        weights /= weights.sum()
        if np.abs(weights - before).max() < 1e-10:
            break
    return weights


def component_shares(run: "TabularRun", panel: Panel) -> pd.DataFrame:
    """How much of each sample's score comes from each aspect.

    share_c = w_c (z_c - mean of z_c),    score = baseline + sum_c share_c

    Args:
        run: a model with ``components``; one without has a single aspect, "".
        panel: the samples, encoded with the run's encoding.

    Returns:
        One row a sample and aspect: ``account_id``, ``cutoff``, ``aspect``, ``component`` (z_c: log-odds of the
        aspect's own model, or its probability under ``combine="probability"``), ``weight``, ``share``, ``baseline``
        (the score where every component is as on average in training) and ``score`` (like the components, log-odds or
        a probability, of the first horizon, before any calibration).

    Raises:
        RunError: if the run is not trained.

    Example:
        >>> import hanjax
        >>> from hanjax.tabular import Tabular, component_shares
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> aspects = Tabular("logistic_regression", components={"size": ["employees", "*members"]}, folds=3)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(test=0.2), model=aspects)
        >>> panel = hanjax.encode(market.tables, run.config.panel, encoding=run.encoding)
        >>> shares = component_shares(run, panel)
        >>> shares["aspect"].unique().tolist()
        ['size', 'other']
        >>> first = shares.head(2)
        >>> bool(abs(first["share"].sum() + first["baseline"][0] - first["score"][0]) < 1e-12)
        True

    Source: the exact Shapley values of an additive model, Lundberg and Lee 2017, section 4.1.
    """
    model = run.model_of(0)
    components = model.components(run.table(panel))
    combination, count = model.combination, len(model.aspects)
    weights, centers = np.array(combination.weights), np.array(combination.centers)
    terms = combination.terms(components)
    shares = weights * (terms - centers)
    baseline = combination.intercept + float(weights @ centers)
    samples = panel.samples.loc[panel.samples.index.repeat(count), panel.keys].reset_index(drop=True)
    return samples.assign(
        aspect=[one.name for one in model.aspects] * len(terms),
        component=terms.ravel(),
        weight=np.tile(weights, len(terms)),
        share=shares.ravel(),
        baseline=baseline,
        score=np.repeat(baseline + shares.sum(axis=1), count),
    )


class Model(NamedTuple):
    """What is trained for one horizon: a component for each aspect, and their combination.

    Args:
        aspects: the aspects; one without a name if there are no components.
        estimators: the trained model of each.
        combination: how they become one score.
    """

    aspects: tuple[Aspect, ...]
    estimators: tuple[Any, ...]
    combination: Combination

    def components(self, table: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n a"]:
        """Log-odds of each component."""
        each = zip(self.estimators, self.aspects, strict=True)
        return np.stack([log_odds(estimator, table[:, list(one.columns)]) for estimator, one in each], axis=1)

    def logit(self, table: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """Log-odds of the score."""
        return self.combination.logit(self.components(table))
