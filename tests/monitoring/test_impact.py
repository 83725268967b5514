"""Rates of two groups against statsmodels and SciPy, and sentences that say no more than the data do."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from hanjax.errors import ConfigError, DataError
from hanjax.monitoring.impact import balance, click_through, open_rate, opportunities, rate_impact, win_rate
from hanjax.monitoring.proportions import power_of, required_sample, two_proportions

proportion = pytest.importorskip("statsmodels.stats.proportion")

PAIRS = [((120, 80), (400, 400)), ((7, 3), (50, 900)), ((33, 10), (1000, 1000)), ((300, 5), (310, 20))]


@pytest.mark.parametrize(("successes", "totals"), PAIRS)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_intervals_are_those_of_statsmodels(successes, totals, level):
    (x1, x2), (n1, n2) = successes, totals
    of = lambda **how: proportion.confint_proportions_2indep(x1, n1, x2, n2, alpha=1 - level, **how)
    found = two_proportions(successes, totals, level=level)
    assert found.difference[1:] == pytest.approx(of(method="newcomb", compare="diff"), abs=1e-12)
    assert found.ratio[1:] == pytest.approx(of(method="score", compare="ratio", correction=True), rel=1e-5)
    assert found.difference.value == pytest.approx(x1 / n1 - x2 / n2)
    test = proportion.test_proportions_2indep(x1, n1, x2, n2, compare="diff", method="score", correction=True)
    assert found.p == pytest.approx(test.pvalue, rel=1e-8)
    assert found.p_exact == pytest.approx(stats.fisher_exact([[x1, n1 - x1], [x2, n2 - x2]]).pvalue, rel=1e-8)


@pytest.mark.parametrize(
    ("successes", "totals", "expected"),
    [((56, 48), (70, 80), (0.0528, 0.3382)), ((9, 3), (10, 10), (0.17, 0.8406)), ((6, 2), (7, 7), (0.0342, 0.8534))],
)
def test_score_intervals_of_the_difference_are_the_published_ones(successes, totals, expected):
    """Newcombe (1998), table II, method 6. (statsmodels 0.15 has another constrained estimate, and other digits.)"""
    found = two_proportions(successes, totals, method="score")
    assert found.difference[1:] == pytest.approx(expected, abs=6e-5)


def surprise_of(hits, sizes, delta, second):
    likely = [
        special.xlogy(hit, rate) + special.xlog1py(size - hit, -rate)
        for hit, size, rate in zip(hits, sizes, (second + delta, second), strict=True)
    ]
    return -sum(likely)


def test_score_intervals_of_the_difference_end_where_the_score_is_the_quantile():
    """The rates that are likeliest under a difference, by a search instead of the cubic equation."""
    for (x1, x2), (n1, n2) in PAIRS:
        found = two_proportions((x1, x2), (n1, n2), method="score").difference
        for delta, sign in ((found.low, 1), (found.high, -1)):
            low, high = max(0, -delta) + 1e-12, min(1, 1 - delta) - 1e-12
            surprise = functools.partial(surprise_of, (x1, x2), (n1, n2), delta)
            second = optimize.minimize_scalar(
                surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
            ).x
            first = second + delta
            variance = (first * (1 - first) / n1 + second * (1 - second) / n2) * (n1 + n2) / (n1 + n2 - 1)
            assert (x1 / n1 - x2 / n2 - delta) / np.sqrt(variance) == pytest.approx(sign * 1.959964, abs=1e-4)


@pytest.mark.parametrize("method", ["newcombe", "score"])
def test_nobody_and_everybody(method):
    none = two_proportions((0, 0), (20, 30), method=method)
    assert none.difference.value == 0 and none.difference.low < 0 < none.difference.high
    assert np.isnan(none.ratio.value) and none.ratio[1:] == (0, np.inf) and none.p == 1
    few = two_proportions((3, 0), (20, 30), method=method)
    assert few.ratio.value == np.inf == few.ratio.high and 0 < few.ratio.low < 20
    other = two_proportions((0, 3), (30, 20), method=method)
    assert other.ratio.value == 0 == other.ratio.low and other.ratio.high == pytest.approx(1 / few.ratio.low, rel=1e-6)
    every = two_proportions((20, 30), (20, 30), method=method)
    assert every.difference.value == 0 and every.ratio.value == 1 and every.p == 1
    assert -1 <= every.difference.low < every.difference.high <= 1


@pytest.mark.parametrize("method", ["newcombe", "score"])
def test_intervals_hold_the_truth(method):
    random = np.random.default_rng(0)
    x1, x2 = random.binomial(80, 0.15, 200), random.binomial(60, 0.05, 200)
    found = [two_proportions((a, b), (80, 60), method=method) for a, b in zip(x1, x2, strict=True)]
    assert 0.92 <= np.mean([one.difference.low <= 0.1 <= one.difference.high for one in found]) <= 0.99
    assert 0.92 <= np.mean([one.ratio.low <= 3 <= one.ratio.high for one in found]) <= 0.99


@pytest.mark.parametrize(
    ("base", "lift", "ratio"), [(0.2, 1.265, 1.0), (0.02, 2.0, 1.0), (0.3, 0.7, 2.0), (0.1, 1.5, 0.5)]
)
def test_sizes_and_power_are_those_of_statsmodels(base, lift, ratio):
    first, second = required_sample(base, lift, ratio=ratio, power=0.9, alpha=0.01)
    assert first == pytest.approx(ratio * second, abs=1)
    of = lambda n2: proportion.power_proportions_2indep(
        base * lift - base, base, ratio * n2, ratio=1 / ratio, alpha=0.01, return_results=False
    )
    assert of(second) >= 0.9 - 1e-3 and of(second - 2) <= 0.9 + 1e-3
    assert power_of(base, lift, ratio * second, second, alpha=0.01) == pytest.approx(of(second), abs=1e-6)
    assert required_sample(base, lift, spread=2.0).second == pytest.approx(
        2 * required_sample(base, lift).second, abs=2
    )


def test_power_is_what_simulated_tests_find():
    random = np.random.default_rng(0)
    first, second = required_sample(0.2, 1.5, power=0.8)
    draws = zip(random.binomial(first, 0.3, 400), random.binomial(second, 0.2, 400), strict=True)
    shown = [two_proportions(pair, (first, second)).p < 0.05 for pair in draws]
    assert 0.74 <= np.mean(shown) <= 0.86


def test_accounts_with_several_rows_count_as_fewer():
    random = np.random.default_rng(0)
    accounts = np.repeat(np.arange(200), 10)
    prioritized = accounts < 100
    outcomes = np.repeat(random.random(200) < np.where(np.arange(200) < 100, 0.3, 0.2), 10)  # all rows alike
    found = rate_impact(outcomes, prioritized, accounts=accounts)
    by_account = rate_impact(outcomes[::10], prioritized[::10])
    assert found.spread == pytest.approx((10 * 100 / 99, 10 * 100 / 99))
    assert found.difference[1:] == pytest.approx(by_account.difference[1:], abs=2e-3)
    assert np.isnan(found.p_exact) and found.successes == (outcomes[:1000].sum(), outcomes[1000:].sum())
    naive = rate_impact(outcomes, prioritized)
    assert naive.difference.high - naive.difference.low < 0.5 * (found.difference.high - found.difference.low)


def test_dependent_rows_raise_an_alarm_no_more_often_than_said():
    random = np.random.default_rng(1)
    accounts = np.repeat(np.arange(120), 8)
    ps = []
    for _ in range(200):
        rate = random.beta(1, 4, 120)
        ps.append(rate_impact(random.random(960) < rate[accounts], accounts < 60, accounts=accounts).p)
    assert 0.01 <= np.mean(np.array(ps) < 0.05) <= 0.1


def test_opportunities_are_a_quasi_poisson_regression():
    sm = pytest.importorskip("statsmodels.api")
    random = np.random.default_rng(0)
    prioritized = np.arange(400) < 150
    exposure = random.uniform(0.5, 2, 400)
    counts = random.poisson(random.gamma(2, 0.5, 400) * np.where(prioritized, 1.34, 1) * exposure)
    found = opportunities(counts, prioritized, exposure=exposure, randomized=True)
    design = sm.add_constant(prioritized.astype(float))
    fitted = sm.GLM(counts, design, family=sm.families.Poisson(), exposure=exposure).fit(scale="X2")
    assert np.log(found.ratio.value) == pytest.approx(fitted.params[1], abs=1e-8)
    assert found.spread[0] == pytest.approx(fitted.scale, rel=1e-8)
    half = stats.t.ppf(0.975, 398) * fitted.bse[1]
    assert np.log(found.ratio[1:]) == pytest.approx([fitted.params[1] - half, fitted.params[1] + half], rel=1e-6)
    assert f"{100 * (found.ratio.value - 1):.3g} % more [" in found.sentence


def test_sentences_say_what_was_found():
    reached = np.arange(2000) % 1000 < np.repeat([253, 200], 1000)
    won = win_rate(reached, np.arange(2000) < 1000)
    assert "25.3 % where prioritized and 20 % where not: 5.3 points more [1.63, 8.95]" in won.sentence
    lost = win_rate(reached, np.arange(2000) >= 1000)
    assert "5.3 points less [1.63, 8.95]" in lost.sentence
    for report, name in ((open_rate, "open rate"), (click_through, "click-through rate")):
        found = report(reached, np.arange(2000) < 1000)
        assert re.search(rf"The {name} is .*: 1.26 times as much \[1.07, 1.49\]", found.sentence)


def test_groups_that_were_not_alike_are_told_so():
    random = np.random.default_rng(0)
    score, region = random.random(500), random.choice(["EMEA", "APAC"], 500)
    covariates = pd.DataFrame({"score": score, "region": region, "employees": random.lognormal(size=500)})
    reached = random.random(500) < 0.2
    chosen = rate_impact(reached, score > 0.6, covariates=covariates)
    assert len(chosen.warnings) == 2 and "they differ in score more than by chance" in chosen.warnings[1]
    drawn = rate_impact(reached, random.permutation(500) < 250, covariates=covariates, randomized=True)
    assert drawn.warnings == ()
    assert "But: " in repr(chosen) and "But: " not in repr(drawn)


def test_balance_against_scipy():
    random = np.random.default_rng(0)
    first = np.arange(300) < 120
    table = pd.DataFrame(
        {"a": random.normal(size=300) + 0.5 * first, "b": random.choice(["x", "y", "z"], 300), "c": 1.0, "d": "same"}
    )
    table.loc[5:20, "a"] = np.nan
    found = balance(table, first).set_index("column")
    groups = [table["a"][rows].dropna() for rows in (first, ~first)]
    assert found.loc["a", "p"] == pytest.approx(stats.ttest_ind(*groups, equal_var=False).pvalue)
    crossed = pd.crosstab(table["b"], first)
    assert found.loc["b", "p"] == pytest.approx(stats.chi2_contingency(crossed, correction=False).pvalue)
    assert found.loc["a", "unbalanced"] and not found.loc[["b", "c", "d"], "unbalanced"].any()
    assert found.loc[["c", "d"], "p"].tolist() == [1, 1]


def test_what_cannot_be_compared_is_told_so():
    half, zeros = np.arange(10) < 5, np.zeros(10)
    with pytest.raises(DataError, match="all of 10 rows are in one group"):
        rate_impact(zeros, np.ones(10, bool))
    with pytest.raises(DataError, match=r"accounts\.account: is in both groups \(1 row; first: b\)"):
        rate_impact(zeros, half, accounts=list("aaaabbcccc"))
    with pytest.raises(DataError, match="outcomes: 10 of 10 are neither 0 nor 1"):
        rate_impact(np.full(10, np.nan), half)
    with pytest.raises(DataError, match="prioritized: expected bool"):
        rate_impact(zeros, zeros)
    with pytest.raises(DataError, match="counts: a group has none"):
        opportunities(zeros, half)
    with pytest.raises(DataError, match="counts and exposure"):
        opportunities(zeros - 1, half)
    with pytest.raises(DataError, match="expected 0 <= successes <= totals"):
        two_proportions((3, 1), (2, 5))
    with pytest.raises(ConfigError, match="method"):
        two_proportions((1, 1), (2, 5), method="wald")
    with pytest.raises(ConfigError, match="base_rate, lift"):
        required_sample(0.2, 1.0)
    with pytest.raises(ConfigError, match="shown"):
        rate_impact(zeros, half, shown="percent")
