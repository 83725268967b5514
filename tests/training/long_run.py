"""A training to be killed: ``python -m tests.training.long_run FOLDER EPOCHS`` writes checkpoints into the folder.

With two more arguments, ``PORT I``, it is process I of two on this machine.
"""

import sys

import jax
import numpy as np

from hanjax.config import TrainConfig
from hanjax.errors import RunError
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.devices import mesh_of
from hanjax.training.fit import Fitted, fit_panel
from tests.training.standin import Linear, panel


def train(folder: str, epochs: int) -> Fitted:
    """Trains, or goes on training, with checkpoints in the folder."""
    config = TrainConfig(epochs=epochs, batch_size=16, learning_rate=0.01, positive_weight=3.0, patience=None)
    rows, mesh = np.arange(120), mesh_of(None)
    with Checkpoints(folder) as checkpoints:
        return fit_panel(
            panel(120, signal=1.0),
            rows[:80],
            rows[80:],
            Linear(),
            config,
            checkpoints=checkpoints,
            resume=True,
            mesh=mesh,
        )


if __name__ == "__main__":
    folder, epochs, *two = sys.argv[1:]
    if two:
        jax.distributed.initialize(f"127.0.0.1:{two[0]}", 2, int(two[1]))
    try:
        train(folder, int(epochs))
    except RunError as error:
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(1) from None
