"""What one file says of a whole circle of training and scoring: where things lie, what is tried, and when to stop."""

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hanjax.config import Config
from hanjax.errors import ConfigError
from hanjax.explain.aspects import Aspects
from hanjax.features import Source
from hanjax.labels import Rule, load_rule, rule_of
from hanjax.settings import build, check_names, check_types, read_settings, require, setting
from hanjax.tabular.settings import Tabular

_FILES = ("data", "opportunities", "labels", "gold", "registry", "aspects", "out")
_NESTED = ("features", "score", "monitor")


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """Where features are declared, and what they are made of.

    Raises:
        ConfigError: if a value cannot work.
    """

    file: str = setting(dataclasses.MISSING, "YAML file of features; see hanjax.features.load_features")
    sources: dict = setting(dataclasses.MISSING, "by name: file (Parquet, or a pattern), date and known_at, columns")
    store: str | None = setting(None, "folder that keeps values as they were computed, and verifies them")
    allow: tuple[str, ...] | None = setting(None, "names, aspects or owners of the features that count; none: all")
    deny: tuple[str, ...] = setting((), "names, aspects or owners of those that do not")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        for name, source in self.sources.items():
            require(isinstance(source, dict), f"features.sources.{name}", source, "a group of settings")
            check_names(source, ("file", "date", "known_at"), f"the settings of 'features.sources.{name}'")
            missing = [part for part in ("file", "date") if not source.get(part)]
            require(not missing, f"features.sources.{name}", source, " and ".join(missing) + " too")

    @property
    def tables(self) -> dict[str, Source]:
        """The sources, as a mart takes them."""
        return {name: Source(one["file"], one["date"], one.get("known_at")) for name, one in self.sources.items()}


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What is scored, as of when, and what is said of it.

    Raises:
        ConfigError: if a value cannot work.
    """

    as_of: str | None = setting(None, "a date: scores are those at the start of its period; none: the latest")
    candidates: Literal["open", "accounts"] = setting(
        "open", "with opportunities: those that are open then, or every account (in each of its units)"
    )
    reasons: bool = setting(True, "whether it is said why: aspects of a network, components of a tabular model")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """Whether data are held against those of the training before they are scored.

    Raises:
        ConfigError: if a value cannot work.
    """

    enabled: bool = setting(True, "whether a reference is kept, and looked at")
    alpha: float = setting(0.01, "in which share of reports drift may be an alarm by chance")
    least: float = setting(0.0, "a population stability index below which a distribution is a warning at most")
    resamples: int = setting(500, "how many times accounts are drawn, by which it is said what chance does")
    periods: int | None = setting(None, "last cut-offs of the training that later data are held against; none: all")
    on_drift: Literal["stop", "warn"] = setting("stop", "at an alarm nothing is scored, or it is said alone")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        require(0 < self.alpha < 1, "alpha", self.alpha, "a share between 0 and 1")
        require(self.resamples >= 20, "resamples", self.resamples, "at least 20")
        require(self.periods is None or self.periods >= 1, "periods", self.periods, "at least 1, or none")


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """The settings of ``train`` and ``score``; ``read_workflow`` reads them from a file.

    Raises:
        ConfigError: if a value cannot work.

    Example:
        >>> from hanjax.workflow import Workflow
        >>> workflow = Workflow(
        ...     name="propensity", problem="account propensity", owner="sales science", data="data",
        ...     models={"network": {"network": {"epochs": 5}}, "forest": {"algorithm": "random_forest"}},
        ... )
        >>> workflow.settings_of("network").train.epochs
        5
    """

    name: str = setting(dataclasses.MISSING, "of the model in the registry")
    problem: str = setting(dataclasses.MISSING, "what is predicted, such as account propensity; chooses the challenge")
    owner: str = setting(dataclasses.MISSING, "whom to ask")
    data: str = setting(dataclasses.MISSING, "folder of the tables")
    opportunities: str | None = setting(None, "file of opportunities; none: outcomes are accounts.converted_at")
    labels: dict | str | None = setting(None, "the rule by which opportunities become labels, or its file")
    audit: dict = dataclasses.field(
        default_factory=dict,
        metadata={"help": "stages that the audit takes for won and disengaged; none: those whose names say so"},
    )
    gold: str = setting("gold", "folder of the frozen labels")
    features: FeatureSettings | None = setting(None, "numbers of accounts: file, sources, store, allow, deny; or none")
    config: dict = dataclasses.field(
        default_factory=dict, metadata={"help": "settings of data, networks and training: panel, model, train"}
    )
    models: dict = setting(dataclasses.MISSING, "by name: network with its own settings, or algorithm with its options")
    measure: Literal["auc", "average_precision", "log_loss", "brier", "top", "all_tiers"] = setting(
        "auc", "by which the best model is chosen"
    )
    registry: str = setting("registry", "folder of the registry")
    aspects: dict | str | None = setting(None, "which inputs make up growth, usage and so on, or the file that says so")
    score: ScoreSettings = dataclasses.field(
        default_factory=ScoreSettings, metadata={"help": "what is scored: as_of, candidates, reasons"}
    )
    monitor: MonitorSettings = dataclasses.field(
        default_factory=MonitorSettings,
        metadata={"help": "drift before scoring: enabled, alpha, least, resamples, periods, on_drift"},
    )
    out: str = setting("out", "folder of everything else")

    def __post_init__(self) -> None:
        """Checks each value, and that all of them together can work."""
        check_types(self)
        for part in ("name", "problem", "owner"):
            require(bool(getattr(self, part).strip()), part, getattr(self, part), "a few words")
        require(len(self.models) > 0, "models", self.models, "one by name, at least")
        for name in self.models:
            self.tabular_of(name)
            self.settings_of(name)
        both = (self.opportunities is None) == (self.labels is None)
        require(both, "labels", self.labels, "a rule if there are opportunities, and none otherwise")
        check_names(self.audit, ("won", "disengaged"), "the settings of 'audit'")
        train = self.settings.train
        share = train.test_fold is not None or train.until is not None or (isinstance(train.test, float) and train.test)
        expected = "a share above 0, as held-out accounts are chosen by their ids and stay the same when there are more"
        require(bool(share), "test", train.test, expected)
        for name in self.models:
            own = self.settings_of(name).train
            same = all(getattr(own, part) == getattr(train, part) for part in ("test", "test_fold", "until"))
            require(same, f"models.{name}", self.models[name], "the same test, test_fold and until for all models")

    @property
    def settings(self) -> Config:
        """The settings that all models share."""
        return Config.from_dict(self.config)

    @property
    def rule(self) -> Rule | None:
        """The rule of the labels; None without opportunities."""
        if self.labels is None:
            return None
        return load_rule(self.labels) if isinstance(self.labels, str) else rule_of(self.labels)

    @property
    def aspects_of(self) -> Aspects | None:
        """The aspects; None for one of each kind of inputs."""
        return None if self.aspects is None else Aspects.of(self.aspects)

    def settings_of(self, model: str) -> Config:
        """The settings of one of the models, by its name."""
        own = self.models[model]
        return self.settings.replace(**own["network"] or {}) if "network" in own else self.settings

    def tabular_of(self, model: str) -> Tabular | None:
        """What tabular model it is; None for a network.

        Raises:
            ConfigError: if it is neither, or a setting cannot work.
        """
        own = self.models[model]
        where = f"models.{model}"
        one = isinstance(own, dict) and ("network" in own) != ("algorithm" in own)
        require(one, where, own, "either network, with its own settings, or algorithm, with options")
        if "algorithm" in own:
            return build(Tabular, where, own)
        check_names(own, ("network",), f"the settings of {where!r}")
        require(own["network"] is None or isinstance(own["network"], dict), where, own, "settings by name")
        return None

    def path(self, *parts: str) -> Path:
        """A path below ``out``."""
        return Path(self.out, *parts)


def read_workflow(path: str | Path) -> Workflow:
    """Reads a workflow from a file, in which paths are relative to the file.

    Args:
        path: YAML if its name ends in .yaml or .yml, TOML if in .toml, JSON otherwise; see ``Workflow``.

    Returns:
        The workflow.

    Raises:
        ConfigError: if there is no such file, it cannot be read, a setting is unknown or missing, or cannot work.

    Example:
        >>> from hanjax.workflow import read_workflow
        >>> _ = Path("workflow.yaml").write_text('''
        ... name: propensity
        ... problem: account propensity
        ... owner: sales science
        ... data: tables
        ... models: {network: {network: {epochs: 5}}}
        ... ''')
        >>> Path(read_workflow("workflow.yaml").data).name
        'tables'
    """
    folder = Path(path).absolute().parent
    stored = _plain(read_settings(path))
    fields = {one.name: one for one in dataclasses.fields(Workflow)}
    check_names(stored, fields, f"the settings of {path}")
    missing = [name for name in ("name", "problem", "owner", "data", "models") if name not in stored]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)}: expected a setting of this name, and there is none.")
    given = {name: value for name, value in stored.items() if name not in _NESTED}
    given = {name: getattr(Workflow, name, None) for name in ("out", "gold", "registry")} | given
    given |= _placed(folder, given, _FILES)
    for name, kind in (("score", ScoreSettings), ("monitor", MonitorSettings)):
        if name in stored:
            given[name] = build(kind, name, stored[name])
    if stored.get("features") is not None:
        given["features"] = _features(folder, stored["features"])
    return Workflow(**given)


def _features(folder: Path, stored: Any) -> FeatureSettings:
    """The settings of features, whose files are found from the folder."""
    require(isinstance(stored, dict), "features", stored, "a group of settings")
    missing = [name for name in ("file", "sources") if name not in stored]
    require(not missing, "features", stored, " and ".join(missing) + " too")
    found = stored | _placed(folder, stored, ("file", "store"))
    if isinstance(found["sources"], dict):
        found["sources"] = {
            name: one | _placed(folder, one, ("file",)) if isinstance(one, dict) else one
            for name, one in found["sources"].items()
        }
    return build(FeatureSettings, "features", found)


def _placed(folder: Path, given: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """The paths among some settings, found from a folder."""
    return {name: str(folder / path) for name in names if isinstance(path := given.get(name), str)}


def _plain(value: Any) -> Any:
    """What a file says, with the dates of YAML and TOML as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime.date) else value
