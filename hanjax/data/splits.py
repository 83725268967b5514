"""Splits: accounts (with all their individuals) go to training, validation or test as a whole; or time does."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Shaped

from hanjax.config import TrainConfig
from hanjax.data.log import ALWAYS, NEVER, Log, Outcomes
from hanjax.errors import ConfigError, DataError
from hanjax.types import Panel

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def split_accounts(log: Log, config: TrainConfig) -> pd.Series:
    """Assigns every account to a part, stratified by outcome: whether it converts, or has any conversion.

    Args:
        log: the checked log.
        config: ``test`` (share or number) or ``test_fold``, ``validation`` (share of the rest; none under
            ``cross_validation``), ``until``, ``split_seed`` and ``seed``.

    Returns:
        "train", "validation" or "test" by account id. With ``until`` no account is kept for the test: what comes after
        that date is the test.

    Raises:
        ConfigError: if folds are asked for and there are none, or the numbers do not fit.
        DataError: if the training or validation accounts all have the same outcome.
    """
    return split_by_outcome(log.account_ids, log.converts, log.fold, config, outcomes=log.outcomes)


def split_by_outcome(
    account_ids: pd.Index,
    converted: Bool[np.ndarray, " a"],
    fold: Int[np.ndarray, " a"] | None,
    config: TrainConfig,
    *,
    outcomes: Outcomes | None = None,
) -> pd.Series:
    """``split_accounts`` of accounts of which no more is known than whether they converted, and their fold.

    Args:
        account_ids: ids, sorted.
        converted: whether each account converted.
        fold: its fold; None if there are none.
        config: as ``split_accounts`` takes it.
        outcomes: those by which ``converted`` was said, if there are any.
    """
    part = np.full(len(converted), TRAIN, object)
    random = np.random.default_rng(config.seed_of_split)
    if config.test_fold is not None:
        if fold is None:
            raise ConfigError(f"test_fold: {config.test_fold} was asked for, but the data have no table `folds`.")
        if config.test_fold not in fold:
            there = ", ".join(map(str, np.unique(fold)))
            raise ConfigError(f"test_fold: there is no fold {config.test_fold}; there are {there}.")
        part[fold == config.test_fold] = TEST
    elif config.until is None:
        whole = isinstance(config.test, int)
        part[_draw(converted, config.test if whole else round(config.test * len(part)), random)] = TEST
    rest = np.flatnonzero(part == TRAIN)
    share = 0.0 if config.cross_validation else config.validation
    part[rest[_draw(converted[rest], round(share * len(rest)), random)]] = VALIDATION
    for name in (TRAIN, VALIDATION):
        outcome, column = converted[part == name], "accounts.converted_at"
        if outcomes is not None and len(outcome):  # an account may have outcomes of both kinds
            known = (part == name)[outcomes.account] & ~np.isnan(outcomes.label)
            outcome, column = outcomes.label[known] >= 0.5, "outcomes.label"
        if (name == TRAIN or (part == name).any()) and len(set(outcome)) < 2:
            accounts = int((part == name).sum())
            raise DataError(
                f"{column}: the {accounts:,} {name} accounts do not hold both outcomes "
                f"({int(outcome.sum()):,} converted), so nothing can be learned or chosen from them. Bring more "
                "accounts with a conversion, or change `test`, `validation` or `seed`."
            )
    return pd.Series(part, index=account_ids, name="part")


def _draw(converted: Bool[np.ndarray, " n"], size: int, random: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Draws accounts, of each outcome in proportion."""
    if size > len(converted):
        raise ConfigError(f"test: {size:,} accounts were asked for, and there are {len(converted):,}.")
    positive = round(size * converted.mean()) if len(converted) else 0
    drawn = [
        random.permutation(np.flatnonzero(converted == outcome))[:n]
        for outcome, n in ((True, positive), (False, size - positive))
    ]
    return np.sort(np.concatenate(drawn))


def deal_accounts(panel: Panel, parts: int, *, seed: int) -> Int[np.ndarray, " b"]:
    """Deals the accounts of a panel into equal parts, those that convert and the others each for themselves.

    Args:
        panel: the samples.
        parts: how many parts.
        seed: of the deal.

    Returns:
        The part of each sample, from 0 on; all samples of an account are in one.

    Example:
        >>> import hanjax
        >>> from hanjax.data.splits import deal_accounts
        >>> panel = hanjax.encode(hanjax.simulate(accounts=30, conversions=0.4, seed=1).tables)
        >>> sorted(set(deal_accounts(panel, 3, seed=0).tolist()))
        [0, 1, 2]
    """
    return deal(panel.samples["account_id"], panel.batch.label[:, 0] >= 0.5, parts, seed=seed)


def deal(
    accounts: Shaped[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], parts: int, *, seed: int
) -> Int[np.ndarray, " n"]:
    """Deals samples into equal parts by whole accounts, those with a positive sample and the others for themselves.

    Args:
        accounts: ``[n]`` each sample's account.
        positive: ``[n]`` which samples are positive.
        parts: how many parts.
        seed: of the deal.

    Returns:
        The part of each sample, from 0 on.

    Example:
        >>> import numpy as np
        >>> from hanjax.data.splits import deal
        >>> part = deal(np.array(["a", "b", "a", "c"]), np.array([False, True, False, True]), 2, seed=0)
        >>> bool(part[0] == part[2] and part[1] != part[3])
        True
    """
    account, ids = pd.factorize(accounts)
    converts = np.zeros(len(ids), bool)
    converts[account[positive]] = True
    order = np.random.default_rng(seed).permutation(len(ids))
    part = np.empty(len(ids), np.int32)
    part[order[np.argsort(~converts[order], kind="stable")]] = np.arange(len(ids)) % parts
    return part[account]


def take_accounts(log: Log, wanted: Bool[np.ndarray, " a"]) -> Log:
    """The log of some accounts alone, as if there were no others."""
    return _take(log, wanted, wanted[log.individual_account])


def _take(log: Log, wanted: Bool[np.ndarray, " a"], individuals: Bool[np.ndarray, " n"]) -> Log:
    """The log of some accounts and individuals; an account's individuals are wanted only if it is wanted itself."""
    events = individuals[log.event_individual]
    account, individual = np.cumsum(wanted) - 1, np.cumsum(individuals) - 1
    outcomes = log.outcomes
    if outcomes is not None:
        outcomes = outcomes.take(np.flatnonzero(wanted[outcomes.account]))
        outcomes = outcomes._replace(account=account[outcomes.account].astype(np.int32))

    def rows(table: pd.DataFrame, kept: np.ndarray, code: np.ndarray) -> pd.DataFrame:
        entity = table.iloc[:, 0].to_numpy()
        table = table[kept[entity]].reset_index(drop=True)
        return table.assign(**{str(table.columns[0]): code[entity[kept[entity]]]})

    return log._replace(
        account_ids=log.account_ids[wanted],
        individual_ids=log.individual_ids[individuals],
        individual_account=account[log.individual_account[individuals]].astype(np.int32),
        arrived_at=log.arrived_at[individuals],
        observed_from=log.observed_from[wanted],
        observed_to=log.observed_to[wanted],
        converted_at=log.converted_at[wanted],
        event_individual=individual[log.event_individual[events]].astype(np.int32),
        event_time=log.event_time[events],
        event_activity=log.event_activity[events],
        event_count=None if log.event_count is None else log.event_count[events],
        event_known=None if log.event_known is None else log.event_known[events],
        event_order=None if log.event_order is None else log.event_order[events],
        categories=rows(log.categories, individuals, individual),
        numbers=rows(log.numbers, wanted, account),
        segments=log.segments[wanted].reset_index(drop=True),
        segment_versions=None if log.segment_versions is None else rows(log.segment_versions, wanted, account),
        features=None if log.features is None else rows(log.features, wanted, account),
        fold=None if log.fold is None else log.fold[wanted],
        outcomes=outcomes,
    )


def known_before(log: Log, time: int, *, part: bool = False) -> Log:
    """The log as it stood at a time: nothing that happened or became known at or after it is left.

    Args:
        log: the checked log.
        time: microseconds since 1970, UTC.
        part: whether the log is of some accounts of more, of which nothing may have been known.

    Returns:
        The log, in which observation ends at that time and later conversions have not happened; outcomes that were not
        known yet have no label.

    Raises:
        DataError: if nothing was known by then.
    """
    known = log.event_time if log.event_known is None else np.maximum(log.event_time, log.event_known)
    events = known < time
    if not events.any() and not part:
        raise DataError(f"events.timestamp: nothing was known before {pd.Timestamp(time, unit='us')} (UTC).")

    def history(table: pd.DataFrame) -> pd.DataFrame:
        stamp = table["known_at"].to_numpy()
        return table[(stamp == ALWAYS) | (stamp < time)].reset_index(drop=True)

    outcomes = log.outcomes
    if outcomes is not None:
        outcomes = outcomes.take(np.flatnonzero(outcomes.cutoff < time))
        outcomes = outcomes._replace(label=np.where(outcomes.known_at < time, outcomes.label, np.nan))
    past = log._replace(
        observed_to=np.minimum(log.observed_to, time),
        converted_at=np.where(log.converted_at < time, log.converted_at, NEVER),
        event_individual=log.event_individual[events],
        event_time=log.event_time[events],
        event_activity=log.event_activity[events],
        event_count=None if log.event_count is None else log.event_count[events],
        event_known=None if log.event_known is None else log.event_known[events],
        event_order=None if log.event_order is None else log.event_order[events],
        categories=history(log.categories),
        numbers=history(log.numbers),
        features=None if log.features is None else history(log.features),
        outcomes=outcomes,
        segment_versions=None if log.segment_versions is None else history(log.segment_versions),
    )
    arrived = past.arrived_at < time
    present = np.zeros(len(log.account_ids), bool)
    present[past.individual_account[arrived]] = True
    wanted = present & (past.observed_from < time)
    return _take(past, wanted, arrived & wanted[past.individual_account])
