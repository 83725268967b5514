"""Drift: whether tables still look like those of the training, before anything is scored with them."""

import bisect
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from hanjax.errors import ConfigError
from hanjax.monitoring.chance import Null, cut, divergences, exceeding, nulls, rate_deviation
from hanjax.monitoring.columns import Column, as_numbers, as_texts, histogram, kind_of, same_kind, shown
from hanjax.monitoring.reference import LEAST_ACCOUNTS, OTHERS, Reference, Table, check_frame, population, segment_of
from hanjax.monitoring.verdict import SEVERITIES, Finding, worst
from hanjax.monitoring.volume import volume_findings
from hanjax.report.blocks import number, percent, plural

_FEW = 10
"""Of fewer accounts now, a segment's distributions are not compared."""
_WARNING = 5
"""A finding is a warning if it stands out at so many times the level of an alarm."""
STABILITY, SHANNON = "population stability", "Jensen-Shannon"


class DriftReport(NamedTuple):
    """What was found when tables were held against the reference.

    Args:
        findings: one row for everything that was looked at, the gravest first: ``table``, ``column``, ``segment``
            ("" for all rows), ``statistic``, its ``value``, the ``threshold`` above which (of fill rates: beside the
            reference by more than which) it is an alarm, ``p``, ``severity`` ("ok", "warning" or "alarm") and a
            ``sentence``.
        bins: shares behind the distributions: ``table``, ``column``, ``segment``, ``bin``, ``reference``, ``current``.
        alpha: the level of the alarms.
        notes: what was not looked at, and why.
    """

    findings: pd.DataFrame
    bins: pd.DataFrame
    alpha: float
    notes: tuple[str, ...] = ()

    @property
    def severity(self) -> str:
        """The gravest of all findings."""
        return worst(self.findings["severity"])

    @property
    def ok(self) -> bool:
        """Whether nothing is an alarm."""
        return self.severity != "alarm"

    @property
    def alarms(self) -> list[str]:
        """The sentence of each alarm; that of a distribution once, though two measures say it."""
        return self.told.query("severity == 'alarm'")["sentence"].tolist()

    @property
    def told(self) -> pd.DataFrame:
        """The findings that are warnings or alarms; of two measures of a distribution, the graver one."""
        found = self.findings[self.findings["severity"] != "ok"]
        both = found.loc[found["statistic"].isin((STABILITY, SHANNON))]
        # By name, alarms come before warnings; of two that are as grave, the stability index is told.
        both = both.sort_values(["severity", "statistic"], ascending=[True, False])
        return found.drop(index=both.index[both.duplicated(["table", "column", "segment"])])

    def __repr__(self) -> str:
        """How much was looked at, and every warning and alarm."""
        counts = self.findings["severity"].value_counts()
        head = ", ".join(plural(int(counts.get(name, 0)), name) for name in ("alarm", "warning"))
        lines = [f"{row.severity}: {row.sentence}" for row in self.told.itertuples()]
        return "\n".join([f"Drift of {plural(len(self.findings), 'finding')}: {head}", *lines, *self.notes])


def check_drift(
    reference: Reference,
    frames: Mapping[str, pd.DataFrame],
    *,
    alpha: float = 0.01,
    resamples: int = 500,
    now: int | None = None,
    latest: Mapping[str, int] | None = None,
    least: float = 0.0,
    seed: int = 0,
) -> DriftReport:
    """Holds tables against the reference, before they are scored or when they have been.

    Columns: there and of the same kind? Fill rates: a test that knows that rows of an account depend on each other. New
    levels: in more accounts than the reference's levels of one account let expect? Numbers outside the range of the
    reference: in more accounts than chance takes there? Distributions, in total and by segment: the
    population stability index and the Jensen-Shannon divergence against what they are by chance, for as many accounts
    as there are now, drawn from the reference account by account. Rows by account and period, and how old the latest
    row is. All tests of one report are corrected together by Benjamini and Hochberg: where nothing has changed, there
    is an alarm in a share alpha of reports at most, and a warning in 5 alpha.

    What chance may do is learned from accounts, not from periods: a season that the reference does not hold is found,
    too. And accounts that are in both differ less than chance lets them: the alarms are then rarer than alpha.

    Args:
        reference: what the tables looked like in training.
        frames: the tables as they are now, by the same names.
        alpha: the level of the alarms.
        resamples: how many times accounts are drawn.
        now: the number of the period in which this happens; None for the latest that has a row.
        latest: by table, the period of its latest row, for tables of which the last periods alone are given here: one
            that has no row in these may be quiet for as long as it was in training.
        least: a population stability index below which a distribution is no alarm, but a warning at most, however many
            rows show that it moved.
        seed: of the draws.

    Returns:
        The report.

    Raises:
        ConfigError: if alpha is outside 0..1, or there are fewer than 20 draws.
        DataError: if a table is no DataFrame, or an account or a period is missing in it.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.monitoring import check_drift, reference_of
        >>> table = pd.DataFrame({"dollars": np.random.default_rng(0).lognormal(size=200)})
        >>> reference = reference_of({"accounts": table})
        >>> check_drift(reference, {"accounts": table}).ok
        True
        >>> [alarm.split(",")[0][:48] for alarm in check_drift(reference, {"accounts": 100 * table}).alarms]
        ['accounts.dollars lies outside the range of train', 'accounts.dollars is distributed otherwise than i']

    Source: Siddiqi (2006), Credit risk scorecards, for the index; thresholds as in Yurdakul and Naranjo (2020),
        Statistical properties of the population stability index, but by resampling whole accounts.
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha: expected a number between 0 and 1, got {alpha}.")
    if resamples < 20:
        raise ConfigError(f"resamples: expected 20 at least, got {resamples}.")
    checked = {name: check_frame(name, frame, reference.accounts, reference.period) for name, frame in frames.items()}
    people = population(checked, reference.accounts, reference.period)
    now = max(people, default=0) if now is None else now
    findings, bins, notes = [], [], []
    for name in [name for name in checked if name not in reference.tables]:
        findings.append(Finding(name, "", "", "schema", "warning", f"{name}: the reference has no such table."))
    for name, table in reference.tables.items():
        frame = checked.get(name)
        if frame is None or (frame.empty and reference.period not in frame):
            problem = "is missing" if frame is None else "has no rows"
            findings.append(Finding(name, "", "", "schema", "alarm", f"{name}: the table {problem}."))
            continue
        findings += volume_findings(name, reference, frame, people, now, (latest or {}).get(name))
        findings += _schema(name, table, frame, reference)
        if frame.empty:
            continue
        draw = _Draw(name, table, frame, reference.accounts, resamples, seed)
        findings += [found for column in draw.shared for found in _column(draw, column)]
        for segment, part_rows in _segments(table, frame, reference, notes, name):
            found, shares = _distributions(draw, segment, part_rows, least)
            findings, bins = findings + found, bins + shares
    return DriftReport(_judged(findings, alpha), _bin_table(bins), alpha, tuple(notes))


class _Draw(NamedTuple):
    """A table of the reference and the same table now."""

    name: str
    table: Table
    frame: pd.DataFrame
    accounts: str
    resamples: int
    seed: int

    @property
    def shared(self) -> list[str]:
        """The columns that are comparable."""
        return [
            name
            for name, column in self.table.columns.items()
            if name in self.frame and same_kind(column.kind, kind_of(self.frame[name]))
        ]

    def clusters(self, rows: np.ndarray) -> np.ndarray:
        """How many of some rows each account has."""
        return np.bincount(pd.factorize(self.frame[self.accounts].iloc[rows])[0])


def _schema(name: str, table: Table, frame: pd.DataFrame, reference: Reference) -> Iterator[Finding]:
    """Columns that are missing, new, or hold something else."""
    for column, found in table.columns.items():
        if column not in frame:
            yield Finding(name, column, "", "schema", "alarm", f"{name}.{column}: the column is missing.")
        elif not same_kind(found.kind, kind := kind_of(frame[column])):
            said = f"{name}.{column} held {_KINDS[found.kind]} and now holds {_KINDS[kind]}."
            yield Finding(name, column, "", "schema", "alarm", said)
        else:
            yield Finding(name, column, "", "schema", "ok", f"{name}.{column} holds {_KINDS[found.kind]}, as before.")
    own = {*table.columns, *reference.segments, reference.accounts, reference.period}
    for column in (column for column in frame if column not in own):
        yield Finding(name, column, "", "schema", "warning", f"{name}.{column}: the reference has no such column.")


_KINDS = {"number": "numbers", "level": "levels", "name": "names", "date": "dates", "empty": "nothing"}


def _column(draw: _Draw, column: str) -> Iterator[Finding]:
    """Fill rate, and values that training did not have."""
    from scipy.special import ndtr, ndtri

    name, before, values = draw.name, draw.table.columns[column], draw.frame[column]
    whose = pd.factorize(draw.frame[draw.accounts])[0]
    there = values.notna().to_numpy()
    kept = draw.table.kept
    deviation = rate_deviation(
        (np.bincount(kept["account"], kept[f"in {column}"] >= 0), np.bincount(kept["account"])),
        (np.bincount(whose, there), np.bincount(whose)),
    )
    rates = before.present / before.rows, there.mean()
    p = float(2 * ndtr(-abs(rates[1] - rates[0]) / deviation)) if deviation else 1.0
    yield Finding(
        name, column, "", "fill rate", "",
        f"{name}.{column} has a value in {percent(rates[1])} of the rows, and had one in {percent(rates[0])}.",
        float(rates[1]), p, lambda cut: float(-ndtri(cut / 2) * deviation),
    )  # fmt: skip
    if before.kind == "level":
        texts = as_texts(values)
        new = there & ~texts.isin(before.known).to_numpy()
        first = texts[new].value_counts().index.tolist()
        told = f" ({percent(new.sum() / there.sum())} of the rows; first: {shown(first)})" if first else ""
        said = f"{name}.{column} has {plural(len(first), 'level')} that training did not have{told}."
        # Where no level of training was rare, a new one is news, however few have it.
        yield _unlike(draw, column, "new levels", new, before.single + 1, said, before.single == 0)
    elif before.kind == "number" and before.ends is not None and there.any():
        numbers = as_numbers(values)
        beyond = (numbers < before.ends[0]) | (numbers > before.ends[1])
        share, ends = percent(beyond.sum() / there.sum()), (float(np.nanmin(numbers)), float(np.nanmax(numbers)))
        said = (
            f"{name}.{column} lies outside the range of training, {_range(before.ends)}, in {share} of the rows; it "
            f"now is {_range(ends)}."
        )
        yield _unlike(draw, column, "outside the range", beyond, 2, said, False)


def _unlike(
    draw: _Draw, column: str, statistic: str, rows: np.ndarray, unlike: int, said: str, telling: bool
) -> Finding:
    """How many accounts have a value that none of the reference has."""
    whose = pd.factorize(draw.frame[draw.accounts])[0]
    found, people = len(np.unique(whose[rows])), len(np.unique(whose[draw.frame[column].notna().to_numpy()]))
    of = lambda k: exceeding(k, people, known=draw.table.columns[column].accounts, unlike=unlike)
    return Finding(
        draw.name, column, "", statistic, "warning" if found and telling else "", said, float(found), of(found),
        lambda cut: float(bisect.bisect_left(range(people + 1), True, key=lambda k: of(k) <= cut)),
    )  # fmt: skip


def _range(ends: tuple[float, float]) -> str:
    return f"{number(ends[0])} to {number(ends[1])}"


def _segments(
    table: Table, frame: pd.DataFrame, reference: Reference, notes: list[str], name: str
) -> Iterator[tuple[str, np.ndarray]]:
    """All rows, and those of each segment of the reference."""
    yield "", np.arange(len(frame))
    of = lambda segment: table.parts[segment].accounts
    for column in (column for column in reference.segments if column in frame and f"of {column}" in table.kept):
        levels = segment_of(frame, column)
        levels = levels.where(~(column + "=" + levels).isin(table.pooled), OTHERS)
        for level, rows in levels.groupby(levels).indices.items():
            segment, size = f"{column}={level}", frame[reference.accounts].iloc[rows].nunique()
            if segment not in table.parts:
                notes.append(f"{name}, {segment}: training had no such segment ({plural(size, 'account')}).")
            elif size < _FEW:
                notes.append(f"{name}, {segment}: not compared, as it has {plural(size, 'account')} now.")
            elif (kept := len(np.unique(table.draws([], segment).accounts))) < min(LEAST_ACCOUNTS, of(segment)):
                notes.append(
                    f"{name}, {segment}: not compared, as the reference kept {kept} of its "
                    f"{plural(of(segment), 'account')}."
                )
            else:
                yield segment, rows
    if table.pooled:
        notes.append(f"{name}: segments of few accounts are not looked at one by one: {shown(table.pooled, 5)}.")


def _distributions(
    draw: _Draw, segment: str, rows: np.ndarray, least: float
) -> tuple[list[Finding], list[pd.DataFrame]]:
    """Both divergences of each column with bins, among the rows of a segment."""
    own = segment.partition("=")[0]
    part = draw.table.parts.get(segment)
    counts, columns = {}, {}
    for name in (name for name in draw.shared if name != own and draw.table.columns[name].counts):
        column = draw.table.columns[name]
        before = np.array(column.counts if part is None else part.counts[name])
        after = histogram(column.codes(draw.frame[name].iloc[rows]), len(column.bins))
        if before.sum() and after.sum():
            counts[name], columns[name] = (before, after), column
    if not counts:
        return [], []
    used = {name: (before + after > 0) | (column.kind == "number") for (name, (before, after)), column in
            zip(counts.items(), columns.values(), strict=True)}  # fmt: skip
    clusters = draw.clusters(rows)
    chance = nulls(
        draw.table.draws(list(counts), segment),
        [len(before) for before, _ in counts.values()],
        accounts=draw.table.accounts if part is None else part.accounts,
        clusters=clusters,
        resamples=draw.resamples,
        seed=draw.seed,
        used=list(used.values()),
    )
    findings, shares = [], []
    for (name, (before, after)), pair in zip(counts.items(), chance, strict=True):
        values = [float(found) for found in divergences(before[used[name]], after[used[name]])]
        whole = draw.table if part is None else part
        filled = (columns[name].present if part is None else part.present[name]) / whole.rows
        stretch = max(1.0, filled * len(rows) / after.sum())  # fewer values now than the draws have
        place = f"{draw.name}.{name}" + (f" ({segment})" if segment else "")
        moved = _moved(columns[name], before, after, draw.frame[name] if not segment else None)
        for statistic, value, null in zip((STABILITY, SHANNON), values, pair, strict=True):
            null = Null(null.mean * stretch, null.variance * stretch**2)
            findings.append(
                Finding(
                    draw.name,
                    name,
                    segment,
                    statistic,
                    "",
                    f"{place} is distributed {{}} than in training: {statistic} {number(value)}; {moved}.",
                    value,
                    null.p(value),
                    null.threshold,
                    calm=values[0] < least,
                )  # fmt: skip
            )
        share = {"reference": before / before.sum(), "current": after / after.sum()}
        labels = {"table": draw.name, "column": name, "segment": segment, "bin": columns[name].bins}
        shares.append(pd.DataFrame({**labels, **share})[used[name]])
    return findings, shares


def _moved(column: Column, before: np.ndarray, after: np.ndarray, values: pd.Series | None) -> str:
    """What changed most, in words."""
    shares = before / before.sum(), after / after.sum()
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    said = f"“{column.bins[most]}” had {percent(shares[0][most])} of the rows and now has {percent(shares[1][most])}"
    if column.kind == "number" and values is not None:
        said = (
            f"the median was {number(column.middle)} and is {number(float(np.nanmedian(as_numbers(values))))}; {said}"
        )
    return said


def _judged(findings: list[Finding], alpha: float) -> pd.DataFrame:
    """The findings as a table, with their severity, after the correction for their number."""
    tested = np.array([found.p for found in findings if not np.isnan(found.p)])
    strict, mild = cut(tested, alpha), cut(tested, min(_WARNING * alpha, 1.0))
    rows = []
    for found in findings:
        severity, threshold = found.severity or "ok", found.threshold
        if not np.isnan(found.p):
            by_p = "alarm" if found.p <= strict else "warning" if found.p <= mild else "ok"
            severity = worst([severity, "warning" if by_p == "alarm" and found.calm else by_p])
        if callable(threshold):
            threshold = threshold(strict)
        sentence = found.sentence.replace("{}", "no more otherwise" if severity == "ok" else "otherwise", 1)
        if severity == "ok" and found.statistic in (STABILITY, SHANNON):
            sentence = found.sentence.replace("{} than in training", "about as in training", 1)
        rows.append([*found[:4], found.value, threshold, found.p, severity, sentence])
    columns = ["table", "column", "segment", "statistic", "value", "threshold", "p", "severity", "sentence"]
    table = pd.DataFrame(rows, columns=columns)
    order = np.lexsort([table["p"].fillna(-1.0), [-SEVERITIES.index(one) for one in table["severity"]]])
    return table.iloc[order].reset_index(drop=True)


def _bin_table(bins: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["table", "column", "segment", "bin", "reference", "current"]
    return pd.concat(bins, ignore_index=True) if bins else pd.DataFrame(columns=columns)
