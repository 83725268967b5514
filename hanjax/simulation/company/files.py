"""A simulated company on disk: tables, opportunities and sources as a user would bring them, and the truth."""

import dataclasses
import json
from pathlib import Path

from hanjax.simulation.company.settings import Company
from hanjax.simulation.files import new_folder


def write_company(company: Company, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Writes a company into a folder, as Parquet: its tables and opportunities, its sources in ``sources``, the truth.

    Args:
        company: what ``simulate_company`` made.
        folder: where to; it is created if it does not exist.
        overwrite: also write into a folder that holds files already.

    Returns:
        The folder.

    Raises:
        DataError: if the folder holds files and ``overwrite`` is False, or if it is no folder.

    Example:
        >>> from hanjax.simulation.company import simulate_company, write_company
        >>> path = write_company(simulate_company(accounts=20, weeks=30), "company")
        >>> sorted(file.name for file in path.iterdir())  # doctest: +NORMALIZE_WHITESPACE
        ['accounts.parquet', 'company.json', 'effects.parquet', 'events.parquet', 'individuals.parquet',
         'opportunities.parquet', 'sources', 'truth.parquet']
    """
    folder = new_folder(folder, overwrite=overwrite)
    (folder / "sources").mkdir(exist_ok=True)
    tables = {name: table for name, table in company.tables._asdict().items() if table is not None}
    tables |= {name: getattr(company, name) for name in ("opportunities", "truth", "effects")}
    tables |= {f"sources/{name}": table for name, table in company.sources.items()}
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    text = json.dumps(dataclasses.asdict(company.config), indent=2)
    (folder / "company.json").write_text(text + "\n", encoding="utf-8")
    return folder
