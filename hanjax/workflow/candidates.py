"""Who is scored: opportunities that are open, or every account, as outcomes without a label."""

from typing import NamedTuple

import pandas as pd

from hanjax.data.log import Log
from hanjax.errors import DataError
from hanjax.labels import Labels, Rule, make_labels
from hanjax.labels.opportunities import check_opportunities
from hanjax.types import Tables
from hanjax.workflow.settings import Workflow


class Candidates(NamedTuple):
    """What is to be scored.

    Args:
        table: one row a candidate, with ``keys`` and, of opportunities, ``opportunity_ids, created_at, amount``.
        keys: the columns that tell candidates apart.
        tables: the data, with an outcome without label for each candidate, and those that were known before.
    """

    table: pd.DataFrame
    keys: list[str]
    tables: Tables


def candidates_of(
    workflow: Workflow, tables: Tables, log: Log, moment: pd.Timestamp, cutoff: pd.Timestamp
) -> Candidates | None:
    """The candidates of a workflow, as they could be known at a moment.

    Args:
        workflow: the settings.
        tables: the data.
        log: their checked log.
        moment: what is open is what was so then.
        cutoff: as of which they are scored: the start of a period of the data.

    Returns:
        The candidates; None without opportunities: then every account that has not converted is scored.

    Raises:
        DataError: if opportunities are not what they should be, or there is no candidate.
    """
    if workflow.rule is None:
        return None
    labels = make_labels(workflow.opportunities, workflow.rule, observed_to=moment, candidates=True)
    rule = labels.rule
    keys = ["account_id", *(name for name in (*rule.unit, "kind") if name in labels.outcomes)]
    if workflow.score.candidates == "open":
        table = _open(labels, keys)
    else:
        table = _everybody(check_opportunities(workflow.opportunities, rule, moment).table, rule, keys, log)
    if table.empty:
        raise DataError(f"opportunities: none is open at {moment:%Y-%m-%d}, so that there is nothing to score.")
    outcomes = labels.outcomes
    now = table.reindex(columns=outcomes.columns).assign(as_of=cutoff).astype(outcomes.dtypes.to_dict())
    past = outcomes[outcomes["label"].notna()]
    before = (past["as_of"] < cutoff).to_numpy()  # later ones share the cut-off of the candidates
    known: list[pd.DataFrame] = [past.loc[before], now]
    outcomes = pd.concat(known, ignore_index=True) if before.any() else now
    return Candidates(table, keys, tables._replace(outcomes=outcomes))


def _open(labels: Labels, keys: list[str]) -> pd.DataFrame:
    """One row a unit with open opportunities, whenever these were created."""
    table = labels.table[labels.table["label"].isna()]
    parts = {"opportunity_ids": ",".join, "created_at": "min", "amount": lambda amounts: amounts.sum(min_count=1)}
    parts |= {name: "first" for name in (*labels.rule.segments, "season")}
    return table.groupby(keys, dropna=False, as_index=False).agg(
        {name: how for name, how in parts.items() if name in table}
    )


def _everybody(opportunities: pd.DataFrame, rule: Rule, keys: list[str], log: Log) -> pd.DataFrame:
    """One row a unit that ever had an opportunity, with or without a label, and one of each account that never had.

    Of upsells, a unit has a row of each kind that can have a label; one that only had others has a row without a kind.
    """
    table: pd.DataFrame = opportunities.sort_values(["created_at", "opportunity_id"])
    if "kind" in keys:
        asked = table["kind"].isin(rule.kinds_of_labels)
        never = ~asked.groupby([table[name] for name in keys if name != "kind"]).transform("any")
        table = table.assign(kind=table["kind"].where(asked))[asked | never]
    table = table.loc[:, [*keys, *rule.segments]].drop_duplicates(keys, keep="last")
    others = log.account_ids[~log.account_ids.isin(table["account_id"])]
    return pd.concat([table, pd.DataFrame({"account_id": others})], ignore_index=True)
