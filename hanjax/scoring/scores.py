"""Joint scores of accounts and individuals, from a panel: every distinct sequence and window is encoded once."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import PyTree

from hanjax.data.batches import capacity
from hanjax.evaluation.calibration import probability, unweight
from hanjax.nn.functional import Network
from hanjax.nn.han import Scored, account_numbers
from hanjax.types import Batch, Panel, Scores

_ROWS, _SAMPLES = 4096, 512
"""Rows of a table, and samples, computed at a time: fixed, so that equal inputs give equal bits."""


def score_panel(
    panel: Panel,
    network: Network,
    params: PyTree,
    *,
    positive_weight: float,
    horizons: tuple[int, ...] = (1,),
    raw: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Scores:
    """Scores every sample of a panel, and each of its members.

    An individual's score is the account score of the group made of that individual alone.

    Args:
        panel: the samples.
        network: the model, as pure functions.
        params: its parameters.
        positive_weight: w of the loss it was trained with, which is taken out of the probabilities.
        horizons: periods ahead of each outcome; the first one's probability is called ``probability``, the others'
            ``probability_within_4`` and so on.
        raw: leave the weight in.
        progress: called with the number of samples just scored.

    Returns:
        ``accounts``: account_id, cutoff, probability, raw_score (with the weight left in), rank (1 is the most likely
        account of a cut-off; equal ones share a rank), n_members, attention (shares of the window's periods, oldest
        first, averaged over the members by their shares), then the accounts' segments. ``individuals``: account_id,
        individual_id, cutoff, score (a probability), share (of the account's aggregation), rank_in_account, attention.
    """
    batch, programs = panel.batch, _programs(network)
    encode = functools.partial(programs["periods"], params)
    encoded = _over_rows(encode, batch.sequences, where=batch.activity_mask)
    periods = jnp.asarray(_padded(encoded.value, capacity(len(encoded.value))))
    encode = functools.partial(programs["windows"], params, periods)
    windows = _over_rows(encode, batch.windows, where=batch.period_mask)
    table = jnp.asarray(_padded(windows.value, capacity(len(windows.value))))
    parts = []
    for begin, chunk in _sample_chunks(batch):
        parts.append(jax.device_get(programs["score"](params, table, chunk)))
        if progress is not None:
            progress(min(_SAMPLES, len(batch.mask) - begin))
    scored: Scored = jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(batch.mask)], *parts)
    return _frames(panel, scored, windows.weights, 1.0 if raw else positive_weight, horizons)


@functools.lru_cache(maxsize=8)
def _programs(network: Network) -> dict[str, Callable[..., Any]]:
    def score(params: PyTree, windows: jax.Array, batch: Batch) -> Scored:
        categories, account = batch.individuals[batch.members], account_numbers(batch)
        return network.score(params, windows[batch.member_windows], categories, account, where=batch.member_mask)

    return {
        "periods": jax.jit(network.encode_periods),
        "windows": jax.jit(network.encode_windows),
        "score": jax.jit(score),
    }


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    return np.pad(array, [(0, size - len(array)), *[(0, 0)] * (array.ndim - 1)])


def _over_rows(function: Callable[..., Any], rows: np.ndarray, *, where: np.ndarray) -> Any:
    """Maps a function over a table, some thousand rows at a time; the last ones are filled up with empty rows."""
    parts = []
    for begin in range(0, len(rows), _ROWS):
        some, mask = (_padded(array[begin : begin + _ROWS], _ROWS) for array in (rows, where))
        parts.append(jax.device_get(function(some, where=mask)))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(rows)], *parts)


def _sample_chunks(batch: Batch) -> Iterator[tuple[int, Batch]]:
    """Cuts samples into chunks of one size; the tables of individuals and accounts go along whole."""
    whole = batch._replace(
        sequences=batch.sequences[:1],
        windows=batch.windows[:1],
        individuals=_padded(batch.individuals, capacity(len(batch.individuals))),
        accounts=_padded(batch.accounts, capacity(len(batch.accounts))),
        counts=None,
        count_windows=None,
    )
    fields = ("members", "member_windows", "account", "label", "mask", "account_numbers")
    for begin in range(0, len(batch.mask), _SAMPLES):
        some = {name: getattr(batch, name) for name in fields if getattr(batch, name) is not None}
        yield begin, whole._replace(**{n: _padded(a[begin : begin + _SAMPLES], _SAMPLES) for n, a in some.items()})


def _frames(
    panel: Panel, scored: Scored, attention: np.ndarray, positive_weight: float, horizons: tuple[int, ...]
) -> Scores:
    """Lays scores out as DataFrames."""
    batch, samples = panel.batch, panel.samples
    logit = scored.logit.astype(np.float64)
    corrected = probability(unweight(logit, positive_weight=positive_weight))
    of_member = attention[batch.member_windows]
    head = samples[["account_id", "cutoff"]]
    segments = samples.columns.difference(["account_id", "cutoff", "period", "n_members"], sort=False)
    accounts = head.assign(
        probability=corrected[:, 0],
        raw_score=probability(logit[:, 0]),
        rank=pd.Series(logit[:, 0]).groupby(samples["cutoff"]).rank(ascending=False, method="min").astype(int),
        n_members=samples["n_members"],
        **{f"probability_within_{n}": corrected[:, h] for h, n in enumerate(horizons) if h},
        attention=list(np.einsum("bk,bkw->bw", scored.member_share, of_member)),
        **{str(name): samples[name] for name in segments},
    )
    b, k = np.nonzero(batch.member_mask)
    alone = scored.member_logit[b, k, 0].astype(np.float64)
    individuals = pd.DataFrame(
        {
            "account_id": samples["account_id"].to_numpy()[b],
            "individual_id": panel.individual_ids.to_numpy()[panel.member_ids[b, k]],
            "cutoff": samples["cutoff"].array[b],
            "score": probability(unweight(alone, positive_weight=positive_weight)),
            "share": scored.member_share[b, k],
            "rank_in_account": pd.Series(alone).groupby(b).rank(ascending=False, method="min").astype(int),
            "attention": list(of_member[b, k]),
        }
    )
    return Scores(accounts, individuals)
