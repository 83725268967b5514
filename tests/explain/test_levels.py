"""Scores, levels and their reference."""

import numpy as np
import pandas as pd
import pytest

from hanjax.errors import ConfigError, RunError
from hanjax.explain.levels import Reference, distribution, levels_of, quartiles_of, score_of


def test_levels_are_quarters_of_those_with_data():
    x = np.random.default_rng(0).normal(size=100)
    there = np.arange(100) < 80
    quartiles = quartiles_of(x, where=there)
    found = levels_of(x, quartiles, where=there)
    cut = pd.qcut(x[:80], 4, labels=["Low", "Medium Low", "Medium High", "High"])
    assert found[:80].tolist() == list(cut) and set(found[80:]) == {"No data"}


@pytest.mark.parametrize("x", [[3.0], [0.5, 0.5, 0.5], [0.5 + 1e-9, 0.5, 0.5 - 1e-9]])
def test_equal_contributions_have_one_level_in_the_middle(x):
    x, everyone = np.array(x), np.ones(len(x), bool)
    assert set(levels_of(x, quartiles_of(x, where=everyone), where=everyone)) == {"Medium Low"}


def test_where_nobody_has_data_there_is_no_level():
    nobody = np.zeros(3, bool)
    assert quartiles_of(np.ones(3), where=nobody) is None
    assert set(levels_of(np.ones(3), None, where=~nobody)) == {"No data"}
    assert quartiles_of(np.ones(0), where=nobody[:0]) is None


def test_a_score_is_the_share_of_accounts_below():
    p = np.random.default_rng(1).choice(np.linspace(0, 1, 30), 50)
    found = score_of(p, np.sort(p))
    np.testing.assert_allclose(found, [100 * (p < own).mean() for own in p])
    order = np.argsort(p, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert score_of(np.array([0.25]), p, "probability").tolist() == [25.0]
    assert score_of(np.array([0.5]), np.array([0.1, 0.2])).tolist() == [100.0]
    with pytest.raises(ConfigError, match="scale"):
        score_of(p, p, "rank")  # pyright: ignore


def test_a_distribution_keeps_all_of_few_values_and_quantiles_of_many():
    assert distribution(pd.Series([2.0, np.nan, 1.0])) == (1.0, 2.0)
    many = distribution(pd.Series(np.arange(5000.0)))
    assert len(many) == 1001 and many[0] == 0 and many[500] == pytest.approx(2500, abs=3) and many[-1] == 4999


def reference():
    return Reference(
        digest="f", cutoff="2024-01-01", accounts=2, probabilities=(0.1, 0.2),
        quartiles={"usage": (0.0, 0.1, 0.2), "empty": None}, fill={"account:employees": (0.0, 0.25)},
        values={"account:employees": (1.0, 2.0)},
    )  # fmt: skip


def test_a_reference_is_read_as_it_was_written(tmp_path):
    reference().write(tmp_path / "reference.json")
    assert Reference.read(tmp_path / "reference.json") == Reference.read(tmp_path) == reference()


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_a_damaged_reference_is_an_error(text, tmp_path):
    if text is not None:
        (tmp_path / "reference.json").write_text(text)
    with pytest.raises(RunError, match="missing or damaged"):
        Reference.read(tmp_path)


def test_a_reference_is_of_one_run_and_its_aspects():
    reference().check("f", {"empty": [], "usage": []})
    with pytest.raises(RunError, match="another run"):
        reference().check("g", {"empty": [], "usage": []})
    with pytest.raises(RunError, match="made of the aspects usage, empty, not usage"):
        reference().check("f", {"usage": []})
