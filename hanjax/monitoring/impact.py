"""What a score is worth: those it gave priority against the others, in points, times and a sentence.

How much likelier the tiers of a score convert than the average is another question, which ``hanjax.evaluation.lift``
answers. Here somebody acted on the score, and what is compared is what came of it.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax.errors import ConfigError, DataError
from hanjax.monitoring.chance import cut
from hanjax.monitoring.columns import as_texts, kind_of
from hanjax.monitoring.proportions import Estimate, two_proportions
from hanjax.report.blocks import number, percent, plural

_NAMES = ("prioritized", "the others")


class Impact(NamedTuple):
    """What was reached in a group that was given priority, and in another one.

    Args:
        measure: what was reached, such as "win rate".
        names: of both groups.
        successes: of both.
        totals: rows of both; of counts, accounts or what they were counted over.
        rates: of both.
        difference: the first less the second.
        ratio: the first over the second.
        p: two-sided.
        p_exact: two-sided, without approximation; NaN where rows of an account depend on each other.
        spread: of both, by how much more the rate varies than if all rows were independent.
        sentence: what was found.
        warnings: why not to believe it.
    """

    measure: str
    names: tuple[str, str]
    successes: tuple[float, float]
    totals: tuple[float, float]
    rates: tuple[float, float]
    difference: Estimate
    ratio: Estimate
    p: float
    p_exact: float
    spread: tuple[float, float]
    sentence: str
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The sentence and the warnings."""
        return "\n".join([self.sentence, *(f"But: {warning}" for warning in self.warnings)])


def win_rate(outcomes: Any, prioritized: Any, **settings: Any) -> Impact:
    """By how many points more often the prioritized were won: of opportunities, whether each was won.

    Args:
        outcomes: ``[N]`` 1 for won, 0 for lost.
        prioritized: ``[N]`` True for those that were given priority.
        **settings: those of ``rate_impact``.

    Returns:
        What was found, in percentage points.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.impact import win_rate
        >>> reached = np.arange(2000) % 1000 < np.repeat([253, 200], 1000)
        >>> win_rate(reached, np.arange(2000) < 1000, randomized=True)
        The win rate is 25.3 % where prioritized and 20 % where not: 5.3 points more [1.63, 8.95] (p 0.0046).
    """
    return rate_impact(outcomes, prioritized, measure="win rate", **settings)


def open_rate(opened: Any, prioritized: Any, **settings: Any) -> Impact:
    """How many times as often the prioritized opened what was sent to them.

    Args:
        opened: ``[N]`` of messages, 1 if it was opened, 0 if not.
        prioritized: ``[N]`` True for messages to those that were given priority.
        **settings: those of ``rate_impact``; give ``accounts``, as one of them gets several messages.

    Returns:
        What was found, as a ratio.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.impact import open_rate
        >>> reached = np.arange(2000) % 1000 < np.repeat([240, 120], 1000)
        >>> open_rate(reached, np.arange(2000) < 1000, randomized=True)
        The open rate is 24 % where prioritized and 12 % where not: 2 times as much [1.64, 2.45] (p 2.9e-12).
    """
    return rate_impact(opened, prioritized, measure="open rate", shown="ratio", **settings)


def click_through(clicked: Any, prioritized: Any, **settings: Any) -> Impact:
    """How many times as often the prioritized clicked.

    Args:
        clicked: ``[N]`` of messages, 1 if there was a click, 0 if not.
        prioritized: ``[N]`` True for messages to those that were given priority.
        **settings: those of ``rate_impact``; give ``accounts``, as one of them gets several messages.

    Returns:
        What was found, as a ratio.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.impact import click_through
        >>> found = click_through(np.arange(2000) % 1000 < np.repeat([33, 10], 1000), np.arange(2000) < 1000)
        >>> round(found.ratio.value, 1), round(found.ratio.low, 1)
        (3.3, 1.7)
    """
    return rate_impact(clicked, prioritized, measure="click-through rate", shown="ratio", **settings)


def rate_impact(
    outcomes: Any,
    prioritized: Any,
    *,
    accounts: Any = None,
    covariates: pd.DataFrame | None = None,
    randomized: bool = False,
    measure: str = "rate",
    shown: str = "points",
    method: str = "newcombe",
    level: float = 0.95,
) -> Impact:
    """Compares how often something was reached in two groups of rows, such as opportunities, accounts or messages.

    If accounts have several rows, each group counts as if it had fewer of them: divided by its design effect,
    d = A / (A - 1) sum_a (x_a - r n_a)^2 / (n r (1 - r)), if that is above 1.

    Args:
        outcomes: ``[N]`` 1 if it was reached, 0 if not.
        prioritized: ``[N]`` True for the group that was given priority.
        accounts: ``[N]`` each row's account; None if every row is one of its own.
        covariates: ``[N]`` rows with what was known before priority was given, such as the score: if the groups differ
            in it, they were not assigned at random, and the rates may differ for that reason alone.
        randomized: whether priority was given by lot; if not, or if it is not known, a warning says so.
        measure: what to call it.
        shown: "points" or "ratio", for the sentence.
        method: "newcombe" or "score", the interval of the difference.
        level: of the intervals.

    Returns:
        What was found.

    Raises:
        ConfigError: if a setting is unknown.
        DataError: if the arrays do not fit together, a group is empty, an outcome is none, or an account is in both
            groups.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.impact import rate_impact
        >>> found = rate_impact(np.arange(90) % 3 > 0, np.arange(90) < 45, accounts=np.arange(90) // 3)
        >>> found.difference.value, found.warnings[0][:44]
        (0.0, 'Priority was not given by lot, or nobody sai')

    Source: Rao and Scott (1992), A simple method for the analysis of clustered binary data.
    """
    if shown not in ("points", "ratio"):
        raise ConfigError(f"shown: expected 'points' or 'ratio', got {shown!r}.")
    first, whose = _groups(outcomes, prioritized, accounts)
    outcomes = np.asarray(outcomes)
    if (wrong := ~np.isin(outcomes, (0, 1))).any():
        raise DataError(f"outcomes: {wrong.sum():,} of {len(outcomes):,} are neither 0 nor 1; leave unknown ones out.")
    successes, totals, spread = [], [], []
    for rows in (first, ~first):
        successes.append(float(outcomes[rows].sum()))
        totals.append(float(rows.sum()))
        spread.append(_design_effect(outcomes[rows].astype(float), whose[rows]))
    shrunk = [[value / by for value, by in zip(values, spread, strict=True)] for values in (successes, totals)]
    found = two_proportions((*shrunk[0],), (*shrunk[1],), level=level, method=method)
    rates = f"The {measure} is {percent(found.rates[0])} where prioritized and {percent(found.rates[1])} where not"
    text = _points(found.difference) if shown == "points" else _times(found.ratio)
    return Impact(
        measure, _NAMES, (*successes,), (*totals,), found.rates, found.difference, found.ratio, found.p,
        found.p_exact if max(spread) == 1 else np.nan, (*spread,), f"{rates}: {text} (p {found.p:.2g}).",
        _warnings(first, whose, covariates, randomized),
    )  # fmt: skip


def opportunities(
    counts: Any,
    prioritized: Any,
    *,
    exposure: Any = None,
    covariates: pd.DataFrame | None = None,
    randomized: bool = False,
    measure: str = "number of opportunities",
    level: float = 0.95,
) -> Impact:
    """How many times as many opportunities, or other countable things, the prioritized accounts have.

    log(rate1 / rate2) +- t sqrt(f (1 / x1 + 1 / x2)), with x the groups' counts, and f the dispersion, at least 1:
    f = sum_a (x_a - mu_a)^2 / mu_a / (A - 2), where mu_a is what the account's group lets expect, and t of A - 2
    degrees of freedom

    Args:
        counts: ``[A]`` of each account.
        prioritized: ``[A]`` True for the accounts that were given priority.
        exposure: ``[A]`` over how long, or of how many people, an account's were counted; None if alike.
        covariates: as for ``rate_impact``.
        randomized: as for ``rate_impact``.
        measure: what to call it.
        level: of the intervals.

    Returns:
        What was found; rates are by account (or unit of exposure).

    Raises:
        DataError: if the arrays do not fit together, a group is empty or has no opportunity, or a count is negative.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.impact import opportunities
        >>> counts = np.repeat([0, 1, 2, 1], 50) + np.arange(200) % 2
        >>> opportunities(counts, np.arange(200) >= 100, measure="number", randomized=True)
        The number of an account is 2 where prioritized and 1 where not: 100 % more [+57.1 %, +155 %] (p 5.3e-08).

    Source: McCullagh and Nelder (1989), Generalized linear models, section 6.2 on overdispersed counts.
    """
    from scipy.special import stdtr, stdtrit

    first, _ = _groups(counts, prioritized, None)
    counts = np.asarray(counts, float)
    shares = np.ones(len(counts)) if exposure is None else np.asarray(exposure, float)
    if shares.shape != counts.shape or not (shares > 0).all() or not (counts >= 0).all():
        raise DataError("counts and exposure: expected [A] counts of 0 at least, and exposures above 0.")
    totals = tuple(float(shares[rows].sum()) for rows in (first, ~first))
    found = tuple(float(counts[rows].sum()) for rows in (first, ~first))
    if not min(found):
        raise DataError(f"counts: a group has none ({found[0]:,.0f} and {found[1]:,.0f}), so there is no ratio.")
    rates = found[0] / totals[0], found[1] / totals[1]
    mean = np.where(first, *rates) * shares
    freedom = len(counts) - 2
    spread = max(float(((counts - mean) ** 2 / mean).sum() / freedom), 1.0) if freedom else 1.0
    deviation, student = (
        np.sqrt(spread * (1 / found[0] + 1 / found[1])),
        float(stdtrit(max(freedom, 1), (1 + level) / 2)),
    )
    log = np.log(rates[0] / rates[1])
    ratio = Estimate(*(float(np.exp(log + side * student * deviation)) for side in (0, -1, 1)))
    apart = student * np.sqrt(spread * (rates[0] / totals[0] + rates[1] / totals[1]))
    value = rates[0] - rates[1]
    p = float(2 * stdtr(max(freedom, 1), -abs(log) / deviation))
    text = (
        f"The {measure} of an account is {number(rates[0])} where prioritized and {number(rates[1])} where not: "
        f"{_more(ratio)} (p {p:.2g})."
    )
    return Impact(
        measure, _NAMES, found, totals, rates, Estimate(value, value - apart, value + apart), ratio, p, np.nan,
        (spread, spread), text, _warnings(first, np.arange(len(counts)), covariates, randomized),
    )  # fmt: skip


def balance(covariates: pd.DataFrame, prioritized: Any) -> pd.DataFrame:
    """Whether two groups were alike before one was given priority.

    Args:
        covariates: ``[N]`` rows with what was known before: numbers and levels.
        prioritized: ``[N]`` True for the group that was given priority.

    Returns:
        One row a column: ``column``, ``difference`` (of the means, in standard deviations; of levels, the largest of
        their shares' differences), ``p`` (Welch's test; of levels, the chi-squared test) and ``unbalanced``: whether it
        stands out at 1 % among all columns, by Benjamini and Hochberg. Columns of other kinds are left out.

    Raises:
        DataError: if the arrays do not fit together.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from hanjax.monitoring.impact import balance
        >>> scores = pd.DataFrame({"score": np.arange(100.0), "region": ["EMEA", "APAC"] * 50})
        >>> balance(scores, np.arange(100) >= 50)["unbalanced"].tolist()
        [True, False]
    """
    first = np.asarray(prioritized, bool)
    if first.shape != (len(covariates),):
        raise DataError(f"covariates and prioritized: {len(covariates):,} rows and {list(first.shape)}.")
    rows = []
    for name, values in covariates.items():
        kind = kind_of(values)
        if kind == "number":
            rows.append([str(name), *_welch(values.to_numpy(float, na_value=np.nan), first)])
        elif kind == "level":
            rows.append([str(name), *_chi_squared(as_texts(values).fillna("(missing)"), first)])
    table = pd.DataFrame(rows, columns=["column", "difference", "p"])
    return table.assign(unbalanced=table["p"] <= cut(table["p"].dropna().to_numpy(), 0.01))


def _groups(values: Any, prioritized: Any, accounts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Who is in the first group, and each row's account as a number."""
    first, size = np.asarray(prioritized), len(np.asarray(values))
    if first.dtype != bool or first.shape != (size,):
        raise DataError(f"prioritized: expected bool [{size}], got {first.dtype}{list(first.shape)}.")
    if first.all() or not first.any():
        raise DataError(f"prioritized: all of {plural(size, 'row')} are in one group; there is nothing to compare.")
    whose = np.arange(size) if accounts is None else pd.factorize(pd.Series(accounts))[0]
    if whose.shape != (size,) or (whose < 0).any():
        raise DataError(f"accounts: expected [{size}], none missing.")
    both = np.intersect1d(whose[first], whose[~first])
    if len(both):
        names = pd.Series(accounts).iloc[[int(np.argmax(whose == one)) for one in both[:5]]]
        remedy = "Decide by which priority was given to the whole account, or leave these rows out."
        raise DataError.rows("accounts", "account", "is in both groups", count=len(both), first=names, remedy=remedy)
    return first, whose


def _design_effect(outcomes: np.ndarray, whose: np.ndarray) -> float:
    _, of = np.unique(whose, return_inverse=True)
    rows, rate = np.bincount(of), outcomes.mean()
    if len(rows) == len(outcomes) or len(rows) < 2 or not 0 < rate < 1:
        return 1.0
    residual = np.bincount(of, outcomes - rate)
    effect = len(rows) / (len(rows) - 1) * (residual**2).sum() / (len(outcomes) * rate * (1 - rate))
    return max(float(effect), 1.0)


def _warnings(
    first: np.ndarray, whose: np.ndarray, covariates: pd.DataFrame | None, randomized: bool
) -> tuple[str, ...]:
    """Why the groups may differ for another reason."""
    found = []
    if not randomized:
        found.append(
            "Priority was not given by lot, or nobody said so: the groups may differ for other reasons than priority."
        )
    if covariates is not None:
        if len(covariates) != len(first):
            raise DataError(f"covariates: expected {len(first):,} rows, got {len(covariates):,}.")
        once = np.unique(whose, return_index=True)[1]  # an account's rows say the same thing several times
        table = balance(covariates.iloc[once], first[once])
        off = table.loc[table["unbalanced"], "column"].tolist()
        if off:
            found.append(
                f"The groups were not alike before: they differ in {', '.join(off)} more than by chance, as groups "
                "that are chosen by a score do. Compare accounts of about the same score."
            )
    return tuple(found)


def _welch(values: np.ndarray, first: np.ndarray) -> tuple[float, float]:
    from scipy.special import stdtr

    groups = [values[rows & ~np.isnan(values)] for rows in (first, ~first)]
    if min(map(len, groups)) < 2:
        return np.nan, np.nan
    means, variances = ([float(f(group)) for group in groups] for f in (np.mean, lambda group: np.var(group, ddof=1)))
    parts = [variance / len(group) for variance, group in zip(variances, groups, strict=True)]
    apart = means[0] - means[1]
    if not sum(parts):
        return (0.0, 1.0) if not apart else (float(np.copysign(np.inf, apart)), 0.0)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True))
    return apart / np.sqrt(np.mean(variances)), float(2 * stdtr(freedom, -abs(apart) / np.sqrt(sum(parts))))


def _chi_squared(texts: pd.Series, first: np.ndarray) -> tuple[float, float]:
    from scipy.special import chdtrc

    table = pd.crosstab(texts.to_numpy(), first).to_numpy(float)
    if table.shape[0] < 2:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    shares = table / table.sum(axis=0)
    most = int(np.argmax(np.abs(shares[:, 1] - shares[:, 0])))
    p = float(chdtrc(len(table) - 1, ((table - expected) ** 2 / expected).sum()))
    return float(shares[most, 1] - shares[most, 0]), p


def _points(found: Estimate) -> str:
    value, low, high = (100 * one for one in found)
    if value < 0:
        return f"{-value:.3g} points less [{-high:.3g}, {-low:.3g}]"
    return f"{value:.3g} points more [{low:.3g}, {high:.3g}]"


def _times(found: Estimate) -> str:
    return f"{found.value:.3g} times as much [{found.low:.3g}, {found.high:.3g}]"


def _more(found: Estimate) -> str:
    """A ratio as per cent more, or less."""
    value, low, high = (100 * (one - 1) for one in found)
    return f"{abs(value):.3g} % {'more' if value >= 0 else 'less'} [{low:+.3g} %, {high:+.3g} %]"
