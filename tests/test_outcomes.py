"""Models of outcomes that were decided elsewhere: trained, scored, evaluated and explained like any other."""

import functools

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score

import hanjax
from hanjax.api import append_scores, conversions
from hanjax.checks import check_no_future, check_split
from hanjax.data.asked import known_at
from hanjax.data.panel import calendar_of
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.scorer import Scorer
from hanjax.scoring.scores import score_samples
from tests import trained

CONFIG = trained.CONFIG.replace(epochs=1)
KEYS = ["account_id", "cutoff", "region"]


@functools.cache
def tables():
    """The shared market, asked about two regions, now and then, with outcomes that are not always sure or known."""
    random = np.random.default_rng(0)
    samples = trained.panel().samples[["account_id", "cutoff"]]
    rows = pd.concat([samples.assign(region=region) for region in ("north", "south")]).rename(
        columns={"cutoff": "as_of"}
    )
    rows = rows.assign(label=random.choice([0.0, 1.0, 0.7, np.nan], len(rows), p=[0.5, 0.2, 0.2, 0.1]))
    return trained.market()._replace(outcomes=rows[random.random(len(rows)) < 0.7])


@functools.cache
def run():
    """A model of these, in memory."""
    return hanjax.fit(tables(), config=CONFIG)


@functools.cache
def evaluation():
    return hanjax.evaluate(run(), tables())


def hard(label):
    return (label >= 0.5).astype(float).where(label.notna())


@pytest.mark.slow
def test_outcomes_made_of_conversions_train_the_same_model():
    rows = trained.panel().samples[["account_id", "cutoff"]].rename(columns={"cutoff": "as_of"})
    given = trained.market()._replace(outcomes=rows.assign(label=trained.panel().batch.label[:, 0]))
    again, plain = hanjax.fit(given, config=trained.CONFIG), trained.trained()
    assert again.split.equals(plain.split) and again.fingerprint == plain.fingerprint
    assert jax.tree.all(jax.tree.map(np.array_equal, again.params, plain.params))
    evaluated = hanjax.evaluate(again, given).metrics, hanjax.evaluate(plain, trained.market()).metrics
    assert evaluated[0] == evaluated[1]


def test_scores_are_of_the_rows_whatever_is_said_of_their_labels():
    scores, rows = hanjax.score(run(), tables()), tables().outcomes
    assert not scores.accounts.duplicated(KEYS).any() and len(scores.accounts) == len(rows)
    assert scores.keys == KEYS and set(scores.individuals["region"]) == {"north", "south"}
    sizes = scores.individuals.groupby(KEYS).size().to_numpy()
    np.testing.assert_array_equal(scores.accounts["n_members"], sizes)
    shares = scores.individuals.groupby(KEYS)["share"].sum()
    np.testing.assert_allclose(shares, 1, atol=1e-5)
    assert "The likeliest of" in scores._repr_html_()

    day = scores.accounts["cutoff"].unique()[3]
    open_rows = rows.assign(label=None)
    now = hanjax.score(run(), tables()._replace(outcomes=open_rows), as_of=day + pd.Timedelta(days=2))
    of_day = scores.accounts[scores.accounts["cutoff"] == day].reset_index(drop=True)
    pd.testing.assert_frame_equal(now.accounts, of_day)
    with pytest.raises(DataError, match="outcomes: no sample can be made"):
        hanjax.score(run(), tables()._replace(outcomes=rows[rows["as_of"] != day]), as_of=day)


def test_a_segment_may_be_missing():
    rows = tables().outcomes
    rows = tables()._replace(outcomes=rows.assign(region=rows["region"].where(rows["region"] == "north")))
    named, scores = hanjax.score(run(), tables()), hanjax.score(run(), rows)
    for one, other in zip(named, scores, strict=True):
        pd.testing.assert_frame_equal(one.drop(columns="region"), other.drop(columns="region"))
        assert (other["region"].isna() == (one["region"] == "south")).all()
    rankings = [hanjax.rank(run(), given, influence=3) for given in (tables(), rows)]
    for one, other in zip(*rankings, strict=True):
        pd.testing.assert_frame_equal(one.drop(columns="region"), other.drop(columns="region"))
    assert repr(rankings[0]).replace(" south ", " - ") == repr(rankings[1])
    scores._repr_html_()


def test_the_period_after_the_log_can_be_asked_about():
    log = check(trained.market(), CONFIG.panel)
    end = pd.Timestamp(int(log.observed_to.max()), unit="us", tz="UTC")
    assert end > trained.market().events["timestamp"].max()
    rows = tables().outcomes.drop_duplicates("account_id").assign(as_of=end, label=None)
    scores = hanjax.score(run(), tables()._replace(outcomes=rows), as_of=end)
    assert scores.accounts["cutoff"].nunique() == 1 and 0 < len(scores.accounts) <= len(rows)


def test_the_loss_takes_soft_labels_and_rankings_count_them_from_a_half_on():
    found, scores = evaluation(), evaluation().scores.accounts
    given = scores.merge(tables().outcomes.rename(columns={"as_of": "cutoff"}), on=KEYS, suffixes=("", "_given"))
    pd.testing.assert_series_equal(given["label"], hard(given["label_given"]), check_names=False)
    known = given.dropna(subset="label")
    assert found.metrics["auc"] == pytest.approx(roc_auc_score(known["label"], known["probability"]))
    assert found.metrics["samples"] == len(known) and set(found.known["label"]) == {0, 1}

    panel = hanjax.encode(tables(), CONFIG.panel, encoding=run().encoding)
    train = (run().parts_of(panel.samples["account_id"]) == "train") & ~np.isnan(panel.batch.label[:, 0])
    label = panel.batch.label[train, 0].astype(float)
    assert {0.0, 1.0} < set(np.unique(label)) and run().positive_weight == pytest.approx(
        max(1, (1 - label).sum() / label.sum())
    )


def test_validation_counts_soft_labels_likewise():
    panel = hanjax.encode(tables(), CONFIG.panel, encoding=run().encoding)
    aside = (run().parts_of(panel.samples["account_id"]) == "validation") & ~np.isnan(panel.batch.label[:, 0])
    label = panel.batch.label[aside, 0].astype(float)
    z = score_samples(panel, run().network, run().params)[0].logit[aside, 0].astype(float)
    assert run().metrics["validation"]["auc"] == pytest.approx(roc_auc_score(label >= 0.5, z))
    p = 1 / (1 + np.exp(-(z - np.log(run().positive_weight))))
    loss = -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p))
    assert run().metrics["validation"]["log_loss"] == pytest.approx(loss, rel=1e-4)


def test_an_evaluation_has_everything_but_courses_of_accounts(tmp_path):
    found = evaluation()
    found.write(tmp_path)
    names = {path.stem for path in tmp_path.glob("*.csv")}
    assert {"over_time", "lift", "by_size"} < names and not {"lead_time", "ahead"} & names
    assert found.by("region")["samples"].sum() == found.metrics["samples"]
    for what in (found.lead_time, found.ahead):
        with pytest.raises(DataError, match="rows of the table outcomes, each decided by itself"):
            what()
    with pytest.raises(DataError, match="outcomes: each row is decided by itself"):
        hanjax.crossings(run(), tables(), 0.1)
    assert len(conversions(tables())) == 0


@pytest.mark.slow
def test_two_models_are_compared_row_by_row():
    compared = hanjax.evaluate(run(), tables(), against=run()).comparison
    assert compared.samples == evaluation().metrics["samples"] and compared.left_out == (0, 0)
    assert compared.conversions == evaluation().metrics["conversions"]
    other = hanjax.fit(tables()._replace(outcomes=tables().outcomes.drop_duplicates(["account_id", "as_of"])),
                       config=CONFIG.replace(exclude=("region",)))  # fmt: skip
    with pytest.raises(DataError, match="told apart by account_id, cutoff, region and by account_id, cutoff"):
        hanjax.evaluate(run(), tables()._replace(outcomes=tables().outcomes.drop_duplicates(["account_id", "as_of"])),
                        against=other)  # fmt: skip


def test_rows_are_ranked_each_with_its_individuals():
    scores = hanjax.score(run(), tables())
    days = np.sort(scores.accounts["cutoff"].unique())
    ranking = hanjax.rank(run(), tables(), as_of=days[-2], influence=3)
    accounts, people = ranking
    now, before = (scores.accounts[scores.accounts["cutoff"] == day] for day in (days[-2], days[-3]))
    assert ranking.unit == ["account_id", "region"] and len(accounts) == len(now)
    for row in accounts.itertuples():
        own = now[(now["account_id"] == row.account_id) & (now["region"] == row.region)]["probability"].item()
        earlier = before[(before["account_id"] == row.account_id) & (before["region"] == row.region)]["probability"]
        assert row.probability == pytest.approx(own) and row.rank == 1 + (now["probability"] > own + 1e-9).sum()
        assert (
            pd.isna(row.probability_before)
            if earlier.empty
            else row.probability_before == pytest.approx(earlier.item())
        )
    told = people.groupby(["account_id", "region"])["influence"].agg(lambda values: values.notna().all())
    assert told.sum() == 3 and not people.duplicated(["account_id", "region", "individual_id"]).any()
    assert f"{accounts['account_id'][0]} {accounts['region'][0]}" in repr(ranking)
    with pytest.raises(DataError, match="one row of an account's outcomes"):
        hanjax.allocate(ranking, 3)
    latest = hanjax.rank(run(), tables())
    assert latest.accounts["cutoff"].iloc[0] == days[-1]
    rows = tables().outcomes
    with pytest.raises(DataError, match="outcomes: there is none to rank in the period"):
        hanjax.rank(run(), tables()._replace(outcomes=rows[rows["as_of"] != days[-2]]), as_of=days[-2])


def test_scores_in_a_folder_are_made_anew(tmp_path):
    with pytest.raises(DataError, match="cannot be added to"):
        append_scores(run(), tables(), tmp_path)
    found, scores = append_scores(run(), tables(), tmp_path, anew=True), hanjax.score(run(), tables())
    assert found.accounts == len(scores.accounts) and found.counts.new == scores.accounts["account_id"].nunique()
    stored = pd.read_parquet(tmp_path / "accounts.parquet")
    both = (table.drop(columns="attention") for table in (stored, scores.accounts))
    pd.testing.assert_frame_equal(*both, check_dtype=False)
    append_scores(run(), tables(), tmp_path, anew=True)
    with pytest.raises(RunError, match="the scores there are those of outcomes"):
        append_scores(run(), tables()._replace(outcomes=None), tmp_path)


def test_no_future_reaches_the_rows_and_the_split_holds():
    assert check_split(run(), tables()).passed
    verdict = check_no_future(run(), tables(), cutoffs=2)
    assert verdict.passed and not [note for note in verdict.notes if note.startswith("Not compared")], verdict


def test_altered_outcomes_are_other_outcomes():
    from hanjax.checks.worlds import Worlds

    rows, week = tables().outcomes, 7 * 86_400_000_000
    cutoff = np.sort(rows["as_of"].unique())[4]
    worlds = Worlds(tables(), CONFIG.panel, reach=10 * week)
    key = lambda table: set(zip(table["account_id"], table["as_of"], table["region"], strict=True))
    early = rows[rows["as_of"] <= cutoff]
    for how in ("delete", "change", "add"):
        other = worlds.altered(int(pd.Timestamp(cutoff).value // 1000), how).outcomes
        assert key(early) == key(other[other["as_of"] <= cutoff])
        assert key(rows) != key(other)
        merged = early.merge(other, on=["account_id", "as_of", "region"], suffixes=("", "_other"))
        same = merged["label"].eq(merged["label_other"]) | (merged["label"].isna() & merged["label_other"].isna())
        assert same[merged["as_of"] < cutoff].all() and not same[merged["as_of"] == cutoff].all()


@pytest.mark.slow
def test_the_page_shows_rows(tmp_path):
    page = hanjax.write_report(run(), tables(), tmp_path / "report.html", accounts=2).read_text()
    assert "the latest cut-off at which the table of outcomes asks" in page and ", south" in page
    assert "How early it warns" not in page and "Within accounts of one size" in page


@pytest.mark.slow
def test_training_knows_what_was_known_before_a_date_and_is_tested_on_what_is_asked_then(tmp_path):
    rows = tables().outcomes
    days = np.sort(rows["as_of"].unique())
    until = pd.Timestamp(days[5])
    late = np.random.default_rng(1).random(len(rows)) < 0.3
    rows = rows.assign(known_at=(rows["as_of"] + pd.Timedelta(days=30)).where(late))
    given = tables()._replace(outcomes=rows)
    model = hanjax.fit(given, config=CONFIG.replace(until=until.isoformat(), test=0.0))
    known = rows["known_at"].fillna(rows["as_of"] + pd.Timedelta(days=7) - pd.Timedelta("1us")) < until
    told = rows[known & rows["label"].notna()]
    early = hanjax.fit(tables()._replace(outcomes=told), config=CONFIG.replace(until=until.isoformat(), test=0.0))
    assert early.split.equals(model.split) and early.positive_weight == model.positive_weight
    assert 0 < len(told) < (rows["as_of"] < until).sum()
    tested = hanjax.evaluate(model, given)
    assert tested.scores.accounts["cutoff"].min() == until
    assert tested.metrics["samples"] == (rows["label"].notna() & (rows["as_of"] >= until)).sum()

    panel, log = hanjax.encode(given, CONFIG.panel), check(given, CONFIG.panel)
    found = known_at(panel, log, calendar_of(log, CONFIG.panel)) < until.value // 1000
    expected = panel.samples.merge(rows.assign(known=known).rename(columns={"as_of": "cutoff"}), on=KEYS)["known"]
    np.testing.assert_array_equal(found, expected)
    page = hanjax.write_report(model, given, tmp_path / "report.html", accounts=0).read_text()
    assert "Nothing that became known from" in page


@pytest.mark.slow
def test_walking_forward_passes_over_what_nobody_asks():
    rows = tables().outcomes
    days = np.sort(rows["as_of"].unique())
    given = tables()._replace(outcomes=rows[~rows["as_of"].isin(days[6:8])])
    walk = hanjax.walk_forward(given, days[4], every=2, config=CONFIG)
    begins = [day for day in days[4::2] if day != days[6]]
    assert walk.steps["until"].tolist() == begins
    asked = given.outcomes[given.outcomes["as_of"] >= days[4]]
    assert walk.steps["samples"].sum() == asked["label"].notna().sum() and walk.evaluation.outcomes


@pytest.mark.slow
def test_probabilities_are_calibrated_on_shares_of_conversions():
    calibrated = hanjax.fit(tables(), config=CONFIG.replace(calibration="platt")).calibrations[0]
    panel = hanjax.encode(tables(), CONFIG.panel, encoding=run().encoding)
    aside = (run().parts_of(panel.samples["account_id"]) == "validation") & ~np.isnan(panel.batch.label[:, 0])
    label = panel.batch.label[aside, 0].astype(float)
    z = score_samples(panel, run().network, run().params)[0].logit[aside, 0].astype(float)
    p = 1 / (1 + np.exp(-(calibrated.slope * (z - np.log(run().positive_weight)) + calibrated.intercept)))
    # Where log loss is least, the mean probability is that of the outcomes, but for how Platt softens these.
    n = label.sum(), len(label) - label.sum()
    softened = (n[0] * (n[0] + 1) / (n[0] + 2) + n[1] / (n[1] + 2)) / len(label)
    assert p.mean() == pytest.approx(softened, abs=1e-3)


@pytest.mark.slow
def test_a_scikit_learn_estimator_takes_rows():
    settings = dict(**trained.SIZES, **trained.WIDTHS, epochs=1, batch_size=64, validation=0.3)
    scorer = Scorer(**settings)
    X, y, groups = scorer.samples(tables())
    assert X.keys == KEYS and X.shape == (tables().outcomes["label"].notna().sum(), 3) and set(y) == {0, 1}
    found = cross_val_score(scorer, X, y, groups=groups, cv=GroupKFold(2))
    assert len(found) == 2 and np.isfinite(found).all()


@pytest.mark.slow
def test_opportunities_of_a_crm_are_learned_from_and_the_open_ones_scored(crm_folder):
    pipeline = crm_folder / "maven_pipeline.csv.gz"
    deals = pd.read_csv(pipeline).dropna(subset=["account", "engage_date"])
    sectors = pd.read_csv(crm_folder / "maven_accounts.csv").set_index("account")["sector"]
    deals = deals[deals["account"].isin(deals["account"].unique()[:30])]
    deals = deals.rename(columns={"account": "account_id"}).assign(
        individual_id=deals["sales_agent"] + deals["account"]
    )
    closed = deals.dropna(subset="close_date")
    events = pd.concat(
        [
            deals[["account_id", "individual_id"]].assign(timestamp=deals["engage_date"], activity="engaged"),
            closed[["account_id", "individual_id"]].assign(
                timestamp=closed["close_date"], activity=closed["deal_stage"]
            ),
        ]
    )
    rows = deals.drop_duplicates(["account_id", "product", "engage_date"]).assign(
        as_of=lambda table: table["engage_date"],
        label=lambda table: table["deal_stage"].map({"Won": 1, "Lost": 0}),
        known_at=lambda table: table["close_date"],
        sector=lambda table: table["account_id"].map(sectors),
        opportunity_ids=lambda table: table["opportunity_id"].map(lambda one: [one]),
    )
    rows["week"] = pd.to_datetime(rows["as_of"]).dt.to_period("W-SAT").astype(str)
    rows = rows.drop_duplicates(["account_id", "product", "week"])
    columns = ["account_id", "as_of", "label", "known_at", "product", "sector", "opportunity_ids", "close_value"]
    people = deals[["individual_id", "account_id"]].drop_duplicates()
    given = hanjax.Tables(events, people, rows[["account_id"]].drop_duplicates(), outcomes=rows[columns])
    panel = hanjax.encode(given)
    left = {one.reason: one.rows for one in panel.left_out if one.table == "outcomes"}
    assert len(panel.samples) + sum(left.values()) == len(rows) and panel.unit == ("product", "sector")
    assert len(panel.samples) > 1500

    model = hanjax.fit(given, config=CONFIG.replace(window=4, max_members=10, batch_size=256, test=0.2))
    found = hanjax.evaluate(model, given)
    assert 0.35 < found.metrics["auc"] < 0.65  # the outcomes are random
    day = pd.Timestamp("2017-10-03", tz="UTC")
    scores = hanjax.score(model, given._replace(outcomes=rows[rows["label"].isna()][columns]), as_of=day).accounts
    week = rows[rows["label"].isna() & (rows["week"] == "2017-10-01/2017-10-07")]
    assert set(zip(scores["account_id"], scores["product"], strict=True)) == set(
        zip(week["account_id"], week["product"], strict=True)
    )
    assert scores["probability"].between(0, 1).all() and len(scores) > 2

    # The rule engine makes the same outcomes of the same file, but that a success decides where a week holds several.
    rule = hanjax.labels.AccountPropensity(
        unit=("product",),
        won=("Won",),
        disengaged=("Lost",),
        columns={
            "account_id": "account",
            "created_at": "engage_date",
            "closed_at": "close_date",
            "stage": "deal_stage",
        },
        retries="keep",
        period="W-SAT",
        strays="drop",
    )
    labels = hanjax.labels.make_labels(pipeline, rule, candidates=True).outcomes
    ruled = given._replace(outcomes=labels[labels["account_id"].isin(deals["account_id"])])
    assert len(hanjax.encode(ruled).samples) == len(panel.samples)
    assert 0.35 < hanjax.evaluate(model, ruled).metrics["auc"] < 0.65
