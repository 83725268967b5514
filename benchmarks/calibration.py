"""Are probabilities, calibrated on the accounts that chose the epoch, the true ones in every tier?

Command:  python -m benchmarks.calibration [--preset default|recommended] [--markets N] [--quick]
Time:     about two minutes a market of the default preset on two cores, ten of the recommended one
Prints:   for each way of calibrating, and each tier of fresh accounts, the mean probability beside the mean true one,
          how many standard errors they lie apart, and the log loss beside that of the truth; writes
          results/calibration-PRESET.json.

Markets are simulated, so that each account's true probability of converting next week is known. A tier is a share of
the accounts of each week by the model's probability. Sampling error has two sources, both of which are resampled: the
accounts that the calibration was learned from, and those that it is tested on.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hanjax
from benchmarks.machine import describe_machine
from hanjax.api.calibrating import held_out
from hanjax.api.evaluating import unseen_panel
from hanjax.api.fitting import prepare
from hanjax.evaluation.calibration import apply_calibration, fit_calibration, probability, unweight
from hanjax.evaluation.intervals import account_weights
from hanjax.evaluation.lift import tiers
from hanjax.evaluation.metrics import log_loss
from hanjax.scoring.scores import score_samples

PRESETS = {"default": hanjax.Config, "recommended": hanjax.Config.recommended}
METHODS = ("none", "platt", "isotonic")
Make = Callable[[np.ndarray], np.ndarray]


def learned(method: str, logit: np.ndarray, label: np.ndarray, weights: np.ndarray) -> Make:
    """What makes probabilities of log-odds, learned from samples that count as often as their weights say."""
    if method == "none":
        return probability
    calibration = fit_calibration(logit, label, method, weights=weights)
    return lambda z: apply_calibration(calibration, z)


def study(preset: str, market: int, *, accounts: int, tested: int, epochs: int, resamples: int) -> list[dict[str, Any]]:
    """Trains on one market, and holds its probabilities against the truth."""
    world = hanjax.simulate(accounts=accounts + tested, conversions=0.2, seed=2000 + market)
    config = PRESETS[preset]().replace(test=tested, epochs=epochs, seed=market)
    run = hanjax.fit(world.tables, config=config)
    weightless = lambda logit: unweight(logit[:, 0].astype(float), positive_weight=run.positive_weight)

    panel = prepare(world.tables, config)[1]
    rows, logit = held_out(run, panel)
    label = panel.batch.label[rows, 0]
    known = ~np.isnan(label)
    z, y = weightless(logit)[known], label[known].astype(int)
    owner = np.unique(panel.samples["account_id"].to_numpy()[rows][known], return_inverse=True)[1]
    taught = account_weights(owner.max() + 1, resamples=resamples, seed=1)

    fresh = unseen_panel(run, world.tables)
    at = weightless(score_samples(fresh, run.network, run.params)[0].logit)
    truth = world.truth.set_index(["account_id", "cutoff"])["probability"]
    truth = truth.reindex(pd.MultiIndex.from_frame(fresh.samples[["account_id", "cutoff"]])).to_numpy()
    outcome = fresh.batch.label[:, 0]
    tier = tiers(at, fresh.samples["period"])
    account = np.unique(fresh.samples["account_id"], return_inverse=True)[1]
    drawn = account_weights(account.max() + 1, resamples=resamples, seed=2)

    records = []
    for method in METHODS:
        p = learned(method, z, y, np.ones(len(z)))(at)
        again = [learned(method, z, y, taught[r][owner])(at) for r in range(resamples)]
        seen = ~np.isnan(outcome)
        losses = [float(log_loss(q[seen], outcome[seen])) for q in (p, truth)]
        for name in ("High", "Medium", "Low"):
            rows = tier == name
            weights = drawn[:, account[rows]]
            gaps = [(q[rows] - truth[rows]) @ w / w.sum() for q, w in zip(again, weights, strict=True)]
            gap = p[rows].mean() - truth[rows].mean()
            records.append(
                {"market": market, "method": method, "tier": name, "mean": p[rows].mean(), "truth": truth[rows].mean(),
                 "errors": gap / np.std(gaps, ddof=1), "log_loss": losses[0], "log_loss_truth": losses[1]}
            )  # fmt: skip
    return records


def main() -> None:
    """Runs the study on every market, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--markets", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="one small market, one epoch; nothing is written")
    arguments = parser.parse_args()
    sizes = dict(accounts=1500, tested=4000, epochs=arguments.epochs, resamples=200)
    markets = arguments.markets
    if arguments.quick:
        sizes, markets = dict(accounts=150, tested=100, epochs=1, resamples=20), 1
    records = []
    for market in range(markets):
        records += study(arguments.preset, market, **sizes)
    table = pd.DataFrame(records)
    table["inside"] = table["errors"].abs() < 1.96
    order = {"method": METHODS, "tier": ("High", "Medium", "Low")}
    shown = table.groupby(["method", "tier"])[
        ["mean", "truth", "errors", "inside", "log_loss", "log_loss_truth"]
    ].mean()
    shown = shown.reindex(pd.MultiIndex.from_product(order.values(), names=list(order)))
    print(shown.to_string(float_format="{:.4f}".format))
    if not arguments.quick:
        about = {"machine": describe_machine(), "preset": arguments.preset, "markets": markets, **sizes}
        path = Path(__file__).parent / "results" / f"calibration-{arguments.preset}.json"
        stored = about | {"mean": shown.reset_index().to_dict("records"), "rows": records}
        path.write_text(json.dumps(stored, indent=2) + "\n")


if __name__ == "__main__":
    main()
