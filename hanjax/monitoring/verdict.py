"""How grave something is, and the status that a scheduler is told."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np

SEVERITIES = ("ok", "warning", "alarm")
ALARM, WARNING = 4, 3
"""Exit codes; 1 and 2 are left to programs that fail and to wrong usage, 0 says that all is well."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Args:
        table: in which table.
        column: in which column, "" for the table itself.
        segment: among which rows, "" for all.
        statistic: what was measured.
        severity: what it is whatever p says; "" to be judged by p alone.
        sentence: for a reader.
        value: of the statistic.
        p: how often chance does as much; NaN where it is no matter of chance.
        threshold: above which value it stands out: a number, or what makes one of the p that is asked for.
        calm: whether it is a warning at most.
    """

    table: str
    column: str
    segment: str
    statistic: str
    severity: str
    sentence: str
    value: float = np.nan
    p: float = np.nan
    threshold: float | Callable[[float], float] = np.nan
    calm: bool = False


class Judged(Protocol):
    """What has a severity: a report on drift, on performance, or on both."""

    @property
    def severity(self) -> str:
        """The gravest of what was found."""
        ...


def worst(severities: Iterable[str]) -> str:
    """The gravest of some severities; "ok" if there are none.

    Example:
        >>> from hanjax.monitoring.verdict import worst
        >>> worst(["ok", "alarm", "warning"]), worst([])
        ('alarm', 'ok')
    """
    return max(severities, key=SEVERITIES.index, default="ok")


def exit_code(report: Judged, *, strict: bool = False) -> int:
    """The status with which a scheduled job should end.

    0 where nothing is an alarm, 4 for an alarm; warnings are 0, as most of them pass, and 3 if ``strict``. A program
    that fails ends with 1, one that is called wrongly with 2, so that neither is mistaken for drift.

    Args:
        report: of drift or performance, or both.
        strict: whether warnings are to stop what comes next.

    Returns:
        The status.

    Example:
        >>> import pandas as pd
        >>> from hanjax.monitoring import check_drift, exit_code, reference_of
        >>> table = pd.DataFrame({"employees": range(50)})
        >>> exit_code(check_drift(reference_of({"accounts": table}), {"accounts": table})), exit_code(
        ...     check_drift(reference_of({"accounts": table}), {"accounts": table.drop(columns="employees")})
        ... )
        (0, 4)
    """
    return {"ok": 0, "warning": WARNING if strict else 0, "alarm": ALARM}[report.severity]
