"""The whole circle from one file: training and scoring as configured, again and again.

``train`` makes labels, features and models, and lets the best one challenge the champion; ``score`` scores with the
champion unless the data have drifted; ``look_over`` checks everything without training. ``hanjax run FILE`` does them.
"""

from hanjax.workflow.look import look_over
from hanjax.workflow.score import Scoring, score
from hanjax.workflow.settings import FeatureSettings, MonitorSettings, ScoreSettings, Workflow, read_workflow
from hanjax.workflow.train import Training, train

__all__ = [
    "FeatureSettings",
    "MonitorSettings",
    "ScoreSettings",
    "Scoring",
    "Training",
    "Workflow",
    "look_over",
    "read_workflow",
    "score",
    "train",
]
