"""A folder of scores to which later ones can be added: the two tables, and what they were made of.

accounts.parquet     the scores of accounts
individuals.parquet  the scores of individuals
state.parquet        the digests of what was known of each account at each cut-off; which model and settings, and
                     which two tables, they belong to

The three are replaced together: what was begun is either completed by whoever reads the folder next, or never seen.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hanjax import __version__
from hanjax.errors import RunError
from hanjax.tabular.run import AnyRun, TabularRun

FORMAT = 1
"""Raised whenever a state written before can no longer be used."""

TABLES = ("accounts.parquet", "individuals.parquet")
_STATE, _NEXT = "state.parquet", ".state.parquet.next"
_REMEDY = "Score anew, without append."


class Stored(NamedTuple):
    """What a folder of scores holds.

    Args:
        accounts: the scores of accounts, sorted by account and cut-off.
        individuals: the scores of individuals, in the same order and each account's in order of arrival.
        state: ``account_id``, ``last`` (the last cut-off up to which the account was scored), ``cutoff``, and the
            ``rows`` and ``total`` of the account's digests there, if there are any; times in microseconds since 1970,
            UTC.
    """

    accounts: pa.Table
    individuals: pa.Table
    state: pa.Table


def identity(run: AnyRun, *, raw: bool) -> dict[str, str | bool]:
    """What makes scores those of a model and of settings, so that no others are added to them."""
    network = {
        "panel": run.config.to_dict()["panel"],
        "model": run.config.to_dict()["model"],
        "encoding": run.encoding.to_dict(),
        "positive_weight": float(run.positive_weight),
        "calibrations": [one.to_dict() for one in run.calibrations or ()],
    }
    digest = hashlib.sha256(json.dumps(network).encode())
    if isinstance(run, TabularRun):
        digest.update(json.dumps(run.identity()).encode())
        return {"model": digest.hexdigest(), "raw": raw}
    for path, leaf in jax.tree_util.tree_leaves_with_path(run.params):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode() + np.asarray(leaf).tobytes())
    return {"model": digest.hexdigest(), "raw": raw}


def read_folder(folder: Path, expected: dict[str, str | bool]) -> Stored | None:
    """Reads the scores in a folder.

    Args:
        folder: the folder.
        expected: the ``identity`` of what will be added.

    Returns:
        What it holds; None if there are no scores yet.

    Raises:
        RunError: if a file is missing or damaged, or the scores are of another model or of other settings.
    """
    _complete(folder)
    names = [name for name in (*TABLES, _STATE) if (folder / name).exists()]
    if not names:
        return None
    path = folder / _STATE
    if _STATE not in names:
        raise RunError(f"{path} is missing: {names[0]} was not written to be added to. {_REMEDY}")
    try:
        state = pq.read_table(path, page_checksum_verification=True)
        stored = json.loads(state.schema.metadata[b"hanjax"])
        if stored["format"] != FORMAT:
            raise RunError(
                f"{path} was written by hanjax {stored['version']} in format {stored['format']}; this is hanjax "
                f"{__version__}, which reads format {FORMAT}. {_REMEDY}"
            )
        found, digests = stored["identity"], dict(stored["tables"])
        state = state.select(["account_id", "last", "cutoff", "rows", "total"])
    except (OSError, pa.ArrowException, KeyError, TypeError, json.JSONDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}). {_REMEDY}") from error
    if found != expected:
        differs = "of another model" if found.get("model") != expected["model"] else f"made with raw={found.get('raw')}"
        differs = "those of outcomes" if "outcomes" in found else differs
        raise RunError(f"{folder}: the scores there are {differs}, so that others cannot be added to them. {_REMEDY}")
    tables = {}
    for name in TABLES:
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise RunError(f"{folder / name} is missing or cannot be read ({error}). {_REMEDY}") from error
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise RunError(f"{folder / name} is not what {_STATE} says was written: changed or damaged. {_REMEDY}")
        tables[name] = pq.read_table(pa.BufferReader(content))
    accounts, individuals = tables.values()
    return Stored(accounts, individuals, state)


def write_folder(folder: Path, scores: Stored, made_by: dict[str, str | bool]) -> None:
    """Writes all three files, as one: until all of them lie there complete, the folder holds what it held before.

    Args:
        folder: the folder; it is made.
        scores: what it will hold.
        made_by: the ``identity`` of the model and the settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _complete(folder)
    digests = {name: _write(_partial(folder, name), table) for name, table in zip(TABLES, scores, strict=False)}
    stored = {"format": FORMAT, "version": __version__, "identity": made_by, "tables": digests}
    _write(_partial(folder, _STATE), scores.state.replace_schema_metadata({"hanjax": json.dumps(stored)}))
    os.replace(_partial(folder, _STATE), folder / _NEXT)  # from here on it will be completed
    _complete(folder)


def _complete(folder: Path) -> None:
    """Puts in place what was written completely."""
    if (folder / _NEXT).exists():
        for name in TABLES:
            if _partial(folder, name).exists():
                os.replace(_partial(folder, name), folder / name)
        os.replace(folder / _NEXT, folder / _STATE)


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.partial"


def _write(path: Path, table: pa.Table) -> str:
    """Writes a table to the disk; returns the digest of the file."""
    texts = [name for name in table.column_names if name in ("account_id", "individual_id", "cutoff", "last")]
    pq.write_table(table, path, use_dictionary=texts, write_page_checksum=True)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
