"""All parts of the loop, started in order and stopped together.

git remote -> stand-in for Argo CD -> kustomize -> stand-in for Seldon -> model servers
    ^                                                    | weights
    |                                                    v
rollout run <- Prometheus <- scrape, relabel <-------- Envoy <- load
"""

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.argocd import STAND_IN, ArgoCD
from lab.argocd_api import Api
from lab.cluster import Cluster
from lab.envoy import Envoy
from lab.manifests import admit
from lab.people import People, bare_remote
from lab.pods import Command, Nodes, mlserver
from lab.processes import LabError, Process, Processes, answers, free_port, until
from lab.prometheus import Prometheus
from lab.render import Checkout
from lab.seldon import Seldon
from model.signature import make_keys

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
STAND_INS = {
    "Argo CD": STAND_IN,
    "Seldon's operator, the kubelet, the model initializer": "lab/seldon.py and lab/pods.py; one process per predictor",
    "Seldon's executor (metrics)": "Envoy's counters, relabelled at scrape by lab/prometheus.py",
    "the API server": "lab/cluster.py, objects in memory",
}


@dataclass
class World:
    """One lab in one folder."""

    folder: Path
    source: Path = ROOT
    environments: tuple[str, ...] = ("prod",)
    command: Command = mlserver
    heal_after: float = 5.0
    with_controller: bool = True
    processes: Processes = field(init=False)
    loads: dict[str, Process] = field(default_factory=dict)
    controller: Process | None = None
    controller_port: int = field(default_factory=free_port)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire the parts; nothing runs yet."""
        self.folder = self.folder.resolve()
        self.remote = self.folder / "repo.git"
        self.store, self.keys = self.folder / "models", self.folder / "work" / "keys"
        self.logs = self.folder / "logs"
        self.processes = Processes(self.logs)
        self.people = People(self.remote, self.folder / "work" / "person", BRANCH)
        self.cluster = Cluster(admission=[admit])
        self.envoy = Envoy(self.folder / "work" / "envoy", self.processes)
        self.nodes = Nodes(self.folder / "work" / "pods", self.processes, self.store, self.command)
        self.seldon = Seldon(self.cluster, self.envoy, self.nodes)
        checkout = Checkout(str(self.remote), BRANCH, self.folder / "work" / "argocd")
        self.argocd = ArgoCD(checkout, self.cluster, frozenset(self.environments), heal_after=self.heal_after)
        self.api = Api(self.argocd)
        own = f"127.0.0.1:{self.controller_port}" if self.with_controller else None
        self.prometheus = Prometheus(self.folder / "work" / "prometheus", self.processes, self.envoy.admin, own)

    async def __aenter__(self) -> Self:
        """Make the remote and start what does not depend on its content."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.store.mkdir()
        make_keys(self.keys)
        self._log_to(self.logs / "stand-ins.log")
        try:
            await bare_remote(self.source, self.remote, BRANCH)
            await self.people.clone()
            await asyncio.gather(self.envoy.start(), self.prometheus.start(), self.api.up())
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything that was started."""
        await self._stop()

    def serve(self) -> None:
        """Begin to sync and to serve what the remote says."""
        self._tasks += [asyncio.create_task(self.argocd.run()), asyncio.create_task(self.seldon.run())]

    def check(self) -> None:
        """Raise what a stand-in died of."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def healthy(self, *names: str, within: float = 60) -> None:
        """Wait until Applications are Synced and Healthy at the remote's head."""

        def reported() -> str:
            items = [self.api.item(known)["status"] for name, known in self.argocd.applications.items() if name in names]
            return "; ".join(f"{item['sync']} {item['health']} {item['conditions']}" for item in items)

        async def probe() -> bool:
            self.check()
            head = await self.argocd.checkout.head()
            found = [self.argocd.applications.get(name) for name in names]
            return all(
                known is not None
                and known.revision == head
                and known.sync_status(self.cluster) == "Synced"
                and known.health[0] == "Healthy"
                for known in found
            )

        try:
            await until(f"{', '.join(names)}: Synced and Healthy", probe, within)
        except LabError as late:
            raise LabError(f"{late}: {reported()}") from late

    async def start_controller(self, *more: str) -> Process:
        """`rollout run`, the same command as in production."""
        argv = [str(Path(sys.executable).parent / "rollout"), "run", "--repo", str(self.remote), "--branch", BRANCH]
        for environment in self.environments:
            argv += ["--env", environment]
        argv += ["--prometheus", self.prometheus.url, "--argocd", self.api.url, "--interval", "1s", "--batch", "1s"]
        argv += ["--listen", f"127.0.0.1:{self.controller_port}", "--cache", str(self.folder / "work" / "controller")]
        self.controller = self.processes.start("controller", [*argv, *more])
        health = f"http://127.0.0.1:{self.controller_port}/healthz"
        await until("the controller is up", lambda: answers(health), 20, self.controller)
        return self.controller

    def start_load(self, name: str, namespace: str, deployment: str, bodies: Sequence[str], rate: float) -> Process:
        """Questions for one model, at a steady rate."""
        url = f"{self.envoy.url}/seldon/{namespace}/{deployment}/v2/models/model/infer"
        self.loads[name] = start_load(self.processes, self.folder / "work", name, url, bodies, rate)
        return self.loads[name]

    async def stop_loads(self) -> None:
        """Let the clients finish what is under way."""
        await asyncio.gather(*(self.processes.stop(load) for load in self.loads.values()))

    async def _stop(self) -> None:
        for task in [*self._tasks, *self.seldon.leaving]:
            task.cancel()
        await self.stop_loads()
        for live in self.seldon.deployed.values():
            for predictor in live.predictors.values():
                for pod in (predictor.serving, predictor.coming):
                    if pod is not None:
                        pod.task.cancel()
        await self.api.down()
        await self.processes.stop_all()

    def _log_to(self, path: Path) -> None:
        handler = logging.FileHandler(path)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logging.getLogger("argocd").handlers[:] = [handler]
        logging.getLogger("argocd").setLevel(logging.INFO)
        logging.getLogger("argocd").propagate = False


def start_load(processes: Processes, work: Path, name: str, url: str, bodies: Sequence[str], rate: float) -> Process:
    """A client of one model, as a process; what it counts goes to logs/load-<name>.jsonl."""
    questions = work / f"{name}.jsonl"
    questions.write_text("".join(f"{body}\n" for body in bodies))
    out = processes.logs / f"load-{name}.jsonl"
    argv = [sys.executable, "-m", "lab.load", "--url", url, "--bodies", str(questions), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return processes.start(f"load-{name}", [*argv, "--rate", f"{rate:g}"], env=environment)
