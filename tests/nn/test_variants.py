"""Every option of the network: equal to the reference, however the samples are factored and padded."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.config import ModelConfig
from hanjax.errors import ConfigError, DataError
from hanjax.nn import Sizes, network
from hanjax.nn.aggregators import AGGREGATORS
from tests.nn.examples import Results, as_dtype, assert_close
from tests.nn.variants import LEVELS, VARIANTS, offered, settings, shared, total
from tests.reference import han as reference

every = pytest.mark.parametrize("name", VARIANTS)


@cache
def everything(name):
    """All results of (params, batch), jitted, compiled once for a shape and a precision."""
    net = VARIANTS[name].network

    def results(params, batch):
        slopes = jax.value_and_grad(total(net))(params, batch)
        return Results(net.apply(params, batch), net.individual_logits(params, batch), *slopes)

    return jax.jit(results)


@cache
def plain(name):
    """All results in float64 on the samples with each distinct row once."""
    variant = VARIANTS[name]
    with jax.enable_x64(True):
        return everything(name)(*as_dtype((variant.parameters, variant.offered(shared())), "float64"))


def referred(variant):
    """What the reference is told of the samples."""
    whole, config = offered(), variant.config
    others = {}
    if config.time != "none":
        others["gaps"] = whole.gaps
    if config.period_input != "sequence":
        others["volumes"] = np.log1p(whole.counts) if config.count_scale == "log" else whole.counts.astype(float)
    if variant.ages:
        others["ages"] = whole.ages
    if variant.numbers:
        others["numbers"] = whole.numbers

    def logits(params):
        samples = whole.sequences, whole.members, whole.individuals, whole.accounts
        return reference.logits(params, *samples, levels=LEVELS, aggregator=config.aggregator, **others)

    return logits


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("counts", "concatenated", "gated") else [])
        for name in VARIANTS
    ],
)
def test_factored_and_dense_equal_the_reference(name):
    variant = VARIANTS[name]
    logits = referred(variant)
    loss = lambda params: reference.loss(logits(params)[0], offered().label)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, float), variant.parameters)
    wanted = (*logits(params), loss(params), reference.gradient(loss, params))
    with jax.enable_x64(True):
        dense = everything(name)(*as_dtype((variant.parameters, variant.offered(offered().batch())), "float64"))
    for got in (dense, plain(name)):
        assert got.loss.dtype == "float64"
        found = got.output.logit, got.output.member_share, got.individual_logits, got.loss, got.gradient
        assert_close(found, wanted, relative=1e-10)


@every
def test_garbage_in_padding_changes_nothing(name):
    variant, batch = VARIANTS[name], shared()
    used_windows = jnp.isin(jnp.arange(len(batch.windows)), jnp.where(batch.member_mask, batch.member_windows, 0))
    used = jnp.isin(jnp.arange(len(batch.sequences)), jnp.where(used_windows[:, None], batch.windows, 0))
    dirty = batch._replace(
        sequences=jnp.where(used[:, None], batch.sequences, 2),
        gaps=jnp.where(batch.activity_mask, batch.gaps, 9.0),
        windows=jnp.where(used_windows[:, None], batch.windows, 2),
        count_windows=jnp.where(batch.period_mask, batch.count_windows, 1),
        window_ages=jnp.where(batch.period_mask, batch.window_ages, 70),
        member_windows=jnp.where(batch.member_mask, batch.member_windows, 1),
        member_numbers=jnp.where(batch.member_mask[..., None], batch.member_numbers, 5.0),
    )
    for field in dirty._fields:
        changed = field in ("sequences", "gaps", "windows", "count_windows", "window_ages", "member_windows",
                            "member_numbers")  # fmt: skip
        assert not changed or (getattr(dirty, field) != getattr(batch, field)).any(), field
    with jax.enable_x64(True):
        got = everything(name)(*as_dtype((variant.parameters, variant.offered(dirty)), "float64"))
    for part in ("logit", "member_share", "member_logit"):
        jax.tree.map(np.testing.assert_array_equal, getattr(got.output, part), getattr(plain(name).output, part))
    jax.tree.map(np.testing.assert_array_equal, got[1:], plain(name)[1:])


@every
def test_samples_do_not_depend_on_their_neighbors(name):
    variant, order = VARIANTS[name], np.array([2, 0, 1])
    batch = variant.offered(shared())
    parts = [p for p in ("members", "member_windows", "account", "label", "mask", "member_numbers")
             if getattr(batch, p) is not None]  # fmt: skip
    mixed = batch._replace(**{part: getattr(batch, part)[order] for part in parts})
    with jax.enable_x64(True):
        got = everything(name)(*as_dtype((variant.parameters, mixed), "float64"))
    np.testing.assert_array_equal(got.output.logit, plain(name).output.logit[order])
    np.testing.assert_array_equal(got.individual_logits, plain(name).individual_logits[order])


@every
def test_all_that_is_offered_is_read(name):
    """Each field of the batch that the settings name changes the scores, and none that they do not name."""
    variant, config = VARIANTS[name], VARIANTS[name].config
    batch = variant.offered(shared())
    reads = {
        "sequences": config.period_input != "counts",
        "gaps": config.time != "none",
        "counts": config.period_input != "sequence",
        "window_ages": variant.ages,
        "member_numbers": variant.numbers,
        "accounts": config.aggregator not in ("maximum",) or config.account_head,
    }
    apply = jax.jit(lambda params, batch: variant.network.apply(params, batch).logit)
    params = variant.parameters
    assert apply(params, batch).dtype == "float32"
    assert_close(apply(params, batch), plain(name).output.logit)
    for field, read in reads.items():
        table = getattr(batch, field)
        if table is None:
            continue
        altered = jnp.where(table > 0, table % 3 + 1, table).astype(table.dtype)
        same = apply(params, batch) == apply(params, batch._replace(**{field: altered}))
        assert bool((~same).any() if read else same.all()), field


@every
def test_where_nobody_is_everything_is_finite(name):
    variant = VARIANTS[name]
    nothing = jax.tree.map(jnp.zeros_like, variant.offered(shared()))._replace(label=shared().label)
    with jax.enable_x64(True):
        chex.assert_tree_all_finite(everything(name)(*as_dtype((variant.parameters, nothing), "float64")))


def test_counts_alone_have_no_layer_of_activities():
    variant = VARIANTS["counts"]
    assert "activity" not in variant.parameters
    batch = variant.offered(shared())
    periods = variant.network.encode_periods(variant.parameters, batch)
    assert periods.value.shape == (len(batch.sequences), 0)
    np.testing.assert_array_equal(periods.weights, np.zeros(batch.sequences.shape))


@pytest.mark.parametrize(
    ("name", "lacking", "message"),
    [
        ("counts", {"counts": None}, "counts or count_windows are missing, and period_input='counts' needs them"),
        ("joined", {"count_windows": None}, "encode with `volumes`"),
        ("gated", {"gaps": None}, "gaps are missing, and time='gated' needs them: encode with `gaps`"),
        ("counts", {"window_ages": None}, "window_ages are missing"),
        ("gated", {"window_ages": shared().window_ages}, "window_ages are there, and the network takes none"),
        ("gated", {"member_numbers": None}, "members have 0 numbers instead of 2"),
        ("counts", {"counts": shared().counts[:, 1:]}, "counts have 4 columns, and vocabulary is 5"),
    ],
)
def test_a_batch_without_what_the_model_reads_is_refused(name, lacking, message):
    variant = VARIANTS[name]
    batch = variant.offered(shared())._replace(**lacking)
    with pytest.raises(DataError, match="does not fit the sizes of the network") as caught:
        jax.eval_shape(variant.network.apply, variant.parameters, batch)
    assert message in str(caught.value)
    sizes = Sizes.of(variant.offered(shared()))
    with pytest.raises(DataError, match="does not fit") as caught:
        sizes.check(batch, variant.config)
    assert message in str(caught.value)
    sizes.check(variant.offered(shared()), variant.config)


def test_an_account_head_starts_as_if_it_were_not_there():
    sizes = Sizes.of(VARIANTS["gated_both_ways"].offered(shared()))
    nets = [network(settings(aggregator="maximum", account_head=there), sizes) for there in (True, False)]
    params = [jax.jit(net.init)(jax.random.key(0), -3.0) for net in nets]
    assert params[0].keys() - params[1].keys() == {"account_head"}
    batch = VARIANTS["gated_both_ways"].offered(shared())
    logits = [jax.jit(net.apply)(p, batch).logit for net, p in zip(nets, params, strict=True)]
    np.testing.assert_allclose(*logits, rtol=1e-6)
    kernel = params[0]["account_head"]["kernel"]
    np.testing.assert_array_equal(kernel, np.eye(*kernel.shape))


def test_settings_that_contradict_each_other_are_refused():
    sizes = Sizes(vocabulary=4)
    with pytest.raises(ConfigError, match="account_head: expected False, got True, because aggregator='gru_attention'"):
        network(ModelConfig(account_head=True), sizes)
    with pytest.raises(ConfigError, match="time: expected 'none', got 'gated', because period_input='counts'"):
        network(ModelConfig(time="gated", period_input="counts"), sizes)


def test_an_aggregation_of_one_s_own():
    class Own(AGGREGATORS["maximum"]):
        def __call__(self, people, *, where, account):
            group = super().__call__(people, where=where, account=account)
            return group._replace(logit=group.logit + 1)

    sizes = Sizes.of(VARIANTS["gated_both_ways"].offered(shared()))
    batch = VARIANTS["gated_both_ways"].offered(shared())
    own, theirs = network(settings(), sizes, Own), network(settings(aggregator="maximum"), sizes)
    assert own is network(settings(), sizes, aggregator=Own)
    params = jax.jit(theirs.init)(jax.random.key(0))
    own, theirs = (jax.jit(net.apply)(params, batch).logit for net in (own, theirs))
    np.testing.assert_allclose(own, theirs + 1, rtol=1e-5)


def test_members_own_log_odds_are_those_before_the_aggregation():
    variant = VARIANTS["gated_both_ways"]
    output = plain("gated_both_ways").output
    assert output.member_logit.shape == (*shared().members.shape, 2)
    np.testing.assert_array_equal(output.member_logit, plain("gated_both_ways").individual_logits)  # a maximum of one
    joined = plain("joined")  # with a layer after the aggregation, the scores of individuals pass through it
    assert (joined.output.member_logit != joined.individual_logits)[shared().member_mask].all()
    assert plain("counts").output.member_logit is None
    assert variant.config.aggregator == "maximum"
