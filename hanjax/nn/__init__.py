"""The networks: Flax NNX modules, each written for one example, and the pure functions that the rest of hanjax uses."""

from hanjax.nn.ensemble import ensemble
from hanjax.nn.functional import Network, network
from hanjax.nn.han import Scored
from hanjax.nn.pooling import Pooled
from hanjax.nn.sizes import Sizes

__all__ = ["Network", "Pooled", "Scored", "Sizes", "ensemble", "network"]
