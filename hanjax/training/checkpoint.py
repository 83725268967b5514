"""Checkpoints of a training run, one after each epoch, from which it continues to the same bits."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

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
    at any moment leaves the last complete epoch as the latest.

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
        """Opens the folder, and removes what an interrupted writer left behind."""
        self.folder = Path(folder).expanduser().resolve()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

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
        latest = self.latest()
        arrays = {name: np.array(array) for name, array in _named(state).items()}
        described = {"arrays": _described(arrays), "meta": meta}
        some = {name: array for name, array in arrays.items() if array.size}  # Orbax takes no arrays without elements
        items = ocp.args.Composite(state=ocp.args.StandardSave(some), meta=ocp.args.JsonSave(described))
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
        expected = _named(like)
        described = self._read(epoch, "meta", ocp.args.JsonRestore())
        differing = _differences(described["arrays"], _described(expected))
        if differing:
            raise RunError(
                f"The checkpoint of epoch {epoch}, {self.folder / str(epoch)}, is that of another model: {differing}. "
                "Resume with the settings and the data that it was made with, or use another folder."
            )
        template = {name: np.empty(np.shape(array), array.dtype) for name, array in expected.items()}
        some = {name: array for name, array in template.items() if array.size}
        arrays = template | self._read(epoch, "state", ocp.args.StandardRestore(some))
        state = jax.tree.unflatten(jax.tree.structure(like), list(arrays.values()))
        return Checkpoint(epoch, state, described["meta"])

    def wait(self) -> None:
        """Waits until what was saved is on the disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the threads that write."""
        self._manager.close()

    def __enter__(self) -> Self:
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
            raise RunError(
                f"The checkpoint of epoch {epoch}, {self.folder / str(epoch)}, is damaged or incomplete "
                f"({type(error).__name__}: {cause[:200]}). "
                "Remove that folder to resume from the epoch before it, or all of them to train anew."
            ) from error


def _named(tree: PyTree) -> dict[str, Any]:
    """The arrays of a tree by their path in it, such as "params.activity.bias"."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): array for path, array in leaves}


def _described(arrays: dict[str, Any]) -> dict[str, str]:
    """Dtype and shape of each array, in words."""
    return {name: f"{array.dtype}{list(np.shape(array))}" for name, array in arrays.items()}


def _differences(saved: dict[str, str], expected: dict[str, str]) -> str:
    """The first difference between two descriptions, in words; empty if there is none."""
    for name in sorted(saved.keys() | expected.keys()):
        here, there = expected.get(name, "no such array"), saved.get(name, "no such array")
        if here != there:
            return f"{name} is {there} there, but {here} here"
    return ""
