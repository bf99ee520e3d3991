"""Every check and every test: what `python -m tests.check` runs, then from plain git and kustomize to the whole loop."""

import sys

from tests.check import CORE_TESTS, PLAIN
from tests.stages import pytest, run

PIPELINES = ".venv-pipelines/bin/pytest"  # an environment of its own: ./setup.sh pipelines; the demo trains there, too
ORACLE = ".venv-oracle/bin/pytest"  # another: ./setup.sh oracle

ENVIRONMENTS = [
    ("the pipelines' environment", ["./setup.sh", "pipelines"]),
    ("actionlint: built once, into .cache", [sys.executable, "-m", "lab.actionlint"]),
    ("the oracle's environment", ["./setup.sh", "oracle"]),
]
TWO_CORES = [
    ("manifests: real kustomize, real git", pytest("-n", "2", "tests/manifests")),
    ("release: every operation's diff, every way back", pytest("-n", "2", "tests/release")),
    ("propose: promoted, told in words, counted", pytest("-n", "2", "tests/propose")),
    ("the simulator: its twin is the gate, each policy by hand", pytest("-n", "2", "tests/simulate")),
]
LOOP = [("the loop: real git, real Prometheus, faults", pytest("-n", "2", "--dist", "loadfile", "tests/loop"))]
ONE_CORE = [
    ("pipelines: from rows to a pull request; Kubeflow, MLflow, S3; every workflow", [PIPELINES, "tests/pipelines"]),
]
THE_OTHER = [
    ("the demo's story", pytest("tests/demo")),
    ("the images: locked installs and commands, without a container", pytest("tests/images")),
    ("the lab: real model servers, real Envoy, real Prometheus", pytest("tests/lab")),
    ("models: trained, saved, served", pytest("tests/model")),
    ("the gate's e-values are an independent library's", [ORACLE, "tests/oracle"]),
    ("bench: what it measures, not how fast", pytest("tests/bench")),
]

if __name__ == "__main__":
    sys.exit(run([PLAIN], [ENVIRONMENTS], [TWO_CORES], [LOOP, CORE_TESTS], [ONE_CORE, THE_OTHER]))
