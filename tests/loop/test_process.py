"""`rollout run` as a process: what it shows of itself, how it ends, and what it says when something is not as it should be."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from . import flaky
from .argocd import FORBIDDEN
from .process import AT, Machine, wait
from .prometheus import free_port
from .repository import git
from .world import Load, World

pytestmark = pytest.mark.scenario
_HTTP = urllib3.PoolManager(retries=False)
ADVANCE = "prod/credit: advance: canary 2 is real and healthy at 0 %, warm for 35 s; evidence begins with its first requests"
HOLD = "prod/credit: hold: no data: no request of canary 2 or stable seen yet at 5 %"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "machine")
    yield machine
    machine.clean()


@pytest.fixture
def started(make_world: Callable[..., World]) -> World:
    """A world in which canary 2 is about to get its first traffic."""
    world = make_world()
    world.cluster.loads["credit"] = Load()
    world.pass_time(60)
    world.start("credit", "2")
    world.pass_time(45)
    return world


def words(world: World, machine: Machine, *more: str, **other: str) -> list[str]:
    """The command line of a controller at the world's time. other: instead of the world's own services."""
    given = {"repo": world.repository.url, "prometheus": world.proxy.url, "argocd": world.argocd.url, **other}
    asked = [word for name, value in given.items() for word in (f"--{name}", value)]
    return [str(AT), str(world.now), "run", "--env", "prod", "--cache", str(machine.home / "cache"), *asked, *more]


def once(world: World, machine: Machine, *more: str, **other: str) -> tuple[int, list[str]]:
    """Run one tick; return its exit code, and its log without the times."""
    process = machine.launch(words(world, machine, "--once", *more, **other))
    out, log = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, [line.partition(" ")[2] if line[0] == "2" else line for line in log.splitlines()]


@contextmanager
def running(world: World, machine: Machine, *more: str, stop_at: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A controller that ticks ten times a second, and its address; it is ended, if it has not ended yet."""
    port = free_port()
    always = ["--interval", "0.1s", "--listen", f"127.0.0.1:{port}", *more]
    process = machine.launch(words(world, machine, *always), stop_at)
    yield process, f"http://127.0.0.1:{port}"
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def answer(url: str) -> tuple[int, str]:
    """Ask the controller; 0 while nobody listens."""
    try:
        got = _HTTP.request("GET", url)
    except urllib3.exceptions.HTTPError:
        return 0, ""
    return got.status, got.data.decode()


def metric(url: str, name: str) -> float:
    """The value of one of its metrics."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", answer(f"{url}/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else -1.0


def ticks(url: str, more: int) -> None:
    """Wait until so many more ticks have passed."""
    goal = metric(url, "rollout_tick_seconds_count") + more
    wait(lambda: metric(url, "rollout_tick_seconds_count") >= goal, f"{more} ticks")


def test_it_is_alive_at_once_and_ready_when_it_has_seen_the_repository(started: World, machine: Machine) -> None:
    with running(started, machine, stop_at="wait fetch") as (_, url):
        wait(machine.stopped.exists, "the first fetch")
        assert answer(f"{url}/healthz") == (200, "ok\n")
        assert answer(f"{url}/readyz") == (503, "not yet\n")
        machine.go.touch()
        wait(lambda: answer(f"{url}/readyz") == (200, "ok\n"), "ready")
        assert answer(f"{url}/") == (404, "known: /metrics /healthz /readyz\n")


def test_its_metrics_say_what_a_release_is_in_and_what_it_did(started: World, machine: Machine) -> None:
    with running(started, machine) as (_, url):
        release = 'app="credit",env="prod"'
        wait(lambda: metric(url, f"rollout_canary_traffic{{{release}}}") == 5, "5 %")
        assert metric(url, f'rollout_state{{{release},state="step"}}') == 1
        assert metric(url, f'rollout_state{{{release},state="warming"}}') == 0
        assert metric(url, 'rollout_decisions_total{app="credit",decision="advance",env="prod"}') == 1
        assert metric(url, f"rollout_overdue{{{release}}}") == 0
        assert (metric(url, "rollout_hold_all"), metric(url, "rollout_troubles"), metric(url, "rollout_push_retries_total")) == (
            0,
            0,
            0,
        )
        started.argocd.answer = (503, "")
        wait(lambda: metric(url, "rollout_troubles") == 1, "the trouble")


def test_sigterm_lets_the_tick_end_and_nothing_half_done_is_left(started: World, machine: Machine) -> None:
    with running(started, machine, stop_at="wait push") as (process, _):
        wait(machine.stopped.exists, "the push")
        process.send_signal(signal.SIGTERM)
        machine.go.touch()
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert started.repository.written() == ["credit(prod): canary 2 at 5 %"]
    lines = [line.split(" ", 2)[2].strip() for line in log.splitlines()]
    assert lines == ["SIGTERM: this tick is the last", "looking at the repository", ADVANCE]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_between_ticks_a_signal_ends_it_at_once(started: World, machine: Machine, name: str) -> None:
    with running(started, machine, "--interval", "1h") as (process, url):
        wait(lambda: answer(f"{url}/readyz")[0] == 200, "ready")
        process.send_signal(signal.Signals[name])
        process.communicate(timeout=5)
    assert process.returncode == 0


def test_one_line_per_decision_however_many_ticks_make_it(started: World, machine: Machine) -> None:
    with running(started, machine, "--log", "json") as (process, url):
        wait(lambda: metric(url, 'rollout_canary_traffic{app="credit",env="prod"}') == 5, "5 %")
        ticks(url, 5)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    lines = [json.loads(line) for line in log.splitlines()]
    times = [line.pop("time") for line in lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    commit = started.repository.head()
    assert lines == [
        {"level": "info", "message": "looking at the repository"},
        line("advance", ADVANCE, "warming 0", commit=commit),
        line("hold", HOLD, "step 5"),
        {"level": "info", "message": "SIGTERM: this tick is the last"},
    ]


def line(decision: str, message: str, state: str, **more: str) -> dict[str, str]:
    """What a decision's line holds."""
    return {
        "level": "info",
        "message": message,
        **more,
        "release": "prod/credit",
        "decision": decision,
        "verdict": "",
        "state": state,
    }


def test_once_is_one_tick_with_exit_code_0(started: World, machine: Machine) -> None:
    assert once(started, machine) == (0, ["info  looking at the repository", f"info  {ADVANCE}"])
    assert once(started, machine) == (0, ["info  looking at the repository", f"info  {HOLD}"])


@contextmanager
def saying(status: int, text: str) -> Iterator[str]:
    """A web server that says one thing only; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_a_remote_that_refuses_over_http(started: World, machine: Machine, status: int) -> None:
    with saying(status, "no") as url:
        code, log = once(started, machine, repo=f"{url}/models.git")
    refused = (
        f"repository '{url}/models.git/' not found"
        if status == 404
        else (f"unable to access '{url}/models.git/': The requested URL returned error: {status}")
    )
    assert (code, log) == (1, [f"error everything holds: fatal: {refused}"])


def test_a_remote_that_asks_for_a_password(started: World, machine: Machine) -> None:
    with saying(401, "who?") as url:
        code, log = once(started, machine, repo=f"{url}/models.git")
    assert (code, log) == (1, [f"error everything holds: fatal: could not read Username for '{url}': terminal prompts disabled"])


def test_a_remote_without_the_branch(started: World, machine: Machine) -> None:
    code, log = once(started, machine, "--branch", "trunk")
    assert (code, log) == (1, ["error everything holds: fatal: couldn't find remote ref refs/heads/trunk"])


def test_a_prometheus_that_answers_html_holds_what_needs_it(started: World, machine: Machine) -> None:
    once(started, machine)
    started.pass_time(60)
    started.proxy.fault = flaky.html
    says = "(it says '<html><body>Please sign in</body></html>': JSON is malformed: invalid character (byte 0))"
    trouble = f"prometheus at {started.proxy.url} does not speak its API {says}"
    assert once(started, machine) == (
        0,
        [
            "info  looking at the repository",
            f"warn  {trouble}",
            f"info  prod/credit: hold: metrics down: {trouble}; no verdict, no change at 5 %",
        ],
    )


def test_an_argo_cd_that_forbids_is_told_with_its_words(started: World, machine: Machine) -> None:
    started.argocd.answer = (403, FORBIDDEN)
    trouble = f"argocd at {started.argocd.url} answers 403: {FORBIDDEN}"
    assert once(started, machine) == (
        0,
        [
            "info  looking at the repository",
            f"warn  {trouble}",
            f"info  prod/credit: hold: canary 2 warms at 0 %: not known to be real: {trouble}",
        ],
    )


PORT = "a free port such as 127.0.0.1:9000 would be right"
FOLDER = "a folder, there already or to be made, would be right"
BAD_WORDS = {
    "--prometheus is no URL": (
        ["--prometheus", "prometheus:9090"],
        "rollout: --prometheus: is 'prometheus:9090'; a URL such as http://prometheus:9090 would be right",
    ),
    "--argocd is no URL": (
        ["--argocd", "kubernetes"],
        "rollout: --argocd: is 'kubernetes'; a URL such as http://argocd:9090 would be right",
    ),
    "--prometheus is half an address": (
        ["--prometheus", "http://[::1"],
        "rollout: --prometheus: is 'http://[::1'; a URL such as http://prometheus:9090 would be right",
    ),
    "--argocd is an empty address": (
        ["--argocd", "https://[]"],
        "rollout: --argocd: is 'https://[]'; a URL such as http://argocd:9090 would be right",
    ),
    "a cache that is a file": (["--cache", "/dev/null"], f"rollout: --cache: is '/dev/null': File exists; {FOLDER}"),
    "a cache below a file": (["--cache", "/dev/null/x"], f"rollout: --cache: is '/dev/null/x': Not a directory; {FOLDER}"),
    "no such token": (["--argocd-token-file", "/no/token"], "rollout: --argocd-token-file: is '/no/token', which is no file"),
    "no such authority": (["--argocd-ca-file", "/no/ca"], "rollout: --argocd-ca-file: is '/no/ca', which is no file"),
    "no such key": (["--signing-key", "/no/key"], "rollout run: error: argument --signing-key: '/no/key': no such file"),
    "nobody's name": (
        ["--author", "me"],
        "rollout run: error: argument --author: 'me': such as 'rollout <rollout@localhost>' would be right",
    ),
    "no time at all": (["--batch", "0s"], "rollout run: error: argument --batch: '0s': a duration above 0 would be right"),
    "a time without its unit": (
        ["--interval", "15"],
        "rollout run: error: argument --interval: '15': a duration such as 30s, 15m, 4h or 1d would be right",
    ),
    "no port": (
        ["--listen", "localhost:http"],
        f"rollout: --listen: is 'localhost:http': invalid literal for int() with base 10: 'http'; {PORT}",
    ),
}


@pytest.mark.parametrize("name", BAD_WORDS)
def test_bad_words_are_refused_before_anything_is_done(started: World, machine: Machine, name: str) -> None:
    bad, message = BAD_WORDS[name]
    head = started.repository.head()
    code, log = once(started, machine, *bad)
    assert (code, log[-1]) == (2, message)
    assert started.repository.head() == head


def test_a_port_that_is_taken(started: World, machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, log = once(started, machine, "--listen", address)
    said = f"rollout: --listen: is '{address}': [Errno 98] Address already in use; {PORT}"
    assert (code, log) == (2, [said])


def test_a_cache_of_another_remote(started: World, machine: Machine) -> None:
    once(started, machine)
    cache = machine.home / "cache"
    code, log = once(started, machine, repo=str(started.repository.desk))
    known = f"{cache} is a clone of {started.repository.url}; an empty folder, or a clone of {started.repository.desk}"
    assert (code, log) == (2, [f"rollout: --cache: {known}, would be right"])


def test_a_token_that_goes_away_is_told_and_the_controller_goes_on(started: World, machine: Machine) -> None:
    token = machine.home / "token"
    token.write_text("secret\n")
    with running(started, machine, "--argocd-token-file", str(token)) as (_, url):
        wait(lambda: metric(url, "rollout_troubles") == 0, "a good tick")
        token.unlink()
        wait(lambda: metric(url, "rollout_troubles") == 1, "the trouble")
        token.write_text("another\n")
        wait(lambda: metric(url, "rollout_troubles") == 0, "a good tick again")


@pytest.mark.parametrize("token", [b"\xff", "\u2192".encode(), b"a\nb"], ids=["no text", "no ASCII", "two lines"])
def test_a_token_that_is_none_is_told_without_its_words(started: World, machine: Machine, token: bytes) -> None:
    file = machine.home / "token"
    file.write_bytes(token)
    trouble = f"argocd at {started.argocd.url} cannot be asked: {file} holds no token; one line of ASCII would be right"
    code, log = once(started, machine, "--argocd-token-file", str(file))
    assert (code, log[:2]) == (0, ["info  looking at the repository", f"warn  {trouble}"])


def test_a_shallow_cache_is_refused(started: World, machine: Machine) -> None:
    url = f"file://{started.repository.path}"
    git(machine.home, "clone", "--quiet", "--bare", "--depth=1", url, "cache")
    code, log = once(started, machine, repo=url)
    said = "the clone is shallow: without its history no state can be derived; a full clone would be right"
    assert (code, log) == (1, [f"error everything holds: {said}"])


def test_while_the_branch_is_behind_where_it_was_everything_holds_and_says_so(started: World, machine: Machine) -> None:
    with running(started, machine) as (process, url):
        wait(lambda: metric(url, 'rollout_canary_traffic{app="credit",env="prod"}') == 5, "5 %")
        tip, older = started.repository.head(), git(started.repository.path, "rev-parse", "main^").strip()
        git(started.repository.path, "update-ref", "refs/heads/main", older)
        wait(lambda: metric(url, "rollout_hold_all") == 1, "the hold")
        ticks(url, 3)
        assert started.repository.head() == older, "nothing is written on a branch that cannot be trusted"
        assert answer(f"{url}/healthz")[0] == 200
        git(started.repository.path, "update-ref", "refs/heads/main", tip)
        wait(lambda: metric(url, "rollout_hold_all") == 0, "the branch")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    said = f"everything holds: the branch went backwards: {older[:10]} does not contain {tip[:10]}, which was its tip"
    assert [line[21:] for line in log.splitlines()].count(f"error {said}") == 1


def test_commits_are_signed_with_the_key_that_is_given(started: World, machine: Machine) -> None:
    key = machine.home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rollout", "-f", str(key)], check=True)
    code, _ = once(started, machine, "--signing-key", "key", "--author", "rollout <rollout@example.com>")
    assert code == 0
    allowed = machine.home / "allowed"
    allowed.write_text(f"rollout@example.com {key.with_suffix('.pub').read_text()}")
    trust = ["-c", f"gpg.ssh.allowedSignersFile={allowed}"]
    verified = subprocess.run(
        ["git", *trust, "verify-commit", "main"], cwd=started.repository.path, capture_output=True, text=True, check=True
    )
    assert 'Good "git" signature for rollout@example.com with ED25519 key' in verified.stderr
    assert started.repository.written() == ["credit(prod): canary 2 at 5 %"]
    assert started.repository.log()[-1].time == started.now
    unsigned = subprocess.run(["git", *trust, "verify-commit", "main^"], cwd=started.repository.path, check=False)
    assert unsigned.returncode == 1, "the person's own is not"


def test_with_an_empty_signing_key_commits_are_not_signed(started: World, machine: Machine) -> None:
    assert once(started, machine, "--signing-key", "") == (0, ["info  looking at the repository", f"info  {ADVANCE}"])
    assert started.repository.written() == ["credit(prod): canary 2 at 5 %"]
    assert "gpgsig" not in git(started.repository.path, "cat-file", "commit", "main")
