"""Ranking, crossings and walking forward, on the shared market: against scores, and against doing it by hand."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.calibration import probability
from tests import trained

RUN = trained.trained()
SCORES = hanjax.score(RUN, trained.market())
CUTOFFS = pd.DatetimeIndex(sorted(SCORES.accounts["cutoff"].unique()))


@pytest.mark.parametrize("as_of", [None, "2021-02-17"])
def test_a_ranking_is_of_the_scores_as_of_a_date_beside_the_week_before(as_of):
    ranking = hanjax.rank(RUN, trained.market(), as_of=as_of)
    cutoff = CUTOFFS[-1] if as_of is None else pd.Timestamp("2021-02-14", tz="UTC")
    now, before = (SCORES.accounts[SCORES.accounts["cutoff"] == at] for at in (cutoff, CUTOFFS[CUTOFFS < cutoff][-1]))
    found = ranking.accounts.set_index("account_id")
    expected = now.set_index("account_id")["probability"]
    assert set(found.index) == set(expected.index) and found["probability"].is_monotonic_decreasing
    np.testing.assert_allclose(found["probability"], expected[found.index], atol=1e-6)
    earlier = before.set_index("account_id")["probability"].reindex(found.index)
    np.testing.assert_allclose(found["probability_before"].astype(float), earlier, atol=1e-6)
    assert "probability_low" not in found and "influence" not in ranking.individuals


def test_networks_of_an_ensemble_say_how_far_they_agree():
    each = [jax.tree.map(lambda leaf, s=s: np.asarray(leaf) * s, RUN.params) for s in (1.0, 0.9, 1.2)]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
    run = dataclasses.replace(RUN, params=params, config=RUN.config.replace(ensemble=3))
    accounts = hanjax.rank(run, trained.market()).accounts.set_index("account_id")
    alone = [hanjax.rank(dataclasses.replace(RUN, params=one), trained.market()).accounts for one in each]
    odds = np.stack(
        [np.log(p / (1 - p)) for p in (a.set_index("account_id")["probability"][accounts.index] for a in alone)]
    )
    low = probability(odds.mean(0) - 1.96 * odds.std(0, ddof=1))
    np.testing.assert_allclose(accounts["probability_low"], low, rtol=1e-4)
    assert (accounts["probability_low"] < accounts["probability_high"]).all()


def test_influences_add_up_to_what_sets_an_account_apart():
    ranking = hanjax.rank(RUN, trained.market(), influence=3)
    top = ranking.accounts.head(3).set_index("account_id")["probability"]
    people = ranking.individuals.dropna(subset="influence")
    assert set(people["account_id"]) == set(top.index)
    apart = people.groupby("account_id")["influence"].sum()[top.index] - np.log(top / (1 - top))
    assert np.ptp(apart.to_numpy()) < 1e-5  # less the log-odds of the average account, the same for all


def test_crossings_are_those_of_the_scores():
    threshold = float(SCORES.accounts["probability"].quantile(0.6))
    found = hanjax.crossings(RUN, trained.market(), threshold).set_index("account_id")
    latest = SCORES.accounts[SCORES.accounts["cutoff"] == CUTOFFS[-1]].set_index("account_id")["probability"]
    for account in latest.index:
        its = SCORES.accounts[SCORES.accounts["account_id"] == account].sort_values("cutoff")
        above = its[its["probability"] >= threshold]
        assert (account in found.index) == (len(above) > 0)
        if len(above):
            assert found.loc[account, "first_crossed"] == above["cutoff"].iloc[0]
            assert found.loc[account, "still_above"] == (its["probability"].iloc[-1] >= threshold)
            assert found.loc[account, "probability"] == pytest.approx(latest[account])
    assert len(found) and found["first_crossed"].is_monotonic_decreasing
    whole = found.dropna(subset="expected_from")
    weeks = (whole["expected_from"] - whole["first_crossed"]) / pd.Timedelta(weeks=1)
    assert len(whole) and weeks.nunique() == 1 and weeks.iloc[0] == int(weeks.iloc[0]) >= 0  # one wait for all


def test_a_threshold_that_nobody_reaches_is_an_error():
    with pytest.raises(DataError, match="none reaches 0.999.*the highest is"):
        hanjax.crossings(RUN, trained.market(), 0.999)


CONFIG = trained.CONFIG.replace(epochs=1)


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    return hanjax.walk_forward(trained.market(), "2021-02-10", every=3, config=CONFIG, out=folder), folder


def test_each_step_is_a_training_up_to_its_date_and_a_test_of_what_follows(walk):
    found, folder = walk
    until = [date.strftime("%m-%d") for date in found.steps["until"]]
    assert until == ["02-07", "02-28"] and found.steps["before"][0] == found.steps["until"][1]
    known = found.evaluation.known
    assert found.steps["samples"].sum() == len(known) == found.evaluation.metrics["samples"]
    for step, run in zip(found.steps.itertuples(), found.runs, strict=True):
        assert run.config.train.until == step.until.isoformat() and run.folder == folder / f"{step.until:%Y-%m-%d}"
        alone = hanjax.fit(trained.market(), config=CONFIG.replace(until=str(step.until), test=0.0))
        expected = hanjax.evaluate(alone, trained.market(), before=str(step.before)).known
        own = known[(known["cutoff"] >= step.until) & (known["cutoff"] < step.before)]
        np.testing.assert_allclose(own["probability"], expected["probability"], atol=1e-6)
        assert (own["label"].to_numpy() == expected["label"].to_numpy()).all() and step.samples == len(own)


def test_steps_that_are_there_are_taken(walk, monkeypatch):
    found, folder = walk
    monkeypatch.setattr("hanjax.api.walking.fit", None)
    again = hanjax.walk_forward(trained.market(), "2021-02-10", every=3, config=CONFIG, out=folder, resume=True)
    pd.testing.assert_frame_equal(again.steps, found.steps)


def test_dates_that_leave_nothing_are_refused():
    for start in ("2020-01-01", "2021-03-15"):
        with pytest.raises(DataError, match="leaves nothing to train on or to test on. Choose one from 2021-01"):
            hanjax.walk_forward(trained.market(), start, config=CONFIG)
    with pytest.raises(ConfigError, match="every: expected at least 1 period, got 0"):
        hanjax.walk_forward(trained.market(), "2021-02-10", every=0, config=CONFIG)
