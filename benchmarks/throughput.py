"""How fast are encoding, training and scoring? A simulated market of the paper's size.

Command:  python -m benchmarks.throughput [--devices N] [--quick] [--out FILE]
Time:     about three minutes on two cores; nothing else should run meanwhile
Prints:   medians and spread; compile time stands apart; writes JSON with hardware and versions
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hanjax
from benchmarks.machine import describe_machine
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.scoring.scores import score_panel
from hanjax.training.devices import mesh_of
from hanjax.training.fit import fit_panel


def timed(function: Callable[[], object], repeats: int) -> list[float]:
    """Seconds that each call takes."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return seconds


def rates(amount: int, seconds: list[float]) -> dict[str, float]:
    """Median, slowest and fastest rate."""
    return {
        "median": amount / statistics.median(seconds),
        "min": amount / max(seconds),
        "max": amount / min(seconds),
    }


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts, fewer repeats")
    parser.add_argument("--devices", type=int, default=1, help="devices, or cores of a CPU, to train with")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    repeats, mesh = 3 if arguments.quick else 7, mesh_of(arguments.devices)

    market = hanjax.simulate(accounts=250 if arguments.quick else 2516, conversions=0.1 if arguments.quick else 0.034)
    config = hanjax.Config.paper()
    events = len(market.tables.events)
    log = check(market.tables, config.panel)
    encoding = fit_encoding(log, config.panel)
    panel, encoding = make_panel(log, config.panel, encoding)
    figures: dict[str, object] = {"machine": describe_machine(), "events": events, "panel": repr(panel)}
    figures["devices"] = arguments.devices
    figures["check_events_per_second"] = rates(events, timed(lambda: check(market.tables, config.panel), repeats))
    encode = lambda: make_panel(log, config.panel, encoding)
    figures["encode_events_per_second"] = rates(events, timed(encode, repeats))

    sizes = hanjax.Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        max_members=encoding.max_members,
    )
    model = hanjax.network(config.model, sizes)
    rows = np.arange(len(panel.samples))
    training = dataclasses.replace(config.train, epochs=repeats + 1)
    fitted = fit_panel(panel.batch, rows, rows[:0], model, training, mesh=mesh)
    steady = fitted.history[fitted.history["compilations"] == 0]
    samples = round(float((steady["samples_per_second"] * steady["seconds"]).median()))
    figures["train_samples_per_second"] = rates(samples, steady["seconds"].tolist())
    first = fitted.history.iloc[0]
    figures["train_first_epoch_extra_seconds"] = float(first["seconds"] - steady["seconds"].median())
    figures["compilations"] = int(fitted.history["compilations"].sum())

    score = lambda: score_panel(panel, model, fitted.params, positive_weight=training.positive_weight or 1.0)
    started = time.perf_counter()
    score()
    first_score = time.perf_counter() - started
    seconds = timed(score, repeats)
    figures["score_samples_per_second"] = rates(len(panel.samples), seconds)
    figures["score_first_call_extra_seconds"] = first_score - statistics.median(seconds)

    for name, value in figures.items():
        if isinstance(value, dict) and "median" in value:
            print(f"{name:<34}{value['median']:>12,.0f}   ({value['min']:,.0f} to {value['max']:,.0f})")
        else:
            print(f"{name:<34}{value:>12.2f}" if isinstance(value, float) else f"{name:<34}{value}")
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
