"""The column of activities, as codes."""

import numpy as np
import pyarrow as pa
from jaxtyping import UInt

from hanjax.data.ids import is_text
from hanjax.errors import DataError

MOST_ACTIVITIES = 60_000
"""Codes of activities are at most two bytes wide."""


def read_activities(data: pa.ChunkedArray) -> tuple[UInt[np.ndarray, " e"], tuple[str, ...]]:
    """Codes of activities, and their names, sorted.

    Args:
        data: strings, integers or booleans, without nulls.

    Raises:
        DataError: if they are of another type, or too many to be activities.

    Example:
        >>> import pyarrow as pa
        >>> read_activities(pa.chunked_array([["visit", "form"], ["visit"]]))
        (array([1, 0, 1], dtype=uint8), ('form', 'visit'))
    """
    if len(data) == 0:  # whatever the type of an empty column is
        return np.zeros(0, np.uint8), ()
    encoded = data if pa.types.is_dictionary(data.type) else data.dictionary_encode()
    encoded = encoded.unify_dictionaries()
    stored = encoded.type.value_type
    if not (is_text(stored) or pa.types.is_integer(stored) or pa.types.is_boolean(stored)):
        raise _error(f"is {stored}, but activities are names", data, "Convert it to strings.")
    names = [str(name) for name in encoded.chunk(0).dictionary.to_pylist()]
    used = np.zeros(len(names), bool)
    for chunk in encoded.chunks:
        used[chunk.indices.to_numpy(zero_copy_only=False)] = True
    activities = tuple(sorted({name for name, flag in zip(names, used.tolist(), strict=True) if flag}))
    if len(activities) > MOST_ACTIVITIES:
        problem = f"has {len(activities):,} different values, but at most {MOST_ACTIVITIES:,} can be told apart"
        raise _error(problem, data, "Name kinds of activities, not single ones.")

    place = {name: code for code, name in enumerate(activities)}
    kind = np.uint8 if len(activities) <= 256 else np.uint16
    code = np.array([place.get(name, 0) for name in names], kind)
    codes, start = np.empty(len(encoded), kind), 0
    for chunk in encoded.chunks:
        codes[start : start + len(chunk)] = code[chunk.indices.to_numpy(zero_copy_only=False)]
        start += len(chunk)
    return codes, activities


def _error(problem: str, data: pa.ChunkedArray, remedy: str) -> DataError:
    """What is wrong with the column as a whole."""
    return DataError.rows(
        "events", "activity", problem, count=len(data), first=data.slice(0, 5).to_pylist(), remedy=remedy
    )
