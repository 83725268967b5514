"""How fast does hanjax learn and score beside PyTorch? The same network, on a simulated market of the paper's size.

Command:  python -m benchmarks.peers_training [--models N] [--quick] [--out FILE]      (needs PyTorch)
Time:     about a quarter of an hour on two cores; nothing else should run meanwhile
Prints:   medians and spread of training and scoring, their ratios, and the share of the machine's arithmetic that
          hanjax's training reaches; with --models also training of N networks side by side, against as many in turn;
          writes JSON with hardware and versions

All take turns, repetition by repetition, so that whatever disturbs the machine disturbs each of them. hanjax trains
whole epochs, with planning; the others a number of steps on the same samples, from data that lie ready as tensors
(PyTorch's minibatches are taken by index, which counts; those of hanjax's dense tensors are made beforehand). Nothing
is timed that compiles. PyTorch and JAX both run on the GPU if both can; else both on the CPU, where each peer has all
threads or only one, whichever was faster for it at warming up: on a busy machine its threads wait for each other. There
hanjax trains with a device for each core.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import torch
from jax.sharding import Mesh

import hanjax
from benchmarks.arithmetic import cells_of, matmul_peak, training_flops
from benchmarks.machine import describe_machine
from benchmarks.peers.decode import Dense, decode
from benchmarks.peers.learning import learner
from benchmarks.peers.model import Peer
from benchmarks.peers.packed import Packed, PackedData
from benchmarks.peers.padded import Padded, PaddedData
from benchmarks.peers.parameters import load_params
from benchmarks.throughput import rates
from hanjax.config import Config
from hanjax.data.batches import plan_epoch
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.nn import Network
from hanjax.nn.functional import Params
from hanjax.scoring.scores import score_panel
from hanjax.training.devices import mesh_of
from hanjax.training.fit import Fitted, fit_panel
from hanjax.training.losses import cross_entropy_loss
from hanjax.training.population import Member, fit_members
from hanjax.types import Batch, Panel

Contestant = Callable[[], float]
"""Does its work once, and returns how many samples it did a second."""

EVALUATION = {"cpu": 512, "cuda": 8192}
"""Samples that the packed peer scores at a time: what was fastest of a few sizes on a CPU; a GPU has room for more."""


class Task(NamedTuple):
    """What is to be learned, and by which network.

    Args:
        panel: the samples.
        rows: those with a known outcome.
        steps: minibatches of them, for contestants that are too slow for a whole epoch.
        sizes: of the network.
        network: hanjax's.
        params: its first parameters, which all of them start from.
        config: all settings.
        device: where PyTorch computes.
    """

    panel: Panel
    rows: np.ndarray
    steps: list[np.ndarray]
    sizes: hanjax.Sizes
    network: Network
    params: Params
    config: Config
    device: str


class Threaded:
    """A contestant of PyTorch, with as many threads as suit it: all or one.

    Args:
        run: does its work once, and returns its speed.
    """

    def __init__(self, run: Contestant):
        """Tries nothing yet."""
        self.run = run
        self.all_threads = torch.get_num_threads()
        self.tried: dict[int, float] = {}

    @property
    def threads(self) -> int:
        """The number of threads with which it was faster."""
        return max(self.tried, key=lambda number: self.tried[number])

    def __call__(self) -> float:
        """Does its work once; the first time, which warms it up, with either number of threads."""
        if not self.tried:
            self.run()
            for number in sorted({1, self.all_threads}):
                torch.set_num_threads(number)
                self.tried[number] = self.run()
        torch.set_num_threads(self.threads)
        speed = self.run()
        torch.set_num_threads(self.all_threads)
        return speed


def prepare(accounts: int, conversions: float, steps: int) -> Task:
    """Simulates a market, encodes it, and draws the minibatches."""
    config = Config.paper()
    log = check(hanjax.simulate(accounts=accounts, conversions=conversions).tables, config.panel)
    panel, encoding = make_panel(log, config.panel, fit_encoding(log, config.panel))
    sizes = hanjax.Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        max_members=encoding.max_members,
    )
    network = hanjax.network(config.model, sizes)
    rows = np.flatnonzero(panel.batch.label_mask.any(axis=1))
    drawn = np.random.default_rng(0).permutation(rows)[: steps * config.train.batch_size]
    return Task(
        panel=panel,
        rows=rows,
        steps=np.array_split(drawn, max(1, len(drawn) // config.train.batch_size)),
        sizes=sizes,
        network=network,
        params=jax.jit(network.init)(jax.random.key(config.train.seed)),
        config=config,
        device="cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu",
    )


def hanjax_epochs(task: Task, epochs: int, mesh: Mesh | None) -> Contestant:
    """hanjax's own training, planning included; epochs that compile are left out.

    The seed is the same in each repetition, so all shapes occur in the first one, and only that one compiles.
    """
    config = dataclasses.replace(task.config.train, epochs=epochs)

    def train() -> float:
        history = fit_panel(task.panel.batch, task.rows, task.rows[:0], task.network, config, mesh=mesh).history
        steady = history[history["compilations"] == 0]
        return len(task.rows) * len(steady) / steady["seconds"].sum() if len(steady) else float("nan")

    return train


def hanjax_side_by_side(task: Task, epochs: int, models: int, mesh: Mesh | None) -> Contestant:
    """hanjax's training of many networks at once, in samples/s of all together: seeds by learning rates by weights."""
    of_each = range(math.ceil(round(models ** (1 / 3), 6)))
    settings = [
        dataclasses.replace(
            task.config.train, epochs=epochs, seed=seed, learning_rate=0.001 * 2**rate, positive_weight=500.0 * 2**w
        )
        for seed, rate, w in itertools.islice(itertools.product(of_each, repeat=3), models)
    ]

    def train() -> float:
        members = [Member(one) for one in settings]
        fitted = fit_members(task.panel.batch, task.rows, task.rows[:0], task.network, members, mesh=mesh).members
        history = next(one.history for one in fitted if isinstance(one, Fitted))
        steady = history[history["compilations"] == 0]
        return models * len(task.rows) * len(steady) / steady["seconds"].sum() if len(steady) else float("nan")

    return train


def hanjax_dense(task: Task, dense: Dense) -> Contestant:
    """hanjax's network on its own dense tensors: what the tables of distinct rows save."""
    optimizer = optax.adam(task.config.train.learning_rate)

    def loss(params: Params, batch: Batch) -> jax.Array:
        logit = task.network.apply(params, batch).logit
        weight = positive_weight(task.config)
        return cross_entropy_loss(logit, batch.label, positive_weight=weight, where=batch.label_mask)

    @jax.jit
    def step(params: Params, state: optax.OptState, batch: Batch) -> tuple[Params, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    batches = [jax.device_put(Batch.from_dense(**dense.take(rows)._asdict())) for rows in task.steps]

    def train() -> float:
        params, state = task.params, optimizer.init(task.params)
        started = time.perf_counter()
        for batch in batches:
            params, state, value = step(params, state, batch)
        jax.block_until_ready((params, value))
        return sum(map(len, task.steps)) / (time.perf_counter() - started)

    return train


def torch_steps(task: Task, model: Peer, data: PaddedData | PackedData) -> Contestant:
    """Training of a peer; it goes on from repetition to repetition."""
    step = learner(model, task.config.train, positive_weight=positive_weight(task.config))
    minibatches = [torch.from_numpy(rows) for rows in task.steps]

    def train() -> float:
        started = time.perf_counter()
        for rows in minibatches:
            loss = step(data.batch(rows))
        loss.item()  # waits for the device
        return sum(map(len, minibatches)) / (time.perf_counter() - started)

    return Threaded(train)


def torch_scores(task: Task, model: Packed, data: PackedData, *, individuals: bool) -> Contestant:
    """The packed peer's log-odds of every sample, and, if asked for, those of each member alone."""
    chunks = torch.arange(len(task.panel.samples)).split(EVALUATION[task.device])

    def score() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for rows in chunks:
                batch = data.batch(rows)
                for found in model.score(batch) if individuals else (model(batch),):
                    found.cpu()
        return len(task.panel.samples) / (time.perf_counter() - started)

    return Threaded(score)


def hanjax_scores(task: Task) -> Contestant:
    """hanjax's scoring, from the panel to DataFrames of accounts and individuals with probabilities and shares."""

    def score() -> float:
        started = time.perf_counter()
        score_panel(task.panel, task.network, task.params, positive_weight=positive_weight(task.config))
        return len(task.panel.samples) / (time.perf_counter() - started)

    return score


def positive_weight(config: Config) -> float:
    """The weight of a conversion, which the paper's settings state."""
    assert config.train.positive_weight is not None
    return config.train.positive_weight


def contestants(task: Task, epochs: int, models: int, mesh: Mesh | None) -> Iterator[tuple[str, Contestant]]:
    """All of them by name, the packed and the padded peer with hanjax's first parameters."""
    dense = decode(task.panel.batch)
    packed, padded = (kind(task.config.model, task.sizes).to(task.device) for kind in (Packed, Padded))
    for model in (packed, padded):
        load_params(model, task.params)
    scorer = Packed(task.config.model, task.sizes).to(task.device).eval()
    load_params(scorer, task.params)
    packed_data = PackedData(dense, task.device)
    yield "train: hanjax", hanjax_epochs(task, epochs, mesh)
    if mesh is not None:
        yield "train: hanjax on one device", hanjax_epochs(task, epochs, None)
    if models:
        yield "train: hanjax, many side by side", hanjax_side_by_side(task, epochs, models, mesh)
    yield "train: packed PyTorch", torch_steps(task, packed, packed_data)
    yield "train: padded PyTorch", torch_steps(task, padded, PaddedData(dense, task.device))
    yield "train: hanjax on dense tensors", hanjax_dense(task, dense)
    yield "score: hanjax", hanjax_scores(task)
    yield "score: packed PyTorch, accounts only", torch_scores(task, scorer, packed_data, individuals=False)
    yield "score: packed PyTorch", torch_scores(task, scorer, packed_data, individuals=True)


RATIOS = {
    "against packed PyTorch": ("train: hanjax", "train: packed PyTorch"),
    "against padded PyTorch": ("train: hanjax", "train: padded PyTorch"),
    "against hanjax on one device": ("train: hanjax", "train: hanjax on one device"),
    "against hanjax on dense tensors": ("train: hanjax", "train: hanjax on dense tensors"),
    "many side by side, against in turn": ("train: hanjax, many side by side", "train: hanjax"),
    "many, against packed PyTorch in turn": ("train: hanjax, many side by side", "train: packed PyTorch"),
    "many, against padded PyTorch in turn": ("train: hanjax, many side by side", "train: padded PyTorch"),
    "scoring against packed": ("score: hanjax", "score: packed PyTorch"),
    "scoring against packed, accounts only": ("score: hanjax", "score: packed PyTorch, accounts only"),
}
"""What is divided by what; that of the medians is reported, beside the lowest and highest within a repetition."""


def arithmetic(task: Task, speed: float, peak: float) -> dict[str, float]:
    """How much of the machine's peak a training speed is, by what is there to be computed in an epoch."""
    plan = plan_epoch(task.panel.batch, task.rows, batch_size=task.config.train.batch_size, seed=np.zeros(1, np.uint32))
    cells = cells_of(task.panel.batch, plan)
    flops = training_flops(cells, task.config.model, task.sizes)
    steps = len(plan.samples)
    return {
        "steps_of_an_epoch": steps,
        **{f"{name}_of_a_step": count / steps for name, count in cells._asdict().items()},
        "floating_point_operations_of_a_step": flops / steps,
        "matmul_peak_gflops": peak / 1e9,
        "reached_gflops": flops / cells.samples * speed / 1e9,
        "share_of_peak": flops / cells.samples * speed / peak,
    }


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts, fewer steps and repetitions")
    parser.add_argument("--models", type=int, default=0, help="how many to train side by side; 0 for none")
    parser.add_argument("--repeats", type=int, help="repetitions of each (7, or 2 with --quick)")
    parser.add_argument("--steps", type=int, help="steps of all but hanjax in a repetition (10, or 2 with --quick)")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    quick = arguments.quick
    repeats, steps = arguments.repeats or (2 if quick else 7), arguments.steps or (2 if quick else 10)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory on the same device

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    mesh = mesh_of(None) if jax.default_backend() == "cpu" else None
    if mesh is not None and arguments.models % mesh.size:
        parser.error(f"--models: expected a multiple of {mesh.size}, got {arguments.models}")
    task = prepare(250 if quick else 2516, 0.1 if quick else 0.034, steps)
    if task.device == "cuda":
        torch.set_float32_matmul_precision("high")  # as JAX multiplies there by default
    found: dict[str, list[float]] = {}
    peaks, taking_part = [], dict(contestants(task, 2 if quick else 3, arguments.models, mesh))
    for repetition in range(repeats + 1):  # the first one warms up
        peaks.append(matmul_peak())
        for name, run in taking_part.items():
            speed = run()
            if repetition:
                found.setdefault(name, []).append(speed)

    speeds = {name: rates(1, [1 / speed for speed in speeds]) for name, speeds in found.items()}
    ratios = {}
    for name, (ours, theirs) in RATIOS.items():
        if ours not in found or theirs not in found:
            continue
        each = [a / b for a, b in zip(found[ours], found[theirs], strict=True)]
        ratio = statistics.median(found[ours]) / statistics.median(found[theirs])
        ratios[name] = {"median": ratio, "min": min(each), "max": max(each)}
    figures: dict[str, Any] = {
        "machine": {**describe_machine(), "torch": torch.__version__, "torch_threads": torch.get_num_threads()},
        "torch_device": torch.cuda.get_device_name() if task.device == "cuda" else "cpu",
        "panel": repr(task.panel),
        "threads_tried": {name: run.tried for name, run in taking_part.items() if isinstance(run, Threaded)},
        "settings": {
            "batch_size": task.config.train.batch_size,
            "steps": len(task.steps),
            "repeats": repeats,
            "models_side_by_side": arguments.models,
            "devices": 1 if mesh is None else mesh.size,
        },
        "samples_per_second": speeds,
        "repetitions": found,
        "ratios": ratios,
        "arithmetic": arithmetic(task, speeds["train: hanjax"]["median"], max(peaks)),
    }
    report(figures)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


def report(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    for name, value in {**figures["machine"], "torch_device": figures["torch_device"]}.items():
        print(f"{name:<40}{value}")
    print(figures["panel"])
    print("\nsamples/s: median (lowest to highest)")
    for name, value in figures["samples_per_second"].items():
        print(f"{name:<40}{value['median']:>12,.0f}   ({value['min']:,.0f} to {value['max']:,.0f})")
    print("\nsamples/s of PyTorch at warming up, by threads")
    for name, tried in figures["threads_tried"].items():
        print(f"{name:<40}{', '.join(f'{number}: {speed:,.0f}' for number, speed in tried.items()):>12}")
    print("\nhow many times as fast hanjax is: by medians (lowest to highest within a repetition)")
    for name, value in figures["ratios"].items():
        print(f"{name:<40}{value['median']:>12,.1f}   ({value['min']:,.1f} to {value['max']:,.1f})")
    print("\narithmetic of hanjax's training: distinct real cells, three times the forward pass")
    for name, value in figures["arithmetic"].items():
        print(f"{name:<40}{value:>12,.4f}" if name == "share_of_peak" else f"{name:<40}{value:>12,.0f}")


if __name__ == "__main__":
    main()
