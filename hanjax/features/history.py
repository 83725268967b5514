"""A folder of values as they were computed: added to, never overwritten.

catalog.json                                            all features: owner, description, and of each version its
                                                        definition, first and last cut-off, and coverage
feature=NAME/version=HASH/cutoff=TIME/COMPUTED.parquet  ``account_id``, ``value``, ``computed_at``; one file for each
                                                        computation that brought accounts or, revised, other values

One process writes at a time.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from hanjax.errors import DataError, RunError
from hanjax.features.feature import Feature
from hanjax.features.values import Zone

_CATALOG = "catalog.json"
_CUTOFF = "%Y-%m-%dT%H%M%S.%fZ"
_TOLERANCE = 1e-9
"""Relative: another release of DuckDB may add in another order."""


class History:
    """Values of features as they were computed, in a folder.

    Args:
        folder: where; it is made if it is not there.
        zone: where days, weeks and months begin, which must be the same for all values.

    Raises:
        RunError: if the catalog cannot be read, or its values have other days or weeks.
    """

    def __init__(self, folder: str | Path, zone: Zone):
        """Reads the catalog, or begins one."""
        self.folder, self.zone = Path(folder), zone
        self.catalog = self._stored()

    def _stored(self) -> dict[str, Any]:
        """The catalog as it stands in the folder now."""
        path = self.folder / _CATALOG
        if not path.exists():
            return {**self.zone._asdict(), "features": {}}
        try:
            catalog = json.loads(path.read_text(encoding="utf-8"))
            stored = Zone(catalog["timezone"], catalog["week"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read as a catalog of features ({error}).") from None
        if stored != self.zone:
            raise RunError(f"{path}: its values were computed with {stored}, not with {self.zone}. Use another folder.")
        return catalog

    def add(
        self, features: list[Feature], requests: pd.DataFrame, values: pd.DataFrame, *, revise: bool = False
    ) -> None:
        """Stores values, unless others are there.

        Args:
            features: which.
            requests: ``account_id`` and ``cutoff`` (microseconds since 1970, UTC) of each row; none twice.
            values: a column of each feature.
            revise: write values that differ from those that are there beside them, as what is known now.

        Raises:
            DataError: if values differ from those that are there; then nothing is written.
            RunError: if the catalog cannot be read any more.
        """
        fresh = {one.name: self._fresh(one, requests, values[one.name].to_numpy(), revise) for one in features}
        computed = pd.Timestamp.now("UTC").tz_localize(None).as_unit("us")
        self.catalog = self._stored()  # another mart may have added to it since
        for feature in features:
            new = fresh[feature.name]
            for cutoff, rows in new.groupby("cutoff"):
                self._write(self._place(feature, int(cutoff)), rows, computed)
            self._describe(feature, requests["cutoff"].to_numpy(), computed)
        partial = self.folder / f"{_CATALOG}.partial"
        self.folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(self.catalog, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(partial, self.folder / _CATALOG)

    def read(
        self,
        name: str,
        version: str,
        *,
        cutoffs: np.ndarray | None = None,
        computed_before: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """The values of a feature, the last computed one of each account and cut-off.

        Args:
            name: of the feature.
            version: of its definition.
            cutoffs: only these; None for all.
            computed_before: only what had been computed before this time, UTC; None for all.

        Returns:
            ``account_id``, ``cutoff`` (microseconds since 1970, UTC), ``value``, ``computed_at``, by cut-off and
            account.
        """
        root = self.folder / f"feature={name}" / f"version={version}"
        if cutoffs is None:
            places = sorted(root.glob("cutoff=*"))
        else:
            places = [root / _directory(cutoff) for cutoff in np.unique(cutoffs).tolist()]
        parts = []
        for place in places:
            stamp = pd.to_datetime(place.name.removeprefix("cutoff="), format=_CUTOFF)
            for path in sorted(place.glob("*.parquet")):  # in the order in which they were computed
                part = pq.ParquetFile(path).read().to_pandas()
                parts.append(part.assign(cutoff=stamp.as_unit("us").asm8.astype(np.int64)))
        if not parts:
            return pd.DataFrame({"account_id": [], "cutoff": [], "value": [], "computed_at": []})
        table = pd.concat(parts, ignore_index=True)
        if computed_before is not None:
            table = table.loc[table["computed_at"] < computed_before, :]
        keys = ["cutoff", "account_id"]
        table = table.drop_duplicates(keys, keep="last").sort_values(keys)
        return table[["account_id", "cutoff", "value", "computed_at"]].reset_index(drop=True)

    def _fresh(
        self, feature: Feature, requests: pd.DataFrame, values: Float[np.ndarray, " n"], revise: bool
    ) -> pd.DataFrame:
        """The rows that are to be written: new ones, and those that differ if they may."""
        given = requests[["account_id", "cutoff"]].assign(value=values)
        there = self.read(feature.name, feature.version, cutoffs=requests["cutoff"].to_numpy())
        if there.empty:
            return given
        both = given.merge(there, on=["account_id", "cutoff"], how="left", suffixes=("", "_before"), indicator=True)
        before, stored = both["value_before"].to_numpy(), (both["_merge"] == "both").to_numpy()
        changed = stored & ~np.isclose(values, before, rtol=_TOLERANCE, atol=0, equal_nan=True)
        if changed.any() and not revise:
            raise DataError.rows(
                "history",
                feature.name,
                "has other values than were computed before, so that the history of "
                f"{feature.source} must have changed",
                count=int(changed.sum()),
                first=[
                    f"account {row.account_id!r} at {pd.Timestamp(row.cutoff, unit='us'):%Y-%m-%d}: "
                    f"{row.value:g}, was {row.value_before:g}"
                    for row in both[changed].head().itertuples()
                ],
                remedy="Find out why rows that had been known have changed, or give the source a known_at; revise=True "
                "keeps the new values beside the old ones.",
            )
        return given[~stored | changed]

    def _place(self, feature: Feature, cutoff: int) -> Path:
        return self.folder / f"feature={feature.name}" / f"version={feature.version}" / _directory(cutoff)

    def _write(self, place: Path, rows: pd.DataFrame, computed: pd.Timestamp) -> None:
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{computed:%Y%m%dT%H%M%S.%f}.parquet"
        if path.exists():
            raise RunError(f"{path}: is there already. Two processes must not write to {self.folder} at a time.")
        table = pa.Table.from_pandas(
            rows[["account_id", "value"]].assign(computed_at=computed.tz_localize("UTC")), preserve_index=False
        )
        partial = path.with_suffix(".partial")
        pq.write_table(table, partial)
        os.replace(partial, path)

    def _describe(self, feature: Feature, cutoffs: np.ndarray, computed: pd.Timestamp) -> None:
        """Enters a feature into the catalog, with what there is of its values now that some cut-offs are there."""
        about = ("aspect", "owner", "description", "experimental", "version")
        entry = self.catalog["features"].setdefault(feature.name, {"versions": {}})
        entry |= {part: getattr(feature, part) for part in about}
        stored = entry["versions"].setdefault(feature.version, {"definition": feature.definition, "cutoffs": {}})
        for cutoff, rows in self.read(feature.name, feature.version, cutoffs=cutoffs).groupby("cutoff"):
            day = pd.Timestamp(cutoff, unit="us", tz="UTC").isoformat()
            stored["cutoffs"][day] = {"rows": len(rows), "values": int(rows["value"].notna().sum())}
        counts = stored["cutoffs"].values()
        total = sum(each["rows"] for each in counts)
        stored |= {
            "first_cutoff": min(stored["cutoffs"], default=None),
            "last_cutoff": max(stored["cutoffs"], default=None),
            "rows": total,
            "coverage": sum(each["values"] for each in counts) / total if total else None,
            "computed_at": f"{computed.isoformat()}Z",
        }


def _directory(cutoff: int) -> str:
    return f"cutoff={pd.Timestamp(cutoff, unit='us').strftime(_CUTOFF)}"
