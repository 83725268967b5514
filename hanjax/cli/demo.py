"""The commands that do everything: demo and reproduce."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hanjax.cli.data import show_profile, simulate
from hanjax.cli.parsing import add_settings, chosen_settings, command_parser
from hanjax.cli.training import train
from hanjax.cli.using import plot, report, score, show_evaluation
from hanjax.config import Config, PanelConfig
from hanjax.options import add_options, given
from hanjax.settings import read_settings


def demo(argv: Sequence[str]) -> None:
    """Simulates (or takes) a data set, fits, evaluates, scores, plots and reports."""
    about = (
        "The whole path, from tables to scores and pictures. With --crm: a simulated company whose opportunities make "
        "labels, its features, segments and reasons, and a model that is registered, watched, challenged and replaced."
    )
    parser = command_parser("demo", about, out="where (default: hanjax-demo, or hanjax-crm)")
    parser.add_argument("--crm", action="store_true", help="the circle around the score, on a simulated company")
    parser.add_argument("--data", metavar="DIR", type=Path, help="your own tables instead of a simulated market")
    parser.add_argument("--quick", action="store_true", help="a smaller market and fewer epochs")
    add_settings(parser)
    arguments = parser.parse_args(argv)
    if arguments.crm:
        from hanjax.demonstration.circle import show_circle

        show_circle(arguments.out or Path("hanjax-crm"), quick=arguments.quick)
        return
    out, data = arguments.out or Path("hanjax-demo"), arguments.data
    start = Config().replace(epochs=4 if arguments.quick else 20)
    if data is None:
        data = out / "market"
        if not (data / "market.json").exists():  # else it was interrupted later, and goes on from there
            simulate([str(data), "--accounts", "300" if arguments.quick else "2000", "--conversions", "0.3"])
    config = chosen_settings(arguments, start)
    show_profile(data, config.panel, out)
    train(data, out / "run", config, resume=True)
    result = show_evaluation(out / "run", data, out / "evaluation")
    if (data / "truth.parquet").exists():
        _print_ceiling(result, data)
    score([str(out / "run"), str(data), "--out", str(out / "scores")])
    plot([str(out / "run"), str(data), "--out", str(out / "plots")])
    report([str(out / "run"), str(data), "--out", str(out / "report.html")])
    print(f"\nEverything lies in {out}/: market, profile.txt, run, evaluation, scores, plots, report.html.")


def _print_ceiling(result: Any, market: Path) -> None:
    """Says how well the truth does on the same samples, which no log tells in full."""
    import pandas as pd

    from hanjax.evaluation.metrics import auc

    truth = pd.read_parquet(market / "truth.parquet").rename(columns={"probability": "truth"})
    known = result.scores.accounts.dropna(subset="label").merge(truth, on=["account_id", "cutoff"])
    print(f"{'auc of the truth':<22} {auc(known['truth'].to_numpy(), known['label'].to_numpy()):.4f}")


def reproduce(argv: Sequence[str]) -> None:
    """Trains the paper's experiments and writes a report."""
    from hanjax.reproduction.run import PARTS, tqdm_progress
    from hanjax.reproduction.run import reproduce as run

    about = (
        "Trains the paper's baselines and experiments on one split, and writes report.md. Started again, it goes on."
    )
    parser = command_parser("reproduce", about, out="where (default: hanjax-paper)")
    parser.add_argument("--data", metavar="DIR", type=Path, help="your own tables instead of a simulated market")
    parser.add_argument("--quick", action="store_true", help="a small market and two epochs, to see that it works")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model (default: 3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the data instead of the paper's 20")
    parser.add_argument("--accounts", type=int, metavar="N", help="of the simulated market (default: the paper's 2516)")
    parser.add_argument(
        "--rows",
        metavar="NAME,...",
        help="only these models (default: all but the recommended preset's)",
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="what to train (default: %(default)s)")
    add_options(parser, PanelConfig, "data, of every model unless it says otherwise (default: the paper's)")
    arguments = parser.parse_args(argv)
    stored = read_settings(arguments.config).get("panel", {}) if arguments.config else {}
    found = run(
        arguments.out or Path("hanjax-paper"),
        data=arguments.data,
        settings={**stored, **given(arguments, PanelConfig)},
        quick=arguments.quick,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        accounts=arguments.accounts,
        rows=arguments.rows.split(",") if arguments.rows else None,
        parts=arguments.parts.split(","),
        progress=tqdm_progress(),
        command=shlex.join(["hanjax", "reproduce", *argv]),
    )
    print(found)
