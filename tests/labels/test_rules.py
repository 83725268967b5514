"""Rules: what they refuse, and that they come back from files as they were."""

import json

import pytest

from hanjax.errors import ConfigError
from hanjax.labels import AccountPropensity, Rule, UpsellPropensity, load_rule, rule_of

ACCOUNT = AccountPropensity(
    name="aps",
    unit=("region",),
    segments=("industry",),
    won=("Won",),
    disengaged=("Lost", "Gone"),
    open=("Talking",),
    columns={"created_at": "engage_date"},
    kind_names={"New Business": "new"},
    levels={"region": ("EMEA", "APAC")},
    timezone="Europe/Berlin",
    lead=7,
    period="W-SAT",
    conflicts="drop",
    seasons={"mid-year": "06-30", "year-end": "12-31"},
    snap=True,
    strays="drop",
    retries="drop",
    retry_within=90,
    wait=True,
)
UPSELL = UpsellPropensity(scenarios=("renewal",), least_increase=0.1, add_on_amount="total", churn_within=None)


@pytest.mark.parametrize("rule", [ACCOUNT, UPSELL, AccountPropensity(), UpsellPropensity()], ids=lambda rule: rule.name)
@pytest.mark.parametrize("name", ["rule.yaml", "rule.yml", "rule.json"])
def test_a_rule_comes_back_from_its_file(rule: Rule, name, tmp_path):
    rule.write(tmp_path / name)
    assert load_rule(tmp_path / name) == rule
    assert rule_of(json.loads(json.dumps(rule.to_dict()))) == rule


def test_a_rule_is_read_from_yaml_and_toml_as_somebody_writes_it(tmp_path):
    (tmp_path / "aps.yaml").write_text(
        "rule: AccountPropensity\nname: aps\nunit: [region]\nwon: [Won]\ndisengaged: [Lost]\n"
        "columns: {stage: deal_stage}\nseasons: {mid-year: 06-30, year-end: 12-31}\nlevels:\n  region: [EMEA, APAC]\n"
    )
    rule = load_rule(tmp_path / "aps.yaml")
    assert rule.columns == (("stage", "deal_stage"),) and rule.seasons == (("mid-year", "06-30"), ("year-end", "12-31"))
    assert rule.levels == (("region", ("EMEA", "APAC")),)
    (tmp_path / "ups.toml").write_text(
        'rule = "UpsellPropensity"\nchurn_within = 30\n[columns]\nstage = "deal_stage"\n'
    )
    assert load_rule(tmp_path / "ups.toml") == UpsellPropensity(churn_within=30, columns=(("stage", "deal_stage"),))


def test_pairs_and_mappings_are_the_same():
    assert AccountPropensity(columns={"stage": "s"}) == AccountPropensity(columns=(("stage", "s"),))
    assert AccountPropensity().replace(lead=3).lead == 3
    assert hash(ACCOUNT) == hash(rule_of(ACCOUNT.to_dict()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"won": ("closed won",), "disengaged": ("closed won",)}, "won, disengaged, open: expected each stage in one"),
        ({"won": ("a",), "disengaged": ("b",), "open": ("b",)}, r"in one of them, once, got \['b'\]"),
        ({"won": ()}, "won: expected at least one stage"),
        ({"unit": ("amount",)}, r"unit, segments: .* got \['amount'\]"),
        ({"unit": ("region",), "segments": ("region",)}, "unit, segments"),
        ({"unit": ("label",)}, "unit, segments"),
        ({"columns": {"stag": "x"}}, "'stag' is not among the columns of opportunities; did you mean 'stage'"),
        ({"kind_names": {"Upsell": "addon"}}, "'addon' is not among the kinds .* did you mean 'add-on'"),
        ({"levels": {"product": ("A",)}}, "'product' is not among the columns in unit and segments"),
        ({"columns": (("stage", "x"), ("stage", "y"))}, "columns: expected each name once"),
        ({"timezone": "Mars/Base"}, "no known time zone"),
        ({"lead": -1}, "lead: expected at least 0 days"),
        ({"seasons": {"a": "6-30"}}, "seasons: expected different days"),
        ({"seasons": {"a": "02-29"}}, "seasons"),
        ({"seasons": {"a": "06-30", "b": "06-30"}}, "seasons"),
        ({"snap": True}, "snap: expected False"),
        ({"kinds": ("new", "old")}, "'old' is not among the kinds"),
        ({"retry_within": -1}, "retry_within"),
        ({"retries": "never"}, "retries: expected one of 'flip', 'drop', 'keep'"),
        ({"retries": "keep", "wait": True}, "wait: expected False"),
        ({"unit": "region"}, "unit: expected a list"),
        ({"open": (False,)}, "open: expected a str"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        AccountPropensity(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenarios": ("new",)}, "'new' is not among the scenarios"),
        ({"scenarios": ()}, "at least one kind"),
        ({"least_increase": -0.1}, "least_increase"),
        ({"churn_within": -1}, "churn_within"),
    ],
)
def test_settings_of_upsells_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        UpsellPropensity(**settings)


def test_files_that_are_no_rules_are_refused(tmp_path):
    path = tmp_path / "rule.yaml"
    for text, message in (
        ("rule: AccountPropensity\nretry: flip\n", "'retry' is not among the settings of AccountPropensity"),
        ("rule: AcountPropensity\n", "did you mean 'AccountPropensity'"),
        ("name: aps\n", "rule: expected one of AccountPropensity, UpsellPropensity"),
        ("- a\n", "expected a group of settings"),
        ("a: [", "not valid YAML"),
        ("rule: AccountPropensity\n7: x\n", "'7' is not among the settings"),
        ("rule: UpsellPropensity\nretries: flip\n", "'retries' is not among"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_rule(path)
    with pytest.raises(ConfigError, match="there is no such file"):
        load_rule(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is not among the settings"):
        AccountPropensity().replace(led=3)
