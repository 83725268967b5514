"""Nobody on both sides: what stands there is found, and named."""

import dataclasses

import pandas as pd
import pyarrow as pa
import pytest

from hanjax.checks import check_split
from hanjax.types import Tables
from tests import trained


def with_split(parts, index=None, **training):
    run = trained.trained()
    config = run.config.replace(**training) if training else run.config
    return dataclasses.replace(run, split=pd.Series(parts, index=index), config=config)


def halves():
    """The accounts of the market, dealt in turn."""
    accounts = trained.market().accounts["account_id"].unique()
    return with_split(["train", "test"] * (len(accounts) // 2), accounts), accounts


def test_a_sound_split_passes_with_its_numbers():
    run, market = trained.trained(), trained.market()
    verdict = check_split(run, market)
    n = run.split.value_counts()
    assert verdict.passed and verdict.problems == () == verdict.notes
    people = market.individuals["individual_id"].nunique()
    assert verdict.checked == (
        f"24 accounts ({n['train']} train, {n['validation']} validation, {n['test']} test), {people} individuals"
    )
    assert str(verdict) == f"passed  check_split: {verdict.checked}"
    alone = check_split(run)
    assert alone.passed and alone.checked == verdict.checked.rsplit(",", 1)[0]


def test_a_split_read_from_a_folder_has_text_for_ids(tmp_path):
    ids = {"account_id": [1, 2], "individual_id": [7, 8]}
    people = pd.DataFrame(ids)
    events = people.assign(timestamp=pd.Timestamp("2021-01-01"), activity="visit")
    data = Tables(pa.table(events), pa.table(people), pa.table({"account_id": [1, 2]}))
    for index in (["1", "2"], [1, 2]):
        verdict = check_split(with_split(["train", "test"], index), data)
        assert verdict.passed and verdict.notes == ()
        assert verdict.checked == "2 accounts (1 train, 0 validation, 1 test), 2 individuals"


def test_an_account_in_two_parts_is_named():
    verdict = check_split(with_split(["train", "test", "validation", "test"], ["a", "b", "c", "a"]))
    assert not verdict.passed
    assert verdict.problems == ("1 account ('a') in train and test.",)
    assert str(verdict).splitlines() == [
        "FAILED  check_split: 3 accounts (1 train, 1 validation, 2 test)",
        "  - 1 account ('a') in train and test.",
    ]


@pytest.mark.parametrize("table", ["individuals", "events"])
def test_an_individual_in_two_parts_is_named(table):
    run, accounts = halves()
    market = trained.market()
    rows = getattr(market, table)
    mine, other = rows[rows["account_id"] == accounts[0]], accounts[1]
    who = mine["individual_id"].iloc[0]
    also = mine.iloc[:1].assign(account_id=other)
    verdict = check_split(run, market._replace(**{table: pd.concat([rows, also])}))
    assert verdict.problems == (f"1 individual ({str(who)!r}) in train and test.",)
    same_part = mine.iloc[:1].assign(account_id=accounts[2])  # odd, but nothing leaks
    assert check_split(run, market._replace(**{table: pd.concat([rows, same_part])})).passed


def test_accounts_that_only_one_of_them_has_are_counted():
    run, accounts = halves()
    more = with_split([*run.split, "train"], [*accounts, "gone"])
    short = with_split(run.split.to_list()[:-7], accounts[:-7])
    assert check_split(more, trained.market()).notes == ("In the split alone: 1 account ('gone').",)
    verdict = check_split(short, trained.market())
    assert verdict.passed and verdict.notes[0].startswith("In the data alone: 7 accounts (")
    assert verdict.notes[0].endswith(", ...).")


def test_parts_that_are_not_there_or_unknown():
    verdict = check_split(with_split(["test", "holdout"], ["a", "b"]))
    assert verdict.problems == (
        "1 account ('b') in a part that there is not: 'holdout'.",
        "No account is for training.",
    )
    assert "No account is for the test" in check_split(with_split(["train"], ["a"])).notes[0]


def test_a_test_by_time_is_said_to_be_one():
    verdict = check_split(with_split(["train", "validation"], ["a", "b"], until="2021-03-01"))
    assert verdict.passed and len(verdict.notes) == 1
    assert "by time: training knew nothing from 2021-03-01 on" in verdict.notes[0]
