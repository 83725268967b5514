"""What a user can get wrong, said so that it can be put right."""

from collections.abc import Iterable


class HanjaxError(ValueError):
    """Base of every error that hanjax raises on purpose."""


class DataError(HanjaxError):
    """A table does not hold what it should; the message says where, how often, and what would be right."""

    @classmethod
    def rows(
        cls, table: str, column: str, problem: str, *, count: int, first: Iterable[object], remedy: str
    ) -> "DataError":
        """Builds the message that every error about rows has.

        Args:
            table: name of the table, such as "events".
            column: the column, or several separated by commas.
            problem: what is wrong with the rows, as a clause ("is negative").
            count: how many rows are affected.
            first: the first offenders; at most five are shown.
            remedy: what the user can do.
        """
        shown = ", ".join(str(offender) for offender in list(first)[:5])
        more = ", ..." if count > 5 else ""
        rows = "1 row" if count == 1 else f"{count:,} rows"
        return cls(f"{table}.{column}: {problem} ({rows}; first: {shown}{more}). {remedy}")


class ConfigError(HanjaxError):
    """A setting has a value that cannot work."""


class RunError(HanjaxError):
    """A run folder is missing, damaged, or does not fit what is asked of it."""
