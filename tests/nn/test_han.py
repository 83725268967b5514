"""The whole network: equal to the reference, the same however it is factored or padded, finite where nobody is."""

import dataclasses
import re
from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.config import ModelConfig
from hanjax.errors import ConfigError, DataError
from hanjax.nn import Sizes, network
from hanjax.nn.han import account_numbers
from hanjax.types import Output
from tests.nn.examples import (
    HORIZONS,
    LEVELS,
    as_dtype,
    assert_close,
    dense,
    everything,
    factored,
    model,
    parameters,
)
from tests.reference import han as reference

every = pytest.mark.parametrize("name", ["gru_attention", "maximum"])
"""One aggregation of representations, one of log-odds; tests/nn/test_aggregators.py has all of them alone."""


@cache
def referred(name):
    """The reference's log-odds, shares, individuals' log-odds, loss and gradient."""
    whole = dense()
    accounts = whole.accounts.astype(np.float32).astype(float)  # rounded as the network sees them

    def logits(params):
        return reference.logits(
            params, whole.sequences, whole.members, whole.individuals, accounts, levels=LEVELS, aggregator=name
        )

    def loss(params):
        return reference.loss(logits(params)[0], whole.label)

    params = jax.tree.map(lambda leaf: np.asarray(leaf, float), parameters(name))
    return *logits(params), loss(params), reference.gradient(loss, params)


@pytest.mark.parametrize(("dtype", "relative"), [("float32", 1e-5), ("float64", 1e-10)])
@every
def test_factored_and_dense_equal_the_reference(name, dtype, relative):
    assert (factored().members != dense().batch().members).any()
    for batch in (dense().batch(), factored()):
        with jax.enable_x64(dtype == "float64"):
            got = everything(name)(*as_dtype((parameters(name), batch), dtype))
        assert got.loss.dtype == dtype
        logit, share, alone, value, gradient = referred(name)
        assert_close((got.output.logit, got.output.member_share), (logit, share), relative=relative)
        assert_close(got.individual_logits, alone, relative=relative)
        assert_close((got.loss, got.gradient), (value, gradient), relative=relative)


@every
def test_padding_changes_nothing(name):
    params, batch = parameters(name), factored()
    longer = batch._replace(
        sequences=jnp.pad(batch.sequences, ((0, 0), (0, 16))),
        # A quiet period in front and one in between.
        windows=jnp.pad(jnp.insert(batch.windows, 1, 0, axis=1), ((0, 0), (1, 0))),
        members=jnp.pad(batch.members, ((0, 0), (0, 21))),
        member_windows=jnp.pad(batch.member_windows, ((0, 0), (0, 21))),
    )
    plain, got = everything(name)(params, batch), everything(name)(params, longer)
    wanted, output, old, new = plain.output, got.output, np.array([1, 3, 4]), np.array([0, 2])
    assert_close(output.logit, wanted.logit, relative=1e-6)
    assert_close(output.member_share[:, :4], wanted.member_share, relative=1e-6)
    assert_close(output.period_share[:, old], wanted.period_share, relative=1e-6)
    assert_close(output.activity_share[:, :4], wanted.activity_share, relative=1e-6)
    assert_close(got.individual_logits[:, :4], plain.individual_logits, relative=1e-6)
    assert_close(got.gradient, plain.gradient)
    for padding in (output.member_share[:, 4:], output.activity_share[:, 4:], output.period_share[:, new]):
        np.testing.assert_array_equal(padding, 0)


@every
def test_garbage_in_padding_changes_nothing(name):
    params, batch = parameters(name), factored()
    used_windows = jnp.isin(jnp.arange(len(batch.windows)), jnp.where(batch.member_mask, batch.member_windows, 0))
    used = jnp.isin(jnp.arange(len(batch.sequences)), jnp.where(used_windows[:, None], batch.windows, 0))
    dirty = batch._replace(
        sequences=jnp.where(used[:, None], batch.sequences, 5),
        windows=jnp.where(used_windows[:, None], batch.windows, 2),
        individuals=batch.individuals.at[0].set(3),
        member_windows=jnp.where(batch.member_mask, batch.member_windows, 1),
    )
    for table in ("sequences", "windows", "individuals", "member_windows"):
        assert (getattr(dirty, table) != getattr(batch, table)).any(), table
    clean, got = everything(name)(params, batch), everything(name)(params, dirty)
    for part in ("logit", "member_share"):
        np.testing.assert_array_equal(getattr(got.output, part), getattr(clean.output, part))
    jax.tree.map(np.testing.assert_array_equal, got[1:], clean[1:])


@every
def test_samples_do_not_depend_on_their_neighbors(name):
    params, batch, order = parameters(name), factored(), np.array([3, 0, 4, 2, 1])
    parts = ("members", "member_windows", "account", "label", "mask")
    mixed = batch._replace(**{part: getattr(batch, part)[order] for part in parts})
    plain, got = everything(name)(params, batch), everything(name)(params, mixed)
    np.testing.assert_array_equal(got.output.logit, plain.output.logit[order])
    np.testing.assert_array_equal(got.output.member_share, plain.output.member_share[order])
    np.testing.assert_array_equal(got.individual_logits, plain.individual_logits[order])
    # Other people in all samples but the first: it does not notice.
    others = batch._replace(members=batch.members.at[1:].set(1), member_windows=batch.member_windows.at[1:].set(1))
    logit = everything(name)(params, others).output.logit
    np.testing.assert_array_equal(logit[0], plain.output.logit[0])
    assert (logit[1:] != plain.output.logit[1:]).any(axis=1).all()


@every
def test_where_nobody_is_everything_is_finite(name):
    params, batch, rest = parameters(name), factored(), np.array([0, 1, 3, 4])
    plain = everything(name)(params, batch)
    got = everything(name)(params, batch._replace(members=batch.members.at[2].set(0)))
    chex.assert_tree_all_finite(got)
    np.testing.assert_array_equal(got.output.member_share[2], 0)
    np.testing.assert_array_equal(got.individual_logits[2], 0)
    np.testing.assert_array_equal(got.output.logit[rest], plain.output.logit[rest])
    nothing = jax.tree.map(jnp.zeros_like, batch)._replace(label=batch.label)
    chex.assert_tree_all_finite(everything(name)(params, nothing))


@every
def test_a_quiet_member_counts_and_keeps_statics(name):
    params, batch = parameters(name), factored()
    assert batch.members[1, 0] > 0 and batch.member_windows[1, 0] == 0 and not batch.member_mask[1, 1:].any()
    plain = everything(name)(params, batch).output
    assert plain.member_share[1, 0] == 1
    row = batch.members[1, 0]
    other = batch._replace(individuals=batch.individuals.at[row, 0].set(4))
    assert jnp.abs(everything(name)(params, other).output.logit[1] - plain.logit[1]).max() > 1e-3


@every
def test_an_individual_s_score_is_that_of_the_group_of_one(name):
    params, batch = parameters(name), factored()
    alone = everything(name)(params, batch).individual_logits
    assert alone.shape == (*batch.members.shape, HORIZONS)
    np.testing.assert_array_equal(alone[~batch.member_mask], 0)
    for k in range(batch.members.shape[1]):
        solo = batch._replace(
            members=jnp.zeros_like(batch.members).at[:, 0].set(batch.members[:, k]),
            member_windows=jnp.zeros_like(batch.members).at[:, 0].set(batch.member_windows[:, k]),
        )
        there = batch.member_mask[:, k]
        assert_close(alone[there, k], everything(name)(params, solo).output.logit[there], relative=1e-6)


@every
def test_the_stages_in_chunks_equal_the_whole(name):
    net, params, batch = model(name), parameters(name), factored()

    def joined(stage, batch, *fields):
        """Maps a stage over the halves of some fields."""
        middle = len(getattr(batch, fields[0])) // 2
        halves = [
            batch._replace(**{name: getattr(batch, name)[half] for name in fields if getattr(batch, name) is not None})
            for half in (slice(0, middle), slice(middle, None))
        ]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *map(stage, halves))

    @jax.jit
    def in_chunks(params, batch):
        periods = joined(partial(net.encode_periods, params), batch, "sequences", "gaps")
        fields = ("windows", "count_windows", "window_ages")
        windows = joined(partial(net.encode_windows, params, periods.value), batch, *fields)
        samples = ("members", "member_windows", "account", "label", "mask", "account_numbers", "member_numbers")
        scored = joined(partial(net.score, params, windows.value), batch, *samples)
        return Output(scored.logit, scored.member_share, windows.weights, periods.weights), scored.member_logit

    output, alone = everything(name)(params, batch)[:2]
    assert_close(in_chunks(params, batch), (output._replace(member_logit=None), alone), relative=1e-6)


@every
def test_numbers_as_of_the_cut_off_follow_the_static_ones(name):
    batch = factored()
    split = batch._replace(accounts=batch.accounts[:, :1], account_numbers=batch.accounts[batch.account][:, 1:])
    np.testing.assert_array_equal(account_numbers(split), account_numbers(batch))
    got = jax.eval_shape(model(name).apply, parameters(name), split)
    assert got.logit.shape == batch.label.shape


INITIAL = np.array([[-6.0, -6.0], [-3.0, 2.0], [-3.0, 2.0]], np.float32)
KEYS = jax.random.split(jax.random.key(0), 2)[np.array([0, 0, 1])]


@cache
def initial(name):
    """Initial parameters of three networks: the first two differ in the initial log-odds, the last two in the key."""
    init = jax.jit(model(name).init)
    return [init(key, logit) for key, logit in zip(KEYS, INITIAL, strict=True)]


@every
def test_the_first_predictions_lie_around_the_initial_logit(name):
    for logit, params in zip(INITIAL, initial(name), strict=True):
        got = everything(name)(params, factored()).output.logit
        assert jnp.abs(got.mean(axis=0) - logit).max() < 1.5
    # No other parameter depends on it.
    same = jax.tree.map(lambda a, b: bool((a == b).all()), *initial(name)[:2])
    assert sum(not leaf for leaf in jax.tree.leaves(same)) == 1


def test_a_population_equals_its_members():
    members = initial("maximum")
    population = jax.jit(jax.vmap(model("maximum").init))(KEYS, INITIAL)
    jax.tree.map(np.testing.assert_array_equal, population, jax.tree.map(lambda *leaves: jnp.stack(leaves), *members))
    kernel = population["window"]["gru"]["kernel"]
    np.testing.assert_array_equal(kernel[0], kernel[1])
    assert (kernel[1] != kernel[2]).all()


def test_one_shape_is_compiled_once():
    net, params, batch = model(), parameters(), factored()
    chex.clear_trace_counter()
    apply = jax.jit(chex.assert_max_traces(net.apply, n=1))
    for seed in range(3):
        apply(jax.tree.map(lambda p: p + seed, params), batch._replace(members=batch.members + seed))  # noqa: B023
    with pytest.raises(AssertionError, match="traced"):
        apply(params, batch._replace(members=batch.members[:2]))


def test_parameters_are_a_nested_dict_of_arrays_with_something_in_them():
    for sizes in (Sizes(vocabulary=3), Sizes(vocabulary=3, levels=(4,), numbers=2, horizons=3)):
        params = jax.eval_shape(network(ModelConfig(), sizes).init, jax.random.key(0))

        def check(node):
            if isinstance(node, dict):
                assert type(node) is dict
                return [check(child) for child in node.values()]
            assert node.dtype == jnp.float32 and node.size

        check(params)


def test_the_same_settings_give_the_same_functions():
    sizes = Sizes(vocabulary=3)
    assert network(ModelConfig(), sizes) is network(ModelConfig(), Sizes(vocabulary=3))
    assert network(ModelConfig(), sizes) is not network(ModelConfig(aggregator="maximum"), sizes)


def test_masks_are_boolean():
    batch = factored()
    for mask in (batch.activity_mask, batch.period_mask, batch.member_mask, batch.label_mask):
        assert mask.dtype == bool


@pytest.mark.parametrize("wrong", [{"vocabulary": 1}, {"levels": (3, 1)}, {"numbers": -1}, {"max_members": 0}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sizes(**{"vocabulary": 5, **wrong})


FITTING = Sizes(vocabulary=7, levels=(4, 4), numbers=3, horizons=2, max_members=4)


def test_the_sizes_of_a_batch_hold_it_and_nothing_more():
    whole, numbers = dense().batch(), np.zeros((5, 2))
    assert int(whole.sequences.max()) == 6 and whole.individuals.max(axis=0).tolist() == [3, 3]
    assert Sizes.of(whole) == FITTING
    assert Sizes.of(whole._replace(account_numbers=numbers)).numbers == 3 + 2
    empty = jax.tree.map(np.zeros_like, whole)
    assert (Sizes.of(empty).vocabulary, Sizes.of(empty).levels) == (2, (2, 2))
    FITTING.check(whole)
    larger = Sizes(vocabulary=9, levels=(5, 4), numbers=3, horizons=2, max_members=25)
    larger.check(factored())
    unlabeled = whole._replace(label=np.full((5, 1), np.nan))
    larger.check(unlabeled)  # to be scored


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"vocabulary": 6}, "sequences hold the id 6, and vocabulary is 6"),
        ({"levels": (4, 3)}, "column 1 of individuals holds the id 3, and levels[1] is 3"),
        ({"levels": (4,)}, "individuals have 2 categories instead of 1"),
        ({"numbers": 2}, "accounts have 3 numbers instead of 2"),
        ({"horizons": 1}, "label has 2 horizons instead of 1"),
        ({"max_members": 3}, "members have 4 places, and max_members is 3"),
        ({"vocabulary": 3, "numbers": 9}, "vocabulary is 3; accounts have 3"),
    ],
)
def test_a_batch_beyond_the_sizes_is_refused(sizes, message):
    with pytest.raises(DataError, match=f"does not fit the sizes of the network: .*{re.escape(message)}"):
        dataclasses.replace(FITTING, **sizes).check(dense().batch())
