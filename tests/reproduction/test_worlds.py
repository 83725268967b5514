"""Data and split: what is held out stays out, and what tabular models are given is counted right."""

import dataclasses
import functools

import numpy as np
import pytest

from hanjax.config import PanelConfig
from hanjax.errors import DataError
from hanjax.evaluation.metrics import auc
from hanjax.reproduction.analyses import last_week
from hanjax.reproduction.counts import activity_totals, features, fit_counts, oracle
from hanjax.reproduction.learn import learn
from hanjax.reproduction.members import true_interest
from hanjax.reproduction.rows import row_named
from hanjax.reproduction.worlds import encode_world, eventually, given_world, simulated_world
from hanjax.simulation import log_oracle
from hanjax.simulation.settings import MarketConfig

VOLUMES = dataclasses.replace(PanelConfig.paper(), volumes=True)


@functools.cache
def world():
    return simulated_world(MarketConfig(accounts=90, conversions=0.3, seed=4), fresh=30)


@functools.cache
def panels():
    return encode_world(world(), VOLUMES)


def test_the_paper_s_split_and_nothing_of_the_test_in_training():
    train, test = (set(panel.samples["account_id"]) for panel in (panels().train, panels().tests["test"]))
    assert not train & test
    assert (~world().training).sum() == round(90 * 381 / 2516)
    assert len(panels().accounts["fresh"]) == 30


def test_a_third_keeps_the_test_and_has_another_digest():
    small = world().third()
    assert small.training.sum() == pytest.approx(world().training.sum() / 3, abs=1.5)
    assert not (small.training & ~world().training).any()
    assert small.digest != world().digest and small.fresh is None and small.digest == world().third().digest


def test_other_data_or_another_split_have_another_digest():
    tables = world().tables
    alike = given_world(tables).digest
    assert given_world(tables).digest == alike
    assert given_world(tables._replace(events=tables.events.iloc[1:])).digest != alike
    folds = tables.accounts[["account_id"]].assign(fold=np.arange(90) % 2)
    assert given_world(tables._replace(folds=folds)).digest != alike


def test_one_sample_an_account_for_the_static_task():
    panel = panels().tests["test"]
    static = eventually(panel, place=8)
    assert static.samples["account_id"].is_unique
    for sample, label in zip(static.samples.itertuples(), static.batch.label[:, 0], strict=True):
        own = panel.samples["account_id"] == sample.account_id
        assert (panel.samples["cutoff"][own].sort_values().iloc[7]) == sample.cutoff
        assert label == np.nanmax(panel.batch.label[own.to_numpy(), 0])


def test_features_are_counts_of_the_log():
    panel, tables = panels().tests["test"], world().tables
    width = panel.batch.counts.shape[1]
    found = np.expm1(features(panel)[:, : 4 * width]).reshape(-1, 4, width).sum(axis=2)
    events = tables.events
    gone = tables.events[tables.events["activity"] == "unsubscribe email"]["individual_id"]
    left = tables.individuals["account_id"][tables.individuals["individual_id"].isin(gone)]
    accounts = set(tables.accounts["account_id"]) - set(left)
    checked = 0
    for row, sample in enumerate(panel.samples.itertuples()):
        if sample.account_id in accounts and row % 7 == 0:
            week = np.timedelta64(7, "D")
            stamp = events["timestamp"][events["account_id"] == sample.account_id]
            starts = [sample.cutoff - back * week for back in (4, 3, 2, 1)]
            counts = [((stamp >= start) & (stamp < start + week)).sum() for start in starts]
            np.testing.assert_allclose(found[row], counts, rtol=1e-4, atol=1e-4)
            assert last_week(panel)[row] == counts[-1]
            assert activity_totals(panel)[row].sum() == sum(counts)
            checked += 1
    assert checked > 5


def test_features_hold_the_shares_of_the_members_categories():
    made = panels()
    panel, levels = made.tests["test"], made.sizes.levels
    found = features(panel, levels=levels)[:, features(panel).shape[1] :]
    batch, column = panel.batch, 0
    for f, size in enumerate(levels):
        for level in range(1, size):
            for row in range(0, len(found), 50):
                own = batch.individuals[batch.members[row][batch.members[row] > 0], f]
                assert found[row, column] == pytest.approx((own == level).mean())
            column += 1
    assert found.shape[1] == column > len(levels)


@pytest.mark.parametrize("choose", [False, True])
@pytest.mark.parametrize("kind", ["regression", pytest.param("boosting", marks=pytest.mark.slow)])
def test_classifiers_on_counts_score_every_test(kind, choose):
    found = fit_counts(kind, panels(), seed=0, choose=choose)
    assert {name: len(values) for name, values in found.items()} == {
        name: len(test.samples) for name, test in panels().tests.items()
    }
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_classifier_that_chooses_reads_the_members_categories():
    """The outcome is whether a member has one level of one category, of which counts tell little."""

    def labeled(panel):
        batch = panel.batch
        label = (batch.individuals[batch.members, 0] == 2).any(axis=1).astype(np.float32)
        return panel._replace(batch=batch._replace(label=np.repeat(label[:, None], batch.label.shape[1], axis=1)))

    made = panels()
    made = made._replace(train=labeled(made.train), tests={name: labeled(test) for name, test in made.tests.items()})
    outcome = made.tests["fresh"].batch.label[:, 0]
    blind, seeing = (auc(fit_counts("regression", made, 0, choose=c)["fresh"], outcome) for c in (False, True))
    assert 0.1 < outcome.mean() < 0.9 and seeing > 0.95 and seeing > blind + 0.1


@pytest.mark.parametrize("kind", ["latent_oracle", "log_oracle"])
def test_the_truth_is_that_of_each_test_s_own_market(kind):
    found = oracle(kind, panels(), world())
    assert set(found) == {"test", "fresh"}
    for name, market in (("test", world().market), ("fresh", world().fresh)):
        samples = panels().tests[name].samples
        truth = market.truth if kind == "latent_oracle" else log_oracle(market, accounts=samples["account_id"].unique())
        told = truth.set_index(["account_id", "cutoff"])["probability"]
        expected = [told[key] for key in zip(samples["account_id"], samples["cutoff"], strict=True)]
        np.testing.assert_allclose(1 / (1 + np.exp(-found[name])), expected, atol=1e-9)
    with pytest.raises(DataError, match="simulated"):
        oracle("latent_oracle", panels(), given_world(world().tables))
    with pytest.raises(DataError, match="W-SAT"):
        oracle(kind, encode_world(world(), PanelConfig(period="M")), world())


def test_everybody_s_interest_is_known():
    panel, truth = panels().tests["test"], world().market.individual_truth
    interest = true_interest(panel, truth)
    np.testing.assert_array_equal(~np.isnan(interest), panel.batch.member_mask)


def test_volumes_are_asked_for():
    plain = encode_world(world(), PanelConfig.paper())
    with pytest.raises(DataError, match="volumes"):
        features(plain.train)


@pytest.mark.slow
def test_seeds_trained_side_by_side_score_as_each_alone():
    row = row_named("experiment-4")
    config = row.config(1, world().settings)
    data = encode_world(world(), config.panel)
    together = learn(row, config, [0, 1], world(), data)
    alone = (next(learn(row, config, [seed], world(), data)) for seed in (0, 1))
    scores = [[one.scores["test"].score for one in found] for found in (together, alone)]
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert not np.allclose(*scores[0], atol=1e-4)
