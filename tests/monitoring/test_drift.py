"""Planted faults are found, and what has not changed is left alone, as often as is said."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.drift import jensen_shannon, population_stability
from hanjax.monitoring import check_drift, exit_code, reference_of
from hanjax.monitoring import reference as reference_module
from hanjax.monitoring.chance import exceeding
from hanjax.monitoring.drift import SHANNON, STABILITY, DriftReport
from tests.monitoring.examples import table

REFERENCE = reference_of({"accounts": table(300, 6)}, segments=["region"])


def now(seed=1, **shape):
    return table(**{"accounts": 200, "rows": 3, "seed": seed, **shape}).assign(period=lambda t: t["period"] + 3)


def check(frame, reference=REFERENCE, **settings):
    return check_drift(reference, {"accounts": frame}, resamples=200, **settings)


def severity(report, column, statistic, segment=""):
    found = report.findings
    found = found[(found["column"] == column) & (found["statistic"] == statistic) & (found["segment"] == segment)]
    assert len(found) == 1
    return found.iloc[0]


def alarmed(report):
    return set(report.findings.loc[report.findings["severity"] == "alarm", "column"])


def test_what_has_not_changed_is_no_alarm():
    report = check(now())
    assert report.ok and exit_code(report) == 0 and not report.alarms
    told = severity(report, "dollars", STABILITY)
    assert told["value"] < told["threshold"] and "about as in training" in told["sentence"]


def test_a_shifted_column_is_an_alarm_and_no_other_column_is():
    report = check(now().assign(budget=lambda t: t["budget"] + 0.8))
    assert alarmed(report) == {"budget"} and exit_code(report) == 4
    told = severity(report, "budget", STABILITY)
    assert told["value"] > told["threshold"] and told["p"] < 1e-4
    assert "distributed otherwise than in training" in told["sentence"] and "median" in told["sentence"]


def test_cents_instead_of_dollars():
    report = check(now().assign(dollars=lambda t: 100 * t["dollars"]))
    assert alarmed(report) == {"dollars"}
    told = severity(report, "dollars", STABILITY)
    before, after = re.search(r"the median was (\S+) and is ([\d,.]+);", told["sentence"]).groups()
    assert told["value"] > 1 and 50 < float(after.replace(",", "")) / float(before) < 200


def test_a_column_that_becomes_empty():
    report = check(now().assign(budget=np.nan))
    told = severity(report, "budget", "fill rate")
    assert told["severity"] == "alarm" and told["value"] == 0
    assert alarmed(report) == {"budget"}
    assert not (report.findings["statistic"] == STABILITY)[report.findings["column"] == "budget"].any()


def test_a_fill_rate_that_falls_within_some_accounts():
    frame = now()
    lost = frame["account_id"].isin(frame["account_id"].unique()[:60])
    report = check(frame.assign(dollars=frame["dollars"].mask(lost)))
    assert severity(report, "dollars", "fill rate")["severity"] == "alarm"
    few = frame["account_id"].isin(frame["account_id"].unique()[:3])
    assert severity(check(frame.assign(dollars=frame["dollars"].mask(few))), "dollars", "fill rate")["severity"] == "ok"


def test_a_new_level_is_counted_and_named():
    frame = now()
    some = frame["account_id"].isin(frame["account_id"].unique()[:40])
    report = check(frame.assign(industry=frame["industry"].mask(some, "crypto")))
    told = severity(report, "industry", "new levels")
    assert told["severity"] == "alarm" and told["value"] == 40 and "20 % of the rows; first: crypto" in told["sentence"]
    one = frame["account_id"] == frame["account_id"].iloc[0]
    report = check(frame.assign(industry=frame["industry"].mask(one, "crypto")))
    assert severity(report, "industry", "new levels")["severity"] == "warning" and report.ok
    assert exit_code(report, strict=True) == 3


def test_levels_that_one_account_has_let_expect_others():
    names = lambda seed: table(400, 1, seed).assign(
        industry=lambda t: t["industry"].where(np.arange(400) % 8 > 0, [f"{seed}-{i}" for i in range(400)])
    )
    reference = reference_of({"accounts": names(0)})
    told = severity(check(names(1), reference), "industry", "new levels")
    assert reference.tables["accounts"].columns["industry"].single == 50
    assert told["value"] == 50 and told["severity"] == "ok"
    assert told["p"] == pytest.approx(stats.betabinom.sf(49, 400, 51, 350))


def test_a_shift_within_one_segment_that_the_total_does_not_show():
    """One small region doubles and another one halves: together they are as before."""
    frame = now(accounts=500)
    up, down = frame["region"] == "APAC", frame["region"] == "AMER"
    share = up.sum() / down.sum()
    some = down & (np.random.default_rng(0).random(len(frame)) < share)
    swapped = frame.copy()
    low, high = frame["budget"].quantile([0.35, 0.65])
    # Within APAC the low become high, and as many of AMER's high become low.
    raised, lowered = up & (frame["budget"] < low), some & (frame["budget"] > high)
    swapped.loc[raised, "budget"] = high + (low - frame.loc[raised, "budget"])
    swapped.loc[lowered, "budget"] = low - (frame.loc[lowered, "budget"] - high)
    report = check(swapped)
    assert severity(report, "budget", STABILITY)["severity"] == "ok"
    assert severity(report, "budget", STABILITY, "region=APAC")["severity"] == "alarm"
    assert severity(report, "budget", STABILITY, "region=EMEA")["severity"] == "ok"
    assert not report.ok


def test_a_range_is_left_by_chance_as_often_as_is_said():
    """The exact distribution, by drawing; and a unit that changes for so few accounts that bins would not show it."""
    random = np.random.default_rng(0)
    before, after = random.random((20_000, 12)), random.random((20_000, 8))
    left = ((after < before.min(axis=1)[:, None]) | (after > before.max(axis=1)[:, None])).sum(axis=1)
    for k in (1, 2, 4, 6):
        assert exceeding(k, 8, known=12, unlike=2) == pytest.approx((left >= k).mean(), abs=0.01)
    reference = reference_of({"accounts": table(13, 5)})
    few = table(12, 1, seed=1)
    assert check(few, reference).ok
    report = check(few.assign(dollars=1000 * few["dollars"]), reference)
    told = severity(report, "dollars", "outside the range")
    assert told["severity"] == "alarm" and "100 % of the rows; it now is" in told["sentence"]


def test_a_late_feed():
    frames = {"accounts": table(300, 6), "usage": table(300, 6)[["account_id", "period", "visits"]]}
    reference = reference_of(frames)
    usage = now()[["account_id", "period", "visits"]]
    report = check_drift(reference, {"accounts": now(), "usage": usage[usage["period"] < 5]}, resamples=50)
    late = report.findings[report.findings["table"] == "usage"].set_index("statistic")
    assert late.loc["latest row", "severity"] == "alarm" and late.loc["latest row", "value"] == 1
    assert late.loc["rows per account", "severity"] == "alarm" and late.loc["rows per account", "value"] == 0
    assert "the latest row is 1 period old; in training it was 0 at most" in late.loc["latest row", "sentence"]
    report = check_drift(reference, {"accounts": now(), "usage": usage[:0]}, resamples=50)
    assert "usage has no rows." in report.alarms
    both = check_drift(reference, {"accounts": now(), "usage": usage}, resamples=50)
    assert both.ok
    later = check_drift(reference, {"accounts": now(), "usage": usage}, resamples=50, now=7)
    assert sum("old" in alarm for alarm in later.alarms) == 2


def test_a_feed_of_every_third_period_may_be_late():
    whole = table(300, 9)
    reference = reference_of({"accounts": whole, "seats": whole[whole["period"] % 3 == 0]})
    frame = now(rows=3)
    report = check_drift(reference, {"accounts": frame, "seats": frame[frame["period"] == 3]}, resamples=50)
    assert (
        (report.findings[report.findings["table"] == "seats"].set_index("statistic")["severity"]["latest row"]) == "ok"
    )
    report = check_drift(reference, {"accounts": frame, "seats": frame[:0]}, resamples=50)
    assert not report.ok


def test_a_quiet_period_like_those_of_training_is_no_alarm():
    """Nothing comes at weekends, and a Monday looks back on a Sunday alone."""
    whole, usage = table(40, 14), table(40, 14).query("period % 7 < 5")
    reference = reference_of({"accounts": whole, "usage": usage})
    sunday = whole[whole["period"] == 6].assign(period=20)
    look = lambda **latest: (
        check_drift(reference, {"accounts": sunday, "usage": usage[:0]}, resamples=20, latest=latest)
        .findings.query("table == 'usage' and statistic == 'latest row'")
        .iloc[0]
    )
    quiet, known, dead = look(), look(usage=18), look(usage=17)
    assert (quiet["severity"], quiet["value"], quiet["threshold"]) == ("ok", 1, 2)
    assert (known["severity"], known["value"]) == ("ok", 2) and (dead["severity"], dead["value"]) == ("alarm", 3)


def test_a_feed_that_brings_half_of_its_rows():
    reference = reference_of({"accounts": table(300, 12), "usage": table(300, 12).query("visits > 0")})
    usage = now().query("visits > 0")
    half = usage[(usage["period"] < 5) | (np.arange(len(usage)) % 2 == 0)]
    report = check_drift(reference, {"accounts": now(), "usage": half}, resamples=50)
    told = report.findings.query("table == 'usage' and statistic == 'rows per account'").iloc[0]
    assert told["severity"] == "alarm" and told["p"] < 1e-3
    assert told["threshold"] < abs(told["value"] - usage.query("period == 5").shape[0] / 200)


def test_schema():
    frame = now().drop(columns="visits").assign(budget=lambda t: t["budget"].astype(str), extra=1)
    report = check(frame)
    found = report.findings[report.findings["statistic"] == "schema"].set_index("column")["severity"]
    assert found[["visits", "budget", "extra", "dollars"]].tolist() == ["alarm", "alarm", "warning", "ok"]
    assert "accounts.budget held numbers and now holds names." in report.alarms
    report = check_drift(REFERENCE, {"other": frame})
    assert report.alarms == ["accounts: the table is missing."]
    assert "other: the reference has no such table." in report.findings["sentence"].tolist()
    assert "alarm: accounts: the table is missing." in repr(report)


def test_values_are_those_of_the_columns_themselves():
    before, after = table(300, 6), now().assign(industry=lambda t: t["industry"].where(t["visits"] != 3, "crypto"))
    report = check(after)
    for column in ("dollars", "visits", "budget", "industry", "region"):
        for statistic, measure in ((STABILITY, population_stability), (SHANNON, jensen_shannon)):
            expected = measure(before[column].dropna(), after[column].dropna())
            assert severity(report, column, statistic)["value"] == pytest.approx(expected, rel=1e-12)
    emea = [frame.loc[frame["region"] == "EMEA", "visits"] for frame in (before, after)]
    bins = report.bins.query("column == 'visits' and segment == 'region=EMEA'")
    assert bins[["reference", "current"]].sum().tolist() == pytest.approx([1, 1])
    zero = bins.set_index("bin").loc["0"]
    assert zero.tolist()[-2:] == pytest.approx([(part == 0).mean() for part in emea])


def test_many_rows_show_what_does_not_matter():
    frame = now(accounts=1500).assign(budget=lambda t: t["budget"] + 0.25)
    told = severity(check(frame, least=0.0), "budget", STABILITY)
    calm = check(frame, least=0.2)
    assert told["severity"] == "alarm" and told["value"] < 0.2
    assert severity(calm, "budget", STABILITY)["severity"] == "warning" and calm.ok


@pytest.mark.parametrize("grave", [STABILITY, SHANNON])
def test_of_two_measures_the_graver_one_is_told(grave):
    rows = (
        [(STABILITY, "alarm"), (SHANNON, "warning")]
        if grave == STABILITY
        else [(SHANNON, "alarm"), (STABILITY, "warning")]
    )
    rows = [*rows, (STABILITY, "ok"), (SHANNON, "ok")]
    findings = pd.DataFrame(rows, columns=["statistic", "severity"])
    findings = findings.assign(table="t", column=["a", "a", "b", "b"], segment="", sentence=findings["statistic"])
    report = DriftReport(findings, pd.DataFrame(), 0.01)
    assert report.severity == "alarm" and report.alarms == [grave] == report.told["statistic"].tolist()
    equal = DriftReport(
        findings[::-1].replace({"ok": "warning", "alarm": "warning"}).reset_index(drop=True), pd.DataFrame(), 0.01
    )
    assert equal.told["statistic"].tolist() == [STABILITY, STABILITY]


@pytest.mark.parametrize("kept", [5, 60, 340])
def test_segments_of_which_too_few_accounts_are_kept_are_not_compared(kept, monkeypatch):
    monkeypatch.setattr(reference_module, "_ACCOUNTS", kept)
    before = pd.concat([table(300, 2), table(40, 2, seed=7).assign(region="MALTA")])
    after = pd.concat([now(), now(seed=8, accounts=20).assign(region="MALTA")])
    report = check(after, reference_of({"accounts": before}, segments=["region"]))
    compared = "region=MALTA" in set(report.findings["segment"])
    assert report.ok and compared == (kept == 340)
    told = [note for note in report.notes if "region=MALTA: not compared, as the reference kept" in note]
    assert len(told) == (not compared) and all("of its 40 accounts" in note for note in told)


def test_small_and_new_segments_are_said():
    frame = table(300, 2).assign(region=lambda t: t["region"].where(np.arange(600) > 9, "MARS"))
    reference = reference_of({"accounts": frame}, segments=["region"])
    assert reference.tables["accounts"].pooled == ("region=MARS",)
    assert reference.tables["accounts"].parts["region=(small ones)"].accounts == 5
    other = now().assign(region=lambda t: t["region"].where(np.arange(600) > 50, "MOON"))
    report = check(other, reference)
    assert any("region=MOON: training had no such segment (17 accounts)" in note for note in report.notes)
    assert any("few accounts are not looked at one by one: region=MARS" in note for note in report.notes)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_single_account_and_a_constant_column(rows):
    one = pd.DataFrame({"account_id": ["a"] * rows, "value": [7.0] * rows, "flag": [True] * rows})
    reference = reference_of({"t": one})
    assert check_drift(reference, {"t": one}, resamples=50).ok
    many = pd.DataFrame({"value": np.full(200, 7.0), "nothing": np.full(200, np.nan)})
    reference = reference_of({"t": many})
    assert check_drift(reference, {"t": many}, resamples=50).ok
    report = check_drift(reference, {"t": many.assign(value=8.0)}, resamples=50)
    assert alarmed(report) == {"value"}
    assert check_drift(reference, {"t": many.assign(value=[8.0, *many["value"][1:]])}, resamples=50).ok


def test_what_cannot_be_checked_is_told_so():
    with pytest.raises(ConfigError, match="alpha: expected a number between 0 and 1, got 1.5"):
        check(now(), alpha=1.5)
    with pytest.raises(ConfigError, match="resamples: expected 20 at least, got 3"):
        check_drift(REFERENCE, {}, resamples=3)
    with pytest.raises(DataError, match=r"accounts\.period: expected whole numbers of periods"):
        check(now().assign(period="2024-01-01"))
    with pytest.raises(DataError, match="accounts: expected a pandas DataFrame, got list"):
        check([1, 2])
    with pytest.raises(DataError, match=r"accounts\.account_id: is missing \(1 row; first: 0\)"):
        check(now().assign(account_id=[None] + ["a"] * 599))


def rates(worlds, alpha):
    """How often there is an alarm, and how often one distribution has a p of at most alpha."""
    alarms, small = [], []
    for world in range(worlds):
        reference = reference_of({"accounts": table(200, 5, seed=1000 + world)}, segments=["region"])
        frame = now(seed=5000 + world, accounts=100)
        report = check_drift(reference, {"accounts": frame}, alpha=alpha, resamples=100)
        alarms.append(not report.ok)
        small += (report.findings.query(f"statistic == '{STABILITY}' and segment == ''")["p"] <= alpha).tolist()
    return np.mean(alarms), np.mean(small)


def test_alarms_without_any_change_are_as_rare_as_said():
    """Without the accounts' dependence, which rows of one account share, three columns of five would be alarms."""
    alarms, small = rates(25, alpha=0.1)
    assert alarms <= 0.24  # 6 of 25: by chance in 1 of 100 at a rate of 0.1
    assert small <= 0.2


@pytest.mark.slow
def test_alarms_without_any_change_are_as_rare_as_said_in_many_worlds():
    alarms, small = rates(120, alpha=0.05)
    assert alarms <= 0.1
    assert 0.01 <= small <= 0.08
