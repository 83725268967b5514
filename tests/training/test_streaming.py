"""Shard by shard, a network is trained as on one panel: the same losses, the same bits again, few compilations."""

import sys
import threading
import weakref

import jax
import numpy as np
import pytest

from hanjax.config import ModelConfig, TrainConfig
from hanjax.data.batches import filled_up, plan_epoch
from hanjax.errors import DataError
from hanjax.nn.functional import network
from hanjax.nn.sizes import Sizes
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.fit import fit_panel
from hanjax.training.streaming import Part, _steps, fit_shards, read_ahead
from tests.training.standin import Linear, panel

COLUMNS = ["epoch", "loss", "validation_auc", "validation_log_loss"]
SETTINGS = dict(epochs=3, batch_size=16, learning_rate=0.01, positive_weight=3.0, patience=None)
PANELS = [panel(60 + 7 * i, seed=i, signal=1.0) for i in range(4)]
PARTS = [Part(one, np.arange(40), np.arange(40, len(one.mask))) for one in PANELS]
LINEAR = Linear()


def fit(parts=PARTS, model=LINEAR, **more):
    options = {name: more.pop(name) for name in ("checkpoints", "resume", "mesh") if name in more}
    return fit_shards(parts.__getitem__, len(parts), model, TrainConfig(**{**SETTINGS, **more}), **options)


def assert_same_bits(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), one.params, other.params)
    assert one.history[COLUMNS].equals(other.history[COLUMNS]) and one.best_epoch == other.best_epoch


@pytest.mark.parametrize("more", [{}, {"ema_epochs": 1.5}, {"positive_weight": None}])
def test_one_shard_that_holds_everything_is_what_one_panel_is(more):
    [part, *_] = PARTS
    fitted = fit([part], **more)
    whole = fit_panel(part.batch, part.train, part.validation, LINEAR, TrainConfig(**{**SETTINGS, **more}))
    assert_same_bits(fitted, whole)


@pytest.mark.slow
def test_with_dropout_too():
    model = network(
        ModelConfig(activity_width=3, window_width=3, member_width=3, dropout=0.5),
        Sizes(vocabulary=5, levels=(4, 4), numbers=4, max_members=6),
    )
    [part, *_] = PARTS
    fitted = fit([part], model, epochs=2)
    whole = fit_panel(part.batch, part.train, part.validation, model, TrainConfig(**{**SETTINGS, "epochs": 2}))
    assert_same_bits(fitted, whole)
    other = fit([part], model, epochs=2, seed=1)
    assert (np.asarray(fitted.history["loss"]) != np.asarray(other.history["loss"])).all()


def test_several_shards_take_the_same_steps_as_by_hand():
    """Adam in NumPy would prove no more: each step is that of ``fit_panel``, so it is the order that is checked."""
    seen = []

    class Spied(Linear):
        def train(self, params, batch, key, dropout=None):
            jax.debug.callback(
                lambda label, mask: seen.append(np.asarray(label)[np.asarray(mask), 0]), batch.label, batch.mask
            )
            return self.apply(params, batch)

    fitted = fit(model=Spied(), epochs=2)
    jax.effects_barrier()
    known = [part.train[~np.isnan(part.batch.label[part.train, 0])] for part in PARTS]
    assert len(seen) == 2 * sum(-(-len(rows) // 16) for rows in known)
    every = np.sort(np.concatenate([part.batch.label[rows, 0] for part, rows in zip(PARTS, known, strict=True)]))
    for epoch in (seen[: len(seen) // 2], seen[len(seen) // 2 :]):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), every)  # each sample once
    assert not all(np.array_equal(a, b) for a, b in zip(seen[: len(seen) // 2], seen[len(seen) // 2 :], strict=True))
    assert len(fitted.history) == 2


@pytest.mark.slow
def test_it_learns_from_several_shards_as_from_one():
    one = panel(1200, seed=5, signal=1.0)
    rows = np.arange(1200)
    learn, choose = rows < 800, rows >= 800
    parts = [Part(one, rows[learn & (rows % 4 == i)], rows[choose & (rows % 4 == i)]) for i in range(4)]
    fitted = fit(parts, epochs=8)
    whole = fit_panel(one, rows[learn], rows[choose], LINEAR, TrainConfig(**{**SETTINGS, "epochs": 8}))
    auc, expected = fitted.history["validation_auc"].max(), whole.history["validation_auc"].max()
    assert expected > 0.75 and abs(auc - expected) < 0.01
    np.testing.assert_allclose(fitted.history["loss"].iloc[-1], whole.history["loss"].iloc[-1], rtol=0.02)


@pytest.mark.slow
def test_validation_is_over_all_shards_together():
    fitted = fit(epochs=1, learning_rate=1e-12)
    rows = [part.validation[~np.isnan(part.batch.label[part.validation, 0])] for part in PARTS]
    pairs = zip(PARTS, rows, strict=True)
    logit = np.concatenate([np.asarray(LINEAR.apply(fitted.params, part.batch).logit)[some, 0] for part, some in pairs])
    label = np.concatenate([part.batch.label[some, 0] for part, some in zip(PARTS, rows, strict=True)])
    difference = logit[label == 1][:, None] - logit[label == 0]
    np.testing.assert_allclose(
        fitted.history["validation_auc"], [((difference > 0) + (difference == 0) / 2).mean()], rtol=1e-9
    )


class Alone(Linear):
    """One that no other test compiles."""


def test_shards_of_several_sizes_share_few_programs():
    panels = [panel(300 + 10 * i, seed=i) for i in range(4)]
    parts = [Part(one, np.arange(200 + 5 * i), np.arange(200 + 5 * i, 300)) for i, one in enumerate(panels)]
    history = fit(parts, Alone(), epochs=4, batch_size=64).history
    assert history["compilations"].tolist() == [2, 0, 0, 0]  # one to learn, and one to predict


@pytest.mark.parametrize(
    "samples, most, steps", [(0, 900, 0), (1, 900, 1), (100, 900, 8), (800, 900, 50), (899, 900, 57), (900, 900, 57)]
)
def test_how_many_steps_a_shard_takes(samples, most, steps):
    assert _steps(samples, most, 16) == steps  # of the largest: 57, so that 50 are seven eighths


def test_what_fills_up_a_plan_and_a_panel_changes_nothing():
    small, large = (plan_epoch(one, np.arange(len(one.mask)), batch_size=16, seed=None) for one in PANELS[::3])
    room = large.room()._replace(windows=160, sequences=160)
    plan = plan_epoch(PANELS[0], np.arange(60), batch_size=16, seed=None, room=room)
    assert plan.room().blocks >= large.room().blocks and plan.windows.shape[-1] == plan.sequences.shape[-1] == 160
    assert sorted(plan.samples[plan.mask].tolist()) == list(range(60)) and plan.mask.sum() == small.mask.sum()
    one = PANELS[0]
    rows = {name: len(array) + 3 for name, array in one._asdict().items() if array is not None}
    more = filled_up(one, rows)
    assert len(more.mask) == 63 and not more.mask[60:].any() and more.label_mask.sum() == one.label_mask.sum()
    np.testing.assert_array_equal(more.members[:60], one.members)


def test_the_same_seed_gives_the_same_bits_with_grain_or_without(monkeypatch):
    pytest.importorskip("grain")
    once = fit()
    monkeypatch.setitem(sys.modules, "grain", None)
    assert_same_bits(fit(), once)
    assert fit(seed=1).history["loss"].tolist() != once.history["loss"].tolist()


def test_resumed_is_uninterrupted(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        fit(epochs=2, checkpoints=checkpoints)
        resumed = fit(epochs=4, checkpoints=checkpoints, resume=True)
    assert_same_bits(resumed, fit(epochs=4))


@pytest.mark.slow
def test_each_network_of_an_ensemble_is_kept_from_its_part():
    """As in one panel; the networks are one here, whose predictions of what it did not learn from choose the epoch."""
    both = network_of_two()
    apart = [np.arange(len(part.batch.mask)) % 2 for part in PARTS]
    parts = [part._replace(apart=which, validation=part.train[:0]) for part, which in zip(PARTS, apart, strict=True)]
    fitted = fit(parts[:1], both, ensemble=2, cross_validation=True, epochs=2)
    whole = fit_panel(
        parts[0].batch, parts[0].train, parts[0].validation, both,
        TrainConfig(**{**SETTINGS, "epochs": 2, "ensemble": 2, "cross_validation": True}), parts=apart[0],
    )  # fmt: skip
    assert_same_bits(fitted, whole)
    assert not fit(parts, both, ensemble=2, cross_validation=True, epochs=1).history["validation_auc"].isna().any()


def network_of_two():
    from hanjax.nn.ensemble import ensemble

    sizes = Sizes(vocabulary=5, levels=(4, 4), numbers=4, max_members=6)
    return ensemble(network(ModelConfig(activity_width=3, window_width=3, member_width=3), sizes), 2)


@pytest.mark.parametrize("library", ["grain", "thread"])
def test_no_more_than_two_are_in_memory(monkeypatch, library):
    if library == "grain":
        pytest.importorskip("grain")
    else:
        monkeypatch.setitem(sys.modules, "grain", None)
    alive, most, main = weakref.WeakSet(), 0, threading.get_ident()

    class Loaded:
        def __init__(self, number):
            self.number, self.thread = number, threading.get_ident()

    def load(number):
        nonlocal most
        loaded = Loaded(number)
        alive.add(loaded)
        most = max(most, len(alive))
        return loaded

    numbers = []
    ahead = read_ahead(load, list(range(6)))
    for _ in range(6):
        loaded = next(ahead)
        assert loaded.thread != main
        numbers.append(loaded.number)
        del loaded
    ahead.close()
    assert numbers == list(range(6)) and most <= 2


def test_an_error_in_reading_arrives():
    def broken(number):
        if number == 2:
            raise DataError("shard 2 is gone")
        return PARTS[number]

    with pytest.raises(DataError, match="shard 2 is gone"):
        fit_shards(broken, 4, LINEAR, TrainConfig(**SETTINGS))
    ahead = read_ahead(broken, [0, 1, 2])
    next(ahead), next(ahead)
    with pytest.raises(DataError, match="shard 2 is gone"):
        next(ahead)
    ahead.close()


def test_nothing_to_learn_from_is_an_error_and_a_shard_without_anything_is_not():
    unknown = [part._replace(batch=part.batch._replace(label=np.full_like(part.batch.label, np.nan))) for part in PARTS]
    with pytest.raises(DataError, match="None of the 160 samples for training has a known outcome"):
        fit(unknown)
    with pytest.raises(DataError, match="None of the 122 samples for validation has a known outcome"):
        fit([part._replace(validation=other.validation, batch=part.batch._replace(
            label=np.where(np.arange(len(part.batch.mask))[:, None] < 40, part.batch.label, np.nan)))
            for part, other in zip(PARTS, PARTS, strict=True)])  # fmt: skip
    some = fit([*PARTS[:2], unknown[2], PARTS[3]])
    assert len(some.history) == 3 and np.isfinite(some.history["loss"]).all()
    none = fit([part._replace(validation=part.train[:0]) for part in PARTS])
    assert none.history["validation_auc"].isna().all() and none.best_epoch == 3
