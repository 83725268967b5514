"""Scoring: the champion, features as of now, a look at drift before anything is scored, scores and their reasons."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax.api.acting import latest_panel
from hanjax.api.explaining import explain_scores
from hanjax.api.fitting import load
from hanjax.api.monitoring import Monitoring, monitor
from hanjax.api.scoring import score as score_tables
from hanjax.config import PanelConfig
from hanjax.data.dates import observed_until, parse_date
from hanjax.data.log import NEVER, Log
from hanjax.data.reading import read
from hanjax.data.tables import check
from hanjax.errors import RunError
from hanjax.evaluation.lift import tiers
from hanjax.monitoring import Reference
from hanjax.monitoring.verdict import ALARM
from hanjax.registry import Entry, Registry
from hanjax.run import Run
from hanjax.tabular import component_shares
from hanjax.tabular.run import AnyRun, TabularRun
from hanjax.types import Scores, Tables
from hanjax.workflow.candidates import Candidates, candidates_of
from hanjax.workflow.material import mart_of, versions_of, with_features
from hanjax.workflow.settings import Workflow
from hanjax.workflow.steps import Say, Steps


class Scoring(NamedTuple):
    """What came out of a scoring.

    Args:
        entry: the champion.
        cutoff: as of when.
        folder: where everything lies.
        scores: of accounts and individuals; None where drift stopped it.
        ranking: one row a candidate, the likeliest first; empty where drift stopped it.
        not_scored: candidates without a score; of each the ``reason``.
        monitoring: what was found out before; None if that is off.
    """

    entry: Entry
    cutoff: pd.Timestamp
    folder: Path
    scores: Scores | None
    ranking: pd.DataFrame
    not_scored: pd.DataFrame
    monitoring: Monitoring | None

    @property
    def exit_code(self) -> int:
        """The status with which a scheduled job should end: 0, or 4 if drift stopped it."""
        return ALARM if self.scores is None else 0

    def __repr__(self) -> str:
        """How many were scored, by which version, as of when."""
        what = "stopped by drift" if self.scores is None else f"{len(self.ranking):,} scores"
        return f"Scoring({what}, version {self.entry.version} of {self.entry.name}, as of {self.cutoff:%Y-%m-%d})"


def score(workflow: Workflow, *, as_of: Any = None, say: Say | None = None) -> Scoring:
    """Scores with the champion of a workflow, unless data or scores have drifted from what it was trained on.

    Args:
        workflow: the settings.
        as_of: a date: scores are those at the start of the period that holds it. None for that of the settings, and if
            they have none, the latest.
        say: is told each step in a line, such as ``print``; None for silence.

    Returns:
        What came out. In ``out/scores/DATE`` lie ``ranking.csv``, ``accounts.parquet``, ``individuals.parquet``,
        ``not_scored.csv``, ``scoring.json``, and the folders ``monitoring`` and ``reasons``.

    Raises:
        ConfigError: if a setting cannot work.
        DataError: if a table is not what it should be, or nobody can be scored as of the date.
        RunError: if there is no champion, it was changed since it was registered, or a feature is not the one that it
            was trained on.

    Example:
        >>> from hanjax.simulation.company import simulate_company, write_company
        >>> from hanjax.workflow import MonitorSettings, Workflow, score, train
        >>> folder = write_company(simulate_company(accounts=60, weeks=60), "company")
        >>> workflow = Workflow(
        ...     name="propensity", problem="account propensity", owner="Ann", data="company",
        ...     opportunities="company/opportunities.parquet", labels={"rule": "AccountPropensity"},
        ...     config={"train": {"test": 0.3}}, models={"tree": {"algorithm": "decision_tree"}},
        ...     monitor=MonitorSettings(enabled=False),
        ... )
        >>> _ = train(workflow)
        >>> score(workflow).cutoff.strftime("%Y-%m-%d")
        '2022-02-27'
    """
    entry = Registry(workflow.registry).entry(workflow.name)
    run = load(entry.folder)
    run.folder = None  # nothing is to be written into the registry
    tables = read(workflow.data)
    log = check(tables, run.config.panel)
    moment, cutoff = _when(run, log, workflow.score.as_of if as_of is None else as_of)
    steps = Steps(say, workflow.path("scores", f"{cutoff:%Y-%m-%d}"))
    _make_room(steps.folder)
    steps.done("champion", f"version {entry.version} of {entry.name}: {run!r}")
    candidates = candidates_of(workflow, tables, log, moment, cutoff)
    if candidates is not None:
        tables = candidates.tables
        steps.done("candidates", f"{len(candidates.table):,} as of {cutoff:%Y-%m-%d}", candidates=candidates.table)
    tables = _featured(workflow, entry, run, tables, log, steps)
    nothing = pd.DataFrame()
    found = None
    if workflow.monitor.enabled:
        found = _watched(workflow, entry, run, tables, cutoff, steps)
        if not found.drift.ok and workflow.monitor.on_drift == "stop":
            _write_about(steps.folder, entry, cutoff, found, None, nothing)
            return Scoring(entry, cutoff, steps.folder, None, nothing, nothing, found)
    scores = score_tables(run, tables, as_of=cutoff)
    scores.accounts.to_parquet(steps.folder / "accounts.parquet", index=False)
    scores.individuals.to_parquet(steps.folder / "individuals.parquet", index=False)
    ranking, missed = _ranked(scores, candidates)
    told = f"{len(ranking):,}"
    if candidates is not None and len(missed):
        missed = missed.assign(reason=_why_not(missed["account_id"], log, run.config.panel, cutoff))
        counts = "; ".join(f"{reason}: {count:,}" for reason, count in missed["reason"].value_counts().items())
        told += f", {len(missed):,} candidates without ({counts})"
    steps.done("scores", told, not_scored=missed)
    if workflow.score.reasons:
        ranking = _with_reasons(workflow, run, tables, cutoff, ranking, steps)
    ranking.to_csv(steps.folder / "ranking.csv", index=False)
    _write_about(steps.folder, entry, cutoff, found, len(ranking), missed)
    return Scoring(entry, cutoff, steps.folder, scores, ranking, missed, found)


def _make_room(folder: Path) -> None:
    """Takes away the scores of an earlier scoring as of the same date: where drift stops this one, there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("accounts.parquet", "individuals.parquet", "ranking.csv", "not_scored.csv", "scoring.json"):
        (folder / name).unlink(missing_ok=True)
    for name in ("reasons", "monitoring"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _when(run: AnyRun, log: Log, date: Any) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The moment that a date means, and the cut-off of its period; None for the end of observation."""
    config = run.config.panel
    if date is None:
        waiting = log.converted_at == NEVER
        date = pd.Timestamp(int(log.observed_to[waiting if waiting.any() else slice(None)].max()), unit="us", tz="UTC")
    moment = parse_date(date, config.timezone, name="as_of")
    _, cutoff = observed_until(log, config, date)
    return tuple(pd.Timestamp(time, unit="us", tz="UTC").tz_convert(config.timezone) for time in (moment, cutoff))


def _featured(workflow: Workflow, entry: Entry, run: AnyRun, tables: Tables, log: Log, steps: Steps) -> Tables:
    """Adds the features that the champion was trained on, which must still be what they were."""
    trained = entry.lineage.get("features", {})
    if not trained:
        return tables
    if workflow.features is None:
        raise RunError(
            f"features: version {entry.version} of {entry.name} was trained on {', '.join(trained)}. Name them."
        )
    mart = mart_of(workflow, tables, run.config.panel, names=trained)
    now = versions_of(mart)
    changed = [name for name, version in trained.items() if now.get(name) != version]
    if changed:
        raise RunError(
            f"{workflow.features.file}: {', '.join(changed)}: defined otherwise than when version {entry.version} of "
            f"{entry.name} was trained. Restore the definition, or train anew."
        )
    tables = with_features(tables, mart, log, run.config.panel)
    steps.done("features", repr(mart))
    return tables


def _watched(
    workflow: Workflow, entry: Entry, run: AnyRun, tables: Tables, cutoff: pd.Timestamp, steps: Steps
) -> Monitoring:
    """Holds the data against the champion's reference, and writes the page about it."""
    if not (entry.folder / "reference.json").exists():
        raise RunError(
            f"monitor: version {entry.version} of {entry.name} was registered without a reference. Train with "
            "monitor.enabled, or score without."
        )
    given = workflow.monitor
    rules = dict(alpha=given.alpha, least=given.least, resamples=given.resamples)
    found = monitor(run, tables, as_of=cutoff, reference=Reference.read(entry.folder), **rules)
    page = found.write(steps.folder / "monitoring")
    alarms = len(found.drift.alarms)
    first = f": {found.drift.alarms[0]}" if alarms else ""
    stopped = "; nothing is scored" if alarms and given.on_drift == "stop" else ""
    steps.done("drift", f"{found.drift.severity}, {alarms:,} alarms{first}{stopped}; {page}")
    if found.performance is not None and found.performance.severity != "ok":
        for sentence in found.performance.told["sentence"]:
            steps.done("performance", sentence)
    return found


def _ranked(scores: Scores, candidates: Candidates | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores, the likeliest first, with what is known of each candidate; and the candidates without one."""
    accounts = scores.accounts.drop(columns=["attention"], errors="ignore")
    missed = accounts.head(0)
    if candidates is not None:
        keys, table = candidates.keys, candidates.table
        extra = [name for name in table if name not in accounts]
        # A score says "" where a candidate has no value.
        text = lambda data: pd.MultiIndex.from_frame(data[keys].fillna("").astype(str))
        place = text(table).get_indexer(text(accounts))
        assert (place >= 0).all(), "a score is of no candidate"
        missed = table.drop(index=table.index[place])
        accounts = pd.concat([accounts, table[extra].iloc[place].set_axis(accounts.index)], axis=1)
    accounts.insert(accounts.columns.get_loc("probability"), "tier", tiers(accounts["probability"].to_numpy()))
    return accounts.sort_values(["rank", "account_id"], kind="stable", ignore_index=True), missed


def _why_not(account_ids: pd.Series, log: Log, config: PanelConfig, cutoff: pd.Timestamp) -> np.ndarray:
    """Why candidates have no score: in the words in which a training counts outcomes that are no samples."""
    # As for the scores, outcomes are all that is said of conversions.
    log, time = observed_until(log._replace(converted_at=np.full_like(log.converted_at, NEVER)), config, cutoff)
    code = log.account_ids.get_indexer(pd.Index(account_ids))
    early, late = log.observed_from[code] >= time, log.observed_to[code] < time
    return np.select(
        [code < 0, early, late],
        [
            "its account is not in the data, or was left out of them",
            "at or before the beginning of its account's observation",
            "after the end of its account's observation",
        ],
        "nobody is a member at the cut-off",
    )


def _with_reasons(
    workflow: Workflow, run: AnyRun, tables: Tables, cutoff: pd.Timestamp, ranking: pd.DataFrame, steps: Steps
) -> pd.DataFrame:
    """Writes why candidates have their scores, and adds the sentence and the action where there are any."""
    folder = steps.folder / "reasons"
    if isinstance(run, Run):
        # An outcome is asked once, so that the cut-off before says nothing of it.
        found = explain_scores(run, tables, aspects=workflow.aspects_of, as_of=cutoff, previous=tables.outcomes is None)
        found.write(folder)
        steps.done("reasons", f"{', '.join(found.aspects)}; {folder}")
        return _beside(ranking, found.table[["account_id", "probability", "action", "sentence"]])
    assert isinstance(run, TabularRun)
    if not run.tabular.components:
        steps.done("reasons", f"none: {run.kind} has no components")
        return ranking
    panel, _ = latest_panel(run, tables, cutoff)
    shares = component_shares(run, panel)
    shares = shares[shares["cutoff"] == shares["cutoff"].max()]
    folder.mkdir(exist_ok=True)
    shares.to_csv(folder / "components.csv", index=False)
    steps.done("reasons", f"shares of {', '.join(shares['aspect'].unique())}; {folder}")
    return ranking


def _beside(ranking: pd.DataFrame, reasons: pd.DataFrame) -> pd.DataFrame:
    """Joins reasons, which know their account alone, to its rows in order of scores: equal ones have equal reasons."""
    keyed = []
    for table in (ranking, reasons):
        table = table.sort_values("probability", ascending=False, kind="stable")
        keyed.append(table.assign(place=table.groupby("account_id").cumcount()))
    joined = keyed[0].merge(keyed[1].drop(columns="probability"), on=["account_id", "place"], how="left")
    joined = joined.sort_values(["rank", "account_id"], kind="stable", ignore_index=True)
    return joined.drop(columns="place")


def _write_about(
    folder: Path, entry: Entry, cutoff: pd.Timestamp, found: Monitoring | None, scored: int | None, missed: pd.DataFrame
) -> None:
    """Writes what made the scores, for machines."""
    about = {
        "model": entry.name,
        "version": entry.version,
        "content": entry.content,
        "as_of": f"{cutoff:%Y-%m-%d}",
        "drift": None if found is None else found.drift.severity,
        "performance": None if found is None or found.performance is None else found.performance.severity,
        "scored": scored,
        "not_scored": len(missed),
    }
    (folder / "scoring.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
