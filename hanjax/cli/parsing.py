"""What the commands have in common: their options, and the settings and runs that these name."""

import argparse
from pathlib import Path
from typing import Any

from hanjax.config import Config, ModelConfig, PanelConfig, TrainConfig
from hanjax.errors import ConfigError, RunError
from hanjax.options import add_options, given
from hanjax.settings import read_settings

PRESETS = {"default": Config, "paper": Config.paper, "recommended": Config.recommended}
"""Settings to start from, by name."""


def command_parser(command: str, about: str, *, out: str | None, settings: bool = True) -> argparse.ArgumentParser:
    """The parser of a command, with the options that most have.

    Args:
        command: its name.
        about: what it does.
        out: what ``--out`` is for; None if it writes nothing.
        settings: whether a file of settings can be given.
    """
    parser = argparse.ArgumentParser(prog=f"hanjax {command}", description=about)
    if settings:
        parser.add_argument("--config", metavar="FILE", help="settings as JSON or TOML; options override them")
    if out is not None:
        parser.add_argument("--out", metavar="DIR", type=Path, help=out)
    return parser


def chosen_settings(arguments: argparse.Namespace, config: Config) -> Config:
    """Settings from the file, if there is one, with those of the command line over them."""
    config = Config.read(arguments.config) if arguments.config else config
    options = {}
    for part in (PanelConfig, ModelConfig, TrainConfig):
        options |= given(arguments, part)
    return config.replace(**options)


def chosen_run(arguments: argparse.Namespace) -> Any:
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


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds an option for every setting."""
    for part, title in ((PanelConfig, "data"), (ModelConfig, "model"), (TrainConfig, "training")):
        add_options(parser, part, title)


def run_and_data(parser: argparse.ArgumentParser, data: str = "folder of the tables") -> None:
    """Adds the arguments of every command that uses a trained model; ``data`` says of what."""
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("data", metavar="DATA", help=data)


def add_processes(parser: argparse.ArgumentParser, share: str) -> None:
    """Adds the options of a command that several processes can run together.

    Args:
        parser: of the command.
        share: what they do together.
    """
    parser.add_argument(
        "--distributed",
        action="store_true",
        help=f"one of several processes, which {share}; found by itself under Slurm, Open MPI, Kubernetes and on TPU "
        "pods, otherwise say where the first process is, and which this one is:",
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="address of the first process")
    parser.add_argument("--processes", metavar="N", type=int, help="how many there are")
    parser.add_argument("--process", metavar="I", type=int, help="which this one is, from 0")


def join_processes(arguments: argparse.Namespace) -> None:
    """Joins the processes of a command, if it is one of several."""
    if not arguments.distributed:
        return
    import jax

    try:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
    except (ValueError, RuntimeError) as error:
        raise RunError(
            f"--distributed: the processes could not be joined ({str(error).splitlines()[0]}). Start each with the "
            "same --coordinator HOST:PORT and --processes N, and its own --process I."
        ) from error
