"""The statistics that the paper publishes of its data, and the same ones of other tables."""

import numpy as np
import pandas as pd

from hanjax.types import Tables

PAPER = {
    "accounts": 2516,
    "individuals": 11567,
    "individuals per account, mean": 4.6,
    "individuals per account, minimum": 3,
    "individuals per account, maximum": 25,
    "activities per active week, minimum": 1,
    "activities per active week, 90th percentile": 8,
    "activities per active week, 96th percentile": 9,
    "activities per active week, maximum": 114,
    "weeks from first to last activity, minimum": 1,
    "weeks from first to last activity, 90th percentile": 27,
    "weeks from first to last activity, maximum": 35,
    "weekly samples per conversion": 625,
}
"""As in the paper's Data section; the last is not published, but its class weights of 500 to 750 tell about it."""


def compare(tables: Tables) -> pd.DataFrame:
    """Puts statistics of a market beside those that the paper publishes.

    Weeks are Sunday to Saturday. A percentile is the smallest value that so large a share does not exceed.

    Args:
        tables: a simulated market's tables.

    Returns:
        One row per statistic, with the columns ``paper`` and ``here``.

    Example:
        >>> from hanjax.simulation import compare, simulate
        >>> compare(simulate().tables).loc["activities per active week, 96th percentile"].tolist()
        [9.0, 9.0]
    """
    weeks = pd.DataFrame({"who": tables.events["individual_id"], "week": _week(tables.events["timestamp"])})
    ends = weeks.groupby("who")["week"].agg(["min", "max"])
    span = (ends["max"] - ends["min"] + 1).to_numpy()
    volume = weeks.groupby(["who", "week"]).size().to_numpy()
    members = tables.individuals.groupby("account_id").size().to_numpy()
    accounts = tables.accounts.set_index("account_id")
    first = _week(tables.individuals.groupby("account_id")["arrived_at"].min())
    last = _week(accounts["converted_at"].fillna(accounts["observed_to"] - pd.Timedelta(days=1)))
    conversions = accounts["converted_at"].notna().sum()
    values = [
        len(accounts),
        len(tables.individuals),
        members.mean(),
        members.min(),
        members.max(),
        volume.min(),
        np.quantile(volume, 0.90, method="inverted_cdf"),
        np.quantile(volume, 0.96, method="inverted_cdf"),
        volume.max(),
        span.min(),
        np.quantile(span, 0.90, method="inverted_cdf"),
        span.max(),
        (last - first).sum() / conversions if conversions else np.inf,
    ]
    return pd.DataFrame({"paper": list(PAPER.values()), "here": values}, index=pd.Index(PAPER, name="statistic"))


def _week(times: pd.Series) -> pd.Series:
    return (times - pd.Timestamp("1970-01-04")) // pd.Timedelta(days=7)
