"""Scores as a list to work through: the likeliest accounts first, each with its individuals, and what has changed."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.data.dates import parse_date
from hanjax.errors import DataError
from hanjax.evaluation.calibration import probability
from hanjax.evaluation.lift import TIERS, Tiers
from hanjax.evaluation.lift import tiers as tiers_of
from hanjax.types import Scores

_OF_SCORES = {"account_id", "cutoff", "probability", "raw_score", "rank", "n_members", "attention", "label"}


class Ranking(NamedTuple):
    """Accounts and their individuals as of one cut-off, in the order in which to read them.

    Scores of rows of a table of outcomes have several rows an account, each with its individuals; the segments by which
    they are told apart then stand in both tables.

    Args:
        accounts: the likeliest first: rank, account_id, cutoff, probability, tier, rank_before and probability_before
            (at the cut-off before; missing for an account that was not scored then), change (probability divided by
            probability_before: 2 is twice as likely), n_members, if asked for probability_low and probability_high,
            then the other horizons' probabilities and the accounts' segments.
        individuals: in the order of their accounts, the highest score first: account_id, individual_id,
            rank_in_account, score, score_before, change, share, new (whether they have arrived since the cut-off
            before).
    """

    accounts: pd.DataFrame
    individuals: pd.DataFrame

    @property
    def unit(self) -> list[str]:
        """The columns that say what a row is of: the account, and the segments of outcomes."""
        return [name for name in self.individuals if name in self.accounts and name != "change"]

    def __repr__(self) -> str:
        """The first ten accounts, each with its first three individuals."""
        if not len(self.accounts):
            return "Ranking of no accounts"
        lines = [f"Ranking of {len(self.accounts):,} accounts as of {self.accounts['cutoff'].iloc[0]:%Y-%m-%d}"]
        top = self.accounts.head(10).reset_index(drop=True)
        names = top[self.unit].astype(object).fillna("-").astype(str).agg(" ".join, axis=1)
        members = self.individuals.merge(top[self.unit].assign(place=top.index), on=self.unit).groupby("place")
        for place, account in enumerate(top.itertuples()):
            change = "new" if pd.isna(account.change) else f"x{account.change:.2f}"
            lines.append(f"{account.rank:>4}  {names[place]}  {account.probability:.4f}  {account.tier}  {change}")
            if place in members.groups:
                for one in members.get_group(place).head(3).itertuples():
                    lines.append(f"        {one.individual_id}  {one.score:.4f}{'  new' if one.new else ''}")
        return "\n".join(lines)


class Spread(NamedTuple):
    """How far several trainings of a model agree, in log-odds.

    Args:
        low: ``[N]`` their mean less 1.96 of their standard deviations.
        high: ``[N]`` the mean and as much.
        deviation: ``[N]`` the standard deviation.
        least: ``[N]`` the lowest of them.
        most: ``[N]`` the highest.
    """

    low: Float[np.ndarray, " N"]
    high: Float[np.ndarray, " N"]
    deviation: Float[np.ndarray, " N"]
    least: Float[np.ndarray, " N"]
    most: Float[np.ndarray, " N"]


def ranked(
    scores: Scores,
    *,
    as_of: Any = None,
    tiers: Tiers = TIERS,
    spread: Iterable[Scores | pd.DataFrame | np.ndarray] | None = None,
) -> Ranking:
    """Ranks the accounts of one cut-off, and the individuals of each, beside the cut-off before.

    Args:
        scores: scores at one cut-off or several; without an earlier one, everything is new.
        as_of: a date: the latest cut-off up to it; one without a zone is in that of the cut-offs. None for the latest.
        tiers: names and shares of the accounts, the likeliest first; see ``hanjax.evaluation.lift.tiers``, also for
            equal probabilities, which are in one tier.
        spread: other scores of the same accounts: other trainings' (of a ``Population``), or those of the networks of
            an ensemble (``hanjax.scoring.scores.network_logits``); DataFrames with account_id, cutoff and probability,
            or ``[N]`` probabilities of ``scores.accounts``. See ``spread``.

    Returns:
        The ranking. Equal probabilities share a rank, and are in order of the accounts' ids.

    Raises:
        ConfigError: if ``as_of`` is no date, or the tiers cannot be.
        DataError: if there is no cut-off up to ``as_of``, or ``spread`` lacks an account.

    Example:
        >>> import hanjax
        >>> from hanjax.scoring.ranking import ranked
        >>> accounts = pd.DataFrame({"account_id": [1, 2], "cutoff": pd.Timestamp("2024-01-07"), "n_members": 1})
        >>> people = pd.DataFrame({"account_id": [1, 2], "individual_id": [7, 8], "cutoff": pd.Timestamp("2024-01-07")})
        >>> ranking = ranked(
        ...     hanjax.Scores(accounts.assign(probability=[0.1, 0.2]), people.assign(score=[0.1, 0.2], share=1.0))
        ... )
        >>> ranking
        Ranking of 2 accounts as of 2024-01-07
           1  2  0.2000  Medium  new
                8  0.2000  new
           2  1  0.1000  Low  new
                7  0.1000  new
    """
    every = scores.accounts
    cutoff, before = _cutoffs(every["cutoff"], as_of)
    unit = [name for name in scores.keys if name != "cutoff"]
    now = every.loc[every["cutoff"] == cutoff]
    now = now.sort_values(["probability", *unit], ascending=[False, *[True] * len(unit)])
    then = every.loc[every["cutoff"] == before, [*unit, "probability"]]
    then = then.assign(rank=then["probability"].rank(ascending=False, method="min"))
    then = now[unit].merge(then, on=unit, how="left", validate="one_to_one")
    likely, earlier = now["probability"].to_numpy(), then["probability"].to_numpy()
    columns = {
        "rank": now["probability"].rank(ascending=False, method="min").astype(int),
        "account_id": now["account_id"],
        "cutoff": now["cutoff"],
        "probability": likely,
        "tier": tiers_of(likely, shares=tiers).astype(object),
        "rank_before": then["rank"].astype("Int64").array,
        "probability_before": earlier,
        "change": _ratio(likely, earlier),
        "n_members": now["n_members"],
    }
    if spread is not None:
        found = _spread_of(spread, scores, now)
        columns |= {"probability_low": probability(found.low), "probability_high": probability(found.high)}
    rest = {str(name): now[name] for name in now if name not in _OF_SCORES}
    accounts = pd.DataFrame(columns | rest, index=now.index).reset_index(drop=True)
    return Ranking(accounts, _individuals(scores.individuals, accounts[unit], cutoff, before))


def spread(probabilities: Iterable[Float[np.ndarray, " N"]]) -> Spread:
    """How far several trainings of a model agree: z = log(p / (1 - p)), mean(z) +- 1.96 sd(z).

    It says how much of a score is chance of the training (its first parameters, and the order of the samples). It is
    no confidence interval of the probability: what all trainings have in common, the data, does not vary.

    Args:
        probabilities: ``[N]`` each, one a training.

    Returns:
        The spread of each of the N, in log-odds.

    Raises:
        DataError: if they are fewer than two, of different lengths, or no probabilities.

    Example:
        >>> import numpy as np
        >>> from hanjax.scoring.ranking import spread
        >>> found = spread([np.array([0.2, 0.5]), np.array([0.8, 0.5])])
        >>> found.low.round(2).tolist(), found.high.round(2).tolist()
        ([-3.84, 0.0], [3.84, 0.0])

    Source: Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles.
    """
    given = [np.asarray(one, np.float64) for one in probabilities]
    if len(given) < 2 or len({one.shape for one in given}) > 1 or given[0].ndim != 1:
        shapes = [list(one.shape) for one in given]
        raise DataError(f"spread: expected at least two trainings, [N] probabilities each, got {shapes}.")
    table = np.stack(given)
    if (wrong := ~((table >= 0) & (table <= 1))).any():
        first = ", ".join(str(value) for value in table[wrong][:5])
        raise DataError(f"spread: {wrong.sum():,} values are no probabilities (first: {first}).")
    table = np.clip(table, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)  # so sure that it was rounded to 0 or 1
    z = np.log(table) - np.log1p(-table)
    mean, deviation = z.mean(axis=0), z.std(axis=0, ddof=1)
    return Spread(mean - 1.96 * deviation, mean + 1.96 * deviation, deviation, z.min(axis=0), z.max(axis=0))


def _cutoffs(cutoffs: pd.Series, as_of: Any) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The cut-off to rank, and the one before; NaT where there is none."""
    known = pd.DatetimeIndex(cutoffs.unique()).sort_values()
    if as_of is not None:
        time = pd.Timestamp(parse_date(as_of, str(known.tz or "UTC"), name="as_of"), unit="us", tz="UTC")
        upto = known <= (time.tz_localize(None) if known.tz is None else time)
        if not upto.any():
            first = f" The first one is {known[0]}." if len(known) else ""
            raise DataError(f"as_of: there are no scores up to {as_of}.{first}")
        known = known[upto]
    if not len(known):
        raise DataError("scores: there are none to rank.")
    return known[-1], known[-2] if len(known) > 1 else pd.NaT


def _ratio(now: Float[np.ndarray, " n"], before: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.divide(now, before, out=np.full(len(now), np.nan), where=before > 0)


def _individuals(
    individuals: pd.DataFrame, accounts: pd.DataFrame, cutoff: pd.Timestamp, before: pd.Timestamp
) -> pd.DataFrame:
    """The individuals of ranked accounts, each of which is told by one column or several."""
    unit = list(accounts)
    keys = [*unit, "individual_id"]
    now, then = (individuals[individuals["cutoff"] == at] for at in (cutoff, before))
    place = now[unit].merge(accounts.assign(place=np.arange(len(accounts))), on=unit, how="left")["place"].to_numpy()
    now = now.assign(place=place).sort_values(["place", "score", "individual_id"], ascending=[True, False, True])
    found = now.merge(then[[*keys, "score"]], on=keys, how="left", suffixes=("", "_before"), validate="one_to_one")
    score, earlier = found["score"].to_numpy(), found["score_before"].to_numpy()
    return pd.DataFrame(
        {
            **{name: found[name] for name in unit},
            "individual_id": found["individual_id"],
            "rank_in_account": found.groupby(unit, dropna=False)["score"]
            .rank(ascending=False, method="min")
            .astype(int),
            "score": score,
            "score_before": earlier,
            "change": _ratio(score, earlier),
            "share": found["share"],
            "new": np.isnan(earlier),
        }
    )


def _spread_of(given: Iterable[Scores | pd.DataFrame | np.ndarray], scores: Scores, now: pd.DataFrame) -> Spread:
    """The spread of several scores of the accounts that are ranked."""
    accounts, keys, aligned = scores.accounts, scores.keys, []
    for number, one in enumerate(given):
        if isinstance(one, np.ndarray):
            if one.shape != (len(accounts),):
                raise DataError(f"spread: expected [{len(accounts)}] probabilities, got {list(one.shape)}.")
            one = accounts[keys].assign(probability=one)
        table = one.accounts if isinstance(one, Scores) else one
        found = now[keys].merge(table[[*keys, "probability"]], on=keys, how="left")["probability"]
        missing = found.isna().to_numpy()
        if missing.any():
            raise DataError.rows(
                f"spread[{number}]", "account_id", "is missing, or has no probability", count=int(missing.sum()),
                first=now["account_id"][missing], remedy="Score the same tables with each model.",
            )  # fmt: skip
        aligned.append(found.to_numpy())
    return spread(aligned)
