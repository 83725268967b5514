"""A real pipeline: 8,800 opportunities of Maven Analytics' CRM data set, counted by other means."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import DataError
from hanjax.labels import AccountPropensity, audit, make_labels

RULE = AccountPropensity(
    name="maven",
    unit=("region", "product"),
    won=("Won",),
    disengaged=("Lost",),
    open=("Engaging", "Prospecting"),
    columns={
        "account_id": "account",
        "created_at": "engage_date",
        "closed_at": "close_date",
        "stage": "deal_stage",
        "amount": "close_value",
    },
    retries="keep",
    strays="drop",
)


@pytest.fixture(scope="module")
def folder(pytestconfig) -> Path:
    root = pytestconfig.getoption("data") or os.environ.get("HANJAX_DATA")
    if not root or not (Path(root).expanduser() / "crm" / "maven_pipeline.csv.gz").exists():
        pytest.skip("neither --data=FOLDER nor HANJAX_DATA names a folder with crm/maven_pipeline.csv.gz")
    return Path(root).expanduser() / "crm"


@pytest.fixture(scope="module")
def pipeline(folder) -> pd.DataFrame:
    teams = pd.read_csv(folder / "maven_sales_teams.csv").rename(columns={"regional_office": "region"})
    return pd.read_csv(folder / "maven_pipeline.csv.gz").merge(teams, on="sales_agent", validate="many_to_one")


@pytest.fixture(scope="module")
def labels(pipeline):
    return make_labels(pipeline, RULE)


def test_counts_are_those_of_the_table(pipeline, labels):
    assert pipeline["deal_stage"].isin(["Won"]).sum() == 4238 and pipeline["deal_stage"].isin(["Lost"]).sum() == 2473
    evidence = labels.evidence["verdict"].value_counts()
    beside = labels.left_out["reason"].str.startswith("closed, beside another one").sum()
    assert (evidence["won"], evidence["disengaged"] + beside) == (4238, 2473)  # each of the closed ones has an account
    unusable = pipeline["account"].isna() | pipeline["engage_date"].isna()
    reasons = labels.left_out["reason"].value_counts()
    assert reasons["account_id: is missing"] == pipeline["account"].isna().sum() == 1425
    assert reasons["created_at: is missing"] == (unusable & pipeline["account"].notna()).sum()
    assert reasons.sum() + len(labels.evidence) == 8800
    unit = ["account", "region", "product", "engage_date"]
    closed = pipeline[pipeline["deal_stage"].isin(["Won", "Lost"])]
    waiting = pipeline[(pipeline["deal_stage"] == "Engaging") & pipeline["account"].notna()]
    groups = closed.groupby(unit)["deal_stage"].agg(lambda stages: float("Won" in set(stages)))
    lost_beside_open = groups.index[groups == 0].intersection(pd.MultiIndex.from_frame(waiting[unit]))
    assert len(labels.table) == len(groups) - len(lost_beside_open)
    assert labels.table["label"].sum() == groups.sum()
    assert audit(labels, pipeline)["wrong"].sum() == 0


def test_without_dropping_the_first_offenders_are_named(pipeline):
    with pytest.raises(DataError, match=r"account_id: is missing \(1,425 rows; first: '\w{8}' \(row \d+\)"):
        make_labels(pipeline, RULE.replace(strays="error"))


def test_names_that_differ_between_tables_are_refused_and_not_repaired(folder, pipeline, labels):
    products = pd.read_csv(folder / "maven_products.csv")["product"]
    assert set(labels.table["product"]) - set(products) == {"GTXPro"} and "GTX Pro" in set(products)
    usable = pipeline.dropna(subset=["account", "engage_date"])
    misspelled = (usable["product"] == "GTXPro").sum()
    strict = RULE.replace(strays="error", levels={"product": tuple(products)})
    with pytest.raises(DataError, match=f"product: is none of the rule's levels .{misspelled:,} rows; .*'GTXPro'"):
        make_labels(usable, strict)


def test_the_file_itself_is_read(folder, pipeline):
    rule = RULE.replace(unit=("product",))
    pd.testing.assert_frame_equal(
        make_labels(folder / "maven_pipeline.csv.gz", rule).table, make_labels(pipeline, rule).table
    )


def test_flips_are_those_of_a_double_loop(pipeline):
    within = 30
    found = make_labels(pipeline, RULE.replace(retries="flip", retry_within=within))
    usable = pipeline.dropna(subset=["account", "close_date"])
    expected = {}
    for _, deals in usable.groupby(["account", "region", "product"]):
        rows = deals[["opportunity_id", "deal_stage", "engage_date", "close_date"]].to_numpy().tolist()
        for lost in rows:
            if lost[1] == "Lost":
                until = str(np.datetime64(lost[3]) + np.timedelta64(within, "D"))
                wins = [(w[3], w[0]) for w in rows if w[1] == "Won" and w[2] > lost[2] and w[3] <= until]
                if wins:
                    expected[lost[0]] = min(wins)[1]
    flipped = found.evidence[found.evidence["verdict"] == "disengaged, won by a later attempt"]
    assert dict(zip(flipped["opportunity_id"], flipped["by"], strict=True)) == expected
    assert len(expected) > 100
