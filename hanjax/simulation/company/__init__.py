"""A simulated company: opportunities, sources of features and a log of activities, with the truth behind them."""

from hanjax.simulation.company.company import simulate_company
from hanjax.simulation.company.files import write_company
from hanjax.simulation.company.settings import Company, CompanyConfig

__all__ = ["Company", "CompanyConfig", "simulate_company", "write_company"]
