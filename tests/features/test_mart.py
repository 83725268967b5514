"""The mart: registration, lists, search, stored history, and account features that a model is trained with."""

import json

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.config import PanelConfig
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.evaluation.drift import population_stability
from hanjax.features import Feature, Mart, Source
from hanjax.features.profile import profile
from tests import trained


def bookings(size=60, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "account_id": random.integers(0, 5, size),
            "individual_id": random.choice(list("uvw"), size),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 90, size), "D"),
            "amount": random.choice([0.0, 1.0, 2.5, np.nan], size),
            "product": random.choice(["x", "y"], size),
        }
    )


def feature(name="booked", expression="sum(amount)", **more):
    return Feature(**{"name": name, "aspect": "booking", "source": "bookings", "expression": expression} | more)


FEATURES = [
    feature(owner="sales", description="Amount of all bookings"),
    feature("employees", "max(amount)", aspect="growth", owner="people", granularity="month"),
    feature("days_since", "min(days_before)", aspect="usage", owner="people", description="Recency", fill=999),
]
PEOPLE = pd.DataFrame({"individual_id": list("uvw"), "account_id": [0, 1, 2]})


def mart(features=FEATURES, table=None, **more):
    return Mart(features, {"bookings": Source(bookings() if table is None else table, "day")}, **more)


@pytest.mark.parametrize(
    "bad, problem",
    [
        (feature(), "name: expected another name for each feature, got 'booked'"),
        (feature("x", source="booking"), "'booking' is not among the sources, of which x is made; did you mean"),
        (
            feature("x", "sum(amuont)"),
            "is not an aggregate of bookings .*amuont.* account_id, individual_id, day, amount",
        ),
        (feature("x", "amount"), "is not an aggregate of bookings"),
        (feature("x", "sum(amount)", how="latest"), "is not the value of one row of bookings"),
        (feature("x", "sum(amount"), "is no SQL"),
        (feature("x", "1), (2"), "is not one expression without queries of its own"),
        (feature("x", "1); DROP TABLE empty; --"), "no SQL|not one expression"),
        (feature("x", "(SELECT max(amount) FROM source)"), "without queries of its own"),
        (feature("x", "sum(sum(amount)) OVER ()"), "has a window"),
        (feature("x", "sum(amount) * random()"), "random gives something else at another time"),
        (feature("x", "date_diff('day', max(day), now())"), "now gives something else at another time"),
        (feature("x", "date_diff('day', max(day), CURRENT_DATE)"), "current_date gives something else"),
        (feature("x", "max(product)"), "is VARCHAR, but a feature is a number"),
        (feature("x", "max(day)"), "is TIMESTAMP, but a feature is a number"),
        (feature("x", entity="individual", over_members="max"), "give the mart the table `individuals`"),
    ],
)
def test_what_cannot_be_onboarded_is_refused_and_nothing_is_taken_in(bad, problem):
    one = mart()
    with pytest.raises(ConfigError, match=problem):
        one.add(feature("fine"), bad)
    assert [own.name for own in one.features] == ["booked", "employees", "days_since"]


def test_onboarding_shows_a_profile_of_a_dry_run(tmp_path):
    one = mart(folder=tmp_path)
    found = one.add(feature("products", "count(DISTINCT product)"), feature("order", "count(*)"))
    assert found["feature"].tolist() == ["products", "order"] and (found["coverage"] == 1).all()
    table = bookings()
    assert found["mean"].tolist() == pytest.approx([table.groupby("account_id")["product"].nunique().mean(), 12])
    assert [own.name for own in one.features][-2:] == ["products", "order"]
    assert not list(tmp_path.iterdir())  # nothing is stored


def test_experimental_features_stand_beside_shared_ones():
    shared = mart(allow=["booking"], deny=["people"])
    mine = shared.with_([feature("mine", "count(*)", aspect="usage")])
    assert [one.name for one in shared.features] == ["booked"] and len(shared.registered) == 3
    assert [one.name for one in mine.features] == ["booked", "mine"] and mine.registered["mine"].experimental
    both, alone = mine.compute(["2024-03-01"]), shared.compute(["2024-03-01"])
    pd.testing.assert_frame_equal(both[alone.columns], alone)
    with pytest.raises(ConfigError, match="another name"):
        shared.with_([feature()])


def test_lists_take_names_aspects_and_owners_and_refuse_what_there_is_not():
    names = lambda **lists: [one.name for one in mart(**lists).features]
    assert names(allow=["booked", "usage"]) == ["booked", "days_since"]
    assert names(deny=["people"]) == ["booked"] and names(allow=["people"], deny=["growth"]) == ["days_since"]
    assert names(allow=[]) == [] and names() == names(deny=[]) == ["booked", "employees", "days_since"]
    with pytest.raises(ConfigError, match="'boked' is not among the names, aspects and owners.*did you mean 'booked'"):
        mart(allow=["boked"])
    assert mart(allow=[]).compute(["2024-03-01"]).columns.tolist() == ["account_id", "cutoff"]


def test_search_and_catalog():
    one = mart(deny=["employees"])
    assert one.search("BOOKINGS amount")["name"].tolist() == ["booked", "employees"]
    assert one.search("recency")["name"].tolist() == one.search(aspect="usage")["name"].tolist() == ["days_since"]
    assert one.search(owner="people")["computed"].tolist() == [False, True]
    assert one.search("recency", owner="sales").empty and len(one.search(entity="account")) == 3
    assert one.catalog()["version"].tolist() == [own.version for own in FEATURES]
    assert "2 of 3 features" in repr(one) and mart([]).search().empty


def test_a_profile_is_that_of_the_values_and_drift_is_seen():
    one = mart()
    matrix = one.compute(["2024-02-01", "2024-03-01"])
    values = matrix["booked"].dropna()
    row = one.profile(matrix).set_index("feature").loc["booked"]
    assert row["coverage"] == matrix["booked"].notna().mean() and row["distinct"] == values.nunique()
    assert row[["mean", "sd", "q25", "maximum"]].tolist() == pytest.approx(
        [values.mean(), values.std(), values.quantile(0.25), values.max()]
    )
    assert row["zeros"] == (values == 0).mean()
    moved = matrix.assign(booked=matrix["booked"] + 100)
    found = one.profile(moved, reference=["2024-02-01", "2024-03-01"]).set_index("feature")
    assert found.loc["booked", "population_stability"] == population_stability(matrix["booked"], moved["booked"]) > 1
    assert found.loc["employees", ["population_stability", "jensen_shannon"]].tolist() == [0, 0]
    filled = pd.DataFrame({"account_id": [1, 2], "cutoff": "2024-01-01", "x": [0.0, 3.0], "x__missing": [True, False]})
    assert profile(filled)[["coverage", "mean", "zeros"]].to_numpy().tolist() == [[0.5, 3, 0]]
    with pytest.raises(DataError, match="reference: has not the same features"):
        profile(filled, matrix)


def test_history_is_added_to_and_a_changed_past_is_noticed(tmp_path):
    table = bookings()
    one = mart(table=table, folder=tmp_path)
    matrix = one.compute(["2024-02-01", "2024-03-01"])
    pd.testing.assert_frame_equal(one.compute(["2024-02-01", "2024-03-01"]), matrix)  # the same again is fine
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    assert len(files) == 6  # three features, two cut-offs
    stored = one.history("booked")
    pd.testing.assert_series_equal(
        stored.set_index(["account_id", "cutoff"])["value"].sort_index(),
        matrix.set_index(["account_id", "cutoff"])["booked"].sort_index(),
        check_names=False,
    )
    assert one.history("days_since")["value"].max() < 999  # not filled in

    early = table["day"] < "2024-01-20"
    changed = table.assign(amount=table["amount"].where(~early, 50.0))
    other = mart(table=changed, folder=tmp_path)
    with pytest.raises(DataError) as noticed:
        other.compute(["2024-03-01", "2024-04-15"])
    march = pd.Timestamp("2024-03-01", tz="UTC")
    stored = stored[stored["cutoff"] == march]["value"].to_numpy()
    fresh = other.with_data(other.tables, None).compute([march])["booked"].to_numpy()
    count = (fresh != stored).sum()
    assert "history.booked: has other values than were computed before, so that the history of bookings" in str(
        noticed.value
    )
    assert f"({count} rows; first: account 0 at 2024-03-01: " in str(noticed.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == files  # and nothing was written

    between = pd.Timestamp.now("UTC")
    revised = other.compute(["2024-03-01"], revise=True)
    assert all(path.read_bytes() == old for path, old in files.items())  # the old values still stand there

    def now(**asked):
        table = other.history("booked", **asked)
        return table[table["cutoff"] == march]["value"].tolist()

    assert now() == revised["booked"].tolist() == fresh.tolist()
    assert now(computed_before=between) == stored.tolist()
    assert len(other.history("booked")) == len(one.history("booked", computed_before=between))


def test_more_accounts_of_a_cutoff_are_added_and_a_new_version_has_its_own_history(tmp_path):
    one = mart(folder=tmp_path)
    one.compute(pd.DataFrame({"account_id": [0, 1], "cutoff": "2024-03-01"}))
    one.compute(pd.DataFrame({"account_id": [1, 2, 2], "cutoff": "2024-03-01"}))
    assert one.history("booked")["account_id"].tolist() == [0, 1, 2]
    other = mart([feature(look_back="30D"), *FEATURES[1:]], folder=tmp_path)
    assert other.history("booked").empty
    other.compute(["2024-02-01"])
    assert len(other.history("booked", version=FEATURES[0].version)) == 3
    row = other.catalog().set_index("name").loc["booked"]
    assert (row["versions"], row["rows"], row["first_cutoff"]) == (2, 5, "2024-02-01T00:00:00+00:00")
    assert row["coverage"] == other.compute(["2024-02-01"])["booked"].notna().mean()
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    assert catalog["features"]["employees"]["owner"] == "people" and catalog["timezone"] == "UTC"
    assert catalog["features"]["employees"]["versions"][FEATURES[1].version]["cutoffs"].keys() == {
        "2024-02-01T00:00:00+00:00",
        "2024-03-01T00:00:00+00:00",
    }
    assert set(catalog["features"]["booked"]["versions"]) == {one.registered["booked"].version, row["version"]}


def test_two_marts_add_to_one_catalog(tmp_path):
    one, other = mart(FEATURES[:2], folder=tmp_path), mart(FEATURES[1:], folder=tmp_path)
    one.compute(["2024-02-01"])
    other.compute(["2024-03-01"])
    one.compute(["2024-03-01"])
    features = json.loads((tmp_path / "catalog.json").read_text())["features"]
    assert set(features) == {"booked", "employees", "days_since"}
    assert [len(each["cutoffs"]) for each in features["employees"]["versions"].values()] == [2]


def test_a_folder_is_read_with_care(tmp_path):
    mart(folder=tmp_path).compute(["2024-02-01"])
    with pytest.raises(RunError, match="were computed with .*Use another folder"):
        mart(folder=tmp_path, timezone="Europe/Berlin")
    (tmp_path / "catalog.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read as a catalog"):
        mart(folder=tmp_path)
    with pytest.raises(ConfigError, match="folder: this mart has none"):
        mart().history("booked")


@pytest.mark.parametrize(
    "table, source, problem",
    [
        (bookings().drop(columns="day"), {}, "bookings: the column 'day' is missing"),
        (bookings().assign(day=None), {}, "bookings.day: is missing"),
        (bookings().assign(account_id=None), {}, "bookings.account_id: is missing"),
        (bookings().drop(columns=["account_id", "individual_id"]), {}, "there is neither account_id nor individual_id"),
        (bookings().assign(days_before=1), {}, "a column is named 'days_before'"),
        (bookings().assign(Amount=1), {}, "two columns are named 'amount', in whatever case"),
        (bookings().assign(account_id=1.5), {}, "bookings.account_id: is double, but ids are"),
        (bookings(), {"known_at": "loaded"}, "bookings: the column 'loaded' is missing"),
        ({"account_id": [1]}, {}, "expected a DataFrame of pandas, polars or pyarrow, or a path, got builtins.dict"),
        ("/nowhere/at/all.parquet", {}, "cannot be read as Parquet"),
    ],
)
def test_a_source_that_cannot_be_read_is_told(table, source, problem):
    with pytest.raises(DataError, match=problem):
        Mart([], {"bookings": Source(table, "day", **source)})


def test_ids_dates_and_homes_have_to_fit():
    with pytest.raises(DataError, match="account_id: is int64 in bookings, large_string in individuals"):
        mart(individuals=PEOPLE.astype({"account_id": str}))
    with pytest.raises(DataError, match=r"another one for the same individual and date \(1 row; first: u\)"):
        mart(individuals=pd.concat([PEOPLE, PEOPLE[:1].assign(account_id=4)]))
    with pytest.raises(DataError, match="account_id: is large_string in cutoffs"):
        mart().compute(pd.DataFrame({"account_id": ["a"], "cutoff": ["2024-01-01"]}))
    with pytest.raises(DataError, match="cutoffs: the column 'cutoff' is missing"):
        mart().compute(pd.DataFrame({"account_id": [1]}))
    with pytest.raises(ConfigError, match="cutoffs: 'soon' is not a date"):
        mart().compute("soon")


def test_families_granularities_and_entities_are_aligned_in_one_matrix():
    asked = [
        *FEATURES,
        feature(
            "people", "count(*)", entity="individual", over_members="sum", aspect="social selling", granularity="week"
        ),
    ]
    one = mart(asked, individuals=PEOPLE)
    together = one.compute(["2024-02-14", "2024-03-20"])
    for own in asked:
        alone = mart([own], individuals=PEOPLE).compute(["2024-02-14", "2024-03-20"])
        pd.testing.assert_frame_equal(alone, together[alone.columns])
    own = together[together["account_id"] == 1].iloc[0]
    table = bookings().query("account_id == 1")
    assert own["booked"] == table[table["day"] < "2024-02-14"]["amount"].sum()
    assert own["employees"] == table[table["day"] < "2024-02-01"]["amount"].max()
    weeks = bookings().query("individual_id == 'v' and day < '2024-02-11'")  # whole weeks, from Sunday on
    assert own["people"] == len(weeks)


def usage():
    """A simulated market with the features of a mart, and these as of each Sunday."""
    market = hanjax.simulate(accounts=24, weeks=10, conversions=0.4, seed=1).tables
    asked = [
        Feature(name="acts", aspect="usage", source="events", expression="count(*)", look_back="28D", fill=0),
        Feature(name="recency", aspect="usage", source="events", expression="min(days_before)"),
    ]
    one = Mart(asked, {"events": Source(market.events, "timestamp")})
    time = market.events["timestamp"]
    cutoffs = pd.date_range("2020-01-01", "2030-01-01", freq="W-SUN", tz="UTC")
    cutoffs = cutoffs[(cutoffs > time.min()) & (cutoffs < time.max() + pd.Timedelta(days=7))]
    return market._replace(account_features=one.account_features(cutoffs)), one.compute(cutoffs)


def test_values_count_at_their_own_cutoff_when_they_enter_a_panel():
    data, matrix = usage()
    assert data.account_features.columns.tolist() == ["account_id", "known_at", "acts", "acts__missing", "recency"]
    log, config = check(data), PanelConfig()
    panel, encoding = make_panel(log, config, fit_encoding(log, config))
    assert [scale.column for scale in encoding.features] == ["acts", "acts__missing", "recency"]
    matrix = panel.samples[["account_id", "cutoff"]].merge(matrix, how="left")
    expected = [scale.apply(matrix[scale.column].to_numpy(float)) for scale in encoding.features]
    expected = np.concatenate(expected, axis=1)
    assert len(matrix) > 100 and len(np.unique(expected[:, 0])) > 5
    np.testing.assert_array_equal(panel.batch.account_numbers[:, : expected.shape[1]], expected)


@pytest.mark.slow
def test_a_model_is_trained_with_features_and_scores():
    data, _ = usage()
    run = hanjax.fit(data, config=trained.CONFIG.replace(epochs=1, opt_out_activity=None))
    assert [scale.column for scale in run.encoding.features] == ["acts", "acts__missing", "recency"]
    scores = hanjax.score(run, data).accounts
    assert len(scores) > 100 and scores["probability"].between(0, 1).all()
    acts = data.account_features.assign(acts=1e4)
    other = hanjax.score(run, data._replace(account_features=acts)).accounts
    assert (scores["probability"] != other["probability"]).any()
