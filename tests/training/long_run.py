"""A training to be killed: ``python -m tests.training.long_run FOLDER EPOCHS`` writes checkpoints into the folder."""

import sys

import numpy as np

from hanjax.config import TrainConfig
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.fit import Fitted, fit_panel
from tests.training.standin import Linear, panel


def train(folder: str, epochs: int) -> Fitted:
    """Trains, or goes on training, with checkpoints in the folder."""
    config = TrainConfig(epochs=epochs, batch_size=16, learning_rate=0.01, positive_weight=3.0, patience=None)
    rows = np.arange(120)
    with Checkpoints(folder) as checkpoints:
        return fit_panel(
            panel(120, signal=1.0), rows[:80], rows[80:], Linear(), config, checkpoints=checkpoints, resume=True
        )


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]))
