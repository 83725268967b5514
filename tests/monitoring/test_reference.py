"""The reference says what the tables held, and comes back from its files as it was."""

import json

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError, RunError
from hanjax.evaluation.drift import binned
from hanjax.monitoring import Reference, reference_of
from tests.monitoring.examples import table


def mixed():
    day = pd.date_range("2024-01-01", periods=60, tz="Europe/Berlin")
    texts = pd.DataFrame(
        {"day": day, "name": [f"n{i}" for i in range(60)], "flag": np.arange(60) % 3 == 0, "empty": None}
        | {"mixed": pd.Series([1, None] * 30, dtype=object), "kind": pd.Categorical(["x", "y", None] * 20)}
    )
    return {"accounts": table(80, 3), "notes": texts}


def test_columns_are_what_pandas_says():
    frame = table(300, 6)
    found = reference_of({"t": frame}, segments=["region"]).tables["t"]
    assert found.rows == 1800 and found.accounts == 300
    assert found.periods == tuple((period, 300, 300) for period in range(6))
    for name in ("dollars", "visits", "budget"):
        column = found.columns[name]
        assert column.kind == "number" and column.present == frame[name].notna().sum()
        there = frame[name].dropna()
        assert list(column.counts) == binned(there, there)["reference"].tolist()
        assert column.middle == there.median()
    levels = found.columns["industry"]
    assert dict(zip(levels.levels, levels.counts, strict=False)) == frame["industry"].value_counts().to_dict()
    for region, rows in frame.groupby("region"):
        part = found.parts[f"region={region}"]
        assert (part.rows, part.accounts) == (len(rows), rows["account_id"].nunique())
        assert part.present["dollars"] == rows["dollars"].notna().sum()
        assert sum(part.counts["dollars"]) == part.present["dollars"]
    sums = np.sum([part.counts["visits"] for part in found.parts.values()], axis=0)
    assert tuple(sums) == found.columns["visits"].counts


def test_kinds():
    columns = reference_of(mixed()).tables["notes"].columns
    kinds = {"day": "date", "name": "name", "flag": "level", "empty": "empty", "mixed": "number", "kind": "level"}
    assert {name: column.kind for name, column in columns.items()} == kinds
    assert columns["flag"].levels == ("False", "True") and columns["kind"].present == 40


def test_rows_are_kept_account_by_account():
    frame = table(2500, 40)
    kept = reference_of({"t": frame}).tables["t"].kept
    size = kept.groupby("account").size()
    assert len(size) == 2000 and (size == 30).all()
    assert kept["account"].is_monotonic_increasing
    # The account's own values stay together: dollars are the account's, so that each has one bin.
    assert (kept.groupby("account")["in dollars"].nunique() == 1).all()


def test_it_is_read_back_as_it_was(tmp_path):
    reference = reference_of(mixed(), segments=["region", "kind"])
    path = reference.write(tmp_path / "run")
    read = Reference.read(tmp_path / "run")
    assert path.name == "reference.json" and read.tables.keys() == reference.tables.keys()
    for name, one in reference.tables.items():
        other = read.tables[name]
        pd.testing.assert_frame_equal(one.kept, other.kept)
        assert one._replace(kept=None) == other._replace(kept=None)
    assert read._replace(tables={}) == reference._replace(tables={})


def test_damage_is_named(tmp_path):
    with pytest.raises(RunError, match="has no reference.json. Make one"):
        Reference.read(tmp_path)
    path = reference_of(mixed()).write(tmp_path)
    table_path = tmp_path / "reference.notes.parquet"
    content = table_path.read_bytes()
    table_path.write_bytes(content[:-1] + b"?")
    with pytest.raises(RunError, match=r"reference\.notes\.parquet is damaged, or of another reference"):
        Reference.read(tmp_path)
    table_path.unlink()
    with pytest.raises(RunError, match=r"reference\.notes\.parquet is missing"):
        Reference.read(tmp_path)
    stored = json.loads(path.read_text())
    for damaged in ("{", "[]", json.dumps({**stored, "format": 99}), json.dumps({"format": 1})):
        path.write_text(damaged)
        with pytest.raises(RunError, match=r"reference\.json is damaged"):
            Reference.read(tmp_path)


def test_what_cannot_be_a_reference_is_told_so():
    with pytest.raises(DataError, match="scores: there are no rows"):
        reference_of({"scores": pd.DataFrame({"account_id": []})})
    with pytest.raises(DataError, match="'a/b' cannot be the name of a file"):
        reference_of({"a/b": table(3, 1)})
    with pytest.raises(DataError, match="two columns are called 'x'"):
        reference_of({"a": pd.DataFrame([[1, 2]], columns=["x", "x"])})
    with pytest.raises(ConfigError, match="bins: expected at least 1"):
        reference_of({"a": table(3, 1)}, bins=0)
