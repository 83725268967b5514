"""What a workflow's file may say, and what is said of mistakes."""

import json

import pytest
import yaml

from hanjax.config import Config
from hanjax.errors import ConfigError
from hanjax.features import Source
from hanjax.labels import AccountPropensity
from hanjax.tabular import Tabular
from hanjax.workflow import MonitorSettings, ScoreSettings, read_workflow
from tests.workflow.places import FEATURES, SETTINGS, TREE, write


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "settings").mkdir()
    file = write(tmp_path / "settings", data="../company", labels="rule.yaml", aspects="/aspects.yaml")
    (tmp_path / "settings" / "rule.yaml").write_text("rule: AccountPropensity\nretries: keep\n")
    monkeypatch.chdir(tmp_path)
    for path in (file, "settings/workflow.yaml"):
        found = read_workflow(path)
        assert found.data == str(tmp_path / "settings" / "../company") and found.aspects == "/aspects.yaml"
        assert found.rule == AccountPropensity(retries="keep")
        assert [getattr(found, name) for name in ("out", "gold", "registry")] == [
            str(tmp_path / "settings" / name) for name in ("out", "gold", "registry")
        ]
        assert found.features is not None and found.features.store == str(tmp_path / "settings" / "store")
        where = str(tmp_path / "settings" / "company/sources/headcount.parquet")
        assert found.features.tables["headcount"] == Source(where, "day", "known_at")


def test_json_and_yaml_say_the_same(tmp_path):
    (tmp_path / "workflow.json").write_text(json.dumps(SETTINGS))
    assert read_workflow(tmp_path / "workflow.json") == read_workflow(write(tmp_path))


def test_defaults_and_dates_without_quotes(tmp_path):
    file = tmp_path / "workflow.yaml"
    file.write_text(yaml.safe_dump({name: value for name, value in SETTINGS.items() if name != "monitor"}))
    found = read_workflow(file)
    assert found.score == ScoreSettings() and found.monitor == MonitorSettings() and found.measure == "auc"
    text = file.read_text() + "score: {as_of: 2022-05-01}\nmonitor: {enabled: false, alpha: 0.05}\n"
    file.write_text(text)
    found = read_workflow(file)
    assert found.score.as_of == "2022-05-01" and found.monitor == MonitorSettings(enabled=False, alpha=0.05)


def test_models_take_the_shared_settings_and_their_own(tmp_path):
    models = {"plain": {"network": None}, "long": {"network": {"epochs": 9}}, "tree": TREE}
    found = read_workflow(write(tmp_path, models=models, config={"train": {"test": 0.3, "epochs": 2}}))
    assert found.settings == Config().replace(test=0.3, epochs=2) == found.settings_of("plain")
    assert found.settings_of("long").train.epochs == 9 and found.tabular_of("long") is None
    assert found.tabular_of("tree") == Tabular("decision_tree", options={"max_depth": 1})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"opportunites": "x"}, "did you mean 'opportunities'"),
        ({"monitor": {"alfa": 0.1}}, "did you mean 'alpha'"),
        ({"monitor": {"on_drift": "ignore"}}, "'stop', 'warn'"),
        ({"score": {"candidates": "all"}}, "'open', 'accounts'"),
        ({"measure": "acu"}, "measure: expected one of 'auc'"),
        ({"owner": " "}, "owner: expected a few words"),
        ({"models": {}}, "models: expected one by name"),
        ({"models": {"m": {}}}, "models.m: expected either network"),
        ({"models": {"m": {"network": {}, "algorithm": "decision_tree"}}}, "models.m: expected either network"),
        ({"models": {"m": {"algorithm": "random_forrest"}}}, "'random_forest'"),
        ({"models": {"m": {"network": {"epoch": 3}}}}, "did you mean 'epochs'"),
        ({"models": {"m": {"network": {"test": 0.1}}}}, "the same test"),
        ({"config": {"train": {"test": 50}}}, "test: expected a share above 0"),
        ({"config": {"trian": {}}}, "did you mean 'train'"),
        ({"labels": None}, "labels: expected a rule if there are opportunities"),
        ({"audit": {"wonn": []}}, "did you mean 'won'"),
        ({"features": {"file": "f"}}, "features: expected sources too"),
        ({"features": {"file": "f", "sources": {"s": {"file": "x"}}}}, "features.sources.s: expected date too"),
        ({"features": {"file": "f", "sources": {"s": {"file": "x", "dat": "d"}}}}, "did you mean 'date'"),
    ],
)
def test_mistakes_are_named(settings, said, tmp_path):
    with pytest.raises(ConfigError) as error:
        read_workflow(write(tmp_path, **settings))
    assert said in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "workflow.yaml").write_text(yaml.safe_dump({"name": "p", "features": FEATURES}))
    with pytest.raises(ConfigError, match="problem, owner, data, models: expected a setting"):
        read_workflow(tmp_path / "workflow.yaml")
    with pytest.raises(ConfigError, match="there is no such file"):
        read_workflow(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_workflow(tmp_path / "bad.yaml")
