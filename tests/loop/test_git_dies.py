"""Git dies in the middle of telling: what it told is not taken for the whole, everything holds, the next tick reads it again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .world import World, committed

pytestmark = pytest.mark.scenario
HALF = """\
#!/bin/sh
case " $* " in *" --raw "*) {git} "$@" | head -n {lines}; exit 9;; esac
exec {git} "$@"
"""


@pytest.mark.parametrize("lines", [0, 1, 3], ids=["nothing", "a commit's head", "some of it"])
def test_a_history_told_only_in_part_holds_and_is_read_again_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    world.start("credit", "2")
    world.pass_time(30)
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "git").write_text(HALF.format(git=shutil.which("git"), lines=lines))
    (folder / "git").chmod(0o755)
    world.restart()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        for _ in range(2):
            tick = world.tick()
            assert tick.hold_all == "git log ended with 9: the history was told only in part"
            assert committed(tick) == []
    assert [one.decision.canary for one in world.run(15)] == [5]
    states = []
    for _ in range(2):
        world.controller.tick(act=False)
        states.append({key: one.state for key, one in world.controller.history.releases.items()})
        world.restart()
    assert states[0] == states[1]


def test_a_reader_of_files_that_was_killed_holds_one_tick_and_is_begun_again(world: World) -> None:
    world.run(15)
    reader = world.controller.repo._blobs
    assert reader is not None
    reader.kill()
    reader.wait()
    world.start("credit", "2")
    world.pass_time(30)
    tick = world.tick()
    assert (tick.hold_all, committed(tick)) == ("git cat-file ended before it answered", [])
    assert [one.decision.canary for one in world.run(15)] == [5]
