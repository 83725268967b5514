"""What each opportunity says by itself: success, failure, or nothing yet, and from when on that is known."""

import numpy as np
import pandas as pd

from hanjax.labels.calendar import days_later
from hanjax.labels.opportunities import DISENGAGED, OPEN, WON, Opportunities
from hanjax.labels.rules import AccountPropensity, Rule, UpsellPropensity

FLIPPED = "disengaged, won by a later attempt"
MAY_FLIP = "disengaged, may still be won by a later attempt"
INCREASED = "won, increased and continued"
NOT_INCREASED = "won without an increase"
NOT_CONTINUED = "won and increased, not continued"
NOT_OBSERVED = "won and increased, the days after the contract's end are not observed yet"
NO_CONTRACT_BEFORE = "no earlier contract to measure an increase against"


def judge(given: Opportunities, rule: Rule) -> pd.DataFrame:
    """Judges each opportunity by a rule.

    Args:
        given: opportunities that were checked.
        rule: the rule.

    Returns:
        ``given.table`` with ``label`` (1, 0, or NaN where there is none yet), ``known_at`` (when it became known),
        ``verdict`` (in words), ``by`` (the opportunity that decided it, if that is another one), ``out`` (why it cannot
        have a label at all; empty where it can), and for upsells ``amount_before``.
    """
    table = given.table.assign(by=None, out="")
    table["by"] = table["by"].astype("str")
    table["label"] = table["status"].map({WON: 1.0, DISENGAGED: 0.0, OPEN: np.nan})
    table["known_at"], table["verdict"] = table["closed_at"], table["status"]
    table["unit"] = table.groupby(["account_id", *rule.unit]).ngroup()
    if "kind" in table and rule.kinds_of_labels:
        other = ~table["kind"].isin(rule.kinds_of_labels)
        table.loc[other, "out"] = "kind " + table["kind"] + " has no label by this rule"
    if isinstance(rule, AccountPropensity):
        return _retries(table, rule, given.observed_to)
    assert isinstance(rule, UpsellPropensity)
    return _upsells(table, rule, given.observed_to)


def _retries(table: pd.DataFrame, rule: AccountPropensity, end: pd.Timestamp) -> pd.DataFrame:
    """Resolves disengaged attempts of units that were won by a later one."""
    if rule.retries == "keep":
        return table
    mine = table.loc[table["out"] == ""]
    failed = mine.loc[mine["status"] == DISENGAGED]
    until = days_later(failed["closed_at"], rule.retry_within)
    winner = _first_win(failed, mine.loc[mine["status"] == WON])
    won_at = table["closed_at"].reindex(winner).set_axis(failed.index)
    turned = won_at <= until  # NaT, where there is no winner, is not
    rows, by = failed.index[turned], table["opportunity_id"].reindex(winner[turned.to_numpy()]).to_numpy()
    table.loc[rows, "by"] = by
    table.loc[rows, "known_at"] = _later(won_at, failed["closed_at"])[turned]
    if rule.retries == "drop":
        table.loc[rows, "out"], table.loc[rows, "label"] = FLIPPED, np.nan
    else:
        table.loc[rows, "label"], table.loc[rows, "verdict"] = 1.0, FLIPPED
    if rule.wait:
        waiting = failed.index.difference(rows) if rule.retries == "drop" else failed.index
        table.loc[waiting, "known_at"] = until[waiting]
        early = waiting[until[waiting] > end]
        table.loc[early, "label"], table.loc[early, "verdict"] = np.nan, MAY_FLIP
    return table


def _first_win(failed: pd.DataFrame, won: pd.DataFrame) -> np.ndarray:
    """Of the wins of each attempt's unit that were created after it, the one that was closed first; -1 for none."""
    won = won.sort_values(["closed_at", "opportunity_id"])
    won = won.assign(rank=np.arange(len(won))).sort_values(["unit", "created_at"], kind="stable")
    # Sorted by (unit, creation), the first to be closed from each place on to the end of the unit.
    first = won[::-1].groupby("unit")["rank"].cummin()[::-1].to_numpy()
    created = pd.concat([won["created_at"], failed["created_at"]])
    rank = np.searchsorted(np.sort(created.to_numpy()), created.to_numpy())
    key = pd.concat([won["unit"], failed["unit"]]).to_numpy() * (len(rank) + 1) + rank
    place = np.searchsorted(key[: len(won)], key[len(won) :], side="right")
    found = np.full(len(failed), -1)
    inside = place < len(won)
    inside[inside] = won["unit"].to_numpy()[place[inside]] == failed["unit"].to_numpy()[inside]
    by_rank = won.index.to_numpy()[np.argsort(won["rank"].to_numpy())]
    found[inside] = by_rank[first[place[inside]]]
    return found


def _upsells(table: pd.DataFrame, rule: UpsellPropensity, end: pd.Timestamp) -> pd.DataFrame:
    """Which won upsells increased what their unit pays, and whether the contract went on."""
    before = _paid_before(table, rule)
    table["amount_before"] = before["amount"]
    # However they end: if only those that were won had no label, who is no customer would always be a failure.
    table.loc[(table["out"] == "") & before["amount"].isna(), "out"] = NO_CONTRACT_BEFORE
    mine = table.loc[(table["out"] == "") & (table["status"] == WON)]
    added = (mine["kind"] == "add-on") & (rule.add_on_amount == "added")
    before = before.loc[mine.index]
    increase = mine["amount"].where(added, mine["amount"] - before["amount"])
    rounding = 1e-9 * (mine["amount"] + before["amount"])  # sums of cents are not exact
    enough = (increase > rounding) & (increase >= rule.least_increase * before["amount"] - rounding)
    table.loc[mine.index, "by"] = before["id"]
    _fails(table, mine.index[~enough], NOT_INCREASED)
    good = mine.loc[enough]
    table.loc[good.index, "verdict"] = INCREASED
    if rule.churn_within is None:
        return table
    renewed = good.loc[good["kind"] != "add-on"]
    late = renewed["contract_start"] > days_later(before.loc[renewed.index, "contract_end"], rule.churn_within)
    _fails(table, renewed.index[late], NOT_CONTINUED)
    extended = good.loc[good["kind"] == "add-on"]
    until = days_later(extended["contract_end"], rule.churn_within)
    follower = _follower(extended.assign(until=until), table[(table["status"] == WON) & (table["kind"] != "add-on")])
    table.loc[extended.index, "known_at"] = _later(until, extended["closed_at"])
    table.loc[follower.index, "by"] = follower
    _fails(table, extended.index.difference(follower.index), NOT_CONTINUED)
    early = extended.index[until > end]
    table.loc[early, "label"], table.loc[early, "verdict"] = np.nan, NOT_OBSERVED
    return table


def _later(one: pd.Series, other: pd.Series) -> pd.Series:
    return one.where(one >= other, other)


def _fails(table: pd.DataFrame, rows: pd.Index, verdict: str) -> None:
    table.loc[rows, "label"], table.loc[rows, "verdict"] = 0.0, verdict


def _paid_before(table: pd.DataFrame, rule: UpsellPropensity) -> pd.DataFrame:
    """For each opportunity what its unit paid when it was created, the latest contract's end, and its id.

    A contract counts from when it was won, and only for opportunities that were created after it.
    """
    won = table.loc[table["status"] == WON]
    instant = pd.Timedelta(microseconds=1)
    # An opportunity that was won at the moment of its creation is not its own predecessor.
    known = _later(won["closed_at"], won["created_at"] + instant)
    won = won.assign(known=known).sort_values(["known", "contract_start", "opportunity_id"])
    is_added = (won["kind"] == "add-on") & (rule.add_on_amount == "added")
    won["added"] = won["amount"].where(is_added, 0.0).groupby(won["unit"]).cumsum()
    asked = table[["unit", "created_at"]].rename_axis("row").reset_index().sort_values("created_at", kind="stable")

    def latest(contracts: pd.DataFrame) -> pd.DataFrame:
        """The latest of some contracts at the creation of each opportunity."""
        right = contracts[["unit", "known", "amount", "added", "contract_end", "opportunity_id"]]
        found = pd.merge_asof(asked, right, left_on="created_at", right_on="known", by="unit")
        return found.set_index("row").reindex(table.index)

    base, newest = latest(won.loc[~is_added]), latest(won)
    amount = base["amount"].fillna(0.0) + newest["added"] - base["added"].fillna(0.0)
    of = base.where(base["amount"].notna(), newest)
    return pd.DataFrame({"amount": amount, "contract_end": of["contract_end"], "id": of["opportunity_id"]})


def _follower(contracts: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """For each contract that is continued, by its row: the id of the one that reaches beyond its end."""
    left = contracts[["unit", "opportunity_id", "contract_end", "until"]].rename_axis("row").reset_index()
    pairs = left.merge(others, on="unit", suffixes=("", "_of_other"))
    good = (
        (pairs["contract_end_of_other"] > pairs["contract_end"])
        & (pairs["contract_start"] <= pairs["until"])
        & (pairs["closed_at"] <= pairs["until"])
    )
    pairs = pairs.loc[good].sort_values(["contract_start", "closed_at", "opportunity_id_of_other"])
    return pairs.groupby("row")["opportunity_id_of_other"].first()
