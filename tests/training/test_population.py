"""Models side by side are each what they would be alone, and come to their own ends."""

from operator import itemgetter

import jax
import numpy as np
import pytest

from hanjax.config import ModelConfig, TrainConfig
from hanjax.data.batches import gather, plan_epoch, plan_epochs
from hanjax.errors import ConfigError, RunError
from hanjax.nn.ensemble import ensemble
from hanjax.nn.functional import network
from hanjax.nn.sizes import Sizes
from hanjax.training.fit import fit_panel, validated
from hanjax.training.population import Member, fit_members
from tests.training.standin import Linear, decode, panel

PANEL = panel(120, signal=1.0)
TRAIN, VALIDATION = np.arange(80), np.arange(80, 120)
SETTINGS = dict(epochs=4, batch_size=16, positive_weight=3.0, patience=None)  # 20 steps


class Together(Linear):
    """Compiled by no other test."""


def members(*changes, **all_of_them):
    return [Member(TrainConfig(**{**SETTINGS, **all_of_them, **own})) for own in changes]


def test_each_equals_the_same_model_trained_alone():
    numbers = [
        dict(seed=0, learning_rate=0.01),
        dict(seed=1, learning_rate=0.03, positive_weight=None),
        dict(seed=1, learning_rate=0.01, weight_decay=0.3, gradient_clip=0.5),
    ]
    told = []
    population = members(*numbers)
    trained = fit_members(
        PANEL, TRAIN, VALIDATION, Together(), population, progress=lambda row, **more: told.append((row, more))
    )
    for member, one in zip(population, trained.members, strict=True):
        alone = fit_panel(PANEL, TRAIN, VALIDATION, Linear(), member.config)
        assert one.best_epoch == alone.best_epoch and one.positive_weight == alone.positive_weight
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one.params, alone.params)
        for name in ("loss", "validation_auc", "validation_log_loss"):
            np.testing.assert_allclose(one.history[name], alone.history[name], rtol=1e-4, err_msg=name)
    assert trained.members[0].history["compilations"].tolist() == [2, 0, 0, 0]
    assert [row.epoch for row, _ in told] == [1, 2, 3, 4] and told[-1][1]["done"]


@pytest.mark.slow
def test_networks_that_leave_things_out_and_validate_each_other_do_so_too():
    """Dropout and its rates, ensembles, parts of the samples, moving averages of the parameters."""
    small = dict(aggregator="mean_log_odds", activity_width=3, window_width=3)
    sizes = Sizes(vocabulary=5, levels=(4, 4), numbers=4, max_members=6)
    rates = [(0.5, 0.2), (0.1, 0.0)]
    population = [
        Member(TrainConfig(**{**SETTINGS, "epochs": 2}, ensemble=2, ema_epochs=ema, seed=seed), rate)
        for ema, seed, rate in zip([1.0, 0.5], [3, 4], rates, strict=True)
    ]
    parts = np.arange(120) % 2
    trained = fit_members(
        PANEL, TRAIN, VALIDATION, ensemble(network(ModelConfig(**small), sizes), 2), population, parts=parts
    )
    for member, one, (units, whole) in zip(population, trained.members, rates, strict=True):
        model = network(ModelConfig(**small, dropout=units, member_dropout=whole), sizes)
        alone = fit_panel(PANEL, TRAIN, VALIDATION, ensemble(model, 2), member.config, parts=parts)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one.params, alone.params)
        np.testing.assert_allclose(one.history["validation_auc"], alone.history["validation_auc"], atol=1e-6)
    known = TRAIN[~np.isnan(PANEL.label[TRAIN, 0])]
    np.testing.assert_array_equal(trained.rows, known)  # each network predicts its own part of these


def test_each_comes_to_its_own_end():
    population = members(dict(epochs=1), dict(epochs=3), dict(patience=1, epochs=30, learning_rate=1e-9))
    trained = fit_members(PANEL, TRAIN, VALIDATION, Together(), population)
    lengths = [len(one.history) for one in trained.members]
    assert lengths[:2] == [1, 3] and lengths[2] < 30
    for member, one in zip(population, trained.members, strict=True):
        alone = fit_panel(PANEL, TRAIN, VALIDATION, Linear(), member.config)
        assert len(alone.history) == len(one.history) and alone.best_epoch == one.best_epoch
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one.params, alone.params)


def test_the_logits_of_the_best_epochs_are_given():
    trained = fit_members(PANEL, TRAIN, VALIDATION, Together(), members(dict(seed=0), dict(seed=1, learning_rate=0.3)))
    assert trained.logit.shape == (2, len(trained.rows), 1) and set(trained.rows) < set(VALIDATION)
    for one, logit in zip(trained.members, trained.logit, strict=True):
        found = validated(logit, PANEL.label[trained.rows], one.positive_weight, TrainConfig())
        best = one.history.loc[one.best_epoch - 1]
        np.testing.assert_allclose(found, [best["validation_auc"], best["validation_log_loss"]], rtol=1e-5)


def test_one_that_runs_away_is_alone_in_it():
    population = members(dict(learning_rate=0.01), dict(learning_rate=1e38))
    trained = fit_members(PANEL, TRAIN, VALIDATION, Together(), population)
    assert isinstance(trained.members[1], RunError) and "learning_rate than 1e+38" in str(trained.members[1])
    alone = fit_panel(PANEL, TRAIN, VALIDATION, Linear(), population[0].config)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), trained.members[0].params, alone.params
    )


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Member(TrainConfig(**{**SETTINGS, "batch_size": 8})), "batch_size"),
        (Member(TrainConfig(**SETTINGS, ema_epochs=1.0)), "ema_epochs"),
        (Member(TrainConfig(**SETTINGS), (0.5, 0.0)), "dropout"),
    ],
)
def test_what_makes_another_program_is_refused(other, says):
    with pytest.raises(ConfigError, match=says):
        fit_members(PANEL, TRAIN, VALIDATION, Together(), [*members({}), other])


def test_passes_planned_together_are_those_planned_alone():
    seeds = np.array([[1, 2], [3, 4], [1, 2]], np.uint32)
    plans, which = plan_epochs(PANEL, TRAIN, batch_size=16, seeds=seeds)
    assert plans.samples.shape[1] == 2 and which.tolist() == [0, 1, 0]
    for number, seed in zip(which, seeds, strict=True):
        alone = plan_epoch(PANEL, TRAIN, batch_size=16, seed=seed)
        mine = jax.tree.map(lambda array, number=number: array[:, number], plans)
        for name in ("samples", "mask", "order", "member_windows"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(alone, name))
        for t in range(len(alone.samples)):
            one, other = (decode(gather(PANEL, jax.tree.map(itemgetter(t), plan))) for plan in (mine, alone))
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)
