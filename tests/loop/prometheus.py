"""A real Prometheus on a free loopback port, over blocks of the past (promtool) or over samples pushed to it (remote write)."""

from __future__ import annotations

import math
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import urllib3

COUNT = "seldon_api_executor_server_requests_seconds_count"
BUCKET = "seldon_api_executor_server_requests_seconds_bucket"
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]  # Prometheus' own mark of the end of a series
_HTTP = urllib3.PoolManager(retries=False)


class Sample(NamedTuple):
    """One sample of one series; labels without the name, sorted."""

    name: str
    labels: tuple[tuple[str, str], ...]
    time: float
    value: float


def labels(app: str, arm: str, version: str, code: str = "200", pod: str = "", **more: str) -> tuple[tuple[str, str], ...]:
    """The executor's labels for a release in prod, as scraped."""
    known = {
        "namespace": f"{app}-prod",
        "deployment_name": app,
        "predictor_name": arm,
        "predictor_version": version,
        "service": "predictions",
        "method": "post",
        "code": code,
        "pod": pod or f"{app}-{arm}-{version}-0",
    }
    return tuple(sorted({**known, **more}.items()))


def counter(where: tuple[tuple[str, str], ...], values: Iterable[tuple[float, float]], name: str = COUNT) -> list[Sample]:
    """One series from (time, value) pairs."""
    return [Sample(name, where, when, value) for when, value in values]


@dataclass
class Server:
    """A Prometheus; its data lies in `home`."""

    home: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def backfill(self, samples: Iterable[Sample]) -> None:
        """Write blocks of the past, before the start."""
        text = self.home / "samples.om"
        text.write_text("".join(_open_metrics(samples)) + "# EOF\n")
        words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(self.home / "data")]
        subprocess.run(words, check=True, capture_output=True)

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self.home.mkdir(exist_ok=True)
        (self.home / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
        self.port = self.port or free_port()
        words = [
            "prometheus",
            f"--config.file={self.home / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.home / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--storage.tsdb.retention.time=10y",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
        ]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        for _ in range(600):
            if self._ready():
                return
            assert self._process.poll() is None, (self.home / "log").read_text()
            time.sleep(0.02)
        raise AssertionError("prometheus was not ready within 12 s")

    def _ready(self) -> bool:
        try:
            return _HTTP.request("GET", f"{self.url}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def write(self, samples: Iterable[Sample]) -> None:
        """Push samples, each series in the order of time."""
        body = _snappy(_write_request(samples))
        head = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        answer = _HTTP.request("POST", f"{self.url}/api/v1/write", body=body, headers=head)
        assert answer.status == 204, answer.data


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _open_metrics(samples: Iterable[Sample]) -> Iterator[str]:
    for one in sorted(samples, key=lambda one: (one.time, one.name, one.labels)):
        inside = ",".join(f'{name}="{value}"' for name, value in one.labels)
        number = "NaN" if math.isnan(one.value) else f"{one.value:g}" if one.value < 1e6 else f"{one.value:.0f}"
        yield f"{one.name}{{{inside}}} {number} {one.time:.3f}\n"


def _write_request(samples: Iterable[Sample]) -> bytes:
    series: dict[tuple[str, tuple[tuple[str, str], ...]], list[Sample]] = {}
    for one in samples:
        series.setdefault((one.name, one.labels), []).append(one)
    return b"".join(_part(1, _series(name, where, found)) for (name, where), found in series.items())


def _series(name: str, where: tuple[tuple[str, str], ...], samples: list[Sample]) -> bytes:
    named = sorted((*where, ("__name__", name)))
    pairs = b"".join(_part(1, _part(1, key.encode()) + _part(2, value.encode())) for key, value in named)
    points = (b"\x09" + struct.pack("<d", one.value) + b"\x10" + _varint(round(one.time * 1000)) for one in samples)
    return pairs + b"".join(_part(2, point) for point in points)


def _part(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _snappy(plain: bytes) -> bytes:
    """Snappy's form without compression: the length, and one literal."""
    return _varint(len(plain)) + b"\xfc" + struct.pack("<I", len(plain) - 1) + plain
