"""One page about the state of a model: what drifted, how it performed, and what stands out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hanjax import plot
from hanjax.monitoring.drift import STABILITY, DriftReport
from hanjax.monitoring.performance import Performance
from hanjax.monitoring.verdict import SEVERITIES, worst
from hanjax.report.blocks import (
    Details,
    Heading,
    Section,
    Table,
    Text,
    measure,
    number,
    percent,
    picture,
    plural,
    ranged,
)
from hanjax.report.template import html_page

_PICTURES = 9
_LONG = 40
"""Findings of a table that are shown at once; all others are in the files."""


def monitoring_page(
    drift: DriftReport,
    performance: Performance | None = None,
    *,
    why_not: str = "",
    title: str = "State of the model",
    about: Mapping[str, Any] | None = None,
) -> str:
    """Makes the page.

    Args:
        drift: what was found when the data were held against the reference.
        performance: how good the scores were; None where no outcome is known.
        why_not: why there is none, in a sentence.
        title: of the page.
        about: names and values for the foot, such as versions.

    Returns:
        HTML, from which nothing is loaded; all that the data hold is escaped.

    Example:
        >>> import pandas as pd
        >>> from hanjax.monitoring import check_drift, monitoring_page, reference_of
        >>> table = pd.DataFrame({"employees": range(50)})
        >>> drift = check_drift(reference_of({"accounts": table}), {"accounts": table})
        >>> "Nothing has drifted" in monitoring_page(drift)
        True
    """
    alarms = [] if performance is None else performance.told["sentence"].tolist()
    current = [] if performance is None else performance.told.query("severity == 'alarm'")["sentence"].tolist()
    first = [*current, *drift.alarms]
    return html_page(
        title=title,
        lead="Whether the data still look as they did in training, and whether the scores still hold.",
        tiles=_tiles(drift, performance),
        warnings=first,
        warned=f"{plural(len(first), 'alarm')}",
        sections=[_findings(drift, alarms), _columns(drift), _segments(drift), _course(performance, why_not)],
        about=about or {},
    )


def _tiles(drift: DriftReport, performance: Performance | None) -> list[tuple[str, str]]:
    """The verdict, and what is behind it."""
    overall = worst([drift.severity, *([] if performance is None else [performance.severity])])
    verdict = {"ok": "OK", "warning": "Warning", "alarm": "Alarm"}
    counts = drift.findings.groupby("severity").size().reindex(SEVERITIES, fill_value=0)
    found = [
        (verdict[overall], "the gravest of all that was looked at"),
        (
            f"{counts['alarm']} / {counts['warning']}",
            f"alarms / warnings among {len(drift.findings):,} checks of drift",
        ),
    ]
    if performance is not None:
        whole = performance.windows[performance.windows["segment"] == ""]
        last = whole[whole["complete"]].tail(1)
        for row in last.itertuples():
            found.append(
                (measure(row.auc), f"AUC of the latest complete window, {number(row.conversions)} conversions")
            )
            found.append((number(row.ratio), "conversions for each one expected in it"))
    return found


def _findings(drift: DriftReport, alarms: Sequence[str]) -> Section:
    """All that stands out, as sentences with figures."""
    told = drift.told
    blocks: list[Any] = []
    if told.empty:
        blocks.append(Text("Nothing has drifted further than chance explains."))
    else:
        # A column that has moved on the whole has done so in segments, too: the map shows it.
        keys = pd.MultiIndex.from_frame(told[["table", "column"]])
        within = (told["segment"] != "").to_numpy() & keys.isin(keys[(told["segment"] == "").to_numpy()])
        rows, again = _rows(told[~within]), _rows(told[within])
        columns = ["Severity", "What was found", "Measured", "Threshold", "p"]
        blocks.append(Table(columns, rows[:_LONG], _CAPTION.format(percent(drift.alpha)), left=2))
        if len(rows) > _LONG:
            blocks.append(Details(f"{len(rows) - _LONG:,} more", [Table(columns, rows[_LONG:], left=2)]))
        if again:
            blocks.append(Details(f"The same columns within segments: {len(again):,}", [Table(columns, again, left=2)]))
    if alarms:
        blocks += [
            Heading("Performance"),
            *(Text(sentence, note=True) for sentence in alarms),
        ]
    if drift.notes:
        blocks.append(Details("What was not compared, and why", [Text(note) for note in drift.notes]))
    return Section("warnings", "What stands out", "Warnings and alarms, the gravest first.", blocks)


_CAPTION = (
    "Where nothing has changed, a report has an alarm in {} of cases at most, whatever the number of checks (Benjamini "
    "and Hochberg). Thresholds are those of accounts drawn from the training data again and again. For fill rates and "
    "rows per account, the threshold is the distance from training."
)


def _rows(findings: pd.DataFrame) -> list[list[str]]:
    percents = findings["statistic"] == "fill rate"
    return [
        [
            row.severity,
            row.sentence,
            percent(row.value) if in_percent else number(row.value),
            percent(row.threshold) if in_percent else number(row.threshold),
            "–" if not np.isfinite(row.p) else "< 0.0001" if row.p < 1e-4 else f"{row.p:.2g}",
        ]
        for row, in_percent in zip(findings.itertuples(), percents, strict=True)
    ]


def _columns(drift: DriftReport) -> Section:
    """The distributions that moved most, and that of the score in any case."""
    stable = drift.findings[(drift.findings["statistic"] == STABILITY) & (drift.findings["segment"] == "")]
    stable = stable.assign(times=stable["value"] / stable["threshold"].where(stable["threshold"] > 0))
    stable = stable.sort_values("times", ascending=False, kind="stable")
    moved = stable[stable["severity"] != "ok"]
    is_score = (stable["table"] == "scores") & (stable["column"] == "probability")
    least = stable if len(moved) < 3 else moved  # a picture of one column alone would look odd
    wanted = pd.concat([stable[is_score], moved, least.head(3)])
    shown = wanted[~wanted.duplicated(["table", "column"])].head(_PICTURES)
    bins = drift.bins[drift.bins["segment"] == ""]
    drawn = shown[["table", "column"]].merge(bins, on=["table", "column"], how="inner")
    blocks: list[Any] = [
        picture(
            lambda: plot.distributions(drawn, most=_PICTURES),
            "distributions in training and now",
            "Shares of the rows in each bin. Bins of numbers are tenths of the training data, so that the gray bars of "
            "a column are about alike unless one value is frequent. The score comes first, then what moved most.",
        )
    ]
    table = [
        [f"{row.table}.{row.column}", row.severity, number(row.value), number(row.threshold)]
        for row in stable.itertuples()
    ]
    blocks.append(
        Details("All columns", [Table(["Column", "Severity", "Stability index", "Threshold"], table, left=2)])
    )
    return Section("columns", "Then and now", "The columns whose distribution moved most.", blocks)


def _segments(drift: DriftReport) -> Section:
    stable = drift.findings[drift.findings["statistic"] == STABILITY]
    blocks = [
        picture(
            lambda: plot.drift_map(stable),
            "drift by column and segment",
            "1 is the alarm threshold of the column in the segment; small segments have higher ones, as chance moves "
            "them further. What moves in one segment alone may not show in all rows together.",
        )
    ]
    return Section("segments", "Segment by segment", "Where columns moved.", blocks)


def _course(performance: Performance | None, why_not: str) -> Section:
    title, lead = "Performance", "How good the scores were, now that outcomes are known."
    if performance is None:
        text = f"Nothing can be said yet. {why_not}".strip()
        return Section("performance", title, lead, [Text(text, note=True)])
    windows, alarms = performance.windows, performance.alarms
    whole, mine = windows[windows["segment"] == ""], alarms[alarms["segment"] == ""]
    rows = [
        [
            f"{_day(row.first)} to {_day(row.last)}" + ("" if row.complete else " *"),
            number(row.samples), number(row.conversions), number(row.expected),
            ranged(row.ratio, row.ratio_low, row.ratio_high, number),
            ranged(row.auc, row.auc_low, row.auc_high),
            ranged(row.lift, row.lift_low, row.lift_high, number),
            number(row.log_loss),
        ]
        for row in whole.itertuples()
    ]  # fmt: skip
    blocks: list[Any] = [
        picture(
            lambda: plot.course(whole, measure="auc", alarms=mine[mine["kind"] == "AUC"]),
            "AUC by window",
            "Each window lasts until enough conversions are expected; lines are 95 % intervals.",
        ),
        picture(
            lambda: plot.course(whole, measure="ratio", alarms=mine[mine["kind"] != "AUC"]),
            "conversions for each one expected, by window",
            "At 1, as many convert as the probabilities say.",
        ),
        picture(
            lambda: plot.control_chart(performance.course[performance.course["segment"] == ""]),
            "control chart of conversions",
            "Evidence that the odds are others than the model's is added up until it is an alarm. The threshold is "
            f"reached by chance in {percent(performance.false_alarms)} of years, shared among the segments.",
        ),
        Table(
            ["Window", "Samples", "Conversions", "Expected", "Ratio", "AUC", "Lift of the top tenth", "Log loss"],
            rows,
            "With 95 % intervals, by drawing accounts again and again. * The latest window is not over yet.",
            left=0,
        ),
    ]
    segments = windows[(windows["segment"] != "") & windows["complete"]].groupby("segment", sort=False).tail(1)
    if len(segments):
        by_segment = [
            [
                row.segment, f"{_day(row.first)} to {_day(row.last)}", number(row.conversions), number(row.expected),
                ranged(row.ratio, row.ratio_low, row.ratio_high, number), ranged(row.auc, row.auc_low, row.auc_high),
            ]
            for row in segments.itertuples()
        ]  # fmt: skip
        columns = ["Segment", "Latest complete window", "Conversions", "Expected", "Ratio", "AUC"]
        blocks += [Heading("By segment"), Table(columns, by_segment, left=2)]
    blocks += [Text(note) for note in performance.notes]
    return Section("performance", title, lead, blocks)


def _day(period: Any) -> str:
    return f"{period:%Y-%m-%d}" if isinstance(period, pd.Timestamp) else str(period)
