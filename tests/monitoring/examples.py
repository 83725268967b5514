"""Tables whose rows of an account depend on each other, as those that are watched do."""

import numpy as np
import pandas as pd

REGIONS = ["EMEA", "AMER", "APAC"]


def table(accounts: int = 300, rows: int = 4, seed: int = 0) -> pd.DataFrame:
    """One row an account and period: dollars and industry of the account, visits of the period."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(accounts), rows)
    dollars = random.lognormal(3, 1, accounts)
    dollars[random.random(accounts) < 0.1] = np.nan
    busy = random.gamma(1.0, 2.0, accounts)
    return pd.DataFrame(
        {
            "account_id": [f"a{seed}-{account}" for account in of],
            "period": np.tile(np.arange(rows), accounts),
            "region": random.choice(REGIONS, accounts, p=[0.5, 0.3, 0.2])[of],
            "industry": random.choice(["steel", "retail", "bank", "school"], accounts)[of],
            "dollars": dollars[of],
            "visits": random.poisson(busy[of]),
            "budget": random.normal(size=accounts)[of] + 0.3 * random.normal(size=len(of)),
        }
    )
