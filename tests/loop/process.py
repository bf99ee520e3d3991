"""`rollout run` as a real process that a test can stop at a boundary and kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

AT = Path(__file__).with_name("at.py")
WRAPPER = """\
#!/bin/sh
# git, but it stops for good before or after the command that STOP_AT names, or waits before it, and tells so by a file
tell() { : > "$STOPPED"; }
for word in "$@"; do
  case "$STOP_AT" in
    "before $word") tell; exec sleep 600 ;;
    "after $word") "$REAL_GIT" "$@"; tell; exec sleep 600 ;;
    "wait $word") tell; while [ ! -e "$GO" ]; do sleep 0.02; done ;;
  esac
done
exec "$REAL_GIT" "$@"
"""


def wait(reached: Callable[[], object], what: str, within: float = 30) -> None:
    """Wait in real time until something holds."""
    end = time.monotonic() + within
    while not reached():
        assert time.monotonic() < end, f"{what} did not happen within {within:.0f} s"
        time.sleep(0.01)


@dataclass
class Machine:
    """Where controllers run: a folder with a git that can be stopped, and a cache that survives them."""

    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        wrapper = self.home / "bin/git"
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(WRAPPER)
        wrapper.chmod(0o755)

    @property
    def stopped(self) -> Path:
        """Exists once the process stands at the boundary."""
        return self.home / "stopped"

    @property
    def go(self) -> Path:
        """Exists once what waits may go on."""
        return self.home / "go"

    def launch(self, words: list[str], stop_at: str = "", env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start python with these words in a session of its own; its git stops at `stop_at`."""
        for file in (self.stopped, self.go):
            file.unlink(missing_ok=True)
        found = shutil.which("git")
        assert found
        told = {
            **os.environ,
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "REAL_GIT": found,
            "STOP_AT": stop_at,
            "STOPPED": str(self.stopped),
            "GO": str(self.go),
            **(env or {}),
        }
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *words], env=told, stdout=pipe, stderr=pipe, text=True, start_new_session=True, cwd=self.home
        )
        self.started.append(process)
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill, by -9, the process and everything it started."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def clean(self) -> None:
        """Kill what a failed test left."""
        for process in self.started:
            if process.poll() is None:
                self.kill(process)
