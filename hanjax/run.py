"""The run folder: everything needed to score new data, read and written in one place.

config.json       the settings, and the version that wrote them
encoding.json     vocabulary, levels, scales, sizes and class weight, fitted on the training accounts
split.csv         which account was for training, validation or the test
history.csv       one row an epoch
metrics.json      how well it does, by part
model.npz         the parameters of the best epoch
calibration.json  what maps log-odds to probabilities, one for each horizon, if that was learned
checkpoints/      what training resumes from
"""

import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from hanjax import __version__
from hanjax.config import Config
from hanjax.data.encoding import Encoding
from hanjax.data.splits import TEST
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import Calibration
from hanjax.nn.ensemble import ensemble
from hanjax.nn.functional import Network, Params, network
from hanjax.nn.sizes import Sizes
from hanjax.notebook import html_of

FORMAT = 1
"""Raised whenever a folder written before can no longer be read."""


@dataclass
class Run:
    """A trained model and what it takes to use it.

    Args:
        config: the settings.
        encoding: what was fitted on the training accounts.
        sizes: the model's sizes.
        positive_weight: the class weight of the loss, which is taken out of probabilities.
        split: "train", "validation" or "test" by account id.
        params: the parameters of the best epoch; None until trained.
        calibrations: what maps the log-odds of each horizon, without the weight, to probabilities; None where the
            logistic function does.
        history: one row an epoch.
        metrics: figures by part ("validation", "test").
        fingerprint: of the panel it was trained on.
        folder: where it lies; None if it was never written.
    """

    config: Config
    encoding: Encoding
    sizes: Sizes
    positive_weight: float
    split: pd.Series
    params: Params | None = None
    calibrations: tuple[Calibration, ...] | None = None
    history: pd.DataFrame | None = None
    metrics: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""
    folder: Path | None = None

    @property
    def network(self) -> Network:
        """The model as pure functions."""
        model, several = network(self.config.model, self.sizes), self.config.train.ensemble
        return model if several == 1 else ensemble(model, several)

    def __repr__(self) -> str:
        """Says what was trained on how much, and how well it does."""
        parts = ", ".join(f"{count:,} {part}" for part, count in self.split.value_counts().items())
        epochs = 0 if self.history is None else len(self.history)
        known = {part: values["auc"] for part, values in self.metrics.items() if values["auc"] is not None}
        figures = "".join(f"; {part} AUC {auc:.3f}" for part, auc in known.items())
        return f"Run({self.config.model.aggregator}, {epochs} epochs, accounts: {parts}{figures}, folder={self.folder})"

    def _repr_html_(self) -> str:
        """For notebooks: what was trained on what, and how well it does by part."""
        names = ["auc", "average_precision", "log_loss", "brier", "samples", "conversions"]
        figures = pd.DataFrame.from_dict(self.metrics, orient="index").reindex(columns=names)
        parts = pd.concat([self.split.value_counts().rename("accounts"), figures], axis="columns")
        parts = parts.dropna(axis="columns", how="all").rename_axis("part").reset_index()
        default, own = Config().to_dict(), self.config.to_dict()
        changed = [
            {"setting": name, "value": str(value)}
            for part, values in own.items()
            for name, value in values.items()
            if value != default[part][name]
        ]
        encoding, epochs = self.encoding, 0 if self.history is None else len(self.history)
        size = (
            f"{self.config.model.aggregator}, {epochs} epochs; {len(encoding.activities)} activities, "
            f"{len(encoding.categories)} categories, {encoding.width} numbers of the account, up to "
            f"{encoding.max_members} members; class weight {self.positive_weight:.4g}; folder: {self.folder}"
        )
        other = "Settings other than the defaults:" if changed else "All settings are the defaults."
        return html_of("Run", size, parts, other, pd.DataFrame(changed))

    def write(self, folder: str | Path) -> None:
        """Writes what is there; each file appears whole or not at all.

        Args:
            folder: the run folder; it is made.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        stored = {"format": FORMAT, "version": __version__, **self.config.to_dict()}
        encoding = {
            "sizes": dataclasses.asdict(self.sizes),
            "positive_weight": self.positive_weight,
            "fingerprint": self.fingerprint,
            "accounts": self.split.value_counts().to_dict(),
            **self.encoding.to_dict(),
        }
        self._replace("encoding.json", _json(encoding))
        self._replace("split.csv", self.split.rename_axis("account_id").to_csv().encode())
        if self.history is not None:
            self._replace("history.csv", self.history.to_csv(index=False).encode())
        self.write_metrics()
        if self.params is not None:
            buffer = io.BytesIO()
            np.savez(buffer, **{path: np.asarray(leaf) for path, leaf in _leaves(self.params)})
            self._replace("model.npz", buffer.getvalue())
        if self.calibrations is not None:
            self._replace("calibration.json", _json({"horizons": [one.to_dict() for one in self.calibrations]}))
        self._replace("config.json", _json(stored))  # last: a folder without it is no run yet

    def claim(self, folder: str | Path, *, resume: bool) -> None:
        """Makes sure that a folder is free for this run, or holds the same one; then its figures are taken over.

        Args:
            folder: the run folder.
            resume: whether training goes on from what is there.

        Raises:
            RunError: if there is a run and it is not to be resumed, or its settings or data are others.
        """
        if not (Path(folder) / "config.json").exists():
            return  # free, or interrupted before anything was complete
        if not resume:
            raise RunError(f"{folder} already holds a run. Continue it with `resume`, or choose another folder.")
        before = Run.read(folder, trained=False)
        mine = self.config.to_dict()
        changed = [
            f"{name} was {old!r}, is {mine[part][name]!r}"
            for part, values in before.config.to_dict().items()
            for name, old in values.items()
            if mine[part][name] != old
        ]
        if changed:
            raise RunError(f"{folder}: the settings differ ({'; '.join(changed)}). Resume with the same ones.")
        if before.fingerprint != self.fingerprint:
            raise RunError(f"{folder}: the data are not those that the run was begun with. Resume with the same data.")
        self.metrics = before.metrics  # the same bits will come out, so what was said of them stays true

    def parts_of(self, account_ids: pd.Index) -> Shaped[np.ndarray, " a"]:
        """The part of each account, by id: "train", "validation", "test", or "" if the split does not know it."""
        part = dict(zip(self.split.index.astype(str), self.split, strict=True))
        return np.array([part.get(str(account), "") for account in account_ids])

    def unseen(self, account_ids: pd.Index) -> Bool[np.ndarray, " a"]:
        """Which accounts may be tested on: the split's test accounts if there are any, else those that it lacks.

        Args:
            account_ids: ids of a data set's accounts.

        Raises:
            DataError: if all were used for training or validation.
        """
        found = self.parts_of(account_ids)
        for wanted in (TEST, ""):
            if (found == wanted).any():
                return found == wanted
        raise DataError(
            "accounts: every account was used for training or validation, so nothing is left to test on. Bring other "
            "accounts, or train with `test` or `test_fold`."
        )

    def write_metrics(self) -> None:
        """Writes the figures alone."""
        self._replace("metrics.json", _json(self.metrics))

    def _replace(self, name: str, content: bytes) -> None:
        assert self.folder is not None
        partial = self.folder / f".{name}.partial"
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.folder / name)

    @classmethod
    def read(cls, folder: str | Path, *, trained: bool = True) -> "Run":
        """Reads a run folder.

        Args:
            folder: the run folder.
            trained: whether it must hold a trained model; False for one whose training was interrupted.

        Raises:
            RunError: if it is no run folder, is of another format, is damaged, or training has not finished.
        """
        folder = Path(folder)
        if not (folder / "config.json").exists():
            raise RunError(f"{folder} is not a run folder: it has no config.json. Make one with `hanjax fit`.")
        stored = _read_json(folder / "config.json")
        written = stored.pop("format", None), stored.pop("version", None)
        if written[0] != FORMAT:
            raise RunError(
                f"{folder} was written by hanjax {written[1]} in format {written[0]}; this is hanjax {__version__}, "
                f"which reads format {FORMAT}. Use that version, or train anew."
            )
        with _reading(folder / "config.json"):
            config = Config.from_dict(stored)
        encoding = _read_json(folder / "encoding.json")
        with _reading(folder / "encoding.json"):
            sizes = encoding.pop("sizes")
            accounts = encoding.pop("accounts")
            run = cls(
                config=config,
                sizes=Sizes(**{name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()}),
                positive_weight=float(encoding.pop("positive_weight")),
                fingerprint=encoding.pop("fingerprint"),
                encoding=Encoding.from_dict(encoding),
                split=pd.Series(dtype=str),
                folder=folder,
            )
        with _reading(folder / "split.csv"):
            # An account may be called NA: nothing in this file is missing.
            table = pd.read_csv(folder / "split.csv", dtype=str, keep_default_na=False)
            run.split = table.set_index("account_id")["part"]
            if run.split.value_counts().to_dict() != accounts:
                raise ValueError(f"it should hold {accounts}")
        run.metrics = _read_json(folder / "metrics.json")
        if (folder / "model.npz").exists():
            run.params = _read_params(folder / "model.npz", run)
            if config.train.calibration != "none":
                run.calibrations = _read_calibrations(folder / "calibration.json", config)
            with _reading(folder / "history.csv"):
                run.history = pd.read_csv(folder / "history.csv")
                epochs = run.history["epoch"].tolist()
                if not epochs or epochs != list(range(1, len(epochs) + 1)) or "loss" not in run.history:
                    raise ValueError("it should hold one row an epoch")
        elif trained:
            raise RunError(f"{folder}: training has not finished. Continue it with `hanjax fit ... --resume`.")
        return run


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever a missing or damaged file leads to into an error that names the file."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Restore it, or train anew.") from error


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    with _reading(path):
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise ValueError("it should hold an object")
    return value


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of nested parameters, each with its path, such as ``activity/cell/kernel``."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _read_params(path: Path, run: Run) -> Params:
    """Reads parameters and holds them against what the model should have."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            flat = {name: file[name] for name in file.files}
    except Exception as error:  # zip, pickle and value errors, by the kind of damage
        raise RunError(f"{path} is damaged ({error}). Restore it, or train anew.") from error
    expected = dict(_leaves(jax.eval_shape(run.network.init, jax.random.key(0))))
    described = [{name: (a.shape, a.dtype) for name, a in arrays.items()} for arrays in (flat, expected)]
    if described[0] != described[1]:
        raise RunError(f"{path} holds the parameters of another model than config.json and encoding.json describe.")
    return _nested(flat)


def _read_calibrations(path: Path, config: Config) -> tuple[Calibration, ...]:
    stored = _read_json(path)
    with _reading(path):
        calibrations = tuple(Calibration.from_dict(one) for one in stored["horizons"])
        if len(calibrations) != len(config.panel.horizons):
            raise ValueError(f"it should hold {len(config.panel.horizons)}")
    return calibrations


def _nested(flat: dict[str, np.ndarray]) -> Params:
    params: Params = {}
    for path, array in flat.items():
        *parents, name = path.split("/")
        level = params
        for parent in parents:
            level = level.setdefault(parent, {})
        level[name] = array
    return params
