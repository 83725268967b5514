"""The circle: trained, scored, trained again and challenged; drift, changed history and changed features stop it."""

# pyright: reportOptionalMemberAccess=false, reportGeneralTypeIssues=false, reportCallIssue=false

import dataclasses
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hanjax.api import leaderboard, load
from hanjax.api import score as score_tables
from hanjax.cli import main
from hanjax.data.reading import read
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.labels import make_labels, read_gold
from hanjax.registry import Registry
from hanjax.workflow import MonitorSettings, look_over, read_workflow, score, train
from hanjax.workflow.material import mart_of, with_features
from tests.workflow import places


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A workflow that was trained once, with what came out and what was said; not to be changed."""
    folder, lines = tmp_path_factory.mktemp("first"), []
    file = places.place(folder, models={"parts": places.PARTS})
    return file, train(read_workflow(file), say=lines.append), lines


@pytest.fixture
def again(first, tmp_path):
    """A copy of it that may be changed."""
    return places.copied(first[0].parent, tmp_path / "again")


def closed(opportunities):
    return opportunities["stage"].isin(["closed won", "closed disengaged"])


def test_training_goes_from_opportunities_to_a_champion(first):
    file, found, lines = first
    folder = file.parent
    steps = ["tables", "labels", "features", "model", "leaderboard", "reference", "registry"]
    assert [line.split()[0] for line in lines] == steps
    gold = read_gold(found.gold.folder)
    assert Path(gold.folder).parent == folder / "gold" / "propensity"
    entry = Registry(folder / "registry").entry("propensity")
    assert entry.version == found.champion == 1 and entry.lineage["gold"] == gold.manifest["content"]
    assert set(entry.lineage["features"]) == {"employees", "connections"}
    assert {"reference.json", "model-1-1.skops"} <= set(entry.files)
    stored = pd.read_csv(folder / "out" / "training" / "leaderboard.csv", index_col="model")
    assert stored["auc"].iloc[0] == pytest.approx(found.leaderboard["auc"].iloc[0])


def test_candidates_are_the_open_opportunities(first):
    file, _, _ = first
    lines = []
    found = score(read_workflow(file), say=lines.append)
    given = places.company().opportunities
    given = given[~closed(given) & (given["kind"] == "new")]
    wanted = given.groupby(["account_id", "region"])["opportunity_id"].agg(",".join).sort_index()
    ranking = found.ranking
    got = ranking.set_index(["account_id", "region"])["opportunity_ids"].sort_index()
    missed = found.not_scored.set_index(["account_id", "region"])["opportunity_ids"]
    assert pd.concat([got, missed]).sort_index().to_dict() == wanted.to_dict() and len(got) > 10
    assert ranking["probability"].is_monotonic_decreasing and set(ranking["tier"]) == {"High", "Medium", "Low"}
    assert found.exit_code == 0 and f"{found.cutoff:%Y-%m-%d}" == "2022-07-17" and found.monitoring.drift.ok
    shares = pd.read_csv(found.folder / "reasons" / "components.csv")
    assert set(shares["aspect"]) == {"growth", "social", "other"} and len(shares) == 3 * len(ranking)
    run = load(Registry(file.parent / "registry").path("propensity"))
    sums = shares.groupby(["account_id", "region"]).agg(total=("share", "sum"), base=("baseline", "first"))
    log_odds = (sums["total"] + sums["base"]).reindex(ranking.set_index(["account_id", "region"]).index)
    assert (1 / (1 + (-log_odds).rpow(2.718281828459045))).to_numpy() == pytest.approx(ranking["probability"])
    assert run.folder is not None and json.loads((found.folder / "scoring.json").read_text())["scored"] == len(ranking)
    Registry(file.parent / "registry").verify()  # nothing was written into it


def test_past_scores_know_nothing_of_what_came_later(again):
    """As of an earlier date, candidates are those that were open then, and later rows change no score."""
    workflow = dataclasses.replace(read_workflow(again), monitor=MonitorSettings(enabled=False))
    moment, cutoff = (pd.Timestamp(date, tz="UTC") for date in ("2022-03-09", "2022-03-06"))
    found = score(workflow, as_of=moment)
    assert found.cutoff == cutoff and found.folder.name == "2022-03-06"
    given = places.company().opportunities
    was_open = (given["created_at"] <= moment) & ~(given["closed_at"] <= moment) & (given["kind"] == "new")
    units = [found.ranking, found.not_scored, given[was_open].drop_duplicates(["account_id", "region"])]
    scored, missed, wanted = (sorted(zip(one["account_id"], one["region"], strict=True)) for one in units)
    assert sorted(scored + missed) == wanted and len(scored) > 5

    folder = again.parent / "company"
    alter(folder / "events.parquet", "timestamp", cutoff, activity=lambda old: old.iloc[::-1].to_numpy())
    alter(folder / "sources" / "headcount.parquet", "known_at", cutoff, employees=lambda old: old * 9)
    alter(folder / "sources" / "connections.parquet", "day", cutoff, connections=lambda old: old * 9 + 1)
    swapped = {"closed won": "closed disengaged", "closed disengaged": "closed won"}
    alter(folder / "opportunities.parquet", "closed_at", moment, stage=lambda old: old.replace(swapped))
    alter(folder / "opportunities.parquet", "created_at", moment, region=lambda old: old.iloc[::-1].to_numpy())
    pd.testing.assert_frame_equal(score(workflow, as_of=moment).ranking, found.ranking)
    events = pd.read_parquet(folder / "events.parquet")
    assert not events["activity"].equals(places.company().tables.events["activity"])


def alter(path, dated, since, **columns):
    """Changes columns of the rows of a file that are dated later, or then."""
    table = pd.read_parquet(path)
    later = table[dated] > since
    assert later.any() and not later.all()
    for name, change in columns.items():
        table.loc[later, name] = change(table.loc[later, name])
    table.to_parquet(path, index=False)


def test_it_is_said_why_a_candidate_has_no_score(again):
    """Three accounts with open opportunities: one not observed any more, one not yet, and one that has nobody."""
    folder, ids = again.parent / "company", ["gone", "ahead", "empty"]
    accounts = pd.read_parquet(folder / "accounts.parquet")
    more = accounts.iloc[[0, 0, 0]].assign(account_id=ids, name=ids)
    begin, end = accounts.loc[0, ["observed_from", "observed_to"]]
    more["observed_from"], more["observed_to"] = [begin, end, begin], [pd.Timestamp("2022-01-01", tz="UTC"), end, end]
    pd.concat([accounts, more]).to_parquet(folder / "accounts.parquet", index=False)
    people = pd.read_parquet(folder / "individuals.parquet")
    own = people.iloc[[0, 0, 0]].assign(account_id=ids, individual_id=ids, arrived_at=[begin, end, end])
    pd.concat([people, own]).to_parquet(folder / "individuals.parquet", index=False)
    table = pd.read_parquet(folder / "opportunities.parquet")
    running = table[~closed(table) & (table["kind"] == "new")].iloc[[0, 0, 0]]
    running = running.assign(account_id=ids, opportunity_id=ids)
    pd.concat([table, running]).to_parquet(folder / "opportunities.parquet", index=False)
    workflow, lines = dataclasses.replace(read_workflow(again), monitor=MonitorSettings(enabled=False)), []
    found = score(workflow, say=lines.append)
    stored = pd.read_csv(found.folder / "not_scored.csv").set_index("account_id")["reason"]
    wanted = {
        "gone": "after the end of its account's observation",
        "ahead": "at or before the beginning of its account's observation",
        "empty": "nobody is a member at the cut-off",
    }
    assert stored[ids].to_dict() == wanted == found.not_scored.set_index("account_id")["reason"][ids].to_dict()
    assert any("after the end of its account's observation: 1" in line for line in lines)


def test_nothing_is_trained_twice_and_a_new_best_challenges(again):
    lines = []
    found = train(read_workflow(again), say=lines.append)
    assert found.kept == ("parts",) and found.entry.version == 1 and found.decision is None
    assert any("is version 1 of propensity already" in line for line in lines)
    places.write(again.parent, models={"tree": places.TREE})
    found = train(read_workflow(again))
    assert found.kept == () and found.entry.version == 2 and found.decision is not None
    registry = Registry(again.parent / "registry")
    assert registry.aliases("propensity")["champion"] == found.champion == (2 if found.decision.promote else 1)
    assert found.decision.reason in registry.history("propensity")[-2 if found.decision.promote else -1]["reason"]
    assert (
        found.decision.table["measure"].tolist()
        == pd.read_csv(again.parent / "out" / "training" / "challenge.csv")["measure"].tolist()
    )
    places.write(again.parent, models={"parts": places.PARTS, "tree": places.TREE}, measure="log_loss")
    both = train(read_workflow(again))
    assert both.kept == ("parts", "tree") and both.entry.version in (1, 2) and both.decision is None
    wanted = leaderboard(both.folders, tables_of(again), measure="log_loss")
    assert both.leaderboard["log_loss"].to_dict() == pytest.approx(wanted["log_loss"].to_dict())


def test_a_challenge_that_was_interrupted_is_held_again(again, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    places.write(again.parent, models={"tree": places.TREE})
    workflow = read_workflow(again)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["hanjax.workflow.train"], "challenge", killed)
        with pytest.raises(KeyboardInterrupt):
            train(workflow)
    assert Registry(again.parent / "registry").aliases("propensity") == {"champion": 1, "challenger": 2}
    found = train(workflow)
    assert found.entry.version == 2 and found.decision is not None
    assert "challenger" not in Registry(again.parent / "registry").aliases("propensity")
    assert train(workflow).decision is None


def test_a_training_on_older_data_does_not_replace_the_champion(again, first):
    assert first[1].entry.until == "2022-07-10"  # the last day of its opportunities
    path = again.parent / "company" / "opportunities.parquet"
    table, end = pd.read_parquet(path), pd.Timestamp("2022-06-05", tz="UTC")
    table = table[table["created_at"] <= end]
    late = table["closed_at"] > end
    table.assign(closed_at=table["closed_at"].mask(late), stage=table["stage"].mask(late, "open")).to_parquet(path)
    found = train(read_workflow(again))
    assert found.entry.until == "2022-06-05" and found.decision is not None and found.champion == 1
    assert "trained on what was known before 2022-06-05" in found.decision.reason


def tables_of(file):
    """The tables that the models of a workflow are compared on."""
    workflow = read_workflow(file)
    tables, config = read(workflow.data), workflow.settings.panel
    log = check(tables, config)
    labels = make_labels(workflow.opportunities, workflow.rule)
    return with_features(tables._replace(outcomes=labels.outcomes), mart_of(workflow, tables, config), log, config)


def test_other_data_train_anew_on_accounts_that_stay_held_out(again, first):
    path = again.parent / "company" / "opportunities.parquet"
    table = pd.read_parquet(path)
    late = table["closed_at"].idxmax()
    table.loc[late, "closed_at"] += pd.Timedelta(days=1)
    table.to_parquet(path, index=False)
    found = train(read_workflow(again))
    assert found.kept == () and found.gold.folder != first[1].gold.folder
    split = [load(run["parts"]).split for run in (found.folders, first[1].folders)]
    assert ((split[0] == "test") == (split[1] == "test")).all() and (split[0] == "test").any()


def test_history_that_was_rewritten_is_refused(again):
    path = again.parent / "company" / "opportunities.parquet"
    table = pd.read_parquet(path)
    first_won = table.index[(table["stage"] == "closed won") & (table["kind"] == "new")][0]
    table.loc[first_won, "amount"] += 1
    table.to_parquet(path, index=False)
    with pytest.raises(RunError, match="holds another gold set.*content differ"):
        train(read_workflow(again))


def test_drift_stops_the_scores(again, capsys):
    path = again.parent / "company" / "sources" / "headcount.parquet"
    table = pd.read_parquet(path)
    table["employees"] *= 1000
    table.to_parquet(path, index=False)
    places.write(again.parent, features=without_store())
    folder = again.parent / "out" / "scores" / "2022-07-17"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accounts.parquet").write_text("of an earlier scoring")
    assert main(["run", str(again), "--only", "score"]) == 4
    assert "nothing is scored" in capsys.readouterr().out and (folder / "monitoring" / "monitoring.html").exists()
    assert not (folder / "accounts.parquet").exists()
    assert json.loads((folder / "scoring.json").read_text())["scored"] is None
    places.write(again.parent, features=without_store(), monitor={"on_drift": "warn", "resamples": 30})
    assert main(["run", str(again), "--only", "score"]) == 0
    assert (folder / "accounts.parquet").exists() and "alarm" in capsys.readouterr().out


def without_store():
    return {name: value for name, value in places.SETTINGS["features"].items() if name != "store"}


def test_a_feature_that_was_redefined_is_not_scored_with(again):
    changed = [{**places.FEATURES[0], "expression": "employees + 1"}, places.FEATURES[1]]
    (again.parent / "features.yaml").write_text(yaml.safe_dump({"features": changed}))
    with pytest.raises(RunError, match="employees: defined otherwise than when version 1"):
        score(read_workflow(again))


def test_another_model_without_reference_is_not_watched(again):
    places.write(again.parent, name="other", monitor={"enabled": False})
    train(read_workflow(again))
    places.write(again.parent, name="other")
    with pytest.raises(RunError, match="registered without a reference"):
        score(read_workflow(again))


def test_dry_run_names_every_problem_and_writes_nothing(again, capsys):
    before = sorted(again.parent.rglob("*"))
    assert main(["run", str(again), "--dry-run"]) == 0
    assert "version 1 of propensity is the champion" in capsys.readouterr().out
    broken = {**places.SETTINGS["features"], "sources": {}}
    places.write(again.parent, labels={"rule": "AccountPropensity", "unit": ["regoin"]}, features=broken)
    assert main(["run", str(again), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "labels       PROBLEM: " in said and "'regoin' is missing" in said and "headcount" in said
    assert sorted(again.parent.rglob("*")) == before
    assert len(look_over(read_workflow(again)).problems) == 2


def test_dry_run_finds_two_labels_of_one_week(again):
    path = again.parent / "company" / "opportunities.parquet"
    table = pd.read_parquet(path)
    won = table[(table["stage"] == "closed won") & (table["kind"] == "new")].iloc[:1]
    twin = won.assign(opportunity_id="twin", created_at=won["created_at"] + pd.Timedelta(days=1))
    pd.concat([twin, table]).to_parquet(path, index=False)
    found = look_over(read_workflow(again)).table.set_index("step")["problem"]
    assert "stands more than once within a period" in found["labels"] and "same `period`" in found["labels"]
    with pytest.raises(DataError, match="stands more than once within a period"):
        train(dataclasses.replace(read_workflow(again), name="twins"))
    rule = {"rule": "AccountPropensity", "period": "W-SAT"}
    places.write(again.parent, labels=rule)
    assert not any(look_over(read_workflow(again)).problems)


def test_commands_say_what_is_wrong(again, capsys):
    assert main(["run", str(again), "--only", "train", "--as-of", "2022-05-01"]) == 1
    assert "--as-of" in capsys.readouterr().err
    assert main(["run", str(again.parent / "nowhere.yaml")]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_every_account_can_be_a_candidate(again):
    wanted = {"candidates": "accounts", "reasons": False}
    places.write(again.parent, score=wanted, monitor={"enabled": False})
    found = score(read_workflow(again))
    company = places.company()
    units = set(zip(company.opportunities["account_id"], company.opportunities["region"], strict=True))
    never = set(company.tables.accounts["account_id"]) - {account for account, _ in units}
    both = pd.concat([found.ranking, found.not_scored]).fillna({"region": ""})
    got = sorted(zip(both["account_id"], both["region"], strict=True))
    assert got == sorted(units | {(account, "") for account in never}) and len(never) > 0


def test_without_opportunities_accounts_are_scored_by_conversions(tmp_path):
    from hanjax import simulate

    market = simulate(accounts=80, conversions=0.4, seed=1)
    (tmp_path / "market").mkdir()
    for name in ("events", "individuals", "accounts"):
        getattr(market.tables, name).to_parquet(tmp_path / "market" / f"{name}.parquet", index=False)
    settings = dict(data="market", opportunities=None, labels=None, features=None, monitor={"enabled": False})
    workflow = read_workflow(places.write(tmp_path, **settings))
    trained = train(workflow)
    assert trained.gold is None and "gold" not in trained.entry.lineage
    assert trained.entry.until == f"{pd.to_datetime(market.tables.accounts['observed_to']).max():%Y-%m-%d}"
    found = score(workflow, as_of="2021-06-30")
    direct = score_tables(trained.entry.folder, market.tables, as_of="2021-06-30").accounts
    both = found.ranking.merge(direct, on="account_id", suffixes=("", "_direct"))
    assert len(both) == len(direct) == len(found.ranking)
    assert (both["probability"] == both["probability_direct"]).all()


def test_outcomes_of_the_data_are_taken_as_they_are(again):
    """The same labels, brought as a table: the same samples and features, and so the same model."""
    workflow = read_workflow(again)
    outcomes = make_labels(workflow.opportunities, workflow.rule).outcomes
    outcomes.to_parquet(again.parent / "company" / "outcomes.parquet", index=False)
    with pytest.raises(DataError, match="holds outcomes"):
        train(workflow)
    places.write(again.parent, models={"parts": places.PARTS}, opportunities=None, labels=None, name="given")
    assert main(["run", str(again), "--dry-run"]) == 0
    found = train(read_workflow(again))
    registry = Registry(again.parent / "registry")
    assert found.entry.fingerprint == registry.entry("propensity").fingerprint and found.gold is None


def test_data_with_tables_that_the_workflow_makes_are_refused(again):
    table = pd.DataFrame({"account_id": ["a000001"], "known_at": ["2021-05-01"], "x": [1.0]})
    table.to_parquet(again.parent / "company" / "account_features.parquet", index=False)
    with pytest.raises(DataError, match="holds account_features"):
        train(read_workflow(again))


@pytest.mark.slow
def test_a_network_is_trained_and_explained(tmp_path):
    models = {"network": {"network": places.TINY}}
    workflow = read_workflow(places.place(tmp_path, models=models, features=None, monitor={"enabled": False}))
    found = train(workflow)
    assert train(workflow).kept == ("network",) and found.entry.version == 1
    scoring = score(workflow)
    assert scoring.ranking["sentence"].str.len().gt(20).all() and scoring.ranking["action"].notna().all()
    reasons = pd.read_csv(scoring.folder / "reasons" / "accounts.csv")
    assert sorted(reasons["account_id"]) == sorted(scoring.ranking["account_id"])
    for row in scoring.ranking.itertuples():
        mine = reasons[(reasons["account_id"] == row.account_id) & (reasons["sentence"] == row.sentence)]
        assert (abs(mine["probability"] - row.probability) < 1e-5).any()
