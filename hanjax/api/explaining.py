"""Explaining: a run and tables in, the reasons of each account's score out, with a sentence and an action."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hanjax.api.acting import latest_panel
from hanjax.api.given import Data, run_of, tables_of
from hanjax.api.scoring import probabilities, progress_bar
from hanjax.data.panel import calendar_of
from hanjax.errors import RunError
from hanjax.evaluation.lift import TIERS, Tiers
from hanjax.evaluation.lift import tiers as tiers_of
from hanjax.explain.aspects import Aspects
from hanjax.explain.explanation import Explanation
from hanjax.explain.game import Played, fill_of, play
from hanjax.explain.inputs import input_values, inputs_of, with_data
from hanjax.explain.levels import Reference, ScoreScale, distribution, levels_of, quartiles_of, score_of
from hanjax.explain.sentences import action_of, actions_of, sentences_of
from hanjax.explain.tables import START, by_aspect, by_input, changed, check_unit, facts, strongest
from hanjax.report.material import period_name
from hanjax.run import Run
from hanjax.scoring.influence import average_log_odds


def explain_scores(
    run: Run | str | Path,
    data: Data,
    *,
    aspects: Any = None,
    as_of: Any = None,
    reference: Reference | str | Path | None = None,
    scale: ScoreScale = "percentile",
    tiers: Tiers = TIERS,
    template: str | Path | None = None,
    actions: Any = None,
    previous: bool = True,
    progress: bool = False,
) -> Explanation:
    """Says why each account has its score: what each aspect contributes, how it stands there, and what to do.

    log_odds = baseline + starting_point + sum over aspects of phi,  phi the Shapley values of v

    v(S) are the account's log-odds if only the inputs of the aspects S are known of it: activities of others never
    happened, numbers are at the mean of training, categories at their most common level. The baseline is that of the
    members' influence in ``hanjax.rank``, the average account; the starting point, v(nothing) - baseline, is what an
    account with as many members has beyond it before anything is known of them. So aspects (with the starting point)
    and members divide the same difference, log_odds - baseline.

    A level compares an account's contribution with the quartiles of the reference's accounts; where an account has no
    data of an aspect, nobody did any of its activities and its numbers are missing, it says so. With a table of
    outcomes, its rows of the period are explained, each like an account.

    Args:
        run: the model, or its folder.
        data: tables, or their folder.
        aspects: a mapping from the name of each aspect to its inputs, a YAML or JSON file of that, or ``Aspects``; see
            ``hanjax.explain.aspects``. None for one of each kind of inputs.
        as_of: a date: explained are the scores at the start of the period that holds it. None for the latest (with
            outcomes, the latest in which there is one).
        reference: what accounts are compared with: the ``reference`` of an earlier explanation, or the folder to which
            that was written. None for the accounts that are explained.
        scale: what the score is: "percentile" of the reference, or "probability" in per cent.
        tiers: names and shares of the accounts, the likeliest first.
        template: the sentence, as a template of jinja2 (a ``Path`` is a file of it); see
            ``hanjax.explain.sentences.TEMPLATE``.
        actions: a table, or a CSV file of one, with ``aspect``, ``level`` and ``action``, the most urgent first; see
            ``hanjax.explain.sentences.ACTIONS``.
        previous: also explain the cut-off before, for what has changed.
        progress: show a bar.

    Returns:
        The reasons, as tables; see ``hanjax.explain.explanation.Explanation``.

    Raises:
        ConfigError: if aspects, the template or another setting cannot be.
        DataError: if the tables are not what they should be, or nobody can be scored as of the date.
        RunError: if the run or the reference cannot be read, or the reference is of another run.

    Example:
        >>> import hanjax
        >>> from hanjax.api import explain_scores
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> found = explain_scores(run, market.tables, aspects={"affinity": "activity:*", "growth": "account:*"})
        >>> list(found.aspects)
        ['affinity', 'growth', 'other']
        >>> parts = found.table[["baseline", "starting_point", *found.aspects]].sum(axis=1)
        >>> bool((abs(parts - found.table["log_odds"]) < 1e-5).all())
        True

    Source: Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions, section 2; Shapley 1953.
    """
    run = run_of(run)
    if run.params is None:
        raise RunError("The run holds no trained parameters. Train it with `fit` first.")
    panel, log = latest_panel(run, tables_of(data), as_of)
    inputs, unit = inputs_of(run.encoding), list(panel.unit or ())
    names = [one.name for one in inputs]
    aspects = Aspects.by_kind(names) if aspects is None else Aspects.of(aspects)
    owners, todo = aspects.owners(names), actions_of(actions)
    check_unit(unit, [*owners, *(f"{name}_level" for name in owners)])
    kept = Reference.read(reference) if isinstance(reference, str | Path) else reference
    if kept is not None:
        kept.check(run.digest, owners)
    now, before = _rows(panel.samples["cutoff"])
    fill = fill_of(panel.batch, now, inputs) if kept is None else kept.fill
    with progress_bar(len(now) + previous * len(before), progress) as update:
        game = (panel.batch, run.network, run.params)
        rules = dict(inputs=inputs, owners=owners, fill=fill, positive_weight=run.positive_weight, progress=update)
        played = play(*game, now, **rules)
        earlier = play(*game, before, **rules) if previous and len(before) else None
    values = input_values(panel, now, inputs, run.encoding, log, calendar_of(log, run.config.panel))
    there, parts, likely = with_data(values, inputs), played.parts(owners), _probabilities(run, played)
    known = {name: there[:, [names.index(one) for one in own]].any(axis=1) for name, own in owners.items()}
    if kept is None:
        kept = Reference(
            digest=run.digest,
            cutoff=f"{panel.samples['cutoff'].max():%Y-%m-%d}",
            accounts=len(now),
            probabilities=tuple(np.sort(likely).tolist()),
            quartiles={name: quartiles_of(parts[name], where=known[name]) for name in owners},
            fill=fill,
            values={str(n): distribution(own) for n, own in values.items() if pd.api.types.is_numeric_dtype(own)},
        )
    levels = {name: levels_of(parts[name], kept.quartiles[name], where=known[name]) for name in owners}
    described = aspects.described(values)
    texts = {name: _or(described.get(name), own) for name, own in levels.items()}
    baseline = average_log_odds(panel, run.network, run.params, positive_weight=run.positive_weight)
    whole = {START: played.worths[0] - baseline, **parts}
    keys = panel.samples[["account_id", *unit]]
    then = keys.iloc[:0].reindex(columns=[*keys, *whole, "score"]).astype(dict.fromkeys([*whole, "score"], float))
    if earlier is not None:
        chance = _probabilities(run, earlier)
        against = np.sort(chance) if reference is None else np.array(kept.probabilities)
        columns = {START: earlier.worths[0] - baseline, **earlier.parts(owners)}
        then = keys.iloc[before].assign(**columns, score=score_of(chance, against, scale))
    past = keys.iloc[now].merge(then, on=list(keys), how="left", validate="one_to_one")
    titles = panel.samples.iloc[now][
        list(dict.fromkeys([*keys, *panel.samples.columns.intersection(["name"]), "cutoff"]))
    ]
    columns = {
        "score": score_of(likely, np.array(kept.probabilities), scale),
        "tier": tiers_of(likely, shares=tiers).astype(object),
        "probability": likely,
        "log_odds": played.worths[-1],
        "baseline": baseline,
        "starting_point": whole[START],
        **{column: own for name in owners for column, own in ((name, parts[name]), (f"{name}_level", texts[name]))},
        "score_before": past["score"].to_numpy(),
        **changed(whole, past),
        "action": [action_of(dict(zip(levels, own, strict=True)), todo) for own in zip(*levels.values(), strict=True)],
    }
    table = pd.concat([titles.reset_index(drop=True), pd.DataFrame(columns)], axis=1)
    leading = strongest(owners, names, parts, played.effects, there)
    long = by_aspect(keys.iloc[now], whole, past, levels, texts, leading, values, names, kept)
    table["sentence"] = sentences_of(facts(table, long, period_name(run.config.panel.period), unit), template)
    of_account = table.loc[np.repeat(np.arange(len(now)), len(whole)), ["score", "baseline", "log_odds"]]
    long = pd.concat([long, of_account.reset_index(drop=True)], axis=1)
    order = np.argsort(-likely, kind="stable")
    return Explanation(
        table=table.iloc[order].reset_index(drop=True),
        long=_regrouped(long, order),
        inputs=_regrouped(by_input(keys.iloc[now], owners, names, played.effects, values), order),
        aspects=owners,
        reference=kept,
        worths=played.worths[:, order],
        unit=tuple(unit),
    )


def _rows(cutoffs: pd.Series) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """The samples of the latest cut-off, and of the one before."""
    latest = (cutoffs == cutoffs.max()).to_numpy()
    return np.flatnonzero(latest), np.flatnonzero(~latest)


def _probabilities(run: Run, played: Played) -> Float[np.ndarray, " n"]:
    """The probabilities of accounts of which everything is known, as the run calibrates them."""
    return probabilities(run, played.worths[-1] + np.log(run.positive_weight))


def _or(texts: np.ndarray | None, levels: np.ndarray) -> np.ndarray:
    """What a rule says, or else the level."""
    return levels if texts is None else np.where(pd.isna(texts), levels, texts)


def _regrouped(table: pd.DataFrame, order: Int[np.ndarray, " n"]) -> pd.DataFrame:
    """A table of equally many rows for each account, in another order of the accounts."""
    rows = np.arange(len(table)).reshape(len(order), -1)[order]
    return table.iloc[rows.ravel()].reset_index(drop=True)
