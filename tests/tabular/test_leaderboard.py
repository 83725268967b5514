"""The leaderboard: the same samples for all, figures against scikit-learn and the evaluation, paired differences."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

import hanjax
from hanjax.api import leaderboard
from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.comparison import compare
from hanjax.evaluation.lift import lift, tiers
from hanjax.tabular import Tabular


@pytest.fixture(scope="module")
def market():
    return hanjax.simulate(accounts=120, weeks=20, conversions=0.4, seed=3).tables


CONFIG = hanjax.Config().replace(test=0.4, validation=0.0, seed=1)


@pytest.fixture(scope="module")
def runs(market):
    fit = lambda model: hanjax.fit(market, config=CONFIG, model=model)
    return {
        "regression": fit(Tabular("logistic_regression", options={"C": 0.01})),
        "tree": fit(Tabular("decision_tree", options={"max_depth": 2})),
        "size": fit(Tabular("linear_regression", task="regression", options={})),
    }


def scored(run, market):
    return hanjax.evaluate(dataclasses.replace(run, metrics={}), market)


def test_figures_are_those_of_the_evaluation_and_of_scikit_learn(runs, market):
    found = leaderboard(runs, market, resamples=300)
    assert found["auc"].is_monotonic_decreasing and set(found.index) == set(runs) and found.index.name == "model"
    assert found.loc["tree", "kind"] == "decision_tree" and (found["left_out"] == 0).all()
    for name, run in runs.items():
        evaluation, row = scored(run, market), found.loc[name]
        y, p = evaluation.known["label"], evaluation.known["probability"]
        assert row["samples"] == len(y) and row["conversions"] == y.sum() > 5
        assert row["accounts"] == evaluation.known["account_id"].nunique()
        assert row["auc"] == pytest.approx(roc_auc_score(y, p))
        assert row["average_precision"] == pytest.approx(average_precision_score(y, p))
        assert row["log_loss"] == pytest.approx(log_loss(y, p))
        assert row["brier"] == pytest.approx(brier_score_loss(y, p))
        given = evaluation.known[["probability", "label", "account_id", "cutoff"]]
        top = lift(*(given[c].array for c in given), resamples=300).iloc[0]
        for own, wanted in (("top", "lift"), ("top_low", "low"), ("top_high", "high")):
            assert row[own] == pytest.approx(top[wanted])
        tier = pd.Series(tiers(p.to_numpy(), given["cutoff"].array)).map({"High": 2, "Medium": 1, "Low": 0})
        assert row["all_tiers"] == pytest.approx(roc_auc_score(y, tier))
        intervals = evaluation.intervals(resamples=300).set_index("measure")
        for measure in ("auc", "average_precision", "log_loss", "brier"):
            assert row[f"{measure}_low"] == pytest.approx(intervals.loc[measure, "low"])
            assert row[f"{measure}_high"] == pytest.approx(intervals.loc[measure, "high"])


@pytest.mark.parametrize("measure", ["auc", "log_loss", "top", "all_tiers"])
def test_differences_are_paired_and_to_the_best(runs, market, measure):
    found = leaderboard(runs, market, measure=measure, resamples=300)
    values = found[measure].to_numpy()
    assert values[0] == (values.min() if measure == "log_loss" else values.max())
    np.testing.assert_allclose(found["difference"], values - values[0])
    assert found["difference"].iloc[0] == 0 == found["difference_low"].iloc[0] and found["p"].iloc[0] == 1
    assert (found["difference_low"][1:] < found["difference"][1:]).all()
    if measure in ("auc", "log_loss"):
        best, last = (scored(runs[found.index[i]], market).known for i in (0, -1))
        table = compare(
            last["probability"], best["probability"], last["label"], last["account_id"], measures=[measure],
            resamples=300,
        ).iloc[0]  # fmt: skip
        for own, wanted in (("difference", "difference"), ("difference_low", "low"), ("p", "p")):
            assert found[own].iloc[-1] == pytest.approx(table[wanted], abs=1e-9)


def test_only_samples_that_no_model_has_seen_count(runs, market):
    other = hanjax.fit(market, config=CONFIG.replace(seed=9), model=Tabular("decision_tree"))
    found = leaderboard({"one": runs["tree"], "two": other}, market, resamples=100)
    unseen = [set(run.split.index[run.split == "test"]) for run in (runs["tree"], other)]
    assert found["accounts"].iloc[0] <= len(unseen[0] & unseen[1]) < len(unseen[0]) and (found["left_out"] > 0).all()
    apart = dataclasses.replace(runs["tree"])
    apart.split = runs["tree"].split.replace({"test": "train", "train": "test"})
    with pytest.raises(DataError, match="no sample with a known outcome is unseen by all of them"):
        leaderboard({"one": runs["tree"], "two": apart}, market)


def test_outcomes_that_differ_are_not_compared(runs, market):
    four = hanjax.fit(market, config=CONFIG.replace(horizons=(4,)), model=Tabular("decision_tree"))
    with pytest.raises(DataError, match="samples.label: differs between 'one' and 'four'"):
        leaderboard({"one": runs["tree"], "four": four}, market)


def test_without_conversions_nothing_is_claimed(runs, market):
    never = market._replace(accounts=market.accounts.assign(converted_at=pd.NaT))
    found = leaderboard({"tree": runs["tree"]}, never, resamples=20)
    assert found[["auc", "top", "all_tiers", "auc_low", "difference"]].isna().all(axis=None)
    assert found["conversions"].iloc[0] == 0 and found["log_loss"].iloc[0] > 0


def test_what_cannot_be_ranked(runs, market):
    with pytest.raises(ConfigError, match="measure: expected one of auc"):
        leaderboard(runs, market, measure="accuracy")
    with pytest.raises(DataError, match="runs: there is none"):
        leaderboard({}, market)
