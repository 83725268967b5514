"""Probabilities made truer by what happened on accounts that the parameters were not trained on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.api.given import Data, keep_registered, run_of, shards_in, tables_of
from hanjax.config import Config
from hanjax.data.dates import parse_date
from hanjax.data.panel import fingerprint, make_panel
from hanjax.data.shards import Shards
from hanjax.data.splits import TRAIN, VALIDATION, deal, deal_accounts, known_before, take_accounts
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import Calibration, fit_calibration, unweight
from hanjax.run import Run
from hanjax.scoring.scores import network_logits, score_samples
from hanjax.tabular.run import AnyRun
from hanjax.types import Panel, Tables, hard_label


def calibrate(run: AnyRun | str | Path, data: Data, *, method: str = "platt") -> AnyRun:
    """Learns what maps a model's log-odds to probabilities, from the accounts that chose its epoch.

    Under cross-validation each network speaks of the accounts that it was kept from; of a tabular model, as many others
    are trained for that. Rankings stay as they are, but that accounts may tie under "isotonic".

    Args:
        run: the model, or its folder, which gets the result.
        data: the tables that it was trained on, or their folder; or the shards, or theirs.
        method: "platt" (two numbers) or "isotonic" (any curve that never falls; it takes hundreds of conversions).

    Returns:
        The run with calibrated probabilities; ``score(..., raw=True)`` still gives those of the loss.

    Raises:
        ConfigError: if there is no such method.
        DataError: if the data hold too little of those accounts, or are not those of the training, where they are
            shards or the run was cross-validated.
        RunError: if no account was kept from the parameters, or the folder is a registered version.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> hanjax.calibrate(run, market.tables).calibrations[0].method
        'platt'

    Source: Platt (1999); Zadrozny and Elkan (2002).
    """
    run = run_of(run)
    keep_registered(run.folder, "Calibrate the run that was registered, and register it anew.")
    run = dataclasses.replace(run, config=run.config.replace(calibration=method))
    shards = shards_in(data)
    run.calibrations = _of_tables(run, tables_of(data)) if shards is None else _of_shards(run, shards)
    if run.folder is not None:
        run.write(run.folder)
    return run


def _of_tables(run: AnyRun, tables: Tables) -> tuple[Calibration, ...]:
    """What the settings ask for, learned from the tables that a run was trained on."""
    log = check(tables, run.config.panel)
    if run.config.train.until is not None:
        log = known_before(log, parse_date(run.config.train.until, run.config.panel.timezone, name="until"))
    log = take_accounts(log, np.isin(run.parts_of(log.account_ids), (TRAIN, VALIDATION)))
    panel, _ = make_panel(log, run.config.panel, run.encoding)
    if run.config.train.cross_validation and fingerprint(panel, run.encoding) != run.fingerprint:
        raise DataError(
            "accounts: these are not the data that the run was trained on, so it cannot be known which of its networks "
            "has not seen which account. Bring the same data: the tables, or the shards if it was trained on shards."
        )
    return calibrations_of(run, panel)


def _of_shards(run: AnyRun, shards: Shards) -> tuple[Calibration, ...]:
    """What the settings ask for, learned from the shards that a run was trained on."""
    if not isinstance(run, Run) or shards.fingerprint != run.fingerprint:
        raise DataError(
            f"{shards.folder}: these are not the shards that the run was trained on. Bring those, or the tables if it "
            "was trained on tables."
        )
    return calibrations_of_shards(run, shards, kept_from(shards, run.config))


Said = tuple[Int[np.ndarray, " v"], Float[np.ndarray, "v H"]]
"""Which samples, and log-odds of theirs."""


def learn_calibrations(run: AnyRun, panel: Panel, said: Said | None = None) -> tuple[Calibration, ...] | None:
    """What a training ends with: None if nothing is asked for; a note beside plain probabilities if nothing is there to
    learn from, since a finished training is not to be lost for that."""
    return _at_the_end(run, lambda: calibrations_of(run, panel, said))


def _at_the_end(run: AnyRun, learn: Callable[[], tuple[Calibration, ...]]) -> tuple[Calibration, ...] | None:
    if run.config.train.calibration == "none":
        return None
    try:
        return learn()
    except DataError as error:
        note = f"Probabilities are as they were. {error}"
        return (Calibration("platt", note=note),) * len(run.config.panel.horizons)


def calibrations_of(run: AnyRun, panel: Panel, said: Said | None = None) -> tuple[Calibration, ...]:
    """What the settings ask for, one for each horizon, learned from a panel that holds the validation accounts, or from
    what was said of them already."""
    rows, logit = held_out(run, panel) if said is None else said
    return calibrations_from(run, logit, panel.batch.label[rows])


def calibrations_from(
    run: AnyRun, logit: Float[np.ndarray, "v H"], label: Float[np.ndarray, "v H"]
) -> tuple[Calibration, ...]:
    """What the settings ask for, learned from log-odds that still hold the weight, and outcomes."""
    logit = unweight(logit, positive_weight=run.positive_weight)
    known = ~np.isnan(label)
    method = run.config.train.calibration
    return tuple(_fitted(z[where], y[where], method) for z, y, where in zip(logit.T, label.T, known.T, strict=True))


def _fitted(logit: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"], method: str) -> Calibration:
    """A calibration, for which a label that is not sure is a share of a conversion and a share of none."""
    soft = (label > 0) & (label < 1)
    if not soft.any():
        return fit_calibration(logit, label, method)
    weights = np.append(np.where(soft, label, 1), 1 - label[soft])
    label = np.append(np.where(soft, 1, label), np.zeros(soft.sum()))
    return fit_calibration(np.append(logit, logit[soft]), label, method, weights=weights)


def held_out(run: AnyRun, panel: Panel) -> Said:
    """Log-odds of samples by parameters that did not learn from them, and which samples these are."""
    train = run.config.train
    if train.cross_validation:
        part = deal_accounts(panel, train.ensemble, seed=train.seed_of_split)
        rows = np.arange(len(part))
        if isinstance(run, Run):
            return rows, network_logits(panel, run.network, run.params)[part, rows]
        return rows, run.kept_from(panel, part)
    rows = np.flatnonzero(run.parts_of(panel.samples["account_id"]) == VALIDATION)
    if not len(rows):
        raise RunError("calibration: no account was kept from the parameters. Train with `validation` above 0.")
    if isinstance(run, Run):
        return rows, score_samples(panel, run.network, run.params)[0].logit[rows].astype(np.float64)
    return rows, run.logits(panel)[rows]


def learn_from_shards(
    run: Run, shards: Shards, apart: list[Int[np.ndarray, " b"]] | None
) -> tuple[Calibration, ...] | None:
    """What a training on shards ends with; see ``learn_calibrations``."""
    return _at_the_end(run, lambda: calibrations_of_shards(run, shards, apart))


def calibrations_of_shards(
    run: Run, shards: Shards, apart: list[Int[np.ndarray, " b"]] | None
) -> tuple[Calibration, ...]:
    """What the settings ask for, one for each horizon, learned from the shards of a training.

    Args:
        run: the model.
        shards: what it was trained on.
        apart: what ``kept_from`` says of them.
    """
    empty = np.zeros((0, len(run.config.panel.horizons)))
    logits, labels = [empty], [empty]
    for number, panel in enumerate(shards):
        rows = np.arange(len(panel.samples))
        if apart is None:
            rows = np.flatnonzero(run.parts_of(panel.samples["account_id"]) == VALIDATION)
        if not len(rows):
            continue
        if apart is None:
            logits.append(score_samples(panel, run.network, run.params)[0].logit[rows].astype(np.float64))
        else:
            logits.append(network_logits(panel, run.network, run.params)[apart[number], rows])
        labels.append(np.asarray(panel.batch.label)[rows])
    return calibrations_from(run, np.concatenate(logits), np.concatenate(labels))


def kept_from(shards: Shards, config: Config) -> list[Int[np.ndarray, " b"]] | None:
    """For each sample of each shard the network of the ensemble that does not learn from it; None without such."""
    if not config.train.cross_validation:
        return None
    pairs = [(panel.samples["account_id"], hard_label(np.asarray(panel.batch.label)[:, 0]) == 1) for panel in shards]
    account = pd.concat([ids for ids, _ in pairs], ignore_index=True)
    converts = np.concatenate([converting for _, converting in pairs])
    order = account.argsort(kind="stable").to_numpy()  # as they stand in one panel
    dealt = np.empty(len(account), np.int32)
    dealt[order] = deal(account.iloc[order], converts[order], config.train.ensemble, seed=config.train.seed_of_split)
    return np.split(dealt, np.cumsum([len(ids) for ids, _ in pairs])[:-1])
