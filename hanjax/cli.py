"""The command line: each command is a few lines over one function of ``hanjax.api``."""

import argparse
import random
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hanjax.config import Config, ModelConfig, PanelConfig, TrainConfig
from hanjax.errors import ConfigError, HanjaxError, RunError
from hanjax.options import add_options, given, varied
from hanjax.settings import build, read_settings

HELP = """usage: hanjax COMMAND ...

Scores groups and their members together, over time.

  demo       simulate a market (or take --data), fit, evaluate, score and plot
  simulate   write a market whose truth is known
  describe   say what a data set holds, and what would be left out and why
  fit        train a model on a data set
  sweep      train many at once, over seeds, learning rates or any other settings, and rank them
  score      score accounts and individuals with a trained model
  evaluate   say how good a model is on accounts that it has not seen
  plot       draw accounts' trajectories with their individuals
  reproduce  train the paper's experiments, and say which of its findings hold

hanjax COMMAND --help lists a command's options. A data set is a folder with events, individuals and accounts as
.parquet, .csv or .csv.gz.
"""

PRESETS = {"default": Config, "paper": Config.paper, "recommended": Config.recommended}
"""Settings to start from, by name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status: 0, 1 after an error that was explained, 2 for wrong usage, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if arguments[0] == "--version":
        from hanjax import __version__

        print(f"hanjax {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        print(f"hanjax: there is no command {arguments[0]!r}; there are {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    try:
        COMMANDS[arguments[0]](arguments[1:])
    except (HanjaxError, OSError) as error:
        print(f"hanjax {arguments[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = arguments[0] in ("fit", "sweep")
        added = ["--resume"] if resumes and "--resume" not in arguments else []
        command = shlex.join(["hanjax", *arguments, *added])
        print(f"\nInterrupted. {'Continue' if resumes else 'Start again'} with: {command}", file=sys.stderr)
        return 130
    return 0


def _parser(command: str, about: str, *, out: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"hanjax {command}", description=about)
    parser.add_argument("--config", metavar="FILE", help="settings as JSON or TOML; options override them")
    parser.add_argument("--out", metavar="DIR", type=Path, help=out)
    return parser


def _settings(arguments: argparse.Namespace, config: Config) -> Config:
    """Settings from the file, if there is one, with those of the command line over them."""
    config = Config.read(arguments.config) if arguments.config else config
    options = {}
    for part in (PanelConfig, ModelConfig, TrainConfig):
        options |= given(arguments, part)
    return config.replace(**options)


def _run(arguments: argparse.Namespace) -> Any:
    """The trained model; a --config may say how the new tables are to be read, and nothing else."""
    from hanjax.api import load

    run = load(arguments.run)
    if arguments.config:
        told, mine = Config.read(arguments.config).to_dict(), run.config.to_dict()
        named = read_settings(arguments.config)
        changed = {n: told[part][n] for part in told for n in named.get(part, {}) if told[part][n] != mine[part][n]}
        kept = [name for name in changed if name not in ("columns", "strays", "timezone")]
        if kept:
            raise ConfigError(
                f"{arguments.config}: a trained model keeps its settings; only columns, strays and timezone can change,"
                f" not {', '.join(kept)}."
            )
        run.config = run.config.replace(**changed)
    return run


def demo(argv: Sequence[str]) -> None:
    """Simulates (or takes) a data set, fits, evaluates, scores and plots."""
    parser = _parser("demo", "The whole path, from tables to scores and pictures.", out="where (default: hanjax-demo)")
    parser.add_argument("--data", metavar="DIR", type=Path, help="your own tables instead of a simulated market")
    parser.add_argument("--quick", action="store_true", help="a smaller market and fewer epochs")
    for part, title in ((PanelConfig, "data"), (ModelConfig, "model"), (TrainConfig, "training")):
        add_options(parser, part, title)
    arguments = parser.parse_args(argv)
    out, data = arguments.out or Path("hanjax-demo"), arguments.data
    start = Config().replace(epochs=4 if arguments.quick else 20)
    if data is None:
        data = out / "market"
        if not (data / "market.json").exists():  # else it was interrupted later, and goes on from there
            simulate([str(data), "--accounts", "300" if arguments.quick else "2000", "--conversions", "0.3"])
    config = _settings(arguments, start)
    _describe(data, config.panel, out)
    _fit(data, out / "run", config, resume=True)
    result = _evaluate(out / "run", data, out / "evaluation")
    if (data / "truth.parquet").exists():
        _print_ceiling(result, data)
    score([str(out / "run"), str(data), "--out", str(out / "scores")])
    plot([str(out / "run"), str(data), "--out", str(out / "plots")])
    print(f"\nEverything lies in {out}/: market, profile.txt, run, evaluation, scores, plots.")


def simulate(argv: Sequence[str]) -> None:
    """Writes a market whose truth is known."""
    from hanjax import simulation
    from hanjax.simulation import MarketConfig

    parser = _parser("simulate", "Writes a market whose truth is known.", out="where (or the first argument)")
    parser.add_argument("folder", metavar="OUT", type=Path, nargs="?", help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a market that is there already")
    add_options(parser, MarketConfig, "market")
    arguments = parser.parse_args(argv)
    folder = arguments.folder or arguments.out or parser.error("where to? Name a folder.")
    stored = read_settings(arguments.config) if arguments.config else {}
    settings = {**stored.get("settings", stored), **given(arguments, MarketConfig)}  # a market.json is such a file
    market = simulation.simulate(build(MarketConfig, "market", settings))
    simulation.write(market, folder, overwrite=arguments.overwrite)
    print(f"{folder}: {len(market.tables.accounts):,} accounts, {len(market.tables.events):,} events")


def describe(argv: Sequence[str]) -> None:
    """Prints the data's profile beside the paper's, and what would be left out and why."""
    parser = _parser("describe", "Says what a data set holds.", out="write profile.txt there, too")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    add_options(parser, PanelConfig, "data")
    arguments = parser.parse_args(argv)
    _describe(arguments.data, _settings(arguments, Config()).panel, arguments.out)


def _describe(data: str | Path, config: PanelConfig, out: Path | None) -> None:
    from hanjax import api

    profile = str(api.describe(data, config))
    print(profile)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "profile.txt").write_text(profile + "\n")


def fit(argv: Sequence[str]) -> None:
    """Trains a model."""
    parser = _parser("fit", "Trains a model on a data set.", out="the run folder (default: run)")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training, to the same bits")
    parser.add_argument("--devices", metavar="N", type=int, default=1, help="devices, or cores, to deal a step among")
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes, which train together with all their devices; found by itself under Slurm, "
        "Open MPI, Kubernetes and on TPU pods, otherwise say where the first process is, and which this one is:",
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="address of the first process")
    parser.add_argument("--processes", metavar="N", type=int, help="how many there are")
    parser.add_argument("--process", metavar="I", type=int, help="which this one is, from 0")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="the settings to start from")
    for part, title in ((PanelConfig, "data"), (ModelConfig, "model"), (TrainConfig, "training")):
        add_options(parser, part, title)
    arguments = parser.parse_args(argv)
    config = _settings(arguments, PRESETS[arguments.preset]())
    out = arguments.out or Path("run")
    if arguments.distributed:
        _join(arguments)
    devices = None if arguments.distributed else arguments.devices
    _fit(arguments.data, out, config, resume=arguments.resume, devices=devices)
    if not arguments.process:  # one of several is enough to say so
        print(f"Next: {shlex.join(['hanjax', 'evaluate', str(out), arguments.data])}")


def _join(arguments: argparse.Namespace) -> None:
    """Joins the processes of a distributed training."""
    import jax

    try:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
    except (ValueError, RuntimeError) as error:
        raise RunError(
            f"--distributed: the processes could not be joined ({str(error).splitlines()[0]}). Start each with the "
            "same --coordinator HOST:PORT and --processes N, and its own --process I."
        ) from error


def sweep(argv: Sequence[str]) -> None:
    """Trains many models at once and ranks them."""
    from hanjax.population import combinations, fit_population

    about = (
        "Trains a model for every combination of some settings, those that differ in numbers alone side by side, and "
        "ranks them by validation. An option that is varied is given several values: --vary learning_rate=0.01,0.003."
    )
    parser = _parser("sweep", about, out="a folder for all run folders (default: sweep)")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    parser.add_argument(
        "--vary",
        metavar="NAME=A,B,...",
        action="append",
        required=True,
        help="a setting and its values, repeatable; A..B are all whole numbers from A to B",
    )
    parser.add_argument("--random", metavar="N", type=int, help="train N of the combinations, drawn by --seed")
    parser.add_argument("--together", metavar="N", type=int, help="how many models side by side, at most")
    parser.add_argument("--devices", metavar="N", type=int, help="devices, or cores of a CPU, to deal them among")
    parser.add_argument("--resume", action="store_true", help="take models that are there already")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="the settings to start from")
    for part, title in ((PanelConfig, "data"), (ModelConfig, "model"), (TrainConfig, "training")):
        add_options(parser, part, title)
    arguments = parser.parse_args(argv)
    config = _settings(arguments, PRESETS[arguments.preset]())
    vary = list(combinations(dict(map(varied, arguments.vary))))
    if arguments.random is not None:
        vary = random.Random(config.train.seed).sample(vary, min(arguments.random, len(vary)))
    out = arguments.out or Path("sweep")
    population = fit_population(
        arguments.data,
        vary,
        out,
        config=config,
        together=arguments.together,
        devices=arguments.devices,
        resume=arguments.resume,
        progress=True,
    )
    print(f"{population}\n{out}/table.csv has all of them.")
    if (best := population.best.folder) is not None:
        print(f"Next: {shlex.join(['hanjax', 'evaluate', str(best), arguments.data])}")


def _fit(data: str | Path, out: Path, config: Config, *, resume: bool, devices: int | None = 1) -> None:
    from hanjax import api

    run = api.fit(data, out, config=config, resume=resume, progress=True, devices=devices)
    print(f"{out}: {run}")


def score(argv: Sequence[str]) -> None:
    """Writes accounts.parquet and individuals.parquet."""
    from hanjax import api

    parser = _parser("score", "Scores accounts and individuals.", out="where (default: scores in the run folder)")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    parser.add_argument("--as-of", metavar="DATE", help="only at the start of the period that holds this date")
    parser.add_argument("--raw", action="store_true", help="leave the class weight in the probabilities")
    arguments = parser.parse_args(argv)
    scores = api.score(_run(arguments), arguments.data, as_of=arguments.as_of, raw=arguments.raw, progress=True)
    out = arguments.out or Path(arguments.run) / "scores"
    out.mkdir(parents=True, exist_ok=True)
    scores.accounts.to_parquet(out / "accounts.parquet", index=False)
    scores.individuals.to_parquet(out / "individuals.parquet", index=False)
    latest = scores.accounts[scores.accounts["cutoff"] == scores.accounts["cutoff"].max()]
    print(f"The most likely accounts at the latest cut-off, {latest['cutoff'].iloc[0]:%Y-%m-%d}:")
    print(latest.nsmallest(5, "rank")[["rank", "account_id", "probability", "n_members"]].to_string(index=False))
    print(f"{out}: {len(scores.accounts):,} scores of accounts, {len(scores.individuals):,} of individuals")


def evaluate(argv: Sequence[str]) -> None:
    """Prints how good a model is on accounts that it has not seen."""
    parser = _parser("evaluate", "Says how good a model is on accounts that it has not seen.", out="write tables there")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    arguments = parser.parse_args(argv)
    _evaluate(_run(arguments), arguments.data, arguments.out)


def _evaluate(run: Any, data: str | Path, out: Path | None) -> Any:
    from hanjax import api

    result = api.evaluate(run, data, progress=True)
    print(f"On accounts that training has not seen:\n{result}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        result.over_time.to_csv(out / "over_time.csv", index=False)
        result.scores.accounts.to_parquet(out / "accounts.parquet", index=False)
        result.scores.individuals.to_parquet(out / "individuals.parquet", index=False)
    return result


def _print_ceiling(result: Any, market: Path) -> None:
    """Says how well the truth does on the same samples, which no log tells in full."""
    import pandas as pd

    from hanjax.evaluation.metrics import auc

    truth = pd.read_parquet(market / "truth.parquet").rename(columns={"probability": "truth"})
    known = result.scores.accounts.dropna(subset="label").merge(truth, on=["account_id", "cutoff"])
    print(f"{'auc of the truth':<22} {auc(known['truth'].to_numpy(), known['label'].to_numpy()):.4f}")


def plot(argv: Sequence[str]) -> None:
    """Draws trajectories and the course of training."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from hanjax import api
    from hanjax import plot as draw

    parser = _parser("plot", "Draws accounts' trajectories.", out="where (default: plots in the run folder)")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    parser.add_argument("--account", action="append", help="id of an account, repeatable (default: the two likeliest)")
    arguments = parser.parse_args(argv)
    run = _run(arguments)
    tables = api.read(arguments.data)
    scores, converted_at = api.score(run, tables, progress=True), api.conversions(tables, run.config.panel)
    out = arguments.out or Path(arguments.run) / "plots"
    out.mkdir(parents=True, exist_ok=True)
    ids = scores.accounts["account_id"]
    by_text = dict(zip(ids.astype(str), ids, strict=True))
    likeliest = scores.accounts.sort_values("probability", ascending=False)["account_id"].unique()[:2]
    drawn = []
    for account in [by_text.get(name, name) for name in arguments.account] if arguments.account else likeliest:
        axes = draw.trajectory(scores, account, converted_at=converted_at.get(account))
        name = re.sub(r"[^\w.-]", "_", str(account))  # an id may hold what a file's name may not
        drawn.append(f"account-{name}.png")
        axes.figure.savefig(out / drawn[-1], dpi=150, bbox_inches="tight")
        plt.close(axes.figure)
    axes = draw.history(run.history)
    axes.figure.savefig(out / "history.png", dpi=150, bbox_inches="tight")
    plt.close(axes.figure)
    print(f"{out}: {', '.join([*drawn, 'history.png'])}")


def reproduce(argv: Sequence[str]) -> None:
    """Trains the paper's experiments and writes a report."""
    from hanjax.reproduction.run import PARTS, tqdm_progress
    from hanjax.reproduction.run import reproduce as run

    about = (
        "Trains the paper's baselines and experiments on one split, and writes report.md. Started again, it goes on."
    )
    parser = _parser("reproduce", about, out="where (default: hanjax-paper)")
    parser.add_argument("--data", metavar="DIR", type=Path, help="your own tables instead of a simulated market")
    parser.add_argument("--quick", action="store_true", help="a small market and two epochs, to see that it works")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model (default: 3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the data instead of the paper's 20")
    parser.add_argument("--accounts", type=int, metavar="N", help="of the simulated market (default: the paper's 2516)")
    parser.add_argument(
        "--rows",
        metavar="NAME,...",
        help="only these models (default: all but the recommended preset's)",
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="what to train (default: %(default)s)")
    add_options(parser, PanelConfig, "data, of every model unless it says otherwise (default: the paper's)")
    arguments = parser.parse_args(argv)
    stored = read_settings(arguments.config).get("panel", {}) if arguments.config else {}
    found = run(
        arguments.out or Path("hanjax-paper"),
        data=arguments.data,
        settings={**stored, **given(arguments, PanelConfig)},
        quick=arguments.quick,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        accounts=arguments.accounts,
        rows=arguments.rows.split(",") if arguments.rows else None,
        parts=arguments.parts.split(","),
        progress=tqdm_progress(),
        command=shlex.join(["hanjax", "reproduce", *argv]),
    )
    print(found)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    command.__name__: command for command in (demo, simulate, describe, fit, sweep, score, evaluate, plot, reproduce)
}
