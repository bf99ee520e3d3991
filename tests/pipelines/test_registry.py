"""The registry over HTTP: a real MLflow server with SQLite, and listeners that refuse as broken ones do."""

import http.server
import json
import threading
import time
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from model import store
from model.table import BadInput
from pipelines import registry, trace

ROWS, COMMIT = "ab" * 32, "c0ffee" + "0" * 34


def entry(folder: Path, version: str = "2", sha256: str = "cd" * 32) -> registry.Entry:
    card = folder / "card.html"
    card.write_text("<html>")
    tags = {"rows": "6000", "rows.sha256": ROWS, "rows.origin": "real", "commit": COMMIT, "gate.auc": "passed: it is"}
    return registry.Entry(
        app="credit",
        version=version,
        uri=f"s3://models/credit/{version}",
        sha256=sha256,
        parameters={"learner": "xgboost", "seed": 1},
        figures={"auc": 0.8},
        tags=tags,
        files=(card,),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a tracking server: MLflow's own application, its SQLite and its artifacts, in a thread of this process."""
    home = tmp_path_factory.mktemp("mlflow")
    told = {  # as `mlflow server` tells its workers
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home}/db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (home / "artifacts").as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in told.items():
            environment.setenv(name, value)
        from mlflow.server import app  # noqa: PLC0415  # reads them when it is imported

        running = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def to(server, monkeypatch, tmp_path):
    """Its client; what an earlier test registered is gone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    client = registry.client(tmp_path / "unused")
    for one in client.search_registered_models():
        client.delete_registered_model(one.name)
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            client.delete_run(run.info.run_id)
    return client


def test_everything_a_version_was_made_from_is_there_once(to, tmp_path):
    run_id = registry.register(to, entry(tmp_path), tmp_path)
    assert registry.register(to, entry(tmp_path), tmp_path) == run_id
    (version,) = to.search_model_versions("name = 'credit'")
    assert (version.source, version.run_id, version.tags["sha256"]) == ("s3://models/credit/2", run_id, "cd" * 32)
    run = to.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.params, run.data.metrics) == ({"learner": "xgboost", "seed": "1"}, {"auc": 0.8})
    assert run.data.tags["mlflow.source.git.commit"] == COMMIT
    assert run.data.tags["gate.auc"] == "passed: it is"
    (rows,) = run.inputs.dataset_inputs
    assert (rows.dataset.name, rows.dataset.digest) == ("credit real rows", ROWS[:36])
    assert json.loads(rows.dataset.profile) == {"rows": 6000, "sha256": ROWS}
    assert [(tag.key, tag.value) for tag in rows.tags] == [("mlflow.data.context", "training")]
    assert [one.path for one in to.list_artifacts(run_id)] == ["card.html"]


def test_what_died_before_its_version_was_made_is_finished_with_the_same_run(to, tmp_path):
    run_id = registry.register(to, entry(tmp_path), tmp_path)
    to.delete_registered_model("credit")
    assert registry.register(to, entry(tmp_path), tmp_path) == run_id
    (version,) = to.search_model_versions("name = 'credit'")
    assert version.run_id == run_id


def test_aliases_follow_what_git_says(to, tmp_path):
    for version, sha256 in (("2", "cd" * 32), ("3", "ef" * 32)):
        registry.register(to, entry(tmp_path, version, sha256), tmp_path)
    said = registry.follow(to, "credit", {"dev": "ef" * 32, "prod": "cd" * 32, "staging": "00" * 32})
    assert said == [
        "stable-dev: credit 3",
        "stable-prod: credit 2",
        "stable-staging: 0000000000000000 is not in the registry; left as it is",
    ]
    assert registry.follow(to, "credit", {"dev": "cd" * 32}) == ["stable-dev: credit 2"]
    assert to.get_model_version_by_alias("credit", "stable-dev").tags["version"] == "2"


def test_a_version_is_traced_to_its_rows_and_commit_and_back(to, tmp_path, desk):
    for version, sha256 in (("2", "cd" * 32), ("3", "ef" * 32)):
        registry.register(to, entry(tmp_path, version, sha256), tmp_path)
    shop = store.opened(f"file://{tmp_path}/store")
    shop.create("credit/2.sha256", ("cd" * 32 + "\n").encode())
    release = desk.path / "overlays/dev/credit/release"
    for name in ("model.yaml", "stable.yaml"):
        text = (release / name).read_text()
        (release / name).write_text(text.replace(text.split("sha256: ")[1][:64], "cd" * 32))
    desk.commit("2 in dev")
    registry.follow(to, "credit", {"dev": "cd" * 32})

    def found(**asked: str) -> list[str]:
        return [one.version for one in trace.trace(desk.path, to, shop, "credit", asked)]

    assert found() == found(rows="abab") == found(commit="c0ffee") == ["2", "3"]
    assert found(sha256="ef") == found(version="3") == ["3"]
    (two,) = trace.trace(desk.path, to, shop, "credit", {"version": "2"})
    assert str(two) == (
        f"credit 2\n  bytes    s3://models/credit/2, sha256 {'cd' * 32}, published\n  rows     6,000 real, sha256 {ROWS}\n"
        f"  commit   {COMMIT}\n  run      {two.run}\n  aliases  stable-dev\n  runs in  dev"
    )
    (three,) = trace.trace(desk.path, to, shop, "credit", {"version": "3"})
    assert (three.published, list(three.aliases), list(three.runs)) == (False, [], [])
    with pytest.raises(BadInput) as error:
        found(version="9")
    assert str(error.value) == "registry: credit: nothing has version 9; registered are: 2, 3"


def test_the_runs_of_the_pipeline_are_counted_by_how_they_ended(to, tmp_path):
    assert registry.rate(to, "credit") == {"app": "credit", "runs": 0, "ended": {}, "success_rate": None}
    for status in ("proposed", "failed", "no champion", "nothing to propose"):
        registry.note(to, "credit", status, 12.5, tmp_path)
    counts = {"failed": 1, "no champion": 1, "nothing to propose": 1, "proposed": 1}
    assert registry.rate(to, "credit", days=1) == {"app": "credit", "runs": 4, "ended": counts, "success_rate": 0.75}
    assert registry.rate(to, "credit", days=1, now=time.time() + 2 * 86400)["runs"] == 0
    assert registry.rate(to, "savings")["runs"] == 0


def test_a_link_never_shows_a_password(to, tmp_path, monkeypatch, server):
    run_id = registry.register(to, entry(tmp_path), tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.replace("http://", "http://ada:secret@") + "/")
    experiment = to.get_run(run_id).info.experiment_id
    page = f"{server}/#/experiments/{experiment}/runs/{run_id}"
    assert registry.links(to, run_id) == [f"[run {run_id[:8]}]({page})", f"[card]({page}/artifacts/card.html)"]


def refusing(status: int, body: bytes):
    """A listener that answers everything so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    return listener


DENIED = json.dumps({"error_code": "PERMISSION_DENIED", "message": "not you"}).encode()
REFUSALS = {
    "it does not let us": (403, DENIED, "PERMISSION_DENIED: not you"),
    "its database is broken": (500, b"<html>database is locked", "API request to http://127.0.0.1:"),
}


@pytest.mark.parametrize(("status", "body", "why"), REFUSALS.values(), ids=REFUSALS)
def test_a_registry_that_refuses_is_told_in_one_sentence(status, body, why, monkeypatch, tmp_path):
    listener = refusing(status, body)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.server_port}")
    to = registry.client(tmp_path)
    for failing, ask in {
        "credit 2 is not registered": lambda: registry.register(to, entry(tmp_path), tmp_path),
        "the aliases of credit are not set": lambda: registry.follow(to, "credit", {}),
        "credit cannot be looked up": lambda: registry.versions(to, "credit"),
    }.items():
        with pytest.raises(BadInput) as error:
            ask()
        assert str(error.value).startswith(f"registry: {failing}: {why}")
        assert str(error.value).endswith("; run again when it answers")
    listener.shutdown()
