"""Does a log of 50 million events go through in bounded memory, and how fast?

Command:  python -m benchmarks.large_log [--events 50000000] [--out FILE]
Time:     about five minutes on two cores, most of it simulating; needs about 3 GB of disk for a while
Prints:   seconds and peak memory of reading, checking and encoding, each process on its own; writes JSON
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import hanjax
from benchmarks.machine import describe_machine, peak_memory
from hanjax.config import PanelConfig
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check

_PART = 40_000
"""Accounts simulated at a time."""


def simulate(folder: Path, events: int) -> None:
    """Writes a market with at least that many events: several markets with different seeds and ids."""
    made, writers = 0, {}
    seed = 0
    while made < events:
        tables = hanjax.simulate(accounts=_PART, seed=seed).tables
        made += len(tables.events)
        for name in ("events", "individuals", "accounts"):
            table = pa.Table.from_pandas(getattr(tables, name), preserve_index=False)
            for column in ("account_id", "individual_id"):
                if column in table.column_names:
                    ids = pc.binary_join_element_wise(table[column].cast(pa.string()), f"s{seed}", "-")
                    table = table.set_column(table.column_names.index(column), column, ids)
            if name not in writers:
                writers[name] = pq.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writers[name].write_table(table)
        seed += 1
    for writer in writers.values():
        writer.close()


def encode(folder: Path) -> None:
    """Reads, checks and encodes a folder, and prints what it took as JSON."""
    config, took, peaks = PanelConfig(), {}, {"start": peak_memory()}
    started = time.perf_counter()
    tables = hanjax.read(folder)
    took["read"], peaks["read"] = time.perf_counter() - started, peak_memory()
    started = time.perf_counter()
    log = check(tables, config)
    took["check"], peaks["check"] = time.perf_counter() - started, peak_memory()
    in_memory = sum(table.nbytes for table in (tables.events, tables.individuals, tables.accounts)) / 2**30
    started = time.perf_counter()
    panel, _ = make_panel(log, config, fit_encoding(log, config))
    took["encode"], peaks["encode"] = time.perf_counter() - started, peak_memory()
    result = {
        "events": len(log.event_time),
        "panel": repr(panel),
        "seconds": took,
        "tables_in_memory_GiB": in_memory,
        "peak_GiB": peaks,
        "encode_events_per_second": len(log.event_time) / took["encode"],
        "check_and_encode_events_per_second": len(log.event_time) / (took["check"] + took["encode"]),
    }
    print(json.dumps(result))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # the second process: encode this folder
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    if arguments.folder:
        encode(arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        simulate(Path(name), arguments.events)
        command = [sys.executable, "-m", "benchmarks.large_log", "--folder", name]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures = {"machine": describe_machine(), **json.loads(printed.splitlines()[-1])}
    print(json.dumps(figures, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
