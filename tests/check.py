"""What needs no processes: lint, types, import directions, the repository's own releases, and the core with all its branches."""

import sys

from tests.stages import run, tool

CORE = (
    "errors", "document", "release", "plan", "state", "decide", "change", "samples", "follow", "record", "history", "check",
    "propose",
)  # fmt: skip
INCLUDE = ",".join(f"rollout/{name}.py" for name in (*CORE, "gate/*"))

PLAIN = [
    ("lint", tool("ruff", "check", ".")),
    ("format", tool("ruff", "format", "--check", "--quiet", ".")),
    ("yaml", tool("yamllint", "--strict", "-c", ".yamllint.yaml", "base", "apps", "overlays", "argocd")),
    ("types", tool("mypy")),
    ("import directions", tool("lint-imports", "--no-cache")),
    ("the repository's own releases", tool("rollout", "check")),
]
CORE_TESTS = [
    ("core tests", tool("coverage", "run", "--branch", "-m", "pytest", "tests/core", "tests/gate")),
    ("core branches", tool("coverage", "report", "--fail-under=100", "--skip-covered", "--include", INCLUDE)),
]

if __name__ == "__main__":
    sys.exit(run([PLAIN], [CORE_TESTS]))
