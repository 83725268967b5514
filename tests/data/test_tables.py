"""Good tables: whatever library, type or order they come in, the log is the same."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hanjax.config import PanelConfig
from hanjax.data.ids import Lookup
from hanjax.data.log import ALWAYS, NEVER, Log
from hanjax.data.tables import check
from hanjax.types import Tables
from tests.data.small import altered, longer, small


def microseconds(*times: str) -> list[int]:
    """Times as the log holds them."""
    return [int(np.datetime64(time, "us").astype(np.int64)) for time in times]


def sorted_events(log: Log) -> list[np.ndarray]:
    """All columns of the events, in an order of their own."""
    columns = [log.event_time, log.event_individual, log.event_activity, log.event_count, log.event_known]
    present = [column for column in (*columns, log.event_order) if column is not None]
    order = np.lexsort(present)
    return [column[order] for column in present]


def assert_same(one: Log, other: Log) -> None:
    """Holds if two logs are equal up to the order of their events."""
    for left, right in zip(sorted_events(one), sorted_events(other), strict=True):
        np.testing.assert_array_equal(left, right)
    for name in Log._fields:
        left, right = getattr(one, name), getattr(other, name)
        if name.startswith("event_"):
            assert (left is None) == (right is None)
        elif isinstance(left, pd.DataFrame):
            pd.testing.assert_frame_equal(left, right)
        elif isinstance(left, pd.Index):
            pd.testing.assert_index_equal(left, right)
        elif isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right, name


def rich() -> Tables:
    """The small data set with everything that a data set may have."""
    tables = small()
    return tables._replace(
        events=tables.events.assign(
            count=[1, 2, 1, 1, 3, 1, 1, 1], known_at="2024-01-20T00:00:00Z", order=[3, 1, 2, 4, 5, 7, 6, 8]
        ),
        individuals=pd.concat(
            [tables.individuals.assign(known_at=None), tables.individuals.assign(known_at="2024-01-10", role="buyer")],
            ignore_index=True,
        ),
        account_features=pd.DataFrame(
            {"account_id": [20, 10, 20], "known_at": ["2024-01-09", "2024-01-08", "2024-01-07"], "visits": [1, None, 3]}
        ),
        folds=pd.DataFrame({"account_id": [30, 10, 20], "fold": [2, 0, 1]}),
    )


def test_the_log_of_the_small_tables():
    log = check(small())
    assert log.account_ids.tolist() == [10, 20, 30]
    assert log.individual_ids.tolist() == [2, 1, 3, 4, 5]
    assert log.individual_account.tolist() == [0, 0, 1, 2, 2]
    assert log.arrived_at.tolist() == microseconds("2024-01-04", *["2024-01-05"] * 4)
    assert log.observed_from.tolist() == microseconds("2024-01-02", "2024-01-03", "2024-01-04")
    assert log.observed_to.tolist() == microseconds("2024-02-01", "2024-02-02", "2024-02-03")
    assert log.converted_at.tolist() == [*microseconds("2024-02-01"), NEVER, *microseconds("2024-01-31")]
    assert log.activities == ("call", "form", "visit")
    assert log.event_individual.tolist() == [1, 0, 2, 3, 1, 2, 4, 3]
    assert log.event_time.tolist() == microseconds(*small().events["timestamp"].str.removesuffix("Z"))
    assert log.event_activity.tolist() == [2, 1, 2, 0, 0, 1, 2, 2]
    assert (log.event_individual.dtype, log.event_activity.dtype) == (np.int32, np.uint8)
    assert (log.event_count, log.event_known, log.event_order, log.features, log.fold) == (None,) * 5
    assert log.categories["individual"].tolist() == [0, 1, 2, 3, 4]
    assert set(log.categories["known_at"]) == {ALWAYS}
    assert log.categories["role"].tolist() == ["manager", "engineer", None, "engineer", "buyer"]
    assert log.categories["floor"].tolist() == ["2", "1", None, "2", "1"]
    assert log.categories["remote"].tolist() == ["false", "true", "true", "true", "false"]
    assert log.numbers.columns.tolist() == ["account", "known_at", "employees", "listed"]
    np.testing.assert_array_equal(log.numbers["employees"], [250, np.nan, 12])
    assert log.numbers["listed"].tolist() == [1, 0, 0]
    assert log.segments.to_dict("list") == {
        "name": ["Ten", "Twenty", "Thirty"],
        "industry": ["steel", "paper", None],
    }
    assert log.left_out == ()
    assert log.notes == (
        "Times and dates without a zone were read in UTC: "
        "accounts.observed_from, accounts.observed_to, accounts.converted_at.",
        "individuals: taken as constant, since there is no column known_at: role, floor, remote.",
        "accounts: taken as constant, since there is no column known_at: employees, listed.",
    )


def test_optional_columns_and_tables():
    log = check(rich())
    assert log.event_count.tolist() == [1, 2, 1, 1, 3, 1, 1, 1]
    assert log.event_order.tolist() == [3, 1, 2, 4, 5, 7, 6, 8]
    assert log.event_known.tolist() == microseconds("2024-01-20") * 8
    assert log.fold.tolist() == [0, 1, 2]
    assert log.features["account"].tolist() == [0, 1, 1]
    assert log.features["known_at"].tolist() == microseconds("2024-01-08", "2024-01-07", "2024-01-09")
    np.testing.assert_array_equal(log.features["visits"], [np.nan, 3, 1])
    assert log.categories["individual"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert log.categories["known_at"].tolist() == [ALWAYS, *microseconds("2024-01-10")] * 5
    assert log.categories["role"].tolist()[:4] == ["manager", "buyer", "engineer", "buyer"]
    assert not any("individuals: taken as constant" in note for note in log.notes)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    tables = rich()
    mixed = Tables(*(table.iloc[rng.permutation(len(table))].reset_index(drop=True) for table in tables[:5]))
    assert_same(check(mixed), check(tables))


def as_pyarrow(tables: Tables) -> Tables:
    return Tables(*(pa.Table.from_pandas(table, preserve_index=False) for table in tables[:5]))


def as_chunks(tables: Tables) -> Tables:
    """Arrow tables with two rows a chunk, and every string encoded chunk by chunk."""
    return Tables(
        *(pa.concat_tables([_encoded(table.slice(start, 2)) for start in range(0, len(table), 2)])
          for table in as_pyarrow(tables)[:5])
    )  # fmt: skip


def _encoded(table: pa.Table) -> pa.Table:
    columns = {
        name: column.dictionary_encode() if pa.types.is_large_string(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)


def as_polars(tables: Tables) -> Tables:
    polars = pytest.importorskip("polars")
    return Tables(*(polars.from_pandas(table) for table in tables[:5]))


def as_polars_categories(tables: Tables) -> Tables:
    polars = pytest.importorskip("polars")
    text = polars.selectors.string()
    return Tables(*(table.with_columns(text.cast(polars.Categorical)) for table in as_polars(tables)[:5]))


def as_objects(tables: Tables) -> Tables:
    return Tables(*(table.astype({name: object for name in table.select_dtypes("str")}) for table in tables[:5]))


def as_categories(tables: Tables) -> Tables:
    return Tables(*(table.astype({name: "category" for name in table.select_dtypes("str")}) for table in tables[:5]))


@pytest.mark.parametrize("convert", [as_pyarrow, as_chunks, as_polars, as_polars_categories, as_objects, as_categories])
def test_every_library_gives_the_same_log(convert):
    assert_same(check(convert(rich())), check(rich()))


def test_a_lazy_frame_is_refused_with_a_word():
    polars = pytest.importorskip("polars")
    with pytest.raises(ValueError, match="events: expected a DataFrame.*Collect a lazy frame first"):
        check(small(events=polars.from_pandas(small().events).lazy()))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_of_times_does_not_matter(unit):
    events = small().events
    times = pd.to_datetime(events["timestamp"]).astype(f"datetime64[{unit}, UTC]")
    assert_same(check(small(events=events.assign(timestamp=times))), check(small()))
    assert_same(check(small(events=events.assign(timestamp=times.dt.tz_convert("Asia/Tokyo")))), check(small()))


def test_times_before_1970_are_rounded_down_like_those_after():
    events = small().events.assign(timestamp=np.array([-1, -1000, -1001, 0, 999, 1000, 1, 2], "M8[ns]"))
    individuals = small().individuals.drop(columns="arrived_at")
    log = check(small(events=events, individuals=individuals, accounts=small().accounts[["account_id"]]))
    assert log.event_time.tolist() == [-1, -1, -2, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "written",
    ["2024-01-08T05:00:00-05:00", "2024-01-08 10:00:00+0000", "2024-01-08T10:00Z", "2024-01-08T10:00:00.000000000Z"],
)
def test_several_offsets_are_fine(written):
    assert_same(check(altered("events", 0, timestamp=written)), check(small()))


def test_naive_times_in_new_york_are_aware_times_in_utc():
    config = PanelConfig(timezone="America/New_York")
    aware = pd.to_datetime(small().events["timestamp"])
    naive = aware.dt.tz_convert("America/New_York").dt.tz_localize(None)
    expected = check(small(), config)
    for column in (naive, naive.astype(str), pd.Series(naive.dt.to_pydatetime(), dtype=object)):
        log = check(small(events=small().events.assign(timestamp=column)), config)
        assert log.notes[0].startswith("Times and dates without a zone were read in America/New_York: events.timestamp")
        assert_same(log._replace(notes=()), expected._replace(notes=()))
    objects = pd.Series(list(aware), dtype=object)
    assert_same(check(small(events=small().events.assign(timestamp=objects)), config), expected)


def test_a_date_is_midnight_in_the_time_zone():
    dates = [pd.Timestamp(day).date() for day in ("2024-01-02", "2024-01-03", "2024-01-04")]
    for column in (pd.Series(dates, dtype=object), ["2024-01-02", "2024-01-03", "2024-01-04"]):
        accounts = small().accounts.assign(observed_from=column)
        log = check(small(accounts=accounts), PanelConfig(timezone="Asia/Tokyo"))
        assert log.observed_from.tolist() == microseconds("2024-01-01T15", "2024-01-02T15", "2024-01-03T15")


def test_local_times_that_are_doubled_or_skipped():
    times = ["2024-11-03T01:30", "2024-03-10T02:30", "2024-03-10T01:59:59", *["2024-07-01"] * 5]
    events = small().events.assign(timestamp=times)
    tables = small(events=events, individuals=small().individuals.drop(columns="arrived_at"))
    log = check(tables._replace(accounts=small().accounts[["account_id"]]), PanelConfig(timezone="America/New_York"))
    first, after_gap, before_gap = "2024-11-03T05:30", "2024-03-10T07:00", "2024-03-10T06:59:59"
    assert log.event_time[:3].tolist() == microseconds(first, after_gap, before_gap)


def test_an_empty_string_is_no_date():
    accounts = small().accounts.assign(converted_at=["2024-02-01", "", "2024-01-31"])
    assert_same(check(small(accounts=accounts)), check(small()))


def test_arrival_is_the_first_event_by_default_once_it_is_known():
    known = ["2024-01-01T00:00:00Z"] * 4 + ["2024-01-07T00:00:00Z"] + ["2024-01-30T00:00:00Z"] * 3
    individuals = small().individuals.assign(arrived_at=[None, None, None, "2024-01-06", None])
    log = check(small(events=small().events.assign(known_at=known), individuals=individuals))
    assert dict(zip(log.individual_ids.tolist(), log.arrived_at.tolist(), strict=True)) == dict(
        zip([1, 2, 3, 4, 5], microseconds(
            "2024-01-08T10", "2024-01-09T10", "2024-01-10T10", "2024-01-06", "2024-01-30"), strict=True)
    )  # fmt: skip
    assert log.individual_ids.tolist() == [1, 2, 3, 4, 5]


def test_observation_ends_with_the_whole_log_by_default():
    accounts = small().accounts[["account_id"]].assign(converted_at=["2024-01-10", None, "2024-03-01"])
    log = check(small(accounts=accounts))
    assert log.observed_from.tolist() == microseconds("2024-01-04", "2024-01-05", "2024-01-05")
    assert log.observed_to.tolist() == microseconds("2024-01-15T10", "2024-01-15T10", "2024-03-01")
    late = longer("individuals", individual_id=6, arrived_at="2024-05-01T00:00:00Z").individuals
    log = check(small(accounts=accounts, individuals=late))
    assert log.observed_to.tolist() == microseconds("2024-05-01") * 3
    log = check(small(accounts=accounts.assign(observed_to=[None, "2024-02-01", None])))
    assert log.observed_to.tolist() == microseconds("2024-01-15T10", "2024-02-01", "2024-03-01")


def test_observation_begins_with_the_first_arrival_not_with_an_event_that_was_unknown_then():
    events = small().events.assign(known_at="2024-01-20T00:00:00Z")
    tables = small(events=events, individuals=small().individuals.drop(columns="arrived_at"))
    log = check(tables._replace(accounts=small().accounts[["account_id"]]))
    assert log.arrived_at.tolist() == microseconds("2024-01-20") * 5
    assert log.observed_from.tolist() == microseconds("2024-01-20") * 3
    log = check(tables._replace(accounts=small().accounts[["account_id"]], events=small().events))
    assert log.observed_from.tolist() == microseconds("2024-01-08T10", "2024-01-10T10", "2024-01-11T10")


def test_history_takes_each_dates_last_value_and_keeps_every_row_of_features():
    accounts = pd.DataFrame(
        {
            "account_id": [10, 20, 30, 10, 10],
            "known_at": ["2024-01-01"] * 3 + ["2024-01-20", "2024-01-10"],
            "observed_to": ["2024-02-01", None, None, None, "2024-03-01"],
            "converted_at": [None, None, None, "2024-02-15", None],
            "industry": ["steel", "paper", None, None, "iron"],
            "employees": [1, 2, 3, 5, 4],
        }
    )
    log = check(small(accounts=accounts))
    assert log.observed_to[0] == microseconds("2024-03-01")[0]
    assert log.converted_at.tolist() == [*microseconds("2024-02-15"), NEVER, NEVER]
    assert log.segments["industry"].tolist() == ["iron", "paper", None]
    assert log.numbers["account"].tolist() == [0, 0, 0, 1, 2]
    assert log.numbers["employees"].tolist() == [1, 4, 5, 2, 3]
    assert log.numbers["known_at"].tolist()[:3] == microseconds("2024-01-01", "2024-01-10", "2024-01-20")


def test_other_names_of_columns():
    tables = small()
    tables = Tables(
        tables.events.rename(columns={"account_id": "Company", "timestamp": "when"}),
        tables.individuals.rename(columns={"account_id": "Company"}),
        tables.accounts.rename(columns={"account_id": "Company"}),
    )
    assert_same(check(tables, PanelConfig(columns=(("account_id", "Company"), ("timestamp", "when")))), check(small()))


def test_excluded_and_unused_columns():
    tables = small(events=small().events.assign(browser="x"))
    log = check(tables, PanelConfig(exclude=("role", "employees", "industry", "nowhere")))
    assert log.categories.columns.tolist() == ["individual", "known_at", "floor", "remote"]
    assert log.numbers.columns.tolist() == ["account", "known_at", "listed"]
    assert log.segments.columns.tolist() == ["name"]
    assert "events: not used: browser." in log.notes
    assert "exclude: no table has the column nowhere." in log.notes


def test_string_ids_are_sorted_by_code_point():
    names = {1: "Zoë", 2: "ada", 3: "Bob", 4: "Éva", 5: "eve"}
    events = small().events.assign(individual_id=small().events["individual_id"].map(names))
    individuals = small().individuals.assign(individual_id=list(names.values()), arrived_at="2024-01-05", account_id=10)
    tables = small(events=events.assign(account_id=10), individuals=individuals, accounts=small().accounts.iloc[:1])
    log = check(tables)
    assert log.individual_ids.tolist() == ["Bob", "Zoë", "ada", "eve", "Éva"]
    assert log.individual_ids[log.event_individual].tolist() == events["individual_id"].tolist()


@pytest.mark.parametrize("ids", [range(1, 6), [1, 10**6, 10**12, -(10**18), 7], ["a", "b", "c", "d", "e"]])
def test_lookup_finds_every_id_and_nothing_else(ids):
    ids = pa.array(list(ids)).cast(pa.int64() if isinstance(ids[0], int) else pa.large_string())
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, 1000)
    column = ids.take(pa.array(codes))
    stranger = pa.array([0 if pa.types.is_integer(ids.type) else "z"], ids.type)
    chunks = pa.chunked_array([column.slice(0, 300), stranger, column.slice(300)])
    expected = np.insert(codes, 300, -1)
    for form in (chunks, chunks.dictionary_encode(), pa.chunked_array([c.dictionary_encode() for c in chunks.chunks])):
        np.testing.assert_array_equal(Lookup(ids)(form), expected)
    assert len(Lookup(ids)(chunks.slice(0, 0))) == 0


def test_small_integer_types_and_unsigned_ids():
    events = small().events.astype({"account_id": "int8", "individual_id": "uint64"})
    assert_same(check(small(events=events)), check(small()))


def test_counts_of_one_and_events_known_at_once_cost_nothing():
    log = check(altered("events", count=1, known_at=small().events["timestamp"]))
    assert log.event_count is None
    assert log.event_known is None


def test_dropping_everyone_of_an_account_drops_what_is_said_of_it():
    individuals = small().individuals.assign(arrived_at=None)
    events = small().events
    tables = rich()._replace(individuals=individuals, events=events[events["account_id"] != 20])
    log = check(tables, PanelConfig(strays="drop"))
    assert [(left.table, left.reason, left.rows, left.first) for left in log.left_out] == [
        ("individuals", "individual_id: has neither an event nor arrived_at", 1, (3,)),
        ("accounts", "account_id: has no individual", 1, (20,)),
        ("account_features", "account_id: is an account that was left out", 2, (20, 20)),
    ]
    assert log.account_ids.tolist() == [10, 30]
    assert log.individual_account.tolist() == [0, 0, 1, 1]
    assert log.segments["name"].tolist() == ["Ten", "Thirty"]
    assert log.numbers["account"].tolist() == [0, 1]
    assert log.features["account"].tolist() == [0]
    assert log.fold.tolist() == [0, 2]
    assert log.observed_from.tolist() == microseconds("2024-01-02", "2024-01-04")


def test_activities_of_dropped_events_are_no_activities():
    tables = small(events=longer("events", individual_id=99, activity="a first name").events)
    log = check(tables, PanelConfig(strays="drop"))
    assert_same(log._replace(left_out=()), check(small()))


def test_many_activities_take_two_bytes():
    n = 300
    events = pd.DataFrame({"account_id": 10, "individual_id": 1, "timestamp": "2024-01-08T10:00:00Z",
                           "activity": [f"kind {i:03d}" for i in range(n)][::-1]})  # fmt: skip
    log = check(small(events=pd.concat([small().events, events])))
    assert log.event_activity.dtype == np.uint16
    assert len(log.activities) == n + 3
    assert [log.activities[code] for code in log.event_activity[8:]] == events["activity"].tolist()
