"""Which of the paper's findings hold for groups that decide for real? Five fixed folds of Apache Incubator projects.

Command:  HANJAX_DATA=<folder> python -m benchmarks.asfi [--out FOLDER] [--period W-SAT|M] [--rows NAME ...] [--quick]
Time:     about two hours on two cores at weekly periods, with all rows; finished rows are kept in FOLDER
Expects:  $HANJAX_DATA/asfi with events, individuals, accounts and folds; it is not part of this project. Without it the
          script says so and ends.
Prints:   test AUC of every row, mean over the folds, with an interval by resampling accounts within folds, and the
          paired difference to the reference row; writes table.json and table.md.

Rows are the paper's baselines and experiments with the paper's settings, the recommended preset, and scikit-learn's
logistic regression and gradient boosting, given the same information as the paper's networks (counts of the same
windows) and as the recommended preset (counts, ages, members' numbers).
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import hanjax
from benchmarks.machine import describe_machine
from hanjax.evaluation.intervals import account_weights, difference, interval
from hanjax.reproduction.jobs import make_jobs, run_jobs
from hanjax.reproduction.learn import Scored
from hanjax.reproduction.measures import Measured, measure, on_common_samples
from hanjax.reproduction.rows import ALL, Row
from hanjax.reproduction.run import tqdm_progress
from hanjax.reproduction.store import Store
from hanjax.reproduction.worlds import World, given_world

REFERENCES = ("recommended", "experiment-3")
"""The row that the others are held against: the first of these that is finished in all folds."""


ROWS = {row.name: row for row in ALL if row.kind not in ("latent_oracle", "log_oracle") and not row.naive}
"""The rows that can be trained on real data."""


def asfi_tables(data: str) -> hanjax.Tables | None:
    """Reads asfi from the folder of the data sets; None, and a word about it, if it is not there."""
    folder = Path(data) / "asfi"
    if (folder / "events.parquet").exists():
        return hanjax.read(folder)
    print(f"skipped: {folder} is not there; set HANJAX_DATA to the folder that holds asfi.")
    return None


def worlds_of(tables: hanjax.Tables, period: str) -> dict[int, World]:
    """Each fold as the test, all others for training."""
    folds = sorted(set(tables.folds["fold"].to_pylist()))
    settings = (("period", period),)
    return {fold: given_world(tables, name=f"asfi-{fold}", test_fold=fold, settings=settings) for fold in folds}


def train(rows: dict[str, Row], worlds: dict[int, World], store: Store, *, seeds: int, epochs: int | None) -> None:
    """Trains what is not finished yet."""
    every = [make_jobs(list(rows.values()), world, seeds=seeds, epochs=epochs) for world in worlds.values()]
    run_jobs([job for jobs in every for job in jobs], store, progress=tqdm_progress())


def over_folds(measured: list[Measured]) -> tuple[float, np.ndarray]:
    """The mean AUC over folds, and the same on each resample of the accounts within folds."""
    values = [np.mean(one.areas) for one in measured]
    return float(np.mean(values)), np.mean([one.resampled for one in measured], axis=0)


def table(
    rows: dict[str, Row],
    worlds: dict[int, World],
    store: Store,
    *,
    test: str = "test",
    reference: str | None = None,
    seeds: int,
    epochs: int | None,
) -> list[dict[str, Any]]:
    """The figures of every row that is finished in all folds."""
    weights = {}
    for fold, world in worlds.items():
        accounts = int((~world.training).sum()) if world.fresh is None else len(world.fresh.tables.accounts)
        weights[fold] = account_weights(accounts, seed=fold)
    scored: dict[str, dict[int, list[Scored]]] = {}
    for name, row in rows.items():
        for fold, world in worlds.items():
            done = [store.read(job.key) for job in make_jobs([row], world, seeds=seeds, epochs=epochs)]
            scores = [one.scores[test] for one in done if one is not None and not one.error]
            if scores:
                scored.setdefault(name, {})[fold] = scores
    scored = {name: folds for name, folds in scored.items() if len(folds) == len(worlds)}

    def measured(folds: dict[int, list[Scored]]) -> list[Measured]:
        return [measure(scores, weights[fold], periods=False) for fold, scores in folds.items()]

    reference = next((name for name in (reference, *REFERENCES) if name in scored), None)
    found = {name: measured(folds) for name, folds in scored.items()}
    records = []
    for name, own in found.items():
        value, resampled = over_folds(own)
        folds = [float(np.mean(one.areas)) for one in own]
        error = float(np.std(folds, ddof=1) / np.sqrt(len(folds))) if len(folds) > 1 else None
        whole = interval(value, resampled, positives=sum(one.conversions for one in own))
        record: dict[str, Any] = {"row": name, "title": rows[name].title, "auc": value, "standard_error": error}
        record |= {"low": whole.low, "high": whole.high, "folds": folds}
        if reference is not None and name != reference:
            first, second = found[reference], own
            if any(one.samples != other.samples for one, other in zip(first, second, strict=True)):
                first, second = map(measured, _common(scored[reference], scored[name]))
            other, other_resampled = over_folds(first)
            value, resampled = over_folds(second)
            converting = sum(one.conversions for one in second)
            apart = difference(value - other, resampled - other_resampled, positives=converting)
            record |= {"difference": apart.value, "difference_low": apart.low, "difference_high": apart.high}
            record |= {"p": apart.p}
        records.append(record)
    return records


def _common(
    first: dict[int, list[Scored]], second: dict[int, list[Scored]]
) -> tuple[dict[int, list[Scored]], dict[int, list[Scored]]]:
    """The scores of two rows on the samples that both have: other members may make other samples."""
    one = {fold: [on_common_samples(mine, second[fold][0])[0] for mine in first[fold]] for fold in first}
    other = {fold: [on_common_samples(first[fold][0], mine)[1] for mine in second[fold]] for fold in second}
    return one, other


def markdown(records: list[dict[str, Any]], title: str) -> str:
    """The table as text."""
    lines = [
        f"| {title} | AUC | 95 % interval | minus the reference | 95 % interval |",
        "|---|--:|:-:|--:|:-:|",
    ]
    for row in records:
        line = f"| {row['title']} | {row['auc']:.3f} | {row['low']:.3f} to {row['high']:.3f} |"
        if "difference" in row:
            line += f" {row['difference']:+.3f} | {row['difference_low']:+.3f} to {row['difference_high']:+.3f} |"
        else:
            line += " reference | |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HANJAX_DATA", ""), help="folder that holds asfi")
    parser.add_argument("--out", type=Path, default=Path("hanjax-asfi"), help="folder for finished rows and the table")
    parser.add_argument("--period", default="W-SAT", help="W-SAT or M, for instance")
    parser.add_argument("--rows", nargs="+", help="names of rows; all when not given")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row and fold")
    parser.add_argument("--epochs", type=int, help="instead of the rows' own")
    parser.add_argument("--quick", action="store_true", help="one fold, two epochs, three rows")
    arguments = parser.parse_args()
    if (tables := asfi_tables(arguments.data)) is None:
        return
    names = ["experiment-3", "experiment-4", "regression"] if arguments.quick else arguments.rows
    epochs = 2 if arguments.quick else arguments.epochs
    rows = ROWS if names is None else {name: ROWS[name] for name in names}
    worlds = worlds_of(tables, arguments.period)
    worlds = dict(list(worlds.items())[:1]) if arguments.quick else worlds
    store = Store(arguments.out / "rows")
    train(rows, worlds, store, seeds=arguments.seeds, epochs=epochs)
    records = table(rows, worlds, store, seeds=arguments.seeds, epochs=epochs)
    text = markdown(records, f"row ({arguments.period})")
    print(text)
    about = {"machine": describe_machine(), "period": arguments.period, "seeds": arguments.seeds, "folds": len(worlds)}
    (arguments.out / "table.json").write_text(json.dumps({**about, "rows": records}, indent=2) + "\n")
    (arguments.out / "table.md").write_text(text)


if __name__ == "__main__":
    main()
