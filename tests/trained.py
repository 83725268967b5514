"""One small market and one model trained on it, shared by all tests that need a model: compiling takes seconds.

The market has everything that tables may have: rows that became known late, histories of statics, dated numbers,
more members than places. Nothing that is returned here may be changed.
"""

import functools

import numpy as np
import pandas as pd

import hanjax
from hanjax.config import Config
from hanjax.data.encoding import Encoding
from hanjax.data.log import Log
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.run import Run
from hanjax.types import Panel, Tables

SIZES = dict(window=3, max_activities=4, max_members=5)
WIDTHS = dict(activity_width=4, window_width=4, member_width=4, category_width=2)
TRAINING = dict(test=0.25, validation=0.3, epochs=2, batch_size=64)
CONFIG = Config().replace(**SIZES, **WIDTHS, **TRAINING, opt_out_activity="unsubscribe email")


@functools.cache
def market() -> Tables:
    """A simulated market with late rows, histories and dated numbers added."""
    plain = hanjax.simulate(accounts=24, weeks=10, conversions=0.4, seed=1).tables
    random = np.random.default_rng(0)
    days = lambda n, most: pd.to_timedelta(random.integers(1, most, n), unit="D")
    late = np.where(random.random(len(plain.events)) < 0.3, random.integers(1, 400, len(plain.events)), 0)
    events = plain.events.assign(known_at=plain.events["timestamp"] + pd.to_timedelta(late, unit="h"))
    leavers = random.random(len(events)) < 0.02
    events["activity"] = events["activity"].astype(object).where(~leavers, "unsubscribe email")
    individuals = plain.individuals.assign(known_at=plain.individuals["arrived_at"])
    later = individuals.sample(frac=0.5, random_state=0)
    later = later.assign(source_of_arrival="another", known_at=later["arrived_at"] + days(len(later), 40))
    accounts = plain.accounts.assign(known_at=plain.accounts["observed_from"], industry="steel")
    grown = accounts.sample(frac=0.5, random_state=0)
    grown = grown.assign(employees=3 * grown["employees"], known_at=grown["known_at"] + days(len(grown), 40))
    features = plain.accounts[["account_id", "observed_from"]].sample(frac=3, replace=True, random_state=0)
    features = features.assign(known_at=features["observed_from"] + days(len(features), 50))
    features = features.assign(budget=random.normal(size=len(features))).drop(columns="observed_from")
    return Tables(
        events,
        pd.concat([individuals, later], ignore_index=True),
        pd.concat([accounts, grown], ignore_index=True),
        features.drop_duplicates(["account_id", "known_at"]).reset_index(drop=True),
    )


@functools.cache
def trained() -> Run:
    """The model, in memory."""
    return hanjax.fit(market(), config=CONFIG)


@functools.cache
def panel() -> Panel:
    """All samples of the market, as the model was told to encode them."""
    return encoded(market(), trained().encoding)


def encoded(tables: Tables | Log, encoding: Encoding, config: Config = CONFIG) -> Panel:
    """The panel of some tables, or of a checked log, under an encoding that is fitted already."""
    log = tables if isinstance(tables, Log) else check(tables, config.panel)
    return make_panel(log, config.panel, encoding)[0]


def decoded(panel: Panel) -> dict:
    """What the network is given of each sample, by account, cut-off and unit, whatever rows it stands in."""
    batch, found = panel.batch, {}
    of = lambda table, *rows: None if table is None else table[rows].tolist()
    for b, key in enumerate(panel.samples[panel.keys].itertuples(index=False, name=None)):
        members = []
        for k in np.flatnonzero(batch.members[b]):
            window = batch.member_windows[b, k]
            members.append(
                (
                    panel.individual_ids[panel.member_ids[b, k]],
                    batch.sequences[batch.windows[window]].tolist(),
                    of(batch.gaps, batch.windows[window]),
                    of(batch.window_ages, window),
                    of(batch.member_numbers, b, k),
                    batch.individuals[batch.members[b, k]].tolist(),
                    None if batch.counts is None else batch.counts[batch.count_windows[window]].tolist(),
                )
            )
        numbers = None if batch.account_numbers is None else batch.account_numbers[b].tolist()
        found[key] = (members, batch.accounts[batch.account[b]].tolist(), numbers)
    return found


def assert_same_scores(one, other, tolerance=0.0):
    """Compares scores row by row; to the bit unless a tolerance is given."""
    for first, second in zip(one, other, strict=True):
        keys = [name for name in ("account_id", "individual_id", "cutoff") if name in first]
        first, second = (table.sort_values(keys).reset_index(drop=True) for table in (first, second))
        pd.testing.assert_frame_equal(first[keys], second[keys])
        for name in ("probability", "raw_score", "score", "share"):
            if name in first:
                np.testing.assert_allclose(first[name], second[name], rtol=0, atol=tolerance, err_msg=name)
