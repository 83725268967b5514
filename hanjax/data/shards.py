"""A panel that outgrows the memory, as a folder of shards: each is the panel of some accounts, whole and on its own.

shards.json        the settings, the encoding and the calendar of all; which shards there are, how large, what was left
                   out; by format and version
split.parquet      which account is for training, validation or the test, if accounts were split
shard-00000/       the first shard
    shard.json     its sizes, the hashes of its files, what was left out, and notes
    *.npy          the arrays of its batch, and ``member_ids``: opened, not read, so that memory holds what is used
    samples.parquet, individuals.parquet

A shard appears whole or not at all, and ``shards.json`` when all of them are there.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hanjax import __version__
from hanjax.config import Config, PanelConfig
from hanjax.data.encoding import Encoding
from hanjax.data.periods import Calendar
from hanjax.errors import ConfigError, DataError
from hanjax.types import Batch, LeftOut, Panel, hard_label

FORMAT = 2
"""Raised whenever a folder written before can no longer be read."""

INDEX = "shards.json"
_SPLIT, _SHARD, _SAMPLES, _INDIVIDUALS = "split.parquet", "shard.json", "samples.parquet", "individuals.parquet"
_MEMBER_IDS = "member_ids"
_REMEDY = "Encode the data again."


class Shard(NamedTuple):
    """What is known of one shard without opening it.

    Args:
        number: which one it is, from 0.
        accounts: accounts with a sample.
        samples: how many.
        conversions: samples whose account converts within the first horizon.
        digest: of all that it holds, hexadecimal.
    """

    number: int
    accounts: int
    samples: int
    conversions: int
    digest: str


def write_shard(panel: Panel, folder: str | Path, number: int) -> Shard:
    """Writes one shard; one that is there already is replaced.

    Args:
        panel: all samples of some accounts, encoded with what ``write_index`` will store; there may be none.
        folder: of all shards; it is made.
        number: of the shard, from 0.

    Returns:
        What ``write_index`` asks for.

    Example:
        >>> import hanjax, tempfile
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_shard(panel, folder, 0).accounts
        20
    """
    target = _folder(Path(folder), number)
    partial = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    arrays = {name: array for name, array in panel.batch._asdict().items() if array is not None}
    for name, array in {**arrays, _MEMBER_IDS: panel.member_ids}.items():
        np.save(partial / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    plain = panel.samples.astype({name: "str" for name in _texts(panel.samples)})
    pq.write_table(pa.Table.from_pandas(plain, preserve_index=False), partial / _SAMPLES)
    pq.write_table(pa.table({"individual_id": pa.array(panel.individual_ids)}), partial / _INDIVIDUALS)
    described = {
        "number": number,
        "accounts": int(panel.samples["account_id"].nunique()),
        "samples": len(panel.samples),
        "conversions": int(np.nansum(hard_label(panel.batch.label[:, 0]))),
        "texts": _texts(panel.samples),
        "unit": panel.unit,
        "left_out": [_plain(row) for row in panel.left_out],
        "notes": list(panel.notes),
        "files": {path.name: _hash(path) for path in sorted(partial.iterdir())},
    }
    content = (json.dumps(described, indent=2) + "\n").encode()
    _write(partial / _SHARD, content)
    _replace(partial, target)
    sizes = (described[name] for name in Shard._fields[:-1])
    return Shard(*sizes, digest=hashlib.sha256(content).hexdigest())


def write_index(
    folder: str | Path,
    shards: Sequence[Shard],
    *,
    config: Config | PanelConfig,
    encoding: Encoding,
    calendar: Calendar,
    split: pd.Series | None = None,
    left_out: Sequence[LeftOut] = (),
) -> "Shards":
    """Makes a data set of shards that are all written.

    Args:
        folder: where they are.
        shards: what ``write_shard`` returned for each.
        config: all settings, if accounts were split for a training; else those of the data.
        encoding: with which all were encoded.
        calendar: of all of them.
        split: "train", "validation" or "test" by account id; None if accounts were not split.
        left_out: rows that no shard holds, by reason.

    Returns:
        The shards.
    """
    folder = Path(folder)
    if split is not None:
        pq.write_table(pa.Table.from_pandas(split.rename_axis("account_id").reset_index()), folder / _SPLIT)
    stored = {
        "format": FORMAT,
        "version": __version__,
        "config": config.to_dict() if isinstance(config, Config) else {"panel": dataclasses.asdict(config)},
        "encoding": encoding.to_dict(),
        "calendar": {"starts": calendar.starts.tolist(), "timezone": calendar.timezone},
        "shards": [shard._asdict() for shard in shards],
        "left_out": [_plain(row) for row in left_out],
        "split": None if split is None else _hash(folder / _SPLIT),
    }
    partial = folder / f".{INDEX}-{uuid.uuid4().hex}"
    _write(partial, (json.dumps(stored, indent=2) + "\n").encode())
    os.replace(partial, folder / INDEX)
    return Shards.read(folder)


@dataclass(frozen=True)
class Shards:
    """The panel of a data set, a shard at a time.

    Args:
        folder: where it lies.
        config: how the data were encoded.
        training: all settings, if accounts were split for a training; else None.
        encoding: with which all shards were encoded.
        calendar: the periods of all.
        shards: what is known of each shard.
        split: "train", "validation" or "test" by account id; None if accounts were not split.
        left_out: every row that was left out, by reason.

    Example:
        >>> import hanjax, tempfile
        >>> from hanjax.data.sharding import encode_parts
        >>> market = hanjax.simulate(accounts=20, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     shards = encode_parts([market.tables], out=folder)
        ...     len(shards), shards.samples == len(hanjax.encode(market.tables).samples)
        (1, True)
    """

    folder: Path
    config: PanelConfig
    training: Config | None
    encoding: Encoding
    calendar: Calendar
    shards: tuple[Shard, ...]
    split: pd.Series | None
    left_out: tuple[LeftOut, ...]

    @classmethod
    def read(cls, folder: str | Path) -> "Shards":
        """Opens a folder of shards.

        Raises:
            DataError: if it is none, was written in another format, or a shard is missing or damaged.
        """
        folder = Path(folder)
        path = folder / INDEX
        if not path.exists():
            raise DataError(f"{folder} holds no shards: it has no {INDEX}. Make them with hanjax.spark.encode_spark.")
        try:
            stored = json.loads(path.read_text())
            if stored["format"] != FORMAT:
                raise DataError(
                    f"{folder} was written by hanjax {stored['version']} in format {stored['format']}; this is hanjax "
                    f"{__version__}, which reads format {FORMAT}. Use that version, or encode the data again."
                )
            config = Config.from_dict(stored["config"])
            calendar = stored["calendar"]
            found = cls(
                folder=folder,
                config=config.panel,
                training=config if "train" in stored["config"] else None,
                encoding=Encoding.from_dict(stored["encoding"]),
                calendar=Calendar(np.array(calendar["starts"], np.int64), calendar["timezone"]),
                shards=tuple(Shard(**shard) for shard in stored["shards"]),
                split=None if stored["split"] is None else _read_split(folder, stored["split"]),
                left_out=tuple(map(_left_out, stored["left_out"])),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError | ConfigError):
                raise
            raise DataError(f"{path} is damaged ({error}). {_REMEDY}") from error
        for shard in found.shards:
            found._described(shard)
        return found

    def __len__(self) -> int:
        """How many shards there are."""
        return len(self.shards)

    def __iter__(self) -> Iterator[Panel]:
        """The panel of each shard, one after the other."""
        return map(self.panel, range(len(self)))

    def __repr__(self) -> str:
        """Says how large it is."""
        accounts = sum(shard.accounts for shard in self.shards)
        return (
            f"Shards({len(self):,} shards, {self.samples:,} samples of {accounts:,} accounts, "
            f"{self.conversions:,} conversions; folder={self.folder})"
        )

    @property
    def samples(self) -> int:
        """Samples of all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def conversions(self) -> int:
        """Samples of all shards whose account converts within the first horizon."""
        return sum(shard.conversions for shard in self.shards)

    @property
    def fingerprint(self) -> str:
        """A hash of all that the shards hold, and of what their numbers stand for."""
        digest = hashlib.sha256(f"{self.encoding!r} {self.encoding.segments}".encode())
        for shard in self.shards:
            digest.update(shard.digest.encode())
        return digest.hexdigest()

    def panel(self, number: int) -> Panel:
        """The panel of one shard; its arrays are opened, and read where they are used.

        Args:
            number: of the shard, from 0.

        Raises:
            DataError: if it is missing or damaged; the first time, all of it is read to find out.
        """
        self._check(number)
        return read_shard(self.folder, number)

    def batch(self, number: int) -> Batch:
        """The batch of one shard alone: what training sees of it; see ``panel``."""
        self._check(number)
        return _arrays(_folder(self.folder, number))[0]

    def _check(self, number: int) -> None:
        """Makes sure, once, that a shard holds what was written."""
        if number not in self._verified:
            folder = _folder(self.folder, number)
            self._described(self.shards[number])
            for name, digest in json.loads((folder / _SHARD).read_text())["files"].items():
                _verify(folder / name, digest)
            self._verified.add(number)

    @cached_property
    def _verified(self) -> set[int]:
        """The shards that were read whole, and hold what was written."""
        return set()

    def _described(self, shard: Shard) -> None:
        _verify(_folder(self.folder, shard.number) / _SHARD, shard.digest)


def read_shard(folder: str | Path, number: int) -> Panel:
    """Reads what ``write_shard`` wrote; arrays are opened, and read where they are used.

    Args:
        folder: of all shards.
        number: of the shard.

    Raises:
        DataError: if it is missing or cannot be read.
    """
    folder = _folder(Path(folder), number)
    try:
        described = json.loads((folder / _SHARD).read_text())
        batch, member_ids = _arrays(folder)
        samples = pq.read_table(folder / _SAMPLES).to_pandas()
        ids = pq.read_table(folder / _INDIVIDUALS)["individual_id"].to_pandas()
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{folder} is missing or damaged ({error}). {_REMEDY}") from error
    for name in described["texts"]:
        column = samples[name].to_numpy(object)
        column[samples[name].isna()] = None
        samples[name] = pd.Series(column, dtype=object)
    return Panel(
        member_ids=member_ids,
        batch=batch,
        samples=samples,
        individual_ids=pd.Index(ids, name="individual_id"),
        left_out=tuple(map(_left_out, described["left_out"])),
        notes=tuple(described["notes"]),
        unit=None if described["unit"] is None else tuple(described["unit"]),
    )


def _folder(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}"


def _texts(samples: pd.DataFrame) -> list[str]:
    """Columns of strings and None: Parquet would not tell an empty one from a column of anything else."""
    return [str(name) for name, kind in samples.dtypes.items() if kind.kind == "O" and kind.name == "object"]


def _plain(row: LeftOut) -> list[Any]:
    """A row as JSON holds it; ids that are NumPy's integers as Python's."""
    return [*row[:3], [one.item() if isinstance(one, np.generic) else one for one in row.first]]


def _left_out(stored: list[Any]) -> LeftOut:
    table, reason, rows, first = stored
    return LeftOut(table, reason, rows, tuple(first))


def _arrays(folder: Path) -> tuple[Batch, np.ndarray]:
    """The batch of a shard, and which individual each member is."""
    arrays = {path.stem: _opened(path) for path in folder.glob("*.npy")}
    member_ids = arrays.pop(_MEMBER_IDS)
    return Batch(**arrays), member_ids


def _opened(path: Path) -> np.ndarray:
    """An array in a file; one without any number cannot be mapped, and a small one need not be."""
    return np.load(path, mmap_mode="r" if path.stat().st_size > 512 else None, allow_pickle=False)


def _read_split(folder: Path, digest: str) -> pd.Series:
    _verify(folder / _SPLIT, digest)
    table = pq.read_table(folder / _SPLIT).to_pandas()
    return table.set_index("account_id")["part"].astype(object)


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(partial: Path, target: Path) -> None:
    """Puts a folder in place of another one."""
    if target.exists():
        before = partial.with_name(f"{partial.name}-before")
        os.replace(target, before)
        os.replace(partial, target)
        shutil.rmtree(before)
    else:
        os.replace(partial, target)


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, digest: str) -> None:
    """Makes sure that a file holds what was written."""
    try:
        found = _hash(path)
    except OSError as error:
        raise DataError(f"{path} is missing or cannot be read ({error}). {_REMEDY}") from error
    if found != digest:
        raise DataError(f"{path} is not what was written: changed or damaged. {_REMEDY}")
