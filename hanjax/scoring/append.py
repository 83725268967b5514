"""Adds the scores of new cut-offs to stored ones, and scores again only what rows that came late, or changed, touch."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int

from hanjax.data.digests import Digests, make_digests
from hanjax.data.log import NEVER, Log
from hanjax.data.panel import NoSampleError, calendar_of, make_panel
from hanjax.data.periods import Calendar
from hanjax.data.recent import take_recent
from hanjax.data.samples import Span, find_presence, find_span
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.scoring.folder import Stored, identity, read_folder, write_folder
from hanjax.scoring.merging import account_codes, locate, merge
from hanjax.scoring.scores import score_run
from hanjax.tabular.run import AnyRun
from hanjax.types import Scores, Tables


class Counts(NamedTuple):
    """How many accounts were treated how.

    Args:
        unchanged: their past is what it was: scored at cut-offs after the last one alone, if there are any.
        added: rows were added to their past, without ``known_at`` or with an early one; scored again from the first
            cut-off on that sees one of them.
        removed: rows of their past are gone; likewise.
        corrected: as many rows of their past are there as before, but not the same ones; likewise.
        new: not scored before, and scored at all cut-offs.
        gone: not there any more, so that their scores were dropped.
        cut_short: observed, as is known now, for a shorter time than they had been scored, so that scores were dropped;
            also counted among the others.
    """

    unchanged: int
    added: int
    removed: int
    corrected: int
    new: int
    gone: int
    cut_short: int


class Appended(NamedTuple):
    """What was added to a folder of scores.

    Args:
        scores: the rows that were scored now, as ``score_panel`` gives them; ranks are among all accounts.
        cutoffs: the cut-offs, after the last one scored before, that have scores now.
        counts: how many accounts were treated how.
        accounts: rows of the whole table of accounts.
        individuals: rows of the whole table of individuals.
    """

    scores: Scores
    cutoffs: pd.DatetimeIndex
    counts: Counts
    accounts: int
    individuals: int

    def __repr__(self) -> str:
        """Says which cut-offs are new, and how many accounts were treated how."""
        shown = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts._asdict().items())
        new = f"{len(self.cutoffs) or 'no'} new cut-off{'s' * (len(self.cutoffs) > 1)}"
        return f"Appended({new}; {len(self.scores.accounts):,} of {self.accounts:,} scores made now; accounts: {shown})"


class _Plan(NamedTuple):
    """What is to be done with each account.

    Args:
        keep: scores at cut-offs before this one stay.
        earliest: the first cut-off to score; ``len(calendar.starts)`` where there is none.
        scored: the last cut-off scored before, of any account; -1 if there is none.
        counts: how many accounts are treated how.
    """

    keep: Int[np.ndarray, " a"]
    earliest: Int[np.ndarray, " a"]
    scored: int
    counts: Counts


def append_scores(
    run: AnyRun,
    data: Tables | Log,
    folder: str | Path,
    *,
    raw: bool = False,
    anew: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Appended:
    """Brings the scores in a folder up to date with longer tables.

    Afterwards the folder holds what it would if all of it were scored now: every account and individual at every
    cut-off. An account whose past did not change is encoded and scored at its new cut-offs alone; one whose past did,
    from the first cut-off on that sees a difference. The first time, everything is new.

    Args:
        run: the model; the same one each time.
        data: the whole tables as they are now, or the log that ``check`` made of them.
        folder: where ``accounts.parquet`` and ``individuals.parquet`` lie, and what they were made of.
        raw: leave the class weight of the loss in the probabilities.
        anew: score everything, whatever the folder holds; it must be, if the log has outcomes.
        progress: called with the number of samples just scored.

    Returns:
        What was added, and how many accounts were scored again, and why.

    Raises:
        DataError: if the tables are not what they should be, nobody can be scored, or outcomes are to be added to.
        RunError: if the model is not trained, or the folder's scores are damaged, of another model, or of other
            settings.

    Example:
        >>> import hanjax, tempfile
        >>> from hanjax.scoring.append import append_scores
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = append_scores(run, market.tables, folder)
        ...     again = append_scores(run, market.tables, folder)
        >>> first.counts.new, again.counts.unchanged, len(again.scores.accounts)
        (60, 60, 0)
    """
    if not run.trained:
        raise RunError("The run holds no trained parameters. Train it with `fit` first.")
    log = check(data, run.config.panel) if isinstance(data, Tables) else data
    if log.outcomes is not None:
        return _of_outcomes(run, log, Path(folder), raw=raw, anew=anew, progress=progress)
    folder, made_by, config = Path(folder), identity(run, raw=raw), run.config.panel
    stored = None if anew else read_folder(folder, made_by)
    calendar = calendar_of(log, config)
    span, _ = find_span(log, calendar, find_presence(log, calendar, opt_out_activity=config.opt_out_activity))
    digests = make_digests(log, calendar, config, run.encoding, span)
    plan = _plan(log, calendar, span, digests, stored)

    before = None if stored is None else locate(stored.accounts, stored.individuals, log, calendar)
    kept = np.zeros(0, bool)
    if before is not None:
        kept = before.cutoff < np.append(plan.keep, 0)[before.account]  # of accounts that are gone, nothing
    fresh = None
    if (plan.earliest < len(calendar.starts)).any() or not kept.any():
        try:
            fresh = _score(run, log, calendar, plan.earliest, raw=raw, progress=progress)
        except NoSampleError:  # whoever has a new cut-off has no member there
            if not kept.any():
                raise
    added = None if fresh is None else locate(_as_arrow(fresh.accounts), _as_arrow(fresh.individuals), log, calendar)
    accounts, individuals, ranks = merge(before, kept, added, _as_arrow(log.segments))
    if stored is None or added is not None or not accounts.equals(stored.accounts):
        write_folder(folder, Stored(accounts, individuals, _state(log, calendar, span, digests)), made_by)

    if fresh is None or added is None:
        fresh, new = Scores(accounts[:0].to_pandas(), individuals[:0].to_pandas()), np.zeros(0, np.int64)
    else:
        fresh, new = fresh._replace(accounts=fresh.accounts.assign(rank=ranks)), np.unique(added.cutoff)
    return Appended(
        scores=fresh,
        cutoffs=calendar.dates(new[new > plan.scored]),
        counts=plan.counts,
        accounts=len(accounts),
        individuals=len(individuals),
    )


def _of_outcomes(
    run: AnyRun, log: Log, folder: Path, *, raw: bool, anew: bool, progress: Callable[[int], object] | None
) -> Appended:
    """Scores all rows of a log's outcomes; nothing is kept by which others could be added."""
    if not anew:
        raise DataError(
            "outcomes: scores of their rows cannot be added to, as a row may come, go or change at any cut-off. Score "
            "anew, without append."
        )
    panel, _ = make_panel(log, run.config.panel, run.encoding)
    scores = score_run(run, panel, raw=raw, progress=progress)
    accounts, individuals = _as_arrow(scores.accounts), _as_arrow(scores.individuals)
    names = ("account_id", "last", "cutoff", "rows", "total")
    state = pa.table({name: pa.array([], pa.int64()) for name in names})
    write_folder(folder, Stored(accounts, individuals, state), identity(run, raw=raw) | {"outcomes": True})
    new = scores.accounts["account_id"].nunique()
    counts = Counts(unchanged=0, added=0, removed=0, corrected=0, new=new, gone=0, cut_short=0)
    cutoffs = pd.DatetimeIndex(scores.accounts["cutoff"].unique()).sort_values()
    return Appended(scores, cutoffs, counts, len(accounts), len(individuals))


def _plan(log: Log, calendar: Calendar, span: Span, digests: Digests, stored: Stored | None) -> _Plan:
    """Holds what is known of each account against what was known when it was scored."""
    n, end = len(log.account_ids), len(calendar.starts)
    scored, rows, total = np.full(n, -1), np.zeros_like(digests.rows), np.zeros_like(digests.total)
    gone = 0
    if stored is not None:
        code = account_codes(stored.state["account_id"], log)
        gone = len(stored.state["account_id"].filter(pa.array(code < 0)).unique())
        last, cutoff, *digest = (stored.state[name].to_numpy()[code >= 0] for name in stored.state.column_names[1:])
        at = code[code >= 0], np.searchsorted(calendar.starts, cutoff)
        scored[at[0]] = np.searchsorted(calendar.starts, last)
        np.add.at(rows, at, digest[0])
        np.add.at(total, at, digest[1])

    past = np.arange(total.shape[1]) <= scored[:, None]
    differs = (total != digests.total) & past
    changed = differs.any(axis=1)
    more = (digests.rows * past).sum(axis=1) - rows.sum(axis=1)
    last = np.where(span.first <= span.last, span.last, -1)
    same_until = np.where(changed, differs.argmax(axis=1), scored + 1)
    earliest = np.maximum(same_until, span.first)
    before = scored >= 0
    counts = Counts(
        unchanged=int((before & ~changed).sum()),
        added=int((changed & (more > 0)).sum()),
        removed=int((changed & (more < 0)).sum()),
        corrected=int((changed & (more == 0)).sum()),
        new=int((~before & (last >= 0)).sum()),
        gone=gone,
        cut_short=int((last < scored).sum()),
    )
    return _Plan(
        keep=np.minimum(same_until, last + 1),
        earliest=np.where(earliest <= last, earliest, end),
        scored=int(scored.max(initial=-1)),
        counts=counts,
    )


def _state(log: Log, calendar: Calendar, span: Span, digests: Digests) -> pa.Table:
    """What is to be known the next time: the digests up to the last cut-off of each account."""
    number = np.arange(digests.rows.shape[1])
    sampled = (span.first[:, None] <= number) & (number <= span.last[:, None])
    account, cutoff = np.nonzero(sampled & (digests.rows > 0))
    return pa.table(
        {
            "account_id": pa.array(log.account_ids[account]),
            "last": calendar.starts[span.last[account]],
            "cutoff": calendar.starts[cutoff],
            "rows": digests.rows[account, cutoff],
            "total": digests.total[account, cutoff],
        }
    )


def _score(
    run: AnyRun,
    log: Log,
    calendar: Calendar,
    earliest: Int[np.ndarray, " a"],
    *,
    raw: bool,
    progress: Callable[[int], object] | None,
) -> Scores:
    """Encodes and scores each account from a cut-off on."""
    recent, earliest = take_recent(log, calendar, run.config.panel, earliest)
    times = np.append(calendar.starts, NEVER)[earliest]
    panel, _ = make_panel(recent, run.config.panel, run.encoding, cutoffs=(times, NEVER), calendar=calendar)
    return score_run(run, panel, raw=raw, progress=progress)


def _as_arrow(table: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(table, preserve_index=False)
