"""The end-to-end stories: a real control plane, built once, and what this repository becomes on it.

The stories have deadlines, and share two cores with a dozen servers. One that fails is told once more, with the others that
failed, on a control plane of its own; what it left the first time is kept in out/e2e-first/. Failing twice is failing.
"""

import os
import shutil
import sys
from pathlib import Path

from lab.controlplane.seldon import Seldon
from lab.processes import LabError
from tests.stages import pytest, run

OUT, FIRST = Path("out/e2e"), Path("out/e2e-first")
STORIES = ("-s", "--show-capture=no", "-o", f"cache_dir={OUT}.cache", "tests/e2e")
BUILD = ("the control plane's programs: built once, into .cache", [sys.executable, "-m", "lab.controlplane", "build"])

# Control planes of their own, in two lanes.
OUTAGES = "tests/controlplane/test_outages.py"
OWN = (
    [("parts that go away, on a control plane of its own", pytest(OUTAGES))],
    [("another operator, a model that ran before, the way out, Ctrl-C", pytest("tests/controlplane", f"--ignore={OUTAGES}"))],
)


def main() -> int:
    """Build, tell the stories, and those that failed once more; then what needs control planes of its own. 2: a wrong setting."""
    try:
        Seldon.read(os.environ)
    except LabError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    for left in (FIRST, Path(f"{OUT}.cache")):
        shutil.rmtree(left, ignore_errors=True)
    if code := run([[BUILD]]):
        return code
    return _stories() or run(OWN)


def _stories() -> int:
    if run([[("the stories: real Argo CD on a real API server", pytest(*STORIES))]]) == 0:
        return 0
    OUT.rename(FIRST)
    print(f"e2e: what failed is told once more; what it left is in {FIRST}/", flush=True)
    return run([[("what failed, once more", pytest("--last-failed", "--last-failed-no-failures=none", *STORIES))]])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
