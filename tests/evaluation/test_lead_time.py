"""How early thresholds warn: against a slow reading of each account's story."""

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import DataError
from hanjax.evaluation.lead_time import lead_time


def stories(seed=0, accounts=30):
    """Accounts of 1 to 8 periods; a third of them converts in the last one."""
    random = np.random.default_rng(seed)
    parts = []
    for account in range(accounts):
        length, begin = random.integers(1, 9), random.integers(10, 20)
        label = np.zeros(length)
        label[-1] = account % 3 == 0
        score = np.round(random.random(length) + 0.2 * (account % 3 == 0), 2)
        parts.append(
            pd.DataFrame(
                {"account": account, "period": np.arange(begin, begin + length), "label": label, "score": score}
            )
        )
    return pd.concat(parts).sample(frac=1, random_state=seed)


def read_slowly(table, threshold):
    leads, converting, false, others, watched = [], 0, 0, 0, 0
    for _, story in table.groupby("account"):
        story = story.sort_values("period")
        over = story["period"][story["score"] >= threshold]
        if story["label"].any():
            converting += 1
            end = story["period"][story["label"] == 1].iloc[0]
            if len(over):
                leads.append(end - over.iloc[0])
        else:
            others, watched, false = others + 1, watched + len(story), false + bool(len(over))
    return {
        "warned": len(leads) / converting,
        "median_lead": np.median(leads) if leads else np.nan,
        "mean_lead": np.mean(leads) if leads else np.nan,
        "false_alarms": false / others,
        "false_alarms_per_100": 100 * false / watched,
        "precision": len(leads) / (len(leads) + false) if len(leads) + false else np.nan,
        "alarms": len(leads) + false,
    }


def columns(table):
    return [table[name].to_numpy() for name in ("score", "label", "account", "period")]


def test_each_threshold_is_as_read_story_by_story():
    table = stories()
    thresholds = [0.9, 0.3, 0.62, 1.15, 7.0]
    found = lead_time(*columns(table), thresholds)
    assert found["threshold"].tolist() == thresholds
    for row, threshold in zip(found.to_dict("records"), thresholds, strict=True):
        for name, value in read_slowly(table, threshold).items():
            assert row[name] == pytest.approx(value, nan_ok=True), (threshold, name)


def test_the_last_week_is_no_lead_and_what_comes_after_a_conversion_does_not_count():
    scores, labels = np.array([0.1, 0.8, 0.9, 0.9]), np.array([0, 1, 0, np.nan])
    found = lead_time(scores, labels, ["a"] * 4, [3, 4, 5, 6], [0.8, 0.85])
    assert found["warned"].tolist() == [1.0, 0.0] and found["median_lead"].tolist()[0] == 0
    assert found["alarms"].tolist() == [1, 0] and found["precision"].isna().tolist() == [False, True]


def test_unknown_outcomes_are_left_out():
    table = stories(1)
    unknown = pd.concat([table, table.assign(account=table["account"] + 100, label=np.nan, score=9.0)])
    assert lead_time(*columns(unknown), [0.5]).equals(lead_time(*columns(table), [0.5]))


def test_cutoffs_are_counted_by_their_place_among_those_that_occur():
    table = stories(2)
    numbered = lead_time(*columns(table), [0.6])
    dated = table.assign(period=pd.Timestamp("2024-01-07") + pd.to_timedelta(7 * table["period"], unit="D"))
    assert lead_time(*columns(dated), [0.6]).equals(numbered)


def test_thresholds_are_quantiles_of_the_scores_where_none_are_given():
    table = stories(3)
    found = lead_time(*columns(table))
    assert found["threshold"].is_monotonic_increasing and found["threshold"].is_unique
    assert found["threshold"][0] == pytest.approx(table["score"].median())
    assert found["alarms"].is_monotonic_decreasing
    constant = lead_time(np.full(4, 0.2), [0, 1, 0, 0], ["a", "a", "b", "b"], [1, 2, 1, 2])
    assert constant["threshold"].tolist() == [0.2] and constant["mean_lead"].tolist() == [1.0]


def test_nobody_and_nothing():
    found = lead_time([0.3, 0.4], [0, 0], ["a", "b"], [1, 1], [0.35])
    assert found["warned"].isna().all() and found["false_alarms"].tolist() == [0.5]
    all_convert = lead_time([0.3], [1], ["a"], [1], [0.1])
    assert all_convert["false_alarms"].isna().all() and all_convert["precision"].tolist() == [1.0]
    assert len(lead_time(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))) == 0
    assert lead_time([0.3], [np.nan], ["a"], [1], [0.1])["alarms"].tolist() == [0]


def test_wrong_arguments_are_refused():
    with pytest.raises(DataError, match="thresholds"):
        lead_time([0.3], [1], ["a"], [1], [np.nan])
    with pytest.raises(DataError, match="scores: 1 of 1"):
        lead_time([np.nan], [1], ["a"], [1])
    with pytest.raises(DataError, match="must be"):
        lead_time([0.3], [1], ["a"], [1, 2])
