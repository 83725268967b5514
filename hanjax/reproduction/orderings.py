"""The paper's orderings of its models, and whether figures reproduce them: never by eye, always by paired intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hanjax.evaluation.intervals import Difference

MARGIN = 0.01
"""A gain below this counts as none: the smallest difference that the paper's two digits can show."""

Outcome = Literal["reproduced", "not reproduced", "undecided", "not measured"]


@dataclass(frozen=True)
class Claim:
    """One ordering.

    Args:
        name: short name.
        text: the claim in words.
        pairs: names of rows, the first of which is said to be better (or, with ``no_gain``, not better).
        no_gain: the claim is that the first brings nothing over the second.
        source: where the paper says so.
    """

    name: str
    text: str
    pairs: tuple[tuple[str, str], ...]
    source: str
    no_gain: bool = False


_NEURAL = ("experiment-1", "experiment-2", "experiment-3")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "neural-over-baselines",
        "Neural aggregations (experiments 1-3) beat both baselines",
        tuple((row, baseline) for row in _NEURAL for baseline in ("baseline-1", "baseline-2")),
        "insight 1, table 4",
    ),
    Claim(
        "neural-over-statistical",
        "Neural aggregations (1-3) beat the maximum (4), the best statistical one",
        tuple((row, "experiment-4") for row in _NEURAL),
        "table 3",
    ),
    Claim(
        "maximum-over-statistics",
        "The maximum (4) beats the other statistical functions (5, 6)",
        (("experiment-4", "experiment-5"), ("experiment-4", "experiment-6")),
        "section 7.4",
    ),
    Claim(
        "statistics-under-baseline-1",
        "At least one (5) and the geometric mean (6) are below baseline 1",
        (("baseline-1", "experiment-5"), ("baseline-1", "experiment-6")),
        "insight 2",
    ),
    Claim(
        "naive-under-baseline-1",
        "The same two, computed naively, are below baseline 1",
        (("baseline-1", "naive-5"), ("baseline-1", "naive-6")),
        "insight 2, if it is about numerics",
    ),
    Claim(
        "sequence-over-frequency",
        "The sequence of activities (3) beats their frequency (baseline 2)",
        (("experiment-3", "baseline-2"),),
        "insight 3",
    ),
    Claim(
        "baseline-2-over-1",
        "Baseline 2 beats baseline 1",
        (("baseline-2", "baseline-1"),),
        "section 7.3.3",
    ),
    Claim(
        "time-adds-nothing",
        "Time between activities (7-9) adds nothing to experiments 1-3",
        (("experiment-7", "experiment-1"), ("experiment-8", "experiment-2"), ("experiment-9", "experiment-3")),
        "insight 4",
        no_gain=True,
    ),
)
"""The paper's orderings, and one that asks whether numerics explain a figure."""


def judge(claim: Claim, differences: Sequence[Difference]) -> Outcome:
    """Whether differences bear a claim out.

    A claim that rows are better is reproduced if every interval lies above 0, and is not if any lies below. A claim of
    no gain is reproduced if every interval ends below ``MARGIN``, and is not if any (else) lies above 0. Whatever lies
    between is undecided.

    Args:
        claim: the claim.
        differences: first less second, of each of its pairs that was measured.

    Returns:
        The outcome.

    Example:
        >>> from hanjax.evaluation.intervals import Difference
        >>> from hanjax.reproduction.orderings import CLAIMS, judge
        >>> judge(CLAIMS[-2], [Difference(0.1, 0.05, 0.15, 0.001, 0.02, 2000)])
        'reproduced'
    """
    if len(differences) < len(claim.pairs) or any(np.isnan(found.low) for found in differences):
        return "not measured"
    if claim.no_gain:
        if all(found.high < MARGIN for found in differences):
            return "reproduced"
        return "not reproduced" if any(found.low > 0 for found in differences) else "undecided"
    if all(found.low > 0 for found in differences):
        return "reproduced"
    return "not reproduced" if any(found.high < 0 for found in differences) else "undecided"


def judged(claims: Sequence[Claim], differences: Mapping[tuple[str, str], Difference]) -> list[dict[str, Any]]:
    """Every claim with its outcome and the differences behind it.

    Args:
        claims: the claims.
        differences: first less second, by names of rows.

    Returns:
        One record a claim: name, text, source, outcome, and under ``pairs`` the differences.
    """
    records = []
    for claim in claims:
        found = {pair: differences[pair] for pair in claim.pairs if pair in differences}
        pairs = [{"first": a, "second": b, **value._asdict()} for (a, b), value in found.items()]
        outcome = judge(claim, list(found.values()))
        told = {"name": claim.name, "claim": claim.text, "source": claim.source, "outcome": outcome}
        records.append({**told, "pairs": pairs})
    return records
