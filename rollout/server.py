"""What the controller shows of itself: /metrics, /healthz and /readyz over HTTP, and one log line per decision."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rollout.errors import BadInput
from rollout.gate import Verdict
from rollout.loop import Outcome, Tick
from rollout.release import Key
from rollout.state import Kind

_RELEASE = ("env", "app")


class Metrics:
    """The controller's own metrics, all prefixed rollout_."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def gauge(name: str, text: str, labels: tuple[str, ...] = _RELEASE) -> Gauge:
            return Gauge(f"rollout_{name}", text, labels, registry=registry)

        self.traffic = gauge("canary_traffic", "Committed canary traffic, percent")
        self.state = gauge("state", "1 for the state a release is in", (*_RELEASE, "state"))
        self.verdict = gauge("verdict", "1 for the verdict on a canary", (*_RELEASE, "verdict"))
        self.harm = gauge("harm_e_value", "Evidence that the canary is worse")
        self.harm_threshold = gauge("harm_threshold", "The evidence at which a canary is aborted")
        self.safe = gauge("safe_e_value", "Evidence that the canary is safe")
        self.safe_threshold = gauge("safe_threshold", "The evidence at which a step may advance")
        self.requests = gauge("evidence_requests", "Requests seen at the present step", (*_RELEASE, "arm"))
        self.errors = gauge("evidence_errors", "Errors seen at the present step", (*_RELEASE, "arm"))
        self.window = gauge("window_seconds", "Time credited to the dwell of the present step")
        self.overdue = gauge("overdue", "1 when a deadline has passed and a person should look")
        self.unreadable = gauge("unreadable", "1 when a release's files or plan cannot be read")
        self.hold_all = gauge("hold_all", "1 while nothing can be looked at: no git, or a history that cannot be trusted", ())
        self.troubles = gauge("troubles", "Services that did not answer in the last tick", ())
        self.last_tick = gauge("last_tick_timestamp_seconds", "When the last tick ended", ())
        self.decisions = Counter("rollout_decisions", "Commits made", (*_RELEASE, "decision"), registry=registry)
        self.retries = Counter("rollout_push_retries", "Pushes that were rejected", registry=registry)
        self.seconds = Histogram("rollout_tick_seconds", "Duration of a tick", registry=registry)
        self._shown: set[Key] = set()

    def show(self, tick: Tick, seconds: float) -> None:
        """Take in one tick."""
        self.seconds.observe(seconds)
        self.hold_all.set(bool(tick.hold_all))
        self.troubles.set(len(tick.troubles))
        self.last_tick.set(time.time())
        self.retries.inc(tick.retries)
        if tick.hold_all:
            return
        for key in self._shown - {outcome.key for outcome in tick.outcomes}:
            self._forget(key)
        self._shown = {outcome.key for outcome in tick.outcomes}
        for outcome in tick.outcomes:
            self._show(outcome)

    def _forget(self, key: Key) -> None:
        for gauge in (self.traffic, self.harm, self.harm_threshold, self.safe, self.safe_threshold, self.window, self.overdue):
            _drop(gauge, key.env, key.app)
        _drop(self.unreadable, key.env, key.app)
        for gauge, values in ((self.state, Kind), (self.verdict, Verdict), (self.requests, _ARMS), (self.errors, _ARMS)):
            for value in values:
                _drop(gauge, key.env, key.app, str(value))

    def _show(self, outcome: Outcome) -> None:
        release, seen, decision = (outcome.key.env, outcome.key.app), outcome.seen, outcome.decision
        self.unreadable.labels(*release).set(seen is None)
        self.overdue.labels(*release).set(decision.overdue)
        if outcome.commit:
            self.decisions.labels(*release, str(decision.kind)).inc()
        if seen is None:
            return
        self.traffic.labels(*release).set(seen.state.release.canary)
        for kind in Kind:
            self.state.labels(*release, str(kind)).set(seen.state.kind is kind)
        evidence = seen.evidence
        for verdict in Verdict:
            self.verdict.labels(*release, str(verdict)).set(evidence is not None and evidence.verdict is verdict)
        if evidence is None:
            return
        self.harm.labels(*release).set(evidence.harm)
        self.harm_threshold.labels(*release).set(evidence.harm_threshold)
        self.safe.labels(*release).set(evidence.safe)
        self.safe_threshold.labels(*release).set(evidence.safe_threshold)
        self.window.labels(*release).set(evidence.window_seconds)
        for arm, counts in zip(_ARMS, (evidence.window_stable, evidence.window_canary), strict=True):
            self.requests.labels(*release, arm).set(counts.requests)
            self.errors.labels(*release, arm).set(counts.errors)


_ARMS = ("stable", "canary")


def _drop(gauge: Gauge, *labels: str) -> None:
    try:
        gauge.remove(*labels)
    except KeyError:
        return  # it was never shown


@dataclass(slots=True)
class Log:
    """One line per decision and per trouble, as text or JSON. A hold is told once, until what it waits for changes."""

    style: str = "text"
    out: TextIO = field(default_factory=lambda: sys.stderr)
    _told: dict[str, str] = field(default_factory=dict)

    def tell(self, level: str, text: str, **facts: Any) -> None:
        """Write one line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.style == "json":
            line = json.dumps({"time": when, "level": level, "message": text, **facts})
        else:
            line = f"{when} {level:<5} {text}"
        print(line, file=self.out, flush=True)

    def once(self, topic: str, kind: str, level: str, text: str, **facts: Any) -> None:
        """Write a line unless the last one on this topic was of the same kind."""
        if self._told.get(topic) != kind:
            self._told[topic] = kind
            self.tell(level, text, **facts)

    def show(self, tick: Tick) -> None:
        """Tell what a tick did."""
        level, text = ("error", f"everything holds: {tick.hold_all}") if tick.hold_all else ("info", "looking at the repository")
        self.once("all", text, level, text)
        for place in range(3):
            trouble = tick.troubles[place] if place < len(tick.troubles) else ""
            if trouble or f"trouble {place}" in self._told:
                self.once(f"trouble {place}", trouble, "warn" if trouble else "info", trouble or "answers again")
        for outcome in tick.outcomes:
            self._show(outcome)

    def _show(self, outcome: Outcome) -> None:
        decision, seen = outcome.decision, outcome.seen
        verdict = str(seen.evidence.verdict) if seen and seen.evidence else ""
        state = f"{seen.state.kind} {seen.state.release.canary}" if seen else "unreadable"
        facts = {"release": str(outcome.key), "decision": str(decision.kind), "verdict": verdict, "state": state}
        text = f"{outcome.key}: {decision.kind}: {decision.reason}"
        if outcome.commit:
            self.tell("info", text, commit=outcome.commit, **facts)
            self._told.pop(str(outcome.key), None)
        else:
            level = "warn" if decision.overdue or outcome.error else "info"
            told = f"{state} {decision.kind} {verdict} {decision.overdue} {outcome.error}"
            self.once(str(outcome.key), told, level, text, **facts)


@dataclass(slots=True)
class Health:
    """Alive while ticks end in time; ready once one has seen the repository."""

    patience: float
    ticked: float = field(default_factory=time.monotonic)
    ready: bool = False

    def show(self, tick: Tick) -> None:
        """Take in one tick."""
        self.ticked = time.monotonic()
        self.ready = self.ready or not tick.hold_all

    @property
    def alive(self) -> bool:
        """Whether the last tick ended recently enough."""
        return time.monotonic() - self.ticked < self.patience


def serve(address: str, metrics: Metrics, health: Health) -> ThreadingHTTPServer:
    """Answer /metrics, /healthz and /readyz on host:port, in the background, until `shutdown`; raise BadInput if it cannot."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                return self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            known = {"/healthz": health.alive, "/readyz": health.ready}
            if self.path not in known:
                return self._answer(404, b"known: /metrics /healthz /readyz\n")
            fine = known[self.path]
            return self._answer(200 if fine else 503, b"ok\n" if fine else b"not yet\n")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    host, _, port = address.rpartition(":")
    try:
        server = ThreadingHTTPServer((host, int(port)), Handler)
    except (OSError, ValueError, OverflowError) as error:
        raise BadInput("--listen", "", f"is {address!r}: {error}; a free port such as 127.0.0.1:9000 would be right") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
