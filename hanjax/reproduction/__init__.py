"""The paper's experiments, baselines and figure, trained on one split and told in a report.

``hanjax.reproduce`` is the function, ``hanjax reproduce`` the command.
"""

from hanjax.reproduction.run import Reproduction, reproduce

__all__ = ["Reproduction", "reproduce"]
