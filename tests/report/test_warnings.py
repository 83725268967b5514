"""What a reader is warned of, from tables made for it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hanjax.config import Config
from hanjax.evaluation.calibration import Calibration
from hanjax.report.baselines import Beside
from hanjax.report.quality import MODEL, Quality
from hanjax.report.warnings import warnings_of, warnings_section

GOOD = dict(conversions=200, periods_one_class=1, periods_used=20, log_loss=0.1, log_loss_base_rate=0.2, auc=0.8)


def quality(*, low=0.77, high=0.83, difference=(0.02, 0.08), off=0, mean=0.1, **metrics):
    table = pd.DataFrame([[MODEL, "auc", 0.8, low, high]], columns=["model", "measure", "value", "low", "high"])
    compared = pd.DataFrame([["auc", *difference]], columns=["measure", "low", "high"])
    bins = pd.DataFrame(
        {"mean_probability": 0.1, "rate_low": np.where(np.arange(10) < off, 0.2, 0.05), "rate_high": 0.3}
    )
    known = pd.DataFrame({"probability": [mean] * 10, "label": [1] + [0] * 9})
    rest = {name: pd.DataFrame() for name in ("lift", "lead_time", "by_size", "ahead", "over_time")}
    return Quality(
        metrics={**GOOD, **metrics},
        known=known,
        beside=Beside(table, {"counts": compared}),
        missing="",
        reliability=bins,
        **rest,
    )


def material(*, late=0.1, now=20, parts="test", notes=(), calibrations=None, evaluation=None, why_not=""):
    cutoffs = pd.date_range("2024-01-07", periods=8, freq="7D", tz="UTC")
    accounts = pd.DataFrame(
        [(a, c, late if c >= cutoffs[-2] else 0.1) for c in cutoffs for a in range(now if c == cutoffs[-1] else 20)],
        columns=["account_id", "cutoff", "probability"],
    )
    return SimpleNamespace(
        run=SimpleNamespace(config=Config(), calibrations=calibrations),
        scores=SimpleNamespace(accounts=accounts),
        latest=cutoffs[-1],
        outcomes=False,
        parts=np.full(len(accounts), parts),
        panel=SimpleNamespace(notes=notes),
        evaluation=evaluation,
        why_not=why_not,
    )


def test_where_nothing_stands_out_there_is_no_warning():
    assert warnings_of(material(), quality()) == []
    assert "nothing that was checked stands out" in warnings_section([]).blocks[0].text


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (dict(difference=(-0.01, 0.05)), "not shown that the model ranks better than the baseline “counts”"),
        (dict(difference=(-0.09, -0.02)), "ranks worse than the baseline “counts”"),
        (dict(conversions=29), "rest on 29 conversions"),
        (dict(low=0.7, high=0.9), "AUC is not known well: 0.800 [0.700, 0.900]"),
        (dict(low=np.nan, high=np.nan), "How sure the figures are cannot be said"),
        (dict(off=3), "in 3 of 10 groups"),
        (dict(mean=0.3), "On average 30 % was predicted, and 10 % converted"),
        (dict(periods_one_class=30), "In 30 of 50 periods"),
        (dict(log_loss=0.3), "The log loss, 0.3, is above"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_what_is_odd_about_the_figures_is_said_once(odd, words):
    (warning,) = warnings_of(material(), quality(**odd))
    assert words in warning


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (dict(late=0.3), "The mean score drifts: 30 %"),
        (dict(now=1), "Only 1 of 20 accounts can be scored at the latest cut-off, 2024-02-25"),
        (dict(parts="train"), "20 of the 20 accounts in the ranking took part in training"),
        (dict(notes=("7 events have an activity that training never saw: fax",)), "7 events"),
        (dict(calibrations=(Calibration("platt", note="Few conversions."),)), "within 1 period: Few conversions."),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_what_is_odd_about_the_data_is_said_once(odd, words):
    (warning,) = warnings_of(material(**odd), quality())
    assert words in warning


def test_one_group_of_ten_may_miss_by_chance_and_two_may_not():
    assert not warnings_of(material(), quality(off=1)) and warnings_of(material(), quality(off=2))


def test_without_figures_it_is_said_why():
    (warning,) = warnings_of(material(why_not="No account is left."), None)
    assert warning.endswith("No account is left.")
    one_class = SimpleNamespace(known=pd.DataFrame({"label": [0, 0, 0]}))
    (warning,) = warnings_of(material(evaluation=one_class), None)
    assert "3 samples" in warning and "0 conversions" in warning
