"""A real Prometheus that scrapes Envoy every second and calls what it finds by the Seldon executor's names.

    envoy_cluster_upstream_rq{pod_key="ns|sdep|predictor|version|pod|", code="200"}
      -> ..._seconds_count{namespace, deployment_name, predictor_name, predictor_version, pod, service, code="200"}
    envoy_cluster_upstream_rq_time_bucket{pod_key=..., le="250"}, in milliseconds
      -> ..._seconds_bucket{..., le="0.25"}

Two things differ from the real executor. Buckets have no `code`. And a 503 is dropped: it is Envoy's own answer for a pod
it cannot reach, and the real executor, which lives in that pod, would not have seen it either (model servers here never
answer 503).
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import tools
from lab.envoy import BUCKETS_MS
from lab.processes import Process, Processes, answers, free_port, http_get, until

METRIC = "seldon_api_executor_server_requests_seconds"
KEY = r"([^|]*)\|" * 5
LABELS = ("namespace", "deployment_name", "predictor_name", "predictor_version", "pod")


def relabelling() -> list[dict[str, Any]]:
    """Envoy's names to the executor's; everything else is dropped."""
    name = "__name__"
    rules: list[dict[str, Any]] = [
        {"source_labels": [name], "regex": "envoy_cluster_upstream_rq(_time_bucket)?", "action": "keep"},
        {"source_labels": [name, "code"], "regex": "envoy_cluster_upstream_rq;503", "action": "drop"},
    ]
    for group, label in enumerate(LABELS, start=1):
        rules.append(
            {
                "source_labels": ["pod_key"],
                "regex": KEY,
                "target_label": label,
                "replacement": f"${{{group}}}",
            }
        )
    rules += [
        {"source_labels": ["le"], "regex": str(ms), "target_label": "le", "replacement": f"{ms / 1000:g}"} for ms in BUCKETS_MS
    ]
    rules += [
        {"target_label": "service", "replacement": "predictions"},
        {"source_labels": [name], "regex": "envoy_cluster_upstream_rq", "target_label": name, "replacement": f"{METRIC}_count"},
        {
            "source_labels": [name],
            "regex": "envoy_cluster_upstream_rq_time_bucket",
            "target_label": name,
            "replacement": f"{METRIC}_bucket",
        },
        {"regex": "pod_key", "action": "labeldrop"},
    ]
    return rules


@dataclass
class Prometheus:
    """Prometheus and its folder."""

    folder: Path
    processes: Processes
    envoy_admin: int
    controller: str | None = None  # host:port of the controller's own metrics
    monitors: Path | None = None  # a file with more targets, which somebody keeps (lab/controlplane/monitors.py)
    port: int = field(default_factory=free_port)
    process: Process | None = None

    @property
    def url(self) -> str:
        """Its HTTP API."""
        return f"http://127.0.0.1:{self.port}"

    def configuration(self) -> dict[str, Any]:
        """prometheus.yml as a value."""
        jobs: list[dict[str, Any]] = [
            {
                "job_name": "models",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{"targets": [f"127.0.0.1:{self.envoy_admin}"]}],
                "metric_relabel_configs": relabelling(),
            }
        ]
        if self.controller:
            jobs.append({"job_name": "rollout", "static_configs": [{"targets": [self.controller]}]})
        if self.monitors:
            jobs.append(
                {"job_name": "podmonitors", "file_sd_configs": [{"files": [str(self.monitors)], "refresh_interval": "5s"}]}
            )
        return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}

    async def start(self) -> None:
        """Write the configuration, start, wait until it answers queries."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self.configuration(), sort_keys=False))
        self.process = self.processes.start(
            "prometheus",
            [
                tools.prometheus(),
                f"--config.file={config}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                "--storage.tsdb.retention.time=12h",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
            ],
            env={**os.environ, "GOMAXPROCS": "1"},
        )
        await until("Prometheus is ready", lambda: answers(f"{self.url}/-/ready"), 30, self.process)

    async def scraping(self) -> None:
        """Wait for the first scrape of Envoy, which Prometheus begins up to five seconds after it is ready."""

        async def seen() -> bool:
            _, said = await http_get(f"{self.url}/api/v1/query?query=up%7Bjob%3D%22models%22%7D%3D%3D1")
            return '"value"' in said

        await until("Prometheus scrapes Envoy", seen, 15, self.process)

    async def stop(self) -> None:
        """Unplug it; `start` plugs it in again, with its data."""
        if self.process:
            await self.processes.stop(self.process)
            self.process = None
