"""Training on a table: the grid, the components and their weights, and what a model says of what it has not seen."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from hanjax.data.splits import deal
from hanjax.errors import DataError
from hanjax.evaluation.metrics import auc
from hanjax.tabular.components import Aspect, Combination, Model, aspects_of, combine
from hanjax.tabular.estimators import fit_estimator, make_estimator
from hanjax.tabular.settings import Tabular
from hanjax.types import hard_label

ROC, LOSS = "auc", "log_loss"


class Trained(NamedTuple):
    """What training gives.

    Args:
        models: one a horizon.
        search: one row a combination of the grid: its parameters, ``log_loss`` and ``auc`` on the parts that it was
            kept from, and whether it was ``chosen``; None without a grid.
    """

    models: tuple[Model, ...]
    search: pd.DataFrame | None


def train(
    tabular: Tabular, table: pd.DataFrame, label: Float[np.ndarray, "n H"], accounts: Shaped[np.ndarray, " n"]
) -> Trained:
    """Trains a model for each horizon.

    The grid's parameters are chosen once, by the first horizon, from what each combination says of the accounts that
    it was kept from, all of them together.

    Args:
        tabular: which model.
        table: the columns, one row a sample.
        label: ``[n, H]`` outcomes, NaN where unknown.
        accounts: ``[n]`` each sample's account.

    Returns:
        The models, and what the grid has shown.

    Raises:
        ConfigError: if a parameter or an aspect cannot work.
        DataError: if there is too little to learn from.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.tabular import Tabular
        >>> from hanjax.tabular.training import train
        >>> table, label = pd.DataFrame({"x": np.arange(40.0)}), np.repeat([0.0, 1.0], 20)[:, None]
        >>> tree = Tabular("decision_tree", grid={"max_depth": [1, 3]}, folds=2)
        >>> train(tree, table, label, np.arange(40)).search["chosen"].sum()
        np.int64(1)
    """
    aspects, values = aspects_of(list(table), tabular.components), table.to_numpy(np.float64)
    chosen, search = {}, None
    if tabular.grid:
        chosen, search = _search(tabular, aspects, values, label[:, 0], accounts)
    models = []
    for outcome in label.T:
        known = ~np.isnan(outcome)
        models.append(_fit(tabular, aspects, values[known], outcome[known], accounts[known], chosen))
    return Trained(tuple(models), search)


def held_out(said: Callable[[np.ndarray, np.ndarray], np.ndarray], part: Int[np.ndarray, " n"]) -> np.ndarray:
    """What models say of the parts that each of them was kept from.

    Args:
        said: what a model that is trained on some rows says of some others.
        part: ``[n]`` the part of each row, from 0 on.

    Returns:
        What is said of each row.

    Example:
        >>> import numpy as np
        >>> from hanjax.tabular.training import held_out
        >>> values = np.array([1.0, 2.0, 6.0])
        >>> held_out(lambda learned, kept: np.full(len(kept), values[learned].mean()), np.array([0, 0, 1])).tolist()
        [6.0, 6.0, 1.5]
    """
    order = np.argsort(part, kind="stable")
    each = [said(np.flatnonzero(part != one), np.flatnonzero(part == one)) for one in np.unique(part)]
    return np.concatenate(each)[np.argsort(order)]


def _fit(
    tabular: Tabular,
    aspects: tuple[Aspect, ...],
    table: np.ndarray,
    label: np.ndarray,
    accounts: np.ndarray,
    chosen: dict[str, Any],
    *,
    jobs: int | None = None,
) -> Model:
    """The model of one horizon."""
    jobs = tabular.jobs if jobs is None else jobs

    def fitted(rows: np.ndarray | slice) -> Model:
        each = (table[rows][:, list(one.columns)] for one in aspects)
        estimators = tuple(fit_estimator(tabular, own, label[rows], chosen, jobs=jobs) for own in each)
        return Model(aspects, estimators, Combination())

    model = fitted(slice(None))
    if not tabular.components:
        return model
    part = _parts(tabular, label, accounts)
    components = held_out(lambda learned, kept: fitted(learned).components(table[kept]), part)
    return model._replace(combination=combine(tabular, aspects, components, label))


def _search(
    tabular: Tabular, aspects: tuple[Aspect, ...], table: np.ndarray, label: np.ndarray, accounts: np.ndarray
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Tries every combination of the grid; the best one, and a row of each."""
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    known = ~np.isnan(label)
    table, label, accounts = table[known], label[known], accounts[known]
    part = _parts(tabular, label, accounts)
    tried = [dict(zip(tabular.grid, values, strict=True)) for values in itertools.product(*tabular.grid.values())]
    for chosen in tried:
        make_estimator(tabular, chosen)  # a name that is wrong is found before hours of training

    def measured(chosen: dict[str, Any]) -> tuple[float, float]:
        def said(learned: np.ndarray, kept: np.ndarray) -> np.ndarray:
            model = _fit(tabular, aspects, table[learned], label[learned], accounts[learned], chosen, jobs=1)
            return model.logit(table[kept])

        logit = held_out(said, part)
        return float(losses(logit, label).mean()), float(auc(logit, hard_label(label).astype(int)))

    # Threads: the libraries compute outside of Python, and the table is there once. The limit that each model sets and
    # restores is one of the whole process, and threads would restore each other's if it were not set before.
    with threadpool_limits(limits=1):
        figures: Any = Parallel(n_jobs=tabular.jobs, prefer="threads")(delayed(measured)(chosen) for chosen in tried)
    search = pd.DataFrame(
        [{**chosen, LOSS: loss, ROC: area} for chosen, (loss, area) in zip(tried, figures, strict=True)]
    )
    best = int(np.argmin(search[LOSS]) if tabular.choose_by == LOSS else np.argmax(search[ROC].fillna(0.5)))
    return tried[best], search.assign(chosen=np.arange(len(search)) == best)


def losses(logit: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The log loss of each sample, whose outcome may lie between 0 and 1: log(1 + exp(z)) - y z."""
    return np.logaddexp(0, logit) - label * logit


def _parts(tabular: Tabular, label: np.ndarray, accounts: np.ndarray) -> Int[np.ndarray, " n"]:
    """Parts of whole accounts, those that convert dealt for themselves."""
    positive = hard_label(label) == 1
    converting = len(set(accounts[positive]))
    if converting < 2:
        raise DataError(
            f"label: {converting:,} of {len(set(accounts)):,} training accounts convert; the grid, and weights of "
            "components, take 2 at least. Bring more accounts, or leave out `grid` and `components`."
        )
    return deal(accounts, positive, min(tabular.folds, converting), seed=tabular.seed)
