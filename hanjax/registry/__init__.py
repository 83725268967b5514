"""Models by name: versions that cannot change unseen, champions, challengers, and a catalog of the scores they give."""

from hanjax.registry.catalog import Score
from hanjax.registry.challenge import RULES, Decision, Rule, decide
from hanjax.registry.entries import Entry
from hanjax.registry.registry import CHALLENGER, CHAMPION, Registry

__all__ = ["CHALLENGER", "CHAMPION", "RULES", "Decision", "Entry", "Registry", "Rule", "Score", "decide"]
