"""A plain sentence for each account, and what to do: both from texts that a user can edit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hanjax.errors import ConfigError, DataError
from hanjax.explain.levels import LEVELS, NO_DATA

TEMPLATE = (
    "{{ account }}: score {{ score }} ({{ tier }})"
    "{% if change > 0 %}, up {{ change }} since the {{ period }} before{% endif %}"
    "{% if change < 0 %}, down {{ -change }} since the {{ period }} before{% endif %}."
    "{% if up %} Carried by {{ up | map(attribute='phrase') | join(' and ') }}{% if not down %}.{% endif %}{% endif %}"
    "{% if down %}{{ '; held' if up else ' Held' }} back by {{ down | map(attribute='phrase') | join(' and ') }}."
    "{% endif %}"
    "{% if action %} {{ action }}{% endif %}"
)
"""The sentence, as a template of jinja2.

It is given: ``account`` (name, or else id), ``account_id``, ``score`` (rounded down), ``tier``, ``probability``,
``change`` (of the score since the cut-off before; 0 where unknown), ``period`` (such as "week"), ``up`` and ``down``
(the two aspects that raise and that lower the score most), ``aspects`` (all, by name), ``changed`` (the aspect that
changed most) and ``action``. An aspect has ``name``, ``level``, ``text``, ``contribution``, ``change``, ``because`` and
``phrase``.
"""

ACTIONS = (
    ("usage", "Low", "Better onboarding & training to boost product usage and performance."),
    ("usage", "Medium Low", "Training to boost product usage."),
    ("performance", "Low", "Review results together, and train where they lag behind."),
    ("white space", "High", "Propose more seats: most of what could be sold is not sold yet."),
    ("growth", "High", "Growth reflects potential demand: find out how the product can help them to grow further."),
    ("affinity", "Low", "Warm the account up before a call: nobody there has shown interest of late."),
    ("affinity", "No data", "Nobody there was active of late: a first contact comes before an offer."),
    ("social selling", "Low", "Show what social selling does, with the people who are connected already."),
    ("booking", "High", "Ask for what they book next: what they bought before speaks for more."),
)
"""Aspect, level, and what to do: the first row that fits an account is its action."""
_MOST = 2
"""Aspects that raise a score, and that lower it, in a sentence."""


def actions_of(given: pd.DataFrame | str | Path | None) -> list[tuple[str, str, str]]:
    """The table of actions, in order of their priority.

    Args:
        given: a table, or a CSV file of one, with ``aspect``, ``level`` and ``action``; None for ``ACTIONS``.

    Raises:
        DataError: if a column is missing, or there is no such level.
        ConfigError: if there is no such file.
    """
    if given is None:
        return list(ACTIONS)
    if isinstance(given, str | Path):
        if not Path(given).is_file():
            raise ConfigError(f"actions: there is no file {given}.")
        given = pd.read_csv(given, dtype=str, keep_default_na=False)
    columns = ["aspect", "level", "action"]
    missing = [name for name in columns if name not in given]
    if missing:
        raise DataError(f"actions: expected a table with {', '.join(columns)}; it lacks {', '.join(missing)}.")
    wrong = ~given["level"].isin([*LEVELS, NO_DATA]).to_numpy()
    if wrong.any():
        raise DataError.rows(
            "actions", "level", "is no level", count=int(wrong.sum()), first=given["level"][wrong],
            remedy=f"Use one of {', '.join([*LEVELS, NO_DATA])}.",
        )  # fmt: skip
    return list(given[columns].itertuples(index=False, name=None))


def action_of(levels: Mapping[str, str], actions: Sequence[tuple[str, str, str]]) -> str:
    """What to do about an account: the action of the first row whose aspect has that level; empty if there is none.

    Args:
        levels: by aspect.
        actions: as ``actions_of`` gives them.

    Example:
        >>> from hanjax.explain.sentences import ACTIONS, action_of
        >>> action_of({"usage": "Medium Low", "growth": "High"}, ACTIONS)
        'Training to boost product usage.'
    """
    return next((action for aspect, level, action in actions if levels.get(aspect) == level), "")


def because(own: str, value: Any, known: Sequence[float]) -> str:
    """What stands out about an input: where its value lies among those of other accounts, or what it is.

    Args:
        own: name of the input, without its kind.
        value: of the account; a number or a text.
        known: the values of the accounts to compare with, rising.

    Example:
        >>> from hanjax.explain.sentences import because
        >>> because("sessions", 9.0, [1.0, 2.0, 3.0, 9.0]), because("role", "manager", [])
        ('more sessions than 75 % of accounts', 'role: manager')
    """
    own = own.replace("_", " ")
    if not isinstance(value, float | int | np.number):
        return f"{own}: {value}"
    lower, higher = np.searchsorted(known, value, side="left"), len(known) - np.searchsorted(known, value, side="right")
    word, count = ("more", lower) if lower >= higher else ("less", higher)
    return f"{word} {own} than {100 * count // len(known)} % of accounts" if count else ""


def phrase_of(name: str, level: str, text: str, contribution: float, why: str) -> str:
    """An aspect within a sentence: "high usage (more sessions than 93 % of accounts)".

    Args:
        name: of the aspect.
        level: its level.
        text: what is said in its place; the level itself if nothing is.
        contribution: what it contributes: a level on the other side of the middle is not said beside it.
        why: what stands out; may be empty.
    """
    suits = level in (LEVELS[2:] if contribution > 0 else LEVELS[:2])
    said = f"{name}: {text}" if text != level else f"{level.lower()} {name}" if suits else name
    return f"{said} ({why})" if why else said


def sentences_of(accounts: Sequence[dict[str, Any]], template: str | Path | None = None) -> list[str]:
    """One text for each account.

    It is plain text, in which nothing is escaped: whoever makes HTML of it has to, as the report does.

    Args:
        accounts: what ``TEMPLATE`` is given of each, but for ``up`` and ``down``.
        template: a text, or a file of it; it can reach nothing beside what it is given. None for ``TEMPLATE``.

    Raises:
        ConfigError: if the template cannot be read, or asks for what there is not.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(autoescape=False, undefined=jinja2.StrictUndefined)
    try:
        text = template.read_text(encoding="utf-8") if isinstance(template, Path) else template
        compiled = environment.from_string(TEMPLATE if text is None else text)
        return [compiled.render(**one, **_sides(one["aspects"])) for one in accounts]
    except OSError as error:
        raise ConfigError(f"template: {template} cannot be read ({error}).") from None
    except (jinja2.TemplateError, TypeError, ValueError, ZeroDivisionError) as error:
        given = ", ".join([*(accounts[0] if accounts else ()), "up", "down"])
        raise ConfigError(f"template: {error}. A template is given {given}.") from None


def _sides(aspects: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The aspects that raise a score most, and those that lower it most."""
    known = [one for one in aspects.values() if one["level"] != NO_DATA]
    rising = sorted(known, key=lambda one: one["contribution"])
    lowest, highest = rising[:_MOST], rising[::-1][:_MOST]
    return {
        "up": [one for one in highest if one["contribution"] > 1e-6],
        "down": [one for one in lowest if one["contribution"] < -1e-6],
    }
