"""Training against scikit-learn and XGBoost themselves, on the same matrix."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn import ensemble, linear_model, metrics, neural_network, tree
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

import hanjax
from hanjax.api.fitting import encode_training
from hanjax.data.splits import deal, deal_accounts
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.evaluation.calibration import apply_calibration, fit_calibration
from hanjax.tabular import Tabular
from hanjax.tabular.estimators import EDGE, fit_estimator, log_odds, make_estimator
from hanjax.tabular.matrix import matrix_of
from hanjax.tabular.training import train
from tests import trained

FOREST = dict(n_estimators=5, max_depth=3)
BOOSTED = dict(max_iter=5, min_samples_leaf=10)
NEURAL = dict(hidden_layer_sizes=[3], solver="lbfgs", alpha=10.0, max_iter=2000)
LEAF = dict(min_samples_leaf=4, max_depth=4)
XGBOOST = dict(n_estimators=5, max_depth=2)


def scaled(kind, **given):
    return lambda seed: make_pipeline(StandardScaler(), kind(**given, **seed))


def xgboosted(name):
    given = dict(learning_rate=0.03, reg_lambda=5.0, n_jobs=1)
    return lambda seed: getattr(pytest.importorskip("xgboost"), name)(**given, **XGBOOST, **seed)


CASES = {
    ("logistic_regression", "classification"): (
        {}, lambda _: scaled(linear_model.LogisticRegression, max_iter=1000)({})),
    ("linear_regression", "regression"): ({}, lambda _: scaled(linear_model.LinearRegression)({})),
    ("decision_tree", "classification"): (
        LEAF, lambda seed: tree.DecisionTreeClassifier(**LEAF, **seed)),
    ("decision_tree", "regression"): (
        LEAF, lambda seed: tree.DecisionTreeRegressor(**LEAF, **seed)),
    ("random_forest", "classification"): (
        FOREST, lambda seed: ensemble.RandomForestClassifier(min_samples_leaf=5, **FOREST, **seed)),
    ("random_forest", "regression"): (
        FOREST, lambda seed: ensemble.RandomForestRegressor(min_samples_leaf=5, **FOREST, **seed)),
    ("gradient_boosting", "classification"): (
        BOOSTED,
        lambda seed: ensemble.HistGradientBoostingClassifier(
            learning_rate=0.03, max_leaf_nodes=8, l2_regularization=5.0, **BOOSTED, **seed)),
    ("gradient_boosting", "regression"): (
        BOOSTED,
        lambda seed: ensemble.HistGradientBoostingRegressor(
            learning_rate=0.03, max_leaf_nodes=8, l2_regularization=5.0, **BOOSTED, **seed)),
    ("neural_network", "classification"): (NEURAL, scaled(neural_network.MLPClassifier, **NEURAL)),
    ("neural_network", "regression"): (NEURAL, scaled(neural_network.MLPRegressor, **NEURAL)),
    ("xgboost", "classification"): (XGBOOST, xgboosted("XGBClassifier")),
    ("xgboost", "regression"): (XGBOOST, xgboosted("XGBRegressor")),
}  # fmt: skip


def given():
    """Matrix, labels and accounts of the training samples, and what they come from."""
    found = encode_training(trained.market(), trained.CONFIG)
    matrix = matrix_of(found.panel, found.encoding, trained.CONFIG.panel)[found.training]
    label = found.panel.batch.label[found.training].astype(float)
    return matrix, label, found.panel.samples["account_id"].to_numpy()[found.training], found


def said(model, table):
    found = model.predict_proba(table)[:, 1] if hasattr(model, "predict_proba") else model.predict(table)
    return np.clip(found.astype(float), EDGE, 1 - EDGE)


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=["-".join(name) for name in CASES])
def test_each_model_says_what_the_library_says(name, case):
    (algorithm, task), (options, make) = name, case
    model = make({"random_state": 7})
    tabular = Tabular(algorithm, task=task, options=options, seed=7)
    run = hanjax.fit(trained.market(), config=trained.CONFIG, model=tabular)
    matrix, label, _, _ = given()
    known = ~np.isnan(label[:, 0])
    table = matrix.to_numpy(float)
    model.fit(table[known], label[known, 0].astype(int) if task == "classification" else label[known, 0])
    panel = hanjax.encode(trained.market(), trained.CONFIG.panel, encoding=run.encoding)
    expected = said(model, run.matrix(panel).to_numpy(float))
    scores = hanjax.score(run, trained.market()).accounts
    np.testing.assert_allclose(scores["probability"], expected, rtol=1e-6)
    np.testing.assert_allclose(scores["raw_score"], expected, rtol=1e-6)
    assert len(np.unique(expected)) > 2 and tuple(matrix) == run.columns
    assert run.metrics["validation"]["auc"] == pytest.approx(
        metrics.roc_auc_score(*validation(run, panel, expected)), abs=1e-12
    )


def validation(run, panel, score):
    label = panel.batch.label[:, 0]
    rows = (run.parts_of(panel.samples["account_id"]) == "validation") & ~np.isnan(label)
    return label[rows], score[rows]


def test_an_individual_s_score_is_that_of_a_group_of_one():
    run = hanjax.fit(trained.market(), config=trained.CONFIG, model=Tabular("logistic_regression"))
    panel = hanjax.encode(trained.market(), run.config.panel, encoding=run.encoding)
    scores = hanjax.score(run, trained.market())
    lonely = panel.samples["n_members"].to_numpy() == 1
    keys = ["account_id", "cutoff"]
    both = scores.individuals.merge(scores.accounts[lonely], on=keys)
    assert len(both) == lonely.sum() > 3
    np.testing.assert_allclose(both["score"], both["probability"], rtol=1e-12)
    assert scores.individuals["share"].isna().all() and np.isnan(np.stack(scores.accounts["attention"])).all()


def test_every_horizon_has_a_model_of_its_own():
    config = trained.CONFIG.replace(horizons=(1, 4))
    run = hanjax.fit(trained.market(), config=config, model=Tabular("logistic_regression"))
    found = encode_training(trained.market(), config)
    label, table = found.panel.batch.label, run.table(found.panel)
    scores = hanjax.score(run, trained.market()).accounts
    assert len(run.models) == 2 and (scores["probability_within_4"] != scores["probability"]).all()
    for h in range(2):
        known = found.training & ~np.isnan(label[:, h])
        model = scaled(linear_model.LogisticRegression, max_iter=1000)({}).fit(table[known], label[known, h])
        np.testing.assert_allclose(expit(run.logits(found.panel)[:, h]), said(model, table), rtol=1e-6)
    assert label[found.training, 1][~np.isnan(label[found.training, 1])].mean() > np.nanmean(label[found.training, 0])


def test_the_grid_is_compared_on_whole_accounts_that_were_kept_out():
    matrix, label, accounts, _ = given()
    tabular = Tabular("decision_tree", grid={"max_depth": [1, 4], "min_samples_leaf": [5, 60]}, folds=3, seed=2)
    found = train(tabular, matrix, label, accounts)
    known = ~np.isnan(label[:, 0])
    table, y = matrix.to_numpy(float)[known], label[known, 0].astype(int)
    part = deal(accounts[known], y == 1, 3, seed=2)
    assert pd.Series(part).groupby(accounts[known]).nunique().max() == 1
    for row in found.search.itertuples():
        model = tree.DecisionTreeClassifier(
            max_depth=row.max_depth, min_samples_leaf=row.min_samples_leaf, random_state=2
        )
        p = cross_val_predict(model, table, y, cv=PredefinedSplit(part), method="predict_proba")[:, 1]
        p = np.clip(p, EDGE, 1 - EDGE)
        assert row.log_loss == pytest.approx(metrics.log_loss(y, p)) and row.auc == pytest.approx(
            metrics.roc_auc_score(y, p)
        )
    best = found.search.loc[found.search["chosen"]].iloc[0]
    assert len(found.search) == 4 and best["log_loss"] == found.search["log_loss"].min()
    chosen = found.models[0].estimators[0]
    assert (chosen.max_depth, chosen.min_samples_leaf) == (best["max_depth"], best["min_samples_leaf"])
    by_area = dataclasses.replace(tabular, choose_by="auc", jobs=2)
    by_area = train(by_area, matrix, label, accounts).search
    pd.testing.assert_frame_equal(by_area.drop(columns="chosen"), found.search.drop(columns="chosen"))
    assert by_area.loc[by_area["chosen"], "auc"].iloc[0] == by_area["auc"].max()


def test_the_grid_counts_an_outcome_of_a_half_as_a_conversion():
    table, label = np.arange(40.0)[:, None], np.repeat([0.0, 0.5], 20)
    tabular = Tabular("decision_tree", grid={"max_depth": [1]}, folds=2)
    found = train(tabular, pd.DataFrame(table), label[:, None], np.arange(40))
    part, logit = deal(np.arange(40), label > 0, 2, seed=0), np.empty(40)
    for kept in (part == 0, part == 1):
        logit[kept] = log_odds(fit_estimator(Tabular("decision_tree"), table[~kept], label[~kept]), table[kept])
    assert found.search["auc"].iloc[0] == pytest.approx(metrics.roc_auc_score(label > 0, logit))


def test_validation_counts_an_outcome_of_a_half_as_a_conversion():
    rows = trained.panel().samples[["account_id", "cutoff"]].rename(columns={"cutoff": "as_of"})
    tables = trained.market()._replace(outcomes=rows.assign(label=trained.panel().batch.label[:, 0] / 2))
    run = hanjax.fit(tables, config=trained.CONFIG, model=Tabular("decision_tree", options=LEAF))
    panel = encode_training(tables, trained.CONFIG).panel
    halves, said_of_them = validation(run, panel, run.logits(panel)[:, 0])
    assert set(halves) == {0, 0.5}
    assert run.metrics["validation"]["auc"] == pytest.approx(metrics.roc_auc_score(halves > 0, said_of_them))


def test_the_grid_s_threads_leave_the_process_its_cores(monkeypatch):
    """Threads that set and restore a limit of the whole process for themselves may restore each other's."""
    blas = lambda: [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
    found = []

    def fit(*args, **how):
        found.append(blas())
        return fit_estimator(*args, **how)

    monkeypatch.setattr("hanjax.tabular.training.fit_estimator", fit)
    matrix, label, accounts, _ = given()
    grid = {"max_depth": [1, 2]}
    with threadpool_limits(2, user_api="blas"):
        before = blas()
        train(Tabular("decision_tree", grid=grid, folds=2, jobs=2), matrix, label, accounts)
        assert blas() == before
    assert found == [[1] * len(before)] * 4 + [before]  # the chosen one is trained alone


@pytest.mark.parametrize("cross", [False, True])
def test_calibration_is_learned_from_what_the_model_has_not_learned_from(cross):
    config = trained.CONFIG.replace(calibration="platt", cross_validation=cross, ensemble=3 if cross else 1)
    run = hanjax.fit(trained.market(), config=config, model=Tabular("logistic_regression"))
    found = encode_training(trained.market(), config)
    label, table = found.panel.batch.label[:, 0], run.table(found.panel)
    known = ~np.isnan(label)
    make = scaled(linear_model.LogisticRegression, max_iter=1000)
    if cross:
        assert found.training.all()
        part = deal_accounts(found.panel, 3, seed=config.train.seed_of_split)
        logit = np.empty(len(table))
        for one in range(3):
            rows = known & (part != one)
            logit[part == one] = make({}).fit(table[rows], label[rows]).decision_function(table[part == one])
        kept = known
    else:
        rows, kept = found.training & known, ~found.training & known
        logit = make({}).fit(table[rows], label[rows]).decision_function(table)
    logit = np.clip(logit, *np.log([EDGE, 1 / EDGE]))
    expected = fit_calibration(logit[kept], label[kept], "platt")
    assert run.calibrations[0].slope == pytest.approx(expected.slope, rel=1e-4)
    assert run.metrics["validation"]["auc"] == pytest.approx(metrics.roc_auc_score(label[kept], logit[kept]))
    scores = hanjax.score(run, trained.market()).accounts
    z = np.log(scores["raw_score"]) - np.log1p(-scores["raw_score"])
    np.testing.assert_allclose(scores["probability"], apply_calibration(run.calibrations[0], z), rtol=1e-9)
    if cross:
        again = hanjax.calibrate(run, trained.market(), method="platt")
        assert again.calibrations[0].slope == pytest.approx(run.calibrations[0].slope, rel=1e-9)


def test_an_outcome_in_between_is_both_with_its_share():
    random = np.random.default_rng(0)
    table, label = random.normal(size=(60, 2)), random.choice([0.0, 0.25, 1.0], 60)
    own = fit_estimator(Tabular("decision_tree", options=dict(max_depth=2, min_samples_leaf=1)), table, label)
    rows = np.repeat(np.arange(60), 4)
    hard = (np.tile(np.arange(4), 60) < np.repeat(4 * label, 4)).astype(int)
    expected = tree.DecisionTreeClassifier(max_depth=2, random_state=0).fit(table[rows], hard)
    np.testing.assert_allclose(expit(log_odds(own, table)), said(expected, table), rtol=1e-9)
    piped = fit_estimator(Tabular("logistic_regression"), table, label)
    assert piped[-1].coef_.shape == (1, 2)


def test_an_outcome_in_between_makes_no_two_samples_of_those_that_are_sure():
    """Gradient boosting counts rows in its leaves, whatever they weigh."""
    random = np.random.default_rng(0)
    table = random.normal(size=(70, 1))
    label = np.append(0.25, (table[1:, 0] + random.normal(size=69) > 0).astype(float))
    options = dict(min_samples_leaf=20, max_iter=5, learning_rate=0.1)
    own = fit_estimator(Tabular("gradient_boosting", options=options), table, label)
    expected = ensemble.HistGradientBoostingClassifier(max_leaf_nodes=8, l2_regularization=5.0, **options).fit(
        np.append(table, table[:1], axis=0),
        np.append(label > 0.5, True),
        sample_weight=np.concatenate([[0.75], np.ones(69), [0.25]]),
    )
    np.testing.assert_allclose(expit(log_odds(own, table)), said(expected, table), rtol=1e-9)


def test_the_accounts_of_the_test_change_nothing():
    tables = trained.market()
    run = hanjax.fit(tables, config=trained.CONFIG, model=Tabular("logistic_regression"))
    test = run.split.index[run.split == "test"]
    other = tables.events.copy()
    other.loc[other["account_id"].isin(test), "activity"] = "something else"
    again = hanjax.fit(tables._replace(events=other), config=trained.CONFIG, model=Tabular("logistic_regression"))
    assert again.fingerprint == run.fingerprint and again.metrics == run.metrics
    panel = hanjax.encode(tables, run.config.panel, encoding=run.encoding)
    np.testing.assert_array_equal(again.logits(panel), run.logits(panel))


def test_one_outcome_alone_is_no_training():
    table = np.arange(10.0)[:, None]
    for label in (np.zeros(10), np.ones(10), np.zeros(0)):
        with pytest.raises(DataError, match=f"all {len(label)} samples to learn from have the same outcome"):
            fit_estimator(Tabular("decision_tree"), table[: len(label)], label)
    one = np.append(1.0, np.zeros(9))[:, None]
    with pytest.raises(DataError, match="1 of 10 training accounts convert"):
        train(Tabular("decision_tree", grid={"max_depth": [1]}), pd.DataFrame(table), one, np.arange(10))
    assert (
        len(log_odds(fit_estimator(Tabular("decision_tree", task="regression"), table, np.zeros(10)), table[:0])) == 0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(algorithm="logistic_regression", task="regression"), "task: expected the other one"),
        (dict(algorithm="linear_regression"), "task: expected the other one"),
        (dict(algorithm="svm"), "algorithm: expected one of"),
        (dict(options={"random_state": np.random.default_rng(0)}), "options: .*run folder can hold"),
        (dict(grid={"max_depth": 3}), r"grid\['max_depth'\]: expected a list"),
        (dict(grid={"max_depth": [3]}, options={"max_depth": 2}), "grid: expected parameters that `options` does not"),
        (dict(components={"a": [1]}), r"components\['a'\]: expected names or patterns"),
        (dict(components={"a": []}), r"components\['a'\]: expected a list, not empty"),
        (dict(weights={"a": 1.0}), "weights: expected none, as there are no components"),
        (dict(components={"a": ["x"]}, weights={"a": "much"}), r"weights\['a'\]: expected a number"),
        (dict(components={"a": ["x"]}, weights={"a": -1}, combine="probability"), "a number, 0 at least"),
        (dict(components={"a": ["x"]}, weights={"a": 0}, combine="probability"), "one above 0"),
        (dict(folds=1), "folds: expected 2 at least"),
        (dict(jobs=0), "jobs: expected at least 1, or -1"),
        (dict(seed=-1), "seed: expected"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Tabular(**change)


def test_parameters_that_the_library_does_not_know_are_named():
    with pytest.raises(
        ConfigError, match="'max_dept' is not among the parameters of RandomForestClassifier; did you me"
    ):
        make_estimator(Tabular("random_forest", options={"max_dept": 3}))
    with pytest.raises(ConfigError, match="decision_tree: it cannot be trained with these parameters"):
        fit_estimator(Tabular("decision_tree", options={"max_depth": -3}), np.eye(4), np.array([0, 1, 0, 1.0]))
    matrix, label, accounts, _ = given()
    with pytest.raises(ConfigError, match="'depth' is not among"):
        train(Tabular("decision_tree", grid={"depth": [1, 2]}), matrix, label, accounts)


def test_xgboost_that_is_not_there_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ConfigError, match=r'pip install "hanjax\[tabular\]"'):
        hanjax.fit(trained.market(), config=trained.CONFIG, model=Tabular("xgboost"))


def test_a_folder_is_not_overwritten_and_nothing_is_resumed(tmp_path):
    hanjax.fit(trained.market(), tmp_path / "run", config=trained.CONFIG, model=Tabular("decision_tree"))
    with pytest.raises(RunError, match="already holds a run"):
        hanjax.fit(trained.market(), tmp_path / "run", config=trained.CONFIG, model=Tabular("decision_tree"))
    with pytest.raises(RunError, match="resume: a tabular model is trained at once"):
        hanjax.fit(trained.market(), tmp_path / "new", config=trained.CONFIG, model=Tabular(), resume=True)


@pytest.mark.slow  # a process of its own
def test_scikit_learn_is_imported_when_something_is_trained():
    code = (
        "import sys, hanjax.api, hanjax.tabular; print(*{'sklearn', 'skops', 'xgboost', 'joblib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
