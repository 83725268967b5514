"""Confused samples: which they are, what becomes of them, and what abstaining is worth."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.intervals import auc_interval
from hanjax.labels import AccountPropensity, abstention, confusion_band, make_labels, treat_confused
from tests.labels.deals import table

P = np.array([0.05, 0.3, 0.45, 0.5, 0.55, 0.7, np.nan, 1.0, 0.0])
Y = np.array([0, 0, 1, 0, np.nan, 1, 1, 1, 0.0])
FRAME = pd.DataFrame({"account_id": range(9), "label": Y, "tier": list("LLMMMHHHL")})


def log_odds(p):
    return np.log(p / (1 - p))


def test_the_band_is_symmetric_in_log_odds_and_its_edges_belong_to_it():
    band = confusion_band(P, width=log_odds(0.55))
    assert band.confused.tolist() == [False, False, True, True, True, False, True, False, False]
    assert band.center == 0.5 and (band.low, band.high) == pytest.approx((0.45, 0.55))
    rare = confusion_band(P, Y, around="base rate", width=0.5)
    assert rare.center == 0.5 and confusion_band(P, np.r_[Y[:8], 1.0], around="base rate", width=0.5).center == 0.625
    center = confusion_band(
        np.array([0.1, 0.2, 0.3]), np.array([0, 0, 0, 0, 1.0])[[0, 1, 4]], around="base rate", width=0.7
    )
    assert center.confused.tolist() == [False, True, True]  # around 1/3
    assert confusion_band(P, width=0.0).confused.tolist() == [
        False,
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert confusion_band(P, width=np.inf).confused.all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.3, 0.5, 0.8, 1.0])
def test_a_share_is_that_of_the_nearest_and_ties_go_together(share):
    random = np.random.default_rng(3)
    p = np.r_[random.random(30).round(1), np.nan, np.nan]
    band = confusion_band(p, share=share)
    with np.errstate(divide="ignore"):
        distance = np.abs(log_odds(p))
    inside, outside = distance[band.confused], distance[~band.confused]
    known = inside[~np.isnan(inside)]
    assert np.isnan(p)[band.confused].sum() == 2
    assert len(known) >= share * 30 and (not len(outside) or known.max(initial=0) < outside.min())
    farthest = np.isclose(known, known.max(initial=0)).sum() if len(known) else 0
    assert len(known) - farthest < max(share * 30, 1e-9) or not share  # no more than ties make necessary
    tied = confusion_band(np.full(5, 0.7), share=0.2)
    assert tied.confused.all()
    assert confusion_band(np.zeros(0), share=0.5).confused.tolist() == []


def test_dropped_rows_are_kept_with_their_reason():
    found = treat_confused(FRAME, P, how="drop", width=0.3)
    assert found.table["account_id"].tolist() == [0, 1, 4, 5, 7, 8]  # 4 has no label yet
    assert found.left_out[["account_id", "reason"]].to_numpy().tolist() == [
        [2, "confused"], [3, "confused"], [6, "no probability"],
    ]  # fmt: skip
    assert len(found.table) + len(found.left_out) == len(FRAME)
    assert "4 of 9 samples confused" in repr(found) and "3 left out" in repr(found)


def test_soft_labels_move_towards_the_probability():
    known = ~np.isnan(P)
    found = treat_confused(FRAME[known], P[known], how="soft", width=0.3, mix=0.25)
    expected = [0, 0, 0.75 + 0.25 * 0.45, 0.125, np.nan, 1, 1, 0]
    np.testing.assert_allclose(found.table["label"], expected)
    assert found.table["confused"].tolist() == [False, False, True, True, True, False, False, False]
    whole = treat_confused(FRAME[known], P[known], how="soft", width=np.inf, mix=1.0).table["label"].to_numpy()
    np.testing.assert_allclose(whole, np.where(np.isnan(Y[known]), np.nan, P[known]))
    with pytest.raises(DataError, match=r"probability: is missing, .*first: row 6"):
        treat_confused(FRAME, P, how="soft", width=0.3)


def test_abstaining_is_a_decision_and_changes_no_label():
    found = treat_confused(FRAME, P, width=0.3)
    assert found.table["decision"].tolist() == ["L", "L", *["abstain"] * 3, "H", "abstain", "H", "L"]
    np.testing.assert_array_equal(found.table["label"], Y)
    bare = treat_confused(pd.DataFrame({"account_id": range(9)}), P, share=0.5)
    assert bare.table["decision"].tolist() == ["no", *["abstain"] * 4, "abstain", "abstain", "yes", "no"]
    assert not len(bare.left_out)
    none = treat_confused(FRAME.iloc[:0], P[:0], how="drop", share=0.5)
    assert len(none.table) == len(none.left_out) == 0


def test_labels_as_they_are_made_are_taken():
    given = table(("a", 1, "E", 0, 9, "closed won"), ("b", 2, "E", 0, 9, "closed disengaged"))
    labels = make_labels(given, AccountPropensity())
    found = treat_confused(labels, [0.9, 0.45], how="soft", width=0.5)
    assert found.table["label"].tolist() == [1.0, 0.225]
    assert labels.table["label"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConfigError, "give one of them"),
        ({"width": 0.1, "share": 0.1}, ConfigError, "not both"),
        ({"width": -0.1}, ConfigError, "width: expected at least 0"),
        ({"share": 1.1}, ConfigError, "share: expected a share"),
        ({"width": 1.0, "how": "flip"}, ConfigError, "how: expected one of"),
        ({"width": 1.0, "mix": 0.0}, ConfigError, "mix: expected above 0"),
        ({"width": 1.0, "around": "mean"}, ConfigError, "around: expected 'half' or 'base rate'"),
        ({"width": 1.0, "probability": [0.5]}, DataError, "expected one for each of 9 rows"),
        ({"width": 1.0, "probability": [1.5] * 9}, DataError, "expected .* numbers from 0 to 1"),
        ({"width": 1.0, "how": "drop", "labels": FRAME[["account_id"]]}, DataError, "'label' is missing"),
        ({"width": 1.0, "around": "base rate", "labels": FRAME[["tier"]]}, DataError, "labels are needed"),
        ({"width": 1.0, "around": "base rate", "labels": FRAME.assign(label=1.0)}, DataError, "some are 1 and some"),
    ],
)
def test_what_cannot_be_is_refused(arguments, error, message):
    given = {"labels": FRAME, "probability": P, **arguments}
    with pytest.raises(error, match=message):
        treat_confused(given.pop("labels"), given.pop("probability"), **given)


def test_the_curve_is_what_a_loop_counts():
    random = np.random.default_rng(0)
    p = random.random(200).round(2)
    y, accounts = (random.random(200) < p).astype(float), np.arange(200) // 4
    p[7], y[9] = np.nan, np.nan
    found = abstention(p, y, accounts, shares=(0.0, 0.2, 0.6), resamples=300, seed=5)
    for row in found.itertuples():
        with np.errstate(divide="ignore"):
            kept = [i for i in range(200) if y[i] == y[i] and p[i] == p[i] and abs(log_odds(p[i])) > row.width + 1e-9]
        assert row.samples == len(kept) and row.coverage == pytest.approx(len(kept) / 199)
        errors = sum((p[i] > 0.5) != (y[i] == 1) for i in kept) / len(kept)
        assert row.error == pytest.approx(errors) and row.error_low < row.error < row.error_high
        assert row.auc == pytest.approx(roc_auc_score(y[kept], p[kept])) and row.auc_low < row.auc < row.auc_high
        assert row.positives == y[kept].sum()
    assert found["coverage"][1] <= 0.8 and found["error"].is_monotonic_decreasing
    decided = ~np.isnan(p) & ~np.isnan(y) & (p != 0.5)
    whole = auc_interval(p[decided], y[decided], accounts[decided], resamples=300, seed=5)
    assert (found["auc_low"][0], found["auc_high"][0]) == pytest.approx((whole.low, whole.high), abs=0.02)


def test_intervals_are_of_accounts_not_of_rows():
    random = np.random.default_rng(1)
    p = np.where(random.random(60) < 0.5, 0.2, 0.8)
    y = (random.random(60) < p).astype(int)
    once = abstention(p, y, np.arange(60), shares=(0.0,))
    often = abstention(np.repeat(p, 10), np.repeat(y, 10), np.repeat(np.arange(60), 10), shares=(0.0,))
    width = lambda found, name: (found[f"{name}_high"] - found[f"{name}_low"])[0]
    for name in ("error", "auc"):
        assert often[name][0] == pytest.approx(once[name][0])
        assert width(often, name) == pytest.approx(width(once, name), rel=0.05)


def test_a_curve_of_one_class_of_nothing_and_of_ties():
    found = abstention(np.array([0.4, 0.5, 0.6]), np.ones(3), np.arange(3), shares=(0.0, 1.0), resamples=20)
    assert found["samples"].tolist() == [2, 0] and found["coverage"][0] == pytest.approx(2 / 3)  # 0.5 is never decided
    assert found["auc"].isna().all() and found["error"][0] == 0.5 and np.isnan(found["error"][1])
    empty = abstention(np.zeros(0), np.zeros(0), np.zeros(0), resamples=5)
    assert (empty["samples"] == 0).all() and empty["coverage"].isna().all()
    single = abstention(np.array([0.1, 0.9]), np.array([0, 1]), np.array([3, 3]), shares=(0.0,), resamples=5)
    assert single["error"][0] == 0 and np.isnan(single["error_low"][0])
    with pytest.raises(DataError, match="labels"):
        abstention(np.array([0.1]), np.array([0.5]), np.array([1]))
    with pytest.raises(ConfigError, match="share"):
        abstention(np.array([0.1]), np.array([0.0]), np.array([1]), shares=(2.0,))
