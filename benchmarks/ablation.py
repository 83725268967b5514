"""What is each ingredient of the recommended preset worth? One left out, added or exchanged at a time.

Command:  python -m benchmarks.ablation [--out FOLDER] [--data market|asfi] [--rows NAME ...] [--seeds 1] [--quick]
Time:     one to two hours on two cores for either; finished rows are kept in FOLDER
Expects:  for asfi, $HANJAX_DATA/asfi (see benchmarks/asfi.py); without it the script says so and ends.
Prints:   AUC of every row with an interval by resampling accounts, and the paired difference to the preset; of asfi at
          monthly periods, mean over five folds, of the simulated market on fresh accounts; writes table.json and
          table.md.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.asfi import asfi_tables, markdown, table, train, worlds_of
from benchmarks.machine import describe_machine
from hanjax.config import ACCOUNT_NUMBERS, MEMBER_NUMBERS
from hanjax.reproduction.rows import Row, row_named
from hanjax.reproduction.store import Store
from hanjax.reproduction.worlds import simulated_world
from hanjax.simulation import MarketConfig

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "no-counts": ("order alone, no counts of a period", {"period_input": "sequence"}),
    "no-order": ("counts alone, no order", {"period_input": "counts"}),
    "no-account-numbers": ("no numbers of the account as of the cut-off", {"account_numbers": ()}),
    "no-total": (
        "no total of the account's activities",
        {"account_numbers": ("periods_observed", "log_periods_observed", "individuals_so_far", "active_individuals")},
    ),
    "account-counts": (
        "counts of each activity of the account, in place of their total",
        {"account_numbers": tuple(name for name in ACCOUNT_NUMBERS if name != "activities")},
    ),
    "member-numbers": ("numbers of the members, too", {"member_numbers": MEMBER_NUMBERS}),
    "one-horizon": ("the next period alone", {"horizons": (1,)}),
    "no-dropout": ("no dropout", {"dropout": 0.0, "member_dropout": 0.0}),
    "no-decay": ("no weight decay", {"weight_decay": 0.0}),
    "averaging": ("a moving average of the parameters", {"ema_epochs": 2.0}),
    "one-network": ("one network", {"ensemble": 1, "cross_validation": False}),
    "other-members": ("members are those active within the window", {"membership": "active"}),
    "paper-widths": ("the paper's widths", {"activity_width": 40, "window_width": 20, "member_width": 20}),
    "gated-attention": ("gated attention over members", {"aggregator": "gated_attention", "account_head": False}),
    "set-transformer": ("set transformer over members", {"aggregator": "set_transformer", "account_head": False}),
    "gru-attention": ("the paper's GRU and attention", {"aggregator": "gru_attention", "account_head": False}),
}
"""What is left out, added or exchanged, by name of the row."""


def rows_for(data: str) -> dict[str, Row]:
    """The preset, every change of it, and what else is given the same information."""
    names = ["recommended", "regression-recommended", "boosting-recommended"]
    others = [row_named(name) for name in (names if data == "asfi" else [*names, "latent-oracle"])]
    if data == "asfi":  # a month, a quarter and half a year
        others = [dataclasses.replace(row, changes=(*row.changes, ("horizons", (1, 3, 6)))) for row in others]
    preset, *rest = others
    preset = dataclasses.replace(preset, once=False)
    rows = {preset.name: preset}
    for name, (title, changes) in CHANGES.items():
        rows[name] = dataclasses.replace(preset, name=name, title=title, changes=(*preset.changes, *changes.items()))
    return rows | {row.name: row for row in rest}


def main() -> None:
    """Trains what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("market", "asfi"), default="market")
    parser.add_argument("--out", type=Path, default=Path("hanjax-ablation"), help="folder for rows and the table")
    parser.add_argument("--rows", nargs="+", help="names of rows; all when not given")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row and fold")
    parser.add_argument("--quick", action="store_true", help="a small market, one epoch, two rows")
    arguments = parser.parse_args()
    rows = rows_for(arguments.data)
    names = list(rows)[:2] if arguments.quick else arguments.rows
    rows = rows if names is None else {name: rows[name] for name in names}
    if arguments.data == "asfi":
        if (tables := asfi_tables(os.environ.get("HANJAX_DATA", ""))) is None:
            return
        worlds = worlds_of(tables, "M")
    else:
        market = MarketConfig(accounts=300, conversions=0.3) if arguments.quick else MarketConfig()
        worlds = {0: simulated_world(market, fresh=2 * market.accounts)}
    store, epochs = Store(arguments.out / "rows"), 1 if arguments.quick else None
    train(rows, worlds, store, seeds=arguments.seeds, epochs=epochs)
    test = "test" if arguments.data == "asfi" else "fresh"
    records = table(rows, worlds, store, test=test, seeds=arguments.seeds, epochs=epochs)
    text = markdown(records, f"recommended preset ({arguments.data})")
    print(text)
    about = {"machine": describe_machine(), "data": arguments.data, "seeds": arguments.seeds}
    (arguments.out / "table.json").write_text(json.dumps({**about, "rows": records}, indent=2) + "\n")
    (arguments.out / "table.md").write_text(text)


if __name__ == "__main__":
    main()
