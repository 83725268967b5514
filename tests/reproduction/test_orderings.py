"""Claims are judged by their intervals, on made-up figures."""

import numpy as np
import pytest

from hanjax.evaluation.intervals import Difference
from hanjax.reproduction.orderings import CLAIMS, Claim, judge, judged
from hanjax.reproduction.rows import ROWS

BETTER = Claim("better", "a beats b", (("a", "b"), ("a", "c")), "")
NOTHING = Claim("nothing", "a adds nothing to b", (("a", "b"),), "", no_gain=True)


def found(low, high):
    return Difference((low + high) / 2, low, high, 0.5, 0.1, 100)


@pytest.mark.parametrize(
    ("claim", "intervals", "outcome"),
    [
        (BETTER, [(0.01, 0.1), (0.02, 0.1)], "reproduced"),
        (BETTER, [(0.01, 0.1), (-0.02, 0.1)], "undecided"),
        (BETTER, [(0.01, 0.1), (-0.2, -0.1)], "not reproduced"),
        (BETTER, [(0.01, 0.1)], "not measured"),
        (BETTER, [(0.01, 0.1), (np.nan, np.nan)], "not measured"),
        (NOTHING, [(-0.05, -0.01)], "reproduced"),
        (NOTHING, [(-0.005, 0.005)], "reproduced"),
        (NOTHING, [(-0.01, 0.03)], "undecided"),
        (NOTHING, [(0.002, 0.03)], "not reproduced"),
    ],
)
def test_outcomes_follow_from_intervals(claim, intervals, outcome):
    assert judge(claim, [found(*ends) for ends in intervals]) == outcome


def test_the_differences_behind_an_outcome_are_told():
    [record] = judged([BETTER], {("a", "b"): found(0.1, 0.2)})
    assert record["outcome"] == "not measured" and [pair["second"] for pair in record["pairs"]] == ["b"]


def test_claims_speak_of_rows_that_exist():
    names = {row.name for row in ROWS}
    assert {name for claim in CLAIMS for pair in claim.pairs for name in pair} <= names


def test_the_paper_s_own_figures_bear_its_claims_out():
    """A claim that the paper's tables contradict would be a misreading of the paper."""
    paper = {row.name: row.paper for row in ROWS if row.paper is not None}
    for claim in CLAIMS:
        for first, second in claim.pairs:
            if first in paper and second in paper:
                step = paper[first] - paper[second]
                assert step <= 0 if claim.no_gain else step > 0, (claim.name, first, second)
