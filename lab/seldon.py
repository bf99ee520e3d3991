"""Stands in for Seldon's operator, and says so. It behaves as the real one does where that decides designs:

- The routes (the VirtualService's weights) are written only when EVERY predictor of the manifest is ready, so traffic never
  moves to a canary that is not up, and the traffic of a crash-looping canary can no longer be changed. Removing it
  can: it is not among the manifest's predictors then.
- Readiness is looked at before new pod templates are: a commit that changes stable's model and removes the canary moves
  all traffic to the OLD stable pod at once, which is then replaced.
- Traffic and replicas restart nothing. Any other change of a predictor brings up a new pod, moves to it when it is
  ready, drains the old one and stops it.
- state: Available when every predictor is ready; Failed when a new pod is not ready within progressDeadlineSeconds; else
  Creating, also while a predictor that was fine crash-loops.

One process serves each predictor, whatever `replicas` says; the status reports `replicas` as declared.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass, field

from lab.cluster import Cluster, Key, Object
from lab.envoy import Backend, Envoy
from lab.manifests import deadline, pod_spec, weights
from lab.pods import Nodes, Pod

KIND = "SeldonDeployment"


def backend(pod: Pod) -> Backend:
    """How Envoy knows a pod."""
    spec = pod.spec
    return Backend(spec.namespace, spec.deployment, spec.predictor, spec.version, pod.name, pod.port)


@dataclass
class Predictor:
    """One Deployment: the pod that serves, and the one that is to replace it."""

    serving: Pod | None = None
    coming: Pod | None = None
    since: float = 0.0

    @property
    def ready(self) -> bool:
        """As Deployment status: ready replicas, none unavailable."""
        return self.serving is not None and self.serving.ready and self.coming is None

    @property
    def newest(self) -> Pod | None:
        """The pod made from the latest template."""
        return self.coming or self.serving


@dataclass
class Deployed:
    """One SeldonDeployment as it runs."""

    predictors: dict[str, Predictor] = field(default_factory=dict)
    routed: dict[str, int] = field(default_factory=dict)  # the VirtualService


class Seldon:
    """The operator: reconciles what the cluster holds with the pods and the routes."""

    def __init__(self, cluster: Cluster, envoy: Envoy, nodes: Nodes) -> None:
        self.cluster, self.envoy, self.nodes = cluster, envoy, nodes
        self.deployed: dict[Key, Deployed] = {}
        self.generation = itertools.count(1)
        self.wake = asyncio.Event()
        self.leaving: set[asyncio.Task[None]] = set()
        cluster.watchers.append(lambda _key: self.wake.set())

    async def run(self) -> None:
        """Reconcile on every change, and a few times a second for the deadlines."""
        while True:
            self.wake.clear()
            for key in {*self.cluster.of_kind(KIND), *self.deployed}:
                await self.reconcile(key)
            try:
                async with asyncio.timeout(0.25):
                    await self.wake.wait()
            except TimeoutError:
                pass

    def pod(self, namespace: str, deployment: str, predictor: str) -> Pod | None:
        """The pod that serves a predictor now."""
        found = self.deployed.get((KIND, namespace, deployment), Deployed()).predictors.get(predictor)
        return found.newest if found else None

    async def reconcile(self, key: Key) -> None:
        """One look at one SeldonDeployment."""
        manifest = self.cluster.objects.get(key)
        if manifest is None:
            await self._delete(key)
            return
        live = self.deployed.setdefault(key, Deployed())
        await self._write_routes(key, manifest, live)  # by the status of before
        for predictor in manifest["spec"]["predictors"]:
            await self._roll(key, manifest, predictor, live)
        if await self._write_routes(key, manifest, live):
            for name in live.predictors.keys() - weights(manifest).keys():
                self._retire_predictor(live.predictors.pop(name))
        self.cluster.status[key] = _status(manifest, live)

    async def _roll(self, key: Key, manifest: Object, predictor: Object, live: Deployed) -> None:
        """Bring up what the template asks for; move to it once it is ready."""
        spec = pod_spec(manifest, key[1], predictor)
        state = live.predictors.setdefault(spec.predictor, Predictor())
        if state.newest is None or state.newest.spec.digest != spec.digest:
            if state.coming is not None:
                self._retire(state.coming, known=False)
            state.coming = None
            if state.serving is None or state.serving.spec.digest != spec.digest:
                name = f"{spec.deployment}-{spec.predictor}-0-{spec.digest[:6]}-{next(self.generation)}"
                state.coming, state.since = Pod(self.nodes, spec, name, self.wake.set), time.monotonic()
        if state.coming is not None and state.coming.ready:
            old, state.serving, state.coming = state.serving, state.coming, None
            await self.envoy.add(backend(state.serving))
            await self._route(key, live)  # the Service's endpoints: the weights stay as they are
            if old is not None:
                self._retire(old)

    async def _write_routes(self, key: Key, manifest: Object, live: Deployed) -> bool:
        wanted = weights(manifest)
        if not all(name in live.predictors and live.predictors[name].ready for name in wanted):
            return False
        live.routed = wanted
        await self._route(key, live)
        return True

    async def _route(self, key: Key, live: Deployed) -> None:
        split = [(live.predictors[name].serving, weight) for name, weight in live.routed.items()]
        if split:
            await self.envoy.route(key[1], key[2], tuple((backend(pod), weight) for pod, weight in split if pod))

    async def _delete(self, key: Key) -> None:
        live = self.deployed.pop(key, None)
        if live is not None:
            await self.envoy.unroute(key[1], key[2])
            for predictor in live.predictors.values():
                self._retire_predictor(predictor)

    def _retire_predictor(self, predictor: Predictor) -> None:
        if predictor.serving:
            self._retire(predictor.serving)
        if predictor.coming:
            self._retire(predictor.coming, known=False)

    def _retire(self, pod: Pod, known: bool = True) -> None:
        async def leave() -> None:
            if known:
                await self.envoy.remove(backend(pod))
            await pod.stop()

        task = asyncio.create_task(leave(), name=f"retire {pod.name}")
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)


def _status(manifest: Object, live: Deployed) -> Object:
    states = {p["name"]: (p, live.predictors[p["name"]]) for p in manifest["spec"]["predictors"]}
    waiting = {name: state for name, (_, state) in states.items() if not state.ready}
    late = [
        name
        for name, state in waiting.items()
        if state.coming is not None and time.monotonic() - state.since > deadline(states[name][0])
    ]
    reasons = "; ".join(f"{name}: {_reason(state)}" for name, state in waiting.items())
    state = "Failed" if late else "Creating" if waiting else "Available"
    if late:
        reasons = f"progress deadline exceeded by {', '.join(late)}; {reasons}"
    return {
        "state": state,
        "description": reasons,
        "replicas": sum(predictor.get("replicas", 1) for predictor, _ in states.values()),
        "deploymentStatus": {
            name: {"replicas": predictor.get("replicas", 1), "availableReplicas": predictor.get("replicas", 1) * entry.ready}
            for name, (predictor, entry) in states.items()
        },
    }


def _reason(state: Predictor) -> str:
    pod = state.newest
    return f"{pod.name}: {pod.reason}" if pod else "no pod"
