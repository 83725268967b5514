"""What a page is made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax.types import Panel, Scores

if TYPE_CHECKING:
    from hanjax.api.evaluation import Evaluation
    from hanjax.data.profile import Profile
    from hanjax.run import Run


class Material(NamedTuple):
    """A run, a data set, and what the one says of the other.

    Args:
        run: the trained model and what belongs to it.
        panel: all samples of the data.
        counts: of these samples, row by row, as ``hanjax.data.counts.account_counts`` gives them.
        scores: of these samples, row by row, and of their members.
        profile: what the data hold, and what was left out of them.
        starts: ``[P + 1]`` start of each period of the panel, and the end of the last one.
        converted_at: when accounts converted, by id, of those that have.
        evaluation: how good the scores are on what training has not seen; None where there is nothing.
        why_not: why there is no evaluation, in a sentence.
        training: ``[B]`` the samples of the panel that the model was trained on; of these a baseline may learn, too.
        parts: ``[B]`` the part of each sample's account: "train", "validation", "test", or "" if the run lacks it.
        about: names and values for the head of the page, such as versions.
    """

    run: "Run"
    panel: Panel
    counts: pd.DataFrame
    scores: Scores
    profile: "Profile"
    starts: pd.DatetimeIndex
    converted_at: pd.Series
    evaluation: "Evaluation | None"
    why_not: str
    training: Bool[np.ndarray, " B"]
    parts: np.ndarray
    about: dict[str, Any]

    @property
    def latest(self) -> pd.Timestamp:
        """The latest cut-off."""
        return self.scores.accounts["cutoff"].max()

    @property
    def outcomes(self) -> bool:
        """Whether the samples are rows of a table of outcomes, and not every period of every account."""
        return self.panel.unit is not None

    def by_unit(self) -> "Material":
        """The same, where each account is named with the segments of outcomes, so that every row is one of its own."""
        if not self.panel.unit:
            return self
        unit = self.panel.unit
        accounts, individuals = self.scores
        return self._replace(
            panel=self.panel._replace(samples=named_by(self.panel.samples, unit), unit=()),
            scores=Scores(named_by(accounts, unit), named_by(individuals, unit).drop(columns=list(unit))),
        )

    @property
    def period_name(self) -> str:
        """What a period is called in a sentence."""
        return period_name(self.run.config.panel.period)

    @property
    def judged(self) -> bool:
        """Whether samples that training has not seen have both outcomes."""
        return self.evaluation is not None and self.evaluation.known["label"].nunique() == 2


def named_by(table: pd.DataFrame, unit: Sequence[str]) -> pd.DataFrame:
    """A table whose accounts are named with their segments, "a1, EMEA", so that each row of outcomes is one of its own.

    Args:
        table: with ``account_id`` and the segments.
        unit: names of the segments; without any, the table stays as it is.
    """
    if not unit:
        return table
    names = table[["account_id", *unit]].astype(object).fillna("–").astype(str).agg(", ".join, axis=1)
    return table.assign(account_id=names)


def period_name(period: str) -> str:
    """What a period is called in a sentence, by its setting.

    Example:
        >>> from hanjax.report.material import period_name
        >>> period_name("W-SAT"), period_name("10D")
        ('week', 'period')
    """
    names = {"W": "week", "D": "day", "M": "month", "Q": "quarter"}
    return names.get(period.split("-")[0], "period")


def account_names(accounts: pd.DataFrame) -> pd.Series:
    """What each row's account is called on the page: its name, if the data give one, and its id."""
    ids = accounts["account_id"].astype(str)
    if "name" not in accounts:
        return ids
    return ids.where(accounts["name"].isna(), accounts["name"].astype(str) + " (" + ids + ")")


def picture_names(accounts: pd.DataFrame) -> pd.Series:
    """The same where there is less room: the name alone if every account has one of its own, else the id alone."""
    own = "name" in accounts and bool(accounts["name"].notna().all()) and accounts["name"].is_unique
    return accounts["name" if own else "account_id"].astype(str)
