"""The naive aggregations are the paper's equations while numbers are tame, and saturate where they are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.nn.aggregators import GroupSpec
from hanjax.reproduction.naive import NAIVE

PEOPLE = jnp.array([[-1.0], [0.5], [-2.0], [9.0]])
WHERE = jnp.array([True, True, True, False])


def logit(name, people=PEOPLE, where=WHERE):
    kind = NAIVE[name]
    with jax.numpy_rank_promotion("raise"):
        module = kind(1, GroupSpec(), rngs=None)
        return module(people, where=where, account=jnp.zeros(0)).logit


@pytest.mark.parametrize("name", NAIVE)
def test_they_are_the_paper_s_equations(name):
    p = 1 / (1 + np.exp(-np.array([-1.0, 0.5, -2.0])))
    expected = 1 - np.prod(1 - p) if name == "at_least_one" else np.prod(p) ** (1 / 3)
    np.testing.assert_allclose(jax.nn.sigmoid(logit(name)), [expected], rtol=1e-5)


@pytest.mark.parametrize("name", NAIVE)
def test_training_starts_at_one_half(name):
    assert NAIVE[name].member_logit(-6.0) == 0.0


def test_many_likely_members_stop_the_gradient():
    """What the careful form does not do: at probability 1 the clipped one has no slope left."""
    people, where = jnp.full((25, 1), 3.0), jnp.ones(25, bool)
    gradient = jax.grad(lambda x: logit("at_least_one", x, where).sum())(people)
    assert float(jnp.abs(gradient).max()) == 0.0
