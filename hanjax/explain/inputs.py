"""What a model reads of an account, by name; and what that was before it was encoded."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hanjax.data.encoding import MISSING, Encoding, Scale
from hanjax.data.log import Log
from hanjax.data.numbers import versions_as_of
from hanjax.data.periods import Calendar
from hanjax.data.segments import OWN
from hanjax.data.sequences import UNKNOWN
from hanjax.types import Batch, Panel

FIELDS = {
    "activity": "sequences",
    "account": "accounts",
    "feature": "account_numbers",
    "number": "account_numbers",
    "member": "individuals",
    "member_number": "member_numbers",
    "segment": "segments",
}
"""The kinds of inputs, which their names begin with, and the field of a batch that holds them."""
OTHER = "(unknown)"
"""The name of the activity that stands for all that training never saw."""


class Input(NamedTuple):
    """Something that a model reads of an account.

    Args:
        name: its kind and its own name, such as "activity:open email", "account:employees" or "member:role".
        kind: one of ``FIELDS``.
        at: an activity's id; of other inputs the first of their columns in the batch's field.
        width: how many columns it has: 2 for a number with an indicator of missing values.
    """

    name: str
    kind: str
    at: int
    width: int = 1

    @property
    def own(self) -> str:
        """The name without the kind."""
        return self.name.split(":", 1)[1]


def inputs_of(encoding: Encoding) -> tuple[Input, ...]:
    """Everything that a model reads of an account beside who its members are.

    Args:
        encoding: the run's.

    Returns:
        The inputs: activities (all that are unknown together as "activity:(unknown)"), the accounts' static numbers
        ("account:"), dated features ("feature:"), numbers as of the cut-off ("number:"), the members' categories
        ("member:") and numbers ("member_number:"), and the segments that the network itself reads ("segment:").

    Example:
        >>> import hanjax
        >>> from hanjax.explain.inputs import inputs_of
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> [one.name for one in inputs_of(run.encoding) if one.kind == "account"]
        ['account:revenue', 'account:employees']
    """
    found = [Input(f"activity:{OTHER}", "activity", UNKNOWN)]
    found += [Input(f"activity:{name}", "activity", i) for i, name in enumerate(encoding.activities, start=2)]
    features, at = encoding.features, 0
    for kind, scales in (("account", encoding.numbers), ("feature", features), ("number", encoding.as_of or ())):
        at = at if kind == "number" else 0  # numbers stand behind the dated features, in the same field
        for scale in scales:
            found.append(Input(f"{kind}:{scale.column}", kind, at, 1 + scale.indicator))
            at += 1 + scale.indicator
    found += [Input(f"member:{name}", "member", i) for i, (name, _) in enumerate(encoding.categories)]
    at = 0
    for scale in encoding.of_members or ():
        found.append(Input(f"member_number:{scale.column}", "member_number", at, 1 + scale.indicator))
        at += 1 + scale.indicator
    found += [Input(f"segment:{factor.name}", "segment", i) for i, factor in enumerate(encoding.segments)]
    return tuple(found)


def input_values(
    panel: Panel,
    rows: Int[np.ndarray, " n"],
    inputs: Sequence[Input],
    encoding: Encoding,
    log: Log,
    calendar: Calendar,
) -> pd.DataFrame:
    """What accounts' inputs were before they were encoded, as of the cut-off.

    Args:
        panel: the samples.
        rows: those that are wanted.
        inputs: as ``inputs_of`` names them.
        encoding: the run's.
        log: the tables that the panel was made of, checked.
        calendar: their periods.

    Returns:
        One row a sample, and a column for each input: of an activity, how often all members together did it within the
        window (only what was kept of a period, unless volumes were); numbers as in the tables, NaN where missing; of a
        member's category the level that most members have; of a member's number the mean over the members; of a segment
        its text, of one that is made of several columns their texts, all of which have to be there. Then every other
        text of the samples, as "segment:" and the name.
    """
    batch, columns = panel.batch, {}
    code, period = log.account_ids.get_indexer(panel.samples["account_id"]), panel.samples["period"].to_numpy()
    raw = {"account": log.numbers, "feature": log.features}
    versions = {
        kind: versions_as_of(table, calendar)(code[rows], period[rows])
        for kind, table in raw.items()
        if table is not None and any(one.kind == kind for one in inputs)
    }
    scales = {"number": encoding.as_of or (), "member_number": encoding.of_members or ()}
    scale_of = {f"{kind}:{scale.column}": scale for kind, several in scales.items() for scale in several}
    there = np.asarray(batch.member_mask)[rows]
    texts = panel.samples.iloc[rows].drop(columns=list(OWN)).astype(object)
    volumes = _volumes(batch, rows, encoding.vocabulary) if any(one.kind == "activity" for one in inputs) else None
    for one in inputs:
        if one.kind == "activity":
            assert volumes is not None
            columns[one.name] = volumes[:, one.at]
        elif one.kind in versions:
            values, version = raw[one.kind][one.own].to_numpy(float), versions[one.kind]
            columns[one.name] = np.append(values, np.nan)[version]  # -1, the last one, where nothing is known yet
        elif one.kind == "number":
            columns[one.name] = _unscaled(scale_of[one.name], np.asarray(batch.account_numbers)[rows], one)
        elif one.kind == "member_number":
            of_members = _unscaled(scale_of[one.name], np.asarray(batch.member_numbers)[rows], one)
            known = there & ~np.isnan(of_members)
            total = np.where(known, of_members, 0).sum(axis=1)
            columns[one.name] = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
        elif one.kind == "member":
            levels = np.array([None, None, *encoding.categories[one.at][1]], object)
            levels[levels == MISSING] = None
            ids = np.asarray(batch.individuals)[np.asarray(batch.members)[rows], one.at]
            columns[one.name] = _most_common(levels[np.where(there, ids, 0)])
        elif one.kind == "segment":
            own = texts[list(encoding.segments[one.at].columns)]
            columns[one.name] = own.astype(str).agg(":".join, axis=1).where(own.notna().all(axis=1), None).to_numpy()
    columns = {f"segment:{name}": texts[name].to_numpy() for name in texts} | columns
    return pd.DataFrame(columns, index=rows)


def with_data(values: pd.DataFrame, inputs: Sequence[Input]) -> Bool[np.ndarray, "n J"]:
    """Of which inputs there are data of each sample: of activities that somebody did, of all else that is not missing.

    Args:
        values: those of ``input_values``.
        inputs: as ``inputs_of`` names them.
    """
    found = np.ones((len(values), len(inputs)), bool)
    for j, one in enumerate(inputs):
        own = values[one.name]
        found[:, j] = own > 0 if one.kind == "activity" else own.notna()
    return found


def _volumes(batch: Batch, rows: Int[np.ndarray, " n"], vocabulary: int) -> Int[np.ndarray, "n V"]:
    """How often each activity occurs within each sample's windows."""
    if batch.counts is None or batch.count_windows is None:
        sequences = np.asarray(batch.sequences)
        counts, table = np.zeros((len(sequences), vocabulary)), batch.windows
        np.add.at(counts, (np.arange(len(sequences))[:, None], sequences), sequences > 0)
    else:
        counts, table = np.asarray(batch.counts), batch.count_windows
    found = np.zeros((len(rows), counts.shape[1]))
    for of_member in np.asarray(batch.member_windows)[rows].T:  # one place after the other needs less room
        found += counts[np.asarray(table)[of_member]].sum(axis=1)
    return found


def _unscaled(scale: Scale, table: np.ndarray, one: Input) -> np.ndarray:
    """Numbers that were counted, from their standardized ones."""
    values = table[..., one.at] * scale.sd + scale.mean
    values = np.round(np.expm1(values) if scale.logged else values, 4)  # counts, but for the rounding of float32
    return np.where(table[..., one.at + 1] > 0, np.nan, values) if scale.indicator else values


def _most_common(levels: np.ndarray) -> np.ndarray:
    """The most frequent level of each row, the first by name of several; None where there is none."""
    codes, names = pd.factorize(levels.ravel(), sort=True)
    counts = np.zeros((len(levels), len(names) + 1), int)
    np.add.at(counts, (np.repeat(np.arange(len(levels)), levels.shape[1]), codes), 1)
    counts[:, -1] = 0  # where -1, no level, was counted
    most = counts.argmax(axis=1)
    none = ~counts.any(axis=1)
    return np.array([*names, None], object)[np.where(none, len(names), most)]
