"""What a simulated market can be asked for, and what comes back."""

import datetime
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from hanjax.settings import check_types, require, setting
from hanjax.types import Tables


@dataclass(frozen=True, kw_only=True)
class MarketConfig:
    """How large a market is, and what its accounts decide by; the defaults are the paper's data.

    Raises:
        ConfigError: if a value cannot work.
    """

    accounts: int = setting(2516, "how many accounts there are")
    seed: int = setting(0, "the same seed gives the same market, to the bit")
    weeks: int = setting(35, "weeks of the log")
    start: str = setting("2021-01-03", "first day of the log, a Sunday")
    conversions: float = setting(0.034, "share of the accounts that convert within the log")
    min_members: int = setting(3, "individuals of the smallest account; nothing is decided before so many have arrived")
    mean_members: float = setting(11567 / 2516, "individuals of an account, on average")
    max_members: int = setting(25, "individuals of the largest account")
    rule: Literal["weighted_influence", "any_one", "consensus", "majority", "decision_maker", "veto", "contagion"] = (
        setting("weighted_influence", "how the members' interest becomes the account's: hanjax.simulation.rules")
    )
    strength: float = setting(7.0, "log-odds between an account that is all cold and one that is all hot")
    decision_share: float = setting(
        0.5, "the decision-maker's share in the decision; half of the rest is the influencer's"
    )
    fit: float = setting(0.5, "log-odds of a standard deviation of log employees")
    order_signal: float = setting(1.0, "how far the order of a week's activities tells interest: 0 nothing, 1 most")
    count_signal: float = setting(1.0, "how far the volumes of a week's activities tell interest: 0 nothing, 1 most")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        require(self.accounts >= 1, "accounts", self.accounts, "an integer of at least 1")
        require(self.seed >= 0, "seed", self.seed, "an integer of at least 0")
        require(self.weeks >= 8, "weeks", self.weeks, "an integer of at least 8")
        require(is_sunday(self.start), "start", self.start, "a Sunday, such as '2021-01-03'")
        require(0 <= self.conversions <= 0.5, "conversions", self.conversions, "a share between 0 and 0.5")
        require(self.min_members >= 1, "min_members", self.min_members, "an integer of at least 1")
        require(
            self.max_members > self.min_members,
            "max_members",
            self.max_members,
            f"above min_members={self.min_members}",
        )
        middle = (self.min_members + self.max_members) / 2
        require(
            self.min_members < self.mean_members < middle,
            "mean_members",
            self.mean_members,
            f"above min_members={self.min_members} and below {middle}, halfway to max_members",
        )
        require(self.strength >= 0, "strength", self.strength, "at least 0")
        for name in ("decision_share", "order_signal", "count_signal"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")


class Market(NamedTuple):
    """A simulated market: the tables that a user would bring, and what no user can see.

    Args:
        tables: ``events``, ``individuals``, ``accounts`` and ``folds`` (1: the test accounts), as DataFrames.
        truth: one row per account and cut-off: ``account_id, cutoff, probability`` (of converting in the period that
            starts at the cut-off, given everybody's interest then).
        individual_truth: one row per account, individual and cut-off: ``account_id, individual_id, cutoff``,
            ``interest`` (0 cold or gone, 0.5 warm, 1 hot), ``influence`` (share in the decision under weighted
            influence, 0 for whoever is gone) and ``probability`` (of the account's converting if it were theirs alone
            to decide, and allowed however few have arrived).
        intercept: log-odds of an account of average size that is all cold.
        config: the settings that it was made with.
    """

    tables: Tables
    truth: pd.DataFrame
    individual_truth: pd.DataFrame
    intercept: float
    config: MarketConfig

    def __repr__(self) -> str:
        """Says how large the market is; the settings tell the rest."""
        return f"Market({self.tables!r}, seed={self.config.seed})"


def is_sunday(day: str) -> bool:
    """Whether a text is the date of a Sunday."""
    try:
        return datetime.date.fromisoformat(day).weekday() == 6
    except (TypeError, ValueError):
        return False
