"""In which part of a data set an account is, with all that belongs to it."""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.errors import ConfigError, DataError
from hanjax.types import Tables


def deal_tables(tables: Tables, shards: int, *, account: str = "account_id") -> list[Tables]:
    """The parts of tables, as ``encode_parts`` takes them: each account with all that belongs to it in one of them.

    Args:
        tables: as ``hanjax.read`` gives them.
        shards: how many parts.
        account: the name that account_id has in tables that do not call it so.

    Returns:
        The tables of each part.

    Raises:
        ConfigError: if there is to be no part.
        DataError: if a table does not say whose its rows are.

    Example:
        >>> import pyarrow as pa
        >>> from hanjax.data.parts import deal_tables
        >>> from hanjax.types import Tables
        >>> parts = deal_tables(Tables(*[pa.table({"account_id": [1, 2, 3, 1]})] * 3), 2)
        >>> [part.events["account_id"].to_pylist() for part in parts]
        [[], [1, 2, 3, 1]]
    """
    if shards < 1:
        raise ConfigError(f"shards: expected at least 1, got {shards}.")
    parts: list[dict[str, Any]] = [{} for _ in range(shards)]
    for name, table in tables._asdict().items():
        if table is None:
            continue
        column = next((one for one in ("account_id", account) if one in table.column_names), None)
        if column is None:
            raise DataError(
                f"{name}: the column 'account_id' is missing; the table has {table.column_names}. Another name is "
                "given with the setting columns: account_id=their name."
            )
        codes, ids = pd.factorize(table[column].to_pandas())
        dealt = np.append(shards_of(ids, shards), 0)[codes]  # rows without an id, which the check will name
        for number, part in enumerate(parts):
            part[name] = table.filter(dealt == number)
    return [Tables(**part) for part in parts]


def shards_of(account_ids: Sequence[Any], shards: int) -> Int[np.ndarray, " n"]:
    """The shard of each account: the CRC-32 of its id as text, modulo their number, wherever it is computed.

    Args:
        account_ids: integers or strings.
        shards: how many there are.

    Example:
        >>> from hanjax.data.parts import shards_of
        >>> shards_of([1, 2, 3], 2).tolist(), shards_of(["1", "2", "3"], 2).tolist()
        ([1, 1, 1], [1, 1, 1])
    """
    return np.array([crc32(str(one).encode()) % shards for one in account_ids], np.int64)
