"""The registry: what was trained from what, in MLflow; git says what runs, and the registry follows it.

One run per judged champion: parameters, figures, gates, the card, the rows' and the commit's identity. One registered model per
app, one version per published version, found again by its sha256: nothing is registered twice.

| alias         | is                                                                                    |
|---------------|---------------------------------------------------------------------------------------|
| stable-<env>  | the version that the environment's release wants, at rest: set by `aliases`, from git |

MLFLOW_TRACKING_URI names the server; unset, it is out/registry: SQLite and a folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.table import BadInput

FOLDER = Path("out/registry")
FEATURES = "features.parquet"  # of each run: the rows that its version learned from
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_ENABLE_ASYNC_LOGGING": "false"}


@dataclass(frozen=True)
class Entry:
    """What is registered of one version."""

    app: str
    version: str
    uri: str
    sha256: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[Path, ...]


def at(url: str) -> Path:
    """For a step in a process of its own: let MLflow's server be the one at `url`, where there is one."""
    if url:
        os.environ["MLFLOW_TRACKING_URI"] = url
    return FOLDER


def client(folder: Path) -> Any:
    """The registry's client: the server that MLFLOW_TRACKING_URI names, else SQLite in the folder."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: PLC0415  # seconds to import

    folder.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}")


def register(to: Any, entry: Entry, folder: Path) -> str:
    """Register a version, once; return the run's id. Raise BadInput where the registry is down or refuses."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return _register(to, entry, folder)
    except MlflowException as error:
        first = str(error).splitlines()[0][:200]
        raise BadInput(f"registry: {entry.app} {entry.version} is not registered: {first}; run again when it answers") from error


def _register(to: Any, entry: Entry, folder: Path) -> str:
    known = to.search_registered_models(f"name = '{entry.app}'")
    if not known:
        to.create_registered_model(entry.app)
    there = {one.tags.get("sha256"): one for one in to.search_model_versions(f"name = '{entry.app}'")}
    if entry.sha256 in there:
        return str(there[entry.sha256].run_id)
    run = to.create_run(_experiment(to, entry.app, folder), run_name=f"{entry.app} {entry.version}", tags=dict(entry.tags))
    for name, value in entry.parameters.items():
        to.log_param(run.info.run_id, name, str(value)[:500])
    for name, value in entry.figures.items():
        to.log_metric(run.info.run_id, name, value)
    for path in entry.files:
        to.log_artifact(run.info.run_id, str(path))
    to.set_terminated(run.info.run_id)
    tags = {"version": entry.version, "sha256": entry.sha256, **entry.tags}
    to.create_model_version(entry.app, source=entry.uri, run_id=run.info.run_id, tags=tags)
    return str(run.info.run_id)


def _experiment(to: Any, name: str, folder: Path) -> str:
    found = to.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    own = None if os.environ.get("MLFLOW_TRACKING_URI") else (folder.resolve() / "artifacts").as_uri()
    return str(to.create_experiment(name, artifact_location=own))


def reference(folder: Path, app: str, version: str, sha256: str, into: Path) -> tuple[Path | None, str]:
    """The features file that a version learned from, copied to `into`; or None, and why it is not to be had."""
    none = f"stable {version}: the rows it learned from are not in the registry; nothing to compare with"
    if not sha256 or not (os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlflow.db").exists()):
        return None, none
    to = client(folder)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        there = [one for one in to.search_model_versions(f"name = '{app}'") if one.tags.get("sha256") == sha256]
        if not there or FEATURES not in {one.path for one in to.list_artifacts(there[0].run_id)}:
            return None, none
        into.mkdir(parents=True, exist_ok=True)
        return Path(to.download_artifacts(there[0].run_id, FEATURES, str(into))), ""
    except (MlflowException, OSError) as error:
        return (
            None,
            f"stable {version}: the registry does not answer ({str(error).splitlines()[0][:200]}); nothing to compare with",
        )


def follow(to: Any, app: str, stable: Mapping[str, str]) -> list[str]:
    """Set `stable-<env>` to what git says: env -> sha256; return a sentence for each environment."""
    said = []
    versions = {one.tags.get("sha256"): one for one in to.search_model_versions(f"name = '{app}'")}
    for env, sha256 in stable.items():
        found = versions.get(sha256)
        if found is None:
            said.append(f"stable-{env}: {sha256[:16]} is not in the registry; left as it is")
            continue
        to.set_registered_model_alias(app, f"stable-{env}", found.version)
        said.append(f"stable-{env}: {app} {found.tags['version']}")
    return said
