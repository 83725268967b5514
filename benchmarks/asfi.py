"""How well does the network score real groups? Five fixed folds of Apache Incubator projects, beside regression.

Command:  HANJAX_DATA=<folder> python -m benchmarks.asfi [--period W-SAT] [--preset paper|default] [--quick]
Time:     about ten minutes on two cores at weekly periods
Expects:  $HANJAX_DATA/asfi with events, individuals, accounts and folds; it is not part of this project. Without it the
          script says so and ends.
Prints:   test AUC and average precision by fold, of the network and of logistic regression (scikit-learn) on the
          account's logged activity counts of the same periods and its age (plain and logged), on exactly the same
          samples; writes JSON.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hanjax
from benchmarks.machine import describe_machine
from hanjax.data.panel import calendar_of
from hanjax.data.tables import check


def regression_features(tables: hanjax.Tables, config: hanjax.PanelConfig, panel: hanjax.Panel) -> np.ndarray:
    """Logged counts of each activity in each of the last W periods, and the age, of every sample's account."""
    log = check(tables, config)
    calendar = calendar_of(log, config)
    shape = (len(log.account_ids), len(calendar.starts) + config.window, len(log.activities))
    counts = np.zeros(shape, np.float32)
    place = (log.individual_account[log.event_individual], calendar.period_of(log.event_time), log.event_activity)
    np.add.at(counts, place, 1 if log.event_count is None else log.event_count)
    account = log.account_ids.get_indexer(panel.samples["account_id"])
    cutoff = panel.samples["period"].to_numpy()
    lags = [counts[account, cutoff - lag] * (cutoff >= lag)[:, None] for lag in range(1, config.window + 1)]
    age = cutoff - calendar.period_of(log.observed_from)[account]
    return np.concatenate([*map(np.log1p, lags), age[:, None], np.log1p(age)[:, None]], axis=1)


def main() -> None:
    """Runs the folds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HANJAX_DATA", ""), help="folder that holds asfi")
    parser.add_argument("--period", default="W-SAT", help="W-SAT or M, for instance")
    parser.add_argument("--preset", choices=["paper", "default"], default="paper")
    parser.add_argument("--quick", action="store_true", help="one fold, two epochs")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    folder = Path(arguments.data) / "asfi"
    if not (folder / "events.parquet").exists():
        print(f"skipped: {folder} is not there; set HANJAX_DATA to the folder that holds asfi.")
        return

    tables = hanjax.read(folder)
    base = hanjax.Config.paper() if arguments.preset == "paper" else hanjax.Config()
    base = base.replace(period=arguments.period, opt_out_activity=None, **({"epochs": 2} if arguments.quick else {}))
    whole = hanjax.encode(tables, base.panel)
    features = regression_features(tables, base.panel, whole)
    label = whole.batch.label[:, 0]
    key = pd.MultiIndex.from_frame(whole.samples[["account_id", "cutoff"]])
    log = check(tables, base.panel)
    fold = log.fold[log.account_ids.get_indexer(whole.samples["account_id"])]

    rows = []
    for test_fold in sorted(set(fold))[: 1 if arguments.quick else None]:
        started = time.perf_counter()
        run = hanjax.fit(tables, config=base.replace(test_fold=int(test_fold)))
        result = hanjax.evaluate(run, tables)
        scored = result.scores.accounts.dropna(subset="label")
        at = key.get_indexer(pd.MultiIndex.from_frame(scored[["account_id", "cutoff"]]))
        expected = np.flatnonzero((fold == test_fold) & ~np.isnan(label))
        assert np.array_equal(np.sort(at), expected), "the two models must see the same samples"
        train = (fold != test_fold) & ~np.isnan(label)
        regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        regression.fit(features[train], label[train])
        answer = {
            "network": scored["probability"].to_numpy(),
            "regression": regression.predict_proba(features[at])[:, 1],
        }
        row: dict[str, float] = {"fold": int(test_fold), "samples": len(at), "conversions": int(label[at].sum())}
        for name, values in answer.items():
            row[f"{name}_auc"] = roc_auc_score(label[at], values)
            row[f"{name}_ap"] = average_precision_score(label[at], values)
        row["seconds"] = time.perf_counter() - started
        rows.append(row)
        print(pd.DataFrame(rows).round(4).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    summary = {}
    for column in [c for c in table if c.endswith(("_auc", "_ap"))]:
        error = table[column].std(ddof=1) / np.sqrt(len(table)) if len(table) > 1 else float("nan")
        summary[column] = {"mean": table[column].mean(), "standard_error": error}
        print(f"{column:<16} {table[column].mean():.4f} +- {error:.4f}")
    if arguments.out:
        result = {"machine": describe_machine(), "period": arguments.period, "preset": arguments.preset}
        arguments.out.write_text(json.dumps({**result, "summary": summary, "folds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
