"""Holds labels against the opportunities once more, one by one, by code that shares nothing with what made them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from hanjax.errors import DataError
from hanjax.labels.making import STILL_OPEN, Labels
from hanjax.labels.opportunities import SEPARATOR, read_table
from hanjax.labels.rules import AccountPropensity, UpsellPropensity

_WON_WORDS, _LOST_WORDS = ("won",), ("disengaged", "lost")


class _Deal(NamedTuple):
    """One opportunity as it stood at the end of observation."""

    id: str
    unit: tuple
    kind: str | None
    created: pd.Timestamp
    closed: pd.Timestamp | None
    won: bool
    lost: bool
    amount: float
    start: pd.Timestamp | None
    end: pd.Timestamp | None


def audit(
    labels: Labels, opportunities: Any, *, won: Sequence[str] | None = None, disengaged: Sequence[str] | None = None
) -> pd.DataFrame:
    """Recomputes the evidence of every label, and raises if any does not hold.

    Which stages are a success is not taken from the rule, since that may be what is wrong: they are those with the word
    "won" in their names, and failures those with "lost" or "disengaged", unless they are said here. Rows that were left
    out because they cannot be say nothing of others.

    Args:
        labels: the labels.
        opportunities: what they were made from.
        won: stages that are a success; None to go by their names.
        disengaged: stages that are a failure; None to go by their names.

    Returns:
        One row a check: ``check``, how many were ``looked_at``, and how many are ``wrong``: none.

    Raises:
        DataError: if a check finds something; all findings are in the message, each with the first offenders.

    Example:
        >>> import pandas as pd
        >>> from hanjax.labels import AccountPropensity, audit, make_labels
        >>> table = pd.DataFrame({
        ...     "opportunity_id": ["a", "b"], "account_id": [1, 2], "created_at": ["2024-01-05", "2024-02-01"],
        ...     "closed_at": ["2024-03-01", "2024-05-01"], "stage": ["closed won", "closed disengaged"]})
        >>> audit(make_labels(table, AccountPropensity(unit=())), table)["wrong"].sum()
        np.int64(0)
        >>> swapped = AccountPropensity(unit=(), won=("closed disengaged",), disengaged=("closed won",))
        >>> audit(make_labels(table, swapped), table)
        Traceback (most recent call last):
        hanjax.errors.DataError: labels: the evidence does not hold. An opportunity's own label is ...
    """
    deals = _deals(labels, opportunities, _says(won, _WON_WORDS), _says(disengaged, _LOST_WORDS))
    reasons = labels.left_out["reason"]
    strays = set(labels.left_out.loc[reasons.str.contains(": ", regex=False), "opportunity_id"])  # column: problem
    by_unit: dict[tuple, list[_Deal]] = {}
    for deal in deals.values():
        if deal.id not in strays:
            by_unit.setdefault(deal.unit, []).append(deal)
    checks = [
        _all_there(labels, deals),
        _own_labels(labels, deals, by_unit),
        *_rows(labels, deals),
        _open_ones(labels, deals),
    ]
    found = [(what, looked_at, len(wrong), wrong[:5]) for what, looked_at, wrong in checks]
    if problems := [
        f"{what} ({wrong:,} wrong; first: {', '.join(first)})." for what, _, wrong, first in found if wrong
    ]:
        raise DataError(
            f"labels: the evidence does not hold. {' '.join(problems)} Compare the rule's stages and settings with the "
            "opportunities, and make the labels anew."
        )
    return pd.DataFrame([row[:3] for row in found], columns=["check", "looked_at", "wrong"])


_Check = tuple[str, int, list[str]]


def _says(stages: Sequence[str] | None, words: Iterable[str]) -> Callable[[str], bool]:
    """Whether a stage is of one kind."""
    if stages is not None:
        return lambda stage: stage in stages
    return lambda stage: any(word in stage.lower().split() for word in words)


def _deals(
    labels: Labels, opportunities: Any, is_won: Callable[[str], bool], is_lost: Callable[[str], bool]
) -> dict[str, _Deal]:
    """The opportunities by id."""
    rule, table = labels.rule, read_table(opportunities)
    table = table.rename(columns={theirs: standard for standard, theirs in rule.columns})
    for name in ("created_at", "closed_at", "contract_start", "contract_end"):
        if name in table:
            first = next((time for time in map(pd.Timestamp, table[name].dropna()) if not pd.isna(time)), pd.NaT)
            zoned = first.tzinfo is not None  # of one column, all or none
            times = pd.to_datetime(table[name], format="ISO8601", utc=zoned)
            if not zoned:
                times = times.dt.tz_localize(rule.timezone, ambiguous=[True] * len(times), nonexistent="shift_forward")
            table[name] = times.dt.tz_convert(rule.timezone)
    deals = {}
    for row in table.to_dict("records"):
        time = lambda name, row=row: None if pd.isna(row.get(name)) else row[name]
        closed, stage = time("closed_at"), str(row["stage"])
        seen = closed is not None and closed <= labels.observed_to
        kind, amount = row.get("kind"), pd.to_numeric(row.get("amount"))
        deal = _Deal(
            id=_written(row["opportunity_id"]),
            unit=(_written(row["account_id"]), *(_written(row[name]) for name in rule.unit)),
            kind=None if kind is None else dict(rule.kind_names).get(kind, kind),
            created=time("created_at") or pd.Timestamp.max.tz_localize("UTC"),
            closed=closed if seen else None,
            won=seen and is_won(stage),
            lost=seen and is_lost(stage),
            amount=float("nan") if amount is None else float(amount),
            start=time("contract_start"),
            end=time("contract_end"),
        )
        deals[deal.id] = deal
    return deals


def _written(value: Any) -> str:
    """An id as text; pandas may have made a float of a whole number."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _all_there(labels: Labels, deals: dict[str, _Deal]) -> _Check:
    """Whether each opportunity is in the evidence of one label, or left out."""
    listed = [id for ids in labels.table["opportunity_ids"] for id in ids.split(SEPARATOR)]
    counted = pd.Series([*listed, *labels.left_out["opportunity_id"]], dtype=object).value_counts()
    wrong = [id for id in deals if counted.get(id, 0) != 1] + [id for id in counted.index if id not in deals]
    backed = set(labels.evidence["opportunity_id"])
    wrong += sorted(set(listed) ^ backed)
    return "An opportunity is not in the evidence of one label, nor left out, once", len(deals), wrong


def _own_labels(labels: Labels, deals: dict[str, _Deal], by_unit: dict[tuple, list[_Deal]]) -> _Check:
    """Whether each opportunity says by itself what it should."""
    wrong = []
    for id, label in zip(labels.evidence["opportunity_id"], labels.evidence["label"], strict=True):
        if (deal := deals.get(id)) is None:
            continue  # found above
        of_unit, rule = by_unit.get(deal.unit, []), labels.rule
        if isinstance(rule, AccountPropensity):
            expected = _account(deal, of_unit, rule, labels.observed_to)
        else:
            assert isinstance(rule, UpsellPropensity)
            expected = _upsell(deal, of_unit, rule, labels.observed_to)
        if expected != (None if pd.isna(label) else int(label)):
            wrong.append(f"{id} has {label:g}, not {'none' if expected is None else expected}")
    return "An opportunity's own label is not what it should be", len(labels.evidence), wrong


def _account(deal: _Deal, of_unit: list[_Deal], rule: AccountPropensity, end: pd.Timestamp) -> int | None:
    if deal.won:
        return 1
    if not deal.lost or deal.closed is None:
        return None
    if rule.retries == "keep":
        return 0
    until = deal.closed + pd.DateOffset(days=rule.retry_within)
    if rule.wait and until > end:
        return None
    for other in of_unit:
        counts = not rule.kinds or other.kind is None or other.kind in rule.kinds
        if counts and other.won and other.created > deal.created and other.closed is not None and other.closed <= until:
            return 1
    return 0


def _upsell(deal: _Deal, of_unit: list[_Deal], rule: UpsellPropensity, end: pd.Timestamp) -> int | None:
    if not deal.won:
        return 0 if deal.lost else None
    adds = lambda other: other.kind == "add-on" and rule.add_on_amount == "added"
    before = [one for one in of_unit if one.won and one.created < deal.created and (one.closed or end) <= deal.created]
    before.sort(key=lambda one: (one.closed, one.start, one.id))
    paid, last = 0.0, None
    for one in before:
        if adds(one):
            paid, last = paid + one.amount, last or one
        else:
            paid, last = one.amount, one
    increase = deal.amount if adds(deal) else deal.amount - paid
    rounding = 1e-9 * (deal.amount + paid)
    if not increase > rounding or increase < rule.least_increase * paid - rounding or last is None:
        return 0
    if rule.churn_within is None:
        return 1
    days = pd.DateOffset(days=rule.churn_within)
    if deal.kind != "add-on":
        return int(deal.start is not None and last.end is not None and deal.start <= last.end + days)
    assert deal.end is not None
    until = deal.end + days
    if until > end:
        return None
    return int(
        any(
            one.won and one.kind != "add-on" and one.end > deal.end and one.start <= until and one.closed <= until
            for one in of_unit
            if one.end is not None and one.start is not None and one.closed is not None
        )
    )


def _rows(labels: Labels, deals: dict[str, _Deal]) -> list[_Check]:
    """Whether each label follows from its opportunities, and its dates from theirs."""
    rule, table = labels.rule, labels.table
    own = dict(zip(labels.evidence["opportunity_id"], labels.evidence["label"], strict=True))
    label_wrong, unit_wrong, date_wrong = [], [], []
    for row in table.to_dict("records"):
        mine = [deals[id] for id in row["opportunity_ids"].split(SEPARATOR) if id in deals and id in own]
        if not mine:
            continue  # found above
        name = row["opportunity_ids"]
        unit = (_written(row["account_id"]), *(_written(row[column]) for column in rule.unit))
        if any(deal.unit != unit for deal in mine):
            unit_wrong.append(name)
        said = {own[deal.id] for deal in mine if not pd.isna(own[deal.id])}
        undecided = any(pd.isna(own[deal.id]) for deal in mine)
        label, known_at = row["label"], row["known_at"]
        if pd.isna(label):
            if not undecided or all(deal.won or deal.lost for deal in mine) or not pd.isna(known_at):
                label_wrong.append(name)
        elif label not in said or (undecided and not (rule.conflicts == "won" and label == 1)):
            label_wrong.append(name)
        elif (rule.conflicts == "won" and label != max(said)) or (rule.conflicts == "drop" and len(said) > 1):
            label_wrong.append(name)
        else:
            closed = [deal.closed for deal in mine if deal.closed is not None and own[deal.id] == label]
            least = min(closed) if label == 1 and rule.conflicts == "won" else max(closed)
            if not least <= known_at <= labels.observed_to:
                date_wrong.append(name)
        if row["as_of"] > min(deal.created for deal in mine):
            date_wrong.append(name)
    return [
        ("A label does not follow from its opportunities", len(table), label_wrong),
        ("A label's account or unit is not that of its opportunities", len(table), unit_wrong),
        ("as_of is after the creation, or known_at before the outcome or after the end", len(table), date_wrong),
    ]


def _open_ones(labels: Labels, deals: dict[str, _Deal]) -> _Check:
    """Whether what was left out as open is open."""
    ids = labels.left_out.loc[labels.left_out["reason"] == STILL_OPEN, "opportunity_id"]
    wrong = [id for id in ids if id in deals and (deals[id].won or deals[id].lost)]
    return "An opportunity was left out as open, but is closed", len(ids), wrong
