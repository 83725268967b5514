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

import dataclasses
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import pandas as pd

from hanjax.config import Config
from hanjax.data.encoding import Encoding
from hanjax.errors import RunError
from hanjax.evaluation.calibration import Calibration
from hanjax.nn.ensemble import ensemble
from hanjax.nn.functional import Network, Params, network
from hanjax.nn.sizes import Sizes
from hanjax.notebook import html_of
from hanjax.run.base import FORMATS, BaseRun, as_json, reading

FORMAT = FORMATS[0]
"""Raised whenever a folder written before can no longer be read."""


@dataclass
class Run(BaseRun):
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

    FORMAT: ClassVar[int | str] = FORMAT
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

    @property
    def kind(self) -> str:
        """The network's aggregation."""
        return self.config.model.aggregator

    @property
    def trained(self) -> bool:
        """Whether there are parameters."""
        return self.params is not None

    @property
    def trainings(self) -> int:
        """How many networks there are."""
        return self.config.train.ensemble

    @property
    def digest(self) -> str:
        """A hash of all that scores hang on: data, settings, class weight, parameters and calibrations."""
        calibrations = [one.to_dict() for one in self.calibrations or ()]
        found = hashlib.sha256(as_json([self.fingerprint, self.config.to_dict(), self.positive_weight, calibrations]))
        for path, leaf in sorted(_leaves(self.params or {}), key=lambda pair: pair[0]):
            found.update(f"{path} {leaf.dtype} {leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
        return found.hexdigest()

    def __repr__(self) -> str:
        """Says what was trained on how much, and how well it does."""
        epochs = 0 if self.history is None else len(self.history)
        return self.described(self.kind, f"{epochs} epochs")

    def _repr_html_(self) -> str:
        """For notebooks: what was trained on what, and how well it does by part."""
        parts = self.figures_by_part()
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

    def _beside_encoding(self) -> dict[str, Any]:
        return {"sizes": dataclasses.asdict(self.sizes), "positive_weight": self.positive_weight}

    def _write_model(self) -> None:
        if self.history is not None:
            self._replace("history.csv", self.history.to_csv(index=False).encode())
        if self.params is not None:
            buffer = io.BytesIO()
            np.savez(buffer, **{path: np.asarray(leaf) for path, leaf in _leaves(self.params)})
            self._replace("model.npz", buffer.getvalue())

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
        common, stored = cls._read_common(folder)
        with reading(folder / "encoding.json"):
            sizes = stored["sizes"]
            run = cls(
                **common,
                sizes=Sizes(**{name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()}),
                positive_weight=float(stored["positive_weight"]),
            )
        if (folder / "model.npz").exists():
            run.params = _read_params(folder / "model.npz", run)
            run._read_calibrations(folder)
            with reading(folder / "history.csv"):
                run.history = pd.read_csv(folder / "history.csv")
                epochs = run.history["epoch"].tolist()
                if not epochs or epochs != list(range(1, len(epochs) + 1)) or "loss" not in run.history:
                    raise ValueError("it should hold one row an epoch")
        elif trained:
            raise RunError(f"{folder}: training has not finished. Continue it with `hanjax fit ... --resume`.")
        return run


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


def _nested(flat: dict[str, np.ndarray]) -> Params:
    params: Params = {}
    for path, array in flat.items():
        *parents, name = path.split("/")
        level = params
        for parent in parents:
            level = level.setdefault(parent, {})
        level[name] = array
    return params
