"""What the training data looked like: the reference that later data are held against.

reference.json             kinds, fill rates, bins and counts of every column, in total and by segment; rows by period
reference.TABLE.parquet    of each table the bins of some accounts' rows, from which thresholds are drawn
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from hanjax.errors import ConfigError, DataError, RunError
from hanjax.monitoring.chance import Kept
from hanjax.monitoring.columns import Column, column_of, histogram

FORMAT = 1
"""Raised whenever a reference written before can no longer be read."""
BINS = 10
LEAST_ACCOUNTS = 30
"""Segments with fewer accounts are put together, as chance would explain whatever they show."""
OTHERS = "(small ones)"
_ACCOUNTS, _ROWS = 2000, 30
"""Accounts of a table that are kept, and successive rows of each of them, at most."""


class Part(NamedTuple):
    """A segment's rows of one table.

    Args:
        rows: how many there are.
        accounts: of how many accounts.
        present: rows with a value, by column.
        counts: rows in each of the column's bins, by column.
    """

    rows: int
    accounts: int
    present: dict[str, int]
    counts: dict[str, tuple[int, ...]]


class Table(NamedTuple):
    """One table of the reference.

    Args:
        rows: how many it has.
        accounts: of how many accounts.
        columns: what each column looks like.
        periods: ``(period, rows, accounts)`` of each period that has rows, in order.
        pooled: the segments that were too small to stand alone.
        parts: by segment, such as "region=EMEA".
        kept: of some accounts, the bins of their rows: ``account``, and ``in COLUMN`` for each column (-1 where no
            value is) and ``of SEGMENT`` for each column that makes segments.
    """

    rows: int
    accounts: int
    columns: dict[str, Column]
    periods: tuple[tuple[int, int, int], ...]
    pooled: tuple[str, ...]
    parts: dict[str, Part]
    kept: pd.DataFrame

    def draws(self, columns: Sequence[str], segment: str = "") -> Kept:
        """The rows from which samples of a segment are drawn."""
        rows = self.kept
        if segment:
            name, _, level = segment.partition("=")
            rows = rows[rows[f"of {name}"] == level]
        return Kept(rows["account"].to_numpy(), rows[[f"in {column}" for column in columns]].to_numpy())


class Reference(NamedTuple):
    """What tables looked like when the model was trained.

    Args:
        tables: by name.
        segments: the columns whose levels were looked at apart.
        accounts: name of the column that says whose a row is.
        period: name of the column with the number of the row's period.
        population: ``(period, accounts)``: how many accounts have a row of any table in a period.
    """

    tables: dict[str, Table]
    segments: tuple[str, ...] = ()
    accounts: str = "account_id"
    period: str = "period"
    population: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        """Says how much is in it."""
        sizes = ", ".join(
            f"{name}: {table.rows:,} rows, {len(table.columns)} columns" for name, table in self.tables.items()
        )
        return f"Reference({sizes})"

    def write(self, folder: str | Path) -> Path:
        """Writes the reference, each file whole or not at all.

        Args:
            folder: a folder of its own, or that of the run; it is made.

        Returns:
            The file ``reference.json``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {}
        for name, table in self.tables.items():
            content = io.BytesIO()
            table.kept.to_parquet(content, index=False)
            _replace(folder / f"reference.{name}.parquet", content.getvalue())
            tables[name] = {
                **table._asdict(),
                "columns": {column: found._asdict() for column, found in table.columns.items()},
                "parts": {segment: part._asdict() for segment, part in table.parts.items()},
                "kept": hashlib.sha256(content.getvalue()).hexdigest(),
            }
        stored = {"format": FORMAT, **self._asdict(), "tables": tables}
        _replace(folder / "reference.json", (json.dumps(stored) + "\n").encode())
        return folder / "reference.json"

    @classmethod
    def read(cls, folder: str | Path) -> "Reference":
        """Reads what ``write`` wrote.

        Args:
            folder: where it lies.

        Returns:
            The reference, equal to the one that was written.

        Raises:
            RunError: if there is none, or a file is missing, damaged, or of another reference.
        """
        path = Path(folder) / "reference.json"
        if not path.exists():
            raise RunError(f"{folder} has no reference.json. Make one from the training data with `make_reference`.")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored.pop("format") != FORMAT:
                raise ValueError(f"it is not of format {FORMAT}")
            digests = {name: table.pop("kept") for name, table in stored["tables"].items()}
            tables = {name: _table(table) for name, table in stored.pop("tables").items()}
            reference = cls(tables={}, **{name: _tuples(value) for name, value in stored.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({error}). Restore it, or make the reference anew.") from error
        for name, table in tables.items():
            path = Path(folder) / f"reference.{name}.parquet"
            try:
                content = path.read_bytes()
            except OSError as error:
                raise RunError(f"{path} is missing ({error}). Restore it, or make the reference anew.") from error
            if hashlib.sha256(content).hexdigest() != digests[name]:
                raise RunError(f"{path} is damaged, or of another reference. Restore it, or make the reference anew.")
            reference.tables[name] = table._replace(kept=pd.read_parquet(io.BytesIO(content)))
        return reference


def reference_of(
    frames: Mapping[str, pd.DataFrame],
    *,
    segments: Sequence[str] = (),
    accounts: str = "account_id",
    period: str = "period",
    bins: int = BINS,
    seed: int = 0,
) -> Reference:
    """Describes tables, so that later ones can be held against them.

    Args:
        frames: by name, any tables: one row a sample, an account, a score. Without the column ``accounts``, each row
            is taken to be another account's.
        segments: columns whose levels are looked at apart, in the tables that have them; as columns themselves, in the
            first of these tables. Levels with fewer than 30 accounts are put together; of those that have 30, but not
            among the accounts that are chosen for thresholds, distributions are not compared, and a note says so.
        accounts: the column that says whose a row is: rows of one account depend on each other.
        period: the column with the number of the row's period, in the tables that have one.
        bins: into how many quantiles numbers are put.
        seed: of the choice of the up to 2,000 accounts, and 30 rows of each, from which thresholds will be drawn.

    Returns:
        The reference. It holds counts and bins, but no id of an account; of texts that repeat, it holds the levels.

    Raises:
        DataError: if there is no row, a name cannot be one of a file, or a period is no whole number.
        ConfigError: if there is no bin.

    Example:
        >>> import pandas as pd
        >>> from hanjax.monitoring.reference import reference_of
        >>> found = reference_of({"scores": pd.DataFrame({"account_id": [1, 1, 2], "probability": [0.1, 0.2, 0.3]})})
        >>> found, found.tables["scores"].columns["probability"].middle
        (Reference(scores: 3 rows, 1 columns), 0.2)
    """
    if bins < 1:
        raise ConfigError(f"bins: expected at least 1, got {bins}.")
    checked = {name: check_frame(name, frame, accounts, period) for name, frame in frames.items()}
    for name, frame in checked.items():
        if not re.fullmatch(r"\w[\w -]*", name):
            raise DataError(f"frames: {name!r} cannot be the name of a file; use letters, digits, spaces, _ and -.")
        if frame.empty:
            raise DataError(f"{name}: there are no rows, so there is nothing to hold later ones against.")
    tables, seen = {}, {accounts, period}
    for place, (name, frame) in enumerate(checked.items()):
        columns = [column for column in frame if column not in seen]
        tables[name] = _described(
            frame, columns, segments, accounts, period, bins, np.random.default_rng([seed, place])
        )  # fmt: skip
        seen |= {*segments} & {*frame}
    people = population(checked, accounts, period)
    return Reference(tables, tuple(segments), accounts, period, tuple(people.items()))


def check_frame(name: str, frame: pd.DataFrame, accounts: str, period: str) -> pd.DataFrame:
    """A table whose column names are texts, whose rows have an account, and whose periods are whole numbers.

    Raises:
        DataError: if it is no DataFrame, or an account or a period is none.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{name}: expected a pandas DataFrame, got {type(frame).__name__}.")
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1).reset_index(drop=True)
    if not frame.columns.is_unique:
        raise DataError(f"{name}: two columns are called {frame.columns[frame.columns.duplicated()][0]!r}.")
    if period in frame and not pd.api.types.is_integer_dtype(frame[period].dtype):
        raise DataError(f"{name}.{period}: expected whole numbers of periods, got {frame[period].dtype}.")
    if accounts not in frame:
        return frame.assign(**{accounts: np.arange(len(frame))})
    if (missing := np.flatnonzero(frame[accounts].isna())).size:
        raise DataError.rows(
            name, accounts, "is missing", count=len(missing), first=missing, remedy="Leave these rows out."
        )
    return frame


def population(frames: Mapping[str, pd.DataFrame], accounts: str, period: str) -> dict[int, int]:
    """How many accounts have a row of any table, by period."""
    pairs = [frame[[period, accounts]].astype({accounts: str}) for frame in frames.values() if period in frame]
    if not pairs:
        return {}
    found = pd.concat(pairs).groupby(period)[accounts].nunique()
    return {int(number): int(count) for number, count in found.items()}


def segment_of(frame: pd.DataFrame, column: str) -> pd.Series:
    """The level of each row, as a text; a missing one is a level, too."""
    return frame[column].astype(object).where(frame[column].notna(), "(missing)").map(str)


def _described(
    frame: pd.DataFrame,
    watched: Sequence[str],
    segments: Sequence[str],
    accounts: str,
    period: str,
    bins: int,
    random: np.random.Generator,
) -> Table:
    whose = pd.factorize(frame[accounts])[0]
    columns = {name: column_of(frame[name], whose, bins=bins) for name in watched}
    codes = {name: column.codes(frame[name]) for name, column in columns.items()}
    binned = {name: of_row for name, of_row in codes.items() if columns[name].counts}
    parts, pooled, of = {}, [], {}
    for segment in (name for name in segments if name in frame):
        levels = segment_of(frame, segment)
        sizes = pd.Series(whose).groupby(levels.to_numpy()).nunique()
        small = sorted(sizes.index[(sizes < LEAST_ACCOUNTS).to_numpy()])
        pooled += [f"{segment}={level}" for level in small]
        levels = levels.where(~levels.isin(small), OTHERS)
        if levels.nunique() == 1:
            continue  # all rows, which are looked at anyway
        of[segment] = levels
        for level, rows in ((level, np.flatnonzero(levels == level)) for level in sorted(set(levels))):
            parts[f"{segment}={level}"] = Part(
                len(rows),
                len(np.unique(whose[rows])),
                {name: int(frame[name].iloc[rows].notna().sum()) for name in columns},
                {
                    name: tuple(histogram(of_row[rows], len(columns[name].bins)).tolist())
                    for name, of_row in binned.items()
                },
            )
    by_period = ()
    if period in frame:
        found = pd.Series(whose).groupby(frame[period].to_numpy()).agg(["size", "nunique"])
        by_period = tuple((int(row.Index), int(row.size), int(row.nunique)) for row in found.itertuples())
    rows = _some(whose, frame[period].to_numpy() if period in frame else np.zeros(len(frame)), random)
    kept = pd.DataFrame({"account": np.unique(whose[rows], return_inverse=True)[1].astype(np.int32)})
    kept = kept.assign(
        **{f"in {name}": of_row[rows] for name, of_row in codes.items()},
        **{f"of {name}": levels.to_numpy()[rows].astype(str) for name, levels in of.items()},
    )
    return Table(len(frame), len(np.unique(whose)), columns, by_period, tuple(pooled), parts, kept)


def _some(whose: Int[np.ndarray, " n"], when: np.ndarray, random: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Rows of some accounts, sorted by account and period; of an account with many, successive ones."""
    order = np.lexsort((when, whose))
    begin = np.flatnonzero(np.diff(whose[order], prepend=-1))
    length = np.diff(np.append(begin, len(order)))
    chosen = np.sort(random.permutation(len(begin))[:_ACCOUNTS])
    rows = []
    for first, size in zip(begin[chosen].tolist(), length[chosen].tolist(), strict=True):
        some = np.arange(size) if size <= _ROWS else (random.integers(size) + np.arange(_ROWS)) % size
        rows.append(first + some)
    return order[np.concatenate(rows)]


def _table(stored: dict[str, Any]) -> Table:
    columns = {name: Column(**{k: _tuples(v) for k, v in found.items()}) for name, found in stored["columns"].items()}
    parts = {
        name: Part(**{**part, "counts": {column: tuple(counts) for column, counts in part["counts"].items()}})
        for name, part in stored["parts"].items()
    }
    fixed = {"periods": _tuples(stored["periods"]), "pooled": tuple(stored["pooled"])}
    return Table(**{**stored, **fixed, "columns": columns, "parts": parts, "kept": pd.DataFrame()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
