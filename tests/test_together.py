"""One company, from opportunities to monitoring: labels, features, segments and models of both kinds, all together."""

import functools

import numpy as np
import pandas as pd
import pytest

import hanjax
import hanjax.cli.reasons
from hanjax.api import explain_scores, leaderboard, make_reference, monitor, segment_effects
from hanjax.checks import check_no_future, check_split
from hanjax.errors import DataError
from hanjax.evaluation.calibration import probability
from hanjax.explain.inputs import inputs_of
from hanjax.features import Feature, Mart, Source
from hanjax.labels import AccountPropensity, make_labels
from hanjax.scoring.scores import training_logits
from hanjax.tabular import Tabular
from tests import trained

FEATURES = (
    Feature(name="booked", aspect="booking", source="bookings", expression="sum(amount)", fill=0.0),
    Feature(name="employees", aspect="growth", source="headcount", expression="employees", how="latest"),
)
CONFIG = hanjax.Config().replace(
    **trained.SIZES, **trained.WIDTHS, segments=("region", "region:industry"), aggregator="maximum",
    period_input="counts", volumes=True, test=0.3, validation=0.3, epochs=2, batch_size=64,
)  # fmt: skip
ASPECTS = {"segment": ["segment:*"], "booking": ["feature:*"]}


@functools.cache
def company():
    return hanjax.simulate_company(accounts=80, weeks=70)


@functools.cache
def mart():
    bookings, headcount = (company().sources[name] for name in ("bookings", "headcount"))
    sources = {"bookings": Source(bookings, "day"), "headcount": Source(headcount, "day", "known_at")}
    return Mart(FEATURES, sources, individuals=company().tables.individuals)


@functools.cache
def tables():
    """Every opportunity of a first sale as a row of the outcomes; of some, a second one asks about a region beside."""
    labels = make_labels(company().opportunities, AccountPropensity(), candidates=True).table
    labels = labels[labels["as_of"] < company().day(66)]  # nobody is asked about in the last weeks
    other = labels[::3].assign(region="Elsewhere", opportunity_ids="", label=0.0, known_at=pd.NaT)
    cutoffs = pd.date_range(company().day(1), company().day(69), freq="7D")
    features = mart().account_features(cutoffs)
    return company().tables._replace(outcomes=pd.concat([labels, other]), account_features=features)


@functools.cache
def network():
    return hanjax.fit(tables(), config=CONFIG)


@functools.cache
def regression():
    model = Tabular("logistic_regression", options={"C": 0.1}, segments=("region",))
    return hanjax.fit(tables(), config=CONFIG.replace(calibration="platt"), model=model)


@functools.cache
def panel():
    return hanjax.encode(tables(), CONFIG.panel, encoding=network().encoding)


@functools.cache
def last():
    """The latest cut-off for which there is a row."""
    return panel().samples["cutoff"].max()


@functools.cache
def explained():
    return explain_scores(network(), tables(), aspects=ASPECTS, as_of=most_asked())


def most_asked():
    """A cut-off at which an account is asked about twice."""
    samples = panel().samples
    return samples["cutoff"][samples.duplicated(["account_id", "cutoff"])].iloc[-1]


def test_segments_of_outcomes_are_those_of_the_rows():
    factors = {factor.name: factor for factor in network().encoding.segments}
    samples, ids = panel().samples, panel().batch.segments
    assert (
        "Elsewhere" in [level for (level,) in factors["region"].levels]
        and samples.duplicated(["account_id", "cutoff"]).any()
    )
    for column, factor in zip(ids.T, factors.values(), strict=True):
        said = samples[list(factor.columns)].agg(tuple, axis=1)
        known = said.isin(factor.levels).to_numpy()
        assert known.any() and (column[~known] == 1).all()
        assert [factor.levels[i - 2] for i in column[known]] == said[known].tolist()


def test_features_are_those_of_the_mart_as_of_the_cutoff_of_a_row():
    samples = panel().samples
    expected = mart().compute(samples[["account_id", "cutoff"]])
    assert [scale.column for scale in network().encoding.features] == ["booked", "booked__missing", "employees"]
    columns = [scale.apply(expected[scale.column].to_numpy(float)) for scale in network().encoding.features]
    columns = np.concatenate(columns, axis=1)
    np.testing.assert_array_equal(panel().batch.account_numbers[:, : columns.shape[1]], columns)
    assert expected["booked"].nunique() > 1 and expected["employees"].nunique() > 50


def test_the_rows_of_the_latest_period_are_ranked():
    assert last() < company().day(66)
    ranking = hanjax.rank(regression(), tables())
    assert (ranking.accounts["cutoff"] == last()).all() and ranking.unit == ["account_id", "region"]
    now = panel().samples[panel().samples["cutoff"] == last()]
    assert len(now) > 0 and set(ranking.accounts["account_id"]) == set(now["account_id"])
    assert sorted(ranking.accounts["region"]) == sorted(now["region"])


def test_each_row_has_reasons_of_its_own():
    found, unit = explained(), ["account_id", "region"]
    assert found.unit == ("region",) and list(found.table.columns[:4]) == [*unit, "name", "cutoff"]
    scores = hanjax.score(network(), tables(), as_of=most_asked()).accounts.set_index(unit)["probability"]
    table = found.table.set_index(unit)
    assert table["name"].duplicated().any() and not table.index.duplicated().any()
    np.testing.assert_allclose(table["probability"], scores.loc[table.index], atol=1e-5)
    np.testing.assert_allclose(
        table[["baseline", "starting_point", *found.aspects]].sum(axis=1), table["log_odds"], atol=1e-5
    )
    for (_, region), row in table.iterrows():
        assert row["sentence"].startswith(f"{row['name']}, {region}: score")
    assert not found.long.duplicated([*unit, "aspect"]).any() and not found.inputs.duplicated([*unit, "input"]).any()
    assert "region" in found._repr_html_() and "rows of outcomes" in repr(found)


def test_pictures_of_reasons_name_accounts_with_their_segments(tmp_path, monkeypatch):
    assert explained().table["account_id"].duplicated().any()
    monkeypatch.setattr("hanjax.api.explain_scores", lambda *_, **__: explained())
    monkeypatch.setattr("hanjax.cli.reasons.chosen_run", lambda _: None)
    hanjax.cli.reasons.explain(["run", "data", "--out", str(tmp_path)])
    assert (tmp_path / "aspects.png").exists() and (tmp_path / "waterfall.png").exists()


def test_crossed_segments_are_inputs_with_their_levels():
    names = [one.name for one in inputs_of(network().encoding) if one.kind == "segment"]
    assert names == ["segment:region", "segment:region:industry"] == explained().aspects["segment"]
    industry = company().tables.accounts.set_index("account_id")["industry"]
    values = explained().inputs[explained().inputs["input"] == names[1]]
    assert values["value"].tolist() == [f"{row.region}:{industry[row.account_id]}" for row in values.itertuples()]
    # Hiding one is scoring the row with a level that training never saw.
    ids = np.array(panel().batch.segments)
    for column, name in enumerate(names):
        hidden = ids.copy()
        hidden[:, column] = 1
        strange = panel()._replace(batch=panel().batch._replace(segments=hidden))
        known, unknown = (training_logits(network(), own)[0, :, 0] for own in (panel(), strange))
        rows = panel().samples.assign(apart=known - unknown).set_index(["account_id", "region", "cutoff"])["apart"]
        effects = explained().inputs.set_index(["input", "account_id", "region"])["effect"].loc[name]
        expected = [rows[account, region, most_asked()] for account, region in effects.index]
        np.testing.assert_allclose(effects, expected, atol=1e-5)
        assert np.abs(expected).max() > 1e-4


def test_effects_of_segments_count_the_rows_that_were_trained_on():
    table = segment_effects(network(), tables())
    train = (network().parts_of(panel().samples["account_id"]) == "train") & ~np.isnan(panel().batch.label[:, 0])
    counted = panel().samples[train].assign(label=panel().batch.label[train, 0]).groupby("region")["label"]
    own = table[table["factor"] == "region"].set_index("level")
    np.testing.assert_array_equal(own["samples"], counted.size().reindex(own.index, fill_value=0))
    np.testing.assert_array_equal(own["conversions"], counted.sum().reindex(own.index, fill_value=0))
    assert set(table["factor"]) == {"region", "region:industry"} and own["samples"].sum() == train.sum()


def test_both_kinds_are_compared_row_by_row():
    found = leaderboard({"network": network(), "regression": regression()}, tables(), resamples=50)
    unseen = network().parts_of(panel().samples["account_id"]) == "test"
    known = unseen & ~np.isnan(panel().batch.label[:, 0])
    assert (found["samples"] == known.sum()).all() and (found["left_out"] == 0).all()
    assert found["conversions"].iloc[0] == panel().batch.label[known, 0].sum()
    evaluated = hanjax.evaluate(regression(), tables())
    assert found.loc["regression", "auc"] == pytest.approx(evaluated.metrics["auc"])
    assert evaluated.by("region")["samples"].sum() == known.sum()
    once = tables()._replace(outcomes=tables().outcomes.drop_duplicates(["account_id", "as_of"]))
    blind = hanjax.fit(once, config=CONFIG.replace(exclude=("region",), segments=()), model=Tabular("decision_tree"))
    with pytest.raises(DataError, match="told apart by account_id, cutoff, region and by account_id, cutoff .'blind'"):
        leaderboard({"regression": regression(), "blind": blind}, once)


def test_a_regression_knows_the_region_of_each_row_and_is_calibrated():
    matrix, samples = regression().matrix(panel()), panel().samples
    columns = [name for name in matrix if name.startswith("region = ")]
    assert "region = Elsewhere" in columns
    for name in columns:
        np.testing.assert_array_equal(matrix[name] == 1, samples["region"] == name.removeprefix("region = "))
    calibration, z = regression().calibrations[0], regression().logits(panel())[:, 0]
    scores = hanjax.score(regression(), tables()).accounts
    pd.testing.assert_frame_equal(scores[panel().keys], samples[panel().keys])
    expected = probability(calibration.slope * z + calibration.intercept)
    np.testing.assert_allclose(scores["probability"], expected, rtol=1e-6)
    pairs = scores.assign(twice=samples.duplicated(["account_id", "cutoff"], keep=False).to_numpy())
    assert (pairs[pairs["twice"]].groupby(["account_id", "cutoff"])["probability"].nunique() == 2).all()


def watched(found):
    """How many samples the performance of all counts, and conversions."""
    windows = found.performance.windows.query("segment == ''")
    return windows["samples"].sum(), windows["conversions"].sum()


@pytest.mark.parametrize("model", [pytest.param(network, marks=pytest.mark.slow), regression])
def test_either_kind_is_watched(model):
    reference = make_reference(model(), tables())
    train = model().parts_of(panel().samples["account_id"]) == "train"
    assert reference.tables["accounts"].rows == train.sum() and "region" in reference.segments
    assert {"booked", "employees"} < set(reference.tables["accounts"].columns)
    found = monitor(model(), tables(), reference=reference, resamples=20)
    assert found.as_of == last() and found.performance is not None
    held_out = model().parts_of(panel().samples["account_id"]) == "test"
    labels = panel().batch.label[held_out & ~np.isnan(panel().batch.label[:, 0]), 0]
    assert watched(found) == (len(labels), (labels >= 0.5).sum())


def test_what_was_not_known_at_a_date_is_not_watched():
    date, keys = company().day(40), ["account_id", "cutoff", "region"]
    found = monitor(regression(), tables(), as_of=date, reference=make_reference(regression(), tables()), resamples=20)
    rows = tables().outcomes.rename(columns={"as_of": "cutoff"})[[*keys, "label", "known_at"]]
    samples = panel().samples.merge(rows, on=keys, validate="one_to_one")
    held_out = regression().parts_of(samples["account_id"]) == "test"
    # Where it is not said when an outcome was known, it was with the end of its week.
    known = pd.to_datetime(samples["known_at"], utc=True).fillna(samples["cutoff"] + pd.Timedelta(days=6)) < date
    some = samples[held_out & known & (samples["cutoff"] < date) & samples["label"].notna()]
    assert watched(found) == (len(some), (some["label"] >= 0.5).sum()) and len(some) < held_out.sum()
    assert any("left out: their outcome was not known before" in note for note in found.performance.notes)


@pytest.mark.parametrize("model", [pytest.param(network, marks=pytest.mark.slow), regression])
def test_nothing_of_the_future_comes_in(model):
    verdict = check_no_future(model(), tables(), cutoffs=1)
    assert verdict.passed and check_split(model(), tables()).passed, verdict
    assert any("accounts.industry" in note for note in verdict.notes) == (model is network)


@pytest.mark.slow
def test_the_page_gives_reasons_of_each_row(tmp_path):
    page = hanjax.write_report(network(), tables(), tmp_path / "report.html", accounts=1, aspects=ASPECTS).read_text()
    assert 'id="reasons"' in page and "rows of outcomes" not in page
