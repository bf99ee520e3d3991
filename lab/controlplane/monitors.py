"""Stands in for the Prometheus operator: PodMonitors, and the Pods that run, become Prometheus' list of targets.

Only Pods that are programs are listed. What a model's Pod would show of itself is Envoy's counters, which Prometheus reads as
one target of its own (lab/prometheus.py).
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.controlplane import api as kube
from lab.controlplane.api import Api, Cache, Object
from lab.controlplane.kubelet import Kubelet, Program

EVERY = 1.0  # seconds between two looks at what runs


def targets(monitors: Iterable[Object], pods: Iterable[tuple[Object, Mapping[str, int]]]) -> list[Object]:
    """Entries of a file that Prometheus reads (file_sd), labelled as the Prometheus operator does.

    pods: each with the loopback ports that its named ports have become. A monitor sees its own namespace.
    """
    pods, found = list(pods), []
    for monitor in monitors:
        namespace, name = kube.key_of(monitor)
        wanted = (monitor["spec"]["selector"].get("matchLabels") or {}).items()
        for pod, ports in pods:
            if pod["metadata"]["namespace"] != namespace or not wanted <= (pod["metadata"].get("labels") or {}).items():
                continue
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if endpoint["port"] in ports:
                    labels = {
                        "job": f"{namespace}/{name}",
                        "namespace": namespace,
                        "pod": pod["metadata"]["name"],
                        "endpoint": endpoint["port"],
                        "__metrics_path__": endpoint.get("path") or "/metrics",
                    }
                    if "interval" in endpoint:
                        labels["__scrape_interval__"] = endpoint["interval"]
                    found.append({"targets": [f"127.0.0.1:{ports[endpoint['port']]}"], "labels": labels})
    return found


class Monitors:
    """Keeps the file what PodMonitors and Pods say."""

    def __init__(self, api: Api, kubelet: Kubelet, file: Path) -> None:
        self.api, self.kubelet, self.file = api, kubelet, file
        self.monitors = Cache(kube.POD_MONITORS, lambda _: None)

    async def run(self) -> None:
        """Follow until cancelled."""
        written = ""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.monitors.run(self.api))
            while True:
                text = json.dumps(targets(self.monitors.objects.values(), self._pods()), indent=1)
                if text != written:
                    new = self.file.with_suffix(".new")
                    new.write_text(text)
                    new.replace(self.file)
                    written = text
                await asyncio.sleep(EVERY)

    def _pods(self) -> list[tuple[Object, Mapping[str, int]]]:
        """One Pod of each group that is a program: they share it."""
        return [
            (next(iter(group.pods.values())), dict(group.process.workload.ports))
            for group in self.kubelet.groups.values()
            if group.pods and isinstance(group.process, Program)
        ]
