"""From a CRM's CSV export, with column names of its own, to the week's call list.

Command:   python examples/own_tables.py [--quick]
Time:      about twenty seconds on two CPU cores
Expected:  what is in the export and what is left out, then the three individuals to call first
"""

import argparse
import tempfile
from pathlib import Path

import hanjax

NAMES = {"timestamp": "sent_at", "activity": "type", "individual_id": "contact", "account_id": "company"}


def export(folder: Path, accounts: int) -> None:
    """Writes what a CRM might: a simulated market under other column names."""
    tables = hanjax.simulate(accounts=accounts, conversions=0.4, seed=3).tables
    for name in ("events", "individuals", "accounts"):
        getattr(tables, name).rename(columns=NAMES).to_csv(folder / f"{name}.csv.gz", index=False)


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer accounts and one epoch")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(folder, accounts=60 if quick else 600)
        columns = tuple(NAMES.items())
        config = hanjax.Config().replace(columns=columns, epochs=1 if quick else 8, test=0.2)
        print(hanjax.describe(folder, config.panel))
        run = hanjax.fit(folder, config=config)
        people = hanjax.score(run, folder, as_of="2021-08-31").individuals
    print(people.nlargest(3, "score")[["account_id", "individual_id", "score"]].to_string(index=False))


if __name__ == "__main__":
    main()
