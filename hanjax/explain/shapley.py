"""Fair parts of a difference: Shapley values of any game of few players, and of any model that reads named columns."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hanjax.errors import ConfigError, DataError
from hanjax.explain.aspects import MOST, Aspects
from hanjax.scoring.influence import all_subsets, shapley


def shapley_of(
    value: Callable[[Bool[np.ndarray, "subsets n"]], Float[np.ndarray, "subsets ..."]], players: int
) -> Float[np.ndarray, "n ..."]:
    """The exact Shapley values of a game, or of several at once, from what its coalitions are worth.

    phi_k = sum over S without k of |S|! (n - |S| - 1)! / n! (v(S + k) - v(S)),  sum_k phi_k = v(all) - v(nobody)

    Args:
        value: from coalitions, one a row, True for a player who is in it, to their worths; called once, with all 2^n.
        players: n.

    Returns:
        Each player's part, of each game.

    Raises:
        ConfigError: if there are too many players.
        DataError: if there is not one worth for each coalition.

    Example:
        >>> from hanjax.explain.shapley import shapley_of
        >>> shapley_of(lambda known: known @ [1.0, 2.0] + 2 * known.all(axis=1), 2).tolist()
        [2.0, 3.0]

    Source: Shapley 1953, A Value for n-Person Games.
    """
    if not 0 <= players <= MOST:
        raise ConfigError(f"players: expected at most {MOST}, got {players}: the cost doubles with each.")
    coalitions = all_subsets(players)
    worth = np.asarray(value(coalitions), np.float64)
    if worth.shape[:1] != coalitions.shape[:1]:
        raise DataError(f"value: expected {len(coalitions)} worths, one for each coalition, got {list(worth.shape)}.")
    return shapley(worth)


def explain_columns(
    predict_log_odds: Callable[[pd.DataFrame], Float[np.ndarray, " n"]],
    table: pd.DataFrame,
    reference: pd.DataFrame | pd.Series,
    aspects: Aspects | Mapping[str, Any],
) -> pd.DataFrame:
    """Divides the log-odds that any model of named columns says among aspects of these columns.

    v(S) is what the model says if the columns of the aspects outside S have the values of the reference. Of a linear
    model with weights w, an aspect gets the sum of w (x - reference) over its columns.

    Args:
        predict_log_odds: the model, from rows to log-odds; it is called once for each coalition.
        table: ``[n]`` rows to explain.
        reference: one value for each column; or rows, of whose columns the mean is taken, or the most common value
            where they are no numbers.
        aspects: which columns make up which; see ``hanjax.explain.aspects.Aspects.of``. Those that none names are
            "other".

    Returns:
        One row for each of the table, with its index: ``log_odds``, ``baseline`` (the model's, of the reference), and
        each aspect's contribution: they and the baseline sum to ``log_odds``.

    Raises:
        ConfigError: if an aspect names a column that there is not, or there are too many aspects.
        DataError: if the reference lacks a column.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.explain.shapley import explain_columns
        >>> table = pd.DataFrame({"sessions": [3.0, 1.0], "employees": [10.0, 20.0]})
        >>> model = lambda rows: rows["sessions"] - 0.1 * rows["employees"]
        >>> explain_columns(model, table, table, {"usage": "sessions", "growth": "employees"}).round(2)
           log_odds  baseline  usage  growth
        0       2.0       0.5    1.0     0.5
        1      -1.0       0.5   -1.0    -0.5
    """
    owners = Aspects.of(aspects).owners([str(name) for name in table])
    missing = [str(name) for name in table if name not in reference]
    if missing:
        raise DataError(f"reference: it lacks the columns {', '.join(missing)}.")
    usual = {name: _usual(reference[name]) for name in table}

    worth = []
    for known in all_subsets(len(owners)):
        hidden = {name for own, there in zip(owners.values(), known, strict=True) if not there for name in own}
        replaced = {name: _constant(table[name], usual[name]) for name in table if str(name) in hidden}
        worth.append(np.asarray(predict_log_odds(table.assign(**replaced)), np.float64))
    parts = shapley(np.stack(worth))
    columns = {"log_odds": worth[-1], "baseline": worth[0], **dict(zip(owners, parts, strict=True))}
    return pd.DataFrame(columns, index=table.index)


def _usual(given: Any) -> Any:
    """The mean of numbers, the most common of other values; a single value itself."""
    if not isinstance(given, pd.Series):
        return given
    return given.mean() if pd.api.types.is_numeric_dtype(given) else given.mode().iloc[0]


def _constant(column: pd.Series, value: Any) -> pd.Series:
    """A column of one value, of the given column's type where that can hold it."""
    kind = np.float64 if pd.api.types.is_numeric_dtype(column) else column.dtype
    return pd.Series([value] * len(column), index=column.index, dtype=kind)
