"""Which settings should the recommended preset have? Chosen without any account that a benchmark tests on.

Command:  HANJAX_DATA=<folder> python -m benchmarks.choose [--data market|asfi] [--out FOLDER] [--rows NAME ...]
          [--quick]
Time:     half an hour on one core for each candidate on both; finished rows are kept in FOLDER
Expects:  for asfi, $HANJAX_DATA/asfi (see benchmarks/asfi.py); without it the script says so and ends.
Prints:   validation AUC of every candidate with an interval by resampling accounts, and the paired difference to the
          first; writes table.json and table.md.

Of asfi, at monthly periods: for each of its five folds the accounts of that fold are taken away, the next fold
validates, and the other three train. Of the simulated market: draws that no other benchmark uses. A candidate is to be
chosen only if it is no worse on either.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import hanjax
from benchmarks.asfi import asfi_tables, markdown, table, train
from benchmarks.machine import describe_machine
from hanjax.config import ACCOUNT_NUMBERS, MEMBER_NUMBERS
from hanjax.reproduction.rows import Row, row_named
from hanjax.reproduction.store import Store
from hanjax.reproduction.worlds import World, given_world, simulated_world
from hanjax.simulation import MarketConfig

_AGES = ("periods_observed", "log_periods_observed", "individuals_so_far", "active_individuals")
_LEAN: dict[str, Any] = {
    "account_numbers": (*_AGES, "activities"), "member_numbers": (), "ema_epochs": 0.0, "weight_decay": 0.1,
    "period_input": "both",
}  # fmt: skip

CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "everything": (
        "counts of each activity, numbers of members, moving average",
        {
            **_LEAN,
            "account_numbers": tuple(name for name in ACCOUNT_NUMBERS if name != "activities"),
            "member_numbers": MEMBER_NUMBERS,
            "ema_epochs": 2.0,
        },
    ),
    "lean": ("one total for the account, no numbers of members, no moving average", _LEAN),
    "lean-no-total": ("lean, without the total", {**_LEAN, "account_numbers": _AGES}),
    "lean-average": ("lean, with the moving average", {**_LEAN, "ema_epochs": 2.0}),
    "lean-no-decay": ("lean, without weight decay", {**_LEAN, "weight_decay": 0.0}),
    "lean-order": ("lean, without counts of a period", {**_LEAN, "period_input": "sequence"}),
}
"""Settings that are on trial, by name; the others are those of the preset."""


def rows_for(data: str) -> dict[str, Row]:
    """The candidates as rows."""
    preset = dataclasses.replace(row_named("recommended"), once=False)
    months = (("horizons", (1, 3, 6)),) if data == "asfi" else ()  # a month, a quarter and half a year
    return {
        name: dataclasses.replace(preset, name=name, title=title, changes=(*preset.changes, *months, *changes.items()))
        for name, (title, changes) in CANDIDATES.items()
    }


def inner_worlds(tables: hanjax.Tables) -> dict[int, World]:
    """For each fold the data without its accounts, with the next fold as the test."""
    folds = tables.folds.to_pandas()
    names = sorted(folds["fold"].unique())
    worlds = {}
    for place, out in enumerate(names):
        kept = folds.loc[folds["fold"] != out, "account_id"]
        parts = {name: table.to_pandas() for name in tables._fields if (table := getattr(tables, name)) is not None}
        rest = hanjax.Tables(**{name: part[part["account_id"].isin(kept)] for name, part in parts.items()})
        following = int(names[(place + 1) % len(names)])
        worlds[place] = given_world(rest, name=f"inner-{out}", test_fold=following, settings=(("period", "M"),))
    return worlds


def main() -> None:
    """Trains what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("market", "asfi"), default="market")
    parser.add_argument("--out", type=Path, default=Path("hanjax-choose"), help="folder for rows and the table")
    parser.add_argument("--rows", nargs="+", help="names of candidates; all when not given")
    parser.add_argument("--quick", action="store_true", help="one world, one epoch, two candidates")
    arguments = parser.parse_args()
    rows = rows_for(arguments.data)
    names = list(rows)[:2] if arguments.quick else arguments.rows
    rows = rows if names is None else {name: rows[name] for name in names}
    if arguments.data == "asfi":
        if (tables := asfi_tables(os.environ.get("HANJAX_DATA", ""))) is None:
            return
        worlds, test = inner_worlds(tables), "test"
    else:
        size = dict(accounts=300, conversions=0.3) if arguments.quick else {}
        markets = [MarketConfig(seed=seed, **size) for seed in (101, 102, 103)]
        worlds = {one.seed: simulated_world(one, name=f"dev-{one.seed}", fresh=2 * one.accounts) for one in markets}
        test = "fresh"
    worlds = dict(list(worlds.items())[:1]) if arguments.quick else worlds
    store, epochs = Store(arguments.out / "rows"), 1 if arguments.quick else None
    train(rows, worlds, store, seeds=1, epochs=epochs)
    records = table(rows, worlds, store, test=test, reference=next(iter(rows)), seeds=1, epochs=epochs)
    text = markdown(records, f"candidate ({arguments.data})")
    print(text)
    about = {"machine": describe_machine(), "data": arguments.data, "worlds": len(worlds)}
    (arguments.out / "table.json").write_text(json.dumps({**about, "rows": records}, indent=2) + "\n")
    (arguments.out / "table.md").write_text(text)


if __name__ == "__main__":
    main()
