"""The simulated company: sound tables, a truth that is true, and faults that begin when they are said to."""

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.errors import ConfigError, DataError
from hanjax.simulation.company import simulate_company, write_company
from hanjax.simulation.company.states import REGIONS

ASPECTS = {
    "new": ["growth", "affinity", "social selling", "segment"],
    "add-on": ["usage", "performance", "white space"],
}


@pytest.fixture(scope="module")
def company():
    return simulate_company()


def closed(company):
    table = company.opportunities.merge(company.truth, on="opportunity_id")
    table = table[table["stage"].str.startswith("closed")]
    return table.assign(won=table["stage"] == "closed won")


@pytest.mark.parametrize("kind", ["new", "add-on"])
def test_outcomes_follow_the_log_odds(company, kind):
    from sklearn.linear_model import LogisticRegression

    table = closed(company).query("kind == @kind")
    # Every part of the log-odds has the coefficient 1, up to its standard error.
    parts = table[ASPECTS[kind]].to_numpy()
    fitted = LogisticRegression(C=np.inf).fit(parts, table["won"])
    p = fitted.predict_proba(parts)[:, 1]
    design = np.column_stack([np.ones(len(p)), parts])
    error = np.sqrt(np.diag(np.linalg.inv(design.T * (p * (1 - p)) @ design)))
    assert (abs(fitted.coef_[0] - 1) < 4 * error[1:]).all()
    assert abs(fitted.intercept_[0] - table["intercept"].iloc[0]) < 4 * error[0]


def test_the_parts_add_up_to_the_log_odds(company):
    parts = company.truth.drop(columns=["opportunity_id", "log_odds", "probability"]).sum(axis=1)
    np.testing.assert_allclose(parts, company.truth["log_odds"], atol=1e-12)
    np.testing.assert_allclose(company.truth["probability"], 1 / (1 + np.exp(-parts)))


def test_the_order_of_a_unit_s_opportunities_makes_sense(company):
    table = company.opportunities.assign(closed=company.opportunities["closed_at"].fillna(company.day(10_000)))
    assert (table["closed"] > table["created_at"]).all()
    assert ((table["closed_at"].isna()) == ~table["stage"].str.startswith("closed")).all()
    for _, unit in table.groupby(["account_id", "region"]):
        assert (unit["created_at"].to_numpy()[1:] > unit["closed"].to_numpy()[:-1]).all()  # one at a time
        begun = unit.loc[(unit["kind"] == "new") & (unit["stage"] == "closed won"), "closed_at"].min()
        later = unit[unit["kind"] != "new"]
        assert later.empty or later["created_at"].min() > begun
    renewals = table.query("kind == 'renewal' and stage == 'closed won'")
    assert (renewals["contract_start"] == renewals["closed_at"]).all()
    assert (renewals["contract_end"] - renewals["contract_start"] == pd.Timedelta(weeks=52)).all()


def test_segments_have_zero_mean_and_very_different_sizes(company):
    regions = company.effects.query("factor == 'region'")
    np.testing.assert_allclose(regions[["intercept", "lift"]].mean(), 0, atol=1e-12)
    nested = company.effects.query("factor == 'region:industry'")
    np.testing.assert_allclose(nested.groupby(nested["level"].str.split(":").str[0])["intercept"].mean(), 0, atol=1e-12)
    sizes = company.opportunities["region"].value_counts()
    assert set(sizes.index) == set(REGIONS) and sizes.max() > 20 * sizes.min()


def test_sources_tell_of_the_states(company):
    usage = company.sources["usage"].groupby("account_id")["sessions"].mean()
    late = closed(company).query("kind == 'renewal'").groupby("account_id")["usage"].mean()
    both = pd.concat([usage, late], axis=1).dropna()
    assert both.corr("spearman").iloc[0, 1] > 0.4
    social = company.sources["connections"].groupby("account_id")["connections"].mean()
    first = closed(company).query("kind == 'new'").groupby("account_id")["social selling"].first()
    assert pd.concat([social, first], axis=1).dropna().corr("spearman").iloc[0, 1] > 0.8
    headcount = company.sources["headcount"]
    assert (headcount["known_at"] > headcount["day"]).all() and 0.02 < headcount["employees"].isna().mean() < 0.06


def test_bookings_are_the_won_opportunities(company):
    won = company.opportunities.query("stage == 'closed won'")
    columns = ["account_id", "closed_at", "product", "amount"]
    booked = company.sources["bookings"].rename(columns={"day": "closed_at"})
    pd.testing.assert_frame_equal(*(t[columns].sort_values(columns, ignore_index=True) for t in (won, booked)))


def test_a_new_tracker_counts_threefold_from_its_week_on():
    sound, faulty = simulate_company(accounts=60, weeks=90), simulate_company(accounts=60, weeks=90, new_tracker=80)
    usage = [c.sources["usage"].set_index(["account_id", "product", "day"])["sessions"] for c in (sound, faulty)]
    late = usage[0].index.get_level_values("day") >= sound.day(80)
    assert 100 < late.sum() < len(late)
    pd.testing.assert_series_equal(usage[0].where(~late, 3 * usage[0]), usage[1])


def test_growth_counts_the_other_way_round_from_the_turn_on():
    companies = [simulate_company(accounts=200, weeks=90, turn=turn) for turn in (None, 60)]
    sound, turned = (c.opportunities.merge(c.truth, on="opportunity_id") for c in companies)
    week = np.flatnonzero(sound["created_at"] == companies[0].day(60))  # whom it asks is not changed yet
    assert week[0] > 300 and len(week) > 3
    np.testing.assert_array_equal(turned["growth"][: week[0]], sound["growth"][: week[0]])
    np.testing.assert_array_equal(turned["growth"][week], -sound["growth"][week])


def test_the_same_seed_gives_the_same_company():
    first, second, other = (simulate_company(accounts=20, weeks=40, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.opportunities, second.opportunities)
    pd.testing.assert_frame_equal(first.tables.events, second.tables.events)
    assert len(first.tables.events) != len(other.tables.events)


def test_one_account_and_what_cannot_be():
    assert len(simulate_company(accounts=1, weeks=26).tables.accounts) == 1
    with pytest.raises(ConfigError, match="turn.*a week from 0 to 156"):
        simulate_company(turn=200)
    with pytest.raises(ConfigError, match="weeks"):
        simulate_company(weeks=3)


def test_it_can_be_written_and_read(tmp_path):
    company = simulate_company(accounts=20, weeks=40)
    write_company(company, tmp_path / "company")
    with pytest.raises(DataError, match="holds accounts.parquet"):
        write_company(company, tmp_path / "company")
    tables = hanjax.read(tmp_path / "company")
    assert len(tables.events) == len(company.tables.events)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "company/sources/usage.parquet"), company.sources["usage"])
    panel = hanjax.encode(company.tables)
    assert panel.samples["account_id"].nunique() == 20
