"""Argo CD as plain processes: repo-server, application-controller, applicationset-controller, server, notifications, and redis.

Its settings are those of argocd/install, rendered on the upstream manifests that were built with it: definitions, ConfigMaps,
ServiceAccounts and roles are applied, and each process gets the environment that its container has there. Each runs with its
own ServiceAccount's token. What is not applied: its Deployments (these processes are in their place), Services, policies.

Two ports are not on loopback alone: the metrics ports of the application controller and of notifications, which have no flag
for it.
"""

import asyncio
import base64
import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import tools
from lab.controlplane import api as kube
from lab.controlplane import build
from lab.controlplane.api import Api, Object
from lab.controlplane.kubernetes import GO, Kubernetes, kubeconfig, private
from lab.processes import LabError, Process, Processes, answers, free_port, until
from lab.render import command

NAMESPACE = "argocd"
UPSTREAM = "https://github.com/argoproj/argo-cd//manifests/cluster-install?ref=v3.2.11"
APPLIED = {
    *("Namespace", "CustomResourceDefinition", "ConfigMap", "Secret", "ServiceAccount"),
    *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
}
COMPONENTS = ("repo-server", "application-controller", "applicationset-controller", "server", "notifications-controller")
BINARY = {"notifications-controller": "argocd-notifications"}  # by what name the one program plays a component, where it differs


async def rendered(install: Path, work: Path) -> list[Object]:
    """argocd/install with the upstream manifests of the build in place of their address."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(install, work)
    upstream = build.files("argo-cd") / "cluster-install"
    text = (work / "kustomization.yaml").read_text()
    if UPSTREAM not in text:
        raise LabError(f"{install}/kustomization.yaml should name {UPSTREAM}, which is what was built")
    (work / "kustomization.yaml").write_text(text.replace(UPSTREAM, os.path.relpath(upstream, work)))
    code, out, error = await command(build.program("kustomize"), "build", str(work))
    if code != 0:
        raise LabError(f"kustomize build {install}: {error.strip()}")
    return [item for item in yaml.safe_load_all(out) if item]


def environment(manifests: list[Object], component: str) -> dict[str, str]:
    """What a component's container has in its environment, out of the ConfigMaps."""
    maps = {item["metadata"]["name"]: item.get("data") or {} for item in manifests if item["kind"] == "ConfigMap"}
    found = {}
    for item in manifests:
        if item["kind"] in ("Deployment", "StatefulSet") and item["metadata"]["name"] == f"argocd-{component}":
            for entry in item["spec"]["template"]["spec"]["containers"][0].get("env") or []:
                reference = entry.get("valueFrom", {}).get("configMapKeyRef")
                if reference and reference["key"] in maps.get(reference["name"], {}):
                    found[entry["name"]] = str(maps[reference["name"]][reference["key"]])
    return found


@dataclass
class ArgoCD:
    """The processes and their folder. sockets: another one whose path is short, as a socket's must be."""

    folder: Path
    sockets: Path
    processes: Processes
    kubernetes: Kubernetes
    api: Api
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, Process] = field(default_factory=dict)
    manifests: list[Object] = field(default_factory=list)

    def port(self, name: str) -> int:
        """A port of ours by name, always the same."""
        return self.ports.setdefault(name, free_port())

    @property
    def url(self) -> str:
        """The server."""
        return f"http://127.0.0.1:{self.port('server')}"

    @property
    def hooks(self) -> list[str]:
        """Where a git server sends its webhook."""
        return [f"{self.url}/api/webhook", f"http://127.0.0.1:{self.port('webhook')}/api/webhook"]

    async def install(self, install: Path) -> None:
        """Apply what argocd/install says, but for the Deployments."""
        self.manifests = await rendered(install, self.folder / "install")
        chosen = [item for item in self.manifests if item["kind"] in APPLIED]
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.api.apply_all([namespace, *chosen], NAMESPACE)
        secret = {"server.secretkey": _encoded(secrets.token_hex(32))}
        await self.api.patch(kube.SECRETS, NAMESPACE, "argocd-secret", {"data": secret})

    async def start(self) -> None:
        """Start redis and all components; ready when they answer."""
        redis = self.port("redis")
        words = ["--port", str(redis), "--bind", "127.0.0.1", "--appendonly", "no", "--save", "", "--dir", str(self.folder)]
        libraries = {**os.environ, "LD_LIBRARY_PATH": str(tools.CACHE / "debian/usr/lib/x86_64-linux-gnu")}
        argv = [tools.found("redis-server") or "redis-server", *words]
        self.running["redis"] = self.processes.start("redis", argv, env=libraries)
        for name in ("tls", "ssh", "gnupg", "plugins", "reposerver"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "ssh" / "ssh_known_hosts").touch()
        for component in COMPONENTS:
            await self.start_one(component)
        await self.ready()

    async def ready(self) -> None:
        """Wait until the server and the repo-server answer."""
        await until("argocd-repo-server answers", _listens(self.port("repo-server")), 60, self.running["repo-server"])
        await until("argocd-server answers", lambda: answers(f"{self.url}/healthz"), 60, self.running["server"])

    def flags(self, component: str) -> list[str]:
        """What differs from upstream's own command: addresses."""
        local, metrics = "127.0.0.1", self.port(f"{component} metrics")
        redis, repo = f"--redis={local}:{self.port('redis')}", f"{local}:{self.port('repo-server')}"
        return {
            "repo-server": [
                *(redis, f"--address={local}", f"--port={self.port('repo-server')}"),
                *(f"--metrics-address={local}", f"--metrics-port={metrics}"),
            ],
            "application-controller": [redis, f"--repo-server={repo}", f"--metrics-port={metrics}"],
            "applicationset-controller": [
                *(f"--argocd-repo-server={repo}", f"--metrics-addr={local}:{metrics}"),
                *(f"--probe-addr={local}:{self.port('probe')}", f"--webhook-addr={local}:{self.port('webhook')}"),
            ],
            "server": [
                *(redis, f"--repo-server={repo}", f"--address={local}", f"--port={self.port('server')}"),
                *(f"--metrics-port={metrics}", "--insecure"),
            ],
            "notifications-controller": [f"--argocd-repo-server={repo}", f"--metrics-port={metrics}"],
        }[component]

    async def start_one(self, component: str) -> None:
        """Start one component with its own ServiceAccount's token."""
        token = self.folder / "tokens" / component
        private(token, await self.api.token_of(NAMESPACE, f"argocd-{component}"))
        own = kubeconfig(self.folder / f"{component}.yaml", self.kubernetes.url, self.kubernetes.ca, token, NAMESPACE)
        env = {
            **environment(self.manifests, component),
            **GO,
            "PATH": f"{build.BIN}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "reposerver"),
            "HOSTNAME": "c-1",
            "KUBECONFIG": str(own),
            "ARGOCD_BINARY_NAME": BINARY.get(component, f"argocd-{component}"),
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_ASK_PASS_SOCK": str(self.sockets / "ask-pass"),  # its default is one path for the whole machine
            "ARGOCD_TLS_DATA_PATH": str(self.folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self.folder / "ssh"),
            "ARGOCD_GNUPGHOME": str(self.folder / "gnupg"),
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_PLUGINSOCKFILEPATH": str(self.folder / "plugins"),
        }
        (self.folder / "home").mkdir(exist_ok=True)
        self.running[component] = self.processes.start(
            f"argocd-{component}", [build.program("argocd"), *self.flags(component)], env=env, cwd=self.folder
        )

    async def applications(self) -> dict[str, Object]:
        """Every Application, by name."""
        return {item["metadata"]["name"]: item for item in await self.api.list(kube.APPLICATIONS, NAMESPACE)}

    async def settled(self, *names: str, revision: str = "", within: float = 120) -> dict[str, Object]:
        """Wait until Applications are Synced and Healthy, with no sync under way; at a revision, if one is named."""
        found: dict[str, Object] = {}

        async def probe() -> bool:
            found.clear()
            looks = await asyncio.gather(*(self.api.get(kube.APPLICATIONS, NAMESPACE, name) for name in names))
            found.update((name, one) for name, one in zip(names, looks, strict=True) if one)
            return all(name in found and fine(found[name], revision) for name in names)

        try:
            await until(f"{', '.join(names)}: Synced and Healthy", probe, within, every=0.3)
        except LabError as late:
            raise LabError(f"{late}\n" + "\n".join(brief(found[name]) for name in names if name in found)) from late
        return found

    async def refresh(self, name: str) -> None:
        """Have an Application compared now."""
        change = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
        await self.api.patch(kube.APPLICATIONS, NAMESPACE, name, change)


def fine(application: Object, revision: str = "") -> bool:
    """Synced, Healthy, no operation under way."""
    status = application.get("status") or {}
    sync, health = status.get("sync") or {}, status.get("health") or {}
    return (
        sync.get("status") == "Synced"
        and health.get("status") == "Healthy"
        and (status.get("operationState") or {}).get("phase", "Succeeded") == "Succeeded"
        and (not revision or sync.get("revision") == revision)
    )


def brief(application: Object) -> str:
    """One line about an Application."""
    status = application.get("status") or {}
    sync, health, operation = (status.get(name) or {} for name in ("sync", "health", "operationState"))
    conditions = "; ".join(item["message"][:300] for item in status.get("conditions") or [])
    sick = [
        f"{item['kind']}/{item['name']} {item.get('status')} {(item.get('health') or {}).get('status')}"
        f" {(item.get('health') or {}).get('message', '')}"
        for item in status.get("resources") or []
        if item.get("status") != "Synced" or (item.get("health") or {}).get("status", "Healthy") != "Healthy"
    ]
    return (
        f"{application['metadata']['name']}: {sync.get('status')} at {sync.get('revision', '')[:10]}, {health.get('status')}, "
        f"operation {operation.get('phase')} {operation.get('message', '')[:400]} {conditions} {sick}"
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _listens(port: int) -> Any:
    async def probe() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    return probe
