"""How much longer does scoring take when the log grows? Simulated markets of 1, 2, 5 and 10 times the paper's size.

Command:  python -m benchmarks.growth [--quick] [--out FILE]
Time:     five minutes on two cores; nothing else should run meanwhile
Prints:   for each size what there is to score, seconds to encode and to score it, the fastest of three, and these as
          multiples of the smallest; writes JSON with hardware and versions

Sequences of activities recur, so that there are fewer of them an event in a larger log, and each distinct one is
encoded once. Samples and their members do not recur: their aggregation grows with the log.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp

import hanjax
from benchmarks.machine import describe_machine
from benchmarks.throughput import timed
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.reproduction.worlds import sizes_of
from hanjax.scoring.scores import score_panel


def measure(accounts: int, repeats: int) -> dict[str, float]:
    """Encodes and scores one market with the paper's network."""
    config = hanjax.Config.paper()
    market = hanjax.simulate(accounts=accounts, conversions=0.034)
    log = check(market.tables, config.panel)
    encoding = fit_encoding(log, config.panel)
    encode = min(timed(lambda: make_panel(log, config.panel, encoding), repeats))
    panel, encoding = make_panel(log, config.panel, encoding)
    network = hanjax.network(config.model, sizes_of(panel, encoding))
    params = network.init(jax.random.key(0), jnp.zeros(1))
    score = lambda: score_panel(panel, network, params, positive_weight=500.0)
    score()  # compiles
    return {
        "accounts": accounts,
        "events": len(market.tables.events),
        "samples": len(panel.samples),
        "members": int(panel.batch.member_mask.sum()),
        "distinct_windows": len(panel.batch.windows),
        "distinct_sequences": len(panel.batch.sequences),
        "encode_seconds": encode,
        "score_seconds": min(timed(score, repeats)),
    }


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts, one and ten times")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    one, times = (252, (1, 10)) if arguments.quick else (2516, (1, 2, 5, 10))

    rows = [measure(one * factor, repeats=3) for factor in times]
    for name in rows[0]:
        shown = (f"{row[name]:>14,.2f} ({row[name] / rows[0][name]:5.2f})" for row in rows)
        print(f"{name:<20}{''.join(shown)}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": describe_machine(), "markets": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
