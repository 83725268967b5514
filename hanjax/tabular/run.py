"""A trained tabular model and its folder.

config.json       the settings, and the version that wrote them
encoding.json     vocabulary, levels, scales and sizes, fitted on the training accounts
split.csv         which account was for training, validation or the test
metrics.json      how well it does, by part
tabular.json      which model, its columns, and how its components are combined
search.csv        what was tried of a grid, if there was one
model-H-C.skops   the model of horizon H and component C, both counted from 1; model-H-C.json if it is XGBoost's
calibration.json  what maps log-odds to probabilities, one for each horizon, if that was learned
"""

import dataclasses
import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.config import Config
from hanjax.data.encoding import Encoding
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import Calibration
from hanjax.notebook import html_of
from hanjax.run import Run
from hanjax.run.base import FORMATS, BaseRun, as_json, read_config, read_json, reading
from hanjax.settings import build
from hanjax.tabular.components import Aspect, Combination, Model
from hanjax.tabular.estimators import class_of
from hanjax.tabular.matrix import alone, matrix_of, segment_levels, some
from hanjax.tabular.settings import Tabular
from hanjax.tabular.storage import dump, load
from hanjax.tabular.training import held_out, train
from hanjax.types import Panel

_AT_A_TIME = 65536
"""Rows of the matrix that are made at a time where there are many."""


@dataclass
class TabularRun(BaseRun):
    """A trained tabular model and what it takes to use it, as ``hanjax.Run`` is of a network.

    Args:
        config: the settings; of those of training, the split, ``calibration`` and ``cross_validation`` count.
        encoding: what was fitted on the training accounts.
        split: "train", "validation" or "test" by account id.
        tabular: which model.
        segments: levels of the segments that it is given.
        columns: names of the columns that it was trained on.
        models: one a horizon; none until trained.
        library: what trained it, with its version.
        search: what the grid has shown, one row a combination; None without a grid.
        calibrations: what maps the log-odds of each horizon to probabilities; None where the logistic function does.
        metrics: figures by part ("validation", "test").
        fingerprint: of the panel it was trained on.
        folder: where it lies; None if it was never written.
    """

    FORMAT: ClassVar[int | str] = FORMATS[1]
    config: Config
    encoding: Encoding
    split: pd.Series
    tabular: Tabular
    segments: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    columns: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    library: str = ""
    search: pd.DataFrame | None = None
    calibrations: tuple[Calibration, ...] | None = None
    metrics: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""
    folder: Path | None = None

    positive_weight: ClassVar[float] = 1.0  # a conversion weighs what any other sample does
    history: ClassVar[None] = None

    @property
    def kind(self) -> str:
        """The algorithm."""
        return self.tabular.algorithm

    @property
    def trained(self) -> bool:
        """Whether there are models."""
        return len(self.models) > 0

    @property
    def network(self) -> NoReturn:
        """There is none.

        Raises:
            RunError: always; so what needs a network says so.
        """
        raise RunError(
            f"The run is a tabular model ({self.kind}): it has no network, which this needs. Train one with "
            "`hanjax.fit(data)`, without `model`."
        )

    params = sizes = network

    def __repr__(self) -> str:
        """Says what was trained on how much, and how well it does."""
        return self.described(self.kind, self.tabular.task, f"{len(self.columns)} columns")

    def _repr_html_(self) -> str:
        """For notebooks: what was trained on what, and how well it does by part."""
        search = pd.DataFrame() if self.search is None else self.search
        tried = "" if self.search is None else "What was tried:"
        return html_of("TabularRun", repr(self), self.figures_by_part(), tried, search)

    def matrix(self, panel: Panel) -> pd.DataFrame:
        """The columns that the model is given of samples; see ``hanjax.tabular.matrix.matrix_of``."""
        return matrix_of(panel, self.encoding, self.config.panel, segments=self.segments)

    def table(self, panel: Panel) -> Float[np.ndarray, "B c"]:
        """The same as numbers, checked to be the columns that it was trained on.

        Raises:
            DataError: if they are others.
        """
        matrix = self.matrix(panel)
        if tuple(matrix) != self.columns:
            strange = ", ".join(sorted(set(matrix) ^ set(self.columns))[:5]) or "their order"
            raise DataError(
                f"panel: its columns are not those of the training ({strange}). Encode with the run's own settings: "
                "hanjax.encode(data, run.config.panel, encoding=run.encoding)."
            )
        return matrix.to_numpy(np.float64)

    def model_of(self, horizon: int) -> Model:
        """The model of one horizon, from 0 on.

        Raises:
            RunError: if there is none.
        """
        if not self.trained:
            raise RunError("The run holds no trained model. Train it with `fit` first.")
        return self.models[horizon]

    def logits(self, panel: Panel) -> Float[np.ndarray, "B H"]:
        """Log-odds of samples, of each horizon, before any calibration.

        Args:
            panel: the samples, encoded with the run's encoding.

        Raises:
            RunError: if the run is not trained.
        """
        self.model_of(0)
        count = len(panel.samples)
        found = [np.zeros((0, len(self.models)))]
        for begin in range(0, count, _AT_A_TIME):
            whole = count <= _AT_A_TIME
            table = self.table(panel if whole else some(panel, slice(begin, begin + _AT_A_TIME)))
            found.append(np.stack([model.logit(table) for model in self.models], axis=1))
        return np.concatenate(found)

    def member_logits(self, panel: Panel) -> Float[np.ndarray, "B K H"]:
        """Log-odds of the groups that are made of one member alone; 0 where no member is."""
        single, there = alone(panel)
        found = np.zeros((*there.shape, len(self.models)))
        found[there] = self.logits(single)
        return found

    def fit(self, panel: Panel, training: np.ndarray) -> None:
        """Trains on some samples of a panel.

        Args:
            panel: the samples.
            training: which may be learned from: positions or a mask.
        """
        own = some(panel, training)
        self.segments = segment_levels(own.samples, self.tabular.segments)
        matrix = self.matrix(own)
        accounts = own.samples["account_id"].to_numpy()
        self.models, self.search = train(self.tabular, matrix, np.asarray(own.batch.label, np.float64), accounts)
        self.columns = tuple(matrix)
        package = "xgboost" if self.kind == "xgboost" else "sklearn"
        self.library = f"{package} {importlib.import_module(package).__version__}"

    def kept_from(self, panel: Panel, part: np.ndarray) -> Float[np.ndarray, "B H"]:
        """Log-odds of samples by models of the same kind that were trained on the other parts.

        Args:
            panel: the samples that the run was trained on.
            part: ``[B]`` the part of each sample; all samples of an account are in one.
        """

        def said(learned: np.ndarray, kept: np.ndarray) -> np.ndarray:
            other = dataclasses.replace(self, folder=None)
            other.fit(panel, learned)
            return other.logits(some(panel, kept))

        return held_out(said, part)

    def identity(self) -> dict[str, Any]:
        """What makes its scores its own, for JSON: the same settings, data and library give the same model."""
        tabular = dataclasses.asdict(dataclasses.replace(self.tabular, jobs=1))
        split = hashlib.sha256(repr(sorted(self.split.astype(str).items())).encode()).hexdigest()
        return {"tabular": tabular, "split": split, "fingerprint": self.fingerprint, "library": self.library}

    def _write_model(self) -> None:
        stored = {
            "tabular": dataclasses.asdict(self.tabular),
            "segments": self.segments,
            "columns": self.columns,
            "library": self.library,
            "aspects": [one._asdict() for one in self.model_of(0).aspects],
            "combinations": [model.combination._asdict() for model in self.models],
        }
        for h, model in enumerate(self.models, start=1):
            for c, estimator in enumerate(model.estimators, start=1):
                content, ending = dump(estimator)
                self._replace(f"model-{h}-{c}.{ending}", content)
        if self.search is not None:
            self._replace("search.csv", self.search.to_csv(index=False).encode())
        self._replace("tabular.json", as_json(stored))

    @classmethod
    def read(cls, folder: str | Path) -> "TabularRun":
        """Reads the folder of a tabular model; nothing in it is ever run.

        Args:
            folder: the run folder.

        Raises:
            RunError: if it is no such folder, is of another format, is damaged, or holds what is not trusted.
        """
        folder = Path(folder)
        common, _ = cls._read_common(folder)
        stored, path = read_json(folder / "tabular.json"), folder / "tabular.json"
        with reading(path):
            tabular = build(Tabular, "tabular", stored["tabular"])
            segments = {name: tuple(levels) for name, levels in stored["segments"].items()}
            run = cls(**common, tabular=tabular, segments=segments, columns=tuple(stored["columns"]))
            run.library = stored["library"]
            aspects = tuple(Aspect(one["name"], tuple(one["columns"])) for one in stored["aspects"])
            combinations = [_combination(one, aspects) for one in stored["combinations"]]
            wanted = sorted(place for one in aspects for place in one.columns)
            if wanted != list(range(len(run.columns))) or len(combinations) != len(run.config.panel.horizons):
                raise ValueError("aspects and combinations do not fit the columns and the horizons")
        kind, ending = class_of(tabular), "json" if tabular.algorithm == "xgboost" else "skops"
        for h, combination in enumerate(combinations, start=1):
            files = [(folder / f"model-{h}-{c}.{ending}", len(one.columns)) for c, one in enumerate(aspects, start=1)]
            estimators = tuple(load(file, kind, columns=columns) for file, columns in files)
            run.models += (Model(aspects, estimators, combination),)
        run._read_calibrations(folder)
        if tabular.grid:
            with reading(folder / "search.csv"):
                run.search = pd.read_csv(folder / "search.csv")
                if run.search["chosen"].tolist().count(True) != 1:
                    raise ValueError("it should say what was chosen")
        return run


AnyRun = Run | TabularRun
"""A trained model of either kind."""


def read_run(folder: str | Path) -> AnyRun:
    """Reads a run folder, of whichever kind it is.

    Args:
        folder: the run folder.

    Returns:
        A ``Run`` or a ``TabularRun``.

    Raises:
        RunError: if it is no run folder, is of another format, is damaged, or training has not finished.

    Example:
        >>> from hanjax.tabular import read_run
        >>> read_run("nowhere")
        Traceback (most recent call last):
        ...
        hanjax.errors.RunError: nowhere is not a run folder: it has no config.json. Make one with `hanjax fit`.
    """
    kind = TabularRun if read_config(Path(folder))["format"] == TabularRun.FORMAT else Run
    return kind.read(folder)


def _combination(stored: dict[str, Any], aspects: tuple[Aspect, ...]) -> Combination:
    """A combination as it was stored, checked."""
    found = Combination(
        tuple(map(float, stored["weights"])), float(stored["intercept"]), tuple(map(float, stored["centers"])),
        stored["combine"],
    )  # fmt: skip
    finite = np.isfinite([*found.weights, *found.centers, found.intercept]).all()
    if not finite or not len(found.weights) == len(found.centers) == len(aspects):
        raise ValueError("the combinations hold no numbers, or too few")
    return found
