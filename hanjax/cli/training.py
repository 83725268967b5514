"""Commands that train: fit, sweep, walk-forward and calibrate."""

import argparse
import json
import random
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hanjax.cli.parsing import (
    PRESETS,
    add_processes,
    add_settings,
    chosen_run,
    chosen_settings,
    command_parser,
    join_processes,
    run_and_data,
)
from hanjax.config import Config
from hanjax.errors import ConfigError, RunError
from hanjax.options import varied
from hanjax.settings import build, read_settings

if TYPE_CHECKING:
    from hanjax.tabular import Tabular


def fit(argv: Sequence[str]) -> None:
    """Trains a model."""
    parser = command_parser("fit", "Trains a model on a data set.", out="the run folder (default: run)")
    parser.add_argument("data", metavar="DATA", help="folder of the tables, or of shards")
    parser.add_argument(
        "--model", metavar="NAME", help="a tabular model instead of the network, such as random_forest or xgboost"
    )
    parser.add_argument("--model-options", metavar="JSON", help="its library's own parameters: '{\"max_depth\": 4}'")
    parser.add_argument(
        "--model-settings", metavar="FILE", help="what else there is to say of it (grid, segments, ...): JSON or TOML"
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training, to the same bits")
    parser.add_argument("--devices", metavar="N", type=int, default=1, help="devices, or cores, to deal a step among")
    add_processes(parser, "train together with all their devices")
    parser.add_argument(
        "--preset", choices=PRESETS, help="the settings to start from (default: default; of shards, theirs)"
    )
    add_settings(parser)
    arguments = parser.parse_args(argv)
    from hanjax.training.devices import first_process

    config = chosen_settings(arguments, _start(arguments))
    model, out = _tabular(arguments), arguments.out or Path("run")
    join_processes(arguments)
    devices = None if arguments.distributed else arguments.devices
    train(arguments.data, out, config, model=model, resume=arguments.resume, devices=devices)
    if first_process():
        print(f"Next: {shlex.join(['hanjax', 'evaluate', str(out), arguments.data])}")


def _start(arguments: argparse.Namespace) -> Config:
    """The settings to start from; shards know with which they were made."""
    from hanjax.api.given import shards_in

    if arguments.preset is None and (shards := shards_in(arguments.data)) is not None:
        return shards.training or Config()
    return PRESETS[arguments.preset or "default"]()


def _tabular(arguments: argparse.Namespace) -> "Tabular | None":
    """The tabular model that was asked for; None for the network."""
    if arguments.model is None:
        if arguments.model_options or arguments.model_settings:
            raise ConfigError("--model-options, --model-settings: they are those of a tabular model. Name a --model.")
        return None
    from hanjax.tabular import Tabular

    settings = read_settings(arguments.model_settings) if arguments.model_settings else {}
    if arguments.model_options:
        try:
            settings["options"] = json.loads(arguments.model_options)
        except ValueError as error:
            raise ConfigError(f"--model-options: not valid JSON ({error}).") from None
    return build(Tabular, "model", {**settings, "algorithm": arguments.model})


def sweep(argv: Sequence[str]) -> None:
    """Trains many models at once and ranks them."""
    from hanjax.population import combinations, fit_population

    about = (
        "Trains a model for every combination of some settings, those that differ in numbers alone side by side, and "
        "ranks them by validation. An option that is varied is given several values: --vary learning_rate=0.01,0.003."
    )
    parser = command_parser("sweep", about, out="a folder for all run folders (default: sweep)")
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
    add_settings(parser)
    arguments = parser.parse_args(argv)
    config = chosen_settings(arguments, PRESETS[arguments.preset]())
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


def train(
    data: str | Path,
    out: Path,
    config: Config,
    *,
    model: "Tabular | None" = None,
    resume: bool,
    devices: int | None = 1,
) -> None:
    """Trains a model and says what came out."""
    from hanjax import api

    run = api.fit(data, out, config=config, model=model, resume=resume, progress=True, devices=devices)
    print(f"{out}: {run}")


def walk_forward(argv: Sequence[str]) -> None:
    """Trains up to a date, tests on what follows, and rolls on."""
    from hanjax import api

    about = "Trains on what was known before a date, tests on the periods that follow, and rolls on to the log's end."
    parser = command_parser("walk-forward", about, out="a folder for all run folders (default: walk)")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    parser.add_argument("--start", metavar="DATE", required=True, help="train on what was known before it, first")
    parser.add_argument("--every", metavar="N", type=int, default=4, help="periods from one training to the next")
    parser.add_argument("--resume", action="store_true", help="take steps that are there already")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="the settings to start from")
    add_settings(parser)
    arguments = parser.parse_args(argv)
    config, out = chosen_settings(arguments, PRESETS[arguments.preset]()), arguments.out or Path("walk")
    start, every = arguments.start, arguments.every
    walk = api.walk_forward(
        arguments.data, start, every=every, config=config, out=out, resume=arguments.resume, progress=True
    )
    print(walk)
    walk.evaluation.write(out / "evaluation")
    walk.steps.to_csv(out / "steps.csv", index=False)
    print(f"{out}: {len(walk.runs)} run folders, steps.csv, evaluation")


def calibrate(argv: Sequence[str]) -> None:
    """Learns what makes a model's probabilities truer."""
    from hanjax import api

    about = "Makes a model's probabilities truer, by the accounts that chose its epoch."
    parser = command_parser("calibrate", about, out="another folder for the calibrated run (default: the run's own)")
    run_and_data(parser, "folder of the tables that it was trained on, or of the shards")
    parser.add_argument("--method", choices=("platt", "isotonic"), default="platt", help="two numbers, or any curve")
    arguments = parser.parse_args(argv)
    run, out = chosen_run(arguments), arguments.out
    if out is not None and (out / "config.json").exists() and not out.samefile(arguments.run):
        raise RunError(f"{out} already holds a run. Choose another folder.")
    run.folder = out or run.folder
    run = api.calibrate(run, arguments.data, method=arguments.method)
    notes = {calibration.note for calibration in run.calibrations or () if calibration.note}
    print("\n".join([f"{run.folder}: probabilities are calibrated ({arguments.method})", *sorted(notes)]))
