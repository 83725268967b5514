"""The check of a mart: honest features pass, planted leaks are caught and named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hanjax.checks import check_mart
from hanjax.errors import ConfigError
from hanjax.features import Feature, Mart, Source, values
from hanjax.features.source import KNOWN

CUTOFFS = ["2024-02-11", "2024-03-10"]


def bookings(seed=0, size=80):
    random = np.random.default_rng(seed)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 100, size), "D")
    return pd.DataFrame(
        {
            "account_id": random.integers(0, 6, size),
            "individual_id": random.choice(list("uvwx"), size),
            "day": day,
            "loaded": day + pd.to_timedelta(random.choice([0, 30], size), "D"),
            "amount": random.normal(size=size),
        }
    )


def feature(name="booked", expression="sum(amount)", **more):
    return Feature(**{"name": name, "aspect": "booking", "source": "bookings", "expression": expression} | more)


PEOPLE = pd.DataFrame(
    {"individual_id": list("uvwx"), "account_id": [0, 1, 2, 2], "arrived_at": ["2024-01-05", "2024-03-20", "", ""]}
)


def test_honest_features_pass_whatever_they_are():
    def spread(rows):
        return rows["amount"].max() - rows["amount"].min()

    asked = [
        *(feature(f"f{n}", granularity=each, look_back="60D") for n, each in enumerate(("day", "week", "month"))),
        feature("last", "amount", how="latest"),
        feature("spread", None, function=spread),
        feature("members", "count(*)", entity="individual", over_members="mean", fill=0),
    ]
    table = bookings()
    mart = Mart(asked, {"bookings": Source(table, "day", "loaded")}, individuals=PEOPLE, timezone="Europe/Berlin")
    verdict = check_mart(mart, CUTOFFS)
    assert verdict.passed, verdict
    assert verdict.checked == (
        "2 cut-offs (2024-02-11 to 2024-03-10), 6 other futures of 1 sources; "
        "6 features of 12 accounts and cut-offs compared bit for bit"
    )
    assert verdict.notes == ("Individuals without arrived_at count as members at all times, which cannot be checked.",)


def test_a_date_earlier_than_when_a_row_was_known_is_caught():
    sources = {"bookings": Source(bookings(), "day"), "other": Source(bookings(1).drop(columns="loaded"), "day")}
    mart = Mart([feature(), feature("sound", source="other")], sources)
    verdict = check_mart(mart, CUTOFFS)
    assert not verdict.passed and len(verdict.problems) == 1
    assert "booked tells of the future: it uses rows of bookings that loaded dates at or after" in verdict.problems[0]
    assert "give the source known_at='loaded'" in verdict.problems[0]
    assert verdict.notes == ("Taken as known at their date, for want of known_at: the rows of bookings, other.",)
    assert check_mart(mart, CUTOFFS, planned=["bookings.loaded"]).passed
    with pytest.raises(ConfigError, match="did you mean 'bookings.loaded'"):
        check_mart(mart, CUTOFFS, planned=["bookings.loadde"])


def test_a_closure_over_the_whole_table_is_caught():
    table = bookings()

    def peeking(rows):
        return table.loc[table["account_id"] == rows["account_id"].iloc[0], "amount"].sum()

    verdict = check_mart(
        Mart([feature("peek", None, function=peeking)], {"bookings": Source(table, "day", "loaded")}), CUTOFFS
    )
    assert not verdict.passed
    assert verdict.problems[0].startswith(
        "peek can tell of the future: its function uses data other than its rows (table)"
    )


class Everything:
    totals = bookings().groupby("account_id")["amount"].sum().to_dict()


def test_a_look_up_by_id_is_caught():
    def peeking(rows):
        return Everything.totals.get(int(rows["account_id"].iloc[0]), 0.0)

    def failing(rows):
        return Everything.totals[int(rows["account_id"].iloc[0])]

    source = {"bookings": Source(bookings(), "day", "loaded")}
    problems = check_mart(Mart([feature("peek", None, function=peeking)], source), CUTOFFS).problems
    assert len(problems) == 1 and problems[0].startswith("peek depends on the ids of accounts or individuals")
    problems = check_mart(Mart([feature("peek", None, function=failing)], source), CUTOFFS).problems
    assert len(problems) == 1 and "With other ids of accounts and individuals, peek.function: fails" in problems[0]


def test_what_is_not_the_same_again_is_caught():
    random = np.random.default_rng(0)

    def drawn(rows):
        return random.random()

    mart = Mart([feature("noise", None, function=drawn)], {"bookings": Source(bookings(), "day", "loaded")})
    assert check_mart(mart, CUTOFFS).problems[0].startswith("noise is not the same when it is computed again")


def test_an_engine_that_looks_ahead_is_caught(monkeypatch):
    sound = values._with_granules

    def known_at_once(table, granularity, zone):
        place = table.column_names.index(KNOWN)
        return sound(table.set_column(place, KNOWN, pa.array(np.zeros(len(table), np.int64))), granularity, zone)

    monkeypatch.setattr(values, "_with_granules", known_at_once)
    verdict = check_mart(Mart([feature()], {"bookings": Source(bookings(), "day", "loaded")}), CUTOFFS)
    assert not verdict.passed and "booked tells of the future: with all that comes from then on" in verdict.problems[0]


def test_without_a_cutoff_nothing_can_be_checked():
    with pytest.raises(ConfigError, match="there is none before which anything was known"):
        check_mart(Mart([feature()], {"bookings": Source(bookings(), "day")}), ["2020-01-01"])
