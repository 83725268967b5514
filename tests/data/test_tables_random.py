"""Random tables full of strays give the log that plain pandas joins give."""

import numpy as np
import pandas as pd
import pytest

from hanjax.config import PanelConfig
from hanjax.data.tables import check
from hanjax.types import Tables

START = pd.Timestamp("2024-01-01", tz="UTC")


def random_tables(seed: int) -> Tables:
    """Tables with unknown ids, missing dates, events at any time, and late knowledge where the seed is odd."""
    rng = np.random.default_rng(seed)
    a, p, n = 20, 60, 2000

    def times(unit: str, low: int, high: int, size: int, given: float = 1.0) -> pd.Series:
        column = pd.Series(START + pd.to_timedelta(rng.integers(low, high, size), unit=unit))
        return column.where(rng.random(size) < given).astype("datetime64[us, UTC]")

    accounts = pd.DataFrame({"account_id": rng.permutation(a) * 3})
    accounts["observed_from"] = times("h", 0, 400, a, 0.6)
    accounts["observed_to"] = times("h", 700, 1400, a, 0.6)
    individuals = pd.DataFrame({"individual_id": rng.permutation(p) - 5, "account_id": rng.integers(-1, a, p) * 3})
    individuals["arrived_at"] = times("h", 0, 1000, p, 0.5)
    who = rng.integers(0, p, n)
    events = individuals.iloc[who][["individual_id", "account_id"]].reset_index(drop=True)
    events.loc[rng.random(n) < 0.01, "individual_id"] = 999
    events["timestamp"] = times("s", 0, 1500 * 3600, n)
    events["activity"] = rng.choice(["visit", "form", "call"], n)
    events["order"] = np.arange(n)
    if seed % 2:
        events["known_at"] = events["timestamp"] + pd.to_timedelta(rng.integers(-5, 50, n), unit="h")
    return Tables(events, individuals, accounts)


def microseconds(times: pd.Series) -> np.ndarray:
    return times.astype("datetime64[us, UTC]").astype("int64").to_numpy()


@pytest.mark.parametrize("seed", range(12))
def test_check_agrees_with_joins(seed):
    tables = random_tables(seed)
    log = check(tables, PanelConfig(strays="drop"))

    people = tables.individuals[tables.individuals["account_id"].isin(tables.accounts["account_id"])]
    events = tables.events.merge(people[["individual_id", "arrived_at"]], on="individual_id")
    events = events.merge(tables.accounts, on="account_id").sort_values("order")
    when = events["timestamp"]
    stray = (when < events["observed_from"]) | (when >= events["observed_to"]) | (when < events["arrived_at"])
    events = events[~stray]
    seen = events[["timestamp", "known_at"]].max(axis=1) if seed % 2 else events["timestamp"]
    first_seen = seen.groupby(events["individual_id"]).min()
    people = people.assign(arrival=people["arrived_at"].fillna(people["individual_id"].map(first_seen)))
    people = people.dropna(subset="arrival").sort_values(["account_id", "arrival", "individual_id"])
    accounts = tables.accounts[tables.accounts["account_id"].isin(people["account_id"])].sort_values("account_id")
    begin = accounts["account_id"].map(people.groupby("account_id")["arrival"].min())
    begin = begin.where(~(begin > accounts["observed_to"]), accounts["observed_to"])
    end = max(events["timestamp"].max(), people["arrival"].max())

    assert log.account_ids.tolist() == accounts["account_id"].tolist()
    assert log.individual_ids.tolist() == people["individual_id"].tolist()
    assert log.account_ids[log.individual_account].tolist() == people["account_id"].tolist()
    np.testing.assert_array_equal(log.arrived_at, microseconds(people["arrival"]))
    np.testing.assert_array_equal(log.observed_from, microseconds(accounts["observed_from"].fillna(begin)))
    np.testing.assert_array_equal(log.observed_to, microseconds(accounts["observed_to"].fillna(end)))
    np.testing.assert_array_equal(log.event_order, events["order"])
    np.testing.assert_array_equal(log.event_time, microseconds(events["timestamp"]))
    np.testing.assert_array_equal(log.individual_ids[log.event_individual], events["individual_id"])
    assert [log.activities[code] for code in log.event_activity] == events["activity"].tolist()
    assert sum(left.rows for left in log.left_out if left.table == "events") == len(tables.events) - len(events) > 0
