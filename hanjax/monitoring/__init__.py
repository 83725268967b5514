"""Watching a model at work: drift before it scores, performance when outcomes are known, and what it is worth."""

from hanjax.monitoring.drift import DriftReport, check_drift
from hanjax.monitoring.page import monitoring_page
from hanjax.monitoring.performance import Performance, performance_over_time
from hanjax.monitoring.reference import Reference, reference_of
from hanjax.monitoring.verdict import exit_code

__all__ = [
    "DriftReport",
    "Performance",
    "Reference",
    "check_drift",
    "exit_code",
    "monitoring_page",
    "performance_over_time",
    "reference_of",
]
