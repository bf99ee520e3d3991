"""A proxy in front of Prometheus that fails on demand, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import urllib3

_HTTP = urllib3.PoolManager(retries=False)
Fault = Callable[[bytes], tuple[int, bytes]]


def http_500(_: bytes) -> tuple[int, bytes]:
    """As a proxy whose Prometheus is gone."""
    return 500, b"upstream connect error"


def slow(body: bytes) -> tuple[int, bytes]:
    """As a Prometheus that is overloaded."""
    time.sleep(0.5)
    return 200, body


def html(_: bytes) -> tuple[int, bytes]:
    """As a login page."""
    return 200, b"<html><body>Please sign in</body></html>"


def empty(_: bytes) -> tuple[int, bytes]:
    """As a Prometheus that lost its data."""
    return 200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}'


def warnings(body: bytes) -> tuple[int, bytes]:
    """As a Thanos of which a store is missing: half of the series, and a warning."""
    plain = json.loads(body)
    plain["data"]["result"] = plain["data"]["result"][::2]
    return 200, json.dumps({**plain, "warnings": ["store 10.0.0.7:10901 is unreachable"]}).encode()


def nan(body: bytes) -> tuple[int, bytes]:
    """Every value is NaN."""
    plain = json.loads(body)
    for row in plain["data"]["result"]:
        row["values"] = [[when, "NaN"] for when, _ in row["values"]]
    return 200, json.dumps(plain).encode()


def cut(body: bytes) -> tuple[int, bytes]:
    """The answer ends in its middle."""
    return 200, body[: len(body) // 2]


@dataclass
class Proxy:
    """Answers for `target`, through `fault` where there is one."""

    target: str
    fault: Fault | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    _http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> None:
        """Begin to answer."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"]))
                owner.asked.append({name: values[0] for name, values in parse_qs(form.decode()).items()})
                head = {"Content-Type": "application/x-www-form-urlencoded"}
                try:
                    answer = _HTTP.request("POST", owner.target + self.path, body=form, headers=head)
                except urllib3.exceptions.HTTPError:
                    self.close_connection = True  # as if it were not there
                    return
                status, body = answer.status, answer.data
                if owner.fault is not None:
                    status, body = owner.fault(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
