"""The networks: Flax NNX modules, each written for one example, and the pure functions that the rest of hanjax uses."""

from hanjax.nn.functional import Network, network
from hanjax.nn.han import Scored, Sizes
from hanjax.nn.pooling import Pooled

__all__ = ["Network", "Pooled", "Scored", "Sizes", "network"]
