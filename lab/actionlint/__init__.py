"""actionlint, which reads workflows as the forge does, built once from its Go module: `python -m lab.actionlint`.

Its wheel on PyPI fetches a binary from elsewhere when it is installed; so it is built as the control plane's programs are: go.mod
names the version, go.sum the bytes, and its name in .cache says which they were.
"""

import hashlib
import os
import subprocess
from pathlib import Path

from lab.controlplane.build import go
from lab.processes import LabError

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "actionlint"


def program() -> Path:
    """The program; raise LabError where it is not built."""
    found = CACHE / f"actionlint-{_key()}"
    if not found.exists():
        raise LabError("actionlint is not built: run `python -m lab.actionlint`")
    return found


def build() -> Path:
    """Build it where it is not there yet."""
    found = CACHE / f"actionlint-{_key()}"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        new = CACHE / "new"
        words = [go(), "build", "-trimpath", "-mod=readonly", "-o", str(new), "github.com/rhysd/actionlint/cmd/actionlint"]
        done = subprocess.run(
            words, cwd=HERE, env={**os.environ, "CGO_ENABLED": "0"}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LabError(f"actionlint: `go build` ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        new.replace(found)
    return found


def _key() -> str:
    return hashlib.sha256((HERE / "go.mod").read_bytes() + (HERE / "go.sum").read_bytes()).hexdigest()[:16]
