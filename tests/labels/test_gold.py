"""Gold sets: kept as they are, the same whatever the order, and nothing changes unnoticed."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import RunError
from hanjax.labels import AccountPropensity, freeze, make_labels, read_gold
from hanjax.labels.gold import hash_rows
from tests.labels.deals import table

WON, LOST = "closed won", "closed disengaged"
GIVEN = table(
    ("a", 1, "EMEA", 0, 10, LOST),
    ("b", 2, "EMEA", 5, 20, LOST),
    ("c", 3, "APAC", 7, None, "open"),
    ("d", 4, "APAC", 7, 30, WON),
    ("é", 5, "APAC", 8, 31, WON),
)
LABELS = make_labels(GIVEN, AccountPropensity(timezone="Europe/Berlin"))
ABOUT = {"name": "aps-1", "problem": "who buys", "owner": "sales science"}


def rewrite(path, frame: pd.DataFrame) -> None:
    path.chmod(0o644)
    frame.to_parquet(path, index=False)


@pytest.fixture
def folder(tmp_path):
    return freeze(LABELS, tmp_path / "gold", **ABOUT).folder


def test_a_gold_set_comes_back_as_it_was(folder):
    gold = read_gold(folder)
    for name in ("table", "left_out", "evidence"):
        pd.testing.assert_frame_equal(getattr(gold.labels, name), getattr(LABELS, name))
    assert gold.labels.rule == LABELS.rule and gold.labels.observed_to == LABELS.observed_to
    assert gold.labels.observed_to.tz is not None and str(gold.labels.observed_to.tz) == "Europe/Berlin"
    assert gold.manifest["counts"] == {
        "labels": 4, "positive": 2, "negative": 2, "unlabeled": 0, "accounts": 4, "left_out": 1,
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["evidence.parquet", "gold.json", "labels.parquet", "left_out.parquet", "rows.parquet"]
    )
    assert all(path.stat().st_mode & 0o222 == 0 for path in folder.iterdir())
    assert [path.name for path in folder.parent.iterdir()] == ["gold"]  # nothing partial is left
    assert "aps-1" in repr(gold) and "who buys" in gold._repr_html_()


def test_freezing_again_is_nothing_and_something_else_is_refused(folder, tmp_path):
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    again = LABELS._replace(table=LABELS.table.iloc[::-1], evidence=LABELS.evidence.sample(frac=1, random_state=1))
    assert freeze(again, folder, **ABOUT).manifest["content"] == read_gold(folder).manifest["content"]
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    other = make_labels(GIVEN.iloc[:4], LABELS.rule)
    with pytest.raises(RunError, match=r"holds another gold set, 'aps-1' \(observed_to, content differ\)"):
        freeze(other, folder, **ABOUT)
    with pytest.raises(RunError, match=r"\(owner differ\)"):
        freeze(LABELS, folder, **{**ABOUT, "owner": "somebody"})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(RunError, match="there is something else here"):
        freeze(LABELS, tmp_path / "full", **ABOUT)
    (tmp_path / "empty").mkdir()
    assert freeze(LABELS, tmp_path / "empty", **ABOUT).manifest["content"] == read_gold(folder).manifest["content"]


def test_what_goes_wrong_while_freezing_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        freeze(LABELS, tmp_path / "gold", **ABOUT)
    assert not list(tmp_path.iterdir())


def test_rows_that_were_changed_added_or_removed_are_named(folder):
    path = folder / "labels.parquet"
    good = pd.read_parquet(path)
    for frame, message in (
        (good.assign(label=[1.0, *good["label"][1:]]), r"labels.parquet was changed: 1 row changed \(first: a\)"),
        (good.iloc[1:], r"1 row removed \(first: a\)"),
        (pd.concat([good, good.iloc[:1].assign(opportunity_ids="z")]), r"1 row added \(first: z\)"),
        (pd.concat([good, good.iloc[:1]]), "1 row doubled"),
        (good.assign(known_at=good["known_at"] + pd.Timedelta("1us")), r"4 rows changed \(first: a, b, d, é\)"),
        (good.drop(columns="label"), r"4 rows changed"),
        (good.iloc[::-1], "was written anew: its bytes differ"),
    ):
        rewrite(path, frame)
        with pytest.raises(RunError, match=message):
            read_gold(folder)
        with pytest.raises(RunError, match=message):  # nor is a changed set taken for the same one
            freeze(LABELS, folder, **ABOUT)


@pytest.mark.parametrize(
    "name", ["labels.parquet", "evidence.parquet", "left_out.parquet", "rows.parquet", "gold.json"]
)
def test_a_file_that_is_gone_or_damaged_is_named(folder, name):
    path = folder / name
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match=name):
        read_gold(folder)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=name):
        read_gold(folder)
    path.unlink()
    with pytest.raises(RunError, match=name):
        read_gold(folder)


def test_a_manifest_that_was_edited_is_found(folder):
    path = folder / "gold.json"
    stored = json.loads(path.read_text())
    path.chmod(0o644)
    path.write_text(json.dumps({**stored, "owner": "somebody else"}))
    with pytest.raises(RunError, match="gold.json is missing, damaged or changed .its text was changed"):
        read_gold(folder)
    path.write_text(json.dumps({**stored, "format": 99}))
    with pytest.raises(RunError, match="it is of format 99"):
        read_gold(folder)


def test_hashes_are_of_values():
    times = pd.to_datetime(["2024-01-01T00:00:00Z", None])
    one = pd.DataFrame({"n": [1.0, np.nan], "t": times, "x": ["a", None], "b": [True, False]})
    other = one.assign(t=one["t"].dt.tz_convert("Asia/Tokyo").dt.as_unit("us"), x=one["x"].astype(object))[
        ["x", "b", "t", "n"]
    ]
    assert hash_rows(one).tolist() == hash_rows(other).tolist()
    for changed in (
        one.assign(n=[1.0 + 1e-15, np.nan]),
        one.assign(x=["b", None]),
        one.assign(b=False),
        one.rename(columns={"n": "m"}),
    ):
        assert hash_rows(changed)[0] != hash_rows(one)[0]
    assert hash_rows(one.assign(x=["a", "None"]))[1] != hash_rows(one)[1]
    assert len(set(hash_rows(pd.DataFrame({"a": ["x,y", "x"], "b": ["z", "y,z"]})))) == 2
    assert hash_rows(one.iloc[:0]).tolist() == []


def test_a_row_has_its_hash_whatever_the_others_say(tmp_path):
    """One time that is no midnight, among days."""
    folder = freeze(make_labels(GIVEN, AccountPropensity()), tmp_path / "gold", **ABOUT).folder
    good = pd.read_parquet(folder / "labels.parquet")
    good.loc[0, "known_at"] += pd.Timedelta("10h")
    rewrite(folder / "labels.parquet", good)
    with pytest.raises(RunError, match=r"labels.parquet was changed: 1 row changed \(first: a\)\."):
        read_gold(folder)
    whole = make_labels(GIVEN, AccountPropensity()).table
    assert [hash_rows(whole.iloc[[row]])[0] for row in range(len(whole))] == hash_rows(whole).tolist()


def test_labels_without_rows_can_be_frozen(tmp_path):
    nothing = make_labels(GIVEN.iloc[2:3], LABELS.rule)
    gold = freeze(nothing, tmp_path / "gold", **ABOUT)
    assert gold.manifest["counts"]["labels"] == 0 and len(gold.labels.left_out) == 1
