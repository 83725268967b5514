"""The command that runs a workflow: run."""

import argparse
from collections.abc import Sequence
from functools import partial

from hanjax.errors import ConfigError


def run(argv: Sequence[str]) -> int:
    """Trains and scores as a file says; the status is 4 where drift stopped the scoring."""
    from hanjax.workflow import look_over, read_workflow, score, train

    about = "Trains and scores as a file says: labels, features, models, leaderboard, registry, drift, scores, reasons."
    parser = argparse.ArgumentParser(
        prog="hanjax run",
        description=about,
        epilog="The status is 0, 1 after an error that was explained, 2 for wrong usage, and 4 where drift stopped the "
        "scoring.",
    )
    parser.add_argument("file", metavar="FILE", help="the workflow as YAML, JSON or TOML")
    parser.add_argument("--only", choices=("train", "score"), help="one of the two")
    parser.add_argument("--as-of", metavar="DATE", help="score as of this date (default: the file's, or the latest)")
    parser.add_argument("--dry-run", action="store_true", help="check files, columns and settings, and do nothing")
    arguments = parser.parse_args(argv)
    if arguments.only == "train" and arguments.as_of is not None:
        raise ConfigError("--as-of: is the date of the scores, so it does not go with --only train.")
    workflow = read_workflow(arguments.file)
    if arguments.dry_run:
        found = look_over(workflow)
        print(found)
        return 1 if found.problems else 0
    say = partial(print, flush=True)
    if arguments.only != "score":
        print(train(workflow, say=say))
    if arguments.only == "train":
        return 0
    scoring = score(workflow, as_of=arguments.as_of, say=say)
    if len(scoring.ranking):
        shown = [name for name in ("account_id", "region", "product", "tier", "probability") if name in scoring.ranking]
        print(scoring.ranking[shown].head(5).to_string(index=False))
    print(f"{scoring.folder}: {scoring!r}")
    return scoring.exit_code
