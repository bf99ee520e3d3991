"""All of it: the control plane, the git remote, the stand-ins, Envoy and Prometheus; started in order, stopped together.

    git remote --webhook--> Argo CD --> API server <-- operator, kubelet (stand-ins) --> model servers
        ^                                                    | VirtualService, ready Pods
        |                                                    v
    the controller's Pod  <-- Prometheus <-- scrape -------- Envoy <-- clients

The repository is set up by the commands of docs/on-your-cluster.md, run as they stand there. Besides, to be done in minutes, the
controller looks every second and asks for five seconds of health instead of ten, the plans have short dwells, and the releases
name the models that were trained here.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml

from lab import models, tools
from lab.controlplane import api as kube
from lab.controlplane import build
from lab.controlplane.api import Api, Object
from lab.controlplane.argocd import ArgoCD
from lab.controlplane.gateway import Gateway
from lab.controlplane.kubelet import Kubelet
from lab.controlplane.kubernetes import Kubernetes, kubeconfig, private
from lab.controlplane.letters import Letters
from lab.controlplane.monitors import Monitors
from lab.controlplane.operator import Operator
from lab.controlplane.remote import Remote
from lab.controlplane.seldon import Seldon
from lab.envoy import Envoy
from lab.models import Trained, Wanted
from lab.people import People, bare_remote
from lab.pods import Command, Nodes, PodSpec, mlserver
from lab.processes import LabError, Process, Processes
from lab.prometheus import Prometheus
from lab.render import git
from lab.world import ROOT, start_load
from model.signature import make_keys

BRANCH = "main"
PAGE = "docs/on-your-cluster.md"
SETTINGS = "base/rollout-controller/settings.env"
LOGGERS = ("seldon", "kubelet")
CONTROLLER = {"INTERVAL": "1s", "BATCH": "1s", "SETTLE": "5s"}
TINY = ROOT / "tests" / "lab" / "tiny_model.py"


def server_of(spec: PodSpec, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """MLServer; for a model that is only a behaviour, the tiny server that behaves so."""
    argv, environment = mlserver(spec, model, port)
    if (model / "behaviour.json").exists():
        argv = [argv[0].replace("mlserver", "python"), str(TINY)]
    return argv, environment


@dataclass
class ControlPlane:
    """One world in one folder."""

    folder: Path
    source: Path = ROOT
    command: Command = server_of
    seldon: Seldon = field(default_factory=Seldon)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    loads: dict[str, Process] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # what the page's commands read

    def __post_init__(self) -> None:
        """Wire the parts; nothing runs yet."""
        self.folder = self.folder.resolve()
        self.logs, self.work = self.folder / "logs", self.folder / "work"
        self.store, self.keys = self.folder / "models", self.work / "keys"
        self.processes = Processes(self.logs)
        self.remote = Remote(self.folder / "models.git", BRANCH)
        self.kubernetes = Kubernetes(self.work / "kubernetes", self.processes)
        self.envoy = Envoy(self.work / "envoy", self.processes)
        self.letters = Letters()
        targets = self.work / "podmonitors.json"
        self.prometheus = Prometheus(self.work / "prometheus", self.processes, self.envoy.admin, monitors=targets)
        self.nodes = Nodes(self.work / "pods", self.processes, self.store, self.command)
        person = f"http://person@127.0.0.1:{self.remote.port}/{self.remote.repository.name}"
        self.people = People(person, self.work / "person", BRANCH)
        self.stack = contextlib.AsyncExitStack()
        self.operator: Process | None = None  # the one that SELDON_OPERATOR names

    async def __aenter__(self) -> Self:
        """Start everything; the remote serves the repository, and nothing is applied from it yet."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.logs, self.work, self.store):
            folder.mkdir(parents=True)
        make_keys(self.keys)
        self._log_to(self.logs / "stand-ins.log")
        try:
            await asyncio.gather(
                self._git(), self.letters.up(), self.kubernetes.start(), self.envoy.start(), self.prometheus.start()
            )
            self.admin: Api = await self.stack.enter_async_context(self.kubernetes.api("admin"))
            own: Api = await self.stack.enter_async_context(self.kubernetes.api("stand-in"))
            sockets = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="argocd-")))
            self.argocd = ArgoCD(self.work / "argocd", sockets, self.processes, self.kubernetes, self.admin)
            self.remote.hooks = self.argocd.hooks
            await self.admin.apply_all(definitions(self.seldon))
            await self.argocd.install(self.people.folder / "argocd" / "install")
            await self._secrets()
            await self.argocd.start()
            self.gateway = Gateway(own, self.envoy)
            names = {
                "https://kubernetes.default.svc": self.kubernetes.url,
                "http://prometheus-operated.monitoring.svc:9090": self.prometheus.url,
                "http://istio-ingressgateway.istio-system": self.envoy.url,
            }
            self.kubelet = Kubelet(own, self.nodes, self.gateway, names, str(ROOT))
            monitors = Monitors(own, self.kubelet, self.work / "podmonitors.json")
            kubectl = kubeconfig(self.work / "operator.yaml", self.kubernetes.url, self.kubernetes.ca, own.token)
            self.operator = self.seldon.start(self.processes, kubectl)
            parts = (self.gateway, self.kubelet, monitors, *(() if self.operator else (Operator(own),)))
            self.tasks += [asyncio.create_task(part.run()) for part in parts]
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything that was started."""
        await self.stop()

    async def stop(self) -> None:
        """Tasks, pods, processes, servers."""
        for load in self.loads.values():
            await self.processes.stop(load)
        leaving = list(self.kubelet.leaving) if hasattr(self, "kubelet") else []
        running = list(self.kubelet.groups.values()) if hasattr(self, "kubelet") else []
        pods = [group.process.task for group in running if group.process]
        for task in [*self.tasks, *leaving, *pods]:
            task.cancel()
        await asyncio.gather(*self.tasks, *leaving, *pods, return_exceptions=True)
        await self.remote.down()
        await self.letters.down()
        await self.processes.stop_all()
        await self.stack.aclose()

    def check(self) -> None:
        """Raise what a stand-in died of, or say which process ended."""
        for task in self.tasks:
            if task.done():
                task.result()
        if self.operator and not self.operator.running:
            raise LabError(f"SELDON_OPERATOR ended with {self.operator.popen.returncode}\n{self.operator.tail()}")

    async def _git(self) -> None:
        """The remote with its users, and a person's clone whose password is in a private file."""
        await bare_remote(self.source, self.remote.repository, BRANCH)
        for name, push in (("person", True), ("bot", True), ("rollout", True), ("argocd", False)):
            self.remote.user(name, push=push)
        known = [self.remote.users[name] for name in ("person", "bot")]
        lines = [f"http://{user.name}:{user.password}@127.0.0.1:{self.remote.port}\n" for user in known]
        passwords = private(self.work / "git-passwords", "".join(lines))
        config = self.work / "gitconfig"
        config.write_text(f"[credential]\n\thelper = store --file={passwords}\n")
        os.environ["GIT_CONFIG_GLOBAL"] = str(config)
        await self.remote.up()
        await self.people.clone()
        await self.step("addresses")
        settings = (await self._settings()).splitlines(keepends=True)
        changed = [
            f"{name}={CONTROLLER[name]}\n" if (name := line.partition("=")[0]) in CONTROLLER else line for line in settings
        ]
        await self.people.commit("The controller looks every second", {SETTINGS: "".join(changed)})

    async def _settings(self) -> str:
        await self.people.fresh()
        return (self.people.folder / SETTINGS).read_text()

    async def _secrets(self) -> None:
        """What the page's commands read: who may do what at the git remote, and how to reach the API server."""
        for variable, name in (("READER", "argocd"), ("WRITER", "rollout")):
            user, folder = self.remote.users[name], self.work / variable.lower()
            private(folder / "username", user.name)
            private(folder / "password", user.password)
            self.variables[variable] = str(folder)
        folder = self.work / "people"
        private(folder / "url", self.letters.url)
        private(folder / "token", self.letters.token)
        self.variables["PEOPLE"] = str(folder)
        self.variables["WEBHOOK"] = str(private(self.work / "webhook", self.remote.hook_secret))
        admin = kubeconfig(self.work / "admin.yaml", self.kubernetes.url, self.kubernetes.ca, self.kubernetes.token("admin"))
        self.variables["KUBECONFIG"] = str(admin)
        self.variables["SIGNING"] = str(self.work / "signing-key")
        await self.step("secrets")
        await self.people.fresh()
        await self.step("signing")

    async def step(self, name: str) -> str:
        """Run a marked command of docs/on-your-cluster.md, as it stands there, in the person's clone; what it said."""
        page = (self.people.folder / PAGE).read_text()
        found = re.search(rf"<!-- step: {name} -->\n```sh\n(.*?)```", page, re.S)
        if found is None:
            raise LabError(f"{PAGE} has no step {name}")
        environment = {**os.environ, **self.variables, "REPO": self.remote.url, "BUCKET": self.store.name}
        environment["PATH"] = f"{Path(tools.kubectl()).parent}:{environment['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", found[1]),
            cwd=self.people.folder,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise LabError(f"{PAGE}, step {name}, ended with {process.returncode}: {said.decode()[-2000:]}")
        return said.decode()

    async def apply_root(self) -> None:
        """The one thing that is applied by hand."""
        await self.people.fresh()
        if taken := await self.step("names"):
            raise LabError(f"{PAGE}, step names, found {taken}")
        await self.step("root")

    async def train(self, *wanted: Wanted) -> list[Trained]:
        """Real models into the store."""
        return await models.train_all(wanted, self.store, self.keys)

    def behave(self, app: str, version: str, **behaviour: object) -> None:
        """A model that is only a behaviour (tests/lab/tiny_model.py)."""
        folder = self.store / app / version
        folder.mkdir(parents=True)
        (folder / "behaviour.json").write_text(json.dumps(behaviour))

    def load(self, name: str, namespace: str, deployment: str, bodies: Sequence[str], rate: float) -> Process:
        """A client of one model."""
        url = f"{self.envoy.url}/seldon/{namespace}/{deployment}/v2/models/model/infer"
        self.loads[name] = start_load(self.processes, self.work, name, url, bodies, rate)
        return self.loads[name]

    def weights(self, namespace: str, app: str) -> dict[str, int]:
        """What Envoy was told, in percent: predictor/version -> share."""
        routed = self.envoy.routes.get((namespace, app), ())
        whole = sum(weight for _, weight in routed) or 1
        found: dict[str, int] = {}
        for backend, weight in routed:
            name = f"{backend.predictor}/{backend.version}"
            found[name] = found.get(name, 0) + round(100 * weight / whole)
        return {name: share for name, share in found.items() if share}

    async def dump(self, folder: Path) -> None:
        """What the cluster and git say, for whoever reads a failure."""
        folder.mkdir(parents=True, exist_ok=True)
        kinds = {
            "applications": kube.APPLICATIONS,
            "applicationsets": kube.APPLICATION_SETS,
            "seldondeployments": kube.SELDON_DEPLOYMENTS,
            "deployments": kube.DEPLOYMENTS,
            "pods": kube.PODS,
            "virtualservices": kube.VIRTUAL_SERVICES,
        }
        for name, kind in kinds.items():
            with contextlib.suppress(Exception):
                (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(await self.admin.list(kind)))
        with contextlib.suppress(Exception):
            (folder / "git.log").write_text(await git("log", "--stat", BRANCH, cwd=self.remote.repository))

    def _log_to(self, path: Path) -> None:
        handler = logging.FileHandler(path)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.handlers[:] = [handler]
            logger.setLevel(logging.INFO)
            logger.propagate = False


def documents(path: Path) -> list[Object]:
    """A file's manifests."""
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def definitions(seldon: Seldon) -> list[Object]:
    """Istio's and the Prometheus operator's own CRDs, and Seldon's, or the one that stands in for it."""
    istio = documents(build.files("istio") / "customresourcedefinitions.gen.yaml")
    wanted = ("virtualservices.networking.istio.io", "destinationrules.networking.istio.io")
    found = [item for item in istio if item["metadata"]["name"] in wanted]
    found += documents(build.files("prometheus-operator") / "monitoring.coreos.com_podmonitors.yaml")
    return found + seldon.definitions()
