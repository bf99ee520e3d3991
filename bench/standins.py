"""Stands in for Prometheus and Argo CD, and says so: the answers of both over loopback HTTP, in a process of its own.

| asks                                              | answer                                                     |
|---------------------------------------------------|------------------------------------------------------------|
| POST /api/v1/query                                | the counters of the named namespaces over the named span   |
| GET  /apis/argoproj.io/.../applications           | a page of Applications                                     |
| POST /bench/moved {"tip", "when", "moved": [...]} | takes note of what was pushed: (namespace, commit, canary) |
| GET  /bench/busy                                  | seconds spent on answers so far, the sending left out      |
"""

from __future__ import annotations

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from bench.answers import Applications, Counters

_QUERY = re.compile(r'namespace=~"([^"]*)".*\[(\d+)ms\]')


class Handler(BaseHTTPRequestHandler):
    """Answers for both."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    applications: Applications
    counters: Counters
    tip = ""
    busy = 0.0

    def do_GET(self) -> None:
        """Answer for Argo CD."""
        began = time.perf_counter()
        parts = urlsplit(self.path)
        if parts.path == "/bench/busy":
            self._say(json.dumps(Handler.busy).encode())
            return
        query = parse_qs(parts.query)
        body = self.applications.page(Handler.tip, int(query.get("continue", ["0"])[0]), int(query["limit"][0]))
        Handler.busy += time.perf_counter() - began
        self._say(body)

    def do_POST(self) -> None:
        """Answer for Prometheus."""
        given = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/bench/moved":
            self._moved(json.loads(given))
            self._say(b"{}")
            return
        began = time.perf_counter()
        form = parse_qs(given.decode())
        found = _QUERY.search(form["query"][0])
        assert found is not None, form["query"][0][:200]
        until = float(form["time"][0])
        body = self.counters.answer(found[1].split("|"), until - int(found[2]) / 1000, until)
        Handler.busy += time.perf_counter() - began
        self._say(body)

    def _moved(self, told: dict[str, object]) -> None:
        Handler.tip = str(told["tip"])
        when, moved = told["when"], told["moved"]
        assert isinstance(when, int)
        assert isinstance(moved, list)
        for namespace, commit, canary in moved:
            self.applications.applied(namespace, commit, when)
            self.counters.split(namespace, when, canary)

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main(size: int) -> None:
    """Serve on a free port, and print it."""
    Handler.applications, Handler.counters = Applications(size), Counters(size)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
