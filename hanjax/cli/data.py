"""Commands about data: simulate, simulate-company, describe and encode."""

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hanjax.cli.parsing import PRESETS, add_settings, chosen_settings, command_parser
from hanjax.config import Config, ModelConfig, PanelConfig, TrainConfig
from hanjax.errors import ConfigError, DataError
from hanjax.options import add_options, given
from hanjax.settings import build, read_settings


def simulate(argv: Sequence[str]) -> None:
    """Writes a market whose truth is known."""
    from hanjax import simulation
    from hanjax.simulation import MarketConfig

    parser = command_parser("simulate", "Writes a market whose truth is known.", out="where (or the first argument)")
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


def simulate_company(argv: Sequence[str]) -> None:
    """Writes a company whose truth is known."""
    from hanjax.simulation.company import CompanyConfig, write_company
    from hanjax.simulation.company import simulate_company as make

    about = "Writes a company whose truth is known: opportunities, sources of features, and a log of activities."
    parser = command_parser("simulate-company", about, out="where (or the first argument)")
    parser.add_argument("folder", metavar="OUT", type=Path, nargs="?", help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a company that is there already")
    add_options(parser, CompanyConfig, "company")
    arguments = parser.parse_args(argv)
    folder = arguments.folder or arguments.out or parser.error("where to? Name a folder.")
    stored = read_settings(arguments.config) if arguments.config else {}  # a company.json is such a file
    company = make(build(CompanyConfig, "company", {**stored, **given(arguments, CompanyConfig)}))
    write_company(company, folder, overwrite=arguments.overwrite)
    print(f"{folder}: {company}; what was sold to whom is in opportunities.parquet, features are made of sources/")


def describe(argv: Sequence[str]) -> None:
    """Prints the data's profile beside the paper's, and what would be left out and why."""
    parser = command_parser("describe", "Says what a data set holds.", out="write profile.txt there, too")
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    add_options(parser, PanelConfig, "data")
    arguments = parser.parse_args(argv)
    show_profile(arguments.data, chosen_settings(arguments, Config()).panel, arguments.out)


def show_profile(data: str | Path, config: PanelConfig, out: Path | None) -> None:
    """Prints a data set's profile, and writes it if it is told where."""
    from hanjax import api

    profile = str(api.describe(data, config))
    print(profile)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "profile.txt").write_text(profile + "\n")


def encode(argv: Sequence[str]) -> None:
    """Makes shards of a data set."""
    about = (
        "Makes shards of a data set: parts that `fit` and `score` take one after the other. With --run they are made "
        "to be scored by that model, otherwise to train one, with the settings given here."
    )
    parser = command_parser("encode", about, out="the folder of shards (default: shards)")
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of the tables")
    parser.add_argument("--shards", metavar="N", type=int, required=True, help="how many; memory holds two of them")
    parser.add_argument("--run", metavar="RUN", help="a run folder: encode all accounts as this model needs them")
    parser.add_argument(
        "--spark",
        metavar="MASTER",
        nargs="?",
        const="",
        help="let Spark deal and encode; the tables are Parquet then, as files or folders (default: as Spark is set)",
    )
    parser.add_argument("--preset", choices=PRESETS, help="the settings to start from (default: default)")
    add_settings(parser)
    arguments = parser.parse_args(argv)
    out = arguments.out or Path("shards")
    if arguments.run is None:
        config, encoding = chosen_settings(arguments, PRESETS[arguments.preset or "default"]()), None
    else:
        from hanjax import api

        others = [name for part in (PanelConfig, ModelConfig, TrainConfig) for name in given(arguments, part)]
        others += [name for name in ("config", "preset") if getattr(arguments, name) is not None]
        if others:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in others)
            raise ConfigError(f"--run: a trained model keeps its settings. Leave out {named}.")
        run = api.load(arguments.run)
        config, encoding = run.config.panel, run.encoding
    make = _encode_here if arguments.spark is None else _encode_with_spark
    made = make(arguments, config, encoding=encoding, out=out, shards=arguments.shards)
    for row in made.left_out:
        print(f"left out: {row.table}, {row.reason}: {row.rows:,}")
    print(made)


def _encode_here(arguments: Any, config: Config | PanelConfig, *, shards: int, **how: Any) -> Any:
    """Shards of tables that memory holds, though not their panel."""
    from tqdm import tqdm

    from hanjax import api
    from hanjax.data.parts import deal_tables
    from hanjax.data.sharding import encode_parts
    from hanjax.data.tables import check

    tables, panel = api.read(arguments.data), config.panel if isinstance(config, Config) else config
    check(tables, panel)  # a part does not know that an individual also stands in another one
    parts = deal_tables(tables, shards, account=dict(panel.columns).get("account_id", "account_id"))

    def each(function: Any, count: int) -> list[Any]:
        return [function(number) for number in tqdm(range(count), desc="encoding", unit="shard")]

    return encode_parts(parts, config=config, each=each, **how)


def _encode_with_spark(arguments: Any, config: Config | PanelConfig, **how: Any) -> Any:
    """Shards of tables that no memory holds."""
    try:
        from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError("--spark: is not installed. Install it with `pip install 'hanjax[spark]'`.") from None
    from hanjax.data.frames import OPTIONAL
    from hanjax.spark import encode_spark
    from hanjax.types import Tables

    tables: dict[str, Path] = {}
    for name in Tables._fields:
        paths = [path for path in (arguments.data / f"{name}.parquet", arguments.data / name) if path.exists()]
        if paths:
            tables[name] = paths[0]
        elif name not in OPTIONAL:
            raise DataError(f"{arguments.data}: there is no {name}.parquet, and no folder {name} of such files.")
    if (arguments.spark or "").startswith("local"):  # or workers would be the first python3 of the path
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("hanjax encode")
    with warnings.catch_warnings():  # Spark forks to start Java, which is nothing that JAX has to warn of
        warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
        spark = (builder.master(arguments.spark) if arguments.spark else builder).getOrCreate()
    return encode_spark(spark, **tables, config=config, **how)
