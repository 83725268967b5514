"""Watching a model at work: drift before it scores, performance when outcomes are known, and what it is worth."""

from hanjax.monitoring.drift import DriftReport, check_drift
from hanjax.monitoring.reference import Reference, reference_of
from hanjax.monitoring.verdict import exit_code

__all__ = ["DriftReport", "Reference", "check_drift", "exit_code", "reference_of"]
