"""Commands about data: simulate and describe."""

from collections.abc import Sequence
from pathlib import Path

from hanjax.cli.parsing import chosen_settings, command_parser
from hanjax.config import Config, PanelConfig
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
