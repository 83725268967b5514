"""Other futures: a user's tables in which all that comes from a cut-off on is deleted, changed, or added to."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Int

from hanjax.config import PanelConfig
from hanjax.data.frames import COLUMNS, frames
from hanjax.data.ids import check_ids, is_text
from hanjax.data.log import NEVER
from hanjax.data.periods import around
from hanjax.data.times import MISSING, read_times
from hanjax.types import Tables

How = Literal["delete", "change", "add"]
HOWS: tuple[How, ...] = ("delete", "change", "add")
Column = tuple[str, str]
"""A table and one of its columns."""

_TIMES = ("timestamp", "known_at", "arrived_at", "observed_from", "observed_to", "converted_at", "as_of")
_ENORMOUS = 1e9
_OFTENER = 7


class Worlds:
    """A user's tables, and what they would be had the future been another one.

    Dates are read from the tables, not from the checked log, so that one which ``check`` loses is altered all the same.

    Args:
        tables: the tables.
        config: the data's settings: names of columns, columns left out, time zone.
        reach: how far an altered future goes, in microseconds.
    """

    def __init__(self, tables: Tables, config: PanelConfig, *, reach: int):
        """Reads all dates, and finds whom each row is about."""
        given = check_ids(frames(tables, config))
        self.reach = reach
        there = {name: getattr(given, name) for name in ("events", "individuals", "accounts", "account_features")}
        there = {name: table for name, table in there.items() if table is not None}
        self.values = {name: _values(name, table, config) for name, table in there.items()}
        self.frames = {name: _as_frame(name, table, config) for name, table in there.items()}
        events, individuals, accounts = (self.frames[name] for name in ("events", "individuals", "accounts"))
        people = pd.Index(individuals["individual_id"].unique())
        homes = pd.Index(accounts["account_id"].unique())

        # Codes of individuals in events and individuals, of accounts elsewhere; -1 where unknown.
        by = {"events": people, "individuals": people}
        ids = {name: "individual_id" if name in by else "account_id" for name in there}
        self.code = {name: by.get(name, homes).get_indexer(self.frames[name][ids[name]]) for name in there}
        self.first = {name: _first(self.code[name], _known(self.frames[name])) for name in there if name != "events"}
        self.home = np.full(len(people) + 1, -1)  # of each individual, and of one more, whom -1 finds
        self.home[self.code["individuals"]] = homes.get_indexer(individuals["account_id"])
        self.newcomers = _newcomers(individuals["individual_id"])

        seen = np.full(len(people) + 1, NEVER)
        np.minimum.at(seen, self.code["events"], np.maximum(events["timestamp"], _known(events)))
        arrived = _last_given(self.code["individuals"], individuals, "arrived_at", len(people))
        self.arrived = np.append(np.where(arrived == MISSING, seen[:-1], arrived), NEVER)
        self.begins = _last_given(self.code["accounts"], accounts, "observed_from", len(homes))
        converts = _last_given(self.code["accounts"], accounts, "converted_at", len(homes))
        self.converts = np.where(converts == MISSING, NEVER, converts)
        ends = _last_given(self.code["accounts"], accounts, "observed_to", len(homes))
        # By default observation ends with the log, without the events that fit nowhere in it.
        home, time = self.home[self.code["events"]], events["timestamp"].to_numpy()
        low = np.maximum(np.append(self.begins, NEVER)[home], np.append(arrived, NEVER)[self.code["events"]])
        high = np.append(np.where(ends == MISSING, NEVER, ends), MISSING)[home]
        last = max(time[(low <= time) & (time < high)].max(initial=MISSING), self.arrived[self.arrived != NEVER].max())
        self.ends = np.where(ends == MISSING, np.maximum(last, converts), ends)
        if given.outcomes is not None:
            frame = _as_frame("outcomes", given.outcomes, config)
            # Each row asks at the start of its period; what became of it is known at the end, if nothing is said.
            self.asked, end = around(frame["as_of"].to_numpy(), period=config.period, timezone=config.timezone)
            known = _known(frame)
            self.told = np.where(known == MISSING, end - 1, known)
            self.frames["outcomes"] = frame

    def constant(self, segments: Iterable[str] = ()) -> tuple[str, ...]:
        """Inputs without a date, which are constant by declaration, so that nothing shows whether they are.

        Args:
            segments: columns of text that the model reads, of accounts unless outcomes have one of the name.
        """
        undated = [name for name in ("individuals", "accounts") if "known_at" not in self.frames[name]]
        found = [f"{name}.{column}" for name in undated for column in self.values[name]]
        own = set(self.frames["accounts"]) - set(self.frames.get("outcomes", ()))
        texts = sorted(own & set(segments)) if "accounts" in undated else []
        return (*found, *(f"accounts.{column}" for column in texts))

    @property
    def columns(self) -> tuple[Column, ...]:
        """What can be altered by itself, the likeliest first."""
        events = ("known_at",) if "known_at" in self.frames["events"] else ()
        order = {
            "events": (*events, "timestamp", *self.values["events"]),
            "individuals": ("arrived_at", *self.values["individuals"], "known_at"),
            "accounts": ("observed_to", "converted_at", "observed_from", *self.values["accounts"], "known_at"),
            "account_features": (*self.values.get("account_features", ()), "known_at"),
            "outcomes": ("as_of", "label"),
        }
        return tuple((name, column) for name in self.frames for column in order[name])

    def altered(self, cutoff: int, how: How, *, only: Column | None = None, seed: int = 0) -> Tables:
        """The tables with another future; what was known before the cut-off stays as it is.

        Args:
            cutoff: microseconds since 1970, UTC.
            how: "delete" what comes at or after the cut-off, "change" it, or "add" to it.
            only: alter this column alone; None for all of them.
            seed: of what is drawn.

        Returns:
            The tables, with standard names of columns and dates in UTC. Rows that fit nowhere any more, such as events
            of an individual who is deleted, are left in.
        """
        future = _Future(self, cutoff, how, only, np.random.default_rng(seed))
        found = {"events": future.events(), "individuals": future.individuals(), "accounts": future.accounts()}
        if "account_features" in self.frames:
            found["account_features"] = future.features()
        if "outcomes" in self.frames:
            found["outcomes"] = future.outcomes()
        return Tables(**{name: _as_table(frame) for name, frame in found.items()})


class _Future:
    """Another future of each table; of columns that are not ``touched``, nothing is altered."""

    def __init__(self, worlds: Worlds, cutoff: int, how: How, only: Column | None, random: np.random.Generator):
        self.worlds, self.cutoff, self.how, self.only, self.random = worlds, cutoff, how, only, random
        self.open = worlds.ends >= cutoff  # accounts of which it is not known yet how they go on
        self.not_begun = worlds.begins >= cutoff
        # Individuals; the last one stands for whoever is unknown.
        self.there = (worlds.arrived < cutoff) & ~np.append(self.not_begun, True)[worlds.home]
        self.growing = self.there & np.append(self.open, False)[worlds.home]

    def touched(self, table: str, column: str) -> bool:
        return self.only in (None, (table, column))

    def later(self, n: int) -> Int[np.ndarray, " n"]:
        """Times from the cut-off on, many of them exactly then."""
        return self.cutoff + self.random.integers(0, self.worlds.reach, n) * (self.random.random(n) < 0.7)

    def events(self) -> pd.DataFrame:
        frame, code = self.worlds.frames["events"].copy(), self.worlds.code["events"]
        time, dated = frame["timestamp"].to_numpy(), "known_at" in frame
        late, known = time >= self.cutoff, np.maximum(time, _known(frame))
        untold = ~late & (known >= self.cutoff)
        late_touched = late & self.touched("events", "timestamp")
        untold_touched = untold & self.touched("events", "known_at")
        if self.how == "delete":
            return frame[~late_touched & ~untold_touched]
        if self.how == "change":
            frame.loc[late_touched, "timestamp"] = self.later(late_touched.sum())
            if dated:
                frame.loc[untold_touched, "known_at"] = self.later(untold_touched.sum())
                frame.loc[late_touched, "known_at"] = self._known_anytime(late_touched.sum())
            return self._with_other_values("events", frame, late | untold)
        more = [frame]
        if self.touched("events", "timestamp"):
            rows = self._one_of_each(code, self.growing[code])
            times = {"timestamp": self.later(len(rows)), "known_at": self._known_anytime(len(rows))}
            more.append(_dated(frame.iloc[rows], **times))
        if self.touched("events", "known_at") and dated:  # long ago, and not known yet
            rows = self._one_of_each(code, self.growing[code] & (known < self.cutoff))
            more.append(_dated(frame.iloc[rows], known_at=self.later(len(rows))))
        if self.touched("individuals", "arrived_at"):
            new = self._arriving()
            copies = frame.iloc[self.random.integers(0, len(frame), len(new))]
            copies = copies.assign(individual_id=new["individual_id"].array, account_id=new["account_id"].array)
            more.append(_dated(copies, timestamp=self.cutoff, known_at=self.cutoff))
        return pd.concat(more, ignore_index=True)

    def _known_anytime(self, n: int) -> Int[np.ndarray, " n"]:
        """When events of the future became known, some of them in advance, which must not matter either."""
        return np.where(self.random.random(n) < 0.5, self.later(n), self.cutoff - self.worlds.reach)

    def individuals(self) -> pd.DataFrame:
        frame, absent = self.worlds.frames["individuals"].copy(), ~self.there[self.worlds.code["individuals"]]
        arrivals = self.touched("individuals", "arrived_at")
        moved = absent & arrivals
        if self.how == "change" and "arrived_at" in frame:
            frame.loc[moved & (frame["arrived_at"] != MISSING), "arrived_at"] = self.cutoff
        gone = moved if self.how == "delete" else np.zeros(len(frame), bool)
        frame = self._with_history("individuals", frame, absent, gone)
        return pd.concat([frame, self._arriving()]) if self.how == "add" and arrivals else frame

    def _arriving(self) -> pd.DataFrame:
        """Individuals who arrive exactly at the cut-off, one in each account that goes on."""
        frame, code = self.worlds.frames["individuals"], self.worlds.code["individuals"]
        rows = self._one_of_each(self.worlds.home[code], self.growing[code])
        new = frame.iloc[rows].assign(individual_id=self.worlds.newcomers[rows])
        return _dated(new, arrived_at=self.cutoff, known_at=self.cutoff)

    def accounts(self) -> pd.DataFrame:
        worlds, touched = self.worlds, lambda column: self.touched("accounts", column)
        frame, code = worlds.frames["accounts"].copy(), worlds.code["accounts"]
        converts, never = worlds.converts.copy(), worlds.converts == NEVER
        still = self.open & (converts >= self.cutoff)
        if touched("converted_at"):
            if self.how == "change":
                now = never & ~self.not_begun & (self.random.random(len(never)) < 0.5)
                converts[still] = np.where(now, self.cutoff, NEVER)[still]
            else:
                converts[still] = NEVER if self.how == "delete" else worlds.ends[still]
            frame["converted_at"] = np.where(converts == NEVER, MISSING, converts)[code]
        if touched("observed_to"):
            end = self.cutoff if self.how == "delete" else self.cutoff + worlds.reach
            end = np.where(self.open, np.maximum(end, worlds.ends if self.how == "add" else end), worlds.ends)
            frame["observed_to"] = np.maximum(end, np.where(converts == NEVER, MISSING, converts))[code]
        waiting = self.not_begun[code] & touched("observed_from")
        if self.how == "change" and waiting.any():
            frame.loc[waiting, "observed_from"] = self.cutoff
        inhabited = np.zeros(len(worlds.begins) + 1, bool)
        inhabited[worlds.home[self.there]] = True
        gone = waiting if self.how == "delete" else np.zeros(len(frame), bool)
        return self._with_history("accounts", frame, ~inhabited[code], gone)

    def features(self) -> pd.DataFrame:
        frame = self.worlds.frames["account_features"].copy()
        nobody = np.zeros(len(frame), bool)
        return self._with_history("account_features", frame, nobody, nobody)

    def outcomes(self) -> pd.DataFrame:
        """Rows that are asked at later cut-offs, and what became of all that was not decided yet."""
        frame, worlds = self.worlds.frames["outcomes"].copy(), self.worlds
        later = (worlds.asked > self.cutoff) & self.touched("outcomes", "as_of")
        if self.touched("outcomes", "label"):
            label = frame["label"].to_numpy(float)
            other = {"delete": np.nan, "change": 1 - label, "add": np.where(np.isnan(label), 1.0, label)}[self.how]
            frame["label"] = np.where(worlds.told >= self.cutoff, other, label)
        if self.how == "delete" and not later.all():
            return frame[~later]
        if self.how == "change" and later.any():  # who asks is another account, so that no two ask the same
            ids = frame["account_id"].unique()
            next_one = (pd.Index(ids).get_indexer(frame["account_id"][later]) + 1) % len(ids)
            frame.loc[later, "account_id"] = ids[next_one]
        if self.how == "add" and self.touched("outcomes", "as_of"):  # of whom nothing else is asked from then on
            rows = np.flatnonzero(~frame["account_id"].isin(frame["account_id"][worlds.asked > self.cutoff]))
            more = frame.iloc[rows].drop_duplicates("account_id")
            more = _dated(more, as_of=self.cutoff + worlds.reach, known_at=MISSING)
            return pd.concat([frame, more]) if len(more) else frame
        return frame

    def _with_history(
        self, name: str, frame: pd.DataFrame, absent: Bool[np.ndarray, " n"], gone: Bool[np.ndarray, " n"]
    ) -> pd.DataFrame:
        """A table with other values in rows that are not known yet, and with fewer, others or more of these.

        Args:
            name: of the table.
            frame: its rows, with what is altered apart from that.
            absent: rows of whoever is not there yet, which may say anything.
            gone: rows to be left out.
        """
        code, first, known = self.worlds.code[name], self.worlds.first[name], _known(frame)
        touched, untold = self.touched(name, "known_at") and "known_at" in frame, known >= self.cutoff
        if self.how == "add":
            rows = np.flatnonzero(first & ~np.isin(code, code[known == self.cutoff]) & touched)
            more = _dated(frame.iloc[rows], **dict.fromkeys(_TIMES[2:], MISSING), known_at=self.cutoff)
            more = self._with_other_values(name, more, np.ones(len(more), bool), always=True)
            return pd.concat([frame, more]) if len(more) else frame
        frame = self._with_other_values(name, frame, untold | absent)
        if touched and self.how == "change":
            order = pd.Series(known[untold]).groupby(code[untold]).rank(method="first").to_numpy(int)
            frame.loc[untold, "known_at"] = self.cutoff + order - 1
        if touched and self.how == "delete":
            # Whoever is there stays so: of that, the first row is needed, whose values have been altered.
            gone = gone | untold & ~(first & (name != "account_features"))
        return frame[~gone] if not gone.all() else frame[:1]  # a table without rows is refused

    def _with_other_values(
        self, name: str, frame: pd.DataFrame, where: Bool[np.ndarray, " n"], *, always: bool = False
    ) -> pd.DataFrame:
        """A table with other values in some rows of the columns that become inputs."""
        for column in self.worlds.values[name]:
            if always or self.touched(name, column):
                other = _other(name, column, frame[column], self.random)
                frame = frame.assign(**{column: frame[column].astype(other.dtype).where(~where, other)})
        return frame

    def _one_of_each(self, code: Int[np.ndarray, " n"], where: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        """A row of each individual or account, of those rows that are said."""
        rows = self.random.permutation(np.flatnonzero(where))
        return rows[np.unique(code[rows], return_index=True)[1]]


def _values(name: str, table: pa.Table, config: PanelConfig) -> tuple[str, ...]:
    """The columns that become inputs of a model, ids and dates apart."""
    if name == "events":
        return tuple(column for column in ("activity", "count", "order") if column in table.column_names)
    others = [column for column in table.column_names if column not in (*COLUMNS[name], *config.exclude)]
    kinds = {column: table.schema.field(column).type for column in others}
    plain = {column: kind.value_type if pa.types.is_dictionary(kind) else kind for column, kind in kinds.items()}
    return tuple(column for column in others if name == "individuals" or not is_text(plain[column]))


def _as_frame(name: str, table: pa.Table, config: PanelConfig) -> pd.DataFrame:
    """A table as a DataFrame without encoded columns, with dates as int64 microseconds since 1970, UTC."""
    kinds = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in table.schema]
    table = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
    times = {column: table[column] for column in _TIMES if column in COLUMNS[name] and column in table.column_names}
    frame = table.drop_columns(list(times)).to_pandas(integer_object_nulls=True)
    return frame.assign(**{c: read_times(name, c, data, config.timezone).values for c, data in times.items()})


def _as_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A DataFrame with dates again."""
    columns = [column for column in _TIMES if column in frame]
    dates = {column: pd.Series(frame[column].to_numpy().view("M8[us]"), frame.index) for column in columns}
    return frame.assign(**{column: date.dt.tz_localize("UTC") for column, date in dates.items()})


def _dated(frame: pd.DataFrame, **times: int | np.ndarray) -> pd.DataFrame:
    """A table with other dates in those of some columns that it has."""
    return frame.assign(**{column: time for column, time in times.items() if column in frame})


def _known(frame: pd.DataFrame) -> Int[np.ndarray, " n"]:
    """When each row became known; ``MISSING``, which is before everything else, where nothing says so."""
    return frame["known_at"].to_numpy() if "known_at" in frame else np.full(len(frame), MISSING)


def _first(code: Int[np.ndarray, " n"], known: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which rows are those of their account or individual that became known first."""
    order, first = np.lexsort((known, code)), np.zeros(len(code), bool)
    first[order[np.diff(code[order], prepend=-2) != 0]] = True
    return first


def _last_given(code: Int[np.ndarray, " n"], frame: pd.DataFrame, column: str, n: int) -> Int[np.ndarray, " n"]:
    """The date that n accounts or individuals have according to the last row that states one, or ``MISSING``."""
    found = np.full(n, MISSING)
    if column in frame:
        values = frame[column].to_numpy()
        order = np.lexsort((_known(frame), code))
        order = order[values[order] != MISSING]
        found[code[order]] = values[order]
    return found


def _newcomers(ids: pd.Series) -> np.ndarray:
    """For each row, an id that no individual has."""
    if pd.api.types.is_integer_dtype(ids):
        return int(ids.max()) + 1 + np.arange(len(ids))
    return ("~ new " + ids + pd.Series(np.arange(len(ids)), ids.index).astype(str)).to_numpy()


def _other(name: str, column: str, values: pd.Series, random: np.random.Generator) -> pd.Series:
    """Other values than those of a column, each of which it may have."""
    if name in ("accounts", "account_features"):
        return pd.Series(_ENORMOUS * (1 + random.random(len(values))), values.index)
    if column in ("count", "order"):
        values = values.astype(np.int64)
        return values + _OFTENER if column == "count" else values.max() - values
    codes, levels = pd.factorize(values)
    if name == "individuals":  # a missing level, whose code is -1, is one of them
        return pd.Series(np.array([*levels, None], object)[(codes + 1) % (len(levels) + 1)], values.index, dtype=object)
    after = np.array([*levels, "never seen"] if isinstance(levels[0], str) else levels, object)
    return pd.Series(after[(codes + random.integers(1, max(len(after), 2), len(codes))) % len(after)], values.index)
