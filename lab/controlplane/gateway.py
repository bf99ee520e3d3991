"""The data plane: Envoy follows the VirtualServices and the ready Pods, as Istio's gateway would.

split(...) is the pure part: a route's weight goes to its subset's groups of Pods, in proportion to their ready Pods; a subset
none of whose Pods is ready keeps its weight on what is left of it, and its requests fail, as they do in a mesh.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.controlplane import api as kube
from lab.controlplane.api import Api, Cache, Object
from lab.envoy import Backend, Envoy


@dataclass(frozen=True)
class Group:
    """The Pods of one ReplicaSet, served by one process. ready: how many say so."""

    backend: Backend
    labels: tuple[tuple[str, str], ...]
    ready: int


def split(service: Object, groups: Sequence[Group]) -> tuple[tuple[Backend, int], ...]:
    """A VirtualService's weights by backend, in smallest whole numbers."""
    namespace, routes = service["metadata"]["namespace"], service["spec"]["http"][0]["route"]
    shares: list[tuple[Backend, int, int]] = []  # backend, weight x ready, all that is ready
    for route in routes:
        weight = route.get("weight", 100 if len(routes) == 1 else 0)
        wanted = {("seldon-app", route["destination"]["host"]), ("version", route["destination"]["subset"])}
        mine = [group for group in groups if group.backend.namespace == namespace and wanted <= set(group.labels)]
        serving = [group for group in mine if group.ready] or mine[-1:]
        total = sum(max(group.ready, 1) for group in serving)
        shares += [(group.backend, weight * max(group.ready, 1), total) for group in serving]
    scale = math.lcm(*(total for _, _, total in shares)) if shares else 1
    parts = [(backend, share * scale // total) for backend, share, total in shares]
    least = math.gcd(*(part for _, part in parts)) or 1
    return tuple((backend, part // least) for backend, part in parts)


class Gateway:
    """Keeps Envoy's routes what the VirtualServices and the Pods say."""

    def __init__(self, api: Api, envoy: Envoy) -> None:
        self.api, self.envoy = api, envoy
        self.wake = asyncio.Event()
        self.services = Cache(kube.VIRTUAL_SERVICES, lambda _: self.wake.set())
        self.groups: dict[str, Group] = {}  # by the backend's name in Envoy
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.services.run(self.api))
            while True:
                await self.wake.wait()
                self.wake.clear()
                await self.settle()

    async def settle(self) -> None:
        """Bring Envoy to what is wanted now."""
        async with self._lock:
            for group in list(self.groups.values()):
                if group.backend.cluster not in self.envoy.backends:
                    await self.envoy.add(group.backend)
            if self.services.synced:
                for key in self.envoy.routes.keys() - self.services.objects.keys():
                    await self.envoy.unroute(*key)
            for key, service in list(self.services.objects.items()):
                if weights := split(service, list(self.groups.values())):
                    await self.envoy.route(*key, weights)

    def show(self, group: Group) -> None:
        """A group's Pods have changed."""
        if self.groups.get(group.backend.cluster) != group:
            self.groups[group.backend.cluster] = group
            self.wake.set()

    async def leave(self, backend: Backend) -> None:
        """A group is going: no route names it any more when this returns, and what was under way is done."""
        if self.groups.pop(backend.cluster, None):
            await self.settle()
            await self.envoy.remove(backend)
