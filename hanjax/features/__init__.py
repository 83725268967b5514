"""A thin feature mart: numbers of accounts, declared in code, computed as of any date, kept as they were computed."""

from hanjax.features.feature import ASPECTS, Feature, load_features
from hanjax.features.mart import Mart
from hanjax.features.source import Source

__all__ = ["ASPECTS", "Feature", "Mart", "Source", "load_features"]
