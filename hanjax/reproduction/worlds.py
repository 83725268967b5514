"""The data of a reproduction: one log, one frozen split, and the panels that each row's settings ask for."""

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax.config import Config, PanelConfig
from hanjax.data.encoding import Encoding, fit_encoding
from hanjax.data.log import NEVER, Log
from hanjax.data.panel import calendar_of, make_panel
from hanjax.data.splits import TEST, TRAIN, split_accounts, take_accounts
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.nn.sizes import Sizes
from hanjax.reproduction.rows import Settings
from hanjax.simulation import simulate
from hanjax.simulation.settings import Market, MarketConfig
from hanjax.types import Panel, Tables

_FRESH_SEED = 7919
"""Added to a market's seed, to draw further accounts of the same kind."""


@dataclass(frozen=True, eq=False)
class World:
    """A data set with its frozen split.

    Args:
        name: "market", "data", or the rule that its accounts decide by.
        tables: the tables it was made of.
        training: ``[A]`` the training accounts, in order of id; all others are the test.
        digest: hash of the tables' content and of the split.
        market: the truth, if it is simulated.
        fresh: further accounts of the same market, on which models are measured more sharply; None for none.
        settings: of every row on these data, where they differ from the paper's.
    """

    name: str
    tables: Tables
    training: Bool[np.ndarray, " a"]
    digest: str
    market: Market | None = None
    fresh: Market | None = None
    settings: Settings = ()

    @property
    def panel(self) -> PanelConfig:
        """The paper's data settings with those of these data."""
        return Config.paper().replace(**dict(self.settings)).panel

    def log(self, config: PanelConfig) -> Log:
        """The checked log."""
        return check(self.tables, config)

    def third(self, seed: int = 0) -> "World":
        """The same data with a third of the training accounts, and the test on all accounts that are left.

        Args:
            seed: of the draw, which is stratified by outcome.

        Returns:
            The world, without fresh accounts.
        """
        converted = self.log(self.panel).converted_at != NEVER
        random, kept = np.random.default_rng(seed), np.zeros(len(self.training), bool)
        for outcome in (True, False):
            rows = random.permutation(np.flatnonzero(self.training & (converted == outcome)))
            kept[rows[: max(round(len(rows) / 3), 1)]] = True
        digest = hashlib.sha256(self.digest.encode() + kept.tobytes()).hexdigest()
        return dataclasses.replace(self, training=kept, digest=digest, fresh=None)


class Panels(NamedTuple):
    """What one setting of the data makes of a world.

    Args:
        train: samples of the training accounts.
        tests: samples that models are measured on: "test" and, if there are any, "fresh".
        accounts: ids of each test's accounts, whether they have samples or not.
        encoding: fitted on the training accounts.
        sizes: the model's.
    """

    train: Panel
    tests: dict[str, Panel]
    accounts: dict[str, pd.Index]
    encoding: Encoding
    sizes: Sizes


def simulated_world(market: MarketConfig, *, fresh: int = 0, name: str = "market", settings: Settings = ()) -> World:
    """Simulates a market and freezes its split: its own folds if it has such, else as many test accounts as the paper.

    Args:
        market: the market's settings.
        fresh: number of further accounts to measure on.
        name: the world's.
        settings: of every row, where they differ from the paper's.

    Returns:
        The world.
    """
    made = simulate(market)
    further = simulate(market, accounts=fresh, seed=market.seed + _FRESH_SEED) if fresh else None
    world = given_world(made.tables, name=name, settings=settings)
    digest = hashlib.sha256((world.digest + repr((market, fresh))).encode()).hexdigest()
    return dataclasses.replace(world, market=made, fresh=further, digest=digest)


def given_world(tables: Tables, *, name: str = "data", test_fold: int | None = None, settings: Settings = ()) -> World:
    """Freezes the split of some tables: a fold of ``folds`` if there are any, else the paper's share of the accounts.

    Args:
        tables: the tables.
        name: the world's.
        test_fold: the fold to test on; None for 1, or the first one if there is no 1.
        settings: of every row, where they differ from the paper's.

    Returns:
        The world.

    Raises:
        DataError: if the tables are not what they should be, or a part lacks conversions.
    """
    config = Config.paper().replace(**dict(settings))
    log = check(tables, config.panel)
    calendar_of(log, config.panel)  # a period that does not exist is refused before anything is trained
    train = config.train
    if log.fold is not None:
        folds = np.unique(log.fold)
        chosen = (1 if 1 in folds else folds[0]) if test_fold is None else test_fold
        train = dataclasses.replace(train, test_fold=int(chosen))
    part = split_accounts(log, train)
    converted = log.converted_at != NEVER
    if not converted[(part == TEST).to_numpy()].any():
        raise DataError("accounts.converted_at: no test account converts. Bring more accounts with a conversion.")
    digest = hashlib.sha256("".join(part).encode())
    for field in log:
        if isinstance(field, np.ndarray):
            digest.update(np.ascontiguousarray(field).tobytes())
    for table in (log.categories, log.numbers, log.account_ids.to_frame()):
        digest.update(table.to_csv(index=False).encode())
    return World(name, tables, (part == TRAIN).to_numpy(), digest.hexdigest(), settings=settings)


def encode_world(world: World, config: PanelConfig) -> Panels:
    """Encodes a world, with everything fitted on its training accounts.

    Args:
        world: the data and the split.
        config: the data's settings.

    Returns:
        The panels.
    """
    log = world.log(config)
    training = take_accounts(log, world.training)
    encoding = fit_encoding(training, config)
    train, encoding = make_panel(training, config, encoding)
    logs = {"test": take_accounts(log, ~world.training)}
    if world.fresh is not None:
        logs["fresh"] = check(world.fresh.tables, config)
    tests = {name: make_panel(log, config, encoding)[0] for name, log in logs.items()}
    accounts = {name: log.account_ids for name, log in logs.items()}
    return Panels(train, tests, accounts, encoding, sizes_of(train, encoding))


def sizes_of(panel: Panel, encoding: Encoding) -> Sizes:
    """The sizes of the model that a panel and its encoding ask for.

    Args:
        panel: any panel of the encoding.
        encoding: what was fitted on the training accounts.

    Returns:
        The sizes.
    """
    batch = panel.batch
    return Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        horizons=batch.label.shape[1],
        max_members=encoding.max_members,
        member_numbers=0 if batch.member_numbers is None else batch.member_numbers.shape[2],
        window_ages=batch.window_ages is not None,
    )


def eventually(panel: Panel, *, place: int = 8) -> Panel:
    """One sample an account, at its ``place``-th cut-off, labeled by whether the account ever converts.

    Args:
        panel: all samples.
        place: which cut-off, from 1 on.

    Returns:
        The panel of those samples; accounts without so many cut-offs have none.
    """
    samples, batch = panel.samples, panel.batch
    rows = np.flatnonzero(samples.groupby("account_id").cumcount().to_numpy() == place - 1)
    label = np.isin(samples["account_id"].to_numpy()[rows], converting(panel)).astype(np.float32)[:, None]
    kept = {name: getattr(batch, name)[rows] for name in ("members", "member_windows", "account", "mask")}
    for name in ("account_numbers", "member_numbers"):
        if getattr(batch, name) is not None:
            kept[name] = getattr(batch, name)[rows]
    return panel._replace(
        batch=batch._replace(label=np.repeat(label, batch.label.shape[1], axis=1), **kept),
        samples=samples.iloc[rows].reset_index(drop=True),
        member_ids=panel.member_ids[rows],
    )


def converting(panel: Panel) -> np.ndarray:
    """Ids of the accounts that convert within the panel's samples."""
    return panel.samples["account_id"].to_numpy()[panel.batch.label[:, 0] == 1]
