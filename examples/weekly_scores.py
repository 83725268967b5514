"""From tables to weekly scores, and the picture of one account: the whole path in thirty lines.

Command:   python examples/weekly_scores.py [--quick] [--out FOLDER]
Time:      about a minute on two CPU cores; with --quick about twenty seconds
Expected:  the most likely accounts of the last week, whom to call there, and trajectory.png: an account that had
           not been seen in training, over the weeks before it converts
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import hanjax


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small market and two epochs")
    parser.add_argument("--out", type=Path, default=Path("."), help="where the picture goes")
    arguments = parser.parse_args()

    market = hanjax.simulate(accounts=120 if arguments.quick else 2516, conversions=0.3, seed=2)
    config = hanjax.Config().replace(epochs=2 if arguments.quick else 20)
    run = hanjax.fit(market.tables, config=config, progress=True)
    print(hanjax.evaluate(run, market.tables))

    scores = hanjax.score(run, market.tables, as_of="2021-09-05")
    accounts = scores.accounts.nsmallest(3, "rank")
    print(accounts[["rank", "account_id", "probability", "n_members"]].to_string(index=False))
    people = scores.individuals[scores.individuals["account_id"] == accounts["account_id"].iloc[0]]
    people = people.sort_values("rank_in_account").head(3)
    print(people[["rank_in_account", "individual_id", "score", "share"]].to_string(index=False))

    # An account of the test set that converts, with the steepest way there.
    known = market.tables.accounts.set_index("account_id")["converted_at"].dropna()
    unseen = known[run.split.loc[known.index].to_numpy() == "test"]
    history = hanjax.score(run, market.tables)
    rows = history.accounts[history.accounts["account_id"].isin(unseen.index)]
    by_account = rows.groupby("account_id")["probability"]
    steepest = (by_account.last() / by_account.median()).where(by_account.size() >= 10).idxmax()
    axes = hanjax.plot.trajectory(history, steepest, converted_at=unseen[steepest])
    arguments.out.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(arguments.out / "trajectory.png", dpi=110)
    print(arguments.out / "trajectory.png")


if __name__ == "__main__":
    main()
