"""Scoring: a run and tables in, DataFrames out."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, overload

import jax
import numpy as np
from jaxtyping import Float

from hanjax.api.given import Data, run_of, shards_in, tables_of
from hanjax.api.streaming import ScoredShards, joined_scores, score_shards
from hanjax.data.dates import observed_until
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.errors import ConfigError
from hanjax.evaluation.calibration import apply_calibration, probability, unweight
from hanjax.scoring import append as scoring
from hanjax.scoring.append import Appended
from hanjax.scoring.scores import score_run
from hanjax.tabular.run import AnyRun
from hanjax.training.devices import first_process
from hanjax.types import Panel, Scores


@overload
def score(
    run: AnyRun | str | Path, data: Data, *, as_of: Any = ..., raw: bool = ..., progress: bool = ..., out: None = ...
) -> Scores: ...


@overload
def score(
    run: AnyRun | str | Path, data: Data, *, raw: bool = ..., progress: bool = ..., out: str | Path
) -> ScoredShards: ...


def score(
    run: AnyRun | str | Path,
    data: Data,
    *,
    as_of: Any = None,
    raw: bool = False,
    progress: bool = False,
    out: str | Path | None = None,
) -> Scores | ScoredShards:
    """Scores every account and each of its individuals, at every cut-off or as of one date.

    Args:
        run: the model, or its folder.
        data: tables, or their folder; accounts that training never saw are the normal case. Or shards, or theirs,
            encoded with the run's encoding: memory holds one of them.
        as_of: a date: scores are those at the start of the period that holds it. None for every cut-off, the last one
            (whose outcome is not known yet) among them. With a table of outcomes, its rows are scored: those of that
            period, or all; what is said there of their labels is not read.
        raw: leave the class weight of the loss in the probabilities, and calibrate nothing.
        progress: show a bar.
        out: of shards, the folder to write the scores to, in files of one shard each; None to return them. Several
            processes that ``jax.distributed.initialize`` has joined deal the shards among them.

    Returns:
        The scores of accounts and of individuals; see ``hanjax.scoring.scores.score_panel`` for the columns. With
        ``out``, where they are.

    Raises:
        ConfigError: if shards are not encoded with the run's encoding, or are to be scored as of a date.
        DataError: if the tables are not what they should be, or nobody can be scored as of the date.
        RunError: if the run cannot be read.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> scores = hanjax.score(run, market.tables, as_of="2021-06-30")
        >>> scores.accounts["cutoff"].dt.strftime("%Y-%m-%d").unique().tolist()
        ['2021-06-27']
    """
    run = run_of(run)
    if (shards := shards_in(data)) is not None:
        if as_of is not None:
            raise ConfigError("as_of: shards are scored at every cut-off. Take from the scores those that you need.")
        share = (
            shards.samples if out is None or jax.process_count() == 1 else None
        )  # of several, what one shows is its own
        with progress_bar(share, progress and first_process()) as update:
            if out is None:
                return joined_scores(run, shards, raw=raw, progress=update)
            return score_shards(run, shards, out, raw=raw, progress=update)
    if out is not None:
        raise ConfigError("out: of tables, scores are returned; write them with .accounts.to_parquet(path), or append.")
    log = check(tables_of(data), run.config.panel)
    cutoffs = None
    if as_of is not None:
        log, cutoff = observed_until(log, run.config.panel, as_of)
        cutoffs = (cutoff, cutoff)
    panel, _ = make_panel(log, run.config.panel, run.encoding, cutoffs=cutoffs)
    return score_encoded(run, panel, raw=raw, progress=progress)


def append_scores(
    run: AnyRun | str | Path,
    data: Data,
    folder: str | Path,
    *,
    raw: bool = False,
    anew: bool = False,
    progress: bool = False,
) -> Appended:
    """Brings a folder of scores up to date: encodes and scores what is new or has changed, and nothing else.

    Afterwards the folder holds what ``score`` gives for the same tables: ``accounts.parquet``, ``individuals.parquet``,
    and ``state.parquet``, by which the next call tells what has changed.

    Args:
        run: the model, or its folder.
        data: all tables, as they are now, or their folder.
        folder: where the scores are; it is made if it is not there.
        raw: leave the class weight of the loss in the probabilities, and calibrate nothing.
        anew: score everything, whatever the folder holds; with a table of outcomes there is no other way.
        progress: show a bar.

    Returns:
        The scores that are new, and how many accounts were treated how; ``print`` says it.

    Raises:
        DataError: if the tables are not what they should be, or outcomes are to be added to.
        RunError: if the folder's scores are of another model, or damaged.

    Example:
        >>> import hanjax
        >>> from hanjax.api import append_scores
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> first = append_scores(run, market.tables, "scores")
        >>> append_scores(run, market.tables, "scores").counts.unchanged
        60
    """
    run = run_of(run)
    with progress_bar(None, progress) as update:
        return scoring.append_scores(run, tables_of(data), folder, raw=raw, anew=anew, progress=update)


def score_encoded(run: AnyRun, panel: Panel, *, raw: bool = False, progress: bool = False) -> Scores:
    """Scores every sample of a panel, and its members, with a bar if wanted."""
    with progress_bar(len(panel.samples), progress) as update:
        return score_run(run, panel, raw=raw, progress=update)


@contextlib.contextmanager
def progress_bar(samples: int | None, progress: bool) -> Iterator[Callable[[int], object] | None]:
    """What is told how many samples were just scored, and shows it; None if nothing is to be shown."""
    if not progress:
        yield None
        return
    from tqdm import tqdm

    bars: list[tqdm] = []

    def update(scored: int) -> None:
        if not bars:  # not before the tables have been read, which may fail
            bars.append(tqdm(total=samples, unit="sample", desc="scoring"))
        bars[0].update(scored)

    try:
        yield update
    finally:
        for bar in bars:
            bar.close()


def probabilities(run: AnyRun, logit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """What a run makes of its network's log-odds for the first horizon: without the class weight, calibrated."""
    unweighted = unweight(logit, positive_weight=run.positive_weight)
    return probability(unweighted) if run.calibrations is None else apply_calibration(run.calibrations[0], unweighted)
