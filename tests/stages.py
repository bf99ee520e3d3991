"""Runs named commands one after another, with a line and a time for each; stops at the first that fails.

A stage that mostly waits may run beside the others: it begins first, and is told at its end, which is awaited last.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
Stage = tuple[str, Sequence[str]]


def tool(name: str, *words: str) -> list[str]:
    """A command of this environment."""
    return [str(BIN / name), *words]


def pytest(*words: str) -> list[str]:
    """A pytest run."""
    return tool("pytest", *words)


def run(stages: Sequence[Stage], beside: Stage | None = None) -> int:
    """Run all stages; return 0 when every one succeeded."""
    if beside is None:
        return _run(stages, len(stages))
    total, (name, command) = len(stages) + 1, beside
    with tempfile.TemporaryFile("w+") as told:
        print(f"stage {total}/{total}: {name}: begins, beside the others", flush=True)
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, start_new_session=True)
        code = 1
        try:
            code = _run(stages, total) or process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # what it started ends with it
                process.wait()
        told.seek(0)
        print(told.read(), end="")
        _say(f"stage {total}/{total}: {name}", process.returncode, began)
    return code


def _run(stages: Sequence[Stage], total: int) -> int:
    for number, (name, command) in enumerate(stages, 1):
        print(f"stage {number}/{total}: {name}", flush=True)
        began = time.monotonic()
        code = subprocess.run(command, check=False).returncode
        _say(f"stage {number}/{total}: {name}", code, began)
        if code:
            return code
    return 0


def _say(stage: str, code: int, began: float) -> None:
    print(f"{stage}: {'ok' if code == 0 else f'failed ({code})'}, {time.monotonic() - began:.0f} s", flush=True)
