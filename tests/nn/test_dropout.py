"""What a training step leaves out: nothing unless asked to, the same on average, and never everybody."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.nn import ensemble
from tests.nn.variants import Variant, offered, settings, shared

N = 3000


def variant(**options):
    return Variant(settings(aggregator="mean_log_odds", period_input="counts", **options))


@cache
def trained(**options):
    """The parameters, and the answers under N keys."""
    one = variant(**options)
    params, keys = one.parameters, jax.random.split(jax.random.key(0), N)
    train = jax.jit(jax.vmap(lambda key: one.network.train(params, one.offered(shared()), key)))
    return one, params, train(keys)


@pytest.mark.parametrize("options", [{"dropout": 0.5, "member_dropout": 0.5}, {}])
def test_without_a_key_or_a_rate_it_is_the_network_to_the_bit(options):
    one = variant(**options)
    args = one.parameters, one.offered(shared())
    wanted = jax.jit(one.network.apply)(*args)
    for key in (None,) if options else (None, jax.random.key(3)):
        jax.tree.map(np.testing.assert_array_equal, jax.jit(one.network.train)(*args, key), wanted)


def test_rates_may_be_given_and_traced():
    one, none = variant(dropout=0.25, member_dropout=0.5), variant()
    args = one.parameters, one.offered(shared()), jax.random.key(3)
    wanted = jax.jit(one.network.train)(*args)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(none.network.train)(*args, (0.25, 0.5)), wanted)
    jax.tree.map(
        np.testing.assert_array_equal, jax.jit(none.network.train)(*args, (0.0, 0.0)), one.network.apply(*args[:2])
    )


def test_parts_of_the_individuals_are_left_out_and_the_rest_is_scaled():
    one, params, got = trained(dropout=0.25)
    wanted = jax.jit(one.network.apply)(params, one.offered(shared())).member_logit
    there = offered().members
    # Log-odds are linear in what is left out, so their mean is that of the whole.
    error = np.abs(got.member_logit.mean(axis=0) - wanted)[there]
    spread = got.member_logit.std(axis=0)[there]
    assert (spread > 0.05).all() and (error < 5 * spread / N**0.5).all()
    np.testing.assert_array_equal(got.member_share > 0, np.broadcast_to(there, got.member_share.shape))


def test_members_are_left_out_but_one_always_stays():
    _, _, got = trained(member_dropout=0.9)
    there = offered().members
    seen = np.asarray(got.member_share > 0)
    assert not seen[:, ~there].any()
    assert (seen.sum(axis=2).min(axis=1) >= 1).all()
    np.testing.assert_allclose(got.member_share.sum(axis=2), 1, rtol=1e-6)
    for b, members in enumerate(there):
        n = members.sum()
        rate = 0.1 + 0.9**n / n  # kept by chance, or as the one who stays when nobody was
        np.testing.assert_allclose(seen[:, b, members].mean(axis=0), rate, atol=5 * (rate * (1 - rate) / N) ** 0.5)


def test_the_same_key_leaves_out_the_same_and_networks_side_by_side_do_not():
    one = variant(dropout=0.5, member_dropout=0.5)
    two = ensemble(one.network, 2)
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), one.parameters)
    train = jax.jit(two.train)
    first, again, other = (train(params, one.offered(shared()), jax.random.key(i)).logit for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first[0] != first[1]).any()
