"""What is to be trained on which data, in which order; and the loop that does it, row by row."""

import gc
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax

from hanjax.config import Config, PanelConfig
from hanjax.errors import HanjaxError
from hanjax.reproduction.learn import Learned, learn
from hanjax.reproduction.rows import Row
from hanjax.reproduction.store import Finished, Key, Store
from hanjax.reproduction.worlds import Panels, World, encode_world

Progress = Callable[[str, float, float], None]
"""Called with a sentence, the work done so far, and all the work, in the same unit."""


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        row: what is trained.
        config: with which settings.
        seed: of parameters and order.
        world: on which data.
    """

    row: Row
    config: Config
    seed: int
    world: World

    @property
    def key(self) -> Key:
        """What the outcome is stored under."""
        return Key.of(self.row, self.config, self.seed, self.world.name, self.world.digest)

    @property
    def work(self) -> float:
        """How long it takes, about: passes over training samples, in a unit that only comparisons can use."""
        accounts = float(self.world.training.sum())
        if self.row.kind != "network":
            return 0.05 * accounts * 20
        passes = 1 if self.row.eventually else 20
        return accounts * passes * self.config.train.epochs / 20 + 300 * 20


def make_jobs(rows: Sequence[Row], world: World, *, seeds: int, epochs: int | None) -> list[Job]:
    """Every training of some rows on one world, those that share data and program one after the other.

    Args:
        rows: what is trained.
        world: on which data.
        seeds: how often, with other first parameters.
        epochs: passes over the data instead of the paper's; None for those.

    Returns:
        The jobs.
    """
    configs = {row: row.config(epochs, world.settings) for row in rows}
    return [
        Job(row, configs[row], seed, world)
        for row in sorted(rows, key=lambda row: repr(configs[row].panel))
        for seed in range(1 if row.once else max(seeds, 1))
    ]


def run_jobs(jobs: Sequence[Job], store: Store, *, progress: Progress | None = None) -> None:
    """Trains what is not finished yet, and stores every row as soon as it is; one that fails is stored as failed.

    On an accelerator a row's seeds are trained side by side; a CPU would take as long for that as for one after the
    other. A row that failed before is tried again.

    Args:
        jobs: what to train.
        store: where finished rows lie.
        progress: called before every training, or several side by side, and at the end.
    """
    waiting = [job for job in jobs if (done := store.read(job.key, scores=False)) is None or done.error]
    done, total, number = 0.0, sum(job.work for job in waiting), 0
    encoded: tuple[str, PanelConfig, Panels] | None = None
    before: Row | None = None
    in_turn = jax.default_backend() == "cpu"
    of_group = lambda job: (job.row, job.config, job.world.digest, job.seed if in_turn else None)
    for (row, config, digest, _), group in itertools.groupby(waiting, of_group):
        some = list(group)
        world, seeds = some[0].world, [job.seed for job in some]
        if progress is not None:
            which = f"seed {', '.join(map(str, seeds))} ({number + 1} of {len(waiting)})"
            progress(f"{world.name}: {row.name}, {which}", done, total)
        if before not in (None, row):
            # Each program takes thousands of mappings of memory, of which a process may have 65,530 on Linux.
            jax.clear_caches()
        before, number = row, number + len(some)
        started = time.perf_counter()
        outcomes: list[Learned | Exception] = []
        try:
            if encoded is None or encoded[:2] != (digest, config.panel):
                encoded = None  # the panels before go first
                gc.collect()
                encoded = (digest, config.panel, encode_world(world, config.panel))
            outcomes.extend(learn(row, config, seeds, world, encoded[2]))
        except Exception as error:  # whatever it is, the other rows go on, and the report says so
            outcomes += [error] * (len(some) - len(outcomes))
        seconds = (time.perf_counter() - started) / len(some)
        for job, outcome in zip(some, outcomes, strict=True):
            store.write(_finished(job, seconds, outcome))
            done += job.work
    if progress is not None:
        progress("all rows are there", done, total)


def _finished(job: Job, seconds: float, outcome: Learned | Exception) -> Finished:
    """What is stored of a training."""
    finished = Finished(job.key, seconds)
    if isinstance(outcome, Exception):
        what = str(outcome) if isinstance(outcome, HanjaxError) else f"{type(outcome).__name__}: {outcome}"
        finished.error = what.splitlines()[0][:500] if what else type(outcome).__name__
    else:
        finished.scores, finished.loss = outcome.scores, outcome.loss
        finished.samples, finished.conversions = outcome.samples, outcome.conversions
    return finished
