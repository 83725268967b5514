"""Each decision rule against loops over members, and what sets the rules apart."""

import numpy as np
import pytest

from hanjax.errors import ConfigError
from hanjax.simulation import MarketConfig, interest, rules, simulate
from tests.simulation.reference import pull_of


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_rule_is_what_loops_over_members_say(rule):
    rng = np.random.default_rng(0)
    sizes = [1, 2, 3, 7]
    states = rng.choice([0, 1, 2, 3, 4], size=(sum(sizes), 60), p=[0.4, 0.2, 0.2, 0.1, 0.1]).astype(np.uint8)
    starts = np.cumsum([0, *sizes[:-1]])
    absent = np.full(60, interest.NOT_YET, dtype=np.uint8)
    influences = np.stack(
        [absent if size == 1 else states[start + 1] for start, size in zip(starts, sizes, strict=True)]
    )
    group = rules.make_group(states, starts=starts, decides=states[starts], influences=influences, decision_share=0.6)
    pull = rules.RULES[rule](group)
    assert pull.min() >= 0 and pull.max() <= 1 and np.ptp(pull) > 0.4
    for account, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        for column in range(60):
            expected = pull_of(rule, states[start : start + size, column], 0, 1 if size > 1 else None, 0.6)
            assert pull[account, column] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rule", rules.RULES)
def test_all_cold_pulls_nothing_and_all_hot_everything(rule):
    for state, expected in ((interest.COLD, 0.0), (interest.HOT, 1.0), (interest.GONE, 0.0)):
        states = np.full((4, 1), state, dtype=np.uint8)
        group = rules.make_group(
            states, starts=np.array([0]), decides=states[:1], influences=states[1:2], decision_share=0.5
        )
        assert rules.RULES[rule](group)[0, 0] == pytest.approx(expected, abs=1e-6)


def test_shares_by_hand():
    account = np.array([0, 0, 0, 0, 1, 1])
    present = np.array([[1, 1], [0, 1], [1, 1], [1, 0], [1, 1], [0, 0]], dtype=bool)
    decides = np.array([False, True, False, False, False, True])
    influences = np.array([True, False, False, False, True, False])
    share = rules.shares(present, account=account, decides=decides, influences=influences, decision_share=0.6)
    np.testing.assert_allclose(share, [[0.2, 0.2], [0.0, 0.6], [0.1, 0.2], [0.1, 0.0], [0.2, 0.2], [0.0, 0.0]])


@pytest.mark.parametrize("rule", rules.RULES)
def test_every_rule_makes_a_market_with_the_conversions_asked_for(rule):
    market = simulate(accounts=400, weeks=16, conversions=0.1, rule=rule, seed=2)
    assert abs(market.tables.accounts["converted_at"].notna().sum() - 40) <= 1
    top = market.truth["probability"] >= market.truth["probability"].quantile(0.98)
    assert market.truth["probability"][top].mean() > 10 * market.truth["probability"].mean()


def test_hot_members_make_their_colleagues_hot_only_by_contagion():
    def hot_after_hot(rule):
        """How often someone cold is warm or hot a week later, where a colleague is hot and where none is."""
        members = simulate(accounts=800, seed=4, conversions=0.0, rule=rule).individual_truth
        members = members.sort_values(["individual_id", "cutoff"])
        hot = (members["interest"] == 1).groupby([members["account_id"], members["cutoff"]]).transform("mean")
        later = members["interest"].shift(-1)
        cold = (members["interest"] == 0) & (members["individual_id"] == members["individual_id"].shift(-1))
        return (later[cold & (hot >= 0.2)] > 0).mean() - (later[cold & (hot == 0)] > 0).mean()

    assert hot_after_hot("contagion") > hot_after_hot("weighted_influence") + 0.03


def test_rules_have_names():
    assert MarketConfig().rule == "weighted_influence"
    with pytest.raises(ConfigError, match="rule: expected one of 'weighted_influence', 'any_one'"):
        MarketConfig(rule="lottery")  # pyright: ignore[reportArgumentType]
