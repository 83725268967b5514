"""A market with a known truth: the same tables that a user would bring, plus the oracle."""

from hanjax.simulation.files import write
from hanjax.simulation.market import simulate
from hanjax.simulation.oracle import log_oracle
from hanjax.simulation.settings import Market, MarketConfig

__all__ = ["Market", "MarketConfig", "log_oracle", "simulate", "write"]
