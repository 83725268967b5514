"""Devices that share one training, of one process or of several that JAX has joined."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import PyTree

from hanjax.errors import ConfigError, RunError


def mesh_of(devices: int | None) -> Mesh | None:
    """Devices in a row, for the work to be dealt among.

    Args:
        devices: how many of this process; None for all that there are, those of other processes among them.

    Returns:
        The first of them; None if it is one.

    Raises:
        ConfigError: if there are fewer, or others would be left out.

    Example:
        >>> from hanjax.training.devices import mesh_of
        >>> mesh_of(1) is None
        True
    """
    there = jax.devices()
    wanted = len(there) if devices is None else devices
    if jax.process_count() > 1 and wanted != len(there):
        raise ConfigError(f"devices: several processes take part with all their devices, so give none, not {devices}.")
    if not 1 <= wanted <= len(there):
        raise ConfigError(f"devices: expected 1 to {len(there)}, as many as there are here, got {devices}.")
    return None if wanted == 1 else Mesh(np.array(there[:wanted]), ("devices",))


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Lays arrays that every process has on the devices, of which each process fills its own.

    Args:
        tree: arrays, equal in all processes.
        sharding: which device gets what.

    Returns:
        The arrays of all devices together.
    """

    def placed(array: np.ndarray) -> jax.Array:
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(placed, tree)


def first_process() -> bool:
    """Whether this is the process that writes files and shows progress: the only one, or the first of several."""
    return jax.process_index() == 0


def first_alone(action: Callable[[], object]) -> None:
    """Lets the first process do something before the others go on.

    Args:
        action: what it does.

    Raises:
        RunError: in the other processes, if the action failed in the first, which raises its own error.
    """
    error: Exception | None = None
    if first_process():
        try:
            action()
        except Exception as found:  # whatever it is, the others must not wait for ever
            error = found
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        failed = multihost_utils.broadcast_one_to_all(np.array(error is not None))
        if failed and error is None:
            raise RunError("The first process could not go on; its own message says why.")
    if error is not None:
        raise error
