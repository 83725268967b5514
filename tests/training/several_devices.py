"""Trains on one device and on eight, in a process of its own, as the number of devices is fixed when JAX starts."""

import dataclasses
from operator import itemgetter

import jax
import numpy as np

from hanjax.config import ModelConfig, TrainConfig
from hanjax.data.batches import plan_epoch
from hanjax.nn.functional import network
from hanjax.nn.sizes import Sizes
from hanjax.training.devices import mesh_of
from hanjax.training.fit import fit_panel
from hanjax.training.population import Member, fit_members
from hanjax.training.streaming import Part, fit_shards
from tests.training.standin import Linear, panel

PANEL = panel(120, signal=1.0)
TRAIN, VALIDATION = np.arange(80), np.arange(80, 120)
SETTINGS = TrainConfig(epochs=4, batch_size=16, learning_rate=0.002, positive_weight=3.0)  # 20 steps


def agree(one, other):
    """Parameters and history agree."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one.params, other.params)
    for name in ("loss", "validation_auc", "validation_log_loss"):
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-4, err_msg=name)


def compare(one, other):
    """They agree, and the first one was compiled once."""
    agree(one, other)
    assert one.history["compilations"].tolist() == [2, 0, 0, 0]


def main():
    """Compares."""
    mesh = mesh_of(8)  # before JAX is used for anything
    assert mesh is not None and mesh.size == len(jax.devices()) == 8
    shards, whole = (plan_epoch(PANEL, TRAIN, batch_size=16, seed=None, shards=n) for n in (8, None))
    for t, (samples, mask) in enumerate(zip(whole.samples, whole.mask, strict=True)):
        np.testing.assert_array_equal(np.sort(samples[mask]), np.sort(shards.samples[t][shards.mask[t]]))
    sizes = Sizes(vocabulary=5, levels=(4, 4), numbers=4, max_members=6)
    small = network(ModelConfig(activity_width=3, window_width=3, member_width=3), sizes)
    segmented = PANEL._replace(segments=np.random.default_rng(0).integers(0, 5, (120, 2)).astype(np.int32))
    effects = network(ModelConfig(window_width=3, member_width=3), dataclasses.replace(sizes, segments=(5, 5)))
    for model, whose in ((Linear(), PANEL), (small, PANEL), (effects, segmented)):
        alone = fit_panel(whose, TRAIN, VALIDATION, model, SETTINGS)
        compare(fit_panel(whose, TRAIN, VALIDATION, model, SETTINGS, mesh=mesh), alone)
    parts = [Part(PANEL, TRAIN[i::2], VALIDATION[i::2]) for i in range(2)]
    agree(*(fit_shards(parts.__getitem__, 2, Linear(), SETTINGS, mesh=which) for which in (mesh, None)))
    members = [Member(TrainConfig(**{**vars(SETTINGS), "learning_rate": 0.001 * i, "seed": i})) for i in range(1, 9)]
    dealt = fit_members(PANEL, TRAIN, VALIDATION, Linear(), members, mesh=mesh)
    for member, one in itemgetter(0, 7)(list(zip(members, dealt.members, strict=True))):
        compare(one, fit_panel(PANEL, TRAIN, VALIDATION, Linear(), member.config)._replace())
    print("the same")


if __name__ == "__main__":
    main()
