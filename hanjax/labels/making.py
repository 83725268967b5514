"""From opportunities to labels: one for each unit and period, and a reason for every opportunity that gave none."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax.labels.calendar import days_later, period_of, seasons_of
from hanjax.labels.judging import FLIPPED, judge
from hanjax.labels.opportunities import OPEN, SEPARATOR, Opportunities, check_opportunities
from hanjax.labels.rules import Rule, UpsellPropensity
from hanjax.notebook import html_of

STILL_OPEN = "open, no outcome yet"
BESIDE_OPEN = "closed, beside another one of the unit and period without an outcome"
CONFLICT = "others of the unit and period ended differently"


class Labels(NamedTuple):
    """Labels, what they were made from, and what made none.

    Every opportunity is in ``evidence`` or in ``left_out``, and only once.

    Args:
        table: one row a label, by account, unit and date: ``account_id``, the unit's columns, of upsells ``kind``, the
            rule's segments, ``as_of`` (features end before it), ``label`` (1, 0, or empty for candidates, which are to
            be scored), ``known_at`` (when it became known), ``rule`` (its name), with seasons ``season`` and
            ``snapshot`` (its day), ``opportunity_ids`` (between commas), ``created_at`` (of the first), ``closed_at``
            (of the last) and, if it is known, ``amount`` (of all). It can be given as ``Tables.outcomes``.
        left_out: one row an opportunity without a label: ``opportunity_id``, ``account_id``, the unit's columns,
            ``stage``, ``created_at``, ``closed_at``, the ``reason``, and ``by``, another one that is the reason.
        evidence: one row an opportunity with a label: ``row`` of the table, ``opportunity_id``, ``verdict``, ``by``
            (another one that decided it: the later win, the contract before or after), its own ``label``, ``stage``,
            ``created_at``, ``closed_at`` and what else is known of it.
        rule: the rule.
        observed_to: the last moment of which something was known.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame
    evidence: pd.DataFrame
    rule: Rule
    observed_to: pd.Timestamp

    @property
    def outcomes(self) -> pd.DataFrame:
        """The columns of ``table`` that a model may be told: account, date, label, when it was known, and segments."""
        names = ["account_id", "as_of", "label", "known_at", *self.rule.unit, *self.rule.segments, "kind", "season"]
        return self.table[[name for name in names if name in self.table]]

    @property
    def conflicts(self) -> pd.DataFrame:
        """The evidence of labels whose opportunities do not agree."""
        return self.evidence.loc[_disagree(self.evidence, "row")]

    def summary(self) -> pd.DataFrame:
        """How many labels there are, and how many opportunities have none.

        Returns:
            One row for each unit (without its account), kind, season and outcome: those columns, ``label``, of
            opportunities without one the ``reason``, and how many ``rows``.
        """
        by = [name for name in (*self.rule.unit, "kind", "season") if name in self.table]
        counted = [_counted(self.table, [*by, "label"])]
        if len(self.left_out):
            there = [name for name in by if name in self.left_out]
            counted.append(_counted(self.left_out, [*there, "reason"]))
        found = pd.concat(counted, ignore_index=True)
        if "reason" not in found:
            found["reason"] = pd.Series(None, index=found.index, dtype="str")
        return found[[*by, "label", "reason", "rows"]]

    def __repr__(self) -> str:
        """Says how many labels there are of what, and how many opportunities have none."""
        label, unlabeled = self.table["label"], int(self.table["label"].isna().sum())
        unknown = f", {unlabeled:,} to be scored" if unlabeled else ""
        flips = int((self.evidence["verdict"] == FLIPPED).sum())
        flipped = f" ({flips:,} flipped)" if flips else ""
        end = "no day" if pd.isna(self.observed_to) else f"{self.observed_to:%Y-%m-%d}"
        return (
            f"Labels({self.rule.name}: {(label == 1).sum():,} positive, {(label == 0).sum():,} negative{unknown}; "
            f"{self.table['account_id'].nunique():,} accounts; from {len(self.evidence):,} opportunities{flipped}, "
            f"{len(self.left_out):,} left out; observed to {end})"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the counts."""
        verdicts = self.evidence["verdict"].value_counts().rename_axis("evidence").rename("opportunities").reset_index()
        reasons = self.left_out["reason"].value_counts().rename_axis("left out").rename("opportunities").reset_index()
        return html_of("Labels", repr(self), self.summary(), verdicts, reasons)


def _counted(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """How many rows of a table have each combination of values."""
    return pd.DataFrame({"rows": table.groupby(by, dropna=False).size()}).reset_index()


def make_labels(opportunities: Any, rule: Rule, *, observed_to: Any = None, candidates: bool = False) -> Labels:
    """Makes labels of opportunities by a rule.

    A unit has one label for each period (a day by default) of ``as_of``: the creation of the first of its
    opportunities there, less the rule's ``lead``; or, if the rule snaps, for each season, as of its day. Where several
    fall together, the rule's ``conflicts`` decides: by "won", a success counts as soon as there is one, and a failure
    when all of them are closed.

    Args:
        opportunities: a DataFrame of pandas, polars or pyarrow, or the path of a file .parquet, .csv or .csv.gz, with
            ``opportunity_id, account_id, created_at, closed_at`` (empty while open), ``stage``, the unit's columns, and
            as the rule needs them ``kind, amount, contract_start, contract_end``.
        rule: ``AccountPropensity`` or ``UpsellPropensity``.
        observed_to: labels as they could have been made then: a date, of which the first moment is meant, or a time.
            None for the latest time at which an opportunity was created or closed.
        candidates: whether units with an open opportunity are there, too, without a label.

    Returns:
        The labels.

    Raises:
        DataError: if something does not fit; the message names the column, how many rows, the first, and what to do.
        ConfigError: if a setting cannot work with these data.

    Example:
        >>> import pandas as pd
        >>> from hanjax.labels import AccountPropensity, make_labels
        >>> table = pd.DataFrame({
        ...     "opportunity_id": ["a", "b", "c"], "account_id": [1, 1, 2], "region": ["EMEA", "EMEA", "APAC"],
        ...     "created_at": ["2024-01-05", "2024-04-01", "2024-02-01"],
        ...     "closed_at": ["2024-03-01", "2024-06-01", "2024-05-01"],
        ...     "stage": ["closed disengaged", "closed won", "closed disengaged"]})
        >>> labels = make_labels(table, AccountPropensity())
        >>> labels
        Labels(AccountPropensity: 2 positive, 1 negative; 2 accounts; from 3 opportunities (1 flipped), 0 left out;
        observed to 2024-06-01)
        >>> labels.evidence[["opportunity_id", "verdict", "by"]].iloc[0].tolist()
        ['a', 'disengaged, won by a later attempt', 'b']
    """
    given = check_opportunities(opportunities, rule, observed_to)
    judged = judge(given, rule)
    # A retry that is dropped has no label, but until that is known, nor have others of its group.
    able = _grouped(judged.loc[judged["out"].isin(["", FLIPPED])], rule)
    label, known_at, out = _decided(able, rule, candidates)
    kept = out == ""
    able["out"] = out
    table = _table(able.loc[kept], label[kept], known_at[kept], rule)
    place = pd.Series(np.arange(len(table)), index=table.pop("group"))
    evidence = able.loc[kept]
    evidence = evidence.assign(row=evidence["group"].map(place)).sort_values(["row", "created_at", "opportunity_id"])
    first = ["row", "opportunity_id", "verdict", "by", "label", "known_at"]
    of_evidence = [*first, *(name for name in given.table if name not in first), "amount_before"]
    evidence = evidence[[name for name in of_evidence if name in evidence]].reset_index(drop=True)
    return Labels(table, _left_out(given, judged, able, rule), evidence, rule, given.observed_to)


def _grouped(able: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Adds ``as_of``, with seasons ``season`` and ``snapshot``, and ``group``: the unit and period of each one."""
    able = able.assign(as_of=days_later(able["created_at"], -rule.lead))
    if rule.seasons:
        able["season"], able["snapshot"] = seasons_of(able["created_at"], rule.seasons)
    if rule.snap:
        able["as_of"] = days_later(able["snapshot"], -rule.lead)
    able["period"] = able["as_of"].rank(method="dense") if rule.snap else period_of(able["as_of"], rule.period)
    keys = ["account_id", *rule.unit, *(["kind"] if isinstance(rule, UpsellPropensity) else []), "period"]
    return able.assign(group=able.groupby(keys).ngroup())


def _decided(able: pd.DataFrame, rule: Rule, candidates: bool) -> tuple[pd.Series, pd.Series, pd.Series]:
    """For each opportunity the label of its group, when that became known, and why the group has none."""
    grouped = able.groupby("group")
    dropped = able["out"] != ""
    pending = (able["label"].isna() & ~dropped).groupby(able["group"]).transform("any")
    differ = _disagree(able, "group")
    label = grouped["label"].transform("max")
    known_at = grouped["known_at"].transform("max")
    if rule.conflicts == "won":
        won = label == 1
        first = able["known_at"].where(able["label"] == 1).groupby(able["group"]).transform("min")
        known_at = known_at.mask(won, first)
        pending &= ~won
    elif rule.conflicts == "latest":
        order = able.sort_values(["closed_at", "label", "opportunity_id"])
        label = able["group"].map(order.groupby("group")["label"].last())
    is_open = able["status"] == OPEN
    out = pd.Series("", index=able.index)
    out[pending] = able["verdict"].where(able["label"].isna(), BESIDE_OPEN)[pending]
    out[pending & is_open] = STILL_OPEN
    if candidates:
        out[is_open.groupby(able["group"]).transform("any")] = ""
    if rule.conflicts == "drop":
        out[differ & ~pending] = CONFLICT
    out[dropped] = able["out"]
    return label.mask(pending), known_at.mask(pending), out


def _disagree(opportunities: pd.DataFrame, group: str) -> pd.Series:
    """Whether the opportunities of a group have different labels."""
    own = opportunities.groupby(group)["label"]
    highest, lowest = (np.asarray(own.transform(which)) for which in ("max", "min"))
    return pd.Series(highest > lowest, index=opportunities.index)


def _table(able: pd.DataFrame, label: pd.Series, known_at: pd.Series, rule: Rule) -> pd.DataFrame:
    """One row a group, in order of account, unit and date."""
    able = able.assign(label=label, known_at=known_at, rule=rule.name)
    able = able.sort_values(["group", "created_at", "opportunity_id"])
    able["rule"] = able["rule"].astype("str")
    grouped = able.groupby("group", sort=True)
    of_kind = ["kind"] if isinstance(rule, UpsellPropensity) else []
    of_unit, dates = ["account_id", *rule.unit, *of_kind, *rule.segments], ["as_of", "label", "known_at"]
    names = [name for name in (*of_unit, *dates, "rule", "season", "snapshot") if name in able]
    table = grouped.first(skipna=False)[names]
    table["as_of"] = grouped["as_of"].min()
    table["opportunity_ids"] = grouped["opportunity_id"].agg(SEPARATOR.join).astype("str")
    table["created_at"], table["closed_at"] = grouped["created_at"].min(), grouped["closed_at"].max()
    if "amount" in able:
        table["amount"] = grouped["amount"].sum(min_count=1)
    return table.reset_index()


def _left_out(given: Opportunities, judged: pd.DataFrame, able: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Every opportunity that no label rests on, with its reason, in order of its id."""
    parts = [
        given.left_out,
        judged.loc[~judged["out"].isin(["", FLIPPED])].rename(columns={"out": "reason"}),
        able.loc[able["out"] != ""].rename(columns={"out": "reason"}),
    ]
    found = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    if "by" not in found:
        found["by"] = pd.Series(None, index=found.index, dtype="str")
    names = ["opportunity_id", "account_id", *rule.unit, "kind", "stage", "created_at", "closed_at", "reason", "by"]
    found = found.reindex(columns=[name for name in names if name in found])
    return found.sort_values("opportunity_id", ignore_index=True)
