"""Ids of accounts and individuals: one kind over all tables, and fast codes for many millions of rows."""

# Arrow makes its compute functions when it is imported, where pyright does not see them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from hanjax.data.frames import COLUMNS, Frames
from hanjax.errors import DataError

_PIECE = 1 << 19
_LARGEST = np.iinfo(np.int64).max


def check_ids(frames: Frames) -> Frames:
    """Makes all ids int64, or all of them strings; events keep their own storage.

    Raises:
        DataError: if an id is null or no integer or string, or if the kinds differ between tables.
    """
    tables = {name: table for name, table in frames._asdict().items() if table is not None}
    for column in ("account_id", "individual_id"):
        kinds: dict[str, str] = {}
        for name, table in tables.items():
            if column not in COLUMNS[name]:
                continue
            no_nulls(name, column, table[column])
            kinds[name] = _kind(name, column, table[column])
            if name != "events":
                plain = pa.int64() if kinds[name] == "integers" else pa.large_string()
                place = table.column_names.index(column)
                tables[name] = table.set_column(place, column, table[column].cast(plain).combine_chunks())
        _same(column, kinds, tables)
    return Frames(**tables)


def no_nulls(table: str, column: str, data: pa.ChunkedArray) -> None:
    """Raises if a value is missing."""
    if data.null_count:
        rows = np.flatnonzero(data.is_null().to_numpy())
        raise DataError.rows(
            table,
            column,
            "is missing",
            count=len(rows),
            first=[f"row {row}" for row in rows[:5].tolist()],
            remedy="Every row needs one: fill it in, or remove the row.",
        )


def _kind(table: str, column: str, data: pa.ChunkedArray) -> str:
    """Whether ids are integers or strings."""
    kind = data.type.value_type if pa.types.is_dictionary(data.type) else data.type
    if pa.types.is_integer(kind) and not (kind == pa.uint64() and pc.max(data.cast(kind)).as_py() > _LARGEST):
        return "integers"
    if is_text(kind):
        return "strings"
    raise DataError.rows(
        table,
        column,
        f"is {kind}, but ids are integers (of at most 64 bits, signed) or strings",
        count=len(data),
        first=data.slice(0, 5).to_pylist(),
        remedy="Convert it in every table alike, for instance with .astype('int64') or .astype(str).",
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of the kinds of strings."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _same(column: str, kinds: dict[str, str], tables: dict[str, pa.Table]) -> None:
    """Raises if ids are integers in one table and strings in another."""
    if len(set(kinds.values())) > 1:
        shown = "; ".join(f"{kind} in {name} ({tables[name][column][0].as_py()!r})" for name, kind in kinds.items())
        odd = min(kinds, key=lambda name: list(kinds.values()).count(kinds[name]))
        raise DataError.rows(
            odd,
            column,
            f"is of another kind than in other tables: {shown}",
            count=len(tables[odd]),
            first=[repr(value) for value in tables[odd][column].slice(0, 5).to_pylist()],
            remedy="Use integers in every table, or strings in every table.",
        )


def distinct(ids: pa.ChunkedArray) -> pa.Array:
    """The distinct ids of a column, sorted (strings by code point)."""
    found = pc.unique(ids)
    return found.take(pc.sort_indices(found))


def as_index(ids: pa.Array, name: str) -> pd.Index:
    """Ids as a pandas index: int64 or str."""
    if is_text(ids.type):
        return pd.Index(ids.to_numpy(zero_copy_only=False), dtype="str", name=name)
    return pd.Index(ids.to_numpy(), name=name)


class Lookup:
    """Finds the positions of ids in an array of distinct ids.

    Integers that lie close together are looked up in a table, others are hashed; the values of a dictionary are
    looked up once.

    Example:
        >>> import pyarrow as pa
        >>> Lookup(pa.array([7, 3, 9]))(pa.chunked_array([[3, 3, 8]]))
        array([ 1,  1, -1], dtype=int32)
    """

    def __init__(self, ids: pa.Array):
        """Prepares the lookup of ``ids``, which are int64 or large strings."""
        self.ids = ids
        self._table: np.ndarray | None = None
        self._low = 0
        if pa.types.is_integer(ids.type) and len(ids):
            values = ids.to_numpy()
            low, high = int(values.min()), int(values.max())
            if high - low < 4 * len(ids) + (1 << 16):
                self._low = low - 1
                self._table = np.full(high - low + 3, -1, np.int32)
                self._table[values - self._low] = np.arange(len(ids), dtype=np.int32)

    def __call__(self, column: pa.ChunkedArray) -> Int[np.ndarray, " n"]:
        """The position of each value of a column; -1 where it is not among the ids."""
        if pa.types.is_dictionary(column.type):
            return self._encoded(column)
        codes = np.empty(len(column), np.int32)
        start = 0
        for piece in self._pieces(column):
            codes[start : start + len(piece)] = self._tabled(piece) if self._table is not None else self._hashed(piece)
            start += len(piece)
        return codes

    def _pieces(self, column: pa.ChunkedArray) -> Iterator[pa.Array]:
        """Parts of a column: small ones where looking up is cheap, large ones where each builds a hash table."""
        size = _PIECE if self._table is not None else 8 * _PIECE
        for start in range(0, len(column), size):
            piece = column.slice(start, size)
            yield from piece.chunks if self._table is not None else [_one(piece)]

    def _tabled(self, piece: pa.Array) -> Int[np.ndarray, " n"]:
        position = piece.cast(pa.int64()).to_numpy(zero_copy_only=False) - self._low
        assert self._table is not None
        return self._table.take(position, mode="clip")

    def _hashed(self, piece: pa.Array) -> Int[np.ndarray, " n"]:
        found = pc.index_in(piece.cast(self.ids.type), value_set=self.ids)
        return found.fill_null(-1).to_numpy(zero_copy_only=False)

    def _encoded(self, column: pa.ChunkedArray) -> Int[np.ndarray, " n"]:
        """Looks up the values of each distinct dictionary, and then the rows among them."""
        keys = [_addresses(chunk.dictionary) for chunk in column.chunks]
        dictionaries = dict(zip(keys, (chunk.dictionary for chunk in column.chunks), strict=True))
        found = self(pa.chunked_array(list(dictionaries.values()), type=column.type.value_type))
        ends = np.cumsum([len(values) for values in dictionaries.values()])
        part = dict(zip(dictionaries, np.split(found, ends[:-1]), strict=True))
        codes = np.empty(len(column), np.int32)
        start = 0
        for chunk, key in zip(column.chunks, keys, strict=True):
            codes[start : start + len(chunk)] = part[key][chunk.indices.to_numpy(zero_copy_only=False)]
            start += len(chunk)
        return codes


def _addresses(values: pa.Array) -> tuple:
    """Where an array lies in memory: the same for each chunk that shares a dictionary."""
    return len(values), values.offset, *(buffer.address for buffer in values.buffers() if buffer)


def _one(piece: pa.ChunkedArray) -> pa.Array:
    """A chunked array as one array."""
    return piece.chunk(0) if piece.num_chunks == 1 else pa.concat_arrays(piece.chunks)
