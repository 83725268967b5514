"""Whether a challenger takes the champion's place, by what both say of accounts that neither has seen."""

from pathlib import Path
from typing import Any

from hanjax.api.evaluating import common_samples, unseen_panel
from hanjax.api.given import Data, tables_of
from hanjax.errors import ConfigError
from hanjax.registry.challenge import RULES, Decision, Rule, decide, refuse_older
from hanjax.registry.registry import CHALLENGER, CHAMPION, Registry
from hanjax.tabular.run import AnyRun, read_run


def challenge(
    registry: Registry | str | Path,
    name: str,
    data: Data,
    *,
    challenger: int | None = None,
    rule: Rule | None = None,
    before: Any = None,
    promote: bool = True,
    progress: bool = False,
) -> Decision:
    """Holds a challenger against the champion, and promotes it if it is better by the rule.

    Both score the samples that neither has seen and whose outcome is known. A challenger that was trained on older data
    than the champion is refused, however it does. What was decided is in the registry's history, with the reason.

    Args:
        registry: the registry, or its folder.
        name: of the model.
        data: tables, or their folder.
        challenger: a version; None for the one that is the challenger.
        rule: what the challenger must be better at; None for that of its problem, see ``hanjax.registry.RULES``.
        before: a date: only cut-offs before it count. None for all.
        promote: whether to do as was decided; if not, the registry stays as it is.
        progress: show a bar.

    Returns:
        What was decided, why, and the measures of both.

    Raises:
        ConfigError: if the challenger is the champion.
        DataError: if the tables are not what they should be, or there are not both outcomes to compare on.
        RunError: if there is no such model, champion or challenger, or one was changed since it was registered.

    Example:
        >>> import hanjax
        >>> from hanjax.tabular import Tabular
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> registry, config = hanjax.registry.Registry("models"), hanjax.Config().replace(test=0.3)
        >>> for depth in (1, 3):
        ...     tree = Tabular("decision_tree", options={"max_depth": depth})
        ...     _ = hanjax.fit(market.tables, f"run-{depth}", config=config, model=tree)
        ...     entry = registry.register(f"run-{depth}", "trees", problem="account propensity", owner="Ann")
        >>> decision = hanjax.challenge(registry, "trees", market.tables)
        >>> registry.aliases("trees")["champion"] == (2 if decision.promote else 1)
        True

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, for resampling whole accounts in pairs.
    """
    from tqdm import tqdm

    registry, tables = registry if isinstance(registry, Registry) else Registry(registry), tables_of(data)
    reigning = registry.entry(name, CHAMPION)
    entry = registry.entry(name, CHALLENGER if challenger is None else challenger)
    if entry.version == reigning.version:
        raise ConfigError(f"challenger: version {entry.version} of {name!r} is the champion. Name another version.")
    runs = _loaded(entry.folder), _loaded(reigning.folder)
    first, second = (
        unseen_panel(run, tables, before) for run in tqdm(runs, desc="encoding", unit="model", disable=not progress)
    )
    both = common_samples(runs, (first, second))
    decision = decide(
        RULES.get(entry.problem, Rule()) if rule is None else rule,
        *both.logits,
        both.labels,
        both.samples["account_id"].to_numpy(),
        both.samples["period"].to_numpy(),
        combine=both.combine,
    )
    if older := refuse_older(entry.until, reigning.until):
        decision = decision._replace(promote=False, reason=older)
    if promote and decision.promote:
        registry.promote(name, entry.version, reason=decision.reason)
    elif promote:
        registry.refuse(name, entry.version, reason=decision.reason)
    return decision


def _loaded(folder: Path) -> AnyRun:
    """The run of a version, which knows no folder to write to."""
    run = read_run(folder)
    run.folder = None
    return run
