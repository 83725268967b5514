"""The demonstration: the circle closes, and every planted fault is caught for the reason for which it was planted."""

import pandas as pd
import pytest

import hanjax
from hanjax.demonstration import circle
from hanjax.demonstration.circle import show_circle
from hanjax.demonstration.faults import show_faults
from hanjax.demonstration.selling import ASPECTS, FEATURES, PURCHASE, aspects_of, mart_of, tables_of
from hanjax.features import ASPECTS as FAMILIES
from hanjax.labels import freeze, make_labels
from hanjax.registry import Registry
from hanjax.tabular import Tabular

FAULTS = {
    "peeks can tell of the future": "a leaking feature",
    "An opportunity's own label is not what it should be": "a flipped label rule",
    "features.booked_year is distributed otherwise": "a shifted column",
    "was changed since version 1 of 'account-propensity'": "a corrupted registry entry",
    "labels.parquet was changed: 1 row changed": "an edited gold set",
}


@pytest.fixture(scope="module")
def company():
    return hanjax.simulate_company(accounts=120, weeks=80)


def test_every_family_of_features_has_one_and_aspects_hold_what_there_is():
    assert {feature.aspect for feature in FEATURES} <= set(FAMILIES)
    named = {one.split(":")[1] for own in ASPECTS.values() for one in (own["inputs"] if isinstance(own, dict) else own)}
    assert {feature.name for feature in FEATURES} <= named
    found = aspects_of(["activity:open email", "feature:unsold", "segment:region"])
    assert found == {"affinity": ["activity:*"], "white space": ["feature:unsold"], "profile": ["segment:*"]}


def test_labels_and_features_are_those_of_the_rooms(company):
    mart = mart_of(company)
    labels = make_labels(company.opportunities, PURCHASE)
    since = company.day(40)
    tables = tables_of(company, mart, labels, since=since)
    assert (tables.outcomes["as_of"] >= since).all() and len(tables.outcomes) < len(labels.outcomes)
    one = tables.account_features.dropna().iloc[0]
    cutoff = one["known_at"] + pd.Timedelta(microseconds=1)
    bookings = company.sources["bookings"].query("account_id == @one.account_id")
    age = cutoff - bookings["day"]
    sold = bookings[(age > pd.Timedelta(0)) & (age <= pd.Timedelta("365D"))]
    assert one["booked_year"] == pytest.approx(sold["amount"].sum())


def test_every_planted_fault_is_caught(company, tmp_path):
    labels = make_labels(company.opportunities, PURCHASE)
    gold = freeze(labels, tmp_path / "gold", name="aps", problem="account propensity", owner="Ann")
    mart = mart_of(company)
    tables = tables_of(company, mart, labels)
    hanjax.fit(tables, tmp_path / "run", config=hanjax.Config().replace(test=0.3), model=Tabular("decision_tree"))
    registry = Registry(tmp_path / "models")
    registry.register(tmp_path / "run", "account-propensity", problem="account propensity", owner="Ann")
    messages = show_faults(company, mart, gold, registry, tmp_path)
    assert len(messages) == len(FAULTS)
    for (reason, fault), message in zip(FAULTS.items(), messages, strict=True):
        assert reason in message, fault
    registry.verify()  # faults were planted in copies


@pytest.mark.slow  # a minute or two
def test_the_circle_closes_and_can_be_told_again(tmp_path, capsys, monkeypatch):
    made = show_circle(tmp_path, quick=True)
    told = capsys.readouterr().out
    chapters = ["A company", "Labels", "Features", "Models", "How good", "Segments", "Reasons", "Registry"]
    chapters += ["A year later", "Challengers", "Worth", "Drift", "Faults"]
    places = [told.index(f"=== {chapter}") for chapter in chapters]
    assert places == sorted(places)
    assert {"AUROC", "High vs Avg", "Medium vs Avg"} == set(made.figures["measure"])
    assert made.figures["deck"].tolist()[:2] == [0.64, 1.7]
    versions = made.registry.table().query("name == 'account-propensity'")
    assert len(versions) == 3 and made.registry.canonical("account propensity").model == "account-propensity"
    assert "week 140: alarm" not in told and "week 149: alarm" in told and "features.sessions_month" in told
    for file in (
        "leaderboard.csv",
        "figures.csv",
        "segments.csv",
        "reasons/accounts.csv",
        "performance.csv",
        "segments.png",
    ):
        assert (tmp_path / file).exists()
    monkeypatch.setattr(circle, "_watch", interrupted)  # when everything that is added to has been made
    with pytest.raises(KeyboardInterrupt):
        show_circle(tmp_path, quick=True, seed=1)
    again = Registry(tmp_path / "models").table()
    assert again["version"].tolist() == [1, 1] and len(list((tmp_path / "gold").iterdir())) == 2


def interrupted(*_):
    raise KeyboardInterrupt
