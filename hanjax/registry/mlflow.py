"""Copies a registered version to an MLflow server, for those whose other models lie there."""

from hanjax.errors import ConfigError
from hanjax.registry.entries import Entry, verify_entry


def export_mlflow(entry: Entry, tracking_uri: str, *, experiment: str | None = None) -> str:
    """Writes a version to MLflow as a run: metrics, tags (problem, owner, lineage, content), and the files.

    hanjax's own registry stays the truth: nothing is read back from there.

    Args:
        entry: what ``Registry.entry`` gave.
        tracking_uri: where MLflow is, such as "http://localhost:5000".
        experiment: its experiment; None for the model's name.

    Returns:
        The id of MLflow's run.

    Raises:
        ConfigError: if MLflow is not installed.
        RunError: if the version was changed since it was registered.

    Source: https://mlflow.org/docs/latest/ml/tracking
    """
    try:
        from mlflow import MlflowClient
    except ImportError as missing:
        raise ConfigError("mlflow: is not installed. Install it with `pip install 'hanjax[mlflow]'`.") from missing
    verify_entry(entry)
    client, name = MlflowClient(tracking_uri=tracking_uri), experiment or entry.name
    known = client.get_experiment_by_name(name)
    experiment_id = client.create_experiment(name) if known is None else known.experiment_id
    told = {"problem": entry.problem, "owner": entry.owner, "until": entry.until, "content": entry.content}
    told |= {"fingerprint": entry.fingerprint, **{f"lineage.{key}": str(value) for key, value in entry.lineage.items()}}
    tags = {f"hanjax.{key}": value for key, value in told.items()} | {"hanjax.version": str(entry.version)}
    run = client.create_run(experiment_id, tags=tags, run_name=f"{entry.name} v{entry.version}").info.run_id
    for part, figures in entry.metrics.items():
        for measure, value in figures.items():
            if isinstance(value, int | float):
                client.log_metric(run, f"{part}.{measure}", float(value))
    for file in entry.files:
        client.log_artifact(run, str(entry.folder / file), "run")
    client.set_terminated(run)
    return run
