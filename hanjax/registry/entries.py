"""One version of a model in the registry: a copy of its run folder, what it came from, and hashes of all that."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from hanjax.errors import RunError

ENTRY, FIGURES = "entry.json", "metrics.json"
FORMAT = 1
"""Raised whenever an entry written before can no longer be read."""


class Entry(NamedTuple):
    """A version of a model.

    Args:
        name: of the model.
        version: 1, 2, and so on.
        created_at: when it was registered, as ISO 8601 in UTC.
        problem: what it predicts, such as "account propensity"; it chooses the rule by which challengers are judged.
        owner: whom to ask.
        until: before which date what it was trained on was known; empty if nobody said.
        fingerprint: of the panel that it was trained on.
        metrics: its figures when it was registered.
        lineage: what it was made of: hashes of the gold set and of the features, and whatever else was given.
        files: the SHA-256 of every file of its run folder, but for its figures, to which an evaluation adds.
        content: the SHA-256 over all of these but a reference for monitoring: two versions with the same one are the
            same model.
        folder: where the copy lies.
    """

    name: str
    version: int
    created_at: str
    problem: str
    owner: str
    until: str
    fingerprint: str
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    files: dict[str, str]
    content: str
    folder: Path


def run_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file that makes up a run: those at the top, no figures, pages or what training resumes from.

    Raises:
        RunError: if the folder holds no finished run.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    chosen = [name for name in names if (folder / name).is_file() and not name.startswith(".")]
    chosen = [name for name in chosen if name not in (ENTRY, FIGURES) and Path(name).suffix not in (".html", ".png")]
    if "config.json" not in chosen or not any(name.startswith("model") for name in chosen):
        raise RunError(f"{folder} holds no trained model. Register the folder that `hanjax fit` wrote.")
    return {name: _digest((folder / name).read_bytes()) for name in chosen}


def write_entry(source: Path, entry: Entry) -> None:
    """Copies a run folder into the registry; the version appears whole or not at all.

    Args:
        source: the run folder.
        entry: the entry to write; its ``folder`` is made.
    """
    partial = entry.folder.with_name(f".{entry.folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in entry.files:
        shutil.copyfile(source / name, partial / name)
        os.chmod(partial / name, 0o444)
    (partial / FIGURES).write_text(json.dumps(entry.metrics, indent=2) + "\n", encoding="utf-8")
    stored = {name: value for name, value in entry._asdict().items() if name != "folder"} | {"format": FORMAT}
    text = json.dumps(stored | {"digest": _digest(_canonical(stored))}, indent=2)
    (partial / ENTRY).write_text(text + "\n", encoding="utf-8")
    os.rename(partial, entry.folder)  # fails if somebody else took this version


def read_entry(folder: Path) -> Entry:
    """Reads an entry, and holds it against its own hash; the files are not read.

    Raises:
        RunError: if it is missing, damaged, changed, or of another format.
    """
    path = folder / ENTRY
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        digest = stored.pop("digest")
        found = stored.pop("format")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Restore it from a backup.") from error
    if digest != _digest(_canonical(stored | {"format": found})):
        raise RunError(f"{path} was changed after it was written. Restore it from a backup, or register the run anew.")
    if found != FORMAT:
        raise RunError(f"{path} has format {found}; this version of hanjax reads format {FORMAT}.")
    return Entry(**stored, folder=folder)


def verify_entry(entry: Entry) -> None:
    """Holds every file of a version against its hash.

    Raises:
        RunError: if one is missing, was changed, or was added.
    """
    wrong = []
    for name, digest in entry.files.items():
        path = entry.folder / name
        if not path.exists():
            wrong.append(f"{name} is missing")
        elif _digest(path.read_bytes()) != digest:
            wrong.append(f"{name} was changed")
    added = set(run_files(entry.folder)) - set(entry.files) if not wrong else set()
    wrong += [f"{name} was added" for name in sorted(added)]
    if wrong:
        raise RunError(
            f"{entry.folder}: {'; '.join(wrong)} since version {entry.version} of {entry.name!r} was registered. "
            "Restore it from a backup, or register the run anew and revert to an earlier version until then."
        )


def content_of(files: dict[str, str]) -> str:
    """One hash over the hashes of a run's files, whatever reference for monitoring lies beside the model."""
    return _digest(_canonical({name: one for name, one in files.items() if not name.startswith("reference.")}))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
