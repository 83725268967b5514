"""Every value is that of a slow loop over the rows known before the cut-off."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hanjax.errors import DataError
from hanjax.features import Feature, Mart, Source
from tests.features.slow import SQL, by_entity, value

LOOK_BACKS = {"day": (None, "10D", "1M"), "week": ("2W", "20D"), "month": (None, "70D")}


def product_share(rows):
    return None if rows["amount"].isna().all() else rows["amount"].sum() / len(rows)


def features(source="bookings", **more):
    """Every combination of granularity and look-back, with every expression in turn, a function, and latest values."""
    expressions, found = itertools.cycle(name for name in SQL if "(" in name), []
    for granularity, look_backs in LOOK_BACKS.items():
        for look_back in look_backs:
            kinds = [{"expression": next(expressions)} for _ in range(3)]
            kinds += [{"function": product_share}, {"expression": "amount", "how": "latest"}]
            for kind in kinds:
                settings = dict(aspect="booking", source=source, granularity=granularity, look_back=look_back)
                found.append(Feature(name=f"f{len(found)}", **settings, **kind, **more))
    return found


def rows(seed, entities, zone, *, size=70, start="2024-01-20", days=100):
    """Dated rows with doubled times, midnights, missing amounts, late ones and some known in advance."""
    random = np.random.default_rng(seed)
    hours = random.choice([0, 0, 1, 2, 13], size)
    local = pd.Timestamp(start) + pd.to_timedelta(random.integers(0, days, size), "D") + pd.to_timedelta(hours, "h")
    date = local.tz_localize(zone, ambiguous=np.ones(size, bool), nonexistent="shift_forward").tz_convert("UTC")
    late = pd.Series(date) + pd.to_timedelta(random.choice([-24, 0, 1, 24 * 9, 24 * 40], size), "h")
    return pd.DataFrame(
        {
            "account_id": random.choice(entities, size),
            "date": date,
            "known": late.where(random.random(size) < 0.5),
            "amount": pd.Series(random.choice([0.0, 1.5, 2.25, -3.0, 7.0], size)).where(random.random(size) < 0.8),
            "product": random.choice(["x", "y", "z"], size),
        }
    )


def expected(feature, table, matrix, zone):
    own = by_entity(table)
    return [
        value(feature, own.get(who, ()), cutoff, zone)
        for who, cutoff in zip(matrix["account_id"], matrix["cutoff"], strict=True)
    ]


@pytest.mark.parametrize(
    "seed, entities, zone, start, late",
    [
        (0, ["a", "b", "c"], "America/New_York", "2024-01-20", True),  # clocks are set forward within the rows
        (1, [3, 5, 9], "UTC", "2024-01-20", True),
        (2, [3, 5, 9], "Europe/Berlin", "2023-09-01", False),  # and back
    ],
)
def test_values_are_those_of_a_slow_loop(seed, entities, zone, start, late):
    table = rows(seed, entities, zone, start=start)
    source = Source(table.drop(columns=[] if late else "known"), "date", "known" if late else None)
    table = table if late else table.assign(known=pd.NaT)
    asked = features()
    begin = pd.Timestamp(start)
    cutoffs = [
        begin,
        *(begin + pd.Timedelta(days=n) for n in (1, 28, 43, 71, 99, 130)),
        begin + pd.Timedelta("50D 13h"),
    ]
    cutoffs += [table["date"].iloc[0]]  # exactly when something happened
    entity = pd.DataFrame(
        itertools.product([*entities, "nobody" if seed == 0 else 99], cutoffs), columns=["account_id", "cutoff"]
    )
    entity["cutoff"] = [
        one if one.tzinfo else one.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        for one in entity["cutoff"]
    ]
    matrix = Mart(asked, {"bookings": source}, timezone=zone).compute(entity)
    assert matrix["account_id"].tolist() == entity["account_id"].tolist()
    known = 0
    for feature in asked:
        wanted = np.array(expected(feature, table, matrix, zone), float)
        np.testing.assert_allclose(matrix[feature.name], wanted, rtol=1e-12, err_msg=repr(feature))
        known += (~np.isnan(wanted)).sum()
    assert known > 0.25 * len(asked) * len(matrix)


def one(expression="sum(amount)", **more):
    return Feature(**{"name": "value", "aspect": "booking", "source": "s", "expression": expression} | more)


def compute(table, cutoffs, feature, **more):
    return Mart([feature], {"s": Source(table, "day", **more)}).compute(cutoffs)["value"].tolist()


def test_a_row_at_the_cutoff_does_not_count_and_one_just_before_does():
    table = pd.DataFrame({"account_id": [1, 1, 1], "amount": [1.0, 10.0, 100.0]})
    table["day"] = ["2024-02-29", "2024-02-29T23:59:59.999999", "2024-03-01"]
    assert compute(table, ["2024-03-01", "2024-03-02"], one()) == [11, 111]
    assert compute(table, ["2024-03-01", "2024-03-02"], one("amount", how="latest")) == [10, 100]


def test_an_incomplete_granule_does_not_count():
    table = pd.DataFrame({"account_id": 1, "day": ["2024-01-31", "2024-02-01", "2024-02-12"], "amount": [1.0, 10, 100]})
    cutoffs = ["2024-02-12T12:00", "2024-02-18", "2024-03-01"]
    assert compute(table, cutoffs, one(granularity="day")) == [11, 111, 111]
    assert compute(table, cutoffs, one(granularity="week")) == [11, 111, 111]
    assert compute(table, cutoffs, one(granularity="month")) == [1, 1, 111]
    assert compute(table, cutoffs, one("amount", granularity="month", how="latest")) == [1, 1, 100]


def test_a_late_row_counts_once_it_is_known_and_does_not_hide_a_later_one():
    table = pd.DataFrame({"account_id": 1, "day": ["2024-01-10", "2024-01-05"], "amount": [1.0, 10.0]})
    table["loaded"] = ["", "2024-01-20T10:00"]
    cutoffs = ["2024-01-11", "2024-01-20", "2024-01-20T10:00", "2024-01-20T10:00:00.000001"]
    assert compute(table, cutoffs, one(), known_at="loaded") == [1, 1, 1, 11]
    assert compute(table, cutoffs, one("amount", how="latest"), known_at="loaded") == [1, 1, 1, 1]


def test_missing_stays_missing_and_is_marked_where_it_is_filled():
    table = pd.DataFrame({"account_id": [1, 2], "day": "2024-01-10", "amount": [None, 5.0]})
    mart = Mart([one("count(*)"), one(name="filled", fill=0), one(name="nothing")], {"s": Source(table, "day")})
    asked = pd.DataFrame({"account_id": [1, 2, 3, 2], "cutoff": ["2024-02-01"] * 3 + ["2024-01-10"]})
    matrix = mart.compute(asked)
    np.testing.assert_array_equal(matrix["value"], [1, 1, np.nan, np.nan])  # a count of no rows is no 0
    np.testing.assert_array_equal(matrix["filled"], [0, 5, 0, 0])
    assert matrix["filled__missing"].tolist() == [True, False, True, True]
    np.testing.assert_array_equal(matrix["nothing"], [np.nan, 5, np.nan, np.nan])


def test_the_order_of_rows_and_what_follows_change_no_bit():
    table = rows(5, [1, 2], "UTC", size=300).assign(amount=np.random.default_rng(5).normal(size=300) * 1e6)
    asked = [
        *features()[::3],
        one("first(amount)", source="bookings"),
        one("list(amount)[3]", name="third", source="bookings"),
    ]
    cutoffs = ["2024-02-20", "2024-03-20"]

    def matrix(frame):
        return Mart(asked, {"bookings": Source(frame, "date", "known")}).compute(cutoffs)

    pd.testing.assert_frame_equal(matrix(table), matrix(table.sample(frac=1, random_state=0)), check_exact=True)
    before = (table[["date", "known"]].max(axis=1) < "2024-03-20").to_numpy()
    assert not before.all()
    pd.testing.assert_frame_equal(matrix(table), matrix(table[before]), check_exact=True)


@pytest.mark.parametrize("how", ["mean", "max", "sum", "count"])
def test_individuals_become_accounts(how):
    table = rows(7, ["u", "v", "w"], "UTC").rename(columns={"account_id": "individual_id"})
    individuals = pd.DataFrame(
        [("u", "A", "2024-01-01"), ("v", "A", "2024-03-01"), ("w", "B", ""), ("u", "B", "2024-03-10"), ("x", "C", "")],
        columns=["individual_id", "account_id", "arrived_at"],
    )
    asked = features(entity="individual", over_members=how)
    mart = Mart(asked, {"bookings": Source(table, "date", "known")}, individuals=individuals)
    matrix = mart.compute(["2024-02-10", "2024-03-01", "2024-03-02", "2024-03-10", "2024-04-20"])
    assert matrix["account_id"].tolist() == ["A"] * 5 + ["B"] * 5 + ["C"] * 5  # ordered by account, then cut-off
    homes = {"A": ["u", "u", "uv", "uv", "v"], "B": ["w", "w", "w", "w", "uw"], "C": ["x"] * 5}
    members = [list(names) for own in homes.values() for names in own]
    people = by_entity(table, "individual_id")
    for feature in asked:
        for found, names, cutoff in zip(matrix[feature.name], members, matrix["cutoff"], strict=True):
            own = [value(feature, people.get(name, ()), cutoff, "UTC") for name in names]
            wanted = (
                pd.Series(own, dtype=float).agg(how) if how != "sum" else pd.Series(own, dtype=float).sum(min_count=1)
            )
            assert found == pytest.approx(wanted, nan_ok=True), feature


def test_an_account_of_nobody_yet_has_no_count():
    people = pd.DataFrame({"individual_id": [1], "account_id": ["A"], "arrived_at": ["2024-02-01"]})
    seen = Source(pd.DataFrame({"individual_id": [1], "day": ["2024-01-01"], "amount": [1.0]}), "day")
    asked = pd.DataFrame({"account_id": ["A", "A"], "cutoff": ["2024-02-01", "2024-02-02"]})
    found = Mart([one(entity="individual", over_members="count")], {"s": seen}, individuals=people).compute(asked)
    np.testing.assert_array_equal(found["value"], [np.nan, 1])


def test_parquet_arrow_polars_and_pandas_give_the_same(tmp_path):
    polars = pytest.importorskip("polars")
    table = rows(3, ["a", "b"], "UTC").assign(product=lambda frame: frame["product"].astype("category"))
    table[:50].to_parquet(tmp_path / "usage-1.parquet")
    table[50:].to_parquet(tmp_path / "usage-2.parquet")
    plain = table.astype({"product": str})
    forms = [table, pa.Table.from_pandas(table), polars.from_pandas(plain), tmp_path / "usage-*.parquet"]
    found = [
        Mart(features()[::4], {"bookings": Source(form, "date", "known")}).compute(["2024-03-20"]) for form in forms
    ]
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other)


def test_empty_tables_and_cutoffs():
    empty = pd.DataFrame({"account_id": pd.Series([], dtype=int), "day": pd.Series([], dtype=str), "amount": []})
    mart = Mart([one(), one("amount", name="last", how="latest")], {"s": Source(empty, "day")})
    assert mart.compute(["2024-01-01"]).columns.tolist() == ["account_id", "cutoff", "value", "last"]
    assert mart.compute(["2024-01-01"]).empty and mart.compute([]).empty
    asked = pd.DataFrame({"account_id": [1], "cutoff": ["2024-01-01"]})
    assert mart.compute(asked)[["value", "last"]].isna().all(axis=None)


def test_what_fails_at_a_row_is_told():
    table = pd.DataFrame({"account_id": ["a", "b"], "day": "2024-01-01", "amount": [1.0, 0.0], "text": ["1", "many"]})
    with pytest.raises(DataError, match=r"features.value: is infinite \(1 row; first: 'b' at 2024-02-01\)"):
        compute(table, ["2024-02-01"], one("1 / sum(amount)"))
    with pytest.raises(DataError, match="s: value cannot be computed .*many"):
        compute(table, ["2024-02-01"], one("sum(CAST(text AS INT))"))

    def failing(rows):
        return rows["amount"].iloc[7]

    with pytest.raises(DataError, match="value.function: fails on 1 rows of account 'a' .*IndexError"):
        compute(table, ["2024-02-01"], one(None, function=failing))
