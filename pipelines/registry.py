"""The registry: what was trained from what, in MLflow; git says what runs, and the registry follows it.

One run per judged champion: parameters, figures, gates, the card with its plots, the rows as an MLflow dataset and the commit in
MLflow's own tag. One registered model per app, one version per published version. Both are found again by their sha256: what died
between them is finished by a second run, and nothing is registered twice.

Every run of `train` is noted too, whatever it came to, as a run of the experiment "<app> pipeline": `runs` counts them.

| alias         | is                                                                                    |
|---------------|---------------------------------------------------------------------------------------|
| stable-<env>  | the version that the environment's release wants, at rest: set by `aliases`, from git |

MLFLOW_TRACKING_URI names the server; unset, it is out/registry: SQLite and a folder.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from model.table import BadInput

FOLDER = Path("out/registry")
FEATURES = "features.parquet"  # of each run: the rows that its version learned from
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_ENABLE_ASYNC_LOGGING": "false"}
RAN = ("proposed", "nothing to propose", "no champion")  # an honest "no" is an answer; bad rows and what is down are not
T = TypeVar("T")


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
    server = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    return mlflow.MlflowClient(server, registry_uri=server)  # whatever else this process has told MLflow


def register(to: Any, entry: Entry, folder: Path) -> str:
    """Register a version, once; return the run's id. Raise BadInput where the registry is down or refuses."""
    return _asked(f"{entry.app} {entry.version} is not registered", lambda: _register(to, entry, folder))


def _asked(failing: str, ask: Callable[[], T]) -> T:
    """What the registry answers; BadInput in one sentence where it is down or refuses."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return ask()
    except MlflowException as error:
        first = str(error).splitlines()[0][:200]
        raise BadInput(f"registry: {failing}: {first}; run again when it answers") from error


def _register(to: Any, entry: Entry, folder: Path) -> str:
    known = to.search_registered_models(f"name = '{entry.app}'")
    if not known:
        to.create_registered_model(entry.app)
    there = {one.tags.get("sha256"): one for one in to.search_model_versions(f"name = '{entry.app}'")}
    if entry.sha256 in there:
        return str(there[entry.sha256].run_id)
    tags = {"version": entry.version, "sha256": entry.sha256, **entry.tags}
    run_id = _run(to, _experiment(to, entry.app, folder), entry, tags)
    for name, value in entry.parameters.items():
        to.log_param(run_id, name, str(value)[:500])
    for name, value in entry.figures.items():
        to.log_metric(run_id, name, value)
    to.log_inputs(run_id, datasets=[_dataset(entry)])
    for path in entry.files:
        to.log_artifact(run_id, str(path))
    to.set_terminated(run_id)
    to.create_model_version(entry.app, source=entry.uri, run_id=run_id, tags=tags)
    return run_id


def _run(to: Any, experiment: str, entry: Entry, tags: Mapping[str, str]) -> str:
    """The run of these bytes: one that an earlier attempt began, or a new one."""
    begun = to.search_runs([experiment], f"tags.sha256 = '{entry.sha256}'", max_results=1)
    if begun:
        return str(begun[0].info.run_id)
    commit = {"mlflow.source.git.commit": tags["commit"][:40]}
    made = to.create_run(experiment, run_name=f"{entry.app} {entry.version}", tags={**commit, **tags})
    return str(made.info.run_id)


def _dataset(entry: Entry) -> Any:
    """The rows as MLflow knows data: named by their digest (36 characters at the most; the whole one is in the profile)."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    rows = entry.tags["rows.sha256"]
    source = json.dumps({"origin": entry.tags["rows.origin"], "sha256": rows})
    profile = json.dumps({"rows": int(entry.tags["rows"]), "sha256": rows})
    data = Dataset(f"{entry.app} {entry.tags['rows.origin']} rows", rows[:36], "rows", source, profile=profile)
    return DatasetInput(data, [InputTag("mlflow.data.context", "training")])


def links(to: Any, run_id: str) -> list[str]:
    """Where a run and its card are, for people: addresses where the registry has one, else words."""
    server = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if server.scheme not in ("http", "https"):
        return [f"run `{run_id}` of the registry", "its card is card.html beside it"]
    experiment = _asked("the run's address is not known", lambda: to.get_run(run_id).info.experiment_id)
    where = server._replace(netloc=server.netloc.rpartition("@")[2], path=server.path.rstrip("/")).geturl()  # no password
    page = f"{where}/#/experiments/{experiment}/runs/{run_id}"
    return [f"[run {run_id[:8]}]({page})", f"[card]({page}/artifacts/card.html)"]


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


def note(to: Any, app: str, status: str, seconds: float, folder: Path) -> None:
    """Note how a run of the pipeline ended: a status of RAN is one that did its work, whatever it found; others failed."""

    def noted() -> None:
        made = to.create_run(_experiment(to, f"{app} pipeline", folder), tags={"status": status})
        to.log_metric(made.info.run_id, "seconds", seconds)
        to.set_terminated(made.info.run_id, "FINISHED" if status in RAN else "FAILED")

    _asked(f"how the run of {app} ended is not noted", noted)


def rate(to: Any, app: str, days: float | None = None, now: float | None = None) -> dict[str, Any]:
    """How the pipeline's runs of the last days ended: each status's count, and the part of them that did their work."""
    since = 0.0 if days is None else (now or time.time()) - days * 86400

    def found() -> list[Any]:
        experiment = to.get_experiment_by_name(f"{app} pipeline")
        said = f"attributes.start_time >= {since * 1000:.0f}"
        return list(to.search_runs([experiment.experiment_id], said, max_results=50_000)) if experiment else []

    runs = _asked(f"the runs of {app} are not to be had", found)
    counts = Counter(one.data.tags["status"] for one in runs)
    ran = sum(counts[status] for status in RAN)
    return {
        "app": app,
        "runs": len(runs),
        "ended": dict(sorted(counts.items())),
        "success_rate": ran / len(runs) if runs else None,
    }


def versions(to: Any, app: str) -> list[tuple[Any, list[str]]]:
    """The registered versions of an app with their aliases, in the order they were registered; two questions, however many."""

    def found() -> list[tuple[Any, list[str]]]:  # a search over HTTP leaves the aliases out
        there = sorted(to.search_model_versions(f"name = '{app}'"), key=lambda one: int(one.version))
        named = to.get_registered_model(app).aliases if there else {}
        return [(one, sorted(alias for alias, number in named.items() if int(number) == int(one.version))) for one in there]

    return _asked(f"{app} cannot be looked up", found)


def follow(to: Any, app: str, stable: Mapping[str, str]) -> list[str]:
    """Set `stable-<env>` to what git says: env -> sha256; return a sentence for each environment."""
    return _asked(f"the aliases of {app} are not set", lambda: _follow(to, app, stable))


def _follow(to: Any, app: str, stable: Mapping[str, str]) -> list[str]:
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
