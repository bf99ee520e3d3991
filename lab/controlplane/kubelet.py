"""Stands in for the kubelet, and says so: runs on this machine what Pods would run, and patches their status.

- No image is run. A model's Pod is the lab's model server (lab/pods.py: fetches the model, is probed, crash-loops); any other
  Pod's first container runs its own command in this virtual environment.
- The Pods of one ReplicaSet share one process: all are ready when it is.
- Instead of a Pod's own network and mounts: every declared port becomes a free port on 127.0.0.1, every mount a folder of the
  Pod's, every Service name in `names` a loopback URL; they are written into the command's words and environment.
- Secrets, ConfigMaps, downward fields and the ServiceAccount's token (asked of the API server, bound to that account) are real.
"""

import asyncio
import base64
import datetime
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.controlplane import api as kube
from lab.controlplane.api import Api, ApiError, Object
from lab.controlplane.gateway import Gateway, Group
from lab.controlplane.kubernetes import private
from lab.controlplane.operator import predictor_of
from lab.controlplane.workqueue import WorkQueue
from lab.envoy import Backend
from lab.pods import Nodes, Pod, PodSpec
from lab.processes import LabError, answers, free_port

STAND_IN = "lab/controlplane/kubelet.py stands in for the kubelet"
log = logging.getLogger("kubelet")


@dataclass(frozen=True)
class Workload:
    """A container's command as it can run here. probe: a URL, empty when there is none; ports: what named ports have become."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    probe: str
    ports: tuple[tuple[str, int], ...] = ()


class Program(Pod):
    """A Pod that is no model: its first container's command."""

    def __init__(self, nodes: Nodes, spec: PodSpec, name: str, changed: Callable[[], None], workload: Workload) -> None:
        self.workload = workload
        super().__init__(nodes, spec, name, changed)

    async def _initialise(self) -> str | None:
        return None  # its mounts were made before

    def _command(self) -> tuple[list[str], dict[str, str]]:
        return list(self.workload.argv), dict(self.workload.env)

    async def _probe(self) -> bool:
        return await answers(self.workload.probe) if self.workload.probe else True


def rewritten(text: str, table: Mapping[str, str]) -> str:
    """Replace every known path, address or name, in one pass, at word boundaries."""
    if not table:
        return text
    known = "|".join(re.escape(word) for word in sorted(table, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({known})(?![\w-])", lambda found: table[found[1]], text)


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' $(NAME)."""
    return re.sub(r"\$\(([A-Za-z_]\w*)\)", lambda found: env.get(found[1], found[0]), text)


def model_spec(pod: Object, predictor: Object, bucket: Mapping[str, str]) -> PodSpec:
    """A model's Pod, as the lab's model servers want it. bucket: what its initializer is told, where a Secret names one."""
    graph = predictor["graph"]
    container = next(item for item in pod["spec"]["containers"] if item["name"] == graph["name"])
    env = {item["name"]: str(item["value"]) for item in container.get("env") or [] if "value" in item}
    fetch = [item["args"] for item in pod["spec"].get("initContainers") or [] if item["name"].endswith("-model-initializer")]
    model = env.get("MLSERVER_MODEL_NAME") or graph["name"]
    probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
    return PodSpec(
        namespace=pod["metadata"]["namespace"],
        deployment=pod["metadata"]["labels"]["seldon-deployment-id"],
        predictor=predictor["name"],
        version=str((predictor.get("annotations") or {}).get("version", "")),
        model_name=model,
        model_uri=fetch[0][0] if fetch else "",
        image=container["image"],
        env=tuple(sorted(env.items())),
        probe_path=probe.get("path") or f"/v2/models/{model}/ready",
        digest=_owner(pod),
        bucket=tuple(sorted(bucket.items())),
    )


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{"name": pod["metadata"]["name"]}]
    name: str = owners[0]["name"]
    return name


def status(pod: Object, running: Pod | None, reason: str) -> Object:
    """A Pod's status, as the kubelet would write it."""
    ready = running is not None and running.ready
    flag, since = ("True" if ready else "False"), pod["metadata"]["creationTimestamp"]
    old = {item["type"]: item for item in pod.get("status", {}).get("conditions") or []}
    names = ("Initialized", "PodScheduled", "ContainersReady", "Ready")
    conditions = []
    for name in names:
        value = flag if name in names[2:] else "True"
        before = old.get(name, {})
        moved = before.get("lastTransitionTime", since) if before.get("status") == value else now_text()
        conditions.append({"type": name, "status": value, "lastTransitionTime": moved})
    short, _, message = reason.partition(": ")
    waiting = {"waiting": {"reason": short.replace(" ", "") or "ContainerCreating", "message": message or reason}}
    alive = ready or reason in ("Ready", "not ready")
    statuses = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": ready,
            "started": ready,
            "restartCount": running.restarts if running else 0,
            "state": {"running": {"startedAt": since}} if alive else waiting,
        }
        for container in pod["spec"]["containers"]
    ]
    phase = "Running" if alive or (running and running.restarts) else "Pending"
    return {
        "phase": phase,
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "startTime": since,
        "conditions": conditions,
        "containerStatuses": statuses,
    }


def now_text() -> str:
    """The time as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Running:
    """The Pods of one ReplicaSet and their process."""

    name: str
    pods: dict[str, Object] = field(default_factory=dict)
    process: Pod | None = None
    backend: Backend | None = None
    trouble: str = ""
    said: dict[str, tuple[Any, ...]] = field(default_factory=dict)


class Kubelet:
    """Runs every Pod of the cluster."""

    def __init__(self, api: Api, nodes: Nodes, gateway: Gateway, names: Mapping[str, str], here: str) -> None:
        self.api, self.nodes, self.gateway, self.names, self.here = api, nodes, gateway, dict(names), here
        self.groups: dict[tuple[str, str], Running] = {}
        self.queue = WorkQueue(self.look, log)
        self.pods = kube.Cache(kube.PODS, lambda pod: self.queue.add((pod["metadata"]["namespace"], _owner(pod))))
        self.leaving: set[asyncio.Task[None]] = set()
        self.born = 0

    async def run(self) -> None:
        """Follow the Pods until cancelled."""
        log.info("%s", STAND_IN)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pods.run(self.api))
            tasks.create_task(self.queue.run())

    async def look(self, key: tuple[str, str]) -> None:
        """One look at one ReplicaSet's Pods."""
        pods = {
            name: pod
            for (namespace, name), pod in self.pods.objects.items()
            if (namespace, _owner(pod)) == key and not pod["metadata"].get("deletionTimestamp")
        }
        if not pods:
            if key in self.groups:
                self._retire(self.groups.pop(key))
            return
        running = self.groups.setdefault(key, Running(key[1]))
        running.pods = pods
        try:
            if running.process is None:
                await self._begin(running, key)
        except LabError as error:
            running.trouble = f"CreateContainerConfigError: {error}"
            await self._say(running)
            raise
        await self._say(running)

    async def _begin(self, running: Running, key: tuple[str, str]) -> None:
        """Start what the Pods run, under a name of its own: Pods of the same ReplicaSet that went before may still be leaving."""
        pod = next(iter(running.pods.values()))
        self.born += 1
        running.name = f"{key[1]}-{self.born}"

        def changed() -> None:
            self.queue.add(key)

        if predictor := predictor_of(pod):
            spec = model_spec(pod, predictor, await self._bucket(pod))
            running.process = Pod(self.nodes, spec, running.name, changed)
            running.backend = Backend(
                spec.namespace, spec.deployment, spec.predictor, spec.version, running.name, running.process.port
            )
        else:
            workload = await self._workload(pod, self.nodes.folder / pod["metadata"]["namespace"] / running.name)
            spec = PodSpec(pod["metadata"]["namespace"], "", "", "", "", "", "", (), "", running.name)
            running.process = Program(self.nodes, spec, running.name, changed, workload)

    async def _bucket(self, pod: Object) -> dict[str, str]:
        """The Secret of the model initializer; empty where there is none, and the lab's folder is the store."""
        namespace = pod["metadata"]["namespace"]
        found: dict[str, str] = {}
        for container in pod["spec"].get("initContainers") or []:
            for source in container.get("envFrom") or []:
                found |= await self._held(kube.SECRETS, namespace, {**source["secretRef"], "optional": True})
        return found

    async def _say(self, running: Running) -> None:
        process = running.process
        reason = process.reason if process else running.trouble or "ContainerCreating"
        ready = process is not None and process.ready
        if running.backend is not None:
            labels = tuple(sorted(next(iter(running.pods.values()))["metadata"]["labels"].items()))
            self.gateway.show(Group(running.backend, labels, len(running.pods) if ready else 0))
        for name, pod in running.pods.items():
            now = (ready, reason, process.restarts if process else 0)
            if running.said.get(name) == now and pod.get("status", {}).get("conditions"):
                continue
            running.said[name] = now
            try:
                await self.api.patch(
                    kube.PODS, pod["metadata"]["namespace"], name, {"status": status(pod, process, reason)}, "status"
                )
            except ApiError as error:
                if error.status != 404:
                    running.said.pop(name)
                    raise

    def _retire(self, running: Running) -> None:
        async def leave() -> None:
            if running.backend is not None:
                await self.gateway.leave(running.backend)
            if running.process is not None:
                await running.process.stop()

        task = asyncio.create_task(leave(), name=f"retire {running.name}")
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)

    async def _workload(self, pod: Object, folder: Path) -> Workload:
        """What the Pod's first container runs, with its mounts made and its words rewritten."""
        container, namespace = pod["spec"]["containers"][0], pod["metadata"]["namespace"]
        table = dict(self.names)
        for mount in container.get("volumeMounts") or []:
            volume = next(item for item in pod["spec"]["volumes"] if item["name"] == mount["name"])
            place = folder / "volumes" / mount["name"]
            await self._fill(place, volume, pod)
            table[mount["mountPath"]] = str(place / mount["subPath"]) if "subPath" in mount else str(place)
        ports: dict[Any, int] = {}
        for port in container.get("ports") or []:
            ports[port["containerPort"]] = ports[port.get("name")] = own = free_port()
            table[f"0.0.0.0:{port['containerPort']}"] = f"127.0.0.1:{own}"
        plain = await self._environment(container, pod)
        env = {name: rewritten(expanded(value, plain), table) for name, value in plain.items()}
        words = [*(container.get("command") or []), *(container.get("args") or [])]
        argv = [rewritten(expanded(word, plain), table) for word in words]
        if not argv:
            raise LabError(f"container {container['name']} of {namespace}/{pod['metadata']['name']} names no command to run here")
        probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
        url = f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}" if probe else ""
        env["PYTHONPATH"] = self.here
        argv[0] = str(Path(sys.executable).parent / argv[0]) if (Path(sys.executable).parent / argv[0]).exists() else argv[0]
        named = tuple((port["name"], ports[port["name"]]) for port in container.get("ports") or [] if "name" in port)
        return Workload(tuple(argv), tuple(env.items()), url, named)

    async def _environment(self, container: Object, pod: Object) -> dict[str, str]:
        namespace, found = pod["metadata"]["namespace"], {"LANG": os.environ.get("LANG", "C.UTF-8")}
        for source in container.get("envFrom") or []:
            if "configMapRef" in source:
                found |= await self._held(kube.CONFIGMAPS, namespace, source["configMapRef"])
            if "secretRef" in source:
                found |= await self._held(kube.SECRETS, namespace, source["secretRef"])
        for item in container.get("env") or []:
            origin = item.get("valueFrom") or {}
            if "secretKeyRef" in origin:
                reference = origin["secretKeyRef"]
                held = await self._held(kube.SECRETS, namespace, reference)
                if reference["key"] in held or not reference.get("optional"):
                    found[item["name"]] = held[reference["key"]]
            elif "fieldRef" in origin:
                found[item["name"]] = _field(pod, origin["fieldRef"]["fieldPath"])
            else:
                found[item["name"]] = expanded(str(item.get("value", "")), found)
        return found

    async def _fill(self, place: Path, volume: Object, pod: Object) -> None:
        namespace = pod["metadata"]["namespace"]
        place.mkdir(parents=True, exist_ok=True)
        for source in [volume, *(volume.get("projected") or {}).get("sources", [])]:
            if "secret" in source:
                for name, text in (await self._held(kube.SECRETS, namespace, source["secret"])).items():
                    private(place / name, text)
            if "configMap" in source:
                for name, text in (await self._held(kube.CONFIGMAPS, namespace, source["configMap"])).items():
                    (place / name).write_text(text)
            if "serviceAccountToken" in source:
                account = pod["spec"].get("serviceAccountName", "default")
                private(place / source["serviceAccountToken"]["path"], await self.api.token_of(namespace, account))
            for item in (source.get("downwardAPI") or {}).get("items") or []:
                (place / item["path"]).write_text(_field(pod, item["fieldRef"]["fieldPath"]))

    async def _held(self, kind: kube.Kind, namespace: str, reference: Object) -> dict[str, str]:
        """What the Secret or ConfigMap that is referred to holds; nothing where it is optional and not there."""
        name = reference.get("secretName") or reference["name"]
        found = await self.api.get(kind, namespace, name)
        if found is not None:
            return _decoded(found) if kind is kube.SECRETS else found.get("data") or {}
        if reference.get("optional"):
            return {}
        raise LabError(f"{kind.plural} {namespace}/{name} is not there")


def _decoded(secret: Object) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in (secret.get("data") or {}).items()}


def _field(pod: Object, path: str) -> str:
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "")
    return str(value)
