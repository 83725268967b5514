"""Which samples there are, who is a member, and what their outcomes are: small cases with the answer beside them."""

import numpy as np
import pandas as pd
import pytest

from hanjax.api import encode
from hanjax.config import PanelConfig
from hanjax.errors import DataError
from hanjax.types import Tables
from tests.data.small import small

SUNDAYS = ["01-03", "01-10", "01-17", "01-24", "01-31", "02-07", "02-14"]


def account(name="a", *, arrivals=("01-05",), events=None, **dates):
    """One account: its individuals' arrivals, events as (individual, time, activity), and its own dates, of 2021."""
    events = [(0, arrivals[0], "open")] if events is None else events
    return name, arrivals, events, {column: f"2021-{date}" for column, date in dates.items()}


def tables(*accounts):
    """The tables of some accounts."""
    stamp = lambda time: pd.Timestamp(f"2021-{time}", tz="UTC")
    events = [(n, f"{n}{i}", stamp(time), activity) for n, _, its, _ in accounts for i, time, activity in its]
    people = [(f"{n}{i}", n, stamp(time)) for n, arrivals, _, _ in accounts for i, time in enumerate(arrivals)]
    rows = [{"account_id": name, **dates} for name, _, _, dates in accounts]
    return Tables(
        pd.DataFrame(events, columns=["account_id", "individual_id", "timestamp", "activity"]),
        pd.DataFrame(people, columns=["individual_id", "account_id", "arrived_at"]),
        pd.DataFrame(rows).reindex(columns=["account_id", "observed_from", "observed_to", "converted_at"]),
    )


def labels(panel, name="a", horizon=0):
    """The outcome at each cut-off of an account."""
    mine = (panel.samples["account_id"] == name).to_numpy()
    cutoffs = panel.samples["cutoff"][mine].dt.strftime("%m-%d")
    known = {1.0: 1, 0.0: 0}
    return {date: known.get(value) for date, value in zip(cutoffs, panel.batch.label[mine, horizon], strict=True)}


def members(panel, name="a"):
    """Who is a member at each cut-off of an account, in order."""
    mine = np.flatnonzero(panel.samples["account_id"] == name)
    who = {panel.samples["cutoff"][b].strftime("%m-%d"): panel.member_ids[b] for b in mine}
    return {date: panel.individual_ids[ids[ids >= 0]].tolist() for date, ids in who.items()}


LONG = account("long", observed_to="02-20")
"""Keeps a log going while other accounts end."""


def test_the_period_of_the_conversion_is_positive_and_the_last():
    panel = encode(tables(account(observed_to="01-27", converted_at="01-27"), LONG))
    # Observation ends inside the period, and still its outcome is known.
    assert labels(panel) == {"01-10": 0, "01-17": 0, "01-24": 1}


@pytest.mark.parametrize(
    ("converted", "expected"),
    [
        ("01-23 23:59:59", {"01-10": 0, "01-17": 1}),
        ("01-24 00:00:00", {"01-10": 0, "01-17": 0, "01-24": 1}),  # Saturday 24:00 is the next week
    ],
)
def test_a_conversion_on_a_boundary_belongs_to_the_period_that_begins(converted, expected):
    assert labels(encode(tables(account(observed_to="02-20", converted_at=converted), LONG))) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("01-23 23:59", {"01-10": 0, "01-17": None}),
        ("01-24 00:00", {"01-10": 0, "01-17": 0, "01-24": None}),
        ("01-24 00:01", {"01-10": 0, "01-17": 0, "01-24": None}),
    ],
)
def test_a_period_cut_short_without_conversion_has_no_label_but_a_sample(end, expected):
    panel = encode(tables(account(observed_to=end), LONG))
    assert labels(panel) == expected
    assert any("1 samples have no label" in note or "2 samples have no label" in note for note in panel.notes)


def test_observation_ends_with_the_whole_log_by_default():
    other = account("b", events=[(0, "01-05", "open"), (0, "02-10", "open")])
    panel = encode(tables(account(), other))
    assert labels(panel) == labels(panel, "b") == {day: 0 if day < "02-07" else None for day in SUNDAYS[1:6]}


def test_samples_begin_when_observation_has_begun_and_somebody_has_arrived():
    panel = encode(
        tables(
            account("a", arrivals=("01-12",), observed_from="01-04", observed_to="02-20"),
            account("b", arrivals=("01-12",), observed_from="01-12", observed_to="02-20"),
            account("c", arrivals=("01-10",), observed_to="02-20"),  # exactly at a cut-off: a member from the next on
            account("d", arrivals=("01-09 23:59",), observed_to="02-20"),
        )
    )
    assert [min(labels(panel, name)) for name in "abcd"] == ["01-17", "01-17", "01-17", "01-10"]


def test_a_period_before_observation_or_arrival_is_empty():
    panel = encode(tables(account(arrivals=("01-19",), observed_from="01-04", observed_to="02-20")))
    first = panel.batch.windows[panel.batch.member_windows[0, 0]]
    assert first[:3].tolist() == [0, 0, 0] and first[3] > 0


def test_each_horizon_has_an_outcome_of_its_own():
    converting = account(observed_to="02-03", converted_at="02-03")
    censored = account("b", observed_to="02-03")
    panel = encode(tables(converting, censored, LONG), PanelConfig(horizons=(1, 2, 4)))
    dates = ["01-10", "01-17", "01-24", "01-31"]
    outcomes = {"a": ([0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]), "b": ([0, 0, 0, None], [0, 0, None, None], [None] * 4)}
    for name, expected in outcomes.items():
        for horizon in range(3):
            assert labels(panel, name, horizon) == dict(zip(dates, expected[horizon], strict=True)), (name, horizon)


def test_accounts_without_a_sample_are_counted_by_reason():
    panel = encode(
        tables(
            account("early", observed_to="01-07", converted_at="01-07"),
            account("short", observed_to="01-06"),
            account("brief", observed_to="01-06 12:00"),
            LONG,
        )
    )
    found = {row.reason: (row.table, row.rows, row.first) for row in panel.left_out}
    assert found["converted before the first cut-off that has a member"] == ("accounts", 1, ("early",))
    ended = found["observation ends before the first cut-off that has a member"]
    assert ended == ("accounts", 2, ("brief", "short"))
    assert set(panel.samples["account_id"]) == {"long"}
    assert found["in or after their account's last period"][1] == 3
    assert found["never a member at a cut-off"] == ("individuals", 3, ("brief0", "early0", "short0"))


def test_no_sample_at_all_is_an_error_that_says_why():
    only = account(observed_to="01-12", converted_at="01-12", arrivals=("01-11",))
    with pytest.raises(DataError, match=r"no sample can be made \(converted before the first cut-off.*: 2\)"):
        encode(tables(only, account("b", arrivals=("01-03",), observed_to="01-05", converted_at="01-05")))


def test_who_later_opts_out_is_a_member_before():
    events = [(0, "01-05", "open"), (1, "01-06", "open"), (1, "01-20", "unsubscribe"), (1, "01-22", "open")]
    data = tables(account(arrivals=("01-05", "01-06"), events=events, observed_to="02-13"))
    panel = encode(data, PanelConfig(opt_out_activity="unsubscribe"))
    both, one = ["a0", "a1"], ["a0"]
    assert members(panel) == dict(zip(SUNDAYS[1:6], [both, both, one, one, one], strict=True))
    assert set(map(tuple, members(encode(data)).values())) == {("a0", "a1")}  # unless it is asked for


def test_an_opt_out_counts_from_when_it_is_known():
    events = [(0, "01-05", "open"), (1, "01-06", "unsubscribe")]
    data = tables(account(arrivals=("01-05", "01-06"), events=events, observed_to="02-13"))
    known = data.events.assign(known_at=pd.to_datetime(["2021-01-05", "2021-01-24"], utc=True))
    panel = encode(data._replace(events=known), PanelConfig(opt_out_activity="unsubscribe"))
    assert [len(who) for who in members(panel).values()] == [2, 2, 2, 1, 1]  # known on 01-24: from 01-31 on


def test_a_group_that_empties_has_no_sample():
    events = [(0, "01-05", "open"), (0, "01-20", "unsubscribe")]
    panel = encode(
        tables(account(events=events, observed_to="02-13"), LONG), PanelConfig(opt_out_activity="unsubscribe")
    )
    assert set(members(panel)) == {"01-10", "01-17"}
    [row] = [row for row in panel.left_out if row.reason == "nobody is a member at the cut-off"]
    assert row == ("samples", row.reason, 3, ("a at 2021-01-24", "a at 2021-01-31", "a at 2021-02-07"))


def test_a_crowded_group_keeps_the_most_recently_active_in_order_of_arrival():
    arrivals = ("01-04", "01-05", "01-06", "01-07")
    events = [(0, "01-08", "open"), (2, "01-09", "open"), (1, "01-12", "open"), (3, "01-13", "open"),
              (0, "01-27", "open")]  # fmt: skip
    data = tables(account(arrivals=arrivals, events=events, observed_to="02-13"))
    panel = encode(data, PanelConfig(max_members=2))
    expected = [["a0", "a2"], ["a1", "a3"], ["a1", "a3"], ["a0", "a3"], ["a0", "a3"]]
    assert list(members(panel).values()) == expected
    [row] = [row for row in panel.left_out if row.table == "members"]
    assert row.rows == 10  # two at each of five cut-offs


def test_of_the_never_active_those_who_arrived_first_are_kept():
    data = tables(account(arrivals=("01-04", "01-05", "01-06"), events=[(2, "01-12", "open")], observed_to="01-30"))
    panel = encode(data, PanelConfig(max_members=2))
    assert list(members(panel).values()) == [["a0", "a1"], ["a0", "a2"], ["a0", "a2"]]


def test_only_the_active_are_members_if_so_wished():
    events = [(0, "01-05", "open"), (1, "01-20", "open")]
    data = tables(account(arrivals=("01-05", "01-06"), events=events, observed_to="02-13"))
    panel = encode(data, PanelConfig(membership="active", window=2))
    assert members(panel) == {"01-10": ["a0"], "01-17": ["a0"], "01-24": ["a1"], "01-31": ["a1"]}
    quiet = encode(data, PanelConfig(window=2))
    assert (quiet.batch.members[:, :2] > 0).all() and (quiet.batch.member_windows[-1] == 0).all()


def test_an_activity_on_a_boundary_belongs_to_the_period_that_begins():
    for time, cutoff in (("01-09 23:59:59.999999", "01-10"), ("01-10", "01-17")):
        panel = encode(tables(account(events=[(0, time, "open")], observed_to="02-13")))
        seen = panel.batch.windows[panel.batch.member_windows[:, 0]][:, -1] > 0  # in the latest period
        assert panel.samples["cutoff"][seen].dt.strftime("%m-%d").tolist() == [cutoff]


def test_a_longer_sequence_keeps_the_end_that_is_asked_for():
    events = [(0, f"01-05 {hour:02d}:00", activity) for hour, activity in enumerate("abcde")]
    for keep, expected in (("last", [4, 5, 6]), ("first", [2, 3, 4])):
        panel = encode(tables(account(events=events, observed_to="02-13")), PanelConfig(keep=keep, max_activities=3))
        assert panel.batch.sequences[1].tolist() == expected
        assert ("events", "beyond the 3 activities kept of a period", 2, ()) in panel.left_out


def test_volumes_are_not_cut_off():
    events = [(0, f"01-05 {hour:02d}:00", activity) for hour, activity in enumerate("aaaab")]
    data = tables(account(events=events, observed_to="02-13"))
    data = data._replace(events=data.events.assign(count=[1, 1, 1, 7, 2]))
    panel = encode(data, PanelConfig(volumes=True, max_activities=2))
    batch = panel.batch
    volumes = batch.counts[batch.count_windows[batch.member_windows[0, 0]]]
    assert volumes[-1].tolist() == [0, 0, 10, 2] and not volumes[:-1].any()
    assert encode(data, PanelConfig()).batch.counts is None


def test_numbers_as_of_the_cut_off_count_what_was_known_then():
    arrivals = ("01-05", "01-17", "01-20")
    data = tables(account(arrivals=arrivals, observed_from="01-04", observed_to="02-06"), LONG)
    panel = encode(data)
    mine = (panel.samples["account_id"] == "a").to_numpy()
    both = panel.batch.account_numbers
    standardized = lambda raw, column: (np.array(raw) - column.mean()) / column.std()
    everyone = {"a": [[1, 1], [2, 1], [3, 3], [4, 3]], "long": [[n, 1] for n in range(1, 7)]}
    raw = np.array([*everyone["a"], *everyone["long"]], float)
    np.testing.assert_allclose(both, np.stack([standardized(c, c) for c in raw.T], axis=1), rtol=1e-6)
    assert mine.sum() == 4 and encode(data, PanelConfig(account_numbers=())).batch.account_numbers is None


def test_segments_stand_beside_the_samples_and_may_not_replace_a_column():
    panel = encode(small())
    assert panel.samples.columns[4:].tolist() == ["name", "industry"]
    assert panel.samples.groupby("account_id")["industry"].first()[10] == "steel"
    for name in ("rank", "cutoff", "probability_within_4", "label"):
        accounts = small().accounts.rename(columns={"industry": name})
        with pytest.raises(DataError, match=f"accounts.{name}: a column of the scores has this name"):
            encode(small(accounts=accounts))
        encode(small(accounts=accounts), PanelConfig(exclude=(name,)))


def test_a_period_longer_than_the_log_is_an_error():
    with pytest.raises(DataError, match="lies inside one period of 'Y'"):
        encode(tables(LONG), PanelConfig(period="Y"))
