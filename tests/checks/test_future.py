"""Data and encoding that are sound pass; a leak of each kind is caught, and the column that it comes from named."""

import functools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import hanjax
from hanjax.checks import check_all, check_no_future
from hanjax.checks.future import inputs
from hanjax.checks.worlds import HOWS, Worlds
from hanjax.data import numbers, panel, tables
from hanjax.data.distinct import AsOf
from hanjax.data.encoding import fit_encoding
from hanjax.data.log import NEVER
from hanjax.data.panel import make_panel
from hanjax.data.periods import Calendar
from hanjax.data.tables import check
from hanjax.errors import ConfigError
from hanjax.run import Run
from hanjax.types import Tables
from tests import test_no_leaks, trained
from tests.test_no_leaks import EVERYTHING

CONFIGS = {
    **test_no_leaks.CONFIGS,
    "active members": EVERYTHING.replace(membership="active", max_members=2),
    "days": EVERYTHING.replace(period="10D", timezone="America/New_York", expand_counts=True),
}


def run_with(config, data):
    """A run that is not trained: what is encoded does not depend on parameters."""
    log = check(data, config.panel)
    encoding = make_panel(log, config.panel, fit_encoding(log, config.panel))[1]
    split = pd.Series("train", index=log.account_ids)
    return Run(config, encoding, None, 1.0, split)  # type: ignore[arg-type]


@functools.cache
def everything():
    return run_with(EVERYTHING, trained.market())


def bare(data):
    """The tables without any column that may be missing."""
    people = data.individuals.drop_duplicates("individual_id").drop(columns=["arrived_at", "known_at"])
    people = people[people["individual_id"].isin(data.events["individual_id"])]
    accounts = data.accounts.drop_duplicates("account_id")[["account_id", "employees"]]
    accounts = accounts[accounts["account_id"].isin(people["account_id"])]
    return Tables(data.events.drop(columns="known_at"), people, accounts)


# What is sound passes


@pytest.mark.parametrize("name", CONFIGS)
def test_the_encoding_is_sound(name):
    verdict = check_no_future(run_with(CONFIGS[name], trained.market()), trained.market(), cutoffs=3, seed=1)
    assert verdict.passed and verdict.problems == () == verdict.notes, verdict
    assert verdict.checked.startswith("3 cut-offs (2021-0") and "inputs of " in verdict.checked


def test_all_checks_pass_for_a_trained_run():
    verdicts = list(check_all(trained.trained(), trained.market()))
    assert [verdict.name for verdict in verdicts] == ["check_split", "check_mask_invariance", "check_no_future"]
    assert all(verdict.passed for verdict in verdicts), verdicts
    assert verdicts[2].checked.endswith("compared bit for bit, scores at most 0 apart")


def test_what_is_compared_is_asked_for():
    assert "scores" not in check_no_future(trained.trained(), trained.market(), cutoffs=1, scores=False).checked
    with pytest.raises(ConfigError, match="cutoffs: expected at least 1, got 0"):
        check_no_future(trained.trained(), trained.market(), cutoffs=0)


def test_tables_with_nothing_but_what_is_required():
    data = bare(trained.market())
    verdict = check_no_future(run_with(EVERYTHING, data), data, cutoffs=4)
    assert verdict.passed, verdict
    statics = data.individuals.columns.drop(["individual_id", "account_id"])
    named = [*(f"individuals.{column}" for column in statics), "accounts.employees"]
    assert verdict.notes == (
        f"Taken as constant, for want of known_at, and so not checked: {', '.join(named)}.",
        "Events have no column known_at, so each counts as known from when it happened.",
    )


def renamed(data):
    """Other libraries and names, integers for ids, categories that are numbers, counts, and a row that fits nowhere."""
    by = {"account_id": pd.Index(data.accounts["account_id"].unique()),
          "individual_id": pd.Index(data.individuals["individual_id"].unique())}  # fmt: skip

    def other(table):
        table = table.assign(**{column: by[column].get_indexer(table[column]) * 3 for column in by if column in table})
        return table.rename(columns={"known_at": "told", "timestamp": "when"})

    events = other(data.events).assign(count=np.arange(len(data.events)) % 3 + 1, order=-np.arange(len(data.events)))
    individuals = other(data.individuals)
    floor = pd.Series(np.arange(len(individuals)) % 3)
    individuals = individuals.assign(floor=floor.where(floor > 0), remote=floor == 1)
    return Tables(
        pl.from_pandas(pd.concat([events, events.iloc[:1].assign(account_id=-5)])),
        pa.Table.from_pandas(individuals, preserve_index=False),
        other(data.accounts),
        pa.Table.from_pandas(other(data.account_features), preserve_index=False),
    )


def test_tables_of_other_libraries_with_other_names():
    data, names = renamed(trained.market()), (("timestamp", "when"), ("known_at", "told"))
    config = EVERYTHING.replace(columns=names, strays="drop", exclude=("source_of_arrival",))
    verdict = check_no_future(run_with(config, data), data, cutoffs=3)
    assert verdict.passed and verdict.notes == (), verdict


def test_the_tables_of_a_folder(tmp_path):
    for name, table in trained.market()._asdict().items():
        if table is not None:
            table.to_csv(tmp_path / f"{name}.csv", index=False)
    data = hanjax.read(tmp_path)
    verdict = check_no_future(everything(), data, cutoffs=2)
    assert verdict.passed and verdict.notes == (), verdict


# What leaks is caught, and named


def latest(table, calendar):
    """Whatever is known in the end, as if it had been known from the first."""
    entity = table.iloc[:, 0].to_numpy()
    return AsOf(entity, np.zeros(len(entity), int), len(calendar.starts) + 1)


def number_from(of_log):
    """Account numbers to which something that the future decides is added."""
    counted = panel.account_numbers

    def leaking(log, calendar, config, encoding, group, *, training):
        values, encoding = counted(log, calendar, config, encoding, group, training=training)
        return values + (of_log(log)[group.account, None] % 977).astype(np.float32), encoding

    return leaking


def inclusive_period(self, times, _exact=Calendar.period_of):
    return _exact(self, times - 1)


def inclusive_cutoff(self, times):
    return np.searchsorted(self.starts, times, side="left").astype(np.int32)


def knows_events_at_once(*args, _check=tables.check_events):
    return _check(*args)._replace(known=None)


def latest_features(table, scales, calendar, group, *, name, _scaled=numbers.scaled_as_of):
    if name != "account_features":
        return _scaled(table, scales, calendar, group, name=name)
    values, _ = _scaled(table, scales, calendar, group, name=name)
    return values, latest(table, calendar)(group.account, group.cutoff)


def latest_accounts(table, scales, calendar, group, *, name, _scaled=numbers.scaled_as_of):
    return _scaled(table, scales, calendar, group, name=name)[0], latest(table, calendar)(group.account, group.cutoff)


def always_there(*args, _find=panel.find_presence, **options):
    presence = _find(*args, **options)
    return presence._replace(arrives=np.zeros_like(presence.arrives))


to_observed, to_converted = number_from(lambda log: log.observed_to), number_from(lambda log: log.converted_at)
LEAKS = {
    "an event at the cut-off": (Calendar, "period_of", inclusive_period, "events.timestamp", "sequences"),
    "known at the cut-off": (Calendar, "first_cutoff_after", inclusive_cutoff, "events.known_at", "sequences"),
    "events known late": (tables, "check_events", knows_events_at_once, "events.known_at", "sequences"),
    "the last version of an individual": (panel, "versions_as_of", latest, "individuals.", "individuals"),
    "the last version of an account": (panel, "scaled_as_of", latest_accounts, "accounts.", "accounts"),
    "dated numbers": (numbers, "scaled_as_of", latest_features, "account_features.budget", "account_numbers"),
    "members before they arrive": (panel, "find_presence", always_there, "individuals.arrived_at", "members"),
    "the end of observation": (panel, "account_numbers", to_observed, "accounts.observed_to", "account_numbers"),
    "the conversion": (panel, "account_numbers", to_converted, "accounts.converted_at", "account_numbers"),
}


HISTORIES = ("the last version of an individual", "the last version of an account", "the end of observation")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HISTORIES else []) for name in LEAKS]
)
def test_a_leak_is_caught_and_its_column_named(name, monkeypatch):
    run = everything()
    place, attribute, leaking, column, field = LEAKS[name]
    monkeypatch.setattr(place, attribute, leaking)
    verdict = check_no_future(run, trained.market(), cutoffs=2)
    assert not verdict.passed
    first = verdict.problems[0]
    assert first.startswith(column) and " tells of the future: " in first, verdict
    altered = first.split("it alters ")[1]
    assert field in altered.split(" of account ")[0].split(", ") and " at 2021-0" in altered
    assert str(verdict).startswith("FAILED  check_no_future: 2 cut-offs")


def test_the_end_of_observation_by_an_account_s_own_last_event(monkeypatch):
    data = bare(trained.market())
    run = run_with(trained.CONFIG, data)

    def leaking(log, _end):
        own = log.observed_from.copy()
        np.maximum.at(own, log.individual_account[log.event_individual], log.event_time)
        return log._replace(observed_to=np.where(log.observed_to == NEVER, own, log.observed_to))

    monkeypatch.setattr(tables, "observed_to_end", leaking)
    verdict = check_no_future(run, data, cutoffs=4)
    assert not verdict.passed and verdict.problems[0].startswith("events.timestamp")
    assert "it alters presence of account " in verdict.problems[0]


def test_a_correction_in_a_later_row_is_a_leak_of_the_data():
    """The last row's arrival counts from the first: what a user does not know then must not stand in the table."""
    market = trained.market()
    people = market.individuals.sort_values("known_at")
    again = people["individual_id"].duplicated()
    people = people.assign(arrived_at=people["arrived_at"] - pd.to_timedelta(20 * again, unit="D"))
    earliest = market.accounts["observed_from"].min() - pd.Timedelta(days=60)
    data = market._replace(individuals=people, accounts=market.accounts.assign(observed_from=earliest))
    verdict = check_no_future(everything(), data, cutoffs=4)
    assert not verdict.passed and verdict.problems[0].startswith("individuals.known_at"), verdict


class Mixing(Run):
    """A run whose network compares each sample with those beside it."""

    @property
    def network(self):
        own = trained.trained().network

        def score(params, windows, batch):
            found = own.score(params, windows, batch)
            return found._replace(logit=found.logit - found.logit.mean(axis=0, keepdims=True))

        return own._replace(score=score)


def test_scores_that_mix_samples_are_caught():
    own = trained.trained()
    mixing = Mixing(own.config, own.encoding, own.sizes, own.positive_weight, own.split, own.params)
    verdict = check_no_future(mixing, trained.market(), cutoffs=1)
    assert len(verdict.problems) == 1 and "though its inputs do not: samples are mixed" in verdict.problems[0]
    assert check_no_future(mixing, trained.market(), cutoffs=1, scores=False).passed


# What is altered, and what stays


@functools.cache
def fewer():
    return trained.market()._replace(events=trained.market().events.iloc[::4])


@functools.cache
def worlds():
    week = 7 * 86_400_000_000
    config = EVERYTHING.panel
    return Worlds(fewer(), config, reach=10 * week)


CUTOFF = pd.Timestamp("2021-02-14", tz="UTC")


def altered(how, only=None):
    return worlds().altered(CUTOFF.value // 1000, how, only=only)


def rows(table):
    return set(map(tuple, table.astype(str).to_numpy()))


@pytest.mark.parametrize("how", HOWS)
def test_what_was_known_before_stays(how):
    before, after = fewer(), altered(how)
    for name, dates in (("events", ["timestamp", "known_at"]), ("account_features", ["known_at"])):
        old, new = (getattr(data, name)[getattr(before, name).columns] for data in (before, after))
        known = lambda table, dates=dates: table[dates].max(axis=1) < CUTOFF
        assert rows(new[known(new)]) == rows(old[known(old)]) and known(old).any()
        assert rows(new) != rows(old)
        if how == "delete":
            assert known(new).all()
    if how == "delete":
        assert (after.individuals["arrived_at"] < CUTOFF).all()
        assert after.accounts["observed_to"].max() == CUTOFF and not (after.accounts["converted_at"] >= CUTOFF).any()


@pytest.mark.parametrize("only", [column for column in worlds().columns if column != ("accounts", "observed_from")])
def test_each_column_is_altered_by_itself(only):
    table, column = only
    plain = worlds().altered(np.iinfo(np.int64).max // 2, "change", only=only)
    differs = {name: False for name in Tables._fields[:4]}
    for how in HOWS:
        found = altered(how, only)
        for name in differs:
            same = rows(getattr(found, name)) == rows(getattr(plain, name))
            differs[name] |= not same
    assert differs[table]
    others = {name for name, different in differs.items() if different} - {table}
    assert others <= ({"events"} if only == ("individuals", "arrived_at") else set())  # a newcomer's first event


def test_every_future_reaches_the_inputs_that_follow():
    own = inputs(trained.encoded(fewer(), everything().encoding, EVERYTHING))
    for how in HOWS:
        config = EVERYTHING.replace(strays="drop")
        its = inputs(trained.encoded(altered(how), everything().encoding, config))
        both = own.index.intersection(its.index)
        differs = (own.loc[both] != its.loc[both]).any(axis=1)
        assert not differs[both.get_level_values("cutoff") <= CUTOFF].any()
        assert differs.sum() > 20 or (how == "delete" and both.get_level_values("cutoff").max() == CUTOFF)


def test_hashes_tell_inputs_apart_as_their_content_does():
    found = trained.panel()
    content = list(trained.decoded(found).values())
    hashes = inputs(found)
    assert list(hashes.index) == list(trained.decoded(found))
    codes = hashes.groupby(list(hashes.columns)).ngroup().to_numpy()
    texts = pd.factorize(pd.Series(list(map(repr, content))))[0]
    np.testing.assert_array_equal(codes[:, None] == codes, texts[:, None] == texts)
