"""Networks of the package do not read padding; those that do are caught, each by the alteration that shows it."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from hanjax import masked
from hanjax.checks import check_mask_invariance
from hanjax.checks.masks import _ALTERATIONS, _drawn
from hanjax.config import Config
from hanjax.errors import ConfigError
from hanjax.nn import Sizes, ensemble, network
from hanjax.nn.aggregators import AGGREGATORS
from hanjax.run import Run
from tests.nn.examples import drawn
from tests.nn.variants import LEVELS, VARIANTS, VOCABULARY, settings

SMALLEST = settings(period_input="counts")


def sizes_of(variant=VARIANTS["counts"]):
    numbers = 2 if variant.numbers else 0
    return Sizes(vocabulary=VOCABULARY, levels=LEVELS, numbers=3, horizons=2, max_members=5,
                 member_numbers=numbers, window_ages=variant.ages)  # fmt: skip


def parameters(net):
    return drawn(jax.eval_shape(net.init, jax.random.key(0)))


# Networks of the package pass


def assert_sound(net, sizes):
    verdict = check_mask_invariance(net, parameters(net), sizes)
    assert verdict.passed and not verdict.problems, verdict
    assert verdict.checked.startswith("2 random batches, each altered in 5 ways; values at most ")


def fast(names, few):
    """The names, all but a few of them marked as slow: compiling takes a second or two for each."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", fast(AGGREGATORS, {"fnn", "maximum"}))
def test_every_aggregation(name):
    assert_sound(network(dataclasses.replace(SMALLEST, aggregator=name), sizes_of()), sizes_of())


@pytest.mark.parametrize("name", fast(VARIANTS, {"raw_counts"}))
def test_every_option(name):
    sizes = sizes_of(VARIANTS[name])
    net = network(VARIANTS[name].config, sizes)
    assert_sound(ensemble(net, 2) if name == "raw_counts" else net, sizes)


def test_what_is_needed_is_asked_for():
    net, sizes = plain(), sizes_of()
    untrained = Run(Config(), None, sizes, 1.0, pd.Series(dtype=str))  # type: ignore[arg-type]
    for given in ((net,), (net, parameters(net)), (untrained,)):
        with pytest.raises(ConfigError, match="params, sizes: expected those of the network"):
            check_mask_invariance(*given)
    with pytest.raises(ConfigError, match="batches: expected at least 1, got 0"):
        check_mask_invariance(net, parameters(net), sizes, batches=0)


# Networks that read what they must not are caught


@cache
def plain(aggregator=AGGREGATORS["mean_log_odds"]):
    return network(SMALLEST, sizes_of(), aggregator)


def problems_of(net):
    verdict = check_mask_invariance(net, parameters(net), sizes_of(), batches=1)
    assert verdict.passed == (not verdict.problems)
    return verdict.problems


def ignoring(scores, *, where):
    return jax.nn.softmax(scores)


def empty_is_nan(scores, *, where):
    return jax.nn.softmax(jnp.where(where, scores, -jnp.inf))


def test_attention_to_padding(monkeypatch):
    monkeypatch.setattr(masked, "softmax", ignoring)
    found = problems_of(plain())
    assert any(text.startswith("With more places, ") and "log-odds of samples change" in text for text in found)
    assert any(text.startswith("With more places, ") and "the gradient by " in text for text in found)


def test_attention_to_an_empty_window(monkeypatch):
    monkeypatch.setattr(masked, "softmax", empty_is_nan)
    found = problems_of(plain())
    assert any("log-odds of samples are not finite" in text for text in found)
    assert any("the gradient by " in text and " is not finite, and those by " in text for text in found)


class ReadsPadding(AGGREGATORS["mean_log_odds"]):
    """The mean over all places."""

    def __call__(self, people, *, where, account):
        group = super().__call__(people, where=where, account=account)
        return group._replace(logit=people.mean(axis=0))


class ReadsPlaces(AGGREGATORS["mean_log_odds"]):
    """Whoever stands in the first place counts more."""

    def __call__(self, people, *, where, account):
        group = super().__call__(people, where=where, account=account)
        return group._replace(logit=group.logit + jnp.where(where[0], people[0], 0.0))


def test_an_aggregation_that_reads_padded_members():
    started = {text.split(":")[0] for text in problems_of(plain(ReadsPadding)) if "log-odds of samples" in text}
    assert started >= {"With more places, samples, rows, periods and activities than needed",
                       "With anything where nothing is"}  # fmt: skip


def test_an_aggregation_that_reads_places():
    started = {text.split(":")[0] for text in problems_of(plain(ReadsPlaces))}
    assert started == {"With empty places between members"}


def wrapped(alter):
    """A network whose log-odds are altered by what else stands in the batch."""
    own = plain()

    def apply(params, batch):
        output = own.apply(params, batch)
        return output._replace(logit=alter(output.logit, params, batch))

    return own._replace(apply=apply)


def normalized(logit, params, batch):
    """By the mean over the real samples: right under padding, and still no business of a sample."""
    there = batch.mask[:, None]
    return logit - jnp.where(there, logit, 0.0).sum(axis=0, keepdims=True) / there.sum()


def test_normalization_over_the_batch():
    found = problems_of(wrapped(normalized))
    assert any(text.startswith("Beside other samples: log-odds of samples change") for text in found)
    assert not any("With the rows" in text or "With empty places" in text for text in found)


def test_a_value_that_is_a_row_of_a_table():
    found = problems_of(wrapped(lambda logit, params, batch: logit + 0.01 * batch.account[:, None]))
    assert {text.split(":")[0] for text in found} == {"With the rows of tables permuted"}


def test_a_gradient_that_only_padding_changes():
    def alter(logit, params, batch):
        reached = params["window"]["pool"]["query"].sum() * len(batch.windows)
        return logit + (reached - jax.lax.stop_gradient(reached))

    found = problems_of(wrapped(alter))
    assert found and all(text.startswith("With more places, ") for text in found)
    assert all("the gradient by window/pool/query changes" in text for text in found)


def test_a_masked_sample_that_is_not_finite():
    found = problems_of(wrapped(lambda logit, params, batch: jnp.where(batch.mask[:, None], logit, jnp.nan)))
    assert any("log-odds of samples are not finite" in text for text in found)
    assert not any("change" in text for text in found)


# What is altered


def test_batches_have_every_kind_of_nothing_and_each_alteration_alters():
    variant = VARIANTS["joined"]
    whole = _drawn(sizes_of(variant), np.random.default_rng(0), window=3, length=4)
    member = np.asarray(whole.member_mask)
    sizes = member.sum(axis=1)
    assert sizes.max() == 5 and (sizes == 1).sum() >= 2 and sizes[-1] == 0 and not whole.mask[-1]
    assert (member & (whole.member_windows == 0)).any() and whole.member_windows[2].sum() == 0
    windows = whole.windows[whole.member_windows[member]]
    assert ((windows == 0).any(axis=1) & (windows > 0).any(axis=1)).any()
    for alter in _ALTERATIONS.values():
        other = alter(whole, np.random.default_rng(1))
        assert any(
            getattr(whole, name) is not None and not np.array_equal(getattr(whole, name), getattr(other.batch, name))
            for name in whole._fields
        )
        sizes_of(variant).check(other.batch, variant.config)
        label = np.asarray(other.batch.label)[other.at]
        np.testing.assert_array_equal(label, np.asarray(whole.label)[other.of])
        own, its = member[other.of, : other.places.shape[1]], np.asarray(other.batch.member_mask)
        np.testing.assert_array_equal(its[other.at[:, None], other.places], own)
