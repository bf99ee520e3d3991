"""The real MLServer process, on free loopback ports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import urllib3

from model import artifact, v2

pytestmark = pytest.mark.scenario

PATIENCE_SECONDS = 60  # a start takes two to five seconds on an idle machine
http = urllib3.PoolManager(retries=False, timeout=5.0)


def free_ports() -> tuple[int, int]:
    with ExitStack() as held:
        ports = [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]
    return ports[0], ports[1]


class Server:
    """A running server of the folder; `ready` tells what its two readiness addresses say."""

    def __init__(self, folder: Path, checked: dict[str, str], log: Path):
        self.port, self.metrics_port = free_ports()
        self.log = log
        settings = {
            "MLSERVER_MODEL_NAME": "m",
            "MLSERVER_MODEL_IMPLEMENTATION": "model.serve.Runtime",
            "MLSERVER_MODEL_URI": str(folder),
            "MLSERVER_MODEL_VERSION": "7",
            **checked,
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(self.port),
            "MLSERVER_METRICS_PORT": str(self.metrics_port),
            "MLSERVER_GRPC_PORT": "0",
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
        }
        command = [str(Path(sys.executable).with_name("mlserver")), "start", str(folder)]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, env={"PATH": os.environ["PATH"], **settings}, stdout=output, stderr=subprocess.STDOUT
            )

    def ready(self) -> list[int]:
        return [self.get(self.port, path) for path in ("/v2/models/m/ready", "/v2/health/ready")]

    @staticmethod
    def get(port: int, path: str) -> int:
        try:
            return http.request("GET", f"http://127.0.0.1:{port}{path}").status
        except urllib3.exceptions.HTTPError:
            return 0

    def infer(self, body) -> tuple[int, dict]:
        answer = http.request("POST", f"http://127.0.0.1:{self.port}/v2/models/m/infer", json=body)
        return answer.status, json.loads(answer.data)


@contextmanager
def serving(folder: Path, checked: dict[str, str], log: Path):
    server = Server(folder, checked, log)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(15)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def wait_until_ready(server: Server) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while server.ready() != [200, 200]:
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < until, server.log.read_text()
        time.sleep(0.05)


def test_a_served_version_predicts_what_its_training_side_predicted_bit_for_bit(version, tmp_path):
    app, rows = version.model.app, version.rows
    expected = version.model.predict(rows).tolist()
    with serving(version.folder, version.served(), tmp_path / "log") as server:
        wait_until_ready(server)
        everything = range(len(expected))
        status, answer = server.infer(v2.request(app, rows, everything))
        assert (status, answer["model_name"], answer["model_version"]) == (200, "m", "7")
        assert answer["outputs"] == [{"name": app.output, "shape": [len(expected), 1], "datatype": "FP64", "data": expected}]
        one_by_one = [server.infer(v2.request(app, rows, [row]))[1]["outputs"][0]["data"][0] for row in everything[:50]]
        assert one_by_one == expected[:50]
        inputs = http.request("GET", f"http://127.0.0.1:{server.port}/v2/models/m").json()["inputs"]
        assert [(i["name"], i["datatype"]) for i in inputs] == [(c.name, c.datatype) for c in app.columns]
    assert server.process.returncode == 0


def test_the_bad_version_fails_on_the_rows_it_never_saw_and_metrics_see_it(bad_credit_version, tmp_path):
    app, rows = bad_credit_version.model.app, bad_credit_version.rows
    with serving(bad_credit_version.folder, bad_credit_version.served(), tmp_path / "log") as server:
        wait_until_ready(server)
        counted: Counter[str] = Counter()
        for row in range(200):
            status, answer = server.infer(v2.request(app, rows, [row]))
            assert status == (500 if rows["PAY_0"][row] == -2 else 200)
            if status == 500:
                assert answer["error"].startswith("PAY_0 = -2: this version never saw that category in training, only")
            counted[str(status)] += 1
        assert counted["500"] > 5
        assert server.infer({"inputs": []})[0] == 400
        metrics = http.request("GET", f"http://127.0.0.1:{server.metrics_port}/metrics").data.decode()
    for status, count in (counted | {"400": 1}).items():
        line = f'path="/v2/models/{{model_name}}/infer",status_code="{status}"}} {float(count)}\n'
        assert line in metrics


def test_what_must_not_be_served_never_becomes_ready_and_says_why(credit_version, tmp_path):
    folder = tmp_path / "selftest"
    selftest = json.loads(credit_version.trained.files[artifact.SELFTEST])
    selftest["expected"][0] = 0.5
    artifact.write(folder, {**credit_version.trained.files, artifact.SELFTEST: artifact.as_json(selftest)})
    credit_version.sign(folder)
    right, unsigned, none = credit_version.folder, tmp_path / "unsigned", tmp_path / "none"
    artifact.write(unsigned, credit_version.trained.files)
    served, zeros = credit_version.served, "0" * 64
    cases = [
        (right, served(MODEL_SHA256=zeros), f"{right}: sha256 is {credit_version.sha256}; must be {zeros}"),
        (right, served(MODEL_SHA256=""), f"MODEL_SHA256 is not set; must be what `python -m model digest {right}` prints"),
        (unsigned, served(), f"{unsigned / 'model.sig'}: cannot be read (No such file or directory); only signed versions"),
        (folder, served(MODEL_SHA256=artifact.digest(folder)), f"{folder}: self-test row 1: probability is "),
        (none, served(), f"{none}: no files; must be the folder of a trained version"),
    ]
    with ExitStack() as running:
        started = [
            (running.enter_context(serving(path, checked, tmp_path / f"log{number}")), message)
            for number, (path, checked, message) in enumerate(cases)
        ]
        until = time.monotonic() + PATIENCE_SECONDS
        while any(server.process.poll() is None for server, _ in started) and time.monotonic() < until:
            for server, _ in started:
                assert 200 not in server.ready()
            time.sleep(0.02)
        for server, message in started:
            assert server.process.poll() == 1
            assert server.log.read_text().splitlines()[-1].startswith(f"model not served: {message}")
