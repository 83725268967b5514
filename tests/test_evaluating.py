"""What an evaluation gives beside its figures: tables from the same samples, and the comparison with another run."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.errors import DataError
from hanjax.evaluation.metrics import auc
from tests import trained


@pytest.fixture(scope="module")
def evaluation():
    return hanjax.evaluate(trained.trained(), trained.market())


def other(scale, ensemble=1):
    """The trained run with other parameters; as an ensemble, each of its networks a little different."""
    run = trained.trained()
    change = lambda leaf: np.asarray(leaf) * scale
    if ensemble > 1:
        change = lambda leaf: np.stack([np.asarray(leaf) * scale * (1 + n / 10) for n in range(ensemble)])
    return dataclasses.replace(
        run, params=jax.tree.map(change, run.params), config=run.config.replace(ensemble=ensemble), metrics={}
    )


def test_every_table_is_about_the_samples_whose_outcome_is_known(evaluation, tmp_path):
    evaluation.write(tmp_path)
    known = evaluation.known
    tables = {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert set(tables) == {
        "over_time", "intervals", "lift", "gains", "reliability", "lead_time", "by_size", "ahead",
    }  # fmt: skip
    assert 0 < len(known) < len(evaluation.scores.accounts)
    assert tables["lift"]["samples"].sum() == pytest.approx(len(known))
    assert tables["reliability"]["conversions"].sum() == known["label"].sum() == evaluation.metrics["conversions"]
    assert (
        tables["by_size"]["samples"].sum() == len(known) == len(tables["gains"]) == tables["over_time"]["samples"].sum()
    )
    intervals = tables["intervals"].set_index("measure")
    for measure, row in intervals.iterrows():
        assert row["value"] == pytest.approx(evaluation.metrics[measure]) and row["low"] <= row["value"] <= row["high"]
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "accounts.parquet")[["label"]], evaluation.scores.accounts[["label"]]
    )


def test_groups_are_sizes_or_segments(evaluation):
    by_segment = evaluation.by("industry")
    assert by_segment["group"].tolist() == ["steel"] and by_segment["auc"][0] == pytest.approx(
        evaluation.metrics["auc"]
    )
    with pytest.raises(DataError, match="there is no 'planet'"):
        evaluation.by("planet")


def test_probabilities_ahead_are_judged_with_those_still_watched(evaluation):
    ahead = evaluation.ahead([1, 3, 500]).set_index("periods")
    assert ahead.index.tolist() == [1, 3]
    known = evaluation.known  # within one period everybody is watched or not at all
    assert ahead.loc[1, "auc"] == pytest.approx(auc(known["probability"].to_numpy(), known["label"].to_numpy()))
    assert ahead.loc[3, "rate"] > ahead.loc[1, "rate"] and ahead.loc[3, "probability"] > ahead.loc[1, "probability"]


def test_a_run_against_itself_is_no_different():
    found = hanjax.evaluate(trained.trained(), trained.market(), against=trained.trained()).comparison
    assert (found.table["difference"] == 0).all() and found.left_out == (0, 0) and found.trainings == (1, 1)
    assert "Another training of the same" in repr(found)


def test_a_comparison_is_on_what_neither_has_seen():
    run, worse = trained.trained(), other(-1.0)
    worse.split = worse.split.copy()
    tested = worse.split.index[worse.split == "test"]
    worse.split[tested[:2]] = "train"
    evaluation = hanjax.evaluate(run, trained.market(), against=worse)
    found, known = evaluation.comparison, evaluation.known
    common = ~known["account_id"].isin(tested[:2])
    assert found.samples == common.sum() < len(known) and found.left_out == ((~common).sum(), 0)
    table = found.table.set_index("measure")
    assert table.loc["auc", "first"] == pytest.approx(
        auc(known["probability"][common].to_numpy(), known["label"][common].to_numpy())
    )
    same = hanjax.score(worse, trained.market()).accounts.merge(known[common][["account_id", "cutoff", "label"]])
    second = auc(same["probability"].to_numpy(), same["label"].to_numpy())
    assert table.loc["auc", "second"] == pytest.approx(second) != table.loc["auc", "first"]
    assert "Left out, as the other model lacks them" in repr(found)


def test_ensembles_are_compared_as_trainings():
    found = hanjax.evaluate(other(1.0, 3), trained.market(), against=other(0.9, 2)).comparison
    assert found.trainings == (3, 2) and found.table["p"].notna().all()
    assert "other trainings" in repr(found)


def test_models_without_a_common_sample_cannot_be_compared():
    run = other(1.0)
    run.split = run.split.map({"train": "test", "validation": "test", "test": "train"})
    with pytest.raises(DataError, match="none is the same. Train both with the same test accounts"):
        hanjax.evaluate(trained.trained(), trained.market(), against=run)


def test_only_cut_offs_before_a_date_count(evaluation):
    date = evaluation.scores.accounts["cutoff"].sort_values().unique()[4]
    early = hanjax.evaluate(trained.trained(), trained.market(), before=date).scores.accounts
    expected = evaluation.scores.accounts.query("cutoff < @date")
    pd.testing.assert_frame_equal(
        early[["account_id", "cutoff", "label"]], expected[["account_id", "cutoff", "label"]].reset_index(drop=True)
    )
