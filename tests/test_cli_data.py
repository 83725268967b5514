"""The commands before training: a company becomes outcomes and features, and tables become shards."""

import json

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.cli import main
from hanjax.features import Mart, Source, load_features
from hanjax.labels import AccountPropensity, make_labels
from hanjax.simulation.company import simulate_company
from tests import trained


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sales") / "company"
    assert run("simulate-company", folder, "--accounts", "60", "--weeks", "60", "--seed", "3", "--turn", "30") == 0
    return folder


def test_simulate_company_is_the_functions(company, tmp_path, capsys):
    expected = simulate_company(accounts=60, weeks=60, seed=3, turn=30)
    pd.testing.assert_frame_equal(pd.read_parquet(company / "opportunities.parquet"), expected.opportunities)
    assert run("simulate-company", company) == 1 and "Give an empty or new folder" in capsys.readouterr().err
    assert run("simulate-company", tmp_path / "again", "--config", company / "company.json", "--weeks", "30") == 0
    assert json.loads((tmp_path / "again" / "company.json").read_text())["weeks"] == 30
    assert "accounts: 60 rows" in capsys.readouterr().out


def test_labels_are_the_functions_and_serve_as_outcomes(company, tmp_path, capsys):
    opportunities = company / "opportunities.parquet"
    (tmp_path / "rule.yaml").write_text("rule: AccountPropensity\nretries: drop\nunit: [region]\n")
    options = ("--rule", tmp_path / "rule.yaml", "--set", "retries=flip", "--set", "segments=product", "--candidates")
    gold = ("--gold", tmp_path / "gold", "--name", "aps", "--problem", "who buys", "--owner", "Ann")
    assert run("labels", opportunities, *options, *gold, "--out", tmp_path / "labels") == 0
    expected = make_labels(opportunities, AccountPropensity(segments=("product",)), candidates=True)
    found = pd.read_parquet(tmp_path / "labels" / "outcomes.parquet")
    pd.testing.assert_frame_equal(found, expected.outcomes)
    assert len(pd.read_csv(tmp_path / "labels" / "left_out.csv")) == len(expected.left_out) > 0
    printed = capsys.readouterr().out
    assert repr(expected) in printed and "GoldSet(aps, who buys, owner Ann" in printed and "looked_at" in printed
    panel = hanjax.encode(hanjax.read(company)._replace(outcomes=found))
    assert len(panel.samples) > 20 and set(panel.samples["region"]) == set(found["region"])
    assert run("labels", "--verify", tmp_path / "gold") == 0 and "as it was frozen" in capsys.readouterr().out
    (tmp_path / "gold" / "evidence.parquet").chmod(0o644)
    (tmp_path / "gold" / "evidence.parquet").write_bytes(b"")
    assert run("labels", "--verify", tmp_path / "gold") == 1 and "evidence.parquet" in capsys.readouterr().err


def test_labels_with_swapped_stages_are_found_out(company, tmp_path, capsys):
    swapped = ("--set", "won=closed disengaged", "--set", "disengaged=closed won")
    given = ("labels", company / "opportunities.parquet", "--rule", "AccountPropensity", *swapped, "--out", tmp_path)
    assert run(*given) == 1 and "the evidence does not hold" in capsys.readouterr().err
    assert not (tmp_path / "outcomes.parquet").exists()
    assert run(*given, "--won", "closed disengaged", "--disengaged", "closed won") == 0
    assert run(*given, "--set", "retry=drop") == 1 and "did you mean 'retries'?" in capsys.readouterr().err
    for wrong in (("labels",), (*given, "--gold", tmp_path / "gold")):
        with pytest.raises(SystemExit, match="2"):
            run(*wrong)


FEATURES = """
sources:
  headcount: {data: sources/headcount.parquet, date: day, known_at: known_at}
individuals: individuals.parquet
features:
  - {name: employees, aspect: growth, source: headcount, expression: employees, how: latest, owner: Ann}
  - {name: booked, aspect: booking, source: bookings, expression: sum(amount), look_back: 90D, fill: 0}
"""


@pytest.fixture(scope="module")
def declared(company):
    (company / "features.yaml").write_text(FEATURES)
    return company / "features.yaml"


def mart(company):
    tables = {name: pd.read_parquet(company / "sources" / f"{name}.parquet") for name in ("headcount", "bookings")}
    known = "known_at" if "known_at" in tables["headcount"] else None
    sources = {"headcount": Source(tables["headcount"], "day", known), "bookings": Source(tables["bookings"], "day")}
    return Mart(load_features(company / "features.yaml"), sources, individuals=company / "individuals.parquet")


def test_features_are_the_functions(company, declared, tmp_path, capsys):
    more = ("--source", f"bookings={company}/sources/bookings.parquet:day")
    given = ("features", declared, *more)
    where = ("--store", tmp_path / "store", "--out", tmp_path / "out" / "features.parquet", "--profile")
    assert run(*given, "--cutoffs", "2021-06-28..2021-07-12", *where) == 0
    expected = mart(company).account_features(["2021-07-04", "2021-07-11"])
    found = pd.read_parquet(tmp_path / "out" / "features.parquet")
    pd.testing.assert_frame_equal(found, expected)
    assert found["booked__missing"].nunique() == 2
    profile = pd.read_csv(tmp_path / "out" / "profile.csv").set_index("feature")
    assert profile.loc["booked", "coverage"] == pytest.approx(1 - found["booked__missing"].mean())
    assert (tmp_path / "out" / "features.png").read_bytes().startswith(b"\x89PNG")
    assert f"{len(found)} rows of 2 features" in capsys.readouterr().out
    assert run(*given, "--search", "ann") == 0
    assert "employees" in (printed := capsys.readouterr().out) and "booked" not in printed
    assert run(*given, "--search", "nobody") == 0 and "no such feature" in capsys.readouterr().out
    assert run(*given, "--cutoffs", "2021-07-04", "--deny", "booking", "--out", tmp_path / "one.parquet") == 0
    assert list(pd.read_parquet(tmp_path / "one.parquet")) == ["account_id", "known_at", "employees"]


def test_features_as_of_outcomes_stand_at_the_start_of_their_period(company, declared, tmp_path):
    day = pd.Timestamp("2021-07-07", tz="UTC")
    outcomes = pd.DataFrame({"account_id": ["a000001", "a000002", "a000001"], "as_of": [day, day, day], "label": 1.0})
    ids = pd.read_parquet(company / "accounts.parquet")["account_id"]
    outcomes["account_id"] = ids.iloc[[0, 1, 0]].to_numpy()
    outcomes.to_parquet(tmp_path / "outcomes.parquet", index=False)
    more = ("--source", f"bookings={company}/sources/bookings.parquet:day", "--out", tmp_path / "features.parquet")
    assert run("features", declared, *more, "--outcomes", tmp_path / "outcomes.parquet") == 0
    found = pd.read_parquet(tmp_path / "features.parquet")
    asked = pd.DataFrame({"account_id": ids.iloc[:2], "cutoff": pd.Timestamp("2021-07-04", tz="UTC")})
    pd.testing.assert_frame_equal(found, mart(company).account_features(asked), check_dtype=False)


def test_wrong_features_are_explained(declared, tmp_path, capsys):
    assert run("features", declared, "--cutoffs", "2021-07-04") == 1
    assert "'bookings' is not among the sources" in capsys.readouterr().err
    assert run("features", declared, "--source", "bookings", "--cutoffs", "2021-07-04") == 1
    assert "expected NAME=PATH:DATE" in capsys.readouterr().err
    assert run("features", tmp_path / "nowhere.yaml", "--cutoffs", "2021-07-04") == 1
    assert "there is no such file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """The market in ``data``, with settings beside it."""
    place = tmp_path_factory.mktemp("market")
    (place / "data").mkdir()
    for name, table in trained.market()._asdict().items():
        if table is not None:
            table.to_parquet(place / "data" / f"{name}.parquet", index=False)
    trained.CONFIG.replace(epochs=1).write(place / "settings.json")
    return place


def test_encode_deals_whole_accounts_to_shards(market, tmp_path, capsys):
    settings = ("--config", market / "settings.json", "--test", "0.3")
    assert run("encode", market / "data", "--shards", "3", *settings, "--out", tmp_path / "shards") == 0
    shards = hanjax.Shards.read(tmp_path / "shards")
    assert repr(shards) in capsys.readouterr().out and shards.training.train.test == 0.3
    accounts = [set(panel.samples["account_id"]) for panel in shards]
    assert len(accounts) == 3 and sum(map(len, accounts)) == len(set.union(*accounts))
    assert set.union(*accounts) == set(shards.split.index[shards.split != "test"])
    individuals = trained.market().individuals
    twice = pd.concat([individuals, individuals.head(1).assign(account_id=individuals["account_id"].iloc[-1])])
    (tmp_path / "wrong").mkdir()
    for name in ("events", "accounts"):
        (tmp_path / "wrong" / f"{name}.parquet").symlink_to(market / "data" / f"{name}.parquet")
    twice.to_parquet(tmp_path / "wrong" / "individuals.parquet")
    assert run("encode", tmp_path / "wrong", "--shards", "3", "--out", tmp_path / "other") == 1
    assert "second account" in capsys.readouterr().err  # which no part by itself could tell
    assert run("encode", market / "data", "--shards", "0", "--out", tmp_path / "other") == 1
    assert "shards: expected at least 1" in capsys.readouterr().err


def test_shards_are_trained_on_and_scored(market, tmp_path, capsys):
    settings = ("--config", market / "settings.json")
    assert run("encode", market / "data", "--shards", "1", *settings, "--out", tmp_path / "shards") == 0
    assert run("fit", tmp_path / "shards", "--out", tmp_path / "run") == 0  # with the shards' own settings
    again, shards = hanjax.load(tmp_path / "run"), hanjax.Shards.read(tmp_path / "shards")
    assert again.config == trained.CONFIG.replace(epochs=1) and again.fingerprint == shards.fingerprint
    assert run("encode", market / "data", "--shards", "1", "--run", tmp_path / "run", "--out", tmp_path / "new") == 0
    assert run("score", tmp_path / "run", tmp_path / "new", "--out", tmp_path / "scores") == 0
    expected = hanjax.score(again, trained.market()).accounts
    assert f"{len(expected)} scores of accounts" in capsys.readouterr().out
    found = pd.concat(map(pd.read_parquet, sorted((tmp_path / "scores" / "accounts").iterdir())))
    both = expected.merge(found, on=["account_id", "cutoff"], suffixes=("", "_found"))
    assert len(both) == len(expected) == len(found)
    np.testing.assert_allclose(both["probability"], both["probability_found"], atol=1e-6)
    scored = ("encode", market / "data", "--shards", "2", "--run", tmp_path / "run")
    for wrong, message in (
        (("score", tmp_path / "run", tmp_path / "new", "--append"), "shards are scored at every cut-off"),
        ((*scored, "--window", "2"), "a trained model keeps its settings. Leave out --window."),
        ((*scored, "--until", "2021-02-01", "--preset", "paper"), "Leave out --until, --preset."),
        ((*scored, *settings, "--segments", "industry"), "Leave out --segments, --config."),
    ):
        assert run(*wrong, "--out", tmp_path / "other") == 1
        assert message in capsys.readouterr().err
