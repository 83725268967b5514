"""Training: from opportunities to labels, features and models, and to a champion or challenger in the registry."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hanjax.api.championship import challenge
from hanjax.api.fitting import fit, load
from hanjax.api.leaderboard import leaderboard
from hanjax.api.monitoring import make_reference
from hanjax.config import Config
from hanjax.data.reading import read
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.labels import GoldSet, Labels, audit, freeze, make_labels
from hanjax.registry import CHALLENGER, CHAMPION, Decision, Entry, Registry
from hanjax.registry.entries import content_of, run_files
from hanjax.tabular.run import AnyRun
from hanjax.types import Tables
from hanjax.workflow.material import digest_of, held_out, mart_of, versions_of, with_features
from hanjax.workflow.settings import Workflow
from hanjax.workflow.steps import Say, Steps


class Training(NamedTuple):
    """What came out of a training.

    Args:
        entry: the best model, as a version in the registry.
        champion: the version that is the champion now.
        leaderboard: all models on held-out accounts, the best first.
        folders: the run folder of each model.
        kept: the models that were trained already, with the same settings and data.
        decision: of the challenge; None where there was none.
        gold: the labels; None without opportunities.
    """

    entry: Entry
    champion: int
    leaderboard: pd.DataFrame
    folders: dict[str, Path]
    kept: tuple[str, ...]
    decision: Decision | None
    gold: GoldSet | None

    def __repr__(self) -> str:
        """Who was best, and who is the champion."""
        best = f"{self.leaderboard.index[0]}, version {self.entry.version} of {self.entry.name}"
        return f"Training({len(self.folders)} models; best: {best}; champion: version {self.champion})"


def train(workflow: Workflow, *, say: Say | None = None) -> Training:
    """Trains the models of a workflow and registers the best one; a champion has to be beaten.

    Labels are made, audited and frozen; features are computed as of the cut-off of each outcome; every model is trained
    on the same accounts, unless its folder holds that training already; all are compared on held-out accounts; the best
    is registered with its lineage, the end of its data and the reference for monitoring, and challenges the champion,
    if there is one and its data do not end later. A challenge that was interrupted is held again.

    Accounts are held out by a hash of their ids, so that later trainings hold out the same ones. Labels are frozen in a
    folder of their last day and rule; if the opportunities of the past are others than they were, that is an error.

    Args:
        workflow: the settings.
        say: is told each step in a line, such as ``print``; None for silence.

    Returns:
        What came out; tables lie in ``out/training``, models in ``out/models``.

    Raises:
        ConfigError: if a setting cannot work.
        DataError: if a table is not what it should be, or a label does not hold.
        RunError: if the gold set, the features' store or the registry was changed or holds something else.

    Example:
        >>> from hanjax.simulation.company import simulate_company, write_company
        >>> from hanjax.workflow import Workflow, train
        >>> folder = write_company(simulate_company(accounts=60, weeks=60), "company")
        >>> workflow = Workflow(
        ...     name="propensity", problem="account propensity", owner="Ann", data="company",
        ...     opportunities="company/opportunities.parquet", labels={"rule": "AccountPropensity"},
        ...     config={"train": {"test": 0.3}}, models={"tree": {"algorithm": "decision_tree"}},
        ... )
        >>> train(workflow)
        Training(1 models; best: tree, version 1 of propensity; champion: version 1)
    """
    steps = Steps(say, workflow.path("training"))
    config, tables = workflow.settings, read(workflow.data)
    log = check(tables, config.panel)
    steps.done("tables", f"{len(log.account_ids):,} accounts, {len(log.event_time):,} events")
    gold = None
    if (labels := labels_of(workflow, tables)) is not None:
        gold = frozen(workflow, labels)
        tables = tables._replace(outcomes=labels.outcomes)
        steps.done("labels", f"{labels!r}; {gold.folder}", labels=labels.summary(), left_out=labels.left_out)
    mart = mart_of(workflow, tables, config.panel)
    tables = with_features(tables, mart, log, config.panel)
    if mart is not None:
        steps.done("features", repr(mart), features=mart.catalog())
    if config.train.test_fold is None and config.train.until is None:
        tables = held_out(tables, log.account_ids, float(config.train.test))
    digest = digest_of(workflow.data, tables)
    runs, kept = _fitted(workflow, tables, digest, steps)
    found = leaderboard(runs, tables, measure=workflow.measure)
    row = found.iloc[0]
    told = f"{row.name} is the best of {len(found)}: {workflow.measure} {row[workflow.measure]:.4f}"
    told += f" on {row['samples']:,} samples of {row['accounts']:,} held-out accounts"
    steps.done("leaderboard", told, leaderboard=found.reset_index())
    best = runs[str(row.name)]
    if workflow.monitor.enabled:
        reference = make_reference(best, tables, periods=workflow.monitor.periods)
        steps.done("reference", f"{', '.join(reference.tables)} of {len(best.split):,} accounts")
    end = pd.Timestamp(int(log.observed_to.max()), unit="us", tz="UTC")
    lineage: dict[str, Any] = {"model": str(row.name), "data": digest, "features": versions_of(mart)}
    if gold is not None:
        end = gold.labels.observed_to
        lineage |= {"gold": gold.manifest["content"], "observed_to": gold.manifest["observed_to"]}
    registry = Registry(workflow.registry)
    entry, decision = _registered(workflow, registry, best, tables, end, lineage, steps)
    folders = {name: run.folder for name, run in runs.items() if run.folder is not None}
    champion = registry.aliases(workflow.name)[CHAMPION]
    return Training(entry, champion, found, folders, kept, decision, gold)


def labels_of(workflow: Workflow, tables: Tables) -> Labels | None:
    """The labels of a workflow's opportunities, audited; None without opportunities.

    Raises:
        DataError: if opportunities are not what they should be, a label does not hold, or the data have outcomes.
    """
    if workflow.rule is None:
        return None
    if tables.outcomes is not None:
        raise DataError(f"{workflow.data}: holds outcomes, and there are opportunities. Take out one of them.")
    labels = make_labels(workflow.opportunities, workflow.rule)
    audit(labels, workflow.opportunities, **workflow.audit)
    return labels


def frozen(workflow: Workflow, labels: Labels) -> GoldSet:
    """Keeps labels as a gold set, in a folder of what was known until when, by which rule.

    Raises:
        RunError: if labels of the same rule and end are there already, and others.
    """
    rule = hashlib.sha256(json.dumps(labels.rule.to_dict(), sort_keys=True).encode()).hexdigest()
    folder = Path(workflow.gold) / workflow.name / f"{labels.observed_to:%Y-%m-%dT%H%M%S}-{rule[:8]}"
    return freeze(labels, folder, name=workflow.name, problem=workflow.problem, owner=workflow.owner)


def config_of(workflow: Workflow, model: str) -> Config:
    """The settings with which a model is trained: fold 0 is held out, unless they say otherwise."""
    config = workflow.settings_of(model)
    if config.train.test_fold is None and config.train.until is None:
        config = config.replace(test_fold=0)
    return config


def _fitted(workflow: Workflow, tables: Tables, digest: str, steps: Steps) -> tuple[dict[str, AnyRun], tuple[str, ...]]:
    """Every model, by its name, and the names of those that were there already."""
    runs: dict[str, AnyRun] = {}
    kept = []
    for name in workflow.models:
        config, tabular = config_of(workflow, name), workflow.tabular_of(name)
        stated = [config.to_dict(), tabular and dataclasses.asdict(tabular), digest]
        key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:12]
        folder = workflow.path("models", name, key)
        if (folder / "config.json").exists() and any(folder.glob("model*")):
            runs[name] = load(folder)
            kept.append(name)
        elif tabular is None:
            runs[name] = fit(tables, folder, config=config, resume=True)
        else:
            runs[name] = fit(tables, folder, config=config, model=tabular)
        done = "kept, trained before with the same settings and data" if name in kept else "trained"
        steps.done("model", f"{name}: {done}; {runs[name]!r}")
    return runs, tuple(kept)


def _registered(
    workflow: Workflow,
    registry: Registry,
    run: AnyRun,
    tables: Tables,
    end: pd.Timestamp,
    lineage: dict[str, Any],
    steps: Steps,
) -> tuple[Entry, Decision | None]:
    """Registers a run, unless it is there already, and lets it challenge the champion, if there is another one.

    One that is there already challenges if it is still the challenger, as nothing was decided: an earlier training was
    interrupted.
    """
    assert run.folder is not None
    own = content_of(run_files(run.folder))
    entry = next((one for one in registry.entries(workflow.name) if one.content == own), None)
    if entry is not None and registry.finished(entry):
        aliases = registry.aliases(workflow.name)
        waits = aliases.get(CHALLENGER) == entry.version != aliases.get(CHAMPION)
        undecided = ", and still the challenger" if waits else ""
        steps.done("registry", f"is version {entry.version} of {entry.name} already{undecided}")
        if not waits:
            return entry, None
    else:
        # Of a run that looks at no more than its `until`, the registry takes that.
        until = "" if run.config.train.until else f"{end.tz_convert('UTC'):%Y-%m-%d}"
        about = dict(problem=workflow.problem, owner=workflow.owner, until=until)
        entry = registry.register(run.folder, workflow.name, **about, lineage=lineage)
        first = registry.aliases(workflow.name).get(CHAMPION) == entry.version
        alias = "champion, as the first one" if first else "challenger"
        steps.done("registry", f"version {entry.version} of {entry.name}: {alias}", registry=registry.table())
        if first:
            return entry, None
    decision = challenge(registry, workflow.name, tables, challenger=entry.version)
    told = "promoted" if decision.promote else "the champion stays"
    steps.done("challenge", f"{told}: {decision.reason}", challenge=decision.table)
    return entry, decision
