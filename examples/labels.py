"""From a table of opportunities to labels, with the evidence behind each.

Command:   python examples/labels.py [--quick]
Time:      about a second
Expected:  how many labels there are and what was left out, then how the first failures became successes
"""

import argparse

import numpy as np
import pandas as pd

from hanjax.labels import AccountPropensity, audit, make_labels


def simulate(accounts: int) -> pd.DataFrame:
    """Attempts to sell: each account is tried until it buys, three times at most."""
    random = np.random.default_rng(0)
    rows = []
    for account in range(accounts):
        region, created = str(random.choice(["EMEA", "APAC"])), int(random.integers(0, 300))
        for _ in range(3):
            closed, stage = (
                created + int(random.integers(10, 60)),
                str(random.choice(["won", "disengaged"], p=[0.3, 0.7])),
            )
            is_open = closed > 400
            rows.append(
                (account, region, created, None if is_open else closed, "open" if is_open else f"closed {stage}")
            )
            if is_open or stage == "won":
                break
            created = closed + int(random.integers(5, 90))
    table = pd.DataFrame(rows, columns=["account_id", "region", "created_at", "closed_at", "stage"])
    days = {
        name: pd.Timestamp("2023-01-01") + pd.to_timedelta(table[name], unit="D")
        for name in ("created_at", "closed_at")
    }
    return table.assign(opportunity_id=[f"o{row}" for row in range(len(table))], **days)


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer accounts")
    opportunities = simulate(accounts=30 if parser.parse_args().quick else 300)
    labels = make_labels(opportunities, AccountPropensity(name="account propensity", retry_within=180))
    audit(labels, opportunities)  # raises unless each label holds
    print(labels)
    print(labels.summary().to_string(index=False))
    flipped = labels.evidence[labels.evidence["by"].notna()]
    print(flipped[["opportunity_id", "account_id", "verdict", "by"]].head(3).to_string(index=False))


if __name__ == "__main__":
    main()
