"""Commands that use a trained model: score, rank, evaluate, check, plot and report."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hanjax.cli.parsing import add_processes, chosen_run, command_parser, join_processes, run_and_data
from hanjax.cli.showing import as_text, save, without_screen
from hanjax.errors import ConfigError, RunError


def score(argv: Sequence[str]) -> None:
    """Writes accounts.parquet and individuals.parquet."""
    from hanjax import api
    from hanjax.api.given import shards_in
    from hanjax.training.devices import first_process

    about = "Scores accounts and individuals."
    parser = command_parser("score", about, out="where (default: scores in the run folder)")
    run_and_data(parser, "folder of the tables, or of shards")
    parser.add_argument("--as-of", metavar="DATE", help="only at the start of the period that holds this date")
    parser.add_argument("--raw", action="store_true", help="leave the class weight in the probabilities")
    parser.add_argument(
        "--append", action="store_true", help="add what is new to the scores there, and change what late rows touch"
    )
    add_processes(parser, "deal the shards of a data set among them")
    arguments = parser.parse_args(argv)
    join_processes(arguments)
    run, out = chosen_run(arguments), arguments.out or Path(arguments.run) / "scores"
    if shards_in(arguments.data) is not None:
        if arguments.append or arguments.as_of:
            raise ConfigError("--append, --as-of: shards are scored at every cut-off, anew.")
        written = api.score(run, arguments.data, raw=arguments.raw, out=out, progress=True)
        if first_process():
            print(f"{out}: {written.accounts:,} scores of accounts, {written.individuals:,} of individuals, in files")
        return
    if arguments.distributed:
        raise ConfigError("--distributed: processes deal shards among them, and one scores tables. Make shards first.")
    if arguments.as_of is None:
        found = api.append_scores(run, arguments.data, out, raw=arguments.raw, anew=not arguments.append, progress=True)
        scores = found.scores
        shown = f"{found.accounts:,} scores of accounts, {found.individuals:,} of individuals"
        shown += f"\n{found}" if arguments.append else ""
    elif arguments.append:
        raise ConfigError("--append: scores of every week are added to, so it does not go with --as-of.")
    else:
        scores = api.score(run, arguments.data, as_of=arguments.as_of, raw=arguments.raw, progress=True)
        out.mkdir(parents=True, exist_ok=True)
        scores.accounts.to_parquet(out / "accounts.parquet", index=False)
        scores.individuals.to_parquet(out / "individuals.parquet", index=False)
        shown = f"{len(scores.accounts):,} scores of accounts, {len(scores.individuals):,} of individuals"
    if len(scores.accounts):
        latest = scores.accounts[scores.accounts["cutoff"] == scores.accounts["cutoff"].max()]
        print(f"The most likely accounts at the latest cut-off, {latest['cutoff'].iloc[0]:%Y-%m-%d}:")
        print(latest.nsmallest(5, "rank")[["rank", "account_id", "probability", "n_members"]].to_string(index=False))
    print(f"{out}: {shown}")


def evaluate(argv: Sequence[str]) -> None:
    """Prints how good a model is on accounts that it has not seen, and whether it is better than another."""
    about = "Says how good a model is on accounts that it has not seen."
    parser = command_parser("evaluate", about, out="write tables there")
    run_and_data(parser)
    parser.add_argument("--against", metavar="RUN", help="another run folder, to be compared on what neither has seen")
    parser.add_argument("--before", metavar="DATE", help="only weeks that begin before this date")
    arguments = parser.parse_args(argv)
    given = dict(against=arguments.against, before=arguments.before)
    show_evaluation(chosen_run(arguments), arguments.data, arguments.out, **given)


def show_evaluation(run: Any, data: str | Path, out: Path | None, **given: Any) -> Any:
    """Prints an evaluation, and writes its tables if it is told where."""
    from hanjax import api

    result = api.evaluate(run, data, progress=True, **given)
    print(f"On accounts that training has not seen:\n{result}")
    if result.metrics["conversions"]:
        print(f"\nIntervals (95 %, by resampling accounts):\n{as_text(result.intervals())}")
        print(f"\nHow much likelier than all:\n{as_text(result.lift())}")
    if out:
        result.write(out)
        print(f"{out}: the tables behind these figures, and those of gains, calibration, lead time and sizes")
    return result


def rank(argv: Sequence[str]) -> None:
    """Prints and writes whom to call, and why now."""
    from hanjax import api
    from hanjax.run import Run
    from hanjax.scoring.allocation import allocate

    about = "Ranks accounts by probability, each with its individuals, beside the week before."
    parser = command_parser("rank", about, out="where (default: ranking in the run folder)")
    run_and_data(parser)
    parser.add_argument("--as-of", metavar="DATE", help="at the start of the week that holds this date (default: now)")
    parser.add_argument(
        "--influence", metavar="N", type=int, help="individuals' influence, of N accounts (default: 10 of a network)"
    )
    parser.add_argument("--calls", metavar="N", type=int, help="calls that can be made, by each owner if there are any")
    parser.add_argument("--owner", metavar="COLUMN", help="column of the accounts that says whose they are")
    parser.add_argument("--per-account", metavar="N", type=int, default=1, help="most calls to an account (default: 1)")
    parser.add_argument("--threshold", metavar="P", type=float, help="list the accounts that have reached it, and when")
    arguments = parser.parse_args(argv)
    run, out = chosen_run(arguments), arguments.out or Path(arguments.run) / "ranking"
    data, influence = api.read(arguments.data), arguments.influence
    if influence is None:
        influence = 10 if isinstance(run, Run) else 0
    ranking = api.rank(run, data, as_of=arguments.as_of, influence=influence, progress=True)
    tables = {"accounts": ranking.accounts, "individuals": ranking.individuals}
    print(ranking)
    if arguments.calls is not None:
        given = dict(owner=arguments.owner, per_account=arguments.per_account)
        tables["calls"] = allocate(ranking, arguments.calls, **given)
        called = tables["calls"][tables["calls"]["action"] == "call"]
        shown = called.drop(columns=["action", "reason"]).head(20)
        print(f"\n{len(called):,} calls, first of all:\n{shown.to_string(index=False)}")
    if arguments.threshold is not None:
        tables["crossings"] = crossed = api.crossings(run, data, arguments.threshold, progress=True)
        print(f"\nAccounts that have reached {arguments.threshold}, the latest first:")
        dates = {name: crossed[name].dt.strftime("%Y-%m-%d") for name in crossed if crossed[name].dtype.kind == "M"}
        print(crossed.assign(**dates).head(20).to_string(index=False, na_rep="-"))
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
    print(f"{out}: {', '.join(f'{name}.csv' for name in tables)}")


def check(argv: Sequence[str]) -> None:
    """Looks for the ways to fool oneself, and gives a verdict on each."""
    from hanjax import api
    from hanjax.checks import check_all

    about = "Proves on your data that nothing leaks: the future, padding, or accounts on both sides of the split."
    parser = command_parser("check", about, out="write verdicts.txt there, too")
    run_and_data(parser)
    arguments = parser.parse_args(argv)
    verdicts = []
    for verdict in check_all(chosen_run(arguments), api.read(arguments.data)):
        print(verdict, flush=True)
        verdicts.append(verdict)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "verdicts.txt").write_text("".join(f"{verdict}\n" for verdict in verdicts))
    if failed := [verdict.name for verdict in verdicts if not verdict.passed]:
        raise RunError(f"not passed: {', '.join(failed)}.")


def report(argv: Sequence[str]) -> None:
    """Writes one page about a model and what it says."""
    from hanjax import api

    about = "Writes one page, to be read by people who have not seen the code: who is hot and why, and how good it is."
    parser = command_parser("report", about, out="the file (default: report.html in the run folder)")
    run_and_data(parser)
    parser.add_argument("--accounts", metavar="N", type=int, default=3, help="how many accounts are shown closely")
    parser.add_argument("--aspects", metavar="FILE", help="adds reasons: which inputs make up growth, usage and so on")
    arguments = parser.parse_args(argv)
    out = arguments.out or Path(arguments.run) / "report.html"
    given = dict(accounts=arguments.accounts, aspects=arguments.aspects)
    written = api.write_report(chosen_run(arguments), arguments.data, out, **given, progress=True)
    print(f"{written}: open it in a browser")


def plot(argv: Sequence[str]) -> None:
    """Draws trajectories and the course of training."""
    without_screen()
    from hanjax import api
    from hanjax import plot as draw

    parser = command_parser("plot", "Draws accounts' trajectories.", out="where (default: plots in the run folder)")
    run_and_data(parser)
    parser.add_argument("--account", action="append", help="id of an account, repeatable (default: the two likeliest)")
    arguments = parser.parse_args(argv)
    run = chosen_run(arguments)
    tables = api.read(arguments.data)
    scores, converted_at = api.score(run, tables, progress=True), api.conversions(tables, run.config.panel)
    out = arguments.out or Path(arguments.run) / "plots"
    out.mkdir(parents=True, exist_ok=True)
    ids = scores.accounts["account_id"]
    by_text = dict(zip(ids.astype(str), ids, strict=True))
    likeliest = scores.accounts.sort_values("probability", ascending=False)["account_id"].unique()[:2]
    drawn = []
    for account in [by_text.get(name, name) for name in arguments.account] if arguments.account else likeliest:
        axes = draw.trajectory(scores, account, converted_at=converted_at.get(account))
        name = re.sub(r"[^\w.-]", "_", str(account))  # an id may hold what a file's name may not
        drawn.append(f"account-{name}.png")
        save(axes, out / drawn[-1])
    if run.history is not None:  # a tabular model is trained at once
        drawn.append("history.png")
        save(draw.history(run.history), out / drawn[-1])
    print(f"{out}: {', '.join(drawn)}")
