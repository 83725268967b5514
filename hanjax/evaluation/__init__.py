"""How good scores are: they, the outcomes and the periods go in, numbers come out."""

from hanjax.evaluation.metrics import Metric, auc, average_precision, brier, log_loss
from hanjax.evaluation.over_time import over_time, summary

__all__ = ["Metric", "auc", "average_precision", "brier", "log_loss", "over_time", "summary"]
