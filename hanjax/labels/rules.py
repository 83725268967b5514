"""What counts as a success and as a failure: one frozen rule a problem, written in Python, YAML, JSON or TOML."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from hanjax.data.times import check_timezone
from hanjax.settings import check_names, check_types, read_settings, require, setting

KINDS = ("new", "add-on", "renewal")
"""What an opportunity can be about: a first sale, more of what is under contract, or its continuation."""

COLUMNS = (
    "opportunity_id",
    "account_id",
    "created_at",
    "closed_at",
    "stage",
    "amount",
    "kind",
    "contract_start",
    "contract_end",
)
"""The standard columns of opportunities."""

_MAPPINGS = ("columns", "kind_names", "levels", "seasons")
_MADE = (
    "as_of",
    "label",
    "known_at",
    "rule",
    "season",
    "snapshot",
    "opportunity_ids",
    "row",
    "verdict",
    "by",
    "reason",
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What all rules have in common; use ``AccountPropensity`` or ``UpsellPropensity``.

    Mappings may be given as dictionaries or as pairs, and are kept as pairs.

    Raises:
        ConfigError: if a value cannot work.
    """

    needed: ClassVar[tuple[str, ...]] = ("opportunity_id", "account_id", "created_at", "closed_at", "stage")

    name: str = setting("", "what the labels are called; none: as the kind of the rule")
    unit: tuple[str, ...] = setting((), "columns that make a unit together with account_id")
    segments: tuple[str, ...] = setting((), "other columns that labels take over from their first opportunity")
    won: tuple[str, ...] = setting(("closed won",), "stages that are a success")
    disengaged: tuple[str, ...] = setting(("closed disengaged",), "stages that are a failure")
    open: tuple[str, ...] = setting((), "stages without an outcome yet; none: every other stage")
    columns: tuple[tuple[str, str], ...] = setting((), "other names of columns, standard: theirs")
    kind_names: tuple[tuple[str, str], ...] = setting((), f"other names of kinds, theirs: one of {', '.join(KINDS)}")
    levels: tuple[tuple[str, tuple[str, ...]], ...] = setting(
        (), "the values that columns of the unit or segments may have, column: values; none: any"
    )
    timezone: str = setting("UTC", "time zone of naive times, and of days, periods and seasons")
    lead: int = setting(0, "days by which features end before the opportunity was created")
    period: str = setting("D", "a unit has one label in each of these: D, W-SAT, M, Q, or days: 10D")
    conflicts: Literal["won", "latest", "drop"] = setting(
        "won",
        "opportunities of one unit and period that end differently: a success decides, the last to be closed decides, "
        "or they are left out",
    )
    seasons: tuple[tuple[str, str], ...] = setting(
        (), "days of the year on which accounts are scored, name: MM-DD; an opportunity is of the last one before it"
    )
    snap: bool = setting(False, "one label for each unit and season, as of the season's day")
    strays: Literal["error", "drop"] = setting("error", "rows that cannot be: an error, or left out with the reason")

    def __post_init__(self) -> None:
        """Checks each value."""
        for name in _MAPPINGS:
            if isinstance(value := getattr(self, name), Mapping):
                object.__setattr__(self, name, tuple(value.items()))
        check_types(self)
        if not self.name:
            object.__setattr__(self, "name", type(self).__name__)
        require(bool(self.won), "won", self.won, "at least one stage")
        stages = (*self.won, *self.disengaged, *self.open)
        twice = sorted({stage for stage in stages if stages.count(stage) > 1})
        require(not twice, "won, disengaged, open", twice, "each stage in one of them, once")
        own = (*self.unit, *self.segments)
        taken = sorted({name for name in own if own.count(name) > 1 or name in (*COLUMNS, *_MADE)})
        require(not taken, "unit, segments", taken, "columns beside the standard ones, each once")
        check_names(dict(self.columns), (*COLUMNS, *own), "the columns of opportunities")
        check_names(dict(self.kind_names).values(), KINDS, "the kinds of opportunities")
        check_names(dict(self.levels), own, "the columns in unit and segments")
        for name in _MAPPINGS:
            keys = [key for key, _ in getattr(self, name)]
            require(len(set(keys)) == len(keys), name, keys, "each name once")
        check_timezone(self.timezone)
        require(self.lead >= 0, "lead", self.lead, "at least 0 days")
        days = [day for _, day in self.seasons]
        require(
            all(map(_is_day, days)) and len(set(days)) == len(days), "seasons", days, "different days such as 06-30"
        )
        require(not self.snap or bool(days), "snap", self.snap, "False, as there are no seasons")

    @property
    def kinds_of_labels(self) -> tuple[str, ...]:
        """The kinds of opportunities that get a label; empty for all."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that YAML and JSON can hold, which ``rule_of`` reads."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain |= {name: dict(plain[name]) for name in _MAPPINGS}
        return {"rule": type(self).__name__, **json.loads(json.dumps(plain))}

    def write(self, path: str | Path) -> None:
        """Writes the rule.

        Args:
            path: the file; YAML if its name ends in .yaml or .yml, JSON otherwise.
        """
        stored, path = self.to_dict(), Path(path)
        if path.suffix in (".yaml", ".yml"):
            import yaml

            path.write_text(yaml.safe_dump(stored, sort_keys=False, allow_unicode=True), encoding="utf-8")
        else:
            path.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")

    def replace(self, **settings: Any) -> Self:
        """The same rule but for some settings.

        Raises:
            ConfigError: if there is no such setting, or its value cannot work.
        """
        check_names(settings, [f.name for f in dataclasses.fields(self)], f"the settings of {type(self).__name__}")
        return dataclasses.replace(self, **settings)


@dataclass(frozen=True, kw_only=True)
class AccountPropensity(Rule):
    """Who buys: 1 where an opportunity was won, 0 where it was disengaged, nothing while it is open.

    Only an opportunity makes a label: an account without one never becomes a negative. Features end when the
    opportunity is created. An attempt that fails, while a later one of the same unit is won soon enough, says that the
    unit was worth another try; ``retries`` says what becomes of it.

    With ``retries`` other than "keep", a failure can turn into a success until ``retry_within`` has passed. With
    ``wait``, such an attempt has a label, flipped or not, only from then on, so that ``known_at`` tells nothing of
    what comes later; without, a failure is known when it is closed, and a flipped one when the later one is won.

    Raises:
        ConfigError: if a value cannot work.

    Example:
        >>> from hanjax.labels import AccountPropensity
        >>> rule = AccountPropensity(won=("Won",), disengaged=("Lost",), columns={"stage": "deal_stage"})
        >>> rule.unit, rule.retries, rule.to_dict()["columns"]
        (('region',), 'flip', {'stage': 'deal_stage'})
    """

    unit: tuple[str, ...] = setting(("region",), "columns that make a unit together with account_id")
    kinds: tuple[str, ...] = setting(("new",), "kinds of opportunities that count, if they have kinds; none: all")
    retries: Literal["flip", "drop", "keep"] = setting(
        "flip", "a disengaged attempt of a unit that is won later: becomes a success, is left out, or stays a failure"
    )
    retry_within: int = setting(365, "days from the attempt's end to that of the later one that is won, at most")
    wait: bool = setting(False, "a disengaged attempt has a label only when no later one can turn it any more")

    def __post_init__(self) -> None:
        """Checks each value."""
        super().__post_init__()
        check_names(self.kinds, KINDS, "the kinds of opportunities")
        require(self.retry_within >= 0, "retry_within", self.retry_within, "at least 0 days")
        require(not (self.wait and self.retries == "keep"), "wait", self.wait, "False, because of retries='keep'")

    @property
    def kinds_of_labels(self) -> tuple[str, ...]:
        """The kinds of opportunities that get a label; empty for all."""
        return self.kinds


@dataclass(frozen=True, kw_only=True)
class UpsellPropensity(Rule):
    """Which customers buy more: 1 where an upsell increases the sale and the contract goes on, 0 otherwise.

    What a unit paid before is the amount of its latest contract that was won before the upsell was created, and of the
    add-ons since. A renewal is a success if it is larger than that by ``least_increase`` or more, and starts at most
    ``churn_within`` days after the contract that it renews has ended. An add-on is one if it increases the amount as
    much, and another contract of the unit reaches beyond its end and starts at most ``churn_within`` days after it;
    that can be said only once these days have been observed. A unit without an earlier contract is no customer yet: its
    opportunities get no label, however they end.

    Raises:
        ConfigError: if a value cannot work.

    Example:
        >>> from hanjax.labels import UpsellPropensity
        >>> UpsellPropensity(least_increase=0.05).scenarios
        ('add-on', 'renewal')
    """

    needed: ClassVar[tuple[str, ...]] = (*Rule.needed, "kind", "amount", "contract_start", "contract_end")

    unit: tuple[str, ...] = setting(("product",), "columns that make a unit together with account_id")
    scenarios: tuple[str, ...] = setting(("add-on", "renewal"), "kinds of opportunities that get a label")
    least_increase: float = setting(0.0, "share of the amount before by which a success increases it at least")
    add_on_amount: Literal["added", "total"] = setting(
        "added", "the amount of an add-on: what it adds to the contract, or all that is paid from then on"
    )
    churn_within: int | None = setting(
        90, "days after a contract's end within which the next one starts, or the unit has churned; none: not looked at"
    )

    def __post_init__(self) -> None:
        """Checks each value."""
        super().__post_init__()
        check_names(self.scenarios, KINDS[1:], "the scenarios")
        require(bool(self.scenarios), "scenarios", self.scenarios, "at least one kind")
        require(0 <= self.least_increase < float("inf"), "least_increase", self.least_increase, "at least 0")
        churn = self.churn_within
        require(churn is None or churn >= 0, "churn_within", churn, "at least 0 days, or none")

    @property
    def kinds_of_labels(self) -> tuple[str, ...]:
        """The kinds of opportunities that get a label."""
        return self.scenarios


RULES: dict[str, type[Rule]] = {kind.__name__: kind for kind in (AccountPropensity, UpsellPropensity)}
"""The rules that there are, by name."""


def rule_of(stored: Mapping[str, Any]) -> Rule:
    """The rule in a dictionary, such as ``Rule.to_dict`` gives; defaults where it is silent.

    Args:
        stored: ``rule``, the name of its kind, and its settings.

    Returns:
        The rule.

    Raises:
        ConfigError: if there is no such kind or setting, or a value cannot work.

    Example:
        >>> from hanjax.labels import rule_of
        >>> rule_of({"rule": "AccountPropensity", "retries": "drop"}).retries
        'drop'
    """
    settings = dict(stored)
    kind = settings.pop("rule", None)
    require(isinstance(kind, str), "rule", kind, f"one of {', '.join(RULES)}")
    check_names([kind], RULES, "the rules")
    check_names(map(str, settings), [f.name for f in dataclasses.fields(RULES[kind])], f"the settings of {kind}")
    return RULES[kind](**settings)


def load_rule(path: str | Path) -> Rule:
    """Reads a rule.

    Args:
        path: YAML if its name ends in .yaml or .yml, TOML if in .toml, JSON otherwise.

    Returns:
        The rule.

    Raises:
        ConfigError: if there is no such file, it cannot be read, or a setting is wrong.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from hanjax.labels import load_rule
        >>> path = Path(tempfile.mkdtemp()) / "rule.yaml"
        >>> _ = path.write_text("rule: UpsellPropensity\\nscenarios: [renewal]\\n")
        >>> load_rule(path).scenarios
        ('renewal',)
    """
    return rule_of(read_settings(path))


def _is_day(text: str) -> bool:
    """Whether it is a day that every year has."""
    try:
        return len(text) == 5 and date.fromisoformat(f"2001-{text}") is not None
    except ValueError:
        return False
