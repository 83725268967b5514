"""Trains a network on a panel that outgrows the memory: an epoch is one shard after the other, in random order.

While one shard is learned from, the next is read, so that two are in memory at any time. All shards are filled up to
one shape, and all plans to another, so that few programs are compiled, however many shards there are.
"""

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int, PyTree

from hanjax.config import TrainConfig
from hanjax.data.batches import Plan, Room, capacity, filled_up, plan_epoch
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.epochs import Fitted, Progress, begin, run_epochs
from hanjax.training.fit import check_finite, planned, require_outcome, seeds_of_epochs, validated
from hanjax.training.step import Measurements, Network, TrainState, forests_of
from hanjax.types import Batch

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")

_EIGHTHS = 8
"""How many numbers of steps an epoch over a shard may have, so many parts of those of the largest one."""

_SPARE = 0.05
"""By which share a later epoch may need more room than the first, and still use its programs."""


class Part(NamedTuple):
    """One shard, as training sees it.

    Args:
        batch: its samples, as NumPy arrays.
        train: ``[n]`` those to learn from, as rows of the batch; those without a known outcome are passed over.
        validation: ``[v]`` those that choose the epoch.
        apart: ``[B]`` for each sample the network of an ensemble that does not learn from it; then that network's
            log-odds of the training samples choose the epoch. None if all networks learn from all.
    """

    batch: Batch
    train: Int[np.ndarray, " n"]
    validation: Int[np.ndarray, " v"]
    apart: Int[np.ndarray, " B"] | None = None


def fit_shards(
    read: Callable[[int], Part],
    shards: int,
    network: Network,
    config: TrainConfig,
    *,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    mesh: Mesh | None = None,
) -> Fitted:
    """Trains a network on the weighted cross-entropy, shard by shard, and keeps the epoch that validates best.

    It is ``fit_panel`` but for the order of the samples: those of a shard follow one another. The order of the shards
    of an epoch, and that of the samples of a shard, come from the epoch's seed, so that the same seed gives the same
    bits on one machine, and a resumed training those of an uninterrupted one. One shard that holds all gives what
    ``fit_panel`` gives. Before the first epoch all shards are read twice: how large they are decides about the shapes.

    Args:
        read: gives a shard by its number, from 0; it is called in another thread.
        shards: how many there are.
        network: the model, as pure functions.
        config: the settings of training.
        checkpoints: where every epoch is saved; None for nowhere.
        resume: continue after the latest checkpoint, if there is one; see ``fit_panel``.
        progress: called after every epoch; None for silence.
        mesh: devices in a row among which the samples of each step are dealt; None for one device. Every process of
            several reads all shards.

    Returns:
        The parameters of the best epoch, and the history.

    Raises:
        DataError: if a number is not finite, or no outcome to learn from or to validate on is known.
        RunError: if the loss or the gradient ceases to be finite, the checkpoint cannot be read, or there is one
            already and ``resume`` is False.

    Example:
        >>> import numpy as np
        >>> from hanjax.config import ModelConfig, TrainConfig
        >>> from hanjax.nn.functional import Sizes, network
        >>> from hanjax.training.streaming import Part, fit_shards
        >>> from hanjax.types import Batch
        >>> label = np.arange(8) % 2.0
        >>> active = np.broadcast_to(2 + label[:, None, None, None], (8, 3, 4, 9)).astype(int)
        >>> batch = Batch.from_dense(active, members=np.ones((8, 3), bool), label=label)
        >>> model = network(ModelConfig(), Sizes(vocabulary=4))
        >>> config = TrainConfig(epochs=3, batch_size=4, positive_weight=1.0)
        >>> fitted = fit_shards(lambda shard: Part(batch, np.arange(6), np.arange(6, 8)), 2, model, config)
        >>> fitted.history["validation_auc"].iloc[-1]
        np.float64(1.0)
    """
    survey = _survey(read, shards, config)
    share = 1 - 1 / config.ensemble if config.cross_validation else 1.0
    begun = begin(network, config, survey.train_label, mesh, checkpoints, resume=resume, share=share)
    compiled, devices = begun.compiled, None if mesh is None else mesh.size
    seeds = seeds_of_epochs(begun.key, config.epochs)
    planner = _Planner(read, survey, config, seeds, devices)
    orders = {
        epoch: _order(seeds[epoch], survey) for epoch in range(len(begun.training.history) + 1, config.epochs + 1)
    }
    validating = [shard for shard in range(shards) if survey.steps[1][shard]]
    visits = [
        visit
        for epoch, order in orders.items()
        for visit in (
            *(_Visit(int(shard), epoch, validates=False) for shard in order),
            *(_Visit(shard, epoch, validates=True) for shard in validating),
        )
    ]
    ahead, all_steps = read_ahead(planner.load, visits), sum(survey.steps[0])

    def on_device(loaded: tuple[Batch, Plan, Any]) -> tuple[Batch, Plan, Any]:
        panel, plan, apart = loaded
        return compiled.put(panel), compiled.put_plan(plan), None if apart is None else compiled.put(apart)

    def one_epoch(state: TrainState, epoch: int) -> tuple[TrainState, Measurements]:
        measured, key = [], jax.random.fold_in(begun.key, epoch)
        for place in range(len(orders[epoch])):
            panel, plan, apart = on_device(next(ahead))
            # Steps count up from 0 within a shard, and fold their numbers into a key; shards count down from the top.
            own = key if place == 0 else jax.random.fold_in(key, np.uint32(2**32 - place))
            by = begun.hyperparameters._replace(ema_epochs=config.ema_epochs * all_steps / len(plan.samples))
            state, found = compiled.run_epoch(state, panel, plan, own, by, apart)
            measured.append(jax.device_get(found))  # waits, so that no more than this shard and the next are in memory
            del panel, plan, apart
        return state, jax.tree.map(lambda *arrays: np.concatenate(arrays), *measured)

    def validate(params: PyTree) -> tuple[float, float]:
        logits = []
        for _ in validating:
            loaded = next(ahead)
            panel, plan, apart = on_device(loaded)
            logits.append(loaded[1].restored(np.asarray(compiled.predict(params, panel, plan, apart))))
            del loaded, panel, plan, apart
        if not logits:
            return np.nan, np.nan
        return validated(np.concatenate(logits), survey.validation_label, begun.weight, config)

    with contextlib.closing(ahead):
        return run_epochs(
            begun, one_epoch, validate, config, samples=len(survey.train_label), checkpoints=checkpoints,
            progress=progress,
        )  # fmt: skip


def read_ahead(load: Callable[[Item], Loaded], items: Sequence[Item]) -> Generator[Loaded]:
    """Loads one item after the other, each in another thread while what came before it is used.

    Grain does it if it is installed (the extra ``spark`` brings it), else a plain thread: in the same order.

    Args:
        load: loads an item.
        items: all of them.
    """
    try:
        import grain  # pyright: ignore[reportMissingImports]
    except ImportError:
        yield from planned(load, items)
        return
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    iterator = iter(grain.MapDataset.source(items).map(load).to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()


class _Visit(NamedTuple):
    """That a shard is learned from, or validated on, in an epoch."""

    shard: int
    epoch: int
    validates: bool


class _Survey(NamedTuple):
    """What has to be known of all shards before the first epoch.

    Args:
        rows: how many rows each field of a batch has at most, on the ladder of capacities.
        steps: to learn from each shard, and to validate on it; 0 where it has no sample for that.
        train_label: ``[n, H]`` the outcomes to learn from.
        validation_label: ``[v, H]`` those to validate on.
    """

    rows: dict[str, int]
    steps: tuple[list[int], list[int]]
    train_label: Float[np.ndarray, "n H"]
    validation_label: Float[np.ndarray, "v H"]


def _survey(read: Callable[[int], Part], shards: int, config: TrainConfig) -> _Survey:
    """Reads all shards once."""
    rows: dict[str, int] = {}
    labels, given, found = ([], []), [0, 0], ([], [])
    for shard in range(shards):
        part = read(shard)
        check_finite(part.batch)
        for name, array in part.batch._asdict().items():
            if array is not None:
                rows[name] = max(rows.get(name, 0), len(array))
        for purpose, validates in enumerate((False, True)):
            wanted = _rows(part, validates)
            labels[purpose].append(np.asarray(part.batch.label)[wanted])
            found[purpose].append(len(wanted))
            given[purpose] += len(_given(part, validates))
    require_outcome(sum(found[0]), of=given[0], purpose="training")
    if given[1]:
        require_outcome(sum(found[1]), of=given[1], purpose="validation")
    if shards > 1:
        rows = {name: capacity(most) for name, most in rows.items()}
    steps = [_steps(count, max(found[0]), config.batch_size) for count in found[0]]
    most = -(-max(found[1]) // config.batch_size)  # a step of a prediction may do without any sample
    return _Survey(
        rows,
        (steps, [most if count else 0 for count in found[1]]),
        np.concatenate(labels[0]),
        np.concatenate(labels[1]),
    )


def _given(part: Part, validates: bool) -> Int[np.ndarray, " n"]:
    """The samples for a purpose; where each network of an ensemble is kept from some, these validate."""
    return part.validation if validates and part.apart is None else part.train


def _rows(part: Part, validates: bool) -> Int[np.ndarray, " n"]:
    """Those of them whose outcome is known."""
    rows = np.asarray(_given(part, validates), dtype=np.int64)
    return rows[np.asarray(part.batch.label_mask)[rows].any(axis=1)]


def _steps(samples: int, most: int, batch_size: int) -> int:
    """How many steps a shard takes: as few as the size of a minibatch allows, or a few more, as other shards do too.

    Args:
        samples: of the shard.
        most: of the largest shard.
        batch_size: samples in a step, on average at most.
    """
    need, largest = -(-samples // batch_size), -(-most // batch_size)
    shared = next((n for n in (-(-largest * part // _EIGHTHS) for part in range(1, _EIGHTHS + 1)) if n >= need), need)
    return shared if need <= shared <= 1.5 * need else need


def _order(seed: np.ndarray, survey: _Survey) -> Int[np.ndarray, " shards"]:
    """The order in which an epoch visits the shards that have something to learn from."""
    order = np.random.default_rng([int(word) for word in seed]).permutation(len(survey.steps[0]))
    return order[np.array(survey.steps[0])[order] > 0]


class _Planner:
    """Reads a shard, and plans what is done with it.

    Args:
        read: gives a shard.
        survey: what is known of all of them.
        config: the settings of training.
        seeds: of the epochs.
        devices: among how many each step's samples are dealt; None for no such axis.
    """

    def __init__(
        self, read: Callable[[int], Part], survey: _Survey, config: TrainConfig, seeds: np.ndarray, devices: int | None
    ):
        """Plans the first epoch over all shards, for no other reason than to learn how much room plans need."""
        self.read, self.survey, self.config, self.seeds, self.devices = read, survey, config, seeds, devices
        self.rooms: list[Room | None] = [None, None]
        shards = len(survey.steps[0])
        for shard in range(shards):
            part = read(shard)
            for validates in (False, True):
                if survey.steps[validates][shard]:
                    plan = self._plan(part, _Visit(shard, 1, validates))
                    self.rooms[validates] = plan.room(spare=_SPARE if shards > 1 else 0.0)

    def load(self, visit: _Visit) -> tuple[Batch, Plan, Any]:
        """The shard, filled up; the plan; and which network each sample is kept from."""
        part = self.read(visit.shard)
        plan, batch = self._plan(part, visit), filled_up(part.batch, self.survey.rows)
        apart = None if part.apart is None else np.pad(part.apart, (0, len(batch.mask) - len(part.apart)))
        return batch, plan, apart

    def _plan(self, part: Part, visit: _Visit) -> Plan:
        # The words of a seed may be followed by any number of zeros, so the first shard's is that of the epoch itself.
        seed = None if visit.validates else np.append(self.seeds[visit.epoch], np.uint32(visit.shard))
        return plan_epoch(
            part.batch,
            _rows(part, visit.validates),
            batch_size=self.config.batch_size,
            seed=seed,
            forests=forests_of(part.batch, self.config.ensemble),
            shards=self.devices,
            steps=self.survey.steps[visit.validates][visit.shard],
            room=self.rooms[visit.validates],
        )
