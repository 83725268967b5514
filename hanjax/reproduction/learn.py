"""Trains one row with some seeds, and keeps what the report needs of it: the scores on the tests."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.config import Config, TrainConfig
from hanjax.data.splits import deal_accounts
from hanjax.errors import RunError
from hanjax.nn.ensemble import ensemble
from hanjax.nn.functional import network
from hanjax.reproduction.counts import fit_counts, oracle
from hanjax.reproduction.naive import NAIVE
from hanjax.reproduction.rows import Row
from hanjax.reproduction.worlds import Panels, World, eventually
from hanjax.scoring.scores import score_panel
from hanjax.training.fit import Fitted, fit_panel
from hanjax.training.population import Member, fit_members
from hanjax.training.step import Network
from hanjax.types import Panel


class Scored(NamedTuple):
    """A model's scores on one test.

    Args:
        account: ``[N]`` each sample's account, as a position among the test's accounts in order of id.
        period: ``[N]`` number of the period that is predicted.
        score: ``[N]`` log-odds.
        label: ``[N]`` 1 where the account converts, 0 where not, NaN where unknown.
        members: ``[N]`` number of members.
        sample: ``[I]`` each individual's sample; empty if individuals have no scores.
        individual: ``[I]`` its place among the sample's members.
        own: ``[I]`` its log-odds.
    """

    account: Int[np.ndarray, " N"]
    period: Int[np.ndarray, " N"]
    score: Float[np.ndarray, " N"]
    label: Float[np.ndarray, " N"]
    members: Int[np.ndarray, " N"]
    sample: Int[np.ndarray, " I"]
    individual: Int[np.ndarray, " I"]
    own: Float[np.ndarray, " I"]


class Learned(NamedTuple):
    """What a row gave.

    Args:
        scores: by test.
        loss: training loss of each epoch; empty if it is no network.
        samples: training samples.
        conversions: of them that convert.
    """

    scores: dict[str, Scored]
    loss: list[float]
    samples: int
    conversions: int


def learn(row: Row, config: Config, seeds: Sequence[int], world: World, panels: Panels) -> Iterator[Learned | RunError]:
    """Trains a row, with several seeds side by side, and scores the tests.

    Args:
        row: what to train.
        config: its settings.
        seeds: of parameters and order; the split is the world's.
        world: the data.
        panels: the data as the settings ask for them.

    Yields:
        For each seed the scores, or why there are none: the loss ceased to be finite.

    Raises:
        DataError: if there is nothing to learn from.
    """
    if row.eventually:
        tests = {name: eventually(test) for name, test in panels.tests.items()}
        panels = panels._replace(train=eventually(panels.train), tests=tests)
    label = panels.train.batch.label[:, 0]
    samples, conversions = int((~np.isnan(label)).sum()), int(np.nansum(label))
    if row.kind != "network":
        for seed in seeds:
            if row.kind in ("regression", "boosting"):
                logit = fit_counts(row.kind, panels, seed, choose=row.preset == "recommended")
            else:
                logit = oracle(row.kind, panels, world, seed)
            found = {name: _scored(panels.tests[name], panels.accounts[name], values) for name, values in logit.items()}
            yield Learned(found, [], samples, conversions)
        return
    model = network(config.model, panels.sizes, NAIVE[row.naive] if row.naive else None)
    if config.train.ensemble > 1:
        model = ensemble(model, config.train.ensemble)
    for fitted in _fitted(model, config.train, seeds, panels.train):
        if isinstance(fitted, RunError):
            yield fitted
            continue
        found = {}
        for name, test in panels.tests.items():
            scores = score_panel(test, model, fitted.params, positive_weight=fitted.positive_weight)
            odds = _log_odds(scores.accounts["probability"].to_numpy())
            own = _log_odds(scores.individuals["score"].to_numpy())
            found[name] = _scored(test, panels.accounts[name], odds, own)
        yield Learned(found, fitted.history["loss"].tolist(), samples, conversions)


def _fitted(model: Network, config: TrainConfig, seeds: Sequence[int], panel: Panel) -> list[Fitted | RunError]:
    """Trains a network with each seed."""
    crossed = config.cross_validation
    train, validation = _split(panel, 0.0 if crossed else config.validation)
    parts = deal_accounts(panel, config.ensemble, seed=0) if crossed else None
    members = [Member(dataclasses.replace(config, seed=seed)) for seed in seeds]
    if len(members) > 1:
        return fit_members(panel.batch, train, validation, model, members, parts=parts).members
    try:
        return [fit_panel(panel.batch, train, validation, model, members[0].config, parts=parts)]
    except RunError as error:
        return [error]


def _split(panel: Panel, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the panel to learn from and to choose the epoch by: a share of the accounts, of each outcome."""
    code, ids = pd.factorize(panel.samples["account_id"])
    if share == 0:
        return np.arange(len(code)), np.zeros(0, int)
    converts = np.bincount(code, weights=np.nan_to_num(panel.batch.label[:, 0])) > 0
    random, kept = np.random.default_rng(0), np.zeros(len(ids), bool)
    for outcome in (True, False):
        accounts = random.permutation(np.flatnonzero(converts == outcome))
        kept[accounts[: max(round(share * len(accounts)), 1)]] = True
    return np.flatnonzero(~kept[code]), np.flatnonzero(kept[code])


def _scored(panel: Panel, accounts: pd.Index, score: np.ndarray, own: np.ndarray | None = None) -> Scored:
    """Lays scores out as arrays; individuals stand as ``score_panel`` has them, by sample and place."""
    sample, place = np.nonzero(panel.batch.member_mask)
    if own is None:
        sample, place, own = sample[:0], place[:0], np.zeros(0)
    return Scored(
        accounts.get_indexer(panel.samples["account_id"]).astype(np.int32),
        panel.samples["period"].to_numpy(np.int32),
        score.astype(np.float32),
        panel.batch.label[:, 0].astype(np.float32),
        panel.samples["n_members"].to_numpy(np.int16),
        sample.astype(np.int32),
        place.astype(np.int16),
        own.astype(np.float32),
    )


def _log_odds(probability: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(probability) - np.log1p(-probability)
