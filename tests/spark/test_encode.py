"""Spark makes the panel that one machine makes, account by account."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hanjax.api import encode, prepare
from hanjax.cli import main
from hanjax.config import Config, PanelConfig
from hanjax.data.parts import shards_of
from hanjax.data.shards import Shards
from hanjax.errors import ConfigError, DataError
from hanjax.spark import encode_spark
from tests import trained
from tests.data.same_panels import assert_same_panels
from tests.data.test_outcomes import asked

pyspark = pytest.importorskip("pyspark")
pytestmark = pytest.mark.slow  # Spark takes a while to start, and then for each of its jobs


@pytest.fixture(scope="module")
def spark():
    os.environ["PYSPARK_PYTHON"] = sys.executable  # or workers would be the first python3 of the path
    with warnings.catch_warnings():  # Spark forks to start Java, which is nothing that JAX has to warn of
        warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
        session = (
            pyspark.sql.SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.memory", "512m")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.executorEnv.PYTHONPATH", str(Path(__file__).parents[2]))
            .getOrCreate()
        )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def written(tables, folder):
    """The tables as Parquet, by name."""
    folder.mkdir()
    for name, table in tables._asdict().items():
        if table is not None:
            table.to_parquet(folder / f"{name}.parquet", index=False, coerce_timestamps="us")
    return {path.stem: path for path in folder.iterdir()}


def test_a_training_is_encoded_as_in_memory(spark, tmp_path):
    config = trained.CONFIG.replace(
        account_numbers=("periods_observed", "activity_counts"), member_numbers=("activities",)
    )
    files = written(trained.market(), tmp_path / "tables")
    shards = encode_spark(spark, **files, out=tmp_path / "shards", shards=3, config=config)
    run, panel = prepare(trained.market(), config)
    assert len(shards) == 3 and shards.split.equals(run.split.astype(object))
    assert_same_panels(shards, panel, run.encoding)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "tables"]  # nothing else is left behind
    assert spark.conf.get("spark.sql.parquet.outputTimestampType") == "INT96"


def test_outcomes_are_the_samples(spark, tmp_path):
    tables = trained.market()._replace(outcomes=asked())
    config = trained.CONFIG.replace(segments=("region",))
    shards = encode_spark(spark, **written(tables, tmp_path / "tables"), out=tmp_path / "s", shards=3, config=config)
    run, panel = prepare(tables, config)
    assert_same_panels(shards, panel, run.encoding)


def test_with_a_given_encoding_it_is_the_same_to_the_bit(spark, tmp_path):
    """Frames of Spark, other names of columns, more shards than accounts: some have nothing, and one has no event."""
    tables, config = trained.market(), trained.CONFIG.panel
    few = tables.accounts["account_id"].unique()[:5]
    tables = type(tables)(*(t if t is None else t[t["account_id"].isin(few)] for t in tables))
    tables = tables._replace(events=tables.events[tables.events["account_id"] != few[0]])
    encoding = trained.trained().encoding
    expected = trained.encoded(tables, encoding)
    renamed = type(tables)(*(t if t is None else t.rename(columns={"account_id": "organization"}) for t in tables))
    frames = {name: spark.read.parquet(str(path)) for name, path in written(renamed, tmp_path / "tables").items()}
    config = PanelConfig(**{**vars(config), "columns": (("account_id", "organization"),)})
    shards = encode_spark(spark, **frames, out=tmp_path / "shards", shards=8, config=config, encoding=encoding)
    assert min(shard.samples for shard in shards.shards) == 0
    assert_same_panels(shards, expected, encoding, tolerance=0)
    numbers = {one: number for number, panel in enumerate(shards) for one in panel.samples["account_id"]}
    assert [numbers[one] for one in few if one in numbers] == shards_of(
        [one for one in few if one in numbers], 8
    ).tolist()


def test_errors_come_as_they_are(spark, tmp_path):
    tables = trained.market()
    files = written(tables, tmp_path / "tables")
    with pytest.raises(ConfigError, match="shards: expected at least 1, got 0"):
        encode_spark(spark, **files, out=tmp_path / "shards", shards=0)
    stranger = tables.events.assign(individual_id=tables.events["individual_id"].where(tables.events.index != 7, "x"))
    stranger.to_parquet(tmp_path / "events.parquet", index=False, coerce_timestamps="us")
    stray = {**files, "events": tmp_path / "events.parquet"}
    with pytest.raises(DataError, match="events.individual_id: is not in the table individuals .1 row; first: x"):
        encode_spark(spark, **stray, out=tmp_path / "shards", shards=2)
    with pytest.raises(
        DataError, match="individuals: expected a DataFrame of Spark or where its Parquet lies, got int"
    ):
        encode_spark(spark, **{**files, "individuals": 3}, out=tmp_path / "other", shards=2)
    one, other = tables.individuals.iloc[0], tables.individuals.iloc[-1]
    twice = pd.concat([tables.individuals, pd.DataFrame([one]).assign(account_id=other["account_id"])])
    twice.to_parquet(tmp_path / "individuals.parquet", index=False, coerce_timestamps="us")
    with pytest.raises(DataError, match=f"second account .1 row; first: individual '{one['individual_id']}'"):
        encode_spark(spark, **{**files, "individuals": tmp_path / "individuals.parquet"}, out=tmp_path / "b", shards=2)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_event_in_another_account_is_an_error_even_if_strays_are_dropped(spark, tmp_path):
    tables = trained.market()
    first, last = tables.events.iloc[0], tables.events.iloc[-1]
    accounts = [first["account_id"], last["account_id"]]
    assert len(set(shards_of(accounts, 2))) == 2  # so that no shard knows both
    guest = pd.DataFrame([last]).assign(individual_id=first["individual_id"]).astype(tables.events.dtypes)
    files = written(tables._replace(events=pd.concat([tables.events, guest])), tmp_path / "tables")
    config = Config().replace(strays="drop").panel
    with pytest.raises(DataError, match="is not the account of the individual .1 row"):
        encode_spark(spark, **files, out=tmp_path / "shards", shards=2, config=config)


def test_small_shards_are_no_reason_to_take_a_column_for_ids(spark, tmp_path):
    """Twenty-four individuals of one shard may have as many levels, if all individuals together have few."""
    tables = trained.market()
    people = tables.individuals["individual_id"].unique()
    role = dict(zip(people, np.arange(len(people)) % 30, strict=True))
    tables = tables._replace(
        individuals=tables.individuals.assign(role=tables.individuals["individual_id"].map(role).astype(str))
    )
    shards = encode_spark(spark, **written(tables, tmp_path / "tables"), out=tmp_path / "shards", shards=6)
    assert_same_panels(shards, encode(tables), None)


def test_the_command_makes_the_shards_of_the_function(spark, tmp_path, capsys):
    files = written(trained.market()._replace(outcomes=asked()), tmp_path / "tables")
    trained.CONFIG.write(tmp_path / "settings.json")
    given = [
        "encode",
        tmp_path / "tables",
        "--config",
        tmp_path / "settings.json",
        "--spark",
        "local[2]",
        "--shards",
        2,
    ]
    assert main([*map(str, given), "--out", str(tmp_path / "shards")]) == 0
    shards = Shards.read(tmp_path / "shards")
    printed = capsys.readouterr().out
    assert repr(shards) in printed
    assert all(f"left out: {row.table}, {row.reason}: {row.rows:,}" in printed for row in shards.left_out)
    expected = encode_spark(spark, **files, out=tmp_path / "expected", shards=2, config=trained.CONFIG)
    assert shards.fingerprint == expected.fingerprint
    files["accounts"].unlink()
    assert main([*map(str, given), "--out", str(tmp_path / "other")]) == 1
    assert "there is no accounts.parquet" in capsys.readouterr().err
