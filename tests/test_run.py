"""The run folder: all of it is written, read back to the same scores, and whatever is missing or damaged is named."""

import io
import json
import os
import shutil

import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax import __version__
from hanjax import run as run_module
from hanjax.data.encoding import Encoding
from hanjax.errors import RunError
from hanjax.run import FORMAT, Run
from tests import trained

FILES = ["config.json", "encoding.json", "split.csv", "history.csv", "metrics.json", "model.npz"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a training; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    hanjax.fit(trained.market(), folder, config=trained.CONFIG)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


def assert_same_run(one, other):
    """All that a run holds is the same, to the bit."""
    assert one.config == other.config and one.encoding == other.encoding and one.sizes == other.sizes
    assert one.positive_weight == other.positive_weight and one.fingerprint == other.fingerprint
    assert one.split.astype(str).to_dict() == other.split.astype(str).to_dict()
    assert one.metrics == other.metrics
    assert jax.tree.structure(one.params) == jax.tree.structure(other.params)
    for first, second in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_array_equal(first, second)
    columns = ["epoch", "loss", "validation_auc", "validation_log_loss"]  # the others are times
    pd.testing.assert_frame_equal(one.history[columns], other.history[columns], check_exact=True)


def test_every_file_that_is_documented_is_there(written):
    documented = [line.split()[0] for line in run_module.__doc__.splitlines()[2:] if line]
    assert sorted(documented) == sorted([*FILES, "calibration.json", "checkpoints/"])
    assert sorted(path.name for path in written.iterdir()) == sorted([*FILES, "checkpoints"])


def test_what_is_read_back_is_what_was_trained(written):
    again = hanjax.load(written)
    assert_same_run(again, trained.trained())
    assert again.digest == trained.trained().digest
    assert again.folder == written and again.network is trained.trained().network
    scores = [hanjax.score(run, trained.market()) for run in (again, trained.trained())]
    trained.assert_same_scores(*scores)
    by_path = hanjax.score(str(written), trained.market())
    trained.assert_same_scores(by_path, scores[0])


def test_a_run_that_is_written_again_stays_the_same(written, tmp_path):
    run = Run.read(written)
    run.write(tmp_path / "copy")
    for name in FILES:
        if name != "model.npz":
            assert (tmp_path / "copy" / name).read_bytes() == (written / name).read_bytes(), name
    assert_same_run(Run.read(tmp_path / "copy"), run)


def test_an_account_may_be_called_anything(written, tmp_path):
    run = Run.read(written)
    names = ["NA", "null", "None", "nan", "007", "a,b", 'say "hi"', "line\nbreak", " space ", "ü", "-", "", "1e5"]
    run.split = pd.Series(["train", "test"] * 6 + ["validation"], index=names, name="part")
    run.write(tmp_path / "names")
    again = Run.read(tmp_path / "names").split
    assert again.to_dict() == run.split.to_dict()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage"])
def test_damage_is_found_and_named(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        garbage = np.random.default_rng(0).bytes(300)
        path.write_bytes({"empty": b"", "truncated": content[: len(content) * 2 // 3], "garbage": garbage}[damage])
    if name == "history.csv" and damage == "truncated":
        path.write_bytes(content[: content.index(b"\n") // 2])  # a whole row less is not noticed
    expected = "training has not finished" if (name, damage) == ("model.npz", "missing") else name
    with pytest.raises(RunError, match=expected):
        hanjax.load(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda stored: [stored]),
        ("config.json", lambda stored: {**stored, "panel": 3}),
        ("config.json", lambda stored: {**stored, "train": {**stored["train"], "epochs": "many"}}),
        ("config.json", lambda stored: {**stored, "model": {**stored["model"], "wings": 2}}),
        ("encoding.json", lambda stored: 3),
        ("encoding.json", lambda stored: {**stored, "sizes": {**stored["sizes"], "vocabulary": 0}}),
        ("encoding.json", lambda stored: {**stored, "numbers": [[1]]}),
        ("encoding.json", lambda stored: {k: v for k, v in stored.items() if k != "activities"}),
        ("encoding.json", lambda stored: {**stored, "positive_weight": None}),
        ("split.csv", None),
        ("metrics.json", lambda stored: "fine"),
    ],
)
def test_files_that_can_be_read_and_make_no_sense_are_named(folder, name, change):
    path = folder / name
    if change is None:
        path.write_text(path.read_text().replace("train", "tarin"))
    else:
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RunError, match=name):
        hanjax.load(folder)


def test_a_split_without_some_of_its_rows_is_noticed(folder):
    """Or accounts that were trained on would count as new ones."""
    lines = (folder / "split.csv").read_text().splitlines(keepends=True)
    (folder / "split.csv").write_text("".join(lines[:-3]))
    with pytest.raises(RunError, match="split.csv"):
        hanjax.load(folder)


def test_another_format_is_refused_with_both_versions(folder):
    stored = json.loads((folder / "config.json").read_text())
    assert stored["format"] == FORMAT and stored["version"] == __version__
    (folder / "config.json").write_text(json.dumps({**stored, "format": 99, "version": "7.1"}))
    message = rf"was written by hanjax 7\.1 in format 99; this is hanjax {__version__}, which reads format {FORMAT}"
    with pytest.raises(RunError, match=message):
        hanjax.load(folder)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_a_folder_that_is_none_is_refused(tmp_path, make):
    make(tmp_path / "no-run")
    with pytest.raises(RunError, match="is not a run folder: it has no config.json"):
        hanjax.load(tmp_path / "no-run")


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_pickle_is_loaded(folder, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.array([Trap(tmp_path / "sprung")], object))
    (folder / "model.npz").write_bytes(buffer.getvalue())
    with pytest.raises(RunError, match=r"model\.npz is damaged"):
        hanjax.load(folder)
    assert not (tmp_path / "sprung").exists()


def resaved(folder, change):
    with np.load(folder / "model.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(folder / "model.npz", **change(arrays))


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {name: array[..., :-1] if array.ndim else array for name, array in arrays.items()},
        lambda arrays: dict(list(arrays.items())[:-1]),
        lambda arrays: {**arrays, "wings": np.ones(2)},
        lambda arrays: {name: array.astype(np.float64) for name, array in arrays.items()},
    ],
)
def test_parameters_of_another_model_are_refused(folder, change):
    resaved(folder, change)
    with pytest.raises(RunError, match=r"model\.npz holds the parameters of another model"):
        hanjax.load(folder)


def test_an_unchanged_archive_is_fine(folder):
    resaved(folder, dict)
    assert_same_run(hanjax.load(folder), trained.trained())


def test_a_run_without_parameters_cannot_score():
    run = Run(**{**vars(trained.trained()), "params": None})
    with pytest.raises(RunError, match="no trained parameters"):
        hanjax.score(run, trained.market())


def test_it_says_what_it_is(written):
    text = repr(hanjax.load(written))
    parts = trained.trained().split.value_counts()
    assert f"{parts['train']} train" in text and "gru_attention, 2 epochs" in text and "validation AUC" in text
    run = Run(**{**vars(trained.trained()), "metrics": {"test": {"auc": None}}})
    assert "test AUC" not in repr(run)  # one outcome only


def test_encoding_of_a_folder_is_the_one_that_was_fitted(written):
    stored = json.loads((written / "encoding.json").read_text())
    for name in ("sizes", "positive_weight", "fingerprint", "accounts"):
        stored.pop(name)
    assert Encoding.from_dict(stored) == trained.trained().encoding


# Interrupting and resuming


class Interrupt:
    """A progress bar at which Ctrl-C is pressed after some epochs."""

    def __init__(self, after):
        self.after = after

    def __call__(self, row, *, epochs, done):
        if row.epoch >= self.after:
            raise KeyboardInterrupt


def interrupted(folder, monkeypatch, after=1, **settings):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hanjax.training.fit.tqdm_progress", lambda epochs: Interrupt(after))
        hanjax.fit(trained.market(), folder, config=trained.CONFIG.replace(**settings), progress=True)


def test_a_resumed_training_is_an_uninterrupted_one(tmp_path, monkeypatch):
    interrupted(tmp_path / "run", monkeypatch)
    assert not (tmp_path / "run" / "model.npz").exists()
    with pytest.raises(RunError, match="training has not finished. Continue it with .*--resume"):
        hanjax.load(tmp_path / "run")
    run = hanjax.fit(trained.market(), tmp_path / "run", config=trained.CONFIG, resume=True)
    assert_same_run(run, trained.trained())
    assert_same_run(hanjax.load(tmp_path / "run"), trained.trained())


def test_resuming_a_finished_training_changes_nothing(folder):
    evaluated = hanjax.evaluate(folder, trained.market())
    before = {name: (folder / name).read_bytes() for name in FILES if name != "model.npz"}
    run = hanjax.fit(trained.market(), folder, config=trained.CONFIG, resume=True)
    assert run.metrics.pop("test") == evaluated.metrics  # what evaluate added stays
    assert_same_run(run, trained.trained())
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_resuming_what_was_never_begun_begins_it(tmp_path):
    run = hanjax.fit(trained.market(), tmp_path / "new", config=trained.CONFIG, resume=True)
    assert_same_run(run, trained.trained())


def test_resuming_with_other_settings_is_refused_and_says_which(folder):
    other = trained.CONFIG.replace(epochs=3, learning_rate=0.5)
    with pytest.raises(RunError, match=r"the settings differ \(epochs was 2, is 3; learning_rate was 0.01, is 0.5\)"):
        hanjax.fit(trained.market(), folder, config=other, resume=True)
    assert_same_run(hanjax.load(folder), trained.trained())


def test_resuming_with_other_data_is_refused(folder):
    data = trained.market()
    with pytest.raises(RunError, match="the data are not those that the run was begun with"):
        hanjax.fit(data._replace(events=data.events[::2]), folder, config=trained.CONFIG, resume=True)
    shuffled = hanjax.Tables(*(t if t is None else t.sample(frac=1, random_state=1) for t in data))
    hanjax.fit(shuffled, folder, config=trained.CONFIG, resume=True)  # the same data in another order


def test_a_folder_that_holds_a_run_is_not_written_over(folder):
    before = {name: (folder / name).read_bytes() for name in FILES}
    with pytest.raises(RunError, match="already holds a run. Continue it with `resume`, or choose another folder"):
        hanjax.fit(trained.market(), folder, config=trained.CONFIG)
    assert {name: (folder / name).read_bytes() for name in FILES} == before


def test_a_damaged_checkpoint_is_an_error_not_a_new_start(folder):
    for path in (folder / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 2000:
            path.write_bytes(path.read_bytes()[:1000])
    (folder / "model.npz").unlink()
    with pytest.raises(RunError, match="checkpoint"):
        hanjax.fit(trained.market(), folder, config=trained.CONFIG, resume=True)


def test_nothing_half_written_is_left(written):
    assert not list(written.glob(".*")) and not list(written.glob("*.partial"))
