"""Sentences from templates, and actions from a table."""

import pandas as pd
import pytest

from hanjax.errors import ConfigError, DataError
from hanjax.explain.sentences import action_of, actions_of, because, phrase_of, sentences_of


def account(**other):
    aspect = lambda name, level, contribution, why="": {
        "name": name, "level": level, "text": level, "contribution": contribution, "change": 0.0, "because": why,
        "phrase": phrase_of(name, level, level, contribution, why),
    }  # fmt: skip
    aspects = [
        aspect("usage", "High", 0.5, "more sessions than 93 % of accounts"),
        aspect("growth", "Low", 0.1),
        aspect("white space", "Low", -0.4),
        aspect("booking", "No data", -0.9),
        aspect("affinity", "High", 0.05),
    ]
    given = dict(account="A <b>", account_id=1, score=92, tier="High", probability=0.1, change=12, period="week")
    return given | dict(aspects={one["name"]: one for one in aspects}, changed="usage", action="Call & train.") | other


def test_the_sentence_says_what_carries_the_score_and_what_to_do():
    up, down, same, bare = sentences_of(
        [account(), account(change=-3, action=""), account(change=0), account(aspects={}, change=0, action="")]
    )
    reasons = "Carried by high usage (more sessions than 93 % of accounts) and growth; held back by low white space."
    assert up == f"A <b>: score 92 (High), up 12 since the week before. {reasons} Call & train."
    assert down == f"A <b>: score 92 (High), down 3 since the week before. {reasons}"
    assert same == f"A <b>: score 92 (High). {reasons} Call & train."
    assert bare == "A <b>: score 92 (High)."


def test_a_user_writes_another_one(tmp_path):
    template = "{{ account_id }}/{{ aspects['white space'].level }}/{{ up[0].name }}/{{ '%.2f' | format(probability) }}"
    (tmp_path / "sentence.txt").write_text(template)
    expected = ["1/Low/usage/0.10"]
    assert sentences_of([account()], template) == sentences_of([account()], tmp_path / "sentence.txt") == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ acount }}",
        "{{ account",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ aspects.clear() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_templates_that_cannot_be_or_reach_too_far_are_an_error(template):
    with pytest.raises(ConfigError, match="A template is given account, account_id, score, .*down"):
        sentences_of([account()], template)


def test_a_template_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        sentences_of([account()], tmp_path / "none.txt")


def test_the_first_row_that_fits_is_the_action(tmp_path):
    table = pd.DataFrame(
        [["usage", "Low", "Train."], ["growth", "High", "Visit."], ["usage", "Low", "Never."]],
        columns=["aspect", "level", "action"],
    )
    table.to_csv(tmp_path / "actions.csv", index=False)
    for given in (table, tmp_path / "actions.csv"):
        found = actions_of(given)
        assert action_of({"growth": "High", "usage": "Low"}, found) == "Train."
        assert action_of({"growth": "High", "usage": "High"}, found) == "Visit."
        assert action_of({"growth": "Low"}, found) == ""
    assert "onboarding" in action_of({"usage": "Low"}, actions_of(None))


def test_actions_that_cannot_be_are_an_error(tmp_path):
    with pytest.raises(DataError, match="lacks action"):
        actions_of(pd.DataFrame({"aspect": ["a"], "level": ["Low"]}))
    with pytest.raises(DataError, match=r"actions\.level: is no level \(1 row; first: Lowest\). Use one of Low,"):
        actions_of(pd.DataFrame({"aspect": ["a"], "level": ["Lowest"], "action": ["x"]}))
    with pytest.raises(ConfigError, match="there is no file"):
        actions_of(tmp_path / "none.csv")


def test_what_stands_out_about_an_input():
    assert because("seats_sold", 1.0, [1.0, 1.0, 4.0, 8.0]) == "less seats sold than 50 % of accounts"
    assert because("seats", 1.0, [1.0, 1.0]) == "" == because("seats", 1.0, [])
    assert phrase_of("growth", "High", "Top industry", 0.2, "") == "growth: Top industry"
    assert phrase_of("growth", "High", "High", -0.2, "x") == "growth (x)"
