"""Training: tables in, a run out."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax.api.calibrating import held_out, learn_calibrations
from hanjax.api.given import Data, settings_of, shards_in, tables_of
from hanjax.api.streaming import fit_from_shards
from hanjax.api.training import train, untrained
from hanjax.config import Config, TrainConfig
from hanjax.data.dates import parse_date
from hanjax.data.encoding import Encoding, fit_encoding
from hanjax.data.panel import fingerprint, make_panel
from hanjax.data.splits import TEST, TRAIN, VALIDATION, deal_accounts, known_before, split_accounts, take_accounts
from hanjax.data.tables import check
from hanjax.errors import RunError
from hanjax.evaluation.metrics import auc
from hanjax.run import Run
from hanjax.tabular.run import AnyRun, TabularRun, read_run
from hanjax.tabular.settings import Tabular
from hanjax.tabular.training import losses
from hanjax.types import Panel, Tables, hard_label

if TYPE_CHECKING:
    from hanjax.training.checkpoint import Checkpoints
    from hanjax.training.epochs import Fitted, Progress


@overload
def fit(
    data: Data,
    out: str | Path | None = ...,
    *,
    config: Config | None = ...,
    model: None = ...,
    resume: bool = ...,
    progress: bool = ...,
    devices: int | None = ...,
) -> Run: ...


@overload
def fit(data: Data, out: str | Path | None = ..., *, config: Config | None = ..., model: Tabular) -> TabularRun: ...


def fit(
    data: Data,
    out: str | Path | None = None,
    *,
    config: Config | None = None,
    model: Tabular | None = None,
    resume: bool = False,
    progress: bool = False,
    devices: int | None = 1,
) -> AnyRun:
    """Trains a model on the training accounts of a data set.

    Accounts are split first; the test accounts are never read. Vocabulary, levels and scales are fitted on the training
    accounts alone, the epoch is chosen by the AUC on the validation accounts.

    Args:
        data: tables, or their folder; or shards (see ``hanjax.spark``), or theirs: then an epoch takes one after the
            other, and memory holds two of them.
        out: the run folder; None keeps the run in memory, without checkpoints.
        config: all settings; None for the defaults, ``Config.paper()`` for the paper's; of shards, those that they
            were made with.
        model: a tabular model to train instead of the network, on the same samples of the same accounts; of the
            settings those of the data and of the split count, and ``calibration``. It gives a
            ``hanjax.tabular.TabularRun``, and knows no ``resume``, ``progress`` and ``devices``.
        resume: continue the training in ``out`` where it stopped, to the same bits.
        progress: show a bar with loss and AUC.
        devices: among how many devices the samples of each step are dealt; None for all, also those of other processes
            that ``jax.distributed.initialize`` has joined, each of which calls this with the same data and the same
            ``out``, a folder that all of them see. A CPU is one, unless more are asked for before JAX is first used:
            then its cores are. The result is that of one device, but for rounding and for what dropout leaves out.

    Returns:
        The run.

    Raises:
        DataError: if the tables are not what they should be, or the split leaves a part without both outcomes.
        RunError: if ``out`` holds a run already, or cannot be resumed from, or is None and ``resume`` is set.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=2, test=0.2))
        >>> run.history["epoch"].tolist()
        [1, 2]

    Source: section 5.3 of the paper for the training, 7.1 for the split.
    """
    if model is not None:
        if resume:
            raise RunError("resume: a tabular model is trained at once, and cannot be continued. Train it anew.")
        return fit_tabular(data, out, settings_of(config, Config), model)
    from hanjax.training.devices import mesh_of
    from hanjax.training.fit import fit_panel

    mesh = mesh_of(devices)
    if resume and out is None:
        raise RunError("resume: there is nothing to continue without a folder. Name it with `out`.")
    if (shards := shards_in(data)) is not None:
        return fit_from_shards(shards, out, config, resume=resume, progress=progress, mesh=mesh)
    config = settings_of(config, Config)
    run, panel = prepare(tables_of(data), config)
    part = run.split.loc[panel.samples["account_id"]].to_numpy()
    learn, choose = (np.flatnonzero(part == name) for name in (TRAIN, VALIDATION))
    apart = None
    if config.train.cross_validation:
        apart = deal_accounts(panel, config.train.ensemble, seed=config.train.seed_of_split)

    def training(settings: TrainConfig, checkpoints: "Checkpoints | None", show: "Progress | None") -> "Fitted":
        return fit_panel(
            panel.batch, learn, choose, run.network, settings, parts=apart, checkpoints=checkpoints, resume=resume,
            progress=show, mesh=mesh,
        )  # fmt: skip

    return train(run, out, training, lambda: learn_calibrations(run, panel), resume=resume, progress=progress)


def load(folder: str | Path) -> AnyRun:
    """Reads a trained model, of whichever kind, from its run folder.

    Args:
        folder: what ``fit`` wrote.

    Returns:
        The run, ready to score.

    Raises:
        RunError: if the folder is no run folder, is damaged, or is of another version.

    Example:
        >>> import hanjax
        >>> hanjax.load("nowhere")
        Traceback (most recent call last):
        ...
        hanjax.errors.RunError: nowhere is not a run folder: it has no config.json. Make one with `hanjax fit`.
    """
    return read_run(folder)


def prepare(tables: Tables, config: Config) -> tuple[Run, Panel]:
    """Splits, fits the encoding on the training accounts, and encodes training and validation accounts.

    Args:
        tables: the data.
        config: all settings.

    Returns:
        A run that is not trained yet, and the panel of its training and validation accounts.
    """
    given = encode_training(tables, config)
    panel, label = given.panel, given.panel.batch.label[given.training]
    hashed = fingerprint(panel, given.encoding)
    return untrained(config, given.encoding, given.split, panel.batch, label, hashed), panel


class Given(NamedTuple):
    """What every kind of model is trained on.

    Args:
        split: the part of every account.
        encoding: fitted on the training accounts.
        panel: the samples of training and validation accounts.
        training: ``[B]`` which of them are of training accounts.
    """

    split: pd.Series
    encoding: Encoding
    panel: Panel
    training: Bool[np.ndarray, " B"]


def encode_training(tables: Tables, config: Config) -> Given:
    """Splits the accounts, and encodes those of training and validation.

    Args:
        tables: the data.
        config: all settings.

    Returns:
        The split, the encoding, and the panel.
    """
    log = check(tables, config.panel)
    if config.train.until is not None:
        log = known_before(log, parse_date(config.train.until, config.panel.timezone, name="until"))
    split = split_accounts(log, config.train)
    log = take_accounts(log, (split != TEST).to_numpy())
    training = (split[split != TEST] == TRAIN).to_numpy()
    encoding = fit_encoding(log, config.panel, accounts=training, segments=config.model.segments)
    panel, encoding = make_panel(log, config.panel, encoding, training=training)
    return Given(split, encoding, panel, training[log.account_ids.get_indexer(panel.samples["account_id"])])


def fit_tabular(data: Data, out: str | Path | None, config: Config, model: Tabular) -> TabularRun:
    """What ``fit`` does if it is given a tabular model; arguments and errors are those of ``fit``."""
    if out is not None and (Path(out) / "config.json").exists():
        raise RunError(f"{out} already holds a run. Choose another folder.")
    given = encode_training(tables_of(data), config)
    run = TabularRun(
        config=config,
        encoding=given.encoding,
        split=given.split,
        tabular=model,
        fingerprint=fingerprint(given.panel, given.encoding),
    )
    run.fit(given.panel, given.training)
    said = held_out(run, given.panel) if config.train.cross_validation or not given.training.all() else None
    run.calibrations = learn_calibrations(run, given.panel, said)
    if said is not None:
        rows, logit = said
        label = np.asarray(given.panel.batch.label[rows, 0], np.float64)
        known = ~np.isnan(label)
        area = float(auc(logit[:, 0], hard_label(label), where=known))
        loss = float(losses(logit[known, 0], label[known]).mean()) if known.any() else None
        run.metrics["validation"] = {"auc": None if np.isnan(area) else area, "log_loss": loss}
    if out is not None:
        run.write(out)
    return run
