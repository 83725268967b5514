"""Are models that differ by their seed alone called different?

Command:  python -m benchmarks.seeds [--preset default|recommended] [--markets N] [--out FOLDER] [--quick]
Time:     about a minute a market and eight seeds of the default preset on two cores; markets that are done are kept
Prints:   how often two models that differ by their seed alone are called different at the 5 % level, by the p that
          counts in other accounts alone and by that which counts in other trainings, too; writes
          results/seeds-PRESET.json.

Markets are simulated: 500 accounts to train on, 4,000 for tests, of which disjoint tests of several sizes are made. Of
the default preset, whose trainings are one network each, a model is four of them (with eight seeds, the 35 ways of
dealing them into two models are too many: four are drawn); of the recommended preset, a training is four networks
already. Rates have standard errors by resampling the markets.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import hanjax
from benchmarks.machine import describe_machine
from hanjax.api.evaluating import unseen_panel
from hanjax.evaluation.trainings import compare_trainings
from hanjax.scoring.scores import network_logits

PRESETS = {"default": hanjax.Config, "recommended": hanjax.Config.recommended}
SEEDS = {"default": 8, "recommended": 4}
TRAINING, TESTED = 500, 4000
SIZES, TESTS = (200, 1000, 4000), 3
"""Accounts of a test, and how many disjoint ones are made at most."""


class Trained(NamedTuple):
    """What models of one market say of its test accounts.

    Args:
        logits: ``[S, n, N]`` log-odds by seed and network.
        label: ``[N]`` outcomes.
        account: ``[N]`` number of each sample's account.
    """

    logits: np.ndarray
    label: np.ndarray
    account: np.ndarray


def train(preset: str, market: int, folder: Path, *, accounts: int, seeds: int, epochs: int) -> Trained:
    """Trains one market's models, unless they are there."""
    path = folder / f"{market:03d}.npz"
    if not path.exists():
        tables = hanjax.simulate(accounts=accounts + TESTED, conversions=0.2, seed=1000 + market).tables
        config = PRESETS[preset]().replace(test=TESTED, epochs=epochs)
        population = hanjax.fit_population(tables, {"seed": range(seeds)}, config=config)
        runs = [run for run in population.runs if run is not None]
        panel = unseen_panel(runs[0], tables)
        logits = np.stack([network_logits(panel, run.network, run.params)[..., 0] for run in runs])
        account = np.unique(panel.samples["account_id"], return_inverse=True)[1]
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, logits=logits.astype(np.float32), label=panel.batch.label[:, 0], account=account)
    with np.load(path) as file:
        known = ~np.isnan(file["label"])
        return Trained(file["logits"][..., known], file["label"][known].astype(int), file["account"][known])


def pairs(trained: Trained, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Two models ``[n, N]`` that differ by their seeds alone."""
    logits = trained.logits.astype(float)
    if logits.shape[1] > 1:
        yield from itertools.combinations(logits, 2)
        return
    half = len(logits) // 2
    for _ in range(4):
        order = random.permutation(len(logits))
        yield logits[order[:half], 0], logits[order[half : 2 * half], 0]


def judge(trained: Trained, size: int, *, resamples: int) -> tuple[list[float], list[float], list[float]]:
    """Both p of every pair of models on every test of one size, and the differences of their AUC."""
    accounts = np.random.default_rng(0).permutation(trained.account.max() + 1)
    both, alone, apart = [], [], []
    for test in range(min(len(accounts) // size, TESTS)):
        rows = np.isin(trained.account, accounts[test * size : (test + 1) * size])
        label, account = trained.label[rows], trained.account[rows]
        for first, second in pairs(trained, np.random.default_rng(test)):
            given = dict(measures=["auc"], resamples=resamples, seed=test)
            found = compare_trainings(first[:, rows], second[:, rows], label, account, **given).iloc[0]
            both, alone = [*both, found["p"]], [*alone, found["p_accounts"]]
            apart.append(abs(found["difference"]))
    return both, alone, apart


def main() -> None:
    """Trains what is missing, and counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--markets", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("hanjax-seeds"), help="folder of what models say")
    parser.add_argument("--quick", action="store_true", help="two small markets, one epoch; nothing is written")
    arguments = parser.parse_args()
    markets, accounts, seeds, epochs = arguments.markets, TRAINING, SEEDS[arguments.preset], arguments.epochs
    if arguments.quick:
        markets, accounts, seeds, epochs = 2, 60, 4, 1
    folder = arguments.out / f"{arguments.preset}{seeds}"
    models = [
        train(arguments.preset, market, folder, accounts=accounts, seeds=seeds, epochs=epochs)
        for market in range(markets)
    ]
    rows = []
    for size in SIZES:
        found = [judge(one, size, resamples=50 if arguments.quick else 400) for one in models]
        row = {"accounts": size, "comparisons": sum(len(both) for both, _, _ in found)}
        for name, column in (("p", 0), ("p_accounts", 1)):
            rates = np.array([np.mean(np.array(one[column]) < 0.05) for one in found])
            row |= {name: float(rates.mean()), f"{name}_error": float(rates.std(ddof=1) / np.sqrt(len(rates)))}
        rows.append(row | {"difference": float(np.mean([np.mean(one[2]) for one in found]))})
    print("test accounts   called different: counting in trainings   accounts alone   mean |difference| of AUC")
    for row in rows:
        print(
            f"{row['accounts']:>13}   {100 * row['p']:>20.1f} % ± {100 * row['p_error']:.1f}"
            f"   {100 * row['p_accounts']:>18.1f} % ± {100 * row['p_accounts_error']:.1f}   {row['difference']:>12.4f}"
            f"   ({row['comparisons']} comparisons)"
        )
    if not arguments.quick:
        about = {"machine": describe_machine(), "preset": arguments.preset, "markets": markets}
        stored = about | {"epochs": epochs, "seeds": seeds, "rows": rows}
        path = Path(__file__).parent / "results" / f"seeds-{arguments.preset}.json"
        path.write_text(json.dumps(stored, indent=2) + "\n")


if __name__ == "__main__":
    main()
