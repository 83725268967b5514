"""What a feature may be, what its version depends on, and features in YAML."""

import dataclasses
import linecache

import pytest

from hanjax.errors import ConfigError
from hanjax.features import Feature, load_features

BASE = {"name": "booked", "aspect": "booking", "source": "bookings", "expression": "sum(amount)"}


def total(rows):
    return rows["amount"].sum()


def other_total(rows):
    return rows["amount"].sum() + 0


@pytest.mark.parametrize(
    "changed, problem",
    [
        ({"name": "a b"}, "name: expected letters, digits and single underscores"),
        ({"name": "a__missing"}, "name: expected letters"),
        ({"name": "cutoff"}, "and none of account_id"),
        ({"aspect": " "}, "booked.aspect: expected a text"),
        ({"expression": None}, "booked: expected either an expression or a function, got []"),
        ({"function": total}, "booked: expected either an expression or a function"),
        ({"function": "sum"}, "function: expected a function or none"),
        ({"expression": None, "function": total, "how": "latest"}, "booked.how: expected window for a function"),
        ({"over_members": "mean"}, "booked.over_members: expected mean, max, sum or count for individuals"),
        ({"entity": "individual"}, "booked.over_members: expected"),
        ({"entity": "member"}, "entity: expected one of 'account', 'individual'"),
        ({"granularity": "hour"}, "granularity: expected one of"),
        ({"look_back": "soon"}, "booked.look_back: expected a text such as 90D"),
        ({"look_back": "0D"}, "booked.look_back: expected a text such as 90D"),
        ({"look_back": "30D", "granularity": "month"}, "booked.look_back: expected at least one whole month"),
        ({"look_back": "6D", "granularity": "week"}, "at least one whole week"),
        ({"fill": float("inf")}, "booked.fill: expected a finite number"),
    ],
)
def test_what_cannot_work_is_refused(changed, problem):
    with pytest.raises(ConfigError) as refused:
        Feature(**BASE | changed)
    assert problem in str(refused.value)


def test_the_version_is_that_of_the_definition():
    base = Feature(**BASE)
    same = {"name": "x", "aspect": "usage", "owner": "me", "description": "text", "experimental": True}
    for part, value in same.items():
        assert dataclasses.replace(base, **{part: value}).version == base.version
    other = {"source": "x", "expression": "sum(amount) ", "granularity": "week", "look_back": "8D", "how": "latest"}
    versions = {dataclasses.replace(base, **{part: value}).version for part, value in (other | {"fill": 0}).items()}
    functions = [dataclasses.replace(base, expression=None, function=one) for one in (total, other_total)]
    assert len({base.version, *versions, *(one.version for one in functions)}) == 9
    assert functions[0].version == Feature(**BASE | {"expression": None, "function": total}).version
    assert base.version == "1421f419c0d607dd"  # on every machine


def test_a_function_without_source_code_has_no_version(monkeypatch):
    scope = {}
    exec("def made(rows): return 1", scope)
    monkeypatch.setitem(linecache.cache, "<string>", (10, None, ["def other(rows): return 2\n"], "<string>"))
    with pytest.raises(ConfigError, match="its source code cannot be read"):
        Feature(**BASE | {"expression": None, "function": scope["made"]})


def test_features_in_yaml(tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text(
        "features:\n"
        "  - {name: booked, aspect: booking, source: bookings, expression: sum(amount), look_back: 90D, fill: 0}\n"
        "  - name: social\n    aspect: social selling\n    source: connections\n    entity: individual\n"
        "    expression: max(connections)\n    over_members: mean\n    owner: growth team\n"
    )
    booked, social = load_features(path)
    assert booked == Feature(**BASE, look_back="90D", fill=0) and social.over_members == "mean"
    for text, problem in [
        ("features: [", "not valid YAML"),
        ("- {name: a}", "expected a list of features under 'features'"),
        ("features:\n- {name: a, aspect: usage}", "feature 1: expected its source"),
        ("features:\n- {name: a, aspect: usage, source: s, expresion: x}", "did you mean 'expression'"),
        ("features:\n- {name: a, aspect: usage, source: s, function: f}", "function: expected a function or none"),
        ("features:\n- none", "feature 1: expected a group of settings"),
        ("features:\n" + "- {name: a, aspect: usage, source: s, expression: x}\n" * 2, "another name for each feature"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError) as refused:
            load_features(path)
        assert problem in str(refused.value)
    with pytest.raises(ConfigError, match="there is no such file"):
        load_features(tmp_path / "nowhere.yaml")
