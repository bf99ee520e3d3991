"""Send real requests at a steady rate and count what comes back, from the client's side.

Runs as its own process (`python -m lab.load`), on the standard library alone, so that it takes little from the servers
that share the machine with it. One JSON line per second goes to --out:
    {"t": 1700000000, "sent": 150, "ok": 149, "failed": {"500": 1}, "lost": {}, "served": {"stable/1": 142, ...},
     "p50_ms": 4.1, "p99_ms": 9.0}
- `failed`: the model answered, but not with 200. That is the model's doing.
- `lost`: no model answered: the connection broke, the time ran out, or Envoy answered by itself (its `x-answered-by` is not
  `via_upstream`). That is what a change of routes must never do.
The rate is kept whatever the servers do (open loop): a slow server does not slow the questions down.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

TIMEOUT = 10.0
_HEADERS = re.compile(rb"\r\n(content-length|x-predictor|x-version|x-answered-by): *([^\r\n]*)", re.I)
_MODEL_VERSION = re.compile(rb'"model_version": ?"([^"]*)"')


@dataclass
class Second:
    """What happened within one second."""

    sent: int = 0
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    def line(self, second: int) -> str:
        """As one JSON line."""
        times = sorted(self.milliseconds) or [0.0]
        return json.dumps(
            {
                "t": second,
                "sent": self.sent,
                "ok": self.ok,
                "failed": self.failed,
                "lost": self.lost,
                "served": self.served,
                "p50_ms": round(times[len(times) // 2], 2),
                "p99_ms": round(times[int(len(times) * 0.99)], 2),
            }
        )


@dataclass(frozen=True)
class Answer:
    """One answer, as far as it is counted."""

    status: str
    by: str  # predictor/version
    model: bool  # a model gave it


class Connection:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request, read its answer."""
        if self.writer is None or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        assert self.reader is not None
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        headers = {name.lower(): value for name, value in _HEADERS.findall(head)}
        body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        version = _MODEL_VERSION.search(body)  # what the model itself says it is
        served = (version[1] if version else headers.get(b"x-version", b"?")).decode()
        predictor = headers.get(b"x-predictor", b"?").decode()
        return Answer(head[9:12].decode(), f"{predictor}/{served}", headers.get(b"x-answered-by") == b"via_upstream")

    def close(self) -> None:
        """Forget the connection; the next question opens a new one."""
        if self.writer is not None:
            self.writer.close()
        self.writer = None


class Load:
    """An open-loop client of one model."""

    def __init__(self, url: str, bodies: list[str], rate: float, connections: int) -> None:
        parts = urlsplit(url)
        self.rate = rate
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.requests = [_request(parts.path, parts.netloc, body.encode()) for body in bodies]
        self.idle = [Connection(self.host, self.port) for _ in range(connections)]
        self.free = asyncio.Semaphore(connections)
        self.seconds: dict[int, Second] = {}
        self.under_way: set[asyncio.Task[None]] = set()
        self.stopping = False

    def now(self) -> Second:
        """The current second's counts."""
        return self.seconds.setdefault(int(time.time()), Second())

    async def run(self, stop: asyncio.Event, out: TextIO) -> None:
        """Ask until told to stop, then wait for what is under way."""
        began, number = time.monotonic(), 0
        while not stop.is_set():
            due = int((time.monotonic() - began) * self.rate)
            while number < due:
                task = asyncio.create_task(self.one(self.requests[number % len(self.requests)]))
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)
                number += 1
            self.flush(out, int(time.time()))
            await asyncio.sleep(max(0.002, 1 / self.rate))
        self.stopping = True  # what waits for a free connection is not sent any more
        if self.under_way:
            await asyncio.wait(self.under_way)
        self.flush(out, None)

    async def one(self, request: bytes) -> None:
        """One question and its answer, counted."""
        async with self.free:
            if self.stopping:
                return
            connection = self.idle.pop()
            began = time.monotonic()
            self.now().sent += 1
            try:
                async with asyncio.timeout(TIMEOUT):
                    answer = await connection.ask(request)
            except (OSError, EOFError, TimeoutError) as error:
                connection.close()
                self.now().lost[type(error).__name__] += 1
            else:
                self.count(answer, (time.monotonic() - began) * 1000)
            finally:
                self.idle.append(connection)

    def count(self, answer: Answer, milliseconds: float) -> None:
        """Book an answer."""
        second = self.now()
        second.milliseconds.append(milliseconds)
        if not answer.model:
            second.lost[answer.status] += 1
            return
        second.served[answer.by] += 1
        if answer.status == "200":
            second.ok += 1
        else:
            second.failed[answer.status] += 1

    def flush(self, out: TextIO, before: int | None) -> None:
        """Write the seconds that are over."""
        for second in sorted(s for s in self.seconds if before is None or s < before):
            out.write(self.seconds.pop(second).line(second) + "\n")
            out.flush()


def _request(path: str, host: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _main(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    bodies = arguments.bodies.read_text().splitlines()
    with arguments.out.open("a") as out, contextlib.suppress(asyncio.CancelledError):
        await Load(arguments.url, bodies, arguments.rate, arguments.connections).run(stop, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="lab.load", description="A steady stream of requests, counted.")
    parser.add_argument("--url", required=True, help="where to POST")
    parser.add_argument("--bodies", required=True, type=Path, help="one request body per line")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--connections", type=int, default=16, help="most requests in flight")
    parser.add_argument("--out", required=True, type=Path, help="JSON lines, one per second")
    asyncio.run(_main(parser.parse_args()))
