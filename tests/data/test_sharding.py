"""Parts of a data set, each encoded by itself, are the panel of the whole, account by account."""

import numpy as np
import pandas as pd
import pytest

from hanjax.api import encode, prepare
from hanjax.config import Config, PanelConfig
from hanjax.data.panel import NoSampleError
from hanjax.data.parts import shards_of
from hanjax.data.sharding import encode_parts
from hanjax.errors import ConfigError, DataError
from hanjax.types import Tables
from tests import trained
from tests.data.same_panels import assert_same_panels
from tests.data.small import small
from tests.data.test_outcomes import PANEL, asked

EVERYTHING = dict(
    account_numbers=("periods_observed", "log_periods_observed", "individuals_so_far", "active_individuals",
                     "activities", "activity_counts"),
    member_numbers=("periods_since_arrival", "periods_since_activity", "active_periods", "activities"),
    volumes=True, gaps=True, window_ages=True, horizons=(1, 3),
)  # fmt: skip


def dealt(tables, parts, number_of=shards_of):
    """The tables of each part."""
    take = lambda table, part: None if table is None else table[number_of(table["account_id"], parts) == part]
    return [Tables(*(take(table, part) for table in tables)) for part in range(parts)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        EVERYTHING,
        {**EVERYTHING, "window_kind": "active", "membership": "active", "expand_counts": True},
        {"until": "2021-02-20"},
        {"account_numbers": (), "cross_validation": True, "ensemble": 2},
        {"timezone": "America/New_York", "period": "M", "window": 2},
    ],
    ids=["default", "everything", "active", "until", "no numbers", "months"],
)
@pytest.mark.parametrize("parts", [1, 3])
def test_a_training_is_the_one_in_memory(tmp_path, settings, parts):
    config = trained.CONFIG.replace(**settings)
    run, panel = prepare(trained.market(), config)
    shards = encode_parts(dealt(trained.market(), parts), out=tmp_path, config=config)
    assert_same_panels(shards, panel, run.encoding, tolerance=1e-6)
    assert shards.split.equals(run.split.astype(object)) and shards.training == config
    assert {path.name for path in tmp_path.iterdir()} == {
        "shards.json", "split.parquet", *(f"shard-{n:05d}" for n in range(parts))
    }  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"until": "2021-02-20"}, EVERYTHING | {"horizons": (1,)}])
def test_outcomes_and_segments_are_those_in_memory(tmp_path, settings):
    tables = trained.market()._replace(outcomes=asked())
    config = trained.CONFIG.replace(**settings, segments=("region", "region:product", "industry"))
    run, panel = prepare(tables, config)
    shards = encode_parts(dealt(tables, 3), out=tmp_path / "training", config=config)
    assert panel.unit == ("region", "product") and shards.encoding.segments == run.encoding.segments
    assert_same_panels(shards, panel, run.encoding)
    assert shards.split.equals(run.split.astype(object))
    again = encode_parts(dealt(tables, 3), out=tmp_path / "all", config=config.panel, encoding=run.encoding)
    assert_same_panels(again, encode(tables, config.panel, encoding=run.encoding), run.encoding, tolerance=0)


def test_a_part_may_have_no_outcomes(tmp_path):
    tables = trained.market()
    few, rows = tables.accounts["account_id"].unique()[:6], asked()
    tables = tables._replace(outcomes=rows[rows["account_id"].isin(few)])
    shards = encode_parts(dealt(tables, 40), out=tmp_path, config=PANEL)  # more parts than accounts
    assert_same_panels(shards, encode(tables, PANEL), None)
    holding = {number for number, panel in enumerate(shards) if len(panel.samples)}
    assert holding == {*shards_of(encode(tables, PANEL).samples["account_id"].unique(), 40).tolist()}


def test_columns_of_text_are_so_in_all_parts(tmp_path):
    rows = asked().drop_duplicates(["account_id", "product"])
    parts = dealt(trained.market()._replace(outcomes=rows), 2)
    parts[1] = parts[1]._replace(outcomes=parts[1].outcomes.assign(region=1.0))
    wanted = r"outcomes: its columns of text are \['product'\] in part 1 and \['region', 'product'\] in part 0"
    with pytest.raises(DataError, match=wanted):
        encode_parts(parts, out=tmp_path, config=PANEL)


def test_parts_are_joined_by_the_names_of_their_columns(tmp_path):
    tables, config = trained.market(), PanelConfig(account_numbers=())
    parts = dealt(tables, 2)
    accounts = parts[1].accounts
    accounts = accounts[[*accounts.columns.drop(["employees", "revenue"]), "employees", "revenue"]]
    shards = encode_parts([parts[0], parts[1]._replace(accounts=accounts)], out=tmp_path, config=config)
    assert_same_panels(shards, encode(tables, config), None)
    scales = {scale.column: (scale.mean, scale.sd) for scale in shards.encoding.numbers}
    for name, scale in scales.items():
        values = tables.accounts[name]
        assert scale in (pytest.approx((y.mean(), y.std(ddof=0))) for y in (values, np.log1p(values))), name


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ("accounts", "employees", r"accounts: its columns of numbers are \['revenue'\] in part 1 and"),
        ("individuals", "role", r"individuals: its columns of categories are .* in part 1 and .*'role'.* in part 0"),
        ("account_features", "visits", r"account_features: its columns of numbers are \['budget'\] in part 1 and"),
    ],
)
@pytest.mark.parametrize("lacking", [0, 1])
def test_all_parts_have_the_same_columns(tmp_path, table, column, message, lacking):
    tables = trained.market()
    tables = tables._replace(
        individuals=tables.individuals.assign(role="buyer"),
        account_features=tables.account_features.assign(visits=1.0),
    )
    parts = dealt(tables, 2)
    less = getattr(parts[lacking], table).drop(columns=column)
    parts[lacking] = parts[lacking]._replace(**{table: less})
    with pytest.raises(DataError, match=message if lacking else f"{table}: its columns of"):
        encode_parts(parts, out=tmp_path)


def test_a_pass_over_a_part_may_be_made_again(tmp_path):
    """As Spark does with a task whose worker was lost."""
    tables = trained.market()._replace(outcomes=asked())
    config = trained.CONFIG.replace(segments=("region",), account_numbers=("activities",))

    def twice(function, count):
        return [function(number) for number in [*range(count), *range(count)]][count:]

    again = encode_parts(dealt(tables, 2), out=tmp_path / "again", config=config, each=twice)
    once = encode_parts(dealt(tables, 2), out=tmp_path / "once", config=config)
    assert again.fingerprint == once.fingerprint


def test_with_a_given_encoding_it_is_the_same_to_the_bit(tmp_path):
    encoding = trained.trained().encoding
    shards = encode_parts(dealt(trained.market(), 4), out=tmp_path, config=trained.CONFIG.panel, encoding=encoding)
    assert shards.encoding == encoding and shards.split is None and shards.training is None
    assert_same_panels(shards, trained.panel(), encoding, tolerance=0)


def test_parts_that_lack_something(tmp_path):
    """More parts than accounts, an account without events, and strays of accounts that are in no part."""
    tables = trained.market()
    few = tables.accounts["account_id"].unique()[:4]
    tables = Tables(*(t if t is None else t[t["account_id"].isin(few)] for t in tables))
    events = tables.events[tables.events["account_id"] != few[0]]
    nobody = events.iloc[:3].assign(account_id="nobody", individual_id="nobody")
    tables = tables._replace(events=pd.concat([events, nobody]))
    for name, config in (("plain", PanelConfig(strays="drop")), ("all", PanelConfig(strays="drop", **EVERYTHING))):
        shards = encode_parts(dealt(tables, 9), out=tmp_path / name, config=config)
        panel = encode(tables, config)
        assert_same_panels(shards, panel, None)
        assert min(shard.samples for shard in shards.shards) == 0
        assert ("events", 3) in {(row.table, row.rows) for row in shards.left_out}
    with pytest.raises(DataError, match="is not in the table individuals .3 rows; first: nobody"):
        encode_parts(dealt(tables, 9), out=tmp_path / "error")


def test_the_end_of_the_log_is_that_of_all_parts(tmp_path):
    """Accounts without observed_to are observed to the last event of whichever account, in whichever part."""
    tables = small()
    tables = tables._replace(accounts=tables.accounts.drop(columns=["observed_to", "observed_from"]))
    config = PanelConfig(period="D")
    apart = dealt(tables, 3, lambda ids, parts: ids.to_numpy() // 10 - 1)
    shards = encode_parts(apart, out=tmp_path, config=config)
    assert_same_panels(shards, encode(tables, config), None)


def test_an_account_belongs_into_one_part(tmp_path):
    with pytest.raises(DataError, match="accounts.account_id: stands in more than one part .3 rows; first: 10, 20, 30"):
        encode_parts([small(), small()], out=tmp_path / "twice")


def test_levels_are_too_many_only_if_they_are_in_all_parts_together(tmp_path):
    tables = trained.market()
    people = tables.individuals.groupby("individual_id").ngroup()
    role = lambda n: tables._replace(individuals=tables.individuals.assign(role=(people % n).astype(str)))
    few, many = role(40), role(51)
    parts = dealt(few, 3)
    n = [len(part.individuals["individual_id"].unique()) for part in parts]
    roles = [part.individuals["role"].nunique() for part in parts]
    assert any(levels > count / 2 and count > 20 for levels, count in zip(roles, n, strict=True))  # so it is a test
    assert_same_panels(encode_parts(parts, out=tmp_path / "few"), encode(few), None)
    with pytest.raises(DataError, match="individuals.role: has 51 levels, too many"):
        encode_parts(dealt(many, 12), out=tmp_path / "many")


def test_what_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="shards: expected at least 1, got None"):
        encode_parts(lambda number: small(), out=tmp_path / "a")
    with pytest.raises(ConfigError, match="shards: expected at least 1, got 0"):
        encode_parts([], out=tmp_path / "a")
    with pytest.raises(ConfigError, match="encoding: a training fits its own"):
        encode_parts([small()], out=tmp_path / "a", config=Config(), encoding=trained.trained().encoding)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(DataError, match="full is not empty"):
        encode_parts([small()], out=tmp_path / "full")
    late = small().accounts.assign(
        converted_at=["2024-01-06", None, None], observed_to=["2024-02-01"] + ["2024-01-10"] * 2
    )
    only = small(accounts=late)
    only = Tables(*(t if t is None else t[t["account_id"] == 10] for t in only))
    config = PanelConfig(strays="drop")
    with pytest.raises(NoSampleError, match="no sample can be made .converted before the first cut-off.*: 1"):
        encode_parts([only], out=tmp_path / "none", config=config)
    assert not (tmp_path / "none").exists()


def test_accounts_are_dealt_by_the_text_of_their_ids():
    assert (shards_of(np.arange(100), 7) == shards_of([str(i) for i in range(100)], 7)).all()
    assert np.bincount(shards_of(np.arange(10_000), 8), minlength=8).min() > 1150
    assert shards_of([], 3).tolist() == []
