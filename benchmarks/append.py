"""How much faster is it to add one more week to stored scores than to score everything again? Simulated markets.

Command:  python -m benchmarks.append [--quick] [--out FILE]
Time:     about five minutes on two cores; nothing else should run meanwhile
Prints:   for each market seconds to check, encode and score everything and to write it, and seconds to append the last
          of 35 weeks to the scores of the others, by phase and the fastest of three; then the same where 2 in 100
          accounts have a row of the week before that the last export did not have; writes JSON with hardware, versions

Appending reads and checks the whole tables, too, and writes both tables of scores anew. What is saved is the encoding
and scoring of 34 weeks, and laying their scores out.
"""

import argparse
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import pandas as pd

import hanjax
from benchmarks.machine import describe_machine
from hanjax.api import prepare
from hanjax.run import Run
from hanjax.scoring import append
from hanjax.scoring.append import append_scores
from hanjax.types import Tables

PHASES = ("identity", "read_folder", "check", "make_digests", "take_recent", "make_panel", "score_run", "locate",
          "merge", "write_folder")  # fmt: skip
"""The functions that ``append_scores`` calls, in order."""


def known_before(market: Tables, date: pd.Timestamp) -> Tables:
    """The tables of a market as they were exported at a date."""
    people = market.individuals[market.individuals["arrived_at"] < date]
    accounts = market.accounts[market.accounts["account_id"].isin(people["account_id"])]
    accounts = accounts.assign(
        observed_to=accounts["observed_to"].clip(upper=date),
        converted_at=accounts["converted_at"].where(accounts["converted_at"] < date),
    )
    return Tables(market.events[market.events["timestamp"] < date], people, accounts)


def without_some(tables: Tables, since: pd.Timestamp, share: float) -> Tables:
    """The tables without the last row of some accounts, if it is not older than a date."""
    last = tables.events[tables.events["timestamp"] >= since].drop_duplicates("account_id", keep="last")
    accounts = tables.accounts["account_id"].sample(frac=share, random_state=0)
    return tables._replace(events=tables.events.drop(index=last.index[last["account_id"].isin(accounts)]))


@contextlib.contextmanager
def phases(seconds: dict[str, float]) -> Iterator[None]:
    """Adds up what each phase of ``append_scores`` takes."""

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

        return call

    with contextlib.ExitStack() as stack:
        for name in PHASES:
            stack.enter_context(mock.patch.object(append, name, timed(name, getattr(append, name))))
        yield


def fastest(run: Run, tables: Tables, folder: Path, repeats: int, **options: Any) -> dict[str, Any]:
    """Brings a copy of a folder up to date, several times; seconds of the fastest, by phase."""
    results = []
    for _ in range(repeats + 1):  # the first one compiles
        with tempfile.TemporaryDirectory() as name:
            copy = Path(shutil.copytree(folder, Path(name) / "scores"))
            seconds: dict[str, float] = {}
            started = time.perf_counter()
            with phases(seconds):
                appended = append_scores(run, tables, copy, **options)
            total = time.perf_counter() - started
        results.append(
            {"seconds": total, "phases": seconds, "samples": len(appended.scores.accounts), **appended.counts._asdict()}
        )
    return min(results[1:], key=lambda result: result["seconds"])


def at_once(run: Run, tables: Tables, repeats: int) -> float:
    """Seconds to score everything and to write it without anything beside it, the fastest."""
    seconds = []
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory() as name:
            started = time.perf_counter()
            scores = hanjax.score(run, tables)
            scores.accounts.to_parquet(Path(name) / "accounts.parquet", index=False)
            scores.individuals.to_parquet(Path(name) / "individuals.parquet", index=False)
            seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def measure(accounts: int, repeats: int) -> dict[str, Any]:
    """Scores one market, and appends its last week."""
    config = hanjax.Config.paper()
    market = hanjax.simulate(accounts=accounts, weeks=35, conversions=0.034).tables
    run, _ = prepare(market, config)
    run.params = run.network.init(jax.random.key(0), jnp.zeros(1))
    end = market.events["timestamp"].max().floor("D")
    cutoffs = [end - pd.Timedelta(days=(end.day_of_week + 1) % 7 + 7 * weeks) for weeks in (1, 0)]  # two Sundays
    before, now = (known_before(market, date + pd.Timedelta(days=1)) for date in cutoffs)
    result: dict[str, Any] = {"accounts": accounts, "events": len(now.events)}
    result["score"] = at_once(run, now, repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        append_scores(run, before, folder)
        result["samples"] = append_scores(run, now, shutil.copytree(folder, folder / "other")).accounts
        shutil.rmtree(folder / "other")
        result["append"] = fastest(run, now, folder, repeats)
        result["append_everything_anew"] = fastest(run, now, folder, repeats, anew=True)
        append_scores(run, without_some(before, cutoffs[0] - pd.Timedelta(days=7), 0.02), folder, anew=True)
        result["append_after_late_rows"] = fastest(run, now, folder, repeats)
    for name in ("append", "append_after_late_rows"):
        result[name]["times_faster"] = result["score"] / result[name]["seconds"]
    return result


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the accounts, once")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    sizes, repeats = ((200, 2_000), 1) if arguments.quick else ((2_000, 20_000), 3)

    rows = [measure(accounts, repeats) for accounts in sizes]
    for row in rows:
        print(f"{row['accounts']:,} accounts, {row['events']:,} events, {row['samples']:,} samples:")
        print(f"  scored and written at once {row['score']:.2f} s")
        for name in ("append_everything_anew", "append", "append_after_late_rows"):
            found = row[name]
            shown = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in found["phases"].items())
            print(f"  {name.replace('_', ' ')}: {found['samples']:,} samples in {found['seconds']:.2f} s ({shown})")
        print(f"  appending is {row['append']['times_faster']:.1f} times as fast", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": describe_machine(), "markets": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
