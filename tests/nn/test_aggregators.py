"""One set of properties for every aggregation, in float64: compared with the reference, and with itself."""

import dataclasses
import inspect
import typing
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hanjax.config import ModelConfig
from hanjax.nn.aggregators import AGGREGATORS, Aggregator, GroupSpec
from tests.nn.examples import as_dtype, assert_close, dense, drawn, model
from tests.reference import groups as reference
from tests.reference.han import gradient

NAMES = sorted(AGGREGATORS)
HORIZONS, NUMBERS, WIDTH, MOST = 2, 3, 4, 7
PEOPLE = np.random.default_rng(0).normal(size=(3, WIDTH)) - 1
ACCOUNT = np.array([0.5, -1.0, 2.0])
WEIGHTS = np.array([1.0, -3.0])
ORDERED = {"fnn", "gru", "gru_attention"}
"""They depend on the order of arrival."""
GROWING = {"at_least_one"}
"""They are larger for a group in which everybody stands twice, whatever the parameters."""
every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def made(name, hidden=None, initial=-4.0, width=WIDTH):
    kind = AGGREGATORS[name]
    spec = GroupSpec(HORIZONS, NUMBERS, MOST, hidden, initial)
    return kind(HORIZONS if kind.takes_logits else width, spec, rngs=nnx.Rngs(0))


@cache
def built(name, hidden=None):
    """Jitted (params, people, where, account) to everything of interest; the parameters; people of the right width."""
    structure, params = nnx.split(made(name, hidden), nnx.Param)

    def number(params, people, where, account):
        group = nnx.merge(structure, params)(people, where=where, account=account)
        return (group.logit * WEIGHTS).sum(), group

    @jax.jit
    def call(params, people, where, account=ACCOUNT):
        (_, group), slopes = jax.value_and_grad(number, argnums=(0, 1, 3), has_aux=True)(params, people, where, account)
        return group.logit, group.share, *slopes

    params = as_dtype(drawn(nnx.to_pure_dict(params)), np.float64)
    return call, params, PEOPLE[:, : HORIZONS if AGGREGATORS[name].takes_logits else WIDTH]


def spread(people, where, fill):
    """The people where somebody is, anything elsewhere."""
    rows = np.full((len(where), people.shape[1]), fill)
    rows[where] = people[: where.sum()]
    return rows


@every
def test_has_the_signatures_of_the_protocol(name):
    for method in ("__init__", "__call__", "member_logit"):
        wanted = inspect.signature(getattr(Aggregator, method)).parameters
        got = inspect.signature(getattr(AGGREGATORS[name], method)).parameters
        assert [(p.name, p.kind, p.default) for p in got.values()] == [
            (p.name, p.kind, p.default) for p in wanted.values()
        ]


@pytest.mark.parametrize(("name", "hidden"), [*((name, None) for name in NAMES), ("gated_attention", 3)])
def test_equals_the_reference_with_gradients(name, hidden):
    call, params, people = built(name, hidden)
    logit, share, slopes, slope, slope_account = call(params, people, np.ones(3, bool))

    def number(given):
        rows = [given["people"][k] for k in range(3)]
        return reference.group(given["params"], rows, given["account"], aggregator=name)[0] @ WEIGHTS

    wanted = gradient(number, {"params": params, "people": people, "account": ACCOUNT})
    got = {"params": slopes, "people": slope, "account": slope_account}
    assert_close(got, wanted, relative=1e-8)  # of the set transformer's keys; of the others it is below 1e-12
    wanted, wanted_share = reference.group(params, list(people), ACCOUNT, aggregator=name)
    assert_close((logit, share), (wanted, np.array(wanted_share)), relative=1e-12)


@every
@pytest.mark.parametrize("fill", [1e30, *(pytest.param(value, marks=pytest.mark.slow) for value in (0.0, -1e30))])
def test_where_nobody_is_anything_may_stand(name, fill):
    call, params, people = built(name)
    logit, share, slopes, slope, slope_account = call(params, people, np.ones(3, bool))
    for places in ([0, 1, 2], [1, 2, 4]):
        where = np.isin(np.arange(5), places)
        got = call(params, spread(people, where, fill), where)
        assert_close((got[0], got[1][where], got[2]), (logit, share, slopes), relative=1e-8)
        assert_close((got[3][where], got[4]), (slope, slope_account), relative=1e-8)
        np.testing.assert_array_equal(got[1][~where], 0)
        np.testing.assert_array_equal(got[3][~where], 0)


@every
def test_every_member_matters_and_shares_sum_to_one(name):
    call, params, people = built(name)
    where = np.array([True, False, True])
    logit, share = call(params, people, where)[:2]
    assert logit.shape == (HORIZONS,) and share.shape == (3,)
    assert abs(share.sum() - 1) < 1e-6 and share[1] == 0 and share.min() >= 0
    for k in (0, 2):
        raised = people + 5.0 * (np.arange(3) == k)[:, None]
        assert np.abs(call(params, raised, where)[0] - logit).max() > 1e-4


@every
def test_a_single_member_has_the_whole_share_wherever_it_stands(name):
    call, params, people = built(name)
    wanted = call(params, people, np.arange(3) == 0)[0]
    if AGGREGATORS[name].takes_logits:
        assert_close(wanted, people[0], relative=1e-14)
    for place in range(3):
        where = np.arange(3) == place
        got = call(params, spread(people, where, 9.0), where)
        np.testing.assert_array_equal(got[1], where)
        assert_close(got[0], wanted, relative=1e-12)


@every
def test_a_group_without_members_is_finite_and_leaves_its_neighbors_alone(name):
    call, params, people = built(name)
    where = np.array([[True, True, True], [False] * 3, [True, True, True]])
    logit, share, slopes, slope, _ = got = jax.vmap(call, (None, None, 0))(params, people, where)
    for leaf in jax.tree.leaves(got):
        assert np.isfinite(leaf).all()
    np.testing.assert_array_equal(slope[1], 0)
    np.testing.assert_array_equal(share[1], 0)
    alone = call(params, people, where[0])
    for row in (0, 2):
        picked = jax.tree.map(lambda leaf, row=row: leaf[row], (logit, share, slopes, slope))
        assert_close(picked, alone[:4], relative=1e-8)


@every
def test_the_order_of_arrival_matters_exactly_where_it_should(name):
    call, params, people = built(name)
    order = np.array([2, 0, 1])
    logit, share = call(params, people, np.ones(3, bool))[:2]
    other = call(params, people[order], np.ones(3, bool))[:2]
    if name in ORDERED:
        assert np.abs(other[0] - logit).max() > 1e-3
    else:
        assert_close(other, (logit, share[order]), relative=1e-10)


@every
def test_a_group_in_which_everybody_stands_twice(name):
    call, params, people = built(name)
    once = call(params, people, np.ones(3, bool))[0]
    twice = call(params, np.repeat(people, 2, axis=0), np.ones(6, bool))[0]
    if name in GROWING:
        assert (twice > once + 0.1).all()
    elif name not in ORDERED:
        assert_close(twice, once, relative=1e-10)


@every
def test_the_account_s_numbers_matter_to_all_but_functions_of_probabilities(name):
    call, params, people = built(name)
    change = call(params, people, np.ones(3, bool), ACCOUNT + 1)[0] - call(params, people, np.ones(3, bool))[0]
    assert (np.abs(change).max() > 1e-3) is np.bool_(not AGGREGATORS[name].takes_logits)


def test_the_settings_name_these_aggregations():
    named = {f.name: f.type for f in dataclasses.fields(ModelConfig)}["aggregator"]
    assert sorted(typing.get_args(named)) == NAMES


@every
def test_the_network_takes_every_aggregation(name):
    net, batch = model(name), dense().batch()
    params = jax.eval_shape(net.init, jax.random.key(0))
    output = jax.eval_shape(net.apply, params, batch)
    alone = jax.eval_shape(net.individual_logits, params, batch)
    assert output.logit.shape == batch.label.shape
    assert output.member_share.shape == batch.members.shape
    assert alone.shape == (*batch.members.shape, HORIZONS)


@every
@pytest.mark.parametrize("initial", [pytest.param(-6.0, marks=pytest.mark.slow), np.array([-3.0, -1.0])])
def test_the_first_predictions_lie_around_the_initial_logit(name, initial):
    kind, width = AGGREGATORS[name], 20
    if kind.takes_logits:
        people = np.broadcast_to(kind.member_logit(initial), (5, HORIZONS))
    else:
        people = np.tanh(np.random.default_rng(1).normal(size=(5, width)))
    got = made(name, 8, initial, width)(jnp.asarray(people), where=jnp.ones(5, bool), account=jnp.zeros(NUMBERS)).logit
    assert np.abs(got - initial).max() < (1e-12 if kind.takes_logits else 2)
