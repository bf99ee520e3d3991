"""Runs named commands one after another, with a line and a time for each; stops at the first that fails.

Stages come in groups, one group after another. A second lane of stages may run beside a group's: what one of them says is
printed when it has ended.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
Stage = tuple[str, Sequence[str]]
Lane = Sequence[Stage]  # one after another


def tool(name: str, *words: str) -> list[str]:
    """A command of this environment."""
    return [str(BIN / name), *words]


def pytest(*words: str) -> list[str]:
    """A pytest run."""
    return tool("pytest", *words)


def run(*groups: Sequence[Lane]) -> int:
    """Run all groups, each of one lane or two; return 0 when every stage succeeded."""
    total = sum(len(lane) for lanes in groups for lane in lanes)
    number = 1
    for lanes in groups:
        code = _run(lanes[0], number, total) if len(lanes) == 1 else _both(*lanes, number, total)
        if code:
            return code
        number += sum(map(len, lanes))
    return 0


def _both(stages: Lane, beside: Lane, number: int, total: int) -> int:
    codes: list[int] = []
    over = threading.Event()
    lane = threading.Thread(target=lambda: codes.append(_beside(beside, number + len(stages), total, over)))
    lane.start()
    code = 1
    try:
        code = _run(stages, number, total)
    finally:
        if code:
            over.set()
        lane.join()
    return code or codes[0]


def _beside(stages: Lane, number: int, total: int, over: threading.Event) -> int:
    """Run a lane whose words are kept until a stage's end; `over` ends it, and what it started."""
    for place, (name, command) in enumerate(stages, number):
        stage = f"stage {place}/{total}: {name}"
        with tempfile.TemporaryFile("w+") as told:
            print(f"{stage}: begins, beside the others", flush=True)
            began = time.monotonic()
            process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, start_new_session=True)
            while process.poll() is None and not over.wait(0.5):
                pass
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            told.seek(0)
            print(told.read(), end="")
            _say(stage, process.returncode, began)
        if process.returncode:
            return process.returncode
    return 0


def _run(stages: Lane, number: int, total: int) -> int:
    for place, (name, command) in enumerate(stages, number):
        print(f"stage {place}/{total}: {name}", flush=True)
        began = time.monotonic()
        code = _await(command)
        _say(f"stage {place}/{total}: {name}", code, began)
        if code:
            return code
    return 0


def _await(command: Sequence[str]) -> int:
    """Run a command; Ctrl-C reaches it too, and it is given the time to stop what it started."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise


def _say(stage: str, code: int, began: float) -> None:
    print(f"{stage}: {'ok' if code == 0 else f'failed ({code})'}, {time.monotonic() - began:.0f} s", flush=True)
