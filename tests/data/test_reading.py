"""A folder of files gives the same log as the tables that were written to it."""

import gzip

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hanjax.data import reading
from hanjax.data.reading import read
from hanjax.data.tables import check
from hanjax.errors import DataError
from tests.data.small import small
from tests.data.test_tables import assert_same, rich


def write(folder, tables, ending: str) -> None:
    """Writes each table as a file of one format."""
    for name, table in tables._asdict().items():
        if table is not None:
            path = folder / f"{name}{ending}"
            table.to_parquet(path) if ending == ".parquet" else table.to_csv(path, index=False)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz"])
def test_every_format_gives_the_same_log(tmp_path, ending):
    write(tmp_path, rich(), ending)
    assert_same(check(read(str(tmp_path))), check(rich()))


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_string_ids_in_every_format(tmp_path, ending):
    tables = small()._asdict()
    for name in ("events", "individuals", "accounts"):
        columns = [column for column in ("account_id", "individual_id") if column in tables[name]]
        tables[name] = tables[name].assign(**{column: "0" + tables[name][column].astype(str) for column in columns})
    write(tmp_path, small(**tables), ending)
    log = check(read(tmp_path))
    assert log.account_ids.tolist() == ["010", "020", "030"]
    assert_same(log, check(small(**tables)))


def test_parquet_ids_decide_how_csv_ids_are_read(tmp_path):
    strings = {"account_id": "str", "individual_id": "str"}
    small().events.astype(strings).to_parquet(tmp_path / "events.parquet")
    small().individuals.to_csv(tmp_path / "individuals.csv", index=False)
    small().accounts.to_csv(tmp_path / "accounts.csv", index=False)
    assert check(read(tmp_path)).individual_ids.tolist() == ["2", "1", "3", "4", "5"]


def test_ids_of_integers_and_words_are_strings_in_every_csv(tmp_path):
    tables = small(individuals=small().individuals.assign(individual_id=["1", "2", "3", "4", "five"]))
    write(tmp_path, tables._replace(events=small().events.iloc[:4]), ".csv")
    assert check(read(tmp_path)).individual_ids.tolist() == ["2", "1", "3", "4", "five"]


def test_a_repeated_string_stays_encoded(tmp_path):
    write(tmp_path, small(), ".parquet")
    assert str(read(tmp_path).events.schema.field("activity").type).startswith("dictionary")


def test_the_index_of_a_pandas_frame_is_no_column(tmp_path):
    write(tmp_path, small(individuals=small().individuals.iloc[[2, 0, 1, 4, 3]]), ".parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "individuals.parquet").names
    assert_same(check(read(tmp_path)), check(small()))


def test_namibia_is_no_missing_value_but_an_empty_field_is(tmp_path):
    write(tmp_path, small(), ".csv")
    accounts = small().accounts.assign(industry=["NA", None, "steel"], employees=["NA", "", "12"])
    accounts.to_csv(tmp_path / "accounts.csv", index=False)
    log = check(read(tmp_path))
    assert log.segments["industry"].tolist() == ["NA", None, "steel"]
    assert log.numbers["employees"].fillna(-1).tolist() == [-1, -1, 12]


def test_a_name_may_hold_a_line_break_and_a_comma(tmp_path):
    write(tmp_path, small(), ".csv")
    small().accounts.assign(name=["Ten,\nInc.", "Twenty", "30"]).to_csv(tmp_path / "accounts.csv", index=False)
    assert check(read(tmp_path)).segments["name"].tolist() == ["Ten,\nInc.", "Twenty", "30"]


def test_later_blocks_may_hold_what_the_first_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 1 << 10)
    n = 400
    events = pd.concat([small().events] * (n // 8), ignore_index=True)
    events["timestamp"] = ["2024-01-15T10:00:00"] * (n - 1) + ["2024-01-15 10:00:00.123456"]
    events["count"] = ["1"] * (n - 1) + ["2.0"]
    events["known_at"] = events["timestamp"]
    events["order"] = 7
    write(tmp_path, small(events=events), ".csv")
    log = check(read(tmp_path))
    assert log.event_count.tolist() == [1] * (n - 1) + [2]
    assert log.event_time[-1] - log.event_time[0] == 123456


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        read(tmp_path / "nowhere")


def test_a_missing_table_names_what_is_there(tmp_path):
    write(tmp_path, small(), ".csv")
    (tmp_path / "events.csv").rename(tmp_path / "activity.csv")
    with pytest.raises(
        DataError, match=r"there is no events\.parquet, events\.csv or .*activity\.csv, individuals\.csv"
    ):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds nothing"):
        read(tmp_path / "empty")


def test_a_table_in_two_formats(tmp_path):
    write(tmp_path, small(), ".csv")
    write(tmp_path, small(), ".parquet")
    with pytest.raises(DataError, match=r"events is there more than once: events\.parquet, events\.csv\. Keep one"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("events.parquet", b"PAR1 and then something else PAR1"),
        ("events.parquet", b""),
        ("events.csv", b""),
        ("events.csv", b"account_id,individual_id\n1,2\n1,2,3\n"),
        ("events.csv", "account_id,name\n1,Zo\u00eb\n".encode("latin-1")),
        ("events.csv.gz", b"no gzip at all"),
        ("events.csv.gz", gzip.compress(b"account_id,individual_id\n1,2\n" * 1000)[:-20]),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    write(tmp_path, small(), ".csv")
    (tmp_path / "events.csv").unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: (cannot be read as (CSV|Parquet)|column 'name' is not UTF-8)"):
        read(tmp_path)


def test_a_file_without_rows_is_an_empty_table(tmp_path):
    write(tmp_path, small(events=small().events.iloc[:0]), ".csv")
    with pytest.raises(DataError, match="events: the table has no rows"):
        check(read(tmp_path))


def test_the_incubator_projects(asfi_folder):
    log = check(read(asfi_folder))
    assert log.left_out == ()
    assert (len(log.account_ids), len(log.individual_ids), len(log.event_time)) == (207, 21_893, 1_165_762)
    assert (len(log.activities), int(log.event_count.min())) == (9, 1)
    assert list(log.categories)[2:] == ["domain_class", "first_activity", "join_phase", "prior_projects"]
    assert list(log.numbers)[2:] == ["start_year", "sponsor_is_incubator"]
    assert sorted(set(log.fold.tolist())) == [0, 1, 2, 3, 4]
