"""Tiers, lift and gains: ties against every order of them, and what a score that says nothing is worth."""

import itertools

import numpy as np
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.intervals import account_weights, interval
from hanjax.evaluation.lift import TIERS, capture_at, gains, lift, lift_difference, tiers


def tied(seed=0, n=40):
    random = np.random.default_rng(seed)
    return random.integers(0, 4, n) / 4, (random.random(n) < 0.3).astype(int), random.integers(0, 3, n)


def found_in_every_order(scores, labels):
    """Conversions among the first k = 0..N, mean over all orders of equal scores; feasible for a few rows."""
    every = []
    for order in itertools.permutations(range(len(scores))):
        ranked = sorted(order, key=lambda row: -scores[row])  # stable: equal ones stay in the order given
        every.append(np.concatenate([[0], np.cumsum(labels[ranked])]))
    return np.mean(every, axis=0)


def test_gains_are_the_mean_over_all_orders_of_ties():
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.2, 0.2, 0.9])
    labels = np.array([1, 0, 0, 1, 1, 0, 1])
    found = gains(scores, labels)
    conversions = found_in_every_order(scores, labels)[1:]
    k = np.arange(1, 8)
    np.testing.assert_allclose(found["conversions"], conversions, atol=1e-12)
    np.testing.assert_allclose(found["captured"], conversions / 4, atol=1e-12)
    np.testing.assert_allclose(found["precision"], conversions / k, atol=1e-12)
    np.testing.assert_allclose(found["lift"], conversions / k / (4 / 7), atol=1e-12)
    assert found["contacted"].tolist() == k.tolist() and found["share"].iloc[-1] == 1.0
    for contacted in range(8):
        expected = found_in_every_order(scores, labels)[contacted] / 4
        assert capture_at(scores, labels, contacted=contacted) == pytest.approx(expected, abs=1e-12)
    between = np.interp(0.3 * 7, np.arange(8), found_in_every_order(scores, labels)) / 4
    assert capture_at(scores, labels, share=0.3) == pytest.approx(between, abs=1e-12)


def test_the_lift_of_a_tier_is_the_mean_over_all_orders_of_ties():
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.2, 0.8, 0.8, 0.1, 0.1, 0.1])
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 0])
    periods = np.array([4] * 5 + [7] * 5)
    found = lift(scores, labels, np.arange(10), periods, resamples=20, shares=[("A", 0.4), ("B", 0.2)])
    conversions = np.zeros(3)
    for rows in (slice(0, 5), slice(5, 10)):
        conversions += np.diff(found_in_every_order(scores[rows], labels[rows])[[0, 2, 3, 5]])
    assert found["tier"].tolist() == ["A", "B", "Low"] and found["samples"].tolist() == pytest.approx([4, 2, 4])
    np.testing.assert_allclose(found["conversions"], conversions, atol=1e-12)
    np.testing.assert_allclose(found["rate"], conversions / [4, 2, 4], atol=1e-12)
    np.testing.assert_allclose(found["lift"], conversions / [4, 2, 4] / 0.4, atol=1e-12)


@pytest.mark.parametrize("n", [3, 7, 13, 97, 1000])
def test_a_constant_score_lifts_nothing_whatever_the_order_of_the_rows(n):
    random = np.random.default_rng(n)
    labels, periods = random.permutation(np.arange(n) % 3 == 0), random.integers(0, 4, n)
    for order in (np.arange(n), np.argsort(labels), np.argsort(~labels)):
        found = lift(np.full(n, 0.1), labels[order], np.arange(n), periods[order], resamples=5)
        assert found["lift"].tolist() == [1.0, 1.0, 1.0]
        assert (gains(np.full(n, 0.1), labels[order])["lift"] == 1.0).all()
    assert set(tiers(np.full(n, 0.1), periods)) == {"Low"}


def test_the_order_of_the_rows_changes_nothing():
    scores, labels, periods = tied()
    accounts, order = np.arange(40) // 2, np.random.default_rng(1).permutation(40)
    found = lift(scores, labels, accounts, periods, resamples=50)
    turned = lift(scores[order], labels[order], accounts[order], periods[order], resamples=50)
    np.testing.assert_allclose(turned.drop(columns="tier"), found.drop(columns="tier"), atol=1e-12)
    np.testing.assert_array_equal(tiers(scores[order], periods[order]), tiers(scores, periods)[order])
    np.testing.assert_allclose(gains(scores[order], labels[order]), gains(scores, labels), atol=1e-12)


def test_tiers_are_so_many_of_each_period_and_equal_scores_stay_together():
    random = np.random.default_rng(0)
    scores, periods = random.normal(size=500), np.repeat(np.arange(5), 100)
    named = tiers(scores, periods)
    for period in range(5):
        mine = np.sort(scores[periods == period])[::-1]
        assert set(scores[(periods == period) & (named == "High")]) == set(mine[:10])
        assert set(scores[(periods == period) & (named == "Medium")]) == set(mine[10:30])
    # Two tie for the second and the third place of twenty, whose middle is where the first tenth ends.
    assert tiers(np.array([3.0, 2, 2, *np.linspace(1, 0, 17)]))[:4].tolist() == ["High"] + ["Medium"] * 3
    assert tiers(np.array([0.5, np.inf, -np.inf]), shares=[("best", 1 / 3)]).tolist() == ["Low", "best", "Low"]
    assert tiers(np.arange(4.0), shares=[("all", 1.0)]).tolist() == ["all"] * 4
    assert tiers(np.zeros(0)).tolist() == []


def test_without_ties_a_tier_counts_whole_samples_and_has_its_shares_interval():
    random = np.random.default_rng(5)
    scores, accounts = random.random(400), np.arange(400) // 4
    labels = (random.random(400) < 0.05 + 0.3 * (scores > 0.85)).astype(int)
    found = lift(scores, labels, accounts, resamples=300, seed=2)
    high = tiers(scores) == "High"
    assert found["samples"].tolist() == pytest.approx([40, 80, 280])
    assert found["lift"][0] == pytest.approx(labels[high].mean() / labels.mean())
    weights = account_weights(100, resamples=300, seed=2)
    drawn = (weights[:, accounts] * labels * high).sum(axis=1) / (weights[:, accounts] * labels).sum(axis=1)
    carriers = len(set(accounts[labels == 1]))
    expected = interval(labels[high].sum() / labels.sum(), drawn, measure="share", positives=carriers)
    np.testing.assert_allclose(found.loc[0, ["low", "high"]].tolist(), [10 * expected.low, 10 * expected.high])
    assert found["low"][0] < found["lift"][0] < found["high"][0]


def test_what_is_not_defined_is_nan():
    scores = np.array([0.3, 0.2, 0.1])
    nobody = lift(scores, np.zeros(3), np.arange(3), resamples=5)
    assert nobody["rate"].tolist() == [0, 0, 0] and nobody[["lift", "low", "high"]].isna().all(axis=None)
    assert np.isnan(capture_at(scores, np.zeros(3), contacted=1))
    assert gains(scores, np.zeros(3))["captured"].isna().all()
    empty = lift(np.zeros(0), np.zeros(0), np.zeros(0), resamples=5)
    assert empty["samples"].tolist() == [0, 0, 0] and empty["rate"].isna().all()
    assert len(gains(np.zeros(0), np.zeros(0))) == 0
    single = lift(np.array([0.9, 0.1]), np.array([1, 0]), np.zeros(2), resamples=5)
    assert single["lift"][0] == pytest.approx(2.0) and single["low"].isna().all()  # one account tells no interval


def test_samples_outside_are_never_read():
    scores, labels, periods = tied()
    where = np.arange(40) % 3 > 0
    hidden = np.where(where, scores, np.nan)
    found = lift(hidden, labels, np.arange(40), periods, where=where, resamples=20)
    assert found.equals(lift(scores[where], labels[where], np.arange(40)[where], periods[where], resamples=20))
    assert gains(hidden, labels, where=where).equals(gains(scores[where], labels[where]))


def test_wrong_requests_are_refused():
    scores, labels, _ = tied()
    for shares in ([], [("A", 0.0)], [("A", 0.6), ("B", 0.6)], [("A", 0.1), ("A", 0.2)], [("Low", 0.2)]):
        with pytest.raises(ConfigError, match="shares"):
            tiers(scores, shares=shares)
    for wrong in ({}, {"contacted": 1, "share": 0.5}, {"share": 1.5}, {"contacted": -1}):
        with pytest.raises(ConfigError, match="contacted and share"):
            capture_at(scores, labels, **wrong)
    with pytest.raises(DataError, match="scores"):
        tiers(np.array([0.1, np.nan]))
    assert sum(share for _, share in TIERS) < 1


def test_the_difference_of_two_lifts_is_that_of_the_tiers_table():
    random = np.random.default_rng(5)
    labels, accounts, periods = random.integers(0, 2, 200), np.arange(200) // 2, np.arange(200) % 4
    first, second = (np.round(labels + s * random.normal(size=200), 1) for s in (0.7, 1.5))  # with ties
    found = lift_difference(first, second, labels, accounts, periods, share=0.2, resamples=400)
    shares = [("top", 0.2)]
    one, other = (
        lift(s, labels, accounts, periods, shares=shares, resamples=10)["lift"].iloc[0] for s in (first, second)
    )
    assert (found.first, found.second) == pytest.approx((one, other))
    assert found.difference.value == pytest.approx(one - other)


def test_the_deviation_of_a_difference_of_lifts_is_that_of_new_accounts():
    """Accounts drawn anew many times, with the difference of each draw, against the resampling of one draw."""

    def draw(seed):
        random = np.random.default_rng(seed)
        truth = random.normal(size=500)
        labels = (random.random(500) < 1 / (1 + np.exp(1 - truth))).astype(int)
        scores = truth + 0.3 * random.normal(size=500), truth + 2 * random.normal(size=500)
        return lift_difference(*scores, labels, np.arange(500), share=0.2, resamples=200, seed=seed).difference

    many = [draw(seed) for seed in range(150)]
    spread = np.std([d.value for d in many])
    assert np.mean([d.deviation for d in many]) == pytest.approx(spread, rel=0.2)


def test_lifts_that_nobody_can_tell_apart():
    same = lift_difference(np.arange(20), np.arange(20), np.arange(20) % 2, np.arange(20), resamples=50)
    assert same.difference.value == 0 and same.difference.p == 1
    none = lift_difference(np.arange(20), np.arange(20), np.zeros(20), np.arange(20), resamples=50)
    assert np.isnan(none.first) and np.isnan(none.difference.value)
