"""Whatever a user can get wrong: the message names the table, the column, how many rows, the first, and the remedy."""

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hanjax.config import PanelConfig
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError
from hanjax.types import Tables
from tests.data.small import altered, longer, small


def case(name: str, tables: Tables, *parts: str, **settings):
    """One mistake, and what the message must contain."""
    return pytest.param(tables, PanelConfig(**settings), parts, id=name)


def features(**columns) -> Tables:
    """The small data set with account features."""
    columns = {"account_id": [10], "known_at": ["2024-01-05"], "visits": [1.0], **columns}
    return small(account_features=pd.DataFrame(columns))


def folds(accounts: list, numbers: list) -> Tables:
    """The small data set with folds."""
    return small(folds=pd.DataFrame({"account_id": accounts, "fold": numbers}))


MISSHAPEN = [
    case(
        "an id in the index",
        small(accounts=small().accounts.set_index("account_id")),
        "accounts: 'account_id' is the index. Make a column of it with .reset_index()",
    ),
    case("no table", small(accounts=None), "accounts: the table is missing"),
    case("no DataFrame", small(events=[1, 2]), "events", "expected a DataFrame", "list"),
    case("empty events", small(events=small().events.iloc[:0]), "events: the table has no rows"),
    case("empty individuals", small(individuals=small().individuals.iloc[:0]), "individuals: the table has no rows"),
    case("empty accounts", small(accounts=small().accounts.iloc[:0]), "accounts: the table has no rows"),
    case(
        "missing column",
        small(events=small().events.rename(columns={"account_id": "AccountID"})),
        "events: the column 'account_id' is missing",
        "'individual_id', 'timestamp', 'activity'",
        "Did you mean 'AccountID'?",
        "columns: (('account_id', 'AccountID'),)",
    ),
    case(
        "missing column, nothing like it",
        small(events=small().events.drop(columns="activity")),
        "events: the column 'activity' is missing",
        "the setting columns",
    ),
    case(
        "two columns of one name",
        small(accounts=pd.concat([small().accounts, small().accounts[["name"]]], axis=1)),
        "accounts: two columns are named 'name'",
    ),
    case(
        "columns names a column that is not there",
        small(),
        "no table has the column 'Company'",
        "accounts has ['account_id'",
        columns=(("account_id", "Company"),),
    ),
    case(
        "columns names no standard column",
        small(),
        "'acount_id' is no standard column",
        "'account_id'",
        columns=(("acount_id", "Company"),),
    ),
    case(
        "columns renames onto another",
        small(),
        "accounts: has both 'name' and 'industry'",
        columns=(("name", "industry"),),
    ),
]

IDS = [
    case(
        "null account in events",
        altered("events", 3, account_id=None),
        "events.account_id: is missing (1 row; first: row 3)",
        "fill it in, or remove the row",
    ),
    case(
        "null individual in events", altered("events", 0, individual_id=None), "events.individual_id: is missing (1 row"
    ),
    case("null individual", altered("individuals", 2, individual_id=None), "individuals.individual_id: is missing"),
    case("null account", altered("accounts", 2, account_id=None), "accounts.account_id: is missing", "row 2"),
    case(
        "strings and integers over tables",
        altered("events", account_id=[str(i) for i in small().events["account_id"]]),
        "events.account_id: is of another kind",
        "strings in events ('10'); integers in individuals (10)",
        "8 rows; first: '10'",
        "Use integers in every table",
    ),
    case(
        "strings and integers in one column",
        altered("events", individual_id=[1, 2, 3, 4, "x1", 3, 5, 4]),
        "events.individual_id: mixes int and str (1 row; first: 'x1' (row 4))",
        "all of them strings",
    ),
    case(
        "floats",
        altered("accounts", account_id=[10.5, 20.0, 30.0]),
        "accounts.account_id: is double, but ids are integers",
        "3 rows; first: 10.5",
        ".astype('int64')",
    ),
    case(
        "duplicate account",
        longer("accounts"),
        "accounts.account_id: stands more than once (1 row; first: 10 (row 3))",
        "need a column known_at",
    ),
    case(
        "duplicate individual",
        longer("individuals"),
        "individuals.individual_id: stands more than once (1 row; first: 1 (row 5))",
        "need a column known_at",
    ),
    case(
        "two rows of one date",
        small(individuals=pd.concat([small().individuals] * 2).assign(known_at="2024-01-05")),
        "individuals.individual_id, known_at: stands more than once (5 rows; first: 1 (row 5)",
        "Keep one row of each and date",
    ),
    case(
        "individual in two accounts",
        longer("individuals", account_id=20),
        "individuals.account_id: puts an individual into a second account (1 row; first: individual 1 also in",
        "give each membership an id of its own",
    ),
    case(
        "event in another account",
        altered("events", 4, account_id=20),
        "events.account_id: is not the account of the individual",
        "1 row; first: individual 1 of account 10 in account 20 (row 4)",
        "give each membership an id of its own",
    ),
]

TIMES = [
    case("null timestamp", altered("events", 2, timestamp=None), "events.timestamp: is missing (1 row; first: row 2)"),
    case("null activity", altered("events", 5, activity=None), "events.activity: is missing (1 row; first: row 5)"),
    case(
        "no date",
        altered("events", 5, timestamp="yesterdayZ"),
        "events.timestamp: is no ISO 8601 date or time (1 row; first: 'yesterdayZ' (row 5))",
        "2024-01-31T09:30:00Z",
    ),
    case(
        "no date among naive ones",
        altered("accounts", observed_to=["2024-02-01", "31.12.2024", "2024-13-01"]),
        "accounts.observed_to: is no ISO 8601 date or time (2 rows; first: '31.12.2024' (row 1), '2024-13-01' (row 2))",
        "2024-01-31T09:30:00Z",
    ),
    case(
        "numbers as times",
        altered("events", timestamp=1704700800),
        "events.timestamp: is int64, which is no date or time (8 rows; first: 1704700800",
        "pandas.to_datetime",
    ),
    case(
        "aware and naive strings",
        altered("events", 6, timestamp="2024-01-14 10:00"),
        "events.timestamp: has no time zone while other rows have one (1 row; first: 2024-01-14 10:00 (row 6))",
        "Give every time an offset",
    ),
    case(
        "aware and naive objects",
        altered(
            "accounts",
            observed_from=pd.Series(
                [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03", tz="UTC"), None], dtype=object
            ),
        ),
        "accounts.observed_from: has no time zone while other rows have one",
        "1 row; first: 2024-01-02 00:00:00 (row 0)",
    ),
    case(
        "a wrong unit",
        altered("accounts", observed_to=np.array([1, 2, 10**18], "M8[s]")),
        "accounts.observed_to: is a date hundreds of thousands of years away (1 row; first: ",
        "wrong unit",
    ),
    case(
        "null known_at", altered("events", known_at=[None, *["2024-02-01"] * 7]), "events.known_at: is missing (1 row"
    ),
    case(
        "conversion before observation",
        altered("accounts", observed_from="2024-02-01T00:00:01"),
        "accounts.converted_at: is before observed_from (2 rows; first: account 10: 2024-02-01T00:00:00Z <",
        "observed_from <= converted_at <= observed_to",
    ),
    case(
        "observation ends before the conversion",
        altered("accounts", 0, observed_to="2024-01-31"),
        "accounts.observed_to: is before converted_at (1 row; first: account 10",
    ),
    case(
        "observation ends before it begins",
        altered("accounts", 1, observed_to="2024-01-01"),
        "accounts.observed_to: is before observed_from (1 row; first: account 20",
    ),
]

VALUES = [
    case(
        "zero count", altered("events", count=[1, 0, 1, -2, 1, 1, 1, 1]), "events.count: is below 1 (2 rows; first: 0"
    ),
    case("fraction", altered("events", count=[1.5, *[1.0] * 7]), "events.count: is no whole number (1 row; first: 1.5"),
    case("null count", altered("events", count=[None, *[1.0] * 7]), "events.count: is missing (1 row; first: row 0)"),
    case("count of words", altered("events", count="one"), "events.count: is", "string (8 rows; first: 'one' (row 0)"),
    case("infinite order", altered("events", order=np.inf), "events.order: is no whole number (8 rows; first: inf"),
    case("activities that are numbers", altered("events", activity=0.5), "events.activity: is double", "8 rows"),
    case(
        "infinite number",
        altered("accounts", employees=[1.0, np.inf, 2.0]),
        "accounts.employees: is infinite (1 row; first: inf (row 1))",
        "Leave the value empty",
    ),
    case(
        "date as a number",
        altered("accounts", founded=pd.Timestamp("2001-01-01")),
        "accounts.founded: is timestamp",
        "exclude: ('founded',)",
    ),
    case(
        "nested category",
        small(
            individuals=pa.table(
                {"individual_id": [1, 2, 3, 4, 5], "account_id": [10, 10, 20, 30, 30], "tags": [["a"], [], [], [], []]}
            )
        ),
        "individuals.tags: is list",
        "5 rows",
        "exclude: ('tags',)",
    ),
    case("infinite feature", features(visits=[np.inf]), "account_features.visits: is infinite (1 row"),
    case("feature of words", features(visits=["many"]), "account_features.visits: is", "not a number", "exclude"),
    case("undated feature", features(known_at=[None]), "account_features.known_at: is missing (1 row; first: row 0)"),
    case(
        "a feature twice",
        small(account_features=pd.DataFrame({"account_id": [10, 10], "known_at": "2024-01-05", "visits": 1})),
        "account_features.account_id, known_at: stands more than once (1 row; first: account 10 (row 1))",
        "Keep one row",
    ),
    case(
        "fold of an unknown account",
        folds([10, 20, 30, 40], [0, 1, 2, 0]),
        "folds.account_id: is not in the table accounts (1 row; first: 40)",
        "Remove these rows",
    ),
    case("account without a fold", folds([10, 20], [0, 1]), "folds.account_id: has no fold", "1 row; first: 30"),
    case(
        "account in two folds", folds([10, 20, 30, 30], [0, 1, 2, 0]), "folds.account_id: stands more than once", "30"
    ),
    case("fold that is no number", folds([10, 20, 30], ["a", "b", "c"]), "folds.fold: is", "3 rows; first: a, b, c"),
    case("null fold", folds([10, 20, 30], [0, None, 1]), "folds.fold: is missing (1 row; first: row 1)"),
]

STRAYS = [
    case(
        "unknown individual",
        longer("events", individual_id=99),
        "events.individual_id: is not in the table individuals (1 row; first: 99)",
    ),
    case(
        "unknown account",
        longer("events", account_id=99),
        "events.account_id: is not in the table accounts (1 row; first: 99)",
    ),
    case(
        "individual of an unknown account",
        longer("individuals", individual_id=6, account_id=99),
        "individuals.account_id: is not in the table accounts (1 row; first: 99)",
    ),
    case(
        "event before observation",
        altered("events", 0, timestamp="2024-01-01T23:59:59Z"),
        "events.timestamp: is before observed_from of its account (1 row; first: individual 1 at 2024-01-01T23:59:59Z",
    ),
    case(
        "event at the end of observation",
        altered("events", 0, timestamp="2024-02-01T00:00:00Z"),
        "events.timestamp: is at or after observed_to of its account (1 row; first: individual 1 at 2024-02-01T00",
    ),
    case(
        "event before arrival",
        altered("events", 0, timestamp="2024-01-04T23:59:59Z"),
        "events.timestamp: is before arrived_at of its individual (1 row; first: individual 1 at 2024-01-04T23:59:59Z",
    ),
    case(
        "account without individuals",
        longer("accounts", account_id=40),
        "accounts.account_id: has no individual (1 row; first: 40)",
    ),
    case(
        "individual that never arrives",
        longer("individuals", individual_id=6, arrived_at=None),
        "individuals.individual_id: has neither an event nor arrived_at (1 row; first: 6)",
    ),
    case(
        "feature of an unknown account",
        features(account_id=[99]),
        "account_features.account_id: is not in the table accounts (1 row; first: 99)",
    ),
]


@pytest.mark.parametrize(("tables", "config", "parts"), MISSHAPEN + IDS + TIMES + VALUES)
@pytest.mark.parametrize("strays", ["error", "drop"])
def test_mistakes_are_named(tables, config, parts, strays):
    settings = {"columns": config.columns, "strays": strays}
    with pytest.raises(DataError) as caught:
        check(tables, PanelConfig(**settings))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(("tables", "config", "parts"), STRAYS)
def test_strays_are_errors_unless_dropped(tables, config, parts):
    with pytest.raises(DataError) as caught:
        check(tables, config)
    for part in (*parts, 'strays="drop"'):
        assert part in str(caught.value)


@pytest.mark.parametrize(("tables", "config", "parts"), STRAYS)
def test_dropped_strays_are_counted(tables, config, parts):
    log = check(tables, PanelConfig(strays="drop"))
    (left,) = log.left_out
    where, rest = parts[0].split(": ", 1)
    table, column = where.split(".")
    assert (left.table, left.reason, left.rows) == (table, f"{column}: {rest.split(' (1 row')[0]}", 1)
    assert str(left.first[0]).startswith(rest.split("first: ")[1].rstrip(")"))
    assert log.account_ids.tolist() == [10, 20, 30]
    assert log.individual_ids.tolist() == [2, 1, 3, 4, 5]
    assert len(log.event_time) == len(log.event_individual) == 8 - (left.table == "events" and len(tables.events) == 8)


@pytest.mark.parametrize("levels", [51, 12])
def test_a_column_with_too_many_levels_is_no_category(levels):
    n = 200 if levels > 50 else 22
    who = np.arange(n)
    individuals = pd.DataFrame(
        {"individual_id": who, "account_id": 1, "arrived_at": "2024-01-01", "street": who % levels}
    )
    events = pd.DataFrame({"account_id": [1], "individual_id": [0], "timestamp": ["2024-01-02"], "activity": ["visit"]})
    tables = Tables(events, individuals, pd.DataFrame({"account_id": [1]}))
    with pytest.raises(
        DataError, match=rf"individuals\.street: has {levels} levels.*\({n} rows; first: 0, 1.*exclude: \("
    ):
        check(tables)
    assert list(check(tables, PanelConfig(exclude=("street",))).categories) == ["individual", "known_at"]
    fewer = individuals.assign(street=who % (levels - 1))
    assert "street" in check(tables._replace(individuals=fewer)).categories


def test_an_unknown_time_zone_names_what_is_close():
    with pytest.raises(ConfigError, match="'America/New_Yorc' is no known time zone.*America/New_York"):
        check(small(), PanelConfig(timezone="America/New_Yorc"))


def test_strays_only_are_an_error_even_when_dropped():
    with pytest.raises(DataError, match="events: no row is left"):
        check(altered("events", individual_id=99), PanelConfig(strays="drop"))
    with pytest.raises(DataError, match="individuals: no row is left"):
        check(altered("individuals", account_id=99), PanelConfig(strays="drop"))


def test_another_librarys_table_needs_narwhals(monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(DataError, match=r"events: a polars\..*DataFrame needs the package narwhals \(pip install"):
        check(small(events=polars.from_pandas(small().events)))
