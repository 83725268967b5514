"""Labels from opportunities: one rule engine, configured for each problem, with the evidence behind every label.

    >>> import pandas as pd
    >>> from hanjax.labels import AccountPropensity, make_labels
    >>> opportunities = pd.DataFrame({
    ...     "opportunity_id": ["a", "b"], "account_id": [1, 2], "region": ["EMEA", "APAC"],
    ...     "created_at": ["2024-01-05", "2024-02-01"], "closed_at": ["2024-03-01", "2024-05-01"],
    ...     "stage": ["closed won", "closed disengaged"]})
    >>> labels = make_labels(opportunities, AccountPropensity())
    >>> labels.table["label"].tolist()
    [1.0, 0.0]

``labels.table`` is what ``Tables.outcomes`` takes. ``audit`` holds labels against the opportunities once more, by code
of its own. ``freeze`` keeps them as a gold set that cannot change unnoticed. ``treat_confused`` and ``abstention`` deal
with samples that a model cannot tell apart.

Source: Guo and Di (LinkedIn), Transforming B2B Sales with Spark Powered Sales Intelligence, the pages on labels of the
account propensity score and of the upsell propensity score.
"""

from hanjax.labels.audit import audit
from hanjax.labels.confuse import Band, Treated, abstention, confusion_band, treat_confused
from hanjax.labels.gold import GoldSet, freeze, read_gold
from hanjax.labels.making import Labels, make_labels
from hanjax.labels.rules import AccountPropensity, Rule, UpsellPropensity, load_rule, rule_of

__all__ = [
    "AccountPropensity",
    "Band",
    "GoldSet",
    "Labels",
    "Rule",
    "Treated",
    "UpsellPropensity",
    "abstention",
    "audit",
    "confusion_band",
    "freeze",
    "load_rule",
    "make_labels",
    "read_gold",
    "rule_of",
    "treat_confused",
]
