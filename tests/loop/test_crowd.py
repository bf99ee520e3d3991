"""Pitfall 9: many releases, and others who push to the branch; servers that refuse; a start on top of a rollout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.loop import ATTEMPTS, Tick

from .repository import QUICK, Repository, folder, git, toggle_text, version_text
from .world import Load, World, committed

pytestmark = pytest.mark.scenario
Make = Callable[..., World]
APPS = [f"app-{number:02}" for number in range(50)]
BOT = """\
left=$(cat {home}/left)
[ "$left" -gt 0 ] || exit 0
echo $((left - 1)) > {home}/left
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
export GIT_COMMITTER_NAME=bot GIT_COMMITTER_EMAIL=b@x GIT_AUTHOR_NAME=bot GIT_AUTHOR_EMAIL=b@x
git update-ref refs/heads/main "$(git commit-tree 'main^{{tree}}' -p main -m 'bot: faster')"
"""
WALK = ["canary 2 at 20 %", "canary 2 at 50 %", "stable 1 -> 2", "canary 2 at 0 %", "close canary 2"]


@pytest.fixture
def crowd(make_world: Make) -> World:
    """A world in which canary 2 of all fifty starts."""
    world = make_world(apps=APPS, steps=QUICK)
    for app in APPS:
        world.cluster.loads[app] = Load(rate=60)
    world.pass_time(120)
    files: dict[str, str | None] = {}
    for app in APPS:
        files[f"{folder(app)}/model.yaml"] = version_text("model", app, "2")
        files[f"{folder(app)}/kustomization.yaml"] = toggle_text("in-rollout")
    world.repository.commit("all start 2", world.now, files)
    return world


def overtaken(world: World, times: int) -> None:
    """A bot is faster at the next pushes, at their very last moment."""
    (world.home / "left").write_text(str(times))
    world.repository.hook("pre-receive", BOT.format(home=world.home))


def bots(repository: Repository) -> int:
    """How many of the bot's commits are in the branch."""
    return sum(commit.author == "bot" for commit in repository.log())


def test_fifty_releases_step_while_a_bot_is_always_faster_twice(crowd: World) -> None:
    ticks: list[Tick] = []
    while sum("close canary 2" in subject for subject in crowd.repository.written()) < len(APPS):
        assert crowd.now < crowd.repository.log()[1].time + 900
        crowd.pass_time(15)
        overtaken(crowd, 2)
        ticks.append(crowd.tick())
    pushes = [tick for tick in ticks if committed(tick)]
    assert {(tick.retries, tick.hold_all, *tick.troubles) for tick in pushes} == {(2, "")}
    assert bots(crowd.repository) == 2 * len(pushes)
    assert all(one.commit for tick in ticks for one in tick.outcomes if one.decision.change), "nobody waits for others"
    for app in APPS:
        assert crowd.repository.written(app) == [f"{app}(prod): {subject}" for subject in WALK]
    linear_and_one_release_a_commit(crowd.repository)


def linear_and_one_release_a_commit(repository: Repository) -> None:
    """Fail unless every commit has one parent, and the controller's touch one release each."""
    lines = git(repository.path, "log", "--first-parent", "--format=commit %an|%P", "--name-only", "main").split("commit ")[1:]
    for line in lines:
        head, *paths = line.split("\n")
        author, _, parents = head.partition("|")
        assert len(parents.split()) <= 1
        if author == "rollout":
            assert len({path.split("/")[2] for path in paths if path}) == 1


def test_pushes_of_a_tick_are_bounded_and_the_next_tick_goes_on(world: World) -> None:
    world.start("credit", "2")
    world.pass_time(30)
    overtaken(world, 100)
    tick = world.tick()
    assert (tick.retries, tick.pushed, committed(tick)) == (ATTEMPTS, "", [])
    assert tick.troubles[0].startswith("push rejected: ")
    assert bots(world.repository) == ATTEMPTS
    overtaken(world, 0)
    assert [one.decision.canary for one in world.run(15)] == [5]


def test_a_protected_branch_is_told_with_the_servers_words_and_asked_once_a_tick(world: World, tmp_path: Path) -> None:
    counted = tmp_path / "pushes"
    world.start("credit", "2")
    world.repository.hook("pre-receive", f"echo x >> {counted}; echo 'GH006: Protected branch update failed' >&2; exit 1")
    world.run(15)
    for number in (1, 2, 3):
        tick = (world.pass_time(15), world.tick())[1]
        (told,) = tick.troubles
        assert told.startswith("push rejected: ")
        assert "GH006: Protected branch update failed" in told
        assert (tick.retries, counted.read_text().count("x")) == (1, number)
    (world.repository.path / "hooks/pre-receive").unlink()
    assert [one.decision.canary for one in world.run(15)] == [5]


def test_a_newer_version_forced_into_a_rollout_is_taken_out_and_stable_stays(world: World) -> None:
    before = world.repository.tree(folder("credit"))
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=60)
    model = {f"{folder('credit')}/model.yaml": version_text("model", "credit", "3")}
    world.repository.commit("credit: 3, forced in", world.now, model)
    world.run(15)
    assert world.repository.canary("credit") == 0, "within one tick"
    world.run(60)
    assert world.repository.tree(folder("credit")) == before
    for version in ("2", "3"):
        world.start("credit", version)
        world.run(60)
        assert world.repository.tree(folder("credit")) == before, "a machine's start of either is taken out"
