"""Command-line options made from the fields of configuration dataclasses; imports nothing heavy."""

import argparse
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Literal

from hanjax.config import ModelConfig, PanelConfig, TrainConfig
from hanjax.errors import ConfigError
from hanjax.settings import check_names, require


def add_options(parser: argparse.ArgumentParser, config: type, title: str) -> None:
    """Adds one option for each field, such as ``--batch-size`` for ``batch_size``; what is not given stays unset.

    Args:
        parser: what the options are added to.
        config: a dataclass whose fields carry a ``help``.
        title: heading of the group in the help text.
    """
    group = parser.add_argument_group(title)
    for field in fields(config):
        text = f"{field.metadata['help']} (default: {_shown(field.default)})".replace("%", "%%")
        option: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text, "dest": field.name}
        if field.type is bool:
            option["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(field.type) is Literal:
            option["choices"] = typing.get_args(field.type)
        else:
            option["type"] = _Parse(field.type)
            option["metavar"] = option["type"].__name__.upper()
        group.add_argument("--" + field.name.replace("_", "-"), **option)


def given(arguments: argparse.Namespace, config: type) -> dict[str, Any]:
    """The fields of a dataclass that were given on the command line."""
    names = {field.name for field in fields(config)}
    return {name: value for name, value in vars(arguments).items() if name in names}


def assigned(texts: Iterable[str], config: type) -> dict[str, Any]:
    """Fields of a dataclass and their values, from ``name=value`` as on the command line.

    Args:
        texts: each of one field; the values of a list stand between commas.
        config: the dataclass.

    Raises:
        ConfigError: if there is no such field, or a value is none of its kind.

    Example:
        >>> from hanjax.config import PanelConfig
        >>> from hanjax.options import assigned
        >>> assigned(["window=6", "exclude=name,city"], PanelConfig)
        {'window': 6, 'exclude': ('name', 'city')}
    """
    kinds, found = {field.name: field.type for field in fields(config)}, {}
    for text in texts:
        name, _, value = text.partition("=")
        name = name.strip().replace("-", "_")
        check_names([name], kinds, "the settings")
        found[name] = _value(name, value.strip(), kinds[name])
    return found


def varied(text: str) -> tuple[str, list[Any]]:
    """A setting and the values that it is to take, from ``name=a,b,...``; ``a..b`` are all whole numbers in between.

    Args:
        text: as on the command line; several values of a setting that is a list stand apart by semicolons.

    Returns:
        Its name and the values.

    Raises:
        ConfigError: if there is no such setting, or a value is none of its kind.

    Example:
        >>> from hanjax.options import varied
        >>> varied("seed=0..3"), varied("learning-rate=0.01,0.003")
        (('seed', [0, 1, 2, 3]), ('learning_rate', [0.01, 0.003]))
    """
    name, _, values = text.partition("=")
    name = name.strip().replace("-", "_")
    kinds = {field.name: field.type for part in (PanelConfig, ModelConfig, TrainConfig) for field in fields(part)}
    check_names([name], kinds, "the settings")
    kind = kinds[name]
    if span := re.fullmatch(r"\s*(\d+)\.\.(\d+)\s*", values):
        return name, list(range(int(span[1]), int(span[2]) + 1))
    listed = typing.get_origin(kind) is tuple
    texts = [value.strip() for value in values.split(";" if listed else ",") if value.strip()]
    if not texts:
        raise ConfigError(f"{name}: expected values to vary it over, as in {name}=A,B, got {text!r}.")
    return name, [_value(name, value, kind) for value in texts]


def _value(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        require(text.lower() in ("true", "false"), name, text, "true or false")
        return text.lower() == "true"
    if typing.get_origin(kind) is Literal:
        return text  # the settings check it
    try:
        return _Parse(kind)(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"{name}: {error}.") from None


class _Parse:
    """Parses text as an annotation says: ``int | None`` takes "none", ``tuple[int, ...]`` takes "1,4,13" or "none"."""

    def __init__(self, kind: Any):
        self.kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        first = next(k for k in self.kinds if k is not types.NoneType)
        self.__name__ = first.__name__
        if typing.get_origin(first) is tuple:
            pairs = typing.get_origin(typing.get_args(first)[0]) is tuple
            self.__name__ = "standard=theirs,..." if pairs else "a,b,..."

    def __call__(self, text: str) -> Any:
        if types.NoneType in self.kinds and text.lower() == "none":
            return None
        for kind in sorted(self.kinds, key=lambda kind: kind is not int):  # 381 is a number of accounts, 0.15 a share
            if kind is types.NoneType:
                continue
            try:
                return _parse_tuple(text, kind) if typing.get_origin(kind) is tuple else kind(text)
            except ValueError:
                continue
        raise argparse.ArgumentTypeError(f"{text!r} is not {self.__name__}")


def _parse_tuple(text: str, kind: Any) -> tuple[Any, ...]:
    inner = typing.get_args(kind)[0]
    if text.lower() == "none":
        return ()
    items = [item.strip() for item in text.split(",") if item.strip()]
    if typing.get_origin(inner) is tuple:  # pairs: standard=theirs
        pairs = [tuple(item.split("=", 1)) for item in items]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(text)
        return tuple(pairs)
    return tuple(inner(item) for item in items)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
