"""Markets on disk."""

import json

import pandas as pd
import pytest

from hanjax.errors import DataError
from hanjax.simulation import MarketConfig, simulate, write


@pytest.fixture(scope="module")
def market():
    return simulate(accounts=40)


def test_a_market_comes_back_as_it_was_written(market, tmp_path):
    folder = write(market, tmp_path / "new" / "market")
    names = {"events": 0, "individuals": 1, "accounts": 2}
    for name, place in names.items():
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), market.tables[place])
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "truth.parquet"), market.truth)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "individual_truth.parquet"), market.individual_truth)
    folds = pd.read_csv(folder / "folds.csv")
    pd.testing.assert_frame_equal(folds, market.tables.folds, check_dtype=False)
    held = json.loads((folder / "market.json").read_text())
    assert MarketConfig(**held["settings"]) == market.config and held["intercept"] == market.intercept


def test_a_folder_that_holds_files_is_refused_unless_asked_for(market, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"holds mine\.txt\. Give an empty or new folder"):
        write(market, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    write(market, tmp_path, overwrite=True)
    write(simulate(accounts=10), tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "keep" and len(pd.read_parquet(tmp_path / "accounts.parquet")) == 10


def test_a_file_is_no_folder(market, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        write(market, tmp_path / "file")
