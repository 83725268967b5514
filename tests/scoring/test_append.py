"""A folder that scores are added to holds what it would if all were scored at once, and only what must be is scored."""

import dataclasses
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.api import prepare
from hanjax.data.digests import make_digests
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.scoring import append
from hanjax.scoring import scores as scoring
from hanjax.scoring.append import append_scores
from hanjax.types import Tables
from tests import trained
from tests.test_no_leaks import CONFIGS, CUTOFFS, alter

RUNS = {
    name: config.replace(horizons=(1, 3), period_input="both", time="gated")
    for name, config in CONFIGS.items()
    if name != "plain"
}
NAMES = ["accounts", "individuals"]


@pytest.fixture(autouse=True)
def compile_once(monkeypatch):
    """Tables of distinct rows have room for all that any test needs, so that programs are compiled once a run."""
    monkeypatch.setattr(scoring, "capacity", lambda need: 2048)


@pytest.fixture(scope="module")
def run():
    return trained.trained()


def until(number):
    """The market as it was told before a cut-off."""
    return alter(trained.market(), CUTOFFS[number], "delete")


def read(folder):
    return [pd.read_parquet(folder / f"{name}.parquet") for name in NAMES]


def at_once(run, data, folder, **options):
    """All scores, written and read like those in a folder that is added to."""
    folder.mkdir(exist_ok=True)
    scores = hanjax.score(run, data, **options)
    for name, table in zip(NAMES, scores, strict=True):
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return read(folder)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(np.stack(one["attention"]), np.stack(other["attention"]), rtol=0, atol=1e-6)
        plain = [table.drop(columns="attention") for table in (one, other)]
        pd.testing.assert_frame_equal(*plain, rtol=0, atol=1e-6)
        assert list(one) == list(other)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_append(run, data, folder, tmp_path, **options):
    """Appends, holds the folder against scoring at once, and returns what was appended."""
    appended = append_scores(run, data, folder, **options)
    found = read(folder)
    assert_same(found, at_once(run, data, tmp_path / "at once", **options))
    assert (appended.accounts, appended.individuals) == tuple(map(len, found))
    keys = ["account_id", "cutoff"]
    again = found[0].merge(appended.scores.accounts[[*keys, "rank"]], on=keys)
    assert len(again) == len(appended.scores.accounts)
    assert again["rank_x"].tolist() == again["rank_y"].tolist()
    return appended


def test_week_by_week_is_all_at_once(run, tmp_path):
    folder, total, before = tmp_path / "scores", 0, None
    for number in [*range(2, len(CUTOFFS)), None]:
        data = trained.market() if number is None else until(number)
        appended = check_append(run, data, folder, tmp_path)
        total += len(appended.scores.accounts)
        if before is not None:
            assert all(appended.scores.accounts["cutoff"] > before.max()) and appended.counts.unchanged > 3
        assert appended.counts[1:4] == (0, 0, 0)
        assert set(appended.cutoffs) == set(appended.scores.accounts["cutoff"])
        before = appended.cutoffs if len(appended.cutoffs) else before
    assert total == appended.accounts  # each sample was scored once


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "everything" else []) for name in RUNS]
)
def test_also_under_other_settings(name, tmp_path):
    data = trained.market()
    run, _ = prepare(data, RUNS[name])
    run.params = run.network.init(jax.random.key(0), jnp.zeros(len(RUNS[name].panel.horizons)))
    seen = [check_append(run, data, tmp_path / "scores", tmp_path) for data in (until(3), until(5), data)]
    assert [appended.counts[1:4] for appended in seen] == [(0, 0, 0)] * 3
    assert sum(len(appended.scores.accounts) for appended in seen) == seen[-1].accounts


def test_also_where_dates_come_from_the_events(run, tmp_path):
    """Then observation of whoever has not converted ends with the log, and moves with it."""
    data = trained.market()

    def told_before(date):
        events = data.events[data.events[["timestamp", "known_at"]].max(axis=1) < date]
        people = data.individuals.drop_duplicates("individual_id").drop(columns=["arrived_at", "known_at"])
        people = people[people["individual_id"].isin(events["individual_id"])]
        its = lambda table: table[table["account_id"].isin(people["account_id"])]
        accounts = its(data.accounts).drop_duplicates("account_id")
        accounts = accounts.drop(columns=["observed_from", "observed_to", "known_at"])
        converted_at = accounts["converted_at"].where(accounts["converted_at"] < date)
        return Tables(events, people, accounts.assign(converted_at=converted_at), its(data.account_features))

    for number in (3, 4, 6):
        appended = check_append(run, told_before(CUTOFFS[number]), tmp_path / "scores", tmp_path)
        assert appended.counts[1:4] == (0, 0, 0) and len(appended.cutoffs) >= 1
    assert appended.counts.unchanged > 5


@pytest.fixture
def folder(run, tmp_path):
    """Scores of the market up to some date."""
    append_scores(run, until(5), tmp_path / "scores")
    return tmp_path / "scores"


def seen_early(events):
    """Events that all cut-offs from the third on have seen."""
    return events["timestamp"].between(CUTOFFS[1], CUTOFFS[2]) & (events["known_at"] < CUTOFFS[2])


def four_accounts(data):
    """Accounts that have such events and are observed for long, by id."""
    long = data.accounts["account_id"][data.accounts["observed_to"] > CUTOFFS[5]]
    events = data.events[seen_early(data.events) & data.events["account_id"].isin(long)]
    return events["account_id"].value_counts().index[:4].tolist()


def test_rows_that_claim_to_have_been_known_are_scored_from_there_on(run, folder, tmp_path):
    data, (one, two, three, four) = trained.market(), four_accounts(trained.market())
    events = data.events.astype({"activity": object})
    first = lambda account: events.index[seen_early(events) & (events["account_id"] == account)][0]
    late = events.loc[[first(one)]].assign(activity="click email")
    events.loc[first(two), "activity"] = "telex"  # the training never saw it
    events = pd.concat([events.drop(index=first(three)), late])
    individuals = data.individuals.assign(
        source_of_arrival=data.individuals["source_of_arrival"]
        .astype(object)
        .mask((data.individuals["account_id"] == four) & ~data.individuals["individual_id"].duplicated(), "?")
    )
    data = data._replace(events=events, individuals=individuals)
    appended = check_append(run, data, folder, tmp_path)
    counts = appended.counts
    assert (counts.added, counts.corrected, counts.removed) == (1, 2, 1) and counts.unchanged > 5
    again = appended.scores.accounts[appended.scores.accounts["cutoff"] < CUTOFFS[5]]
    assert set(again["account_id"]) == {one, two, three, four}
    assert (again["cutoff"][again["account_id"] != four] >= CUTOFFS[2]).all()
    whole = appended.scores.accounts["account_id"] == four
    assert (read(folder)[0]["account_id"] == four).sum() == whole.sum()


def test_people_and_accounts_come_and_go(run, folder, tmp_path):
    data, (one, two, three, four) = trained.market(), four_accounts(trained.market())
    left = data.individuals["individual_id"][data.individuals["account_id"] == one].iloc[0]
    mine = lambda table, account: table[table["account_id"] == account]

    def renamed(table):
        table = mine(table, three).assign(account_id="A")
        return table.assign(individual_id="n" + table["individual_id"]) if "individual_id" in table else table

    tables = []
    for table in data:
        if table is not None:
            table = pd.concat([table[table["account_id"] != two], renamed(table)])
            table = table[table["individual_id"] != left] if "individual_id" in table else table
        tables.append(table)
    data = data._make(tables)
    ends = data.accounts["account_id"] == four
    data = data._replace(
        accounts=data.accounts.assign(
            converted_at=data.accounts["converted_at"].mask(ends, CUTOFFS[3] + pd.Timedelta(hours=5)),
            observed_to=data.accounts["observed_to"].mask(ends, CUTOFFS[3] + pd.Timedelta(hours=5)),
        ),
        events=data.events[(data.events["account_id"] != four) | (data.events["timestamp"] < CUTOFFS[3])],
    )
    counts = check_append(run, data, folder, tmp_path).counts
    assert (counts.removed, counts.gone, counts.cut_short) == (2, 1, 1) and counts.new >= 1
    assert not {two} & set(read(folder)[0]["account_id"]) and "A" in set(read(folder)[1]["account_id"])


def test_an_account_that_is_gone_alone(run, folder, tmp_path):
    one = four_accounts(trained.market())[0]
    data = until(5)._make(None if table is None else table[table["account_id"] != one] for table in until(5))
    appended = check_append(run, data, folder, tmp_path)
    assert len(appended.scores.accounts) == 0 and appended.counts.gone == 1 and appended.counts[1:5] == (0, 0, 0, 0)


def test_an_account_without_events_alone(run, folder, tmp_path):
    data = until(5)
    account = data.accounts.iloc[[0]].assign(account_id="a new one", converted_at=pd.NaT)
    person = data.individuals.iloc[[0]].assign(individual_id="i", account_id="a new one", arrived_at=CUTOFFS[0])
    account["observed_to"] = CUTOFFS[5]
    data = data._replace(
        accounts=pd.concat([data.accounts, account]), individuals=pd.concat([data.individuals, person])
    )
    appended = check_append(run, data, folder, tmp_path)
    assert set(appended.scores.accounts["account_id"]) == {"a new one"} and appended.counts.new == 1
    assert len(appended.cutoffs) == 0  # they are scored for the others already


def test_a_log_that_ends_earlier(run, folder, tmp_path):
    appended = check_append(run, until(4), folder, tmp_path)
    assert len(appended.scores.accounts) == 0 and appended.counts.cut_short > 3
    check_append(run, trained.market(), folder, tmp_path)


def test_segments_are_those_of_now(run, folder, tmp_path):
    data = until(5)
    data = data._replace(accounts=data.accounts.assign(industry="paper", country="Norway").drop(columns="name"))
    appended = check_append(run, data, folder, tmp_path)
    assert len(appended.scores.accounts) == 0 and appended.counts.unchanged > 5


def test_a_change_without_effect_is_noticed_once(run, folder, tmp_path):
    data = until(5)
    data = data._replace(events=data.events.assign(order=np.where(np.arange(len(data.events)) == 5, 7, 0)))
    assert check_append(run, data, folder, tmp_path).counts.corrected == 1
    assert append_scores(run, data, folder).counts.corrected == 0


def test_nothing_new_changes_nothing(run, folder):
    before = files(folder), {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    appended = append_scores(run, check(until(5), run.config.panel), folder)
    assert before == (files(folder), {path: path.stat().st_mtime_ns for path in folder.iterdir()})
    assert "no new cut-off; 0 of" in repr(appended) and len(appended.cutoffs) == 0
    assert list(appended.scores.accounts) == list(read(folder)[0])


def test_whoever_has_a_new_cut_off_may_have_no_member(run, folder, tmp_path):
    data = trained.market()
    people = data.individuals.drop_duplicates("individual_id")
    gone = people[["account_id", "individual_id"]].assign(
        activity="unsubscribe email", timestamp=CUTOFFS[5], known_at=CUTOFFS[5]
    )
    open_then = data.accounts.drop_duplicates("account_id").set_index("account_id")["observed_to"] > CUTOFFS[5]
    gone = gone[(people["arrived_at"] < CUTOFFS[5]) & gone["account_id"].map(open_then)]
    before = until(5)
    observed = data.accounts.drop_duplicates("account_id").set_index("account_id")["observed_to"]
    accounts = before.accounts.assign(observed_to=before.accounts["account_id"].map(observed))
    later = before._replace(accounts=accounts, events=pd.concat([before.events, gone]))
    appended = append_scores(run, later, folder)
    assert (appended.scores.accounts["cutoff"] <= CUTOFFS[5]).all()
    assert_same(read(folder), at_once(run, later, tmp_path / "at once"))


def test_raw_and_another_model_are_refused(run, folder):
    before = files(folder)
    with pytest.raises(RunError, match="made with raw=False.*Score anew"):
        append_scores(run, trained.market(), folder, raw=True)
    other = dataclasses.replace(run, params=jax.tree.map(lambda leaf: leaf + 1e-6, run.params))
    with pytest.raises(RunError, match="of another model.*Score anew"):
        append_scores(other, trained.market(), folder)
    weighted = dataclasses.replace(run, positive_weight=2 * run.positive_weight)
    with pytest.raises(RunError, match="of another model"):
        append_scores(weighted, trained.market(), folder)
    assert files(folder) == before
    with pytest.raises(RunError, match="no trained parameters"):
        append_scores(dataclasses.replace(run, params=None), trained.market(), folder)


def test_anew_replaces_whatever_is_there(run, folder, tmp_path):
    (folder / "state.parquet").write_bytes(b"?")
    appended = append_scores(run, until(5), folder, raw=True, anew=True)
    assert_same(read(folder), at_once(run, until(5), tmp_path / "at once", raw=True))
    assert len(appended.scores.accounts) == appended.accounts


def test_a_run_that_was_written_and_read_is_the_same(run, folder, tmp_path):
    before = run.folder
    run.write(tmp_path / "run")
    try:
        assert append_scores(hanjax.load(tmp_path / "run"), until(5), folder).counts.unchanged > 5
    finally:
        run.folder = before


@pytest.mark.parametrize("name", ["state.parquet", "accounts.parquet", "individuals.parquet"])
@pytest.mark.parametrize("how", ["remove", "empty", "cut", "flip"])
def test_damage_is_found(run, folder, name, how):
    content = (folder / name).read_bytes()
    middle = len(content) // 3
    flipped = content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]
    damaged = {"empty": b"", "cut": content[:-20], "flip": flipped}
    (folder / name).unlink()
    if how != "remove":
        (folder / name).write_bytes(damaged[how])
    with pytest.raises(RunError, match=rf"{name} .*Score anew, without append"):
        append_scores(run, trained.market(), folder)


def test_scores_that_were_written_otherwise_are_not_added_to(run, folder):
    append_scores(run, until(4), other := folder.parent / "other")
    os.replace(other / "accounts.parquet", folder / "accounts.parquet")
    with pytest.raises(RunError, match="accounts.parquet is not what state.parquet says"):
        append_scores(run, trained.market(), folder)


def test_other_formats_and_kinds_of_ids(run, folder, monkeypatch):
    monkeypatch.setattr("hanjax.scoring.folder.FORMAT", 2)
    with pytest.raises(RunError, match="in format 1; this is hanjax .*, which reads format 2"):
        append_scores(run, trained.market(), folder)
    monkeypatch.undo()
    numbered = [
        None if table is None else table.assign(account_id=table["account_id"].str[1:].astype(int))
        for table in until(5)
    ]
    with pytest.raises(RunError, match="account_id: the stored scores have ids of type .*string.* of type int64"):
        append_scores(run, until(5)._make(numbered), folder)


def test_a_kill_leaves_the_old_scores_or_the_new(run, folder, tmp_path, monkeypatch):
    replace, old, moves = os.replace, files(folder), []
    complete = lambda folder: {name: content for name, content in files(folder).items() if not name.startswith(".")}
    shutil.copytree(folder, tmp_path / "new")
    monkeypatch.setattr(os, "replace", lambda source, target: (moves.append(target), replace(source, target)))
    append_scores(run, until(6), tmp_path / "new")
    new = files(tmp_path / "new")
    assert len(moves) == 4 and set(new) == set(old)
    for stop in range(len(moves)):
        killed, left = shutil.copytree(folder, tmp_path / str(stop)), iter(range(stop))

        def dying(source, target, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            append_scores(run, until(6), killed)
        monkeypatch.setattr(os, "replace", replace)
        assert stop > 1 or complete(killed) == old  # the second move is the first that replaces scores
        appended = append_scores(run, until(6), killed)
        assert (len(appended.scores.accounts) > 0) == (stop == 0)  # later ones only had to be completed
        assert complete(killed) == new


def test_a_kill_while_writing(run, folder, monkeypatch):
    before = files(folder)
    monkeypatch.setattr(os, "fsync", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        append_scores(run, until(6), folder)
    assert {name: content for name, content in files(folder).items() if name in before} == before


def test_nobody_is_left(run, folder):
    before, data = files(folder), until(5)
    data = data._replace(accounts=data.accounts.assign(observed_to=data.accounts["observed_from"], converted_at=pd.NaT),
                         events=data.events.assign(timestamp=data.accounts["observed_from"].min()))  # fmt: skip
    with pytest.raises(DataError):
        append_scores(run, data, folder)
    assert files(folder) == before


def test_without_digests_changes_would_be_missed(run, folder, tmp_path, monkeypatch):
    """The counterpart: where nothing is seen to differ, old scores stay although the past is another."""
    data = trained.market()
    data = data._replace(events=data.events[data.events["timestamp"] > CUTOFFS[1]])

    def blind(*arguments):
        digests = make_digests(*arguments)
        return digests._replace(total=np.zeros_like(digests.total))

    monkeypatch.setattr(append, "make_digests", blind)
    append_scores(run, until(5), folder, anew=True)
    append_scores(run, data, folder)
    with pytest.raises(AssertionError):
        assert_same(read(folder), at_once(run, data, tmp_path / "at once"))
