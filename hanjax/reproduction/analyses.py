"""What is asked of the finished rows beyond tables of AUC: figure 1, volumes, thresholds, and members' own scores."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax.api import conversions
from hanjax.config import PanelConfig
from hanjax.evaluation.intervals import difference, interval
from hanjax.reproduction import pictures
from hanjax.reproduction.collect import TESTS, Results, Table
from hanjax.reproduction.counts import activity_totals
from hanjax.reproduction.dynamics import telling_accounts, threshold_crossings, volume_regression
from hanjax.reproduction.learn import Scored
from hanjax.reproduction.measures import as_record
from hanjax.reproduction.members import Concordance, concordance, own_scores, true_interest
from hanjax.reproduction.rows import REFERENCE
from hanjax.reproduction.worlds import World, encode_world
from hanjax.types import Panel, Scores


def analyze(world: World, results: Results, out: Path) -> dict[str, Any]:
    """Everything that takes the trained scores of experiment 3, and of all rows for the members, beside the data.

    Args:
        world: the data.
        results: its finished rows.
        out: where pictures go.

    Returns:
        ``analyzed``, the test whose accounts all of it is about: fresh ones if there are any, as they are more;
        ``volume``, ``crossings``, ``figure_1`` and, where the truth is known, ``members``. Empty without experiment 3.
    """
    scored = {test: scores for test in TESTS if (scores := results.scores(REFERENCE, test))}
    if not scored:
        return {}
    panels = encode_world(world, dataclasses.replace(world.panel, volumes=True))
    test = "fresh" if "fresh" in scored else "test"
    panel, first = panels.tests[test], scored[test][0]
    market = world.fresh if test == "fresh" else world.market
    when = conversions(world.tables if market is None else market.tables, world.panel)
    found: dict[str, Any] = {
        "analyzed": test,
        "volume": volume_regression(first, last_week(panel)),
        "crossings": threshold_crossings(first).to_dict("records"),
        "figure_1": figure_1(panel, first, panels.accounts[test], when, out / "figure-1.png"),
    }
    if market is not None:
        found["members"] = member_table(results, test, panel, market.individual_truth, world.panel)
    return found


def last_week(panel: Panel) -> np.ndarray:
    """Activities of each sample's members in the last period before its cut-off.

    Args:
        panel: encoded with ``volumes`` and calendar windows.

    Returns:
        ``[B]`` totals.
    """
    batch = panel.batch
    assert batch.counts is not None and batch.count_windows is not None
    return batch.counts.sum(axis=1)[batch.count_windows[:, -1]][batch.member_windows].sum(axis=1)


def member_table(results: Results, test: str, panel: Panel, truth: pd.DataFrame, config: PanelConfig) -> Table:
    """How well each row's individual scores, and plain counts of activities, order the members of an account.

    Args:
        results: the finished rows.
        test: on which test.
        panel: its samples, encoded with ``volumes``.
        truth: the ``individual_truth`` of the market that they are of.
        config: the settings of the panel; a row whose members are others is left out.

    Returns:
        One record a row.
    """
    interest, shape = true_interest(panel, truth), panel.batch.members.shape
    totals = np.where(panel.batch.member_mask, activity_totals(panel), np.nan)
    table: Table = []
    counted: Concordance | None = None
    for name, row in results.rows.items():
        comparable = row.kind == "network" and _same_members(results.jobs[name][0].config.panel, config)
        scores = [one for one in results.scores(name, test) if len(one.own)] if comparable else []
        if not scores or len(scores[0].account) != shape[0]:
            continue
        account, weights = scores[0].account, results.weights[test]
        if counted is None:
            counted = concordance(totals, interest, account, weights)
        found = concordance(own_scores(scores[0], shape), interest, account, weights)
        apart = difference(found.value - counted.value, found.resampled - counted.resampled)
        record = {"row": name, "title": row.title, **as_record(interval(*found), "concordance")}
        table.append(record | as_record(apart, "difference"))
    if counted is not None:
        record = {"row": "activities", "title": "Number of activities in the window"}
        table.append(record | as_record(interval(*counted), "concordance"))
    return table


def _same_members(one: PanelConfig, other: PanelConfig) -> bool:
    """Whether two settings of the data give every sample the same members, in the same places."""
    names = ("period", "timezone", "membership", "opt_out_activity", "max_members")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def figure_1(panel: Panel, scored: Scored, ids: pd.Index, when: pd.Series, path: Path) -> dict[str, Any]:
    """Draws the two most telling accounts of a test.

    Args:
        panel: its samples.
        scored: experiment 3's scores with those of individuals.
        ids: of the test's accounts.
        when: accounts converted, by id.
        path: of the PNG.

    Returns:
        Ids of the accounts; None where no account fits the rule.
    """
    told = telling_accounts(scored)
    b, k = scored.sample, scored.individual
    head = panel.samples[["account_id", "cutoff"]]
    individuals = pd.DataFrame(
        {
            "account_id": head["account_id"].to_numpy()[b],
            "individual_id": panel.individual_ids.to_numpy()[panel.member_ids[b, k]],
            "cutoff": head["cutoff"].array[b],
            "score": 1 / (1 + np.exp(-scored.own.astype(float))),
        }
    )
    scores = Scores(head.assign(probability=1 / (1 + np.exp(-scored.score.astype(float)))), individuals)
    chosen = [
        (ids[place], when.get(ids[place]), f"Account {ids[place]}: {title}")
        for place, title in zip(told, ("flat and low, individuals higher", "flat, then rising"), strict=True)
        if place is not None
    ]
    if chosen:
        pictures.draw_accounts(scores, chosen, path)
    names = [None if place is None else str(ids[place]) for place in told]
    return dict(zip(told._fields, names, strict=True))
