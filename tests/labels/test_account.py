"""Account propensity: who is positive, who negative, since when that is known, and who is left out."""

from typing import Literal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanjax.labels import AccountPropensity, Labels, audit, make_labels
from tests.labels.deals import SEEDS, day, random_deals, table, with_strays

WON, LOST, OPEN = "closed won", "closed disengaged", "negotiation"


def by_ids(labels: Labels) -> dict[str, float | None]:
    values = zip(labels.table["opportunity_ids"], labels.table["label"], strict=True)
    return {ids: None if pd.isna(label) else label for ids, label in values}


def reasons(labels: Labels) -> dict[str, str]:
    return dict(zip(labels.left_out["opportunity_id"], labels.left_out["reason"], strict=True))


def days(column: pd.Series) -> list[str]:
    return column.dt.strftime("%Y-%m-%d").tolist()


def test_won_is_one_disengaged_is_zero_and_open_has_no_label():
    given = table(("a", 1, "EMEA", 0, 10, WON), ("b", 2, "EMEA", 5, 20, LOST), ("c", 3, "APAC", 7, None, OPEN))
    labels = make_labels(given, AccountPropensity(name="aps"))
    assert by_ids(labels) == {"a": 1, "b": 0} and reasons(labels) == {"c": "open, no outcome yet"}
    assert days(labels.table["as_of"]) == [day(0), day(5)] and days(labels.table["known_at"]) == [day(10), day(20)]
    assert labels.table["rule"].tolist() == ["aps", "aps"] and "season" not in labels.table
    assert str(labels.observed_to.date()) == day(20)
    scored = make_labels(given, AccountPropensity(), candidates=True)
    assert by_ids(scored) == {"a": 1, "b": 0, "c": None} and not len(scored.left_out)
    assert pd.isna(scored.table["known_at"][2]) and days(scored.table["as_of"])[2] == day(7)
    assert "1 positive, 1 negative, 1 to be scored" in repr(scored)


def test_an_account_without_an_opportunity_of_its_own_never_becomes_a_negative():
    given = table(("a", 1, "EMEA", 0, 10, WON), ("b", 2, "EMEA", 5, 20, LOST), ("c", 3, "EMEA", 5, None, OPEN))
    labels = make_labels(given.assign(kind=["new", "renewal", "new"]), AccountPropensity(), candidates=True)
    assert labels.table["account_id"].tolist() == [1, 3] and labels.table["label"].tolist()[:1] == [1.0]
    assert reasons(labels) == {"b": "kind renewal has no label by this rule"}  # nor does another kind make one
    assert by_ids(make_labels(given, AccountPropensity(kinds=()))) == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        ("flip", {"a": 1, "b": 1, "c": 0, "d": 1, "e": 0}),
        ("drop", {"b": 1, "c": 0, "d": 1, "e": 0}),
        ("keep", {"a": 0, "b": 1, "c": 0, "d": 1, "e": 0}),
    ],
)
def test_an_earlier_attempt_of_a_unit_that_is_won_later(retries, expected):
    given = table(
        ("a", 1, "EMEA", 0, 10, LOST),  # won by b, 30 days after its own end
        ("b", 1, "EMEA", 20, 40, WON),
        ("c", 1, "APAC", 0, 10, LOST),  # won by d, but 31 days after
        ("d", 1, "APAC", 20, 41, WON),
        ("e", 1, "EMEA", 50, 60, LOST),  # after the win
    )
    labels = make_labels(given, AccountPropensity(retries=retries, retry_within=30))
    assert by_ids(labels) == expected
    if retries == "flip":
        first = labels.evidence[labels.evidence["opportunity_id"] == "a"].iloc[0]
        assert (first["verdict"], first["by"], first["label"]) == ("disengaged, won by a later attempt", "b", 1)
        row = labels.table[labels.table["opportunity_ids"] == "a"].iloc[0]
        assert row["known_at"].strftime("%Y-%m-%d") == day(40) and row["as_of"].strftime("%Y-%m-%d") == day(0)
        assert "(1 flipped)" in repr(labels)
    if retries == "drop":
        out = labels.left_out.iloc[0]
        assert (out["opportunity_id"], out["by"]) == ("a", "b") and "won by a later attempt" in out["reason"]
    assert audit(labels, given)["wrong"].sum() == 0


def test_a_flip_names_the_first_win_and_the_later_of_both_dates():
    given = table(
        ("a", 1, "EMEA", 0, 50, LOST),
        ("late", 1, "EMEA", 5, 90, WON),
        ("soon", 1, "EMEA", 10, 30, WON),  # created after a, and closed before it
        ("before", 1, "EMEA", 0, 20, WON),  # created with it: no later attempt
    )
    rule = AccountPropensity(conflicts="latest")
    found = make_labels(given, rule).evidence.set_index("opportunity_id")
    assert found.loc["a", "by"] == "soon"
    assert found.loc["a", "known_at"].strftime("%Y-%m-%d") == day(50)
    without = make_labels(given[given["opportunity_id"].isin(["a", "before"])], rule)
    assert by_ids(without) == {"a,before": 0}


def test_with_wait_an_attempt_has_its_label_when_nothing_can_turn_it_any_more():
    given = table(("a", 1, "EMEA", 0, 10, LOST), ("b", 1, "EMEA", 12, 20, WON), ("c", 2, "EMEA", 0, 11, LOST))
    rule = AccountPropensity(retry_within=30, wait=True)
    early = make_labels(given, rule, observed_to=day(39))
    assert by_ids(early) == {"b": 1}
    assert set(reasons(early).values()) == {"disengaged, may still be won by a later attempt"}
    later = make_labels(given, rule, observed_to=day(40))
    assert by_ids(later) == {"a": 1, "b": 1} and days(later.table["known_at"]) == [day(40), day(20)]
    assert by_ids(make_labels(given, rule, observed_to=day(41))) == {"a": 1, "b": 1, "c": 0}
    dropping = make_labels(given, rule.replace(retries="drop"), observed_to=day(41))
    assert by_ids(dropping) == {"b": 1, "c": 0} and dropping.left_out["by"].tolist() == ["b"]


@pytest.mark.parametrize("wait", [False, True])
def test_what_is_dropped_later_delays_the_label_of_others_beside_it(wait):
    given = table(("long", 1, "EMEA", 0, 30, LOST), ("short", 1, "EMEA", 0, 5, LOST), ("win", 1, "EMEA", 10, 50, WON))
    rule = AccountPropensity(retries="drop", retry_within=25, wait=wait)
    labels = make_labels(given, rule)
    assert by_ids(labels) == {"short": 0, "win": 1} and days(labels.table["known_at"]) == [day(50), day(50)]
    early = make_labels(given, rule, observed_to=day(40))
    assert by_ids(early) == ({} if wait else {"long,short": 0})  # without waiting, failures are known when they end


def test_opportunities_of_one_unit_and_day_make_one_row():
    given = table(
        ("a", 1, "EMEA", 0, 10, LOST),
        ("b", 1, "EMEA", 0, 30, WON),
        ("c", 1, "EMEA", 0, 20, WON),
        ("d", 1, "EMEA", 0, 40, LOST),
        ("e", 1, "APAC", 0, 10, LOST),
        ("f", 1, "APAC", 0, None, OPEN),
    ).assign(amount=[1.0, 2.0, 4.0, 8.0, 16.0, None])
    rule = AccountPropensity(retries="keep")
    won = make_labels(given, rule)
    assert by_ids(won) == {"a,b,c,d": 1} and days(won.table["known_at"]) == [day(20)]
    assert won.table["amount"].tolist() == [15.0] and days(won.table["closed_at"]) == [day(40)]
    assert won.conflicts["opportunity_id"].tolist() == ["a", "b", "c", "d"]
    assert reasons(won)["e"] == "closed, beside another one of the unit and period without an outcome"
    latest = make_labels(given, rule.replace(conflicts="latest"))
    assert by_ids(latest) == {"a,b,c,d": 0} and days(latest.table["known_at"]) == [day(40)]
    dropped = make_labels(given, rule.replace(conflicts="drop"))
    assert by_ids(dropped) == {}
    assert [reasons(dropped)[name] for name in "abcd"] == ["others of the unit and period ended differently"] * 4
    scored = make_labels(given, rule.replace(conflicts="drop"), candidates=True)
    assert by_ids(scored) == {"e,f": None} and pd.isna(scored.table["known_at"][0])
    opened = table(("a", 1, "EMEA", 0, 10, WON), ("b", 1, "EMEA", 0, None, OPEN))
    assert by_ids(make_labels(opened, rule)) == {"a,b": 1}  # a success is known before the other one ends
    assert by_ids(make_labels(opened, rule.replace(conflicts="latest"))) == {}


def test_a_period_joins_more_than_a_day_and_lead_moves_the_date_back():
    given = table(("a", 1, "EMEA", 1, 10, LOST), ("b", 1, "EMEA", 6, 12, WON), ("c", 1, "EMEA", 7, 13, LOST))
    rule = AccountPropensity(retries="keep", period="W-SAT")  # 2023-01-01 is a Sunday
    weekly = make_labels(given, rule)
    assert by_ids(weekly) == {"a,b": 1, "c": 0} and days(weekly.table["as_of"]) == [day(1), day(7)]
    ahead = make_labels(given, rule.replace(lead=1))
    assert by_ids(ahead) == {"a,b,c": 1} and days(ahead.table["as_of"]) == [day(0)]
    assert days(make_labels(given, rule.replace(period="D", lead=3)).table["as_of"]) == [day(-2), day(3), day(4)]


def test_seasons_are_columns_and_with_snap_the_dates():
    dates = ["2022-12-30", "2022-12-31", "2023-06-29", "2023-06-30", "2023-12-31"]
    given = pd.DataFrame({"opportunity_id": list("abcde"), "account_id": 1, "region": "EMEA", "created_at": dates})
    given = given.assign(closed_at="2024-02-01", stage=[LOST, LOST, WON, LOST, LOST])
    rule = AccountPropensity(retries="keep", seasons={"mid-year": "06-30", "year-end": "12-31"})
    found = make_labels(given, rule).table
    assert found["season"].tolist() == ["mid-year", "year-end", "year-end", "mid-year", "year-end"]
    assert days(found["snapshot"]) == ["2022-06-30", "2022-12-31", "2022-12-31", "2023-06-30", "2023-12-31"]
    assert days(found["as_of"]) == dates
    snapped = make_labels(given, rule.replace(snap=True, lead=10))
    assert by_ids(snapped) == {"a": 0, "b,c": 1, "d": 0, "e": 0}
    assert days(snapped.table["as_of"]) == ["2022-06-20", "2022-12-21", "2023-06-20", "2023-12-21"]
    assert snapped.table["season"].tolist() == ["mid-year", "year-end", "mid-year", "year-end"]
    assert "season" in snapped.outcomes and snapped.summary()["season"].nunique() == 2


def test_labels_as_they_could_have_been_made_on_an_earlier_day():
    given = table(("a", 1, "EMEA", 0, 10, WON), ("b", 2, "EMEA", 5, 20, LOST), ("c", 3, "EMEA", 15, 17, WON))
    labels = make_labels(given, AccountPropensity(), observed_to=day(10), candidates=True)
    assert by_ids(labels) == {"a": 1, "b": None}
    assert reasons(labels) == {"c": "created after the end of observation"}
    assert labels.evidence["closed_at"].isna().tolist() == [False, True]
    assert audit(labels, given)["wrong"].sum() == 0


def test_what_outcomes_are_told_and_what_survives_parquet(tmp_path):
    given = table(("a", 1, "EMEA", 0, 10, WON), ("b", 1, "EMEA", 0, 11, WON)).assign(
        industry="steel", product=["X", "Y"]
    )
    labels = make_labels(given, AccountPropensity(segments=("industry", "product")))
    assert list(labels.outcomes) == ["account_id", "as_of", "label", "known_at", "region", "industry", "product"]
    assert labels.table["product"].tolist() == ["X"]  # of the first
    for name in ("table", "left_out", "evidence"):
        frame = getattr(labels, name)
        frame.to_parquet(tmp_path / name)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), frame)
    assert pd.read_parquet(tmp_path / "table")["opportunity_ids"].tolist() == ["a,b"]
    assert "<b>Labels</b>" in labels._repr_html_() and "EMEA" in labels._repr_html_()


RULES = st.builds(
    AccountPropensity,
    unit=st.sampled_from([(), ("region",), ("region", "product")]),
    kinds=st.sampled_from([(), ("new",), ("new", "renewal")]),
    retries=st.just("flip"),
    retry_within=st.sampled_from([0, 7, 30]),
    wait=st.booleans(),
    lead=st.sampled_from([0, 3]),
    period=st.sampled_from(["D", "W-SAT", "M"]),
    conflicts=st.sampled_from(["won", "latest", "drop"]),
    strays=st.sampled_from(["error", "drop"]),
    timezone=st.sampled_from(["UTC", "America/New_York"]),
).flatmap(
    lambda rule: st.sampled_from(
        [
            rule,
            rule.replace(wait=False, retries="keep"),
            rule.replace(retries="drop"),
            rule.replace(seasons={"a": "02-01"}, snap=True),
        ]
    )
)


def every_opportunity_is_accounted_for(seed: int, rule: AccountPropensity, candidates: bool, end: int | None) -> None:
    given = random_deals(seed) if rule.strays == "error" else with_strays(random_deals(seed), seed)
    labels = make_labels(given, rule, candidates=candidates, observed_to=None if end is None else day(end))
    listed = [id for ids in labels.table["opportunity_ids"] for id in ids.split(",")]
    assert sorted([*listed, *labels.left_out["opportunity_id"]]) == sorted(given["opportunity_id"])
    assert listed == labels.evidence["opportunity_id"].tolist()
    assert (labels.left_out["reason"] != "").all()
    keys = ["account_id", *rule.unit, "as_of"]
    assert not labels.table.duplicated(keys).any()
    assert audit(labels, given)["wrong"].sum() == 0
    shuffled = make_labels(given.iloc[::-1], rule, candidates=candidates, observed_to=None if end is None else day(end))
    pd.testing.assert_frame_equal(labels.table, shuffled.table)
    pd.testing.assert_frame_equal(labels.left_out, shuffled.left_out)


ARGUMENTS = SEEDS, RULES, st.booleans(), st.one_of(st.none(), st.integers(0, 150))


@settings(max_examples=5, deadline=None)
@given(*ARGUMENTS)
def test_every_opportunity_is_behind_one_label_or_left_out_and_the_audit_agrees(seed, rule, candidates, end):
    every_opportunity_is_accounted_for(seed, rule, candidates, end)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(*ARGUMENTS)
def test_at_length_every_opportunity_is_behind_one_label_or_left_out(seed, rule, candidates, end):
    every_opportunity_is_accounted_for(seed, rule, candidates, end)


def nothing_is_known_early(
    seed: int,
    within: int,
    today: int,
    conflicts: Literal["won", "latest", "drop"],
    retries: Literal["flip", "drop"],
) -> None:
    """Training on labels with known_at up to a day is the same as making labels on that day."""
    given = random_deals(seed)
    rule = AccountPropensity(kinds=(), retry_within=within, wait=True, conflicts=conflicts, retries=retries)
    whole, then = make_labels(given, rule, observed_to=day(200)), make_labels(given, rule, observed_to=day(today))
    known = whole.table.loc[whole.table["known_at"] <= then.observed_to, ["account_id", "region", "as_of", "label"]]
    pd.testing.assert_frame_equal(known.reset_index(drop=True), then.table[list(known)], check_dtype=False)


DAYS = (
    SEEDS,
    st.sampled_from([0, 7, 30]),
    st.integers(0, 150),
    st.sampled_from(["won", "latest", "drop"]),
    st.sampled_from(["flip", "drop"]),
)


@settings(max_examples=4, deadline=None)
@given(*DAYS)
def test_with_wait_what_is_known_on_a_day_is_what_could_have_been_known(seed, within, today, conflicts, retries):
    nothing_is_known_early(seed, within, today, conflicts, retries)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(*DAYS)
def test_at_length_with_wait_nothing_is_known_early(seed, within, today, conflicts, retries):
    nothing_is_known_early(seed, within, today, conflicts, retries)
