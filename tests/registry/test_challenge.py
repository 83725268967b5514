"""The challenger's rule: promoted for good reason, refused otherwise, and seldom promoted by chance."""

import numpy as np
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.registry import RULES, Rule, decide
from hanjax.registry.challenge import refuse_older


def drawn(seed, n=600, *, strength=1.0, noise=(0.5, 0.5)):
    """Labels of 300 accounts, and the log-odds of two models that see the truth with noise."""
    random = np.random.default_rng(seed)
    truth = strength * random.normal(size=n)
    labels = (random.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
    return *(truth + s * random.normal(size=(1, n)) for s in noise), labels, np.arange(n) // 2


@pytest.mark.parametrize(
    "measure",
    [
        "auc",
        "log_loss",
        "lift",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("average_precision", "brier")),
    ],
)
def test_a_better_challenger_is_promoted_and_a_worse_one_refused(measure):
    rule = Rule(measure=measure)
    better, worse, labels, accounts = drawn(0, 3000, strength=2.0, noise=(0.1, 4.0))
    found = decide(rule, better, worse, labels, accounts, resamples=300)
    assert found.promote and found.table.loc[found.table["decides"], "better"].item() > 0 and "better" in found.reason
    turned = decide(rule, worse, better, labels, accounts, resamples=300)
    assert not turned.promote and "worse" in turned.reason
    both = [t.set_index("measure") for t in (found.table, turned.table)]
    np.testing.assert_allclose(both[0]["better"], -both[1]["better"], atol=1e-12)


def test_a_challenger_that_is_no_better_is_promoted_as_seldom_as_the_level_says():
    promoted = [decide(Rule(level=0.9), *drawn(seed, 300), resamples=200).promote for seed in range(60)]
    assert 0 < sum(promoted) < 9  # 5 % of 60 are 3


def test_the_margin_asks_for_more():
    given = drawn(1, 1200, strength=2.0, noise=(0.1, 4.0))
    gain = decide(Rule(), *given, resamples=200).table.set_index("measure").loc["auc"]
    assert not decide(Rule(margin=float(gain["better"])), *given, resamples=200).promote
    assert decide(Rule(margin=float(gain["low"]) / 2), *given, resamples=200).promote


def test_several_networks_make_it_less_sure():
    random = np.random.default_rng(2)
    one, other, labels, accounts = drawn(2)
    several = np.repeat(one, 3, axis=0) + 2 * random.normal(size=(3, 600)), np.repeat(other, 3, axis=0)
    wide, narrow = (
        decide(Rule(), *given, labels, accounts, resamples=200).table.set_index("measure").loc["auc"]
        for given in (several, (several[0].mean(0, keepdims=True), other))
    )
    assert (
        wide["better"] == pytest.approx(narrow["better"])
        and wide["high"] - wide["low"] > narrow["high"] - narrow["low"]
    )


@pytest.mark.parametrize(
    ("challenger", "champion", "refused"),
    [
        ("2024-9-30", "2024-10-15", True),
        ("2024-10-15", "2024-9-30", False),
        ("2024-10-15", "2024-10-15 00:00", False),
        ("2024-10-15T00:00+02:00", "2024-10-15", True),
        ("", "2024-10-15", False),
        ("2024-10-15", "", False),
    ],
)
def test_a_challenger_of_older_data_is_refused_by_date_and_not_by_text(challenger, champion, refused):
    assert bool(refuse_older(challenger, champion)) == refused


def test_what_cannot_be_decided():
    one, other, labels, accounts = drawn(3)
    with pytest.raises(DataError, match="both outcomes"):
        decide(Rule(), one, other, np.zeros_like(labels), accounts)
    with pytest.raises(ConfigError, match="measure"):
        Rule(measure="accuracy")
    assert RULES["upsell propensity"].measure == "lift"
