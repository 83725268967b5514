"""The mart: one place for the numbers of accounts, declared by name, computed as of any date, stored as computed."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hanjax.data.dates import parse_date
from hanjax.data.ids import no_nulls
from hanjax.data.times import check_timezone, read_times
from hanjax.errors import ConfigError, DataError
from hanjax.features.expressions import check_expressions
from hanjax.features.feature import Feature, check_distinct
from hanjax.features.history import History
from hanjax.features.profile import profile
from hanjax.features.source import KNOWN, SINCE, Source, as_arrow, plain, read_individuals, read_source, same_ids
from hanjax.features.values import Zone, evaluate
from hanjax.settings import check_names

_ABOUT = ("name", "aspect", "entity", "source", "granularity", "look_back", "how", "over_members")
_ABOUT += ("owner", "description", "experimental", "version")


class Mart:
    """Features and their sources: computes them as of cut-offs, stores them, and says what there is.

    Args:
        features: what is computed.
        sources: the tables by name.
        individuals: who belongs to which account, as in ``Tables``; only features of individuals need it.
        folder: where values are stored as computed, and verified when they are computed again; None stores nothing.
        allow: names, aspects or owners of the features that are computed; None for all.
        deny: names, aspects or owners of those that are not, even if allowed.
        timezone: of times and cut-offs without one, and of the midnights at which days, weeks and months begin.
        week: a pandas alias of weeks, such as W-SAT: Sunday to Saturday.

    Raises:
        ConfigError: if a feature cannot work, two have one name, a source is missing, or a list names no feature.
        DataError: if a source is not what it should be.
        RunError: if the folder holds something else.

    Example:
        >>> import pandas as pd
        >>> from hanjax.features import Feature, Mart, Source
        >>> bookings = pd.DataFrame({"account_id": [7, 7, 8], "day": ["2024-02-01", "2024-03-03", "2024-03-01"]})
        >>> booked = Feature(name="booked", aspect="booking", source="bookings", expression="sum(amount)")
        >>> mart = Mart([booked], {"bookings": Source(bookings.assign(amount=[10.0, 20.0, 40.0]), "day")})
        >>> mart.compute(["2024-03-01", "2024-03-03"])  # a row counts from the first cut-off after its day
           account_id                    cutoff  booked
        0           7 2024-03-01 00:00:00+00:00    10.0
        1           7 2024-03-03 00:00:00+00:00    10.0
        2           8 2024-03-03 00:00:00+00:00    40.0
    """

    def __init__(
        self,
        features: Iterable[Feature],
        sources: Mapping[str, Source],
        *,
        individuals: Any = None,
        folder: str | Path | None = None,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] | None = None,
        timezone: str = "UTC",
        week: str = "W-SAT",
    ):
        """Reads the sources and checks every feature."""
        check_timezone(timezone)
        self.zone = Zone(timezone, week)
        self.sources = dict(sources)
        self.tables = {name: read_source(name, source, timezone) for name, source in self.sources.items()}
        self.roster = None if individuals is None else read_individuals(individuals, timezone)
        same_ids(self.tables | ({} if self.roster is None else {"individuals": self.roster}))
        self.store = None if folder is None else History(folder, self.zone)
        self.registered: dict[str, Feature] = {}
        self._register(features)
        self.allow, self.deny = (None if names is None else tuple(names) for names in (allow, deny))
        known = {text for one in self.registered.values() for text in _handles(one)}
        for names, where in ((self.allow, "allow"), (self.deny, "deny")):
            check_names(names or (), known, f"the names, aspects and owners of features ({where})")

    def __repr__(self) -> str:
        """Says how many features there are, of which sources."""
        return f"Mart({len(self.features)} of {len(self.registered)} features; sources: {', '.join(self.tables)})"

    @property
    def features(self) -> list[Feature]:
        """The features that are computed: those that are allowed and not denied."""
        return [one for one in self.registered.values() if self._allowed(one)]

    def add(self, *features: Feature) -> pd.DataFrame:
        """Takes in more features, after a look at each.

        Args:
            features: new ones. Where there is a list ``allow``, they are computed if it has their aspect or owner.

        Returns:
            Their profile (see ``profile``) over all accounts after the last row of their sources: a dry run.

        Raises:
            ConfigError: if one cannot work, has a name that is taken, or a source that is not there; none is taken in
                then.
            DataError: if one cannot be computed.
        """
        found = self.with_(features, experimental=None).dry_run([one.name for one in features])
        self._register(features)
        return found

    def with_(self, features: Iterable[Feature], *, experimental: bool | None = True) -> "Mart":
        """A mart with features of one's own beside the shared ones, which stays as it is.

        Args:
            features: to be added. The list ``deny`` holds for them, too; the list ``allow`` lets them pass.
            experimental: what they are marked as; None leaves the mark that they have.

        Raises:
            ConfigError: if one cannot work, or has a name that is taken.
        """
        if experimental is not None:
            features = [dataclasses.replace(one, experimental=experimental) for one in features]
        features, mart = list(features), object.__new__(Mart)
        mart.__dict__ |= self.__dict__ | {"registered": dict(self.registered)}
        mart._register(features)
        if self.allow is not None:
            mart.allow = (*self.allow, *(one.name for one in features))
        return mart

    def with_data(self, tables: dict[str, pa.Table], roster: pa.Table | None) -> "Mart":
        """A mart of the same features over other rows, which stores nothing.

        Args:
            tables: the sources, in the form of ``tables``.
            roster: who belongs to which account, in the form of ``roster``.
        """
        mart = object.__new__(Mart)
        mart.__dict__ |= self.__dict__ | {"tables": tables, "roster": roster, "store": None}
        return mart

    def compute(self, cutoffs: Any, *, revise: bool = False) -> pd.DataFrame:
        """The value of each feature as of cut-offs, of what was known before each of them.

        Args:
            cutoffs: dates, for each of which every account is computed of which anything was known; or a DataFrame with
                ``account_id`` and ``cutoff``.
            revise: store values that differ from those stored for the same version and cut-off beside them.

        Returns:
            ``account_id``, ``cutoff`` and a column of each feature, float64, NaN where it has no value; of a feature
            with ``fill`` also ``<name>__missing``, which says where that was filled in. Rows are those of the given
            table, or by account and cut-off.

        Raises:
            ConfigError: if a cut-off is no date.
            DataError: if a feature cannot be computed, or values differ from those stored.
        """
        requests = self._requests(cutoffs)
        values = self.evaluated(requests)
        if self.store is not None:
            distinct = ~requests.duplicated()
            self.store.add(self.features, requests[distinct], values[distinct], revise=revise)
        columns: dict[str, Any] = {"account_id": requests["account_id"], "cutoff": self._dates(requests["cutoff"])}
        for feature in self.features:
            columns[feature.name] = values[feature.name]
            if feature.fill is not None:
                columns[feature.name] = values[feature.name].fillna(feature.fill)
                columns[f"{feature.name}__missing"] = values[feature.name].isna()
        return pd.DataFrame(columns)

    def account_features(self, cutoffs: Any, *, revise: bool = False) -> pd.DataFrame:
        """The matrix as a table ``account_features`` of ``Tables``, with which a model is trained and scores.

        A row counts from the first cut-off after its ``known_at``, so that its values become known in the last
        microsecond before their cut-off: they are used there, and not before. They stay in use until the next ones.

        Args:
            cutoffs: as ``compute`` takes them: the beginnings of the model's periods, such as Sundays for W-SAT.
            revise: likewise.

        Returns:
            ``account_id``, ``known_at`` and a column of each feature; whether ``fill`` was used is a number, 0 or 1.
        """
        matrix = self.compute(cutoffs, revise=revise).drop_duplicates(["account_id", "cutoff"])
        known = matrix["cutoff"] - pd.Timedelta(microseconds=1)
        numbers = matrix.drop(columns=["account_id", "cutoff"]).astype(float)
        keys = pd.DataFrame({"account_id": matrix["account_id"], "known_at": known})
        return pd.concat([keys, numbers], axis=1).reset_index(drop=True)

    def history(self, name: str, *, version: str | None = None, computed_before: Any = None) -> pd.DataFrame:
        """The values of a feature as they were stored.

        Args:
            name: of the feature.
            version: of its definition; None for the present one.
            computed_before: a date: the values that the folder held then, revisions after it left out; None for now.

        Returns:
            ``account_id``, ``cutoff``, ``value`` (``fill`` not filled in), ``computed_at``, by cut-off and account.

        Raises:
            ConfigError: if there is no such feature, or no folder.
        """
        if self.store is None:
            raise ConfigError("folder: this mart has none, so that nothing is stored. Give it one.")
        check_names([name], self.registered, "the features")
        until = None
        if computed_before is not None:
            until = pd.Timestamp(
                parse_date(computed_before, self.zone.timezone, name="computed_before"), unit="us", tz="UTC"
            )
        version = version or self.registered[name].version
        table = self.store.read(name, version, computed_before=until)
        return table.assign(cutoff=self._dates(table["cutoff"]))

    def catalog(self) -> pd.DataFrame:
        """All features: what they are, who owns them, and what is stored of them.

        Returns:
            One row a feature: ``name``, ``aspect``, ``entity``, ``source``, ``granularity``, ``look_back``, ``how``,
            ``over_members``, ``owner``, ``description``, ``experimental``, ``version``, ``computed`` (whether the lists
            let it be); with a folder also ``first_cutoff``, ``last_cutoff``, ``rows``, ``coverage`` and ``computed_at``
            of the stored values of this version, and ``versions`` (how many are stored).
        """
        rows = []
        for one in self.registered.values():
            row = {part: getattr(one, part) for part in _ABOUT} | {"computed": self._allowed(one)}
            if self.store is not None:
                stored = self.store.catalog["features"].get(one.name, {"versions": {}})["versions"]
                own = stored.get(one.version, {})
                parts = ("first_cutoff", "last_cutoff", "rows", "coverage", "computed_at")
                row |= {part: own.get(part, 0 if part == "rows" else None) for part in parts} | {
                    "versions": len(stored)
                }
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else [*_ABOUT, "computed"])

    def search(
        self, text: str = "", *, aspect: str | None = None, owner: str | None = None, entity: str | None = None
    ) -> pd.DataFrame:
        """The rows of the catalog that fit.

        Args:
            text: words, all of which stand in a feature's name, aspect, owner, source, description or expression, in
                whatever case; empty for all.
            aspect: of this family only.
            owner: of this owner only.
            entity: of accounts, or of individuals.
        """
        fits = []
        for one in self.registered.values():
            parts = (one.name, one.aspect, one.owner, one.source, one.description, one.expression or "")
            words = all(word in " ".join(parts).lower() for word in text.lower().split())
            asked = ((aspect, one.aspect), (owner, one.owner), (entity, one.entity))
            fits.append(words and all(wanted in (None, own) for wanted, own in asked))
        return self.catalog()[np.array(fits, bool)].reset_index(drop=True)

    def profile(self, cutoffs: Any, reference: Any = None) -> pd.DataFrame:
        """Describes the values of each feature; see ``hanjax.features.profile``.

        Args:
            cutoffs: a matrix that ``compute`` gave, or cut-offs as it takes them.
            reference: the same, to compare with; None for no comparison.
        """
        tables = [None if given is None else self._matrix(given) for given in (cutoffs, reference)]
        assert tables[0] is not None
        return profile(tables[0], tables[1])

    def dry_run(self, names: Iterable[str]) -> pd.DataFrame:
        """The profile of some features over all accounts after the last row of their sources; nothing is stored.

        Args:
            names: of the features, whether the lists let them be computed or not.
        """
        chosen = [self.registered[name] for name in names]
        last = [int(self.tables[one.source][KNOWN].to_numpy().max(initial=0)) for one in chosen]
        # Thirty-two days later every row is known, and its month is over.
        requests = self._everybody(np.array([max(last, default=0)]) + 32 * 86_400_000_000)
        values = evaluate(chosen, self.tables, self.roster, requests, self.zone)
        return profile(values)

    def evaluated(self, requests: pd.DataFrame) -> pd.DataFrame:
        """The values of the features that are computed, unfilled.

        Args:
            requests: ``account_id`` and ``cutoff``, microseconds since 1970, UTC; index 0, 1, 2, ...
        """
        distinct = requests.drop_duplicates(ignore_index=True)
        values = evaluate(self.features, self.tables, self.roster, distinct, self.zone)
        if len(distinct) == len(requests):
            return values
        place = pd.MultiIndex.from_frame(distinct).get_indexer(pd.MultiIndex.from_frame(requests))
        return values.iloc[place].reset_index(drop=True)

    def _register(self, features: Iterable[Feature]) -> None:
        """Checks features, and takes them in if all of them can work."""
        features = list(features)
        check_distinct([*self.registered, *(one.name for one in features)])
        for one in features:
            check_names([one.source], self.tables, f"the sources, of which {one.name} is made")
            column = f"{one.entity}_id"
            if column not in self.tables[one.source].column_names:
                raise ConfigError(f"{one.name}: {one.source} has no {column}, so it has no features of {one.entity}s.")
            if one.entity == "individual" and self.roster is None:
                raise ConfigError(f"{one.name}: is of individuals; give the mart the table `individuals`.")
        check_expressions(features, self.tables, self.zone.timezone)
        self.registered |= {one.name: one for one in features}

    def _allowed(self, feature: Feature) -> bool:
        own = _handles(feature)
        return (self.allow is None or bool(own & set(self.allow))) and not own & set(self.deny or ())

    def _matrix(self, given: Any) -> pd.DataFrame:
        names = {one.name for one in self.registered.values()}
        if isinstance(given, pd.DataFrame) and names & set(given.columns):
            return given
        return self.with_data(self.tables, self.roster).compute(given)

    def _requests(self, cutoffs: Any) -> pd.DataFrame:
        """Accounts and cut-offs, the latter in microseconds."""
        if not hasattr(cutoffs, "columns"):
            single = isinstance(cutoffs, str) or not isinstance(cutoffs, Iterable)
            times = [parse_date(one, self.zone.timezone, name="cutoffs") for one in ([cutoffs] if single else cutoffs)]
            return self._everybody(np.unique(np.array(times, np.int64)))
        table = as_arrow("cutoffs", cutoffs)
        for column in ("account_id", "cutoff"):
            if column not in table.column_names:
                raise DataError(f"cutoffs: the column {column!r} is missing; the table has {table.column_names}.")
        table = plain("cutoffs", table.select(["account_id", "cutoff"]))
        no_nulls("cutoffs", "cutoff", table["cutoff"])
        same_ids({"cutoffs": table} | self.tables)
        time = read_times("cutoffs", "cutoff", table["cutoff"], self.zone.timezone).values
        return pd.DataFrame({"account_id": table["account_id"].to_pandas(), "cutoff": time})

    def _everybody(self, cutoffs: np.ndarray) -> pd.DataFrame:
        """For each cut-off the accounts of which anything was known before it."""
        known = [
            table.select(["account_id", KNOWN]).rename_columns(["account_id", "first"])
            for table in self.tables.values()
            if "account_id" in table.column_names
        ]
        if self.roster is not None:
            known.append(self.roster.select(["account_id", SINCE]).rename_columns(["account_id", "first"]))
        if not known:
            raise ConfigError(
                "cutoffs: no source says which accounts there are. Give the mart the table `individuals`."
            )
        first = pa.concat_tables(known).group_by("account_id").aggregate([("first", "min")]).to_pandas()
        first = first.sort_values("account_id", ignore_index=True)
        pairs = first.merge(pd.DataFrame({"cutoff": cutoffs}), how="cross")
        return pairs.loc[pairs["first_min"] < pairs["cutoff"], ["account_id", "cutoff"]].reset_index(drop=True)

    def _dates(self, times: pd.Series) -> pd.Series:
        dates = (
            pd.DatetimeIndex(times.to_numpy(np.int64).view("M8[us]")).tz_localize("UTC").tz_convert(self.zone.timezone)
        )
        return pd.Series(dates, times.index)


def _handles(feature: Feature) -> set[str]:
    """What a list may name a feature by."""
    return {feature.name, feature.aspect, feature.owner} - {""}
