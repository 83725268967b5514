"""The log oracle against sums over all hidden states, and against what happened."""

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.simulation import log_oracle, rules, simulate
from hanjax.simulation.likelihood import read_log
from tests.simulation.reference import exact

START, WEEK = pd.Timestamp("2021-01-03", tz="UTC"), pd.Timedelta(days=7)
TINY = {"accounts": 40, "weeks": 12, "conversions": 0.4, "min_members": 1, "mean_members": 1.4, "max_members": 3}


def compare(market, ids, **settings):
    """The oracle, its stated error, and the brute-force sums."""
    rows = log_oracle(market, accounts=ids, **settings)
    one = pd.Index(ids)
    week = ((rows["cutoff"] - START) // WEEK).to_numpy()
    by_account = {a: exact(read_log(market, one[one == a]), market.config) for a in ids}
    expected = [by_account[a][w - 1] for a, w in zip(rows["account_id"], week, strict=True)]
    return rows["probability"].to_numpy(), rows["standard_error"].to_numpy(), np.array(expected)


def agree(found, error, expected):
    """Within the stated error: on average, and for all but a few of many."""
    stated = np.sqrt((error**2).mean())
    assert np.sqrt(((found - expected) ** 2).mean()) < 2.5 * stated + 1e-6
    assert (abs(found - expected) < 6 * np.maximum(error, stated)).mean() > 0.95


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_oracle_is_the_sum_over_all_hidden_states(rule):
    market = simulate(**TINY, rule=rule, seed=3)
    size = market.tables.individuals.groupby("account_id").size()
    ids = [*size.index[size == 1][:6], *size.index[size == 2][:6], *size.index[size == 3][:1]]
    found, error, expected = compare(market, ids, particles=600)
    agree(found, error, expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.99 and np.ptp(expected) > 0.01


@pytest.mark.slow
def test_three_members_who_decide_together_are_summed_over_too():
    market = simulate(accounts=30, weeks=8, conversions=0.4, mean_members=3.2, max_members=5, seed=1)
    size = market.tables.individuals.groupby("account_id").size()
    agree(*compare(market, size.index[size == 3][:2], particles=1000))


def test_more_particles_come_closer():
    market = simulate(**TINY, seed=3)
    size = market.tables.individuals.groupby("account_id").size()
    few, many = (compare(market, size.index[size <= 2][:15], particles=n) for n in (20, 2000))
    assert np.sqrt(((many[0] - many[2]) ** 2).mean()) < 0.3 * np.sqrt(((few[0] - few[2]) ** 2).mean())
    assert many[1].mean() < 0.3 * few[1].mean()


@pytest.mark.slow
def test_the_oracle_is_calibrated_and_loses_little_by_four_weeks():
    market = simulate(accounts=700, conversions=0.3, seed=5)
    truth = market.truth.merge(market.tables.accounts, on="account_id")
    labeled = truth[truth["cutoff"] + WEEK <= truth["observed_to"].max()]
    converts = (labeled["converted_at"] < labeled["cutoff"] + WEEK).to_numpy()
    auc = {}
    for window in (None, 4):
        rows = log_oracle(market, particles=32, window=window).loc[labeled.index]
        assert (rows["account_id"] == labeled["account_id"]).all() and (rows["cutoff"] == labeled["cutoff"]).all()
        p = rows["probability"].to_numpy()
        assert abs(p.sum() / converts.sum() - 1) < 0.1
        top = p >= np.quantile(p, 0.95)
        assert abs(p[top].sum() / converts[top].sum() - 1) < 0.2
        ranks = pd.Series(p).rank().to_numpy()
        n = converts.sum()
        auc[window] = (ranks[converts].sum() - n * (n + 1) / 2) / (n * (len(p) - n))
    assert auc[None] > 0.8 and abs(auc[None] - auc[4]) < 0.02


def test_the_oracle_reads_nothing_but_the_log_before_the_cutoff():
    market = simulate(accounts=20, weeks=12, conversions=0.3, seed=1)
    whole = log_oracle(market, particles=50)
    cutoff = START + 8 * WEEK
    tables, truth = market.tables, market.truth
    past = tables.events[tables.events["timestamp"] < cutoff]
    people = tables.individuals[tables.individuals["arrived_at"] < cutoff]
    # What is hidden, and what comes later, is gone; that nobody else arrives must not matter.
    late = tables.individuals[tables.individuals["arrived_at"] >= cutoff]
    first = tables.events[tables.events["individual_id"].isin(late["individual_id"])].drop_duplicates("individual_id")
    cut = market._replace(
        tables=tables._replace(events=pd.concat([past, first]), individuals=pd.concat([people, late])),
        truth=truth.assign(probability=0.0),
        individual_truth=market.individual_truth.iloc[:0],
    )
    before = (whole["cutoff"] <= cutoff).to_numpy()
    pd.testing.assert_frame_equal(log_oracle(cut, particles=50)[before], whole[before])


def test_the_same_seed_gives_the_same_bits_and_accounts_can_be_chosen():
    market = simulate(accounts=20, weeks=10)
    ids = ["a0000003", "a0000007"]
    one = log_oracle(market, accounts=ids, particles=20)
    pd.testing.assert_frame_equal(one, log_oracle(market, accounts=ids, particles=20), check_exact=True)
    assert set(one["account_id"]) == set(ids)
    assert not one.equals(log_oracle(market, accounts=ids, particles=20, seed=1))
    with pytest.raises(DataError, match=r"accounts: the market has no a9 \(1 unknown\)"):
        log_oracle(market, accounts=["a9"])
    with pytest.raises(ConfigError, match="window: expected"):
        log_oracle(market, window=0)
