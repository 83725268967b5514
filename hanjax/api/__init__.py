"""The front door: tables in, DataFrames out."""

from hanjax.api.acting import crossings, rank
from hanjax.api.calibrating import calibrate
from hanjax.api.championship import challenge
from hanjax.api.data import conversions, describe, encode
from hanjax.api.evaluating import evaluate
from hanjax.api.evaluation import Comparison, Evaluation
from hanjax.api.explaining import explain_scores
from hanjax.api.fitting import fit, load, prepare
from hanjax.api.given import Data
from hanjax.api.leaderboard import leaderboard
from hanjax.api.monitoring import Monitoring, make_reference, monitor
from hanjax.api.reporting import write_report
from hanjax.api.scoring import append_scores, score
from hanjax.api.segments import segment_effects
from hanjax.api.walking import WalkForward, walk_forward
from hanjax.data.reading import read

__all__ = [
    "Comparison",
    "Data",
    "Evaluation",
    "Monitoring",
    "WalkForward",
    "append_scores",
    "calibrate",
    "challenge",
    "conversions",
    "crossings",
    "describe",
    "encode",
    "evaluate",
    "explain_scores",
    "fit",
    "leaderboard",
    "load",
    "make_reference",
    "monitor",
    "prepare",
    "rank",
    "read",
    "score",
    "segment_effects",
    "walk_forward",
    "write_report",
]
