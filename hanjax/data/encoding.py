"""What is fitted on the training accounts, and stored with the model: vocabulary, levels, scales and sizes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.config import PanelConfig
from hanjax.data.activities import MOST_ACTIVITIES
from hanjax.data.log import NEVER, Log
from hanjax.data.moments import Column
from hanjax.data.pieces import pieces
from hanjax.data.sequences import UNKNOWN
from hanjax.errors import DataError

MISSING = "(missing)"
"""The level of a category that is not given."""


class Scale(NamedTuple):
    """How a column of numbers becomes standardized: ``(x - mean) / sd``, of log(1 + x) where ``logged``.

    Args:
        column: name of the column.
        logged: long-tailed amounts (none negative, skewness above 2), such as revenue, are logged first.
        mean: over the training accounts.
        sd: over the training accounts; 1 for a constant.
        indicator: values were missing, or not known yet, in training, so that a second column says whether one is.
    """

    column: str
    logged: bool
    mean: float
    sd: float
    indicator: bool

    @classmethod
    def fit(cls, column: str, values: Float[np.ndarray, " n"], *, logged: bool | None = None) -> "Scale":
        """Fits the scale to a column; NaN is missing. Unless told, it logs the column if that is long-tailed."""
        return cls.of(Column.of(column, values), logged=logged)

    @classmethod
    def of(cls, column: Column, *, logged: bool | None = None) -> "Scale":
        """The scale of a column of which no more is known than this."""
        if column.plain.n == 0:
            return cls(column.name, False, 0.0, 1.0, True)
        if logged is None:
            logged = column.least >= 0 and column.plain.skewness > 2
        moments = column.logged if logged else column.plain
        sd = moments.sd if moments.sd > 1e-9 * abs(moments.mean) else 1.0
        return cls(column.name, logged, moments.mean, sd, column.missing > 0)

    def apply(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n c"]:
        """Standardizes a column; a missing value is the mean, beside an indicator of 1 where there is one."""
        missing = np.isnan(values)
        if self.logged:
            values = np.log1p(np.maximum(values, 0))
        scaled = np.where(missing, 0.0, (values - self.mean) / self.sd)
        columns = [scaled, missing] if self.indicator else [scaled]
        return np.stack(columns, axis=1).astype(np.float32)


class Factor(NamedTuple):
    """A column of the samples, or several crossed, whose levels are segments.

    Args:
        columns: the columns.
        levels: those with ids 2, 3, ..., each with its value in every column; None until a first panel was made.
    """

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...] | None = None

    @property
    def name(self) -> str:
        """As the settings name it."""
        return ":".join(self.columns)


@dataclass(frozen=True)
class Encoding:
    """What turns a checked log into ids and numbers.

    Args:
        activities: names of the activities with ids 2, 3, ...
        categories: for each static category its name and its levels with ids 2, 3, ...
        numbers: scales of the accounts' static numbers.
        features: scales of the accounts' dated numbers.
        as_of: scales of the accounts' numbers counted as of a cut-off; None until a first panel was made with the
            encoding.
        of_members: scales of the members' numbers, likewise.
        max_members: places for members (K).
        segments: the factors whose levels have effects of their own; the levels are fitted by a first panel, likewise.
    """

    activities: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    numbers: tuple[Scale, ...]
    features: tuple[Scale, ...]
    as_of: tuple[Scale, ...] | None
    of_members: tuple[Scale, ...] | None
    max_members: int
    # Not in the text of which fingerprints are made, so that those of models without segments stay as they were.
    segments: tuple[Factor, ...] = field(default=(), repr=False)

    @property
    def vocabulary(self) -> int:
        """How many activity ids there are, padding and the unknown one among them."""
        return len(self.activities) + 2

    @property
    def levels(self) -> tuple[int, ...]:
        """How many ids each static category has, padding and the unknown level among them."""
        return tuple(len(levels) + 2 for _, levels in self.categories)

    @property
    def segment_levels(self) -> tuple[int, ...]:
        """How many ids each factor of segments has, the missing and the unknown level among them."""
        return tuple(len(factor.levels or ()) + 2 for factor in self.segments)

    @property
    def number_names(self) -> tuple[str, ...]:
        """What each number of an account is called, in the order in which a model is offered them."""
        scales = self.numbers + self.features + (self.as_of or ())
        names = [[scale.column, f"{scale.column} (missing)"][: 1 + scale.indicator] for scale in scales]
        return tuple(name for both in names for name in both)

    @property
    def width(self) -> int:
        """How many numbers an account has, static ones and those of a cut-off together."""
        scales = self.numbers + self.features + (self.as_of or ())
        return sum(1 + scale.indicator for scale in scales)

    @property
    def member_width(self) -> int:
        """How many numbers a member has."""
        return sum(1 + scale.indicator for scale in self.of_members or ())

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Encoding":
        """The encoding that ``to_dict`` wrote."""
        scales = {
            name: None if stored[name] is None else tuple(Scale(*scale) for scale in stored[name])
            for name in ("numbers", "features", "as_of", "of_members")
        }
        return cls(
            activities=tuple(stored["activities"]),
            categories=tuple((name, tuple(levels)) for name, levels in stored["categories"]),
            max_members=stored["max_members"],
            segments=tuple(_factor(*factor) for factor in stored.get("segments", ())),
            **scales,  # type: ignore[arg-type]
        )


def _factor(columns: list[str], levels: list[list[str]] | None) -> Factor:
    """A factor as JSON holds it."""
    return Factor(tuple(columns), None if levels is None else tuple(tuple(level) for level in levels))


def fit_encoding(
    log: Log,
    config: PanelConfig,
    *,
    accounts: Bool[np.ndarray, " a"] | None = None,
    segments: tuple[str, ...] = (),
) -> Encoding:
    """Fits vocabulary, levels, scales and sizes.

    Args:
        log: the checked log.
        config: the data's settings.
        accounts: the training accounts; all when None.
        segments: the factors of the model's settings.

    Returns:
        The encoding, whose scales of as-of numbers and levels of segments are fitted by the first panel made with it.
    """
    return join_fits([fit_part(log, accounts=accounts)], config, segments=segments)


class PartialFit(NamedTuple):
    """What some of the training accounts have to say about the encoding.

    Args:
        activities: names of their activities.
        levels: the levels of each static category, by its name.
        numbers: their static numbers.
        late: an account of theirs has individuals before anything is known of its static numbers.
        features: their dated numbers; None if there are none.
        largest: individuals of the largest account.
    """

    activities: frozenset[str]
    levels: dict[str, frozenset[str]]
    numbers: tuple[Column, ...]
    late: bool
    features: tuple[Column, ...] | None
    largest: int


def fit_part(log: Log, *, accounts: Bool[np.ndarray, " a"] | None = None) -> PartialFit:
    """Looks at some of the training accounts; ``join_fits`` makes the encoding of all of them.

    Args:
        log: the checked log of some accounts of a data set, or of all.
        accounts: which of them are training accounts; all when None.
    """
    accounts = np.ones(len(log.account_ids), bool) if accounts is None else accounts
    individuals = accounts[log.individual_account]
    seen = _activities_of(log, individuals)
    categories = log.categories[individuals[log.categories["individual"].to_numpy()]]
    numbers = log.numbers[accounts[log.numbers["account"].to_numpy()]]
    features = None if log.features is None else log.features[accounts[log.features["account"].to_numpy()]]
    return PartialFit(
        activities=frozenset(name for name, known in zip(log.activities, seen, strict=True) if known),
        levels={
            str(name): frozenset(MISSING if pd.isna(level) else level for level in column.unique())
            for name, column in categories.iloc[:, 2:].items()
        },
        numbers=_columns(numbers),
        late=bool(_late(log)[accounts].any()),
        features=None if features is None else _columns(features),
        largest=int(np.bincount(log.individual_account[individuals], minlength=1).max()),
    )


def join_fits(parts: Sequence[PartialFit], config: PanelConfig, *, segments: Sequence[str] = ()) -> Encoding:
    """The encoding of all training accounts, from what each part of them has to say.

    Args:
        parts: in the order in which their sums are added, which decides about the last bits of the scales.
        config: the data's settings.
        segments: the factors of the model's settings.

    Returns:
        The encoding, as ``fit_encoding`` gives it.

    Raises:
        DataError: if there are too many activities.

    Example:
        >>> import hanjax
        >>> from hanjax.config import PanelConfig
        >>> from hanjax.data.splits import take_accounts
        >>> from hanjax.data.tables import check
        >>> log, config = check(hanjax.simulate(accounts=20, seed=0).tables), PanelConfig()
        >>> even = np.arange(20) % 2 == 0
        >>> halves = [fit_part(take_accounts(log, which)) for which in (even, ~even)]
        >>> join_fits(halves, config).activities == fit_encoding(log, config).activities
        True
    """
    activities = frozenset[str]().union(*(part.activities for part in parts))
    if len(activities) > MOST_ACTIVITIES:
        raise DataError(
            f"events.activity: has {len(activities):,} different values, but at most {MOST_ACTIVITIES:,} can be told "
            "apart. Name kinds of activities, not single ones."
        )
    features = [part.features for part in parts if part.features is not None]
    numbers, late = _scales([part.numbers for part in parts]), any(part.late for part in parts)
    return Encoding(
        activities=tuple(sorted(activities)),
        categories=tuple(
            (name, tuple(sorted(frozenset[str]().union(*(part.levels[name] for part in parts)))))
            for name in parts[0].levels
        ),
        # Before its first date a number is missing, whether or not its column has gaps.
        numbers=tuple(scale._replace(indicator=scale.indicator or late) for scale in numbers),
        features=tuple(scale._replace(indicator=True) for scale in _scales(features)),
        as_of=None,
        of_members=None,
        max_members=max(1, min(config.max_members, max(part.largest for part in parts))),
        segments=tuple(Factor(tuple(factor.split(":"))) for factor in segments),
    )


def _late(log: Log) -> Bool[np.ndarray, " a"]:
    """Which accounts are observed, and have individuals, before anything is known of their static numbers."""
    known, arrived = np.full((2, len(log.account_ids)), NEVER)
    np.minimum.at(known, log.numbers["account"].to_numpy(), log.numbers["known_at"].to_numpy())
    np.minimum.at(arrived, log.individual_account, log.arrived_at)
    return known > np.maximum(log.observed_from, arrived)


def _activities_of(log: Log, individuals: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " a"]:
    """Which activities some individuals have; it stops looking when all were seen, which is soon."""
    seen = np.zeros(len(log.activities), bool)
    for part in pieces(len(log.event_activity)):
        seen[log.event_activity[part][individuals[log.event_individual[part]]]] = True
        if seen.all():
            break
    return seen


def _columns(table: pd.DataFrame) -> tuple[Column, ...]:
    return tuple(Column.of(str(name), column.to_numpy(float)) for name, column in table.iloc[:, 2:].items())


def join_columns(parts: Sequence[tuple[Column, ...]]) -> list[Column]:
    """Columns of which each part holds some rows, as a whole, in the order of the first part."""
    named = [{column.name: column for column in part} for part in parts]
    return [reduce(Column.with_that_of, (part[name] for part in named)) for name in (named[0] if named else ())]


def _scales(parts: Sequence[tuple[Column, ...]]) -> tuple[Scale, ...]:
    return tuple(Scale.of(column) for column in join_columns(parts))


def activity_ids(log: Log, encoding: Encoding) -> Int[np.ndarray, " a"]:
    """The id of each of the log's activities; ``UNKNOWN`` for those that the encoding has not seen."""
    ids = {name: i for i, name in enumerate(encoding.activities, start=2)}
    found = np.array([ids.get(name, UNKNOWN) for name in log.activities])
    return found.astype(np.uint8 if encoding.vocabulary <= 256 else np.uint16)


def category_ids(log: Log, encoding: Encoding) -> Int[np.ndarray, "v f"]:
    """The level ids of each version of each individual; ``UNKNOWN`` for levels that the encoding has not seen."""
    _require_columns("individuals", log.categories, [name for name, _ in encoding.categories])
    columns = [_level_ids(log.categories[name], levels) for name, levels in encoding.categories]
    return np.stack(columns, axis=1).astype(np.int32) if columns else np.zeros((len(log.categories), 0), np.int32)


def _level_ids(column: pd.Series, levels: tuple[str, ...]) -> Int[np.ndarray, " v"]:
    """The ids of a column's levels, each distinct one looked up once."""
    codes, distinct = pd.factorize(column)
    ids = {level: i for i, level in enumerate(levels, start=2)}
    # A missing level has the code -1, which finds what is added last.
    return np.array([ids.get(level, UNKNOWN) for level in (*distinct, MISSING)])[codes]


def scaled(table: pd.DataFrame, scales: tuple[Scale, ...], *, name: str) -> Float[np.ndarray, "v g"]:
    """Standardizes the columns that the scales name."""
    _require_columns(name, table, [scale.column for scale in scales])
    columns = [scale.apply(table[scale.column].to_numpy(float)) for scale in scales]
    return np.concatenate([np.zeros((len(table), 0), np.float32), *columns], axis=1)


def _require_columns(table: str, frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DataError(
            f"{table}.{missing[0]}: the model was trained with this column and the data do not have it "
            f"(missing: {', '.join(missing)}; there are: {', '.join(map(str, frame.columns[2:])) or 'none'}). Bring "
            "it, or name it in `columns` if it is called otherwise."
        )
