"""What a scale needs to know of a column of numbers, and of two parts of one: so it is fitted where no machine has all.

A column in one piece gives the mean and the standard deviation that NumPy gives, to the bit. In several pieces, joined
one after the other, they agree to about 1e-12 of themselves, or as closely as numbers far from zero are known.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Moments(NamedTuple):
    """How many numbers there are, their mean, and the sums of the second and third powers of what they differ from it.

    Args:
        n: how many.
        mean: 0 if there are none.
        second: sum of (x - mean)^2.
        third: sum of (x - mean)^3.
    """

    n: int
    mean: float
    second: float
    third: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " n"]) -> "Moments":
        """The moments of numbers, none of them missing.

        Example:
            >>> import numpy as np
            >>> Moments.of(np.array([1.0, 2.0, 6.0]))
            Moments(n=3, mean=3.0, second=14.0, third=18.0)
        """
        if len(values) == 0:
            return cls(0, 0.0, 0.0, 0.0)
        mean = values.mean()
        with np.errstate(over="ignore"):  # of huge numbers: then there is no telling how skewed they are
            centered = values - mean
            square = centered * centered
            return cls(len(values), float(mean), float(square.sum()), float((square * centered).sum()))

    def with_those_of(self, other: "Moments") -> "Moments":
        """The moments of two columns, one below the other.

        Source: Pebay (2008), Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
        statistical moments, equations 1.5 to 1.7.
        """
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n, apart = self.n + other.n, other.mean - self.mean
        return Moments(
            n=n,
            mean=self.mean + apart * other.n / n,
            second=self.second + other.second + apart**2 * self.n * other.n / n,
            third=self.third
            + other.third
            + apart**3 * self.n * other.n * (self.n - other.n) / n**2
            + 3 * apart * (self.n * other.second - other.n * self.second) / n,
        )

    @property
    def sd(self) -> float:
        """The standard deviation, of all numbers that there are (so divided by n)."""
        return float(np.sqrt(self.second / self.n))

    @property
    def skewness(self) -> float:
        """The adjusted Fisher-Pearson coefficient, as pandas has it; 0 for a constant, NaN for fewer than three."""
        if self.n < 3:
            return np.nan
        if self.second < 1e-14:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            biased = np.float64(self.third) / np.float64(self.second) ** 1.5
            return float(self.n * np.sqrt(self.n - 1) / (self.n - 2) * biased)


class Column(NamedTuple):
    """What is known of a column of numbers, some of them missing.

    Args:
        name: its name.
        missing: how many are missing.
        least: the smallest number; infinity if there is none.
        plain: the moments of the others.
        logged: those of log(1 + x), where a negative x counts as 0.
    """

    name: str
    missing: int
    least: float
    plain: Moments
    logged: Moments

    @classmethod
    def of(cls, name: str, values: Float[np.ndarray, " n"]) -> "Column":
        """Looks at a column; NaN is missing."""
        there = values[~np.isnan(values)].astype(np.float64)  # counts are integers
        logged = np.log1p(np.maximum(there, 0))
        least = float(there.min(initial=np.inf))
        return cls(name, len(values) - len(there), least, Moments.of(there), Moments.of(logged))

    def with_that_of(self, other: "Column") -> "Column":
        """What is known of two parts of a column together."""
        return Column(
            self.name,
            self.missing + other.missing,
            min(self.least, other.least),
            self.plain.with_those_of(other.plain),
            self.logged.with_those_of(other.logged),
        )
