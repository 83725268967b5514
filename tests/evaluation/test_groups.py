"""Measures within groups: those of the group alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.groups import by_group, size_bands
from hanjax.evaluation.intervals import auc_interval
from hanjax.evaluation.over_time import summary


def samples(seed=0):
    random = np.random.default_rng(seed)
    account = np.repeat(np.arange(50), 6)
    labels = (random.random(300) < 0.3).astype(int)
    return random.random(300) * 0.5 + 0.4 * labels, labels, account, random.integers(0, 4, 300)


def test_a_group_has_the_figures_of_its_samples_alone():
    scores, labels, account, periods = samples()
    groups = np.array(["west", "east"])[account % 2]
    found = by_group(scores, labels, account, periods, groups, resamples=60, seed=3).set_index("group")
    assert found.index.tolist() == ["east", "west"]
    for name in ("east", "west"):
        rows = groups == name
        own = found.loc[name]
        expected = summary(scores[rows], labels[rows], periods[rows])
        for measure in ("auc", "auc_period_mean", "average_precision", "log_loss", "log_loss_base_rate", "brier"):
            assert own[measure] == pytest.approx(expected[measure], abs=1e-12)
        assert (own["accounts"], own["samples"], own["conversions"]) == (25, rows.sum(), labels[rows].sum())
        assert own["auc"] == pytest.approx(roc_auc_score(labels[rows], scores[rows]))
        sure = auc_interval(scores[rows], labels[rows], account[rows], resamples=60, seed=3)
        assert (own["auc_low"], own["auc_high"]) == (sure.low, sure.high)


def test_a_score_that_only_tells_sizes_apart_is_worth_nothing_within_bands():
    random = np.random.default_rng(1)
    sizes = random.choice([1, 2, 4, 8, 20, 40], 1200)
    labels = (random.random(1200) < sizes / 60).astype(int)
    scores = sizes / 50
    assert roc_auc_score(labels, scores) > 0.75
    found = by_group(scores, labels, np.arange(1200), np.zeros(1200), size_bands(sizes), resamples=20)
    assert found["group"].tolist() == ["1", "2", "3 to 5", "6 to 10", "11 to 25", "26 or more"]
    assert (found["auc"] == 0.5).all()


def test_groups_without_both_classes_or_without_a_value_are_shown():
    scores, labels = np.array([0.1, 0.9, 0.8, 0.2]), np.array([0, 1, 0, 0])
    groups = pd.Series(["a", "a", "b", None], index=[9, 8, 7, 6])  # the index says nothing
    found = by_group(scores, labels, np.arange(4), np.zeros(4), groups, resamples=5)
    assert found["group"].tolist()[:2] == ["a", "b"] and found["group"].isna().tolist() == [False, False, True]
    assert found["auc"].tolist()[0] == 1.0 and found["auc"].isna().tolist() == [False, True, True]
    assert found["auc_low"].isna().all()  # one account that converts tells no interval
    where = np.array([True, True, False, False])
    part = by_group(scores, np.where(where, labels, np.nan), np.arange(4), np.zeros(4), groups, where=where)
    assert part["group"].tolist() == ["a"]
    assert len(by_group(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))) == 0


def test_bands_are_named_by_their_sizes():
    found = size_bands([1, 2, 3, 5, 6, 10, 11, 25, 26, 1000])
    assert found.ordered and list(found[:4]) == ["1", "2", "3 to 5", "3 to 5"]
    assert list(found[4:]) == ["6 to 10"] * 2 + ["11 to 25"] * 2 + ["26 or more"] * 2
    assert size_bands([0, 7], edges=(0, 1, 7)).tolist() == ["0", "7 or more"]
    assert size_bands(np.zeros(0, int)).tolist() == []


def test_wrong_arguments_are_refused():
    with pytest.raises(DataError, match="1 of 2 are missing or below 1"):
        size_bands([0, 3])
    with pytest.raises(DataError, match="missing"):
        size_bands([np.nan, 3.0])
    with pytest.raises(ConfigError, match="ascending"):
        size_bands([1], edges=(3, 2))
    scores, labels, account, periods = samples()
    with pytest.raises(DataError, match="groups"):
        by_group(scores, labels, account, periods, ["a"])
    with pytest.raises(DataError, match="probabilities"):
        by_group(scores + 3, labels, account, periods, account % 2)
