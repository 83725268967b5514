"""What to do with scores: whom to call, why now, and when a conversion is to be expected."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax.api.evaluating import labeled_scores, unseen_panel
from hanjax.api.given import Data, run_of, tables_of
from hanjax.api.scoring import probabilities, score, score_encoded
from hanjax.config import PanelConfig
from hanjax.data.dates import observed_until
from hanjax.data.log import NEVER, Log
from hanjax.data.panel import calendar_of, make_panel
from hanjax.data.periods import make_calendar
from hanjax.data.tables import check
from hanjax.errors import DataError, RunError
from hanjax.evaluation.lift import TIERS, Tiers
from hanjax.evaluation.survival import crossing, time_after_crossing
from hanjax.run import Run
from hanjax.scoring.influence import shapley_values
from hanjax.scoring.ranking import Ranking, ranked
from hanjax.scoring.scores import training_logits
from hanjax.tabular.run import AnyRun
from hanjax.types import Panel, Tables


def rank(
    run: AnyRun | str | Path,
    data: Data,
    *,
    as_of: Any = None,
    tiers: Tiers = TIERS,
    influence: int = 0,
    progress: bool = False,
) -> Ranking:
    """Ranks accounts by probability, each with its individuals, beside the period before: whom to call, and why now.

    With a table of outcomes, its rows of the period are ranked, such as opportunities that are still open.

    Args:
        run: the model, or its folder.
        data: tables, or their folder.
        as_of: a date: the ranking is that at the start of the period that holds it. None for the latest (with outcomes,
            the latest in which there is one).
        tiers: names and shares of the accounts, the likeliest first.
        influence: for how many of the likeliest accounts each individual's influence is found: Shapley values, which
            add up to the account's log-odds less those of the average account.
        progress: show a bar.

    Returns:
        Accounts and individuals: see ``hanjax.scoring.ranking.Ranking``. A model of several networks also says how far
        they agree (``probability_low``, ``probability_high``); ``influence`` adds a column to the individuals.

    Raises:
        DataError: if the tables are not what they should be, or nobody can be scored as of the date.
        RunError: if the run cannot be read, or ``influence`` is asked of a tabular model.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> ranking = hanjax.rank(run, market.tables, as_of="2021-06-30")
        >>> ranking.accounts["rank"].tolist()[:3]
        [1, 2, 3]
        >>> calls = hanjax.allocate(ranking, capacity=5)
        >>> calls["action"].value_counts()["call"]
        np.int64(5)

    Source: sections 1 and 8 of the paper, on what scores are used for; Shapley (1953).
    """
    run = run_of(run)
    if influence and not isinstance(run, Run):
        raise RunError(f"influence: it is found with a network, and the run is a {run.kind}. Rank with influence=0.")
    panel, _ = latest_panel(run, tables_of(data), as_of)
    scores = score_encoded(run, panel, progress=progress)
    spread = None
    if run.trainings > 1:
        spread = list(probabilities(run, training_logits(run, panel)[..., 0]))
    ranking = ranked(scores, tiers=tiers, spread=spread)
    if not influence:
        return ranking
    wanted = ranking.accounts[panel.keys].head(influence)
    rows = panel.samples[panel.keys].assign(row=np.arange(len(panel.samples)))
    found = shapley_values(
        panel,
        run.network,
        run.params,
        np.sort(wanted.merge(rows, on=panel.keys)["row"].to_numpy()),
        positive_weight=run.positive_weight,
    )
    keys = ["account_id", *(panel.unit or ()), "individual_id"]
    return ranking._replace(individuals=ranking.individuals.merge(found[[*keys, "influence"]], on=keys, how="left"))


def latest_panel(run: AnyRun, tables: Tables, as_of: Any) -> tuple[Panel, Log]:
    """The samples of the cut-off as of a date, None for the latest, and of the one before; and the log they are of."""
    config = run.config.panel
    log = check(tables, config)
    log, cutoff = observed_until(log, config, _end(log) if as_of is None else as_of)
    starts = calendar_of(log, config).starts
    before = int(starts[max(np.searchsorted(starts, cutoff) - 1, 0)])
    panel = make_panel(log, config, run.encoding, cutoffs=(before, cutoff))[0]
    now = pd.Timestamp(cutoff, unit="us", tz="UTC")
    if panel.unit is not None and now not in panel.samples["cutoff"].array:
        raise DataError(f"outcomes: there is none to rank in the period that begins on {now:%Y-%m-%d}.")
    return panel, log


def _end(log: Log) -> pd.Timestamp:
    """The end of the observation of whoever has not converted; with outcomes, the last period in which there is one."""
    if log.outcomes is not None:
        last = log.observed_to[log.outcomes.account]
        asked = log.outcomes.cutoff[log.outcomes.cutoff <= last]
        return pd.Timestamp(int((asked if len(asked) else last).max()), unit="us", tz="UTC")
    waiting = log.converted_at == NEVER
    return pd.Timestamp(int(log.observed_to[waiting if waiting.any() else slice(None)].max()), unit="us", tz="UTC")


def _later(cutoffs: pd.Series, periods: float, config: PanelConfig) -> pd.Series:
    """The cut-offs that lie some periods after others; missing if that is never."""
    if not np.isfinite(periods) or cutoffs.empty:
        return pd.Series(pd.NaT, index=cutoffs.index, dtype=cutoffs.dtype)
    given, longest = pd.DatetimeIndex(cutoffs).as_unit("us").asi8, 400 * 86_400_000_000
    last = int(given.max() + (periods + 1) * longest)
    calendar = make_calendar(int(given.min()), last, period=config.period, timezone=config.timezone)
    return pd.Series(calendar.dates(calendar.period_of(given) + int(periods)), index=cutoffs.index)


def crossings(run: AnyRun | str | Path, data: Data, threshold: float, *, progress: bool = False) -> pd.DataFrame:
    """Which accounts' probability has crossed a threshold, and when, after that, a conversion is to be expected.

    How long it takes from the first crossing to the conversion is learned from the accounts that the model was not
    trained on, by Kaplan and Meier, since many of them were not watched to the end.

    Args:
        run: the model, or its folder.
        data: tables, or their folder.
        threshold: the probability of converting in the next period that has to be reached.
        progress: show a bar.

    Returns:
        The accounts that have not converted and have crossed, the latest crossing first: ``account_id``,
        ``first_crossed`` (cut-off), ``from_the_start`` (it was above when first scored), ``still_above``,
        ``probability`` (now), ``expected_from`` and ``expected_to``, the beginnings of the periods in which a quarter
        and then three quarters of such accounts had converted; missing where so many never did.

    Raises:
        DataError: if the tables are not what they should be or hold outcomes, or no account that training has not seen
            crosses.
        RunError: if the run cannot be read.

    Example:
        >>> import hanjax
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> found = hanjax.crossings(run, market.tables, threshold=0.02)
        >>> (found["expected_to"].isna() | (found["expected_to"] >= found["first_crossed"])).all()
        np.True_

    Source: section 1 of the paper, the time interval of conversion by when the score crosses a threshold.
    """
    run, tables = run_of(run), tables_of(data)
    if tables.outcomes is not None:
        raise DataError(
            "outcomes: each row is decided by itself, so that no time passes between a threshold and a conversion. "
            "Leave the table out, and give accounts.converted_at instead."
        )
    past = labeled_scores(run, unseen_panel(run, tables)).accounts.dropna(subset="label")
    learned = time_after_crossing(
        past["probability"], past["label"], past["account_id"], past["period"], threshold, shares=(0.25, 0.75)
    )
    if not learned.crossed:
        raise DataError(
            f"threshold: of {past['account_id'].nunique():,} accounts that training has not seen none reaches "
            f"{threshold}; the highest is {past['probability'].max():.3g}. Choose a lower one."
        )
    every = score(run, tables, progress=progress).accounts
    latest = every[every["cutoff"] == every["cutoff"].max()].set_index("account_id")["probability"]
    waiting = every[every["account_id"].isin(latest.index)]
    found = crossing(waiting["probability"], waiting["account_id"], waiting["cutoff"], threshold)
    found = found.rename(columns={"account": "account_id"}).dropna(subset="first_crossed")
    found["probability"] = latest.loc[found["account_id"]].to_numpy()
    for name, periods in zip(("expected_from", "expected_to"), learned.quantiles["periods"], strict=True):
        found[name] = _later(found["first_crossed"], periods - 1, run.config.panel)
    return found.sort_values(["first_crossed", "account_id"], ascending=[False, True]).reset_index(drop=True)
