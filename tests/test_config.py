"""Settings: every value is checked, and they survive JSON, TOML and the command line."""

import argparse
import dataclasses
import json

import numpy as np
import pytest

from hanjax.config import Config, ModelConfig, PanelConfig, TrainConfig
from hanjax.errors import ConfigError
from hanjax.options import add_options, given
from hanjax.simulation import MarketConfig

PARTS = [PanelConfig, ModelConfig, TrainConfig]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (PanelConfig, "window", 0),
        (PanelConfig, "window", 2.5),
        (PanelConfig, "window", "4"),
        (PanelConfig, "window", True),
        (PanelConfig, "window", None),
        (PanelConfig, "max_activities", 0),
        (PanelConfig, "max_members", -1),
        (PanelConfig, "window_kind", "Calendar"),
        (PanelConfig, "keep", "lsat"),
        (PanelConfig, "membership", "all"),
        (PanelConfig, "strays", "ignore"),
        (PanelConfig, "horizons", ()),
        (PanelConfig, "horizons", (0, 1)),
        (PanelConfig, "horizons", (2, 1)),
        (PanelConfig, "horizons", (1, 1)),
        (PanelConfig, "horizons", 4),
        (PanelConfig, "horizons", ("1",)),
        (PanelConfig, "account_numbers", ("employees",)),
        (PanelConfig, "columns", (("a", "b", "c"),)),
        (PanelConfig, "columns", ("ab",)),
        (PanelConfig, "exclude", "role"),
        (PanelConfig, "volumes", 1),
        (PanelConfig, "period", 7),
        (ModelConfig, "aggregator", "median"),
        (ModelConfig, "activity_width", 0),
        (ModelConfig, "window_width", 0),
        (ModelConfig, "member_width", 0),
        (ModelConfig, "category_width", 0),
        (ModelConfig, "activity_embedding", 0),
        (TrainConfig, "test", -0.1),
        (TrainConfig, "test", 1.0),
        (TrainConfig, "test", -1),
        (TrainConfig, "test", "half"),
        (TrainConfig, "validation", 1.0),
        (TrainConfig, "validation", -0.1),
        (TrainConfig, "epochs", 0),
        (TrainConfig, "epochs", 2.5),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "learning_rate", 0.0),
        (TrainConfig, "learning_rate", float("nan")),
        (TrainConfig, "learning_rate", float("inf")),
        (TrainConfig, "positive_weight", 0.0),
        (TrainConfig, "patience", 0),
        (TrainConfig, "gradient_clip", 0.0),
        (TrainConfig, "ema_epochs", -1.0),
        (TrainConfig, "seed", -1),
        (TrainConfig, "seed", 2**32),
    ],
)
def test_a_value_that_cannot_work_is_refused_however_it_comes(kind, name, value):
    with pytest.raises(ConfigError, match=f"^{name}: expected .*, got "):
        kind(**{name: value})
    with pytest.raises(ConfigError, match=f"^{name}: expected .*, got "):
        Config().replace(**{name: value})


def test_numbers_of_other_kinds_become_plain_ones():
    config = Config().replace(window=np.int64(3), learning_rate=np.float32(0.5), test=np.int32(7), validation=0)
    assert type(config.panel.window) is int and type(config.train.learning_rate) is float
    assert type(config.train.test) is int and type(config.train.validation) is float
    assert config == Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert PanelConfig(horizons=[1, 2]) == PanelConfig(horizons=(1, 2))
    assert hash(PanelConfig(columns=[["timestamp", "when"]]))


def changed():
    """Settings of which each differs from its default."""
    return Config().replace(
        period="M", timezone="Europe/Berlin", window=3, window_kind="active", max_activities=5, keep="first",
        max_members=7, membership="active", horizons=(1, 4), opt_out_activity="bye", account_numbers=(), volumes=True,
        expand_counts=True, exclude=("a", "b"), columns=(("timestamp", "when"), ("activity", "what")), strays="drop",
        aggregator="maximum", activity_width=5, window_width=6, member_width=7, category_width=8, activity_embedding=9,
        test=12, test_fold=3, validation=0.25, until="2024-01-01", epochs=2, batch_size=3, learning_rate=0.5,
        positive_weight=2.0, patience=None, calibration="platt", gradient_clip=1.0, seed=4,
        member_numbers=("activities",), gaps=True, window_ages=True, account_head=True, period_input="both",
        count_scale="raw", time="gated", bidirectional=True, head_width=10, dropout=0.1, member_dropout=0.2,
        loss="individual", weight_decay=0.01, ensemble=2, cross_validation=True, ema_epochs=2.0, split_seed=5,
        segments=("region", "region:industry"),
    )  # fmt: skip


@pytest.mark.parametrize("preset", [Config.paper, Config.recommended])
def test_presets_differ_from_the_defaults_and_survive_json(preset):
    config = preset()
    assert config != Config() and Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_data_hold_what_the_model_reads():
    with pytest.raises(ConfigError, match="volumes: expected True, because of period_input='both', got False"):
        Config().replace(period_input="both")
    with pytest.raises(ConfigError, match="gaps: expected True, because of time='gated', got False"):
        Config().replace(time="gated")


def test_settings_survive_json(tmp_path):
    config, default = changed(), Config()
    for part in ("panel", "model", "train"):
        for field in dataclasses.fields(getattr(config, part)):
            assert getattr(getattr(config, part), field.name) != getattr(getattr(default, part), field.name), field.name
    config.write(tmp_path / "settings.json")
    assert Config.read(tmp_path / "settings.json") == config
    assert Config.from_dict({}) == default and Config.from_dict({"train": {"epochs": 3}}) == Config().replace(epochs=3)


def test_settings_are_read_from_toml(tmp_path):
    (tmp_path / "settings.toml").write_text(
        '[panel]\nperiod = "M"\nhorizons = [1, 4]\ncolumns = [["timestamp", "when"]]\n[train]\nlearning_rate = 1\n'
    )
    expected = Config().replace(period="M", horizons=(1, 4), columns=(("timestamp", "when"),), learning_rate=1.0)
    assert Config.read(tmp_path / "settings.toml") == expected


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"pannel": {}}, "'pannel' is not among the groups of settings; did you mean 'panel'"),
        ({"window": 4}, "'window' is not among the groups of settings; there are model, panel, train"),
        ({"panel": {"columns": {"activity": "what"}}}, "columns: expected a list of pairs, got "),
        ({"panel": {"perod": "M"}}, "'perod' is not among the settings of 'panel'; did you mean 'period'"),
        (
            {"model": {"zzz": 1}},
            "'zzz' is not among the settings of 'model'; there are account_head, activity_embedding, ",
        ),
        ({"train": {"epochs": "3"}}, "epochs: expected an int, got '3'"),
        ({"train": {"test": None}}, "test: expected a float or int, got None"),
        ({"train": 3}, "'train': expected a group of settings, got 3"),
    ],
)
def test_unknown_names_are_refused_with_a_suggestion(stored, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(stored)


def test_replacing_keeps_the_rest_and_knows_the_names():
    config = changed().replace(epochs=9, period="D")
    assert config.train == dataclasses.replace(changed().train, epochs=9)
    assert config.panel == dataclasses.replace(changed().panel, period="D") and config.model == changed().model
    with pytest.raises(ConfigError, match="'epoch' is not among the settings; did you mean 'epochs'"):
        config.replace(epoch=3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", None, "there is no such file"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[1]", r"a.json: expected a group of settings, got \[1\]"),
        ("a.toml", "x = ", "not valid TOML"),
        ("a.json", '{"train": {"epochs": 0}}', "epochs: expected"),
    ],
)
def test_files_that_hold_no_settings_are_refused(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        Config.read(tmp_path / name)


def test_the_papers_settings():
    paper = Config.paper()
    assert (paper.panel.window, paper.panel.max_activities, paper.panel.max_members) == (4, 9, 25)
    assert paper.panel.account_numbers == () and paper.panel.period == "W-SAT"
    assert (paper.model.activity_width, paper.model.window_width, paper.model.member_width) == (40, 20, 20)
    assert (paper.train.positive_weight, paper.train.epochs, paper.train.learning_rate) == (500.0, 20, 0.01)
    assert round(paper.train.test * 2516) == 381 and paper.train.validation == 0 and paper.train.patience is None


def parse(kind, *arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, kind, "settings")
    return given(parser.parse_args(list(arguments)), kind)


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        (PanelConfig, [], {}),
        (PanelConfig, ["--window", "3"], {"window": 3}),
        (PanelConfig, ["--horizons", "1,4,13"], {"horizons": (1, 4, 13)}),
        (PanelConfig, ["--exclude", "a, b,"], {"exclude": ("a", "b")}),
        (PanelConfig, ["--exclude", "none", "--account-numbers", ""], {"exclude": (), "account_numbers": ()}),
        (PanelConfig, ["--columns", "timestamp=when,activity=a=b"],
         {"columns": (("timestamp", "when"), ("activity", "a=b"))}),
        (PanelConfig, ["--keep", "first", "--volumes"], {"keep": "first", "volumes": True}),
        (PanelConfig, ["--no-volumes"], {"volumes": False}),
        (PanelConfig, ["--opt-out-activity", "none"], {"opt_out_activity": None}),
        (PanelConfig, ["--opt-out-activity", "unsubscribe email"], {"opt_out_activity": "unsubscribe email"}),
        (TrainConfig, ["--test", "381"], {"test": 381}),
        (TrainConfig, ["--test", "0.2"], {"test": 0.2}),
        (TrainConfig, ["--patience", "None", "--positive-weight", "500"],
         {"patience": None, "positive_weight": 500.0}),
        (ModelConfig, ["--activity-embedding", "8", "--aggregator", "maximum"],
         {"activity_embedding": 8, "aggregator": "maximum"}),
        (MarketConfig, ["--accounts", "20", "--conversions", "0.3"], {"accounts": 20, "conversions": 0.3}),
    ],
)  # fmt: skip
def test_options_say_what_fields_are(kind, arguments, expected):
    found = parse(kind, *arguments)
    assert found == expected and {n: type(v) for n, v in found.items()} == {n: type(v) for n, v in expected.items()}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (PanelConfig, ["--window", "three"], "argument --window: 'three' is not int"),
        (PanelConfig, ["--window", "none"], "'none' is not int"),
        (PanelConfig, ["--horizons", "1,b"], "'1,b' is not"),
        (PanelConfig, ["--columns", "timestamp"], "'timestamp' is not"),
        (PanelConfig, ["--keep", "middle"], "invalid choice: 'middle'"),
        (TrainConfig, ["--test", "most"], "'most' is not float"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(kind, arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        parse(kind, *arguments)
    assert left.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("kind", [*PARTS, MarketConfig])
def test_every_setting_has_an_option_and_says_what_it_is(kind, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, kind, "settings")
    text = parser.format_help()
    for field in dataclasses.fields(kind):
        assert f"--{field.name.replace('_', '-')}" in text and field.metadata["help"]
    assert len({f.name for part in PARTS for f in dataclasses.fields(part)}) == sum(
        len(dataclasses.fields(part)) for part in PARTS
    )  # one name, one setting
