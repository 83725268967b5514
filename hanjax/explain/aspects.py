"""Aspects: which inputs of a model make up growth, affinity, usage and so on, and what is said of them in words."""

import difflib
import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax.errors import ConfigError
from hanjax.explain.tables import START
from hanjax.settings import check_names, check_types, require, setting

MOST = 12
"""Aspects with inputs, at most: the cost doubles with each."""
REST = "other"
BY_KIND = {
    "affinity": [
        *("activity:*", "number:active_individuals", "number:activities", "number:*, * back"),
        *("member_number:periods_since_activity", "member_number:active_periods", "member_number:activities"),
    ],
    "growth": ["account:*", "feature:*"],
    "people": ["member:*", "member_number:periods_since_arrival"],
    "history": ["number:periods_observed", "number:log_periods_observed", "number:individuals_so_far"],
    "segment": ["segment:*"],
}
"""The aspects of those who name none: what was done, also as far as it was counted; what is known of the account, of
its people, and of how long it has been watched."""
RESERVED = (
    *("account_id", "name", "cutoff", "score", "tier", "probability", "log_odds", "baseline", "starting_point"),
    *("score_before", "changed", "changed_by", "sentence", "action", START),
)
"""Columns of the result beside the aspects, and what stands beside them in its rows."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a value has to be; all that is given has to hold, and a missing value fulfills none but ``missing``.

    Args:
        input: name of the input, or "segment:" and the name of a text column of the accounts.
        at_least: the least number.
        below: a number that it stays below.
        equals: the texts of which it is one.
        missing: True if there must be no value, False if there must be one.
    """

    input: str = setting("", "name of an input")
    at_least: float | None = setting(None, "the least number")
    below: float | None = setting(None, "a number that it stays below")
    equals: tuple[str, ...] = setting((), "the texts of which it is one")
    missing: bool = setting(False, "whether there must be no value")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)

    def holds(self, values: pd.DataFrame) -> Bool[np.ndarray, " n"]:
        """For which rows it holds.

        Args:
            values: a column for each input.

        Raises:
            ConfigError: if there is no such column, or it holds texts where numbers are compared.
        """
        check_names([self.input], values.columns, "the values of accounts")
        column = values[self.input]
        found = column.isna().to_numpy() == self.missing
        if self.at_least is not None or self.below is not None:
            texts = not pd.api.types.is_numeric_dtype(column)
            require(not texts, "at_least, below", self.input, "an input of numbers")
            numbers = column.to_numpy(float)
            found &= numbers >= (-np.inf if self.at_least is None else self.at_least)
            found &= numbers < (np.inf if self.below is None else self.below)
        return found & column.astype(str).isin(self.equals).to_numpy() if self.equals else found


@dataclass(frozen=True)
class Rule:
    """A text that is said of an aspect where conditions hold.

    Args:
        text: what to say; ``{value}`` is the value of the first condition's input, ``{value:,.0f}`` with commas.
        when: the conditions, all of which have to hold.
    """

    text: str
    when: tuple[Condition, ...]

    @classmethod
    def of(cls, given: Any) -> "Rule":
        """A rule from a mapping of a file: ``text``, and ``when``, one condition or a list of them."""
        if isinstance(given, Rule):
            return given
        right = isinstance(given, Mapping) and set(given) == {"text", "when"}
        require(right, "describe", given, "rules with a text and when")
        several = [given["when"]] if isinstance(given["when"], Mapping | Condition) else given["when"]
        require(isinstance(several, list | tuple) and len(several) > 0, "when", several, "a condition, or several")
        conditions = []
        for one in several:
            require(isinstance(one, Mapping | Condition), "when", one, "a condition: an input and what it has to be")
            if isinstance(one, Mapping):
                check_names(one, Condition.__dataclass_fields__, "what a condition says")
                equals = one.get("equals", ())
                one = Condition(**{**one, "equals": (str(equals),) if np.isscalar(equals) else tuple(map(str, equals))})
            conditions.append(one)
        return cls(str(given["text"]), tuple(conditions))

    def says(self, values: pd.Series) -> str:
        """The text, with the value in it.

        Args:
            values: of one account.

        Raises:
            ConfigError: if the text names something else, or a format that the value has not.
        """
        try:
            return self.text.format(value=values[self.when[0].input])
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ConfigError(f"describe: {self.text!r} is no text with {{value}} in it ({error}).") from None


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """A group of inputs that are told apart together.

    Args:
        name: such as "usage".
        inputs: names of inputs, or patterns of them: "activity:* email", "feature:usage_*".
        describe: rules, the first that holds says what stands in place of the level.
    """

    name: str
    inputs: tuple[str, ...] = ()
    describe: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Aspects:
    """Which inputs make up which aspect; every input belongs to exactly one.

    Args:
        aspects: in the order in which they are shown.
        rest: name of the aspect of all inputs that none of them names.

    Raises:
        ConfigError: if there is none, or two have one name.

    Example:
        >>> from hanjax.explain.aspects import Aspects
        >>> aspects = Aspects.of({"affinity": ["activity:*"], "company": ["account:*"]})
        >>> [aspect.name for aspect in aspects.aspects]
        ['affinity', 'company']
        >>> aspects.owners(["activity:open email", "account:employees", "number:periods_observed"])
        {'affinity': ['activity:open email'], 'company': ['account:employees'], 'other': ['number:periods_observed']}
    """

    aspects: tuple[Aspect, ...]
    rest: str = REST

    def __post_init__(self) -> None:
        """Checks the names."""
        names = [aspect.name for aspect in self.aspects]
        require(len(names) > 0, "aspects", names, "one at least")
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, "aspects", twice, "each name once")
        wrong = [name for name in (*names, self.rest) if not name or name in RESERVED or name.endswith("_level")]
        require(not wrong, "aspects", wrong, "names that the result does not use itself")

    @classmethod
    def of(cls, given: Any) -> "Aspects":
        """Aspects from whatever describes them.

        Args:
            given: aspects; a mapping from the name of each to its inputs, or to ``inputs`` and ``describe``; or a YAML
                or JSON file of that.

        Returns:
            The aspects.

        Raises:
            ConfigError: if they cannot be.

        Example:
            >>> from hanjax.explain.aspects import Aspects
            >>> rules = [{"when": {"input": "account:employees", "at_least": 5000}, "text": "Top industry"}]
            >>> aspects = Aspects.of({"growth": {"inputs": ["account:*"], "describe": rules}})
            >>> aspects.aspects[0].describe[0].text
            'Top industry'
        """
        if isinstance(given, Aspects):
            return given
        if isinstance(given, str | Path):
            given = _read(Path(given))
        require(isinstance(given, Mapping), "aspects", given, "a mapping from names to inputs, or a file of it")
        found = []
        for name, own in given.items():
            own = own if isinstance(own, Mapping) else {"inputs": own}
            check_names(own, ["inputs", "describe"], f"the settings of the aspect {name!r}")
            inputs, describe = own.get("inputs") or (), own.get("describe") or ()
            inputs = (inputs,) if isinstance(inputs, str) else inputs
            listed = isinstance(inputs, list | tuple) and all(isinstance(one, str) for one in inputs)
            require(listed, f"{name}: inputs", inputs, "names of inputs")
            require(isinstance(describe, list | tuple), f"{name}: describe", describe, "a list of rules")
            rules = tuple(Rule.of(rule) for rule in describe)
            found.append(Aspect(name=str(name), inputs=tuple(inputs), describe=rules))
        return cls(aspects=tuple(found))

    @classmethod
    def by_kind(cls, inputs: Sequence[str]) -> "Aspects":
        """The aspects of those who name none: those of ``BY_KIND`` that have inputs.

        Args:
            inputs: names of all inputs.
        """
        there = {name: [one for one in own if fnmatch.filter(inputs, one)] for name, own in BY_KIND.items()}
        return cls.of({name: own for name, own in there.items() if own})

    def owners(self, inputs: Sequence[str]) -> dict[str, list[str]]:
        """Which of a model's inputs belong to each aspect, the rest to the last one.

        Args:
            inputs: names of all inputs.

        Returns:
            The names by aspect; the aspect of the rest is there only if it has one.

        Raises:
            ConfigError: if a name or pattern fits no input, or an input belongs to two aspects.
        """
        owner: dict[str, str] = {}
        for aspect in self.aspects:
            for pattern in aspect.inputs:
                fitting = [one for one in inputs if one == pattern] or fnmatch.filter(inputs, pattern)
                if not fitting:
                    raise ConfigError(_unknown(pattern, aspect.name, inputs))
                for one in fitting:
                    if owner.setdefault(one, aspect.name) != aspect.name:
                        raise ConfigError(
                            f"aspects: the input {one!r} belongs to {owner[one]!r} and, by {pattern!r}, to "
                            f"{aspect.name!r}. Name it in one of them."
                        )
        found = {aspect.name: [one for one in inputs if owner.get(one) == aspect.name] for aspect in self.aspects}
        rest = [one for one in inputs if one not in owner]
        if rest:
            found[self.rest] = found.get(self.rest, []) + rest
        most = sum(map(bool, found.values()))
        require(most <= MOST, "aspects", most, f"at most {MOST} with inputs")
        return found

    def described(self, values: pd.DataFrame) -> dict[str, np.ndarray]:
        """What the rules of each aspect say of accounts.

        Args:
            values: one row an account, a column for each input.

        Returns:
            By aspect a text for each account; None where no rule holds.

        Raises:
            ConfigError: if a rule asks for what there is not.
        """
        found = {}
        for aspect in self.aspects:
            texts = np.full(len(values), None, object)
            for rule in reversed(aspect.describe):  # so that the first that holds has the last word
                holds = np.logical_and.reduce([condition.holds(values) for condition in rule.when])
                for row in np.flatnonzero(holds):
                    texts[row] = rule.says(values.iloc[row])
            found[aspect.name] = texts
        return found


def _read(path: Path) -> Any:
    """What a YAML or JSON file says."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json.loads(text)
        import yaml

        return yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"aspects: there is no file {path}.") from None
    except Exception as error:  # those of YAML have no class in common with those of JSON
        raise ConfigError(f"{path}: cannot be read ({error}).") from None


def _unknown(pattern: str, aspect: str, inputs: Iterable[str]) -> str:
    close = difflib.get_close_matches(pattern, list(inputs), n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"aspects: {aspect!r} names {pattern!r}, which fits no input; {hint}There are: {', '.join(inputs)}."
