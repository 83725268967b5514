"""Tables of Spark become shards: rows are dealt by account, and each shard is encoded by whichever worker takes it."""

# Spark is there where somebody has it, which is seldom where this is checked.
# pyright: reportMissingImports=false

import contextlib
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from hanjax.config import Config, PanelConfig
from hanjax.data.encoding import Encoding
from hanjax.data.frames import OPTIONAL, REQUIRED
from hanjax.data.reading import read_parquet
from hanjax.data.sharding import Each, encode_parts
from hanjax.data.shards import Shards
from hanjax.errors import ConfigError, DataError, HanjaxError
from hanjax.types import Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Result = TypeVar("Result")

_SHARD = "hanjax_shard"
_STRANGERS = "individual_id: is not in the table individuals"


def encode_spark(
    spark: "SparkSession",
    events: "DataFrame | str | Path",
    individuals: "DataFrame | str | Path",
    accounts: "DataFrame | str | Path",
    account_features: "DataFrame | str | Path | None" = None,
    folds: "DataFrame | str | Path | None" = None,
    outcomes: "DataFrame | str | Path | None" = None,
    *,
    out: str | Path,
    shards: int,
    config: Config | PanelConfig | None = None,
    encoding: Encoding | None = None,
) -> Shards:
    """Encodes tables of Spark to shards, which together are the panel that ``hanjax`` makes of tables in memory.

    With ``Config`` it is the panel of a training: accounts are split, the encoding is fitted on the training accounts,
    and test accounts are left out. With ``PanelConfig`` it holds all accounts. Account by account the panel is the same
    to the bit, but for scaled numbers, which agree to 1e-6, as sums are added in another order.

    Args:
        spark: the session.
        events: a DataFrame of Spark, or where its Parquet lies; columns are those of ``Tables``.
        individuals: likewise.
        accounts: likewise.
        account_features: likewise; None if there are none.
        folds: likewise.
        outcomes: likewise; its rows are the samples then.
        out: the folder of shards, which driver and workers see under this path; beside it, dealt rows are stored for a
            while.
        shards: how many; a worker holds one in memory.
        config: all settings, or those of the data alone; None for the defaults of the latter.
        encoding: what was fitted before (``run.encoding``); None to fit one.

    Returns:
        The shards; ``left_out`` says what none of them holds, and why.

    Raises:
        ConfigError: if ``shards`` is not at least 1, or an encoding is given with the settings of a training.
        DataError: if the tables are not what they should be, or ``out`` is not empty.

    Example:
        >>> from pyspark.sql import SparkSession  # doctest: +SKIP
        >>> spark = SparkSession.builder.master("local[2]").getOrCreate()  # doctest: +SKIP
        >>> encode_spark(spark, "events", "individuals", "accounts", out="shards", shards=8)  # doctest: +SKIP
        Shards(8 shards, 52,310 samples of 2,000 accounts, 71 conversions; folder=shards)
    """
    out = Path(out)
    if shards < 1:
        raise ConfigError(f"shards: expected at least 1, got {shards}.")
    panel = config.panel if isinstance(config, Config) else config or PanelConfig()
    given = Tables(events, individuals, accounts, account_features, folds, outcomes)
    tables = {name: _frame(spark, name, table) for name, table in given._asdict().items() if table is not None}
    theirs = dict(panel.columns)
    account, individual = theirs.get("account_id", "account_id"), theirs.get("individual_id", "individual_id")
    for name, table in tables.items():
        if not {"account_id", account} & set(table.columns):
            raise DataError(
                f"{name}: the column 'account_id' is missing; the table has {table.columns}. Another name is given "
                "with the setting columns: (('account_id', 'their name'),)."
            )
    _one_account_each(tables["individuals"], individual, account)
    dealt = out.with_name(f".{out.name}.dealt")
    try:
        for name, table in tables.items():
            _deal(spark, table, account, shards, dealt / name)
        read = partial(_read, dealt, tuple(tables))
        made = encode_parts(read, out=out, config=config, encoding=encoding, shards=shards, each=each_on(spark))
    finally:
        shutil.rmtree(dealt, ignore_errors=True)
    if any((row.table, row.reason) == ("events", _STRANGERS) for row in made.left_out):
        try:
            _no_guests(tables["events"], tables["individuals"], individual, account)
        except DataError:
            shutil.rmtree(out, ignore_errors=True)
            raise
    return made


def each_on(spark: "SparkSession") -> Each:
    """Goes over parts on the workers of a Spark session, one part a task.

    Args:
        spark: the session.

    Returns:
        What ``encode_parts`` takes as ``each``. The function that it is given is sent to the workers, and so are its
        results back; an error of hanjax is raised here as it was there.
    """

    def each(function: Callable[[int], Result], parts: int) -> list[Result]:
        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                numbers = batch.column(0).to_pylist()
                results = [pickle.dumps(_tried(function, number)) for number in numbers]
                yield pa.RecordBatch.from_arrays([numbers, pa.array(results, pa.binary())], ["number", "result"])

        with warnings.catch_warnings():  # of pandas 3, which this does not use
            warnings.filterwarnings("ignore", message=".*pandas.*", category=FutureWarning)
            rows = spark.range(0, parts, 1, parts).mapInArrow(run, "number long, result binary").collect()
        found = [pickle.loads(row["result"]) for row in sorted(rows, key=lambda row: row["number"])]
        for one in found:
            if isinstance(one, HanjaxError):
                raise one
        return found

    return each


def _tried(function: Callable[[int], Any], number: int) -> Any:
    """What a function returns, or the error of hanjax that it raises: Spark would try that again, to no avail."""
    try:
        return function(number)
    except HanjaxError as error:
        return error


def _frame(spark: "SparkSession", name: str, table: "DataFrame | str | Path") -> "DataFrame":
    """A table as a DataFrame of Spark."""
    from pyspark.sql import DataFrame

    if isinstance(table, DataFrame):
        return table
    if not isinstance(table, str | Path):
        raise DataError(f"{name}: expected a DataFrame of Spark or where its Parquet lies, got {type(table).__name__}.")
    return spark.read.parquet(str(table))


def _deal(spark: "SparkSession", table: "DataFrame", account: str, shards: int, folder: Path) -> None:
    """Writes the rows of each shard to a folder of its own, as ``hanjax.data.parts.shards_of`` deals accounts."""
    from pyspark.sql import functions as of

    column = "account_id" if "account_id" in table.columns else account
    number = of.crc32(of.col(f"`{column}`").cast("string")) % shards
    dealt = table.withColumn(_SHARD, of.coalesce(number, of.lit(0)))  # rows without an id, which the check will name
    with _times_in_microseconds(spark):
        dealt.repartition(shards, _SHARD).write.mode("overwrite").partitionBy(_SHARD).parquet(str(folder))


@contextlib.contextmanager
def _times_in_microseconds(spark: "SparkSession") -> Iterator[None]:
    """Lets Spark write times in a way that keeps whether they have a zone."""
    name = "spark.sql.parquet.outputTimestampType"
    before = spark.conf.get(name)
    spark.conf.set(name, "TIMESTAMP_MICROS")
    try:
        yield
    finally:
        spark.conf.set(name, str(before))


def _read(folder: Path, names: tuple[str, ...], number: int) -> Tables:
    """The tables of one shard."""
    return Tables(**{**dict.fromkeys(REQUIRED), **{name: _rows(folder / name, number) for name in names}})


def _rows(folder: Path, number: int) -> pa.Table | None:
    """The rows of a table in one shard; there may be none."""
    files = sorted((folder / f"{_SHARD}={number}").glob("*.parquet"))
    if files:
        return pa.concat_tables([read_parquet(path) for path in files], promote_options="default")
    others = next(folder.glob("*/*.parquet"), None)
    if others is not None:
        return read_parquet(others).slice(0, 0)
    if folder.name in OPTIONAL:
        return None
    raise DataError(f"{folder.name}: the table has no rows. Check the query or the file that it came from.")


def _one_account_each(individuals: "DataFrame", individual: str, account: str) -> None:
    """Raises if an individual stands in two accounts, which may lie in two shards."""
    from pyspark.sql import functions as of

    who = "individual_id" if "individual_id" in individuals.columns else individual
    where = "account_id" if "account_id" in individuals.columns else account
    if who not in individuals.columns:
        return  # the check of the parts says so
    several = individuals.groupBy(who).agg(of.min(where).alias("one"), of.max(where).alias("other"))
    several = several.where(of.col("one") != of.col("other"))
    first = several.limit(5).collect()
    if first:
        raise DataError.rows(
            "individuals",
            "account_id",
            "puts an individual into a second account",
            count=several.count(),
            first=[f"individual {row[0]!r} in account {row[1]!r} and in {row[2]!r}" for row in first],
            remedy="An individual belongs to one account: give each membership an id of its own, in events as well.",
        )


def _no_guests(events: "DataFrame", individuals: "DataFrame", individual: str, account: str) -> None:
    """Raises if events that found no individual in their shard are those of individuals of other accounts."""
    from pyspark.sql import functions as of

    named = []
    for table, where in ((events, "there"), (individuals, "home")):
        who = "individual_id" if "individual_id" in table.columns else individual
        at = "account_id" if "account_id" in table.columns else account
        named.append(table.select(of.col(f"`{who}`").alias("who"), of.col(f"`{at}`").alias(where)))
    elsewhere = named[0].join(named[1].distinct(), "who").where(of.col("there") != of.col("home"))
    first = elsewhere.limit(5).collect()
    if first:
        raise DataError.rows(
            "events",
            "account_id",
            "is not the account of the individual",
            count=elsewhere.count(),
            first=[
                f"individual {row['who']!r} of account {row['home']!r} in account {row['there']!r}" for row in first
            ],
            remedy="An individual belongs to one account: give each membership an id of its own, in both tables.",
        )
