"""How the learners of benchmarks/mil.py learn: the published protocols, and settings to choose among."""

from itertools import product
from typing import Any, NamedTuple

import jax
import optax
from flax import nnx


class Settings(NamedTuple):
    """What a learner is trained with."""

    method: str
    rate: float
    decay: float  # of the L2 penalty
    dropout: float


class Protocol(NamedTuple):
    """How learners learn, where nothing is chosen."""

    settings: Settings
    batch: int
    instances: int  # of a training bag in a step, at most
    epochs: int
    dropout_from: int  # the first layer that is followed by dropout
    all_bags: bool  # features are standardized over all bags, not those of the training alone
    init: Any


PROTOCOLS = {
    "ilse": Protocol(Settings("adam", 5e-4, 5e-3, 0.5), 8, 16, 100, 0, False, nnx.initializers.lecun_normal()),
    # The derivative of 5e-3 w^2 is 1e-2 w.
    "wang": Protocol(Settings("nesterov", 5e-4, 1e-2, 0.5), 1, 10**4, 50, 2, True, nnx.initializers.glorot_uniform()),
}


def optimizer_of(method: str, rate: Any, decay: Any) -> optax.GradientTransformation:
    """An optimizer with a penalty in the gradient."""
    if method == "adam":
        return optax.chain(optax.add_decayed_weights(decay), optax.adam(rate))
    if method == "momentum":
        return optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=0.9))

    def kernels(params: Any) -> Any:
        return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)

    descent = optax.sgd(lambda step: rate / (1 + 1e-4 * step), momentum=0.9, nesterov=True)
    return optax.chain(optax.add_decayed_weights(decay, mask=kernels), descent)


SETTINGS = [
    *(Settings("adam", *rest) for rest in product((5e-4, 1e-4, 5e-5), (5e-3, 1e-2), (0.5, 0.0))),
    *(Settings("momentum", 5e-4, 5e-3, dropout) for dropout in (0.5, 0.0)),
]
"""Chosen among on bags kept from training."""
