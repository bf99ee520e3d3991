"""One size of the fleet, measured: a remote and stand-ins made for it, a controller that runs, and controllers that start anew.

| figure        | is                                                                                                   |
|---------------|------------------------------------------------------------------------------------------------------|
| first_s       | the first tick of all: the clone, the whole history, an hour of samples                              |
| p50_s, p95_s  | over the steady ticks, those after the first                                                         |
| cpu_s         | of a steady tick, the processors' time for the controller and git: what a busy machine changes least |
| restart_s     | the first tick of a fresh process on a clone that is there: median of some                           |
| rss_mib       | the most memory any of these controllers held at any moment                                          |
| queries, bytes| what Prometheus was asked, and answered, in the dearest steady tick                                  |
| standin_s     | of a steady tick, what the stand-ins thought: the controller waited, and would wait for real ones    |
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.repository import build

Figures = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a fleet of one size costs."""

    releases: int
    in_flight: int
    history: int  # commits in the remote before the first tick
    first_s: float
    p50_s: float
    p95_s: float
    cpu_s: float
    restart_s: float
    restart_cpu_s: float
    rss_mib: float
    queries: int
    restart_queries: int
    bytes: int
    argocd_pages: int
    argocd_bytes: int
    commits: float
    standin_s: float
    digest: str
    restart_digests: list[str]

    @property
    def agrees(self) -> bool:
        """Whether those that started anew decided what the running one did, on the same evidence."""
        return set(self.restart_digests) == {self.digest}


def measure(size: int, ticks: int, restarts: int, say: Say) -> Size:
    """Measure a fleet: one first tick, `ticks` steady ones, and `restarts` fresh processes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        remote = Path(folder, "remote.git")
        history = build(remote, size)
        say(f"a remote with {history} commits")
        with _standins(size) as url:
            words = ["--remote", str(remote), "--cache", str(Path(folder, "cache.git")), "--url", url]
            first, *steady, last = _controller([*words, "--ticks", str(1 + ticks)], say)
            again = ["--first", str(1 + ticks), "--ticks", "0"]
            anew = [_controller([*words, *again], say)[-1] for _ in range(restarts)]
    seconds = [tick["seconds"] for tick in steady]
    return Size(
        releases=size,
        in_flight=last["in_flight"],
        history=history,
        first_s=first["seconds"],
        p50_s=median(seconds),
        p95_s=quantiles(seconds, n=20, method="inclusive")[-1],
        cpu_s=median(tick["cpu_s"] for tick in steady),
        restart_s=median(one["seconds"] for one in anew),
        restart_cpu_s=median(one["cpu_s"] for one in anew),
        rss_mib=max(one["rss_mib"] for one in (last, *anew)),
        queries=max(tick["queries"] for tick in steady),
        restart_queries=max(one["queries"] for one in anew),
        bytes=max(tick["bytes"] for tick in steady),
        argocd_pages=max(tick["argocd_pages"] for tick in steady),
        argocd_bytes=max(tick["argocd_bytes"] for tick in steady),
        commits=median(tick["commits"] for tick in steady),
        standin_s=median(tick["standin_s"] for tick in steady),
        digest=last["digest"],
        restart_digests=[one["digest"] for one in anew],
    )


@contextmanager
def _standins(size: int) -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-m", "bench.standins", str(size)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _controller(words: list[str], say: Say) -> list[Figures]:
    """Run a controller process to its end; return its lines."""
    told: list[Figures] = []
    with subprocess.Popen([sys.executable, "-m", "bench.controller", *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(json.loads(line))
            if len(told) % 10 == 1:
                start = ", the first after a start" if len(told) == 1 else ""
                say(f"tick {len(told)}{start}: {told[-1]['seconds']:.3g} s")
    if process.returncode:
        raise RuntimeError(f"bench.controller ended with {process.returncode}")
    return told
