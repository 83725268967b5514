"""Influence against its definition: all orders of arrival, with the network applied to each group by itself."""

import itertools
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.config import Config, ModelConfig
from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.calibration import probability
from hanjax.nn import Sizes, ensemble, network
from hanjax.nn.functional import Network
from hanjax.nn.han import Scored
from hanjax.nn.pooling import Pooled
from hanjax.scoring.influence import shapley, shapley_values
from hanjax.scoring.scores import score_panel
from hanjax.types import Batch, Panel
from tests import trained
from tests.nn.examples import drawn

W = 5.0
"""The class weight."""


def as_panel(batch):
    b = np.arange(len(batch.mask))
    samples = pd.DataFrame({"account_id": b + 100, "cutoff": pd.Timestamp("2024-01-01"), "period": 0})
    return Panel(
        batch,
        samples.assign(n_members=batch.member_mask.sum(axis=1)),
        np.where(batch.member_mask, np.arange(batch.members.size).reshape(batch.members.shape), -1),
        pd.Index([f"person {i}" for i in range(batch.members.size)]),
    )


@cache
def crowd():
    """Six accounts of up to eight members, one of whom has a place that is not taken before some members."""
    random = np.random.default_rng(0)
    members = np.arange(8) < np.array([4, 8, 1, 3, 2, 7])[:, None]
    members[3] = np.isin(np.arange(8), [1, 4, 5])
    sequences = random.integers(2, 7, (6, 8, 2, 3))
    sequences[0, 2] = 0  # a quiet member
    sequences[0, 3] = sequences[0, 1]  # one who does what another does
    individuals = random.integers(1, 4, (6, 8, 1))
    individuals[0, 3] = individuals[0, 1]
    return as_panel(
        Batch.from_dense(sequences, members=members, individuals=individuals, accounts=random.normal(size=(6, 2)))
    )


@cache
def model(aggregator, several=1):
    """A small network, with parameters for which it is far from linear."""
    config = ModelConfig(aggregator=aggregator, activity_width=3, window_width=3, member_width=4, category_width=2)
    one = network(config, Sizes.of(crowd().batch))
    one = one if several == 1 else ensemble(one, several)
    return one, drawn(jax.eval_shape(one.init, jax.random.key(0)))


def additive(of_activity):
    """A network by hand, in which every activity adds a number to the log-odds of its account."""

    def encode_periods(params, batch):
        return Pooled(of_activity[batch.sequences].sum(axis=1, keepdims=True), jnp.zeros(batch.sequences.shape))

    def encode_windows(params, periods, batch):
        return Pooled(periods[batch.windows].sum(axis=1), jnp.zeros(batch.windows.shape))

    def score(params, windows, batch):
        members = jnp.where(batch.member_mask[..., None], windows[batch.member_windows], 0.0)
        return Scored(members.sum(axis=1), jnp.zeros(batch.members.shape), members)

    unused = lambda *args: None
    return Network(unused, unused, unused, unused, encode_periods, encode_windows, score)  # pyright: ignore


def over_all_orders(net, params, panel, row, baseline):
    """The mean over all orders of arrival of what each member adds, each group being a batch of its own."""
    batch, there = panel.batch, np.flatnonzero(panel.batch.member_mask[row])
    one = batch._replace(
        account=batch.account[[row]], label=batch.label[[row]], mask=batch.mask[[row]],
        members=batch.members[[row]], member_windows=batch.member_windows[[row]],
    )  # fmt: skip
    apply, worth = jax.jit(net.apply), {(): baseline}

    def value(group):
        group = tuple(sorted(group))
        if group not in worth:
            places = np.isin(np.arange(batch.members.shape[1]), there[list(group)])
            worth[group] = float(apply(params, one._replace(members=one.members * places)).logit[0, 0]) - math.log(W)
        return worth[group]

    orders = list(itertools.permutations(range(len(there))))
    added = np.zeros(len(there))
    for order in orders:
        for n, k in enumerate(order):
            added[k] += value(order[: n + 1]) - value(order[:n])
    return added / len(orders), value(range(len(there)))


@pytest.mark.parametrize("aggregator", ["gru_attention", "fnn", pytest.param("at_least_one", marks=pytest.mark.slow)])
def test_exact_values_are_the_means_over_all_orders(aggregator):
    net, params = model(aggregator)
    found = shapley_values(crowd(), net, params, [3, 0], positive_weight=W, baseline=-2.0)
    assert found["account_id"].tolist() == [103] * 3 + [100] * 4
    assert found["individual_id"].tolist() == [f"person {i}" for i in (25, 28, 29, 0, 1, 2, 3)]
    assert (found["standard_error"] == 0).all() and (found["baseline"] == -2).all()
    for row in (3, 0):
        expected, whole = over_all_orders(net, params, crowd(), row, -2.0)
        own = found.query("account_id == 100 + @row")["influence"]
        np.testing.assert_allclose(own, expected, atol=1e-5)
        assert own.sum() - 2.0 == pytest.approx(whole, abs=1e-5)
        assert own.std() > 0.01


def test_an_ensemble_is_divided_as_one():
    net, params = model("gated_attention", several=2)
    found = shapley_values(crowd(), net, params, [0], positive_weight=W, baseline=0.5)
    np.testing.assert_allclose(found["influence"], over_all_orders(net, params, crowd(), 0, 0.5)[0], atol=1e-5)


def test_who_does_the_same_has_the_same_influence():
    found = shapley_values(crowd(), *model("gated_attention"), [0], positive_weight=W, baseline=-1.0)["influence"]
    assert found[1] == pytest.approx(found[3], abs=1e-5) and abs(found[1] - found[0]) > 1e-3


def test_members_who_only_add_get_what_they_add():
    of_activity = jnp.array([0.0, 0.0, 0.3, -1.0, 0.7, 0.0, 2.0])
    found = shapley_values(crowd(), additive(of_activity), {}, range(6), positive_weight=1.0, baseline=0.0)
    batch = crowd().batch
    b, k = np.nonzero(batch.member_mask)
    own = np.asarray(of_activity)[batch.sequences[batch.windows[batch.member_windows]]].sum(axis=(2, 3))
    np.testing.assert_allclose(found["influence"], own[b, k], atol=1e-5)
    assert own[0, 2] == 0 == found["influence"][2]  # whoever adds nothing
    sampled = shapley_values(
        crowd(), additive(of_activity), {}, [1], positive_weight=1.0, baseline=0.0, exact_up_to=2, permutations=4
    )
    np.testing.assert_allclose(sampled["influence"], own[1], atol=1e-5)
    assert (sampled["standard_error"] < 1e-5).all()


def test_of_mean_log_odds_there_is_a_closed_form():
    """Of z_k in a group of K: with H the harmonic sum, the worth of S is the mean over S, and 0 of nobody."""
    random = np.random.default_rng(0)
    z, n = random.normal(size=5), 5
    subsets = (np.arange(1 << n)[:, None] >> np.arange(n) & 1).astype(bool)
    worth = np.array([z[subset].mean() if subset.any() else 0.0 for subset in subsets])
    harmonic = sum(1 / s for s in range(1, n + 1))
    others = (z.sum() - z) / (n - 1)
    np.testing.assert_allclose(shapley(worth), harmonic / n * z - (harmonic - 1) / n * others, atol=1e-12)


def test_a_game_of_nobody_and_of_one():
    assert shapley(np.array([3.0])).tolist() == []
    assert shapley(np.array([3.0, 5.0])).tolist() == [2.0]


def test_another_baseline_shifts_the_members_of_an_account_alike():
    one, other = (
        shapley_values(crowd(), *model("fnn"), [0, 5], positive_weight=W, baseline=b)["influence"] for b in (-2.0, 1.0)
    )
    np.testing.assert_allclose(one - other, np.repeat([3 / 4, 3 / 7], [4, 7]), atol=1e-6)


def test_without_a_baseline_it_is_the_average_accounts():
    net, params = model("fnn")
    scores = score_panel(crowd(), net, params, positive_weight=W)
    found = shapley_values(crowd(), net, params, range(6), positive_weight=W)
    assert probability(found["baseline"]) == pytest.approx(scores.accounts["probability"].mean())
    total = found["baseline"][0] + found.groupby("account_id")["influence"].sum()
    np.testing.assert_allclose(probability(total), scores.accounts["probability"], rtol=1e-4)


@pytest.mark.parametrize("aggregator", ["gru_attention", pytest.param("fnn", marks=pytest.mark.slow)])
def test_sampled_values_are_near_the_exact_ones(aggregator):
    arguments = dict(positive_weight=W, baseline=-1.0)
    exact = shapley_values(crowd(), *model(aggregator), [1, 5], **arguments)
    few, many = (
        shapley_values(crowd(), *model(aggregator), [1, 5], exact_up_to=3, permutations=n, **arguments)
        for n in (60, 960)
    )
    for found in (few, many):
        assert (found["standard_error"] > 0).all()
        assert (np.abs(found["influence"] - exact["influence"]) < 4 * found["standard_error"]).all()
        sums = [table.groupby("account_id")["influence"].sum() for table in (found, exact)]
        np.testing.assert_allclose(*sums, atol=1e-5)
    assert (many["standard_error"] / few["standard_error"]).median() == pytest.approx(1 / 4, rel=0.3)


def test_samples_do_not_depend_on_what_else_is_asked_for():
    arguments = dict(positive_weight=W, baseline=-1.0, exact_up_to=3, permutations=20)
    both = shapley_values(crowd(), *model("fnn"), [5, 0, 1], seed=4, **arguments)
    alone = shapley_values(crowd(), *model("fnn"), [1], seed=4, **arguments)
    np.testing.assert_allclose(both.query("account_id == 101")["influence"], alone["influence"], atol=1e-6)
    other = shapley_values(crowd(), *model("fnn"), [1], seed=5, **arguments)
    assert not np.allclose(other["influence"], alone["influence"], atol=1e-4)


def test_values_add_up_to_the_scores_where_the_model_reads_all_that_there_is():
    config = Config().replace(
        **trained.SIZES, **trained.WIDTHS, volumes=True, gaps=True, window_ages=True, period_input="both", time="gated",
        member_numbers=("periods_since_arrival", "activities"), aggregator="gru",
    )  # fmt: skip
    panel = hanjax.encode(trained.market(), config.panel)
    net = network(config.model, Sizes.of(panel.batch))
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    rows = np.flatnonzero(panel.samples["n_members"] > 1)
    found = shapley_values(panel, net, params, rows, positive_weight=W, exact_up_to=4, permutations=10)
    scores = score_panel(panel, net, params, positive_weight=W).accounts.iloc[rows]
    sums = found.groupby(["account_id", "cutoff"], sort=False)["influence"].sum() + found["baseline"][0]
    np.testing.assert_allclose(probability(sums), scores["probability"], atol=1e-6)
    assert (found["standard_error"] > 0).any() and (found["standard_error"] == 0).any()


@pytest.mark.parametrize("samples", [[], [6], [-1], [0.5]])
def test_samples_that_there_are_not_are_an_error(samples):
    with pytest.raises(DataError, match="samples: expected rows of the panel, 0 to 5"):
        shapley_values(crowd(), *model("fnn"), samples, positive_weight=W, baseline=0.0)


@pytest.mark.parametrize("wrong", [{"exact_up_to": 0}, {"exact_up_to": 17}, {"permutations": 5}, {"permutations": 2}])
def test_settings_that_cannot_work_are_an_error(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        shapley_values(crowd(), *model("fnn"), [0], positive_weight=W, baseline=0.0, **wrong)
