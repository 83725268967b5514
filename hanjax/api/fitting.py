"""Training: tables in, a run out."""

import dataclasses
from pathlib import Path

import numpy as np

from hanjax.api.calibrating import learn_calibrations
from hanjax.api.given import Data, settings_of, tables_of
from hanjax.config import Config
from hanjax.data.dates import parse_date
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import fingerprint, make_panel
from hanjax.data.splits import TEST, TRAIN, VALIDATION, deal_accounts, known_before, split_accounts, take_accounts
from hanjax.data.tables import check
from hanjax.errors import RunError
from hanjax.nn.sizes import Sizes
from hanjax.run import Run
from hanjax.training.losses import balanced_weight
from hanjax.types import Panel, Tables


def fit(
    data: Data,
    out: str | Path | None = None,
    *,
    config: Config | None = None,
    resume: bool = False,
    progress: bool = False,
    devices: int | None = 1,
) -> Run:
    """Trains a model on the training accounts of a data set.

    Accounts are split first; the test accounts are never read. Vocabulary, levels and scales are fitted on the training
    accounts alone, the epoch is chosen by the AUC on the validation accounts.

    Args:
        data: tables, or their folder.
        out: the run folder; None keeps the run in memory, without checkpoints.
        config: all settings; None for the defaults, ``Config.paper()`` for the paper's.
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
    from hanjax.training.checkpoint import Checkpoints  # Orbax takes a while to import
    from hanjax.training.devices import first_alone, first_process, mesh_of
    from hanjax.training.fit import fit_panel, tqdm_progress

    config, mesh = settings_of(config, Config), mesh_of(devices)
    if resume and out is None:
        raise RunError("resume: there is nothing to continue without a folder. Name it with `out`.")
    run, panel = prepare(tables_of(data), config)
    checkpoints = None
    if out is not None:

        def begin() -> None:
            run.claim(out, resume=resume)
            run.write(out)

        first_alone(begin)
        checkpoints = Checkpoints(Path(out) / "checkpoints")
    part = run.split.loc[panel.samples["account_id"]].to_numpy()
    rows = {name: np.flatnonzero(part == name) for name in (TRAIN, VALIDATION)}
    together = config.train.cross_validation
    try:
        fitted = fit_panel(
            panel.batch,
            rows[TRAIN],
            rows[VALIDATION],
            run.network,
            dataclasses.replace(config.train, positive_weight=run.positive_weight),
            parts=deal_accounts(panel, config.train.ensemble, seed=config.train.seed_of_split) if together else None,
            checkpoints=checkpoints,
            resume=resume,
            progress=tqdm_progress(config.train.epochs) if progress and first_process() else None,
            mesh=mesh,
        )
    finally:
        if checkpoints is not None:
            checkpoints.close()
    run.params, run.history = fitted.params, fitted.history
    run.calibrations = learn_calibrations(run, panel)
    if together or len(rows[VALIDATION]):
        best = fitted.history.loc[fitted.best_epoch - 1]
        run.metrics["validation"] = {
            "auc": float(best["validation_auc"]),
            "log_loss": float(best["validation_log_loss"]),
            "epoch": int(best["epoch"]),
        }
    if out is not None:
        first_alone(lambda: run.write(out))
        run.folder = Path(out)
    return run


def load(folder: str | Path) -> Run:
    """Reads a trained model from its run folder.

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
    return Run.read(folder)


def prepare(tables: Tables, config: Config) -> tuple[Run, Panel]:
    """Splits, fits the encoding on the training accounts, and encodes training and validation accounts.

    Args:
        tables: the data.
        config: all settings.

    Returns:
        A run that is not trained yet, and the panel of its training and validation accounts.
    """
    log = check(tables, config.panel)
    if config.train.until is not None:
        log = known_before(log, parse_date(config.train.until, config.panel.timezone, name="until"))
    split = split_accounts(log, config.train)
    log = take_accounts(log, (split != TEST).to_numpy())
    training = (split[split != TEST] == TRAIN).to_numpy()
    encoding = fit_encoding(log, config.panel, accounts=training, segments=config.model.segments)
    panel, encoding = make_panel(log, config.panel, encoding, training=training)
    sizes = Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        horizons=len(config.panel.horizons),
        max_members=encoding.max_members,
        member_numbers=0 if panel.batch.member_numbers is None else panel.batch.member_numbers.shape[2],
        window_ages=panel.batch.window_ages is not None,
        segments=encoding.segment_levels,
    )
    weight = config.train.positive_weight
    if weight is None:
        rows = training[log.account_ids.get_indexer(panel.samples["account_id"])]
        weight = balanced_weight(panel.batch.label[rows])
    run = Run(
        config=config,
        encoding=encoding,
        sizes=sizes,
        positive_weight=weight,
        split=split,
        fingerprint=fingerprint(panel, encoding),
    )
    return run, panel
