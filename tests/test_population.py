"""Populations through the front door: equal to models trained alone, resumable, ranked, and one as an ensemble."""

import shutil

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax import population as module
from hanjax.data.splits import VALIDATION
from hanjax.errors import ConfigError, RunError
from hanjax.evaluation.intervals import auc_interval
from hanjax.options import varied
from hanjax.population import combinations, fit_population
from tests import trained

CONFIG = trained.CONFIG.replace(epochs=2)
VARY = {"learning_rate": [0.01, 0.003], "dropout": [0.0, 0.3]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("population") / "all"


@pytest.fixture(scope="module")
def population(folder):
    return fit_population(trained.market(), VARY, folder, config=CONFIG.replace(aggregator="mean_log_odds"))


def test_every_model_equals_the_same_trained_alone(population):
    table = population.table
    assert table[list(VARY)].to_numpy().tolist() == [[0.01, 0.0], [0.01, 0.3], [0.003, 0.0], [0.003, 0.3]]
    for place in (0, 3):
        run = population.runs[place]
        alone = hanjax.fit(trained.market(), config=run.config)
        pd.testing.assert_series_equal(run.split, alone.split)
        for name in ("loss", "validation_auc"):
            np.testing.assert_allclose(run.history[name], alone.history[name], rtol=1e-4)
        auc = alone.metrics["validation"]["auc"]
        assert table.loc[place, "validation_auc"] == pytest.approx(auc, abs=1e-6)
        assert table.loc[place, "epochs"] == 2 and table.loc[place, "error"] is None


def test_intervals_are_of_the_validation_accounts(population):
    run = population.runs[1]
    tables = trained.market()
    panel = trained.encoded(tables, run.encoding)
    scores = hanjax.score(run, tables, raw=True).accounts
    rows = (run.split.loc[panel.samples["account_id"]].to_numpy() == VALIDATION) & ~np.isnan(panel.batch.label[:, 0])
    # Ids in another order would be drawn as other resamples.
    order, _ = pd.factorize(scores["account_id"][rows])
    found = auc_interval(scores["probability"].to_numpy()[rows], panel.batch.label[rows, 0], order)
    got = population.table.loc[1, ["validation_auc", "low", "high"]].tolist()
    np.testing.assert_allclose(got, [found.value, found.low, found.high], atol=1e-6)


def test_the_best_and_the_ranking(population):
    ranked = population.ranking["validation_auc"].tolist()
    assert ranked == sorted(ranked, reverse=True)
    assert population.best is population.runs[population.table["validation_auc"].argmax()]
    assert repr(population).startswith("Population of 4 models; the best by validation:")


def test_the_ensemble_answers_with_the_mean_of_log_odds(population):
    tables = trained.market()
    runs = [population.runs[place] for place in population.ranking.index[:3]]
    logits = [hanjax.score(run, tables).accounts["probability"].map(lambda p: np.log(p / (1 - p))) for run in runs]
    together = population.ensemble(3)
    got = hanjax.score(together, tables).accounts["probability"]
    np.testing.assert_allclose(np.log(got / (1 - got)), np.mean(logits, axis=0), atol=1e-4)
    assert hanjax.score(population.ensemble(1), tables).accounts.equals(hanjax.score(population.best, tables).accounts)


def test_what_is_there_is_taken_and_the_rest_is_trained(population, folder, tmp_path, monkeypatch):
    again = folder.parent / "again"
    shutil.copytree(folder, again)
    shutil.rmtree(again / "002")
    trained_here = []
    fit = module.fit_members
    monkeypatch.setattr(module, "fit_members", lambda *args, **more: trained_here.append(args[4]) or fit(*args, **more))
    config = CONFIG.replace(aggregator="mean_log_odds")
    with pytest.raises(RunError, match="resume"):
        fit_population(trained.market(), VARY, again, config=config)
    resumed = fit_population(trained.market(), VARY, again, config=config, resume=True)
    assert [len(members) for members in trained_here] == [1]
    pd.testing.assert_frame_equal(resumed.table, population.table, rtol=1e-5)
    stored = pd.read_csv(again / "table.csv", index_col="model")
    np.testing.assert_allclose(stored["validation_auc"], population.table["validation_auc"], rtol=1e-5)
    with pytest.raises(RunError, match=r"001.*dropout was 0.3"):
        fit_population(trained.market(), {**VARY, "dropout": [0.0, 0.4]}, again, config=config, resume=True)


def test_without_validation_accounts_there_is_no_best_one():
    table = pd.DataFrame({"validation_auc": [np.nan, np.nan], "error": [None, None]})
    population = hanjax.Population(table, (trained.trained(), trained.trained()))
    with pytest.raises(RunError, match="`validation`"):
        _ = population.best
    assert population.ensemble().config.train.ensemble == 2


@pytest.mark.slow
def test_one_that_fails_is_told_and_can_be_tried_again():
    config = CONFIG.replace(aggregator="mean_log_odds")
    population = fit_population(trained.market(), {"learning_rate": [0.01, 1e38]}, config=config)
    assert population.runs[1] is None and "smaller learning_rate" in population.table.loc[1, "error"]
    assert population.best is population.runs[0] and "1 of them failed" in repr(population)


def test_other_shapes_and_other_splits_are_groups_of_their_own(monkeypatch):
    groups = []

    def noted(batch, *args, **more):
        groups.append((len(args[3]), batch))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit_members", noted)
    for vary, size in (({"seed": [0, 1]}, 2), ({"batch_size": [32, 64]}, 1), ({"split_seed": [0, 1]}, 1)):
        with pytest.raises(KeyboardInterrupt):
            fit_population(trained.market(), vary, config=CONFIG)
        assert groups[-1][0] == size
    with pytest.raises(KeyboardInterrupt):
        fit_population(trained.market(), {"seed": range(5)}, config=CONFIG, together=3)
    assert groups[-1][0] == 3


@pytest.mark.parametrize(
    ("vary", "says"),
    [
        ({}, "nothing to vary"),
        ({"seed": []}, "nothing to vary"),
        ({"seed": 3}, "seed: expected several values"),
        ({"aggregator": "maximum"}, "aggregator: expected several values"),
    ],
)
def test_what_varies_nothing_is_refused(vary, says):
    with pytest.raises(ConfigError, match=says):
        list(combinations(vary))


def test_a_setting_that_does_not_exist_is_refused_before_anything_is_read():
    with pytest.raises(ConfigError, match="'learning_rat'.*learning_rate"):
        fit_population("nowhere", {"learning_rat": [0.1]})


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("seed=2..4", ("seed", [2, 3, 4])),
        ("positive-weight=none, 500", ("positive_weight", [None, 500.0])),
        ("horizons=1;1,4,13", ("horizons", [(1,), (1, 4, 13)])),
        ("aggregator=maximum,gru", ("aggregator", ["maximum", "gru"])),
        ("account_head=true,false", ("account_head", [True, False])),
    ],
)
def test_values_on_the_command_line(text, meant):
    assert varied(text) == meant


@pytest.mark.parametrize("text", ["seed", "seed=", "nonsense=1", "seed=a", "account_head=maybe"])
def test_values_that_are_none(text):
    with pytest.raises(ConfigError, match=text.partition("=")[0]):
        varied(text)


def test_devices_that_are_not_there_are_refused_before_anything_is_read():
    with pytest.raises(ConfigError, match="devices: expected 1 to .* got 99"):
        fit_population("no such folder", {"seed": [0, 1]}, devices=99)
