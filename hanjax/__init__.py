"""hanjax scores groups and their members together, over time.

An activity log goes in; every week each account gets the probability that it converts in the next week, and each of its
individuals a score of their own. The model is a three-level hierarchical attention network on JAX and Flax.

    >>> import hanjax
    >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
    >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=2, test=0.2))
    >>> scores = hanjax.score(run, market.tables)
    >>> scores.accounts.columns[:4].tolist()
    ['account_id', 'cutoff', 'probability', 'raw_score']

Data: ``read`` a folder, or make ``Tables`` of DataFrames; ``describe`` says what is in them and what would be left out;
``encode`` makes the ``Panel`` of samples; ``simulate`` makes a market whose truth is known.

Models: ``fit`` trains one and gives a ``Run``, ``load`` reads one back, ``score`` applies it, ``evaluate`` says how
good it is on accounts it has not seen, ``calibrate`` makes its probabilities truer. ``Config`` holds every setting
(``PanelConfig``, ``ModelConfig``, ``TrainConfig``).

To act on scores: ``rank`` says whom to call and why now, ``allocate`` deals calls, ``crossings`` says who reached a
threshold and when a conversion is to be expected, ``explain_scores`` gives the reasons of each score by aspect and in a
sentence, ``write_report`` makes one page for readers who have never seen the code. To trust them: ``walk_forward``
trains up to a date and tests on what follows, ``hanjax.checks`` proves on your own data that nothing leaks. ``Scorer``
is all of it as scikit-learn's tools expect it.

``fit_population`` trains many at once, over seeds, learning rates or any other settings, and gives a ``Population``: a
table of them, the best one, or their ensemble.

Around the score: ``hanjax.labels`` makes outcomes of opportunities by rules, ``hanjax.features`` computes dated numbers
of accounts, ``Tabular`` chooses one of scikit-learn's models for ``fit``, ``leaderboard`` compares models,
``segment_effects`` says what regions and products add, ``hanjax.registry`` keeps champions and challengers, between
which ``challenge`` decides, ``monitor`` watches drift and performance (``make_reference`` says against what), and
``simulate_company`` makes a company to try all of it on. ``Shards`` hold what outgrows memory; ``hanjax.spark`` makes
them.

Research: ``Batch.from_dense`` takes dense tensors, ``Sizes.of`` says how large a model they need, and ``network`` makes
it as pure functions of its parameters.

``reproduce`` trains the paper's experiments, and says which of its findings hold.

Pictures: ``hanjax.plot``. From a shell: ``hanjax --help``.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hanjax import checks, features, labels, monitoring, plot, registry, tabular
    from hanjax.api import (
        calibrate,
        challenge,
        crossings,
        describe,
        encode,
        evaluate,
        explain_scores,
        fit,
        leaderboard,
        load,
        make_reference,
        monitor,
        rank,
        score,
        segment_effects,
        walk_forward,
        write_report,
    )
    from hanjax.config import Config, ModelConfig, PanelConfig, TrainConfig
    from hanjax.data.reading import read
    from hanjax.data.shards import Shards
    from hanjax.errors import ConfigError, DataError, HanjaxError, RunError
    from hanjax.nn.functional import network
    from hanjax.nn.sizes import Sizes
    from hanjax.population import Population, fit_population
    from hanjax.reproduction.run import reproduce
    from hanjax.run import Run
    from hanjax.scorer import Scorer
    from hanjax.scoring.allocation import allocate
    from hanjax.simulation import simulate
    from hanjax.simulation.company import simulate_company
    from hanjax.tabular import Tabular
    from hanjax.types import Batch, LeftOut, Output, Panel, Scores, Tables

_HOME = {
    **{
        room: f"hanjax.{room}" for room in ("checks", "features", "labels", "monitoring", "plot", "registry", "tabular")
    },
    **dict.fromkeys(
        [
            "calibrate",
            "challenge",
            "crossings",
            "describe",
            "encode",
            "evaluate",
            "explain_scores",
            "fit",
            "leaderboard",
            "load",
            "make_reference",
            "monitor",
            "rank",
            "score",
            "segment_effects",
            "walk_forward",
            "write_report",
        ],
        "hanjax.api",
    ),
    "allocate": "hanjax.scoring.allocation",
    **dict.fromkeys(["Config", "ModelConfig", "PanelConfig", "TrainConfig"], "hanjax.config"),
    "read": "hanjax.data.reading",
    **dict.fromkeys(["ConfigError", "DataError", "HanjaxError", "RunError"], "hanjax.errors"),
    "network": "hanjax.nn.functional",
    "Sizes": "hanjax.nn.sizes",
    **dict.fromkeys(["Population", "fit_population"], "hanjax.population"),
    "reproduce": "hanjax.reproduction.run",
    "Run": "hanjax.run",
    "Scorer": "hanjax.scorer",
    "Shards": "hanjax.data.shards",
    "simulate": "hanjax.simulation",
    "simulate_company": "hanjax.simulation.company",
    "Tabular": "hanjax.tabular",
    **dict.fromkeys(["Batch", "LeftOut", "Output", "Panel", "Scores", "Tables"], "hanjax.types"),
}

__all__ = [
    "Batch",
    "Config",
    "ConfigError",
    "DataError",
    "HanjaxError",
    "LeftOut",
    "ModelConfig",
    "Output",
    "Panel",
    "PanelConfig",
    "Population",
    "Run",
    "RunError",
    "Scorer",
    "Scores",
    "Shards",
    "Sizes",
    "Tables",
    "Tabular",
    "TrainConfig",
    "allocate",
    "calibrate",
    "challenge",
    "checks",
    "crossings",
    "describe",
    "encode",
    "evaluate",
    "explain_scores",
    "features",
    "fit",
    "fit_population",
    "labels",
    "leaderboard",
    "load",
    "make_reference",
    "monitor",
    "monitoring",
    "network",
    "plot",
    "rank",
    "read",
    "registry",
    "reproduce",
    "score",
    "segment_effects",
    "simulate",
    "simulate_company",
    "tabular",
    "walk_forward",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that importing hanjax costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'hanjax' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    value = module if _HOME[name] == f"hanjax.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, whether imported yet or not."""
    return [*globals(), *__all__]
