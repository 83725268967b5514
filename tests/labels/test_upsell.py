"""Upsell propensity: an increase over what was paid before, a contract that goes on, and what cannot be said yet."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanjax.labels import UpsellPropensity, audit, make_labels
from tests.labels.deals import SEEDS, day, random_deals, upsells, with_strays
from tests.labels.test_account import by_ids, days, reasons

WON, LOST, OPEN = "closed won", "closed disengaged", "negotiation"
BASE = ("base", 1, "P", "new", 0, 5, WON, 100.0, 5, 100)


def test_renewals_are_measured_against_what_was_paid_before():
    given = upsells(
        BASE,
        ("added", 1, "P", "add-on", 20, 30, WON, 20.0, 30, 100),
        ("renewal", 1, "P", "renewal", 90, 98, WON, 121.0, 101, 200),
        ("again", 1, "P", "renewal", 190, 198, WON, 121.0, 201, 300),
        ("lost", 1, "P", "renewal", 290, 298, LOST, None, None, None),
        ("open", 1, "P", "renewal", 291, None, OPEN, None, None, None),
    )
    labels = make_labels(given, UpsellPropensity(), observed_to=day(300))
    assert by_ids(labels) == {"added": 1, "renewal": 1, "again": 0, "lost": 0}
    assert reasons(labels) == {"base": "kind new has no label by this rule", "open": "open, no outcome yet"}
    evidence = labels.evidence.set_index("opportunity_id")
    assert evidence.loc[["added", "renewal", "again"], "amount_before"].tolist() == [100.0, 120.0, 121.0]
    assert evidence.loc["again", "verdict"] == "won without an increase" and evidence.loc["again", "by"] == "renewal"
    assert labels.table["kind"].tolist() == ["add-on", "renewal", "renewal", "renewal"]
    known = dict(zip(labels.table["opportunity_ids"], days(labels.table["known_at"]), strict=True))
    assert known == {"added": day(190), "renewal": day(98), "again": day(198), "lost": day(298)}
    assert audit(labels, given)["wrong"].sum() == 0
    strict = make_labels(given, UpsellPropensity(least_increase=0.01), observed_to=day(300))
    assert by_ids(strict) == {"added": 1, "renewal": 0, "again": 0, "lost": 0}  # 121 of 120
    total = make_labels(given, UpsellPropensity(add_on_amount="total"), observed_to=day(300))
    assert by_ids(total) == {"added": 0, "renewal": 1, "again": 0, "lost": 0}
    assert total.evidence.set_index("opportunity_id").loc["renewal", "amount_before"] == 20.0
    assert set(make_labels(given, UpsellPropensity(scenarios=("add-on",))).table["kind"]) <= {"add-on"}


def test_amounts_are_compared_as_they_are_written_not_as_they_are_rounded():
    assert 0.8 - (0.1 + 0.7) > 0 and 107 - 100 < 0.07 * 100
    given = upsells(
        ("base", 1, "P", "new", 0, 5, WON, 0.1, 5, 100),
        ("added", 1, "P", "add-on", 20, 30, WON, 0.7, 30, 100),
        ("same", 1, "P", "renewal", 90, 98, WON, 0.8, 101, 200),
        ("hundred", 2, "P", "new", 0, 5, WON, 100.0, 5, 100),
        ("more", 2, "P", "renewal", 90, 98, WON, 107.0, 101, 200),
    )
    for least in (0.0, 0.07):
        labels = make_labels(given, UpsellPropensity(scenarios=("renewal",), least_increase=least))
        assert by_ids(labels) == {"same": 0, "more": 1} and audit(labels, given)["wrong"].sum() == 0


def test_an_add_on_counts_only_if_the_contract_goes_on_and_only_when_that_is_known():
    add_on = ("added", 1, "P", "add-on", 20, 30, WON, 20.0, 30, 100)
    rule = UpsellPropensity(scenarios=("add-on",), churn_within=10)
    for start, closed, expected in ((110, 105, 1), (111, 105, 0), (110, 111, 0), (110, 110, 1)):
        given = upsells(BASE, add_on, ("next", 1, "P", "renewal", 95, closed, WON, 50.0, start, 200))
        labels = make_labels(given, rule, observed_to=day(110))
        assert by_ids(labels) == {"added": expected}, (start, closed)
        assert days(labels.table["known_at"]) == [day(110)]
        assert labels.evidence["verdict"][0] == (
            "won, increased and continued" if expected else "won and increased, not continued"
        )
        early = make_labels(given, rule, observed_to=day(109))
        assert by_ids(early) == {} and "not observed yet" in reasons(early)["added"]
        assert audit(labels, given)["wrong"].sum() == audit(early, given)["wrong"].sum() == 0
    assert by_ids(make_labels(given, rule.replace(churn_within=None), observed_to=day(109))) == {"added": 1}
    other = upsells(BASE, add_on, ("next", 1, "Q", "renewal", 95, 105, WON, 50.0, 101, 200))
    assert by_ids(make_labels(other, rule, observed_to=day(110))) == {"added": 0}  # another product is another unit


def test_a_renewal_that_starts_too_late_does_not_continue_anything():
    for start, expected in ((110, 1), (111, 0)):
        given = upsells(BASE, ("late", 1, "P", "renewal", 95, 105, WON, 150.0, start, 200))
        labels = make_labels(given, UpsellPropensity(churn_within=10))
        assert by_ids(labels) == {"late": expected} and audit(labels, given)["wrong"].sum() == 0


def test_without_a_contract_before_an_increase_cannot_be_measured():
    given = upsells(
        ("orphan", 1, "P", "add-on", 0, 10, WON, 5.0, 10, 50),
        ("lost", 2, "P", "add-on", 0, 10, LOST, None, None, None),
        ("same", 3, "P", "renewal", 0, 0, WON, 5.0, 0, 50),  # won when it was created: not its own predecessor
    )
    labels = make_labels(given, UpsellPropensity(churn_within=None), candidates=True)
    assert by_ids(labels) == {}
    assert set(reasons(labels)) == {"orphan", "lost", "same"}
    assert set(reasons(labels).values()) == {"no earlier contract to measure an increase against"}


def test_kinds_are_apart_and_candidates_are_open_ones():
    given = upsells(
        BASE,
        ("a", 1, "P", "add-on", 20, 30, LOST, None, None, None),
        ("r", 1, "P", "renewal", 20, None, OPEN, None, None, None),
    )
    labels = make_labels(given, UpsellPropensity(), candidates=True)
    assert by_ids(labels) == {"a": 0, "r": None}
    assert list(labels.outcomes) == ["account_id", "as_of", "label", "known_at", "product", "kind"]


RULES = st.builds(
    UpsellPropensity,
    unit=st.sampled_from([(), ("product",)]),
    scenarios=st.sampled_from([("add-on", "renewal"), ("renewal",), ("add-on",)]),
    least_increase=st.sampled_from([0.0, 0.5]),
    add_on_amount=st.sampled_from(["added", "total"]),
    churn_within=st.sampled_from([None, 0, 10]),
    conflicts=st.sampled_from(["won", "latest", "drop"]),
    strays=st.sampled_from(["error", "drop"]),
    period=st.sampled_from(["D", "M"]),
)


def every_opportunity_is_accounted_for(seed: int, rule: UpsellPropensity, candidates: bool, end: int) -> None:
    given = random_deals(seed) if rule.strays == "error" else with_strays(random_deals(seed), seed)
    labels = make_labels(given, rule, candidates=candidates, observed_to=day(end))
    listed = [id for ids in labels.table["opportunity_ids"] for id in ids.split(",")]
    assert sorted([*listed, *labels.left_out["opportunity_id"]]) == sorted(given["opportunity_id"])
    assert audit(labels, given)["wrong"].sum() == 0
    shuffled = make_labels(given.iloc[::-1], rule, candidates=candidates, observed_to=day(end))
    pd.testing.assert_frame_equal(labels.table, shuffled.table)


ARGUMENTS = SEEDS, RULES, st.booleans(), st.integers(20, 200)


@settings(max_examples=3, deadline=None)
@given(*ARGUMENTS)
def test_nothing_is_lost_and_the_audit_agrees(seed, rule, candidates, end):
    every_opportunity_is_accounted_for(seed, rule, candidates, end)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(*ARGUMENTS)
def test_at_length_nothing_is_lost(seed, rule, candidates, end):
    every_opportunity_is_accounted_for(seed, rule, candidates, end)


def nothing_is_known_early(seed: int, within: int | None, today: int) -> None:
    given = random_deals(seed)
    rule = UpsellPropensity(churn_within=within)
    whole, then = make_labels(given, rule, observed_to=day(300)), make_labels(given, rule, observed_to=day(today))
    names = ["account_id", "product", "kind", "as_of", "label"]
    known = whole.table.loc[whole.table["known_at"] <= then.observed_to, names].reset_index(drop=True)
    pd.testing.assert_frame_equal(known, then.table[names], check_dtype=False)


DAYS = SEEDS, st.sampled_from([None, 0, 10]), st.integers(0, 200)


@settings(max_examples=3, deadline=None)
@given(*DAYS)
def test_what_is_known_on_a_day_is_what_could_have_been_known(seed, within, today):
    nothing_is_known_early(seed, within, today)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(*DAYS)
def test_at_length_nothing_is_known_early(seed, within, today):
    nothing_is_known_early(seed, within, today)
