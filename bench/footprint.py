"""What the controller costs apart from its ticks: until it runs, on disk, and per line of a backtest.

- Start: a fresh interpreter that imports all that `rollout run` imports, from the first instruction to the last; median of some.
- Installed: the files of the distributions in requirements/core.txt, at the versions pinned there, and of rollout itself, without
  bytecode. Python is left out.
- Backtest: the command, from a file to a file, start included; median of some.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from statistics import median

from bench.stream import lines

ROOT = Path(__file__).resolve().parent.parent
PLAN = ROOT / "apps" / "credit" / "rollout.yaml"
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Footprint:
    """The figures. lines: how many the backtest was given."""

    start_s: float
    installed_mb: float
    lines: int
    lines_per_s: float


def measure(runs: int) -> Footprint:
    """Measure all of it, the backtest with the lines of `runs` rollouts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = Path(folder, "lines.jsonl")
        given.write_text("".join(f"{line}\n" for line in lines(PLAN, runs)))
        count = given.read_bytes().count(b"\n")
        seconds = median(_backtest(given, Path(folder, "answers.jsonl"), count) for _ in range(REPEATS))
    return Footprint(median(_start() for _ in range(3 * REPEATS)), _installed() / 1e6, count, count / seconds)


def _start() -> float:
    began = time.perf_counter()
    imports = "import rollout.cli, rollout.loop, rollout.server, rollout.services"
    subprocess.run([sys.executable, "-c", imports], cwd=ROOT, check=True)
    return time.perf_counter() - began


def _backtest(given: Path, answers: Path, count: int) -> float:
    words = [sys.executable, "-m", "rollout.cli", "backtest", "--plan", str(PLAN)]
    with given.open() as source, answers.open("w") as target:
        began = time.perf_counter()
        subprocess.run(words, cwd=ROOT, stdin=source, stdout=target, check=True)
        seconds = time.perf_counter() - began
    if answers.read_bytes().count(b"\n") != count:
        raise RuntimeError("the backtest did not answer every line")
    return seconds


def _installed() -> int:
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / "core.txt").read_text(), re.MULTILINE)
    return sum(_size(name, version) for name, version in pins) + sum(
        path.stat().st_size for path in (ROOT / "rollout").rglob("*.py")
    )


def _size(name: str, version: str) -> int:
    found = distribution(name)
    if found.version != version or found.files is None:
        raise RuntimeError(f"{name} {found.version} is installed, not {version}; `make setup` would be right")
    return sum(Path(str(file.locate())).stat().st_size for file in found.files if file.suffix != ".pyc")
