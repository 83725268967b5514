"""Planted faults: each is something that happens to people, and each is caught with an error that says what to do."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from hanjax.checks import check_mart
from hanjax.errors import DataError, HanjaxError, RunError
from hanjax.features import Feature, Mart
from hanjax.labels import GoldSet, audit, make_labels, read_gold
from hanjax.monitoring import check_drift, reference_of
from hanjax.registry import Registry
from hanjax.simulation.company import Company


def show_faults(company: Company, mart: Mart, gold: GoldSet, registry: Registry, out: Path) -> list[str]:
    """Plants each fault in a copy, and prints how it was caught.

    Args:
        company: the company.
        mart: of its features.
        gold: a gold set of its labels.
        registry: with a champion.
        out: a folder for the copies.

    Returns:
        The messages.

    Raises:
        RunError: if a fault goes unnoticed.
    """
    print("\n=== Faults\nEach planted in a copy, and caught:")
    messages = []
    for name, fault in _faults(company, mart, gold, registry, out / "faults"):
        try:
            fault()
        except HanjaxError as caught:
            messages.append(str(caught))
            print(f"* {name}: {messages[-1][:400]}")
        else:  # which the tests would find, too
            raise RunError(f"{name}: nobody noticed.")
    return messages


def _faults(
    company: Company, mart: Mart, gold: GoldSet, registry: Registry, out: Path
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each fault by name, and what a careful user would call next."""
    shutil.rmtree(out, ignore_errors=True)
    cutoff = company.day(company.config.weeks // 2)

    def leak() -> None:
        table = company.tables.accounts.set_index("account_id")["observed_to"]

        def peeks(rows: pd.DataFrame) -> float:
            return float(table.size)

        leaking = Feature(name="peeks", aspect="growth", source="headcount", function=peeks)
        verdict = check_mart(mart.with_([leaking]), [cutoff])
        if not verdict.passed:
            raise DataError(str(verdict))

    def flipped_rule() -> None:
        rule = gold.labels.rule
        swapped = rule.replace(won=rule.disengaged, disengaged=rule.won)
        audit(make_labels(company.opportunities, swapped, observed_to=cutoff), company.opportunities)

    def shifted_column() -> None:
        matrix = mart.compute([cutoff]).drop(columns="cutoff")
        found = check_drift(
            reference_of({"features": matrix}), {"features": matrix.assign(booked_year=100 * matrix["booked_year"])}
        )
        if found.alarms:
            raise DataError(" ".join(found.alarms))

    def corrupted_entry() -> None:
        copy = Registry(shutil.copytree(registry.folder, out / "models"))
        model = next(copy.path("account-propensity").glob("model*"))
        os.chmod(model, 0o644)
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
        copy.path("account-propensity")

    def edited_gold() -> None:
        folder = Path(shutil.copytree(gold.folder, out / "gold"))
        file = next(folder.glob("*labels*.parquet"))
        table = pd.read_parquet(file)
        table.loc[table["label"].first_valid_index(), "label"] = 1 - table["label"].dropna().iloc[0]
        os.chmod(file, 0o644)
        table.to_parquet(file, index=False)
        read_gold(folder)

    yield "a leaking feature", leak
    yield "a flipped label rule", flipped_rule
    yield "a shifted column (cents for dollars)", shifted_column
    yield "a corrupted registry entry", corrupted_entry
    yield "an edited gold set", edited_gold
