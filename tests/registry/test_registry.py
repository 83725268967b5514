"""The registry: versions that cannot change unseen, who is champion, and which score is the one to use."""

import json
import os

import pytest

from hanjax.errors import ConfigError, RunError
from hanjax.registry import Registry, Score


def make_run(folder, *, weight="1", until=None, auc=0.6):
    """A folder that looks like a trained run: the registry looks no deeper."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"train": {"until": until}}))
    (folder / "encoding.json").write_text(json.dumps({"fingerprint": "f" + weight}))
    (folder / "metrics.json").write_text(json.dumps({"test": {"auc": auc}}))
    (folder / "model.npz").write_text(weight)
    (folder / "report.html").write_text("not part of the run")
    (folder / "checkpoints").mkdir()
    return folder


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "models")
    for weight, until in (("1", "2021-01-01"), ("2", "2022-01-01"), ("3", "2023-01-01")):
        run = make_run(tmp_path / weight, weight=weight, until=until)
        registry.register(run, "aps", problem="account propensity", owner="Ann", lineage={"gold": "abc"})
    return registry


def test_the_first_version_is_champion_and_the_latest_challenger(registry):
    assert registry.aliases("aps") == {"champion": 1, "challenger": 3}
    table = registry.table()
    assert table["version"].tolist() == [1, 2, 3]
    assert table["aliases"].tolist() == ["champion", "", "challenger"]
    assert table["until"].tolist() == ["2021-01-01", "2022-01-01", "2023-01-01"] and table["auc"].tolist() == [0.6] * 3


def test_an_entry_knows_where_it_comes_from(registry):
    entry = registry.entry("aps", "challenger")
    assert entry.lineage == {"gold": "abc"} and entry.fingerprint == "f3" and entry.metrics == {"test": {"auc": 0.6}}
    assert set(entry.files) == {"config.json", "encoding.json", "model.npz"}
    (entry.folder / "metrics.json").write_text("{}")  # an evaluation of the copy may write its figures
    registry.verify()
    assert (registry.path("aps", 2) / "model.npz").read_text() == "2"


def test_promote_and_revert(registry):
    registry.promote("aps", reason="better on newer data")
    assert registry.aliases("aps") == {"champion": 3}
    registry.promote("aps", 2, reason="a try")
    assert registry.revert("aps", reason="it was worse").version == 3
    assert registry.revert("aps", reason="that too").version == 1
    with pytest.raises(RunError, match="no champion before"):
        registry.revert("aps", reason="once more")
    registry.promote("aps", 2, reason="again")
    assert registry.revert("aps", reason="worse again").version == 1
    reasons = [at["reason"] for at in registry.history("aps") if at["alias"] == "champion"]
    assert reasons[1] == "better on newer data" and reasons[3] == reasons[4] == "reverted from version 2: it was worse"


def test_a_reign_ends_by_a_revert_and_begins_with_another_champion(registry):
    registry.promote("aps", 2, reason="better")
    registry.promote("aps", 2, reason="better, said twice")
    assert registry.revert("aps", reason="worse").version == 1
    registry.promote("aps", 3, reason="reverted from version 2: by hand")
    registry.promote("aps", 1, reason="reverted from version 3: by hand")
    assert registry.revert("aps", reason="no").version == 3
    assert registry.revert("aps", reason="no").version == 1
    with pytest.raises(RunError, match="no champion before"):
        registry.revert("aps", reason="once more")


def test_the_same_model_is_not_registered_twice(registry, tmp_path):
    make_run(tmp_path / "again", weight="2", until="2022-01-01", auc=0.7)  # figures are not the model
    with pytest.raises(RunError, match="is version 2 of 'aps' already"):
        registry.register(tmp_path / "again", "aps", problem="account propensity", owner="Ann")


def test_an_interrupted_registration_is_finished_by_the_next(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    registry, about = Registry(tmp_path / "models"), dict(problem="account propensity", owner="Ann")
    for number, expected in ((1, {"champion": 1}), (2, {"champion": 1, "challenger": 2})):
        run = make_run(tmp_path / str(number), weight=str(number))
        with monkeypatch.context() as patch:
            patch.setattr(Registry, "_point", killed)
            with pytest.raises(KeyboardInterrupt):
                registry.register(run, "aps", **about)
        [*_, entry] = registry.entries("aps")
        assert entry.version == number and not registry.finished(entry)
        assert registry.register(run, "aps", **about).version == number and registry.aliases("aps") == expected
        with pytest.raises(RunError, match=f"is version {number} of 'aps' already"):
            registry.register(run, "aps", **about)


def test_a_reference_belongs_to_a_version_but_is_not_the_model(registry, tmp_path):
    again = make_run(tmp_path / "again", weight="2", until="2022-01-01")
    (again / "reference.json").write_text("{}")
    (again / "reference.scores.parquet").write_text("rows")
    with pytest.raises(RunError, match="is version 2 of 'aps' already"):
        registry.register(again, "aps", problem="account propensity", owner="Ann")
    entry = registry.register(again, "other", problem="account propensity", owner="Ann")
    assert {"reference.json", "reference.scores.parquet"} < set(entry.files)
    assert entry.content == registry.entry("aps", 2).content
    os.chmod(entry.folder / "reference.scores.parquet", 0o644)
    (entry.folder / "reference.scores.parquet").write_text("other rows")
    with pytest.raises(RunError, match="reference.scores.parquet was changed"):
        registry.verify()


@pytest.mark.parametrize("fault", ["model.npz", "config.json", "missing", "added", "entry.json", "no json"])
def test_a_corrupted_entry_is_caught_and_named(registry, fault):
    folder = registry.path("aps", 2)
    if fault == "missing":
        os.remove(folder / "model.npz")
    elif fault == "added":
        (folder / "model-other.npz").write_text("x")
    elif fault == "entry.json":
        text = (folder / "entry.json").read_text()
        os.chmod(folder / "entry.json", 0o644)
        (folder / "entry.json").write_text(text.replace("Ann", "Bob"))
    else:
        name = "entry.json" if fault == "no json" else fault
        os.chmod(folder / name, 0o644)
        (folder / name).write_text((folder / name).read_text()[:-1] + "}9")
    named = {"missing": "model.npz is missing", "added": "model-other.npz was added", "no json": "entry.json"}
    with pytest.raises(RunError, match=named.get(fault, fault)):
        registry.verify()
    with pytest.raises(RunError, match="v0002"):
        registry.promote("aps", 2, reason="unseen")
    assert registry.aliases("aps")["champion"] == 1


def test_what_cannot_be_registered(registry, tmp_path):
    with pytest.raises(RunError, match="holds no trained model"):
        registry.register(tmp_path / "nowhere", "aps", problem="account propensity", owner="Ann")
    with pytest.raises(ConfigError, match="name"):
        registry.register(tmp_path / "1", "../aps", problem="account propensity", owner="Ann")
    with pytest.raises(ConfigError, match="owner"):
        registry.register(tmp_path / "1", "other", problem="account propensity", owner=" ")
    for until in ("last week", "NaT", "2024-13-01"):
        with pytest.raises(ConfigError, match="until: .* is not a date, such as 2024-05-01"):
            registry.register(tmp_path / "1", "other", problem="account propensity", owner="Ann", until=until)
    with pytest.raises(RunError, match="no model is called 'ups'; there are \\['aps'\\]"):
        registry.path("ups")
    with pytest.raises(RunError, match="no version 7"):
        registry.path("aps", 7)


def test_a_damaged_history_is_named(registry):
    (registry.folder / "aps" / "aliases.json").write_text('[{"alias": "champion"}]')
    with pytest.raises(RunError, match="aliases.json is damaged"):
        registry.aliases("aps")


def test_one_score_is_canonical_for_each_purpose(registry):
    first = Score("APS", "who will buy", "Ann", "aps")
    registry.declare(first)
    registry.declare(Score("old APS", "who will buy", "Bob", "aps"))
    assert registry.canonical("who will buy") == first._replace(canonical=True)
    with pytest.raises(ConfigError, match="'APS' \\(owner: Ann\\) is the canonical score"):
        registry.declare(Score("new APS", "who will buy", "Cy", "aps", canonical=True))
    registry.declare(Score("new APS", "who will buy", "Cy", "aps", canonical=True), replace=True)
    table = registry.scores()
    assert table.set_index("name")["canonical"].to_dict() == {"APS": False, "old APS": False, "new APS": True}
    with pytest.raises(ConfigError, match="'APS': there is one"):
        registry.declare(first)
    with pytest.raises(ConfigError, match="would have no canonical score"):
        registry.declare(Score("new APS", "another purpose", "Cy", "aps"), replace=True)
    with pytest.raises(RunError, match="no model is called 'nobody'"):
        registry.declare(Score("x", "y", "z", "nobody"))
    with pytest.raises(RunError, match="no score is for 'lunch'"):
        registry.canonical("lunch")
