"""Does a log that outgrows the memory go through Spark in bounded memory, how fast, and is it worth it where it fits?

Command:  python -m benchmarks.spark [--events 200000000] [--shards N] [--compare] [--work FOLDER] [--out FILE]
Time:     eight minutes for 200 million events, one and a half for 20 million, on two cores, and nothing else should run
          meanwhile; needs Java 17 and the extra `spark`, and at most 130 bytes of disk an event
Prints:   seconds of simulating, of encoding by Spark on `local[2]`, events a second, and the most memory that all
          processes of it (the JVM, the workers and the driver) had at any time, each and together; with --compare the
          same of encoding the same tables in memory, and whether both give as many samples; writes JSON

Events are simulated 20,000 accounts at a time, each time with other seeds, and written as one file of Parquet each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import hanjax
from benchmarks.machine import describe_machine, peak_memory
from hanjax.config import PanelConfig
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check

_PART = 20_000
"""Accounts simulated at a time."""
_OF_AN_ACCOUNT = 155
"""Events, roughly."""
_OF_A_SHARD = 2_000_000
"""Events of a shard, unless their number is given."""
_NAMES = ("events", "individuals", "accounts")


def simulate(folder: Path, events: int) -> int:
    """Writes a market with about that many events: markets with different seeds and ids, a file of each table each."""
    made, seed = 0, 0
    for name in _NAMES:
        (folder / name).mkdir(parents=True)
    while made < events:
        accounts = min(_PART, max(200, (events - made) // _OF_AN_ACCOUNT))
        tables = hanjax.simulate(accounts=accounts, seed=seed).tables
        made += len(tables.events)
        for name in _NAMES:
            table = pa.Table.from_pandas(getattr(tables, name), preserve_index=False)
            for place, field in enumerate(table.schema):
                if field.name in ("account_id", "individual_id"):
                    ids = pc.binary_join_element_wise(table[place].cast(pa.string()), f"s{seed}", "-")
                    table = table.set_column(place, field.name, ids)
                elif pa.types.is_dictionary(field.type):
                    table = table.set_column(place, field.name, table[place].cast(pa.string()))
            pq.write_table(table, folder / name / f"part-{seed:05d}.parquet", coerce_timestamps="us")
        seed += 1
    return made


def memory_of(root: int) -> dict[str, float]:
    """Resident memory of a process and of all that come from it, in GiB, by what they are; as Linux counts it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = {"driver": 0.0, "jvm": 0.0, "workers": 0.0}
    for process in parents:
        above = process
        while above in parents and above != root:
            above = parents[above]
        if above == root:
            folder = Path("/proc") / str(process)
            try:
                kind = "jvm" if (folder / "comm").read_text().strip() == "java" else "workers"
                found["driver" if process == root else kind] += _proportional(folder)
            except OSError:
                continue
    return {**found, "together": sum(found.values())}


def _proportional(folder: Path) -> float:
    """A process's memory, of shared pages its part, in GiB: workers are forked, and share what they began with."""
    rollup = (folder / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 2**20


class Watch(threading.Thread):
    """Looks at the memory of a process and its children, until it is told to stop, and keeps the largest values."""

    def __init__(self, root: int):
        """Starts looking."""
        super().__init__(daemon=True)
        self.root, self.peaks, self.ended = root, {}, threading.Event()
        self.start()

    def run(self) -> None:
        """Looks once a second: Linux takes a while to add up what a JVM has."""
        while not self.ended.wait(1.0):
            for name, value in memory_of(self.root).items():
                self.peaks[name] = max(self.peaks.get(name, 0.0), value)

    def stop(self) -> dict[str, float]:
        """Stops; returns the largest values, in GiB."""
        self.ended.set()
        self.join()
        return self.peaks


def by_spark(folder: Path, shards: int) -> dict[str, Any]:
    """Encodes a folder with Spark on two cores."""
    from pyspark.sql import SparkSession

    from hanjax.spark import encode_spark

    os.environ["PYSPARK_PYTHON"] = sys.executable  # or workers would be the first python3 of the path
    started = time.perf_counter()
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(folder / "spark"))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    took = {"start": time.perf_counter() - started}
    tables = {name: folder / name for name in _NAMES}
    started = time.perf_counter()
    made = encode_spark(spark, **tables, out=folder / "shards", shards=shards)
    took["encode"] = time.perf_counter() - started
    largest = max(sum(path.stat().st_size for path in one.iterdir()) for one in (folder / "shards").glob("shard-*"))
    spark.stop()
    return {
        "shards": len(made),
        "samples": made.samples,
        "conversions": made.conversions,
        "seconds": took,
        "largest_shard_GiB": largest / 2**30,
    }


def in_memory(folder: Path) -> dict[str, Any]:
    """Reads and encodes the same folder as a whole."""
    config, took = PanelConfig(), {}
    started = time.perf_counter()
    tables = hanjax.Tables(*(pq.read_table(folder / name) for name in _NAMES))
    took["read"] = time.perf_counter() - started
    started = time.perf_counter()
    log = check(tables, config)
    panel, _ = make_panel(log, config, fit_encoding(log, config))
    took["encode"] = time.perf_counter() - started
    return {"samples": len(panel.samples), "seconds": took, "peak_GiB": peak_memory()}


def measured(way: str, folder: Path, shards: int) -> dict[str, Any]:
    """Encodes the folder in a process of its own, and watches its memory."""
    command = [sys.executable, "-m", "benchmarks.spark", "--way", way, "--work", str(folder), "--shards", str(shards)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid)
        printed, _ = process.communicate()
        peaks = watch.stop()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return {**json.loads(printed.splitlines()[-1]), "peak_of_processes_GiB": peaks}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000_000)
    parser.add_argument("--shards", type=int, help=f"how many; one for {_OF_A_SHARD:,} events if not given")
    parser.add_argument("--compare", action="store_true", help="also encode in memory, which has to hold all")
    parser.add_argument("--work", type=Path, help="folder for everything that is written meanwhile")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    parser.add_argument("--way", choices=["spark", "memory"], help=argparse.SUPPRESS)  # a process of its own
    arguments = parser.parse_args()
    if arguments.way:
        result = by_spark(arguments.work, arguments.shards) if arguments.way == "spark" else in_memory(arguments.work)
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        folder = Path(name)
        started = time.perf_counter()
        events = simulate(folder, arguments.events)
        simulated = time.perf_counter() - started
        written = sum(path.stat().st_size for path in folder.rglob("*.parquet")) / 2**30
        shards = arguments.shards or max(2, round(events / _OF_A_SHARD))
        figures: dict[str, Any] = {
            "machine": describe_machine(),
            "events": events,
            "tables_GiB": written,
            "seconds_of_simulating": simulated,
            "spark": measured("spark", folder, shards),
        }
        figures["spark"]["events_per_second"] = events / figures["spark"]["seconds"]["encode"]
        if arguments.compare:
            figures["in_memory"] = measured("memory", folder, shards)
            figures["in_memory"]["events_per_second"] = events / sum(figures["in_memory"]["seconds"].values())
            figures["same_number_of_samples"] = figures["in_memory"]["samples"] == figures["spark"]["samples"]
    print(json.dumps(figures, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
