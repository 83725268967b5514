"""The calendar against dates written by hand, and against a search through Python's own time zones."""

import bisect
import datetime
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from hanjax.data.periods import make_calendar
from hanjax.errors import ConfigError, DataError


def micros(text, zone="UTC"):
    """A local time as microseconds since 1970, UTC."""
    local = datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return (local - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)


def calendar(first, last, period="W-SAT", zone="UTC"):
    return make_calendar(micros(first, zone), micros(last, zone), period=period, timezone=zone)


def local_starts(made):
    return made.dates(np.arange(len(made.starts))).strftime("%Y-%m-%d %H:%M").tolist()


def test_weeks_run_from_sunday_to_saturday():
    made = calendar("2021-01-05 10:00", "2021-01-20 23:59")
    assert local_starts(made) == [f"2021-01-{day} 00:00" for day in ("03", "10", "17", "24")]
    saturday_end, sunday = micros("2021-01-09 23:59:59.999999"), micros("2021-01-10")
    assert made.period_of(np.array([saturday_end, sunday])).tolist() == [0, 1]  # Saturday 24:00 is the next week


def test_sunday_at_one_in_utc_is_still_saturday_in_new_york():
    moment = np.array([micros("2021-01-10 01:00")])
    for zone, period in (("UTC", 1), ("America/New_York", 0)):
        assert calendar("2021-01-05", "2021-01-20", zone=zone).period_of(moment) == period


def test_weeks_begin_at_midnight_also_when_clocks_change():
    zone = "America/New_York"
    made = calendar("2021-03-02", "2021-11-20", zone=zone)
    assert all(start.endswith("00:00") for start in local_starts(made))
    hours = dict(zip(local_starts(made), np.diff(made.starts) // 3_600_000_000, strict=False))
    assert hours.pop("2021-03-14 00:00") == 167 and hours.pop("2021-11-07 00:00") == 169
    assert set(hours.values()) == {168}
    edges = [micros(start, zone) for start in local_starts(made)]
    assert made.starts.tolist() == edges
    times = [micros(t, zone) for t in ("2021-03-13 23:59", "2021-03-14 00:00", "2021-11-06 23:59", "2021-11-07 00:00")]
    assert made.period_of(np.array(times)).tolist() == [bisect.bisect_right(edges, t) - 1 for t in times]


def test_a_day_without_midnight_begins_with_its_first_moment():
    made = calendar("2018-11-03", "2018-11-05", "D", "America/Sao_Paulo")
    assert local_starts(made)[:3] == ["2018-11-03 00:00", "2018-11-04 01:00", "2018-11-05 00:00"]


def test_a_day_with_two_midnights_begins_with_the_first():
    made = calendar("2022-11-05", "2022-11-07", "D", "America/Havana")
    assert (np.diff(made.starts) // 3_600_000_000).tolist() == [24, 25, 24]


@pytest.mark.parametrize(
    ("period", "starts"),
    [
        ("D", ["2020-02-28", "2020-02-29", "2020-03-01", "2020-03-02"]),
        ("M", ["2020-02-01", "2020-03-01", "2020-04-01"]),
        ("W-MON", ["2020-02-25", "2020-03-03"]),
    ],
)
def test_other_periods(period, starts):
    made = calendar("2020-02-28 05:00", "2020-03-01 00:00" if period != "W-MON" else "2020-03-03", period)
    assert [start[:10] for start in local_starts(made)][: len(starts)] == starts


def test_quarters():
    made = calendar("2020-02-28", "2020-10-01", "Q")
    assert [start[:10] for start in local_starts(made)] == [
        "2020-01-01",
        "2020-04-01",
        "2020-07-01",
        "2020-10-01",
        "2021-01-01",
    ]


def test_periods_of_days_do_not_depend_on_where_a_log_begins():
    one, other = calendar("2021-01-05", "2021-03-20", "10D"), calendar("2021-02-11", "2021-04-20", "10D")
    common = set(one.starts.tolist()) & set(other.starts.tolist())
    assert len(common) >= 4
    origin = micros("1970-01-04")
    assert all((start - origin) % (10 * 86_400_000_000) == 0 for start in {*one.starts, *other.starts})
    assert one.starts[0] <= micros("2021-01-05") < one.starts[1]
    assert one.starts[-2] <= micros("2021-03-20") < one.starts[-1]
    east = calendar("2021-03-05", "2021-04-20", "7D", "Europe/Berlin")
    assert [start[11:] for start in local_starts(east)] == ["00:00"] * len(east.starts)


@pytest.mark.parametrize("setting", [("W-SAT", "UTC"), ("M", "UTC"), ("W-SAT", "America/New_York"), ("3D", "UTC")])
def test_looking_up_equals_a_search(setting):
    made = calendar("2021-01-05", "2021-05-20", *setting)
    edges = made.starts.tolist()
    rng = np.random.default_rng(0)
    inside = rng.integers(edges[0] - 10**12, edges[-1] + 10**12, 300)
    times = np.unique([*inside, *edges, *(made.starts - 1), *(made.starts + 1), 0, micros("2300-01-01")])
    expected = [bisect.bisect_right(edges, t) - 1 for t in times]
    assert made.period_of(times).tolist() == expected
    assert made.first_cutoff_after(times).tolist() == [
        next((p for p, start in enumerate(edges) if start > t), len(edges)) for t in times
    ]


def test_the_last_period_holds_the_last_moment():
    made = calendar("2021-01-05", "2021-01-17")  # exactly at a boundary
    assert local_starts(made)[-2:] == ["2021-01-17 00:00", "2021-01-24 00:00"]


@pytest.mark.parametrize("period", ["W-SAT", "M", "30D", "Y"])
def test_a_log_within_one_period_has_no_cut_off(period):
    with pytest.raises(DataError, match=f"lies inside one period of '{period}'.*Choose a shorter `period`"):
        calendar("2021-01-11", "2021-01-13", period)


@pytest.mark.parametrize("period", ["fortnight", "2W", "0D", "", "W-XYZ", "-3D"])
def test_an_unknown_period_is_refused(period):
    with pytest.raises(ConfigError, match=f"period: '{period}'"):
        calendar("2021-01-05", "2021-06-20", period)


def test_an_unknown_zone_is_refused():
    with pytest.raises(ConfigError, match="timezone: 'Mars/Olympus'"):
        make_calendar(0, 10**13, period="W-SAT", timezone="Mars/Olympus")


def test_dates_carry_the_zone():
    made = calendar("2021-01-05", "2021-02-20", zone="Asia/Tokyo")
    assert made.dates(np.array([1]))[0] == pd.Timestamp("2021-01-10", tz="Asia/Tokyo")
