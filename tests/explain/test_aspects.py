"""Aspects: which input belongs to which, what is refused, and what rules say."""

import json

import numpy as np
import pandas as pd
import pytest

from hanjax.config import ACCOUNT_NUMBERS, MEMBER_NUMBERS
from hanjax.errors import ConfigError
from hanjax.explain.aspects import MOST, Aspects

INPUTS = ["activity:open email", "activity:click email", "account:employees", "feature:usage_90d", "member:role"]
GIVEN = {
    "affinity": ["activity:open email"],
    "usage": {
        "inputs": "feature:*",
        "describe": [
            {"text": "Engaged ({value:,.0f})", "when": {"input": "feature:usage_90d", "at_least": 1000}},
            {"text": "Idle", "when": [{"input": "feature:usage_90d", "below": 1}, {"input": "account:employees"}]},
            {"text": "{value}", "when": {"input": "segment:industry", "equals": "steel"}},
            {"text": "Unknown", "when": {"input": "feature:usage_90d", "missing": True}},
        ],
    },
}


def test_every_input_belongs_to_one_aspect():
    owners = Aspects.of(GIVEN).owners(INPUTS)
    assert owners["affinity"] == ["activity:open email"] and owners["usage"] == ["feature:usage_90d"]
    assert owners["other"] == ["activity:click email", "account:employees", "member:role"]
    assert sorted(one for own in owners.values() for one in own) == sorted(INPUTS)


def test_without_a_rest_there_is_no_other():
    assert list(Aspects.of({"all": ["*"]}).owners(INPUTS)) == ["all"]


def test_those_who_name_none_get_one_for_each_kind_that_there_is():
    owners = Aspects.by_kind(INPUTS).owners(INPUTS)
    assert owners == {"affinity": INPUTS[:2], "growth": INPUTS[2:4], "people": INPUTS[4:]}


def test_the_default_aspects_have_a_place_for_everything_that_settings_can_ask_for():
    counted = [f"number:{name}" for name in ACCOUNT_NUMBERS if name != "activity_counts"]
    members = [f"member_number:{name}" for name in MEMBER_NUMBERS]
    owners = Aspects.by_kind(names := ["number:open email, 2 back", *counted, *members]).owners(names)
    assert set(owners) == {"affinity", "history", "people"} and "number:open email, 2 back" in owners["affinity"]


def test_names_that_look_like_patterns_are_found():
    assert Aspects.of({"a": ["activity:call [new]"]}).owners(["activity:call [new]"]) == {"a": ["activity:call [new]"]}


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_a_file_says_the_same(ending, tmp_path):
    path = tmp_path / f"aspects.{ending}"
    path.write_text(json.dumps(GIVEN))  # which is YAML, too
    assert Aspects.of(path) == Aspects.of(str(path)) == Aspects.of(GIVEN)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": ["activity:opn email"]}, "fits no input; did you mean 'activity:open email'"),
        ({"a": ["feature:x*"]}, r"There are: activity:open email, .*member:role"),
        ({"a": ["activity:*"], "b": ["activity:open email"]}, "belongs to 'a' and, by 'activity:open email', to 'b'"),
        ({}, "one at least"),
        ({"score": []}, "names that the result does not use itself"),
        ({"starting point": ["activity:*"]}, "names that the result does not use itself"),
        ({"a": {"input": []}}, "did you mean 'inputs'"),
        ({"a": [3]}, "names"),
        (["activity:*"], "a mapping"),
        ({"a": {"describe": [{"text": "x"}]}}, "a text and when"),
        ({"a": {"describe": [{"text": "x", "when": {"input": "y", "atleast": 3}}]}}, "did you mean 'at_least'"),
        ({"a": {"describe": [{"text": "x", "when": {"input": "y", "at_least": "3"}}]}}, "at_least: expected a float"),
    ],
)
def test_what_cannot_be_is_an_error(given, message):
    with pytest.raises(ConfigError, match=message):
        Aspects.of(given).owners(INPUTS)


def test_too_many_aspects_are_an_error():
    names = [f"activity:{i}" for i in range(MOST + 1)]
    with pytest.raises(ConfigError, match="at most 12 with inputs"):
        Aspects.of({name.replace(":", " "): [name] for name in names}).owners(names)


@pytest.mark.parametrize("text", [None, "a: [", "a: 1"])
def test_a_file_that_cannot_be_read_is_an_error(text, tmp_path):
    if text is not None:
        (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError):
        Aspects.of(tmp_path / "a.yaml")


def test_the_first_rule_that_holds_says_what_stands_in_place_of_the_level():
    values = pd.DataFrame(
        {
            "feature:usage_90d": [1234.5, 0.0, 0.0, 500.0, np.nan, np.nan],
            "account:employees": [1.0, 2.0, np.nan, 4.0, 5.0, 6.0],
            "segment:industry": ["steel", "steel", "steel", "retail", None, "steel"],
        }
    )
    found = Aspects.of(GIVEN).described(values)
    assert found["usage"].tolist() == ["Engaged (1,234)", "Idle", "steel", None, "Unknown", "steel"]
    assert found["affinity"].tolist() == [None] * 6


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"text": "x", "when": {"input": "feature:use", "below": 1}}, "is not among the values of accounts"),
        ({"text": "x", "when": {"input": "segment:industry", "below": 1}}, "an input of numbers"),
        ({"text": "{other}", "when": {"input": "segment:industry"}}, r"no text with \{value\}"),
        ({"text": "{value:,.0f}", "when": {"input": "segment:industry"}}, r"no text with \{value\}"),
    ],
)
def test_rules_that_cannot_be_are_an_error(rule, message):
    values = pd.DataFrame({"feature:usage": [1.0], "segment:industry": ["steel"]})
    with pytest.raises(ConfigError, match=message):
        Aspects.of({"a": {"describe": [rule]}}).described(values)
