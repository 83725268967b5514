"""Who gets a phone call and who an automated mail, where there is time for so many calls."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax.errors import ConfigError, DataError

CALL, MAIL, NOTHING = "call", "mail", "none"


def allocate(
    ranking: tuple[pd.DataFrame, pd.DataFrame],
    capacity: int | Mapping[Any, int] | pd.Series,
    *,
    owner: str | None = None,
    per_account: int | None = 1,
    floor: float = 0.0,
    no_call: str | Iterable[Any] = (),
    no_mail: str | Iterable[Any] = (),
) -> pd.DataFrame:
    """Gives the calls of one period to the individuals of the accounts that are likeliest to convert.

    Individuals are taken in the order of their account's probability, within an account (and among equal ones) of their
    own score, then of the ids; each is called who may be, as long as the owner and the account have calls left. So with
    two calls an account, the second individual of an account comes before the first one of a less likely account.

    Of all choices that keep to the limits, this one has the largest sum of the called individuals' account
    probabilities, and among those with the same sum, the largest sum of scores: the limits are nested (accounts within
    owners), and for such the greedy rule is exact.

    Args:
        ranking: accounts (account_id, probability, and the owner's column) and individuals (account_id, individual_id,
            score) of one cut-off, such as ``ranked`` gives.
        capacity: calls that can be made; with an owner, that of each one, as one number for all or by owner.
        owner: column of the accounts that says whose they are, such as a sales region. Accounts without an owner get no
            call.
        per_account: most calls to an account; None for any number.
        floor: accounts below this probability get no call.
        no_call: ids of individuals who are not to be called, or a boolean column of ``individuals`` that says so.
        no_mail: the same for mail.

    Returns:
        One row an individual, in the order above: the owner if any, account_id, individual_id, action ("call", "mail",
        or "none" for who gets no call and no mail), order (1 is the owner's first call; missing without one), reason,
        probability (the account's), score.

    Raises:
        DataError: if there is more than one row for an account, an individual's account is missing, or a value is NaN.
        ConfigError: if a number is negative, or a column or an owner's capacity is missing.

    Example:
        >>> import pandas as pd
        >>> from hanjax.scoring.allocation import allocate
        >>> accounts = pd.DataFrame({"account_id": [1, 2], "probability": [0.1, 0.3]})
        >>> individuals = pd.DataFrame({"account_id": [1, 2, 2], "individual_id": [7, 8, 9], "score": [0.1, 0.2, 0.3]})
        >>> allocate((accounts, individuals), 1)[["individual_id", "action", "reason"]].to_numpy().tolist()
        [[9, 'call', 'among the likeliest'], [8, 'mail', 'account is called'], [7, 'mail', 'no calls left']]

    Source: section 1 of the paper, salespersons who contact the high scores by phone and automated mail for the low
    ones; Edmonds 1971, Matroids and the greedy algorithm.
    """
    accounts, individuals = ranking
    if (per_account is not None and per_account < 1) or not 0 <= floor <= 1:
        raise ConfigError(f"per_account and floor: expected at least 1, and 0 to 1, got {per_account} and {floor}.")
    _check(accounts, individuals, owner)
    whose = pd.Series("all", index=accounts.index) if owner is None else accounts[owner].astype(object)
    columns = {"account_id": accounts["account_id"], "probability": accounts["probability"], "owner": whose}
    flags = {"no_call": _flagged(individuals, no_call, "no_call"), "no_mail": _flagged(individuals, no_mail, "no_mail")}
    people = individuals[["account_id", "individual_id", "score"]].assign(**flags)
    keys, ascending = ["probability", "score", "account_id", "individual_id"], [False, False, True, True]
    people = people.merge(pd.DataFrame(columns), on="account_id").sort_values(keys, ascending=ascending)
    people = people.reset_index(drop=True)
    account, whose = people["account_id"], people["owner"]

    low = people["probability"] < floor
    free = ~people["no_call"] & ~low & whose.notna()
    candidate = free & (free.groupby(account).cumsum() <= (len(people) if per_account is None else per_account))
    order = candidate.groupby(whose, dropna=False).cumsum()
    called = candidate & (order <= _quota(capacity, whose, by_owner=owner is not None))
    account_called = called.groupby(account).transform("any")
    reasons = {
        "opted out of calls": people["no_call"],
        "account below the floor": low,
        "account without owner": whose.isna(),
        "among the likeliest": called,
        "account is called": account_called & ~candidate,
    }
    return pd.DataFrame(
        {
            **({} if owner is None else {owner: whose}),
            "account_id": account,
            "individual_id": people["individual_id"],
            "action": np.select([called, people["no_mail"]], [CALL, NOTHING], MAIL),
            "order": order.where(called).astype("Int64"),
            "reason": np.select([*reasons.values()], [*reasons], "no calls left"),
            "probability": people["probability"],
            "score": people["score"],
        }
    )


def _check(accounts: pd.DataFrame, individuals: pd.DataFrame, owner: str | None) -> None:
    """Refuses what is not one cut-off's accounts and individuals."""
    if owner is not None and owner not in accounts:
        raise ConfigError(f"owner: accounts have no column {owner!r}; they have {', '.join(map(str, accounts))}.")
    for table, name, keys in (
        (accounts, "accounts", ["account_id"]),
        (individuals, "individuals", ["account_id", "individual_id"]),
    ):
        twice = table.duplicated(keys).to_numpy()
        if twice.any():
            raise DataError.rows(
                name, ", ".join(keys), "comes more than once", count=int(twice.sum()), first=table[keys[-1]][twice],
                remedy="Take one cut-off: hanjax.scoring.ranking.ranked gives the latest; and one row of an account's "
                "outcomes.",
            )  # fmt: skip
    for table, name, column in ((accounts, "accounts", "probability"), (individuals, "individuals", "score")):
        unknown = table[column].isna().to_numpy()
        if unknown.any():
            raise DataError.rows(
                name, column, "is missing", count=int(unknown.sum()), first=table["account_id"][unknown],
                remedy="Leave these rows out.",
            )  # fmt: skip
    stray = ~individuals["account_id"].isin(accounts["account_id"]).to_numpy()
    if stray.any():
        raise DataError.rows(
            "individuals", "account_id", "is not among the accounts", count=int(stray.sum()),
            first=individuals["account_id"][stray], remedy="Give the accounts of all individuals.",
        )  # fmt: skip


def _flagged(individuals: pd.DataFrame, given: str | Iterable[Any], name: str) -> Bool[np.ndarray, " n"]:
    """Which individuals a column or a list of ids names."""
    if not isinstance(given, str):
        return individuals["individual_id"].isin(list(given)).to_numpy()
    if given not in individuals or not pd.api.types.is_bool_dtype(individuals[given]):
        raise ConfigError(f"{name}: individuals have no boolean column {given!r}; give one, or a list of ids.")
    return individuals[given].to_numpy(bool)


def _quota(capacity: int | Mapping[Any, int] | pd.Series, whose: pd.Series, *, by_owner: bool) -> pd.Series:
    """How many calls the owner of each row can make; 0 where there is none."""
    owners = whose.dropna().unique()
    given = pd.Series(capacity if isinstance(capacity, Mapping | pd.Series) else dict.fromkeys(owners, capacity))
    wrong = [value for value in given if not isinstance(value, Integral) or value < 0]
    if wrong:
        raise ConfigError(f"capacity: expected whole numbers of calls, 0 or more, got {wrong[0]!r}.")
    if isinstance(capacity, Mapping | pd.Series) and not by_owner:
        raise ConfigError("capacity: one for each owner was given. Say with `owner` which column names them.")
    if len(missing := [owner for owner in owners if owner not in given.index]):
        some = ", ".join(map(str, missing[:5]))
        raise ConfigError(f"capacity: {len(missing):,} owners have none (first: {some}). Give 0 for no calls.")
    return whose.map(given).astype(float).fillna(0)  # of no rows it would be text
