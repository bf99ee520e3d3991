"""Runs named commands one after another, with a line and a time for each; stops at the first that fails."""

import subprocess
import sys
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


def run(stages: Sequence[Stage]) -> int:
    """Run all stages; return 0 when every one succeeded."""
    for number, (name, command) in enumerate(stages, 1):
        print(f"stage {number}/{len(stages)}: {name}", flush=True)
        began = time.monotonic()
        code = subprocess.run(command, check=False).returncode
        print(
            f"stage {number}/{len(stages)}: {name}: {'ok' if code == 0 else f'failed ({code})'}, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
        if code:
            return code
    return 0
