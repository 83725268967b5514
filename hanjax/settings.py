"""What settings are made of: fields that explain themselves, checked and converted values, files that hold them."""

import dataclasses
import difflib
import json
import numbers
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from hanjax.errors import ConfigError


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raises a ConfigError unless a setting's value holds.

    Args:
        holds: whether it does.
        name: of the setting.
        value: what it was given.
        expected: what it should have been, in words.
    """
    if not holds:
        raise ConfigError(f"{name}: expected {expected}, got {value!r}.")


def check_types(settings: Any) -> None:
    """Checks and converts each value as its annotation says, however the settings were made."""
    for one in dataclasses.fields(settings):
        object.__setattr__(settings, one.name, _convert(one.name, getattr(settings, one.name), one.type))


def setting(default: Any, help: str) -> Any:
    """A dataclass field with a default and the sentence that explains it."""
    return field(default=default, metadata={"help": help})


def check_names(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises a ConfigError that suggests a close one if a name is not known.

    Args:
        given: the names.
        known: those that there are.
        where: what these are, in words.
    """
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, list(known), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known))}"
            raise ConfigError(f"{name!r} is not among {where}{hint}.")


def read_settings(path: str | Path) -> dict[str, Any]:
    """What a JSON, TOML or YAML file says, unchecked.

    Args:
        path: the file; TOML if its name ends in .toml, YAML if in .yaml or .yml, JSON otherwise.

    Returns:
        A dictionary, as nested as the file.

    Raises:
        ConfigError: if there is no such file, or it cannot be read.
    """
    path = Path(path)
    kind = {".toml": "TOML", ".yaml": "YAML", ".yml": "YAML"}.get(path.suffix, "JSON")
    try:
        text = path.read_text(encoding="utf-8")
        stored = _parsed(text, kind)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not valid {kind} ({error}).") from None
    require(isinstance(stored, dict), str(path), stored, "a group of settings")
    return stored


def _parsed(text: str, kind: str) -> Any:
    """What a text holds; raises a ValueError if it is not of its kind."""
    if kind != "YAML":
        return tomllib.loads(text) if kind == "TOML" else json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def build(kind: Any, part: str, values: dict[str, Any]) -> Any:
    """Makes a configuration dataclass of values that a file or a command line gave, and checks their types.

    Args:
        kind: the dataclass.
        part: what to call it in an error.
        values: by name of the field; lists stand for tuples, whole numbers for floats.

    Raises:
        ConfigError: if there is no such field, or a value cannot work.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    require(isinstance(values, dict), repr(part), values, "a group of settings")
    check_names(values, fields, f"the settings of {part!r}")
    return kind(**{name: _convert(name, value, fields[name].type) for name, value in values.items()})


def _convert(name: str, value: Any, kind: Any) -> Any:
    """The value as the annotation says: tuples for JSON's lists, floats for whole numbers."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        require(value in args, name, value, f"one of {', '.join(map(repr, args))}")
        return value
    if origin is tuple:
        pairs = typing.get_origin(args[0]) is tuple
        require(isinstance(value, list | tuple), name, value, "a list of pairs" if pairs else "a list")
        inner = args[:1] * len(value) if args[-1] is Ellipsis else args
        require(len(value) == len(inner), name, value, f"{len(inner)} entries")
        return tuple(_convert(name, item, kind) for item, kind in zip(value, inner, strict=True))
    kinds = args if isinstance(kind, types.UnionType) else (kind,)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):  # NumPy's numbers, too
        value = int(value) if isinstance(value, numbers.Integral) else float(value)
    if float in kinds and int not in kinds and type(value) is int:
        value = float(value)
    wanted = " or ".join("none" if k is types.NoneType else k.__name__ for k in kinds)
    require(type(value) in kinds, name, value, f"{'an' if wanted[0] in 'aeiou' else 'a'} {wanted}")
    return value
