"""Digests differ from the first cut-off on that sees a difference, and nowhere before."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hanjax.data.digests import make_digests
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import calendar_of
from hanjax.data.samples import find_presence, find_span
from hanjax.data.tables import check
from hanjax.types import Tables
from tests import trained
from tests.test_no_leaks import CUTOFFS, alter

CONFIG = trained.CONFIG.panel
ENCODING = fit_encoding(check(trained.market()), CONFIG)


def digested(data, encoding=ENCODING):
    """By account and cut-off: how many rows are first seen there, and their hash; and each account's cut-offs."""
    log = check(data, CONFIG)
    calendar = calendar_of(log, CONFIG)
    span, _ = find_span(log, calendar, find_presence(log, calendar, opt_out_activity=CONFIG.opt_out_activity))
    digests = make_digests(log, calendar, CONFIG, encoding, span)
    a, p = np.nonzero(digests.rows[:, : len(calendar.starts)])
    keys = zip(log.account_ids[a], calendar.dates(p), strict=True)
    return dict(zip(keys, zip(digests.rows[a, p].tolist(), digests.total[a, p].tolist(), strict=True), strict=True))


def differences(one, other):
    """Accounts, each with the first cut-off at which it differs."""
    first = {}
    for account, cutoff in one.keys() | other.keys():
        if one.get((account, cutoff)) != other.get((account, cutoff)):
            first[account] = min(cutoff, first.get(account, cutoff))
    return first


@pytest.fixture(scope="module")
def before():
    return digested(trained.market())


def test_order_and_what_is_not_used_do_not_matter():
    encoding = dataclasses.replace(ENCODING, numbers=ENCODING.numbers[:1])
    assert [scale.column for scale in ENCODING.numbers] == ["revenue", "employees"]
    expected = digested(trained.market(), encoding)
    shuffled = [None if table is None else table.sample(frac=1, random_state=1) for table in trained.market()]
    data = Tables(*shuffled)
    data = data._replace(
        individuals=data.individuals.assign(floor=2),
        accounts=data.accounts.assign(employees=1.0, industry="paper"),
        account_features=data.account_features.assign(rainfall=3.0),
    )
    assert digested(data, encoding) == expected


def test_constant_categories_are_seen_from_the_arrival_on():
    data = trained.market()
    people = data.individuals.drop_duplicates("individual_id").drop(columns="known_at")
    before = digested(data._replace(individuals=people))
    late = people["arrived_at"] > CUTOFFS[3]
    long_there = people["account_id"][people["arrived_at"] < CUTOFFS[0]]
    late &= people["account_id"] == people["account_id"][late & people["account_id"].isin(long_there)].iloc[0]
    stays = people[~late]
    events = data.events[data.events["individual_id"].isin(stays["individual_id"])]
    first = differences(before, digested(data._replace(individuals=stays, events=events)))
    assert set(first.values()) == {CUTOFFS[CUTOFFS > people["arrived_at"][late].min()][0]}


def test_what_was_always_known_is_seen_from_the_first_sample_on_wherever_the_calendar_begins():
    data = trained.market()
    accounts = data.accounts.drop_duplicates("account_id").drop(columns="known_at")
    before = digested(data := data._replace(accounts=accounts))
    one = accounts["account_id"].iloc[3]
    grown = accounts.assign(employees=accounts["employees"] + (accounts["account_id"] == one))
    expected = {one: min(cutoff for account, cutoff in before if account == one)}
    assert differences(before, digested(data._replace(accounts=grown))) == expected

    long_ago = pd.Timestamp("2020-06-01", tz="UTC")
    older = accounts.iloc[[0]].assign(account_id="older", observed_from=long_ago)
    person = data.individuals.iloc[[0]].assign(account_id="older", individual_id="i", arrived_at=long_ago)
    more = data._replace(
        accounts=pd.concat([accounts, older]), individuals=pd.concat([data.individuals, person])
    )  # fmt: skip
    assert set(differences(before, digested(more))) == {"older"}


def test_opting_out_differs_from_other_activities_that_the_encoding_does_not_know():
    names = tuple(name for name in ENCODING.activities if name != CONFIG.opt_out_activity)
    encoding = dataclasses.replace(ENCODING, activities=names)
    data, found = trained.market(), []
    for activity in (CONFIG.opt_out_activity, "telex", "fax"):
        activities = data.events["activity"].astype(object)
        activities.iloc[-1] = activity
        found.append(digested(data._replace(events=data.events.assign(activity=activities)), encoding))
    assert found[0] != found[1] == found[2]


@pytest.mark.parametrize("how", ["delete", "change", "add"])
@pytest.mark.parametrize("number", [2, 5])
def test_the_future_is_not_in_them(before, how, number):
    cutoff = CUTOFFS[number]
    first = differences(before, digested(alter(trained.market(), cutoff, how)))
    assert len(first) > 5 and min(first.values()) > cutoff


def test_every_change_of_an_event_is_seen_where_it_first_matters(before):
    data = trained.market()
    row = data.events.index[data.events["timestamp"].between(CUTOFFS[2], CUTOFFS[3] - pd.Timedelta(hours=3))][0]
    event = data.events.loc[row]
    expected = {event["account_id"]: CUTOFFS[CUTOFFS > max(event["timestamp"], event["known_at"])][0]}
    plain = data.events.assign(count=1, order=0)
    assert digested(data._replace(events=plain)) == before
    second = pd.Timedelta(seconds=1)
    for name, value in {
        "activity": "call",
        "timestamp": event["timestamp"] - second,
        "count": 2,
        "order": -3,
        "known_at": max(event["timestamp"], event["known_at"]) + second,
    }.items():
        events = plain.astype({"activity": object})
        events.loc[row, name] = value
        assert differences(before, digested(data._replace(events=events))) == expected, name
    assert differences(before, digested(data._replace(events=plain.drop(index=row)))) == expected


def test_every_change_of_the_rest_is_seen_where_it_first_matters(before):
    data = trained.market()
    begins = lambda account: min(cutoff for one, cutoff in before if one == account)
    told = data.account_features[data.account_features["known_at"].between(CUTOFFS[2], CUTOFFS[4])].iloc[0]
    features = data.account_features.copy()
    features.loc[told.name, "budget"] += 1.0
    expected = {told["account_id"]: max(CUTOFFS[CUTOFFS > told["known_at"]][0], begins(told["account_id"]))}
    assert differences(before, digested(data._replace(account_features=features))) == expected

    person = data.individuals[data.individuals["arrived_at"].between(CUTOFFS[1], CUTOFFS[4])].iloc[0]
    expected = {person["account_id"]: max(CUTOFFS[CUTOFFS > person["arrived_at"]][0], begins(person["account_id"]))}
    rows = data.individuals["individual_id"] == person["individual_id"]
    source = data.individuals["source_of_arrival"].astype(object).mask(rows, "unheard of")
    earlier = data.individuals["arrived_at"].mask(rows, person["arrived_at"] - pd.Timedelta(seconds=1))
    acts = data.events["individual_id"] == person["individual_id"]
    for changed in (
        data._replace(individuals=data.individuals.assign(source_of_arrival=source)),
        data._replace(individuals=data.individuals.assign(arrived_at=earlier)),
        data._replace(individuals=data.individuals[~rows], events=data.events[~acts]),
    ):
        assert differences(before, digested(changed)) == expected

    account = data.accounts["account_id"].iloc[3]
    rows = data.accounts["account_id"] == account
    for name, less in (("employees", 1.0), ("observed_from", pd.Timedelta(seconds=1))):
        accounts = data.accounts.assign(**{name: data.accounts[name].mask(rows, data.accounts[name] - less)})
        assert differences(before, digested(data._replace(accounts=accounts))) == {account: begins(account)}
