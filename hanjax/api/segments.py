"""What a model has learned of each segment: its own effects, how sure they are, and how much they differ."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.api.given import Data, run_of, tables_of
from hanjax.data.dates import parse_date
from hanjax.data.encoding import MISSING, Factor
from hanjax.data.panel import make_panel
from hanjax.data.splits import TRAIN, known_before, take_accounts
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.nn.han import account_numbers
from hanjax.nn.segments import Posterior, posteriors_of
from hanjax.run import Run
from hanjax.scoring.scores import network_logits
from hanjax.types import Panel

UNKNOWN = "(unknown)"
"""The level of what training never saw."""


def segment_effects(run: Run | str | Path, data: Data | None = None) -> pd.DataFrame:
    """Says what each segment adds to the log-odds of the global model, and how sure that is.

    A level's effects are an intercept, a slope for each number of the account, and a scale of the global log-odds; its
    slopes and its scale together are its lift. Over the levels of a factor, each counted once, they add up to zero.

    Args:
        run: a model that was trained with ``segments``, or its folder.
        data: the tables that it was trained on, or their folder, for what is counted; None for the effects alone.

    Returns:
        One row for each factor, horizon and level: ``factor``, ``level``, ``horizon``; ``samples`` of the training
        accounts with a known outcome and the ``conversions`` among them (NaN without data); ``intercept`` in log-odds
        and its standard deviation ``sd``; ``lift``, the mean over those samples of what slopes and scale add (NaN
        without data); ``shrinkage``, the share of the way to the global model that the intercept was drawn, s^2 / tau^2
        (1 where nothing is known of the level itself); ``tau``, the learned standard deviation of intercepts; a column
        ``slope_NAME`` for each number of the account, per standard deviation of it; ``scale``, by which the global
        log-odds count more (0: as everywhere), as far as they are apart from those of the base rate; ``tau_slopes``
        and ``tau_scale``. Samples whose level is missing or unknown are counted in rows without effects.

    Raises:
        DataError: if the tables are not what they should be, or hold no account that the model was trained on.
        RunError: if the run is not trained, or has no segments.

    Example:
        >>> import hanjax
        >>> from hanjax.api import segment_effects
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1).tables
        >>> accounts = market.accounts.assign(region=["north", "south", "south"] * 20)
        >>> config = hanjax.Config().replace(epochs=1, test=0.2, segments=["region"])
        >>> run = hanjax.fit(market._replace(accounts=accounts), config=config)
        >>> table = segment_effects(run)
        >>> table["level"].tolist(), bool(abs(table["intercept"].sum()) < 1e-6)
        (['north', 'south'], True)

    Source: Efron and Morris 1975, Data Analysis Using Stein's Estimator and its Generalizations, for shrinkage.
    """
    run = run_of(run)
    if run.params is None:
        raise RunError("The run holds no trained parameters. Train it with `fit` first.")
    if not run.encoding.segments:
        raise RunError("The model has no segments. Train it with the setting `segments`, such as ('region',).")
    posteriors = _posteriors(run)
    counted = None if data is None else _counted(run, _training_panel(run, data), posteriors)
    parts = [
        _rows(run, place, horizon, posteriors[place], counted)
        for place in range(len(run.encoding.segments))
        for horizon in range(run.sizes.horizons)
    ]
    return pd.concat(parts, ignore_index=True)


class _Counted(NamedTuple):
    """What is known of the samples: their levels, outcomes, and what slopes and scales add, by factor."""

    level: np.ndarray
    label: Float[np.ndarray, "B H"]
    lift: list[Float[np.ndarray, "B H"]]


def _posteriors(run: Run) -> list[Posterior]:
    """The effects of each factor, with the networks of an ensemble as leading axis."""
    params: Any = run.params
    own = {name: np.asarray(params["segments"][name]) for name in ("mean", "log_sd")}
    if run.config.train.ensemble == 1:
        own = {name: array[None] for name, array in own.items()}
    each = jax.vmap(lambda mean, log_sd: posteriors_of(mean, log_sd, run.sizes.segments))(own["mean"], own["log_sd"])
    return jax.tree.map(lambda array: np.asarray(array, np.float64), each)


def _training_panel(run: Run, data: Data) -> Panel:
    """The samples of the training accounts."""
    log, until = check(tables_of(data), run.config.panel), run.config.train.until
    if until is not None:
        log = known_before(log, parse_date(until, run.config.panel.timezone, name="until"))
    wanted = run.parts_of(log.account_ids) == TRAIN
    if not wanted.any():
        raise DataError("accounts: none is one that the model was trained on. Bring the data of the training.")
    return make_panel(take_accounts(log, wanted), run.config.panel, run.encoding)[0]


def _counted(run: Run, panel: Panel, posteriors: list[Posterior]) -> _Counted:
    """Levels, outcomes and lifts of samples; of an ensemble, the mean of its networks' lifts."""
    params: Any = run.params
    level = np.asarray(panel.batch.segments)
    nowhere = panel._replace(batch=panel.batch._replace(segments=np.zeros_like(level)))
    pivot = np.asarray(params["segments"]["pivot"], np.float64).reshape(-1, 1, run.sizes.horizons)
    apart = network_logits(nowhere, run.network, params) - pivot
    numbers = np.asarray(account_numbers(panel.batch), np.float64)
    lifts = []
    for column, posterior in zip(level.T, posteriors, strict=True):
        known = (column >= 2)[:, None]
        own = posterior.mean[:, np.where(column >= 2, column - 2, 0)]  # [n, B, kinds, H]
        lift = np.einsum("nbkh,bk->nbh", own[:, :, 1:-1], numbers) + own[:, :, -1] * apart
        lifts.append(np.where(known, lift.mean(axis=0), 0.0))
    return _Counted(level, np.asarray(panel.batch.label, np.float64), lifts)


def _rows(run: Run, place: int, horizon: int, posterior: Posterior, counted: _Counted | None) -> pd.DataFrame:
    """The rows of one factor and horizon."""
    factor = run.encoding.segments[place]
    mean, within = (posterior.mean[..., horizon], posterior.sd[..., horizon] ** 2)
    tau = np.sqrt((posterior.tau[..., horizon] ** 2).mean(axis=0))
    variance = within.mean(axis=0) + mean.var(axis=0)  # between the networks of an ensemble, too
    mean, names = mean.mean(axis=0), run.encoding.number_names
    table = pd.DataFrame(
        {
            "factor": factor.name,
            "level": [":".join(level) for level in factor.levels or ()],
            "horizon": run.config.panel.horizons[horizon],
            "samples": np.nan,
            "conversions": np.nan,
            "intercept": mean[:, 0],
            "sd": np.sqrt(variance[:, 0]),
            "lift": np.nan,
            "shrinkage": np.minimum(within[..., 0].mean(axis=0) / tau[0] ** 2, 1.0),
            "tau": tau[0],
            **{f"slope_{name}": mean[:, 1 + number] for number, name in enumerate(names)},
            "scale": mean[:, -1],
            "tau_slopes": tau[1] if names else np.nan,
            "tau_scale": tau[2],
        },
        index=pd.RangeIndex(2, 2 + len(factor.levels or ())),
    )
    return table if counted is None else _with_counts(table, factor, place, horizon, counted)


def _with_counts(table: pd.DataFrame, factor: Factor, place: int, horizon: int, counted: _Counted) -> pd.DataFrame:
    """The rows with what was counted, and those of samples whose level is missing or unknown."""
    known = ~np.isnan(counted.label[:, horizon])
    level = counted.level[known, place]
    found = pd.DataFrame({"label": counted.label[known, horizon], "lift": counted.lift[place][known, horizon]})
    found = found.groupby(level).agg(samples=("label", "size"), conversions=("label", "sum"), lift=("lift", "mean"))
    for number, name in enumerate((MISSING, UNKNOWN)):
        if number in found.index:
            same = {column: table[column].iloc[0] for column in ("horizon", "tau", "tau_slopes", "tau_scale")}
            none = dict.fromkeys(table.columns.difference(["factor", "level", *same]), 0.0)
            table.loc[number] = pd.Series({"factor": factor.name, "level": name, **same, **none, "shrinkage": 1.0})
    counts = found[["samples", "conversions"]].reindex(table.index, fill_value=0)
    return table.assign(**counts, lift=found["lift"].reindex(table.index)).sort_index()
