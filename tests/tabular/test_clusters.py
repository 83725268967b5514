"""Clusters: against scikit-learn, numbered by size, learned from training accounts, free of the future."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

import hanjax
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.tabular import Clusters, Tabular, cluster_accounts, matrix_of
from hanjax.tabular.clusters import _quality
from hanjax.tabular.matrix import some
from tests import trained

CONFIG = trained.CONFIG.panel


def given(tables=None):
    log = check(trained.market() if tables is None else tables, CONFIG)
    return make_panel(log, CONFIG, fit_encoding(log, CONFIG))


def first_of(panel):
    return ~panel.samples["account_id"].duplicated().to_numpy()


@pytest.mark.parametrize("method", ["k_means", "gaussian_mixture"])
def test_clusters_are_those_of_scikit_learn(method):
    panel, encoding = given()
    found = cluster_accounts(panel, encoding, CONFIG, method=method, clusters=3, seed=5)
    table = matrix_of(panel, encoding, CONFIG).to_numpy(float)
    scaler = StandardScaler().fit(table[first_of(panel)])
    model = KMeans(3, n_init=10, random_state=5)
    if method == "gaussian_mixture":
        model = GaussianMixture(3, covariance_type="diag", reg_covar=1e-3, n_init=10, random_state=5)
    theirs = model.fit(scaler.transform(table[first_of(panel)])).predict(scaler.transform(table))
    own = found.assign(panel)
    pairs = pd.crosstab(own, theirs)
    assert ((pairs > 0).sum(axis=1) == 1).all() and ((pairs > 0).sum(axis=0) == 1).all() and len(pairs) > 1
    sizes = pd.Series(own[first_of(panel)]).value_counts().reindex(found.names, fill_value=0)
    assert sizes.tolist() == list(found.sizes) == sorted(sizes, reverse=True)


def test_the_number_is_chosen():
    panel, encoding = given()
    found = cluster_accounts(panel, encoding, CONFIG, clusters=range(2, 5))
    table = StandardScaler().fit_transform(matrix_of(panel, encoding, CONFIG).to_numpy(float)[first_of(panel)])
    expected = [silhouette_score(table, KMeans(k, n_init=10, random_state=0).fit(table).labels_) for k in range(2, 5)]
    np.testing.assert_allclose(found.tried["silhouette"], expected, rtol=1e-6)
    assert len(found.sizes) == 2 + int(np.argmax(expected))
    mixed = cluster_accounts(panel, encoding, CONFIG, clusters=[1, 2], method="gaussian_mixture")
    assert len(mixed.sizes) == mixed.tried.set_index("clusters")["bic"].idxmin()


def test_one_extreme_account_among_many_is_no_partition():
    values = np.linspace(0, 1, 10_000)[:, None]
    values[np.random.RandomState(0).permutation(10_000)[-1]] = 1e6  # not among the 5,000 that are drawn
    model = KMeans(2, n_init=1, random_state=0).fit(values)
    assert sorted(np.bincount(model.labels_)) == [1, 9_999]
    assert _quality("k_means", model, values) == -1


def test_the_profile_says_in_what_a_cluster_differs():
    panel, encoding = given()
    found = cluster_accounts(panel, encoding, CONFIG, clusters=2)
    matrix, first = matrix_of(panel, encoding, CONFIG).astype(float), first_of(panel)
    profile, own = found.profile(features=4), found.assign(panel)[first]
    assert len(profile) == 8
    for row in profile.itertuples():
        column = matrix[row.column][first]
        assert row.mean == pytest.approx(column[own == row.cluster].mean())
        assert row.mean_of_all == pytest.approx(column.mean()) and row.accounts == (own == row.cluster).sum()
        assert row.difference == pytest.approx((row.mean - row.mean_of_all) / column.std(ddof=0))
    for name in found.names:
        apart = (matrix[first][own == name].mean() - matrix[first].mean()).abs() / matrix[first].std(ddof=0)
        assert apart.max() == pytest.approx(profile[profile["cluster"] == name]["difference"].abs().iloc[0])


def test_they_are_learned_from_the_training_accounts_alone():
    panel, encoding = given()
    ids = panel.samples["account_id"].unique()
    training = panel.samples["account_id"].isin(ids[:15]).to_numpy()
    found = cluster_accounts(panel, encoding, CONFIG, training=training, clusters=3)
    alone = cluster_accounts(some(panel, training), encoding, CONFIG, clusters=3)
    np.testing.assert_array_equal(found.assign(panel), alone.assign(panel))
    assert sum(found.sizes) == 15


def test_a_segment_tells_nothing_of_what_became_of_the_account():
    tables = trained.market()
    panel, encoding = given()
    found = cluster_accounts(panel, encoding, CONFIG, clusters=3)
    segments = found.as_segments(tables, panel)
    first = panel.samples.loc[first_of(panel), ["account_id", "cutoff"]]
    expected = dict(zip(first["account_id"], found.assign(panel)[first_of(panel)], strict=True))
    assert segments.accounts["cluster"].tolist() == [expected.get(a) for a in tables.accounts["account_id"]]
    assert (found.assign(panel) != panel.samples["account_id"].map(expected)).any()  # later samples move on
    later = tables.events["account_id"].map(first.set_index("account_id")["cutoff"])
    past = tables._replace(events=tables.events[~(tables.events["known_at"] >= later)])
    other = make_panel(check(past, CONFIG), CONFIG, encoding)[0]
    again = found.as_segments(past, other)
    pd.testing.assert_series_equal(again.accounts["cluster"], segments.accounts["cluster"])
    config = trained.CONFIG.replace(exclude=("industry",))
    run = hanjax.fit(segments, config=config, model=Tabular("logistic_regression", segments=("cluster",)))
    assert {f"cluster = {name}" for name in found.names} >= {c for c in run.columns if c.startswith("cluster")} != set()


def test_tables_of_other_libraries_and_odd_ones():
    tables, (panel, encoding) = trained.market(), given()
    found = cluster_accounts(panel, encoding, CONFIG, clusters=2)
    arrow = tables._replace(accounts=pa.Table.from_pandas(tables.accounts, preserve_index=False))
    own = found.as_segments(arrow, panel, column="kind")
    assert own.accounts["kind"].tolist() == found.as_segments(tables, panel).accounts["cluster"].tolist()
    with pytest.raises(DataError, match=r"accounts\.industry: there is such a column"):
        found.as_segments(tables, panel, column="industry")
    strange = tables._replace(accounts=tables.accounts.assign(account_id="nobody"))
    with pytest.raises(DataError, match="none of its samples is of an account of these tables"):
        found.as_segments(strange, panel)
    one = tables._replace(accounts=tables.accounts.assign(account_id=["new", *tables.accounts["account_id"][1:]]))
    assert found.as_segments(one, panel).accounts["cluster"].iloc[0] is None
    with pytest.raises(DataError, match="its columns are not those of the clusters"):
        Clusters(**{**vars(found), "columns": ("x",)}).assign(panel)


def test_too_few_accounts_and_settings_that_cannot_work():
    panel, encoding = given()
    ids = panel.samples["account_id"].unique()
    few = panel.samples["account_id"].isin(ids[:3]).to_numpy()
    with pytest.raises(DataError, match="4 at least were asked for, and there are 3 different accounts"):
        cluster_accounts(panel, encoding, CONFIG, training=few)
    assert len(cluster_accounts(panel, encoding, CONFIG, training=few, clusters=3).sizes) == 3
    assert cluster_accounts(panel, encoding, CONFIG, training=few, clusters=range(2, 9)).tried["clusters"].tolist() == [
        2
    ]
    with pytest.raises(DataError, match="there are 0 different accounts"):
        cluster_accounts(panel, encoding, CONFIG, training=np.zeros(len(few), bool), clusters=1)
    one = cluster_accounts(panel, encoding, CONFIG, training=panel.samples["account_id"] == ids[0], clusters=1)
    assert set(one.assign(panel)) == {"cluster 1"} and one.profile()["difference"].isna().all()
    assert len(one.assign(some(panel, slice(0)))) == 0
    for wrong, message in (
        (dict(method="dbscan"), "method: expected one of"),
        (dict(clusters=0), "clusters: expected 1 at least"),
        (dict(clusters=range(1, 3)), "clusters: expected 2 at least"),
        (dict(clusters=[]), "clusters: expected 2 at least"),
    ):
        with pytest.raises(ConfigError, match=message):
            cluster_accounts(panel, encoding, CONFIG, **wrong)


@pytest.mark.parametrize("method", ["k_means", "gaussian_mixture"])
def test_they_are_written_and_read_back(method, tmp_path):
    panel, encoding = given()
    found = cluster_accounts(panel, encoding, CONFIG, clusters=3, method=method)
    found.write(tmp_path / "clusters")
    again = Clusters.read(tmp_path / "clusters")
    np.testing.assert_array_equal(again.assign(panel), found.assign(panel))
    assert repr(again) == repr(found) and again.config == found.config
    pd.testing.assert_frame_equal(again.profile(), found.profile())
    for number, name in enumerate(("clusters.json", "clusters.skops")):
        folder = shutil.copytree(tmp_path / "clusters", tmp_path / str(number))
        (folder / name).write_bytes((folder / name).read_bytes()[:100])
        with pytest.raises(RunError, match=name):
            Clusters.read(folder)
    stored = json.loads((tmp_path / "clusters" / "clusters.json").read_text())
    (tmp_path / "clusters" / "clusters.json").write_text(json.dumps({**stored, "order": [0, 0, 1]}))
    with pytest.raises(RunError, match="its lists do not fit together"):
        Clusters.read(tmp_path / "clusters")
