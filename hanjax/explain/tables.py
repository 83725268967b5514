"""Contributions as tables: account by aspect, account by input, and what has changed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.errors import DataError
from hanjax.explain.levels import Reference
from hanjax.explain.sentences import because, phrase_of

START = "starting point"
"""What is not due to any input: an account with as many members, of whom nothing is known, less the average one."""
_COLUMNS = (
    *("aspect", "contribution", "level", "text", "input", "because", "contribution_before", "change", "log_odds"),
    *("value", "effect", "score", "tier", "baseline", "starting_point", "score_before", "changed", "changed_by"),
    *("sentence", "action"),
)
"""Columns of the tables, beside those that say what is explained."""
_SAME = 1e-6
"""Contributions that differ by less have not changed: what is less is rounding."""

Columns = Mapping[str, np.ndarray]
"""By aspect, a value for each account."""


def check_unit(unit: Sequence[str], aspects: Sequence[str]) -> None:
    """Raises if a segment of outcomes, which stands in every table, is called like another column of one.

    Args:
        unit: names of the segments.
        aspects: columns of the aspects.

    Raises:
        DataError: if one is.
    """
    taken = [name for name in unit if name in (*_COLUMNS, *aspects)]
    if taken:
        raise DataError(
            f"outcomes.{taken[0]}: a column or an aspect of the explanation has this name. Rename one of them."
        )


def strongest(
    owners: Mapping[str, Sequence[str]],
    inputs: Sequence[str],
    parts: Columns,
    effects: Float[np.ndarray, "J n"],
    there: Bool[np.ndarray, "n J"],
) -> dict[str, Int[np.ndarray, " n"]]:
    """The input of each aspect that matters most: of those with data that move the score as the aspect does.

    Args:
        owners: the inputs of each aspect.
        inputs: names of the J inputs.
        parts: the aspects' contributions.
        effects: by how much the log-odds fall if an input alone is hidden.
        there: of which inputs there are data.

    Returns:
        By aspect the place of the input among all; -1 where none moves the score that way.
    """
    found = {}
    for name, own in owners.items():
        rows = np.array([inputs.index(one) for one in own], int)
        moves = np.where(there[:, rows].T, effects[rows] * np.sign(parts[name]), 0)
        none = np.full(len(parts[name]), -1)
        found[name] = np.where(moves.max(axis=0) > _SAME, rows[moves.argmax(axis=0)], none) if own else none
    return found


def by_aspect(
    keys: pd.DataFrame,
    whole: Columns,
    earlier: pd.DataFrame,
    levels: Columns,
    texts: Columns,
    leading: Columns,
    values: pd.DataFrame,
    inputs: Sequence[str],
    reference: Reference,
) -> pd.DataFrame:
    """One row an account and aspect.

    Args:
        keys: the accounts' ids, and of outcomes their segments.
        whole: the contributions, the starting point first.
        earlier: the contributions at the cut-off before, NaN where there are none.
        levels: the levels; of the starting point there is none.
        texts: what is said in their place.
        leading: the place of the input that matters most, as ``strongest`` finds it.
        values: the inputs' values.
        inputs: their names.
        reference: what values are compared with.
    """
    rows = []
    for i, own_keys in enumerate(keys.to_dict("records")):
        for name, parts in whole.items():
            at = -1 if name == START else leading[name][i]
            own = inputs[at] if at >= 0 else ""
            value = values[own].iloc[i] if own in values else None
            rows.append(
                {
                    **own_keys,
                    "aspect": name,
                    "contribution": parts[i],
                    "level": "" if name == START else levels[name][i],
                    "text": "" if name == START else texts[name][i],
                    "input": own,
                    "because": ""
                    if value is None
                    else because(own.split(":", 1)[1], value, reference.values.get(own, ())),
                    "contribution_before": earlier[name].iloc[i],
                    "change": parts[i] - earlier[name].iloc[i],
                }
            )
    return pd.DataFrame(rows)


def by_input(
    keys: pd.DataFrame,
    owners: Mapping[str, Sequence[str]],
    inputs: Sequence[str],
    effects: Float[np.ndarray, "J n"],
    values: pd.DataFrame,
) -> pd.DataFrame:
    """One row an account and input: what it is, and by how much the log-odds would fall without it."""
    owner = {one: name for name, own in owners.items() for one in own}
    given = values.reindex(columns=list(inputs)).astype(object).to_numpy()
    repeated = keys.iloc[np.repeat(np.arange(len(keys)), len(inputs))].reset_index(drop=True)
    return repeated.assign(
        aspect=[owner[one] for one in inputs] * len(keys),
        input=list(inputs) * len(keys),
        value=given.ravel(),
        effect=effects.T.ravel(),
    )


def changed(whole: Columns, earlier: pd.DataFrame) -> dict[str, Any]:
    """The aspect whose contribution changed most since the cut-off before, and by how much; None if none did."""
    names = list(whole)
    change = np.stack([whole[name] - earlier[name].to_numpy() for name in names], axis=1)
    known = np.where(np.isnan(change), 0, change)
    most = np.abs(known).argmax(axis=1)
    by = known[np.arange(len(known)), most]
    moved = np.abs(by) > _SAME
    return {
        "changed": [names[at] if some else None for at, some in zip(most, moved, strict=True)],
        "changed_by": np.where(np.isnan(change).all(axis=1), np.nan, np.where(moved, by, 0.0)),
    }


def facts(table: pd.DataFrame, long: pd.DataFrame, period: str, unit: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What a sentence is given of each account; see ``hanjax.explain.sentences.TEMPLATE``.

    Args:
        table: one row an account.
        long: one row an account and aspect, in the same order.
        period: what a period is called.
        unit: the segments of outcomes, which are part of what an account is called.
    """
    found, size = [], len(long) // max(len(table), 1)
    for i, account in enumerate(table.to_dict("records")):
        aspects = {}
        for one in long.iloc[i * size : (i + 1) * size].to_dict("records"):
            said = phrase_of(one["aspect"], one["level"], one["text"], one["contribution"], one["because"])
            aspects[one["aspect"]] = {**one, "name": one["aspect"], "phrase": said}
        aspects.pop(START)
        score, before = int(account["score"] + 1e-9), account["score_before"]
        called = [
            account.get("name") or account["account_id"],
            *(account[one] for one in unit if pd.notna(account[one])),
        ]
        found.append(
            {
                "account": ", ".join(map(str, called)) if len(called) > 1 else called[0],
                "account_id": account["account_id"],
                "score": score,
                "tier": account["tier"],
                "probability": account["probability"],
                "change": 0 if pd.isna(before) else score - int(before + 1e-9),
                "period": period,
                "aspects": aspects,
                "changed": account["changed"],
                "action": account["action"],
            }
        )
    return found
