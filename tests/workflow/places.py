"""A simulated company on disk, with a workflow file beside it."""

import functools
import shutil
from pathlib import Path

import yaml

from hanjax.simulation.company import simulate_company, write_company

TREE = {"algorithm": "decision_tree", "options": {"max_depth": 1}}
PARTS = {
    "algorithm": "logistic_regression",
    "components": {"growth": ["employees"], "social": ["connections"]},
    "folds": 2,
}
TINY = {
    "activity_width": 2, "window_width": 2, "member_width": 2, "category_width": 1, "aggregator": "mean_log_odds",
    "epochs": 1, "batch_size": 128,
}  # fmt: skip
FEATURES = [
    {"name": "employees", "aspect": "growth", "source": "headcount", "expression": "employees", "how": "latest"},
    {"name": "connections", "aspect": "social", "source": "connections", "expression": "sum(connections)"},
]
SETTINGS = {
    "name": "propensity",
    "problem": "account propensity",
    "owner": "sales science",
    "data": "company",
    "opportunities": "company/opportunities.parquet",
    "labels": {"rule": "AccountPropensity"},
    "features": {
        "file": "features.yaml",
        "store": "store",
        "sources": {
            "headcount": {"file": "company/sources/headcount.parquet", "date": "day", "known_at": "known_at"},
            "connections": {"file": "company/sources/connections.parquet", "date": "day"},
        },
    },
    "config": {"train": {"test": 0.3}},
    "models": {"tree": TREE},
    "monitor": {"resamples": 30},
}


@functools.cache
def company():
    return simulate_company(accounts=80, weeks=80, seed=1)


def place(folder: Path, **settings) -> Path:
    """Writes the company, the features and the workflow, with settings over the usual ones; returns the file."""
    write_company(company(), folder / "company", overwrite=True)
    (folder / "features.yaml").write_text(yaml.safe_dump({"features": FEATURES}))
    return write(folder, **settings)


def write(folder: Path, **settings) -> Path:
    file = folder / "workflow.yaml"
    file.write_text(yaml.safe_dump(SETTINGS | settings))
    return file


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target / "workflow.yaml"
