"""Devices that share one training."""

import jax
import numpy as np
from jax.sharding import Mesh

from hanjax.errors import ConfigError


def mesh_of(devices: int | None) -> Mesh | None:
    """Devices in a row, for the work to be dealt among.

    Args:
        devices: how many of this process; None for all that there are.

    Returns:
        The first of them; None if it is one.

    Raises:
        ConfigError: if there are fewer.

    Example:
        >>> from hanjax.training.devices import mesh_of
        >>> mesh_of(1) is None
        True
    """
    there = jax.local_devices()
    wanted = len(there) if devices is None else devices
    if not 1 <= wanted <= len(there):
        raise ConfigError(f"devices: expected 1 to {len(there)}, as many as there are here, got {devices}.")
    return None if wanted == 1 else Mesh(np.array(there[:wanted]), ("devices",))
