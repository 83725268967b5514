"""The front door: tables in, DataFrames out."""

from hanjax.api.calibrating import calibrate
from hanjax.api.data import conversions, describe, encode
from hanjax.api.evaluating import evaluate
from hanjax.api.evaluation import Comparison, Evaluation
from hanjax.api.fitting import fit, load, prepare
from hanjax.api.given import Data
from hanjax.api.scoring import score
from hanjax.data.reading import read

__all__ = [
    "Comparison",
    "Data",
    "Evaluation",
    "calibrate",
    "conversions",
    "describe",
    "encode",
    "evaluate",
    "fit",
    "load",
    "prepare",
    "read",
    "score",
]
