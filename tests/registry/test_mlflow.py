"""The copy on an MLflow server holds what the entry says, read back by MLflow itself."""

import pytest

from hanjax.errors import RunError
from hanjax.registry import Registry
from hanjax.registry.mlflow import export_mlflow
from tests.registry.test_registry import make_run


def test_a_version_can_be_found_in_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    registry = Registry(tmp_path / "models")
    run = make_run(tmp_path / "run")
    entry = registry.register(run, "aps", problem="account propensity", owner="Ann", lineage={"gold": "abc"})
    where = (tmp_path / "mlruns").as_uri()
    found = mlflow.MlflowClient(where).get_run(export_mlflow(entry, where))
    assert found.data.metrics == {"test.auc": 0.6} and found.data.tags["hanjax.lineage.gold"] == "abc"
    kept = mlflow.MlflowClient(where).list_artifacts(found.info.run_id, "run")
    assert sorted(file.path for file in kept) == [f"run/{name}" for name in sorted(entry.files)]
    (entry.folder / "model.npz").unlink()
    with pytest.raises(RunError, match="model.npz is missing"):
        export_mlflow(entry, where)
