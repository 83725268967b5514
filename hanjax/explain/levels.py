"""Scores from 0 to 100 and levels from low to high, by a distribution that can be kept, so that they mean the same."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hanjax.errors import ConfigError, RunError

LEVELS = ("Low", "Medium Low", "Medium High", "High")
NO_DATA = "No data"
"""The level of an aspect of which an account has no data at all."""
ScoreScale = Literal["percentile", "probability"]
_QUANTILES = 1001
"""Values kept of a distribution of inputs, at most."""
_DIGITS = 6
"""Contributions that differ by less than this many decimals are equal: what is less is rounding."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What accounts are compared with, so that a score of 92 and the level High mean the same next week.

    Args:
        digest: of the run, see ``hanjax.run.Run``: contributions of another model are others.
        cutoff: of the accounts that it was made of.
        accounts: how many they are.
        probabilities: theirs, rising.
        quartiles: by aspect the three quartiles of the contributions of those with data of it; None if there are none.
        fill: what stands in for hidden inputs; see ``hanjax.explain.game.fill_of``.
        values: by input of numbers its known values, rising; of many, a thousand quantiles.
    """

    digest: str
    cutoff: str
    accounts: int
    probabilities: tuple[float, ...]
    quartiles: dict[str, tuple[float, float, float] | None]
    fill: dict[str, tuple[float, ...]]
    values: dict[str, tuple[float, ...]]

    def write(self, path: str | Path) -> None:
        """Writes it as JSON."""
        Path(path).write_text(json.dumps(dataclasses.asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> "Reference":
        """Reads what ``write`` wrote.

        Args:
            path: the file, or the folder of an explanation, in which it is called reference.json.

        Raises:
            RunError: if there is none, or it is damaged.
        """
        path = Path(path)
        path = path / "reference.json" if path.is_dir() else path
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            tuples = lambda group: {name: None if own is None else tuple(own) for name, own in group.items()}
            groups = {name: tuples(stored.pop(name)) for name in ("quartiles", "fill", "values")}
            return cls(**{**stored, "probabilities": tuple(stored["probabilities"]), **groups})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is missing or damaged ({error}). Explain without a reference to make one."
            ) from None

    def check(self, digest: str, aspects: Mapping[str, Any]) -> None:
        """Refuses to compare with another model or other aspects.

        Args:
            digest: of the run.
            aspects: those that are explained, by name.

        Raises:
            RunError: if the run or the aspects are others.
        """
        if digest != self.digest:
            raise RunError("reference: it was made with another run. Make one with this run, by explaining without.")
        if set(aspects) != set(self.quartiles):
            raise RunError(
                f"reference: it was made of the aspects {', '.join(self.quartiles)}, not {', '.join(aspects)}. Make "
                "one of these, by explaining without."
            )


def quartiles_of(
    contributions: Float[np.ndarray, " n"], *, where: Bool[np.ndarray, " n"]
) -> tuple[float, float, float] | None:
    """The quartiles of an aspect's contributions.

    Args:
        contributions: of accounts.
        where: those that have data of it.

    Returns:
        The three quartiles; None if no account has data.
    """
    if not where.any():
        return None
    low, middle, high = np.round(np.quantile(contributions[where], [0.25, 0.5, 0.75]), _DIGITS).tolist()
    return low, middle, high


def levels_of(
    contributions: Float[np.ndarray, " n"],
    quartiles: tuple[float, float, float] | None,
    *,
    where: Bool[np.ndarray, " n"],
) -> np.ndarray:
    """The level of each account in an aspect: High above the upper quartile of the reference, Low below the lower one.

    Contributions that are equal have one level, that of the middle of their places: if all are equal, "Medium Low".

    Args:
        contributions: of accounts.
        quartiles: of the reference; None where it has none, and then there is no level either.
        where: the accounts that have data; the level of all others is "No data".

    Returns:
        ``[n]`` names.

    Example:
        >>> import numpy as np
        >>> from hanjax.explain.levels import levels_of
        >>> levels_of(np.array([2.0, 0.4, -1.0]), (-0.5, 0.0, 0.5), where=np.array([True, True, False])).tolist()
        ['High', 'Medium High', 'No data']
    """
    if quartiles is None:
        return np.full(len(contributions), NO_DATA, object)
    given = np.round(contributions, _DIGITS)
    place = (np.searchsorted(quartiles, given, side="left") + np.searchsorted(quartiles, given, side="right")) // 2
    return np.where(where, np.array(LEVELS, object)[place], NO_DATA)


def score_of(
    probability: Float[np.ndarray, " n"], reference: Float[np.ndarray, " r"], scale: ScoreScale = "percentile"
) -> Float[np.ndarray, " n"]:
    """A score from 0 to 100 that never falls where the probability rises.

    Args:
        probability: of accounts.
        reference: those of the accounts to compare with, rising.
        scale: "percentile": how many per cent of the reference's accounts have a lower probability, so that 92 means
            "higher than 92 % of accounts"; "probability": the probability in per cent.

    Returns:
        ``[n]`` scores.

    Raises:
        ConfigError: if there is no such scale.

    Example:
        >>> import numpy as np
        >>> from hanjax.explain.levels import score_of
        >>> score_of(np.array([0.5, 0.1]), np.array([0.1, 0.2, 0.3, 0.5])).tolist()
        [75.0, 0.0]
    """
    if scale not in ("percentile", "probability"):
        raise ConfigError(f"scale: expected 'percentile' or 'probability', got {scale!r}.")
    if scale == "probability":
        return 100 * np.asarray(probability, float)
    below = np.asarray(probability, float) * (1 - 1e-6)  # what is less apart is the same, but for rounding
    return 100 * np.searchsorted(reference, below, side="left") / max(len(reference), 1)


def distribution(values: pd.Series) -> tuple[float, ...]:
    """The known values of an input of numbers, rising; a thousand quantiles where there are more."""
    known = np.sort(values.dropna().to_numpy(float))
    if len(known) > _QUANTILES:
        known = np.quantile(known, np.linspace(0, 1, _QUANTILES), method="inverted_cdf")
    return tuple(known.tolist())
