"""What users hand over, in whichever form: tables or a folder, a run or its folder, settings or none."""

from pathlib import Path
from typing import Any, TypeVar

from hanjax.config import Config, PanelConfig
from hanjax.data.reading import read
from hanjax.data.shards import INDEX, Shards
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.registry.entries import ENTRY
from hanjax.run import Run
from hanjax.tabular.run import AnyRun, TabularRun, read_run
from hanjax.types import Tables

Data = Tables | Shards | str | Path
"""Tables, or the folder that holds them; where it is said so, also shards, or theirs."""

Settings = TypeVar("Settings", Config, PanelConfig)


def tables_of(data: Any) -> Tables:
    """The tables given, or those of the folder."""
    if isinstance(data, Tables):
        return data
    if (shards := shards_in(data)) is not None:
        raise DataError(f"data: {shards.folder} holds shards; here the tables are needed that they were made of.")
    if not isinstance(data, str | Path):
        raise DataError(
            f"data: expected hanjax.Tables(events, individuals, accounts) or a folder, got {type(data).__name__}."
        )
    return read(data)


def shards_in(data: Any) -> Shards | None:
    """The shards given, or those of the folder; None if it is something else."""
    if isinstance(data, Shards):
        return data
    if isinstance(data, str | Path) and (Path(data) / INDEX).exists():
        return Shards.read(data)
    return None


def run_of(run: Any) -> AnyRun:
    """The run given, of whichever kind, or that of the folder."""
    if isinstance(run, Run | TabularRun):
        return run
    if not isinstance(run, str | Path):
        raise RunError(f"run: expected a Run or its folder, got {type(run).__name__}. The run comes before the data.")
    return read_run(run)


def keep_registered(folder: str | Path | None, remedy: str) -> None:
    """Refuses to write into a version of a registry."""
    if folder is not None and (Path(folder) / ENTRY).exists():
        raise RunError(f"{folder} is a registered version, whose files may not change. {remedy}")


def settings_of(config: Any, kind: type[Settings]) -> Settings:
    """The settings given, or the defaults; a part is easily mistaken for the whole."""
    if config is None:
        return kind()
    if not isinstance(config, kind):
        remedy = "Give its `panel`." if kind is PanelConfig else "Make one with Config(panel=...)."
        remedy = f" {remedy}" if isinstance(config, Config | PanelConfig) else ""
        raise ConfigError(f"config: expected a {kind.__name__}, got {type(config).__name__}.{remedy}")
    return config
