"""Small tables of opportunities, by hand and at random."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

DAY = pd.Timestamp("2023-01-01")


def day(number: int) -> str:
    """A date, counted in days from 2023-01-01."""
    return (DAY + pd.Timedelta(days=number)).strftime("%Y-%m-%d")


def table(*rows: tuple, columns: str = "opportunity_id account_id region created_at closed_at stage") -> pd.DataFrame:
    """A table of opportunities; whole numbers in columns of dates are days from 2023-01-01, and None is empty."""
    found = pd.DataFrame(rows, columns=columns.split())
    for name in found.columns:
        if name.endswith("_at") or name.startswith("contract"):
            found[name] = [None if value is None or value != value else day(int(value)) for value in found[name]]
    return found


UPSELLS = "opportunity_id account_id product kind created_at closed_at stage amount contract_start contract_end"


def upsells(*rows: tuple) -> pd.DataFrame:
    """A table of contracts and upsells."""
    return table(*rows, columns=UPSELLS)


def random_deals(seed: int) -> pd.DataFrame:
    """Up to 60 opportunities of few accounts, regions and days, so that much falls together; contracts among them."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 61))
    stage = random.choice(["closed won", "closed disengaged", "prospecting"], n, p=[0.4, 0.4, 0.2])
    created = random.integers(0, 90, n)
    closed = created + random.integers(0, 40, n)
    start = closed + random.integers(-5, 10, n)
    given = {
        "opportunity_id": [f"o{number}" for number in random.permutation(n)],
        "account_id": random.integers(1, 4, n),
        "region": random.choice(["EMEA", "APAC"], n),
        "product": random.choice(["A", "B"], n),
        "kind": random.choice(["new", "add-on", "renewal"], n),
        "created_at": created,
        "closed_at": np.where(stage == "prospecting", np.nan, closed),
        "stage": stage,
        "amount": random.integers(0, 6, n).astype(float),
        "contract_start": np.where(stage == "closed won", start, np.nan),
        "contract_end": np.where(stage == "closed won", start + random.integers(0, 30, n), np.nan),
    }
    return table(*pd.DataFrame(given).itertuples(index=False, name=None), columns=" ".join(given))


def with_strays(given: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same deals, about one in five of which cannot be: something is missing, or dates are the wrong way round."""
    random, given = np.random.default_rng([seed, 1]), given.copy()
    for row in np.flatnonzero(random.random(len(given)) < 0.2):
        name = random.choice(["account_id", "region", "product", "created_at", "stage", "closed_at", "amount", "dates"])
        if name == "dates":
            given.loc[row, ["closed_at", "contract_end"]] = [day(-9), day(-9)]
        else:
            given.loc[row, name] = None
    return given


SEEDS = st.integers(0, 2**32 - 1)
