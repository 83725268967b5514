"""Calibration of a model: learned from accounts that the parameters did not learn from, stored, and applied."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import hanjax
from hanjax.api.calibrating import held_out
from hanjax.config import TrainConfig
from hanjax.data.parts import shards_of
from hanjax.data.sharding import encode_parts
from hanjax.data.splits import deal_accounts
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.evaluation.calibration import Calibration, apply_calibration, fit_calibration
from hanjax.nn import network
from hanjax.types import Tables
from tests import trained


def log_odds(probability):
    return np.log(probability) - np.log1p(-probability)


@pytest.fixture(scope="module", params=["platt", "isotonic"])
def calibrated(request):
    return hanjax.calibrate(trained.trained(), trained.market(), method=request.param)


def test_it_is_learned_from_the_validation_accounts_alone(calibrated):
    run = trained.trained()
    scores = hanjax.score(run, trained.market()).accounts
    label = trained.panel().batch.label[:, 0]
    rows = (run.parts_of(scores["account_id"]) == "validation") & ~np.isnan(label)
    assert 0 < rows.sum() < len(rows) / 2
    expected = fit_calibration(
        log_odds(scores["probability"][rows].to_numpy()), label[rows], calibrated.config.train.calibration
    )
    (found,) = calibrated.calibrations
    at = np.linspace(-6, 3, 50)
    np.testing.assert_allclose(apply_calibration(found, at), apply_calibration(expected, at), atol=1e-4)
    assert run.calibrations is None and run.config.train.calibration == "none"  # the one given is as it was


def test_probabilities_are_mapped_and_raw_ones_are_not(calibrated):
    plain, mapped = (hanjax.score(run, trained.market()) for run in (trained.trained(), calibrated))
    for table, name in (("accounts", "probability"), ("individuals", "score")):
        before, after = (getattr(scores, table)[name].to_numpy() for scores in (plain, mapped))
        expected = apply_calibration(calibrated.calibrations[0], log_odds(before))
        np.testing.assert_allclose(after, expected, rtol=1e-6)
        assert np.abs(after - before).max() > 1e-3
    assert (plain.accounts["rank"] == mapped.accounts["rank"]).all()
    raw = hanjax.score(calibrated, trained.market(), raw=True)
    trained.assert_same_scores(raw, hanjax.score(trained.trained(), trained.market(), raw=True))


def test_it_is_stored_with_the_run(calibrated, tmp_path):
    calibrated.write(tmp_path)
    again = hanjax.load(tmp_path)
    assert again.calibrations == calibrated.calibrations and again.config == calibrated.config
    calibrated.folder = None


@pytest.mark.parametrize("damage", ["missing", "garbage", "another number of horizons", "falling"])
def test_a_damaged_file_is_named(calibrated, tmp_path, damage):
    calibrated.write(tmp_path)
    calibrated.folder = None
    path = tmp_path / "calibration.json"
    falling = {"method": "isotonic", "logits": [0.0, 1.0], "probabilities": [0.5, 0.25]}
    content = {"garbage": "{", "another number of horizons": json.dumps({"horizons": []}),
               "falling": json.dumps({"horizons": [falling]})}  # fmt: skip
    path.unlink() if damage == "missing" else path.write_text(content[damage])
    with pytest.raises(RunError, match="calibration.json is missing or damaged"):
        hanjax.load(tmp_path)


CONFIG = trained.CONFIG.replace(
    ensemble=2, cross_validation=True, calibration="platt", epochs=1, horizons=(1, 4), aggregator="maximum",
    period_input="counts", volumes=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def ensemble():
    return hanjax.fit(trained.market(), config=CONFIG)


def test_networks_that_validate_each_other_speak_of_what_they_have_not_seen(ensemble):
    log_panel = hanjax.encode(trained.market(), CONFIG.panel, encoding=ensemble.encoding)
    kept = np.isin(ensemble.parts_of(log_panel.samples["account_id"]), ["train", "validation"])
    panel = hanjax.api.fitting.prepare(trained.market(), CONFIG)[1]
    rows, logit = held_out(ensemble, panel)
    assert len(rows) == kept.sum() == len(panel.samples) and logit.shape == (len(rows), 2)
    part = deal_accounts(panel, 2, seed=CONFIG.train.seed_of_split)
    one = network(CONFIG.model, ensemble.sizes)
    for number in range(2):
        own = jax.tree.map(lambda array, n=number: array[n], ensemble.params)
        expected = np.asarray(one.apply(own, panel.batch).logit)[part == number]
        np.testing.assert_allclose(logit[part == number], expected, rtol=1e-5, atol=1e-5)
    assert len(ensemble.calibrations) == 2
    again = hanjax.calibrate(ensemble, trained.market(), method="platt")
    assert again.calibrations == ensemble.calibrations


def test_other_data_cannot_calibrate_networks_that_validate_each_other(ensemble):
    tables = trained.market()
    fewer = tables._replace(events=tables.events.iloc[:-50])
    with pytest.raises(DataError, match="not the data that the run was trained on"):
        hanjax.calibrate(ensemble, fewer)


@pytest.mark.parametrize("cross", [True, False])
def test_shards_of_the_training_calibrate_as_its_tables_do(ensemble, tmp_path, cross):
    run, tables = ensemble if cross else trained.trained(), trained.market()
    parts = [
        Tables(*(t if t is None else t[shards_of(t["account_id"], 2) == number] for t in tables)) for number in (0, 1)
    ]
    shards = encode_parts(parts, out=tmp_path, config=run.config)
    with pytest.raises(DataError, match="not the shards that the run was trained on. Bring those, or the tables"):
        hanjax.calibrate(run, shards)
    found = hanjax.calibrate(dataclasses.replace(run, fingerprint=shards.fingerprint), tmp_path)
    expected = hanjax.calibrate(run, tables)
    assert len(found.calibrations) == len(expected.calibrations)
    for one, other in zip(found.calibrations, expected.calibrations, strict=True):
        assert (one.slope, one.intercept) == pytest.approx((other.slope, other.intercept), rel=1e-3)


@pytest.mark.slow
def test_models_side_by_side_are_calibrated_like_one_alone():
    config = trained.CONFIG.replace(calibration="platt")
    (run,) = hanjax.fit_population(trained.market(), {"seed": [0]}, config=config).runs
    expected = hanjax.calibrate(trained.trained(), trained.market()).calibrations[0]
    np.testing.assert_allclose(run.calibrations[0].slope, expected.slope, rtol=1e-3)
    np.testing.assert_allclose(run.calibrations[0].intercept, expected.intercept, rtol=1e-3)


def test_a_training_is_not_lost_for_want_of_conversions(monkeypatch):
    def nothing(*_):
        raise DataError("label: 0 of 9 samples that count are conversions.")

    monkeypatch.setattr("hanjax.api.calibrating.fit_calibration", nothing)
    run = hanjax.fit(trained.market(), config=trained.CONFIG.replace(calibration="isotonic", epochs=1))
    (found,) = run.calibrations
    assert found == Calibration("platt", note=found.note) and "0 of 9 samples" in found.note


def test_settings_without_accounts_to_learn_from_are_refused():
    with pytest.raises(ConfigError, match="validation: expected above 0, because of calibration=.platt., got 0"):
        TrainConfig(calibration="platt", validation=0.0)
    run = dataclasses.replace(trained.trained())
    run.split = run.split.replace("validation", "train")
    with pytest.raises(RunError, match="no account was kept"):
        hanjax.calibrate(run, trained.market())
