"""The command that keeps versions of models: registry."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hanjax.cli.showing import as_text
from hanjax.errors import ConfigError

if TYPE_CHECKING:
    from hanjax.registry import Registry


def registry(argv: Sequence[str]) -> None:
    """Keeps versions of models."""
    from hanjax.registry import Registry

    about = "Keeps versions of models in a folder: who is champion, who was when and why, and which score is the one."
    parser = argparse.ArgumentParser(prog="hanjax registry", description=about)
    parser.add_argument("folder", metavar="FOLDER", help="the registry; it is made when something is registered")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (action, add, text) in _ACTIONS.items():
        sub = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add(sub)
        sub.set_defaults(do=action)
    arguments = parser.parse_args(argv)
    arguments.do(Registry(arguments.folder), arguments)


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the model")


def _nothing(parser: argparse.ArgumentParser) -> None:
    """Adds no argument."""


def _list(registry: "Registry", arguments: argparse.Namespace) -> None:
    table = registry.table()
    print(as_text(table) if len(table) else f"{arguments.folder}: no model is registered.")


def _register_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, which is copied")
    _name(parser)
    parser.add_argument("--problem", required=True, help="what it predicts, such as 'account propensity'")
    parser.add_argument("--owner", required=True, help="whom to ask")
    parser.add_argument("--until", metavar="DATE", default="", help="what it was trained on was known before it")
    parser.add_argument("--gold", metavar="FOLDER", help="the gold set that it was trained on, for the lineage")
    parser.add_argument("--lineage", metavar="NAME=VALUE", action="append", default=[], help="likewise, repeatable")


def _register(registry: "Registry", arguments: argparse.Namespace) -> None:
    from hanjax.labels import read_gold

    pairs = [text.partition("=") for text in arguments.lineage]
    if wrong := [name for name, equals, _ in pairs if not name or not equals]:
        raise ConfigError(f"--lineage: expected NAME=VALUE, got {', '.join(wrong)}.")
    lineage = {name: value for name, _, value in pairs}
    if arguments.gold:
        lineage["gold"] = read_gold(arguments.gold).manifest["content"]
    told = {name: getattr(arguments, name) for name in ("problem", "owner", "until")}
    entry = registry.register(arguments.run, arguments.name, **told, lineage=lineage)
    known = [alias for alias, version in registry.aliases(entry.name).items() if version == entry.version]
    print(f"{entry.folder}: version {entry.version} of {entry.name!r}, {', '.join(known)}")


def _reason(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--reason", required=True, help="why, for those who ask later")


def _promote_options(parser: argparse.ArgumentParser) -> None:
    _reason(parser)
    parser.add_argument("--version", metavar="N", type=int, help="which one (default: the challenger)")


def _promote(registry: "Registry", arguments: argparse.Namespace) -> None:
    entry = registry.promote(arguments.name, arguments.version, reason=arguments.reason)
    print(f"Version {entry.version} of {entry.name!r} is the champion.")


def _revert(registry: "Registry", arguments: argparse.Namespace) -> None:
    entry = registry.revert(arguments.name, reason=arguments.reason)
    print(f"Version {entry.version} of {entry.name!r} is the champion again.")


def _verify(registry: "Registry", arguments: argparse.Namespace) -> None:
    registry.verify()
    print(f"{arguments.folder}: {len(registry.entries())} versions, every file as it was registered")


def _history(registry: "Registry", arguments: argparse.Namespace) -> None:
    import pandas as pd

    registry.entry(arguments.name)  # which says what there is, if there is no such model
    print(as_text(pd.DataFrame(registry.history(arguments.name))[["at", "alias", "version", "reason"]]))


def _challenge_options(parser: argparse.ArgumentParser) -> None:
    from hanjax.options import add_options
    from hanjax.registry import Rule

    _name(parser)
    parser.add_argument("data", metavar="DATA", help="folder of the tables")
    parser.add_argument("--challenger", metavar="N", type=int, help="a version (default: the challenger)")
    parser.add_argument("--before", metavar="DATE", help="only weeks that begin before this date")
    parser.add_argument("--dry-run", action="store_true", help="decide, and leave the registry as it is")
    add_options(parser, Rule, "rule (default: that of the model's problem)")


def _challenge(registry: "Registry", arguments: argparse.Namespace) -> None:
    import dataclasses

    from hanjax import api
    from hanjax.options import given
    from hanjax.registry import CHALLENGER, RULES, Rule

    rule = None
    if changed := given(arguments, Rule):
        problem = registry.entry(arguments.name, arguments.challenger or CHALLENGER).problem
        rule = dataclasses.replace(RULES.get(problem, Rule()), **changed)
    chosen = dict(challenger=arguments.challenger, rule=rule, before=arguments.before, promote=not arguments.dry_run)
    print(api.challenge(registry, arguments.name, arguments.data, **chosen, progress=True))
    if not arguments.dry_run:
        print(f"Version {registry.aliases(arguments.name)['champion']} of {arguments.name!r} is the champion.")


def _scores(registry: "Registry", arguments: argparse.Namespace) -> None:
    table = registry.scores()
    print(as_text(table) if len(table) else f"{arguments.folder}: no score is declared.")


def _declare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SCORE", help="name of the score")
    parser.add_argument("--purpose", required=True, help="what it is for; scores for one purpose are alternatives")
    parser.add_argument("--owner", required=True, help="whom to ask")
    parser.add_argument("--model", required=True, help="name of the registered model that makes it")
    parser.add_argument("--canonical", action="store_true", help="it is the one to use for its purpose")
    parser.add_argument("--replace", action="store_true", help="it may take the place of another one")


def _declare(registry: "Registry", arguments: argparse.Namespace) -> None:
    from hanjax.registry import Score

    score = Score(*(getattr(arguments, name) for name in Score._fields))
    registry.declare(score, replace=arguments.replace)
    print(f"{registry.canonical(score.purpose).name!r} is the score to use for {score.purpose!r}.")


def _export_options(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("uri", metavar="URI", help="where MLflow is, such as http://localhost:5000")
    parser.add_argument("--version", metavar="N", type=int, help="which one (default: the champion)")
    parser.add_argument("--experiment", help="of MLflow (default: the model's name)")


def _export(registry: "Registry", arguments: argparse.Namespace) -> None:
    from hanjax.registry import CHAMPION
    from hanjax.registry.mlflow import export_mlflow

    entry = registry.entry(arguments.name, CHAMPION if arguments.version is None else arguments.version)
    run = export_mlflow(entry, arguments.uri, experiment=arguments.experiment)
    print(f"{arguments.uri}: run {run} holds version {entry.version} of {entry.name!r}")


_Action = Callable[["Registry", argparse.Namespace], None]
_ACTIONS: dict[str, tuple[_Action, Callable[[argparse.ArgumentParser], None], str]] = {
    "list": (_list, _nothing, "list every version, and who is champion"),
    "register": (_register, _register_options, "copy a run folder as the next version of a model"),
    "promote": (_promote, _promote_options, "make a version the champion"),
    "revert": (_revert, _reason, "make the champion before this one champion again"),
    "verify": (_verify, _nothing, "hold every file against its hash"),
    "history": (_history, _name, "list who was champion or challenger when, and why"),
    "challenge": (_challenge, _challenge_options, "let a challenger compete, and promote it if it is surely better"),
    "scores": (_scores, _nothing, "list the catalog of scores, and which is the one to use for what"),
    "declare": (_declare, _declare_options, "add a score to the catalog"),
    "export-mlflow": (_export, _export_options, "copy a version to MLflow"),
}
