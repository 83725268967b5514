"""Gold sets: labels that are kept as they are, with their rule, their counts, and hashes of every value.

labels.parquet     one row a label
evidence.parquet   one row an opportunity behind a label
left_out.parquet   one row an opportunity without one
rows.parquet       the hash of every row of the others
gold.json          name, problem and owner; the rule; counts; hashes of contents and files
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax import __version__
from hanjax.errors import RunError
from hanjax.labels.making import Labels
from hanjax.labels.rules import rule_of
from hanjax.notebook import html_of

FORMAT = 2
_MANIFEST, _ROWS = "gold.json", "rows.parquet"
_KEYS = {"labels": "opportunity_ids", "evidence": "opportunity_id", "left_out": "opportunity_id"}
"""The tables, and what tells their rows apart."""


class GoldSet(NamedTuple):
    """Labels that were frozen.

    Args:
        folder: where they lie.
        manifest: what ``gold.json`` says: ``name, problem, owner, note, frozen_at``, the ``rule``, ``observed_to``,
            ``counts``, ``content`` (a hash of all values) and the ``files`` with theirs.
        labels: the labels.
    """

    folder: Path
    manifest: dict[str, Any]
    labels: Labels

    def __repr__(self) -> str:
        """Says which set it is, and what is in it."""
        m = self.manifest
        return f"GoldSet({m['name']}, {m['problem']}, owner {m['owner']}, {m['content'][:12]}: {self.labels!r})"

    def _repr_html_(self) -> str:
        """For notebooks: who keeps it, and the counts."""
        shown = ("name", "problem", "owner", "note", "frozen_at", "observed_to", "content")
        about = pd.DataFrame([{"": name, "value": self.manifest[name]} for name in shown])
        return html_of("GoldSet", about, repr(self.labels), self.labels.summary())


def freeze(labels: Labels, folder: str | Path, *, name: str, problem: str, owner: str, note: str = "") -> GoldSet:
    """Keeps labels as a gold set: read-only files that appear all at once, and whose every value is hashed.

    The hash of the content is over values: neither the order of rows nor the way in which files are written matters.

    Args:
        labels: the labels.
        folder: a folder that is not there yet, or is empty; or one that holds this very set, which is left as it is.
        name: of the set, such as "aps-2024".
        problem: what is to be predicted, in words.
        owner: who answers for it.
        note: whatever else a reader should know.

    Returns:
        The set, as ``read_gold`` reads it.

    Raises:
        RunError: if the folder holds something else, or this set was changed.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> from hanjax.labels import AccountPropensity, freeze, make_labels
        >>> table = pd.DataFrame({
        ...     "opportunity_id": ["a"], "account_id": [1], "created_at": ["2024-01-05"],
        ...     "closed_at": ["2024-03-01"], "stage": ["closed won"]})
        >>> labels = make_labels(table, AccountPropensity(unit=()))
        >>> gold = freeze(labels, tempfile.mkdtemp(), name="aps", problem="who buys", owner="sales science")
        >>> gold.manifest["counts"]
        {'labels': 1, 'positive': 1, 'negative': 0, 'unlabeled': 0, 'accounts': 1, 'left_out': 0}
    """
    folder = Path(folder)
    tables = {"labels": labels.table, "evidence": labels.evidence, "left_out": labels.left_out}
    hashed = {table: hash_rows(data) for table, data in tables.items()}
    identity = {
        "name": name,
        "problem": problem,
        "owner": owner,
        "note": note,
        "rule": labels.rule.to_dict(),
        "observed_to": labels.observed_to.isoformat(),
        "content": _content(hashed, tables),
    }
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return _same(folder, identity)
    label = labels.table["label"]
    counts = {
        "labels": len(label),
        "positive": int((label == 1).sum()),
        "negative": int((label == 0).sum()),
        "unlabeled": int(label.isna().sum()),
        "accounts": int(labels.table["account_id"].nunique()),
        "left_out": len(labels.left_out),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        for table, data in tables.items():
            data.to_parquet(partial / f"{table}.parquet", index=False)
        rows = [
            pd.DataFrame({"table": table, "key": data[_KEYS[table]].astype("str"), "hash": hashed[table]})
            for table, data in tables.items()
        ]
        pd.concat(rows, ignore_index=True).astype("str").to_parquet(partial / _ROWS, index=False)
        files = {path.name: _digest(path.read_bytes()) for path in sorted(partial.iterdir())}
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        stored = {"format": FORMAT, "version": __version__, **identity, "frozen_at": moment, "counts": counts}
        stored["files"] = files
        stored["manifest"] = _of_manifest(stored)
        (partial / _MANIFEST).write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            path.chmod(0o444)
        partial.chmod(0o755)
        try:
            os.replace(partial, folder)
        except OSError:  # somebody else was faster
            return _same(folder, identity)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_gold(folder)


def read_gold(folder: str | Path) -> GoldSet:
    """Reads a gold set, and holds every file and every row against its hash.

    Args:
        folder: where it lies.

    Returns:
        The set.

    Raises:
        RunError: if it is none, a file is missing or damaged, or something was changed; the message names the file, and
            how many rows were added, removed or changed, with the first of them.

    Example:
        >>> from hanjax.labels import read_gold
        >>> read_gold("nowhere")
        Traceback (most recent call last):
        ...
        hanjax.errors.RunError: nowhere is no gold set: it has no gold.json. Make one with hanjax.labels.freeze.
    """
    folder = Path(folder)
    path = folder / _MANIFEST
    if not path.exists():
        raise RunError(f"{folder} is no gold set: it has no {_MANIFEST}. Make one with hanjax.labels.freeze.")
    with _reading(path):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"it is of format {manifest['format']}, and hanjax {__version__} reads {FORMAT}")
        if manifest["manifest"] != _of_manifest(manifest):
            raise ValueError("its text was changed: it does not fit its own hash")
        files, rule = manifest["files"], rule_of(manifest["rule"])
    expected = _verified(folder / _ROWS, files[_ROWS])
    tables, hashed = {}, {}
    for table, key in _KEYS.items():
        path = folder / f"{table}.parquet"
        with _reading(path):
            content = path.read_bytes()
            data = pd.read_parquet(path)
            found = pd.DataFrame({"key": data[key].astype("str"), "hash": hash_rows(data)})
        wanted = expected.loc[expected["table"] == table, ["key", "hash"]]
        if changes := _changes(wanted, found):
            raise RunError(f"{path} was changed: {changes}. Restore it, or freeze the labels into another folder.")
        if _digest(content) != files[path.name]:
            raise RunError(
                f"{path} was written anew: its bytes differ from those that were frozen, "
                "though no row does. Restore it."
            )
        tables[table], hashed[table] = data, found["hash"].to_numpy()
    if _content(hashed, tables) != manifest["content"]:
        raise RunError(f"{folder / _MANIFEST}: the hash of the content is not that of the tables. Restore the folder.")
    end = pd.Timestamp(manifest["observed_to"]).tz_convert(rule.timezone).as_unit("us")
    return GoldSet(folder, manifest, Labels(tables["labels"], tables["left_out"], tables["evidence"], rule, end))


def hash_rows(table: pd.DataFrame) -> np.ndarray:
    """A hash of each row's values, with the names of their columns, whatever the order of these.

    Args:
        table: numbers, text, booleans and timestamps.

    Returns:
        ``[n]`` SHA-256 in hexadecimal; times count as instants, and all missing values are equal.

    Example:
        >>> import pandas as pd
        >>> one, other = pd.DataFrame({"a": [1.0], "b": ["x"]}), pd.DataFrame({"b": ["x"], "a": [1.0]})
        >>> bool(hash_rows(one)[0] == hash_rows(other)[0])
        True
    """
    names = sorted(table.columns)
    columns = [_plain(table[name]) for name in names]
    head = json.dumps(names)
    lines = (json.dumps(row) for row in zip(*columns, strict=True)) if names else ()
    return np.array([_digest(f"{head}{line}".encode()) for line in lines], dtype=object)


def _plain(column: pd.Series) -> list:
    """The values of a column as JSON has them, so that no two different ones look alike."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # of each value alone
    missing = column.isna()
    return [None if gone else value for value, gone in zip(column.tolist(), missing, strict=True)]


def _content(hashed: dict[str, np.ndarray], tables: dict[str, pd.DataFrame]) -> str:
    """One hash of all tables: of their columns and the hashes of their rows, in order of these."""
    parts = [[table, sorted(tables[table].columns), sorted(hashes)] for table, hashes in sorted(hashed.items())]
    return _digest(json.dumps(parts).encode())


def _of_manifest(manifest: dict[str, Any]) -> str:
    own = {name: value for name, value in manifest.items() if name != "manifest"}
    return _digest(json.dumps(own, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _verified(path: Path, digest: str) -> pd.DataFrame:
    """A table whose file is to the byte as it was frozen."""
    with _reading(path):
        if _digest(path.read_bytes()) != digest:
            raise ValueError("its bytes differ from those that were frozen")
        return pd.read_parquet(path)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever a missing or damaged file leads to into an error that names the file."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is missing, damaged or changed ({error}). Restore it.") from error


def _changes(wanted: pd.DataFrame, found: pd.DataFrame) -> str:
    """How rows differ from those that were frozen, in words; empty where they do not."""
    both = wanted.merge(found, on=["key", "hash"], how="outer", indicator=True)
    lost, new = (set(both.loc[both["_merge"] == side, "key"]) for side in ("left_only", "right_only"))
    more = len(found) - len(wanted) if not lost and not new else 0
    parts = [("changed", lost & new), ("removed", lost - new), ("added", new - lost)]
    count = lambda n: "1 row" if n == 1 else f"{n:,} rows"
    told = [f"{count(len(keys))} {what} (first: {', '.join(sorted(keys)[:5])})" for what, keys in parts if keys]
    return "; ".join(told) or (f"{count(more)} doubled" if more else "")


def _same(folder: Path, identity: dict[str, Any]) -> GoldSet:
    """The set in a folder, if it is this very one."""
    if not (folder / _MANIFEST).exists():
        raise RunError(f"{folder}: there is something else here. Freeze the labels into a new folder.")
    gold = read_gold(folder)
    differ = [name for name, value in identity.items() if gold.manifest[name] != value]
    if differ:
        raise RunError(
            f"{folder}: holds another gold set, {gold.manifest['name']!r} ({', '.join(differ)} differ). Gold sets are "
            "never overwritten: freeze the labels into a new folder."
        )
    return gold
