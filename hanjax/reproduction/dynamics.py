"""What scores do over time: beside the volume of activities, at a threshold, and for the two accounts of figure 1."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.reproduction.learn import Scored
from hanjax.reproduction.measures import known

FALSE_ALARMS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the accounts that do not convert which a threshold may let through."""


def volume_regression(scored: Scored, volume: Float[np.ndarray, " N"]) -> dict[str, Any]:
    """Whether scores follow the volume of activities otherwise in accounts that convert.

    Within each account, Pearson's correlation between the activities of the last week before a cut-off and the
    probability at it; then an ordinary least-squares regression of the correlation on whether the account converts.

    Args:
        scored: a model's scores.
        volume: ``[N]`` activities of the sample's account in the last week.

    Returns:
        Numbers of accounts, mean correlation of each group, slope, and the slope's two-sided p.

    Source: section 7.6 of the paper, where p = 0.86.
    """
    rows = np.isfinite(scored.score)
    table = pd.DataFrame(
        {
            "account": scored.account[rows],
            "score": 1 / (1 + np.exp(-scored.score[rows].astype(float))),
            "volume": np.asarray(volume, float)[rows],
            "label": np.nan_to_num(scored.label[rows]),
        }
    )
    correlation, converts = [], []
    for rows in table.groupby("account").indices.values():
        score, active, label = (table[name].to_numpy()[rows] for name in ("score", "volume", "label"))
        if len(rows) >= 3 and score.std() > 1e-12 and active.std() > 0:
            correlation.append(np.corrcoef(score, active)[0, 1])
            converts.append(label.max() == 1)
    y, x = np.array(correlation), np.array(converts, float)
    groups = {
        "accounts": len(y),
        "converted": int(x.sum()),
        "mean_converted": float(y[x == 1].mean()) if (x == 1).any() else np.nan,
        "mean_other": float(y[x == 0].mean()) if (x == 0).any() else np.nan,
    }
    if len(y) < 3 or x.std() == 0:
        return {**groups, "slope": np.nan, "p": np.nan}
    from scipy import stats

    fitted: Any = stats.linregress(x, y)
    return {**groups, "slope": float(fitted.slope), "p": float(fitted.pvalue)}


def threshold_crossings(scored: Scored) -> pd.DataFrame:
    """How early a score crosses a threshold before its account converts, against how often it does so in vain.

    Args:
        scored: a model's scores.

    Returns:
        One row a threshold: ``false_alarms`` (share of the accounts without a conversion that ever reach it),
        ``threshold`` (a probability), ``caught`` (share of converting accounts that reach it by the start of the period
        of conversion), ``periods_before`` (median over those; 0 is the period of conversion itself) and quartiles.

    Source: the paper's conclusion.
    """
    rows = known(scored)
    table = pd.DataFrame(
        {"account": scored.account[rows], "period": scored.period[rows], "score": scored.score[rows].astype(float)}
    ).assign(label=scored.label[rows])
    by_account: Any = table.groupby("account")
    converts, highest = by_account["label"].max() == 1, by_account["score"].max()
    others = highest[~converts].to_numpy()
    when: Any = table[table["label"] == 1].set_index("account")["period"]
    found = []
    for share in FALSE_ALARMS:
        if not len(others) or not len(when):
            break
        threshold = float(np.quantile(others, 1 - share))
        first: Any = table[table["score"] > threshold].groupby("account")["period"].min()
        before = (when - first.reindex(when.index)).dropna()
        quartiles = np.quantile(before, [0.25, 0.5, 0.75]) if len(before) else [np.nan] * 3
        found.append(
            {
                "false_alarms": float((others > threshold).mean()),
                "threshold": float(1 / (1 + np.exp(-threshold))),
                "caught": len(before) / len(when),
                "periods_before": float(quartiles[1]),
                "quarter": float(quartiles[0]),
                "three_quarters": float(quartiles[2]),
                "converting": len(when),
                "others": len(others),
            }
        )
    return pd.DataFrame(found)


class Telling(NamedTuple):
    """The two accounts of figure 1, as positions among the test's accounts; None where no account fits the rule.

    Args:
        flat: the group stays flat and low, its individuals score higher.
        rising: the group stays flat for weeks, then shoots up before it converts.
    """

    flat: int | None
    rising: int | None


RULES = (
    "Left: of the accounts with at least 10 cut-offs that never convert and whose score never leaves the lower half of "
    "all scores, the one whose highest individual lies furthest above the group, in log-odds, at the median cut-off.",
    "Right: of the accounts with at least 8 cut-offs that convert, the one whose score rises most in log-odds from the "
    "median of all but its last two cut-offs to the highest of these two, less the range of the earlier ones, "
    "if that is above zero.",
)
"""How the two accounts are chosen, in words."""


def telling_accounts(scored: Scored) -> Telling:
    """Chooses the accounts of figure 1 by ``RULES``.

    Args:
        scored: a model's scores with those of individuals.

    Returns:
        The two accounts.
    """
    score = np.where(np.isfinite(scored.score), scored.score, -50.0).astype(float)
    best = np.full(len(score), -np.inf)
    np.maximum.at(best, scored.sample, np.nan_to_num(scored.own.astype(float), neginf=-50.0))
    middle, flat, rising = float(np.median(score)), [], []
    for account, rows in pd.Series(score).groupby(scored.account).indices.items():
        own = score[rows]
        converts = (scored.label[rows] == 1).any()
        if not converts and len(rows) >= 10 and own.max() <= middle:
            flat.append((float(np.median(best[rows] - own)), account))
        if converts and len(rows) >= 8:
            calm, last = own[:-2], own[-2:]
            excess = float(last.max() - np.median(calm) - np.ptp(calm))
            if excess > 0:  # otherwise it does not rise at all, or was never flat
                rising.append((excess, account))
    return Telling(*(int(max(found)[1]) if found else None for found in (flat, rising)))
