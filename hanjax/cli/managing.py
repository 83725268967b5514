"""Commands for models at work: compare, monitor and impact."""

from collections.abc import Sequence
from pathlib import Path

from hanjax.cli.parsing import chosen_run, command_parser, run_and_data
from hanjax.cli.showing import as_text
from hanjax.errors import ConfigError


def compare(argv: Sequence[str]) -> None:
    """Ranks models on what none of them has seen."""
    from hanjax import api
    from hanjax.api.leaderboard import MEASURES

    about = "Measures models of any kind on the samples that none of them has seen, the best first."
    parser = command_parser("compare", about, out="write leaderboard.csv there", settings=False)
    parser.add_argument("runs", metavar="NAME=RUN", nargs="+", help="run folders, each with a name")
    parser.add_argument("--data", metavar="DATA", required=True, help="folder of the tables")
    parser.add_argument("--measure", choices=MEASURES, default="auc", help="what they are sorted by (default: auc)")
    parser.add_argument("--before", metavar="DATE", help="only weeks that begin before this date")
    arguments = parser.parse_args(argv)
    pairs = [text.partition("=") for text in arguments.runs]
    runs = {name: folder for name, _, folder in pairs if name and folder}
    if len(runs) < len(pairs):
        raise ConfigError(f"NAME=RUN: expected folders, each with a name of its own, got {' '.join(arguments.runs)}.")
    table = api.leaderboard(runs, arguments.data, measure=arguments.measure, before=arguments.before)
    ends = [name for name in table if name.endswith(("_low", "_high"))]
    own = [f"{arguments.measure}_low", f"{arguments.measure}_high", "difference_low", "difference_high"]
    print(as_text(table.drop(columns=[name for name in ends if name not in own]), index=True))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out / "leaderboard.csv")
        print(f"{arguments.out}: leaderboard.csv, with all intervals")


def monitor(argv: Sequence[str]) -> int:
    """Watches a model, and returns a status for schedulers."""
    from hanjax import api
    from hanjax.monitoring import exit_code

    about = (
        "Looks whether data and scores are still what they were in training, and how good the scores have been. "
        "Make the reference once, of the training's data: hanjax monitor RUN DATA --make-reference."
    )
    parser = command_parser(
        "monitor", about, out="where (default: monitoring in the run folder; of a reference the folder itself)"
    )
    parser.epilog = (
        "exit status: 0 nothing is an alarm; 4 an alarm; 3 a warning, with --strict; 1 the command failed; "
        "2 it was called wrongly."
    )
    run_and_data(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--reference", metavar="FOLDER", help="of the training's data (default: the run folder's)")
    which.add_argument("--make-reference", action="store_true", help="make that of DATA, the training's, and stop")
    parser.add_argument(
        "--periods", metavar="N", type=int, help="look at the last N periods (default: one; of a reference, all)"
    )
    parser.add_argument(
        "--as-of", metavar="DATE", help="at the start of the period that holds this date (default: now)"
    )
    parser.add_argument("--no-outcomes", action="store_true", help="look at data and scores alone")
    parser.add_argument(
        "--alpha", type=float, default=0.01, help="share of reports with a chance alarm (default: 0.01)"
    )
    parser.add_argument("--least", type=float, default=0.0, help="least stability index of an alarm (default: 0)")
    parser.add_argument("--strict", action="store_true", help="also end with a status for warnings")
    arguments = parser.parse_args(argv)
    run = chosen_run(arguments)
    if arguments.make_reference:
        folder = arguments.out or arguments.run
        print(api.make_reference(run, arguments.data, folder, periods=arguments.periods, progress=True))
        print(f"{folder}: reference.json, and a table for each part of it")
        return 0
    found = api.monitor(
        run,
        arguments.data,
        as_of=arguments.as_of,
        periods=1 if arguments.periods is None else arguments.periods,
        reference=arguments.reference,
        outcomes=not arguments.no_outcomes,
        alpha=arguments.alpha,
        least=arguments.least,
        progress=True,
    )
    page = found.write(arguments.out or Path(arguments.run) / "monitoring")
    status = exit_code(found, strict=arguments.strict)
    print(f"{found}\n{page}: open it in a browser; tables and verdict.json stand beside it\nexit status {status}")
    return status


def impact(argv: Sequence[str]) -> None:
    """Says what priority was worth, or how many it takes to show that."""
    about = "Compares how often something was reached where a score gave priority, and where it did not."
    parser = command_parser("impact", about, out=None, settings=False)
    parser.add_argument("--treated", metavar="SUCCESSES/TOTAL", type=_counts, help="where priority was given")
    parser.add_argument("--control", metavar="SUCCESSES/TOTAL", type=_counts, help="where it was not")
    parser.add_argument("--measure", default="win rate", help="what was reached (default: win rate)")
    parser.add_argument("--ratio", action="store_true", help="in times as much instead of percentage points")
    parser.add_argument("--by-lot", action="store_true", help="priority was given at random")
    parser.add_argument("--required", metavar=("BASE", "LIFT"), nargs=2, type=float, help="how many it takes: 0.2 1.25")
    parser.add_argument("--power", type=float, default=0.8, help="how often it is to be shown then (default: 0.8)")
    arguments = parser.parse_args(argv)
    both = [arguments.treated, arguments.control]
    if (None in both) == (arguments.required is None) or both.count(None) == 1:
        parser.error("what for? Name --treated and --control, or --required.")
    if arguments.required is not None:
        from hanjax.monitoring.proportions import required_sample

        base, lift = arguments.required
        sizes = required_sample(base, lift, power=arguments.power)
        print(
            f"To show that {base:.4g} becomes {base * lift:.4g} (p 0.05), it takes {sizes.first:,} with priority and "
            f"{sizes.second:,} without."
        )
        return
    import numpy as np

    from hanjax.monitoring.impact import rate_impact

    outcomes = np.concatenate([np.arange(total) < successes for successes, total in both])
    prioritized = np.arange(len(outcomes)) < both[0][1]
    shown = "ratio" if arguments.ratio else "points"
    print(rate_impact(outcomes, prioritized, measure=arguments.measure, shown=shown, randomized=arguments.by_lot))


def _counts(text: str) -> tuple[int, int]:
    """Successes and their total."""
    successes, _, total = text.replace(",", "").partition("/")
    found = int(successes), int(total)
    if not 0 <= found[0] <= found[1]:
        raise ValueError(text)
    return found
