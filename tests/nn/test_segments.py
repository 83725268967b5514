"""Effects of segments inside the network: equations against slow NumPy, SciPy and integrals."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from hanjax.checks import check_mask_invariance
from hanjax.config import ModelConfig
from hanjax.errors import ConfigError, DataError
from hanjax.nn import Sizes, ensemble, network
from hanjax.nn.aggregators import AGGREGATORS
from hanjax.nn.segments import Segments, gaussian_divergence, posteriors_of
from tests.nn.examples import HORIZONS, NUMBERS, dense, drawn
from tests.nn.variants import settings

LEVELS = (5, 4)
IDS = np.array([[0, 1], [2, 0], [4, 3], [3, 1], [2, 2]], np.int32)


@cache
def module():
    """A module with two factors of three and two known levels, its parameters drawn."""
    random, found = np.random.default_rng(0), Segments(LEVELS, numbers=NUMBERS, horizons=HORIZONS, initial_logit=-2.0)
    shape = found.mean[...].shape
    assert shape == (5, 2 + NUMBERS, HORIZONS)
    found.mean[...], found.log_sd[...] = (jnp.asarray(random.normal(size=shape) * by) for by in (1.0, 0.1))
    return found


@pytest.mark.parametrize(("m", "s", "tau"), [(0.7, 0.2, 0.5), (-3.0, 1.5, 1.0), (0.0, 1e-3, 2.0), (0.0, 1.0, 1.0)])
def test_divergence_is_its_integral(m, s, tau):
    q, p = stats.norm(m, s), stats.norm(0, tau)
    integral, _ = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), m - 12 * s, m + 12 * s)
    np.testing.assert_allclose(gaussian_divergence(*map(jnp.asarray, (m, s, tau))), integral, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_prior_that_is_learned_makes_the_penalty_least():
    each, kinds = module().posteriors(), [slice(0, 1), slice(1, -1), slice(-1, None)]

    def penalty(by):
        """As in the text, with the standard deviations of the priors multiplied."""
        return sum(
            gaussian_divergence(one.mean[:, kind], one.sd[:, kind], by * tau).sum((0, 1))
            for one in each
            for kind, tau in zip(kinds, np.asarray(one.tau)[:, None, None], strict=True)
        )

    np.testing.assert_allclose(module().penalty(), penalty(1.0), rtol=1e-5)
    assert (penalty(1.0) < penalty(0.95)).all() and (penalty(1.0) < penalty(1.05)).all() and (penalty(1.0) > 0).all()
    for one in each:
        np.testing.assert_allclose(one.mean.sum(0), 0, atol=1e-5)
        square = np.asarray(one.mean) ** 2 + np.asarray(one.sd) ** 2
        np.testing.assert_allclose(one.tau[1] ** 2, square[:, 1:-1].mean((0, 1)), rtol=1e-5)


def test_effects_are_those_of_each_sample_s_levels():
    random = np.random.default_rng(1)
    logit, account = random.normal(size=(5, HORIZONS)), random.normal(size=(5, NUMBERS))
    found = jax.vmap(module())(*map(jnp.float32, (logit, account)), IDS)
    mean, variance = np.zeros((5, HORIZONS)), np.zeros((5, HORIZONS))
    for b, ids in enumerate(IDS):
        for level, one in zip(ids, module().posteriors(), strict=True):
            for h in range(HORIZONS) if level >= 2 else ():
                times = [1.0, *account[b], logit[b, h] + 2.0]
                mean[b, h] += np.asarray(one.mean)[level - 2, :, h] @ times
                variance[b, h] += np.asarray(one.sd)[level - 2, :, h] ** 2 @ np.square(times)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-4, atol=1e-6)
    assert not mean[0].any() and not np.asarray(found.mean)[0].any() and not np.asarray(found.variance)[0].any()


def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        own = [jnp.asarray(getattr(module(), name)[...], "float64") for name in ("mean", "log_sd")]

        @jax.jit
        def total(mean, log_sd):
            each = posteriors_of(mean, log_sd, LEVELS)
            return sum(
                gaussian_divergence(o.mean[:, 1:-1], o.sd[:, 1:-1], o.tau[1][None, None]).sum() + (o.mean**3).sum()
                for o in each
            )

        for argument, gradient in enumerate(jax.jit(jax.grad(total, argnums=(0, 1)))(*own)):
            for place in ((0, 0, 0), (1, 2, 1), (4, 4, 0)):
                step = jnp.zeros_like(own[argument]).at[place].set(1e-5)
                high, low = (
                    total(*[one + sign * step if i == argument else one for i, one in enumerate(own)])
                    for sign in (1, -1)
                )
                np.testing.assert_allclose(gradient[place], (high - low) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_factors_without_known_levels_and_numbers_are_finite():
    empty = Segments((2, 3))
    penalty, effect = empty.penalty(), empty(jnp.zeros(1), jnp.zeros(0), jnp.array([1, 2]))
    np.testing.assert_allclose(penalty, 0, atol=1e-6)  # a single level is as it is everywhere
    assert effect.mean.tolist() == [0.0] and np.isfinite(np.asarray(effect.variance)).all()


# Inside the network


def sizes(segments=LEVELS):
    numbers = dict(levels=(5, 4), numbers=NUMBERS, horizons=HORIZONS, max_members=4)
    return Sizes(vocabulary=7, segments=segments, **numbers)


def batch(ids=IDS):
    return dense().batch()._replace(segments=ids)


@cache
def net(aggregator="maximum"):
    return network(settings(aggregator=aggregator), sizes())


@cache
def params(aggregator="maximum"):
    return drawn(jax.eval_shape(net(aggregator).init, jax.random.key(0)))


@cache
def applied():
    """The network, compiled."""
    return jax.jit(net().apply)


def without(params):
    return {name: part for name, part in params.items() if name != "segments"}


@pytest.mark.parametrize("name", [
    name if name == "maximum" else pytest.param(name, marks=pytest.mark.slow) for name in AGGREGATORS
])  # fmt: skip
def test_every_aggregation_gets_the_effects_on_top_and_its_members_the_same(name):
    plain = network(settings(aggregator=name), sizes(()))
    own = jax.jit(net(name).apply)(params(name), batch())
    other = jax.jit(plain.apply)(without(params(name)), dense().batch())
    numbers = dense().batch().accounts[dense().batch().account]
    one = Segments(LEVELS, numbers=NUMBERS, horizons=HORIZONS)
    for part in ("mean", "log_sd", "pivot"):
        getattr(one, part)[...] = params(name)["segments"][part]
    effect = jax.jit(jax.vmap(one))(other.logit, numbers, IDS)
    np.testing.assert_allclose(own.logit, other.logit + effect.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(own.logit[0], other.logit[0])  # a missing and an unknown level: the global model
    np.testing.assert_allclose(own.logit_variance, effect.variance, rtol=1e-4)
    np.testing.assert_allclose(own.penalty, one.penalty(), rtol=1e-5)
    np.testing.assert_array_equal(own.member_share, other.member_share)
    alone = jax.jit(plain.individual_logits)(without(params(name)), dense().batch())
    mine = jax.jit(jax.vmap(jax.vmap(one, in_axes=(0, None, None))))(alone, numbers, IDS).mean
    expected = np.where(np.asarray(batch().member_mask)[..., None], alone + mine, 0)
    found = jax.jit(net(name).individual_logits)(params(name), batch())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_without_segments_nothing_is_there_and_the_others_start_the_same():
    key = jax.random.key(3)
    plain = network(settings(aggregator="maximum"), sizes(()))
    one, other = net().init(key, -3.0), plain.init(key, -3.0)
    assert "segments" not in other
    jax.tree.map(np.testing.assert_array_equal, without(one), other)
    output = jax.jit(plain.apply)(other, dense().batch())
    assert output.logit_variance is None and output.penalty is None
    np.testing.assert_array_equal(applied()(one, batch()).logit, output.logit)  # it starts without effects
    np.testing.assert_array_equal(one["segments"]["pivot"], [-3.0, -3.0])


def test_levels_may_be_numbered_in_any_order():
    """Levels permuted together with their parameters, and factors with theirs, are the same model."""
    own, (first, second) = params()["segments"], (np.array([2, 0, 1]), np.array([1, 0]))
    rows = np.concatenate([3 + second, first])
    moved = {**own, "mean": own["mean"][rows], "log_sd": own["log_sd"][rows]}
    new = [np.concatenate([[0, 1], 2 + np.argsort(order)]) for order in (first, second)]
    ids = np.stack([new[1][IDS[:, 1]], new[0][IDS[:, 0]]], axis=1).astype(np.int32)
    other = network(settings(aggregator="maximum"), sizes(LEVELS[::-1]))
    found, expected = jax.jit(other.apply)({**params(), "segments": moved}, batch(ids)), applied()(params(), batch())
    for part in ("logit", "logit_variance", "penalty"):
        np.testing.assert_allclose(getattr(found, part), getattr(expected, part), rtol=1e-4, atol=1e-5)


def test_an_ensemble_keeps_variances_apart_and_averages_penalties():
    two = ensemble(net(), 2)
    stacked = jax.tree.map(lambda a, b: jnp.stack([a, b]), params(), jax.tree.map(lambda a: 0.5 * a, params()))
    each = [applied()(jax.tree.map(lambda a, i=i: a[i], stacked), batch()) for i in range(2)]
    found = jax.jit(lambda params, batch: two.train(params, batch, None))(stacked, batch())
    assert found.logit.shape == (2, 5, HORIZONS)
    np.testing.assert_allclose(found.logit_variance, jnp.stack([one.logit_variance for one in each]), rtol=1e-5)
    np.testing.assert_allclose(found.penalty, (each[0].penalty + each[1].penalty) / 2, rtol=1e-5)
    np.testing.assert_allclose(found.logit, jnp.stack([one.logit for one in each]), rtol=1e-5)


def test_neither_padding_nor_other_samples_change_a_score():
    model, own = network(settings(aggregator="maximum", period_input="counts"), sizes()), sizes()
    verdict = check_mask_invariance(model, drawn(jax.eval_shape(model.init, jax.random.key(0))), own)
    assert verdict.passed, verdict


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="segments have 0 factors instead of 2"):
        net().apply(params(), dense().batch())
    with pytest.raises(DataError, match=r"factor 0 of segments holds the id 5, and segments\[0\] is 5"):
        sizes().check(batch(IDS + np.array([[1, 0]])))
    assert dataclasses.replace(Sizes.of(batch()), vocabulary=7).segments == LEVELS
    with pytest.raises(ConfigError, match=r"segments=\(1,\)"):
        sizes((1,))
    for wrong in (("region:",), ("region", "region"), ("a:b", "b:a"), ("a:a",), ("",)):
        with pytest.raises(ConfigError, match="segments: expected each factor once, as columns joined by ':'"):
            ModelConfig(segments=wrong)
