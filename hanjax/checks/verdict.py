"""What a check found."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """What a check found; printed, it is readable.

    Args:
        name: of the check.
        passed: whether nothing was found to be wrong.
        checked: what was looked at, with numbers.
        problems: what is wrong, one sentence each; empty if the check passed.
        notes: what could not be checked, and what else a reader should know, one sentence each.

    Example:
        >>> from hanjax.checks import Verdict
        >>> Verdict("check_split", False, "3 accounts", ("Account 7 is in two parts.",))
        FAILED  check_split: 3 accounts
          - Account 7 is in two parts.
    """

    name: str
    passed: bool
    checked: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The verdict, then a line for each problem and each note."""
        first = f"{'passed' if self.passed else 'FAILED'}  {self.name}: {self.checked}"
        return "\n".join(
            [first, *(f"  - {text}" for text in self.problems), *(f"  (note) {text}" for text in self.notes)]
        )
