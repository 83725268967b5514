"""What a simulated company can be asked for, and what comes back."""

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from hanjax.settings import check_types, require, setting
from hanjax.simulation.settings import is_sunday
from hanjax.types import Tables


@dataclass(frozen=True, kw_only=True)
class CompanyConfig:
    """How large a seller's business is, what its customers decide by, and what goes wrong with its data.

    Raises:
        ConfigError: if a value cannot work.
    """

    accounts: int = setting(1500, "how many accounts there are")
    seed: int = setting(0, "the same seed gives the same company, to the bit")
    weeks: int = setting(156, "weeks of the history")
    start: str = setting("2021-01-03", "first day of the history, a Sunday")
    region_spread: float = setting(0.4, "standard deviation of the regions' effects on the log-odds of a sale")
    nested_spread: float = setting(0.25, "that of the effects of an industry within a region")
    lift_spread: float = setting(0.3, "that of the regions' effects on what a company's growth counts for")
    strength: float = setting(1.0, "factor of what growth, affinity and social selling count for in a first sale")
    upsell_strength: float = setting(1.0, "factor of what usage, performance and white space count for in an upsell")
    turn: int | None = setting(None, "week from which growth counts the other way round; none: never")
    new_tracker: int | None = setting(None, "week from which the feed of usage counts threefold; none: never")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        require(self.accounts >= 1, "accounts", self.accounts, "an integer of at least 1")
        require(self.seed >= 0, "seed", self.seed, "an integer of at least 0")
        require(self.weeks >= 26, "weeks", self.weeks, "an integer of at least 26")
        require(is_sunday(self.start), "start", self.start, "a Sunday, such as '2021-01-03'")
        for name in ("region_spread", "nested_spread", "lift_spread", "strength", "upsell_strength"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("turn", "new_tracker"):
            week = getattr(self, name)
            require(week is None or 0 <= week <= self.weeks, name, week, f"a week from 0 to {self.weeks}, or none")


class Company(NamedTuple):
    """A simulated company: what its systems hold, and what nobody sees.

    Args:
        tables: ``events``, ``individuals`` and ``accounts``, as DataFrames; outcomes are to be made of opportunities.
        opportunities: one row an attempt to sell: ``opportunity_id, account_id, region, product, kind`` (new, add-on,
            renewal), ``created_at, closed_at`` (empty while open), ``stage, amount`` (dollars a year),
            ``contract_start, contract_end`` (of a first sale and a renewal the contract that it leads to, if won; of an
            add-on the contract that it adds to).
        sources: what features are made of, by name: ``headcount``, ``bookings``, ``usage``, ``performance``, ``seats``
            (of accounts) and ``connections`` (of individuals), each with the ``day`` that a row is about; of those
            that come late, ``known_at``.
        truth: one row an opportunity: ``opportunity_id``, the ``log_odds`` and the ``probability`` with which it was
            won when it was created (of a renewal: with an increase, given that there is one), and what each aspect
            added to the log-odds.
        effects: what a segment adds to the log-odds of a first sale: ``factor`` (region, region:industry), ``level``,
            ``intercept``, and ``lift`` for each standard deviation of growth.
        config: the settings that it was made with.
    """

    tables: Tables
    opportunities: pd.DataFrame
    sources: dict[str, pd.DataFrame]
    truth: pd.DataFrame
    effects: pd.DataFrame
    config: CompanyConfig

    def __repr__(self) -> str:
        """Says how large the company is; the settings tell the rest."""
        return f"Company({len(self.opportunities):,} opportunities, {self.tables!r}, seed={self.config.seed})"

    def day(self, week: int) -> pd.Timestamp:
        """The first day of a week of the history, counted from 0."""
        return pd.Timestamp(self.config.start, tz="UTC") + pd.Timedelta(weeks=week)
