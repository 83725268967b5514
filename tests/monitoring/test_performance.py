"""Charts and windows: figures against plain NumPy, alarms as rare as said without a change, and there with one."""

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.metrics import auc
from hanjax.monitoring import exit_code, performance_over_time
from hanjax.monitoring.chart import chart
from hanjax.monitoring.performance import calibration_intercept

WEEKS = pd.date_range("2024-01-07", periods=60, freq="7D")


def outcomes(weeks=40, accounts=120, seed=0, shift=0.0, useless=False, begin=20):
    """Scores that are true up to a week; from then on log-odds are shifted, or say nothing."""
    random = np.random.default_rng(seed)
    n = weeks * accounts
    week = np.repeat(np.arange(weeks), accounts)
    logit = random.normal(-3.0, 1.2, n)
    truth = np.where(week >= begin, (random.permutation(logit) if useless else logit) + shift, logit)
    return pd.DataFrame(
        {
            "account_id": np.tile(np.arange(accounts), weeks) + 1000 * (week // 8),
            "cutoff": WEEKS[week],
            "probability": 1 / (1 + np.exp(-logit)),
            "label": random.binomial(1, 1 / (1 + np.exp(-truth))),
            "region": random.choice(["EMEA", "APAC"], n),
        }
    )


def test_the_chart_is_the_one_of_the_equation():
    table = outcomes(weeks=12, accounts=40, seed=3)
    found = chart(table["probability"], table["label"], table["cutoff"], odds=2.0)
    sums = np.zeros(2)
    for (_, rows), row in zip(table.groupby("cutoff"), found.course.itertuples(), strict=True):
        for k, ratio in enumerate((2.0, 0.5)):
            p, y = rows["probability"].to_numpy(), rows["label"].to_numpy()
            step = sum(
                np.log(ratio if hit else 1) - np.log(1 - one + ratio * one) for one, hit in zip(p, y, strict=True)
            )
            sums[k] = max(0, sums[k] + step)
        assert [row.more, row.fewer] == pytest.approx(sums.tolist())
        assert row.expected == pytest.approx(rows["probability"].sum()) and row.conversions == rows["label"].sum()
    assert found.course["alarm"].eq("").all() and found.course["more"].max() < found.threshold


def alarm_rate(worlds, accounts=40, **settings):
    """In which share of years there is an alarm, with probabilities that are true."""
    found = []
    for world in range(worlds):
        random = np.random.default_rng(world)
        p = random.beta(0.5, 12, (52, accounts))
        result = chart(
            p.ravel(), random.binomial(1, p).ravel(), np.repeat(np.arange(52), accounts), seed=world, **settings
        )
        found.append(result.course["alarm"].ne("").any())
    return np.mean(found)


def test_false_alarms_of_the_chart_are_as_rare_as_said():
    assert 0.08 <= alarm_rate(60, accounts=15, false_alarms=0.25, simulations=400) <= 0.42


@pytest.mark.slow
def test_false_alarms_of_the_chart_are_as_rare_as_said_in_many_years():
    assert 0.04 <= alarm_rate(200, false_alarms=0.1) <= 0.16


@pytest.mark.parametrize(("shift", "said"), [(0.7, "more"), (-0.9, "fewer")])
def test_other_odds_are_found_within_some_weeks(shift, said):
    delays = []
    for seed in range(5):
        table = outcomes(seed=seed, shift=shift)
        course = chart(table["probability"], table["label"], table["cutoff"], simulations=500).course
        alarms = course.index[course["alarm"] == said]
        assert len(alarms) and not course["alarm"][:20].ne("").any()
        delays.append(alarms[0] - 20)
    assert np.median(delays) <= 8 and min(delays) >= 0


def test_small_periods_are_drawn_as_they_are_and_large_ones_in_groups():
    """24 groups of like probabilities have the same spread as the probabilities themselves."""
    random = np.random.default_rng(0)
    p = random.beta(0.5, 12, 2000)
    parts = np.array_split(np.sort(p), 24)
    grouped = sum(len(part) * part.mean() * (1 - part.mean()) for part in parts)
    assert grouped == pytest.approx((p * (1 - p)).sum(), rel=1e-2)
    few = chart(p, random.binomial(1, p), np.arange(2000) // 1000, per_year=10, simulations=1000)
    assert 0 < few.threshold < 20


def test_windows_hold_what_pandas_says():
    table = outcomes(weeks=30)
    table.loc[::7, "label"] = np.nan
    found = performance_over_time(table, least=15, resamples=200)
    known = table.dropna(subset="label")
    windows = found.windows
    assert windows["samples"].sum() == len(known) and windows["conversions"].sum() == known["label"].sum()
    assert found.notes == (f"{table['label'].isna().sum()} samples left out: no outcome of 0 or 1 yet.",)
    assert windows["first"].tolist()[1:] == [last + pd.Timedelta(days=7) for last in windows["last"][:-1]]
    assert (windows["expected"][windows["complete"]] >= 15).all()
    for row in windows[windows["complete"]].itertuples():
        some = known[known["cutoff"].between(row.first, row.last)]
        p, y = some["probability"].to_numpy(), some["label"].to_numpy()
        assert row.expected == pytest.approx(p.sum()) and row.ratio == pytest.approx(y.sum() / p.sum())
        assert row.auc == auc(p, y) and row.log_loss == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean())
        fitted = 1 / (1 + np.exp(-np.log(p / (1 - p)) - row.intercept))
        assert fitted.sum() == pytest.approx(y.sum())
        for name in ("ratio", "intercept", "auc", "log_loss", "lift"):
            assert getattr(row, f"{name}_low") < getattr(row, name) < getattr(row, f"{name}_high")
    assert found.ok and exit_code(found) == 0 and "conversions" in repr(found)


def test_the_intercept_and_its_deviation():
    sm = pytest.importorskip("statsmodels.api")
    random = np.random.default_rng(0)
    accounts, logit = np.repeat(np.arange(100), 5), random.normal(-1, 1, 500)
    y = random.binomial(1, 1 / (1 + np.exp(-logit - np.repeat(random.normal(0.5, 1, 100), 5))))
    found = calibration_intercept(1 / (1 + np.exp(-logit)), y, accounts)
    fitted = sm.GLM(y, np.ones((500, 1)), family=sm.families.Binomial(), offset=logit).fit(
        cov_type="cluster", cov_kwds={"groups": accounts, "use_correction": False}
    )
    assert found == pytest.approx((fitted.params[0], fitted.bse[0]), rel=1e-6)
    assert calibration_intercept(np.full(3, 0.1), np.zeros(3), np.arange(3))[0] == -np.inf
    assert calibration_intercept(np.array([0.0, 1.0, 0.5]), np.array([0, 1, 1]), np.arange(3))[0] > 0


def test_scores_that_stop_to_tell_are_an_alarm():
    found = performance_over_time(outcomes(accounts=200, useless=True), resamples=300, least=20)
    areas = found.alarms[found.alarms["kind"] == "AUC"]
    assert len(areas) and areas["period"].min() > WEEKS[20] and areas["severity"].isin(["alarm", "warning"]).all()
    assert ((areas["severity"] == "alarm") == (areas["period"] >= WEEKS[27])).all()
    assert "below the 0.8" in areas["sentence"].iloc[0] or "below the 0.7" in areas["sentence"].iloc[0]
    assert not found.ok and exit_code(found) == 4


def test_a_change_of_one_segment_is_said_of_it():
    table = outcomes(weeks=40, accounts=200)
    changed = (table["region"] == "APAC") & (table["cutoff"] >= WEEKS[20])
    table.loc[changed, "label"] = np.random.default_rng(5).binomial(1, 0.35, changed.sum())
    found = performance_over_time(table, segments=["region"], resamples=100)
    assert set(found.alarms.loc[found.alarms["kind"] == "more conversions", "segment"]) >= {"region=APAC"}
    assert "region=EMEA" not in set(found.alarms["segment"])
    assert found.windows["segment"].unique().tolist() == ["", "region=APAC", "region=EMEA"]


def test_an_alarm_of_the_past_is_a_warning():
    table = outcomes(weeks=50, shift=1.0, begin=8)
    true = table["cutoff"] >= WEEKS[14]
    random = np.random.default_rng(9)
    table.loc[true, "label"] = random.binomial(1, table.loc[true, "probability"])
    found = performance_over_time(table, resamples=100)
    assert set(found.alarms["severity"]) == {"warning"} and found.ok and found.severity == "warning"
    assert exit_code(found) == 0 and exit_code(found, strict=True) == 3


def test_an_alarm_of_a_segment_that_ended_is_one_of_the_past():
    table = outcomes(weeks=40, accounts=100, shift=1.2, begin=10)
    random = np.random.default_rng(3)
    true = table["region"] == "EMEA"
    table.loc[true, "label"] = random.binomial(1, table.loc[true, "probability"])
    table = table[true | (table["cutoff"] < WEEKS[16])]
    found = performance_over_time(table, segments=["region"], resamples=100).alarms
    ended = found[found["segment"] == "region=APAC"]
    assert len(ended) and set(ended["severity"]) == {"warning"}
    recent = performance_over_time(table, segments=["region"], resamples=100, recent=30).alarms
    assert "alarm" in set(recent.loc[recent["segment"] == "region=APAC", "severity"])


def alarmed(worlds):
    tables = (outcomes(weeks=52, accounts=60, seed=world) for world in range(worlds))
    return np.mean([len(performance_over_time(table, resamples=300).alarms) > 0 for table in tables])


def test_years_without_a_change_rarely_have_an_alarm():
    """Two kinds of alarm, each in a tenth of years."""
    assert alarmed(4) <= 0.5


@pytest.mark.slow
def test_years_without_a_change_have_an_alarm_as_rarely_as_said():
    assert alarmed(50) <= 0.34


def test_periods_may_be_numbers_and_the_reference_is_where_it_is_said():
    table = outcomes(weeks=20).assign(period=lambda t: t.groupby("cutoff").ngroup())
    found = performance_over_time(table, period="period", reference=10, resamples=50)
    assert found.windows.loc[found.windows["reference"], "last"].max() < 10
    later = found.windows["complete"] & ~found.windows["reference"]
    assert found.windows.loc[later, "auc_p"].notna().all()
    zoned = table.assign(cutoff=table["cutoff"].dt.tz_localize("Europe/Berlin"))
    dated = performance_over_time(zoned, reference="2024-03-17", resamples=50)
    assert dated.windows["reference"].tolist() == found.windows["reference"].tolist()


@pytest.mark.parametrize("label", [0, 1])
def test_one_outcome_alone(label):
    table = outcomes(weeks=6, accounts=20).assign(label=label)
    found = performance_over_time(table, resamples=50, least=2)
    assert found.windows["complete"].any() and found.windows["auc"].isna().all()
    if not label:
        assert (found.windows["ratio"] == 0).all() and (found.windows["ratio_high"] > 0).all()


def test_a_single_sample_and_nothing():
    one = outcomes(weeks=1, accounts=1)
    assert performance_over_time(one, resamples=50).windows["samples"].tolist() == [1]
    with pytest.raises(DataError, match="none of 0 rows has a known outcome"):
        performance_over_time(one[:0])
    with pytest.raises(DataError, match="there is no column label"):
        performance_over_time(one.drop(columns="label"))
    with pytest.raises(ConfigError, match="least: expected 2"):
        performance_over_time(one, least=0)
    with pytest.raises(ConfigError, match="odds: expected more than 1"):
        chart([0.1], [0], [1], odds=1.0)
    with pytest.raises(DataError, match="probabilities must lie in 0..1"):
        chart([1.1], [0], [1])
    assert chart([], [], []).course.empty
