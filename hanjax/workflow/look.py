"""A dry run: every file, column and setting is looked at, and nothing is trained, scored or written."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd

from hanjax.data.reading import read
from hanjax.data.tables import check
from hanjax.errors import HanjaxError
from hanjax.labels import Labels
from hanjax.registry import CHAMPION, Registry
from hanjax.types import Tables
from hanjax.workflow.material import mart_of, with_features
from hanjax.workflow.settings import Workflow
from hanjax.workflow.train import config_of, labels_of


class Looked(NamedTuple):
    """What a dry run found.

    Args:
        table: one row a step: ``step``, ``found`` (what it would work with), ``problem`` (empty if there is none).
    """

    table: pd.DataFrame

    @property
    def problems(self) -> list[str]:
        """Everything that would stop the workflow."""
        return [problem for problem in self.table["problem"] if problem]

    def __repr__(self) -> str:
        """One line a step."""
        rows = self.table.itertuples()
        return "\n".join(f"{row.step:<12} {f'PROBLEM: {row.problem}' if row.problem else row.found}" for row in rows)


def look_over(workflow: Workflow) -> Looked:
    """Checks all that a workflow is going to use; what a step needs of one with a problem is left unsaid.

    Args:
        workflow: the settings.

    Returns:
        The steps, with what each would work with, and what would stop it.

    Example:
        >>> from hanjax.workflow import Workflow, look_over
        >>> models = {"network": {"network": {}}}
        >>> workflow = Workflow(name="p", problem="who buys", owner="Ann", data="nowhere", models=models)
        >>> print(look_over(workflow).problems[0])
        nowhere: there is no such folder. It should hold events, individuals and accounts.
    """
    rows: list[dict[str, str]] = []

    def look(step: str, see: Callable[[], tuple[Any, str]]) -> Any:
        try:
            value, found = see()
        except HanjaxError as error:
            rows.append({"step": step, "found": "", "problem": str(error)})
            return None
        rows.append({"step": step, "found": found, "problem": ""})
        return value

    tables = look("tables", lambda: _tables(workflow))
    labels = None
    if workflow.opportunities is not None and tables is not None:
        labels = look("labels", lambda: _labels(workflow, tables))
    if workflow.features is not None and tables is not None:
        look("features", lambda: _features(workflow, tables, labels))
    for name in workflow.models:
        look("model", lambda name=name: (None, f"{name}: {_model(workflow, name)}"))
    if workflow.aspects is not None:
        look("aspects", lambda: (None, ", ".join(one.name for one in workflow.aspects_of.aspects)))  # pyright: ignore
    look("registry", lambda: (None, _registry(workflow)))
    return Looked(pd.DataFrame(rows, columns=["step", "found", "problem"]))


def _tables(workflow: Workflow) -> tuple[Tables, str]:
    tables = read(workflow.data)
    log = check(tables, workflow.settings.panel)
    return tables, f"{len(log.account_ids):,} accounts, {len(log.event_time):,} events"


def _labels(workflow: Workflow, tables: Tables) -> tuple[Labels, str]:
    """Makes and audits the labels, and checks that all of them can be outcomes of the data."""
    labels = labels_of(workflow, tables)
    assert labels is not None
    check(tables._replace(outcomes=labels.outcomes), workflow.settings.panel)
    return labels, repr(labels)


def _features(workflow: Workflow, tables: Tables, labels: Labels | None) -> tuple[None, str]:
    """Reads the sources and checks every feature; of labels, the last one's are computed, and nothing is stored."""
    assert workflow.features is not None
    without = dataclasses.replace(workflow, features=dataclasses.replace(workflow.features, store=None))
    config = workflow.settings.panel
    mart = mart_of(without, tables, config)
    if labels is not None:
        with_features(tables._replace(outcomes=labels.outcomes.tail(1)), mart, check(tables, config), config)
    return None, repr(mart)


def _model(workflow: Workflow, name: str) -> str:
    tabular = workflow.tabular_of(name)
    return f"network, {config_of(workflow, name).model.aggregator}" if tabular is None else tabular.algorithm


def _registry(workflow: Workflow) -> str:
    registry = Registry(workflow.registry)
    version = registry.aliases(workflow.name).get(CHAMPION)
    if version is None:
        return f"{registry.folder}: no version of {workflow.name} yet"
    registry.entry(workflow.name, version)
    return f"{registry.folder}: version {version} of {workflow.name} is the champion"
