"""The whole circle around a score, shown on a simulated company: ``hanjax demo --crm``."""
