"""From the tables of parts of the accounts to shards of one panel: what one machine cannot hold, part by part.

Each part is checked on its own. What has to be known of all of them is found in passes over the parts, and joined:

1. ``_stage``: the parts are checked and stored; when does the whole log end, who converts (so accounts are split);
2. ``_look``: vocabulary, levels, scales of static numbers, places for members; the calendar;
3. ``_encode``: the samples; how the numbers as of a cut-off are distributed among the training samples;
4. ``_scale``: these numbers are scaled.

How a pass goes over the parts is up to the caller: one after the other, or on the machines of a cluster.
"""

import pickle
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from hanjax.config import Config, PanelConfig
from hanjax.data.dates import parse_date
from hanjax.data.encoding import Encoding, PartialFit, fit_part, join_columns, join_fits
from hanjax.data.log import NEVER, Log
from hanjax.data.moments import Column
from hanjax.data.numbers import columns_as_of, scale_as_of, scales_as_of, unscaled
from hanjax.data.panel import NoSampleError, bounds_of, make_panel
from hanjax.data.periods import Calendar, make_calendar
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
    if isinstance(config, Config) and config.model.segments:
        raise ConfigError(f"segments: {config.model.segments} cannot be fitted on shards. Train on tables, or without.")
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
        work: where checked parts are stored meanwhile.
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
    _check_levels(staged)
    ids = _sorted_ids(staged)
    job = job._replace(end=max(part.end for part in staged), split=training is not None)
    split = None if training is None else _split(staged, ids, training, work)

    looks = each(partial(_look, job=job, fits=encoding is None), count)
    first, last = min(look.first for look in looks), max(look.last for look in looks)
    calendar = make_calendar(first, last, period=panel.period, timezone=panel.timezone)
    fitted = encoding
    if fitted is None:
        fitted = join_fits([look.fit for look in looks if look.fit is not None], panel)
    scales = fitted.as_of is None
    encoded = each(
        partial(_encode, job=job, calendar=calendar, encoding=unscaled(fitted, panel) if scales else fitted), count
    )
    shards = [part.shard for part in encoded]
    if scales:
        accounts, members = (join_columns([getattr(part, of) for part in encoded]) for of in ("accounts", "members"))
        fitted = scales_as_of(fitted, panel, accounts, members)
        if accounts or members:
            shards = each(partial(_scale, job=job, encoding=fitted), count)
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
        end: the last event or arrival.
        individuals: how many there are.
        levels: of each static category.
    """

    ids: pd.Index
    converted: Bool[np.ndarray, " a"]
    fold: Int[np.ndarray, " a"] | None
    end: int
    individuals: int
    levels: dict[str, frozenset[str]]


def _stage(number: int, *, read: Callable[[int], Tables], job: _Job) -> _Staged:
    """Checks a part, and stores it."""
    tables = read(number)
    if tables.outcomes is not None:
        raise DataError(
            "outcomes: shards hold every period of every account. Leave the table out, or encode in memory."
        )
    log = check(tables, job.config, part=True)
    (job.work / f"log-{number}.pickle").write_bytes(pickle.dumps(log, protocol=5))
    past = _known(log, job)
    return _Staged(
        ids=past.account_ids,
        converted=past.converted_at != NEVER,
        fold=past.fold,
        end=end_of(log),
        individuals=len(log.individual_ids),
        levels={str(name): frozenset(column.dropna()) for name, column in log.categories.iloc[:, 2:].items()},
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
    split = split_by_outcome(ids, converted, folds, config.train)
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
    """A shard, what its unscaled numbers are like, and what it does not hold."""

    shard: Shard
    accounts: tuple[Column, ...]
    members: tuple[Column, ...]
    left_out: tuple[LeftOut, ...]


def _encode(number: int, *, job: _Job, calendar: Calendar, encoding: Encoding) -> _Encoded:
    """Encodes a part, and writes it."""
    log, training = _used(number, job)
    panel, _ = make_panel(log, job.config, encoding, calendar=calendar, part=True)
    of_training = training[log.account_ids.get_indexer(panel.samples["account_id"])]
    columns = columns_as_of(panel, encoding, of_training)
    return _Encoded(write_shard(panel, job.out, number), *columns, panel.left_out)


def _scale(number: int, *, job: _Job, encoding: Encoding) -> Shard:
    """Scales the numbers of a shard, and writes it anew."""
    return write_shard(scale_as_of(read_shard(job.out, number), encoding), job.out, number)


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
        >>> from hanjax.data.sharding import deal_tables
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
        >>> from hanjax.data.sharding import shards_of
        >>> shards_of([1, 2, 3], 2).tolist(), shards_of(["1", "2", "3"], 2).tolist()
        ([1, 1, 1], [1, 1, 1])
    """
    from zlib import crc32

    return np.array([crc32(str(one).encode()) % shards for one in account_ids], np.int64)
