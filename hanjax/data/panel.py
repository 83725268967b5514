"""From the checked log to the panel: every sample of a data set, as indices into tables of distinct rows."""

import hashlib

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hanjax.config import PanelConfig
from hanjax.data.asked import Asked, find_asked, one_a_row
from hanjax.data.distinct import distinct_rows
from hanjax.data.encoding import Encoding, activity_ids, category_ids
from hanjax.data.log import ALWAYS, NEVER, Log
from hanjax.data.members import ages, find_windows
from hanjax.data.numbers import account_numbers, member_numbers, scaled_as_of, versions_as_of
from hanjax.data.periods import Calendar, make_calendar
from hanjax.data.pieces import counted, padded
from hanjax.data.samples import Groups, Span, find_presence, find_span, outcomes
from hanjax.data.segments import find_segments, texts_as_of
from hanjax.data.sequences import UNKNOWN, Cells, make_sequences
from hanjax.errors import DataError
from hanjax.types import Batch, LeftOut, Panel


class NoSampleError(DataError):
    """No account has a member at a cut-off that is wanted."""


def calendar_of(log: Log, config: PanelConfig) -> Calendar:
    """The calendar over everything in the log: events, arrivals, observation and conversions."""
    return make_calendar(*bounds_of(log), period=config.period, timezone=config.timezone)


def bounds_of(log: Log) -> tuple[int, int]:
    """The first and the last time in a log, microseconds since 1970, UTC; ``NEVER`` and ``ALWAYS`` in an empty one."""
    times = [log.event_time, log.arrived_at, log.observed_from, log.observed_to]
    first = min(int(time.min(initial=NEVER)) for time in times)
    return first, max(int(time.max(initial=ALWAYS)) for time in [*times, log.converted_at[log.converted_at != NEVER]])


def make_panel(
    log: Log,
    config: PanelConfig,
    encoding: Encoding,
    *,
    cutoffs: tuple[int | Int[np.ndarray, " a"], int] | None = None,
    calendar: Calendar | None = None,
    training: Bool[np.ndarray, " a"] | None = None,
    part: bool = False,
) -> tuple[Panel, Encoding]:
    """Encodes a log with a fitted encoding.

    Args:
        log: the checked log.
        config: the data's settings.
        encoding: what was fitted on the training accounts.
        cutoffs: earliest (of all accounts, or of each) and latest time of the cut-offs wanted, both included,
            microseconds since 1970, UTC; all when None.
        calendar: the periods; those that the log touches when None.
        training: the accounts on which scales of as-of numbers are fitted, if they are not yet; all when None.
        part: whether the log is of some accounts of more, so that a panel without any sample is one, too.

    Returns:
        The panel; and the encoding, whose scales of as-of numbers and levels of segments are now fitted if they were
        not before.

    Raises:
        NoSampleError: if no sample can be made.
        DataError: if a column that the encoding needs is missing.
        ConfigError: if a factor of segments whose levels are not fitted names a column that there is not.
    """
    calendar = calendar_of(log, config) if calendar is None else calendar
    ids = activity_ids(log, encoding)
    sequences = make_sequences(
        log,
        calendar,
        ids,
        vocabulary=encoding.vocabulary,
        max_activities=config.max_activities,
        keep=config.keep,
        volumes=config.volumes,
        gaps=config.gaps,
        expand_counts=config.expand_counts,
    )
    presence = find_presence(log, calendar, opt_out_activity=config.opt_out_activity)
    span, left_out = find_span(log, calendar, presence)
    asked = None
    if log.outcomes is not None:
        asked, more = find_asked(log, calendar, span)
        left_out, span = left_out + more, asked.span(len(log.account_ids))
    seen, every = span, asked
    if cutoffs is not None:
        low, high = (
            np.searchsorted(calendar.starts, cutoffs[0]),
            np.searchsorted(calendar.starts, cutoffs[1], "right") - 1,
        )
        span = span._replace(first=np.maximum(span.first, low), last=np.minimum(span.last, high))
        asked = None if asked is None else asked.within(span)

    group, windows, window = find_windows(
        log, calendar, sequences.cells, span, presence, config, max_members=encoding.max_members, asked=asked
    )
    if asked is not None:
        asked, group, window, more = one_a_row(log, calendar, asked, group, window)
        left_out += more
    if len(group.account) == 0 and not part:
        table, none = "accounts", "no account has a member at a cut-off"
        if every is not None:
            table, none = "outcomes", f"{len(every.row):,} rows, none of them at the dates wanted"
        reasons = "; ".join(f"{row.reason}: {row.rows:,}" for row in left_out) or none
        raise NoSampleError(f"{table}: no sample can be made ({reasons}). Bring a longer log, or other dates.")

    static_table, static = _statics(log, calendar, encoding, group)
    account_table, account = _accounts(log, calendar, encoding, group)
    numbers, encoding = account_numbers(log, calendar, config, encoding, group, training=training)
    of_members, encoding = member_numbers(log, calendar, config, encoding, group, sequences.cells, training=training)

    left_out += _left_out(log, calendar, config, sequences.cells, group, seen, every)
    sequences = sequences._replace(cells=None)  # makes room for the largest arrays, which come now

    def laid(values: np.ndarray, empty: int = 0) -> np.ndarray:
        return padded(values, np.cumsum(group.size) - group.size, group.size, encoding.max_members, empty=empty)

    w = config.window
    batch = Batch(
        sequences=sequences.table,
        windows=np.ascontiguousarray(windows[:, :w]),
        individuals=static_table,
        accounts=account_table,
        members=laid(static),
        member_windows=laid(window),
        account=account,
        label=_labels(log, calendar, config, group, asked),
        mask=np.ones(len(group.account), bool),
        counts=None if sequences.counts is None else sequences.counts.astype(np.float32),
        count_windows=np.ascontiguousarray(windows[:, w : 2 * w]) if config.volumes else None,
        account_numbers=numbers,
        gaps=sequences.gaps,
        window_ages=ages(windows, config) if config.window_ages else None,
        member_numbers=None if of_members is None else laid(of_members),
    )
    samples = pd.DataFrame(
        {
            "account_id": log.account_ids[group.account],
            "cutoff": calendar.dates(group.cutoff),
            "period": group.cutoff,
            "n_members": group.size.astype(np.int64),
        }
    )
    _check_segments(log, samples)
    said, unit = [log.segments.iloc[group.account].reset_index(drop=True)], None
    if asked is not None and log.outcomes is not None:
        said.append(log.outcomes.segments.iloc[asked.row].reset_index(drop=True))
        unit = tuple(map(str, log.outcomes.segments))
    samples = texts_as_of(log, calendar, group.account, group.cutoff, pd.concat([samples, *said], axis=1))
    fitted_on = None if training is None else training[group.account]
    segments, encoding, of_segments = find_segments(encoding, samples, training=fitted_on)
    batch = batch._replace(segments=segments)
    notes = [*log.notes, *_unknown(log, ids, static_table, static), *of_segments]
    if config.opt_out_activity not in (None, *log.activities):
        notes.append(f"opt_out_activity: no event has the activity {config.opt_out_activity!r}")
    unlabeled = int(np.isnan(batch.label[:, 0]).sum())
    if unlabeled:
        why = "their period was not wholly observed" if asked is None else "their outcome is not known"
        notes.append(f"{unlabeled:,} samples have no label: {why}")
    panel = Panel(
        batch=batch,
        samples=samples,
        member_ids=laid(group.individual, empty=-1),
        individual_ids=log.individual_ids,
        left_out=(*log.left_out, *left_out),
        notes=tuple(notes),
        unit=unit,
    )
    return panel, encoding


def _labels(
    log: Log, calendar: Calendar, config: PanelConfig, group: Groups, asked: Asked | None
) -> Float[np.ndarray, "b H"]:
    """What became of each sample: as the row of the outcomes says, or by when its account converted."""
    if asked is None or log.outcomes is None:
        return outcomes(log, calendar, group.account, group.cutoff, config.horizons)
    return log.outcomes.label[asked.row, None].astype(np.float32)


def _check_segments(log: Log, samples: pd.DataFrame) -> None:
    """Raises if a segment is called like a column of the samples or of the scores, which would replace one of them."""
    own = {*samples, "probability", "raw_score", "rank", "attention", "label"}
    of_members = {"individual_id", "score", "share", "rank_in_account", "score_before", "new", "influence", "change"}
    given = {"accounts": (log.segments, own)}
    if log.outcomes is not None:  # which stand beside individuals, too
        given["outcomes"] = log.outcomes.segments, own | of_members
    for table, (segments, reserved) in given.items():
        taken = [name for name in map(str, segments) if name in reserved or name.startswith("probability_within_")]
        if taken:
            raise DataError(
                f"{table}.{taken[0]}: a column of the scores has this name. Rename it, or leave it out with the "
                f"setting exclude: {tuple(taken)!r}."
            )


def _statics(
    log: Log, calendar: Calendar, encoding: Encoding, group: Groups
) -> tuple[Int[np.ndarray, "I F"], Int[np.ndarray, " s"]]:
    """The distinct rows of static categories, and the row of each member as of the sample's cut-off."""
    ids = category_ids(log, encoding)
    if not encoding.categories:
        return np.zeros((2, 0), np.int32), np.ones(len(group.individual), np.int32)
    table, index = distinct_rows(np.append(ids, np.full((1, ids.shape[1]), UNKNOWN, np.int32), axis=0))
    version = versions_as_of(log.categories, calendar)(group.individual, group.for_members(group.cutoff))
    return table, index[version]  # the row added last, at -1, is for who is not known yet


def _accounts(
    log: Log, calendar: Calendar, encoding: Encoding, group: Groups
) -> tuple[Float[np.ndarray, "A G"], Int[np.ndarray, " b"]]:
    """The distinct rows of accounts' static numbers, and the row of each sample's account as of its cut-off."""
    width = sum(1 + scale.indicator for scale in encoding.numbers)
    if not width:
        return np.zeros((2, 0), np.float32), np.ones(len(group.account), np.int32)
    values, version = scaled_as_of(log.numbers, encoding.numbers, calendar, group, name="accounts")
    rows, index = np.unique(values, axis=0, return_inverse=True)
    return np.pad(rows, ((1, 0), (0, 0))), (index.ravel()[version] + 1).astype(np.int32)


def _left_out(
    log: Log,
    calendar: Calendar,
    config: PanelConfig,
    cells: Cells,
    group: Groups,
    span: Span,
    asked: Asked | None,
) -> list[LeftOut]:
    """Counts what no sample holds, by reason."""
    latest = cells.latest
    account = log.individual_account[cells.individual[latest]]
    last = span.last[account]
    beyond = np.maximum(cells.n_activities[latest] - config.max_activities, 0)
    unseen, where = cells.period[latest] >= last, "in or after their account's last period"
    if asked is not None:
        unseen, where = ~asked.looks_at(account, cells.period[latest], config), "in no window before an outcome"
    member = np.zeros(len(log.individual_ids), bool)
    member[group.individual] = True
    never = np.flatnonzero(~member)
    dates = calendar.dates(group.memberless[:5, 1]).strftime("%Y-%m-%d")
    pairs = [f"{log.account_ids[a]} at {date}" for a, date in zip(group.memberless[:5, 0], dates, strict=True)]
    rows = [
        LeftOut(
            "events", f"beyond the {config.max_activities} activities kept of a period", int(beyond[~unseen].sum())
        ),
        LeftOut("events", where, int(cells.n_activities[latest][unseen].sum())),
        LeftOut("individuals", "never a member at a cut-off", len(never), tuple(log.individual_ids[never[:5]])),
        LeftOut("samples", "nobody is a member at the cut-off", len(group.memberless), tuple(pairs)),
        LeftOut(
            "members", f"beyond the {config.max_members} most recently active, over all samples", group.crowded_out
        ),
    ]
    return [row for row in rows if row.rows]


def _unknown(log: Log, ids: np.ndarray, static_table: np.ndarray, static: np.ndarray) -> list[str]:
    """Notes on activities and levels that the encoding has not seen."""
    notes = []
    counts = counted(log.event_activity, len(log.activities)) * (ids == UNKNOWN)
    new, events = [log.activities[i] for i in np.flatnonzero(counts)], int(counts.sum())
    if new:
        notes.append(f"{events:,} events have an activity that training never saw: {', '.join(new[:5])}")
    levels = int(counted(static, len(static_table))[(static_table == UNKNOWN).any(axis=1)].sum())
    if levels:
        notes.append(f"{levels:,} members have a category that training never saw, or that is not known yet")
    return notes


def fingerprint(panel: Panel, encoding: Encoding) -> str:
    """A hash of the encoded samples and of what their numbers stand for: data with the same one train the same model.

    Args:
        panel: the samples.
        encoding: what they were encoded with.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256(repr(encoding).encode())
    if encoding.segments:
        digest.update(repr(encoding.segments).encode())
    for name, array in panel.batch._asdict().items():
        if array is not None:
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
