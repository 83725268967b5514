"""Pictures of scores, of what they rest on, and of how good they are; matplotlib is imported when one is drawn.

Every function takes tables or arrays alone, draws on the axes ``ax`` or on those of a new figure, and returns them:
``hanjax.plot.over_time(table).figure.savefig("auc.png")``.
"""

from hanjax.plot.accounts import ranking, survival
from hanjax.plot.aspects import aspects, waterfall
from hanjax.plot.contributions import activities, heat_map
from hanjax.plot.features import features
from hanjax.plot.intervals import compare, metrics
from hanjax.plot.monitoring import control_chart, course, distribution, distributions, drift_map
from hanjax.plot.quality import gains, lift, reliability
from hanjax.plot.segments import segments
from hanjax.plot.timing import lead_time, over_time
from hanjax.plot.trajectories import history, trajectory

__all__ = [
    "activities",
    "aspects",
    "compare",
    "control_chart",
    "course",
    "distribution",
    "distributions",
    "drift_map",
    "features",
    "gains",
    "heat_map",
    "history",
    "lead_time",
    "lift",
    "metrics",
    "over_time",
    "ranking",
    "reliability",
    "segments",
    "survival",
    "trajectory",
    "waterfall",
]
