"""One set of properties for every aggregation, then what is particular to each."""

import inspect
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hanjax.nn.aggregators import AGGREGATORS, Aggregator
from tests.nn.examples import assert_close, drawn
from tests.reference import groups as reference

NAMES = sorted(AGGREGATORS)
HORIZONS, NUMBERS, WIDTH = 2, 3, 4
PEOPLE = jax.random.normal(jax.random.key(0), (3, WIDTH)) - 2
ACCOUNT = jnp.array([0.5, -1.0, 2.0])
every = pytest.mark.parametrize("name", NAMES)


@cache
def built(name):
    """Jitted function of (params, people, where, account), its parameters, and some people of the right width."""
    kind = AGGREGATORS[name]
    width = HORIZONS if kind.takes_logits else WIDTH
    module = kind(width, horizons=HORIZONS, numbers=NUMBERS, max_members=25, initial_logit=-4.0, rngs=nnx.Rngs(0))
    structure, params = nnx.split(module, nnx.Param)

    def call(params, people, where, account=ACCOUNT):
        return nnx.merge(structure, params)(people, where=where, account=account)

    return jax.jit(call), drawn(nnx.to_pure_dict(params)), PEOPLE[:, :width]


@cache
def total(name):
    call = built(name)[0]

    def number(params, people, where):
        return (call(params, people, where).logit * jnp.array([1.0, -3.0])).sum()

    return jax.jit(jax.value_and_grad(number, argnums=(0, 1)))


def padded(people, size, fill):
    there = np.arange(size) < len(people)
    return jnp.full((size, people.shape[1]), fill).at[: len(people)].set(people), there


@every
def test_has_the_signatures_of_the_protocol(name):
    for method in ("__init__", "__call__", "member_logit"):
        wanted = inspect.signature(getattr(Aggregator, method)).parameters
        got = inspect.signature(getattr(AGGREGATORS[name], method)).parameters
        assert [(p.name, p.kind) for p in got.values()] == [(p.name, p.kind) for p in wanted.values()]


@every
@pytest.mark.parametrize("fill", [0.0, 1e4, -1e4])
def test_padding_changes_no_value_and_no_gradient(name, fill):
    call, params, people = built(name)
    logit, share = call(params, people, np.ones(3, bool))
    value, (slopes, slope) = total(name)(params, people, np.ones(3, bool))
    more, there = padded(people, 25, fill)
    got = call(params, more, there)
    assert_close(got.logit, logit, relative=1e-6)
    assert_close(got.share[:3], share, relative=1e-6)
    np.testing.assert_array_equal(got.share[3:], 0)
    value_, (slopes_, slope_) = total(name)(params, more, there)
    assert_close((value_, slopes_, slope_[:3]), (value, slopes, slope))
    np.testing.assert_array_equal(slope_[3:], 0)


@every
def test_every_member_matters_and_shares_sum_to_one(name):
    call, params, people = built(name)
    where = np.array([True, False, True])
    logit, share = call(params, people, where)
    assert logit.shape == (HORIZONS,) and share.shape == (3,)
    assert abs(share.sum() - 1) < 1e-6 and share[1] == 0 and share.min() >= 0
    for k in (0, 2):
        raised = call(params, people.at[k].add(5.0), where).logit
        assert jnp.abs(raised - logit).max() > 1e-3


@every
def test_a_single_member_has_the_whole_share_wherever_it_stands(name):
    call, params, people = built(name)
    wanted = call(params, people[:1], np.ones(1, bool)).logit
    for place in range(3):
        where = np.arange(3) == place
        got = call(params, people.at[place].set(people[0]), where)
        np.testing.assert_array_equal(got.share, where)
        assert_close(got.logit, wanted, relative=1e-6)


@every
def test_a_group_without_members_is_finite_and_leaves_its_neighbors_alone(name):
    call, params, people = built(name)
    value, slopes = total(name)(params, people, np.zeros(3, bool))
    for leaf in jax.tree.leaves((value, slopes)):
        assert np.isfinite(leaf).all()
    np.testing.assert_array_equal(slopes[1], 0)
    where = np.array([[True, True, True], [False] * 3, [True, True, True]])
    got = jax.vmap(call, (None, 0, 0))(params, jnp.stack([people, people, people]), where)
    np.testing.assert_array_equal(got.share[1], 0)
    np.testing.assert_array_equal(got.logit[0], got.logit[2])
    assert_close(got.logit[0], call(params, people, where[0]).logit, relative=1e-6)


@every
@pytest.mark.parametrize("initial", [-6.0, np.array([-3.0, -1.0], np.float32)])
def test_the_first_predictions_lie_around_the_initial_logit(name, initial):
    kind = AGGREGATORS[name]
    if kind.takes_logits:
        people = jnp.broadcast_to(jnp.asarray(kind.member_logit(initial)), (3, HORIZONS))
    else:
        people = jnp.tanh(PEOPLE)
    module = kind(
        people.shape[1], horizons=HORIZONS, numbers=NUMBERS, max_members=25, initial_logit=initial, rngs=nnx.Rngs(0)
    )
    got = module(people, where=jnp.ones(3, bool), account=jnp.zeros(NUMBERS)).logit
    assert jnp.abs(got - initial).max() < 1


def test_gru_attention_equals_the_reference():
    call, params, people = built("gru_attention")
    logit, share = reference.group(params, list(np.asarray(people)), ACCOUNT, aggregator="gru_attention")
    got = call(params, people, np.ones(3, bool))
    assert_close(got, type(got)(logit, np.array(share)), relative=2e-6)


def test_gru_attention_follows_the_order_of_arrival_and_the_account():
    call, params, people = built("gru_attention")
    logit, where = call(params, people, np.ones(3, bool)).logit, np.ones(3, bool)
    assert jnp.abs(call(params, people[::-1], where).logit - logit).max() > 1e-3
    assert jnp.abs(call(params, people, where, ACCOUNT + 1).logit - logit).max() > 1e-3


def test_maximum_is_the_largest_log_odds_and_its_holder():
    call, params, _ = built("maximum")
    people = jnp.array([[-6.0, -2.0], [-5.0, -3.0], [-5.0, -2.0], [0.0, 0.0]])
    logit, share = call(params, people, np.array([True, True, True, False]))
    np.testing.assert_array_equal(logit, [-5.0, -2.0])
    np.testing.assert_array_equal(share, [0.25, 0.25, 0.5, 0])
