"""How individuals become an account: one class an aggregation, all called the same way.

To add one, write a class that follows ``Aggregator`` and name it in ``AGGREGATORS``.
"""

from hanjax.nn.aggregation import Aggregated, Aggregator, GroupSpec, Logit, OfRepresentations
from hanjax.nn.attention_aggregators import GatedAttention, SetTransformer
from hanjax.nn.neural_aggregators import FNN, GRUAttention, LastState
from hanjax.nn.statistical_aggregators import AtLeastOne, GeometricMean, Maximum, MeanLogOdds, MeanProbability

__all__ = ["AGGREGATORS", "Aggregated", "Aggregator", "GroupSpec", "Logit", "OfRepresentations"]

AGGREGATORS: dict[str, type[Aggregator]] = {
    "fnn": FNN,
    "gru": LastState,
    "gru_attention": GRUAttention,
    "maximum": Maximum,
    "at_least_one": AtLeastOne,
    "geometric_mean": GeometricMean,
    "mean_probability": MeanProbability,
    "mean_log_odds": MeanLogOdds,
    "gated_attention": GatedAttention,
    "set_transformer": SetTransformer,
}
"""The aggregations by their names in ``ModelConfig.aggregator``."""
