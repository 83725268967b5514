"""What is written is what is read; what is missing or damaged is named; nothing half-written is taken for a shard."""

import shutil

import numpy as np
import pandas as pd
import pytest

from hanjax.data import shards as module
from hanjax.data.panel import calendar_of
from hanjax.data.shards import FORMAT, Shards, read_shard, write_index, write_shard
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.types import LeftOut
from tests import trained


def make(folder, numbers=(0, 1)):
    """Two shards, each of the whole market, as if it were half of one."""
    shards = [write_shard(trained.panel(), folder, number) for number in numbers]
    calendar = calendar_of(check(trained.market(), trained.CONFIG.panel), trained.CONFIG.panel)
    run = trained.trained()
    left_out = [LeftOut("events", "late", 2, (np.int64(3), "x"))]
    return write_index(
        folder, shards, config=run.config, encoding=run.encoding, calendar=calendar, split=run.split, left_out=left_out
    )


def assert_same_panel(one, other):
    for name, array in one.batch._asdict().items():
        if array is None:
            assert getattr(other.batch, name) is None
        else:
            assert getattr(other.batch, name).dtype == array.dtype
            np.testing.assert_array_equal(getattr(other.batch, name), array, err_msg=name)
    pd.testing.assert_frame_equal(one.samples, other.samples)
    np.testing.assert_array_equal(one.member_ids, other.member_ids)
    assert one.individual_ids.equals(other.individual_ids) and one.individual_ids.dtype == other.individual_ids.dtype
    assert one.left_out == other.left_out and one.notes == other.notes


def test_what_is_written_is_read(tmp_path):
    made, panel = make(tmp_path), trained.panel()
    found = Shards.read(tmp_path)
    assert len(found) == 2 and found.samples == 2 * len(panel.samples)
    assert found.conversions == 2 * int(np.nansum(panel.batch.label)) > 0
    assert found.training == trained.CONFIG and found.config == trained.CONFIG.panel
    assert found.encoding == trained.trained().encoding
    assert found.split.to_dict() == trained.trained().split.to_dict()
    assert found.left_out == (LeftOut("events", "late", 2, (3, "x")),)
    assert (found.calendar.starts == made.calendar.starts).all() and found.calendar.timezone == made.calendar.timezone
    for one in found:
        assert_same_panel(one, panel)
    batch = found.batch(1)
    assert isinstance(batch.members, np.memmap) and batch.members.dtype == panel.batch.members.dtype
    assert repr(found).startswith(f"Shards(2 shards, {found.samples:,} samples of 48 accounts")
    assert found.fingerprint == made.fingerprint


def test_an_outcome_that_is_not_sure_is_a_conversion_from_a_half_on(tmp_path):
    panel, label = trained.panel(), trained.panel().batch.label
    unsure = panel._replace(batch=panel.batch._replace(label=np.where(label == 1, 0.5, 0.3 * label + 0.3)))
    assert write_shard(unsure, tmp_path, 0).conversions == int(np.nansum(label[:, 0])) > 0


def test_the_fingerprint_tells_other_data_apart(tmp_path):
    one = make(tmp_path / "one")
    panel = trained.panel()
    other = panel._replace(batch=panel.batch._replace(label=1 - panel.batch.label))
    shards = [write_shard(other, tmp_path / "other", number) for number in range(2)]
    made = write_index(
        tmp_path / "other", shards, config=one.training, encoding=one.encoding, calendar=one.calendar, split=one.split
    )
    assert made.fingerprint != one.fingerprint
    assert make(tmp_path / "again").fingerprint == one.fingerprint


@pytest.mark.parametrize("empty", [False, True])
def test_text_and_numbers_keep_their_kind(tmp_path, empty):
    """Segments that are empty, ids that are integers, cut-offs in a zone, no sample at all."""
    panel = trained.panel()
    n = len(panel.samples)
    note = pd.Series([None, "a"] * n, dtype=object)[:n]
    region = pd.Series([None] * n, dtype=object)
    samples = panel.samples.assign(account_id=np.arange(n), region=region, note=note)
    samples["cutoff"] = samples["cutoff"].dt.tz_convert("America/New_York")
    panel = panel._replace(
        samples=samples, individual_ids=pd.Index(np.arange(len(panel.individual_ids)), name="individual_id")
    )
    if empty:
        rows = ("members", "member_windows", "account", "label", "mask", "account_numbers", "member_numbers")
        arrays = {name: getattr(panel.batch, name)[:0] for name in rows if getattr(panel.batch, name) is not None}
        panel = panel._replace(
            batch=panel.batch._replace(**arrays), samples=samples[:0], member_ids=panel.member_ids[:0]
        )
    written = write_shard(panel, tmp_path, 3)
    assert written.samples == (0 if empty else len(samples))
    assert_same_panel(read_shard(tmp_path, 3), panel)


def test_what_is_damaged_or_missing_is_named(tmp_path):
    make(tmp_path / "whole")

    def broken(change):
        folder = tmp_path / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", folder)
        change(folder)
        return folder

    def flip(path):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    with pytest.raises(DataError, match="nowhere holds no shards: it has no shards.json"):
        Shards.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="shard-00001/shard.json is missing"):
        Shards.read(broken(lambda folder: shutil.rmtree(folder / "shard-00001")))
    with pytest.raises(DataError, match="shard-00001/shard.json is not what was written"):
        Shards.read(broken(lambda folder: flip(folder / "shard-00001" / "shard.json")))
    with pytest.raises(DataError, match="split.parquet is not what was written"):
        Shards.read(broken(lambda folder: flip(folder / "split.parquet")))
    for content in ("{", "[]", "{}"):
        with pytest.raises(DataError, match="shards.json is damaged"):
            Shards.read(broken(lambda folder, content=content: (folder / "shards.json").write_text(content)))
    for name in ("members.npy", "samples.parquet", "individuals.parquet", "member_ids.npy"):
        found = Shards.read(broken(lambda folder, name=name: flip(folder / "shard-00001" / name)))
        assert len(found.panel(0).samples)
        with pytest.raises(DataError, match=f"shard-00001/{name} is not what was written"):
            found.panel(1)
        with pytest.raises(DataError, match=f"shard-00001/{name} is not what was written"):
            found.batch(1)
    found = Shards.read(broken(lambda folder: (folder / "shard-00000" / "windows.npy").unlink()))
    with pytest.raises(DataError, match="shard-00000/windows.npy is missing"):
        found.panel(0)
    text = (tmp_path / "whole" / "shards.json").read_text()
    folder = broken(
        lambda folder: (folder / "shards.json").write_text(text.replace(f'"format": {FORMAT}', '"format": 9'))
    )
    with pytest.raises(DataError, match="in format 9; this is hanjax"):
        Shards.read(folder)


def test_a_shard_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    write_shard(trained.panel(), tmp_path, 0)
    before = read_shard(tmp_path, 0)

    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_write", fails)
    for number in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            write_shard(trained.panel(), tmp_path, number)
    monkeypatch.undo()
    assert not (tmp_path / "shard-00001").exists()
    assert_same_panel(read_shard(tmp_path, 0), before)
    write_shard(trained.panel(), tmp_path, 0)  # a task that is done again
    assert_same_panel(read_shard(tmp_path, 0), before)
