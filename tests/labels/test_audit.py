"""The audit: what it finds, each planted."""

import pandas as pd
import pytest

from hanjax.errors import DataError
from hanjax.labels import AccountPropensity, UpsellPropensity, audit, make_labels
from tests.labels.deals import day, table, upsells

WON, LOST = "closed won", "closed disengaged"
GIVEN = table(
    ("a", 1, "EMEA", 0, 10, LOST),
    ("b", 1, "EMEA", 20, 40, WON),
    ("c", 2, "EMEA", 5, 20, LOST),
    ("d", 3, "APAC", 7, None, "negotiation"),
    ("e", 4, "APAC", 0, 10, WON),
)
RULE = AccountPropensity(unit=("region",))
LABELS = make_labels(GIVEN, RULE)


def changed(part: str, row: int, **cells):
    frame = getattr(LABELS, part).copy()
    for name, value in cells.items():
        frame.loc[row, name] = value
    return LABELS._replace(**{part: frame})


def test_good_labels_pass_and_what_was_looked_at_is_said():
    found = audit(LABELS, GIVEN)
    assert found["looked_at"].tolist() == [5, 4, 4, 4, 4, 1] and not found["wrong"].any()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (changed("table", 0, label=0.0), r"A label does not follow .*\(1 wrong; first: a\)"),
        (changed("evidence", 0, label=0.0), "a has 0, not 1"),
        (changed("table", 2, label=1.0), r"A label does not follow .*first: c\)"),
        (changed("table", 2, label=float("nan")), r"A label does not follow .*first: c\)"),
        (changed("table", 0, as_of=pd.Timestamp("2023-01-02", tz="UTC")), r"as_of is after the creation.*first: a\)"),
        (changed("table", 1, known_at=pd.Timestamp("2023-01-02", tz="UTC")), r"before the outcome.*first: b\)"),
        (changed("table", 1, known_at=pd.Timestamp("2024-01-02", tz="UTC")), r"after the end.*first: b\)"),
        (changed("table", 1, account_id=9), r"account or unit is not that of its opportunities .*first: b\)"),
        (changed("table", 1, region="APAC"), r"account or unit is not that of its opportunities .*first: b\)"),
        (changed("table", 1, opportunity_ids="b,a"), r"in the evidence of one label, .*\(1 wrong; first: a\)"),
        (changed("table", 1, opportunity_ids="z"), r"in the evidence of one label, .*first: b, z, b, z\)"),
        (changed("left_out", 0, opportunity_id="c"), r"in the evidence of one label, .*first: c, d\)"),
        (LABELS._replace(left_out=LABELS.left_out.iloc[:0]), r"nor left out, once \(1 wrong; first: d\)"),
    ],
)
def test_labels_that_were_tampered_with_are_found_by_name(labels, message):
    with pytest.raises(DataError, match=message):
        audit(labels, GIVEN)


def test_a_rule_with_its_stages_swapped_is_found():
    swapped = make_labels(GIVEN, RULE.replace(won=(LOST,), disengaged=(WON,), retries="keep"))
    with pytest.raises(
        DataError, match=r"own label is not what it should be \(4 wrong; first: a has 1, not 0, b has 0"
    ):
        audit(swapped, GIVEN)


def test_a_rule_that_takes_an_outcome_for_open_is_found():
    given = table(("a", 1, "EMEA", 0, None, "Lost"), ("b", 2, "EMEA", 0, 10, "Won"))
    labels = make_labels(given, AccountPropensity(won=("Won",), disengaged=()))
    assert audit(labels, given)["wrong"].sum() == 0  # an outcome without a date is none yet
    opened = labels._replace(left_out=labels.left_out.assign(opportunity_id="b"), table=labels.table.iloc[:0])
    with pytest.raises(DataError, match=r"left out as open, but is closed \(1 wrong; first: b\)"):
        audit(opened._replace(evidence=labels.evidence.iloc[:0]), given)


def test_stages_can_be_said_where_their_names_do_not_tell():
    given = GIVEN.replace({WON: "gewonnen", LOST: "verloren"})
    rule = RULE.replace(won=("gewonnen",), disengaged=("verloren",))
    labels = make_labels(given, rule)
    with pytest.raises(DataError, match="own label is not what it should be"):
        audit(labels, given)
    assert audit(labels, given, won=["gewonnen"], disengaged=["verloren"])["wrong"].sum() == 0


def test_wrong_increases_and_flips_beyond_the_bound_are_found():
    given = upsells(
        ("base", 1, "P", "new", 0, 5, WON, 100.0, 5, 100),
        ("r", 1, "P", "renewal", 90, 98, WON, 100.0, 101, 200),
    )
    labels = make_labels(given, UpsellPropensity())
    wrong = labels._replace(table=labels.table.assign(label=1.0), evidence=labels.evidence.assign(label=1.0))
    with pytest.raises(DataError, match="r has 1, not 0"):
        audit(wrong, given)
    far = make_labels(GIVEN, RULE.replace(retry_within=29))
    assert far.table["label"].tolist() == [0.0, 1.0, 0.0, 1.0]
    with pytest.raises(DataError, match="a has 0, not 1"):
        audit(far._replace(rule=RULE), GIVEN)


def test_an_earlier_end_of_observation_is_kept_to():
    labels = make_labels(GIVEN, RULE, observed_to=day(30), candidates=True)
    assert audit(labels, GIVEN)["wrong"].sum() == 0
    with pytest.raises(DataError, match="b has nan, not 1"):
        audit(labels._replace(observed_to=LABELS.observed_to), GIVEN)


def test_rows_that_were_left_out_as_strays_say_nothing_of_others():
    given = table(("a", 1, "EMEA", 0, 10, LOST), ("b", 1, "EMEA", 20, 15, WON), ("c", 2, None, 0, 10, WON))
    labels = make_labels(given, RULE.replace(strays="drop"))
    assert labels.table["label"].tolist() == [0.0] and len(labels.left_out) == 2
    assert audit(labels, given)["wrong"].sum() == 0
    given = upsells(
        ("base", 1, "P", "new", 0, 5, WON, 100.0, 5, 100),
        ("nothing", 1, "P", "add-on", 20, 30, WON, None, 30, 100),
        ("renewal", 1, "P", "renewal", 90, 98, WON, 110.0, 101, 200),
    )
    labels = make_labels(given, UpsellPropensity(strays="drop"))
    assert labels.table["label"].tolist() == [1.0] and labels.left_out["opportunity_id"].tolist() == ["base", "nothing"]
    assert audit(labels, given)["wrong"].sum() == 0


@pytest.mark.parametrize("zone", ["", "+01:00"])
def test_times_are_read_whatever_their_offsets(zone):
    given = table(("a", 1, "EMEA", 0, 10, LOST), ("b", 1, "EMEA", 120, 200, WON), ("c", 2, "EMEA", 0, None, "new"))
    given["created_at"] += "T23:30:00" + zone
    given["closed_at"] += pd.Series(["T23:30:00+01:00", "T23:30:00+02:00", ""])
    labels = make_labels(given, RULE)
    assert labels.table["label"].tolist() == [1.0, 1.0] and audit(labels, given)["wrong"].sum() == 0
    late = labels._replace(table=labels.table.assign(known_at=pd.Timestamp("2023-07-20T21:00Z")))
    with pytest.raises(DataError, match=r"known_at before the outcome .*first: b\)"):
        audit(late, given)
