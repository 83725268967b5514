"""Scikit-learn's and XGBoost's models on the panel that networks are trained on, clusters, and component models.

``hanjax.fit(data, model=Tabular("random_forest"))`` trains one; ``hanjax.score``, ``hanjax.evaluate`` and
``hanjax.load`` take it like a network.
"""

from hanjax.tabular.clusters import Clusters, cluster_accounts
from hanjax.tabular.components import component_shares
from hanjax.tabular.matrix import matrix_of
from hanjax.tabular.run import TabularRun, read_run
from hanjax.tabular.settings import Tabular

__all__ = ["Clusters", "Tabular", "TabularRun", "cluster_accounts", "component_shares", "matrix_of", "read_run"]
