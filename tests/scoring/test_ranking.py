"""The ranking against a slow one, row by row."""

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.lift import tiers
from hanjax.scoring.ranking import ranked, spread
from hanjax.types import Scores

WEEKS = pd.date_range("2024-01-07", periods=4, freq="7D", tz="Europe/Berlin")


def scores(seed=0, accounts=23, ties=False):
    """Accounts that come and go, and whose individuals arrive one after the other."""
    random = np.random.default_rng(seed)
    chance = lambda n: np.maximum(np.round(random.random(n), 1) if ties else random.random(n), 0.05)
    tables = []
    for a in range(accounts):
        weeks = WEEKS[random.integers(0, 3) :]
        arrived = random.integers(0, 4, random.integers(1, 5))
        arrived[0] = 0
        members = [int((arrived <= WEEKS.get_loc(week)).sum()) for week in weeks]
        account = pd.DataFrame({"account_id": f"a{a}", "cutoff": weeks, "n_members": members})
        shares = [pd.DataFrame({"individual_id": [f"a{a}-{k}" for k in range(n)], "cutoff": week, "share": 1 / n})
                  for n, week in zip(members, weeks, strict=True)]  # fmt: skip
        tables.append((account.assign(region=f"r{a % 3}"), pd.concat(shares).assign(account_id=f"a{a}")))
    accounts, individuals = (pd.concat(table, ignore_index=True) for table in zip(*tables, strict=True))
    accounts = accounts.assign(probability=chance(len(accounts)), rank=0, raw_score=0.5, probability_within_4=0.9)
    return Scores(accounts, individuals.assign(score=chance(len(individuals)), rank_in_account=0))


def by_key(table, *keys):
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("week", [1, 3])
def test_accounts_are_those_of_a_slow_ranking(ties, week):
    given = scores(ties=ties)
    found = ranked(given, as_of=WEEKS[week] + pd.Timedelta(days=3)).accounts
    at = [given.accounts.query("cutoff == @when") for when in (WEEKS[week], WEEKS[week - 1])]
    now, before = (by_key(table, "account_id") for table in at)
    assert sorted(found["account_id"]) == sorted(key for (key,) in now)
    rank = lambda rows, own: 1 + sum(row["probability"] > own for row in rows.values())
    previous = (-1.0, "")
    for row in found.to_dict("records"):
        own = now[row["account_id"],]
        assert row["cutoff"] == WEEKS[week] and row["probability"] == own["probability"]
        assert (row["n_members"], row["region"]) == (own["n_members"], own["region"])
        assert row["rank"] == rank(now, own["probability"])
        earlier = before.get((row["account_id"],))
        if earlier is None:
            assert pd.isna(row["rank_before"]) and np.isnan(row["probability_before"]) and np.isnan(row["change"])
        else:
            assert row["rank_before"] == rank(before, earlier["probability"])
            assert row["probability_before"] == earlier["probability"]
            assert row["change"] == pytest.approx(own["probability"] / earlier["probability"])
        assert (-row["probability"], row["account_id"]) > previous
        previous = (-row["probability"], row["account_id"])
    assert found["change"].isna().any() == (week == 1)
    assert list(found)[-2:] == ["region", "probability_within_4"] and "raw_score" not in found


@pytest.mark.parametrize("ties", [False, True])
def test_individuals_are_those_of_a_slow_ranking(ties):
    given = scores(1, ties=ties)
    found = ranked(given)
    at = [given.individuals.query("cutoff == @when") for when in (WEEKS[3], WEEKS[2])]
    now, before = (by_key(table, "account_id", "individual_id") for table in at)
    assert found.individuals["account_id"].unique().tolist() == found.accounts["account_id"].tolist()
    assert len(found.individuals) == len(now) and found.individuals["new"].any() and not found.individuals["new"].all()
    for account, table in found.individuals.groupby("account_id"):
        peers = [row["score"] for (own, _), row in now.items() if own == account]
        assert table["score"].tolist() == sorted(peers, reverse=True)
        for row in table.to_dict("records"):
            own, earlier = (rows.get((account, row["individual_id"])) for rows in (now, before))
            assert (row["score"], row["share"]) == (own["score"], own["share"])
            assert row["rank_in_account"] == 1 + sum(score > own["score"] for score in peers)
            assert row["new"] is (earlier is None)
            if earlier is not None:
                assert row["score_before"] == earlier["score"]
                assert row["change"] == pytest.approx(own["score"] / earlier["score"])


def test_rows_in_any_order_give_the_same_ranking():
    given = scores(2, ties=True)
    shuffled = Scores(*(table.sample(frac=1, random_state=0) for table in given))
    for one, other in zip(ranked(given), ranked(shuffled), strict=True):
        pd.testing.assert_frame_equal(one, other)


def flat(probabilities):
    n = len(probabilities)
    accounts = pd.DataFrame({"account_id": range(n), "cutoff": WEEKS[0], "probability": probabilities, "n_members": 1})
    individuals = accounts.assign(individual_id=accounts["account_id"] + 100, score=accounts["probability"], share=1.0)
    return Scores(accounts, individuals)


def test_tiers_are_those_of_the_accounts_of_the_cut_off():
    tier = ranked(flat(np.arange(1, 31) / 40)).accounts["tier"]
    assert tier.tolist() == ["High"] * 3 + ["Medium"] * 6 + ["Low"] * 21
    some = ranked(flat([0.1, 0.2, 0.3, 0.4]), tiers=[("A", 0.5), ("B", 0.5)]).accounts["tier"]
    assert some.tolist() == ["A", "A", "B", "B"]
    assert ranked(flat([0.2] * 7)).accounts["tier"].nunique() == 1
    given = scores(ties=True)
    both = tiers(given.accounts["probability"].to_numpy(), given.accounts["cutoff"].to_numpy())
    wanted = dict(zip(given.accounts["account_id"], both, strict=True))  # the last cut-off wins
    assert ranked(given).accounts.set_index("account_id")["tier"].to_dict() == wanted


def test_tiers_that_cannot_be_are_an_error():
    with pytest.raises(ConfigError, match="shares: expected shares"):
        ranked(flat([0.5]), tiers=[("A", 0.7), ("B", 0.4)])


def test_with_one_cut_off_everything_is_new():
    found = ranked(flat([0.1, 0.2]))
    assert found.individuals["new"].all() and found.accounts["change"].isna().all()
    assert found.accounts["rank_before"].isna().all()


def test_as_of_is_the_latest_cut_off_up_to_it():
    given = scores()
    assert ranked(given, as_of="2024-01-20").accounts["cutoff"].unique().tolist() == [WEEKS[1]]
    assert ranked(given, as_of="2024-01-21").accounts["cutoff"].unique().tolist() == [WEEKS[2]]
    assert ranked(given).accounts["cutoff"].unique().tolist() == [WEEKS[3]]
    naive = Scores(*(table.assign(cutoff=table["cutoff"].dt.tz_localize(None)) for table in given))
    assert ranked(naive, as_of="2024-01-14").accounts["cutoff"].unique().tolist() == [pd.Timestamp("2024-01-14")]
    with pytest.raises(DataError, match=r"as_of: there are no scores up to 2024-01-06. The first one is 2024-01-07"):
        ranked(given, as_of="2024-01-06")
    with pytest.raises(ConfigError, match="as_of: 'soon' is not a date"):
        ranked(given, as_of="soon")
    with pytest.raises(DataError, match="none to rank"):
        ranked(Scores(*(table.iloc[:0] for table in given)))


def test_it_prints_the_first_accounts_with_their_first_individuals():
    found = ranked(scores())
    lines = repr(found).splitlines()
    assert lines[0] == f"Ranking of {len(found.accounts)} accounts as of 2024-01-28"
    accounts = [line.split() for line in lines[1:] if not line.startswith(" " * 8)]
    first = found.accounts.head(10)
    assert [words[1] for words in accounts] == first["account_id"].tolist()
    assert [words[2] for words in accounts] == [f"{p:.4f}" for p in first["probability"]]
    people = found.individuals.groupby("account_id", sort=False).head(3)
    people = people[people["account_id"].isin(first["account_id"])]
    assert [line.split()[0] for line in lines[1:] if line.startswith(" " * 8)] == people["individual_id"].tolist()


def test_the_spread_is_that_of_log_odds():
    z = np.random.default_rng(0).normal(size=(5, 7))
    found = spread(1 / (1 + np.exp(-z)))
    for i in range(7):
        deviation = np.sqrt(((z[:, i] - z[:, i].mean()) ** 2).sum() / 4)
        assert found.low[i] == pytest.approx(z[:, i].mean() - 1.96 * deviation)
        assert found.high[i] == pytest.approx(z[:, i].mean() + 1.96 * deviation)
        assert found.deviation[i] == pytest.approx(deviation)
        assert (found.least[i], found.most[i]) == pytest.approx((z[:, i].min(), z[:, i].max()))
    assert np.isfinite(spread([np.array([0.0, 1.0]), np.array([0.5, 1.0])])).all()


@pytest.mark.parametrize("given", [[[0.5]], [[0.5], [0.5, 0.5]], [[0.5], [np.nan]], [[0.5], [1.5]], []])
def test_what_has_no_spread_is_an_error(given):
    with pytest.raises(DataError, match="spread: "):
        spread(np.array(one) for one in given)


def test_the_spread_stands_beside_each_account():
    given = scores()
    others = [scores_of.accounts["probability"].to_numpy() for scores_of in (scores(), scores(ties=True))]
    tables = [given.accounts.assign(probability=one).sample(frac=1, random_state=0) for one in others]
    found = ranked(given, spread=others).accounts
    wanted = spread(others)
    for row in found.to_dict("records"):
        at = np.flatnonzero(
            (given.accounts["account_id"] == row["account_id"]) & (given.accounts["cutoff"] == WEEKS[3])
        )
        assert row["probability_low"] == pytest.approx(1 / (1 + np.exp(-wanted.low[at[0]])))
        assert row["probability_high"] == pytest.approx(1 / (1 + np.exp(-wanted.high[at[0]])))
    pd.testing.assert_frame_equal(ranked(given, spread=tables).accounts, found)
    pd.testing.assert_frame_equal(
        ranked(given, spread=[Scores(table, given.individuals) for table in tables]).accounts, found
    )
    gone = found["account_id"][4]
    with pytest.raises(DataError, match=rf"spread\[1\].account_id: is missing.*1 row; first: {gone}\)"):
        ranked(given, spread=[tables[0], tables[1].query("account_id != @gone")])
    with pytest.raises(DataError, match="spread: expected"):
        ranked(given, spread=[others[0][1:], others[1]])
