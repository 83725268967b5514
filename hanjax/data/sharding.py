"""From the tables of parts of the accounts to shards of one panel: what one machine cannot hold, part by part.

Each part is checked on its own. What has to be known of all of them is found in passes over the parts, and joined:

1. ``_stage``: the parts are checked and stored; when does the whole log end, who converts (so accounts are split);
2. ``_look``: vocabulary, levels, scales of static numbers, places for members; the calendar;
3. ``_encode``: the samples; how numbers as of a cut-off are distributed among those of training, and which segments
   these belong to;
4. ``_finish``: the numbers are scaled, and segments become ids.

How a pass goes over the parts is up to the caller: one after the other, or on the machines of a cluster.
"""

import dataclasses
import pickle
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hanjax.config import Config, PanelConfig
from hanjax.data.dates import parse_date
from hanjax.data.encoding import Encoding, Factor, PartialFit, fit_part, join_columns, join_fits
from hanjax.data.log import Log, Outcomes
from hanjax.data.moments import Column
from hanjax.data.numbers import columns_as_of, scale_as_of, scales_as_of, unscaled
from hanjax.data.panel import NoSampleError, bounds_of, make_panel
from hanjax.data.periods import Calendar, make_calendar
from hanjax.data.segments import find_segments, fitted_factor, levels_of
from hanjax.data.shards import Shard, Shards, read_shard, write_index, write_shard
from hanjax.data.splits import TEST, TRAIN, known_before, split_by_outcome, take_accounts
from hanjax.data.statics import check_levels
from hanjax.data.tables import check, end_of, observed_to_end
from hanjax.errors import ConfigError, DataError
from hanjax.types import LeftOut, Tables

Result = TypeVar("Result")


class Each(Protocol):
    """How a pass goes over the parts."""

    def __call__(self, function: Callable[[int], Result], parts: int, /) -> list[Result]:
        """Calls a function with the number of each part, from 0, and returns the results in that order."""
        ...


def one_by_one(function: Callable[[int], Result], parts: int) -> list[Result]:
    """Goes over the parts one after the other, here."""
    return [function(number) for number in range(parts)]


def encode_parts(
    parts: Sequence[Tables] | Callable[[int], Tables],
    *,
    out: str | Path,
    config: Config | PanelConfig | None = None,
    encoding: Encoding | None = None,
    shards: int | None = None,
    each: Each = one_by_one,
) -> Shards:
    """Encodes a data set of which each part is given by itself, to one shard a part.

    All shards together hold the panel that all tables together would make: with ``Config`` that of a training, without
    the test accounts; with ``PanelConfig`` that of all accounts. Vocabulary, levels, places for members and calendar
    are the same exactly; scales to 1e-12 of themselves, as sums are added in another order, and so scaled numbers to
    1e-6.

    Args:
        parts: the tables of each part: some accounts with all that belongs to them, each account in one part; or a
            function of the number of the part that gives them, which passes to other processes if ``each`` does.
        out: the folder of shards; it is made.
        config: all settings: accounts are split, and the encoding is fitted on the training accounts; or those of the
            data alone (the defaults if None), to fit on all accounts, or on none.
        encoding: what was fitted before (``run.encoding``); None to fit one.
        shards: how many parts there are, if ``parts`` is a function.
        each: how a pass goes over the parts.

    Returns:
        The shards; ``left_out`` says what none of them holds, and why.

    Raises:
        ConfigError: if an encoding is given with the settings of a training, which would fit one.
        DataError: if the tables are not what they should be, or ``out`` is not empty.

    Example:
        >>> import hanjax, tempfile
        >>> from hanjax.data.parts import shards_of
        >>> market = hanjax.simulate(accounts=20, seed=0).tables
        >>> part = lambda table, number: table[shards_of(table["account_id"], 2) == number]
        >>> halves = [Tables(*(part(table, number) for table in market[:3])) for number in (0, 1)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     shards = encode_parts(halves, out=folder)
        ...     len(shards), shards.samples == len(hanjax.encode(market).samples)
        (2, True)
    """
    read = parts if callable(parts) else parts.__getitem__
    count = len(parts) if isinstance(parts, Sequence) else shards
    config, out = PanelConfig() if config is None else config, Path(out)
    if not count or count < 1:
        raise ConfigError(f"shards: expected at least 1, got {count}.")
    if isinstance(config, Config) and encoding is not None:
        raise ConfigError("encoding: a training fits its own. Give the settings of the data alone, `config.panel`.")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Choose another folder, or empty it.")
    work = out / "work"
    work.mkdir(parents=True)
    try:
        return _encode_all(read, count, out, work, config, encoding, each)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # or it would not be empty the next time
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Job(NamedTuple):
    """What every pass needs to know.

    Args:
        work: where checked parts are stored meanwhile, and shards whose numbers are not scaled yet.
        out: where shards are written.
        config: the data's settings.
        until: what became known from this time on does not count; None if all does.
        end: the end of the whole log; 0 until it is known.
        split: whether accounts were split, and test accounts are left out.
    """

    work: Path
    out: Path
    config: PanelConfig
    until: int | None
    end: int = 0
    split: bool = False


def _encode_all(
    read: Callable[[int], Tables],
    count: int,
    out: Path,
    work: Path,
    config: Config | PanelConfig,
    encoding: Encoding | None,
    each: Each,
) -> Shards:
    """Makes all passes."""
    training = config if isinstance(config, Config) else None
    panel = config if isinstance(config, PanelConfig) else config.panel
    until = None if training is None else training.train.until
    until = None if until is None else parse_date(until, panel.timezone, name="until")
    job = _Job(work, out, panel, until)

    staged = each(partial(_stage, read=read, job=job), count)
    _check_columns(staged)
    _check_levels(staged)
    ids = _sorted_ids(staged)
    job = job._replace(end=max(part.end for part in staged), split=training is not None)
    split = None if training is None else _split(staged, ids, training, work)

    looks = each(partial(_look, job=job, fits=encoding is None), count)
    first, last = min(look.first for look in looks), max(look.last for look in looks)
    calendar = make_calendar(first, last, period=panel.period, timezone=panel.timezone)
    fitted = encoding
    if fitted is None:
        factors = () if training is None else training.model.segments
        fitted = join_fits([look.fit for look in looks if look.fit is not None], panel, segments=factors)
    fits = fitted.as_of is None
    plain = dataclasses.replace(unscaled(fitted, panel), segments=()) if fits else fitted
    factors = fitted.segments if fits else None
    finishes = fits and bool(plain.as_of or plain.of_members or factors)
    # What is to be finished is written elsewhere: a task that is run again must find what it read the first time.
    writing = job._replace(out=work) if finishes else job
    encoded = each(partial(_encode, job=writing, calendar=calendar, encoding=plain, factors=factors), count)
    shards = [part.shard for part in encoded]
    if factors is not None:
        accounts, members = (join_columns([getattr(part, of) for part in encoded]) for of in ("accounts", "members"))
        levels = zip(*(part.levels for part in encoded), strict=True)
        segments = tuple(fitted_factor(factor, seen) for factor, seen in zip(factors, levels, strict=True))
        fitted = dataclasses.replace(scales_as_of(fitted, panel, accounts, members), segments=segments)
        if finishes:
            shards = each(partial(_finish, job=job, encoding=fitted), count)
    left_out = sum_left_out([row for part in encoded for row in part.left_out])
    if not any(shard.samples for shard in shards):
        reasons = "; ".join(f"{row.reason}: {row.rows:,}" for row in left_out) or "no account has a member at a cut-off"
        raise NoSampleError(f"accounts: no sample can be made ({reasons}). Bring a longer log, or other dates.")
    return write_index(out, shards, config=config, encoding=fitted, calendar=calendar, split=split, left_out=left_out)


class _Staged(NamedTuple):
    """What is known of a part once it is checked.

    Args:
        ids: its accounts, as far as they were known by ``until``.
        converted: whether each had converted by then.
        fold: the fold of each; None if there are none.
        outcomes: theirs, without segments; None if there are none.
        end: the last event or arrival.
        individuals: how many there are.
        levels: of each static category.
        columns: names, by table and kind; those of text are segments, whose order is that of the samples' columns.
    """

    ids: pd.Index
    converted: Bool[np.ndarray, " a"]
    fold: Int[np.ndarray, " a"] | None
    outcomes: Outcomes | None
    end: int
    individuals: int
    levels: dict[str, frozenset[str]]
    columns: dict[tuple[str, str], list[str]]


def _stage(number: int, *, read: Callable[[int], Tables], job: _Job) -> _Staged:
    """Checks a part, and stores it."""
    log = check(read(number), job.config, part=True)
    (job.work / f"log-{number}.pickle").write_bytes(pickle.dumps(log, protocol=5))
    past = _known(log, job)
    outcomes = past.outcomes
    columns = {
        ("individuals", "categories"): sorted(map(str, log.categories.columns[2:])),
        ("accounts", "numbers"): sorted(map(str, log.numbers.columns[2:])),
        ("accounts", "text"): list(map(str, log.segments)),
    }
    if log.features is not None:
        columns["account_features", "numbers"] = sorted(map(str, log.features.columns[2:]))
    if log.outcomes is not None:
        columns["outcomes", "text"] = list(map(str, log.outcomes.segments))
    return _Staged(
        ids=past.account_ids,
        converted=past.converts,
        fold=past.fold,
        outcomes=None if outcomes is None else outcomes._replace(segments=outcomes.segments.iloc[:, :0]),
        end=end_of(log),
        individuals=len(log.individual_ids),
        levels={str(name): frozenset(column.dropna()) for name, column in log.categories.iloc[:, 2:].items()},
        columns=columns,
    )


def _known(log: Log, job: _Job) -> Log:
    """A part as it stood at the time up to which a training looks."""
    return log if job.until is None else known_before(log, job.until, part=True)


def _check_levels(staged: Sequence[_Staged]) -> None:
    """Raises if a category has too many levels in all parts together."""
    individuals = sum(part.individuals for part in staged)
    for name in staged[0].levels:
        levels = frozenset[str]().union(*(part.levels[name] for part in staged))
        check_levels(name, levels, individuals, rows=individuals)


def _check_columns(staged: Sequence[_Staged]) -> None:
    """Raises if a part has other columns than the first one, or columns of other types."""
    for number, part in enumerate(staged):
        for name in {**staged[0].columns, **part.columns}:
            mine, theirs = part.columns.get(name), staged[0].columns.get(name)
            if mine != theirs:
                table, kind = name
                raise DataError(
                    f"{table}: its columns of {kind} are {mine} in part {number} and {theirs} in part 0. Give all "
                    "parts the same tables, with the same columns of the same types in the same order."
                )


def _sorted_ids(staged: Sequence[_Staged]) -> pd.Index:
    """All accounts, sorted."""
    ids = staged[0].ids.append([part.ids for part in staged[1:]])
    double = ids[ids.duplicated()]
    if len(double):
        raise DataError.rows(
            "accounts",
            "account_id",
            "stands in more than one part",
            count=len(double),
            first=[repr(one) for one in double[:5]],
            remedy="Give each account, with all that belongs to it, in one part.",
        )
    return ids.sort_values()


def _split(staged: Sequence[_Staged], ids: pd.Index, config: Config, work: Path) -> pd.Series:
    """Splits the accounts of all parts as those of one log, and stores what each part has to know of it."""
    place = [ids.get_indexer(part.ids) for part in staged]
    converted, fold = np.zeros(len(ids), bool), np.zeros(len(ids), np.int64)
    for at, part in zip(place, staged, strict=True):
        converted[at] = part.converted
        if part.fold is not None:
            fold[at] = part.fold
    folds = fold if all(part.fold is not None for part in staged) else None
    outcomes = [
        part.outcomes._replace(account=at[part.outcomes.account])
        for at, part in zip(place, staged, strict=True)
        if part.outcomes is not None
    ]
    joined = Outcomes.joined(outcomes) if outcomes else None
    split = split_by_outcome(ids, converted, folds, config.train, outcomes=joined)
    for number, at in enumerate(place):
        np.save(_parts_file(work, number), split.to_numpy()[at].astype("U10"))
    return split


def _parts_file(work: Path, number: int) -> Path:
    return work / f"parts-{number}.npy"


def _used(number: int, job: _Job) -> tuple[Log, Bool[np.ndarray, " a"]]:
    """What is encoded of a part, and which of its accounts are for training."""
    log = pickle.loads((job.work / f"log-{number}.pickle").read_bytes())
    log = _known(observed_to_end(log, job.end), job)
    if not job.split:
        return log, np.ones(len(log.account_ids), bool)
    parts = np.load(_parts_file(job.work, number))
    return take_accounts(log, parts != TEST), parts[parts != TEST] == TRAIN


class _Look(NamedTuple):
    """What a part has to say about encoding and calendar."""

    first: int
    last: int
    fit: PartialFit | None


def _look(number: int, *, job: _Job, fits: bool) -> _Look:
    """Looks at what is used of a part."""
    log, training = _used(number, job)
    return _Look(*bounds_of(log), fit_part(log, accounts=training) if fits else None)


class _Encoded(NamedTuple):
    """A shard, what its unscaled numbers are like, which levels of segments it has, and what it does not hold."""

    shard: Shard
    accounts: tuple[Column, ...]
    members: tuple[Column, ...]
    levels: tuple[set[tuple[str, ...]], ...]
    left_out: tuple[LeftOut, ...]


def _encode(
    number: int, *, job: _Job, calendar: Calendar, encoding: Encoding, factors: tuple[Factor, ...] | None
) -> _Encoded:
    """Encodes a part, and writes it."""
    log, training = _used(number, job)
    panel, _ = make_panel(log, job.config, encoding, calendar=calendar, part=True)
    of_training = training[log.account_ids.get_indexer(panel.samples["account_id"])]
    if factors is None:  # everything was fitted before
        return _Encoded(write_shard(panel, job.out, number), (), (), (), panel.left_out)
    columns = columns_as_of(panel, encoding, of_training)
    levels = tuple(levels_of(factor, panel.samples, training=of_training) for factor in factors)
    return _Encoded(write_shard(panel, job.out, number), *columns, levels, panel.left_out)


def _finish(number: int, *, job: _Job, encoding: Encoding) -> Shard:
    """Scales the numbers of a shard, looks up its segments, and writes it where it belongs."""
    panel = scale_as_of(read_shard(job.work, number), encoding)
    segments, _, notes = find_segments(encoding, panel.samples)
    panel = panel._replace(batch=panel.batch._replace(segments=segments), notes=(*panel.notes, *notes))
    return write_shard(panel, job.out, number)


def sum_left_out(rows: Sequence[LeftOut]) -> tuple[LeftOut, ...]:
    """Adds up rows that were left out for the same reason; the first five of them are kept.

    Example:
        >>> from hanjax.types import LeftOut
        >>> sum_left_out([LeftOut("events", "late", 2, ("a", "b")), LeftOut("events", "late", 1, ("c",))])
        (LeftOut(table='events', reason='late', rows=3, first=('a', 'b', 'c')),)
    """
    total: dict[tuple[str, str], LeftOut] = {}
    for row in rows:
        so_far = total.get((row.table, row.reason), LeftOut(row.table, row.reason, 0))
        total[row.table, row.reason] = so_far._replace(
            rows=so_far.rows + row.rows, first=(*so_far.first, *row.first)[:5]
        )
    return tuple(total.values())
