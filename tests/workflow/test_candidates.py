"""Who is scored: what is open, or everybody, and what was known by then."""

import pandas as pd
import pytest

from hanjax.config import PanelConfig
from hanjax.data.tables import check
from hanjax.types import Tables
from hanjax.workflow import ScoreSettings, Workflow
from hanjax.workflow.candidates import candidates_of
from tests.labels.deals import table, upsells

WON, LOST, OPEN = "closed won", "closed disengaged", "negotiation"
CUTOFF, WEDNESDAY, LATER = (pd.Timestamp(date, tz="UTC") for date in ("2023-01-15", "2023-01-18", "2023-03-05"))


def found(opportunities, rule, candidates, *, moment, cutoff, tmp_path):
    """The candidates, of accounts 1 to 4 that are observed all the time."""
    opportunities.to_parquet(tmp_path / "opportunities.parquet", index=False)
    workflow = Workflow(
        name="p", problem="who buys", owner="Ann", data="data", models={"network": {"network": {}}}, labels=rule,
        opportunities=str(tmp_path / "opportunities.parquet"), score=ScoreSettings(candidates=candidates),
    )  # fmt: skip
    ids = [1, 2, 3, 4]
    tables = Tables(
        events=pd.DataFrame({"individual_id": ids, "account_id": ids, "timestamp": "2023-01-03", "activity": "visit"}),
        individuals=pd.DataFrame({"individual_id": ids, "account_id": ids, "arrived_at": "2023-01-02"}),
        accounts=pd.DataFrame({"account_id": ids, "observed_from": "2023-01-01", "observed_to": "2023-04-01"}),
    )
    given = candidates_of(workflow, tables, check(tables, PanelConfig()), moment, cutoff)
    assert given is not None
    return given


@pytest.mark.parametrize("candidates", ["open", "accounts"])
def test_what_was_closed_since_the_cutoff_is_no_candidate_and_not_known(candidates, tmp_path):
    given = table(
        ("before", 1, "EMEA", 2, 10, WON),
        ("quick", 2, "EMEA", 15, 16, WON),  # Monday to Tuesday, in the week that holds the moment
        ("open", 3, "EMEA", 15, None, OPEN),
    )
    rule = {"rule": "AccountPropensity"}
    found_ = found(given, rule, candidates, moment=WEDNESDAY, cutoff=CUTOFF, tmp_path=tmp_path)
    outcomes = found_.tables.outcomes
    assert outcomes is not None
    assert outcomes.loc[outcomes["label"].notna(), "account_id"].tolist() == [1]
    assert sorted(outcomes.loc[outcomes["as_of"] == CUTOFF, "account_id"]) == sorted(found_.table["account_id"])
    assert set(found_.table["account_id"]) == ({3} if candidates == "open" else {1, 2, 3, 4})


def test_every_unit_that_ever_had_an_opportunity_is_there_with_or_without_a_label(tmp_path):
    given = upsells(
        ("base", 1, "A", "new", 0, 5, WON, 100.0, 5, 100),
        ("renewal", 1, "A", "renewal", 20, 28, WON, 120.0, 101, 200),
        ("running", 1, "B", "new", 10, 15, WON, 10.0, 15, 100),
        ("first", 2, "A", "new", 10, None, OPEN, None, None, None),
        ("lost", 3, "B", "add-on", 30, 35, LOST, None, None, None),  # of no customer: it has no label
    )
    rule = {"rule": "UpsellPropensity", "churn_within": None}
    units = found(given, rule, "accounts", moment=LATER, cutoff=LATER, tmp_path=tmp_path).table.fillna("")
    wanted = {(1, "A", "renewal"), (1, "B", ""), (2, "A", ""), (3, "B", "add-on"), (4, "", "")}
    assert set(units[["account_id", "product", "kind"]].itertuples(index=False, name=None)) == wanted
    assert len(units) == len(wanted)

    given = table(
        ("waits", 1, "EMEA", 0, 50, LOST), ("won", 2, "EMEA", 0, 9, WON), ("ahead", 3, "EMEA", 80, None, OPEN)
    )
    rule = {"rule": "AccountPropensity", "wait": True}
    units = found(given, rule, "accounts", moment=LATER, cutoff=LATER, tmp_path=tmp_path).table.fillna("")
    wanted = {(1, "EMEA"), (2, "EMEA"), (3, ""), (4, "")}
    assert set(units[["account_id", "region"]].itertuples(index=False, name=None)) == wanted
