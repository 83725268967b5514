"""When a challenger takes the champion's place: a rule, and what it decides on the same held-out accounts."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.lift import lift_difference
from hanjax.evaluation.trainings import Combine, compare_trainings
from hanjax.settings import check_types, require, setting

_LOSSES = ("log_loss", "brier")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a challenger must be better at, and how surely.

    Raises:
        ConfigError: if a value cannot work.
    """

    measure: Literal["auc", "average_precision", "log_loss", "brier", "lift"] = setting(
        "auc", "by what the two are compared; lift: that of the top tier"
    )
    top: float = setting(0.1, "share of each period's accounts that the top tier has")
    margin: float = setting(0.0, "how much better the challenger must be at least, in units of the measure")
    level: float = setting(0.95, "of the interval whose lower end must lie above the margin")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        require(0 < self.top < 1, "top", self.top, "a share between 0 and 1")
        require(self.margin >= 0, "margin", self.margin, "at least 0")
        require(0.5 <= self.level < 1, "level", self.level, "at least 0.5 and below 1")


RULES = {"account propensity": Rule(measure="log_loss"), "upsell propensity": Rule(measure="lift")}
"""The rules of problems: an account's propensity must be true over the whole spectrum, as all tiers are worked on; of
upsells the top ones alone are recommended."""


class Decision(NamedTuple):
    """Whether the challenger is to be promoted, and why.

    Args:
        promote: whether it is.
        reason: one sentence.
        table: one row a measure: ``measure``, ``challenger``, ``champion``, ``better`` (by how much, positive if the
            challenger is better), ``low``, ``high``, and whether it ``decides``.
        samples, accounts, conversions: what they were compared on.
    """

    promote: bool
    reason: str
    table: pd.DataFrame
    samples: int
    accounts: int
    conversions: int

    def __repr__(self) -> str:
        """The reason, and the measures."""
        shown = self.table.to_string(index=False, float_format="{:.4f}".format, na_rep="-")
        on = f"on {self.samples:,} samples of {self.accounts:,} accounts, {self.conversions:,} conversions"
        return f"{'Promote' if self.promote else 'Keep the champion'}: {self.reason}\n{on}\n{shown}"


def decide(
    rule: Rule,
    challenger: Float[np.ndarray, "n N"],
    champion: Float[np.ndarray, "m N"],
    labels: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    periods: Shaped[np.ndarray, " N"] | None = None,
    *,
    combine: tuple[Combine, Combine] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Decision:
    """Compares two models on accounts that neither has seen, and decides by the rule.

    promote if the lower end of the interval of (challenger - champion) lies above the margin, the sign turned for
    losses

    The interval counts in other accounts, and other trainings where both models have several networks. So a challenger
    that is no better than the champion is promoted with a probability of (1 - level) / 2 at most.

    Args:
        rule: what is compared.
        challenger: ``[n, N]`` log-odds, one row a network.
        champion: ``[m, N]`` the other model's.
        labels: ``[N]`` 1 where the account converts, 0 where not.
        accounts: ``[N]`` each sample's account, by id or number.
        periods: ``[N]`` each sample's period, within which the tiers are; None if all are of the same one.
        combine: what makes probabilities of the mean log-odds of each model; None for the logistic function.
        resamples: how many times the accounts are drawn.
        seed: of the draws.

    Returns:
        The decision, its reason, and the measures of both.

    Raises:
        DataError: if the arrays do not fit together, or there are not both outcomes to compare on.

    Example:
        >>> import numpy as np
        >>> from hanjax.registry.challenge import Rule, decide
        >>> random = np.random.default_rng(0)
        >>> labels, accounts = random.integers(0, 2, 400), np.arange(400)
        >>> sharp, blunt = (s * (labels - 0.5)[None] + random.normal(0, 1, (1, 400)) for s in (2.0, 0.5))
        >>> decide(Rule(), sharp, blunt, labels, accounts, resamples=200).promote
        True

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, for resampling whole accounts in pairs.
    """
    if len(np.unique(np.asarray(labels)[~pd.isna(labels)])) < 2:
        raise DataError("labels: a challenge needs samples of both outcomes that neither model has seen; bring more.")
    chosen: dict[str, Any] = dict(resamples=resamples, seed=seed, level=rule.level)
    measures = ("auc", "average_precision", "log_loss", "brier")
    table = compare_trainings(
        challenger, champion, labels, accounts, periods, combine=combine, measures=measures, **chosen
    )
    rows = []
    for row in table.itertuples():
        sign = -1 if row.measure in _LOSSES else 1
        low, high = sorted((sign * row.low, sign * row.high))
        rows.append([row.measure, row.first, row.second, sign * row.difference, low, high])
    mine, theirs = (np.mean(logit, axis=0) for logit in (challenger, champion))
    top = lift_difference(mine, theirs, labels, accounts, periods, share=rule.top, **chosen)
    rows.append(["lift", top.first, top.second, top.difference.value, top.difference.low, top.difference.high])
    found = pd.DataFrame(rows, columns=["measure", "challenger", "champion", "better", "low", "high"])
    found["decides"] = found["measure"] == rule.measure
    better, low, high = found.loc[found["decides"], ["better", "low", "high"]].to_numpy(float)[0]
    promote = bool(low > rule.margin)  # False if the interval is not defined
    compared = f"{rule.measure}: the challenger is {'better' if better > 0 else 'worse'} by {abs(better):.4f} "
    compared += f"[{low:.4f}, {high:.4f}]"
    asked = f"above {rule.margin:g}"
    reason = f"{compared}, all of it {asked}." if promote else f"{compared}, and not all of it {asked}."
    return Decision(
        promote, reason, found, len(labels), pd.Series(accounts).nunique(), int(np.asarray(labels, float).sum())
    )


def moment_of(until: str) -> pd.Timestamp:
    """A date of an entry as a time; one without a zone is in UTC.

    Raises:
        ConfigError: if it is no date.
    """
    try:
        moment = pd.Timestamp(until)
        if moment is pd.NaT:
            raise ValueError
    except ValueError:
        raise ConfigError(f"until: {until!r} is not a date, such as 2024-05-01.") from None
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment


def refuse_older(challenger: str, champion: str) -> str:
    """Why a challenger may not compete: it was trained on older data than the champion; empty if it may."""
    if challenger and champion and moment_of(challenger) < moment_of(champion):
        return f"The challenger was trained on what was known before {challenger}, the champion on up to {champion}."
    return ""
