"""How much arithmetic the paper's network needs, and how much a machine can do."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hanjax.config import ModelConfig
from hanjax.data.batches import Plan
from hanjax.nn import Sizes
from hanjax.types import Batch


class Cells(NamedTuple):
    """What is there to be computed, equal rows once and padding not at all.

    Args:
        activities: real activities in the distinct sequences.
        periods: active periods in the distinct windows.
        members: members of the samples, active or quiet.
        samples: the samples.
    """

    activities: int
    periods: int
    members: int
    samples: int


def cells_of(batch: Batch, plan: Plan) -> Cells:
    """Counts the cells of all steps of a plan, each step by itself.

    Args:
        batch: the panel's batch, as NumPy arrays.
        plan: ``[T, ...]`` the steps.
    """
    return Cells(
        activities=int(np.sum(batch.activity_mask.sum(1)[plan.sequences])),
        periods=int(np.sum(batch.period_mask.sum(1)[plan.windows])),
        members=int(np.sum(batch.member_mask.sum(1)[plan.samples][plan.mask])),
        samples=int(plan.mask.sum()),
    )


def forward_flops(cells: Cells, config: ModelConfig, sizes: Sizes) -> int:
    """Multiplications and additions of the forward pass, counting matrix products only.

    A product of a vector with an [m, n] matrix is 2 m n. Left out, so that a share of the machine's peak is rather too
    low than too high: what an activity's one-hot vector picks from the input kernel, gates, biases and softmaxes.

    Args:
        cells: what is there.
        config: the settings of the paper's network: GRU and attention at all three levels.
        sizes: what the data say of its size.
    """
    activity, window, member = config.activity_width, config.window_width, config.member_width
    joined = window + config.category_width * len(sizes.levels)

    def gru(features: int, width: int) -> int:
        return 2 * (features + width) * 3 * width

    def attention(width: int) -> int:
        return 2 * width * width + 2 * width + 2 * width  # keys, their products with the query, the weighted sum

    return (
        cells.activities * (gru(0, activity) + attention(activity))
        + cells.periods * (gru(activity, window) + attention(window))
        + cells.members * (2 * joined * member + gru(member, member) + attention(member))
        + cells.samples * 2 * (member + sizes.numbers) * sizes.horizons
    )


def training_flops(cells: Cells, config: ModelConfig, sizes: Sizes) -> int:
    """Those of forward and backward pass: three times the forward pass, as each product has two in its gradient."""
    return 3 * forward_flops(cells, config, sizes)


def matmul_peak(sizes: tuple[int, ...] = (1024, 2048, 4096), repeats: int = 5) -> float:
    """The most float32 operations a second of any large square matrix product, at JAX's default precision.

    Args:
        sizes: of the matrices.
        repeats: how often each is tried, after a first time that compiles.
    """
    product, best = jax.jit(jnp.matmul), 0.0
    for n in sizes:
        matrix = jnp.ones((n, n), jnp.float32)
        product(matrix, matrix).block_until_ready()
        for _ in range(repeats):
            started = time.perf_counter()
            product(matrix, matrix).block_until_ready()
            best = max(best, 2 * n**3 / (time.perf_counter() - started))
    return best
