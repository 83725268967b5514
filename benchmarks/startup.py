"""How long until the first step is done, in a new process, without and with JAX's persistent compilation cache?

Command:  python -m benchmarks.startup [--preset paper|recommended] [--quick] [--out FILE]
Time:     one to two minutes on two cores; nothing else should run meanwhile
Prints:   for each of several processes in turn, seconds to import what training needs, of the first epoch beyond a
          later one (tracing, compiling, or reading what was compiled before), and both together; the first process
          finds the cache empty. The data are encoded outside of what is timed. Writes JSON with hardware and versions.

The cache is JAX's own: the variables JAX_COMPILATION_CACHE_DIR and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine


def start(preset: str, accounts: int) -> dict[str, float]:
    """Trains three epochs in this process."""
    started = time.perf_counter()
    import hanjax
    from hanjax.api import prepare
    from hanjax.training.fit import fit_panel

    imported = time.perf_counter() - started
    import dataclasses

    import numpy as np

    config = getattr(hanjax.Config, preset)().replace(epochs=3, validation=0.0, cross_validation=False)
    market = hanjax.simulate(accounts=accounts, conversions=0.034 if accounts > 1000 else 0.1)
    run, panel = prepare(market.tables, config)
    rows = np.arange(len(panel.samples))
    settings = dataclasses.replace(config.train, positive_weight=run.positive_weight)
    seconds = fit_panel(panel.batch, rows, rows[:0], run.network, settings).history["seconds"]
    extra = float(seconds.iloc[0] - seconds.iloc[1:].median())
    return {"import": imported, "first_epoch_extra": extra, "together": imported + extra}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("paper", "recommended"), default="paper")
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts, two processes")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(start(arguments.preset, 250 if arguments.quick else 2516)))
        return
    command = [sys.executable, "-m", "benchmarks.startup", "--child", "--preset", arguments.preset]
    command += ["--quick"] if arguments.quick else []
    processes = []
    with tempfile.TemporaryDirectory() as cache:
        kept = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        for number in range(2 if arguments.quick else 4):
            done = subprocess.run(command, env={**os.environ, **kept}, capture_output=True, text=True, check=True)
            figures = json.loads(done.stdout.splitlines()[-1])
            processes.append({"cache": "empty" if number == 0 else "filled", **figures})
            print("  ".join(f"{k} {v:.2f} s" if isinstance(v, float) else f"{k} {v}" for k, v in processes[-1].items()))
    if arguments.out:
        about = {"machine": describe_machine(), "preset": arguments.preset, "processes": processes}
        arguments.out.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
