"""Two models side by side: every measure on all samples, and differences under the same resamples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.comparison import compare
from hanjax.evaluation.delong import delong_test
from hanjax.evaluation.intervals import paired_difference
from hanjax.evaluation.over_time import over_time
from hanjax.evaluation.resampling import MEASURES


def two_models(seed=0, accounts=60):
    random = np.random.default_rng(seed)
    account = np.repeat(np.arange(accounts), 6)
    labels = (random.random(len(account)) < 0.2).astype(int)
    logits = [2 * labels - 2 + random.normal(size=len(account)), labels - 2 + random.normal(size=len(account))]
    sharp, blunt = 1 / (1 + np.exp(-np.array(logits)))
    return sharp, blunt, labels, account, random.integers(0, 4, len(account))


def test_values_are_those_of_scikit_learn_and_over_time():
    sharp, blunt, labels, account, periods = two_models()
    found = compare(sharp, blunt, labels, account, periods, resamples=50).set_index("measure")
    assert found.index.tolist() == list(MEASURES)
    for column, score in (("first", sharp), ("second", blunt)):
        expected = {
            "auc": roc_auc_score(labels, score),
            "auc_period_mean": over_time(score, labels, periods)["auc"].mean(),
            "average_precision": average_precision_score(labels, score),
            "log_loss": log_loss(labels, score),
            "brier": brier_score_loss(labels, score),
        }
        for measure, value in expected.items():
            assert found.loc[measure, column] == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(found["difference"], found["first"] - found["second"])


def test_the_better_model_is_found_by_every_measure_and_the_order_turns_signs():
    sharp, blunt, labels, account, periods = two_models()
    found = compare(sharp, blunt, labels, account, periods, resamples=400).set_index("measure")
    assert (found["p"] < 0.05).all()
    assert (found.loc[["auc", "auc_period_mean", "average_precision"], "low"] > 0).all()
    assert (found.loc[["log_loss", "brier"], "high"] < 0).all()
    turned = compare(blunt, sharp, labels, account, periods, resamples=400).set_index("measure")
    np.testing.assert_allclose(turned["low"], -found["high"], atol=1e-12)
    np.testing.assert_allclose(turned["p"], found["p"], atol=1e-12)


def test_the_area_is_compared_as_elsewhere():
    sharp, blunt, labels, account, _ = two_models(1)
    found = compare(sharp, blunt, labels, account, resamples=300, seed=5).set_index("measure")
    assert found.index.tolist() == ["auc", "average_precision", "log_loss", "brier"]  # no periods, no mean over them
    expected = paired_difference(sharp, blunt, labels, account, resamples=300, seed=5)
    ends = found.loc["auc", ["difference", "low", "high", "p"]].tolist()
    np.testing.assert_allclose(ends, [expected.value, expected.low, expected.high, expected.p], atol=1e-6)
    assert found.loc["auc", "p_delong"] == delong_test(sharp, blunt, labels, account).p
    assert found["p_delong"].isna().sum() == 3


def test_a_model_does_not_differ_from_itself():
    sharp, _, labels, account, periods = two_models(2)
    found = compare(sharp, sharp, labels, account, periods, resamples=50)
    assert (found[["difference", "low", "high"]] == 0).all(axis=None) and (found["p"] == 1).all()


def test_samples_outside_are_never_read_and_what_is_undefined_is_nan():
    sharp, blunt, labels, account, _ = two_models(3)
    where = np.arange(len(labels)) % 2 == 0
    part = compare(sharp[where], blunt[where], labels[where], account[where], resamples=50)
    hidden = np.where(where, labels, np.nan)
    whole = compare(np.where(where, sharp, np.nan), blunt, hidden, account, where=where, resamples=50)
    assert whole.equals(part)
    nobody = compare(sharp, blunt, np.zeros(len(labels)), account, resamples=20).set_index("measure")
    assert nobody.loc["auc"].isna().all() and nobody.loc["brier", ["low", "high", "p"]].isna().all()


def test_wrong_requests_are_refused():
    sharp, blunt, labels, account, _ = two_models(4)
    with pytest.raises(DataError, match=r"leave them out with `measures`"):
        compare(sharp + 1, blunt, labels, account, resamples=5)
    ranks = compare(np.argsort(sharp), blunt, labels, account, measures=["auc"], resamples=20)
    assert ranks["measure"].tolist() == ["auc"]
    with pytest.raises(ConfigError, match="periods"):
        compare(sharp, blunt, labels, account, measures=["auc_period_mean"], resamples=5)
    with pytest.raises(DataError, match="both"):
        compare(sharp, blunt[:3], labels, account)
