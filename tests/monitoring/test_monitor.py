"""From a run and tables to the verdict: what is watched is what the model was given, and planted faults are found."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from hanjax.api import calibrate, make_reference, monitor
from hanjax.data.tables import check
from hanjax.errors import ConfigError, RunError
from hanjax.monitoring import Reference, exit_code, monitoring_page, performance_over_time
from hanjax.monitoring.frames import frames_of, latest_event, segment_columns
from tests import trained as shared
from tests.monitoring.test_performance import outcomes


def frames(rows=None):
    log, run = check(shared.market(), shared.CONFIG.panel), shared.trained()
    return frames_of(log, shared.CONFIG.panel, run.encoding, shared.panel(), rows=rows)


def test_tables_hold_what_was_known_at_each_cutoff():
    tables, samples, found = shared.market(), shared.panel().samples, frames()
    assert list(found) == ["accounts", "individuals", "events"]
    accounts = found["accounts"]
    assert len(accounts) == len(samples) and segment_columns(shared.panel()) == ("industry",)
    start = samples["cutoff"].dt.tz_convert("UTC")
    events = tables.events.assign(seen=tables.events[["timestamp", "known_at"]].max(axis=1))
    for row in np.random.default_rng(0).choice(len(samples), 25, replace=False):
        account, now = samples["account_id"][row], start[row]
        of = lambda table, a=account: table[table["account_id"] == a]
        known = of(tables.accounts).query("known_at < @now").sort_values("known_at")
        assert accounts["employees"][row] == known["employees"].iloc[-1]
        features = of(tables.account_features).query("known_at < @now").sort_values("known_at")
        if features.empty:
            assert np.isnan(accounts["budget"][row]) and np.isnan(accounts["periods since features"][row])
        else:
            assert accounts["budget"][row] == features["budget"].iloc[-1]
            assert (
                accounts["periods since features"][row]
                == (now - features["known_at"].iloc[-1] - pd.Timedelta(1, "us")).days // 7
            )
        past = of(events)
        last = past[(past["timestamp"] >= now - pd.Timedelta(days=7)) & (past["seen"] < now)]
        counts = last["activity"].value_counts()
        for name in shared.trained().encoding.activities:
            assert accounts[f"activities: {name}"][row] == counts.get(name, 0)
        fresh = past[(past["seen"] >= now - pd.Timedelta(days=7)) & (past["seen"] < now)]
        mine = of(found["events"]).query("period == @samples.period[@row]")
        assert sorted(mine["activity"]) == sorted(fresh["activity"])
    people = found["individuals"].groupby(["account_id", "period"]).size()
    assert people.tolist() == accounts["n_members"].tolist()


def test_the_latest_event_is_that_of_the_accounts_and_known():
    log, panel = check(shared.market(), shared.CONFIG.panel), shared.panel()
    few = panel._replace(samples=panel.samples[panel.samples["period"] <= 4].head(20))
    events = frames()["events"]
    mine = events[events["account_id"].isin(few.samples["account_id"]) & (events["period"] <= 4)]
    assert latest_event(log, shared.CONFIG.panel, few) == mine["period"].max()
    assert latest_event(log, shared.CONFIG.panel, few._replace(samples=few.samples.assign(period=0))) is None


def test_some_rows_alone():
    rows = shared.panel().samples["period"].to_numpy() == 5
    whole, some = frames(), frames(rows)
    for name, table in some.items():
        pd.testing.assert_frame_equal(table, whole[name].query("period == 5").reset_index(drop=True))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return make_reference(shared.trained(), shared.market(), tmp_path_factory.mktemp("reference"))


def test_the_reference_is_made_of_the_training_accounts(reference):
    run = shared.trained()
    training = run.split[run.split == "train"].index
    samples = shared.panel().samples
    assert reference.tables["accounts"].rows == samples["account_id"].isin(training).sum()
    assert reference.tables["accounts"].accounts == len(training)
    # With so few validation accounts, the scores are those of the training accounts.
    assert reference.tables["scores"].rows == reference.tables["accounts"].rows
    last = make_reference(run, shared.market(), segments=(), periods=2)
    assert {period for period, _, _ in last.tables["accounts"].periods} == set(sorted(set(samples["period"]))[-2:])
    with pytest.raises(ConfigError, match="periods: expected 1 at least"):
        make_reference(run, shared.market(), periods=0)


def test_a_registered_version_stays_as_it_is(tmp_path):
    run = dataclasses.replace(shared.trained(), folder=tmp_path / "v0001")
    run.folder.mkdir()
    (run.folder / "entry.json").write_text("{}")
    for out in (None, run.folder):
        with pytest.raises(RunError, match=r"v0001 is a registered version.*Write the reference to another folder"):
            make_reference(run, "nowhere", out)  # before the data are looked at
    with pytest.raises(RunError, match=r"v0001 is a registered version.*Calibrate the run that was registered"):
        calibrate(run, "nowhere")
    assert [path.name for path in run.folder.iterdir()] == ["entry.json"]


def test_the_same_data_are_no_alarm(reference, tmp_path):
    found = monitor(shared.trained(), shared.market(), as_of="2021-02-10", reference=reference, resamples=100)
    assert found.drift.ok and found.ok and exit_code(found) == 0, found
    assert found.performance is not None and found.performance.windows["samples"].sum() > 0
    page = found.write(tmp_path / "out")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["exit_code"] == 0
    findings = pd.read_csv(tmp_path / "out" / "findings.csv")
    assert len(findings) == len(found.drift.findings)


def weeks_until(tables, run, end):
    """The samples of held-out accounts whose week has ended by then, and whether each converts."""
    samples = shared.encoded(tables, run.encoding).samples
    held_out = run.split.index[run.split == "test"].astype(str)
    ended = samples["cutoff"] + pd.Timedelta(days=7) <= pd.Timestamp(end, tz="UTC")
    samples = samples[samples["account_id"].astype(str).isin(held_out) & ended]
    converted = samples["account_id"].map(
        tables.accounts.drop_duplicates("account_id").set_index("account_id")["converted_at"]
    )
    return len(samples), int((converted < samples["cutoff"] + pd.Timedelta(days=7)).sum())


@pytest.mark.parametrize(("as_of", "end"), [("2021-02-10", "2021-02-07"), (None, "2021-03-14")])
def test_performance_is_that_of_the_weeks_before_the_cutoff(reference, as_of, end):
    run, given = shared.trained(), dict(reference=reference, resamples=20)
    windows = monitor(run, shared.market(), as_of=as_of, **given).performance.windows.query("segment == ''")
    assert (windows["samples"].sum(), windows["conversions"].sum()) == weeks_until(shared.market(), run, end)
    assert windows["last"].max() == pd.Timestamp(end, tz="UTC") - pd.Timedelta(days=7)
    none = monitor(run, shared.market(), as_of="2021-01-13", **given)
    assert none.performance is None and "was not wholly observed by 2021-01-10" in none.why_not


@pytest.mark.parametrize("log_end", ["2021-03-11 12:00", "2021-03-13 23:47"])
def test_a_week_in_which_the_log_ends_counts_for_nobody(reference, log_end):
    """Of its accounts, those that convert are known, and all others may still."""
    tables, end = shared.market(), pd.Timestamp(log_end, tz="UTC")
    accounts = tables.accounts.drop(columns="observed_to")
    others = ~(accounts["converted_at"] < end)
    sold = accounts["account_id"].isin(accounts["account_id"][others].unique()[::2])
    converted = accounts["converted_at"].mask(others & sold, end - pd.Timedelta(hours=20)).mask(others & ~sold)
    short = tables._replace(
        events=tables.events[tables.events["timestamp"] < end],
        individuals=tables.individuals[tables.individuals["arrived_at"] < end],
        accounts=accounts.assign(converted_at=converted),
    )
    run = dataclasses.replace(shared.trained(), split=shared.trained().split.map(lambda _: "test"))
    found = monitor(run, short, reference=reference, resamples=20)
    windows = found.performance.windows.query("segment == ''")
    assert (windows["samples"].sum(), windows["conversions"].sum()) == weeks_until(short, run, "2021-03-07")
    assert found.performance.alarms.empty and found.as_of == pd.Timestamp("2021-03-07", tz="UTC")
    assert any(
        "left out: the time in which they may convert was not wholly" in note for note in found.performance.notes
    )


def test_faults_upstream_are_alarms(reference):
    tables = shared.market()
    accounts = tables.accounts.assign(employees=1000 * tables.accounts["employees"])
    events = tables.events.assign(activity=tables.events["activity"].replace("send email", "mail sent"))
    broken = tables._replace(accounts=accounts, events=events)
    found = monitor(shared.trained(), broken, as_of="2021-02-10", reference=reference, resamples=100, outcomes=False)
    assert any(alarm.startswith("accounts.employees lies outside the range of training") for alarm in found.alarms)
    assert found.performance is None and "Outcomes were not asked for." in repr(found)
    news = found.drift.findings.query("table == 'events' and statistic == 'new levels'")
    assert news["severity"].iloc[0] == "alarm" and "first: mail sent" in news["sentence"].iloc[0]
    assert "Outcomes were not asked for." in found.page()


def test_a_log_that_ends_too_early_is_an_alarm(reference):
    end = shared.market().events["timestamp"].max()
    late = monitor(
        shared.trained(), shared.market(), as_of=end + pd.Timedelta(days=30), reference=reference, resamples=50,
        outcomes=False,
    )  # fmt: skip
    old = [alarm for alarm in late.alarms if "the latest row is" in alarm]
    assert len(old) == 3 and "in training it was 0 at most" in old[0] and not late.ok


def test_the_last_cutoff_is_the_default(reference):
    found = monitor(shared.trained(), shared.market(), reference=reference, resamples=50, outcomes=False)
    assert found.as_of == shared.panel().samples["cutoff"].max()


def test_several_cutoffs_are_looked_at_together(reference):
    given = dict(reference=reference, resamples=50, outcomes=False)
    samples = shared.panel().samples
    last = samples[samples["cutoff"] == samples["cutoff"].max()]
    for periods, looked_at in ((1, last), (99, samples)):
        bins = monitor(shared.trained(), shared.market(), periods=periods, **given).drift.bins
        three = bins.query("table == 'accounts' and column == 'n_members' and segment == '' and bin == '3'")
        assert three["current"].item() == pytest.approx((looked_at["n_members"] == 3).mean())
    with pytest.raises(ConfigError, match="periods: expected 1 at least, got 0"):
        monitor(shared.trained(), shared.market(), periods=0, **given)


def test_without_a_reference_it_is_said_how_to_make_one(tmp_path):
    with pytest.raises(RunError, match="Make one with `make_reference`"):
        monitor(shared.trained(), shared.market())
    with pytest.raises(RunError, match="has no reference.json. Make one"):
        monitor(shared.trained(), shared.market(), reference=tmp_path)


def test_the_page_shows_alarms_and_escapes_names(reference):
    table = outcomes(weeks=26, accounts=80, shift=1.2, begin=13).assign(
        region=lambda t: t["region"].replace("EMEA", "<b>EMEA</b>")
    )
    performance = performance_over_time(table, segments=["region"], resamples=60)
    found = monitor(
        shared.trained(), shared.market(), as_of="2021-02-10", reference=reference, resamples=50, outcomes=False
    )
    page = monitoring_page(found.drift, performance, title="<x>")
    assert "<b>EMEA" not in page and "&lt;b&gt;EMEA&lt;/b&gt;" in page and "&lt;x&gt;" in page
    assert "More conversions than the probabilities say" in page and page.count("<img ") == 5
    assert isinstance(reference, Reference) and "Alarm" in page
