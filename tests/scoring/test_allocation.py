"""Who is called: against every possible choice on tiny cases, and rules that hold on larger ones."""

import itertools

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.scoring.allocation import allocate
from hanjax.scoring.ranking import ranked
from hanjax.types import Scores


def market(seed, accounts=40):
    """Accounts with equal probabilities among them, some without an owner."""
    random = np.random.default_rng(seed)
    chance = lambda n: np.round(random.random(n), 1)
    table = pd.DataFrame({"account_id": [f"a{i}" for i in range(accounts)], "probability": chance(accounts)})
    region = random.choice(np.array(["north", "south", None], object), accounts, p=[0.5, 0.4, 0.1])
    sizes = random.integers(1, 5, accounts)
    people = pd.DataFrame({"account_id": table["account_id"].repeat(sizes).to_numpy()})
    people = people.assign(individual_id=np.arange(len(people)), score=chance(len(people)))
    people = people.assign(silent=random.random(len(people)) < 0.2, blocked=random.random(len(people)) < 0.3)
    return table.assign(region=region), people


def quota_of(found, capacity):
    calls = found[found["action"] == "call"]
    return {region: capacity[region] - int((calls["region"] == region).sum()) for region in capacity}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("per_account", [1, 2, None])
def test_nobody_is_called_beyond_a_limit_and_nobody_better_is_left(seed, per_account):
    capacity = {"north": 9, "south": 4 + 100 * (seed == 0)}
    found = allocate(
        market(seed), capacity, owner="region", per_account=per_account, floor=0.25, no_call="blocked", no_mail="silent"
    )
    accounts, people = market(seed)
    assert sorted(found["individual_id"]) == sorted(people["individual_id"])
    called = found["action"] == "call"
    left = quota_of(found, capacity)
    assert min(left.values()) >= 0
    of_account = found[called].groupby("account_id").size()
    limit = len(people) if per_account is None else per_account
    assert of_account.max() <= limit
    flags = people.set_index("individual_id").loc[found["individual_id"]]
    blocked, silent = flags["blocked"].to_numpy(), flags["silent"].to_numpy()
    assert not (called & blocked).any() and not (called & (found["probability"] < 0.25)).any()
    assert not (called & found["region"].isna()).any()
    assert (found["action"] == np.where(called, "call", np.where(silent, "none", "mail"))).all()
    free = ~called & ~blocked & (found["probability"] >= 0.25) & found["region"].notna()
    assert free.any()
    key = list(zip(found["probability"], found["score"], strict=True))
    for i in np.flatnonzero(free):
        same_account = called & (found["account_id"] == found["account_id"][i])
        if same_account.sum() == limit:
            better_than, reason = same_account, "account is called"
        else:
            assert left[found["region"][i]] == 0
            better_than, reason = called & (found["region"] == found["region"][i]), "no calls left"
        assert all(key[j] >= key[i] for j in np.flatnonzero(better_than))
        assert found["reason"][i] == reason or same_account.any()


def best_by_hand(accounts, people, capacity, per_account):
    """The highest sum of probabilities, then of scores, over all choices of whom to call."""
    rows = people.merge(accounts, on="account_id").to_dict("records")
    best = (0.0, 0.0)
    for chosen in itertools.chain.from_iterable(itertools.combinations(rows, n) for n in range(len(rows) + 1)):
        count = lambda key, chosen=chosen: pd.Series([row[key] for row in chosen], dtype=object).value_counts()
        if any(n > capacity.get(region, 0) for region, n in count("region").items()):
            continue
        if any(pd.isna(row["region"]) for row in chosen) or (count("account_id") > (per_account or 99)).any():
            continue
        best = max(best, tuple(round(sum(row[key] for row in chosen), 6) for key in ("probability", "score")))
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_account", [1, 2, None])
def test_no_other_choice_is_better(seed, per_account):
    accounts, people = market(seed, accounts=5)
    people = people.sample(n=min(8, len(people)), random_state=seed)
    capacity = {"north": 2, "south": 1}
    found = allocate((accounts, people), capacity, owner="region", per_account=per_account).query("action == 'call'")
    sums = tuple(round(found[key].sum(), 6) for key in ("probability", "score"))
    assert sums == best_by_hand(accounts, people, capacity, per_account)


def test_rows_in_any_order_give_the_same():
    accounts, people = market(3)
    one = allocate((accounts, people), 5, owner="region", no_call=[3, 4])
    other = allocate(
        (accounts.sample(frac=1, random_state=1), people.sample(frac=1, random_state=2)),
        5,
        owner="region",
        no_call=[4, 3],
    )
    pd.testing.assert_frame_equal(one, other)


def test_the_order_is_that_of_each_owner():
    found = allocate(market(1), 6, owner="region").query("action == 'call'")
    for region in ("north", "south"):
        own = found[found["region"] == region]
        assert own["order"].tolist() == [1, 2, 3, 4, 5, 6]
        assert own["probability"].is_monotonic_decreasing
    assert list(found)[0] == "region"


def by_hand():
    accounts = pd.DataFrame({"account_id": [1, 2, 3], "probability": [0.5, 0.1, 0.3], "who": ["Ann", "Ann", None]})
    people = pd.DataFrame({"account_id": [1, 1, 1, 2, 3], "individual_id": list("abcde")})
    return accounts, people.assign(score=[0.2, 0.6, 0.4, 0.1, 0.3], out=[False, True, False, False, True])


def test_a_case_by_hand():
    found = allocate(by_hand(), 5, owner="who", floor=0.2, no_call=["b"], no_mail="out")
    assert found.drop(columns=["who", "score"]).fillna({"order": 0}).to_numpy().tolist() == [
        [1, "b", "none", 0, "opted out of calls", 0.5],
        [1, "c", "call", 1, "among the likeliest", 0.5],
        [1, "a", "mail", 0, "account is called", 0.5],
        [3, "e", "none", 0, "account without owner", 0.3],
        [2, "d", "mail", 0, "account below the floor", 0.1],
    ]
    assert allocate(by_hand(), 0)["reason"].tolist() == ["no calls left"] * 5
    found = allocate(by_hand(), 2, per_account=None)
    assert found["order"].tolist() == [1, 2, pd.NA, pd.NA, pd.NA] and found["individual_id"].tolist() == list("bcaed")
    assert found["reason"][2] == "no calls left"


def test_owners_may_be_a_category_and_capacity_a_series():
    accounts, people = by_hand()
    accounts["who"] = accounts["who"].astype("category")
    found = allocate((accounts, people), pd.Series({"Ann": 1, "Bob": 7}), owner="who")
    assert (found["action"] == "call").sum() == 1 and found["individual_id"][0] == "b"


def test_nobody_is_nobody():
    accounts, people = by_hand()
    found = allocate((accounts, people.iloc[:0]), 3)
    assert len(found) == 0 and "action" in found


def test_it_takes_a_ranking():
    accounts, people = by_hand()
    dated = [table.assign(cutoff=pd.Timestamp("2024-01-07")) for table in (accounts.assign(n_members=1), people)]
    ranking = ranked(Scores(dated[0], dated[1].assign(share=1.0)))
    assert allocate(ranking, 2)["individual_id"].tolist() == allocate(by_hand(), 2)["individual_id"].tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"per_account": 0}, "per_account"),
        ({"floor": 1.5}, "floor"),
        ({"capacity": -1}, "capacity: expected whole numbers"),
        ({"capacity": 1.5}, "capacity: expected whole numbers"),
        ({"capacity": {"Ann": 1}}, "Say with `owner`"),
        ({"capacity": {"Bob": 1}, "owner": "who"}, r"capacity: 1 owners have none \(first: Ann\)"),
        ({"owner": "whose"}, "owner: accounts have no column 'whose'; they have account_id, probability, who"),
        ({"no_call": "gone"}, "no_call: individuals have no boolean column 'gone'"),
        ({"no_mail": "score"}, "no_mail: individuals have no boolean column 'score'"),
    ],
)
def test_settings_that_cannot_work_are_an_error(wrong, message):
    with pytest.raises(ConfigError, match=message):
        allocate(by_hand(), **{"capacity": 1, **wrong})


def test_tables_that_do_not_fit_are_an_error():
    accounts, people = by_hand()
    twice = pd.concat([accounts, accounts])
    with pytest.raises(DataError, match=r"accounts.account_id: comes more than once \(3 rows; first: 1, 2, 3\)"):
        allocate((twice, people), 1)
    with pytest.raises(DataError, match="individuals.account_id, individual_id: comes more than once"):
        allocate((accounts, pd.concat([people, people.iloc[:1]])), 1)
    with pytest.raises(DataError, match=r"individuals.account_id: is not among the accounts \(1 row; first: 2\)"):
        allocate((accounts.iloc[[0, 2]], people), 1)
    with pytest.raises(DataError, match="accounts.probability: is missing"):
        allocate((accounts.assign(probability=[0.1, np.nan, 0.2]), people), 1)
    with pytest.raises(DataError, match="individuals.score: is missing"):
        allocate((accounts, people.assign(score=[0.1, np.nan, 0.2, 0.1, 0.1])), 1)
