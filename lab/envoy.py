"""The data plane: one Envoy, fed by xDS files, splitting by the weights it is given.

- A backend is one pod. Its cluster carries namespace, deployment, predictor, version and pod in its name, so that every
  counter of Envoy's knows whose it is; a pod that replaces another is another cluster.
- No request may be lost by a change. Clusters are added before a route names them and removed only after no route names
  them, nothing is in flight on them, and Prometheus had time to read their last counts.
- Idle upstream connections are closed by Envoy (3 s) before the model server would (5 s): a request is never written to a
  connection that is just being closed. There are no retries: they would hide errors.
"""

import asyncio
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import tools
from lab.processes import LabError, Process, Processes, answers, free_port, http_get, until

# The Seldon executor's buckets (the Go client's defaults), in milliseconds, as Envoy counts.
BUCKETS_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
SEPARATOR = "|"  # in no Kubernetes name and in no version
DRAIN = 3.0  # seconds a cluster stays after its last route: several scrapes
STATS = (r"cluster\..*\|\.upstream_rq_([0-9]{3}|time|active)", r".*\.(version_text|update_rejected)")
HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = "type.googleapis.com/"


@dataclass(frozen=True)
class Backend:
    """One pod that can serve."""

    namespace: str
    deployment: str
    predictor: str
    version: str
    pod: str
    port: int

    @property
    def cluster(self) -> str:
        """The Envoy cluster's name: everything a count must be known by."""
        return SEPARATOR.join((self.namespace, self.deployment, self.predictor, self.version, self.pod, ""))


Routes = dict[tuple[str, str], tuple[tuple[Backend, int], ...]]


@dataclass
class Envoy:
    """Envoy and the files it reads."""

    folder: Path
    processes: Processes
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    drain: float = DRAIN
    backends: dict[str, Backend] = field(default_factory=dict)
    routes: Routes = field(default_factory=dict)
    process: Process | None = None
    _written: dict[str, int] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        """Where clients send their requests."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Write empty resources and the bootstrap, start, wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("cds", self._clusters())
        self._write("rds", [self._route_configuration()])
        bootstrap = self.folder / "bootstrap.json"
        bootstrap.write_text(json.dumps(self._bootstrap(), indent=1))
        self.process = self.processes.start(
            "envoy",
            [tools.envoy(), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"],
            env={**os.environ, "ENVOY_UID": "0"},
        )
        await until("Envoy is ready", lambda: answers(f"http://127.0.0.1:{self.admin}/ready"), 20, self.process)

    async def add(self, backend: Backend) -> None:
        """Make a pod known; it gets no traffic until a route names it."""
        async with self._lock:
            self.backends[backend.cluster] = backend
            await self._publish("cds", self._clusters())

    async def route(self, namespace: str, deployment: str, weights: tuple[tuple[Backend, int], ...]) -> None:
        """Set the split of one deployment; returns when Envoy has taken it."""
        async with self._lock:
            if self.routes.get((namespace, deployment)) == weights:
                return
            self.routes[namespace, deployment] = weights
            await self._publish("rds", [self._route_configuration()])

    async def unroute(self, namespace: str, deployment: str) -> None:
        """Forget a deployment's route."""
        async with self._lock:
            if self.routes.pop((namespace, deployment), None) is not None:
                await self._publish("rds", [self._route_configuration()])

    async def remove(self, backend: Backend) -> None:
        """Drain a pod that no route names any more, then forget it."""
        await asyncio.sleep(self.drain)
        end = time.monotonic() + 30
        while await self.active(backend) and time.monotonic() < end:
            await asyncio.sleep(0.1)
        async with self._lock:
            self.backends.pop(backend.cluster, None)
            await self._publish("cds", self._clusters())

    async def active(self, backend: Backend) -> int:
        """Requests in flight on a pod."""
        pattern = re.escape(f"cluster.{backend.cluster}.upstream_rq_active").replace("|", "%7C").replace("\\", "%5C")
        _, text = await http_get(f"http://127.0.0.1:{self.admin}/stats?filter={pattern}")
        return sum(int(line.rsplit(": ", 1)[1]) for line in text.splitlines() if ": " in line)

    def _write(self, name: str, resources: list[dict[str, Any]]) -> str:
        version = self._written[name] = self._written.get(name, 0) + 1
        path = self.folder / f"{name}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"version_info": str(version), "resources": resources}))
        new.rename(path)  # Envoy looks when a file is moved onto this one
        return str(version)

    async def _publish(self, name: str, resources: list[dict[str, Any]]) -> None:
        version = self._write(name, resources)

        async def taken() -> bool:
            _, text = await http_get(f"http://127.0.0.1:{self.admin}/stats?filter={name}.*(version_text|update_rejected)")
            if re.search(r"update_rejected: [1-9]", text):
                raise LabError(f"Envoy refused {self.folder}/{name}.json\n{self.process.tail() if self.process else ''}")
            return f'version_text: "{version}"' in text

        end = time.monotonic() + 10
        while not await taken():
            if time.monotonic() > end:
                raise LabError(f"Envoy did not take {self.folder}/{name}.json version {version} within 10 s")
            await asyncio.sleep(0.01)

    def _clusters(self) -> list[dict[str, Any]]:
        return [_cluster(backend) for backend in self.backends.values()]

    def _route_configuration(self) -> dict[str, Any]:
        return {
            "@type": f"{_TYPE}envoy.config.route.v3.RouteConfiguration",
            "name": "models",
            # A client can tell a model's answer (`via_upstream`) from Envoy's own.
            "response_headers_to_add": [_header("x-answered-by", "%RESPONSE_CODE_DETAILS%")],
            "virtual_hosts": [
                {
                    "name": "models",
                    "domains": ["*"],
                    "routes": [_route(*key, weights) for key, weights in sorted(self.routes.items())],
                }
            ],
        }

    def _bootstrap(self) -> dict[str, Any]:
        def source(name: str) -> dict[str, Any]:
            return {"resource_api_version": "V3", "path_config_source": {"path": str(self.folder / f"{name}.json")}}

        return {
            "node": {"id": "lab", "cluster": "lab"},
            "admin": {"address": _address(self.admin)},
            "dynamic_resources": {"cds_config": source("cds")},
            "static_resources": {"listeners": [_listener(self.port, source("rds"))]},
            "stats_flush_interval": "0.2s",  # histograms reach /stats at a flush; counters are always fresh
            "stats_config": {
                "use_all_default_tags": False,
                "stats_tags": [
                    {"tag_name": "pod_key", "regex": r"^cluster\.((([^|]+\|){5})\.)"},
                    {"tag_name": "code", "regex": r"^cluster\.[^|]+\|.*\|\.upstream_rq(_([0-9]{3}))$"},
                ],
                "stats_matcher": {"inclusion_list": {"patterns": [_regex(pattern) for pattern in STATS]}},
                "histogram_bucket_settings": [
                    {"match": {"suffix": "upstream_rq_time"}, "buckets": [float(ms) for ms in BUCKETS_MS]}
                ],
            },
        }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _regex(pattern: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": pattern}}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}}


def _cluster(backend: Backend) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(backend.port)}}
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": backend.cluster,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": backend.cluster, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            HTTP_PROTOCOL_OPTIONS: {
                "@type": f"{_TYPE}{HTTP_PROTOCOL_OPTIONS}",
                "common_http_protocol_options": {"idle_timeout": "3s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _route(namespace: str, deployment: str, weights: tuple[tuple[Backend, int], ...]) -> dict[str, Any]:
    clusters = [
        {
            "name": backend.cluster,
            "weight": weight,
            "response_headers_to_add": [
                _header("x-predictor", backend.predictor),
                _header("x-version", backend.version),
                _header("x-pod", backend.pod),
            ],
        }
        for backend, weight in weights
        if weight > 0  # as the real one: a canary at 0 has no entry
    ]
    return {
        "match": {"prefix": f"/seldon/{namespace}/{deployment}/"},
        "route": {"prefix_rewrite": "/", "timeout": "30s", "weighted_clusters": {"clusters": clusters}},
    }


def _listener(port: int, rds: dict[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "rds": {"route_config_name": "models", "config_source": rds},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": "ingress", "address": _address(port), "filter_chains": [chain]}
