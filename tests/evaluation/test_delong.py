"""Variances of areas in closed form: against all pairs, and against resampling."""

import numpy as np
import pytest

from hanjax.errors import DataError
from hanjax.evaluation.delong import delong, delong_test
from hanjax.evaluation.intervals import account_weights, resampled_auc


def two_scores(seed, n=60, accounts=None):
    """Two scores on the same samples, with ties, the first better."""
    random = np.random.default_rng(seed)
    account = np.arange(n) if accounts is None else random.integers(0, accounts, n)
    labels = (random.random(n) < 0.4).astype(int)
    common = random.normal(size=n) + random.normal(size=n)[account % n]
    return np.round([common + labels, common + 0.4 * labels + random.normal(size=n)], 1), labels, account


def by_pairs(scores, labels, accounts):
    """Obuchowski (1997), sums over pairs of samples and over accounts, as written."""
    up, down = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    m, n = len(up), len(down)
    wins = lambda score, i, j: float(score[i] > score[j]) + 0.5 * float(score[i] == score[j])
    areas, of_up, of_down = [], [], []
    for score in scores:
        beats = np.array([[wins(score, i, j) for j in down] for i in up])
        areas.append(beats.mean())
        of_up.append(beats.mean(axis=1))
        of_down.append(beats.mean(axis=0))
    names = sorted(set(accounts))
    with_up, with_down = (sum(any(accounts[rows] == a) for a in names) for rows in (up, down))
    covariance = np.zeros((len(scores), len(scores)))
    for k in range(len(scores)):
        for l in range(len(scores)):
            s10 = s01 = s11 = s11_other = 0.0
            for a in names:
                mine_up, mine_down = accounts[up] == a, accounts[down] == a
                up_k, up_l = ((of_up[x][mine_up] - areas[x]).sum() for x in (k, l))
                down_k, down_l = ((of_down[x][mine_down] - areas[x]).sum() for x in (k, l))
                s10, s01 = s10 + up_k * up_l, s01 + down_k * down_l
                s11, s11_other = s11 + up_k * down_l, s11_other + up_l * down_k
            s10 *= with_up / ((with_up - 1) * m)
            s01 *= with_down / ((with_down - 1) * n)
            few = len(names) / (len(names) - 1)
            covariance[k, l] = s10 / m + s01 / n + few * (s11 + s11_other) / (m * n)
    return np.array(areas), covariance


@pytest.mark.parametrize("accounts", [None, 12])
def test_areas_and_covariance_are_those_over_all_pairs(accounts):
    scores, labels, account = two_scores(0, accounts=accounts)
    areas, covariance = by_pairs(scores, labels, account)
    found = delong(scores, labels, account)
    np.testing.assert_allclose(found.areas, areas, atol=1e-14)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-15)


def test_accounts_of_one_sample_each_are_independent_samples():
    scores, labels, _ = two_scores(1)
    names = np.random.default_rng(0).permutation(1000)[: len(labels)]
    plain, clustered = delong(scores, labels), delong(scores, labels, names)
    np.testing.assert_allclose(clustered.covariance, plain.covariance, atol=1e-16)
    sample_covariance = lambda rows, values: np.cov(values[:, rows]) / rows.sum()
    beats = (scores[:, :, None] > scores[:, None, :]) + 0.5 * (scores[:, :, None] == scores[:, None, :])
    share = np.array([pairs[:, labels == 0].mean(axis=1) for pairs in beats])  # DeLong's own form, of sample variances
    lost = np.array([pairs[labels == 1].mean(axis=0) for pairs in beats])
    expected = sample_covariance(labels == 1, share) + sample_covariance(labels == 0, lost)
    np.testing.assert_allclose(plain.covariance, expected, atol=1e-15)


@pytest.mark.parametrize("accounts", [None, 300])
def test_the_deviation_is_that_of_resampling(accounts):
    scores, labels, account = two_scores(2, n=900, accounts=accounts)
    found = delong_test(*scores, labels, account)
    weights = account_weights(account.max() + 1, resamples=2000)
    drawn = [resampled_auc(score, labels, account, weights) for score in scores]
    assert found.deviation == pytest.approx((drawn[0] - drawn[1]).std(), rel=0.08)
    spread = np.sqrt(np.diag(delong(scores, labels, account).covariance))
    np.testing.assert_allclose(spread, np.std(drawn, axis=1), rtol=0.08)
    if accounts is not None:  # copies of accounts tell nothing new
        doubled = delong(np.tile(scores, 2), np.tile(labels, 2), np.tile(account, 2))
        np.testing.assert_allclose(doubled.covariance, delong(scores, labels, account).covariance, rtol=1e-10)


def test_the_test_tells_a_better_score_and_turns_round():
    scores, labels, account = two_scores(3, n=400, accounts=120)
    found, turned = delong_test(*scores, labels, account), delong_test(*scores[::-1], labels, account)
    assert found.difference > 0 and found.p < 0.01
    np.testing.assert_allclose([turned.difference, turned.deviation, turned.p], [-found.difference, *found[3:]])
    same = delong_test(scores[0], scores[0], labels, account)
    assert (same.difference, same.deviation, same.p) == (0.0, 0.0, 1.0)


def test_what_is_not_defined_is_nan():
    one_class = delong(np.zeros((2, 3)), np.zeros(3))
    assert np.isnan(one_class.areas).all() and np.isnan(one_class.covariance).all()
    single = delong_test(np.array([0.9, 0.1, 0.2]), np.array([0.1, 0.2, 0.0]), np.array([1, 0, 0]))
    assert single.first == 1.0 and np.isnan(single.deviation) and np.isnan(single.p)
    one_account = delong(np.array([[0.9, 0.1]]), np.array([1, 0]), np.zeros(2))
    assert one_account.areas.tolist() == [1.0] and np.isnan(one_account.covariance).all()


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"\[M, N\]"):
        delong(np.zeros(3), np.zeros(3))
    with pytest.raises(DataError, match="both"):
        delong_test(np.zeros(2), np.zeros(3), np.zeros(2))
