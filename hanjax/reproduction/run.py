"""The whole reproduction: simulate or take data, train every row, measure, draw, and write the report."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax import __version__
from hanjax.api import Data, read
from hanjax.compiled import hardly_optimized
from hanjax.config import Config
from hanjax.errors import ConfigError
from hanjax.reproduction import pictures
from hanjax.reproduction.analyses import analyze
from hanjax.reproduction.choices import measured_rows
from hanjax.reproduction.collect import (
    TESTS,
    Results,
    choice_table,
    experiment_table,
    grid_table,
    ordering_table,
    resolution,
    static_table,
    winners_table,
)
from hanjax.reproduction.jobs import Job, Progress, make_jobs, run_jobs
from hanjax.reproduction.report import render
from hanjax.reproduction.rows import ALL, GRID, ROWS, STATIC, Row, row_named
from hanjax.reproduction.store import Store
from hanjax.reproduction.worlds import World, given_world, simulated_world
from hanjax.settings import require
from hanjax.simulation.settings import MarketConfig
from hanjax.types import Tables

PARTS = ("tables", "variants", "grid", "static")
"""What can be asked for: the paper's tables and figure, the choices, the rules' grid, the static task."""

RULES = (
    "weighted_influence", "any_one", "consensus", "majority", "decision_maker", "veto", "contagion",
)  # fmt: skip
"""Rules by which accounts decide in the worlds of the grid."""

_QUICK_GRID = ("experiment-3", "experiment-4", "regression", "latent-oracle")
_NOT_QUICK = (
    "naive-6", "experiment-7", "experiment-8", "time-gated", "gated-attention", "set-transformer", "mean-log-odds",
)  # fmt: skip


@dataclass(frozen=True)
class Reproduction:
    """What a reproduction found.

    Args:
        folder: where report.md, report.json, the pictures and the finished rows lie.
        tables: by name: "experiments", "orderings", "choices", "static", "crossings", "grid", "winners", "members",
            "failures", as far as they were asked for.
        about: settings, machine, versions and the figures that are no table.
    """

    folder: Path
    tables: dict[str, pd.DataFrame]
    about: dict[str, Any]

    def __repr__(self) -> str:
        """The table of experiments and the orderings, in a few columns."""
        lines = [f"Reproduction({self.folder}/report.md, {self.about['minutes']:.1f} minutes of training)"]
        experiments, orderings = self.tables.get("experiments"), self.tables.get("orderings")
        if experiments is not None and "auc" in experiments:
            wanted = ["title", "paper", "auc", "auc_low", "auc_high", "fresh_auc", "fresh_auc_low", "fresh_auc_high"]
            shown = experiments[[name for name in wanted if name in experiments]]
            lines.append(shown.to_string(index=False, na_rep="", float_format="{:.3f}".format))
        if orderings is not None and len(orderings):
            lines.append(orderings[["test", "claim", "outcome"]].to_string(index=False))
        return "\n\n".join(lines)


def reproduce(
    out: str | Path,
    *,
    data: Data | None = None,
    settings: Mapping[str, Any] | None = None,
    quick: bool = False,
    seeds: int = 3,
    accounts: int | None = None,
    epochs: int | None = None,
    rows: Sequence[str] | None = None,
    parts: Sequence[str] = PARTS,
    resamples: int = 2000,
    progress: Progress | None = None,
    command: str | None = None,
) -> Reproduction:
    """Trains the paper's baselines and experiments on one frozen split, and writes a report.

    Every finished row is kept in ``out``; started again, only what is missing is trained. A row that fails is reported
    as failed, and the others go on.

    Args:
        out: the folder for everything.
        data: tables, or their folder, instead of a simulated market; then there are neither oracles nor the grid.
        settings: of every row, where they differ from the paper's: those that the data need, such as ``columns``,
            ``timezone``, ``period`` or ``strays``. A row's own settings win over them.
        quick: a small market, two epochs, one seed, fewer rows, choices and worlds: to see that it works.
        seeds: how often each row is trained.
        accounts: of the simulated market; None for the paper's 2,516.
        epochs: passes over the data where the paper makes 20; None for those.
        rows: names of the rows of the tables to train, among them those of the recommended preset; None for all but
            these.
        parts: any of "tables", "variants", "grid" and "static".
        resamples: how often accounts are drawn for intervals.
        progress: called before every training with a sentence and the work done and to do; see ``tqdm_progress``.
        command: how it was started, for the report.

    Returns:
        The tables, and where the report is.

    Raises:
        ConfigError: if a row, a part or a setting does not exist.
        DataError: if the data are not what they should be.
        RunError: if a finished row is damaged, or scikit-learn is not installed.

    Example:
        >>> import hanjax
        >>> found = hanjax.reproduce("paper", accounts=60, epochs=1, rows=["regression"], parts=["tables"], resamples=9)
        >>> found.tables["experiments"]["row"].tolist()
        ['regression']
        >>> found.folder.joinpath("report.md").exists()
        True

    Source: sections 7.1 to 7.6 of the paper.
    """
    folder = Path(out)
    plan = _plan(quick, seeds, accounts, epochs, rows, parts)
    given = tuple((settings or {}).items())
    store = Store(folder / "rows")
    if data is None:
        world = simulated_world(plan.market, fresh=plan.fresh, settings=given)
    else:
        world = given_world(data if isinstance(data, Tables) else read(data), settings=given)
    jobs: dict[str, list[Job]] = {}
    possible = _possible(plan.rows, world)
    if "tables" in parts:
        jobs["tables"] = make_jobs(possible, world, seeds=plan.seeds, epochs=plan.epochs)
    if "static" in parts:
        jobs["static"] = make_jobs(plan.static, world, seeds=plan.seeds, epochs=plan.epochs)
    if "variants" in parts:
        small = world.third()
        jobs["variants"] = make_jobs(measured_rows(plan.choices), small, seeds=1, epochs=plan.epochs)
    grid = plan.rules if "grid" in parts and data is None else ()
    for rule in grid:
        ruled = simulated_world(dataclasses.replace(plan.market, rule=rule), name=rule, settings=given).third()
        jobs[f"grid {rule}"] = make_jobs(plan.grid, ruled, seeds=1, epochs=plan.epochs)
    with hardly_optimized() if quick else contextlib.nullcontext():
        run_jobs(_in_order(jobs), store, progress=progress)

    results = {name: Results(some, store, _sizes(some[0].world), resamples) for name, some in jobs.items() if some}
    found: dict[str, Any] = {"about": _about(plan, world, jobs, store, command, parts)}
    if "tables" in results:
        main = results["tables"]
        tests = [test for test in TESTS if test in main.accounts]
        found["experiments"] = experiment_table(main, possible)
        found["orderings"] = [{"test": test, **claim} for test in tests for claim in ordering_table(main, test)]
        found["resolution"] = {test: resolution(main, test) for test in tests}
        found |= analyze(world, main, folder)
    if "static" in results:
        tests = [test for test in TESTS if test in results["static"].accounts]
        found["static"] = [{"test": t, **row} for t in tests for row in static_table(results["static"], plan.static, t)]
    if "variants" in results:
        found["choices"] = choice_table(results["variants"])
    by_rule = {rule: results[f"grid {rule}"] for rule in grid}
    if by_rule:
        found["grid"], found["winners"] = grid_table(by_rule, plan.grid), winners_table(by_rule, plan.grid)
    found["failures"] = [record for some in results.values() for record in some.failures()]
    found = plain(found)
    _draw(found, folder)
    (folder / "report.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")
    (folder / "report.md").write_text(render(found))
    tables = {name: pd.DataFrame(value) for name, value in found.items() if isinstance(value, list)}
    return Reproduction(folder, tables, {**found["about"], **{n: v for n, v in found.items() if n in _FIGURES}})


_FIGURES = ("volume", "resolution", "figure_1")


def tqdm_progress() -> Progress:
    """Opens a progress bar over all trainings, with an estimate of the time that is left; it needs the package tqdm.

    Returns:
        The callable that ``reproduce`` takes.
    """
    from tqdm import tqdm

    bar = tqdm(bar_format="{percentage:3.0f}%|{bar}| {elapsed} so far, about {remaining} left; {desc}", total=1)

    def show(what: str, done: float, total: float) -> None:
        bar.total, bar.n = max(total, 1.0), done if total else 1.0
        bar.set_description_str(what)
        bar.refresh()
        if done >= total:
            bar.close()

    return show


@dataclass(frozen=True)
class _Plan:
    market: MarketConfig
    fresh: int
    seeds: int
    epochs: int | None
    rows: tuple[Row, ...]
    static: tuple[Row, ...]
    choices: int | None
    rules: tuple[str, ...]
    grid: tuple[Row, ...]
    quick: bool


def _plan(
    quick: bool,
    seeds: int,
    accounts: int | None,
    epochs: int | None,
    rows: Sequence[str] | None,
    parts: Sequence[str],
) -> _Plan:
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"parts: there is no part {part!r}; there are {', '.join(PARTS)}.")
    require(epochs is None or epochs >= 1, "epochs", epochs, "at least 1, or none")
    if rows is not None and not rows:
        raise ConfigError("rows: name at least one, or none at all for those of the paper and a few beyond it.")
    wanted = {row_named(name).name for name in rows} if rows is not None else {row.name for row in ROWS}
    if quick and rows is None:
        wanted -= set(_NOT_QUICK)
    number = accounts or (400 if quick else MarketConfig().accounts)
    # Small markets get more conversions, so that both outcomes are in every part.
    share = min(max(MarketConfig().conversions, 60 / number), 0.4)
    grid = _QUICK_GRID if quick else GRID
    return _Plan(
        market=MarketConfig(accounts=number, conversions=share),
        fresh=2 * number,
        seeds=1 if quick else seeds,
        epochs=2 if quick and epochs is None else epochs,
        rows=tuple(row for row in ALL if row.name in wanted),
        static=tuple(row for row in STATIC if not quick or "baseline" not in row.name),
        choices=2 if quick else None,
        rules=RULES[:2] if quick else RULES,
        grid=tuple(row_named(name) for name in grid),
        quick=quick,
    )


def _in_order(jobs: dict[str, list[Job]]) -> list[Job]:
    """All trainings, those of the grid row by row, as a program compiled for one world often fits the next."""
    whole = [job for name, some in jobs.items() if not name.startswith("grid") for job in some]
    worlds = [some for name, some in jobs.items() if name.startswith("grid")]
    return whole + [job for same_row in zip(*worlds, strict=True) for job in same_row]


def _possible(rows: Sequence[Row], world: World) -> list[Row]:
    """The rows that a world allows: there are oracles in simulated ones alone."""
    return [row for row in rows if world.market is not None or row.table != "oracle"]


def _sizes(world: World) -> dict[str, int]:
    sizes = {"test": int((~world.training).sum())}
    return sizes if world.fresh is None else {**sizes, "fresh": len(world.fresh.tables.accounts)}


def _about(
    plan: _Plan, world: World, jobs: dict[str, list[Job]], store: Store, command: str | None, parts: Sequence[str]
) -> dict[str, Any]:
    done = [store.read(job.key, scores=False) for some in jobs.values() for job in some]
    packages = ("jax", "flax", "optax", "numpy", "scikit-learn")
    market = None if world.market is None else dataclasses.asdict(world.market.config)
    return {
        "command": command,
        "data": world.name,
        "market": market,
        "fresh_accounts": None if world.fresh is None else len(world.fresh.tables.accounts),
        "train_accounts": int(world.training.sum()),
        "test_accounts": int((~world.training).sum()),
        "split": world.digest,
        "seeds": plan.seeds,
        "epochs": plan.epochs,
        "quick": plan.quick,
        "parts": [part for part in PARTS if part in parts],
        "trainings": len(done),
        "minutes": sum(row.seconds for row in done if row is not None) / 60,
        "settings": Config.paper().replace(**dict(world.settings)).to_dict(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {"hanjax": __version__, **{name: importlib.metadata.version(name) for name in packages}},
    }


def _processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _draw(found: dict[str, Any], folder: Path) -> None:
    if any(record.get("auc") is not None for record in found.get("experiments", [])):
        pictures.draw_experiments(found["experiments"], folder / "experiments.png")
        if any(record.get("fresh_auc") is not None for record in found["experiments"]):
            pictures.draw_experiments(found["experiments"], folder / "experiments-fresh.png", prefix="fresh_")
    for name, draw in (
        ("grid", pictures.draw_grid),
        ("crossings", pictures.draw_crossings),
        ("members", pictures.draw_members),
    ):
        if found.get(name):
            draw(found[name], folder / f"{name}.png")


def plain(value: Any) -> Any:
    """What JSON can hold: NumPy's numbers as Python's, and None for what is not finite."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
