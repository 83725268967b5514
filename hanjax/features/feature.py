"""What a feature is: one number of each account, computed as of a date, declared with an owner and a version."""

import dataclasses
import hashlib
import inspect
import json
import math
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from hanjax.errors import ConfigError
from hanjax.settings import build, check_types, require, setting

ASPECTS = (
    "growth",
    "affinity",
    "booking",
    "social selling",
    "usage",
    "performance",
    "white space",
    "profile",
)
"""The usual families of features; a feature may name one of its own."""

_RESERVED = ("account_id", "individual_id", "cutoff", "known_at", "days_before")
_DAYS = {"day": 1, "week": 7, "month": 31}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One number of each account as of a cut-off, made of the rows of a source that were known before it.

    Rows count by whole granules (days, weeks, months): only those of granules that were complete at the cut-off, that
    lie in the look-back as a whole, and that were known before it. Where there is no such row the value is missing, and
    no expression is asked: a count of nothing is missing, not 0, unless ``fill`` says otherwise.

    An expression is DuckDB's SQL over the columns of the source: an aggregate such as ``sum(amount)`` where ``how`` is
    "window"; the value of one row, such as ``employees``, where it is "latest": that of the last row for which it is
    not NULL. A column ``days_before`` says how many days before the cut-off a row is dated, so that
    ``min(days_before)`` is the time since the last one. Rows stand in order of their date, rows of one date in that of
    all their values, so that ``first``, ``last`` and ``list`` do not depend on the order of the table.

    A function is given a DataFrame of the same rows of one account (or individual) in the same order, and returns a
    number, or None where it has none. It is a plain function in a file: its source code is part of the version. What it
    uses from outside is not, and must not be data.

    Raises:
        ConfigError: if a value cannot work.

    Example:
        >>> from hanjax.features import Feature
        >>> booked = Feature(
        ...     name="booked_90d", aspect="booking", source="bookings", expression="sum(amount)", look_back="90D"
        ... )
        >>> booked.version == dataclasses.replace(booked, owner="sales analytics").version
        True
        >>> booked.version == dataclasses.replace(booked, look_back="60D").version
        False
    """

    name: str = setting(dataclasses.MISSING, "of the column: letters, digits and single underscores")
    aspect: str = setting(dataclasses.MISSING, f"family: {', '.join(ASPECTS)}, or one of your own")
    entity: Literal["account", "individual"] = setting("account", "whose rows are looked at")
    source: str = setting(dataclasses.MISSING, "name of the table")
    expression: str | None = setting(None, "DuckDB's SQL: an aggregate, or a row's value where how is 'latest'")
    function: FunctionType | None = setting(None, "from the rows as a DataFrame to a number, instead of an expression")
    granularity: Literal["day", "week", "month"] = setting("day", "rows count by whole ones of these")
    look_back: str | None = setting(None, "days, weeks or months before the cut-off's granule: 90D, 12W, 6M; none: all")
    how: Literal["window", "latest"] = setting("window", "aggregate of the look-back, or its last known value")
    over_members: Literal["mean", "max", "sum", "count", None] = setting(
        None, "how the values of an account's individuals become its own; count: how many have one"
    )
    fill: float | None = setting(None, "value where there is none, marked as missing beside it; none: stays missing")
    owner: str = setting("", "who answers for it")
    description: str = setting("", "what it means, for those who search")
    experimental: bool = setting(False, "a user's own, beside the shared ones")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        safe = re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", self.name) is not None and self.name not in _RESERVED
        expected = f"letters, digits and single underscores, and none of {', '.join(_RESERVED)}"
        require(safe, "name", self.name, expected)
        for part in ("aspect", "source"):
            require(bool(getattr(self, part).strip()), f"{self.name}.{part}", getattr(self, part), "a text")
        given = [part for part in ("expression", "function") if getattr(self, part)]
        require(len(given) == 1, self.name, given, "either an expression or a function")
        require(self.function is None or self.how == "window", f"{self.name}.how", self.how, "window for a function")
        members = self.over_members is not None
        expected = "mean, max, sum or count for individuals, and nothing for accounts"
        require(members == (self.entity == "individual"), f"{self.name}.over_members", self.over_members, expected)
        finite = self.fill is None or math.isfinite(self.fill)
        require(finite, f"{self.name}.fill", self.fill, "a finite number or none")
        if self.reach is not None:
            amount, unit = self.reach
            days = {"D": amount, "W": 7 * amount, "M": 31 * amount}[unit]
            expected = f"at least one whole {self.granularity}"
            require(days >= _DAYS[self.granularity], f"{self.name}.look_back", self.look_back, expected)
        if self.function is not None:
            _ = self.version  # raises if there is no source code

    @property
    def reach(self) -> tuple[int, str] | None:
        """How many days (D), weeks (W) or months (M) it looks back; None for all."""
        if self.look_back is None:
            return None
        found = re.fullmatch(r"([1-9]\d{0,4})([DWM])", self.look_back)
        if found is None:
            raise ConfigError(f"{self.name}.look_back: expected a text such as 90D, 12W or 6M, got {self.look_back!r}.")
        return int(found[1]), found[2]

    @property
    def definition(self) -> dict[str, Any]:
        """What its values depend on, by name of the setting; of a function, its source code."""
        parts = ("source", "expression", "entity", "granularity", "look_back", "how", "over_members", "fill")
        values = {part: getattr(self, part) for part in parts}
        return values | {"function": None if self.function is None else _source_code(self.name, self.function)}

    @property
    def version(self) -> str:
        """A hash of the definition; name, owner and description may change without it."""
        text = json.dumps(self.definition, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _source_code(name: str, function: FunctionType) -> str:
    try:
        if function.__code__.co_filename == "<string>":  # of all that `python -c` and `exec` run; it may be another's
            raise OSError
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise ConfigError(
            f"{name}.function: its source code cannot be read, so that it would have no version. Define it in a file."
        ) from None


def load_features(path: str | Path) -> tuple[Feature, ...]:
    """Reads features that are declared in a YAML file, as expressions.

    Args:
        path: a file with a list of features under ``features``, each with the settings of ``Feature``.

    Returns:
        The features, in the order of the file.

    Raises:
        ConfigError: if the file is missing or no YAML, a setting is unknown or cannot work, or two have one name.

    Example:
        >>> import tempfile
        >>> from hanjax.features import load_features
        >>> path = Path(tempfile.mkdtemp()) / "features.yaml"
        >>> _ = path.write_text('''
        ... features:
        ...   - {name: employees, aspect: growth, source: headcount, expression: employees, how: latest}
        ...   - {name: booked, aspect: booking, source: bookings, expression: sum(amount), look_back: 90D}
        ... ''')
        >>> [feature.name for feature in load_features(path)]
        ['employees', 'booked']
    """
    import yaml

    try:
        stored = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not valid YAML ({error}).") from None
    listed = stored.get("features") if isinstance(stored, dict) else None
    require(isinstance(listed, list), str(path), stored, "a list of features under 'features'")
    found = []
    for number, values in enumerate(listed, start=1):
        where = f"{path}, feature {number}"
        require(isinstance(values, dict), where, values, "a group of settings")
        missing = [part for part in ("name", "aspect", "source") if part not in values]
        require(not missing, where, values, f"its {', '.join(missing)}")
        found.append(build(Feature, where, values))
    check_distinct(feature.name for feature in found)
    return tuple(found)


def check_distinct(names: Any) -> None:
    """Raises a ConfigError if a name stands there more than once."""
    names = list(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, "name", ", ".join(twice), "another name for each feature")
