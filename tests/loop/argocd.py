"""A stand-in for Argo CD behind the Kubernetes API: its Applications follow the server's branch, some seconds late."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from .repository import Repository, git

PATH = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
FORBIDDEN = (
    '{"kind":"Status","status":"Failure","message":"applications.argoproj.io is forbidden: cannot list resource",'
    '"reason":"Forbidden","code":403}'
)


class Revision(NamedTuple):
    """A first-parent commit of the branch, and the apps in prod whose overlay it touches."""

    id: str
    time: int
    apps: frozenset[str]


@dataclass
class Trouble:
    """What is wrong with an Application from `since` on. stuck: it stays at the revision it had then.

    failed: its sync did, with the message; attempt: it is being tried again for the so many-th time, and has forgotten why.
    """

    since: float
    health: str = "Healthy"
    sync: str = "Synced"
    message: str = ""
    failed: bool = False
    attempt: int = 0
    stuck: bool = False


@dataclass
class Server:
    """Lists Applications as of `clock`; `delay`: seconds from a commit until it is synced and healthy."""

    repository: Repository
    clock: Callable[[], float]
    delay: float = 10.0
    page: int = 500
    troubles: dict[str, Trouble] = field(default_factory=dict)
    answer: tuple[int, str] | None = None  # a status and a body instead of a list
    asked: list[str] = field(default_factory=list)
    _head: str = ""
    _chain: list[Revision] = field(default_factory=list)
    _http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self, port: int = 0) -> None:
        """Begin to answer."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.asked.append(self.path)
                status, text = owner.answer or (200, owner.list(parse_qs(urlsplit(self.path).query)))
                if not self.path.startswith(PATH):
                    status, text = 404, "404 page not found"
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def list(self, query: dict[str, list[str]]) -> str:
        """Return one page of Applications."""
        self._follow()
        names = sorted({app for revision in self._chain for app in revision.apps})
        first, size = int(query.get("continue", ["0"])[0]), min(int(query["limit"][0]), self.page)
        metadata = {"continue": str(first + size)} if first + size < len(names) else {}
        items = [self._item(app) for app in names[first : first + size]]
        return json.dumps({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationList", "metadata": metadata, "items": items})

    def applied(self, app: str) -> Revision:
        """Return the commit that the cluster runs for an app: the last one that touched it and was synced."""
        self._follow()
        trouble = self.troubles.get(app)
        until = self.clock() - self.delay
        if trouble and (trouble.stuck or trouble.failed):
            until = min(until, trouble.since)
        return [one for one in self._chain if app in one.apps and one.time <= until][-1]

    def _follow(self) -> None:
        head = self.repository.head()
        if head == self._head:
            return
        words = ("--first-parent", "--reverse", "--diff-merges=first-parent", "--format=commit %H %ct", "--name-only")
        self._head, self._chain = head, []
        for line in git(self.repository.path, "log", *words, head).splitlines():
            if line.startswith("commit "):
                _, commit, when = line.split()
                self._chain.append(Revision(commit, int(when), frozenset()))
            elif line.startswith("overlays/prod/") and line.count("/") > 2 and "/common/" not in line:
                last = self._chain[-1]
                self._chain[-1] = last._replace(apps=last.apps | {line.split("/")[2]})

    def _item(self, app: str) -> dict[str, Any]:
        trouble, mine = self.troubles.get(app), self.applied(app)
        reached = [one for one in self._chain if one.time <= self.clock() - self.delay][-1]
        if trouble and trouble.stuck:
            reached = [one for one in self._chain if one.time <= trouble.since][-1]
        settled = _iso(max(mine.time + self.delay, trouble.since if trouble else 0))
        health = {"status": trouble.health if trouble else "Healthy", "lastTransitionTime": settled}
        if trouble and trouble.message and not trouble.failed:
            health["message"] = trouble.message
        result = {"revision": mine.id}
        operation: dict[str, Any] = {"phase": "Succeeded", "finishedAt": settled, "syncResult": result}
        if trouble and trouble.failed:
            operation |= {"phase": "Failed", "message": trouble.message, "syncResult": {"revision": reached.id}}
        if trouble and trouble.attempt:
            again = f"Retrying operation with latest revisions. Attempt #{trouble.attempt}"
            operation = {"phase": "Running", "message": again}
        sync = {"status": trouble.sync if trouble else "Synced", "revision": reached.id}
        status = {"sync": sync, "health": health, "operationState": operation}
        return {"metadata": {"name": f"{app}-prod", "namespace": "argocd"}, "spec": {"project": "models"}, "status": status}


def _iso(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
