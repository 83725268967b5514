"""What carried one account's score: which person, in which period, and which activities, by the network's attention."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, PyTree

from hanjax.types import Panel, Scores

_AT_A_TIME = 256
"""Sequences are encoded so many at a time, so that one program does for all accounts."""


class Contributions(NamedTuple):
    """Shares of one sample's score.

    Args:
        cells: one row a member and period in which they were active: individual_id, period, weight (share of the
            member times that of the period), activities (how many the network read), what (them, in their order).
        activities: one row an activity of these: activity, weight (the cell's times the share of the activity); empty
            if the network does not attend to activities.
        quiet: what is left, the shares of members who were quiet throughout.
    """

    cells: pd.DataFrame
    activities: pd.DataFrame
    quiet: float


def contributions(
    panel: Panel,
    scores: Scores,
    network: Any,
    params: PyTree,
    row: int,
    *,
    activities: Sequence[str],
    periods: Sequence[Any],
) -> Contributions:
    """Follows the attention from an account down to the activities: share of member x period x activity.

    These are shares of attention, not effects; ``hanjax.scoring.deletion`` says how far to believe them.

    Args:
        panel: the samples.
        scores: of these samples, row by row.
        network: the model, as pure functions.
        params: its parameters.
        row: the sample, a row of ``panel.samples``.
        activities: names of the activities, whose ids begin at 2.
        periods: ``[W]`` what to call the periods of the window, oldest first.

    Returns:
        The shares, which sum to 1 with those of quiet members.
    """
    batch = panel.batch
    sizes = np.asarray(batch.member_mask).sum(axis=1)
    people = scores.individuals.iloc[sizes[:row].sum() : sizes[: row + 1].sum()]
    windows = batch.windows[batch.member_windows[row][batch.member_mask[row]]]
    shares = people["share"].to_numpy()[:, None] * np.stack(people["attention"].to_numpy())
    k, w = np.nonzero(windows)
    sequences, place = np.unique(windows[k, w], return_inverse=True)
    of_activity = _activity_shares(panel, network, params, sequences)
    names = np.array(["", "(unknown activity)", *activities], dtype=object)
    rows = [names[batch.sequences[sequence]][batch.sequences[sequence] > 0] for sequence in windows[k, w]]
    weight = shares[k, w]
    cells = pd.DataFrame(
        {
            "individual_id": people["individual_id"].to_numpy()[k],
            "period": pd.Index(periods)[w],
            "weight": weight,
            "activities": [len(one) for one in rows],
            "what": [", ".join(map(str, one)) for one in rows],
        }
    )
    c, l = np.nonzero(batch.sequences[sequences][place])
    found = pd.DataFrame(
        {
            "activity": names[batch.sequences[sequences][place][c, l]],
            "weight": weight[c] * of_activity[place][c, l],
        }
    )
    return Contributions(
        cells, found if found["weight"].to_numpy().any() else found[:0], float(max(1 - weight.sum(), 0))
    )


def _activity_shares(
    panel: Panel, network: Any, params: PyTree, sequences: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n L"]:
    """Attention over the activities of some of the panel's sequences."""
    encode = jax.jit(network.encode_periods)
    few = {name: array[:1] for name, array in panel.batch._asdict().items() if isinstance(array, np.ndarray)}
    parts = [np.zeros((0, panel.batch.sequences.shape[1]))]
    for begin in range(0, len(sequences), _AT_A_TIME):
        some = np.resize(sequences[begin : begin + _AT_A_TIME], _AT_A_TIME)
        own = {name: getattr(panel.batch, name)[some] for name in ("sequences", "gaps") if name in few}
        weights = encode(params, panel.batch._replace(**few | own)).weights
        parts.append(np.asarray(weights)[: len(sequences) - begin])
    return np.concatenate(parts)
