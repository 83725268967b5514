"""Shared beginnings and blocks of samples change what is computed, and no value and no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.config import ModelConfig
from hanjax.data.batches import Forests, gather, plan_epoch
from hanjax.nn import Sizes, ensemble, network
from tests.nn.examples import as_dtype, assert_close, drawn
from tests.training.standin import panel

SMALL = dict(activity_width=4, window_width=3, member_width=3, category_width=2)
VARIANTS = {
    "plain": dict(),
    "gated": dict(time="gated", activity_embedding=2, aggregator="maximum"),
    "counts": dict(time="concatenated", period_input="both", aggregator="mean_log_odds", account_head=True),
}


def planned(samples=40):
    """A step's batch with all that a model may be offered, and the same without plans of what is shared."""
    whole, rng = panel(200), np.random.default_rng(0)
    whole = whole._replace(
        gaps=np.where(whole.sequences > 0, rng.integers(-1, 3, whole.sequences.shape), 0).astype(np.float32),
        window_ages=np.where(whole.windows > 0, rng.integers(1, 4, whole.windows.shape), 0).astype(np.int16),
        member_numbers=rng.normal(size=(*whole.members.shape, 2)).astype(np.float32),
    )
    seed = np.array([1, 2], np.uint32)
    plan = plan_epoch(whole, np.arange(200), batch_size=samples, seed=seed, forests=Forests.of(whole))
    step = gather(whole, jax.tree.map(lambda array: array[1], plan))
    return step, step._replace(sequence_prefixes=None, window_prefixes=None, blocks=None)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "gated" else []) for name in VARIANTS]
)
def test_they_change_no_value_and_no_gradient(name):
    shared, plain = planned()
    assert len(shared.blocks) == 2
    net = network(ModelConfig(**SMALL, **VARIANTS[name]), Sizes.of(shared))
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    pull = np.random.default_rng(1).normal(size=shared.label.shape)

    def answers(params, batch):
        output = net.apply(params, batch)
        return (output.logit * pull).sum(), output

    answer = jax.jit(jax.value_and_grad(answers, has_aux=True))
    with jax.enable_x64(True):
        got, wanted = (answer(*as_dtype((params, jax.tree.map(jnp.asarray, batch)), "float64")) for batch in planned())
    assert_close(got, wanted, relative=1e-10)


def test_loops_as_a_gpu_gets_them_say_the_same(monkeypatch):
    net = network(ModelConfig(**SMALL), Sizes.of(planned()[0]))
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    shared, plain = (jax.jit(lambda params, batch: net.apply(params, batch))(params, batch) for batch in planned())
    with monkeypatch.context() as patched:
        patched.setattr(jax, "default_backend", lambda: "gpu")
        unrolled = [jax.jit(lambda params, batch: net.apply(params, batch))(params, batch) for batch in planned()]
    assert_close(unrolled, [shared, plain], relative=1e-6)


def test_where_states_depend_on_what_follows_rows_stay_apart():
    shared, plain = planned()
    net = network(ModelConfig(**SMALL, bidirectional=True, aggregator="maximum"), Sizes.of(shared))
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    encode = jax.jit(lambda batch: net.encode_periods(params, batch))
    assert_close(encode(shared), encode(plain), relative=1e-6)


@pytest.mark.slow
def test_networks_side_by_side_share_them_too():
    net = ensemble(network(ModelConfig(**SMALL), Sizes.of(planned()[0])), 2)
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    with jax.enable_x64(True):
        got, wanted = (
            jax.jit(net.train)(*as_dtype((params, jax.tree.map(jnp.asarray, batch)), "float64"), None)
            for batch in planned()
        )
    assert got.logit.shape[0] == 2
    assert_close(got, wanted, relative=1e-10)


def test_fewer_states_are_computed_than_there_are_items():
    step, _ = planned(100)
    for prefixes, items in ((step.sequence_prefixes, step.activity_mask), (step.window_prefixes, step.period_mask)):
        assert len(np.unique(prefixes.paths)) - 1 <= items.sum()
    assert len(np.unique(step.sequence_prefixes.paths)) - 1 < 0.9 * step.activity_mask.sum()
