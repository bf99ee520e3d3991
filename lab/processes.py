"""Children: started in their own process group with a log file, awaited with a deadline, stopped by their own pid.

No child outlives the lab: each asks the kernel for SIGKILL when its parent dies (so `kill -9` of the lab leaves
nothing behind), and an orderly end sends TERM, waits, and sends KILL to what is left.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)  # looked up before any fork: the child must not import

Probe = Callable[[], Awaitable[bool]]


class LabError(Exception):
    """Something the lab needs did not happen; the message says what, and shows the log's tail."""


@dataclass
class Process:
    """One child and its log."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stopping: bool = field(default=False)

    @property
    def pid(self) -> int:
        """The child's pid, which is also its process group."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """True until the child was seen to end."""
        return self.popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        """Send a signal to the child's whole group, if it still runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def _die_with(parent: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died between fork and prctl
        os._exit(1)


@dataclass
class Processes:
    """All children of one lab."""

    logs: Path
    children: list[Process] = field(default_factory=list)

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
        """Start a child from the main thread (the kernel ties its life to the thread that forks)."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        parent = os.getpid()
        with log.open("ab") as out:
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                process_group=0,
                preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509  # a prctl and a getppid, nothing that locks
            )
        process = Process(name, popen, log)
        self.children.append(process)
        return process

    async def stop(self, process: Process, grace: float = 10.0) -> None:
        """TERM, wait, KILL."""
        process.stopping = True
        process.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while process.running and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        process.signal(signal.SIGKILL)
        process.popen.wait()
        if process in self.children:
            self.children.remove(process)

    async def stop_all(self, grace: float = 5.0) -> None:
        """Stop everything, newest first, all at once."""
        await asyncio.gather(*(self.stop(process, grace) for process in reversed(list(self.children))))


async def until(what: str, probe: Probe, deadline: float, process: Process | None = None, every: float = 0.1) -> None:
    """Wait until the probe says yes; the process must stay alive meanwhile."""
    end = time.monotonic() + deadline
    while True:
        if process is not None and not process.running:
            raise LabError(f"{process.name} ended with {process.popen.returncode} before {what}\n{process.tail()}")
        if await probe():
            return
        if time.monotonic() > end:
            tail = f"\n{process.tail()}" if process else ""
            raise LabError(f"not within {deadline:g} s: {what}{tail}")
        await asyncio.sleep(every)


async def http_get(url: str, timeout: float = 2.0) -> tuple[int, str]:
    """GET; status 0 when nobody answers."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
            session.get(url) as answer,
        ):
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return 0, str(error)


async def listening(app: web.Application, port: int) -> web.AppRunner:
    """Serve on loopback; the runner's `cleanup` ends it."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    return runner


async def answers(url: str) -> bool:
    """True when the URL answers 200."""
    return (await http_get(url))[0] == 200


_handed_out: set[int] = set()


def free_port() -> int:
    """A free loopback port, never the same twice in this process."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port
