"""The segments of samples, such as regions: levels that are known from training, as ids."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hanjax.data.encoding import Encoding, Factor
from hanjax.data.log import Log
from hanjax.data.numbers import versions_as_of
from hanjax.data.periods import Calendar
from hanjax.data.sequences import UNKNOWN
from hanjax.errors import ConfigError, DataError

OWN = ("account_id", "cutoff", "period", "n_members")
"""Columns of the samples that are no segments."""


def find_segments(
    encoding: Encoding, samples: pd.DataFrame, *, training: Bool[np.ndarray, " b"] | None = None
) -> tuple[Int[np.ndarray, "b Q"] | None, Encoding, list[str]]:
    """The level of each factor that each sample belongs to.

    Args:
        encoding: its levels are used, or those of the training accounts' samples if it has none yet.
        samples: one row each, with the columns that factors are made of, as of the cut-off.
        training: ``[b]`` the samples on which levels are fitted; all when None.

    Returns:
        ``[b, Q]`` ids: 0 where a value is missing, 1 for a level that training never saw; None without factors. The
        encoding with its levels. And what a reader should know.

    Raises:
        ConfigError: if levels are to be fitted of a column that is not there, or of one without any value.
        DataError: if the encoding needs a column that is not there.
    """
    if not encoding.segments:
        return None, encoding, []
    columns, factors, notes = [], [], []
    for factor in encoding.segments:
        if factor.levels is None:
            factor = fitted_factor(factor, [levels_of(factor, samples, training=training)])
        _require(factor, samples)
        found = _crossed(samples, factor.columns)
        ids = {level: i for i, level in enumerate(factor.levels or (), start=2)} | {None: 0}
        column = np.array([ids.get(level, UNKNOWN) for level in found.levels], np.int32)[found.place]
        for wanted, what in ((0, "has no value"), (UNKNOWN, "has a level that training never saw")):
            if count := int((column == wanted).sum()):
                notes.append(
                    f"segments: {factor.name} of {count:,} samples {what}; they are scored by the global model"
                )
        columns.append(column)
        factors.append(factor)
    return np.stack(columns, axis=1), dataclasses.replace(encoding, segments=tuple(factors)), notes


def levels_of(
    factor: Factor, samples: pd.DataFrame, *, training: Bool[np.ndarray, " b"] | None = None
) -> set[tuple[str, ...]]:
    """The levels of a factor among some samples; arguments and errors are those of ``find_segments``."""
    _require(factor, samples)
    found = _crossed(samples if training is None else samples[training], factor.columns)
    return {level for level in found.levels if level is not None}


def fitted_factor(factor: Factor, levels: Iterable[set[tuple[str, ...]]]) -> Factor:
    """A factor with the levels that training has, in all its parts together.

    Raises:
        ConfigError: if there is none.
    """
    seen = sorted(set().union(*levels))
    if not seen:
        raise ConfigError(f"segments: no training account has a value of {factor.name!r}. Leave it out.")
    return factor._replace(levels=tuple(seen))


def texts_as_of(
    log: Log, calendar: Calendar, account: Int[np.ndarray, " b"], cutoff: Int[np.ndarray, " b"], samples: pd.DataFrame
) -> pd.DataFrame:
    """The samples with what was said of their accounts by the cut-off; without versions it always was what it is.

    Args:
        log: the checked log.
        calendar: its periods.
        account: ``[b]`` the account of each sample.
        cutoff: ``[b]`` and the number of its cut-off.
        samples: one row each, with the columns of texts.

    Returns:
        The same table, with other texts where they have changed since; names are the latest.
    """
    versions = log.segment_versions
    if versions is None:
        return samples
    row = versions_as_of(versions, calendar)(account, cutoff)
    # The value added last, at -1, is for what is not known yet.
    names = [str(name) for name in versions.columns[2:] if name != "name"]
    said = {name: np.array([*versions[name], None], object)[row] for name in names}
    # Of the type that texts have where nothing has changed: pandas would infer another one.
    return samples.assign(**{name: pd.Series(texts, samples.index, dtype=object) for name, texts in said.items()})


def _require(factor: Factor, samples: pd.DataFrame) -> None:
    """Raises unless the columns of a factor are there."""
    there = [str(name) for name in samples.columns if name not in OWN]
    missing = [name for name in factor.columns if name not in there]
    if not missing:
        return
    known = f"there are: {', '.join(there) or 'none'}"
    if factor.levels is not None:
        raise DataError(
            f"accounts.{missing[0]}: the model was trained with this column of segments and the data do not have it "
            f"({known}). Bring it, or name it in `columns` if it is called otherwise."
        )
    close = difflib.get_close_matches(missing[0], there, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise ConfigError(
        f"segments: {missing[0]!r} of {factor.name!r} is no column of text of the accounts ({known}){hint}"
    )


class _Crossed(NamedTuple):
    """The distinct combinations of some columns' values, and which one each row has; None where a value is missing."""

    levels: list[tuple[str, ...] | None]
    place: Int[np.ndarray, " b"]


def _crossed(table: pd.DataFrame, columns: tuple[str, ...]) -> _Crossed:
    key, missing = np.zeros(len(table), np.int64), np.zeros(len(table), bool)
    for name in columns:
        code, distinct = pd.factorize(table[name])
        key, missing = key * (len(distinct) + 1) + code, missing | (code < 0)
    _, first, place = np.unique(np.where(missing, -1, key), return_index=True, return_inverse=True)
    values = table[list(columns)].iloc[first].itertuples(index=False, name=None)
    levels = [None if missing[row] else tuple(map(str, level)) for row, level in zip(first, values, strict=True)]
    return _Crossed(levels, place.ravel())
