"""The controller process that is measured: ticks of rollout.loop, driven by a clock of its own, one JSON line per tick.

The first tick is the first after a start; the rest are steady. After each tick the stand-ins are told what was pushed, outside
of what is timed. The last line is a look that pushes nothing; it holds besides the peak memory of this process, and a digest of
every decision and its evidence: a controller that starts anew at that time (--ticks 0) must arrive at the same one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import urllib3

from bench.fleet import BEGIN, WIDTH
from rollout.argocd import ArgoCD
from rollout.decide import Change
from rollout.git import Repo, clone
from rollout.loop import Controller, Settings, Tick
from rollout.prometheus import Prometheus
from rollout.web import Service


class Driver:
    """Drives one controller tick by tick. first: the number of its first tick."""

    def __init__(self, remote: Path, cache: Path, url: str, first: int) -> None:
        self.url, self.place = url, first
        self.prometheus, self.argocd = Service("prometheus", url), Service("argocd", url)
        self.repo: Repo = clone(str(remote), cache, "main", {})
        self.controller = Controller(
            self.repo, Prometheus(self.prometheus), ArgoCD(self.argocd), Settings(), clock=lambda: BEGIN + WIDTH * self.place
        )
        self._pool = urllib3.PoolManager()
        self._say(Repo(remote).resolve("main"), [])

    def tick(self, *, act: bool = True) -> tuple[Tick, dict[str, Any]]:
        """Make one tick; return it and its figures."""
        before, worked = self._counts(), sum(os.times()[:4])  # this process and the gits it waited for
        began = time.perf_counter()
        tick = self.controller.tick(act=act)
        seconds, work = time.perf_counter() - began, sum(os.times()[:4]) - worked
        queries, received, pages, listed, busy = (now - then for now, then in zip(self._counts(), before, strict=True))
        if tick.hold_all or tick.troubles:
            raise RuntimeError(tick.hold_all or tick.troubles[0])
        moved = [outcome for outcome in tick.outcomes if outcome.commit]
        figures = {
            "seconds": seconds,
            "cpu_s": work,
            "queries": queries,
            "bytes": received,
            "argocd_pages": pages,
            "argocd_bytes": listed,
            "standin_s": busy,
            "commits": len(moved),
            "in_flight": len(tick.outcomes),
        }
        self.tell(tick)
        return tick, figures

    def tell(self, tick: Tick) -> None:
        """Tell the stand-ins what was pushed."""
        broken = [outcome.error for outcome in tick.outcomes if outcome.error]
        if broken:
            raise RuntimeError(broken[0])
        moved = [
            (outcome.key.namespace, outcome.commit, outcome.decision.canary)
            for outcome in tick.outcomes
            if outcome.commit and outcome.decision.change is Change.CANARY
        ]
        self._say(tick.pushed or self.controller.head, moved)

    def _say(self, tip: str, moved: list[tuple[str, str, int]]) -> None:
        told = {"tip": tip, "when": BEGIN + WIDTH * self.place, "moved": moved}
        self._pool.request("POST", f"{self.url}/bench/moved", body=json.dumps(told))

    def _counts(self) -> tuple[int, int, int, int, float]:
        busy = float(self._pool.request("GET", f"{self.url}/bench/busy").data)
        return self.prometheus.asked, self.prometheus.received, self.argocd.asked, self.argocd.received, busy


def digest(tick: Tick) -> str:
    """Return a digest of every decision and the evidence it stands on."""
    told = sorted(f"{one.key} {one.decision} {one.seen.evidence if one.seen else one.error}" for one in tick.outcomes)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def peak() -> float:
    """Return the most memory this process has held, in MiB; its ru_maxrss would begin with that of the process that made it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Run the ticks that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--remote", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--ticks", type=int, required=True)
    chosen = parser.parse_args()
    driver = Driver(chosen.remote, chosen.cache, chosen.url, chosen.first)
    for place in range(chosen.first, chosen.first + chosen.ticks):
        driver.place = place
        print(json.dumps(driver.tick()[1]), flush=True)
    driver.place = chosen.first + chosen.ticks
    tick, figures = driver.tick(act=False)
    driver.repo.close()
    print(json.dumps({**figures, "rss_mib": peak(), "digest": digest(tick)}), flush=True)


if __name__ == "__main__":
    main()
