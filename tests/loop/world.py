"""A world on one clock: git server, Argo CD stand-in, cluster that counts requests into a real Prometheus, and the controller.

The clock is moved by the test, 15 s at a time: the cluster counts and is scraped, then the controller ticks.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.argocd import ArgoCD
from rollout.git import clone
from rollout.loop import Controller, Outcome, Settings, Tick
from rollout.prometheus import Prometheus
from rollout.release import Key
from rollout.web import Service

from . import argocd as argocds
from . import prometheus as prometheuses
from .flaky import Proxy
from .prometheus import STALE, Sample, counter, labels
from .repository import Repository, folder

WIDTH = 15
Failing = Callable[[str, str, float], float]  # arm, version, time -> fraction of the requests that fail


def beginning(hours: float = 6) -> int:
    """A full minute some hours ago: the story fits between then and now."""
    return int(time.time() - hours * 3600) // 60 * 60


@dataclass
class Arm:
    """The pod of one predictor, with its counters by code."""

    version: str
    pod: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Load:
    """The requests of one app. rate: per second; live: the canary's true percent where it is not the committed one."""

    rate: float = 60.0
    failing: Failing = lambda arm, version, when: 0.002
    live: Callable[[int], int] = lambda committed: committed
    scraped: bool = True


@dataclass
class Cluster:
    """Counts requests as the executors of the applied releases would, and has them scraped.

    Which requests fail is drawn by the time since the first scrape: a story is the same whenever it is told.
    """

    repository: Repository
    argocd: argocds.Server
    loads: dict[str, Load] = field(default_factory=dict)
    _arms: dict[tuple[str, str], Arm] = field(default_factory=dict)
    _rest: dict[str, float] = field(default_factory=dict)
    _known: dict[tuple[str, str], tuple[str, str, int]] = field(default_factory=dict)
    _pods: int = 0
    _first: float | None = None

    def scrape(self, when: float, seconds: float) -> list[Sample]:
        """Count the requests of the last `seconds`; return what a scrape at `when` sees."""
        found: list[Sample] = []
        self._first = when if self._first is None else self._first
        for app, load in self.loads.items():
            stable, canary, split = self.runs(app)
            share = load.live(split) if canary else 0
            total = self._whole(app, load.rate * seconds)
            mine = self._whole(f"{app} canary", total * share / 100)
            samples = [*self._count(app, "stable", stable, total - mine, when), *self._count(app, "canary", canary, mine, when)]
            found += samples if load.scraped else []
        return found

    def runs(self, app: str) -> tuple[str, str, int]:
        """Return stable's version, the canary's (empty at rest), and the split, as synced."""
        commit = self.argocd.applied(app).id
        if (app, commit) not in self._known:
            names = ("model", "stable", "traffic", "kustomization")
            model, stable, traffic, toggle = self.repository.texts([f"{folder(app)}/{name}.yaml" for name in names], commit)
            model, stable = (text.split('version: "')[1].split('"')[0] for text in (model, stable))
            walked = "base/in-rollout" in toggle
            split = int(traffic.rpartition("canary: ")[2])
            self._known[app, commit] = (stable, model, split) if walked else (model, "", 0)
        return self._known[app, commit]

    def _whole(self, name: str, number: float) -> int:
        """Return whole requests, and keep the rest for later."""
        exact = number + self._rest.get(name, 0.0)
        self._rest[name] = exact - int(exact)
        return int(exact)

    def _count(self, app: str, name: str, version: str, requests: int, when: float) -> Iterable[Sample]:
        arm = self._arms.get((app, name))
        if arm is None or arm.version != version:
            for code in arm.counts if arm else ():
                yield Sample(prometheuses.COUNT, labels(app, name, arm.version, code, arm.pod), when, STALE)
            self._pods += 1
            arm = self._arms[app, name] = Arm(version, f"{app}-{name}-{self._pods}")
        chance = random.Random(f"{app} {name} {version} {when - (self._first or 0):.1f}")
        rate = self.loads[app].failing(name, version, when)
        failed = sum(chance.random() < rate for _ in range(requests))
        for code, number in (("200", requests - failed), ("500", failed)):
            if number or code in arm.counts:
                arm.counts[code] = arm.counts.get(code, 0) + number
        for code, value in arm.counts.items():
            yield from counter(labels(app, name, version, code, arm.pod), [(when, value)])


@dataclass
class World:
    """Everything, on one clock."""

    home: Path
    repository: Repository
    prometheus: prometheuses.Server
    argocd: argocds.Server
    proxy: Proxy
    cluster: Cluster
    now: float
    settings: Settings = field(default_factory=lambda: Settings(envs=frozenset({"prod"})))
    patience: float = 20.0
    width: int = WIDTH  # seconds between scrapes
    ticks: list[Tick] = field(default_factory=list)
    controller: Controller = field(init=False)
    _made: int = 0

    @classmethod
    def make(cls, home: Path, begin: float, samples: Iterable[Sample] = (), **tree: Any) -> World:
        """Make one with every app at rest on version 1. samples: what Prometheus holds already, of before and after `begin`."""
        repository = Repository.make(home, begin - 86400, **tree)
        prometheus = prometheuses.Server(home / "prometheus")
        prometheus.home.mkdir()
        if samples := list(samples):
            prometheus.backfill(samples)
        prometheus.start()
        proxy = Proxy(prometheus.url)
        proxy.start()
        world = cls.__new__(cls)
        argocd = argocds.Server(repository, lambda: world.now)
        argocd.start()
        cls.__init__(world, home, repository, prometheus, argocd, proxy, Cluster(repository, argocd), begin)
        world.controller = world.fresh()
        return world

    def stop(self) -> None:
        """Stop everything that was started."""
        self.controller.repo.close()
        for part in (self.proxy, self.argocd, self.prometheus):
            part.stop()

    def fresh(self, cache: Path | None = None, **changed: Any) -> Controller:
        """Return a controller that knows nothing: an own clone, an own cache, or one that is there already."""
        self._made += 1
        repo = clone(self.repository.url, cache or self.home / f"cache-{self._made}", "main", {})
        prometheus = Prometheus(Service("prometheus", self.proxy.url, patience=self.patience))
        argocd = ArgoCD(Service("argocd", self.argocd.url))
        given = {"settings": self.settings, "clock": lambda: self.now, **changed}
        return Controller(repo, prometheus, argocd, **given)

    def restart(self) -> None:
        """Forget everything that the controller knows."""
        self.controller.repo.close()
        self.controller = self.fresh()

    def pass_time(self, seconds: float) -> None:
        """Move the clock to the next scrapes, without a tick."""
        for _ in range(round(seconds / self.width)):
            self.now += self.width
            samples = self.cluster.scrape(self.now - 0.4 * self.width, self.width)
            if samples:
                self.prometheus.write(samples)

    def run(self, seconds: float, every: float = WIDTH) -> list[Outcome]:
        """Let time pass with a tick every so many seconds; return what was committed."""
        done: list[Outcome] = []
        for _ in range(round(seconds / every)):
            self.pass_time(every)
            done += committed(self.tick())
        return done

    def until(self, reached: Callable[[], bool], within: float, every: float = WIDTH) -> list[Outcome]:
        """Run until something holds; fail when it does not within so many seconds."""
        done: list[Outcome] = []
        end = self.now + within
        while not reached():
            assert self.now < end, f"not within {within:.0f} s; last: {self.said('credit')}"
            done += self.run(every, every)
        return done

    def tick(self) -> Tick:
        """One tick of the controller."""
        self.ticks.append(self.controller.tick())
        return self.ticks[-1]

    def outcome(self, app: str) -> Outcome:
        """What the last tick made of a release."""
        return next(one for one in self.ticks[-1].outcomes if one.key == Key("prod", app))

    def said(self, app: str) -> str:
        """The last sentence about a release."""
        found = [one.decision.reason for one in self.ticks[-1].outcomes if one.key.app == app] if self.ticks else []
        return found[0] if found else "at rest"

    def seen(self, app: str = "credit", controller: Controller | None = None, **moment: float) -> Outcome:
        """Look without acting, at the clock's time or `at` another; return what is seen of a release."""
        self.now = moment.get("at", self.now)
        tick = (controller or self.controller).tick(act=False)
        assert not tick.hold_all
        assert not tick.troubles
        return next(one for one in tick.outcomes if one.key == Key("prod", app))

    def start(self, app: str, version: str, **more: Any) -> str:
        """Merge the pull request that starts a canary, now."""
        return self.repository.start(app, version, self.now, **more)


def committed(tick: Tick) -> list[Outcome]:
    """The outcomes of a tick that became commits."""
    return [one for one in tick.outcomes if one.commit]
