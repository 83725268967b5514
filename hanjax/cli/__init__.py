"""The command line: each command is a few lines over one function of ``hanjax.api``."""

import shlex
import sys
from collections.abc import Callable, Sequence

from hanjax.cli.data import describe, simulate
from hanjax.cli.demo import demo, reproduce
from hanjax.cli.training import calibrate, fit, sweep, walk_forward
from hanjax.cli.using import check, evaluate, plot, rank, report, score
from hanjax.cli.working import run
from hanjax.errors import HanjaxError

HELP = """usage: hanjax COMMAND ...

Scores groups and their members together, over time.

  demo          simulate a market (or take --data), fit, evaluate, score, plot and report
  simulate      write a market whose truth is known
  describe      say what a data set holds, and what would be left out
  fit           train a model on a data set
  sweep         train many at once, over seeds, learning rates or any other settings, and rank them
  walk-forward  train up to a date, test on what follows, roll on
  calibrate     make a model's probabilities truer
  score         score accounts and individuals with a trained model; --append scores new weeks alone
  rank          say whom to call, and why now
  evaluate      say how good a model is on accounts that it has not seen, also --against another
  check         prove on your data that nothing leaks
  plot          draw accounts' trajectories with their individuals
  report        write one page about a model: who is hot and why, and how good it is
  reproduce     train the paper's experiments, and say which of its findings hold
  run           train and score as a file says, from opportunities to ranked accounts

hanjax COMMAND --help lists a command's options. A data set is a folder with events, individuals and accounts as
.parquet, .csv or .csv.gz.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status: 0, 1 after an error that was explained, 2 for wrong usage, 4 after an alarm, 130 after Ctrl-C.
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
        return COMMANDS[arguments[0]](arguments[1:]) or 0
    except (HanjaxError, OSError) as error:
        print(f"hanjax {arguments[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = arguments[0] in ("fit", "sweep", "walk-forward")
        added = ["--resume"] if resumes and "--resume" not in arguments else []
        command = shlex.join(["hanjax", *arguments, *added])
        print(f"\nInterrupted. {'Continue' if resumes else 'Start again'} with: {command}", file=sys.stderr)
        return 130


COMMANDS: dict[str, Callable[[Sequence[str]], int | None]] = {
    command.__name__.replace("_", "-"): command
    for command in (
        demo, simulate, describe, fit, sweep, walk_forward, calibrate, score, rank, evaluate, check, plot, report,
        reproduce, run,
    )
}  # fmt: skip
