"""From a folder of files to tables."""

# Arrow makes its compute functions when it is imported, where pyright does not see them.
# pyright: reportAttributeAccessIssue=false

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from hanjax.data.frames import OPTIONAL
from hanjax.data.ids import is_text
from hanjax.errors import DataError
from hanjax.types import Tables

_ENDINGS = (".parquet", ".csv", ".csv.gz")
_IDS = ("account_id", "individual_id")
_REPEATED = (*_IDS, "activity")
_BLOCK = 1 << 24


def read(folder: str | Path) -> Tables:
    """Reads the tables of a folder: ``events``, ``individuals``, ``accounts``, and others that it may hold.

    Each is a file ``.parquet``, ``.csv`` or ``.csv.gz`` (UTF-8, with a header). Ids in CSV files are integers if they
    are written like integers throughout, without leading zeros; otherwise they are strings.

    Args:
        folder: where the files lie.

    Returns:
        The tables as they are; ``hanjax.data.tables.check`` says whether they fit together.

    Raises:
        DataError: if a table is missing, stands there in two formats, or cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "accounts.csv").write_text("account_id,employees\\n1,250\\n")
        >>> _ = (folder / "individuals.csv").write_text("individual_id,account_id\\n7,1\\n")
        >>> _ = (folder / "events.csv").write_text(
        ...     "account_id,individual_id,timestamp,activity\\n1,7,2024-01-31T09:30:00Z,visit\\n")
        >>> read(folder).events.column_names
        ['account_id', 'individual_id', 'timestamp', 'activity']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. It should hold events, individuals and accounts.")
    files = {name: _file(folder, name) for name in Tables._fields}
    tables = {name: _table(path) for name, path in files.items() if path is not None}
    return Tables(**_with_ids(tables, {name for name, path in files.items() if path and path.suffix != ".parquet"}))


def _file(folder: Path, name: str) -> Path | None:
    """The file of a table; None if it is optional and not there."""
    found = [folder / (name + ending) for ending in _ENDINGS if (folder / (name + ending)).exists()]
    if len(found) > 1:
        raise DataError(
            f"{folder}: {name} is there more than once: {', '.join(path.name for path in found)}. Keep one of them."
        )
    if not found and name not in OPTIONAL:
        there = sorted(path.name for path in folder.iterdir())
        raise DataError(
            f"{folder}: there is no {name}.parquet, {name}.csv or {name}.csv.gz; the folder holds "
            f"{', '.join(there[:20]) if there else 'nothing'}. Name the file of the table so."
        )
    return found[0] if found else None


def _table(path: Path) -> pa.Table:
    """Reads one file."""
    try:
        table = read_parquet(path) if path.suffix == ".parquet" else _csv(path)
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as damaged:
        kind = "Parquet" if path.suffix == ".parquet" else "CSV"
        reason = str(damaged).splitlines()[0].rstrip(".")
        raise DataError(f"{path}: cannot be read as {kind}: {reason}. Write the file anew.") from damaged
    binary = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    if binary and path.suffix != ".parquet":
        raise DataError(f"{path}: column {binary[0]!r} is not UTF-8. Save the file with the encoding UTF-8.")
    return table


def read_parquet(path: Path) -> pa.Table:
    """A Parquet file; strings that repeat stay encoded, so that each is looked up once."""
    schema = pq.read_schema(path)
    encoded = [name for name in _REPEATED if name in schema.names and is_text(schema.field(name).type)]
    table = pq.read_table(path, read_dictionary=encoded, partitioning=None)
    return table.drop_columns([name for name in table.column_names if name.startswith("__index_level_")])


def _csv(path: Path) -> pa.Table:
    """A CSV file; an empty field is null, also among strings, but words such as NA are null among numbers only."""
    kinds: dict[str, pa.DataType] = dict.fromkeys(_REPEATED, pa.dictionary(pa.int32(), pa.string()))
    late: list[str] = []
    while True:
        try:
            table = pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=not path.name.startswith("events")),
                convert_options=pyarrow.csv.ConvertOptions(column_types=kinds),
            )
            break
        except pa.ArrowInvalid as error:
            column = _misjudged(path, error)
            if column is None or column in kinds:
                raise
            kinds[column] = pa.string()
            late.append(column)
    for place, field in enumerate(table.schema):
        if is_text(field.type) or pa.types.is_dictionary(field.type):
            column = _without_empty(table.column(place))
            table = table.set_column(place, field.name, _numbers(column) if field.name in late else column)
    return table


def _misjudged(path: Path, error: pa.ArrowInvalid) -> str | None:
    """The column whose later values do not fit the type of its first ones, if that is the error."""
    found = re.search(r"In CSV column #(\d+): CSV conversion error", str(error))
    if not found:
        return None
    with pyarrow.csv.open_csv(path, read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK)) as reader:
        return reader.schema.names[int(found[1])]


def _numbers(data: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings as numbers if all of them are; otherwise as they are."""
    for kind in (pa.int64(), pa.float64()):
        try:
            return data.cast(kind)
        except pa.ArrowInvalid:
            continue
    return data


def _without_empty(data: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null in place of empty strings."""
    if pa.types.is_dictionary(data.type):
        return pa.chunked_array([_without_empty_code(chunk) for chunk in data.chunks], type=data.type)
    return pc.if_else(pc.equal(data, ""), pa.scalar(None, data.type), data)


def _without_empty_code(chunk: pa.DictionaryArray) -> pa.DictionaryArray:
    """Null in place of empty strings, in one encoded chunk."""
    empty = pc.index(chunk.dictionary, "").as_py()
    if empty < 0:
        return chunk
    codes = pc.if_else(pc.equal(chunk.indices, empty), pa.scalar(None, chunk.indices.type), chunk.indices)
    return pa.DictionaryArray.from_arrays(codes, chunk.dictionary)


def _with_ids(tables: dict[str, pa.Table], text: set[str]) -> dict[str, pa.Table]:
    """Makes integers of the ids in CSV files if all of them are written so, in every file."""
    for column in _IDS:
        homes = [name for name, table in tables.items() if column in table.column_names]
        stored = [tables[name].schema.field(column).type for name in homes if name not in text]
        mine = [name for name in homes if name in text]
        if all(pa.types.is_integer(kind) for kind in stored) and all(_integers(tables[name][column]) for name in mine):
            for name in mine:
                table = tables[name]
                place = table.column_names.index(column)
                tables[name] = table.set_column(place, column, _as_integers(table[column]))
    return tables


def _integers(data: pa.ChunkedArray) -> bool:
    """Whether every string is an integer in its only spelling."""
    spelled = (pc.match_substring_regex(chunk.dictionary, r"^(0|-?[1-9][0-9]{0,17})$") for chunk in data.chunks)
    return all(pc.all(match, skip_nulls=False).as_py() is not False for match in spelled)


def _as_integers(data: pa.ChunkedArray) -> pa.ChunkedArray:
    """Encoded strings as integers."""
    chunks = [chunk.dictionary.cast(pa.int64()).take(chunk.indices) for chunk in data.chunks]
    return pa.chunked_array(chunks, type=pa.int64())
