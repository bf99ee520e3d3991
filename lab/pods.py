"""Stands in for the kubelet and for Seldon's model initializer: a pod is one model server process on loopback ports.

- The initializer copies the model's folder out of the model store into the pod's own, or out of the bucket that its Secret
  names (lab/s3.py); a URI that is not there is a crash loop with that reason, and so is an image that cannot be had.
- The process is probed where its manifest says; it is ready when it answers, and not ready as soon as it ends or stops answering.
- What ends is started again after a delay that doubles.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lab import s3
from lab.processes import Process, Processes, answers, free_port

ROOT = Path(__file__).resolve().parent.parent
BACKOFF = (0.5, 8.0)  # first and longest delay before a restart
PROBE_EVERY = 1.0
PROBE_FAILURES = 3  # as Kubernetes


@dataclass(frozen=True)
class PodSpec:
    """What a predictor's pods are made from."""

    namespace: str
    deployment: str
    predictor: str
    version: str
    model_name: str
    model_uri: str
    image: str
    env: tuple[tuple[str, str], ...]
    probe_path: str
    digest: str  # of everything whose change restarts pods
    bucket: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # what a Secret tells the initializer of one


Command = Callable[[PodSpec, Path, int], tuple[list[str], dict[str, str]]]


def mlserver(spec: PodSpec, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a real MLServer; the image is not run, its runtime is this virtual environment's."""
    environment = {
        **dict(spec.env),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_METRICS_DIR": str(model.parent / "metrics"),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_MODEL_NAME": spec.model_name,
        "MLSERVER_MODEL_URI": str(model),
        "OMP_NUM_THREADS": "1",  # several servers share the machine's cores
        "PYTHONPATH": str(ROOT),
    }
    environment.setdefault("MLSERVER_MODEL_VERSION", spec.version)
    return [str(Path(sys.executable).parent / "mlserver"), "start", "."], environment


@dataclass
class Nodes:
    """Where pods run: the processes, the model store's folder, the images that exist."""

    folder: Path
    processes: Processes
    store: Path
    command: Command = mlserver
    missing_images: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)  # pods whose models can no longer be fetched

    def model(self, uri: str) -> Path:
        """The model store's folder for a URI: s3://models/credit/8 is <store>/credit/8."""
        parts = urlsplit(uri)
        return self.store / parts.path.lstrip("/")


class Pod:
    """One pod: keeps its process running until stopped."""

    def __init__(self, nodes: Nodes, spec: PodSpec, name: str, changed: Callable[[], None]) -> None:
        self.nodes, self.spec, self.name, self.changed = nodes, spec, name, changed
        self.port = free_port()
        self.folder = nodes.folder / spec.namespace / name
        self.ready = False
        self.reason = "ContainerCreating"
        self.restarts = 0
        self.process: Process | None = None
        self.task = asyncio.create_task(self._run(), name=f"pod {name}")

    async def stop(self) -> None:
        """TERM, and gone."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.ready = False
        if self.process is not None:
            await self.nodes.processes.stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def crash(self) -> None:
        """Kill the process (the kubelet starts it again)."""
        if self.process is not None:
            self.process.signal(9)

    async def _run(self) -> None:
        delay = BACKOFF[0]
        while True:
            began = time.monotonic()
            reason = await self._initialise() or await self._serve()
            if time.monotonic() - began > 30:
                delay = BACKOFF[0]
            self._say(False, f"CrashLoopBackOff: {reason}")
            self.restarts += 1
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF[1])

    async def _initialise(self) -> str | None:
        """Play the model initializer; returns what went wrong."""
        if self.spec.image in self.nodes.missing_images:
            return f"ImagePullBackOff: {self.spec.image}: not found"
        source, broken = self.nodes.model(self.spec.model_uri), self.name in self.nodes.broken
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.spec.bucket and not broken:
            return await self._fetch(dict(self.spec.bucket))
        if not source.is_dir() or broken:
            return f"model initializer: {self.spec.model_uri}: no such folder in the model store"
        shutil.copytree(source, self.folder / "model")
        return None

    async def _fetch(self, told: dict[str, str]) -> str | None:
        words = [str(s3.PYTHON), "-m", "lab.s3", "copy", self.spec.model_uri, str(self.folder / "model")]
        name = f"{self.spec.namespace}.{self.name}-initializer"
        self.process = process = self.nodes.processes.start(name, words, told | {"PYTHONPATH": str(ROOT)})
        while process.running:
            await asyncio.sleep(0.1)
        return f"model initializer: {_last_line(process)}" if process.popen.returncode else None

    def _command(self) -> tuple[list[str], dict[str, str]]:
        return self.nodes.command(self.spec, self.folder / "model", self.port)

    async def _probe(self) -> bool:
        return await answers(f"http://127.0.0.1:{self.port}{self.spec.probe_path}")

    async def _serve(self) -> str:
        argv, environment = self._command()
        path = f"{os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', '')])}"
        environment = {"PATH": path, "HOME": str(self.folder), **environment}
        name = f"{self.spec.namespace}.{self.name}"
        self.process = process = self.nodes.processes.start(name, argv, environment, cwd=self.folder)
        failures = 0
        while process.running:
            if await self._probe():
                failures = 0
                self._say(True, "Ready")
            else:
                failures += 1
                if not self.ready or failures >= PROBE_FAILURES:
                    self._say(False, "not ready")
            await self._ended(process, PROBE_EVERY if self.ready else 0.2)
        return f"the process ended with {process.popen.returncode}: {_last_line(process)}"

    async def _ended(self, process: Process, seconds: float) -> None:
        end = time.monotonic() + seconds
        while process.running and time.monotonic() < end:
            await asyncio.sleep(0.1)

    def _say(self, ready: bool, reason: str) -> None:
        if (ready, reason) != (self.ready, self.reason):
            self.ready, self.reason = ready, reason
            self.changed()


def _last_line(process: Process) -> str:
    return (process.tail(1) or "no output")[:200]
