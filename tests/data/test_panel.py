"""The factored panel says the same as a slow encoding straight from the tables, under every setting."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hanjax.config import ACCOUNT_NUMBERS, MEMBER_NUMBERS, PanelConfig
from hanjax.data.encoding import Scale, fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.types import Tables
from tests.reference import encoding as reference

ACTIVITIES = ["open", "click", "send", "forward", "unsubscribe"]


def make_tables(seed, *, accounts=6, late=False, history=False, counts=False, order=False, observed=True):
    """A small market with ties, quiet periods, late arrivals, conversions and events on period boundaries."""
    random = np.random.default_rng(seed)
    begin = pd.Timestamp("2021-01-05 10:00", tz="UTC")
    individuals, events, rows = [], [], []
    for a in range(accounts):
        start = begin + pd.Timedelta(days=int(random.integers(0, 20)))
        end = start + pd.Timedelta(days=int(random.integers(20, 50)))
        converted = end if random.random() < 0.5 else None
        rows.append(
            {"account_id": f"a{a}", "observed_from": start, "observed_to": end, "converted_at": converted, "size": a}
        )
        for i in range(int(random.integers(1, 6))):
            name, arrived = f"a{a}-i{i}", start + pd.Timedelta(hours=int(random.integers(0, 500)))
            n = int(random.integers(0, 25))
            hours = random.integers(0, max(1, int((end - arrived) / pd.Timedelta(hours=1))), n)
            if arrived >= end:
                arrived, hours = start, hours[:0]
            individuals.append(
                {"individual_id": name, "account_id": f"a{a}", "arrived_at": arrived, "role": "abc"[i % 3]}
            )
            for hour in hours // 6 * 6:  # many equal times
                when = arrived + pd.Timedelta(hours=int(hour))
                when = when.floor("D") if random.random() < 0.2 and when.floor("D") >= arrived else when
                activity = ACTIVITIES[random.choice(5, p=[0.4, 0.3, 0.2, 0.08, 0.02])]
                events.append({"account_id": f"a{a}", "individual_id": name, "timestamp": when, "activity": activity})
    events = pd.DataFrame(events)
    individuals, rows = pd.DataFrame(individuals), pd.DataFrame(rows)
    if not observed:
        rows = rows.drop(columns=["observed_from", "observed_to"])
        individuals = individuals.drop(columns="arrived_at")
        individuals = individuals[individuals["individual_id"].isin(events["individual_id"])]
        rows = rows[rows["account_id"].isin(individuals["account_id"])]
    if late:
        delay = np.where(random.random(len(events)) < 0.4, random.integers(0, 600, len(events)), 0)
        events["known_at"] = events["timestamp"] + pd.to_timedelta(delay, unit="h")
    if counts:
        events["count"] = random.integers(1, 4, len(events))
    if order:
        events["order"] = random.integers(0, 3, len(events))
    if history:
        later = individuals.sample(frac=0.6, random_state=seed).assign(role="later")
        later["known_at"] = later["arrived_at"] + pd.to_timedelta(random.integers(1, 500, len(later)), unit="h")
        individuals = pd.concat([individuals.assign(known_at=individuals["arrived_at"]), later])
    return Tables(events, individuals, rows)


def assert_same(found, expected):
    """Compares sample by sample, so that a failure names the first that differs."""
    assert sorted(found) == sorted(expected)
    for key in expected:
        assert found[key][0] == expected[key][0], key
        np.testing.assert_array_equal(found[key][1], expected[key][1], err_msg=str(key))
        assert found[key][2] == expected[key][2], key


EVERYTHING = {
    "gaps": True,
    "window_ages": True,
    "member_numbers": MEMBER_NUMBERS,
    "account_numbers": ACCOUNT_NUMBERS,
}
"""What is not encoded unless it is asked for."""

CASES = {
    "weeks": ({}, {}),
    "longer window": ({}, {"window": 6}),
    "days": ({}, {"period": "D", "window": 3}),
    "months": ({}, {"period": "M", "window": 2}),
    "another zone": ({}, {"timezone": "America/New_York"}),
    "first activities": ({}, {"keep": "first", "max_activities": 2}),
    "few activities": ({}, {"max_activities": 2}),
    "crowded": ({}, {"max_members": 2}),
    "only active members": ({}, {"membership": "active"}),
    "active periods": ({}, {"window_kind": "active"}),
    "opt-out": ({}, {"opt_out_activity": "unsubscribe"}),
    "horizons": ({}, {"horizons": (1, 2, 4)}),
    "late rows": ({"late": True}, {}),
    "late rows, active periods": ({"late": True}, {"window_kind": "active", "window": 3}),
    "late rows, crowded": ({"late": True}, {"max_members": 2, "opt_out_activity": "unsubscribe"}),
    "history of statics": ({"history": True}, {}),
    "counts repeated": ({"counts": True}, {"expand_counts": True, "max_activities": 4}),
    "counts repeated, late": ({"counts": True, "late": True}, {"expand_counts": True, "max_activities": 4}),
    "counts, first activities": ({"counts": True}, {"expand_counts": True, "keep": "first", "max_activities": 3}),
    "counts, late, crowded": ({"counts": True, "late": True}, {"max_members": 2, "opt_out_activity": "unsubscribe"}),
    "counts, active periods, crowded": ({"counts": True}, {"window_kind": "active", "window": 2, "max_members": 2}),
    "late rows, first activities, days": (
        {"late": True},
        {"keep": "first", "max_activities": 3, "period": "D", "window": 6},
    ),
    "late rows, only active members": (
        {"late": True},
        {"membership": "active", "window_kind": "active", "window": 2, "opt_out_activity": "unsubscribe"},
    ),
    "given order": ({"order": True}, {}),
    "nothing given but events": ({"observed": False}, {}),
}


MIXED = (
    *("late rows, active periods", "late rows, crowded", "late rows, only active members"),
    *("counts repeated, late", "counts, first activities", "counts, late, crowded"),
)
"""What each of them puts together is also in others."""


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] if name in MIXED else []) for name in CASES]
)
def test_panel_equals_the_slow_encoding(case):
    panel, encoding, tables, config = encoded(case, **EVERYTHING)
    expected = reference.samples(tables, config)
    assert_same(reference.decode(panel, encoding), expected)
    plain = {
        key: ([(*member[:3], None, None, None) for member in members], label, None)
        for key, (members, label, _) in expected.items()
    }
    assert_same(reference.decode(*encoded(case)[:2]), plain)


def encoded(case, seed=0, **more):
    """The panel of a case, its encoding, which leaves numbers as they are, the tables, and the settings."""
    made, settings = CASES[case]
    tables, config = make_tables(seed, **made), PanelConfig(**{"account_numbers": (), **settings, **more})
    log = check(tables, config)
    return *make_panel(log, config, unscaled(fit_encoding(log, config), config)), tables, config


def unscaled(encoding, config):
    """The encoding, which leaves counted numbers as they are."""
    plain = lambda names: tuple(Scale(name, False, 0.0, 1.0, False) for name in names)
    names = [name for name in config.account_numbers if name != "activity_counts"]
    if "activity_counts" in config.account_numbers:
        lags = range(1, config.window + 1)
        names += [f"{activity}, {lag} back" for lag in lags for activity in encoding.activities]
    return dataclasses.replace(encoding, as_of=plain(names), of_members=plain(config.member_numbers))


def test_the_cases_have_what_they_are_to_show():
    """Ties, boundaries, crowds, late rows, opt-outs, histories, and samples that nobody is a member of."""
    tables = make_tables(0)
    events = tables.events
    assert events.duplicated(["individual_id", "timestamp"]).sum() > 10  # ties
    assert (events["timestamp"].dt.day_of_week.eq(6) & events["timestamp"].eq(events["timestamp"].dt.floor("D"))).any()
    assert tables.accounts["converted_at"].notna().any() and tables.accounts["converted_at"].isna().any()
    reasons = {case: {row.reason: row.rows for row in encoded(case)[0].left_out} for case in CASES}
    crowded = "beyond the 2 most recently active, over all samples"
    assert reasons["crowded"][crowded] > 10 and reasons["late rows, crowded"][crowded] > 10
    assert reasons["only active members"]["nobody is a member at the cut-off"] > 0
    assert reasons["few activities"]["beyond the 2 activities kept of a period"] > 10
    sizes = [encoded(case)[0].samples["n_members"].sum() for case in ("weeks", "opt-out")]
    assert 0 < sizes[1] < sizes[0]
    late, plain = make_tables(0, late=True).events, encoded("weeks")[0]
    weeks = [late[column].dt.tz_localize(None).dt.to_period("W-SAT") for column in ("timestamp", "known_at")]
    assert (weeks[1] > weeks[0]).sum() > 20 and len(encoded("late rows")[0].batch.windows) != len(plain.batch.windows)
    statics, history = encoded("weeks")[0].batch.individuals, encoded("history of statics")[0].batch.individuals
    assert statics.max() < history.max()  # one more level, which comes up later
    quiet = plain.batch.member_mask & (plain.batch.member_windows == 0)
    assert quiet.any()
    known = np.isnan(encoded("horizons")[0].batch.label)
    assert known.any(0).all() and not known.all(0).any()


def test_the_cases_show_gaps_that_change_when_more_becomes_known():
    """The same activities of the same period have another gap later, because one before them became known."""
    seen, config = {}, PanelConfig(period="D", window=6)
    for (_, cutoff), (members, _, _) in reference.samples(make_tables(0, late=True), config).items():
        for individual, window, _, gaps, ages, _ in members:
            for steps, its, age in zip(window, gaps, ages, strict=True):
                if steps:
                    seen.setdefault((individual, cutoff - pd.Timedelta(days=age), steps), set()).add(its)
    assert sum(len(found) > 1 for found in seen.values()) > 5


@pytest.mark.parametrize("kind", ["calendar", "active"])
def test_rows_in_any_order_give_the_same_bits_of_everything(kind):
    tables = make_tables(1, late=True, counts=True, history=True)
    config = PanelConfig(**EVERYTHING, expand_counts=True, window_kind=kind, volumes=True, max_activities=3)
    panels = []
    for seed in range(4):
        shuffled = [t.sample(frac=1, random_state=seed) if seed else t for t in tables[:3]]
        log = check(Tables(*shuffled), config)
        panels.append(make_panel(log, config, fit_encoding(log, config)))
    for panel, encoding in panels[1:]:
        assert encoding == panels[0][1]
        for name, array in panels[0][0].batch._asdict().items():
            np.testing.assert_array_equal(getattr(panel.batch, name), array, err_msg=name)


def test_how_many_accounts_are_encoded_at_a_time_does_not_matter(monkeypatch):
    log = check(make_tables(3, accounts=12))
    config = PanelConfig(period="3D")
    whole, encoding = make_panel(log, config, fit_encoding(log, config))
    monkeypatch.setattr("hanjax.data.members._SLOTS", 20)
    parts, _ = make_panel(log, config, encoding)
    for name, array in whole.batch._asdict().items():
        np.testing.assert_array_equal(array, getattr(parts.batch, name), err_msg=name)
    np.testing.assert_array_equal(whole.member_ids, parts.member_ids)
    pd.testing.assert_frame_equal(whole.samples, parts.samples)
    assert whole.left_out == parts.left_out
