"""How good are the aggregations alone, as multiple-instance learners, beside published figures?

Command:  HANJAX_DATA=<folder> python -m benchmarks.mil [--set musk1|fox|musk2] [--aggregators NAME ...] [--quick]
Time:     a few minutes for each data set and aggregation on two cores (all folds train side by side)
Expects:  $HANJAX_DATA/mil with <set>.csv.gz (bag_id, label, instance_id, f0, ...) and <set>_folds.csv (five repeats of
          stratified 10-fold); it is not part of this project. Without it the script says so and ends.
Prints:   test accuracy of each aggregation, mean over the 50 folds and its standard error; writes JSON.

Settings: those of Ilse, Tomczak and Welling 2018 (appendix) for Musk: layers of 256, 128 and 64 ReLUs with dropout 0.5
before the aggregation, attention of 64, Adam (0.9, 0.999) at 5e-4, L2 penalty 5e-3, 100 epochs. The last epoch counts,
or with `--choose-epoch`, as theirs, the one with the lowest error plus loss on a tenth of the bags, kept from training.
Unlike theirs, a step takes eight bags instead of one, and of a bag of more than `--instances` it sees that many in a
row from a random place on (a test bag is always whole). Features are standardized with the training bags' mean and
deviation.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from flax import nnx
from jax import Array

from benchmarks.machine import describe_machine
from hanjax.nn.aggregators import AGGREGATORS, Aggregated
from hanjax.nn.head import Head
from hanjax.nn.pooling import AttentionPool

PUBLISHED = {
    "musk1": {"attention": 0.892, "gated_attention": 0.900},
    "fox": {"attention": 0.615, "gated_attention": 0.603},
    "musk2": {"attention": 0.858, "gated_attention": 0.863},
}
"""Accuracy in Table 1 of Ilse et al., each +- about .04 by their count."""
WIDTHS, DROPOUT, RATE, DECAY, BATCH = (256, 128, 64), 0.5, 5e-4, 5e-3, 8
NAMES = ["attention", "gated_attention", "set_transformer", "maximum", "at_least_one", "mean_probability"]


class Attention(nnx.Module):
    """Attention over the instances themselves, by the calling convention of the aggregations."""

    takes_logits: ClassVar[bool] = False

    def __init__(self, width: int, *, horizons: int, numbers: int, max_members: int, initial_logit: float, rngs):
        """Draws the parameters."""
        self.pool = AttentionPool(width, rngs=rngs)
        self.head = Head(width, numbers=numbers, horizons=horizons, hidden=None, initial_logit=initial_logit, rngs=rngs)

    def __call__(self, people: Array, *, where: Array, account: Array) -> Aggregated:
        """Aggregates a bag."""
        group, share = self.pool(people, where=where)
        return Aggregated(self.head(group, account), share)

    @staticmethod
    def member_logit(initial_logit: float) -> float:
        """Not asked for."""
        return 0.0


class Learner(nnx.Module):
    """Layers over each instance, then an aggregation."""

    def __init__(self, name: str, features: int, max_members: int, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        kind = Attention if name == "attention" else AGGREGATORS[name]
        first, second, third = WIDTHS
        self.first = nnx.Linear(features, first, rngs=rngs)
        self.second = nnx.Linear(first, second, rngs=rngs)
        self.third = nnx.Linear(second, third, rngs=rngs)
        start = nnx.initializers.constant(kind.member_logit(0.0))
        self.logit = nnx.Linear(third, 1, bias_init=start, rngs=rngs) if kind.takes_logits else None
        width = 1 if kind.takes_logits else third
        self.aggregate = kind(width, horizons=1, numbers=0, max_members=max_members, initial_logit=0.0, rngs=rngs)

    def __call__(self, rows: Array, places: Array, where: Array, key: Array | None) -> Array:
        """Log-odds ``[b]`` of bags, whose instances are the ``places [b, k]`` of ``rows [n, f]``."""
        for i, layer in enumerate((self.first, self.second, self.third)):
            rows = jax.nn.relu(layer(rows))
            if key is not None:
                kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - DROPOUT, rows.shape)
                rows = jnp.where(kept, rows / (1 - DROPOUT), 0.0)
        if self.logit is not None:
            rows = self.logit(rows)
        none = jnp.zeros(0)
        return jax.vmap(lambda people, where: self.aggregate(people, where=where, account=none).logit[0])(
            rows[places], where
        )


class Bags(NamedTuple):
    """A data set: instances sorted by bag, and an empty bag at the end."""

    features: np.ndarray  # [n, f]
    first: np.ndarray  # [bags + 1]
    size: np.ndarray  # [bags + 1]
    label: np.ndarray  # [bags + 1]
    folds: np.ndarray  # [bags, repeats]


def read(folder: Path, name: str) -> Bags:
    """Reads a data set and its folds."""
    table = pd.read_csv(folder / f"{name}.csv.gz").sort_values(["bag_id", "instance_id"])
    folds = pd.read_csv(folder / f"{name}_folds.csv").set_index("bag_id")
    bags = table.groupby("bag_id")
    size = np.append(bags.size().to_numpy(), 0)
    features = table.filter(regex=r"^f\d+$").to_numpy(np.float32)
    label = np.append(bags["label"].first().to_numpy(np.float32), 0)
    return Bags(features, np.append(0, np.cumsum(size[:-1])), size, label, folds.loc[list(bags.groups)].to_numpy())


def train_and_test(
    name: str, bags: Bags, tests: np.ndarray, validation: np.ndarray, *, epochs: int, instances: int, seed: int
) -> np.ndarray:
    """Log-odds ``[r, bags]`` of learners trained on all bags but ``tests [r, bags]`` and ``validation [r, bags]``."""
    rng = np.random.default_rng(seed)
    empty = len(bags.label) - 1
    size = np.minimum(bags.size, instances)
    trains = ~(tests | validation)
    steps = -(-int(trains.sum(1).max()) // BATCH)
    held_out = np.full((len(tests), max(1, validation.sum(1).max())), empty)
    order = np.full((len(tests), epochs, steps * BATCH), empty)
    center, scale = np.zeros((2, len(tests), 1, bags.features.shape[1]), np.float32)
    for r, chosen in enumerate(trains):
        train = np.flatnonzero(chosen)
        held_out[r, : validation[r].sum()] = np.flatnonzero(validation[r])
        for epoch in range(epochs):
            order[r, epoch, : len(train)] = rng.permutation(train)
            order[r, epoch] = rng.permutation(order[r, epoch])  # so that batches are equally full
        rows = bags.features[np.repeat(chosen, bags.size[:-1])]
        center[r], scale[r] = rows.mean(0), np.maximum(rows.std(0), 1e-6)
    order = order.reshape(len(tests), epochs, steps, BATCH)
    capacity, widest = int(size[order].sum(-1).max()), int(size.max())
    held_out_capacity = max(1, int(size[held_out].sum(-1).max()))
    features, first, whole, small, label = map(jnp.asarray, (bags.features, bags.first, bags.size, size, bags.label))

    def build(key: Array) -> Learner:
        return Learner(name, bags.features.shape[1], int(bags.size.max()), rngs=nnx.Rngs(params=key))

    structure, _ = nnx.split(nnx.eval_shape(lambda: build(jax.random.key(0))), nnx.Param)
    optimizer = optax.chain(optax.add_decayed_weights(DECAY), optax.adam(RATE))

    def bags_of(params: Any, chosen: Array, capacity: int, center: Array, scale: Array, key: Array | None) -> Array:
        """Log-odds of the chosen bags, whose instances lie one after the other in a list of fixed length."""
        where_to, dropout = (jax.random.key(0), None) if key is None else jax.random.split(key)
        ends = jnp.cumsum(small[chosen])
        starts = ends - small[chosen]
        row = jnp.arange(capacity)
        slot = jnp.minimum(jnp.searchsorted(ends, row, side="right"), len(chosen) - 1)
        offset = jax.random.randint(where_to, chosen.shape, 0, 1 << 20) * (whole[chosen] > instances)
        within = (row - starts[slot] + offset[slot]) % jnp.maximum(whole[chosen][slot], 1)
        rows = (features[first[chosen][slot] + within] - center) / scale
        place = jnp.arange(widest)
        where = place < small[chosen][:, None]
        return nnx.merge(structure, params)(rows, jnp.where(where, starts[:, None] + place, 0), where, dropout)

    def mean(values: Array, chosen: Array) -> Array:
        return jnp.where(chosen < empty, values, 0.0).sum() / jnp.maximum((chosen < empty).sum(), 1)

    def loss(params: Any, chosen: Array, key: Array, center: Array, scale: Array) -> Array:
        logit = bags_of(params, chosen, capacity, center, scale, key)
        return mean(optax.sigmoid_binary_cross_entropy(logit, label[chosen]), chosen)

    def train(key: Array, order: Array, held_out: Array, center: Array, scale: Array) -> Any:
        params = nnx.to_pure_dict(nnx.split(build(key), nnx.Param)[1])

        def step(state: tuple, inputs: tuple) -> tuple:
            (params, moments), (chosen, i) = state, inputs
            slope = jax.grad(loss)(params, chosen, jax.random.fold_in(key, i), center, scale)
            change, moments = optimizer.update(slope, moments, params)
            return (optax.apply_updates(params, change), moments), None

        def epoch(state: tuple, inputs: tuple) -> tuple:
            *state, best, lowest = state
            state, _ = jax.lax.scan(step, tuple(state), inputs)
            logit = bags_of(state[0], held_out, held_out_capacity, center, scale, None)
            wrong = (logit > 0) != (label[held_out] > 0)
            value = mean(optax.sigmoid_binary_cross_entropy(logit, label[held_out]) + wrong, held_out)
            better = value <= lowest  # without bags held out it is always 0, and the last epoch counts
            best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state[0], best)
            return (*state, best, jnp.where(better, value, lowest)), None

        numbers = jnp.arange(order.shape[0] * order.shape[1]).reshape(order.shape[:2])
        return jax.lax.scan(epoch, (params, optimizer.init(params), params, jnp.inf), (order, numbers))[0][2]

    def score(inputs: tuple) -> Array:
        params, center, scale = inputs
        place = jnp.arange(int(bags.size.max()))
        where = place < whole[:empty, None]
        places = jnp.where(where, first[:empty, None] + place, 0)
        return nnx.merge(structure, params)((features - center) / scale, places, where, None)

    @jax.jit
    def everything(keys: Array, order: Array, held_out: Array, center: Array, scale: Array) -> Array:
        return jax.lax.map(score, (jax.vmap(train)(keys, order, held_out, center, scale), center, scale))

    keys = jax.random.split(jax.random.key(seed), len(tests))
    return np.asarray(everything(keys, order, held_out, center, scale))


def main() -> None:
    """Trains and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HANJAX_DATA", ""), help="folder that holds mil")
    parser.add_argument("--set", choices=list(PUBLISHED), default="musk1")
    parser.add_argument("--aggregators", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--repeats", type=int, default=5, help="of the ten folds, at most five")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--instances", type=int, default=16, help="at most so many of a training bag enter a step")
    parser.add_argument("--choose-epoch", action="store_true", help="on a tenth of the bags, not trained on")
    parser.add_argument("--quick", action="store_true", help="one repeat, three epochs")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    folder = Path(arguments.data) / "mil"
    if not (folder / f"{arguments.set}.csv.gz").exists():
        print(f"skipped: {folder} is not there; set HANJAX_DATA to the folder that holds mil.")
        return

    epochs, repeats = (3, 1) if arguments.quick else (arguments.epochs, arguments.repeats)
    bags = read(folder, arguments.set)
    tests = np.array([column == fold for column in bags.folds.T[:repeats] for fold in np.unique(column)])
    validation = np.zeros_like(tests)
    if arguments.choose_epoch:  # on the fold that is next to the test fold in the same repeat
        validation = np.concatenate([np.roll(rows, -1, axis=0) for rows in np.split(tests, repeats)])
    settings = {"set": arguments.set, "epochs": epochs, "folds": len(tests), "instances": arguments.instances}
    settings["choose_epoch"] = arguments.choose_epoch
    rows = []
    for name in arguments.aggregators:
        started = time.perf_counter()
        logit = train_and_test(name, bags, tests, validation, epochs=epochs, instances=arguments.instances, seed=0)
        right = (logit > 0) == (bags.label[:-1] > 0)
        accuracy = np.array([right[r, test].mean() for r, test in enumerate(tests)])
        rows.append(
            {
                "aggregator": name,
                "accuracy": accuracy.mean(),
                "standard_error": accuracy.std(ddof=1) / np.sqrt(len(accuracy)),
                "training_accuracy": np.mean([right[r, ~(tests | validation)[r]].mean() for r in range(len(tests))]),
                "published": PUBLISHED[arguments.set].get(name),
                "seconds": time.perf_counter() - started,
            }
        )
        print(pd.DataFrame(rows).round(3).to_string(index=False), flush=True)
        if arguments.out:
            said = {"machine": describe_machine(), **settings, "rows": rows}
            arguments.out.write_text(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
