"""Comparing models trained several times: against the plain comparison, a slow jackknife, SciPy, and the null."""

import numpy as np
import pytest
from scipy import stats

from hanjax.errors import DataError
from hanjax.evaluation.comparison import compare
from hanjax.evaluation.intervals import account_weights, resampled_auc
from hanjax.evaluation.metrics import auc
from hanjax.evaluation.trainings import compare_trainings, student


def models(seed, accounts=60, trainings=(4, 4), noise=1.0, better=0.0):
    """Samples of accounts, and log-odds by trainings that differ in nothing but noise; the first may be better."""
    random = np.random.default_rng(seed)
    account = np.repeat(np.arange(accounts), 4)
    truth = random.normal(0, 1, accounts)[account] + random.normal(0, 0.5, len(account))
    label = (random.random(len(account)) < 1 / (1 + np.exp(2 - truth))).astype(int)
    stacks = [
        (1 + b) * truth + noise * random.normal(size=(n, len(account)))
        for n, b in zip(trainings, (better, 0), strict=True)
    ]
    return (*stacks, label, account)


def test_values_are_those_of_the_mean_of_the_trainings():
    first, second, label, account = models(0)
    found = compare_trainings(first, second, label, account, account % 3, resamples=100).set_index("measure")
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    plain = compare(sigmoid(first.mean(0)), sigmoid(second.mean(0)), label, account, account % 3, resamples=100)
    plain = plain.set_index("measure")
    for name in ("first", "second", "difference", "p_delong"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-12)
    np.testing.assert_allclose(found["p_accounts"], plain["p"])
    assert (found["deviation"] > plain["deviation"]).all()
    assert (found["p"] > 0).all() and (found["high"] - found["low"] > plain["high"] - plain["low"]).all()


def test_the_variance_is_the_sum_of_its_three_parts():
    first, second, label, account = models(1, trainings=(3, 5))
    found = compare_trainings(first, second, label, account, measures=["auc"], resamples=300, seed=5).iloc[0]
    weights = account_weights(60, resamples=300, seed=5)
    drawn = [resampled_auc(stack.mean(0), label, account, weights) for stack in (first, second)]
    carriers = min(len(set(account[label == 1])), len(set(account[label == 0])))
    parts = [((drawn[0] - drawn[1]).var(ddof=1), carriers - 1)]
    for stack in (first, second):
        n = len(stack)
        left = [auc(np.mean([stack[j] for j in range(n) if j != i], axis=0), label) for i in range(n)]
        parts.append(((n - 1) / n * sum((value - np.mean(left)) ** 2 for value in left), n - 1))
    total = sum(part for part, _ in parts)
    freedom = total**2 / sum(part**2 / f for part, f in parts)
    np.testing.assert_allclose(found["deviation"], total**0.5, rtol=1e-5)
    expected = stats.t(freedom, loc=found["difference"], scale=total**0.5)
    np.testing.assert_allclose([found["low"], found["high"]], expected.interval(0.95), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["p"], 2 * stats.t.sf(abs(found["difference"]) / total**0.5, freedom), rtol=1e-4)


@pytest.mark.parametrize("trainings", [(1, 1), (4, 1)])
def test_one_training_says_nothing_of_settings(trainings):
    first, second, label, account = models(2, trainings=trainings)
    found = compare_trainings(first, second, label, account, resamples=50)
    assert found["p"].isna().all() and found["p_accounts"].notna().all() and found["low"].notna().all()


def test_models_that_differ_by_chance_are_seldom_called_different_and_better_ones_are():
    """With many accounts any two parameters differ; p_accounts says so, p does not."""
    p, accounts, better = [], [], []
    for seed in range(25):
        given = dict(measures=["auc"], resamples=60)
        found = compare_trainings(*models(seed, accounts=800, noise=2.0), **given).iloc[0]
        p, accounts = [*p, found["p"]], [*accounts, found["p_accounts"]]
        better.append(compare_trainings(*models(seed, accounts=800, noise=2.0, better=2.0), **given).iloc[0]["p"])
    assert np.mean(np.array(p) < 0.05) <= 0.12 and np.mean(np.array(better) < 0.05) > 0.9


def test_what_makes_probabilities_is_each_models_own():
    first, second, label, account = models(3)
    half = lambda z: 0.5 / (1 + np.exp(-z))
    one = lambda z: 1 / (1 + np.exp(-z))
    found = compare_trainings(first, second, label, account, combine=(half, one), measures=["brier"], resamples=20)
    assert found["first"][0] == pytest.approx(np.mean((half(first.mean(0)) - label) ** 2))
    assert found["second"][0] == pytest.approx(np.mean((one(second.mean(0)) - label) ** 2))


def test_equal_models_do_not_differ():
    first, _, label, account = models(4)
    same = np.repeat(first[:1], 3, axis=0)
    found = compare_trainings(same, same, label, account, resamples=20)
    assert (found["difference"] == 0).all() and (found["p"] == 1).all() and (found["low"] == 0).all()


@pytest.mark.parametrize("wrong", [lambda z: z[0], lambda z: z[:0], lambda z: z[:, 1:]])
def test_other_shapes_are_refused(wrong):
    first, second, label, account = models(5)
    with pytest.raises(DataError, match="one row a training"):
        compare_trainings(wrong(first), second, label, account)


def test_student_without_a_variance():
    assert student(0.0, [(0.0, 3)]) == (0.0, 0.0, 1.0)
    assert np.isnan(student(1.0, [(np.nan, 3)])).all()
