"""Whether tables still come: rows for each account in the latest period, and how old the latest row is."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from hanjax.monitoring.reference import Reference
from hanjax.monitoring.verdict import Finding
from hanjax.report.blocks import number, plural


def volume_findings(
    name: str,
    reference: Reference,
    frame: pd.DataFrame,
    people: Mapping[int, int],
    now: int,
    latest: int | None = None,
) -> Iterator[Finding]:
    """What the numbers of rows by period say of a table.

    Rows for each account that any table has in the period are held against the same figure of the reference's periods:
    t = (x - mean) / (s sqrt(1 + 1/T)), with s their deviation, of T - 1 degrees of freedom, but at least what counts
    have by themselves. The latest row may be as old as it ever was in the reference, seen from any period of it; of a
    table without rows, it is at least as old as all that was looked at.

    Args:
        name: of the table.
        reference: what it looked like.
        frame: what it looks like.
        people: how many accounts have a row of any table now, by period.
        now: the period in which this happens.
        latest: the period of the table's latest row, where the table holds the last periods alone; None if not known.

    Yields:
        Two findings at most; none of a table without periods.
    """
    from scipy.special import stdtr, stdtrit

    table = reference.tables[name]
    if not table.periods or reference.period not in frame:
        return
    rows = {period: count for period, count, _ in table.periods}
    times = [period for period, _ in reference.population if period >= table.periods[0][0]]
    longest = max(period - max(other for other in rows if other <= period) for period in times)
    latest = int(frame[reference.period].max()) if len(frame) else latest
    if latest is None:
        lag = now - min(people) + 1 if people else np.inf
        said = f"{name} has no rows."
    else:
        lag = now - latest
        said = f"{name}: the latest row is {plural(lag, 'period')} old; in training it was {longest} at most."
    yield Finding(name, "", "", "latest row", "alarm" if lag > longest else "ok", said, float(lag), threshold=longest)
    if now not in people or len(times) < 3:
        return
    before = np.array([rows.get(period, 0) / count for period, count in reference.population if period in set(times)])
    after = int((frame[reference.period] == now).sum()) / people[now]
    mean, size = float(before.mean()), len(before)
    deviation = np.sqrt(max(before.var(ddof=1) * (1 + 1 / size), mean / people[now]))
    p = float(2 * stdtr(size - 1, -abs(after - mean) / deviation)) if deviation else float(after == mean)
    yield Finding(
        name, "", "", "rows per account", "",
        f"{name} has {number(after)} rows for each account in the latest period; in training it had {number(mean)}.",
        float(after), p, lambda cut: float(-stdtrit(size - 1, cut / 2) * deviation),
    )  # fmt: skip
