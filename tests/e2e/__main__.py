"""The end-to-end stories: a real control plane, built once, and what this repository becomes on it."""

import sys

from tests.stages import pytest, run

STAGES = [
    ("the control plane's programs: built once, into .cache", [sys.executable, "-m", "lab.controlplane", "build"]),
    ("the stories: real Argo CD on a real API server", pytest("-s", "tests/e2e")),
]

if __name__ == "__main__":
    sys.exit(run(STAGES))
