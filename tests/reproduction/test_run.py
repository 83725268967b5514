"""The whole path on a tiny market: resumption, a row that fails, and a report that says what the figures say."""

import itertools
import json
import re

import jax
import numpy as np
import pytest

import hanjax
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.reproduction import rows as all_rows
from hanjax.reproduction import sentences
from hanjax.reproduction.naive import NAIVE
from hanjax.reproduction.report import card, compact_card, render

ROWS = ["experiment-3", "naive-5", "regression", "log-oracle", "latent-oracle"]
SMALL = dict(accounts=60, epochs=1, seeds=1, rows=ROWS, parts=["tables"], resamples=50)


class Broken:
    """An aggregation that cannot be made."""

    takes_logits = True

    def __init__(self, *args, **kwargs):
        """Fails as a training does whose loss ceases to be finite, only sooner."""
        raise RunError("Epoch 1, step 1 of 2: the loss is nan.")

    @staticmethod
    def member_logit(initial_logit):
        """Anything."""
        return 0.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NAIVE, "at_least_one", Broken)
        return hanjax.reproduce(folder, **SMALL, command="hanjax reproduce")


def told(found):
    """report.json without what differs between two runs of the same: times."""
    stored = json.loads((found.folder / "report.json").read_text())
    stored["about"].pop("minutes")
    for record in stored["experiments"]:
        record.pop("seconds")
    return stored


def test_every_row_is_told_and_the_broken_one_as_failed(whole):
    table = whole.tables["experiments"].set_index("row")
    assert set(table.index) == set(ROWS)
    assert table.loc["naive-5", "failed"] == 1 and np.isnan(table.loc["naive-5", "auc"])
    [failure] = whole.tables["failures"].to_dict("records")
    assert failure["row"] == "naive-5" and "loss" in failure["error"]
    others = table.drop(index="naive-5")
    assert (others["failed"] == 0).all() and others["auc"].between(0, 1).all()
    assert others.loc["latent-oracle", "fresh_auc"] == others["fresh_auc"].max() > 0.8
    text = (whole.folder / "report.md").read_text()
    assert "*failed*" in text and "What failed" in text


@pytest.mark.slow
def test_interrupted_anywhere_it_ends_in_the_same_report(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(NAIVE, "at_least_one", Broken)
    started = []

    def stop(what, done, total):
        started.append(what)
        if len(started) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hanjax.reproduce(tmp_path, **SMALL, progress=stop)
    finished = len(list((tmp_path / "rows").glob("*.json")))
    assert finished == 2
    again = []
    found = hanjax.reproduce(
        tmp_path, **SMALL, command="hanjax reproduce", progress=lambda what, *rest: again.append(what)
    )
    assert told(found) == told(whole)
    assert not any(row.split(",")[0] in " ".join(again) for row in started[:2] if "naive" not in row)


def test_compiled_programs_go_with_their_row(tmp_path, monkeypatch):
    """Each takes thousands of mappings of memory, of which a process may have only so many."""
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(1))
    few = {**SMALL, "rows": ["regression", "boosting", "latent-oracle"], "seeds": 2}
    hanjax.reproduce(tmp_path, **few)
    assert len(cleared) == 2  # boosting is trained twice in a row


def test_the_report_is_made_of_report_json_alone(whole):
    stored = json.loads((whole.folder / "report.json").read_text())
    text = (whole.folder / "report.md").read_text()
    assert render(stored) == text
    for record in stored["experiments"]:
        if record.get("auc") is not None:
            assert f"{record['auc']:.2f} [{record['auc_low']:.2f}, {record['auc_high']:.2f}]" in text
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert pictures and all((whole.folder / name).exists() for name in pictures)
    assert "experiment-3" not in whole.about["command"] and "Reproduction(" in repr(whole)


def test_the_fate_of_a_claim_in_words_is_its_outcome_in_the_table(whole):
    stored = json.loads((whole.folder / "report.json").read_text())
    for claim in stored["orderings"]:
        claim["outcome"] = "undecided"
    stored["orderings"][0]["outcome"] = "not reproduced"
    said = sentences.in_short(stored)[0]
    assert "Not reproduced, 1: neural aggregations (experiments 1-3) beat both baselines" in said
    assert "Undecided, 7:" in said and "\nReproduced" not in said


def test_the_gap_to_the_log_oracle_is_told_of_those_nearest_to_it(whole):
    stored = json.loads((whole.folder / "report.json").read_text())
    row = {record["row"]: record for record in stored["experiments"]}
    for name, test in itertools.product(("experiment-3", "regression"), ("", "fresh_")):
        gap, low, high = (row[name][f"{test}gap{end}"] for end in ("", "_low", "_high"))
        assert gap == pytest.approx(row["log-oracle"][f"{test}auc"] - row[name][f"{test}auc"])
        assert low < gap < high
    [said] = [said for said in sentences.in_short(stored) if "Nearest to the log oracle" in said]
    first, second = sorted((row["experiment-3"], row["regression"]), key=lambda record: -record["fresh_auc"])
    assert said.index(first["title"]) < said.index(second["title"])
    assert f"{first['fresh_gap']:+.3f} [".replace("-", "−") in said


def test_individuals_are_looked_at_on_fresh_accounts(whole):
    text, stored = (whole.folder / "report.md").read_text(), told(whole)
    assert stored["analyzed"] == "fresh" and "among the fresh accounts?" in text
    crossing = stored["crossings"][0]
    assert 60 < crossing["converting"] + crossing["others"] <= stored["about"]["fresh_accounts"] == 120


def test_members_are_compared_with_their_activities_on_the_same_accounts(whole):
    table = whole.tables["members"].set_index("row")
    own, counted = table.loc["experiment-3"], table.loc["activities"]
    assert own["difference"] == pytest.approx(own["concordance"] - counted["concordance"])
    assert own["difference_low"] < own["difference"] < own["difference_high"]
    records = [{"row": "a", "title": "A", "concordance": 0.7, "difference_low": 0.01}]
    records += [{"row": "b", "title": "B", "concordance": 0.6, "difference_low": -0.01}]
    records += [{"row": "activities", "title": "", "concordance": 0.55}]
    assert "1 of 2 models are above that" in sentences.members(records)


@pytest.mark.parametrize(("p", "says"), [(0.4, "does not differ detectably"), (0.01, "differs between")])
def test_the_volume_sentence_follows_its_p(p, says):
    record = {"accounts": 30, "converted": 10, "mean_converted": 0.3, "mean_other": 0.2, "slope": 0.1, "p": p}
    assert says in sentences.volume(record)


def test_the_card_tells_measured_effects_and_choices_that_are_not_measured():
    measured = {"choice": "epochs-50", "question": "epochs", "default": "20", "option": "50"}
    measured |= {"effect": -0.0123, "effect_low": -0.03, "effect_high": 0.01, "effect_p": 0.3}
    unmeasured = {"choice": None, "question": "members", "default": "25", "option": "none"}
    assert "−0.012 [−0.030, +0.010]" in card([measured, unmeasured])
    assert len(compact_card([measured, unmeasured]).splitlines()) == 3


def test_own_data_have_neither_oracles_nor_fresh_accounts(tmp_path):
    tables = hanjax.simulate(accounts=60, conversions=0.4, seed=3).tables
    tables = tables._replace(events=tables.events.rename(columns={"activity": "what"}))
    settings = {"columns": (("activity", "what"),), "period": "14D"}
    found = hanjax.reproduce(
        tmp_path,
        data=tables,
        settings=settings,
        epochs=1,
        rows=["regression", "log-oracle"],
        parts=["tables", "grid"],
        resamples=20,
    )
    table = found.tables["experiments"]
    assert found.about["settings"]["panel"]["period"] == "14D" and table["periods"].item() < 18
    assert table["row"].tolist() == ["regression"] and "fresh_auc" not in table and "grid" not in found.tables
    assert "your own data" in (tmp_path / "report.md").read_text()
    with pytest.raises(ConfigError, match="period"):
        hanjax.reproduce(tmp_path, data=tables, settings={**settings, "period": "fortnight"})


def test_a_damaged_row_is_named(tmp_path):
    small = {**SMALL, "rows": ["regression"]}
    hanjax.reproduce(tmp_path, **small)
    [path] = (tmp_path / "rows").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="damaged"):
        hanjax.reproduce(tmp_path, **small)


def test_unknown_names_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigError, match="there is no row 'experiment-10'"):
        hanjax.reproduce(tmp_path, rows=["experiment-10"])
    with pytest.raises(ConfigError, match="there is no part 'table'"):
        hanjax.reproduce(tmp_path, parts=["table"])


def test_data_without_conversions_in_the_test_are_refused(tmp_path):
    tables = hanjax.simulate(accounts=60, conversions=0.4, seed=3).tables
    never = tables.accounts["converted_at"].isna()
    held_out = never & (never.cumsum() <= 10)
    tables = tables._replace(folds=tables.accounts[["account_id"]].assign(fold=held_out.astype(int)))
    with pytest.raises(DataError, match="no test account converts"):
        hanjax.reproduce(tmp_path, data=tables)


@pytest.mark.slow
def test_every_part_in_small(tmp_path):
    found = hanjax.reproduce(tmp_path, quick=True, accounts=150, epochs=1, resamples=50)
    assert {"experiments", "orderings", "choices", "static", "grid", "winners", "members"} <= set(found.tables)
    assert set(found.tables["experiments"]["row"]) < {row.name for row in (*all_rows.ALL, all_rows.NORMALIZED)}
    assert not len(found.tables["failures"])
