"""The game among inputs: an account's log-odds if only some of its inputs are known, and all others are as on average.

Inputs are hidden inside of the compiled program, in the tables of distinct rows: activities leave the sequences and the
volumes, numbers and categories are replaced. Each chunk of accounts is encoded once for each set of activities, and
scored once for each coalition; nothing is made anew on the host.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from hanjax.data.batches import gather, plan_epoch
from hanjax.data.sequences import UNKNOWN
from hanjax.explain.inputs import FIELDS, Input
from hanjax.nn.functional import Network
from hanjax.scoring.influence import all_subsets, shapley
from hanjax.types import Batch

_SAMPLES, _COALITIONS = 16, 32
"""Accounts in a chunk, and coalitions computed side by side."""

Fill = Mapping[str, Sequence[float]]
"""What stands in for each input that is not an activity, in the batch's terms: a value for each of its columns."""


class _Masks(NamedTuple):
    """What is left of a batch in each coalition.

    Args:
        activities: ``[E, V]`` distinct sets of activities that stay.
        which: ``[C]`` the one of them of each coalition.
        columns: ``[C, columns]`` by field, which columns of it stay.
    """

    activities: Bool[Array, "E V"]
    which: Int[Array, " C"]
    columns: dict[str, Bool[Array, "C columns"]]


def fill_of(batch: Batch, rows: Int[np.ndarray, " n"], inputs: Sequence[Input]) -> dict[str, tuple[float, ...]]:
    """What stands in for inputs that are hidden: the training mean of numbers, the most common level of categories.

    A number's indicator of missing values becomes the share of the samples in which it is missing, and a segment is
    unknown. Activities have nothing in their place.

    Args:
        batch: every sample, as NumPy arrays.
        rows: the samples by which it goes.
        inputs: the inputs.

    Returns:
        By input the values of its columns, in the batch's terms.
    """
    there, found = np.asarray(batch.member_mask)[rows], {}
    for one in inputs:
        if one.kind == "activity":
            continue
        if one.kind == "segment":
            found[one.name] = (float(UNKNOWN),)
            continue
        if one.kind == "member":
            ids = np.asarray(batch.individuals)[np.asarray(batch.members)[rows][there], one.at]
            found[one.name] = (float(np.bincount(ids, minlength=UNKNOWN + 1).argmax()),)
            continue
        table = np.asarray(getattr(batch, FIELDS[one.kind]))
        table = table[np.asarray(batch.account)[rows]] if one.kind == "account" else table[rows]
        table = table[there] if one.kind == "member_number" else table
        missing = [float(table[:, one.at + 1].mean(dtype=np.float64))] if one.width == 2 and len(table) else []
        found[one.name] = (0.0, *missing)
    return found


def coalition_log_odds(
    batch: Batch,
    network: Network,
    params: PyTree,
    rows: Int[np.ndarray, " n"],
    inputs: Sequence[Input],
    coalitions: Bool[np.ndarray, "C J"],
    fill: Fill,
    *,
    positive_weight: float,
    progress: Callable[[int], object] | None = None,
) -> Float[np.ndarray, "C n"]:
    """The log-odds of samples of which each coalition of inputs alone is known.

    Hidden activities leave their sequences, whose other activities move up, and their volumes; a period is a quiet one
    if nothing stays of either (volumes also count what a sequence is too short for), and so is a window. Times between
    activities stay those that they were. The members stay, and everything that is no input.

    Args:
        batch: every sample, as NumPy arrays.
        network: the model, as pure functions.
        params: its parameters.
        rows: ``[n]`` the samples.
        inputs: the J inputs.
        coalitions: ``[C, J]`` which of them are known.
        fill: what stands in for those that are not; see ``fill_of``.
        positive_weight: w of the loss that the model was trained with, which is taken out.
        progress: called with the number of samples just done.

    Returns:
        ``[C, n]`` log-odds of the first horizon.
    """
    plan = plan_epoch(batch, rows, batch_size=_SAMPLES, seed=None)
    masks = _masks(inputs, np.asarray(coalitions), batch)
    values = {name: jnp.asarray(own) for name, own in _values(inputs, fill, batch).items()}
    program, found = _program(network), np.zeros((len(coalitions), len(rows)))
    for t in range(len(plan.samples)):
        step = jax.tree.map(lambda array, t=t: array[t], plan)
        here = jax.tree.map(jnp.asarray, _localized(gather(batch, step)))
        logit = jax.device_get(program(params, here, values, masks))[: len(coalitions)]
        found[:, step.order[step.mask]] = logit[:, step.mask]
        if progress is not None:
            progress(int(step.mask.sum()))
    return found - np.log(positive_weight)


class Played(NamedTuple):
    """What the game among aspects comes to.

    Args:
        worths: ``[2^m, n]`` log-odds of n samples in each coalition of the m aspects with inputs, as
            ``hanjax.scoring.influence.shapley`` takes them.
        effects: ``[J, n]`` by how much the log-odds fall if one input alone is hidden.
    """

    worths: Float[np.ndarray, "coalitions n"]
    effects: Float[np.ndarray, "J n"]

    def parts(self, owners: Mapping[str, Sequence[str]]) -> dict[str, Float[np.ndarray, " n"]]:
        """The contributions of aspects, Shapley values; that of an aspect without inputs is 0.

        Args:
            owners: the inputs of each aspect.
        """
        with_inputs = [name for name, own in owners.items() if own]
        found = dict(zip(with_inputs, shapley(self.worths), strict=True))
        return {name: found.get(name, np.zeros(self.worths.shape[1])) for name in owners}


def play(
    batch: Batch,
    network: Network,
    params: PyTree,
    rows: Int[np.ndarray, " n"],
    inputs: Sequence[Input],
    owners: Mapping[str, Sequence[str]],
    fill: Fill,
    *,
    positive_weight: float,
    progress: Callable[[int], object] | None = None,
) -> Played:
    """Plays the game among aspects: every coalition of them, and every input hidden alone.

    Args:
        batch: every sample, as NumPy arrays.
        network: the model, as pure functions.
        params: its parameters.
        rows: ``[n]`` the samples.
        inputs: the J inputs.
        owners: the inputs of each aspect; each belongs to one.
        fill: what stands in for hidden inputs; see ``fill_of``.
        positive_weight: w of the loss that the model was trained with, which is taken out.
        progress: called with the number of samples just done.

    Returns:
        The worths of all coalitions, and the effects of the inputs.
    """
    players = [own for own in owners.values() if own]
    belongs = np.array([[one.name in own for one in inputs] for own in players])
    coalitions = (all_subsets(len(players)).astype(int) @ belongs) > 0
    alone = ~np.eye(len(inputs), dtype=bool)
    found = coalition_log_odds(
        batch, network, params, rows, inputs, np.concatenate([coalitions, alone]), fill,
        positive_weight=positive_weight, progress=progress,
    )  # fmt: skip
    return Played(found[: len(coalitions)], found[len(coalitions) - 1] - found[len(coalitions) :])


@functools.lru_cache(maxsize=8)
def _program(network: Network) -> Callable[..., Any]:
    """The log-odds ``[C, B]`` of a chunk of samples in every coalition."""

    def run(params: PyTree, batch: Batch, fill: dict[str, Array], masks: _Masks) -> Float[Array, "C B"]:
        def encode(stays: Bool[Array, " V"]) -> tuple[Array, Array]:
            altered = without_activities(batch, stays)
            periods = network.encode_periods(params, altered).value
            return network.encode_windows(params, periods, altered).value, altered.member_windows

        def score(one: tuple[Array, dict[str, Array]]) -> Float[Array, " B"]:
            which, columns = one
            altered = {name: _replaced(getattr(batch, name), fill[name], stays) for name, stays in columns.items()}
            altered = batch._replace(member_windows=member_windows[which], **altered)
            return network.score(params, windows[which], altered).logit[:, 0]

        side_by_side = lambda n: min(_COALITIONS, n)
        windows, member_windows = jax.lax.map(encode, masks.activities, batch_size=side_by_side(len(masks.activities)))
        return jax.lax.map(score, (masks.which, masks.columns), batch_size=side_by_side(len(masks.which)))

    return jax.jit(run)


def _replaced(table: Array, fill: Float[Array, " columns"], stays: Bool[Array, " columns"]) -> Array:
    """A table some of whose columns are replaced by a constant."""
    shape = (1,) * (table.ndim - 1) + (-1,)
    return jnp.where(stays.reshape(shape), table, fill.astype(table.dtype).reshape(shape))


def without_activities(batch: Batch, stays: Bool[Array, " V"]) -> Batch:
    """A batch in which some activities never happened; it may be traced.

    Args:
        batch: the samples.
        stays: ``[V]`` by id, whether an activity stays.

    Returns:
        The batch: what stays of a sequence stands at its left.
    """
    sequences = batch.sequences
    kept = stays[sequences] & (sequences > 0)
    order = jnp.argsort(~kept, axis=1, stable=True)
    move = lambda table: jnp.take_along_axis(jnp.where(kept, table, 0), order, axis=1)
    active = kept.any(axis=1)[batch.windows]
    fields: dict[str, Any] = {"sequences": move(sequences)}
    if batch.gaps is not None:
        fields["gaps"] = move(batch.gaps)
    if batch.counts is not None and batch.count_windows is not None:
        counts = jnp.where(stays[None], batch.counts, 0)
        active |= counts.any(axis=1)[batch.count_windows]
        fields["counts"] = counts
        fields["count_windows"] = jnp.where(active, batch.count_windows, 0)
    fields["windows"] = jnp.where(active, batch.windows, 0)
    if batch.window_ages is not None:
        fields["window_ages"] = jnp.where(active, batch.window_ages, 0)
    quiet = ~active.any(axis=1)
    return batch._replace(member_windows=jnp.where(quiet[batch.member_windows], 0, batch.member_windows), **fields)


def _masks(inputs: Sequence[Input], coalitions: Bool[np.ndarray, "C J"], batch: Batch) -> _Masks:
    """What stays in each coalition; its numbers are rounded up to what is computed side by side."""
    vocabulary = max(one.at for one in inputs if one.kind == "activity") + 1
    stays = np.ones((len(coalitions), vocabulary), bool)
    columns: dict[str, np.ndarray] = {}
    for j, one in enumerate(inputs):
        if one.kind == "activity":
            stays[:, one.at] = coalitions[:, j]
            continue
        field = FIELDS[one.kind]
        width = getattr(batch, field).shape[-1]
        own = columns.setdefault(field, np.ones((len(coalitions), width), bool))
        own[:, one.at : one.at + one.width] = coalitions[:, [j]]
    distinct, which = np.unique(stays, axis=0, return_inverse=True)
    filled = {name: jnp.asarray(_filled(own)) for name, own in columns.items()}
    return _Masks(jnp.asarray(_filled(distinct)), jnp.asarray(_filled(which.ravel().astype(np.int32))), filled)


def _filled(rows: np.ndarray) -> np.ndarray:
    """Rows, of which the last one is repeated so that whole chunks of coalitions come out."""
    short = -len(rows) % _COALITIONS if len(rows) > _COALITIONS else 0
    return np.concatenate([rows, np.repeat(rows[-1:], short, axis=0)])


def _values(inputs: Sequence[Input], fill: Fill, batch: Batch) -> dict[str, Float[np.ndarray, " columns"]]:
    """What stands in for each column of each field."""
    found: dict[str, np.ndarray] = {}
    for one in inputs:
        if one.kind != "activity":
            field = FIELDS[one.kind]
            own = found.setdefault(field, np.zeros(getattr(batch, field).shape[-1], np.float32))
            own[one.at : one.at + one.width] = fill[one.name]
    return found


def _localized(batch: Batch) -> Batch:
    """A small batch with the rows of individuals, accounts and volumes that it uses alone, each once per use."""
    padded = lambda rows: np.pad(rows, ((1, 0), (0, 0)))
    numbered = lambda index: np.where(index > 0, np.arange(1, index.size + 1).reshape(index.shape), 0).astype(np.int32)
    fields: dict[str, Any] = {
        "individuals": padded(np.asarray(batch.individuals)[batch.members].reshape(-1, batch.individuals.shape[1])),
        "members": numbered(batch.members),
        "accounts": padded(np.asarray(batch.accounts)[batch.account]),
        "account": np.arange(1, len(batch.account) + 1, dtype=np.int32),
    }
    if batch.counts is not None and batch.count_windows is not None:
        fields["counts"] = padded(np.asarray(batch.counts)[batch.count_windows].reshape(-1, batch.counts.shape[1]))
        fields["count_windows"] = numbered(batch.count_windows)
    return batch._replace(blocks=None, **fields)
