"""What an aggregation of individuals takes and gives: the convention that all of them follow."""

from typing import ClassVar, NamedTuple, Protocol

from flax import nnx
from jaxtyping import Array, Bool, Float

Logit = float | Float[Array, "..."]


class GroupSpec(NamedTuple):
    """What an aggregation has to know beside the width of its members, to draw its parameters.

    Args:
        horizons: number of outcomes.
        numbers: size of ``account``.
        max_members: largest number of members of a group.
        hidden: size of a hidden tanh layer between the aggregation and the log-odds; None for none.
        initial_logit: where the log-odds start, one for all horizons or ``[h]``.
    """

    horizons: int = 1
    numbers: int = 0
    max_members: int = 25
    hidden: int | None = None
    initial_logit: Logit = 0.0


class Aggregated(NamedTuple):
    """What an aggregation says of a group.

    Args:
        logit: ``[h]`` log-odds of conversion within each horizon.
        share: ``[k]`` each member's part in it, by a rule that each aggregation states; sums to 1, and is 0 where no
            member is.
    """

    logit: Float[Array, "*b h"]
    share: Float[Array, "*b k"]


class Aggregator(Protocol):
    """The convention that every aggregation follows, for one group.

    * ``Aggregator(width, spec, rngs=rngs)`` draws the parameters.
    * ``takes_logits`` says what the individual layer hands over: log-odds ``[h]`` of each individual, or (False) a
      representation of ``ModelConfig.member_width``. ``width`` is the size of either.
    * Called with the members in order of arrival; where no member is, the values are arbitrary but finite, and
      change nothing. Any number of places up to ``max_members`` will do. A group without members is finite too.
    * ``member_logit`` is where the individuals' own log-odds start, so that the account's start at ``initial_logit``.
    """

    takes_logits: ClassVar[bool]

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters.

        Args:
            width: size of each row of ``people``.
            spec: the sizes, and where the log-odds start.
            rngs: random streams of the initial parameters.
        """
        ...

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group.

        Args:
            people: ``[k, e]`` what the individual layer made of each member, in order of arrival.
            where: ``[k]`` True where a member is.
            account: ``[n]`` the account's own numbers.
        """
        ...

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Where the individual layer's log-odds start; 0 where it hands over representations."""
        ...


class OfRepresentations(nnx.Module):
    """What aggregations of representations have in common."""

    takes_logits: ClassVar[bool] = False

    @staticmethod
    def member_logit(initial_logit: Logit) -> Logit:
        """Zero: members have no log-odds of their own."""
        return 0.0
