"""What every kind of trained model has: settings, encoding, split, figures, and a folder that holds them."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from hanjax import __version__
from hanjax.config import Config
from hanjax.data.encoding import Encoding
from hanjax.data.splits import TEST
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import Calibration


class BaseRun:
    """What a ``Run`` and a ``hanjax.tabular.TabularRun`` have in common; each is a dataclass of its own.

    Attributes:
        FORMAT: what the folder's config.json says of its kind; another one whenever an older folder can no longer be
            read.
        config: the settings.
        encoding: what was fitted on the training accounts.
        split: "train", "validation" or "test" by account id.
        positive_weight: the class weight of the loss, which is taken out of probabilities.
        calibrations: what maps the log-odds of each horizon, without the weight, to probabilities; None where the
            logistic function does.
        metrics: figures by part ("validation", "test").
        fingerprint: of the panel it was trained on.
        folder: where it lies; None if it was never written.
    """

    FORMAT: ClassVar[int | str]
    config: Config
    encoding: Encoding
    split: pd.Series
    positive_weight: float
    calibrations: tuple[Calibration, ...] | None
    metrics: dict[str, dict[str, float]]
    fingerprint: str
    folder: Path | None

    @property
    def kind(self) -> str:
        """What was trained, in a word or two."""
        raise NotImplementedError

    @property
    def trained(self) -> bool:
        """Whether there is a model to score with."""
        raise NotImplementedError

    @property
    def trainings(self) -> int:
        """How many trainings of the same settings speak for themselves, as the networks of an ensemble do."""
        return 1

    def described(self, *parts: str) -> str:
        """A line for ``repr``: what was trained on how much, and how well it does."""
        accounts = ", ".join(f"{count:,} {part}" for part, count in self.split.value_counts().items())
        known = {part: values["auc"] for part, values in self.metrics.items() if values["auc"] is not None}
        figures = "".join(f"; {part} AUC {auc:.3f}" for part, auc in known.items())
        return f"{type(self).__name__}({', '.join(parts)}, accounts: {accounts}{figures}, folder={self.folder})"

    def figures_by_part(self) -> pd.DataFrame:
        """How many accounts each part has, and how well the model does on it."""
        names = ["auc", "average_precision", "log_loss", "brier", "samples", "conversions"]
        figures = pd.DataFrame.from_dict(self.metrics, orient="index").reindex(columns=names)
        parts = pd.concat([self.split.value_counts().rename("accounts"), figures], axis="columns")
        return parts.dropna(axis="columns", how="all").rename_axis("part").reset_index()

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

    def write(self, folder: str | Path) -> None:
        """Writes what is there; each file appears whole or not at all.

        Args:
            folder: the run folder; it is made.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        stored = {"format": self.FORMAT, "version": __version__, **self.config.to_dict()}
        encoding = {
            **self._beside_encoding(),
            "fingerprint": self.fingerprint,
            "accounts": self.split.value_counts().to_dict(),
            **self.encoding.to_dict(),
        }
        self._replace("encoding.json", as_json(encoding))
        self._replace("split.csv", self.split.rename_axis("account_id").to_csv().encode())
        self.write_metrics()
        self._write_model()
        if self.calibrations is not None:
            self._replace("calibration.json", as_json({"horizons": [one.to_dict() for one in self.calibrations]}))
        self._replace("config.json", as_json(stored))  # last: a folder without it is no run yet

    def write_metrics(self) -> None:
        """Writes the figures alone."""
        self._replace("metrics.json", as_json(self.metrics))

    def _beside_encoding(self) -> dict[str, Any]:
        """What else encoding.json holds."""
        return {}

    def _write_model(self) -> None:
        """Writes the model and what belongs to it alone."""
        raise NotImplementedError

    def _replace(self, name: str, content: bytes) -> None:
        assert self.folder is not None
        partial = self.folder / f".{name}.partial"
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.folder / name)

    @classmethod
    def _read_common(cls, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """What every kind of run has, by name; and all that encoding.json holds."""
        stored = read_config(folder)
        if stored.pop("format", None) != cls.FORMAT:
            raise RunError(f"{folder} holds a model of another kind. Read it with `hanjax.load`.")
        stored.pop("version", None)
        with reading(folder / "config.json"):
            config = Config.from_dict(stored)
        encoding = read_json(folder / "encoding.json")
        with reading(folder / "encoding.json"):
            accounts = encoding["accounts"]
            found: dict[str, Any] = dict(
                config=config,
                encoding=Encoding.from_dict(encoding),
                fingerprint=encoding["fingerprint"],
                folder=folder,
            )
        with reading(folder / "split.csv"):
            # An account may be called NA: nothing in this file is missing.
            table = pd.read_csv(folder / "split.csv", dtype=str, keep_default_na=False)
            found["split"] = table.set_index("account_id")["part"]
            if found["split"].value_counts().to_dict() != accounts:
                raise ValueError(f"it should hold {accounts}")
        found["metrics"] = read_json(folder / "metrics.json")
        return found, encoding

    def _read_calibrations(self, folder: Path) -> None:
        """Takes over what calibration.json holds, if the settings say that there is one."""
        if self.config.train.calibration == "none":
            return
        path, horizons = folder / "calibration.json", len(self.config.panel.horizons)
        stored = read_json(path)
        with reading(path):
            self.calibrations = tuple(Calibration.from_dict(one) for one in stored["horizons"])
            if len(self.calibrations) != horizons:
                raise ValueError(f"it should hold {horizons}")


FORMATS: tuple[int | str, ...] = (1, "tabular 1")
"""What this version reads: folders of networks, and of tabular models."""


def read_config(folder: Path) -> dict[str, Any]:
    """What a run folder's config.json holds, whichever kind of run it is.

    Raises:
        RunError: if it is no run folder, is damaged, or is of a format that this version does not read.
    """
    if not (folder / "config.json").exists():
        raise RunError(f"{folder} is not a run folder: it has no config.json. Make one with `hanjax fit`.")
    stored = read_json(folder / "config.json")
    written = stored.get("format")
    if written not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise RunError(
            f"{folder} was written by hanjax {stored.get('version')} in format {written}; this is hanjax "
            f"{__version__}, which reads format {known}. Use that version, or train anew."
        )
    return stored


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a missing or damaged file leads to into an error that names the file."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Restore it, or train anew.") from error


def as_json(value: Any) -> bytes:
    """A value as the folder's files hold it."""
    return (json.dumps(value, indent=2) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds.

    Raises:
        RunError: if it is missing or damaged.
    """
    with reading(path):
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise ValueError("it should hold an object")
    return value
