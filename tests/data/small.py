"""A small valid data set, from which tests depart."""

import pandas as pd

from hanjax.types import Tables


def small(**changed: pd.DataFrame) -> Tables:
    """Three accounts, five individuals, eight events; tables given by name stand in for the usual ones."""
    tables = {
        "events": pd.DataFrame(
            {
                "account_id": [10, 10, 20, 30, 10, 20, 30, 30],
                "individual_id": [1, 2, 3, 4, 1, 3, 5, 4],
                "timestamp": [f"2024-01-{day:02d}T10:00:00Z" for day in (8, 9, 10, 11, 12, 13, 14, 15)],
                "activity": ["visit", "form", "visit", "call", "call", "form", "visit", "visit"],
            }
        ),
        "individuals": pd.DataFrame(
            {
                "individual_id": [1, 2, 3, 4, 5],
                "account_id": [10, 10, 20, 30, 30],
                "arrived_at": [f"2024-01-{day:02d}T00:00:00Z" for day in (5, 4, 5, 5, 5)],
                "role": ["engineer", "manager", None, "engineer", "buyer"],
                "floor": [1.0, 2.0, None, 2.0, 1.0],
                "remote": [True, False, True, True, False],
            }
        ),
        "accounts": pd.DataFrame(
            {
                "account_id": [10, 20, 30],
                "observed_from": ["2024-01-02", "2024-01-03", "2024-01-04"],
                "observed_to": ["2024-02-01", "2024-02-02", "2024-02-03"],
                "converted_at": ["2024-02-01", None, "2024-01-31"],
                "name": ["Ten", "Twenty", "Thirty"],
                "employees": [250.0, None, 12.0],
                "listed": [True, False, False],
                "industry": ["steel", "paper", None],
            }
        ),
    }
    return Tables(**{**tables, **changed})


def altered(table: str, row: int | None = None, **values: object) -> Tables:
    """The small data set with other values in one row of a table, or in whole columns if no row is given."""
    data = getattr(small(), table).copy()
    for column, value in values.items():
        if row is None:
            data[column] = value
        else:
            cells = list(data[column])
            cells[row] = value
            data[column] = pd.Series(
                cells, dtype=None if any(cell is None for cell in cells) else object
            ).infer_objects()
    return small(**{table: data})


def longer(table: str, **row: object) -> Tables:
    """The small data set with one more row of a table, a copy of its first one but for what is given."""
    data = getattr(small(), table)
    more = data.iloc[[0]].assign(**row)
    return small(**{table: pd.concat([data, more], ignore_index=True)})
