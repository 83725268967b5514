"""Finished rows on the disk, each whole or not there at all, under a name made of its settings and data."""

import dataclasses
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanjax import __version__
from hanjax.config import Config
from hanjax.errors import RunError
from hanjax.reproduction.learn import Scored
from hanjax.reproduction.rows import Row

FORMAT = 3
"""Raised whenever rows computed before would no longer be the same."""


@dataclass(frozen=True)
class Key:
    """What a finished row depends on.

    Args:
        name: of the row.
        seed: of its training.
        world: name of the data.
        digest: hash of all its settings and of the data.
    """

    name: str
    seed: int
    world: str
    digest: str

    @classmethod
    def of(cls, row: Row, config: Config, seed: int, world: str, data: str) -> "Key":
        """The key of a row.

        Args:
            row: the row.
            config: its settings.
            seed: of its training.
            world: name of the data.
            data: their hash.
        """
        # Only what differs from the defaults, so that a setting that is added later changes nothing.
        plain = Config().to_dict()
        changed = {
            part: {name: value for name, value in values.items() if value != plain[part][name]}
            for part, values in config.to_dict().items()
        }
        described = [FORMAT, __version__, row.kind, row.preset, row.naive, row.eventually, changed, seed, data]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        return cls(row.name, seed, world, digest)

    @property
    def stem(self) -> str:
        """The files' name, without ending."""
        return f"{self.world}--{self.name}--{self.seed}--{self.digest[:12]}"


@dataclass
class Finished:
    """A row's outcome.

    Args:
        key: what it depends on.
        seconds: wall time.
        error: why it failed; None if it did not.
        loss: training loss of each epoch.
        samples: training samples.
        conversions: of them that convert.
        scores: by test; empty if it failed.
    """

    key: Key
    seconds: float
    error: str | None = None
    loss: list[float] = dataclasses.field(default_factory=list)
    samples: int = 0
    conversions: int = 0
    scores: dict[str, Scored] = dataclasses.field(default_factory=dict)


class Store:
    """A folder of finished rows.

    Args:
        folder: where they lie; it is made.
    """

    def __init__(self, folder: Path):
        """Makes the folder."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, finished: Finished) -> None:
        """Writes a row: first its scores, then the JSON that says that it is finished."""
        stem = finished.key.stem
        if finished.scores:
            buffer = io.BytesIO()
            arrays = {
                f"{test}/{name}": array
                for test, scored in finished.scores.items()
                for name, array in scored._asdict().items()
            }
            np.savez_compressed(buffer, **arrays)
            self._replace(f"{stem}.npz", buffer.getvalue())
        told = {f.name: getattr(finished, f.name) for f in dataclasses.fields(finished) if f.name != "scores"}
        told["key"] = dataclasses.asdict(finished.key)
        told["tests"] = list(finished.scores)
        self._replace(f"{stem}.json", (json.dumps(told, indent=2) + "\n").encode())

    def read(self, key: Key, *, scores: bool = True) -> Finished | None:
        """Reads a row.

        Args:
            key: which.
            scores: whether to read its scores, too.

        Returns:
            The row, or None if it is not finished.

        Raises:
            RunError: if a file is damaged.
        """
        path = self.folder / f"{key.stem}.json"
        if not path.exists():
            return None
        try:
            told: dict[str, Any] = json.loads(path.read_text())
            tests = told.pop("tests")
            found = Finished(**{**told, "key": Key(**told["key"])})
            if scores and tests:
                with np.load(io.BytesIO(path.with_suffix(".npz").read_bytes()), allow_pickle=False) as file:
                    found.scores = {
                        test: Scored(**{name: file[f"{test}/{name}"] for name in Scored._fields}) for test in tests
                    }
        except Exception as error:  # zip, JSON and value errors, by the kind of damage
            raise RunError(f"{path} or its .npz is damaged ({error}). Delete both, and start again.") from error
        return found if found.key == key else None

    def _replace(self, name: str, content: bytes) -> None:
        partial = self.folder / f".{name}.partial"
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.folder / name)
