"""Periods one by one, and the numbers of metrics.json."""

import json

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import DataError
from hanjax.evaluation import auc, over_time, summary


def weeks(seed=0, n=400, periods=6):
    rng = np.random.default_rng(seed)
    period = rng.integers(periods, size=n)
    labels = (rng.random(n) < 0.15).astype(float)
    labels[period == 2] = 0  # a period without a conversion
    scores = np.round(1 / (1 + np.exp(2 - rng.normal(size=n) - labels)), 2)
    return scores, labels, period


def test_equals_a_loop_over_the_periods():
    scores, labels, periods = weeks()
    where = np.random.default_rng(9).random(len(scores)) < 0.8
    frame = over_time(scores, labels, periods, where=where)
    assert list(frame["period"]) == list(range(6))
    for row in frame.itertuples():
        of_period = where & (periods == row.period)
        np.testing.assert_equal(row.auc, float(auc(scores[of_period], labels[of_period])))
        assert row.samples == of_period.sum() and row.conversions == labels[of_period].sum()
        assert row.mean_score == pytest.approx(scores[of_period].mean())
    assert frame["auc"].isna().tolist() == [False, False, True, False, False, False]


def test_periods_may_be_dates_in_any_time_zone():
    scores, labels, periods = weeks()
    for zone in (None, "UTC", "America/New_York"):
        starts = pd.date_range("2026-01-04", periods=6, freq="7D", tz=zone)
        frame = over_time(scores, labels, pd.Series(starts[periods]))
        assert list(frame["period"]) == list(starts)
        pd.testing.assert_frame_equal(frame.drop(columns="period"), over_time(scores, labels, periods).iloc[:, 1:])


def test_a_score_that_only_tells_periods_apart_is_found_out():
    periods = np.repeat(np.arange(10), 100)
    rng = np.random.default_rng(0)
    labels = rng.random(1000) < periods / 20
    found = summary(periods / 20, labels, periods)
    assert found["auc"] > 0.7 and found["auc_period_mean"] == 0.5


def test_summary_is_what_its_parts_say_and_json():
    metrics = pytest.importorskip("sklearn.metrics")
    scores, labels, periods = weeks(1)
    found = json.loads(json.dumps(summary(scores, labels, periods), allow_nan=False))
    per_period = over_time(scores, labels, periods)["auc"]
    rate = np.full(len(labels), labels.mean())
    wanted = {
        "auc": metrics.roc_auc_score(labels, scores),
        "auc_period_mean": per_period.mean(),
        "periods_used": 5,
        "periods_one_class": 1,
        "average_precision": metrics.average_precision_score(labels, scores),
        "log_loss": metrics.log_loss(labels, scores),
        "log_loss_base_rate": metrics.log_loss(labels, rate),
        "brier": metrics.brier_score_loss(labels, scores),
        "samples": 400,
        "conversions": labels.sum(),
    }
    assert set(found) == set(wanted)
    assert found == pytest.approx(wanted, abs=1e-12)


def test_a_constant_model_is_worth_nothing():
    _, labels, periods = weeks(2)
    found = summary(np.full(len(labels), labels.mean()), labels, periods)
    assert found["auc"] == found["auc_period_mean"] == 0.5
    assert found["log_loss"] == pytest.approx(found["log_loss_base_rate"], abs=1e-15)
    assert found["average_precision"] == pytest.approx(labels.mean(), abs=1e-15)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_none_and_is_counted(label):
    found = summary(np.array([0.2, 0.4]), np.full(2, label), np.array([1, 2]))
    assert found["auc"] is None and found["auc_period_mean"] is None
    assert (found["average_precision"] is None) == (label == 0)
    assert (found["periods_used"], found["periods_one_class"]) == (0, 2)
    assert found["log_loss_base_rate"] == pytest.approx(0, abs=1e-15)


def test_nothing_at_all():
    nothing = np.zeros(0)
    assert len(over_time(nothing, nothing, nothing)) == 0
    found = summary(nothing, nothing, nothing)
    assert found["samples"] == found["periods_used"] == 0 and found["auc"] is None and found["log_loss"] is None
    assert found == summary(np.ones(3), np.full(3, np.nan), np.arange(3), where=np.zeros(3, bool))


def test_the_order_of_the_rows_does_not_matter():
    scores, labels, periods = weeks(3)
    order = np.random.default_rng(0).permutation(len(scores))
    assert summary(scores, labels, periods) == pytest.approx(summary(scores[order], labels[order], periods[order]))
    frame = over_time(scores, labels, periods)
    pd.testing.assert_frame_equal(frame, over_time(scores[order], labels[order], periods[order]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(scores=np.array([np.nan, 0.2, 0.3])), "1 of 3 that count are NaN"),
        (dict(labels=np.array([0, 1, np.nan])), "neither 0 nor 1"),
        (dict(labels=np.array([0, 1, 2])), "first: 2"),
        (dict(scores=np.array([0.1, 0.2, 1.5])), "1 of 3 lie outside"),
        (dict(periods=np.arange(2)), r"must be \[N\] each"),
        (dict(where=np.ones(3)), "where float64"),
        (dict(scores=np.zeros((3, 1))), r"must be \[N\] each"),
    ],
)
def test_what_a_user_can_get_wrong(change, message):
    given = dict(scores=np.array([0.1, 0.2, 0.3]), labels=np.array([0, 1, 0]), periods=np.arange(3), where=None)
    given |= change
    with pytest.raises(DataError, match=message):
        summary(given["scores"], given["labels"], given["periods"], where=given["where"])
