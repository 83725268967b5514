"""Devices that share one training, of one process or of several that JAX has joined."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from hanjax.errors import ConfigError, RunError

Placement = Callable[[PyTree], PyTree]


def mesh_of(devices: int | None) -> Mesh | None:
    """Devices in a row, for the work to be dealt among.

    Args:
        devices: how many of this process; None for all that there are, those of other processes among them. A CPU is
            one, unless more are asked for before JAX is first used: then its cores are.

    Returns:
        The first of them; None if it is one.

    Raises:
        ConfigError: if there are fewer, or others would be left out.

    Example:
        >>> from hanjax.training.devices import mesh_of
        >>> mesh_of(1) is None
        True
    """
    if devices is not None and devices > max(1, jax.config.jax_num_cpu_devices):
        with contextlib.suppress(RuntimeError):  # JAX has started
            jax.config.update("jax_num_cpu_devices", devices)
    there = jax.devices()
    wanted = len(there) if devices is None else devices
    if jax.process_count() > 1 and wanted != len(there):
        raise ConfigError(f"devices: several processes take part with all their devices, so give none, not {devices}.")
    if not 1 <= wanted <= len(there):
        late = jax.default_backend() == "cpu" and wanted > 1
        remedy = f" Before JAX is first used, jax.config.update('jax_num_cpu_devices', {wanted}) makes more of a CPU."
        raise ConfigError(
            f"devices: expected 1 to {len(there)}, as many as there are here, got {devices}.{remedy if late else ''}"
        )
    return None if wanted == 1 else Mesh(np.array(there[:wanted]), ("devices",))


def placements(mesh: Mesh | None, *, together: bool) -> tuple[Placement, Placement, Placement]:
    """Puts trees of arrays where a program of ``over_devices`` expects them.

    Args:
        mesh: the devices; None for the only one.
        together: of many models side by side.

    Returns:
        What puts the panel, the plan of an epoch, and the state.
    """
    if mesh is None:
        return jax.device_put, jax.device_put, jax.device_put
    axes = PartitionSpec(), PartitionSpec(*mesh.axis_names), PartitionSpec(None, *mesh.axis_names)
    everywhere, dealt, shards = (partial(_place, sharding=NamedSharding(mesh, axis)) for axis in axes)
    return (everywhere, everywhere, dealt) if together else (everywhere, shards, everywhere)


def _place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Lays arrays that every process has on the devices, of which each process fills its own."""

    def placed(array: np.ndarray) -> jax.Array:
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(placed, tree)


def over_devices(mesh: Mesh, run_epoch: Any, predict: Any, *, together: bool) -> tuple[Any, Any]:
    """Spreads models, or the samples of each step, over the devices of a mesh.

    Args:
        mesh: the devices.
        run_epoch: ``run_epoch(state, panel, plan, key, hyperparameters, apart, which)``; of a single model it sums
            losses and gradients over the mesh's axis itself, and has no ``which``.
        predict: ``predict(params, panel, plan, apart)``.
        together: of many models side by side, which are spread; else plans have an axis of shards behind the steps.

    Returns:
        The two, for arrays of all devices together.
    """
    [axis] = mesh.axis_names
    spread, same, shards = PartitionSpec(axis), PartitionSpec(), PartitionSpec(None, axis)
    # Unchecked, as loops in the network begin with zeros that are the same on all devices, which the check refuses.
    over = partial(jax.shard_map, mesh=mesh, check_vma=False)
    if together:
        run_epoch = over(run_epoch, in_specs=(spread, same, same, spread, spread, same, spread), out_specs=spread)
        return run_epoch, over(predict, in_specs=(spread, same, same, same), out_specs=spread)

    def own(plan: Any) -> Any:
        return jax.tree.map(lambda array: array[:, 0], plan)

    def epoch_of_shard(state: Any, panel: Any, plan: Any, key: Any, by: Any, apart: Any) -> Any:
        return run_epoch(state, panel, own(plan), key, by, apart)

    def prediction_of_shard(params: Any, panel: Any, plan: Any, apart: Any) -> Any:
        return jax.lax.all_gather(predict(params, panel, own(plan), apart), axis, axis=1)

    return (
        over(epoch_of_shard, in_specs=(same, same, shards, same, same, same), out_specs=same),
        over(prediction_of_shard, in_specs=(same, same, shards, same), out_specs=same),
    )


def first_process() -> bool:
    """Whether this is the process that writes files and shows progress: the only one, or the first of several."""
    return jax.process_index() == 0


def together(action: Callable[[], object]) -> None:
    """Lets every process do its part, and none go on before all are done.

    Args:
        action: what this one does.

    Raises:
        RunError: in the other processes, if the action failed in one, which raises its own error.
    """
    error: Exception | None = None
    try:
        action()
    except Exception as found:  # whatever it is, the others must not wait for ever
        error = found
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        failed = multihost_utils.process_allgather(np.array(error is not None)).any()
        if failed and error is None:
            raise RunError("Another process could not go on; its own message says why.")
    if error is not None:
        raise error


def first_alone(action: Callable[[], object]) -> None:
    """Lets the first process do something before the others go on; see ``together``."""
    together(action if first_process() else lambda: None)
