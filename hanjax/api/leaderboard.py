"""Several models on the same held-out samples, the best first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.api.evaluating import unseen_panel
from hanjax.api.evaluation import RESAMPLES
from hanjax.api.given import Data, run_of, tables_of
from hanjax.api.scoring import probabilities
from hanjax.errors import DataError
from hanjax.evaluation.comparison import measured
from hanjax.evaluation.intervals import account_weights, difference, interval
from hanjax.evaluation.lift import TIERS, Tiers, tier_lifts, tiers
from hanjax.evaluation.resampling import Samples, resampled, samples_of
from hanjax.scoring.scores import training_logits
from hanjax.settings import require
from hanjax.tabular.run import AnyRun
from hanjax.types import hard_label

_MEASURES = ("auc", "average_precision", "log_loss", "brier")
MEASURES = (*_MEASURES, "top", "all_tiers")
"""What a leaderboard can be sorted by."""


def leaderboard(
    runs: Mapping[str, AnyRun | str | Path],
    data: Data,
    *,
    measure: str = "auc",
    before: Any = None,
    shares: Tiers = TIERS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Measures models of any kind on the samples that none of them has seen, the best first.

    Intervals and differences are of other accounts, which are resampled as wholes, the same ones for all models; not of
    other trainings, of which ``hanjax.evaluate(..., against=...)`` says more.

    Args:
        runs: models or their folders, by the name that each is to have; networks and tabular ones.
        data: tables, or their folder.
        measure: "auc", "average_precision", "log_loss", "brier", "top" (the lift of the first tier: whether the
            recommended ones are right) or "all_tiers" (the AUC of the tiers: how often a conversion is in a better one
            than another sample, ties half: whether the whole spectrum is).
        before: a date: only cut-offs before it count. None for all.
        shares: names and shares of the tiers within each period, best first.
        resamples: how many times the accounts are drawn.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a model, by its name: ``kind``; each measure, with ``_low`` and ``_high``; ``difference`` of the measure
        that was chosen to the first row's, ``difference_low``, ``difference_high`` and ``p``; ``samples``,
        ``accounts`` and ``conversions``, which are the same in all rows, and ``left_out``, samples of the model with a
        known outcome that another one lacks or has seen. NaN where a measure is not defined, and such models come last.

    Raises:
        ConfigError: if there is no such measure.
        DataError: if there is no model, the tables are not what they should be, or no sample is common to all models.
        RunError: if a run cannot be read.

    Example:
        >>> import hanjax
        >>> from hanjax.api import leaderboard
        >>> from hanjax.tabular import Tabular
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> config, kinds = hanjax.Config().replace(test=0.3), ["decision_tree", "logistic_regression"]
        >>> runs = {kind: hanjax.fit(market.tables, config=config, model=Tabular(kind)) for kind in kinds}
        >>> found = leaderboard(runs, market.tables, resamples=200)  # networks may be among them
        >>> sorted(found["kind"])
        ['decision_tree', 'logistic_regression']
        >>> bool(found["auc"].is_monotonic_decreasing)
        True

    Source: the paired bootstrap of whole accounts, Efron 1979; for the tiers Guo and Di 2017, Transforming B2B Sales
    with Spark Powered Sales Intelligence.
    """
    require(measure in MEASURES, "measure", measure, f"one of {', '.join(MEASURES)}")
    if not runs:
        raise DataError("runs: there is none. Give some, by name: leaderboard({'network': run, ...}, data).")
    models, tables = {name: run_of(run) for name, run in runs.items()}, tables_of(data)
    scored, keys = {}, []
    for name, run in models.items():
        panel = unseen_panel(run, tables, before)
        keys = keys or panel.keys
        if panel.keys != keys:
            raise DataError(
                f"runs: samples are told apart by {', '.join(keys)} and by {', '.join(panel.keys)} ({name!r}). Train "
                "all models with the same `exclude`."
            )
        scored[name] = _scored(run, panel)
    common = _common(scored, keys)
    label, account, cutoff = (common[name].array for name in ("label", "account_id", "cutoff"))
    given = samples_of(np.stack([common[("score", name)] for name in models]), label, account, cutoff)
    weights = account_weights(len(given.names), resamples=resamples, seed=seed)
    rows, drawn = {}, {}
    for name, scores in zip(models, given.scores, strict=True):
        values, drawn[name] = _measured(given._replace(scores=scores), weights, shares, level, measure)
        rows[name] = {"kind": models[name].kind, **values, "left_out": len(scored[name]) - len(common)}
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    lower = measure in ("log_loss", "brier")
    found = found.sort_values(measure, ascending=lower, kind="stable", na_position="last")
    best = found.index[0]
    apart = [
        difference(found.loc[name, measure] - found.loc[best, measure], drawn[name] - drawn[best], level=level,
                   positives=given.carriers)
        for name in found.index
    ]  # fmt: skip
    for column, values in (
        ("difference", [one.value for one in apart]),
        ("difference_low", [one.low for one in apart]),
        ("difference_high", [one.high for one in apart]),
        ("p", [one.p for one in apart]),
        ("samples", len(common)),
        ("accounts", len(given.names)),
        ("conversions", int(given.labels.sum())),
    ):
        found.insert(len(found.columns) - 1, column, values)
    return found


def _scored(run: AnyRun, panel: Any) -> pd.DataFrame:
    """Account, cut-off, outcome and probability of a panel's samples whose outcome is known, and no share of one."""
    score = probabilities(run, training_logits(run, panel).mean(axis=0)[:, 0])
    found = panel.samples[panel.keys].assign(label=hard_label(panel.batch.label[:, 0]), score=score)
    return found[found["label"].isin((0, 1))]


def _common(scored: dict[str, pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """The samples that all models have, with the score of each as ``("score", name)``."""
    found = None
    for name, table in scored.items():
        own = table.rename(columns={"score": ("score", name)})
        if found is None:
            found = own
            continue
        found = found.merge(own, on=keys, suffixes=("", "_other"))
        differ = found[found["label"] != found.pop("label_other")]
        if len(differ):
            raise DataError.rows(
                "samples",
                "label",
                f"differs between {next(iter(scored))!r} and {name!r}",
                count=len(differ),
                first=differ["account_id"],
                remedy="Compare models of the same periods and first horizon.",
            )
    assert found is not None
    if found.empty:
        sizes = ", ".join(f"{name}: {len(table):,}" for name, table in scored.items())
        raise DataError(
            f"runs: no sample with a known outcome is unseen by all of them ({sizes}). Train them with the same test "
            "accounts (`test` and `split_seed`, or `test_fold`) and periods."
        )
    return found.reset_index(drop=True)


def _measured(
    given: Samples, weights: Float[np.ndarray, "R A"], shares: Tiers, level: float, wanted: str
) -> tuple[dict[str, float], Float[np.ndarray, " R"]]:
    """Every measure of one model with its interval, and the one that is wanted under each weighting."""
    drawn = resampled(given.scores, given.labels, given.accounts, weights, _MEASURES)
    values = {name: measured(name, given.scores, given) for name in _MEASURES}
    top = tier_lifts(given, weights, shares=shares, level=level)[0]
    names = [name for name, _ in shares]
    tier = tiers(given.scores, given.periods, shares)
    ordered = np.array([-names.index(one) if one in names else -len(names) for one in tier], float)
    drawn["all_tiers"] = resampled(ordered, given.labels, given.accounts, weights, ["auc"])["auc"]
    values["all_tiers"] = measured("auc", ordered, given)
    found: dict[str, float] = {}
    for name in MEASURES:
        if name == "top":
            found |= {"top": top.lift, "top_low": top.low, "top_high": top.high}
            continue
        shape = "auc" if name == "all_tiers" else name
        one = interval(values[name], drawn[name], level=level, positives=given.carriers, measure=shape)
        found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return found, top.resampled if wanted == "top" else drawn[wanted]
