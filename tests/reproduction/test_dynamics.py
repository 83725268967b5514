"""Volumes, thresholds and the accounts of figure 1, on scores whose answer is known."""

import numpy as np
import pytest

from hanjax.reproduction.dynamics import telling_accounts, threshold_crossings, volume_regression
from tests.reproduction.examples import random_scores, scored


def test_the_regression_is_the_t_test_of_two_groups():
    from scipy import stats

    scores = random_scores(0)
    volume = np.random.default_rng(1).poisson(5, 400)
    found = volume_regression(scores, volume)
    probability = 1 / (1 + np.exp(-scores.score.astype(float)))
    of_account = zip(probability.reshape(40, 10), volume.reshape(40, 10), strict=True)
    r = np.array([np.corrcoef(score, active)[0, 1] for score, active in of_account])
    converts = np.arange(40) % 3 == 0
    assert found["p"] == pytest.approx(stats.ttest_ind(r[converts], r[~converts]).pvalue)
    assert (found["accounts"], found["converted"]) == (40, 14)
    assert found["slope"] == pytest.approx(r[converts].mean() - r[~converts].mean())


def test_scores_that_never_move_have_no_correlation():
    found = volume_regression(random_scores(0)._replace(score=np.zeros(400, np.float32)), np.arange(400))
    assert found["accounts"] == 0 and np.isnan(found["p"])


def test_crossings_count_periods_before_the_conversion():
    quiet = [(a, t, -5.0 + 0.01 * a, 0) for a in range(1, 11) for t in range(6)]
    early = [(0, t, 3.0 if t >= 2 else -6.0, int(t == 5)) for t in range(6)]
    found = threshold_crossings(scored(*zip(*quiet, *early, strict=True)))
    assert found["caught"].eq(1.0).all() and found["periods_before"].eq(3.0).all()
    assert found["false_alarms"].iloc[-1] == pytest.approx(0.5)
    assert found["threshold"].is_monotonic_decreasing


def test_the_telling_accounts_follow_the_rule():
    rows, own = [], []
    for account in range(6):
        for period in range(12):
            last = account == 4 and period >= 10
            score = {0: -6.0, 4: -5.0}.get(account, -4.0) + 3 * last
            rows.append((account, period, score, int(account == 4 and period == 11)))
            own.append([0.0 if account == 0 else -5.0, -7.0])
    told = telling_accounts(scored(*zip(*rows, strict=True), own=own))
    assert told == (0, 4)


def test_an_account_whose_score_falls_before_it_converts_is_not_said_to_rise():
    rows = [(0, period, -period / 10, int(period == 11)) for period in range(12)]
    assert telling_accounts(scored(*zip(*rows, strict=True))).rising is None


def test_there_may_be_no_telling_account():
    assert telling_accounts(scored([0, 0], [1, 2], [0.0, 0.0], [0, 0])) == (None, None)
