"""How near do models come to the best that a log allows, at the paper's size and with ten times its accounts?

Command:  python -m benchmarks.ceiling [--out FOLDER] [--times N] [--rows NAME ...] [--quick]
Time:     with ten times the accounts four hours on one core, a fifth of that at the paper's size (--times 1);
          finished rows are kept in FOLDER
Prints:   for every row the AUC and what it lacks of the log oracle's, on the frozen test and on fresh accounts, with
          intervals by resampling accounts; and how often individuals' scores put two members of an account in the order
          of their true interest, beside their numbers of activities. Writes table.json and table.md.

Rows make fewer passes over the data where there are more of them: see PASSES.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from hanjax.reproduction.analyses import member_table
from hanjax.reproduction.collect import Results, experiment_table
from hanjax.reproduction.jobs import make_jobs, run_jobs
from hanjax.reproduction.measures import as_record, compare, measure
from hanjax.reproduction.report import signed_span, span, table
from hanjax.reproduction.rows import Row, row_named
from hanjax.reproduction.run import plain, tqdm_progress
from hanjax.reproduction.store import Store
from hanjax.reproduction.worlds import encode_world, simulated_world
from hanjax.simulation import MarketConfig

WIDE = Row(
    name="wide-attention",
    title="Recommended preset, with gated attention, the paper's widths and less dropout, two networks",
    preset="recommended",
    changes=(
        *row_named("recommended-attention").changes,
        ("activity_width", 40),
        ("window_width", 20),
        ("member_width", 20),
        ("dropout", 0.3),
        ("ensemble", 2),
        ("cross_validation", False),
    ),
    once=True,
)
NAMES = (
    "baseline-1", "baseline-2", "experiment-1", "experiment-2", "experiment-3", "experiment-4", "experiment-5",
    "experiment-6", "gated-attention", "set-transformer", "mean-log-odds", "regression", "recommended",
    "recommended-attention", "log-oracle", "latent-oracle",
)  # fmt: skip
PASSES = {"paper": 10, "recommended": 20, "wide-attention": 12}
"""With more than five times the accounts, by preset or row; otherwise the rows' own."""


def rows_for(times: int) -> dict[str, Row]:
    """The rows by name, with fewer passes if there are many accounts."""
    rows = {name: row_named(name) for name in NAMES} | {WIDE.name: WIDE}
    if times > 5:
        for name, row in rows.items():
            passes = PASSES.get(name, PASSES[row.preset])
            if row.kind == "network":
                rows[name] = dataclasses.replace(row, changes=(*row.changes, ("epochs", passes)))
    return rows


def main() -> None:
    """Trains what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="the paper's number of accounts")
    parser.add_argument("--out", type=Path, default=Path("hanjax-ceiling"), help="folder for rows and the table")
    parser.add_argument("--rows", nargs="+", help="names of rows; all when not given")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row that is no ensemble")
    parser.add_argument("--quick", action="store_true", help="a small market, one epoch, four rows")
    arguments = parser.parse_args()
    accounts = arguments.times * MarketConfig().accounts
    market = MarketConfig(accounts=300, conversions=0.3) if arguments.quick else MarketConfig(accounts=accounts)
    names = ["experiment-3", "regression", "log-oracle", "latent-oracle"] if arguments.quick else arguments.rows
    rows = rows_for(arguments.times)
    chosen = list(rows.values()) if names is None else [rows[name] for name in names]
    world = simulated_world(market, fresh=2 * market.accounts)
    store = Store(arguments.out / "rows")
    jobs = make_jobs(chosen, world, seeds=arguments.seeds, epochs=1 if arguments.quick else None)
    run_jobs(jobs, store, progress=tqdm_progress())

    sizes = {"test": int((~world.training).sum()), "fresh": 2 * market.accounts}
    results = Results(jobs, store, sizes, resamples=500)
    panel = encode_world(world, dataclasses.replace(world.panel, volumes=True)).tests["test"]
    records = plain([*experiment_table(results, chosen), *both(results)])
    assert world.market is not None
    ordered = member_table(results, "test", panel, world.market.individual_truth, world.panel)
    members = {record["row"]: record for record in plain(ordered)}
    text = markdown(records, members, f"row ({market.accounts:,} accounts)")
    print(text)
    about = {"machine": describe_machine(), "market": dataclasses.asdict(market), "seeds": arguments.seeds}
    stored = {**about, "accounts": sizes, "rows": records, "members": list(members.values())}
    (arguments.out / "table.json").write_text(json.dumps(stored, indent=2) + "\n")
    (arguments.out / "table.md").write_text(text)


def both(results: Results) -> list[dict[str, Any]]:
    """The two rows of gated attention with all that the preset is given, averaged in log-odds, if both are there."""
    title = "The recommended preset with gated attention and the row with the paper's widths, averaged in log-odds"
    record: dict[str, Any] = {"row": "both-attentions", "title": title}
    for test, prefix in (("test", ""), ("fresh", "fresh_")):
        pairs = zip(*(results.scores(name, test) for name in (WIDE.name, "recommended-attention")), strict=False)
        scores = [one._replace(score=(one.score + other.score) / 2) for one, other in pairs]
        oracle = results.measured("log-oracle", test)
        if not scores or oracle is None:
            return []
        found = measure(scores, results.weights[test], periods=False)
        record |= as_record(found.auc, f"{prefix}auc") | as_record(compare(oracle, found), f"{prefix}gap")
    return [record]


def markdown(records: list[dict[str, Any]], members: dict[str, dict[str, Any]], title: str) -> str:
    """The table as text."""
    head = [title, "AUC, test", "lacks", "AUC, fresh accounts", "lacks"]
    head += ["pairs of members in order", "minus activities"]
    rows = []
    for record in sorted(records, key=lambda record: -(record.get("auc") or 0)):
        row = [record["title"]]
        for test in ("", "fresh_"):
            row += [span(record, f"{test}auc", 3), signed_span(record, f"{test}gap")]
        own = members.get(record["row"], {})
        rows.append([*row, span(own, "concordance", 3), signed_span(own, "difference")])
    if "activities" in members:
        rows.append([members["activities"]["title"], *["–"] * 4, span(members["activities"], "concordance", 3), "–"])
    return table(head, rows) + "\n"


if __name__ == "__main__":
    main()
