"""Nothing at or after a cut-off changes what goes into a score: the future is altered, and inputs are compared."""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped, UInt

from hanjax.checks.verdict import Verdict
from hanjax.checks.worlds import HOWS, Column, How, Worlds
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError
from hanjax.run import Run
from hanjax.run.base import BaseRun
from hanjax.scoring.scores import run_samples
from hanjax.types import Panel, Tables

_DONE = {"delete": "deleted", "change": "changed", "add": "added to"}
_REACH = 10
"""How many periods an altered future goes on."""
_TOLERANCE = 1e-6
_TABLES = ("sequences", "windows", "individuals", "accounts", "counts", "count_windows", "gaps", "window_ages")
"""The fields of a batch that hold distinct rows; the others hold samples."""
_WEEK = 7 * 86_400_000_000


def check_no_future(run: BaseRun, tables: Tables, *, cutoffs: int = 5, seed: int = 0, scores: bool = True) -> Verdict:
    """Alters everything after some cut-offs, and looks whether anything up to them is encoded or scored differently.

    For each cut-off c, tables T, and tables T' that agree with T on all that was known before c:

        x_T(account, t) = x_T'(account, t) bit for bit,  |p_T(account, t) - p_T'(account, t)| <= 1e-6   for all t <= c

    What comes at or after c is deleted, is changed, and is added to: events (also those that happened before and became
    known then), arrivals, versions of individuals and accounts, dated numbers, the end of observation, conversions, and
    outcomes. If inputs differ, one column at a time is altered, to name the first that tells of the future.

    Args:
        run: a model; of one that is not trained yet, no scores are compared.
        tables: the data, as they would be scored.
        cutoffs: how many cut-offs are drawn.
        seed: of the cut-offs, and of what is drawn for the other futures.
        scores: compare scores, too; if the inputs are the same, they can differ only if samples are mixed.

    Returns:
        The verdict. Its notes name the columns of individuals and accounts that have no date: these count as constant,
        which cannot be checked.

    Raises:
        DataError: if the tables are not what they should be.
        ConfigError: if no cut-off is to be drawn.

    Example:
        >>> import hanjax
        >>> from hanjax.checks import check_no_future
        >>> market = hanjax.simulate(accounts=20, weeks=20, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2, validation=0.3))
        >>> check_no_future(run, market.tables, cutoffs=1, scores=False).passed
        True

    Source: Kaufman et al. 2012, Leakage in Data Mining: Formulation, Detection, and Avoidance.
    """
    if cutoffs < 1:
        raise ConfigError(f"cutoffs: expected at least 1, got {cutoffs}.")
    futures = _Futures(run, tables, seed)
    wanted = futures.scores(futures.panel) if scores and run.trained else None
    drawn = np.random.default_rng(seed).choice(futures.cutoffs, min(cutoffs, len(futures.cutoffs)), replace=False)
    drawn = np.sort(drawn).tolist()
    leaks: list[tuple[int, How, Difference]] = []
    compared, largest, mixed, refused = 0, 0.0, [], []
    for cutoff, how in itertools.product(drawn, HOWS):
        try:
            other = futures.panel_of(cutoff, how)
        except DataError as error:
            refused.append(f"Not compared, as the tables are refused {futures.altered(cutoff, how)}: {error}")
            continue
        compared += len(other.samples)
        found = futures.difference(cutoff, other)
        if found is not None:
            leaks.append((cutoff, how, found))
        elif wanted is not None:
            apart = np.abs(futures.scores(other) - wanted[futures.upto(cutoff)]).max(axis=1)
            most = float(apart.max())
            largest = float(np.fmax(largest, most))
            if not most <= _TOLERANCE:
                row = other.samples.iloc[int(np.argmax(apart))]
                mixed.append(
                    f"The score of account {row['account_id']!r} at {_day(row['cutoff'])} changes by {most:.1g} "
                    f"{futures.altered(cutoff, how)}, though its inputs do not: samples are mixed."
                )

    problems = [_first_leak(futures, *leaks[0])] if leaks else []
    if len(leaks) > 1:
        problems.append(f"In all, inputs differ in {len(leaks)} of {3 * len(drawn) - len(refused)} other futures.")
    if not compared:
        problems.append("Nothing could be compared.")
    span = " to ".join(dict.fromkeys(_day(futures.date(cutoff)) for cutoff in (drawn[0], drawn[-1])))
    checked = (
        f"{len(drawn)} cut-offs ({span}), all that comes after each deleted, changed and added to; "
        f"inputs of {compared:,} samples compared bit for bit"
    )
    if wanted is not None:
        checked += f", scores at most {largest:.1g} apart"
    problems += mixed[:1]
    return Verdict("check_no_future", not problems, checked, tuple(problems), (*futures.notes, *refused))


class Difference(NamedTuple):
    """Samples of which two panels do not have the same inputs.

    Args:
        fields: the inputs that differ in any of them; "presence" where only one panel has the sample.
        account: of the first of them.
        cutoff: of the first of them.
        samples: how many they are.
    """

    fields: tuple[str, ...]
    account: object
    cutoff: pd.Timestamp
    samples: int

    def __str__(self) -> str:
        """Which inputs of which samples."""
        others = f" and of {self.samples - 1:,} more samples" if self.samples > 1 else ""
        return f"{', '.join(self.fields)} of account {self.account!r} at {_day(self.cutoff)}{others}"


class _Futures:
    """A data set's panel, and panels of what the data set would be had its future been another one."""

    def __init__(self, run: BaseRun, tables: Tables, seed: int):
        config = run.config.panel
        log = check(tables, config)
        self.run, self.seed = run, seed
        self.panel = make_panel(log, config, run.encoding)[0]
        self.inputs = inputs(self.panel)
        self.times = self.panel.samples["cutoff"].dt.as_unit("us").array.asi8
        self.cutoffs = np.unique(self.times)
        reach = _REACH * int(np.diff(self.cutoffs).min(initial=_WEEK))
        self.worlds = Worlds(tables, config, reach=reach)
        # What fits nowhere any more, such as events of an individual who is deleted, is left out.
        self.config = dataclasses.replace(config, columns=(), strays="drop")

    def date(self, cutoff: int) -> pd.Timestamp:
        return pd.Timestamp(cutoff, unit="us", tz="UTC").tz_convert(self.config.timezone)

    def altered(self, cutoff: int, how: How) -> str:
        return f"with everything from {_day(self.date(cutoff))} on {_DONE[how]}"

    def upto(self, cutoff: int) -> np.ndarray:
        return self.times <= cutoff

    def panel_of(self, cutoff: int, how: How, only: Column | None = None) -> Panel:
        """The samples up to a cut-off, with another future."""
        log = check(self.worlds.altered(cutoff, how, only=only, seed=self.seed), self.config)
        panel = make_panel(log, self.config, self.run.encoding)[0]
        rows = np.flatnonzero(panel.samples["cutoff"] <= self.date(cutoff))
        there = {name: array for name, array in panel.batch._asdict().items() if array is not None}
        return panel._replace(
            batch=panel.batch._replace(**{name: array[rows] for name, array in there.items() if name not in _TABLES}),
            samples=panel.samples.iloc[rows].reset_index(drop=True),
            member_ids=panel.member_ids[rows],
        )

    def difference(self, cutoff: int, other: Panel) -> Difference | None:
        """Which inputs differ up to a cut-off, if any."""
        own, its = self.inputs[self.upto(cutoff)], inputs(other)
        if not own.index.equals(its.index):
            found = own.index.symmetric_difference(its.index)
            return Difference(("presence",), found[0][0], found[0][1], len(found))
        differs = own.to_numpy() != its.to_numpy()
        if not differs.any():
            return None
        rows = np.flatnonzero(differs.any(axis=1))
        account, date = own.index[rows[0]][:2]
        return Difference(tuple(own.columns[differs.any(axis=0)]), account, date, len(rows))

    def scores(self, panel: Panel) -> Float[np.ndarray, "B c"]:
        """Probabilities of accounts and individuals, and members' shares: all that is said of each sample of a panel.

        Its tables are filled up to a common size, so that the network is compiled for one, not for that of each panel.
        """
        batch, own = panel.batch, self.panel.batch
        tables = {name: getattr(batch, name) for name in _TABLES if getattr(batch, name) is not None}
        for name, table in tables.items():
            missing = 5 * len(getattr(own, name)) // 4 - len(table)
            tables[name] = np.pad(table, [(0, max(missing, 0)), (0, 0)])
        panel = panel._replace(batch=batch._replace(**tables))
        found = run_samples(self.run, panel)[0]
        logits = np.concatenate([found.logit, found.member_logit.reshape(len(found.logit), -1)], axis=1)
        shares = [found.member_share] if isinstance(self.run, Run) else []  # no other has any
        return np.concatenate([np.exp(-np.logaddexp(0, -logits.astype(np.float64))), *shares], axis=1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What no alteration can show."""
        notes, read = [], {name for factor in self.run.encoding.segments for name in factor.columns}
        constant = self.worlds.constant(read if isinstance(self.run, Run) else self.run.segments)
        if constant:
            notes.append(f"Taken as constant, for want of known_at, and so not checked: {', '.join(constant)}.")
        if ("events", "known_at") not in self.worlds.columns:
            notes.append("Events have no column known_at, so each counts as known from when it happened.")
        return tuple(notes)


def _first_leak(futures: _Futures, cutoff: int, how: How, found: Difference) -> str:
    """Alters one column at a time until inputs differ, and says so."""
    hows = sorted(HOWS, key=lambda other: other != how)
    for (table, column), other in itertools.product(futures.worlds.columns, hows):
        try:
            alone = futures.difference(cutoff, futures.panel_of(cutoff, other, (table, column)))
        except DataError:  # alone, it may contradict what has not been altered
            continue
        if alone is not None:
            since = _day(futures.date(cutoff))
            return f"{table}.{column} tells of the future: {_DONE[other]} from {since} on, it alters {alone}."
    return f"The future is told by several columns together: {futures.altered(cutoff, how)}, {found} differ."


def inputs(panel: Panel) -> pd.DataFrame:
    """Hashes of what a network is given of each sample, whatever rows of the tables it stands in.

    Args:
        panel: samples.

    Returns:
        One row a sample, by account, cut-off and segments of outcomes, and a column of 64 bits for each field of the
        batch, and for the members' ids. Equal inputs have equal hashes; others differ, but for a chance of about 1 in
        10^19.
    """
    batch = panel.batch
    ids = np.append(pd.util.hash_array(panel.individual_ids.to_numpy()), np.uint64(0))

    def of_windows(
        table: Shaped[np.ndarray, "r l"] | None, places: Shaped[np.ndarray, "M W"] | None
    ) -> np.ndarray | None:
        return None if table is None or places is None else _hashed(_hashed(table)[places])[batch.member_windows]

    columns = {
        "members": ids[panel.member_ids],
        "sequences": of_windows(batch.sequences, batch.windows),
        "gaps": of_windows(batch.gaps, batch.windows),
        "counts": of_windows(batch.counts, batch.count_windows),
        "window_ages": None if batch.window_ages is None else _hashed(batch.window_ages)[batch.member_windows],
        "individuals": _hashed(batch.individuals)[batch.members],
        "member_numbers": None if batch.member_numbers is None else batch.member_numbers.reshape(len(batch.mask), -1),
        "accounts": batch.accounts[batch.account],
        "account_numbers": batch.account_numbers,
        "segments": batch.segments,
    }
    index = pd.MultiIndex.from_frame(panel.samples[panel.keys])
    return pd.DataFrame({name: _hashed(array) for name, array in columns.items() if array is not None}, index)


def _hashed(rows: Shaped[np.ndarray, "n c"]) -> UInt[np.ndarray, " n"]:
    """A hash of each row's bits, in the order of the columns (splitmix64)."""
    bits = rows.view(np.uint32) if rows.dtype == np.float32 else rows
    found = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for column in bits.astype(np.uint64).T:
        found += column * np.uint64(0xD1342543DE82EF95) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


def _day(date: pd.Timestamp) -> str:
    return f"{date:%Y-%m-%d}"
