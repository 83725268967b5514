"""From shards to a run and to scores: what ``fit`` and ``score`` make of the same data in memory."""

import functools

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import hanjax
from hanjax.api.calibrating import kept_from
from hanjax.api.fitting import prepare
from hanjax.config import Config
from hanjax.data.parts import shards_of
from hanjax.data.sharding import encode_parts
from hanjax.data.splits import deal_accounts
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.types import Tables
from tests import trained
from tests.data.test_outcomes import asked


def dealt(tables, parts):
    """The tables of each part."""
    take = lambda table, part: None if table is None else table[shards_of(table["account_id"], parts) == part]
    return [Tables(*(take(table, part) for table in tables)) for part in range(parts)]


@functools.cache
def made(folder, parts, training=True):
    """Shards of the market, for a training or for scoring."""
    config = trained.CONFIG if training else trained.CONFIG.panel
    encoding = None if training else trained.trained().encoding
    return encode_parts(dealt(trained.market(), parts), out=folder, config=config, encoding=encoding)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shards")


def test_one_shard_gives_the_run_that_tables_give(folder, tmp_path):
    shards = made(folder / "one", 1)
    run, alone = hanjax.fit(shards, tmp_path / "run"), trained.trained()
    for name in ("loss", "validation_auc", "validation_log_loss"):
        np.testing.assert_allclose(run.history[name], alone.history[name], rtol=1e-6, err_msg=name)
    assert run.config == alone.config and run.positive_weight == alone.positive_weight
    assert run.metrics["validation"]["epoch"] == alone.metrics["validation"]["epoch"]
    again = hanjax.load(tmp_path / "run")
    assert again.fingerprint == shards.fingerprint != alone.fingerprint
    trained.assert_same_scores(
        hanjax.score(again, trained.market()), hanjax.score(alone, trained.market()), tolerance=1e-5
    )
    with pytest.raises(RunError, match="already holds a run"):
        hanjax.fit(folder / "one", tmp_path / "run")
    resumed = hanjax.fit(folder / "one", tmp_path / "run", resume=True)
    assert resumed.history["loss"].tolist() == run.history["loss"].tolist()


@pytest.mark.slow
def test_several_shards_give_a_run(folder):
    run = hanjax.fit(made(folder / "three", 3), config=trained.CONFIG.replace(calibration="platt"))
    assert np.isfinite(run.history["loss"]).all() and run.history["compilations"].sum() <= 4
    assert run.split.to_dict() == trained.trained().split.to_dict()
    assert run.calibrations is not None and run.calibrations[0].method == "platt"


def test_other_settings_than_those_of_the_shards_are_refused(folder):
    shards = made(folder / "three", 3)
    for name, value in (("window", 5), ("test", 0.3), ("split_seed", 7), ("segments", ("industry",))):
        with pytest.raises(ConfigError, match=f"made with other settings .{name} was"):
            hanjax.fit(shards, config=trained.CONFIG.replace(**{name: value}))
    with pytest.raises(DataError, match="not split into training and validation"):
        hanjax.fit(made(folder / "all", 3, training=False))
    with pytest.raises(DataError, match="holds shards; here the tables are needed"):
        hanjax.evaluate(trained.trained(), folder / "three")


def test_scores_of_shards_are_those_of_tables(folder, tmp_path):
    shards, run = made(folder / "all", 3, training=False), trained.trained()
    expected = hanjax.score(run, trained.market())
    together = hanjax.score(run, shards)
    trained.assert_same_scores(together, expected, tolerance=1e-6)
    pd.testing.assert_frame_equal(together.accounts, expected.accounts, atol=1e-6)
    pd.testing.assert_frame_equal(together.individuals, expected.individuals, atol=1e-6)
    written = hanjax.score(run, folder / "all", out=tmp_path / "scores")
    assert (written.accounts, written.individuals) == (len(expected.accounts), len(expected.individuals))
    for name, table in zip(("accounts", "individuals"), expected, strict=True):
        found = pq.read_table(written.folder / name).to_pandas()
        keys = [key for key in ("account_id", "cutoff", "individual_id") if key in found]
        found, table = (one.sort_values(keys).reset_index(drop=True) for one in (found, table))
        shown = [column for column in table if column not in ("attention", "industry", "name")]
        pd.testing.assert_frame_equal(found[shown], table[shown], atol=1e-6)
    raw = hanjax.score(run, shards, raw=True).accounts
    np.testing.assert_allclose(raw["probability"], raw["raw_score"])


def test_an_interrupted_scoring_has_no_ranks(folder, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    run, where = trained.trained(), tmp_path / "scores" / "accounts"
    shards = made(folder / "all", 3, training=False)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("hanjax.api.streaming._ranks", interrupted)
        hanjax.score(run, shards, out=tmp_path / "scores")
    found = pq.read_table(where)
    assert len(found) == shards.samples and found["rank"].null_count == len(found)
    hanjax.score(run, shards, out=tmp_path / "scores")
    again = pq.read_table(where)
    assert again["rank"].null_count == 0 and again.schema.equals(found.schema)


def test_what_scoring_refuses(folder, tmp_path):
    shards, run = made(folder / "three", 3), trained.trained()
    other = encode_parts(dealt(trained.market(), 2), out=tmp_path / "other", config=trained.CONFIG.panel)
    with pytest.raises(ConfigError, match="not encoded as the model needs it"):
        hanjax.score(run, other)
    with pytest.raises(ConfigError, match="as_of: shards are scored at every cut-off"):
        hanjax.score(run, shards, as_of="2021-02-01")
    with pytest.raises(ConfigError, match="out: of tables, scores are returned"):
        hanjax.score(run, trained.market(), out=tmp_path / "scores")


def test_a_shard_without_any_sample_is_passed_over(tmp_path):
    tables, run = trained.market(), trained.trained()
    few = tables.accounts["account_id"].unique()[:3]
    tables = Tables(*(t if t is None else t[t["account_id"].isin(few)] for t in tables))
    shards = encode_parts(dealt(tables, 8), out=tmp_path / "s", config=run.config.panel, encoding=run.encoding)
    assert min(shard.samples for shard in shards.shards) == 0
    trained.assert_same_scores(hanjax.score(run, shards), hanjax.score(run, tables), tolerance=1e-6)
    assert hanjax.score(run, shards, out=tmp_path / "scores").accounts == shards.samples


@pytest.mark.slow
def test_outcomes_and_segments_are_trained_on_and_scored_as_in_memory(tmp_path):
    tables = trained.market()._replace(outcomes=asked())
    config = trained.CONFIG.replace(segments=("region",))
    alone = hanjax.fit(tables, config=config)
    run = hanjax.fit(encode_parts([tables], out=tmp_path / "training", config=config))
    for name in ("loss", "validation_auc", "validation_log_loss"):
        np.testing.assert_allclose(run.history[name], alone.history[name], rtol=1e-5, err_msg=name)
    shards = encode_parts(dealt(tables, 3), out=tmp_path / "all", config=config.panel, encoding=alone.encoding)
    found, expected = hanjax.score(alone, shards), hanjax.score(alone, tables)
    pd.testing.assert_frame_equal(found.accounts, expected.accounts, atol=1e-6)
    pd.testing.assert_frame_equal(found.individuals, expected.individuals, atol=1e-6)


def test_outcomes_that_are_not_sure_are_dealt_as_in_memory(tmp_path):
    rows = trained.panel().samples[["account_id", "cutoff"]].rename(columns={"cutoff": "as_of"})
    label = np.random.default_rng(0).choice([0.0, 0.2, 0.5, 0.8], len(rows))
    tables = trained.market()._replace(outcomes=rows.assign(label=label))
    config = trained.CONFIG.replace(ensemble=2, cross_validation=True)
    (found,) = kept_from(encode_parts([tables], out=tmp_path, config=config), config)
    expected = deal_accounts(prepare(tables, config)[1], 2, seed=config.train.seed_of_split)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_under_cross_validation_each_network_is_kept_from_the_same_accounts(folder):
    config = Config().replace(
        **trained.SIZES, **trained.WIDTHS, test=0.25, epochs=2, batch_size=64, ensemble=2, cross_validation=True,
        calibration="platt",
    )  # fmt: skip
    alone = hanjax.fit(trained.market(), config=config)
    one = hanjax.fit(encode_parts([trained.market()], out=folder / "cv-one", config=config))
    for name in ("loss", "validation_auc", "validation_log_loss"):
        np.testing.assert_allclose(one.history[name], alone.history[name], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(one.calibrations[0].slope, alone.calibrations[0].slope, rtol=1e-3)
    several = hanjax.fit(encode_parts(dealt(trained.market(), 3), out=folder / "cv-three", config=config))
    assert np.isfinite(several.history["validation_log_loss"]).all()
    again = hanjax.calibrate(several, folder / "cv-three")
    assert again.calibrations == several.calibrations
