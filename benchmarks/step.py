"""Where does the time of a training step go? One step of the paper's network on a market of the paper's size.

Command:  python -m benchmarks.step [--quick] [--out FILE]
Time:     one minute; nothing else should run meanwhile. With `taskset -c 0` before it: on one core
Prints:   milliseconds of parts of a step, forward, and forward and backward, medians of forty; compiled as training is;
          writes JSON with hardware and versions

Parts are timed apart, so they need not add up to the whole, in which the compiler may join them.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hanjax
from benchmarks.machine import describe_machine
from benchmarks.throughput import timed
from hanjax.compiled import Compiled
from hanjax.data.batches import Forests, gather, plan_epoch
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.reproduction.worlds import sizes_of


def milliseconds(function: Callable[..., Any], *arguments: Any) -> float:
    """The median time of a call, compilation apart."""
    compiled = Compiled(function, of_small_steps=True)
    run = lambda: jax.block_until_ready(compiled(*arguments))
    run()
    return 1e3 * statistics.median(timed(run, 40))


def both_ways(function: Callable[..., jax.Array], *arguments: Any) -> dict[str, float]:
    """The time of a function, and that of its gradient by the first argument, which includes it."""

    def pulled(*arguments: Any) -> jax.Array:
        value = function(*arguments)
        return (value * jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)).sum()

    return {"forward": milliseconds(function, *arguments), "both": milliseconds(jax.grad(pulled), *arguments)}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()

    config = hanjax.Config.paper()
    market = hanjax.simulate(accounts=250 if arguments.quick else 2516, conversions=0.1 if arguments.quick else 0.034)
    log = check(market.tables, config.panel)
    panel, encoding = make_panel(log, config.panel, fit_encoding(log, config.panel))
    network = hanjax.network(config.model, sizes_of(panel, encoding))
    params = network.init(jax.random.key(0), jnp.zeros(1))
    plan = plan_epoch(
        panel.batch,
        np.arange(len(panel.samples)),
        batch_size=config.train.batch_size,
        seed=np.zeros(1, np.uint32),
        forests=Forests.of(panel.batch),
    )
    batch = jax.tree.map(jnp.asarray, gather(panel.batch, jax.tree.map(lambda array: array[0], plan)))
    periods = network.encode_periods(params, batch).value
    prefixes = batch.sequence_prefixes
    assert prefixes is not None
    states = jnp.ones((prefixes.cells.size, config.model.activity_width))
    parts = {
        "the whole step": both_ways(lambda params: network.apply(params, batch).logit, params),
        "activities of a period": both_ways(lambda params: network.encode_periods(params, batch).value, params),
        "... of it, picking each row's states": both_ways(lambda states: states[prefixes.paths], states),
        "periods of a window": both_ways(lambda params: network.encode_windows(params, periods, batch).value, params),
    }
    for name, found in parts.items():
        print(f"{name:<40}{found['forward']:>8.2f} ms forward{found['both']:>8.2f} ms both ways")
    if arguments.out:
        figures = {"machine": describe_machine(), "panel": repr(panel), "milliseconds": parts}
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
