"""Dense tensors instead of tables: the network as pure functions, trained by a plain JAX loop.

Command:   python examples/dense_batches.py [--quick]
Time:      about ten seconds on two CPU cores
Expected:  the loss falls from about 0.69 towards 0: an account converts when a member ends a week with activity 10
"""

import argparse

import jax
import numpy as np
import optax

from hanjax import Batch, ModelConfig, Sizes, network


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten steps instead of a hundred")
    steps = 10 if parser.parse_args().quick else 100

    random = np.random.default_rng(0)
    activities = random.integers(2, 11, (256, 3, 4, 9))  # accounts, members, periods, activities
    activities[..., 3:] *= random.random((256, 3, 4, 1)) < 0.5  # short weeks: 0 is padding
    last = np.where(activities[..., 8] > 0, activities[..., 8], activities[..., 2])
    label = (last == 10).any(axis=(1, 2)).astype(np.float32)
    batch = Batch.from_dense(activities, members=np.ones((256, 3), bool), label=label)

    model = network(ModelConfig(), Sizes(vocabulary=11))
    params = model.init(jax.random.key(0))
    optimizer = optax.adam(0.01)

    def loss(params: dict, batch: Batch) -> jax.Array:
        return optax.sigmoid_binary_cross_entropy(model.apply(params, batch).logit, batch.label).mean()

    @jax.jit
    def step(params: dict, state: optax.OptState, batch: Batch) -> tuple[dict, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    for number in range(steps + 1):
        params, state, value = step(params, state, batch)
        if number % max(1, steps // 5) == 0:
            print(f"step {number:3d}  loss {value:.4f}")


if __name__ == "__main__":
    main()
