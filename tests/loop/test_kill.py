"""Pitfall 4: killed at any boundary, and two at once: the same commits, to the last bit of their ids, as without."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import pytest

from rollout.git import Rejected, Write, clone
from rollout.loop import Controller, Tick

from .process import AT, Machine, wait
from .repository import QUICK
from .world import Load, World, beginning

pytestmark = pytest.mark.scenario
BEGIN = beginning()
SUBJECTS = [
    "credit(prod): canary 2 at 20 %",
    "credit(prod): canary 2 at 50 %",
    "credit(prod): stable 1 -> 2",
    "credit(prod): canary 2 at 0 %",
    "credit(prod): close canary 2",
]


class Walk(NamedTuple):
    """An undisturbed walk: the branch's tip after it, and when it committed."""

    head: str
    times: list[int]


def begun(home: Path) -> World:
    """A world in which canary 2 starts; every such world is the same to the last bit."""
    home.mkdir()
    world = World.make(home, BEGIN, steps=QUICK)
    world.cluster.loads["credit"] = Load(rate=200)
    world.pass_time(300)
    world.start("credit", "2")
    return world


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    world = begun(tmp_path_factory.mktemp("undisturbed") / "world")
    world.run(420, every=30)
    assert world.repository.written() == SUBJECTS
    times = [commit.time for commit in world.repository.log() if commit.author == "rollout"]
    world.stop()
    return Walk(world.repository.head(), times)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = begun(tmp_path / "world")
    yield world
    world.stop()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "machine")
    yield machine
    machine.clean()


def once(world: World, machine: Machine, stop_at: str = "", cache: str = "cache", late: int = 0) -> Popen[str]:
    """Launch `rollout run --once` at the world's time."""
    where = ["--repo", world.repository.url, "--cache", str(machine.home / cache), "--env", "prod"]
    asked = ["--prometheus", world.proxy.url, "--argocd", world.argocd.url]
    return machine.launch([str(AT), str(world.now + late), "run", "--once", *where, *asked], stop_at)


def finish(process: Popen[str]) -> str:
    """Let a process end by itself; return its log."""
    out, log = process.communicate(timeout=60)
    assert process.returncode == 0, out + log
    return log


def at_every_commit(world: World, walk: Walk, disturb: Callable[[], None], machine: Machine) -> None:
    """Walk again; at every moment of a commit, disturb, and then run undisturbed, in this process as it is quicker."""
    for moment in walk.times:
        world.pass_time(moment - world.now)
        disturb()
        controller = world.fresh(cache=machine.home / "cache")
        assert not controller.tick().hold_all
        controller.repo.close()
    assert world.repository.written() == SUBJECTS
    assert world.repository.head() == walk.head


@pytest.mark.parametrize(
    ("boundary", "committed"),
    [
        ("before fetch", False),
        ("after fetch", False),
        ("before fast-import", False),
        ("after fast-import", False),
        ("before push", False),
        ("after push", True),
    ],
)
def test_killed(undisturbed: Walk, world: World, machine: Machine, boundary: str, committed: bool) -> None:
    def disturb() -> None:
        before = world.repository.head()
        process = once(world, machine, boundary)
        wait(machine.stopped.exists, boundary)
        machine.kill(process)
        assert (world.repository.head() != before) is committed

    at_every_commit(world, undisturbed, disturb, machine)


def test_killed_while_prometheus_answers(undisturbed: Walk, world: World, machine: Machine) -> None:
    asked, release = threading.Event(), threading.Event()

    def slowly(body: bytes) -> tuple[int, bytes]:
        asked.set()
        release.wait(30)
        return 200, body

    def disturb() -> None:
        if "stable 1 -> 2" in world.repository.log()[-1].subject or not world.repository.canary("credit"):
            return  # Prometheus is not asked any more
        asked.clear()
        release.clear()
        world.proxy.fault = slowly
        process = once(world, machine)
        assert asked.wait(30)
        machine.kill(process)
        world.proxy.fault = None
        release.set()

    at_every_commit(world, undisturbed, disturb, machine)


def test_killed_while_the_server_takes_the_push(undisturbed: Walk, world: World, machine: Machine) -> None:
    world.repository.hook("pre-receive", f": > {machine.stopped}; while [ ! -e {machine.go} ]; do sleep 0.02; done")

    def disturb() -> None:
        before = world.repository.head()
        process = once(world, machine)
        wait(machine.stopped.exists, "the hook")
        process.kill()
        process.wait()
        machine.go.touch()
        wait(lambda: world.repository.head() != before and not (world.repository.path / "HEAD.lock").exists(), "the push")
        machine.kill(process)

    at_every_commit(world, undisturbed, disturb, machine)


def test_what_a_killed_git_left_locked_is_no_obstacle(undisturbed: Walk, world: World, machine: Machine) -> None:
    def disturb() -> None:
        cache = machine.home / "cache"
        process = once(world, machine, "before fast-import")
        wait(machine.stopped.exists, "the boundary")
        machine.kill(process)
        for name in ("refs/remotes/origin/main", "packed-refs", "config", "shallow", "HEAD"):
            lock = cache / f"{name}.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.touch()

    at_every_commit(world, undisturbed, disturb, machine)


@pytest.mark.parametrize("made", ["before remote", "after remote"])
def test_killed_while_the_cache_is_made(undisturbed: Walk, world: World, machine: Machine, made: str) -> None:
    process = once(world, machine, made)
    wait(machine.stopped.exists, made)
    machine.kill(process)
    at_every_commit(world, undisturbed, lambda: None, machine)


def test_two_at_once_one_of_them_late(undisturbed: Walk, world: World, machine: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path / "other")

    def disturb() -> None:
        late = once(world, other, "wait push", late=1)
        wait(other.stopped.exists, "the push of the late one")
        finish(once(world, machine))
        other.go.touch()
        assert "push rejected" not in finish(late), "it looks again, and finds nothing left to do"

    at_every_commit(world, undisturbed, disturb, machine)


def test_two_at_once_in_one_cache(undisturbed: Walk, world: World, machine: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path / "other")

    def disturb() -> None:
        pair = [once(world, one, cache=str(tmp_path / "cache")) for one in (machine, other)]
        for process in pair:
            finish(process)

    at_every_commit(world, undisturbed, disturb, machine)


def test_what_two_write_at_once_in_one_cache_is_each_ones_own(world: World, tmp_path: Path) -> None:
    def work(name: str) -> None:
        repo = clone(world.repository.url, tmp_path / "cache", "main", {})
        for number in range(20):
            tip = repo.write(repo.fetch(), [Write(f"{name} {number}", {f"notes/{name}": str(number)})], int(world.now), "a <a@x>")
            assert repo.run("log", "-1", "--format=%s", tip).strip() == f"{name} {number}"
            with suppress(Rejected):
                repo.push(tip)
        repo.close()

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, ("one", "other")))
    assert len(world.repository.log("--", "notes")) >= 20, "whoever is rejected was overtaken"


def test_two_at_once_all_the_way(undisturbed: Walk, world: World) -> None:
    world.run(30, every=30)
    pair = [world.fresh(), world.fresh(clock=lambda: world.now + 1)]
    while world.now < undisturbed.times[-1] + 60:
        done: list[Tick] = []
        threads = [threading.Thread(target=_tick, args=(one, done)) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [tick.hold_all for tick in done] == ["", ""]
        world.pass_time(15)
    assert world.repository.written() == SUBJECTS


def _tick(controller: Controller, done: list[Tick]) -> None:
    done.append(controller.tick())
