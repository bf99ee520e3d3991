"""No child outlives the lab, a failure shows the log, and nothing listens beyond loopback."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.processes import LabError, Processes, free_port, until

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import sys, time
from pathlib import Path
from lab.processes import Processes
children = Processes(Path(sys.argv[1]))
for name in "ab":
    print(children.start(name, ["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_kill_9_of_the_parent_leaves_no_children(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in pids)


def test_a_child_that_ends_too_early_is_reported_with_the_end_of_its_log(tmp_path):
    async def story():
        child = Processes(tmp_path).start("broken", ["sh", "-c", "echo cannot bind; exit 4"])

        async def never():
            return False

        with pytest.raises(LabError, match=r"broken ended with 4 before it is up\ncannot bind"):
            await until("it is up", never, 5, child)

    asyncio.run(story())


def test_a_child_that_ignores_term_is_killed_with_its_whole_group(tmp_path):
    async def story():
        children = Processes(tmp_path)
        child = children.start("deaf", ["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"])
        await asyncio.sleep(0.3)
        await children.stop_all(grace=0.3)
        await asyncio.sleep(0.1)
        assert not child.running
        assert not alive(int(child.log.read_text()))
        assert children.children == []

    asyncio.run(story())


def test_free_ports_are_never_handed_out_twice():
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200


LAB = """
import asyncio, sys
from pathlib import Path
from lab.__main__ import _stoppable
from lab.world import World

async def story():
    async with World(Path(sys.argv[1]) / "lab", with_controller=False) as world:
        print(*(child.pid for child in world.processes.children), flush=True)
        await asyncio.sleep(600)

sys.exit(asyncio.run(_stoppable(story())))
"""


@pytest.mark.scenario
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_lab_stops_every_process_it_started(tmp_path, number):
    with subprocess.Popen([sys.executable, "-c", LAB, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as lab:
        pids = [int(pid) for pid in lab.stdout.readline().split()]
        assert len(pids) == 2
        lab.send_signal(number)
        said, _ = lab.communicate(timeout=20)
    assert lab.returncode == 130
    assert b"every process has ended" in said
    assert not any(alive(pid) for pid in pids)


def listening(pid: int) -> set[str]:
    """Addresses on which a process listens (TCP) or is bound (UDP), as /proc writes them."""
    sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.exists() or link.is_symlink()}
    inodes = {found[1] for name in sockets if (found := re.match(r"socket:\[(\d+)\]", name))}
    addresses = set()
    for table, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in states and fields[9] in inodes:
                addresses.add(fields[1].rpartition(":")[0])
    return addresses


@pytest.mark.scenario
def test_nothing_listens_beyond_loopback(play):
    async def story(stage):
        stage.model("1")
        await stage.release("1")
        await stage.healthy()
        pids = [os.getpid(), *(child.pid for child in stage.world.processes.children)]
        assert len(pids) == 4
        for pid in pids:
            assert listening(pid) <= {"0100007F"}, pid  # 127.0.0.1

    play(story)
