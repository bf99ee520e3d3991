import hashlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from model.artifact import digest
from model.cli import main
from model.credit import COLUMNS, TARGET

NAMES = [c.name for c in (*COLUMNS, TARGET)]
GOOD = dict(zip(NAMES, [20000, 2, 2, 1, 24, 2, 2, -1, -1, -2, -2, *[0] * 12, 1], strict=True))
STATUS = "-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
CREDIT_COLUMNS = ", ".join(NAMES[:-1])


@pytest.fixture(autouse=True)
def _generated(monkeypatch):
    monkeypatch.setenv("CREDIT_DATA", "generated")


def said(capsys, *arguments) -> tuple[int, str]:
    code = main([str(a) for a in arguments])
    return code, capsys.readouterr().err


ARGUMENTS = {
    "an unknown app": (
        ["train", "fraud", "--out", "x"],
        "app 'fraud' is unknown; must be one of credit, savings",
    ),
    "no rounds": (["train", "credit", "--out", "x", "--rounds", "0"], "--rounds = 0: must be at least 1"),
    "a negative seed": (
        ["train", "credit", "--out", "x", "--seed=-1"],
        "--seed = -1: must be from 0 to 2147483647",
    ),
    "keep without an operator": (
        ["train", "credit", "--out", "x", "--keep", "PAY_0"],
        "keep: 'PAY_0' is not a condition; must be like PAY_0 != -2",
    ),
    "keep with half an and": (
        ["train", "credit", "--out", "x", "--keep", "AGE > 30 and "],
        "keep: '' is not a condition; must be like PAY_0 != -2",
    ),
    "keep with an unknown column": (
        ["train", "credit", "--out", "x", "--keep", "PAY_1 != -2"],
        f"keep: column PAY_1 is unknown; must be one of {CREDIT_COLUMNS}",
    ),
    "keep with a value of another type": (
        ["train", "credit", "--out", "x", "--keep", "AGE < old"],
        "keep: AGE = old: must be a whole number from 18 to 120",
    ),
    "keep with an unknown category": (
        ["train", "credit", "--out", "x", "--keep", "PAY_0 != -3"],
        f"keep: PAY_0 = -3: must be one of {STATUS}",
    ),
    "a slice of nobody": (
        ["train", "credit", "--out", "x", "--keep", "AGE > 119"],
        "credit: 0 rows to learn from and 0 held out are too few, or all alike; must be more, with different targets",
    ),
    "more rows than there are": (["rows", "credit", "--n", "6001"], "--n = 6001: must be from 1 to 6000, the rows held out"),
    "no rows": (["rows", "savings", "--n", "0"], "--n = 0: must be from 1 to 4000, the rows held out"),
    "a URL that is none": (
        ["replay", "--app", "credit", "--url", "localhost:80", "--rate", "1"],
        "--url = localhost:80: must be like http://HOST:PORT/v2/models/NAME/infer",
    ),
    "a URL of something else": (
        ["replay", "--app", "credit", "--url", "http://h/metrics", "--rate", "1"],
        "--url = http://h/metrics: must be like http://HOST:PORT/v2/models/NAME/infer",
    ),
    "a rate of nothing": (
        ["replay", "--app", "credit", "--url", "http://h/v2/models/m/infer", "--rate", "0"],
        "--rate = 0: must be above 0 and at most 1000 requests per second",
    ),
    "a flood": (
        ["replay", "--app", "credit", "--url", "http://h/v2/models/m/infer", "--rate", "1e6"],
        "--rate = 1e+06: must be above 0 and at most 1000 requests per second",
    ),
    "negative time": (
        ["replay", "--app", "credit", "--url", "http://h/v2/models/m/infer", "--rate", "1", "--seconds=-1"],
        "--seconds = -1: must be 0 (until told to stop) or more",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_bad_arguments_exit_with_2_and_say_what_would_be_right(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said(capsys, *arguments) == (2, f"error: {message}\n")
    assert not (tmp_path / "x").exists()


def without(name: str) -> str:
    return csv({k: v for k, v in GOOD.items() if k != name})


def csv(*rows: dict) -> str:
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n"


FILES = {
    "a missing column": (without("AGE"), "column AGE (years) is missing"),
    "a missing target": (without(TARGET.name), f"column {TARGET.name} (1 defaulted, 0 did not) is missing"),
    "a wrong type": (csv(GOOD, GOOD | {"AGE": "old"}), "row 2, AGE = 'old': must be a whole number from 18 to 120"),
    "an empty cell": (csv(GOOD | {"SEX": ""}), "row 1, SEX = (empty): must be one of 1, 2"),
    "out of range": (csv(GOOD | {"PAY_AMT1": -5}), "row 1, PAY_AMT1 = -5: must be a whole number from 0 to 10,000,000"),
    "an unknown category": (csv(GOOD | {"PAY_0": -3}), f"row 1, PAY_0 = -3: must be one of {STATUS}"),
    "an empty file": ("", "is empty; must be a CSV file with a header and the columns of the data set"),
    "a header alone": (",".join(NAMES), "no rows; at least one is needed"),
    "a short line": (csv(GOOD) + "1,2\n", "line 3 has 2 fields; must be 24, as in the header"),
    "a spreadsheet": (
        b"\xd0\xcf\x11\xe0",
        "is not a text of comma-separated values ('utf-8' codec can't decode byte 0xd0 in position 0: invalid continuation byte)",
    ),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_bad_file_is_named_with_field_and_value(content, message, capsys, tmp_path, monkeypatch):
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.setenv("CREDIT_DATA", str(path))
    assert said(capsys, "train", "credit", "--out", tmp_path / "x") == (2, f"error: {path}: {message}\n")


def test_a_file_that_is_not_there_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DATA", str(tmp_path / "no.csv"))
    message = f"error: {tmp_path}/no.csv: cannot be read (No such file or directory); CREDIT_DATA must name a CSV file\n"
    assert said(capsys, "rows", "credit") == (2, message)


def test_savings_has_no_data_to_read(capsys, monkeypatch):
    monkeypatch.setenv("SAVINGS_DATA", "mine.csv")
    message = "error: savings: data 'mine.csv' cannot be read; this app has generated rows only\n"
    assert said(capsys, "rows", "savings") == (2, message)


def test_a_digest_that_differs_and_a_folder_without_files(capsys, tmp_path):
    assert said(capsys, "digest", tmp_path) == (
        2,
        f"error: {tmp_path}: no files; must be the folder of a trained version\n",
    )
    (tmp_path / "f").write_text("x")
    message = f"error: {tmp_path}: sha256 is {digest(tmp_path)}; must be abc\n"
    assert said(capsys, "digest", tmp_path, "--expect", "abc") == (2, message)
    assert said(capsys, "digest", tmp_path, "--expect", digest(tmp_path)) == (0, "")


def test_a_folder_in_use_for_something_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "thesis.txt").touch()
    message = f"error: {tmp_path}: holds thesis.txt; name a folder that is new, empty or a trained version\n"
    assert said(capsys, "train", "savings", "--rounds", 1, "--out", tmp_path) == (2, message)
    file = tmp_path / "thesis.txt"
    message = f"error: {file}: is not a folder; name one that is new, empty or a trained version\n"
    assert said(capsys, "train", "savings", "--rounds", 1, "--out", file) == (2, message)


@pytest.mark.parametrize(("app", "metric"), [("credit", "auc"), ("savings", "mae")])
def test_train_prints_one_json_object(app, metric, capsys, tmp_path):
    assert main(["train", app, "--out", str(tmp_path / "1"), "--rounds", "20", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert list(done) == ["app", "rows", "metric", "value", "baseline", "sha256", "seconds", "data"]
    assert (done["app"], done["metric"], done["data"]) == (app, metric, "generated")
    assert main(["digest", str(tmp_path / "1")]) == 0
    assert capsys.readouterr().out == f"{done['sha256']}\n"


def test_train_says_what_it_did(capsys, tmp_path):
    assert main(["train", "credit", "--out", str(tmp_path), "--rounds", "20", "--keep", "PAY_0 != -2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("credit: trained on 21714 rows (generated data), auc 0.7")
    assert second == f"{tmp_path}: sha256 {digest(tmp_path)}"


def test_rows_are_requests_one_per_line_and_always_the_same(capsys):
    assert main(["rows", "savings", "--n", "3"]) == 0
    printed = capsys.readouterr().out
    requests = [json.loads(line) for line in printed.splitlines()]
    assert len(requests) == 3
    assert requests[0]["inputs"][0].items() >= {"name": "work", "shape": [1, 1], "datatype": "BYTES"}.items()
    assert main(["rows", "savings", "--n", "3"]) == 0
    assert capsys.readouterr().out == printed


def test_the_command_explains_itself_and_survives_head():
    shown = subprocess.run([sys.executable, "-m", "model", "--help"], check=True, capture_output=True, text=True)
    assert "python -m model train credit --out out/credit/1" in shown.stdout
    rows = f"{sys.executable} -m model rows savings --n 4000 | head -n 1"
    piped = subprocess.run(rows, shell=True, check=True, capture_output=True, text=True)
    assert (piped.stdout.count("\n"), piped.stderr) == (1, "")


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers every third request with 500."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes]

    def do_POST(self):
        self.seen.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(500 if len(self.seen) % 3 == 0 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def stub():
    handler = type("Fresh", (Stub,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v2/models/savings/infer", handler.seen
        server.shutdown()


def test_replay_sends_held_out_rows_at_the_rate_and_counts_the_answers(stub, tmp_path):
    url, seen = stub
    command = [sys.executable, "-m", "model", "replay", "--app", "savings", "--url", url, "--rate", "100", "--seconds", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    counts = json.loads(done.stdout)
    assert 50 <= counts["sent"] <= 102
    assert counts["sent"] == len(seen) == sum(counts["answers"].values())
    assert counts["answers"]["500"] == len(seen) // 3
    expected = subprocess.run([sys.executable, "-m", "model", "rows", "savings", "--n", "5"], capture_output=True, check=True)
    assert seen[:5] == expected.stdout.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_replay_without_end_stops_when_told_and_still_prints_its_counts(stub, number):
    url, seen = stub
    command = [sys.executable, "-m", "model", "replay", "--app", "savings", "--url", url, "--rate", "50", "--seconds", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 20
        while len(seen) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert json.loads(printed)["sent"] == len(seen) >= 3


def test_replay_to_nobody_exits_with_1():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v2/models/savings/infer"
    command = [sys.executable, "-m", "model", "replay", "--app", "savings", "--url", url, "--rate", "20", "--seconds", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    counts = json.loads(done.stdout)
    assert (done.returncode, counts["answers"]) == (1, {"no answer": counts["sent"]})


def test_the_same_training_is_the_same_in_another_process(tmp_path, capsys):
    command = [sys.executable, "-m", "model", "train", "credit", "--rounds", "20", "--json", "--out", str(tmp_path / "a")]
    other = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert main([*command[3:-1], str(tmp_path / "b")]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == other["sha256"]
    assert len(other["sha256"]) == hashlib.sha256().digest_size * 2
