"""How much faster are models side by side than in turn? The paper's network on a market of the paper's size.

Command:  python -m benchmarks.population [--models N] [--devices N] [--quick] [--out FILE]
Time:     with eight models five minutes on two CPU cores; nothing else should run meanwhile
Prints:   seconds of a steady epoch of one model, of N in turn, and of N side by side, with their spread, and the
          ratios; compile time stands apart; writes JSON with hardware and versions
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np

import hanjax
from benchmarks.machine import describe_machine
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.reproduction.worlds import sizes_of
from hanjax.training.devices import mesh_of
from hanjax.training.fit import fit_panel
from hanjax.training.population import Member, fit_members


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=8, help="how many")
    parser.add_argument("--devices", type=int, default=1, help="devices, or cores of a CPU, in either case")
    parser.add_argument("--epochs", type=int, default=4, help="of each, the first of which compiles")
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts, two models")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    models, mesh = 2 if arguments.quick else arguments.models, mesh_of(arguments.devices)
    if models % arguments.devices:
        parser.error(f"--models: expected a multiple of {arguments.devices}, got {models}")

    market = hanjax.simulate(accounts=250 if arguments.quick else 2516, conversions=0.1 if arguments.quick else 0.034)
    config = hanjax.Config.paper().replace(epochs=arguments.epochs)
    log = check(market.tables, config.panel)
    panel, encoding = make_panel(log, config.panel, fit_encoding(log, config.panel))
    model, rows = hanjax.network(config.model, sizes_of(panel, encoding)), np.arange(len(panel.samples))
    rates = np.geomspace(0.001, 0.02, models)
    configs = [config.replace(seed=i, learning_rate=float(rate)).train for i, rate in enumerate(rates)]

    alone = [fit_panel(panel.batch, rows, rows[:0], model, one, mesh=mesh).history for one in configs]
    members = [Member(one) for one in configs]
    together = fit_members(panel.batch, rows, rows[:0], model, members, mesh=mesh).members
    histories = [one.history for one in together if not isinstance(one, hanjax.RunError)]
    in_turn = [sum(seconds) for seconds in zip(*(h["seconds"].iloc[1:] for h in alone), strict=True)]
    side_by_side = histories[0]["seconds"].iloc[1:].tolist()
    one, many = statistics.median(alone[0]["seconds"].iloc[1:]), statistics.median(side_by_side)
    figures = {
        "machine": describe_machine(),
        "panel": repr(panel),
        "models": models,
        "devices": arguments.devices,
        "failed": models - len(histories),
        "one_model_seconds": one,
        "in_turn_seconds": in_turn,
        "side_by_side_seconds": side_by_side,
        "side_by_side_first_epoch_extra_seconds": float(histories[0]["seconds"].iloc[0] - many),
        "faster_than_in_turn": statistics.median(in_turn) / many,
        "times_one_model": many / one,
        "compilations": [int(alone[0]["compilations"].sum()), int(histories[0]["compilations"].sum())],
    }
    for name, value in figures.items():
        print(f"{name:<42}{value:.2f}" if isinstance(value, float) else f"{name:<42}{value}")
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
