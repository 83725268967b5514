"""The front door: tables in, DataFrames out."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from hanjax.config import Config, PanelConfig
from hanjax.data.dates import observed_until, parse_date
from hanjax.data.encoding import Encoding, fit_encoding
from hanjax.data.log import NEVER
from hanjax.data.panel import fingerprint, make_panel
from hanjax.data.profile import Profile, profile
from hanjax.data.reading import read
from hanjax.data.splits import TEST, TRAIN, VALIDATION, deal_accounts, known_before, split_accounts, take_accounts
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.evaluation.over_time import over_time, summary
from hanjax.nn.sizes import Sizes
from hanjax.run import Run
from hanjax.scoring.scores import score_panel
from hanjax.training.losses import balanced_weight
from hanjax.types import Panel, Scores, Tables

Data = Tables | str | Path
"""Tables, or the folder that holds them."""

Settings = TypeVar("Settings", Config, PanelConfig)


def encode(data: Data, config: PanelConfig | None = None, *, encoding: Encoding | None = None) -> Panel:
    """Turns tables into the panel of samples that models are trained on and score.

    Args:
        data: tables, or their folder.
        config: the data's settings; None for the defaults.
        encoding: vocabulary, levels and scales fitted before (``run.encoding``); None to fit them on all accounts.

    Returns:
        The panel, with a report of everything that was left out.

    Raises:
        DataError: if the tables are not what they should be; the message says where and what to do.

    Example:
        >>> import hanjax
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> panel.batch.windows.shape[1]
        4
    """
    config = _settings(config, PanelConfig)
    log = check(_tables(data), config)
    return make_panel(log, config, encoding or fit_encoding(log, config))[0]


def describe(data: Data, config: PanelConfig | None = None) -> Profile:
    """Says what a data set holds, beside the paper's figures, and what would be left out and why.

    Args:
        data: tables, or their folder.
        config: the data's settings; None for the defaults.

    Returns:
        The profile; ``print`` shows it.

    Raises:
        DataError: if the tables are not what they should be.

    Example:
        >>> import hanjax
        >>> profile = hanjax.describe(hanjax.simulate(accounts=20, seed=0).tables)
        >>> profile.figures.index[0]
        'accounts'
    """
    config = _settings(config, PanelConfig)
    log = check(_tables(data), config)
    return profile(log, config, make_panel(log, config, fit_encoding(log, config))[0])


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

    config, mesh = _settings(config, Config), mesh_of(devices)
    if resume and out is None:
        raise RunError("resume: there is nothing to continue without a folder. Name it with `out`.")
    run, panel = prepare(_tables(data), config)
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


def score(run: Run | str | Path, data: Data, *, as_of: Any = None, raw: bool = False, progress: bool = False) -> Scores:
    """Scores every account and each of its individuals, at every cut-off or as of one date.

    Args:
        run: the model, or its folder.
        data: tables, or their folder; accounts that training never saw are the normal case.
        as_of: a date: scores are those at the start of the period that holds it. None for every cut-off, the last one
            (whose outcome is not known yet) among them.
        raw: leave the class weight of the loss in the probabilities.
        progress: show a bar.

    Returns:
        The scores of accounts and of individuals; see ``hanjax.scoring.scores.score_panel`` for the columns.

    Raises:
        DataError: if the tables are not what they should be, or nobody can be scored as of the date.
        RunError: if the run cannot be read.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> scores = hanjax.score(run, market.tables, as_of="2021-06-30")
        >>> scores.accounts["cutoff"].dt.strftime("%Y-%m-%d").unique().tolist()
        ['2021-06-27']
    """
    run = _trained(run)
    log = check(_tables(data), run.config.panel)
    cutoffs = None
    if as_of is not None:
        log, cutoff = observed_until(log, run.config.panel, as_of)
        cutoffs = (cutoff, cutoff)
    panel, _ = make_panel(log, run.config.panel, run.encoding, cutoffs=cutoffs)
    return _score(run, panel, raw=raw, progress=progress)


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on accounts, or a time, that it has not seen.

    Args:
        metrics: the figures, as ``hanjax.evaluation.over_time.summary`` gives them.
        over_time: AUC, samples and conversions by cut-off.
        scores: the scores behind them, with the outcome beside each account's (``label``; NaN where unknown).
    """

    metrics: dict[str, Any]
    over_time: pd.DataFrame
    scores: Scores

    def __repr__(self) -> str:
        """The figures, one a line."""
        shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in self.metrics.items()}
        return "\n".join(f"{name:<22} {value}" for name, value in shown.items())


def evaluate(run: Run | str | Path, data: Data, *, progress: bool = False) -> Evaluation:
    """Says how good a model is on what it was not trained on.

    If it was trained on what was known before ``until``, that is all accounts from then on. Otherwise it is the test
    accounts of its split, where the data hold any, else the accounts that the split does not know.

    Args:
        run: the model, or its folder; a folder's ``metrics.json`` gets the figures, too.
        data: tables, or their folder.
        progress: show a bar.

    Returns:
        Figures, their course over time, and the scores.

    Raises:
        DataError: if the tables are not what they should be, or hold no account to test on.
        RunError: if the run cannot be read.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.3))
        >>> hanjax.evaluate(run, market.tables).metrics["conversions"] > 0
        True
    """
    run = _trained(run)
    log = check(_tables(data), run.config.panel)
    cutoffs = None
    if run.config.train.until is not None:
        cutoffs = (parse_date(run.config.train.until, run.config.panel.timezone, name="until"), NEVER)
    else:
        log = take_accounts(log, run.unseen(log.account_ids))
    panel, _ = make_panel(log, run.config.panel, run.encoding, cutoffs=cutoffs)
    scores = _score(run, panel, progress=progress)
    label = panel.batch.label[:, 0]
    scores = scores._replace(accounts=scores.accounts.assign(label=label))
    probability, cutoff = scores.accounts["probability"].to_numpy(), panel.samples["cutoff"]
    known = ~np.isnan(label)
    result = Evaluation(
        metrics=summary(probability, label, cutoff, where=known),
        over_time=over_time(probability, label, cutoff, where=known),
        scores=scores,
    )
    run.metrics["test"] = result.metrics
    if run.folder is not None:
        run.write_metrics()
    return result


def conversions(data: Data, config: PanelConfig | None = None) -> pd.Series:
    """When accounts converted, to be drawn beside their scores.

    Args:
        data: tables, or their folder.
        config: the data's settings; None for the defaults.

    Returns:
        The time of conversion by account id, in the settings' time zone, of the accounts that have converted.

    Example:
        >>> import hanjax
        >>> from hanjax.api import conversions
        >>> len(conversions(hanjax.simulate(accounts=50, conversions=0.2, seed=0).tables))
        10
    """
    config = _settings(config, PanelConfig)
    log = check(_tables(data), config)
    converted = log.converted_at != NEVER
    times = pd.DatetimeIndex(log.converted_at[converted].view("datetime64[us]")).tz_localize("UTC")
    return pd.Series(times.tz_convert(config.timezone), index=log.account_ids[converted])


def _tables(data: Any) -> Tables:
    """The tables given, or those of the folder."""
    if isinstance(data, Tables):
        return data
    if not isinstance(data, str | Path):
        raise DataError(
            f"data: expected hanjax.Tables(events, individuals, accounts) or a folder, got {type(data).__name__}."
        )
    return read(data)


def _trained(run: Any) -> Run:
    """The run given, or that of the folder."""
    if isinstance(run, Run):
        return run
    if not isinstance(run, str | Path):
        raise RunError(f"run: expected a Run or its folder, got {type(run).__name__}. The run comes before the data.")
    return Run.read(run)


def _settings(config: Any, kind: type[Settings]) -> Settings:
    """The settings given, or the defaults; a part is easily mistaken for the whole."""
    if config is None:
        return kind()
    if not isinstance(config, kind):
        remedy = "Give its `panel`." if kind is PanelConfig else "Make one with Config(panel=...)."
        remedy = f" {remedy}" if isinstance(config, Config | PanelConfig) else ""
        raise ConfigError(f"config: expected a {kind.__name__}, got {type(config).__name__}.{remedy}")
    return config


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
    encoding = fit_encoding(log, config.panel, accounts=training)
    panel, encoding = make_panel(log, config.panel, encoding, training=training)
    sizes = Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        horizons=len(config.panel.horizons),
        max_members=encoding.max_members,
        member_numbers=0 if panel.batch.member_numbers is None else panel.batch.member_numbers.shape[2],
        window_ages=panel.batch.window_ages is not None,
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


def _score(run: Run, panel: Panel, *, raw: bool = False, progress: bool = False) -> Scores:
    if run.params is None:
        raise RunError("The run holds no trained parameters. Train it with `fit` first.")
    bar = None
    if progress:
        from tqdm import tqdm

        bar = tqdm(total=len(panel.samples), unit="sample", desc="scoring")
    scores = score_panel(
        panel,
        run.network,
        run.params,
        positive_weight=run.positive_weight,
        horizons=run.config.panel.horizons,
        raw=raw,
        progress=bar and bar.update,
    )
    if bar is not None:
        bar.close()
    return scores
