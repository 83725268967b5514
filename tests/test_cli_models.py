"""The commands around trained models: tabular ones, reasons, segments, watching, comparing and keeping them."""

import json

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.cli import main
from hanjax.monitoring.impact import win_rate
from hanjax.registry import Registry
from tests import trained

CONFIG = trained.CONFIG.replace(segments=["region"])


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The market with regions in ``data``, a network with segments in ``run``, and a forest in ``forest``."""
    place = tmp_path_factory.mktemp("models")
    (place / "data").mkdir()
    market = trained.market()
    ids = market.accounts["account_id"].astype("category").cat.codes
    tables = market._replace(accounts=market.accounts.assign(region=np.array(["EMEA", "APAC", "NAMER"])[ids % 3]))
    for name, table in tables._asdict().items():
        if table is not None:
            table.to_parquet(place / "data" / f"{name}.parquet", index=False)
    CONFIG.write(place / "settings.json")
    settings = ("--config", place / "settings.json")
    assert run("fit", place / "data", "--out", place / "run", *settings) == 0
    forest = ("--model", "random_forest", "--model-options", '{"n_estimators": 5, "max_depth": 3}')
    (place / "model.json").write_text('{"segments": ["region"], "seed": 4}')
    told = ("--model-settings", place / "model.json", "--segments", "none")
    assert run("fit", place / "data", "--out", place / "forest", *settings, *forest, *told) == 0
    return place


def test_fit_trains_a_tabular_model(place, tmp_path, capsys):
    forest = hanjax.load(place / "forest")
    assert forest.kind == "random_forest" and forest.tabular.options == {"n_estimators": 5, "max_depth": 3}
    assert forest.tabular.segments == ("region",) and forest.tabular.seed == 4
    for options, message in (
        (("--model", "forest"), "algorithm: expected one of"),
        (("--model", "random_forest", "--model-options", "{depth"), "--model-options: not valid JSON"),
        (("--model-options", "{}"), "Name a --model"),
        (("--model", "random_forest", "--resume"), "cannot be continued"),
    ):
        assert run("fit", place / "data", "--out", tmp_path / "other", *options) == 1
        assert message in capsys.readouterr().err


def test_a_tabular_model_is_scored_ranked_and_plotted(place, tmp_path, capsys):
    for command in ("score", "rank", "plot"):
        assert run(command, place / "forest", place / "data", "--out", tmp_path / command) == 0
    printed = capsys.readouterr().out
    expected = hanjax.rank(place / "forest", place / "data")
    assert repr(expected) in printed and "history.png" not in printed
    assert len(list((tmp_path / "plot").glob("account-*.png"))) == 2
    found = pd.read_csv(tmp_path / "rank" / "accounts.csv")
    np.testing.assert_allclose(found["probability"], expected.accounts["probability"])
    assert run("rank", place / "forest", place / "data", "--influence", "2", "--out", tmp_path) == 1
    assert "influence: it is found with a network" in capsys.readouterr().err
    assert run("report", place / "forest", place / "data", "--out", tmp_path / "page.html") == 1
    assert "Give a network's" in capsys.readouterr().err


def test_compare_is_the_leaderboard(place, tmp_path, capsys):
    runs = {"network": place / "run", "forest": place / "forest"}
    given = [f"{name}={folder}" for name, folder in runs.items()]
    assert run("compare", *given, "--data", place / "data", "--measure", "log_loss", "--out", tmp_path) == 0
    expected = hanjax.leaderboard(runs, place / "data", measure="log_loss")
    found = pd.read_csv(tmp_path / "leaderboard.csv", index_col="model")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    printed = capsys.readouterr().out
    assert "random_forest" in printed and "log_loss_low" in printed and "auc_low" not in printed
    assert run("compare", place / "run", "--data", place / "data") == 1
    assert "each with a name of its own" in capsys.readouterr().err


def test_explain_writes_reasons_and_prints_sentences(place, tmp_path, capsys):
    (tmp_path / "aspects.yaml").write_text("affinity: ['activity:*']\ncompany: ['account:*', 'feature:*']\n")
    pd.DataFrame({"aspect": ["company"], "level": ["High"], "action": ["Send flowers."]}).to_csv(tmp_path / "to-do.csv")
    (tmp_path / "sentence.txt").write_text("{{ account }}, {{ tier }}. {{ action }}")
    options = ("--aspects", tmp_path / "aspects.yaml", "--actions", tmp_path / "to-do.csv")
    options += ("--template", tmp_path / "sentence.txt", "--as-of", "2021-02-17")
    assert run("explain", place / "run", place / "data", *options, "--top", "30", "--out", tmp_path / "reasons") == 0
    printed = capsys.readouterr().out
    found = pd.read_csv(tmp_path / "reasons" / "accounts.csv")
    parts = found[["baseline", "starting_point", "affinity", "company", "other"]].sum(axis=1)
    np.testing.assert_allclose(parts, found["log_odds"], atol=1e-4)
    assert all(sentence in printed for sentence in found["sentence"].head(30)) and "Send flowers." in printed
    for name in ("aspects.png", "waterfall.png"):
        assert (tmp_path / "reasons" / name).read_bytes().startswith(b"\x89PNG")
    again = ("--reference", tmp_path / "reasons", "--out", tmp_path / "later")
    assert run("explain", place / "run", place / "data", *options[:2], *again) == 0
    assert run("explain", place / "forest", place / "data", "--out", tmp_path) == 1
    assert "has no network" in capsys.readouterr().err


def test_a_report_has_a_section_of_reasons(place, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("hanjax.api.write_report", lambda *_, aspects, **__: given.append(aspects))
    assert run("report", place / "run", place / "data", "--aspects", tmp_path / "aspects.yaml") == 0
    assert given == [str(tmp_path / "aspects.yaml")]


def test_segments_writes_the_effects(place, tmp_path, capsys):
    assert run("segments", place / "run", place / "data", "--out", tmp_path) == 0
    expected = hanjax.segment_effects(place / "run", place / "data")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "segments.csv"), expected, check_dtype=False)
    assert "EMEA" in capsys.readouterr().out and (tmp_path / "segments.png").exists()
    assert run("segments", place / "run", "--out", tmp_path / "alone") == 0
    assert run("segments", place / "forest", "--out", tmp_path) == 1


def test_monitor_ends_with_a_status_for_schedulers(place, tmp_path, capsys):
    watched = ("monitor", place / "run", place / "data")
    assert run(*watched, "--out", tmp_path) == 1 and "Make one from the training data" in capsys.readouterr().err
    assert run(*watched, "--make-reference", "--out", tmp_path / "reference") == 0
    kept = ("--reference", tmp_path / "reference", "--out", tmp_path / "found")
    status = run(*watched, *kept, "--as-of", "2021-02-17", "--strict")
    verdict = json.loads((tmp_path / "found" / "verdict.json").read_text())
    assert status == {"ok": 0, "warning": 3, "alarm": 4}[verdict["severity"]] and status in (0, 3, 4)
    assert f"exit status {status}" in capsys.readouterr().out and (tmp_path / "found" / "monitoring.html").exists()
    # Long after the log has ended, that it does not go on is an alarm.
    assert run(*watched, *kept, "--as-of", "2021-09-01", "--no-outcomes") == 4
    assert run(*watched, *kept, "--periods", "2", "--no-outcomes") in (0, 4)
    assert run(*watched, *kept, "--periods", "0") == 1
    with pytest.raises(SystemExit):
        main(["monitor", "--help"])
    assert "4 an alarm" in capsys.readouterr().out


def test_the_registry_keeps_versions(place, tmp_path, capsys):
    own = lambda *arguments: run("registry", tmp_path / "models", *arguments)
    assert own("list") == 0 and "no model is registered" in capsys.readouterr().out
    about = ("aps", "--problem", "account propensity", "--owner", "Ann")
    assert own("register", place / "run", *about, "--lineage", "features=abc") == 0
    assert own("register", place / "forest", *about, "--until", "2024-01-01") == 0
    assert "version 2 of 'aps', challenger" in capsys.readouterr().out
    registry = Registry(tmp_path / "models")
    assert registry.entry("aps").lineage == {"features": "abc"} and registry.entry("aps", 2).until == "2024-01-01"
    assert own("list") == 0 and "champion" in capsys.readouterr().out
    # Whoever wins, what is printed and what is in the history is the decision.
    assert own("challenge", "aps", place / "data", "--dry-run", "--measure", "brier", "--before", "2021-03-08") == 0
    printed = capsys.readouterr().out
    assert "brier: the challenger is" in printed and registry.aliases("aps") == {"champion": 1, "challenger": 2}
    assert own("promote", "aps", "--reason", "a try") == 0 and registry.aliases("aps") == {"champion": 2}
    assert own("revert", "aps", "--reason", "it was worse") == 0 and registry.aliases("aps")["champion"] == 1
    assert own("challenge", "aps", place / "data", "--challenger", "2", "--margin", "0.9") == 0
    assert "Keep the champion" in (printed := capsys.readouterr().out) and "Version 1 of 'aps'" in printed
    assert own("history", "aps") == 0
    assert "a try" in (printed := capsys.readouterr().out) and "version 2 was refused" in printed
    declared = ("--purpose", "who buys", "--owner", "Ann", "--model", "aps")
    assert own("declare", "APS", *declared) == 0 and own("scores") == 0
    assert "who buys" in capsys.readouterr().out
    assert own("verify") == 0 and "2 versions" in capsys.readouterr().out
    (tmp_path / "models" / "aps" / "v0001" / "config.json").chmod(0o644)
    (tmp_path / "models" / "aps" / "v0001" / "config.json").write_text("{}")
    assert own("verify") == 1 and "config.json was changed" in capsys.readouterr().err
    assert own("history", "nobody") == 1 and "no model is called 'nobody'" in capsys.readouterr().err
    assert own("register", place / "run", *about, "--lineage", "x") == 1 and "NAME=VALUE" in capsys.readouterr().err


def test_the_registry_copies_to_mlflow(place, tmp_path, monkeypatch, capsys):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    entry = Registry(tmp_path).register(place / "forest", "aps", problem="account propensity", owner="Ann")
    where = (tmp_path / "mlruns").as_uri()
    assert run("registry", tmp_path, "export-mlflow", "aps", where) == 0
    copied = capsys.readouterr().out.split("run ")[1].split()[0]
    assert mlflow.MlflowClient(where).get_run(copied).data.tags["hanjax.content"] == entry.content


def test_impact_says_what_priority_was_worth(capsys):
    assert run("impact", "--treated", "253/1,000", "--control", "200/1000", "--by-lot") == 0
    outcomes = np.arange(2000) % 1000 < np.repeat([253, 200], 1000)
    assert capsys.readouterr().out == f"{win_rate(outcomes, np.arange(2000) < 1000, randomized=True)}\n"
    assert run("impact", "--treated", "24/100", "--control", "12/100", "--measure", "open rate", "--ratio") == 0
    assert "2 times as much" in (printed := capsys.readouterr().out) and "not given by lot" in printed
    assert run("impact", "--required", "0.2", "1.265") == 0 and "978 with priority" in capsys.readouterr().out
    for wrong in (
        (),
        ("--treated", "1/2"),
        ("--treated", "3/2", "--control", "1/2"),
        ("--treated", "a", "--control", "1/2"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run("impact", *wrong)
