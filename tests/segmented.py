"""Samples that consist of nothing but their segment and a number, so that a network is a mixed logistic regression."""

from functools import cache
from typing import NamedTuple

import jax
import numpy as np

from hanjax.config import ModelConfig, TrainConfig
from hanjax.nn import Network, Sizes, network
from hanjax.nn.segments import Posterior, posteriors_of
from hanjax.training.fit import Fitted, fit_panel
from hanjax.types import Batch

TINY = ModelConfig(window_width=1, member_width=1, aggregator="fnn", period_input="counts")


class World(NamedTuple):
    """Segments of very different sizes with known effects.

    ``log_odds = base + u_segment + (slope + v_segment) x``, the effects of each kind adding up to zero.
    """

    segment: np.ndarray
    x: np.ndarray
    label: np.ndarray
    intercept: np.ndarray
    slope: np.ndarray
    log_odds: np.ndarray

    @property
    def size(self):
        return np.bincount(self.segment, minlength=len(self.intercept))

    def rows(self, rows):
        """Some of the samples."""
        return self._replace(**{name: getattr(self, name)[rows] for name in ("segment", "x", "label", "log_odds")})


def world(segments, samples, *, seed, base=-1.5, slope=0.8, tau=0.7, tau_slope=0.5, smallest=0.01):
    """Draws a world; the smallest segment has that share of the samples of the largest."""
    random = np.random.default_rng(seed)
    share = np.geomspace(1, smallest, segments)
    segment, x = random.choice(segments, samples, p=share / share.sum()), random.normal(size=samples)
    u, v = random.normal(0, tau, segments), random.normal(0, tau_slope, segments)
    u, v = u - u.mean(), v - v.mean()
    log_odds = base + u[segment] + (slope + v[segment]) * x
    label = (random.random(samples) < 1 / (1 + np.exp(-log_odds))).astype(np.float32)
    return World(segment, x, label, u, v, log_odds)


def batch_of(label, *segments, x=None):
    """Samples of one member who always does the same; segments are numbered from 0 and -1 is a missing one."""
    one = np.ones(len(label), np.int32)
    return Batch(
        sequences=np.array([[0], [1]], np.uint8),
        windows=np.array([[0], [1]], np.int32),
        individuals=np.zeros((2, 0), np.int32),
        accounts=np.zeros((2, 0), np.float32),
        members=one[:, None],
        member_windows=one[:, None],
        account=one,
        label=np.reshape(label, (len(one), -1)).astype(np.float32),
        mask=one > 0,
        counts=np.array([[0, 0], [0, 1]], np.float32),
        count_windows=np.array([[0], [1]], np.int32),
        account_numbers=None if x is None else x[:, None].astype(np.float32),
        segments=np.stack([np.where(s < 0, 0, s + 2) for s in segments], 1).astype(np.int32) if segments else None,
    )


@cache
def compiled(network):
    """What scores a batch, compiled."""
    return jax.jit(network.apply)


class Model(NamedTuple):
    """A trained network."""

    network: Network
    fitted: Fitted
    posteriors: list[Posterior]

    def log_odds(self, batch):
        """Of the first horizon, without the weight of the loss."""
        logit = np.asarray(compiled(self.network)(self.fitted.params, batch).logit, np.float64)[:, 0]
        return logit - np.log(self.fitted.positive_weight)


def trained_on(batch, config=TINY, **settings):
    """Trains on all samples, without any to choose an epoch by."""
    net = network(config, sizes := Sizes.of(batch))
    settings = {"positive_weight": 1.0, "patience": None, **settings}
    fitted = fit_panel(batch, np.arange(len(batch.mask)), np.zeros(0, int), net, TrainConfig(**settings))
    own = fitted.params.get("segments")
    found = [] if own is None else posteriors_of(own["mean"], own["log_sd"], sizes.segments)
    return Model(net, fitted, jax.tree.map(np.asarray, found))


@cache
def small_world():
    """Thirty segments of which the largest has a hundred times as many samples as the smallest; half are for tests."""
    whole = world(30, 12000, seed=0)
    return whole.rows(slice(6000)), whole.rows(slice(6000, None))
