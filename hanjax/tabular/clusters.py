"""Accounts that are alike: clusters of the first sample of each, so that none of them tells of an account's future."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from hanjax.config import Config, PanelConfig
from hanjax.data.encoding import Encoding
from hanjax.errors import ConfigError, DataError
from hanjax.run.base import as_json, read_json, reading
from hanjax.settings import require
from hanjax.tabular.matrix import matrix_of
from hanjax.tabular.storage import dump, load
from hanjax.types import Panel, Tables

METHODS = ("k_means", "gaussian_mixture")


@dataclass(frozen=True)
class Clusters:
    """A partition of accounts, "cluster 1" being the largest of those that it was learned from.

    Args:
        method: "k_means" or "gaussian_mixture".
        encoding: what samples are encoded with.
        config: the settings of the data.
        columns: what is looked at.
        scale: ``[2, c]`` mean and standard deviation of each column.
        model: scikit-learn's.
        order: the model's number of cluster 1, of cluster 2, and so on.
        means: ``[clusters, c]`` mean of each column in each cluster, in the order of their names.
        sizes: how many accounts each had.
        tried: one row a number of clusters: ``clusters``, and ``silhouette`` (higher is better) or ``bic`` (lower is).
    """

    method: str
    encoding: Encoding
    config: PanelConfig
    columns: tuple[str, ...]
    scale: Float[np.ndarray, "2 c"]
    model: Any
    order: tuple[int, ...]
    means: Float[np.ndarray, "clusters c"]
    sizes: tuple[int, ...]
    tried: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """What the clusters are called."""
        return [f"cluster {number}" for number in range(1, len(self.order) + 1)]

    def __repr__(self) -> str:
        """Says how many accounts are in each cluster."""
        sizes = ", ".join(f"{name}: {size:,}" for name, size in zip(self.names, self.sizes, strict=True))
        return f"Clusters({self.method}; {sizes} accounts; {len(self.columns)} columns)"

    def assign(self, panel: Panel) -> Shaped[np.ndarray, " B"]:
        """The cluster of each sample, as it was at its cut-off.

        Args:
            panel: the samples, encoded with the clusters' encoding.

        Returns:
            ``[B]`` names.
        """
        matrix = matrix_of(panel, self.encoding, self.config)
        if tuple(matrix) != self.columns:
            raise DataError("panel: its columns are not those of the clusters. Encode it with their encoding.")
        if not len(matrix):
            return np.zeros(0, object)
        place = np.argsort(self.order)
        return np.array(self.names, object)[place[_predict(self.model, _standardized(matrix, self.scale))]]

    def profile(self, *, features: int = 5) -> pd.DataFrame:
        """What each cluster is like: the columns in which it differs most from all accounts.

        Args:
            features: how many columns of each.

        Returns:
            ``cluster``, ``accounts``, ``column``, ``mean`` (of the cluster), ``mean_of_all``, and ``difference`` in
            standard deviations over all accounts, by which the columns of a cluster are sorted; NaN where a column does
            not vary.
        """
        center, spread = self.scale
        apart = np.divide(self.means - center, spread, out=np.full(self.means.shape, np.nan), where=spread > 0)
        rows = []
        for number, name in enumerate(self.names):
            largest = np.argsort(-np.nan_to_num(np.abs(apart[number]), nan=-1.0), kind="stable")[:features]
            for c in largest:
                rows.append(
                    [name, self.sizes[number], self.columns[c], self.means[number, c], center[c], apart[number, c]]
                )
        return pd.DataFrame(rows, columns=["cluster", "accounts", "column", "mean", "mean_of_all", "difference"])

    def as_segments(self, tables: Tables, panel: Panel, *, column: str = "cluster") -> Tables:
        """The tables with each account's cluster as a text column of ``accounts``, which makes it a segment.

        The cluster is that of the account's first sample: a segment has one value for all of an account's samples, and
        a later sample's cluster would tell the earlier ones what became of the account.

        Args:
            tables: the data.
            panel: all of their samples, encoded with the clusters' encoding.
            column: its name.

        Returns:
            The tables, ``accounts`` as pandas; accounts without a sample have no cluster.

        Raises:
            DataError: if ``accounts`` has such a column, or the panel is of none of these accounts.
        """
        import narwhals as nw

        accounts = nw.from_native(tables.accounts, eager_only=True).to_pandas()
        key = dict(self.config.columns).get("account_id", "account_id")
        if column in accounts:
            raise DataError(f"accounts.{column}: there is such a column. Choose another name for the clusters.")
        if key not in accounts:
            raise DataError(f"accounts.{key}: there is no such column; there are {', '.join(map(str, accounts))}.")
        first = ~panel.samples["account_id"].duplicated().to_numpy()
        cluster = dict(zip(panel.samples["account_id"][first].astype(str), self.assign(panel)[first], strict=True))
        found = accounts[key].astype(str).map(cluster)
        if found.isna().all():
            raise DataError("panel: none of its samples is of an account of these tables. Encode these tables.")
        return tables._replace(accounts=accounts.assign(**{column: found.astype(object).where(found.notna(), None)}))

    def write(self, folder: str | Path) -> None:
        """Writes clusters.json and clusters.skops, by which accounts to come are assigned.

        Args:
            folder: it is made if it is not there.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "clusters.skops").write_bytes(dump(self.model)[0])
        stored = {
            "method": self.method,
            "config": Config(panel=self.config).to_dict(),
            "encoding": self.encoding.to_dict(),
            "columns": self.columns,
            "scale": self.scale.tolist(),
            "order": self.order,
            "means": self.means.tolist(),
            "sizes": self.sizes,
            "tried": self.tried.to_dict("list"),
        }
        (folder / "clusters.json").write_bytes(as_json(stored))

    @classmethod
    def read(cls, folder: str | Path) -> "Clusters":
        """Reads what ``write`` wrote; nothing in it is ever run.

        Args:
            folder: the folder.

        Raises:
            RunError: if a file is missing or damaged, or holds what is not trusted.
        """
        path = Path(folder) / "clusters.json"
        stored = read_json(path)
        with reading(path):
            scale, means = np.array(stored["scale"], float), np.array(stored["means"], float)
            columns, order = tuple(stored["columns"]), tuple(map(int, stored["order"]))
            found = dict(
                method=stored["method"],
                encoding=Encoding.from_dict(stored["encoding"]),
                config=Config.from_dict(stored["config"]).panel,
                columns=columns,
                scale=scale,
                order=order,
                means=means,
                sizes=tuple(map(int, stored["sizes"])),
                tried=pd.DataFrame(stored["tried"]),
            )
            shapes = scale.shape == (2, len(columns)) and means.shape == (len(order), len(columns))
            if not shapes or sorted(order) != list(range(len(order))) or len(found["sizes"]) != len(order):
                raise ValueError("its lists do not fit together")
            kind = _class_of(stored["method"])
        model = load(Path(folder) / "clusters.skops", kind, columns=len(columns))
        return cls(**found, model=model)


def cluster_accounts(
    panel: Panel,
    encoding: Encoding,
    config: PanelConfig,
    *,
    training: Bool[np.ndarray, " B"] | None = None,
    method: str = "k_means",
    clusters: int | Sequence[int] = 4,
    seed: int = 0,
) -> Clusters:
    """Finds groups of accounts that are alike when they are first scored.

    Columns are standardized, so that each counts alike. Of several numbers of clusters the one is taken that has the
    largest mean silhouette (k-means; of 5,000 accounts at most, and -1 if one cluster holds all of these), or the
    lowest Bayesian information criterion (Gaussian mixture).

    Args:
        panel: the samples.
        encoding: what they were encoded with.
        config: the settings of the data.
        training: ``[B]`` the samples of the accounts that may be learned from, as
            ``run.parts_of(panel.samples["account_id"]) == "train"`` says; None for all of the panel. The first of each
            account is what counts.
        method: "k_means" or "gaussian_mixture" (with a variance for each column, not for each pair).
        clusters: how many, or several numbers to choose from, such as ``range(2, 9)``.
        seed: of the first centers.

    Returns:
        The clusters.

    Raises:
        ConfigError: if the method or the number cannot work.
        DataError: if there are fewer different accounts than clusters.

    Example:
        >>> import hanjax
        >>> from hanjax.tabular import cluster_accounts
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> panel = hanjax.encode(market.tables, run.config.panel, encoding=run.encoding)
        >>> training = run.parts_of(panel.samples["account_id"]) == "train"
        >>> found = cluster_accounts(panel, run.encoding, run.config.panel, training=training, clusters=3)
        >>> found.as_segments(market.tables, panel).accounts["cluster"].nunique()
        3

    Source: Rousseeuw 1987, Silhouettes; Schwarz 1978, Estimating the Dimension of a Model.
    """
    require(method in METHODS, "method", method, f"one of {', '.join(METHODS)}")
    several = not isinstance(clusters, int)
    wanted = sorted(set(clusters)) if several else [clusters]
    least = 2 if several and method == "k_means" else 1  # a silhouette takes two
    require(bool(wanted) and min(wanted) >= least, "clusters", clusters, f"{least} at least")
    rows = ~panel.samples["account_id"].duplicated().to_numpy()
    rows &= np.ones(len(rows), bool) if training is None else np.asarray(training)
    matrix = matrix_of(panel, encoding, config)
    table = matrix.to_numpy(np.float64)[rows]
    different = len(np.unique(table, axis=0))
    possible = [k for k in wanted if k <= different and (not several or method != "k_means" or k < len(table))]
    if not possible:
        raise DataError(
            f"clusters: {min(wanted):,} at least were asked for, and there are {different:,} different accounts to "
            "learn from. Ask for fewer, or bring more accounts."
        )
    scale = np.stack([table.mean(axis=0), table.std(axis=0)])
    standard = _standardized(matrix[rows], scale)
    fitted = {k: _fit(method, standard, k, seed) for k in possible}
    tried = pd.DataFrame({"clusters": possible})
    best = possible[0]
    if several:
        name, sign = ("silhouette", 1) if method == "k_means" else ("bic", -1)
        tried[name] = [_quality(method, model, standard) for model in fitted.values()]
        best = possible[int(np.argmax(sign * tried[name].to_numpy()))]
    model = fitted[best]
    member = _predict(model, standard)
    sizes = np.bincount(member, minlength=best)
    means = np.stack(
        [table[member == k].mean(axis=0) if sizes[k] else np.full(table.shape[1], np.nan) for k in range(best)]
    )
    order = np.array(sorted(range(best), key=lambda k: (-sizes[k], *np.nan_to_num(means[k]))))  # also if sizes tie
    return Clusters(
        method=method,
        encoding=encoding,
        config=config,
        columns=tuple(matrix),
        scale=scale,
        model=model,
        order=tuple(order.tolist()),
        means=means[order],
        sizes=tuple(sizes[order].tolist()),
        tried=tried,
    )


def _class_of(method: str) -> type:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    if method not in METHODS:
        raise ConfigError(f"method: expected one of {', '.join(METHODS)}, got {method!r}.")
    return KMeans if method == "k_means" else GaussianMixture


def _fit(method: str, standard: np.ndarray, clusters: int, seed: int) -> Any:
    from threadpoolctl import threadpool_limits

    kind, given = _class_of(method), dict(n_init=10, random_state=seed)
    with threadpool_limits(limits=1):
        if method == "k_means":
            return kind(n_clusters=clusters, **given).fit(standard)
        return kind(n_components=clusters, covariance_type="diag", reg_covar=1e-3, **given).fit(standard)


def _predict(model: Any, standard: np.ndarray) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return model.predict(standard)


def _quality(method: str, model: Any, standard: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    if method == "gaussian_mixture":
        return float(model.bic(standard))
    rows = np.random.RandomState(0).permutation(len(standard))[:5000]  # those that scikit-learn would draw
    member = model.labels_[rows]
    if len(np.unique(member)) < 2:  # all others are few, or one extreme account: no partition
        return -1.0
    return float(silhouette_score(standard[rows], member))


def _standardized(matrix: pd.DataFrame, scale: np.ndarray) -> Float[np.ndarray, "n c"]:
    """Columns less their mean, over their standard deviation; 0 where that is 0, whatever new samples have there."""
    center, spread = scale
    values = matrix.to_numpy(np.float64) - center
    return np.divide(values, spread, out=np.zeros(values.shape), where=spread > 0)
