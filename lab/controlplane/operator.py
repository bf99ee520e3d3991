"""Stands in for Seldon's operator, on the real API, and says so. docs/stand-in.md lists, fact by fact, what it does
as the real one does, and what it does not.

children(sdep): a SeldonDeployment's Deployments, Services and DestinationRules, values in, values out.
routes(sdep):   its VirtualService.
state(...):     its status.

A look at one SeldonDeployment:
1. Its Deployments are applied; their status is read as it is then, which for one just changed is the status of before.
2. If EVERY predictor's Deployment is ready (ready replicas, none unavailable), the VirtualService is written and the
   Deployments of predictors that are gone are deleted. Otherwise the routes stay as they are.
3. status: Available when all are ready; Failed when a Deployment says ProgressDeadlineExceeded; else Creating.
"""

import asyncio
import base64
import copy
import json
import logging
from typing import Any

from lab.controlplane import api as kube
from lab.controlplane.api import Api, Cache, Object
from lab.controlplane.workqueue import WorkQueue
from lab.manifests import deadline, weights
from lab.processes import LabError

STAND_IN = "lab/controlplane/operator.py stands in for Seldon's operator"
ENGINE = "seldon-container-engine"
OWNED = {"app.kubernetes.io/managed-by": "seldon-core"}
log = logging.getLogger("seldon")


def deployment_name(sdep: Object, predictor: Object) -> str:
    """<sdep>-<predictor>-<idx>-<containers>."""
    containers = "-".join(container["name"] for container in _pod(predictor)["containers"])
    return f"{sdep['metadata']['name']}-{predictor['name']}-0-{containers}"


def _pod(predictor: Object) -> Object:
    spec: Object = (predictor.get("componentSpecs") or [{}])[0].get("spec") or {}
    return spec


def children(sdep: Object) -> list[Object]:
    """What belongs to the predictors."""
    found = []
    for predictor in sdep["spec"]["predictors"]:
        name, key = sdep["metadata"]["name"], f"{sdep['metadata']['name']}-{predictor['name']}"
        labels = {**OWNED, "seldon-deployment-id": name, "seldon-app": key, "version": predictor["name"]}
        found.append(_deployment(sdep, predictor, labels))
        ports = [{"name": "http", "port": 8000, "targetPort": 8000}, {"name": "grpc", "port": 5001, "targetPort": 8000}]
        found.append(_child(sdep, "v1", "Service", key, labels, {"selector": {"seldon-app": key}, "ports": ports}))
        for container in _pod(predictor)["containers"]:
            own = [{"name": port["name"], "port": port["containerPort"]} for port in container.get("ports") or []]
            service = {"selector": {"seldon-app": key}, "ports": own or [{"name": "http", "port": 9000}]}
            found.append(_child(sdep, "v1", "Service", f"{key}-{container['name']}", labels, service))
        subset = {"name": predictor["name"], "labels": {"version": predictor["name"]}}
        rule = {"host": key, "subsets": [subset]}
        found.append(_child(sdep, "networking.istio.io/v1", "DestinationRule", key, labels, rule))
    return found


def _child(sdep: Object, version: str, kind: str, name: str, labels: dict[str, str], spec: Object) -> Object:
    owner = {
        "apiVersion": sdep["apiVersion"],
        "kind": sdep["kind"],
        "name": sdep["metadata"]["name"],
        "uid": sdep["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {"name": name, "namespace": sdep["metadata"]["namespace"], "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _deployment(sdep: Object, predictor: Object, labels: dict[str, str]) -> Object:
    pod = copy.deepcopy(_pod(predictor))
    graph = predictor["graph"]
    template = {key: value for key, value in predictor.items() if key not in ("traffic", "replicas")}
    told = base64.b64encode(json.dumps(template, sort_keys=True).encode()).decode()
    for container in pod["containers"]:
        if container["name"] == graph["name"]:
            container["env"] = [*(container.get("env") or []), {"name": "PREDICTIVE_UNIT_ID", "value": graph["name"]}]
            if graph.get("modelUri"):
                mount = {"name": f"{graph['name']}-provision-location", "mountPath": "/mnt/models", "readOnly": True}
                container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]
    if graph.get("modelUri"):
        volume = f"{graph['name']}-provision-location"
        pod["volumes"] = [*(pod.get("volumes") or []), {"name": volume, "emptyDir": {}}]
        initializer = {
            "name": f"{graph['name']}-model-initializer",
            "image": "seldonio/rclone-storage-initializer:1.17.1",
            "args": [graph["modelUri"], "/mnt/models"],
            "volumeMounts": [{"name": volume, "mountPath": "/mnt/models"}],
        }
        if graph.get("envSecretRefName"):
            initializer["envFrom"] = [{"secretRef": {"name": graph["envSecretRefName"]}}]
        pod["initContainers"] = [*(pod.get("initContainers") or []), initializer]
    engine = {
        "name": ENGINE,
        "image": "seldonio/seldon-core-executor:1.17.1",
        "args": [
            "--sdep",
            sdep["metadata"]["name"],
            "--namespace",
            sdep["metadata"]["namespace"],
            "--predictor",
            predictor["name"],
        ],
        "env": [{"name": "ENGINE_PREDICTOR", "value": told}],
        "ports": [{"name": "engine-http", "containerPort": 8000}],
        "resources": (predictor.get("svcOrchSpec") or {}).get("resources") or {},
    }
    pod["containers"].append(engine)
    annotations = {**(sdep["spec"].get("annotations") or {}), **(predictor.get("annotations") or {})}
    labels = {**labels, **(predictor.get("labels") or {})}
    spec = {
        "replicas": predictor.get("replicas", 1),
        "selector": {"matchLabels": {"seldon-app": labels["seldon-app"]}},
        "progressDeadlineSeconds": int(deadline(predictor)),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": "25%"}},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
    }
    return _child(sdep, "apps/v1", "Deployment", deployment_name(sdep, predictor), labels, spec)


def routes(sdep: Object) -> Object:
    """The VirtualService: a predictor without traffic has no weight field."""
    name, namespace = sdep["metadata"]["name"], sdep["metadata"]["namespace"]
    split = []
    for predictor, weight in weights(sdep).items():
        destination = {"host": f"{name}-{predictor}", "subset": predictor, "port": {"number": 8000}}
        split.append({"destination": destination, **({"weight": weight} if weight else {})})
    match = [{"uri": {"prefix": f"/seldon/{namespace}/{name}/"}}]
    spec = {
        "hosts": ["*"],
        "gateways": ["istio-system/seldon-gateway"],
        "http": [{"match": match, "rewrite": {"uri": "/"}, "route": split}],
    }
    return _child(sdep, "networking.istio.io/v1", "VirtualService", name, {**OWNED, "seldon-deployment-id": name}, spec)


def ready(deployment: Object | None) -> bool:
    """As the real one asks: ready replicas, none unavailable."""
    status = (deployment or {}).get("status") or {}
    return bool(status.get("readyReplicas", 0) > 0 and status.get("unavailableReplicas", 0) == 0)


def state(sdep: Object, deployments: dict[str, Object | None]) -> Object:
    """status, from the Deployments by predictor."""
    late, parts, counts = [], [], {}
    for predictor in sdep["spec"]["predictors"]:
        name, found = predictor["name"], deployments.get(predictor["name"]) or {}
        status = found.get("status") or {}
        wanted = predictor.get("replicas", 1)
        counts[deployment_name(sdep, predictor)] = {"replicas": wanted, "availableReplicas": status.get("availableReplicas", 0)}
        if not ready(found):
            parts.append(f"{name}: {status.get('readyReplicas', 0)} of {wanted} replicas ready")
        conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
        if all((conditions.get(one) or {}).get("status") == "False" for one in ("Progressing", "Available")):
            late.append(f"{name}: {conditions['Progressing'].get('message', '')}")
    said = "Failed" if late else "Creating" if parts else "Available"
    replicas = sum(predictor.get("replicas", 1) for predictor in sdep["spec"]["predictors"])
    return {"state": said, "description": "; ".join([*late, *parts]), "replicas": replicas, "deploymentStatus": counts}


class Operator:
    """Watches SeldonDeployments and their Deployments, and reconciles."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.queue = WorkQueue(self.look, log)
        self.wanted = Cache(kube.SELDON_DEPLOYMENTS, lambda sdep: self.queue.add(kube.key_of(sdep)))
        self.deployments = Cache(kube.DEPLOYMENTS, self._moved)
        self.applied: dict[tuple[str, str, str, str], str] = {}

    async def run(self) -> None:
        """Reconcile on every change until cancelled."""
        log.info("%s", STAND_IN)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.wanted.run(self.api))
            tasks.create_task(self.deployments.run(self.api))
            tasks.create_task(self.queue.run())

    def _moved(self, deployment: Object) -> None:
        if name := deployment["metadata"].get("labels", {}).get("seldon-deployment-id"):
            self.queue.add((deployment["metadata"]["namespace"], name))

    async def look(self, key: tuple[str, str]) -> None:
        """One look at one SeldonDeployment."""
        if not (self.wanted.synced and self.deployments.synced):
            raise LabError("not everything is listed yet")
        sdep = self.wanted.objects.get(key)
        if sdep is None or sdep["metadata"].get("deletionTimestamp"):
            return
        namespace, name = key
        seen: dict[str, Object | None] = {}
        for predictor in sdep["spec"]["predictors"]:
            seen[predictor["name"]] = self.deployments.objects.get((namespace, deployment_name(sdep, predictor)))
        await asyncio.gather(*map(self._apply, children(sdep)))
        if all(ready(found) for found in seen.values()):
            await self._apply(routes(sdep))
            keep = {deployment_name(sdep, predictor) for predictor in sdep["spec"]["predictors"]}
            for (space, found), deployment in list(self.deployments.objects.items()):
                mine = deployment["metadata"].get("labels", {}).get("seldon-deployment-id") == name
                if space == namespace and mine and found not in keep:
                    log.info("%s/%s: %s is gone from the manifest", namespace, name, found)
                    await self._remove(deployment)
        said = state(sdep, seen)
        if sdep.get("status") != said:
            log.info("%s/%s: %s %s", namespace, name, said["state"], said["description"])
            await self.api.patch(kube.SELDON_DEPLOYMENTS, namespace, name, {"status": said}, "status")

    async def _apply(self, child: Object) -> None:
        """Apply, unless that is what was applied last to an object that is still there."""
        key = (child["kind"], *kube.key_of(child), child["metadata"]["ownerReferences"][0]["uid"])
        text = json.dumps(child, sort_keys=True)
        gone = child["kind"] == "Deployment" and key[1:3] not in self.deployments.objects
        if self.applied.get(key) != text or gone:
            await self.api.apply(child)
            self.applied[key] = text

    async def _remove(self, deployment: Object) -> None:
        namespace, name = kube.key_of(deployment)
        key = deployment["metadata"]["labels"]["seldon-app"]
        await self.api.delete(kube.DEPLOYMENTS, namespace, name)
        for service in await self.api.list(kube.SERVICES, namespace, f"seldon-app={key}"):
            await self.api.delete(kube.SERVICES, namespace, service["metadata"]["name"])
        self.applied = {known: text for known, text in self.applied.items() if known[1] != namespace or key not in known[2]}


def predictor_of(pod: Object) -> dict[str, Any]:
    """The predictor that a Pod's engine was told."""
    for container in pod["spec"]["containers"]:
        for item in container.get("env") or []:
            if item["name"] == "ENGINE_PREDICTOR":
                told: dict[str, Any] = json.loads(base64.b64decode(item["value"]))
                return told
    return {}
