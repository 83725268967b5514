"""Segments of samples as ids: against pandas, as of each cut-off, and with words for what is not there."""

import json

import numpy as np
import pandas as pd
import pytest

from hanjax.config import PanelConfig
from hanjax.data.encoding import Encoding, Factor, fit_encoding
from hanjax.data.panel import fingerprint, make_panel
from hanjax.data.splits import known_before, take_accounts
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError
from tests import trained
from tests.data.small import altered, small

CONFIG = PanelConfig(period="D", window=2)


def panel_of(tables, *segments, training=None, encoding=None, config=CONFIG):
    log = check(tables, config)
    if encoding is None:
        encoding = fit_encoding(log, config, accounts=training, segments=segments)
    return make_panel(log, config, encoding, training=training)


def regions():
    """The market of the tests with a region and a size of each account, of which some are not given."""
    tables, random = trained.market(), np.random.default_rng(3)
    ids = tables.accounts["account_id"].unique()
    region = pd.Series(random.choice(["north", "south", "west", None], len(ids), p=[0.4, 0.3, 0.2, 0.1]), ids)
    size = pd.Series(random.choice(["large", "small"], len(ids)), ids)
    accounts = tables.accounts.assign(
        region=tables.accounts["account_id"].map(region), size=tables.accounts["account_id"].map(size)
    )
    return tables._replace(accounts=accounts)


def test_ids_are_the_levels_in_order_and_crossed_ones_the_pairs():
    panel, encoding = panel_of(regions(), "region", "region:size", config=trained.CONFIG.panel)
    samples, (region, crossed) = panel.samples, panel.batch.segments.T
    known = samples["region"].notna().to_numpy()
    assert encoding.segments[0] == Factor(("region",), (("north",), ("south",), ("west",)))
    codes = samples["region"].map({"north": 2, "south": 3, "west": 4}).fillna(0)
    np.testing.assert_array_equal(region, codes)
    pairs = pd.MultiIndex.from_frame(samples.loc[known, ["region", "size"]])
    np.testing.assert_array_equal(crossed[known] - 2, pd.factorize(pairs, sort=True)[0])
    assert encoding.segments[1].levels == tuple(sorted(set(pairs))) and not crossed[~known].any() and (~known).any()
    assert encoding.segment_levels == (5, 2 + len(set(pairs)))
    assert any("segments: region of " in note and "has no value" in note for note in panel.notes)
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    old = {name: value for name, value in encoding.to_dict().items() if name != "segments"}
    assert Encoding.from_dict(old).segments == ()  # as it was written before there were any


def test_levels_that_contain_a_colon_stay_apart():
    tables = small(accounts=small().accounts.assign(a=["x:y", "x", "x"], b=["z", "y:z", "z"]))
    panel, encoding = panel_of(tables, "a:b")
    assert len(encoding.segments[0].levels) == 3 and len(np.unique(panel.batch.segments)) == 3


def test_levels_are_those_of_the_training_accounts():
    training = np.array([True, False, True])
    panel, encoding = panel_of(small(), "name", training=training)
    assert encoding.segments[0].levels == (("Ten",), ("Thirty",))
    of = dict(zip(panel.samples["name"], panel.batch.segments[:, 0], strict=True))
    assert of == {"Ten": 2, "Twenty": 1, "Thirty": 3}
    count = (panel.samples["name"] == "Twenty").sum()
    note = f"segments: name of {count} samples has a level that training never saw; they are scored by the global model"
    assert count > 0 and note in panel.notes


def test_segments_are_as_of_the_cutoff():
    accounts = small().accounts.assign(known_at=None, industry=["steel", "paper", "paper"])
    later = accounts.iloc[[0, 1]].assign(known_at="2024-01-10T12:00:00Z", industry=["paper", None])
    tables = small(accounts=pd.concat([accounts, later], ignore_index=True))
    panel, encoding = panel_of(tables, "industry")
    assert encoding.segments[0].levels == (("paper",), ("steel",))
    found = pd.DataFrame({"id": panel.batch.segments[:, 0]}).join(panel.samples)
    moved = found[found["account_id"] == 10]
    before = moved["cutoff"] < "2024-01-11T00:00:00Z"
    np.testing.assert_array_equal(moved["id"], np.where(before, 3, 2))
    np.testing.assert_array_equal(moved["industry"], np.where(before, "steel", "paper"))  # also what is shown
    assert set(moved["id"]) == {2, 3}
    assert set(found.loc[found["account_id"] != 10, "id"]) == {2}  # a later row that is silent changes nothing
    past = known_before(check(tables, CONFIG), int(pd.Timestamp("2024-01-10", tz="UTC").value // 1000))
    assert set(past.segment_versions["industry"]) == {"steel", "paper"} and len(past.segment_versions) == 3
    taken = take_accounts(check(tables, CONFIG), np.array([False, True, True]))
    assert taken.segment_versions["account"].tolist() == [0, 0, 1]
    assert taken.segment_versions["industry"].tolist() == ["paper"] * 3


def test_a_column_that_is_not_there():
    there = r"\(there are: name, industry\)"
    with pytest.raises(
        ConfigError, match=rf"segments: 'industri' of 'industri:name' is no .* {there}; did you mean 'ind"
    ):
        panel_of(small(), "industri:name")
    with pytest.raises(ConfigError, match=rf"'cutoff' .* {there}\."):
        panel_of(small(), "cutoff")
    with pytest.raises(ConfigError, match="no training account has a value of 'industry'. Leave it out"):
        panel_of(altered("accounts", industry=pd.array([None] * 3, dtype="string")), "industry")
    _, encoding = panel_of(small(), "industry")
    bare = small(accounts=small().accounts.drop(columns="industry"))
    with pytest.raises(DataError, match=r"accounts.industry: the model was trained .* \(there are: name\). Bring it"):
        panel_of(bare, encoding=encoding)


def test_fingerprints_tell_levels_and_stay_the_same_without_segments():
    plain, encoding = panel_of(small())
    assert "segments" not in repr(encoding) and plain.batch.segments is None
    own, other = panel_of(small(), "industry"), panel_of(altered("accounts", 0, industry="wood"), "industry")
    np.testing.assert_array_equal(own[0].batch.segments == 0, other[0].batch.segments == 0)
    assert len({fingerprint(plain, encoding), fingerprint(*own), fingerprint(*other)}) == 3
