"""Which scores there are, for what, and which of several for the same purpose is the one to use."""

from typing import NamedTuple

from hanjax.errors import ConfigError


class Score(NamedTuple):
    """A score that somebody gives out.

    Args:
        name: of the score.
        purpose: what it is for, in a few words; scores for one purpose are alternatives.
        owner: whom to ask.
        model: the registered model that makes it.
        canonical: whether it is the one to use for its purpose.
    """

    name: str
    purpose: str
    owner: str
    model: str
    canonical: bool = False


def with_score(scores: list[Score], score: Score, *, replace: bool) -> list[Score]:
    """A catalog with one score more, or with another one of that name.

    Args:
        scores: the catalog.
        score: the new one; the first of a purpose is canonical whatever it says.
        replace: whether it may take the place of another canonical score, or of the score of that name.

    Raises:
        ConfigError: if it may not, or leaves a purpose without a canonical score.

    Example:
        >>> from hanjax.registry.catalog import Score, with_score
        >>> first = with_score([], Score("APS", "which accounts will buy", "Ann", "propensity"), replace=False)
        >>> with_score(first, Score("APS 2", "which accounts will buy", "Bob", "other", canonical=True), replace=False)
        Traceback (most recent call last):
        ...
        hanjax.errors.ConfigError: 'which accounts will buy': 'APS' (owner: Ann) is the canonical score for this ...
    """
    same = next((one for one in scores if one.name == score.name), None)
    others = [one for one in scores if one.name != score.name]
    if same is not None and not replace:
        raise ConfigError(
            f"score {score.name!r}: there is one (owner: {same.owner}). Choose another name, or replace it."
        )
    rival = next((one for one in others if one.purpose == score.purpose and one.canonical), None)
    if rival is None:
        score = score._replace(canonical=True)
    elif score.canonical and not replace:
        raise ConfigError(
            f"{score.purpose!r}: {rival.name!r} (owner: {rival.owner}) is the canonical score for this purpose. "
            "Declare the new one without canonical, or replace the old one."
        )
    elif score.canonical:
        others = [one._replace(canonical=one.canonical and one is not rival) for one in others]
    if same is not None and same.canonical and same.purpose != score.purpose:
        left = [one.name for one in others if one.purpose == same.purpose]
        if left:
            raise ConfigError(f"{same.purpose!r}: would have no canonical score. Make one of {left} canonical first.")
    return [*others, score]
