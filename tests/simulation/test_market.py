"""The simulated market: sound tables, the paper's statistics, a truth that is true, signals where they belong."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hanjax.config import PanelConfig, TrainConfig
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.profile import profile
from hanjax.data.splits import split_accounts
from hanjax.data.tables import check
from hanjax.errors import ConfigError
from hanjax.simulation import MarketConfig, simulate
from hanjax.simulation.activities import ACTIVITIES

WEEK = pd.Timedelta(days=7)
START = pd.Timestamp("2021-01-03", tz="UTC")


@pytest.fixture(scope="module")
def market():
    return simulate()


@pytest.fixture(scope="module")
def large():
    return simulate(accounts=25_000, seed=7)


def outcomes(market):
    """The truth with the outcome of each labeled cut-off."""
    truth = market.truth.merge(market.tables.accounts, on="account_id")
    converted = (truth["converted_at"] >= truth["cutoff"]) & (truth["converted_at"] < truth["cutoff"] + WEEK)
    labeled = converted | (truth["cutoff"] + WEEK <= truth["observed_to"])
    return truth.assign(converted=converted)[labeled]


def auc(score, positive):
    """Area under the ROC curve, ties counted half."""
    rank = pd.Series(score).rank().to_numpy()
    positive = np.asarray(positive, dtype=bool)
    n = positive.sum()
    return (rank[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n))


def panel_and_figures(market):
    config = PanelConfig()
    log = check(market.tables, config)
    panel, _ = make_panel(log, config, fit_encoding(log, config))
    return panel, profile(log, config, panel).figures


def test_an_individual_s_probability_is_that_of_deciding_alone():
    market = simulate(accounts=400, seed=2, rule="any_one")
    members = market.individual_truth.merge(market.tables.accounts[["account_id", "employees"]], on="account_id")
    size = (np.log(members["employees"]) - 5.5) / 1.2
    logit = market.intercept + market.config.strength * members["interest"] + market.config.fit * size
    np.testing.assert_allclose(members["probability"], 1 / (1 + np.exp(-logit)))
    # Where any one suffices, the most interested one's is the account's, once there are enough to decide at all.
    best = members.groupby(["account_id", "cutoff"])["probability"].max()
    whole = market.truth.set_index(["account_id", "cutoff"])["probability"].loc[best.index]
    enough = whole > 0
    assert enough.sum() > 1000
    np.testing.assert_allclose(best[enough], whole[enough])


@pytest.mark.parametrize("seed", [0, 1])
def test_statistics_are_the_papers(seed):
    market = simulate(seed=seed)
    _, figures = panel_and_figures(market)
    print(figures)
    published = figures.dropna()
    assert len(published) >= 12
    assert (abs(published["here"] / published["paper"] - 1) <= 0.05).all(), published
    assert 80 <= figures["here"]["accounts that convert"] <= 90
    assert 500 <= figures["here"]["samples per conversion"] <= 750
    people = market.tables.individuals.merge(market.tables.folds, on="account_id")
    assert market.tables.folds["fold"].value_counts().to_dict() == {0: 2135, 1: 381}
    assert people["fold"].value_counts().to_dict() == {0: 9767, 1: 1800}
    test = market.tables.accounts.merge(market.tables.folds[market.tables.folds["fold"] == 1], on="account_id")
    assert 12 <= test["converted_at"].notna().sum() <= 14


def test_other_markets_are_split_in_the_same_proportion():
    folds = simulate(accounts=500, conversions=0.2, seed=1).tables.folds
    assert list(folds) == ["account_id", "fold"] and folds["account_id"].is_unique
    assert folds["fold"].sum() == round(500 * 381 / 2516) and set(folds["fold"]) == {0, 1}
    log = check(simulate(accounts=60, conversions=0.3).tables, PanelConfig())
    parts = split_accounts(log, TrainConfig(test_fold=1, validation=0.0))
    assert (parts == "test").sum() == round(60 * 381 / 2516)


def test_volume_goes_with_the_truth_no_more_where_accounts_convert(market):
    events, accounts = market.tables.events, market.tables.accounts
    week = START + (events["timestamp"] - START) // WEEK * WEEK + WEEK
    volume = events.assign(cutoff=week.astype("datetime64[us, UTC]")).groupby(["account_id", "cutoff"]).size()
    joined = market.truth.merge(volume.rename("volume").reset_index(), on=["account_id", "cutoff"])
    rows = joined.groupby("account_id").filter(lambda part: len(part) > 4 and part["probability"].nunique() > 1)
    r = rows.groupby("account_id")[["probability", "volume"]].apply(lambda part: part.corr().iloc[0, 1]).dropna()
    converted = accounts.set_index("account_id")["converted_at"].notna()[r.index].to_numpy()
    gap = r[converted].mean() - r[~converted].mean()
    error = np.sqrt(r[converted].var() / converted.sum() + r[~converted].var() / (~converted).sum())
    print(
        f"correlation of volume and truth: {r[converted].mean():.2f}, {r[~converted].mean():.2f}, z {gap / error:.1f}"
    )
    assert len(r) > 1000 and abs(gap) < 0.2


def test_truth_is_of_the_samples_that_a_panel_has(market):
    panel, _ = panel_and_figures(market)
    joined = panel.samples.merge(market.truth, on=["account_id", "cutoff"], how="outer", indicator=True)
    assert (joined["_merge"] == "both").all()
    assert panel.batch.label[:, 0][joined["probability"] == 0].sum() == 0


def test_an_individual_has_one_account_and_comes_before_its_events(market):
    events, individuals, accounts = market.tables[:3]
    assert individuals["individual_id"].is_unique and accounts["account_id"].is_unique
    assert set(individuals["account_id"]) == set(accounts["account_id"])
    assert set(events["individual_id"]) == set(individuals["individual_id"])
    joined = events.merge(individuals, on="individual_id", suffixes=("", "_of_individual"))
    assert (joined["account_id"] == joined["account_id_of_individual"]).all()
    assert (joined["timestamp"] > joined["arrived_at"]).all()
    assert set(events["activity"]) == set(ACTIVITIES)
    assert not individuals.isna().any(axis=None)


def test_nothing_lies_outside_observation_or_after_conversion(market):
    events, individuals, accounts = market.tables[:3]
    joined = events.merge(accounts, on="account_id")
    assert (joined["timestamp"] >= joined["observed_from"]).all()
    assert (joined["timestamp"] < joined["observed_to"]).all()
    assert (individuals.merge(accounts, on="account_id").eval("observed_from <= arrived_at < observed_to")).all()
    converted = accounts["converted_at"].notna()
    assert (accounts["observed_to"] == accounts["converted_at"])[converted].all()
    end = START + market.config.weeks * WEEK
    assert (accounts["observed_to"][~converted] == end).all() and (accounts["observed_to"][converted] < end).all()


def test_times_of_an_individual_are_distinct(market):
    assert not market.tables.events.duplicated(["individual_id", "timestamp"]).any()


def test_nothing_follows_an_unsubscription_and_opted_out_get_sales_email_only(market):
    events, individuals = market.tables.events, market.tables.individuals
    left = events[events["activity"] == "unsubscribe email"]
    assert len(left) > 20 and left["individual_id"].is_unique
    last = events.groupby("individual_id")["timestamp"].max()
    assert (last[left["individual_id"]].to_numpy() == left["timestamp"].to_numpy()).all()
    out = set(individuals["individual_id"][individuals["opt_out_of_email"] == "yes"])
    assert not set(events["activity"][events["individual_id"].isin(out)]) & set(ACTIVITIES[:4])


def test_truth_has_one_row_for_each_cutoff_at_which_a_member_has_arrived(market):
    truth, accounts = market.truth, market.tables.accounts
    assert not truth.duplicated(["account_id", "cutoff"]).any()
    assert (truth["cutoff"].dt.day_of_week == 6).all() and (truth["cutoff"] == truth["cutoff"].dt.normalize()).all()
    ends = truth.groupby("account_id")["cutoff"].agg(["min", "max"]).reset_index().merge(accounts, on="account_id")
    arrived = market.tables.individuals.groupby("account_id")["arrived_at"].min()[ends["account_id"]].to_numpy()
    assert (ends["min"] > arrived).all() and (ends["min"] - WEEK <= arrived).all()
    assert (ends["max"] <= ends["observed_to"]).all() and (ends["max"] + WEEK > ends["observed_to"]).all()
    assert outcomes(market)["converted"].sum() == accounts["converted_at"].notna().sum()


def test_truth_follows_from_the_individuals_in_closed_form(market):
    config, members = market.config, market.individual_truth
    pull = (members["interest"] * members["influence"]).groupby([members["account_id"], members["cutoff"]])
    table = pull.agg(["sum", "size"]).reset_index().merge(market.tables.accounts, on="account_id")
    fit = (np.log(table["employees"]) - 5.5) / 1.2
    log_odds = market.intercept + config.strength * table["sum"] + config.fit * fit
    expected = (table["size"] >= config.min_members) / (1 + np.exp(-log_odds))
    together = market.truth.merge(table.assign(expected=expected), on=["account_id", "cutoff"])
    np.testing.assert_allclose(together["probability"], together["expected"], rtol=1e-5)
    assert len(together) == len(market.truth) > 50_000


def test_truth_is_calibrated(large):
    samples = outcomes(large)
    possible = samples[samples["probability"] > 0]
    assert not samples["converted"][samples["probability"] == 0].any()
    for _, part in possible.groupby(pd.qcut(possible["probability"].rank(method="first"), 3, labels=False)):
        expected = part["probability"].sum()
        assert abs(part["converted"].sum() - expected) <= 3 * np.sqrt(expected) + 1
    top = possible.nlargest(len(possible) // 100, "probability")
    assert abs(top["converted"].sum() / top["probability"].sum() - 1) < 0.2


def test_truth_tells_conversions_apart_and_volume_less_so(large):
    samples = outcomes(large)
    assert 0.94 <= auc(samples["probability"], samples["converted"]) <= 0.98
    events = large.tables.events
    week = ((events["timestamp"] - START) // WEEK).to_numpy()
    account = pd.Index(large.tables.accounts["account_id"])
    volume = np.zeros((len(account), large.config.weeks + 4))
    np.add.at(volume, (account.get_indexer(events["account_id"]), week + 4), 1)
    at = ((samples["cutoff"] - START) // WEEK).to_numpy()
    four = sum(volume[account.get_indexer(samples["account_id"]), at + back] for back in range(4))
    assert 0.6 <= auc(four, samples["converted"]) <= 0.8


def test_members_matter_the_decision_maker_most(large):
    samples, members = outcomes(large), large.individual_truth
    keys = ["account_id", "cutoff"]
    scored = members.assign(weighted=members["interest"] * members["influence"])
    of_account = scored.groupby(keys)[["interest", "weighted"]].agg({"interest": "mean", "weighted": "sum"})
    joined = samples[[*keys, "converted"]].merge(of_account.reset_index(), on=keys, how="left")
    assert auc(joined["weighted"], joined["converted"]) > auc(joined["interest"], joined["converted"]) + 0.01
    influence = members.groupby(keys)["influence"].agg(["sum", "max"])
    assert (influence["sum"] < 1.001).all() and (influence["sum"] > 0.999).mean() > 0.2
    np.testing.assert_allclose(influence["max"].max(), large.config.decision_share)


def weeks_of_individuals(market):
    """Each individual's week: its interest, its volume, and how often a click directly follows an open."""
    events = market.tables.events.merge(
        market.tables.individuals[["individual_id", "arrived_at"]], on="individual_id"
    ).sort_values(["individual_id", "timestamp"])
    events["cutoff"] = (START + (events["timestamp"] - START) // WEEK * WEEK).astype("datetime64[us, UTC]")
    same = (events["individual_id"] == events["individual_id"].shift()) & (events["cutoff"] == events["cutoff"].shift())
    follows = (events["activity"] == "click email") & (events["activity"].shift() == "open email") & same
    kinds = {"open": events["activity"] == "open email", "click": events["activity"] == "click email"}
    table = events.assign(follows=follows, **kinds).groupby(["individual_id", "cutoff"])
    table = table.agg(follows=("follows", "sum"), open=("open", "sum"), click=("click", "sum")).reset_index()
    return table.merge(market.individual_truth, on=["individual_id", "cutoff"])


@pytest.mark.parametrize("order_signal, low, high", [(1.0, 0.7, 1.0), (0.0, 0.45, 0.55)])
def test_order_tells_interest_beyond_counts_only_if_asked_to(order_signal, low, high):
    table = weeks_of_individuals(simulate(accounts=4000, seed=3, order_signal=order_signal))
    table = table[(table["open"] == 2) & (table["click"] == 1) & (table["interest"] != 0.5)]
    assert low <= auc(table["follows"], table["interest"] == 1) <= high


def test_shuffling_weeks_takes_the_signal_of_order_away():
    market = simulate(accounts=4000, seed=3)
    events = market.tables.events.copy()
    week = (events["timestamp"] - START) // WEEK
    shuffled = events.assign(week=week, random=np.random.default_rng(0).random(len(events)))
    shuffled = shuffled.sort_values(["individual_id", "week", "random"])
    events["activity"] = shuffled["activity"].to_numpy()
    table = weeks_of_individuals(market._replace(tables=market.tables._replace(events=events)))
    table = table[(table["open"] == 2) & (table["click"] == 1) & (table["interest"] != 0.5)]
    assert 0.45 <= auc(table["follows"], table["interest"] == 1) <= 0.55


def test_without_signals_activities_tell_nothing():
    table = weeks_of_individuals(simulate(accounts=4000, seed=3, order_signal=0.0, count_signal=0.0))
    assert 0.48 <= auc(table["click"], table["interest"] == 1) <= 0.52


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    one, two, three = (
        simulate(accounts=100, seed=5),
        simulate(MarketConfig(accounts=100, seed=5)),
        simulate(accounts=100),
    )
    for a, b in zip([*one.tables, *one[1:3]], [*two.tables, *two[1:3]], strict=True):
        if a is None:
            continue
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert one.intercept == two.intercept
    assert not one.tables.events.equals(three.tables.events)


def test_signals_leave_people_and_decisions_alone():
    one, two = simulate(accounts=200), simulate(accounts=200, order_signal=0.0)
    pd.testing.assert_frame_equal(one.tables.accounts, two.tables.accounts)
    pd.testing.assert_frame_equal(one.truth, two.truth)


@pytest.mark.parametrize("accounts, conversions, expected", [(1, 0.0, 0), (30, 0.0, 0), (1000, 0.1, 100)])
def test_the_number_of_conversions_is_what_was_asked_for(accounts, conversions, expected):
    tables = simulate(accounts=accounts, conversions=conversions).tables
    assert abs(tables.accounts["converted_at"].notna().sum() - expected) <= (1 if expected else 0)


def test_other_sizes_and_dates_work():
    market = simulate(accounts=300, weeks=12, start="2023-04-02", min_members=1, mean_members=2.5, max_members=6)
    members = market.tables.individuals.groupby("account_id").size()
    assert members.min() == 1 and members.max() == 6 and abs(members.mean() - 2.5) < 0.2
    assert market.tables.accounts["observed_to"].max() == pd.Timestamp("2023-06-25", tz="UTC")


@pytest.mark.parametrize(
    "wrong",
    [
        {"accounts": 0},
        {"seed": -1},
        {"weeks": 7},
        {"start": "2021-01-04"},
        {"start": "soon"},
        {"conversions": 0.6},
        {"min_members": 0},
        {"max_members": 3},
        {"mean_members": 3.0},
        {"mean_members": 14.0},
        {"strength": -1.0},
        {"decision_share": 1.5},
        {"rule": "lottery"},
        {"order_signal": -0.1},
        {"count_signal": 2.0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}: expected "):
        simulate(**wrong)


def test_every_setting_is_explained():
    assert all(field.metadata["help"] for field in dataclasses.fields(MarketConfig))
