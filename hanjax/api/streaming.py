"""Training on shards, and scoring them: what ``fit`` and ``score`` do with data that outgrow the memory."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jax.sharding import Mesh
from jaxtyping import Int

from hanjax.api.calibrating import kept_from, learn_from_shards
from hanjax.api.given import settings_of
from hanjax.api.training import train, untrained
from hanjax.config import Config, TrainConfig
from hanjax.data.shards import Shards
from hanjax.data.splits import TRAIN, VALIDATION
from hanjax.errors import ConfigError, DataError
from hanjax.run import Run
from hanjax.scoring.scores import score_run
from hanjax.training.devices import first_alone, together
from hanjax.types import Scores

if TYPE_CHECKING:
    from hanjax.training.checkpoint import Checkpoints
    from hanjax.training.epochs import Fitted, Progress

_OF_THE_SPLIT = ("test", "test_fold", "validation", "until", "cross_validation")
"""Settings of training that decided which accounts the shards hold, and what was fitted on them."""


def fit_from_shards(
    shards: Shards,
    out: str | Path | None,
    config: Config | None,
    *,
    resume: bool,
    progress: bool,
    mesh: Mesh | None,
) -> Run:
    """What ``fit`` does with shards; arguments and errors are those of ``fit``.

    Raises:
        ConfigError: if the settings of the data or of the split are not those with which the shards were made.
        DataError: if the shards were not made for a training.
    """
    config = _settings(shards, config)
    split = shards.split
    assert split is not None
    parts, label = [], []
    for panel in shards:
        parts.append(split.loc[panel.samples["account_id"]].to_numpy())
        label.append(np.asarray(panel.batch.label)[parts[-1] == TRAIN])
    apart = kept_from(shards, config)
    run = untrained(config, shards.encoding, split, shards.batch(0), np.concatenate(label), shards.fingerprint)

    def training(settings: TrainConfig, checkpoints: "Checkpoints | None", show: "Progress | None") -> "Fitted":
        from hanjax.training.streaming import Part, fit_shards

        def read(number: int) -> Part:
            rows = (np.flatnonzero(parts[number] == name) for name in (TRAIN, VALIDATION))
            return Part(shards.batch(number), *rows, apart=None if apart is None else apart[number])

        return fit_shards(
            read, len(shards), run.network, settings, checkpoints=checkpoints, resume=resume, progress=show, mesh=mesh
        )

    calibrate = lambda: learn_from_shards(run, shards, apart)
    return train(run, out, training, calibrate, resume=resume, progress=progress)


def _settings(shards: Shards, config: Config | None) -> Config:
    """The settings given, if the shards were made with them; those of the shards if none are given."""
    made_with = shards.training
    if made_with is None or shards.split is None:
        raise DataError(
            f"{shards.folder}: the shards hold accounts that were not split into training and validation. Encode the "
            "data with all settings of the training: config=Config(...)."
        )
    config = made_with if config is None else settings_of(config, Config)
    pairs = [("panel", name) for name in made_with.to_dict()["panel"]] + [("train", name) for name in _OF_THE_SPLIT]
    pairs.append(("model", "segments"))  # whose levels were fitted with the encoding
    mine, theirs = config.to_dict(), made_with.to_dict()
    other = [
        f"{name} was {theirs[part][name]!r}, is {mine[part][name]!r}"
        for part, name in pairs
        if mine[part][name] != theirs[part][name]
    ]
    if config.train.seed_of_split != made_with.train.seed_of_split:
        other.append(f"split_seed was {made_with.train.seed_of_split}, is {config.train.seed_of_split}")
    if other:
        raise ConfigError(
            f"{shards.folder}: the shards were made with other settings ({'; '.join(other)}). Use the same ones, or "
            "encode the data again."
        )
    return config


class ScoredShards(NamedTuple):
    """Scores that are too many to be returned.

    Args:
        folder: holds ``accounts`` and ``individuals``, folders of one Parquet file a shard, whose columns are those of
            ``Scores``; any reader of Parquet takes each of them for one table.
        accounts: rows of all accounts.
        individuals: rows of all individuals.
    """

    folder: Path
    accounts: int
    individuals: int


def score_shards(
    run: Run, shards: Shards, out: str | Path, *, raw: bool, progress: Callable[[int], object] | None = None
) -> ScoredShards:
    """Scores one shard after the other, and writes what ``score`` would return.

    Several processes that JAX has joined deal the shards among them, and all write to the one folder.

    Args:
        run: the model.
        shards: encoded with its encoding.
        out: the folder of scores; it is made.
        raw: leave the class weight of the loss in the probabilities, and calibrate nothing.
        progress: called with the number of samples just scored.

    Returns:
        Where the scores are. Ranks are among all accounts of a cut-off, whichever shard they are in; they are written
        last, and empty until then.

    Raises:
        ConfigError: if the shards were not encoded as the model needs it.
        RunError: if another of several processes could not go on.
    """
    folder = Path(out)
    accounts, individuals = folder / "accounts", folder / "individuals"
    holding = _holding(shards)

    def score_mine() -> None:
        mine = holding[jax.process_index() :: jax.process_count()]
        for number, scores in scores_of(run, shards, mine, raw=raw, progress=progress):
            table = pa.Table.from_pandas(scores.accounts, preserve_index=False)
            # Until all shards are scored no rank is known, and an interrupted scoring must not look like a whole one.
            ranked = _with_rank(table, pa.nulls(len(table), pa.int64()))
            members = pa.Table.from_pandas(scores.individuals, preserve_index=False)
            for table, where in ((ranked, accounts), (members, individuals)):
                where.mkdir(parents=True, exist_ok=True)
                _replace(table, where / _file(number))

    def finish() -> None:
        for where in (accounts, individuals):
            for path in {*where.glob("shard-*.parquet")}.difference(where / _file(number) for number in holding):
                path.unlink()  # an earlier scoring, of more shards, has left it
        paths = [accounts / _file(number) for number in holding]
        raw_scores = [pq.ParquetFile(path).read(["cutoff", "raw_score"]).to_pandas() for path in paths]
        for path, rank in zip(paths, _ranks(raw_scores), strict=True):
            _replace(_with_rank(pq.ParquetFile(path).read(), pa.array(rank)), path)

    together(score_mine)
    first_alone(finish)
    rows = [sum(pq.read_metadata(where / _file(n)).num_rows for n in holding) for where in (accounts, individuals)]
    return ScoredShards(folder, *rows)


def joined_scores(run: Run, shards: Shards, *, raw: bool, progress: Callable[[int], object] | None = None) -> Scores:
    """The scores of all shards, as those of one panel; see ``score_shards``."""
    parts = [scores for _, scores in scores_of(run, shards, _holding(shards), raw=raw, progress=progress)]
    ranks = _ranks([scores.accounts[["cutoff", "raw_score"]] for scores in parts])
    accounts = pd.concat([s.accounts.assign(rank=rank) for s, rank in zip(parts, ranks, strict=True)])
    individuals = pd.concat([scores.individuals for scores in parts])
    by_sample = ["account_id", "cutoff"]
    return Scores(*(t.sort_values(by_sample, kind="stable", ignore_index=True) for t in (accounts, individuals)))


def scores_of(
    run: Run,
    shards: Shards,
    numbers: Sequence[int],
    *,
    raw: bool,
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[int, Scores]]:
    """The number and the scores of each of some shards that hold samples; ranks are among the accounts of the shard.

    Raises:
        ConfigError: if the shards were not encoded as the model needs it.
    """
    if shards.encoding != run.encoding or shards.config != run.config.panel:
        raise ConfigError(
            f"{shards.folder}: the shards were not encoded as the model needs it. Encode the data with "
            "config=run.config.panel and encoding=run.encoding."
        )
    for number in numbers:
        yield number, score_run(run, shards.panel(number), raw=raw, progress=progress)


def _ranks(raw_scores: list[pd.DataFrame]) -> list[Int[np.ndarray, " b"]]:
    """The rank of each account at its cut-off, among all shards."""
    every = pd.concat(raw_scores, ignore_index=True)
    rank = every.groupby("cutoff")["raw_score"].rank(ascending=False, method="min").to_numpy().astype(np.int64)
    return np.split(rank, np.cumsum([len(scores) for scores in raw_scores])[:-1])


def _with_rank(accounts: pa.Table, rank: pa.Array) -> pa.Table:
    return accounts.set_column(accounts.column_names.index("rank"), "rank", rank)


def _holding(shards: Shards) -> list[int]:
    """The numbers of the shards that hold any sample."""
    return [number for number, shard in enumerate(shards.shards) if shard.samples]


def _file(number: int) -> str:
    return f"shard-{number:05d}.parquet"


def _replace(table: pa.Table, path: Path) -> None:
    """Writes a file, which appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(table, partial)
    partial.replace(path)
