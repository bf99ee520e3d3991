"""Runs named commands one after another, with a line and a time for each; stops at the first that fails.

Stages come in groups. One that mostly waits may run beside a group: it begins with the group's first, and is told when it has
ended, which is awaited before the next group.
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
Group = tuple[Sequence[Stage], Stage | None]  # one after another; what runs beside them


def tool(name: str, *words: str) -> list[str]:
    """A command of this environment."""
    return [str(BIN / name), *words]


def pytest(*words: str) -> list[str]:
    """A pytest run."""
    return tool("pytest", *words)


def run(*groups: Group) -> int:
    """Run all groups; return 0 when every stage succeeded."""
    total = sum(len(stages) + (beside is not None) for stages, beside in groups)
    number = 1
    for stages, beside in groups:
        code = _run(stages, number, total) if beside is None else _with(beside, stages, number, total)
        if code:
            return code
        number += len(stages) + (beside is not None)
    return 0


def _with(beside: Stage, stages: Sequence[Stage], number: int, total: int) -> int:
    name, command = beside
    stage = f"stage {number + len(stages)}/{total}: {name}"
    with tempfile.TemporaryFile("w+") as told:
        print(f"{stage}: begins, beside the next", flush=True)
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, start_new_session=True)
        code = 1
        try:
            code = _run(stages, number, total) or process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # what it started ends with it
                process.wait()
        told.seek(0)
        print(told.read(), end="")
        _say(stage, process.returncode, began)
    return code


def _run(stages: Sequence[Stage], number: int, total: int) -> int:
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
