"""What an evaluation gives: figures, and the tables behind them, each made when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.errors import DataError
from hanjax.evaluation.groups import by_group, size_bands
from hanjax.evaluation.intervals import account_weights, interval
from hanjax.evaluation.lead_time import lead_time
from hanjax.evaluation.lift import TIERS, Tiers, gains, lift
from hanjax.evaluation.over_time import over_time, summary
from hanjax.evaluation.reliability import reliability
from hanjax.evaluation.resampling import MEASURES, resampled, samples_of
from hanjax.evaluation.survival import converts_within
from hanjax.evaluation.survival_metrics import kaplan_meier, periods_to_event, time_dependent_auc, time_dependent_brier
from hanjax.types import Scores

RESAMPLES, _CELLS = 2000, 50_000_000
"""How many times accounts are drawn for an interval, and accounts in all these draws: fewer for very many accounts."""


class Comparison(NamedTuple):
    """Two models on the samples that neither has seen.

    Args:
        table: one row a measure, as ``hanjax.evaluation.trainings.compare_trainings`` gives it.
        samples: how many there are.
        accounts: of how many accounts.
        conversions: how many of them convert.
        left_out: samples of the first and of the second model that the other one lacks.
        trainings: networks of the first and of the second model.
    """

    table: pd.DataFrame
    samples: int
    accounts: int
    conversions: int
    left_out: tuple[int, int]
    trainings: tuple[int, int]

    def __repr__(self) -> str:
        """The table, and how to read it."""
        lines = [
            f"Both models on {self.samples:,} samples of {self.accounts:,} accounts, {self.conversions:,} conversions",
            self.table.to_string(index=False, float_format="{:.4f}".format, na_rep="-"),
        ]
        if sum(self.left_out):
            lines.append("Left out, as the other model lacks them: {:,} and {:,} samples.".format(*self.left_out))
        if min(self.trainings) == 1:
            lines.append(
                "Intervals and p_accounts are about these very parameters on other accounts. Another training of the "
                "same settings may change as much: p, which counts that in, needs models with `ensemble` above 1."
            )
        else:
            lines.append(
                "Intervals and p count in other accounts and other trainings; p_accounts, other accounts alone."
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on accounts, or a time, that it has not seen.

    Args:
        metrics: the figures, as ``hanjax.evaluation.over_time.summary`` gives them.
        over_time: AUC, samples and conversions by cut-off.
        scores: the scores behind them, with the ``period``'s number and the outcome beside each account's (``label``;
            NaN where unknown).
        horizons: periods ahead of the model's outcomes.
        comparison: with another model; None if there is none.
        outcomes: whether the samples are rows of a table of outcomes, which are no course that ends with a conversion;
            there is no ``lead_time`` of these, and no ``ahead``.
    """

    metrics: dict[str, Any]
    over_time: pd.DataFrame
    scores: Scores
    horizons: tuple[int, ...] = (1,)
    comparison: Comparison | None = None
    outcomes: bool = False

    @classmethod
    def of(
        cls,
        scores: Scores,
        *,
        horizons: tuple[int, ...] = (1,),
        comparison: Comparison | None = None,
        outcomes: bool = False,
    ) -> "Evaluation":
        """Evaluates scores whose accounts have ``period`` and ``label``."""
        probability, label, cutoff = (scores.accounts[name].array for name in ("probability", "label", "cutoff"))
        known = scores.accounts["label"].notna().to_numpy()
        return cls(
            metrics=summary(probability, label, cutoff, where=known),
            over_time=over_time(probability, label, cutoff, where=known),
            scores=scores,
            horizons=horizons,
            comparison=comparison,
            outcomes=outcomes,
        )

    def __repr__(self) -> str:
        """The figures, one a line, and the comparison if there is one."""
        shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in self.metrics.items()}
        lines = [f"{name:<22} {value}" for name, value in shown.items()]
        return "\n".join([*lines, *([] if self.comparison is None else ["", repr(self.comparison)])])

    @cached_property
    def known(self) -> pd.DataFrame:
        """The accounts' scores whose outcome is known, with the outcome as 0 or 1."""
        known = self.scores.accounts[self.scores.accounts["label"].notna()]
        return known.assign(label=known["label"].astype(int)).reset_index(drop=True)

    def intervals(self, *, resamples: int | None = None, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
        """Each measure with its interval by resampling accounts: ``measure``, ``value``, ``low``, ``high``.

        Args:
            resamples: how many times the accounts are drawn; None for 2,000, fewer with more than 25,000 accounts.
            seed: of the draws.
            level: of the intervals.
        """
        given = samples_of(*self._given("cutoff"))
        weights = account_weights(len(given.names), resamples=resamples or self._resamples, seed=seed)
        drawn = resampled(given.scores, given.labels, given.accounts, weights, MEASURES, periods=given.periods)
        rows = []
        for measure in MEASURES:
            value = self.metrics[measure]
            found = interval(
                np.nan if value is None else value,
                drawn[measure],
                level=level,
                positives=given.carriers,
                measure=measure,
            )
            rows.append([measure, found.value, found.low, found.high])
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high"])

    def lift(self, shares: Tiers = TIERS) -> pd.DataFrame:
        """How much likelier each tier converts than all; see ``hanjax.evaluation.lift.lift``."""
        return lift(*self._given("cutoff"), shares=shares, resamples=self._resamples)

    def gains(self) -> pd.DataFrame:
        """Which share of the conversions the likeliest samples hold; see ``hanjax.evaluation.lift.gains``."""
        return gains(*self._given()[:2])

    def reliability(self, *, bins: int = 10) -> pd.DataFrame:
        """How often samples of like probability convert; see ``hanjax.evaluation.reliability.reliability``."""
        return reliability(*self._given(), bins=bins, resamples=self._resamples)

    def lead_time(self, thresholds: Sequence[float] | None = None) -> pd.DataFrame:
        """How early the score tells, and at how many false alarms; see ``hanjax.evaluation.lead_time.lead_time``."""
        self._require_courses("lead_time")
        return lead_time(*self._given("period"), thresholds=thresholds)

    def by(self, column: str = "n_members") -> pd.DataFrame:
        """The measures within each group of samples; see ``hanjax.evaluation.groups.by_group``.

        Args:
            column: "n_members" for bands of the accounts' sizes, or a segment.
        """
        if column not in self.known:
            named = ", ".join(map(str, self.known))
            raise DataError(f"column: there is no {column!r}; there are {named}.")
        groups = self.known[column]
        groups = size_bands(groups.to_numpy()) if column == "n_members" else groups
        return by_group(*self._given("cutoff"), groups=groups, resamples=self._resamples)

    def ahead(self, periods: Sequence[int] = (1, 2, 4, 8, 13)) -> pd.DataFrame:
        """How good the probabilities of converting within several periods are, as a survival model's are judged.

        The account's state is taken to stay as it is: see ``hanjax.evaluation.survival``.

        Args:
            periods: how far ahead, in periods; those beyond all observation are left out.

        Returns:
            ``periods``, ``probability`` (mean), ``rate`` (that converts, by Kaplan and Meier), ``auc`` and ``brier``
            (time-dependent, weighted by the inverse probability of still being watched) and ``brier_base_rate``, of the
            rate as everybody's probability.
        """
        self._require_courses("ahead")
        every = self.scores.accounts
        time, event = periods_to_event(every["label"], every["account_id"], every["period"])
        survival = kaplan_meier(time, event).set_index("periods")["survival"]
        rows = []
        for n in (n for n in periods if n <= time.max(initial=0)):
            within = converts_within(self._within(), self.horizons, n)
            rate = float(1 - survival[survival.index <= n].iloc[-1]) if (survival.index <= n).any() else 0.0
            auc, brier = time_dependent_auc(within, time, event, n), time_dependent_brier(within, time, event, n)
            base = time_dependent_brier(np.full(len(within), rate), time, event, n)
            rows.append([n, within.mean(), rate, auc, brier, base])
        return pd.DataFrame(rows, columns=["periods", "probability", "rate", "auc", "brier", "brier_base_rate"])

    def write(self, folder: str | Path) -> None:
        """Writes all tables: scores as Parquet, the others as CSV.

        Args:
            folder: it is made if it is not there.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.scores.accounts.to_parquet(folder / "accounts.parquet", index=False)
        self.scores.individuals.to_parquet(folder / "individuals.parquet", index=False)
        tables = {
            "over_time": self.over_time,
            "intervals": self.intervals(),
            "lift": self.lift(),
            "gains": self.gains(),
            "reliability": self.reliability(),
            "by_size": self.by(),
        }
        if not self.outcomes:
            tables |= {"lead_time": self.lead_time(), "ahead": self.ahead()}
        if self.comparison is not None:
            tables["comparison"] = self.comparison.table
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)

    def _require_courses(self, what: str) -> None:
        if self.outcomes:
            raise DataError(
                f"{what}: the samples are rows of the table outcomes, each decided by itself, so that there is no "
                "course of an account up to its conversion. Leave it out, and give accounts.converted_at instead."
            )

    @property
    def _resamples(self) -> int:
        return max(min(RESAMPLES, _CELLS // max(self.known["account_id"].nunique(), 1)), 100)

    def _given(self, *more: str) -> list[Any]:
        """Probability, label and account of the samples whose outcome is known, and other columns."""
        return [self.known[name].array for name in ("probability", "label", "account_id", *more)]

    def _within(self) -> Float[np.ndarray, "B H"]:
        names = ["probability", *(f"probability_within_{n}" for n in self.horizons[1:])]
        return self.scores.accounts[names].to_numpy(float)
