"""How good are the aggregations alone, as multiple-instance learners, beside published figures?

Command:  HANJAX_DATA=<folder> python -m benchmarks.mil [--set musk1|fox|musk2] [--aggregators NAME ...]
          [--protocol ilse|wang] [--batch N] [--choose-epoch | --choose-settings] [--quick]
Time:     some minutes for each data set, aggregation and setting on two cores
Expects:  $HANJAX_DATA/mil with <set>.csv.gz (bag_id, label, instance_id, f0, ...) and <set>_folds.csv (five repeats of
          stratified 10-fold); it is not part of this project. Without it the script says so and ends.
Prints:   test accuracy of each aggregation, mean over the 50 folds and its standard error, and the accuracy on training
          bags after the last epoch; writes JSON.

Layers of 256, 128 and 64 ReLUs come before the aggregation; attention has 64 units. `--protocol` says how they learn:
- `ilse`, after Ilse, Tomczak and Welling 2018 (appendix) for Musk: dropout 0.5 after each layer, Adam (0.9, 0.999) at
  5e-4, L2 penalty 5e-3, 100 epochs. By default the last epoch counts and a step takes eight bags; theirs takes one, and
  the epoch with the lowest error plus loss on bags kept from training counts.
- `wang`, after the code that Wang et al. 2018 (Revisiting multiple instance neural networks) published, whose benchmark
  Ilse et al. follow: dropout 0.5 before the aggregation alone, Nesterov's momentum 0.9 at a rate of 5e-4 / (1 + 1e-4
  steps), 5e-3 times the squared kernels as a penalty, steps of one whole bag, 50 epochs of which the last counts, the
  uniform initialization of Glorot and Bengio for the layers, and features standardized over all bags, those of the test
  among them (never their labels). They have no attention; it is that of `ilse`. Their folds are not stratified.
Beside these:
- `--batch 1` takes steps of one bag.
- `--choose-epoch` keeps the fold after the test fold from training and takes the epoch that is best on it; a learner
  that has not become better for PATIENCE epochs stops.
- `--choose-settings` also chooses among SETTINGS, for each test fold apart, the one with the lowest sum of two figures:
  error plus loss on the fold after the test fold, when both are kept from training, and on the fold before it,
  likewise. No test bag has a say in it. How each of the settings would have done is written beside it.
Of a training bag of more than `--instances` a step sees that many in a row from a random place on; other bags are
whole. Features are standardized with the training bags' mean and deviation, but for `wang`; those that never vary are
left out.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from flax import nnx
from jax import Array

from benchmarks.machine import describe_machine
from benchmarks.mil_protocols import PROTOCOLS, SETTINGS, Protocol, Settings, optimizer_of
from hanjax.nn.aggregation import Aggregated, GroupSpec, OfRepresentations
from hanjax.nn.aggregators import AGGREGATORS
from hanjax.nn.head import Head
from hanjax.nn.pooling import AttentionPool

PUBLISHED = {
    "musk1": {"attention": 0.892, "gated_attention": 0.900},
    "fox": {"attention": 0.615, "gated_attention": 0.603},
    "musk2": {"attention": 0.858, "gated_attention": 0.863},
}
"""Accuracy in Table 1 of Ilse et al., each +- about .04 by their count."""
WIDTHS, PATIENCE = (256, 128, 64), 10
NAMES = ["attention", "gated_attention", "set_transformer", "maximum", "at_least_one", "mean_probability"]


class Attention(OfRepresentations):
    """Attention over the instances themselves, by the calling convention of the aggregations."""

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.pool = AttentionPool(width, rngs=rngs)
        self.head = Head(width, spec, rngs=rngs)

    def __call__(self, people: Array, *, where: Array, account: Array) -> Aggregated:
        """Aggregates a bag."""
        group, share = self.pool(people, where=where)
        return Aggregated(self.head(group, account), share)


class Learner(nnx.Module):
    """Layers over each instance, then an aggregation."""

    def __init__(self, name: str, features: int, max_members: int, protocol: Protocol, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.dropout_from = protocol.dropout_from
        kind = Attention if name == "attention" else AGGREGATORS[name]
        first, second, third = WIDTHS
        self.first = nnx.Linear(features, first, kernel_init=protocol.init, rngs=rngs)
        self.second = nnx.Linear(first, second, kernel_init=protocol.init, rngs=rngs)
        self.third = nnx.Linear(second, third, kernel_init=protocol.init, rngs=rngs)
        start = nnx.initializers.constant(kind.member_logit(0.0))
        self.logit = nnx.Linear(third, 1, bias_init=start, rngs=rngs) if kind.takes_logits else None
        width = 1 if kind.takes_logits else third
        self.aggregate = kind(width, GroupSpec(max_members=max_members), rngs=rngs)

    def __call__(self, rows: Array, places: Array, where: Array, key: Array, dropout: Any) -> Array:
        """Log-odds ``[b]`` of bags, whose instances are the ``places [b, k]`` of ``rows [n, f]``."""
        for i, layer in enumerate((self.first, self.second, self.third)):
            rows = jax.nn.relu(layer(rows))
            if dropout is not None and i >= self.dropout_from:
                kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - dropout, rows.shape)
                rows = jnp.where(kept, rows / (1 - dropout), 0.0)
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
    features = features[:, features.std(0) > 0]
    label = np.append(bags["label"].first().to_numpy(np.float32), 0)
    return Bags(features, np.append(0, np.cumsum(size[:-1])), size, label, folds.loc[list(bags.groups)].to_numpy())


def criterion(logit: Any, label: Any, weight: Any, xp: Any = np) -> Any:
    """Error plus loss of the log-odds ``[..., bags]``, mean of the bags by their ``weight [..., bags]``."""
    loss = xp.logaddexp(0.0, logit) - label * logit
    return ((loss + ((logit > 0) != (label > 0))) * weight).sum(-1) / xp.maximum(weight.sum(-1), 1)


class Trained(NamedTuple):
    """What learners say of bags."""

    final: np.ndarray  # [r, bags] log-odds after the last epoch
    seen: np.ndarray  # [r, epochs, bags] after each epoch, of bags that were held out; NaN for others and once stopped


def trainer(
    name: str,
    bags: Bags,
    tests: np.ndarray,
    validation: np.ndarray,
    protocol: Protocol,
    *,
    epochs: int,
    patience: int,
    batch: int,
    instances: int,
) -> Callable[[Settings], Trained]:
    """How to train learners, one for each row, on all bags but ``tests [r, bags]`` and ``validation [r, bags]``.

    A learner stops when neither kind's error plus loss has become lower for ``patience`` epochs.
    """
    rng = np.random.default_rng(0)
    held_out = tests | validation
    empty = len(bags.label) - 1
    limited = np.minimum(bags.size, instances)
    steps = -(-int((~held_out).sum(1).max()) // batch)
    watched = np.full((len(held_out), held_out.sum(1).max()), empty)
    order = np.full((len(held_out), epochs, steps * batch), empty)
    center, scale = np.zeros((2, len(held_out), 1, bags.features.shape[1]), np.float32)
    for r, out in enumerate(held_out):
        train = np.flatnonzero(~out)
        watched[r, : out.sum()] = np.flatnonzero(out)
        for epoch in range(epochs):
            order[r, epoch, : len(train)] = rng.permutation(train)
            order[r, epoch] = rng.permutation(order[r, epoch])  # so that batches are equally full
        rows = bags.features if protocol.all_bags else bags.features[np.repeat(~out, bags.size[:-1])]
        center[r], deviation = rows.mean(0), rows.std(0)
        scale[r] = np.where(deviation > 1e-6, deviation, 1.0)  # a test bag may have what no training bag has
    order = order.reshape(len(held_out), epochs, steps, batch)
    most, most_watched = int(limited[order].sum(-1).max()), int(bags.size[watched].sum(-1).max())
    kinds = np.stack(
        [np.take_along_axis(np.pad(kind, ((0, 0), (0, 1))), watched, 1) for kind in (tests, validation)], 1
    )
    features, first, whole, small, label = map(jnp.asarray, (bags.features, bags.first, bags.size, limited, bags.label))

    def build(key: Array) -> Learner:
        return Learner(name, bags.features.shape[1], int(bags.size.max()), protocol, rngs=nnx.Rngs(params=key))

    structure, _ = nnx.split(nnx.eval_shape(lambda: build(jax.random.key(0))), nnx.Param)

    def bags_of(params: Any, chosen: Array, size: Array, capacity: int, normal: Any, key: Array, dropout: Any) -> Array:
        """Log-odds of the chosen bags, whose instances lie one after the other in a list of fixed length."""
        ends = jnp.cumsum(size[chosen])
        starts = ends - size[chosen]
        row = jnp.arange(capacity)
        slot = jnp.minimum(jnp.searchsorted(ends, row, side="right"), len(chosen) - 1)
        offset = jax.random.randint(key, chosen.shape, 0, 1 << 20) * (whole[chosen] > size[chosen])
        within = (row - starts[slot] + offset[slot]) % jnp.maximum(whole[chosen][slot], 1)
        rows = (features[first[chosen][slot] + within] - normal[0]) / normal[1]
        place = jnp.arange(min(capacity, int(bags.size.max())))
        where = place < size[chosen][:, None]
        places = jnp.where(where, starts[:, None] + place, 0)
        return nnx.merge(structure, params)(rows, places, where, key, dropout)

    def loss(params: Any, chosen: Array, key: Array, normal: Any, dropout: Any) -> Array:
        logit = bags_of(params, chosen, small, most, normal, key, dropout)
        each = jnp.where(chosen < empty, optax.sigmoid_binary_cross_entropy(logit, label[chosen]), 0.0)
        return each.sum() / jnp.maximum((chosen < empty).sum(), 1)

    @partial(jax.jit, static_argnums=0)
    def run(method: str, rate: Any, decay: Any, dropout: Any, inputs: Any) -> Any:
        optimizer = optimizer_of(method, rate, decay)

        def train(inputs: tuple) -> tuple[Array, Array]:
            number, order, watched, kinds, *normal = inputs
            params = nnx.to_pure_dict(nnx.split(build(jax.random.fold_in(jax.random.key(0), number)), nnx.Param)[1])
            keys = jax.random.fold_in(jax.random.key(0, impl="rbg"), number)  # many cheap random numbers for dropout

            def step(state: tuple, inputs: tuple) -> tuple:
                (params, moments), (chosen, i) = state, inputs
                slope = jax.grad(loss)(params, chosen, jax.random.fold_in(keys, i), normal, dropout)
                change, moments = optimizer.update(slope, moments, params)
                return (optax.apply_updates(params, change), moments), None

            def epoch(state: tuple) -> tuple:
                i, learner, seen, lowest, last = state
                learner, _ = jax.lax.scan(step, learner, (order[i], i * steps + jnp.arange(steps)))
                logit = bags_of(learner[0], watched, whole, most_watched, normal, keys, None)
                value = criterion(logit, label[watched], kinds, jnp)
                return (
                    i + 1,
                    learner,
                    seen.at[i].set(logit),
                    jnp.minimum(value, lowest),
                    jnp.where(value < lowest, i, last),
                )

            def goes_on(state: tuple) -> Array:
                return (state[0] < epochs) & (state[0] - 1 - state[4].max() < patience)

            seen = jnp.full((epochs, len(watched)), jnp.nan)
            state = (0, (params, optimizer.init(params)), seen, jnp.full(2, jnp.inf), jnp.zeros(2, jnp.int32))
            _, (params, _), seen, *_ = jax.lax.while_loop(goes_on, epoch, state)
            return bags_of(params, jnp.arange(empty), whole, len(bags.features), normal, keys, None), seen

        return jax.lax.map(train, inputs)

    def trained(settings: Settings) -> Trained:
        inputs = (np.arange(len(held_out)), order, watched, kinds, center, scale)
        final, logit = run(settings.method, settings.rate, settings.decay, settings.dropout, inputs)
        seen = np.full((len(held_out), epochs, empty + 1), np.nan, np.float32)
        np.put_along_axis(seen, np.broadcast_to(watched[:, None], logit.shape), np.asarray(logit), 2)
        return Trained(np.asarray(final), seen[:, :, :empty])

    return trained


def choose(runs: list[Trained], bags: Bags, tests: np.ndarray, validation: np.ndarray, repeats: int) -> tuple[Any, Any]:
    """For each row the settings ``[r]`` and, for each of the settings, the epoch ``[s, r]``; see the top."""

    def curve(run: Trained, kind: np.ndarray) -> np.ndarray:
        logit, number = np.where(kind[:, None], run.seen, 0.0), np.arange(run.seen.shape[1])
        value = criterion(np.nan_to_num(logit), bags.label[:-1], kind[:, None])
        value = np.where(np.isnan(logit).any(2), np.inf, value)
        better = np.diff(np.minimum.accumulate(value, 1), axis=1, prepend=np.inf) < 0
        waited = number - np.maximum.accumulate(np.where(better, number, 0), 1)
        return np.where(np.maximum.accumulate(waited >= PATIENCE, 1), np.inf, value)  # the other kind may have gone on

    after = np.stack([curve(run, validation) for run in runs])  # [s, r, epochs]
    before = np.stack([curve(run, tests).min(1) for run in runs]).reshape(len(runs), repeats, -1)
    value = after.min(2) + np.roll(before, 1, axis=2).reshape(len(runs), -1)
    return value.argmin(0), after.argmin(2)


def main() -> None:
    """Trains and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HANJAX_DATA", ""), help="folder that holds mil")
    parser.add_argument("--set", choices=list(PUBLISHED), default="musk1")
    parser.add_argument("--aggregators", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--repeats", type=int, default=5, help="of the ten folds, at most five")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="ilse", help="how learners learn")
    parser.add_argument("--epochs", type=int, help="instead of the protocol's")
    parser.add_argument("--batch", type=int, help="bags in a step, instead of the protocol's")
    parser.add_argument("--instances", type=int, help="of a training bag in a step, at most; the protocol's by default")
    parser.add_argument("--choose-epoch", action="store_true", help="on the next fold, not trained on")
    parser.add_argument(
        "--choose-settings", action="store_true", help="and the epoch, on the folds beside the test fold"
    )
    parser.add_argument("--quick", action="store_true", help="one repeat, three epochs")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    folder = Path(arguments.data) / "mil"
    if not (folder / f"{arguments.set}.csv.gz").exists():
        print(f"skipped: {folder} is not there; set HANJAX_DATA to the folder that holds mil.")
        return

    protocol = PROTOCOLS[arguments.protocol]
    batch, instances = arguments.batch or protocol.batch, arguments.instances or protocol.instances
    repeats = 1 if arguments.quick else arguments.repeats
    epochs = 3 if arguments.quick else arguments.epochs or protocol.epochs
    bags = read(folder, arguments.set)
    tests = np.array([column == fold for column in bags.folds.T[:repeats] for fold in np.unique(column)])
    validation = np.zeros_like(tests)
    chosen = arguments.choose_epoch or arguments.choose_settings
    if chosen:  # on the fold that is next to the test fold in the same repeat
        validation = np.concatenate([np.roll(rows, -1, axis=0) for rows in np.split(tests, repeats)])
    said = {"machine": describe_machine(), "set": arguments.set, "epochs": epochs, "folds": len(tests)}
    said |= {"protocol": arguments.protocol, "batch": batch, "instances": instances, "rows": []}
    said |= {"choose_epoch": chosen, "choose_settings": arguments.choose_settings}
    tried = SETTINGS if arguments.choose_settings else [protocol.settings]
    folds = np.arange(len(tests))
    for name in arguments.aggregators:
        started = time.perf_counter()
        train = trainer(
            name,
            bags,
            tests,
            validation,
            protocol,
            epochs=epochs,
            patience=PATIENCE if chosen else epochs,
            batch=batch,
            instances=instances,
        )
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = list(pool.map(train, tried))
        best, epoch = np.zeros(len(tests), int), np.full((len(tried), len(tests)), epochs - 1)
        if chosen:
            best, epoch = choose(runs, bags, tests, validation, repeats)
        right = np.stack([run.seen[folds, at] > 0 for run, at in zip(runs, epoch, strict=True)]) == (
            bags.label[:-1] > 0
        )
        each = (right * tests).sum(2) / tests.sum(1)  # [s, r]
        trains = ~(tests | validation)
        known = np.stack([((run.final > 0) == (bags.label[:-1] > 0)) * trains for run in runs]).sum(2) / trains.sum(1)
        accuracy = each[best, folds]
        row = {
            "aggregator": name,
            "accuracy": accuracy.mean(),
            "standard_error": accuracy.std(ddof=1) / np.sqrt(len(accuracy)),
            "training_accuracy": known[best, folds].mean(),
            "published": PUBLISHED[arguments.set].get(name),
            "seconds": time.perf_counter() - started,
        }
        row["settings"] = [
            {
                **settings._asdict(),
                "folds": int((best == s).sum()),
                "accuracy": each[s].mean(),
                "standard_error": each[s].std(ddof=1) / np.sqrt(len(tests)),
                "epoch": 1 + epoch[s].mean(),
            }
            for s, settings in enumerate(tried)
        ]
        said["rows"].append(row)
        table = pd.DataFrame(said["rows"]).drop(columns="settings")
        print(
            table.round(3).to_string(index=False),
            pd.DataFrame(row["settings"]).round({"accuracy": 3, "standard_error": 3}),
            sep="\n",
            flush=True,
        )
        if arguments.out:
            arguments.out.write_text(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
