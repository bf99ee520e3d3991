"""Ctrl-C on `make e2e`'s program, in the middle of the stories: it ends by itself, and nothing that it started runs on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.controlplane.world import ROOT

PATIENCE = 600  # seconds until the stories are under way, on a slow machine


def processes():
    """Of everything that runs: pid -> (parent, when it began, its words)."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, *rest = (folder / "stat").read_text().rpartition(") ")[2].split()
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if state != "Z":
            found[int(folder.name)] = (int(parent), rest[17], words)
    return found


def family(root):
    """A process and all that descend from it: pid -> when it began."""
    table, found = processes(), {root}
    while more := {pid for pid, (parent, _, _) in table.items() if parent in found} - found:
        found |= more
    return {pid: table[pid][1] for pid in found if pid in table}


@pytest.mark.scenario
@pytest.mark.timeout(1800)
def test_ctrl_c_leaves_no_process(tmp_path):
    clone = tmp_path / "clone"  # so that it writes its logs there
    subprocess.run(["git", "clone", "-q", "--shared", ROOT, clone], check=True)
    (clone / ".cache").symlink_to(ROOT / ".cache")
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e"],
            cwd=clone,
            env={**os.environ, "PYTHONPATH": str(clone)},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # a shell in the background has its children ignore SIGINT, and so would theirs
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # one signal call, nothing that locks
        )
    try:
        began, logs = time.monotonic(), clone / "out" / "e2e" / "logs"
        while not list(logs.glob("rollout.rollout-controller-*.log")):  # Pods run: everything is under way
            assert running.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() - began < PATIENCE, (tmp_path / "said").read_text()
            time.sleep(1)
        before = family(running.pid)
        names = {Path(words.split(" ")[0]).name for pid, (_, _, words) in processes().items() if pid in before}
        assert {"etcd", "kube-apiserver", "argocd", "redis-server", "envoy"} <= names
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the program and to pytest, not to what they started
        assert running.wait(PATIENCE) == 130
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)  # with pytest, and so with what asks to die with it
            running.wait()
    left = {
        words
        for pid, (_, since, words) in processes().items()
        if before.get(pid) == since or str(clone) in words or str(tmp_path) in words
    }
    assert left == set()
