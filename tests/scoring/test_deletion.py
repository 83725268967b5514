"""Attention that is right by construction, that says nothing, and that is wrong; and what deleting leaves, by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

import hanjax
from hanjax.config import Config
from hanjax.errors import ConfigError, DataError
from hanjax.nn import Sizes, network
from hanjax.nn.functional import Network
from hanjax.nn.han import Scored
from hanjax.nn.pooling import Pooled
from hanjax.scoring import deletion
from hanjax.scoring.deletion import DELETED, deletion_test
from hanjax.types import Output
from tests import trained
from tests.nn.examples import drawn

LEVELS = ("member", "period", "activity")
EFFECTS = jnp.asarray(np.concatenate([[0.0], np.random.default_rng(0).gamma(0.5, size=63) + 0.01]))


@cache
def panel(**settings):
    return hanjax.encode(trained.market(), Config().replace(**trained.SIZES, **settings).panel)


def additive(attend):
    """A network by hand: each activity adds its effect to the log-odds, and gets attention as ``attend`` says of it."""

    def share(parts):
        total = parts.sum(axis=1, keepdims=True)
        return parts / jnp.where(total > 0, total, 1.0)

    def apply(params, batch):
        effect = jnp.where(batch.activity_mask, EFFECTS[batch.sequences], 0.0)
        attention = jnp.where(batch.activity_mask, attend(effect), 0.0)
        of_period, of_window = attention.sum(axis=1), attention.sum(axis=1)[batch.windows].sum(axis=1)
        there = batch.member_mask
        logit = jnp.where(there, effect.sum(axis=1)[batch.windows].sum(axis=1)[batch.member_windows], 0.0).sum(axis=1)
        of_member = share(jnp.where(there, of_window[batch.member_windows] + 1e-9, 0.0))
        return Output(logit[:, None] - 5.0, of_member, share(of_period[batch.windows]), share(attention))

    def encode_periods(params, batch):
        effect = jnp.where(batch.activity_mask, EFFECTS[batch.sequences], 0.0)
        return Pooled(effect.sum(axis=1, keepdims=True), effect)

    def encode_windows(params, periods, batch):
        return Pooled(periods[batch.windows].sum(axis=1), jnp.zeros(batch.windows.shape))

    def score(params, windows, batch):
        of_member = jnp.where(batch.member_mask, windows[batch.member_windows, 0], 0.0)
        return Scored(of_member.sum(axis=1, keepdims=True) - 5.0, jnp.zeros_like(of_member), of_member[..., None])

    unused = lambda *args: None
    return Network(unused, apply, unused, unused, encode_periods, encode_windows, score)  # pyright: ignore


@pytest.mark.parametrize("level", LEVELS)
def test_attention_that_is_right_is_believed(level):
    found = deletion_test(panel(), additive(lambda effect: effect), {}, level=level, samples=60)
    assert found.faithfulness == pytest.approx(1, abs=0.02) and found.low > 0.9
    assert found.rank_correlation > 0.97 and 10 < found.compared <= found.samples == 60
    curves = found.curves
    assert (curves["top"] > curves["random"]).all() and (curves["random"] > curves["bottom"]).all()
    np.testing.assert_allclose(curves["top"], curves["best"], rtol=1e-3)
    assert curves["deleted"].tolist() == list(DELETED)
    assert (curves.drop(columns="deleted").diff()[1:] >= 0).all(axis=None)  # here, more is always more
    assert found.sentence.endswith("it is a fair guide to what matters.")


def with_shares(shares):
    """The additive network with other attention: ``shares`` of the right output and the batch, made to sum to 1."""
    net = additive(lambda effect: effect)

    def apply(params, batch):
        output = net.apply(params, batch)
        masks = (batch.member_mask, batch.period_mask, batch.activity_mask)
        parts = [jnp.where(mask, part, 0.0) for mask, part in zip(masks, shares(output, batch), strict=True)]
        return output._replace(**{
            f"{level}_share": part / jnp.maximum(part.sum(axis=1, keepdims=True), 1e-9)
            for level, part in zip(LEVELS, parts, strict=True)
        })  # fmt: skip

    return net._replace(apply=apply)


@pytest.mark.parametrize("level", LEVELS)
def test_attention_that_is_wrong_is_worse_than_chance(level):
    upside_down = lambda output, batch: [1 / (getattr(output, f"{one}_share") + 1e-3) for one in LEVELS]
    found = deletion_test(panel(), with_shares(upside_down), {}, level=level, samples=60)
    assert found.high < 0 and found.rank_correlation < -0.3
    assert (found.curves["top"] < found.curves["random"]).all() and "not to be believed" in found.sentence


@pytest.mark.parametrize("level", LEVELS)
def test_attention_that_is_equal_is_as_good_as_chance(level):
    def equal(output, batch):
        activities = batch.activity_mask.sum(axis=1)
        of_period = jnp.where(batch.period_mask, activities[batch.windows] if level == "activity" else 1, 0)
        of_member = 1 if level == "member" else of_period.sum(axis=1)[batch.member_windows]
        return of_member, of_period, 1

    found = deletion_test(panel(), with_shares(equal), {}, level=level, samples=150, seed=3)
    assert abs(found.faithfulness) < 0.25 and found.low < 0.1 and found.high > -0.1
    assert found.rank_correlation == 0 and "fair guide" not in found.sentence


def test_where_no_order_matters_nothing_can_be_said():
    net = additive(lambda effect: effect)
    alike = lambda batch: dict(logit=0.5 * batch.member_mask.sum(axis=1, keepdims=True))
    apply = lambda params, batch: net.apply(params, batch)._replace(**alike(batch))
    score = lambda params, windows, batch: net.score(params, windows, batch)._replace(**alike(batch))
    found = deletion_test(panel(), net._replace(apply=apply, score=score), {}, samples=30)
    assert np.isnan(found.faithfulness) and np.isnan(found.low) and np.isnan(found.rank_correlation)
    assert found.compared == 0 and "cannot be judged" in found.sentence and "30 samples" in repr(found)


def test_the_curves_are_those_of_a_slow_one():
    """Members of the additive network: what is deleted is the sum of the effects of those with most attention."""
    found = deletion_test(panel(), additive(lambda effect: effect**2), {}, samples=np.arange(len(panel().samples)))
    batch, top, bottom, correlations, used = panel().batch, [], [], [], 0
    effects = np.asarray(EFFECTS, np.float64)
    for b in range(len(batch.mask)):
        members = [batch.sequences[batch.windows[w]] for w in batch.member_windows[b][batch.member_mask[b]]]
        effect = np.array([effects[one].sum() for one in members])
        attention = np.array([(effects[one] ** 2).sum() for one in members])
        if len(members) < 2:
            continue
        used += 1
        gone = [min(max(int(np.ceil(share * len(members))), 1), len(members) - 1) for share in DELETED]
        order = np.argsort(-attention, kind="stable")
        top.append([effect[order[:n]].sum() for n in gone])
        bottom.append([effect[order[::-1][:n]].sum() for n in gone])
        if len(members) > 2 and np.ptp(effect) > 0:
            correlations.append(spearmanr(effect, attention).statistic if np.ptp(attention) > 0 else 0.0)
    assert (found.samples, found.left_out, found.compared) == (used, len(batch.mask) - used, len(correlations))
    np.testing.assert_allclose(found.curves["top"], np.mean(top, axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.curves["bottom"], np.mean(bottom, axis=0), rtol=1e-4)
    assert found.rank_correlation == pytest.approx(np.mean(correlations), abs=1e-3)


ALL = dict(
    volumes=True, gaps=True, window_ages=True, member_numbers=("periods_since_arrival",), account_numbers=(),
)  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("settings", [{}, ALL])
def test_what_is_left_is_the_data_without_what_was_deleted(level, settings):
    whole, random = panel(**settings), np.random.default_rng(0)
    batch = whole.batch
    rows = random.permutation(np.flatnonzero(batch.member_mask.sum(axis=1) > 1))[:20]
    there = {
        "member": batch.member_mask[rows],
        "period": batch.member_mask[rows][..., None] & (batch.windows[batch.member_windows[rows]] > 0),
        "activity": batch.sequences[batch.windows[batch.member_windows[rows]]] > 0,
    }[level]
    at = np.argwhere(there & (random.random(there.shape) < 0.5))
    padded = np.pad(at, ((0, 0), (0, 4 - at.shape[1])))
    gone = deletion._Items(*padded.T, np.zeros(len(at)))
    altered = deletion._altered(batch, rows, at[:, 0], gone, level)
    for name in ("sequences", "windows", "gaps", "counts", "count_windows", "window_ages"):
        if getattr(batch, name) is not None:
            assert getattr(altered, name).dtype == getattr(batch, name).dtype, name
            np.testing.assert_array_equal(getattr(altered, name)[: len(getattr(batch, name))], getattr(batch, name))
    assert not settings or min(len(altered.counts) - len(batch.counts), altered.gaps.max()) > 0 or level == "member"
    decode = lambda one, samples: trained.decoded(
        whole._replace(batch=one, samples=samples.reset_index(drop=True), member_ids=whole.member_ids[rows])
    )
    samples = whole.samples.iloc[rows]
    original = batch._replace(**deletion._of_samples(batch, rows))
    found, before = (list(decode(one, samples).values()) for one in (altered, original))
    assert len(found) == len(rows)
    deleted = {tuple(place) for place in at}
    for r, (one, other) in enumerate(zip(found, before, strict=True)):
        assert one[1:] == other[1:]
        places, expected = np.flatnonzero(batch.member_mask[rows[r]]), []
        for k, (person, sequences, gaps, ages, numbers, statics, counts) in zip(places, other[0], strict=True):
            if (r, k) in deleted:
                continue
            for w, sequence in enumerate(sequences):
                stays = [
                    place for place, activity in enumerate(sequence)
                    if activity and (r, k, w) not in deleted and (r, k, w, place) not in deleted
                ]  # fmt: skip
                removed = [a for place, a in enumerate(sequence) if a and place not in stays]
                fill = lambda row, stays=stays: [row[place] for place in stays] + [0] * (len(row) - len(stays))
                sequences[w] = fill(sequence)
                if gaps is not None:
                    gaps[w] = fill(gaps[w])
                    for activity in removed:
                        counts[w][activity] -= 1
                    if not stays:
                        ages[w], counts[w] = 0, [0] * len(counts[w])
            expected.append((person, sequences, gaps, ages, numbers, statics, counts))
        assert one[0] == expected


def test_of_a_network_each_deletion_is_that_of_the_altered_samples():
    config = Config().replace(**trained.SIZES, **trained.WIDTHS, aggregator="gru_attention")
    net = network(config.model, Sizes.of(panel().batch))
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    rows = np.flatnonzero(panel().samples["n_members"] == 2)[:3]
    found = deletion_test(panel(), net, params, samples=rows)
    batch, apply = panel().batch, jax.jit(net.apply)
    output = apply(params, batch)
    wanted = []
    for row in rows:
        share = np.where(batch.member_mask[row], output.member_share[row], -1.0)
        members = batch.members.copy()
        members[row, share.argmax()] = 0
        wanted.append(abs(apply(params, batch._replace(members=members)).logit[row, 0] - output.logit[row, 0]))
    np.testing.assert_allclose(found.curves["top"], np.mean(wanted), rtol=1e-4)
    again = deletion_test(panel(), net, params, samples=rows)
    figures = lambda one: {**vars(one), "curves": None}
    np.testing.assert_equal(figures(found), figures(again))  # for which NaN is NaN
    assert found.curves.equals(again.curves) and found.items == 6


@pytest.mark.parametrize("samples", [[-1], [10**6], [0.5]])
def test_samples_that_there_are_not_are_an_error(samples):
    with pytest.raises(DataError, match="samples: expected rows of the panel"):
        deletion_test(panel(), additive(jnp.abs), {}, samples=np.array(samples))


def test_what_cannot_be_tested_is_an_error():
    alone = np.flatnonzero(panel().samples["n_members"] == 1)
    for samples in (alone, alone[:0], 0):
        with pytest.raises(DataError, match="none has two items of the level 'member'"):
            deletion_test(panel(), additive(jnp.abs), {}, samples=samples)
    with pytest.raises(ConfigError, match="level: expected one of member, period, activity, got 'week'"):
        deletion_test(panel(), additive(jnp.abs), {}, level="week")
    with pytest.raises(ConfigError, match="no attention at the level 'activity'"):
        deletion_test(panel(), additive(lambda effect: 0 * effect), {}, level="activity")
