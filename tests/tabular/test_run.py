"""The folder of a tabular model, and everything else that takes runs: the same as for a network, or a clear no."""

import dataclasses
import io
import json
import shutil
import zipfile

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

import hanjax
from hanjax import checks
from hanjax.api import append_scores, leaderboard, write_report
from hanjax.api.evaluating import unseen_panel
from hanjax.api.fitting import prepare
from hanjax.errors import RunError
from hanjax.evaluation.calibration import probability
from hanjax.evaluation.metrics import auc
from hanjax.run import Run
from hanjax.scoring.export import export_scoring
from hanjax.scoring.scores import network_logits
from hanjax.tabular import Tabular, TabularRun, read_run
from hanjax.tabular import run as run_module
from tests import trained

MODELS = {
    "logistic_regression": Tabular(
        "logistic_regression", grid={"C": [0.1, 1.0]}, folds=2, components={"who": ["*members"]}
    ),
    "linear_regression": Tabular("linear_regression", task="regression"),
    "decision_tree": Tabular("decision_tree", options=dict(min_samples_leaf=4)),
    "random_forest": Tabular("random_forest", options=dict(n_estimators=3)),
    "gradient_boosting": Tabular(options=dict(max_iter=3, min_samples_leaf=5)),
    "neural_network": Tabular("neural_network", options=dict(max_iter=400, hidden_layer_sizes=[2], solver="lbfgs")),
    "xgboost": Tabular("xgboost", options=dict(n_estimators=3)),
}
TREES = ("decision_tree", "random_forest", "gradient_boosting", "xgboost")


def fitted(algorithm, folder=None, **settings):
    if algorithm == "xgboost":
        pytest.importorskip("xgboost")
    config = trained.CONFIG.replace(**settings)
    return hanjax.fit(trained.market(), folder, config=config, model=MODELS[algorithm])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with every file that there may be; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    fitted("logistic_regression", folder, calibration="platt", horizons=(1, 4))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("algorithm", MODELS)
def test_what_is_read_back_says_the_same(algorithm, tmp_path):
    run = fitted(algorithm, tmp_path / "run")
    again = hanjax.load(tmp_path / "run")
    assert type(again) is TabularRun and again.tabular == run.tabular and again.columns == run.columns
    assert again.encoding == run.encoding and again.metrics == run.metrics and again.library == run.library
    assert again.parts_of(run.split.index).tolist() == run.split.tolist() and again.fingerprint == run.fingerprint
    panel = hanjax.encode(trained.market(), run.config.panel, encoding=run.encoding)
    np.testing.assert_array_equal(again.logits(panel), run.logits(panel))
    assert repr(again) == repr(run) and algorithm in repr(run) and "validation AUC" in repr(run)
    again.write(tmp_path / "copy")
    copied = read_run(tmp_path / "copy")
    np.testing.assert_array_equal(copied.logits(panel), run.logits(panel))


def test_every_file_that_is_documented_is_there(written):
    documented = [line.split()[0].rstrip(";") for line in run_module.__doc__.splitlines()[2:] if line]
    models = [f"model-{h}-{c}.skops" for h in (1, 2) for c in (1, 2)]
    assert files(written) == sorted({*documented, *models} - {"model-H-C.skops"})
    run = read_run(written)
    assert run.search["chosen"].sum() == 1 and len(run.search) == 2 and len(run.calibrations) == 2
    assert "What was tried:" in run._repr_html_()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage"])
def test_damage_is_found_and_named(written, tmp_path, damage):
    for name in files(written):
        folder = shutil.copytree(written, tmp_path / name)
        content = (folder / name).read_bytes()
        if damage == "missing":
            (folder / name).unlink()
        else:
            garbage = np.random.default_rng(0).bytes(300)
            cut = content[: len(content) * 2 // 3] if name != "search.csv" else content[:10]
            (folder / name).write_bytes({"empty": b"", "truncated": cut, "garbage": garbage}[damage])
        with pytest.raises(RunError, match=name):
            hanjax.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: {**stored, "tabular": {**stored["tabular"], "algorithm": "svm"}},
        lambda stored: {**stored, "tabular": {**stored["tabular"], "wings": 2}},
        lambda stored: {**stored, "combinations": stored["combinations"][:1]},
        lambda stored: {**stored, "combinations": [{**one, "weights": [1.0]} for one in stored["combinations"]]},
        lambda stored: {**stored, "combinations": [{**one, "intercept": None} for one in stored["combinations"]]},
        lambda stored: {**stored, "columns": stored["columns"][1:]},
        lambda stored: {**stored, "aspects": stored["aspects"][:1]},
        lambda stored: 3,
    ],
)
def test_a_description_that_makes_no_sense_is_named(folder, change):
    path = folder / "tabular.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RunError, match="tabular.json"):
        hanjax.load(folder)


def test_models_that_do_not_belong_there_are_refused(folder, tmp_path):
    fitted("decision_tree", tmp_path / "tree")
    own = (folder / "model-1-1.skops").read_bytes()
    shutil.copy(tmp_path / "tree" / "model-1-1.skops", folder / "model-1-1.skops")
    with pytest.raises(RunError, match=r"model-1-1\.skops holds another model"):
        hanjax.load(folder)
    (folder / "model-1-1.skops").write_bytes((folder / "model-1-2.skops").read_bytes())  # other columns
    with pytest.raises(RunError, match=r"model-1-1\.skops holds another model"):
        hanjax.load(folder)
    (folder / "model-1-1.skops").write_bytes(own)
    hanjax.load(folder)


def test_a_type_that_no_model_has_is_not_made(folder):
    from skops import io as store

    (folder / "model-1-1.skops").write_bytes(store.dumps({"path": zipfile.Path, "f": shutil.rmtree}))
    with pytest.raises(RunError, match=r"holds what no model of hanjax does, and is not read: .*shutil\.rmtree"):
        hanjax.load(folder)


def altered_arrays(path, change):
    """Rewrites arrays of a skops file whose fields are those of a tree's nodes."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    count = 0
    for name, data in content.items():
        array = np.load(io.BytesIO(data), allow_pickle=False) if name.endswith(".npy") else None
        if array is not None and array.dtype.names and change(array):
            buffer, count = io.BytesIO(), count + 1
            np.save(buffer, array)
            content[name] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return count


@pytest.mark.parametrize("algorithm", TREES)
@pytest.mark.parametrize("field", ["child", "feature"])
def test_a_tree_that_points_outside_of_itself_is_refused(algorithm, field, tmp_path):
    """Compiled code would follow it to wherever that is."""
    fitted(algorithm, tmp_path / "run")
    if algorithm == "xgboost":
        path = tmp_path / "run" / "model-1-1.json"
        stored = json.loads(path.read_text())
        tree = stored["learner"]["gradient_booster"]["model"]["trees"][0]
        assert tree["left_children"][0] > 0
        tree["left_children" if field == "child" else "split_indices"][0] = 12345
        path.write_text(json.dumps(stored))
    else:
        path = tmp_path / "run" / "model-1-1.skops"

        def change(nodes):
            names = {"child": ("left_child", "left"), "feature": ("feature", "feature_idx")}[field]
            name = next((name for name in names if name in nodes.dtype.names), None)
            if name is None or not len(nodes):
                return False
            nodes[name][0] = 12345 if field == "feature" else 0  # a circle
            return True

        assert altered_arrays(path, change) > 0
    with pytest.raises(RunError, match=r"model-1-1\.\w+ is missing or damaged \(a node of a tree"):
        hanjax.load(tmp_path / "run")


def test_a_folder_of_one_kind_is_no_run_of_the_other(written):
    with pytest.raises(RunError, match="holds a model of another kind. Read it with `hanjax.load`"):
        Run.read(written)
    assert json.loads((written / "config.json").read_text())["format"] == "tabular 1"
    assert hanjax.Config.read(written / "config.json") == read_run(written).config


def test_an_untrained_one_cannot_score():
    run = dataclasses.replace(fitted("decision_tree"), models=())
    assert not run.trained
    with pytest.raises(RunError, match="no trained parameters"):
        hanjax.score(run, trained.market())
    with pytest.raises(RunError, match="no trained model"):
        run.logits(hanjax.encode(trained.market(), run.config.panel, encoding=run.encoding))


# Everything that takes a run


@pytest.fixture(scope="module")
def run():
    return fitted("logistic_regression")


def test_what_needs_a_network_says_so(run, tmp_path):
    no_network = "tabular model \\(logistic_regression\\): it has no network"
    for name in ("network", "params", "sizes"):
        with pytest.raises(RunError, match=no_network):
            getattr(run, name)
    for act in (
        lambda: export_scoring(run, tmp_path),
        lambda: checks.check_mask_invariance(run),
    ):
        with pytest.raises(RunError, match=no_network):
            act()
    with pytest.raises(RunError, match="influence: it is found with a network"):
        hanjax.rank(run, trained.market(), influence=3)
    with pytest.raises(RunError, match="the page shows what a network attends to"):
        write_report(run, trained.market(), tmp_path / "report.html")


def test_checks_are_those_that_apply(run):
    assert [verdict.name for verdict in checks.check_all(run, trained.market()) if verdict.passed] == [
        "check_split", "check_no_future",
    ]  # fmt: skip


def test_scores_are_laid_out_like_a_network_s(run):
    scores = hanjax.score(run, trained.market())
    head = ["account_id", "cutoff", "probability", "raw_score", "rank", "n_members", "attention"]
    assert list(scores.accounts)[: len(head)] == head
    assert list(scores.individuals) == [
        "account_id", "individual_id", "cutoff", "score", "share", "rank_in_account", "attention",
    ]  # fmt: skip
    ranking = hanjax.rank(run, trained.market())
    assert ranking.accounts["rank"].is_monotonic_increasing and "share" in ranking.individuals
    assert len(hanjax.allocate(ranking, capacity=2).query("action == 'call'")) == 2
    crossed = hanjax.crossings(run, trained.market(), threshold=0.01)
    assert len(crossed) > 0


def test_appended_scores_are_those_of_scoring_anew(run, tmp_path):
    tables = trained.market()
    early = tables.events["timestamp"].sort_values().iloc[len(tables.events) * 3 // 4]
    shorter = tables._replace(events=tables.events[tables.events["timestamp"] < early])
    append_scores(run, shorter, tmp_path)
    assert append_scores(run, tables, tmp_path).counts.unchanged < 24
    anew = hanjax.score(run, tables)
    for name, wanted in zip(("accounts", "individuals"), anew, strict=True):
        keys = [key for key in ("account_id", "individual_id", "cutoff") if key in wanted]
        found = pd.read_parquet(tmp_path / f"{name}.parquet").sort_values(keys).reset_index(drop=True)
        wanted = wanted.sort_values(keys).reset_index(drop=True)
        score = "probability" if name == "accounts" else "score"
        np.testing.assert_allclose(found[score], wanted[score], rtol=1e-9)
    other = dataclasses.replace(run, tabular=Tabular("logistic_regression"))
    with pytest.raises(RunError, match="of another model"):
        append_scores(other, tables, tmp_path)


@pytest.fixture(scope="module")
def network():
    """A network as it is before training."""
    made, _ = prepare(trained.market(), trained.CONFIG)
    made.params = made.network.init(jax.random.key(0))
    return made


def test_it_is_evaluated_and_compared_with_a_network(run, network, tmp_path):
    tables = trained.market()
    dataclasses.replace(run, metrics={}).write(tmp_path / "run")
    found = hanjax.evaluate(tmp_path / "run", tables, against=network)
    known = found.known
    assert found.metrics["auc"] == pytest.approx(float(auc(known["probability"], known["label"])))
    assert read_run(tmp_path / "run").metrics["test"]["auc"] == found.metrics["auc"]
    table = found.comparison.table.set_index("measure")
    assert found.comparison.trainings == (1, 1) and table.loc["auc", "first"] == pytest.approx(found.metrics["auc"])
    panel = unseen_panel(network, tables)
    label = panel.batch.label[:, 0]
    z = network_logits(panel, network.network, network.params)[0, ~np.isnan(label), 0]
    p = probability(z - np.log(network.positive_weight))
    assert table.loc["log_loss", "second"] == pytest.approx(log_loss(label[~np.isnan(label)], p))
    assert set(known["account_id"]) <= set(run.split.index[run.split == "test"])


def test_a_leaderboard_ranks_both_kinds_and_takes_folders(run, network, tmp_path):
    dataclasses.replace(run, metrics={}).write(tmp_path / "run")
    found = leaderboard({"network": network, "regression": tmp_path / "run"}, trained.market(), resamples=50)
    assert found.loc["network", "kind"] == "gru_attention"
    table = hanjax.evaluate(run, trained.market(), against=network).comparison.table.set_index("measure")
    for name, column in (("network", "second"), ("regression", "first")):
        for measure in ("auc", "average_precision", "brier"):
            assert found.loc[name, measure] == pytest.approx(table.loc[measure, column])
