"""A market with a known truth: the same tables that a user would bring, plus the oracle."""

from hanjax.simulation.files import write
from hanjax.simulation.market import simulate
from hanjax.simulation.settings import Market, MarketConfig
from hanjax.simulation.statistics import PAPER, compare

__all__ = ["PAPER", "Market", "MarketConfig", "compare", "simulate", "write"]
