"""Tables of opportunities: what is taken from whichever library, and what is refused in which words."""

import datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.labels import AccountPropensity, UpsellPropensity, make_labels
from hanjax.labels.opportunities import check_opportunities
from tests.labels.deals import table, upsells

WON, LOST = "closed won", "closed disengaged"
GOOD = table(
    ("a", 1, "EMEA", 0, 10, WON),
    ("b", 2, "EMEA", 5, 20, LOST),
    ("c", 2, "APAC", 7, None, "prospecting"),
)
RULE = AccountPropensity()
ZONED = pd.Timestamp("2023-01-01", tz="UTC")


def with_cell(row: int, **cells) -> pd.DataFrame:
    changed = GOOD.astype(object)
    for name, value in cells.items():
        changed.at[row, name] = value
    return changed


def test_every_library_and_file_gives_the_same(tmp_path):
    expected = check_opportunities(GOOD, RULE).table
    GOOD.to_csv(tmp_path / "o.csv", index=False)
    GOOD.to_csv(tmp_path / "o.csv.gz", index=False)
    GOOD.to_parquet(tmp_path / "o.parquet")
    dated = GOOD.assign(created_at=pd.to_datetime(GOOD["created_at"]), closed_at=pd.to_datetime(GOOD["closed_at"]))
    python = dated.assign(created_at=[value.date() for value in dated["created_at"]])
    assert isinstance(python["created_at"].iloc[0], datetime.date)
    numbered = GOOD.set_axis([7, 7, 9])
    for given in (
        pl.from_pandas(GOOD),
        pa.Table.from_pandas(GOOD),
        dated,
        python,
        numbered,
        GOOD.astype({"stage": "category", "region": "category"}),
        GOOD.astype({"account_id": float}),  # as pandas does where some are missing
        str(tmp_path / "o.csv"),
        tmp_path / "o.csv.gz",
        tmp_path / "o.parquet",
    ):
        pd.testing.assert_frame_equal(check_opportunities(given, RULE).table, expected)


def test_ids_in_files_are_numbers_only_where_all_are_written_so(tmp_path):
    GOOD.assign(account_id=["01", "2", "NA"]).to_csv(tmp_path / "o.csv", index=False)
    assert check_opportunities(tmp_path / "o.csv", RULE).table["account_id"].tolist() == ["01", "2", "NA"]
    GOOD.to_csv(tmp_path / "o.csv", index=False)
    assert check_opportunities(tmp_path / "o.csv", RULE).table["account_id"].dtype == "int64"
    GOOD.astype({"account_id": str}).to_parquet(tmp_path / "o.parquet")  # which says itself what they are
    assert check_opportunities(tmp_path / "o.parquet", RULE).table["account_id"].tolist() == ["1", "2", "2"]
    assert check_opportunities(GOOD.assign(opportunity_id=[3, 1, 2]), RULE).table["opportunity_id"].tolist() == [
        "3",
        "1",
        "2",
    ]


def test_other_names_of_columns_stages_and_kinds():
    theirs = GOOD.rename(columns={"stage": "deal_stage", "region": "Region"})
    theirs["deal_stage"] = ["Won", "Lost", "Prospecting"]
    theirs["kind"] = ["New Business", "New Business", "Upsell"]
    rule = AccountPropensity(
        won=("Won",),
        disengaged=("Lost",),
        columns={"stage": "deal_stage", "region": "Region"},
        kind_names={"New Business": "new", "Upsell": "add-on"},
    )
    found = check_opportunities(theirs, rule).table
    assert found["status"].tolist() == ["won", "disengaged", "open"] and found["kind"].tolist() == [
        "new",
        "new",
        "add-on",
    ]
    assert "region" in found and "Region" not in found
    with pytest.raises(DataError, match="has both 'stage' and 'deal_stage'"):
        check_opportunities(theirs.assign(stage="x"), rule)
    with pytest.raises(DataError, match=r"opportunities: the column 'deal_stage' is missing; .*'stage'"):
        check_opportunities(GOOD, rule)


def test_two_columns_can_change_places():
    swapped = GOOD.rename(columns={"created_at": "closed_at", "closed_at": "created_at"})
    rule = AccountPropensity(columns={"created_at": "closed_at", "closed_at": "created_at"})
    pd.testing.assert_frame_equal(make_labels(swapped, rule).table, make_labels(GOOD, RULE).table)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (with_cell(1, closed_at="2023-01-02"), r"closed_at: is before created_at \(1 row; first: 'b' \(row 1: cr"),
        (with_cell(1, closed_at=None), r"closed_at: is missing in a closed stage .*'b' \(row 1: stage 'closed d"),
        (with_cell(2, closed_at="2023-03-01"), r"closed_at: is given in an open stage .*'c'.*strays=\"drop\""),
        (with_cell(2, stage="Closed Won", closed_at="2023-03-01"), "given in an open stage .*'Closed Won'"),
        (with_cell(1, opportunity_id="a"), r"opportunity_id: stands more than once \(1 row; first: 'a' \(row 1\)\)"),
        (with_cell(1, opportunity_id=None), r"opportunity_id: is missing \(1 row; first: row 1\)"),
        (with_cell(1, opportunity_id="x,y"), "opportunity_id: has a comma"),
        (with_cell(0, account_id=None), r"account_id: is missing \(1 row; first: 'a' \(row 0\)\)"),
        (with_cell(0, region=""), "region: is missing"),
        (with_cell(0, created_at=None), "created_at: is missing"),
        (with_cell(0, stage=None, closed_at=None), "stage: is missing"),
        (with_cell(0, created_at="soon"), "created_at: is no ISO 8601 date or time"),
        (with_cell(0, created_at="2023-01-01T00:00:00Z"), "created_at: has no time zone while other rows have one"),
        (GOOD.assign(created_at=[ZONED, *pd.to_datetime(GOOD["created_at"][1:])]), "has no time zone while other"),
        (GOOD.assign(created_at=[1, 2, 3]), "created_at: is int64, which is no date"),
        (GOOD.assign(account_id=[1.5, 2, 3]), "account_id: is neither text nor a whole number"),
        (GOOD.assign(account_id=[1, "x", 3]), "account_id: mixes int and str"),
        (GOOD.assign(amount=["1,000", "2", None]), r"amount: is no number \(1 row; first: '1,000' \(row 0\)\)"),
        (GOOD.assign(kind=["new", "old", "new"]), "kind: is none of new, add-on, renewal .*'old'"),
        (GOOD.assign(kind=["new", None, "new"]), "kind: is missing"),
        (GOOD.drop(columns="region"), "the column 'region' is missing"),
        (GOOD.iloc[:0], "the table has no rows"),
        (GOOD.set_axis(["a"] * 6, axis=1), "two columns are named 'a'"),
        ({"a": 1}, "expected a DataFrame of pandas, polars or pyarrow"),
        (pl.from_pandas(GOOD).lazy(), "Collect a lazy frame first"),
        ("nowhere.csv", "there is no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(given, message):
    with pytest.raises(DataError, match=message):
        make_labels(given, RULE)


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "o.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        make_labels(tmp_path / "o.parquet", RULE)
    (tmp_path / "o.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        make_labels(tmp_path / "o.csv", RULE)


def test_stages_and_levels_that_are_named_are_all_there_are():
    with pytest.raises(
        DataError, match=r"stage: is not named in the rule \(1 row; first: 'c' \(row 2: stage 'prospecting'"
    ):
        make_labels(GOOD, AccountPropensity(open=("negotiation",)))
    with pytest.raises(DataError, match="region: is none of the rule's levels .*'APAC'"):
        make_labels(GOOD, AccountPropensity(levels={"region": ("EMEA",)}))


def test_contracts_are_checked_for_upsells():
    good = ("a", 1, "P", "new", 0, 1, WON, 10.0, 2, 30)
    place = {"amount": 7, "contract_start": 8, "contract_end": 9}
    for column, value, message in (
        ("amount", None, "amount: is missing, but it was won"),
        ("amount", -1.0, "amount: is below 0"),
        ("contract_start", None, "contract_start: is missing"),
        ("contract_end", None, "contract_end: is missing"),
        ("contract_end", 1, "contract_end: is before contract_start"),
    ):
        row = (*good[: place[column]], value, *good[place[column] + 1 :])
        with pytest.raises(DataError, match=message):
            make_labels(upsells(row), UpsellPropensity())
        dropped = check_opportunities(upsells(row), UpsellPropensity(strays="drop"))
        assert dropped.left_out["reason"][0].startswith(f"{column}: ")


def test_strays_are_left_out_with_the_first_of_their_reasons():
    bad = with_cell(1, account_id=None, closed_at="2023-01-02")
    found = make_labels(bad, AccountPropensity(strays="drop"), candidates=True)
    assert found.table["opportunity_ids"].tolist() == ["a", "c"]
    assert found.left_out[["opportunity_id", "reason"]].to_numpy().tolist() == [["b", "account_id: is missing"]]
    nothing = make_labels(with_cell(0, account_id=None).iloc[:1], AccountPropensity(strays="drop"))
    assert len(nothing.table) == 0 and len(nothing.evidence) == 0 and len(nothing.left_out) == 1
    assert "0 positive, 0 negative" in repr(nothing) and nothing.summary()["rows"].tolist() == [1]


def test_naive_times_are_of_the_rules_zone_and_days_are_days_there():
    rule = AccountPropensity(timezone="America/New_York", lead=1)
    found = make_labels(GOOD, rule).table
    assert (
        str(found["as_of"][0]) == "2022-12-31 00:00:00-05:00"
        and str(found["known_at"][0]) == "2023-01-11 00:00:00-05:00"
    )
    zoned = GOOD.assign(created_at=GOOD["created_at"] + "T03:00:00Z", closed_at=GOOD["closed_at"] + "T03:00:00Z")
    late = make_labels(zoned, rule).table
    assert str(late["as_of"][0]) == "2022-12-30 22:00:00-05:00"
    spring = table(("a", 1, "EMEA", 71, 80, WON))  # 2023-03-13, the day after the clocks were set forward
    assert str(make_labels(spring, rule.replace(lead=2)).table["as_of"][0]) == "2023-03-11 00:00:00-05:00"


def test_observed_to_must_be_a_date():
    with pytest.raises(ConfigError, match="observed_to: 'soon' is not a date"):
        make_labels(GOOD, RULE, observed_to="soon")
