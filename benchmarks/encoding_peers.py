"""How fast is the encoding beside polars and DuckDB, doing the part of it that they can?

Command:  python -m benchmarks.encoding_peers [--quick] [--events N] [--shuffled] [--out FILE]
Time:     about two minutes on two cores for ten million events, seconds with --quick
Prints:   seconds, events/s and peak memory of each, and how many times as long as hanjax the peers take; writes JSON

The part is the grouping: from events (individual, time, activity) to one row for each individual and active period,
that points into a table of the distinct sequences, in order of time and cut to the latest L. In hanjax this is
``make_sequences``, and what the peers do is checked to give the same sequences and as many rows. It is timed twice:

* from codes: individuals and activities are small integers already, as ``check`` makes them;
* from ids: they are the strings of the user's tables. In hanjax this is ``check`` and ``make_sequences``; ``check``
  also reads the other tables and looks for whatever can be wrong with a log, which the peers do not.

The peers do nothing of the rest of the encoding: fitting, rolling windows and their distinct table, samples and
members, labels, statics and numbers. Its time (from the checked log) stands beside theirs all the same. Everything runs
in a process of its own, with as many threads as it likes, three times, of which the fastest counts; its tables are in
memory before its time begins, the same Arrow columns for all. With --shuffled the events
stand in random order; otherwise in that of individuals and time.
"""

import argparse
import hashlib
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import hanjax
from benchmarks.large_log import simulate
from benchmarks.machine import describe_machine, peak_memory
from hanjax.config import PanelConfig
from hanjax.data.encoding import activity_ids, fit_encoding
from hanjax.data.log import Log
from hanjax.data.panel import calendar_of, make_panel
from hanjax.data.sequences import Sequences, make_sequences
from hanjax.data.tables import check
from hanjax.simulation import write


class Task(NamedTuple):
    """What all are asked for: periods of ``length`` microseconds from ``origin`` on, the latest ``kept`` activities."""

    origin: int
    length: int
    kept: int
    activities: tuple[str, ...]


class Grouped(NamedTuple):
    """What a peer made: an Arrow table of ``individual, period, index``, and the distinct sequences, as codes."""

    rows: pa.Table
    sequences: pa.Array | pa.ChunkedArray

    def names(self, activities: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The names of the activities in each distinct sequence."""
        return [tuple(activities[code] for code in sequence) for sequence in self.sequences.to_pylist()]


def task_of(log: Log, config: PanelConfig) -> Task:
    """The grouping that hanjax does with a log and settings whose periods are all of one length."""
    starts = calendar_of(log, config).starts
    return Task(int(starts[0]), int(starts[1] - starts[0]), config.max_activities, log.activities)


def codes_of(log: Log) -> pa.Table:
    """The events as codes."""
    return pa.table({"individual": log.event_individual, "time": log.event_time, "activity": log.event_activity})


def ids_of(events: pa.Table) -> pa.Table:
    """The events with the ids and names that the user gave; an individual belongs to one account."""
    time_column = events["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return pa.table({"individual": events["individual_id"], "time": time_column, "activity": events["activity"]})


def with_polars(events: pa.Table, task: Task) -> Grouped:
    """The grouping in polars; time and activity are sorted as one integer, which halves its time."""
    import polars as pl

    activity = pl.col("activity")
    if not pa.types.is_integer(events["activity"].type):
        activity = activity.cast(pl.Enum(task.activities)).to_physical()
    cells = (
        pl.from_arrow(events)
        .lazy()
        .select(
            "individual",
            period=((pl.col("time") - task.origin) // task.length).cast(pl.Int32),
            step=pl.col("time") * 256 + activity,
        )
        .sort("step")
        .group_by("individual", "period")
        .agg(sequence=(pl.col("step").tail(task.kept) % 256).cast(pl.UInt8))
        .collect()
    )
    distinct = cells.group_by("sequence").agg("individual", "period").with_row_index("index")
    rows = distinct.select("individual", "period", "index").explode("individual", "period").to_arrow()
    return Grouped(rows, distinct["sequence"].to_arrow())


def with_duckdb(events: pa.Table, task: Task) -> Grouped:
    """The grouping in DuckDB; sorting each list by itself took half the time of an aggregate with an order."""
    import duckdb

    activity = "activity"
    with duckdb.connect() as connection:
        if not pa.types.is_integer(events["activity"].type):
            names = ", ".join("'{}'".format(name.replace("'", "''")) for name in task.activities)
            connection.execute(f"CREATE TYPE kind AS ENUM ({names})")
            activity = "enum_code(activity::kind)"
        connection.register("events", events)
        connection.execute(f"""
            CREATE TEMP TABLE cells AS SELECT individual, period, list_transform(
                list_sort(list(step))[-{task.kept}:], lambda step: (step % 256)::UTINYINT) AS sequence
            FROM (SELECT individual, (time - {task.origin}) // {task.length} AS period, time * 256 + {activity} AS step
                  FROM events)
            GROUP BY individual, period""")
        connection.execute("""
            CREATE TEMP TABLE sequences AS
            SELECT (row_number() OVER () - 1)::INTEGER AS index, sequence FROM (SELECT DISTINCT sequence FROM cells)""")
        rows = connection.sql("SELECT individual, period, index FROM cells JOIN sequences USING (sequence)")
        sequences = connection.sql("SELECT sequence FROM sequences ORDER BY index")
        return Grouped(rows.to_arrow_table(), sequences.to_arrow_table()["sequence"])


PEERS: dict[str, Callable[[pa.Table, Task], Grouped]] = {"polars": with_polars, "duckdb": with_duckdb}


def names_of(table: np.ndarray, activities: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names of the activities in each of hanjax's distinct sequences but the empty one."""
    return [tuple(activities[code - 2] for code in row if code) for row in table[1:].tolist()]


def _outcome(rows: int, sequences: list[tuple[str, ...]]) -> dict[str, Any]:
    """What must be the same for all: how many rows, how many distinct sequences, and a hash of these."""
    digest = hashlib.sha256("\n".join(map(repr, sorted(sequences))).encode()).hexdigest()
    return {"rows": rows, "sequences": len(sequences), "digest": digest}


def prepare(folder: Path) -> None:
    """Writes what the peers start from: the task, and the events as codes."""
    log, config = check(hanjax.read(folder)), PanelConfig()
    (folder / "prepared").mkdir()
    (folder / "prepared" / "task.json").write_text(json.dumps(task_of(log, config)))
    pq.write_table(codes_of(log), folder / "prepared" / "codes.parquet")


def run_peer(who: str, source: str, folder: Path) -> dict[str, Any]:
    """The grouping by a peer, from codes or from ids; to be called in a process of its own."""
    origin, length, kept, activities = json.loads((folder / "prepared" / "task.json").read_text())
    task = Task(origin, length, kept, tuple(activities))
    if source == "codes":
        events = pq.read_table(folder / "prepared" / "codes.parquet")
    else:
        events = ids_of(hanjax.read(folder).events)
    importlib.import_module(who)
    outcome = lambda made: _outcome(len(made.rows), made.names(task.activities))
    return _timed(lambda: PEERS[who](events, task), outcome)


def run_hanjax(source: str, folder: Path) -> dict[str, Any]:
    """The grouping by hanjax, from codes or from ids, or all of the encoding; to be called in a process of its own."""
    tables, config = hanjax.read(folder), PanelConfig()
    if source == "ids":
        return _timed(lambda: group_by_hanjax(check(tables, config), config), _outcome_of_hanjax)
    log = check(tables, config)
    if source == "codes":
        return _timed(lambda: group_by_hanjax(log, config), _outcome_of_hanjax)
    everything = lambda: make_panel(log, config, fit_encoding(log, config))
    return _timed(everything, lambda made: {"samples": len(made[0].samples)})


def group_by_hanjax(log: Log, config: PanelConfig) -> tuple[Sequences, tuple[str, ...]]:
    """The part of ``make_panel`` that the peers do as well."""
    encoding = fit_encoding(log, config)
    made = make_sequences(
        log,
        calendar_of(log, config),
        activity_ids(log, encoding),
        vocabulary=encoding.vocabulary,
        max_activities=config.max_activities,
    )
    return made, encoding.activities


def _outcome_of_hanjax(made: tuple[Sequences, tuple[str, ...]]) -> dict[str, Any]:
    found, activities = made
    return _outcome(len(found.cells.period), names_of(found.table, activities))


def _timed(work: Callable[[], Any], describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Seconds and memory that some work takes, and what it made."""
    before, started = peak_memory(), time.perf_counter()
    made = work()
    took = time.perf_counter() - started
    return {"seconds": took, "before_GiB": before, "peak_GiB": peak_memory()} | describe(made)


def _shuffle(folder: Path) -> None:
    """Puts the events of a folder into random order."""
    events = pq.read_table(folder / "events.parquet")
    order = np.random.default_rng(0).permutation(len(events))
    pq.write_table(events.take(order), folder / "events.parquet")


def measure(folder: Path, events: int, repeats: int) -> dict[str, Any]:
    """Runs everyone in turn, each several times, and keeps the fastest run of each."""
    best: dict[str, Any] = {}
    order = [("hanjax", "everything")] + [(who, source) for source in ("codes", "ids") for who in ("hanjax", *PEERS)]
    for _ in range(repeats):
        for who, source in order:
            command = [sys.executable, "-m", "benchmarks.encoding_peers", "--run", who, source, "--folder", str(folder)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            figures = json.loads(printed.splitlines()[-1])
            figures["events_per_second"] = events / figures["seconds"]
            name = f"{who}, {source}"
            if name not in best or figures["seconds"] < best[name]["seconds"]:
                best[name] = figures
    for source in ("codes", "ids"):
        ours = best[f"hanjax, {source}"]
        for who in PEERS:
            theirs = best[f"{who}, {source}"]
            if any(theirs[name] != ours[name] for name in ("rows", "sequences", "digest")):
                raise AssertionError(f"{who} does not give the sequences of hanjax: {theirs} and {ours}")
            theirs["times_as_long_as_hanjax"] = theirs["seconds"] / ours["seconds"]
            theirs["times_as_long_as_all_of_hanjax"] = theirs["seconds"] / best["hanjax, everything"]["seconds"]
    return best


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some hundred thousand events, once")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--shuffled", action="store_true", help="events in random order")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)  # another process: one of the timings
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        who, source = arguments.run
        run = run_hanjax(source, arguments.folder) if who == "hanjax" else run_peer(who, source, arguments.folder)
        print(json.dumps(run))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.quick:
            write(hanjax.simulate(accounts=2000), folder, overwrite=True)
        else:
            simulate(folder, arguments.events)
        if arguments.shuffled:
            _shuffle(folder)
        prepare(folder)
        events = pq.read_metadata(folder / "events.parquet").num_rows
        best = measure(folder, events, 1 if arguments.quick else 3)

    print(f"{events:,} events, in {'random order' if arguments.shuffled else 'the order of individuals and time'}")
    print(f"{'':24}{'seconds':>9}{'events/s':>13}{'GiB before':>12}{'peak GiB':>10}{'times hanjax':>14}")
    for name, figures in best.items():
        ratio = figures.get("times_as_long_as_hanjax")
        shown = "" if ratio is None else f"{ratio:14.2f}"
        print(
            f"{name:24}{figures['seconds']:9.2f}{figures['events_per_second']:13,.0f}{figures['before_GiB']:12.2f}{figures['peak_GiB']:10.2f}"
            f"{shown}"
        )
    if arguments.out:
        order = "random" if arguments.shuffled else "individuals and time"
        written = {"machine": describe_machine() | versions(), "events": events, "order": order, "runs": best}
        arguments.out.write_text(json.dumps(written, indent=2) + "\n")


def versions() -> dict[str, str]:
    """The peers' versions."""
    import duckdb
    import polars

    return {"polars": polars.__version__, "duckdb": duckdb.__version__}


if __name__ == "__main__":
    main()
