"""Many models of one data set, trained side by side: seeds, learning rates, or any other settings."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.api import Data, prepare, read
from hanjax.api.calibrating import learn_calibrations
from hanjax.config import Config, TrainConfig
from hanjax.data.splits import TRAIN, VALIDATION, deal_accounts
from hanjax.errors import ConfigError, RunError
from hanjax.evaluation.intervals import account_weights, interval, resampled_auc
from hanjax.run import Run
from hanjax.training.devices import mesh_of
from hanjax.training.fit import tqdm_progress
from hanjax.training.population import Member, fit_members
from hanjax.types import Panel, Tables, hard_label

NUMBERS = (
    "seed", "learning_rate", "positive_weight", "weight_decay", "gradient_clip", "ema_epochs", "epochs", "patience",
)  # fmt: skip
"""Settings of training in which models may differ that are trained side by side, beside the rates of dropout."""

Vary = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Population:
    """Models that were trained on the same accounts.

    Args:
        table: one row a model: what was varied, ``validation_auc`` (of the epoch kept, the mean over horizons) with its
            95 % interval by resampling accounts (``low``, ``high``), ``validation_log_loss``, ``epoch`` (the one
            kept), ``epochs`` (how many were made) and ``error`` (why there is no model; None).
        runs: the models, in the order of the table; None where training failed.
    """

    table: pd.DataFrame
    runs: tuple[Run | None, ...]

    @property
    def ranking(self) -> pd.DataFrame:
        """The table, the best model first."""
        return self.table.sort_values("validation_auc", ascending=False, kind="stable")

    @property
    def best(self) -> Run:
        """The model that validates best; that figure of it is too good, as it is the highest of many.

        Raises:
            RunError: if every training failed, or there was nothing to choose by.
        """
        if len(runs := self._ranked()) > 1 and bool(self.table["validation_auc"].isna().all()):
            raise RunError("best: no model has a validation AUC. Keep accounts for it with `validation`.")
        return runs[0]

    def ensemble(self, n: int | None = None) -> Run:
        """The ``n`` models that validate best, as one that answers with the mean of their log-odds.

        Args:
            n: how many; None for all.

        Returns:
            A run like any other. Its class weight is the geometric mean of theirs, as log-odds hold its logarithm.

        Raises:
            RunError: if the models are of several shapes or encodings, are ensembles themselves, or all failed.
        """
        runs = self._ranked()[:n]
        first = runs[0]
        if any((run.fingerprint, _shape(run.config)) != (first.fingerprint, _shape(first.config)) for run in runs):
            raise RunError("ensemble: these models differ in more than numbers, so they cannot be one.")
        if first.config.train.ensemble > 1:
            raise RunError("ensemble: these models are ensembles already.")
        stacked = jax.tree.map(
            lambda *arrays: np.stack([np.asarray(array) for array in arrays]), *(r.params for r in runs)
        )
        weight = float(np.exp(np.mean([np.log(run.positive_weight) for run in runs])))
        one = len(runs) == 1
        return dataclasses.replace(
            first,
            config=first.config if one else first.config.replace(ensemble=len(runs), calibration="none"),
            params=first.params if one else stacked,
            calibrations=first.calibrations if one else None,
            positive_weight=weight,
            history=None,
            metrics={},
            folder=None,
        )

    def _ranked(self) -> list[Run]:
        runs = [run for place in self.ranking.index if (run := self.runs[place]) is not None]
        if not runs:
            raise RunError(f"Every training failed; the first: {self.table['error'].iloc[0]}")
        return runs

    def __repr__(self) -> str:
        """The best ten models."""
        shown = self.ranking.drop(columns="error").head(10)
        failed = int(self.table["error"].notna().sum())
        title = f"Population of {len(self.table)} models{f', {failed} of them failed' if failed else ''}"
        return f"{title}; the best by validation:\n{shown.to_string(float_format='{:.4g}'.format)}"


def fit_population(
    data: Data,
    vary: Vary,
    out: str | Path | None = None,
    *,
    config: Config | None = None,
    together: int | None = None,
    devices: int | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Population:
    """Trains a model for every combination of some settings, as many at once as fit into one program.

    Models that differ in nothing but numbers (seeds, rates, weights, epochs) are trained side by side; those of other
    shapes one group after the other. Each is what ``fit`` makes of the same settings. All have the same split, that of
    ``config``, unless ``split_seed``, ``test`` or the like is varied, too.

    Args:
        data: tables, or their folder.
        vary: values by setting, all of whose combinations are trained; or one mapping a model.
        out: a folder that gets a run folder for every model, and table.csv; None to keep them in memory.
        config: all other settings; None for the defaults.
        together: how many models at once, at most; None for 8 on a CPU and 64 on an accelerator, for each device.
        devices: among how many devices the models are dealt, at most; among as many of them as divide their number.
            None for all; a CPU is one, unless more are asked for before JAX is first used: then its cores are.
        resume: take models that are there already, and train the others.
        progress: show a bar over the epochs of each group.

    Returns:
        The models, and how well each validates.

    Raises:
        ConfigError: if a setting does not exist, or a value cannot work.
        DataError: if the tables are not what they should be.
        RunError: if ``out`` holds models and ``resume`` is False, or they are of other settings or data.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> small = hanjax.Config().replace(epochs=1, test=0.2, activity_width=4, window_width=4)
        >>> vary = {"seed": [0, 1], "learning_rate": [0.01, 0.03]}
        >>> population = hanjax.fit_population(market.tables, vary, config=small)
        >>> population.table[["seed", "learning_rate", "epochs"]].to_numpy().tolist()
        [[0.0, 0.01, 1.0], [0.0, 0.03, 1.0], [1.0, 0.01, 1.0], [1.0, 0.03, 1.0]]
        >>> population.ensemble(3).config.train.ensemble
        3
    """
    config, changes = config or Config(), list(combinations(vary))
    mesh = mesh_of(jax.local_device_count() if devices is None else devices)
    fixed = {"split_seed": config.train.seed_of_split}
    configs = [config.replace(**{**fixed, **change}) for change in changes]
    count = 1 if mesh is None else mesh.size
    tables = data if isinstance(data, Tables) else read(data)
    folder = None if out is None else Path(out)
    if folder is not None and not resume and any(folder.glob("*/config.json")):
        raise RunError(f"{folder} already holds models. Continue with `resume`, or choose another folder.")
    runs: list[Run | None] = [None] * len(configs)
    errors: dict[int, RunError] = {}

    def table() -> pd.DataFrame:
        rows = [
            _row(change, run, errors.get(number))
            for number, (change, run) in enumerate(zip(changes, runs, strict=True))
        ]
        return pd.DataFrame(rows).rename_axis("model")

    encoded: tuple[str, Run, Panel] | None = None
    for shape, group in _by_shape(configs):
        if encoded is None or encoded[0] != _data_of(shape):
            encoded = (_data_of(shape), *prepare(tables, shape))
        _, template, panel = encoded
        waiting = []
        for number in group:
            weight = configs[number].train.positive_weight
            own = dataclasses.replace(template, config=configs[number], metrics={})
            own.positive_weight = template.positive_weight if weight is None else weight
            own.folder = None if folder is None else folder / f"{number:03d}"
            runs[number], done = own, False
            if own.folder is not None:
                own.claim(own.folder, resume=True)
                if (own.folder / "model.npz").exists():
                    runs[number], done = Run.read(own.folder), True
            if not done:
                waiting.append(number)
        most = together or count * (8 if jax.default_backend() == "cpu" else 64)
        for begin in range(0, len(waiting), most):
            some = waiting[begin : begin + most]
            for number, error in zip(some, _train([runs[n] for n in some], panel, count, progress), strict=True):
                if error is not None:
                    runs[number], errors[number] = None, error
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                table().to_csv(folder / "table.csv")
    return Population(table(), tuple(runs))


def combinations(vary: Vary) -> Iterator[dict[str, Any]]:
    """Every combination of some settings' values, the last setting varying fastest; mappings are passed on.

    Args:
        vary: values by setting, or one mapping a model.

    Yields:
        One mapping a model.

    Raises:
        ConfigError: if there is no model, or a setting has no list of values.

    Example:
        >>> from hanjax.population import combinations
        >>> list(combinations({"seed": [0, 1], "learning_rate": [0.01]}))
        [{'seed': 0, 'learning_rate': 0.01}, {'seed': 1, 'learning_rate': 0.01}]
    """
    if not isinstance(vary, Mapping):
        found = [dict(one) for one in vary]
    else:
        for name, values in vary.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise ConfigError(f"{name}: expected several values to vary it over, got {values!r}.")
        found = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    if not found or not found[0]:
        raise ConfigError("vary: there is nothing to vary, so no model to train.")
    yield from found


def _by_shape(configs: Sequence[Config]) -> list[tuple[Config, list[int]]]:
    """The models that can be trained side by side, those of the same data one after the other."""
    groups: dict[Config, list[int]] = {}
    for number, config in enumerate(configs):
        groups.setdefault(_shape(config), []).append(number)
    return sorted(groups.items(), key=lambda item: _data_of(item[0]))


def _data_of(config: Config) -> str:
    """What the encoded data and the split depend on."""
    return repr((config.panel, config.model.segments, [getattr(config.train, name) for name in _OF_SPLIT]))


def _shape(config: Config) -> Config:
    """The settings without the numbers that a program is not compiled for."""
    plain = TrainConfig()
    numbers = {name: getattr(plain, name) for name in NUMBERS}
    return config.replace(
        **numbers | {"ema_epochs": float(config.train.ema_epochs > 0), **dict.fromkeys(_DROPOUT, 0.0)}
    )


_DROPOUT = ("dropout", "member_dropout")
_OF_SPLIT = ("test", "test_fold", "validation", "until", "split_seed", "cross_validation")


def _train(runs: Sequence[Run], panel: Panel, devices: int, progress: bool) -> list[RunError | None]:
    """Trains runs of one shape, fills them in and writes them; gives the errors of those that failed."""
    rates = [tuple(getattr(run.config.model, name) for name in _DROPOUT) for run in runs]
    same = len(set(rates)) == 1
    members = [
        Member(dataclasses.replace(run.config.train, positive_weight=run.positive_weight), None if same else rate)
        for run, rate in zip(runs, rates, strict=True)
    ]
    train = runs[0].config.train
    part = runs[0].split.loc[panel.samples["account_id"]].to_numpy()
    parts = deal_accounts(panel, train.ensemble, seed=train.seed_of_split) if train.cross_validation else None
    trained = fit_members(
        panel.batch,
        np.flatnonzero(part == TRAIN),
        np.flatnonzero(part == VALIDATION),
        runs[0].network if same else dataclasses.replace(runs[0], config=_shape(runs[0].config)).network,
        members,
        parts=parts,
        mesh=mesh_of(math.gcd(len(runs), devices)),
        progress=tqdm_progress(max(run.config.train.epochs for run in runs)) if progress else None,
    )
    account, ids = pd.factorize(panel.samples["account_id"].to_numpy()[trained.rows])
    label, weights = hard_label(panel.batch.label[trained.rows]), account_weights(len(ids))
    for run, fitted, logit in zip(runs, trained.members, trained.logit, strict=True):
        if isinstance(fitted, RunError):
            continue
        run.params, run.history = fitted.params, fitted.history
        run.calibrations = learn_calibrations(run, panel)
        best = fitted.history.loc[fitted.best_epoch - 1]
        if len(trained.rows):
            converting = len(np.unique(account[label[:, 0] == 1]))
            resampled = _resampled(logit, label, account, weights)
            found = interval(float(best["validation_auc"]), resampled, positives=converting)
            run.metrics["validation"] = {
                "auc": found.value,
                "low": found.low,
                "high": found.high,
                "log_loss": float(best["validation_log_loss"]),
                "epoch": int(best["epoch"]),
            }
        if run.folder is not None:
            run.write(run.folder)
    return [fitted if isinstance(fitted, RunError) else None for fitted in trained.members]


def _resampled(
    logit: Float[np.ndarray, "v H"],
    label: Float[np.ndarray, "v H"],
    account: Int[np.ndarray, " v"],
    weights: Float[np.ndarray, "r a"],
) -> Float[np.ndarray, " r"]:
    """The AUC, as a mean over horizons, under each resample of the accounts."""
    found = []
    for z, y in zip(logit.T, label.T, strict=True):
        known = ~np.isnan(y)
        if len(np.unique(y[known])) == 2:
            found.append(resampled_auc(z[known], y[known], account[known], weights))
    return np.mean(found, axis=0) if found else np.full(len(weights), np.nan)


def _row(change: Mapping[str, Any], run: Run | None, error: RunError | None) -> dict[str, Any]:
    """One model's line of the table."""
    known = {} if run is None else run.metrics.get("validation", {})
    epochs = 0 if run is None or run.history is None else len(run.history)
    return {
        **change,
        "validation_auc": known.get("auc", np.nan),
        "low": known.get("low", np.nan),
        "high": known.get("high", np.nan),
        "validation_log_loss": known.get("log_loss", np.nan),
        "epoch": known.get("epoch", epochs),
        "epochs": epochs,
        "error": None if error is None else str(error),
    }
