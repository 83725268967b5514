"""Samples that a model cannot tell apart: left out, softened, or abstained from, and what abstaining is worth."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hanjax.errors import ConfigError, DataError
from hanjax.labels.making import Labels
from hanjax.settings import require

ABSTAIN = "abstain"


class Band(NamedTuple):
    """Which samples are confused: those whose log-odds are no farther from the center than the width.

    Args:
        center: a probability.
        width: in log-odds; infinite where everything is confused.
        confused: ``[N]`` which samples are; one without a probability always is.
    """

    center: float
    width: float
    confused: Bool[np.ndarray, " N"]

    @property
    def low(self) -> float:
        """The lowest probability in the band."""
        return float(_expit(_logit(self.center) - self.width))

    @property
    def high(self) -> float:
        """The highest probability in the band."""
        return float(_expit(_logit(self.center) + self.width))


class Treated(NamedTuple):
    """A table whose confused samples were dealt with.

    Args:
        table: the rows that are left, with ``confused``, of "abstain" also ``decision``.
        left_out: the rows that are not, with the ``reason``.
        band: which samples were confused.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame
    band: Band

    def __repr__(self) -> str:
        """Says how many samples are confused, and where the band lies."""
        b = self.band
        return (
            f"Treated({b.confused.sum():,} of {len(b.confused):,} samples confused, with probabilities "
            f"{b.low:.3f}..{b.high:.3f} around {b.center:.3f}; {len(self.left_out):,} left out)"
        )


def confusion_band(
    probability: Float[np.ndarray, " N"],
    label: Float[np.ndarray, " N"] | None = None,
    *,
    around: Literal["half", "base rate"] = "half",
    width: float | None = None,
    share: float | None = None,
) -> Band:
    """Finds the samples whose probability says hardly more than the center does: |log-odds(p) - log-odds(c)| <= width.

    Args:
        probability: ``[N]`` out-of-fold probabilities, NaN where there is none.
        label: ``[N]`` 1, 0 or in between, NaN where unknown; needed for the base rate only.
        around: the center c: 0.5, or the mean label. A rare event is hardly ever as likely as not, so that a model of
            one is confused around the base rate.
        width: of the band to each side, in log-odds.
        share: of the samples that are confused, instead of the width: that of the nearest ones. Equal distances are
            confused together, so that there can be more.

    Returns:
        The band.

    Raises:
        ConfigError: if not one of width and share is given, or it cannot be.
        DataError: if something is no probability, or there is no base rate strictly between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from hanjax.labels import confusion_band
        >>> band = confusion_band(np.array([0.1, 0.45, 0.6, np.nan]), width=0.5)
        >>> band.confused.tolist(), round(band.low, 3), round(band.high, 3)
        ([False, True, True, True], 0.378, 0.622)

    Source: Chow (1970), On optimum recognition error and reject tradeoff: abstain where the posterior is near 1/2.
    """
    if (width is None) == (share is None):
        raise ConfigError("width, share: give one of them, and not both.")
    probability = _probabilities(probability)
    center = _center(around, label, len(probability))
    distance = np.abs(_logit(probability) - _logit(center))
    if width is None:
        assert share is not None
        require(0 <= share <= 1, "share", share, "a share from 0 to 1")
        known = np.sort(distance[~np.isnan(distance)])
        nearest = math.ceil(round(share * len(known), 9))
        width = float(known[nearest - 1]) if nearest else 0.0
    require(width >= 0, "width", width, "at least 0")
    # Two log-odds of one probability may differ in the last digit.
    return Band(center, width, ~(distance > width * (1 + 1e-12) + 1e-12))


def treat_confused(
    labels: Labels | pd.DataFrame,
    probability: Float[np.ndarray, " N"],
    *,
    how: Literal["abstain", "soft", "drop"] = "abstain",
    around: Literal["half", "base rate"] = "half",
    width: float | None = None,
    share: float | None = None,
    mix: float = 0.5,
    tier: str = "tier",
) -> Treated:
    """Deals with the samples that a model cannot tell apart, so that none of them counts as a confident one.

    "drop" leaves labeled ones out. "soft" moves their labels towards the probability: y' = (1 - mix) y + mix p.
    "abstain" changes no label and writes a ``decision``: "abstain", or the row's tier, or without tiers "yes" above the
    center and "no" below it. Rows without a label, which are to be scored, are neither dropped nor softened.

    Args:
        labels: labels, or a DataFrame with a column ``label`` (of "abstain", only the base rate needs it).
        probability: ``[N]`` of each row, from a model that was not trained on it; NaN where there is none, which is
            confused.
        how: "abstain", "soft" or "drop".
        around: "half" or "base rate"; see ``confusion_band``.
        width: of the band to each side, in log-odds.
        share: of the samples that are confused, instead of the width.
        mix: how far a label moves, above 0 and at most 1.
        tier: the column that says which tier a row is in, if there is one.

    Returns:
        The table, what was left out, and the band.

    Raises:
        ConfigError: if a setting cannot be.
        DataError: if the lengths differ, a probability is none, or a label is to be softened without one.

    Example:
        >>> import pandas as pd
        >>> from hanjax.labels import treat_confused
        >>> table = pd.DataFrame({"label": [1.0, 0.0, 1.0]})
        >>> treat_confused(table, [0.9, 0.5, 0.4], how="soft", width=0.5).table["label"].tolist()
        [1.0, 0.25, 0.7]
        >>> treat_confused(table, [0.9, 0.5, 0.4], width=0.5).table["decision"].tolist()
        ['yes', 'abstain', 'abstain']

    Source: Reed et al. (2015), Training Deep Neural Networks on Noisy Labels with Bootstrapping.
    """
    require(how in ("abstain", "soft", "drop"), "how", how, "one of 'abstain', 'soft', 'drop'")
    require(0 < mix <= 1, "mix", mix, "above 0 and at most 1")
    table = (labels.table if isinstance(labels, Labels) else labels).reset_index(drop=True)
    if how != "abstain" and "label" not in table:
        raise DataError(f"labels: the column 'label' is missing, which how={how!r} needs; there are {list(table)}.")
    given = np.asarray(probability, float)
    if given.shape != (len(table),):
        raise DataError(f"probability: expected one for each of {len(table):,} rows, got {list(given.shape)}.")
    label = table["label"].to_numpy(float) if "label" in table else None
    band = confusion_band(given, label, around=around, width=width, share=share)
    table = table.assign(confused=band.confused)
    nothing = table.iloc[:0].assign(reason=pd.Series(dtype="str"))
    if how == "abstain":
        decision = table[tier] if tier in table else pd.Series(np.where(given > band.center, "yes", "no"))
        return Treated(table.assign(decision=decision.astype("str").mask(band.confused, ABSTAIN)), nothing, band)
    assert label is not None
    concerned = band.confused & ~np.isnan(label)
    unknown = np.isnan(given)
    if how == "drop":
        reason = pd.Series(np.where(unknown, "no probability", "confused"), dtype="str")
        out = table[concerned].assign(reason=reason[concerned]).reset_index(drop=True)
        return Treated(table[~concerned].reset_index(drop=True), out, band)
    if (wrong := concerned & unknown).any():
        raise DataError.rows(
            "labels", "probability", "is missing, so that the label cannot be softened", count=int(wrong.sum()),
            first=[f"row {row}" for row in np.flatnonzero(wrong)[:5]],
            remedy='Give out-of-fold probabilities of every labeled row, or use how="drop".',
        )  # fmt: skip
    softened = np.where(concerned, (1 - mix) * label + mix * np.where(unknown, 0.0, given), label)
    return Treated(table.assign(label=softened), nothing, band)


def abstention(
    probability: Float[np.ndarray, " N"],
    label: Shaped[np.ndarray, " N"],
    accounts: Shaped[np.ndarray, " N"],
    *,
    around: Literal["half", "base rate"] = "half",
    shares: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """What is gained by abstaining from the samples nearest to the center: coverage against error and AUC.

    A sample that is decided is an error if its probability is above the center and its label 0, or the other way round.

    Args:
        probability: ``[N]`` out-of-fold probabilities; a sample without one (NaN) is abstained from.
        label: ``[N]`` 1 or 0; rows without one (NaN) are not counted.
        accounts: ``[N]`` each sample's account, by id or number.
        around: the center: "half", or "base rate" of the labels.
        shares: of the samples that are abstained from, at least: equal distances go together, and so do samples at the
            center itself.
        resamples: how many times accounts are drawn for the intervals.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row a share: ``share``, ``width`` and the probabilities ``low`` and ``high`` of the band, ``samples`` that
        are decided, their ``coverage`` of all, ``positives``, ``error`` with ``error_low`` and ``error_high``, and
        ``auc`` with ``auc_low`` and ``auc_high``; NaN where nothing is decided or one class is missing.

    Raises:
        ConfigError: if a share cannot be.
        DataError: if the arrays do not fit together, something is no probability, or a label is neither 0, 1 nor NaN.

    Example:
        >>> import numpy as np
        >>> from hanjax.labels import abstention
        >>> p, y = np.array([0.1, 0.2, 0.45, 0.55, 0.8, 0.9]), np.array([0, 0, 1, 0, 1, 1])
        >>> found = abstention(p, y, np.arange(6), shares=(0.0, 0.3), resamples=50)
        >>> found[["coverage", "error", "auc"]].round(2).values.tolist()
        [[1.0, 0.33, 0.89], [0.67, 0.0, 1.0]]

    Source: El-Yaniv and Wiener (2010), On the Foundations of Noise-free Selective Classification: the curve of risk and
        coverage. The intervals are those of ``hanjax.evaluation.intervals``, over resampled accounts.
    """
    from hanjax.evaluation.intervals import account_weights, interval, resampled_auc
    from hanjax.evaluation.metrics import auc
    from hanjax.evaluation.resampling import samples_of

    probability, label = _probabilities(probability), np.asarray(label, float)
    known = ~np.isnan(label)
    given = samples_of(np.nan_to_num(probability), np.where(known, label, 0), accounts, where=known)
    probability, size = probability[known], len(given.names)
    weights = account_weights(size, resamples=resamples, seed=seed)
    rows = []
    for share in shares:
        band = confusion_band(probability, given.labels, around=around, share=share)
        kept = ~band.confused
        scores, labels, codes = probability[kept], given.labels[kept], given.accounts[kept]
        row = {"share": share, "width": band.width, "low": band.low, "high": band.high, "samples": len(scores)}
        row |= {"coverage": len(scores) / len(kept) if len(kept) else np.nan, "positives": int(labels.sum())}
        wrong = ((scores > band.center) != labels).astype(float)
        drawn = weights @ np.bincount(codes, minlength=size)
        errors = np.divide(
            weights @ np.bincount(codes, wrong, size), drawn, out=np.full(len(drawn), np.nan), where=drawn > 0
        )
        error = interval(
            wrong.mean() if len(wrong) else np.nan,
            errors,
            level=level,
            positives=len(np.unique(codes)),
            measure="share",
        )
        area = interval(
            float(auc(scores, labels)), resampled_auc(scores, labels, codes, weights), level=level,
            positives=min(len(np.unique(codes[labels == one])) for one in (0, 1)),
        )  # fmt: skip
        for name, found in (("error", error), ("auc", area)):
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _probabilities(probability: Any) -> Float[np.ndarray, " N"]:
    values = np.asarray(probability, float)
    wrong = (values < 0) | (values > 1)
    if values.ndim != 1 or wrong.any():
        first = ", ".join(str(value) for value in values[wrong][:5])
        raise DataError(
            f"probability: expected [N] numbers from 0 to 1, got {list(values.shape)}; first wrong: {first}."
        )
    return values


def _center(around: str, label: Any, n: int) -> float:
    require(around in ("half", "base rate"), "around", around, "'half' or 'base rate'")
    if around == "half":
        return 0.5
    if label is None:
        raise DataError("label: labels are needed for the base rate. Give them, or take around='half'.")
    label = np.asarray(label, float)
    known = label[~np.isnan(label)]
    if label.shape != (n,) or not len(known) or not 0 < known.mean() < 1:
        raise DataError("label: expected [N] labels of which some are 1 and some are 0, for the base rate.")
    return float(known.mean())


def _logit(probability: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(probability) - np.log1p(-np.asarray(probability, float))


def _expit(logit: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -logit))
