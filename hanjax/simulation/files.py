"""A simulated market on disk: the user's tables, the truth, and the settings that they were made with."""

import dataclasses
import json
from pathlib import Path

from hanjax.errors import DataError
from hanjax.simulation.settings import Market


def write(market: Market, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Writes a market into a folder: its tables as Parquet (the folds as CSV), and the settings as JSON.

    Args:
        market: what ``simulate`` made.
        folder: where to; it is created if it does not exist.
        overwrite: also write into a folder that holds files already; the market's own files are replaced, and others
            stay.

    Returns:
        The folder.

    Raises:
        DataError: if the folder holds files and ``overwrite`` is False, or if it is no folder.

    Example:
        >>> import tempfile
        >>> from hanjax.simulation import simulate, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write(simulate(accounts=20), folder)
        ...     sorted(file.name for file in path.iterdir())  # doctest: +NORMALIZE_WHITESPACE
        ['accounts.parquet', 'events.parquet', 'folds.csv', 'individual_truth.parquet', 'individuals.parquet',
         'market.json', 'truth.parquet']
    """
    folder = new_folder(folder, overwrite=overwrite)
    outcomes = {} if market.tables.outcomes is None else {"outcomes": market.tables.outcomes}
    tables = {
        "events": market.tables.events,
        "individuals": market.tables.individuals,
        "accounts": market.tables.accounts,
        "truth": market.truth,
        "individual_truth": market.individual_truth,
        **outcomes,
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    market.tables.folds.to_csv(folder / "folds.csv", index=False)
    settings = {"settings": dataclasses.asdict(market.config), "intercept": market.intercept}
    (folder / "market.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder


def new_folder(folder: str | Path, *, overwrite: bool) -> Path:
    """Makes a folder to write into.

    Args:
        folder: where.
        overwrite: whether it may hold files already.

    Raises:
        DataError: if it holds files and may not, or is no folder.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; give a folder to write into.")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if held and not overwrite:
        raise DataError(
            f"{folder}: holds {', '.join(held[:5])}{', ...' if len(held) > 5 else ''}. "
            "Give an empty or new folder, or overwrite=True to replace what was simulated before."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
