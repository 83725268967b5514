"""Checkpoints of a training run, one after each epoch, from which it continues to the same bits."""

import json
import shutil
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree, UInt8
from orbax.checkpoint.options import MultiprocessingOptions

from hanjax.errors import RunError


class Checkpoint(NamedTuple):
    """What was saved after an epoch.

    Args:
        epoch: the epoch, from 1.
        state: a tree of NumPy arrays.
        meta: what JSON can hold; NaN included.
    """

    epoch: int
    state: PyTree
    meta: dict[str, Any]


class Checkpoints:
    """The folder of a run's checkpoints; the latest few are kept.

    An epoch is written in the background, to a temporary name that is changed when all of it is there: a process killed
    at any moment leaves the last complete epoch as the latest. All arrays are stored as one row of bytes, with a
    checksum, and their names, dtypes and shapes beside it.

    Args:
        folder: where they are; it is made if it does not exist.
        keep: how many epochs are kept.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from hanjax.training.checkpoint import Checkpoints
        >>> with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as checkpoints:
        ...     checkpoints.save(1, {"weight": np.ones(2)}, meta={"loss": 0.5})
        ...     checkpoints.wait()
        ...     epoch, state, meta = checkpoints.restore({"weight": np.zeros(2)})
        >>> epoch, state["weight"].tolist(), meta
        (1, [1.0, 1.0], {'loss': 0.5})
    """

    def __init__(self, folder: str | Path, *, keep: int = 3):
        """Opens the folder."""
        self.folder = Path(folder).expanduser().resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        # Of several processes each acts for itself: one of them writes what all of them have, and all read.
        mine = jax.process_index()
        alone = MultiprocessingOptions(primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=f"of-{mine}")
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=False, multiprocessing_options=alone)
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._cleaned = False

    def latest(self) -> int | None:
        """The last epoch that was saved; None if there is none."""
        return self._manager.latest_step()

    def save(self, epoch: int, state: PyTree, *, meta: dict[str, Any]) -> None:
        """Saves an epoch, in the background.

        Args:
            epoch: the epoch; later than all that were saved.
            state: a tree of arrays; it is copied first, so that it may be used up by the next step.
            meta: what JSON can hold.

        Raises:
            RunError: if this epoch or a later one is there already.
        """
        if not self._cleaned:  # not when the folder is opened: another process may be writing into it
            for unfinished in self.folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(unfinished)
            self._cleaned = True
        latest, packed = self.latest(), _packed(state)
        described = {"arrays": _described(state), "checksum": _checksum(packed, meta), "meta": meta}
        items = ocp.args.Composite(state=ocp.args.StandardSave([packed]), meta=ocp.args.JsonSave(described))
        if (latest is not None and latest >= epoch) or not self._manager.save(epoch, args=items):
            raise RunError(
                f"Epoch {epoch} cannot be saved: {self.folder} already holds epoch {latest}. "
                "Resume from it, or use another folder."
            )

    def restore(self, like: PyTree) -> Checkpoint:
        """Reads the latest epoch.

        Args:
            like: a tree of arrays with the structure, shapes and dtypes that are expected.

        Returns:
            What was saved.

        Raises:
            RunError: if there is no checkpoint, it is damaged, or it belongs to another model.
        """
        epoch = self.latest()
        if epoch is None:
            raise RunError(f"There is no checkpoint in {self.folder}; train without resuming first.")
        described = self._read(epoch, "meta", ocp.args.JsonRestore())
        if set(described) != {"arrays", "checksum", "meta"}:
            raise self._damaged(epoch, "its description is not complete")
        differing = _difference(described["arrays"], _described(like))
        if differing:
            raise RunError(
                f"The checkpoint of epoch {epoch}, {self.folder / str(epoch)}, is that of another model: {differing}. "
                "Resume with the settings and the data that it was made with, or use another folder."
            )
        [packed] = self._read(epoch, "state", ocp.args.StandardRestore([np.zeros_like(_packed(like))]))
        if _checksum(packed, described["meta"]) != described["checksum"]:
            raise self._damaged(epoch, "its checksum is wrong")
        return Checkpoint(epoch, _unpacked(packed, like), described["meta"])

    def wait(self) -> None:
        """Waits until what was saved is on the disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the threads that write."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        """Returns itself; the end of the ``with`` block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes it."""
        self.close()

    def _read(self, epoch: int, item: str, how: Any) -> Any:
        """Reads one part of a checkpoint."""
        try:
            return self._manager.restore(epoch, args=ocp.args.Composite(**{item: how}))[item]
        except Exception as error:  # Orbax raises many kinds for the same few causes
            cause = (str(error).splitlines() or ["no message"])[0]
            raise self._damaged(epoch, f"{type(error).__name__}: {cause[:200]}") from error

    def _damaged(self, epoch: int, cause: str) -> RunError:
        """Says that a checkpoint cannot be used, and what can be done."""
        return RunError(
            f"The checkpoint of epoch {epoch}, {self.folder / str(epoch)}, is damaged or incomplete ({cause}). "
            "Remove that folder to resume from the epoch before it, or all of them to train anew."
        )


def _packed(tree: PyTree) -> UInt8[np.ndarray, " n"]:
    """All arrays of a tree as one row of bytes; a copy."""
    return np.frombuffer(b"".join(np.asarray(array).tobytes() for array in jax.tree.leaves(tree)), np.uint8)


def _unpacked(packed: UInt8[np.ndarray, " n"], like: PyTree) -> PyTree:
    """The arrays that were packed, in a tree like the one given."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([array.nbytes for array in leaves])[:-1]
    parts = zip(np.split(packed, ends), leaves, strict=True)
    return structure.unflatten([part.copy().view(array.dtype).reshape(array.shape) for part, array in parts])


def _checksum(packed: UInt8[np.ndarray, " n"], meta: dict[str, Any]) -> int:
    """A number that almost surely changes with any byte of the two."""
    return zlib.crc32(json.dumps(meta, sort_keys=True).encode(), zlib.crc32(packed))


def _described(tree: PyTree) -> dict[str, str]:
    """Dtype and shape of each array of a tree, by its path, such as "params.activity.bias"."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return {name(path): f"{array.dtype}{list(array.shape)}" for path, array in leaves}


def _difference(saved: dict[str, str], expected: dict[str, str]) -> str:
    """The first difference between two descriptions, in words; empty if there is none."""
    for name in sorted(saved.keys() | expected.keys()):
        here, there = expected.get(name, "no such array"), saved.get(name, "no such array")
        if here != there:
            return f"{name} is {there} there, but {here} here"
    return ""
