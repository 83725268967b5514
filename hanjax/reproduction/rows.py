"""What is trained: the paper's two baselines and nine experiments, and a few models beyond it."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from hanjax.config import Config, PanelConfig
from hanjax.errors import ConfigError

Kind = Literal["network", "regression", "boosting", "latent_oracle", "log_oracle"]

Settings = tuple[tuple[str, Any], ...]
"""Settings by name, as pairs."""

REFERENCE = "experiment-3"
"""The row that the others are compared with: the paper's best."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model.

    Args:
        name: its short name.
        title: what it is, in words.
        table: the paper's table that holds it, or "beyond" or "oracle".
        paper: the paper's AUC.
        kind: what computes the scores.
        changes: settings that differ from the paper's.
        naive: the aggregation is one of ``hanjax.reproduction.naive``, by this name.
        once: one seed is enough, as nothing in it is random, or it is a mean over several networks already.
        eventually: learns, and is tested on, whether an account ever converts, from one sample an account.
        preset: whose settings they are that ``changes`` change: the paper's, or the recommended ones.
    """

    name: str
    title: str
    table: str = "beyond"
    paper: float | None = None
    kind: Kind = "network"
    changes: Settings = ()
    naive: str | None = None
    once: bool = False
    eventually: bool = False
    preset: Literal["paper", "recommended"] = "paper"

    def config(self, epochs: int | None = None, settings: Settings = ()) -> Config:
        """The preset's settings with those of this row.

        Args:
            epochs: passes over the data instead of the paper's 20, scaled where the row itself has others.
            settings: of all rows, where they differ from the preset; those of this row win over them.

        Returns:
            All settings.

        Example:
            >>> from hanjax.reproduction.rows import row_named
            >>> row_named("experiment-4").config().model.aggregator
            'maximum'
        """
        preset = Config.paper() if self.preset == "paper" else Config.recommended()
        changed = preset.replace(**dict((*settings, *self.changes)))
        if epochs is not None:
            scaled = max(round(epochs * changed.train.epochs / Config.paper().train.epochs), 1)
            changed = changed.replace(epochs=scaled)
        return changed


def _network(name: str, title: str, aggregator: str, **rest: Any) -> Row:
    own = {key: rest.pop(key) for key in ("table", "paper", "naive") if key in rest}
    return Row(name=name, title=title, changes=(("aggregator", aggregator), *sorted(rest.items())), **own)


_TIMED = dict(time="concatenated", gaps=True, table="4")

ROWS: tuple[Row, ...] = (
    _network(
        "baseline-1",
        "Baseline 1: sequences, loss of each individual, no aggregation",
        "mean_probability",
        loss="individual",
        table="2",
        paper=0.74,
    ),
    _network(
        "baseline-2",
        "Baseline 2: counts, GRU and attention over members",
        "gru_attention",
        period_input="counts",
        volumes=True,
        table="2",
        paper=0.82,
    ),
    _network("experiment-1", "1. FNN", "fnn", table="3", paper=0.86),
    _network("experiment-2", "2. Many-to-one GRU", "gru", table="3", paper=0.87),
    _network("experiment-3", "3. Many-to-many GRU and attention", "gru_attention", table="3", paper=0.87),
    _network("experiment-4", "4. Maximum probability", "maximum", table="3", paper=0.83),
    _network("experiment-5", "5. At least one individual converts", "at_least_one", table="3", paper=0.67),
    _network("experiment-6", "6. Geometric mean", "geometric_mean", table="3", paper=0.69),
    _network("naive-5", "5. with naive numerics", "at_least_one", naive="at_least_one", table="3 (numerics)"),
    _network("naive-6", "6. with naive numerics", "geometric_mean", naive="geometric_mean", table="3 (numerics)"),
    _network("experiment-7", "7. FNN, with time between activities", "fnn", paper=0.85, **_TIMED),
    _network("experiment-8", "8. Many-to-one GRU, with time between activities", "gru", paper=0.85, **_TIMED),
    _network(
        "experiment-9",
        "9. Many-to-many GRU and attention, with time between activities",
        "gru_attention",
        paper=0.86,
        **_TIMED,
    ),
    _network("time-gated", "9. with a time-gated recurrent cell", "gru_attention", time="gated", gaps=True),
    _network("gated-attention", "Gated attention over members", "gated_attention"),
    _network("set-transformer", "Set transformer over members", "set_transformer"),
    _network("mean-log-odds", "Mean log-odds of members", "mean_log_odds"),
    Row(
        name="regression",
        title="Logistic regression on counts (scikit-learn)",
        kind="regression",
        changes=(("volumes", True),),
        once=True,
    ),
    Row(
        name="boosting",
        title="Histogram gradient boosting on counts (scikit-learn)",
        kind="boosting",
        changes=(("volumes", True),),
    ),
    Row(
        name="log-oracle",
        title="Log oracle: the best that this log allows",
        table="oracle",
        kind="log_oracle",  # its spread over seeds is the error of its particle filter
    ),
    Row(
        name="latent-oracle",
        title="Latent oracle: the true probability",
        table="oracle",
        kind="latent_oracle",
        once=True,
    ),
)
"""Rows of the tables, those with equal data together."""

# The samples have to be those of the other rows, member by member.
_SAME_MEMBERS = (("opt_out_activity", PanelConfig.paper().opt_out_activity),)

RECOMMENDED: tuple[Row, ...] = (
    Row(name="recommended", title="Recommended preset", preset="recommended", changes=_SAME_MEMBERS, once=True),
    Row(
        name="recommended-attention",
        title="Recommended preset, with gated attention over members",
        preset="recommended",
        changes=(*_SAME_MEMBERS, ("aggregator", "gated_attention"), ("account_head", False)),
        once=True,
    ),
    Row(
        name="regression-recommended",
        title="Logistic regression on what the recommended preset is given (scikit-learn)",
        kind="regression",
        preset="recommended",
        changes=_SAME_MEMBERS,
        once=True,
    ),
    Row(
        name="boosting-recommended",
        title="Histogram gradient boosting on what the recommended preset is given (scikit-learn)",
        kind="boosting",
        preset="recommended",
        changes=_SAME_MEMBERS,
    ),
)
"""The recommended preset, its second choice of an aggregation, and what they have to beat."""

ALL: tuple[Row, ...] = tuple(sorted((*ROWS, *RECOMMENDED), key=lambda row: row.table == "oracle"))
"""Every row of the tables, the oracles last."""

NORMALIZED = Row(
    name="baseline-1-normalized",
    title="Baseline 1, members' scores added and min-max normalized within each period",
    table="2",
)
"""A transform of baseline 1's finished scores, not a training of its own."""

STATIC: tuple[Row, ...] = tuple(
    dataclasses.replace(
        row,
        name=f"static-{row.name}",
        eventually=True,
        changes=(*row.changes, *((("positive_weight", None),) if row.kind == "network" else ())),
    )
    for row in ROWS
    if row.name in ("baseline-2", REFERENCE, "experiment-4", "regression")
)
"""Rows of the static task: does the account ever convert?"""

GRID = (
    "baseline-1",
    "baseline-2",
    "experiment-1",
    "experiment-2",
    "experiment-3",
    "experiment-4",
    "experiment-5",
    "experiment-6",
    "mean-log-odds",
    "gated-attention",
    "set-transformer",
    "regression",
    "log-oracle",
    "latent-oracle",
)
"""Names of the rows that are trained in every world of the grid."""


def row_named(name: str) -> Row:
    """The row with a name.

    Args:
        name: as in ``ALL``.

    Returns:
        The row.

    Raises:
        ConfigError: if there is none.

    Example:
        >>> from hanjax.reproduction.rows import row_named
        >>> row_named("baseline-2").paper
        0.82
    """
    known = {row.name: row for row in ALL}
    if name not in known:
        raise ConfigError(f"rows: there is no row {name!r}; there are {', '.join(known)}.")
    return known[name]
