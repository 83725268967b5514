"""The command line: each command is a few lines over one function of ``hanjax.api``."""

import shlex
import sys
from collections.abc import Callable, Sequence

from hanjax.cli.data import describe, encode, simulate, simulate_company
from hanjax.cli.demo import demo, reproduce
from hanjax.cli.managing import compare, impact, monitor
from hanjax.cli.preparing import features, labels
from hanjax.cli.reasons import explain, segments
from hanjax.cli.registering import registry
from hanjax.cli.training import calibrate, fit, sweep, walk_forward
from hanjax.cli.using import check, evaluate, plot, rank, report, score
from hanjax.cli.working import run
from hanjax.errors import HanjaxError

HELP = """usage: hanjax COMMAND ...

Scores groups and their members together, over time.

  demo              simulate a market (or take --data), fit, evaluate, score, plot and report
                    (--crm: labels, features, reasons, champions and drift, on a simulated company)

Data
  simulate          write a market whose truth is known
  simulate-company  write a company whose truth is known: opportunities, sources of features, and a log
  describe          say what a data set holds, and what would be left out
  labels            make outcomes of opportunities by a rule, and keep them as a gold set
  features          compute dated numbers of accounts, as they were known at each date
  encode            make shards of a data set that outgrows memory

Models
  fit               train a model on a data set: a network, or --model random_forest and others
  sweep             train many at once, over seeds, learning rates or any other settings, and rank them
  walk-forward      train up to a date, test on what follows, roll on
  calibrate         make a model's probabilities truer
  evaluate          say how good a model is on accounts that it has not seen, also --against another
  compare           rank several models on what none of them has seen
  check             prove on your data that nothing leaks

Scores
  score             score accounts and individuals with a trained model; --append scores new weeks alone
  rank              say whom to call, and why now
  explain           give the reasons of each score by aspect, in a sentence, and what to do
  segments          say what a model has learned of each region, product or other segment
  plot              draw accounts' trajectories with their individuals
  report            write one page about a model: who is hot and why, and how good it is

At work
  run               train and score as a file says: labels, features, models, champion, drift, scores, reasons
  monitor           watch for drift and for worse scores; ends with a status for schedulers
  registry          keep versions of models: champion, challenger, history, and a catalog of scores
  impact            say what a score was worth to those whom it gave priority

Research
  reproduce         train the paper's experiments, and say which of its findings hold

hanjax COMMAND --help lists a command's options. A data set is a folder with events, individuals and accounts as
.parquet, .csv or .csv.gz.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status: 0 (or what the command says), 1 after an error that was explained, 2 for wrong usage, 130 after
        Ctrl-C.
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
        status = COMMANDS[arguments[0]](arguments[1:])
    except (HanjaxError, OSError) as error:
        print(f"hanjax {arguments[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = arguments[0] in ("fit", "sweep", "walk-forward") and "--model" not in arguments
        added = ["--resume"] if resumes and "--resume" not in arguments else []
        command = shlex.join(["hanjax", *arguments, *added])
        print(f"\nInterrupted. {'Continue' if resumes else 'Start again'} with: {command}", file=sys.stderr)
        return 130
    return status or 0


COMMANDS: dict[str, Callable[[Sequence[str]], int | None]] = {
    command.__name__.replace("_", "-"): command
    for command in (
        demo, simulate, simulate_company, describe, labels, features, encode, fit, sweep, walk_forward, calibrate,
        evaluate, compare, check, score, rank, explain, segments, plot, report, monitor, registry, impact, run,
        reproduce,
    )
}  # fmt: skip
