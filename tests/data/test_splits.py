"""Splits hold whole accounts, keep both outcomes in proportion, and never look past the date they are made at."""

import numpy as np
import pandas as pd
import pytest

from hanjax.api import prepare
from hanjax.config import TrainConfig
from hanjax.data.log import NEVER
from hanjax.data.splits import TEST, TRAIN, VALIDATION, deal_accounts, known_before, split_accounts, take_accounts
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError
from hanjax.types import Tables
from tests import trained

PANEL = trained.CONFIG.panel


def plain(n, converted=0.1, folds=None):
    """A log of n accounts with nothing but what a split looks at."""
    account = np.arange(n)
    events = pd.DataFrame(
        {"account_id": account, "individual_id": account, "timestamp": "2021-01-05T00:00:00Z", "activity": "open"}
    )
    days = pd.Timestamp("2021-02-01", tz="UTC")
    accounts = pd.DataFrame({"account_id": account, "observed_to": days, "converted_at": days})
    accounts.loc[account >= round(n * converted), "converted_at"] = pd.NaT
    people = pd.DataFrame({"individual_id": account, "account_id": account})
    rows = None if folds is None else pd.DataFrame({"account_id": account, "fold": account % folds})
    return Tables(events, people, accounts, folds=rows)


def split(n=100, *, converted=0.1, folds=None, **settings):
    return split_accounts(check(plain(n, converted, folds)), TrainConfig(**settings))


@pytest.mark.parametrize(
    ("n", "settings", "test", "validation"),
    [
        (2516, dict(test=381, validation=0.15), 381, round(0.15 * 2135)),
        (2516, dict(test=381 / 2516, validation=0.0), 381, 0),
        (100, dict(test=0.15, validation=0.15), 15, round(0.15 * 85)),
        (100, dict(test=0.0, validation=0.25), 0, 25),
        (100, dict(test=0, validation=0.25), 0, 25),
        (100, dict(test=1, validation=0.25), 1, 25),
    ],
)
def test_sizes_are_exact(n, settings, test, validation):
    counts = split(n, **settings).value_counts()
    assert counts.get(TEST, 0) == test and counts.get(VALIDATION, 0) == validation
    assert counts[TRAIN] == n - test - validation


@pytest.mark.parametrize("share", [0.04, 0.1, 0.34, 0.5])
def test_each_part_has_its_share_of_conversions(share):
    parts = split(200, converted=share, test=0.3, validation=0.3)
    converted = parts.index < round(200 * share)
    for _, which in parts.groupby(parts).indices.items():
        assert abs(converted[which].sum() - share * len(which)) <= 1


def test_accounts_are_dealt_whole_in_equal_parts_with_equal_shares_of_conversions():
    panel = trained.panel()
    part = deal_accounts(panel, 3, seed=0)
    table = panel.samples.assign(part=part, label=panel.batch.label[:, 0])
    by_account = table.groupby("account_id").agg(
        parts=("part", "nunique"), part=("part", "first"), won=("label", "max")
    )
    assert (by_account["parts"] == 1).all()
    for rows in (by_account, by_account[by_account["won"] == 1]):
        assert np.ptp(rows["part"].value_counts()) <= 1
    assert (deal_accounts(panel, 3, seed=0) == part).all() and (deal_accounts(panel, 3, seed=1) != part).any()


def test_under_cross_validation_no_account_is_kept_for_validation():
    assert VALIDATION not in set(split(100, validation=0.15, cross_validation=True, ensemble=2))


def test_the_seed_draws_and_nothing_else():
    first, again, other = (split(seed=seed) for seed in (3, 3, 4))
    assert first.equals(again) and not first.equals(other)
    data = plain(100)
    shuffled = Tables(*(None if t is None else t.sample(frac=1, random_state=1) for t in data))
    assert split_accounts(check(shuffled), TrainConfig(seed=3)).equals(first)


def test_folds_are_taken_as_given():
    parts = split(folds=5, test_fold=2, validation=0.2)
    assert (parts.index[parts == TEST] % 5 == 2).all() and (parts == TEST).sum() == 20
    assert (parts == VALIDATION).sum() == 16


def test_folds_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="no fold 7; there are 0, 1, 2"):
        split(folds=3, test_fold=7)
    with pytest.raises(ConfigError, match="the data have no table `folds`"):
        split(test_fold=1)


def test_more_accounts_than_there_are_are_refused():
    with pytest.raises(ConfigError, match="test: 101 accounts were asked for, and there are 100"):
        split(test=101)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (dict(converted=0.0), "train"),
        (dict(converted=1.0), "train"),
        (dict(converted=0.01, validation=0.1, test=0.0), "validation"),
        (dict(test=100), "train"),
    ],
)
def test_parts_of_one_outcome_are_an_error(settings, part):
    with pytest.raises(DataError, match=f"{part} accounts do not hold both outcomes"):
        split(**settings)


def test_accounts_and_individuals_are_in_one_part_only():
    log = check(trained.market(), PANEL)
    parts = trained.trained().split
    assert parts.index.equals(log.account_ids) and set(parts) == {TRAIN, VALIDATION, TEST}
    logs = [take_accounts(log, (parts == part).to_numpy()) for part in (TRAIN, VALIDATION, TEST)]
    for ids in ("account_ids", "individual_ids"):
        together = [one for part in logs for one in getattr(part, ids)]
        assert sorted(together) == sorted(getattr(log, ids)) and len(set(together)) == len(together)
    assert sum(len(part.event_time) for part in logs) == len(log.event_time)


def test_taking_accounts_equals_tables_of_these_accounts_alone():
    data = trained.market()
    data = data._replace(folds=data.accounts[["account_id"]].drop_duplicates().assign(fold=1))
    log, encoding = check(data, PANEL), trained.trained().encoding
    wanted = np.random.default_rng(0).random(len(log.account_ids)) < 0.5
    names = set(log.account_ids[wanted])
    alone = check(Tables(*(t[t["account_id"].isin(names)] for t in data[:5])), PANEL)
    taken = take_accounts(log, wanted)
    for name in ("individual_account", "arrived_at", "observed_from", "observed_to", "converted_at", "fold"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(alone, name), err_msg=name)
    for name in ("event_individual", "event_time", "event_known"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(alone, name), err_msg=name)
    activities = [np.array(one.activities)[one.event_activity].tolist() for one in (taken, alone)]
    assert activities[0] == activities[1]
    for name in ("categories", "numbers", "segments", "features"):
        pd.testing.assert_frame_equal(getattr(taken, name), getattr(alone, name), check_dtype=False, obj=name)
    panels = [trained.encoded(one, encoding) for one in (taken, alone)]
    assert trained.decoded(panels[0]) == trained.decoded(panels[1])
    np.testing.assert_array_equal(panels[0].batch.label, panels[1].batch.label)
    assert panels[0].notes == panels[1].notes and panels[0].left_out == panels[1].left_out


def cut_by_hand(data, date):
    """The tables as they would have been written just before a date."""
    before = lambda frame, column: frame[frame[column] < date]
    individuals = before(data.individuals, "arrived_at")
    individuals = before(individuals, "known_at") if "known_at" in individuals else individuals
    accounts = before(before(data.accounts, "known_at"), "observed_from")
    accounts = accounts[accounts["account_id"].isin(individuals["account_id"])]
    individuals = individuals[individuals["account_id"].isin(accounts["account_id"])]
    events = before(before(data.events, "timestamp"), "known_at")
    return Tables(
        events[events["individual_id"].isin(individuals["individual_id"])],
        individuals,
        accounts.assign(
            observed_to=accounts["observed_to"].clip(upper=date),
            converted_at=accounts["converted_at"].where(accounts["converted_at"] < date),
        ),
        before(data.account_features[data.account_features["account_id"].isin(accounts["account_id"])], "known_at"),
    )


UNTIL = pd.Timestamp("2021-02-24 12:00", tz="UTC")


def test_nothing_at_or_after_the_date_is_left():
    data = trained.market()
    log = check(data, PANEL)
    time = UNTIL.value // 1000
    past = known_before(log, time)
    dates = [past.event_time, past.event_known, past.arrived_at, past.observed_from]
    dates += [past.categories["known_at"], past.numbers["known_at"], past.features["known_at"]]
    assert all((np.asarray(date) < time).all() for date in dates)
    assert (past.observed_to <= time).all() and (past.converted_at[past.converted_at != NEVER] < time).all()
    # There was something to remove in each of them.
    before = [log.event_time, log.event_known, log.arrived_at, log.observed_to, log.converted_at]
    before += [log.categories["known_at"], log.numbers["known_at"], log.features["known_at"]]
    assert all((np.asarray(date) >= time).any() for date in before)


@pytest.mark.parametrize("constant", [False, True])
def test_training_until_a_date_is_training_on_what_was_written_by_then(constant):
    data = trained.market()
    if constant:  # statics without a date, and a level that comes up later
        people = data.individuals.drop_duplicates("individual_id").drop(columns="known_at")
        roles = people["source_of_arrival"].mask(people["arrived_at"] >= UNTIL, "an advertisement")
        data = data._replace(individuals=people.assign(source_of_arrival=roles))
    config = trained.CONFIG.replace(until="2021-02-24 12:00", validation=0.3)
    run, panel = prepare(data, config)
    expected, by_hand = prepare(cut_by_hand(data, UNTIL), config)
    assert run.encoding == expected.encoding and run.sizes == expected.sizes
    assert run.split.equals(expected.split) and TEST not in set(run.split)
    assert run.fingerprint == expected.fingerprint and run.positive_weight == expected.positive_weight
    pd.testing.assert_frame_equal(panel.samples, by_hand.samples)
    assert panel.samples["cutoff"].max() < UNTIL < trained.panel().samples["cutoff"].max()


def test_before_everything_there_is_nothing_to_train_on():
    with pytest.raises(DataError, match=r"events.timestamp: nothing was known before 2020-01-01"):
        known_before(check(plain(10)), pd.Timestamp("2020-01-01").value // 1000)
