"""The estimator is what scikit-learn takes it for, and its cross-validation cannot be had by the wrong split."""

import copy
import io
import os
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)

import hanjax
from hanjax.config import Config, ModelConfig, PanelConfig, TrainConfig
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.scorer import Samples, Scorer
from tests import trained

SETTINGS = {**trained.SIZES, **trained.WIDTHS, "validation": 0.3, "epochs": 2, "batch_size": 64}
SPLIT = StratifiedGroupKFold(2, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def sampled():
    return Scorer(**SETTINGS).samples(trained.market())


@pytest.fixture(scope="module")
def fitted(sampled):
    """Trained on one half of the accounts; which samples are the other half's."""
    X, y, groups = sampled
    train, test = next(SPLIT.split(X, y, groups))
    return Scorer(**SETTINGS).fit(X[train], y[train]), train, test


def test_the_parameters_are_the_settings():
    found = Scorer(learning_rate=0.5).get_params()
    expected = {**vars(PanelConfig()), **vars(ModelConfig()), **vars(TrainConfig()), "learning_rate": 0.5}
    assert found == {name: value for name, value in expected.items() if name not in ("test", "test_fold", "until")}
    assert repr(Scorer(epochs=3, horizons=(1, 4))) == "Scorer(epochs=3, horizons=(1, 4))"
    assert Scorer().set_params(epochs=7).config.train.epochs == 7 and Scorer().config.train.test == 0
    with pytest.raises(ConfigError, match="'epoch' is not among the settings; did you mean 'epochs'?"):
        Scorer(epoch=3)
    with pytest.raises(ConfigError, match="'test' is not among the settings"):
        Scorer(test=0.2)
    with pytest.raises(ConfigError, match="epochs: expected an integer of at least 1, got 0"):
        Scorer(epochs=0).fit(trained.market())


def test_a_configuration_gives_its_settings():
    scorer = Scorer.of(Config.recommended(), epochs=3)
    assert scorer.config == Config.recommended().replace(epochs=3, test=0)
    with pytest.raises(ConfigError, match="until: expected none, because .*, got '2021-03-01'"):
        Scorer.of(Config().replace(until="2021-03-01"))


def test_a_clone_has_the_settings_and_nothing_else(fitted):
    other = clone(fitted[0])
    assert other.get_params() == fitted[0].get_params() and not hasattr(other, "run_") and is_classifier(other)
    with pytest.raises(NotFittedError):
        other.predict(trained.market())


def test_rows_are_the_samples_whose_outcome_is_known(sampled):
    X, y, groups = sampled
    evaluated = hanjax.score(trained.trained(), trained.market()).accounts
    converted = trained.market().accounts.groupby("account_id")["converted_at"].max()
    assert len(X) == len(y) == len(groups) == X.shape[0] < len(evaluated)
    own = pd.Series(groups).map(converted).to_numpy()
    start = X.rows["cutoff"].to_numpy()
    np.testing.assert_array_equal(y == 1, (own >= start) & (own < start + pd.Timedelta(days=7)))
    assert y.sum() == converted.notna().sum() and set(groups) <= set(converted.index)
    assert repr(X) == f"Samples({len(X)} of {len(set(groups))} accounts, {y.sum()} conversions)"
    for key in ([4, 2], np.array([4, 2]), np.arange(len(X)) == 2, slice(2, 5), 3):
        rows = X.rows.iloc[[3] if key == 3 else key] if not isinstance(key, np.ndarray) else X.rows[["label"]].iloc[key]
        for found in (X[key], X[key, ...]):
            assert isinstance(found, Samples) and found.rows.index.tolist() == rows.index.tolist()
            assert found.tables is X.tables


def test_only_the_accounts_given_are_trained_on(sampled, fitted):
    X, y, groups = sampled
    scorer, train, test = fitted
    split = scorer.run_.split
    assert set(split.index[split != "test"]) == set(groups[train]) and not set(groups[train]) & set(groups[test])
    # Nothing of the others is read, but for their outcomes: the same model comes of unrecognizable ones.
    events = X.tables.events
    away = events["account_id"].isin(groups[test])
    events = events.assign(activity=events["activity"].astype(object).mask(away, "never seen"))
    again = clone(scorer).fit(Samples(X.tables._replace(events=events), X[train].rows), y[train])
    assert again.run_.encoding == scorer.run_.encoding and again.run_.fingerprint == scorer.run_.fingerprint
    np.testing.assert_array_equal(again.predict_proba(X[train]), scorer.predict_proba(X[train]))


def test_tables_are_trained_on_as_a_whole():
    scorer = Scorer(**SETTINGS).fit(trained.market())
    expected = hanjax.fit(trained.market(), config=trained.CONFIG.replace(test=0, opt_out_activity=None))
    assert set(scorer.run_.split) == {"train", "validation"}
    trained.assert_same_scores(scorer.scores(trained.market()), hanjax.score(expected, trained.market()))
    as_of = scorer.scores(trained.market(), as_of="2021-03-01").accounts["cutoff"].unique()
    assert [str(cutoff)[:10] for cutoff in as_of] == ["2021-02-28"]
    own = scorer.scores(trained.market()).accounts
    np.testing.assert_array_equal(scorer.predict_proba(trained.market())[:, 1], own["probability"])
    X, y, _ = scorer.samples(trained.market())
    assert scorer.score(trained.market()) == scorer.score(X, y) == scorer.score(X)


def test_predictions_stand_where_their_samples_do(sampled, fitted):
    X, y, _ = sampled
    scorer, _, test = fitted
    some = np.random.default_rng(0).permutation(test)[:20]
    scores = scorer.scores(X[some])
    assert scores.accounts["account_id"].tolist() == X.rows["account_id"].iloc[some].tolist()
    assert scores.accounts["cutoff"].tolist() == X.rows["cutoff"].iloc[some].tolist()
    whole = hanjax.score(scorer.run_, trained.market())
    keys = ["account_id", "cutoff"]
    expected = scores.accounts[keys].merge(whole.accounts, on=keys)
    found = scorer.predict_proba(X[some])
    np.testing.assert_allclose(found[:, 1], expected["probability"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    people = whole.individuals.merge(scores.accounts[keys], on=keys)
    assert len(scores.individuals) == len(people) > 20
    bold = copy.copy(scorer)
    bold.run_ = copy.copy(scorer.run_)
    bold.run_.positive_weight = 1.0  # so that some are above 1/2
    found = bold.predict(X)
    np.testing.assert_array_equal(found, bold.predict_proba(X)[:, 1] >= 0.5)
    assert set(found) == set(scorer.classes_) and scorer.classes_.tolist() == [0, 1]


def test_the_score_is_the_auc_that_evaluation_gives(sampled, fitted):
    X, y, _ = sampled
    scorer, _, test = fitted
    expected = roc_auc_score(y[test], scorer.predict_proba(X[test])[:, 1])
    assert scorer.score(X[test], y[test]) == scorer.score(X[test]) == pytest.approx(expected)
    assert hanjax.evaluate(scorer.run_, trained.market()).metrics["auc"] == pytest.approx(expected, abs=1e-9)
    assert scorer.score(X[test], 1 - y[test]) == pytest.approx(1 - expected)
    assert np.isnan(scorer.score(X[test][y[test] == 0]))


def test_cross_validation_measures_accounts_that_were_not_trained_on(sampled, fitted):
    X, y, groups = sampled
    scorer = Scorer(**SETTINGS)
    own = cross_val_score(scorer, X, y, groups=groups, cv=SPLIT)
    found = cross_validate(scorer, X, y, groups=groups, cv=SPLIT, scoring=["roc_auc", "neg_log_loss"])
    np.testing.assert_allclose(found["test_roc_auc"], own)
    assert own[0] == fitted[0].score(X[fitted[2]]) and np.isfinite(found["test_neg_log_loss"]).all()
    predicted = cross_val_predict(scorer, X, y, groups=groups, cv=SPLIT, method="predict_proba")
    np.testing.assert_allclose(predicted[fitted[2]], fitted[0].predict_proba(X[fitted[2]]))


@pytest.mark.slow
def test_a_search_compares_settings(sampled, fitted):
    X, y, groups = sampled
    search = GridSearchCV(Scorer(**SETTINGS), {"learning_rate": [1e-9, 0.01]}, cv=SPLIT, scoring="roc_auc")
    search.fit(X, y, groups=groups)
    found = [search.cv_results_["split0_test_score"][i] for i in (0, 1)]
    assert found[1] == pytest.approx(fitted[0].score(X[fitted[2]])) and found[0] != found[1]
    assert search.best_estimator_.config.train.learning_rate == search.best_params_["learning_rate"]
    assert search.predict_proba(X).shape == (len(X), 2) and "test" not in set(search.best_estimator_.run_.split)


def test_a_split_within_accounts_is_refused(sampled):
    X, y, _ = sampled
    message = r"X: \d+ of \d+ accounts are not there with all their samples, each once \(first: .*split by groups"
    for cv in (2, StratifiedKFold(3)):  # what scikit-learn does if it is told nothing
        with pytest.raises(DataError, match=message):
            cross_val_score(Scorer(**SETTINGS), X, y, cv=cv, error_score="raise")
    with pytest.raises(DataError, match="each once"):
        Scorer(**SETTINGS).fit(X[[*range(len(X)), 0]])


def test_other_outcomes_than_those_of_the_tables_are_refused(sampled):
    X, y, _ = sampled
    with pytest.raises(DataError, match="y: not the outcomes of these samples"):
        Scorer(**SETTINGS).fit(X, np.roll(y, 1))
    with pytest.raises(ConfigError, match="y: expected none beside tables, which hold the outcomes, got 'ndarray'"):
        Scorer(**SETTINGS).fit(trained.market(), y)


def test_samples_of_other_settings_are_refused(fitted):
    X, _, _ = Scorer(**SETTINGS, period="M").samples(trained.market())
    with pytest.raises(DataError, match=r"X: \d+ of \d+ samples are none under the settings of the model \(first: a"):
        fitted[0].predict(X)
    with pytest.raises(ConfigError, match="as_of: expected none beside samples"):
        fitted[0].scores(X, as_of="2021-03-01")


def test_accounts_that_are_left_out_have_no_say(sampled):
    """Numbers as ids, and an account without individuals: folds must name it, and nothing is trained on it."""
    number = {name: i for i, name in enumerate(sorted(trained.market().accounts["account_id"].unique()))}
    tables = [t if t is None else t.assign(account_id=t["account_id"].map(number)) for t in trained.market()]
    tables[2] = pd.concat([tables[2], pd.DataFrame({"account_id": [999]})], ignore_index=True)
    scorer = Scorer(**SETTINGS, strays="drop")
    X, y, groups = scorer.samples(hanjax.Tables(*tables))
    train, _ = next(SPLIT.split(X, y, groups))
    split = scorer.fit(X[train]).run_.split
    assert set(split.index[split != "test"]) == set(groups[train]) and 999 not in split.index


# Pickles


def test_a_pickle_gives_the_same_bits(sampled, fitted):
    X, _, _ = sampled
    scorer, _, _ = fitted
    for again in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert again.get_params() == scorer.get_params() and again.run_.folder is None
        trained.assert_same_scores(again.scores(X), scorer.scores(X))
        pd.testing.assert_frame_equal(again.run_.history, scorer.run_.history, check_exact=True)
        assert again.run_.metrics == scorer.run_.metrics
    assert scorer.run_.folder is None
    bare = pickle.loads(pickle.dumps(Scorer(epochs=5)))
    assert bare.epochs == 5 and not hasattr(bare, "run_")


class Plain(pickle.Unpickler):
    """Notes what a pickle imports."""

    found: set

    def find_class(self, module, name):
        self.found.add(f"{module}.{name}")
        return super().find_class(module, name)


def test_a_pickle_imports_the_class_and_nothing_else(fitted):
    unpickler = Plain(io.BytesIO(pickle.dumps(fitted[0])))
    unpickler.found = set()
    assert unpickler.load().run_.params is not None
    assert unpickler.found <= {"hanjax.scorer.Scorer", "copyreg._reconstructor", "builtins.object"}


class Trap:
    """Would leave a folder behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_parameters_that_are_a_pickle_are_refused(fitted, tmp_path):
    state, planted = fitted[0].__getstate__(), io.BytesIO()
    np.savez(planted, weight=np.array([Trap(tmp_path / "sprung")], object))
    state["run_"]["model.npz"] = planted.getvalue()
    with pytest.raises(RunError, match=r"model\.npz is damaged"):
        Scorer().__setstate__(state)
    assert not (tmp_path / "sprung").exists()
    with np.load(io.BytesIO(planted.getvalue()), allow_pickle=True) as file:
        file["weight"]
    assert (tmp_path / "sprung").exists()  # so it would have sprung


def test_it_is_shown_in_a_notebook():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "learning_rate" in Scorer(learning_rate=0.5)._repr_html_()
