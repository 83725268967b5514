"""What drift is by chance: samples like the current one, drawn from the reference account by account."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_ROWS = 20_000
"""More current rows than these are stood for by so many: the statistics are about in proportion to 1 / rows."""
_CELLS = 4_000_000
"""Rows drawn at a time; bounds the memory."""
_SMOOTHING = 0.5
"""Added to the count of every bin, as in ``hanjax.evaluation.drift``."""


class Null(NamedTuple):
    """What a statistic is by chance, as a gamma distribution with the mean and variance of the draws.

    Args:
        mean: of the draws.
        variance: of the draws.
    """

    mean: float
    variance: float

    def p(self, value: float) -> float:
        """How often the statistic is as large by chance."""
        from scipy.special import gammaincc

        if self.variance <= 0:
            return 1.0 if value <= self.mean * (1 + 1e-9) else 0.0
        return float(gammaincc(self.mean**2 / self.variance, value * self.mean / self.variance))

    def threshold(self, p: float) -> float:
        """The value that is exceeded by chance with probability p."""
        from scipy.special import gammainccinv

        if self.variance <= 0:
            return self.mean
        return float(gammainccinv(self.mean**2 / self.variance, p) * self.variance / self.mean)


class Kept(NamedTuple):
    """Rows of the reference from which samples are drawn, those of an account next to each other.

    Args:
        accounts: ``[n]`` the account of each row, as a number; sorted.
        codes: ``[n, C]`` the bin of each row in each column, -1 where no value is.
    """

    accounts: Int[np.ndarray, " n"]
    codes: Int[np.ndarray, "n C"]

    def take(self, rows: Bool[np.ndarray, " n"]) -> "Kept":
        """Some of the rows."""
        return Kept(self.accounts[rows], self.codes[rows])


def divergences(
    reference: Float[np.ndarray, "*r b"], current: Float[np.ndarray, "*r b"]
) -> tuple[Float[np.ndarray, "*r"], Float[np.ndarray, "*r"]]:
    """Population stability index and Jensen-Shannon divergence of counts, of many samples at once.

    Args:
        reference: ``[..., B]`` rows in each bin.
        current: ``[..., B]`` the same of the other sample.

    Returns:
        Both, ``[...]``, as ``hanjax.evaluation.drift`` gives them of one pair of samples.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.chance import divergences
        >>> [round(float(found), 4) for found in divergences(np.array([50.0, 50.0]), np.array([80.0, 20.0]))]
        [0.4063, 0.0715]
    """
    p, q = (counts + _SMOOTHING for counts in (np.asarray(reference, float), np.asarray(current, float)))
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    shannon = np.sum(p * np.log2(p / middle) + q * np.log2(q / middle), axis=-1) / 2
    return np.sum((q - p) * np.log(q / p), axis=-1), np.maximum(shannon, 0.0)


def nulls(
    kept: Kept,
    bins: list[int],
    *,
    accounts: int,
    clusters: Int[np.ndarray, " a"],
    resamples: int,
    seed: int,
    used: list[Bool[np.ndarray, " b"]] | None = None,
) -> list[tuple[Null, Null]]:
    """What both divergences of each column would be, had the current rows come from the reference.

    Each draw is a pair of samples. One stands for the reference, whose own accounts are a sample, too: as many accounts
    as it has, with all their rows. The other one stands for the current rows: for each of their accounts one account of
    the reference, picked in proportion to its rows, of which it takes as many successive rows, from a random one on
    (and round to the first) as the current account has. So rows of one account stay together, and depend on each other
    as they do. A bin in which the reference has no row may be met by chance all the same: by one account in A + 1.

    Args:
        kept: rows of the reference.
        bins: how many bins each column has.
        accounts: A, how many accounts the reference had when its bins were counted.
        clusters: ``[a]`` how many rows each current account has.
        resamples: how many pairs are drawn.
        seed: of the draws.
        used: of each column, the bins that count; None for all.

    Returns:
        For each column what the population stability index and the Jensen-Shannon divergence are by chance.

    Source: Efron and Tibshirani (1993), An introduction to the bootstrap, on the two-sample problem; Satterthwaite
        (1946) and Rao and Scott (1981) for the gamma distribution of sums of squares of clustered counts.
    """
    random = np.random.default_rng(seed)
    shrink = max(1, int(clusters.sum()) // _ROWS)
    clusters = np.sort(clusters)[::shrink]
    begin = np.flatnonzero(np.diff(kept.accounts, prepend=-1))
    length = np.diff(np.append(begin, len(kept.accounts)))
    of_row = np.repeat(np.arange(len(begin)), length)
    others = max(round(accounts / shrink), 1)
    weights = random.multinomial(others, np.full(len(begin), 1 / len(begin)), size=resamples).astype(np.float32)
    within = np.concatenate([np.arange(size) for size in clusters])
    counts = [np.zeros((resamples, size)) for size in bins]
    step = max(_CELLS // max(len(within), 1), 1)
    for some in (slice(start, min(start + step, resamples)) for start in range(0, resamples, step)):
        first = random.integers(len(of_row), size=(some.stop - some.start, len(clusters)))
        rows = np.repeat(first, clusters, axis=1)
        account = of_row[rows]
        rows = begin[account] + (rows - begin[account] + within) % length[account]
        for column, table in enumerate(counts):
            codes = kept.codes[:, column][rows]
            places = np.arange(len(codes))[:, None] * (bins[column] + 1) + codes + 1
            found = np.bincount(places.ravel(), minlength=len(codes) * (bins[column] + 1))
            table[some] = found.reshape(len(codes), -1)[:, 1:]
    found, mean_size = [], len(within) / max(len(clusters), 1)
    for column, table in enumerate(counts):
        codes = kept.codes[:, column]
        cells = np.bincount(of_row * (bins[column] + 1) + codes + 1, minlength=len(begin) * (bins[column] + 1))
        cells = cells.reshape(len(begin), -1)[:, 1:].astype(np.float32)
        empty = np.flatnonzero(cells.sum(axis=0) == 0)
        if len(empty):
            met = random.binomial(len(clusters), 1 / (accounts + 1), size=resamples)
            table[np.arange(resamples), random.choice(empty, size=resamples)] += met * mean_size
        some = slice(None) if used is None else used[column]
        pairs = divergences((weights @ cells)[:, some], table[:, some])
        found.append(tuple(Null(float(d.mean() / shrink), float(d.var(ddof=1) / shrink**2)) for d in pairs))
    return found


def rate_deviation(*samples: tuple[Float[np.ndarray, " a"], Float[np.ndarray, " a"]]) -> float:
    """The standard deviation of the difference of two samples' rates, if they are of the same kind of accounts.

    With x_a of the n_a rows of account a being hits, r the rate of both samples together and N the rows of a sample,
    the variance of a sample's rate is sum_a (x_a - r n_a)^2 / N^2: rows of one account may depend on each other.

    Args:
        *samples: of each, hits and rows of its accounts, ``[A]`` both.

    Returns:
        The deviation.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.chance import rate_deviation
        >>> half, every = (np.repeat([0.0, 1.0], 50), np.ones(100)), (np.ones(40), np.ones(40))
        >>> round(rate_deviation(half, every), 4)
        0.0768

    Source: Rao and Scott (1992), A simple method for the analysis of clustered binary data; as a score test.
    """
    rate = sum(hits.sum() for hits, _ in samples) / sum(rows.sum() for _, rows in samples)
    return float(np.sqrt(sum(((hits - rate * rows) ** 2).sum() / rows.sum() ** 2 for hits, rows in samples)))


def exceeding(found: int, accounts: int, *, known: int, unlike: int) -> float:
    """How often so many accounts, or more, are unlike all those of the reference, if they are of the same kind.

    Of one account more, the probability to be so is a random number, as the reference is a sample: Beta(u, A + 1 - u).
    So the number is beta-binomial. Lower than the lowest and higher than the highest value: u = 2, exactly. With a new
    level: about one more than the accounts that have a level of their own (Good and Turing).

    Args:
        found: how many are unlike.
        accounts: of how many.
        known: A, the accounts of the reference.
        unlike: u.

    Returns:
        The probability.

    Example:
        >>> from hanjax.monitoring.chance import exceeding
        >>> round(exceeding(1, 1, known=9, unlike=2), 3), exceeding(0, 5, known=9, unlike=2)
        (0.2, 1.0)

    Source: Wilks (1942) on tolerance limits, as order statistics say how much lies beyond them; Good (1953).
    """
    from scipy.special import betaln, gammaln, logsumexp

    if found <= 0 or known < unlike:
        return 1.0
    k, rest = np.arange(found, accounts + 1), known + 1 - unlike
    ways = gammaln(accounts + 1) - gammaln(k + 1) - gammaln(accounts - k + 1)
    return float(min(np.exp(logsumexp(ways + betaln(k + unlike, accounts - k + rest) - betaln(unlike, rest))), 1.0))


def cut(p: Float[np.ndarray, " m"], alpha: float) -> float:
    """Up to which p many findings together stand out, by Benjamini and Hochberg.

    Args:
        p: ``[m]`` of all findings.
        alpha: the share of false ones among those that stand out; where nothing has changed, how often any does.

    Returns:
        The largest p(i) with p(i) <= i alpha / m, counted in order; alpha / m where there is none.

    Example:
        >>> import numpy as np
        >>> from hanjax.monitoring.chance import cut
        >>> cut(np.array([0.001, 0.2, 0.02]), 0.05), round(cut(np.array([0.5, 0.9]), 0.05), 3)
        (0.02, 0.025)

    Source: Benjamini and Hochberg (1995); it holds for findings that depend on each other positively, too
        (Benjamini and Yekutieli 2001).
    """
    if not len(p):
        return alpha
    ordered = np.sort(p)
    passed = ordered <= alpha * np.arange(1, len(p) + 1) / len(p)
    return float(ordered[passed].max()) if passed.any() else alpha / len(p)
