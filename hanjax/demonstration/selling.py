"""What the simulated company's analysts would have written down: features, aspects, rules, models."""

from typing import Any

import pandas as pd

from hanjax.config import Config
from hanjax.features import Feature, Mart, Source
from hanjax.labels import AccountPropensity, Labels, UpsellPropensity
from hanjax.simulation.company import Company
from hanjax.tabular import Tabular
from hanjax.types import Tables

OWNER = "sales analytics"

FEATURES = (
    Feature(
        name="employees",
        aspect="growth",
        source="headcount",
        how="latest",
        expression="employees",
        owner=OWNER,
        description="headcount as last reported",
    ),
    Feature(
        name="growth_half_year",
        aspect="growth",
        source="headcount",
        expression="ln(last(employees) / first(employees))",
        look_back="7M",
        owner=OWNER,
        description="log of headcount now over headcount half a year ago",
    ),
    Feature(
        name="booked_year",
        aspect="booking",
        source="bookings",
        expression="sum(amount)",
        look_back="365D",
        owner=OWNER,
        description="dollars a year that were sold within a year",
    ),
    Feature(
        name="connections",
        aspect="social selling",
        entity="individual",
        over_members="mean",
        source="connections",
        how="latest",
        expression="connections",
        owner=OWNER,
        description="sellers that an individual is connected to, the mean over the account's",
    ),
    Feature(
        name="sessions_month",
        aspect="usage",
        source="usage",
        expression="ln(sum(sessions))",
        look_back="28D",
        owner=OWNER,
        description="log of the sessions within four weeks",
    ),
    Feature(
        name="responses",
        aspect="performance",
        source="performance",
        granularity="week",
        expression="sum(responses) / nullif(sum(posts), 0)",
        look_back="8W",
        owner=OWNER,
        description="responses to a post, within eight weeks",
    ),
    Feature(
        name="unsold",
        aspect="white space",
        source="seats",
        expression="ln(sum(potential) / sum(seats))",
        look_back="35D",
        owner=OWNER,
        description="log of the seats that could be sold over those that are",
    ),
)

ASPECTS: dict[str, Any] = {
    "growth": {
        "inputs": ["feature:employees", "feature:growth_half_year"],
        "describe": [
            {"when": {"input": "feature:growth_half_year", "at_least": 0.1}, "text": "Fast growth"},
            {"when": {"input": "feature:growth_half_year", "below": -0.1}, "text": "Decline"},
        ],
    },
    "affinity": ["activity:*", "number:activities"],
    "booking": ["feature:booked_year"],
    "social selling": ["feature:connections"],
    "usage": ["feature:sessions_month"],
    "performance": ["feature:responses"],
    "white space": ["feature:unsold"],
    "profile": ["member:*", "segment:*"],
}

PURCHASE = AccountPropensity(name="account propensity", unit=("region",), retries="keep")
"""An attempt that fails stays a failure here, as the company's truth has it; "try until won" is shown beside it."""

UPSELL = UpsellPropensity(name="upsell propensity", churn_within=30)

NETWORK = Config().replace(
    aggregator="mean_log_odds",
    account_head=True,
    period_input="both",
    volumes=True,
    account_numbers=("activities",),
    window=8,
    activity_width=12,
    window_width=8,
    member_width=8,
    positive_weight=1.0,
    batch_size=128,
    epochs=16,
    patience=6,
    test_fold=1,
    segments=("region", "region:industry"),
)
"""Small, as it shall be trained in a minute; w = 1, as a third of the opportunities are won."""

MODELS = {
    "logistic regression": Tabular("logistic_regression", options={"C": 0.3}, segments=("region", "industry")),
    "gradient boosting": Tabular(
        "gradient_boosting",
        options={"max_iter": 80, "learning_rate": 0.05, "max_leaf_nodes": 8},
        segments=("region", "industry"),
    ),
    "random forest": Tabular("random_forest", options={"min_samples_leaf": 10}, segments=("region", "industry")),
}

CUSTOMERS = Tabular("logistic_regression", options={"C": 0.3}, segments=("product", "kind"))
"""What predicts upsells: of few samples, the plainest model does best."""


def mart_of(company: Company, folder: Any = None) -> Mart:
    """The mart of a company's features."""
    sources = {
        name: Source(table, "day", "known_at" if "known_at" in table else None)
        for name, table in company.sources.items()
    }
    return Mart(FEATURES, sources, individuals=company.tables.individuals, folder=folder)


def tables_of(company: Company, mart: Mart, labels: Labels, *, since: pd.Timestamp | None = None) -> Tables:
    """A company's tables with labels as outcomes, and the features as of each of them.

    Args:
        company: the company.
        mart: of its features.
        labels: of its opportunities.
        since: only labels as of this date or later; None for all.
    """
    outcomes = labels.outcomes
    if since is not None:
        outcomes = outcomes[outcomes["as_of"] >= since]
    asked = pd.DataFrame({"account_id": outcomes["account_id"], "cutoff": outcomes["as_of"]}).drop_duplicates()
    return company.tables._replace(outcomes=outcomes, account_features=mart.account_features(asked))


def aspects_of(inputs: list[str]) -> dict[str, Any]:
    """The aspects of which a model reads anything."""
    kinds = {name.split(":")[0] for name in inputs}

    def there(patterns: list[str]) -> list[str]:
        return [one for one in patterns if one in inputs or (one.endswith("*") and one.split(":")[0] in kinds)]

    found = {}
    for name, own in ASPECTS.items():
        patterns = there(own["inputs"] if isinstance(own, dict) else own)
        if patterns:
            found[name] = {**own, "inputs": patterns} if isinstance(own, dict) else patterns
    return found
