"""Commands that prepare what a model is told beside the log: labels and features."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanjax.cli.parsing import command_parser
from hanjax.cli.showing import as_text, save, without_screen
from hanjax.errors import ConfigError, DataError
from hanjax.options import assigned
from hanjax.settings import check_names, require

if TYPE_CHECKING:
    import pandas as pd

    from hanjax.features import Source


def labels(argv: Sequence[str]) -> None:
    """Makes outcomes of opportunities, or verifies a gold set of them."""
    from hanjax.labels import audit, freeze, load_rule, make_labels, read_gold, rule_of
    from hanjax.labels.rules import RULES

    about = (
        "Makes outcomes of opportunities by a rule, audits them, and says what has none and why. outcomes.parquet goes "
        "into the folder of the other tables; left_out.csv and evidence.csv say where everything went."
    )
    parser = command_parser("labels", about, out="where (default: labels)", settings=False)
    parser.add_argument("opportunities", metavar="OPPORTUNITIES", nargs="?", help="a file .parquet, .csv or .csv.gz")
    parser.add_argument("--rule", metavar="FILE", help=f"YAML, JSON or TOML; or the name of one: {', '.join(RULES)}")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="changes the rule, repeatable")
    parser.add_argument(
        "--observed-to", metavar="DATE", help="as of when the table is (default: the latest date in it)"
    )
    parser.add_argument("--candidates", action="store_true", help="also rows without an outcome yet, to be scored")
    parser.add_argument("--won", metavar="STAGE,...", help="for the audit, if names of stages do not say it")
    parser.add_argument("--disengaged", metavar="STAGE,...", help="likewise")
    parser.add_argument("--gold", metavar="FOLDER", type=Path, help="also keep them as a gold set, which cannot change")
    for name, text in (("name", "such as aps-2024"), ("problem", "what is predicted"), ("owner", "who answers for it")):
        parser.add_argument(f"--{name}", help=f"of the gold set: {text}")
    parser.add_argument("--note", default="", help="of the gold set: what else a reader should know")
    parser.add_argument("--verify", metavar="GOLD", help="only hold every row of a gold set against its hash")
    arguments = parser.parse_args(argv)
    if arguments.verify:
        print(f"{read_gold(arguments.verify)}\nEvery row is as it was frozen.")
        return
    if arguments.opportunities is None or arguments.rule is None:
        parser.error("OPPORTUNITIES and --rule are needed, or --verify GOLD.")
    about_gold = {name: getattr(arguments, name) for name in ("name", "problem", "owner")}
    if arguments.gold and not all(about_gold.values()):
        parser.error("a gold set needs --name, --problem and --owner.")
    rule = rule_of({"rule": arguments.rule}) if arguments.rule in RULES else load_rule(arguments.rule)
    rule = rule.replace(**assigned(arguments.set, type(rule)))
    found = make_labels(
        arguments.opportunities, rule, observed_to=arguments.observed_to, candidates=arguments.candidates
    )
    print(f"{found}\n\n{as_text(found.summary().convert_dtypes())}\n")
    told = {name: getattr(arguments, name) for name in ("won", "disengaged")}
    stages = {name: None if text is None else text.split(",") for name, text in told.items()}
    print(f"Audit:\n{as_text(audit(found, arguments.opportunities, **stages))}\n")
    out = arguments.out or Path("labels")
    out.mkdir(parents=True, exist_ok=True)
    found.outcomes.to_parquet(out / "outcomes.parquet", index=False)
    found.left_out.to_csv(out / "left_out.csv", index=False)
    found.evidence.to_csv(out / "evidence.csv", index=False)
    rule.write(out / "rule.json")
    print(f"{out}: outcomes.parquet, left_out.csv, evidence.csv, rule.json")
    if arguments.gold:
        print(freeze(found, arguments.gold, **about_gold, note=arguments.note))


def features(argv: Sequence[str]) -> None:
    """Computes features as of cut-offs, or says which there are."""
    from hanjax.features import Mart, load_features

    about = (
        "Computes the features that a YAML file declares, as of dates, and writes them as a table account_features. "
        "Sources are named in that file (sources: {bookings: {data: bookings.parquet, date: day}}) or by --source."
    )
    parser = command_parser("features", about, out="the file (default: account_features.parquet)", settings=False)
    parser.add_argument("file", metavar="FILE", type=Path, help="YAML with a list of features, and sources")
    parser.add_argument(
        "--source",
        metavar="NAME=PATH:DATE",
        action="append",
        default=[],
        help="a Parquet file (or a pattern of several) and its column of dates, repeatable; PATH:DATE:KNOWN_AT where "
        "rows became known later",
    )
    parser.add_argument("--individuals", metavar="PATH", help="Parquet of who belongs to which account")
    parser.add_argument("--cutoffs", metavar="DATE,...", help="dates; A..B are the starts of all periods from A to B")
    parser.add_argument("--outcomes", metavar="FILE", help="instead: the cut-offs of these outcomes (Parquet)")
    parser.add_argument("--period", default="W-SAT", help="that of the model (default: W-SAT)")
    parser.add_argument("--timezone", default="UTC", help="that of the model (default: UTC)")
    parser.add_argument("--store", metavar="FOLDER", help="keeps values as they were computed, and verifies them")
    parser.add_argument("--revise", action="store_true", help="store values that differ from those stored beside them")
    parser.add_argument("--allow", metavar="NAME,...", help="names, aspects or owners of the features to compute")
    parser.add_argument("--deny", metavar="NAME,...", help="names, aspects or owners of those not to")
    parser.add_argument("--search", metavar="TEXT", help="only list the features that have these words; '' for all")
    parser.add_argument("--profile", action="store_true", help="also profile.csv and features.png, beside the file")
    arguments = parser.parse_args(argv)
    sources, individuals = _sources(arguments.file, arguments.source)
    listed = {name: text.split(",") for name in ("allow", "deny") if (text := getattr(arguments, name))}
    mart = Mart(
        load_features(arguments.file),
        sources,
        individuals=arguments.individuals or individuals,
        folder=arguments.store,
        timezone=arguments.timezone,
        **({"week": arguments.period} if arguments.period.startswith("W-") else {}),
        **listed,
    )
    if arguments.search is not None:
        found = mart.search(arguments.search)
        print(as_text(found.dropna(axis="columns", how="all")) if len(found) else "There is no such feature.")
        return
    if (arguments.cutoffs is None) == (arguments.outcomes is None):
        parser.error("as of when? Name either --cutoffs or --outcomes.")
    table = mart.account_features(_cutoffs(arguments), revise=arguments.revise)
    out = arguments.out or Path("account_features.parquet")
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(out, index=False)
    if arguments.profile:
        _profile(table, out.parent)
    print(f"{out}: {len(table):,} rows of {len(mart.features)} features")


def _profile(table: "pd.DataFrame", folder: Path) -> None:
    """Prints, writes and draws what the values look like."""
    import pandas as pd

    without_screen()
    from hanjax import plot
    from hanjax.features.profile import profile

    matrix = table.rename(columns={"known_at": "cutoff"})
    matrix["cutoff"] += pd.Timedelta(microseconds=1)  # known at the last moment before it
    filled = [name for name in matrix if name.endswith("__missing")]
    matrix = matrix.astype(dict.fromkeys(filled, bool))
    found = profile(matrix)
    print(as_text(found))
    found.to_csv(folder / "profile.csv", index=False)
    save(plot.features(matrix)[0, 0], folder / "features.png")
    print(f"{folder}: profile.csv, features.png")


def _sources(file: Path, told: Sequence[str]) -> tuple[dict[str, "Source"], Any]:
    """The sources that a file of features names, its own paths from where it lies, and those of the command line."""
    import yaml

    from hanjax.features import Source

    try:
        stored = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError):
        stored = {}  # whoever reads the features says what is wrong
    stored = stored if isinstance(stored, dict) else {}
    here, named, found = file.parent, stored.get("sources") or {}, {}
    require(isinstance(named, dict), "sources", named, "a group of sources by name")
    for name, one in named.items():
        require(isinstance(one, dict) and {"data", "date"} <= set(one), f"sources: {name}", one, "its data and date")
        check_names(map(str, one), Source._fields, f"the settings of the source {name!r}")
        found[name] = Source(**{**one, "data": here / one["data"]})
    for text in told:
        name, _, rest = text.partition("=")
        path, *columns = rest.split(":")
        fits = name and path and len(columns) in (1, 2) and all(columns)
        require(bool(fits), "--source", text, "NAME=PATH:DATE or NAME=PATH:DATE:KNOWN_AT")
        found[name] = Source(path, *columns)
    individuals = stored.get("individuals")
    return found, None if individuals is None else here / individuals


def _cutoffs(arguments: argparse.Namespace) -> Any:
    """The cut-offs that were asked for: dates, or accounts with theirs."""
    import numpy as np
    import pandas as pd

    from hanjax.data.dates import parse_date
    from hanjax.data.periods import make_calendar
    from hanjax.data.times import read_times
    from hanjax.features.source import as_arrow

    zone = arguments.timezone
    longest = 400 * 86_400_000_000  # so that a calendar has more than one period, whatever they are
    calendar = lambda times: make_calendar(
        int(times.min()) - longest, int(times.max()) + longest, period=arguments.period, timezone=zone
    )
    if arguments.outcomes is None:
        first, dots, last = arguments.cutoffs.partition("..")
        if not dots:
            return arguments.cutoffs.split(",")
        ends = np.array([parse_date(one, zone, name="--cutoffs") for one in (first, last)])
        starts = calendar(ends).starts
        inside = starts[(starts >= ends[0]) & (starts <= ends[1])]
        if not len(inside):
            raise ConfigError(f"--cutoffs: no period begins from {first} to {last}.")
        return pd.DatetimeIndex(inside.view("M8[us]")).tz_localize("UTC")
    table = as_arrow("outcomes", arguments.outcomes)
    for column in ("account_id", "as_of"):
        if column not in table.column_names:
            raise DataError(f"outcomes: the column {column!r} is missing; the table has {table.column_names}.")
    if not len(table):
        raise DataError(f"outcomes: {arguments.outcomes} has no rows, so there is no cut-off.")
    times = read_times("outcomes", "as_of", table["as_of"], zone).values
    found = calendar(times)
    asked = pd.DataFrame({"account_id": table["account_id"].to_pandas(), "cutoff": found.dates(found.period_of(times))})
    return asked.drop_duplicates(ignore_index=True)
