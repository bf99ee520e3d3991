"""The audit agrees with every story, and names the commit in which a number, a sentence or a tree is not what it was."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from .repository import Repository, dated, folder, git
from .world import WIDTH, Load, World

pytestmark = pytest.mark.scenario
ROLLOUT = str(Path(sys.executable).with_name("rollout"))


def audit(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `rollout audit`."""
    return subprocess.run([ROLLOUT, "audit", "--repo", str(repository), *words], capture_output=True, text=True, check=False)


def agrees(world: World) -> None:
    """Fail with the audit's words unless it agrees with every one of the controller's commits."""
    done = audit(world.repository.path)
    assert done.returncode == 0, done.stdout + done.stderr
    number = len(world.repository.written())
    assert done.stdout.splitlines()[-1] == f"{number} of {number} decisions follow from their commits"


def walked(world: World) -> None:
    """Canary 2 walks to 100 %."""
    world.start("credit", "2")
    world.until(lambda: world.repository.written()[-1:] == ["credit(prod): close canary 2"], within=1500, every=30)


def test_a_walk_an_abort_and_a_rollback(world: World) -> None:
    walked(world)
    load = world.cluster.loads["credit"]
    load.failing = lambda arm, version, when: 0.2 if version == "3" else 0.002
    world.start("credit", "3")
    world.until(lambda: world.repository.written()[-1] == "credit(prod): close canary 3", within=600)
    started = next(commit.id for commit in world.repository.log() if commit.subject == "credit: start 2")
    world.repository.revert(started, world.now)
    world.run(30)
    assert world.repository.written()[-1] == "credit(prod): tidy stable 2 -> 1"
    agrees(world)


def test_a_walk_during_which_the_controller_began_anew_again_and_again(world: World) -> None:
    world.start("credit", "2")
    for _ in range(18):
        world.restart()
        world.run(60, every=60)
    assert world.repository.written()[-1] == "credit(prod): close canary 2"
    agrees(world)


def test_a_step_made_by_hand(world: World) -> None:
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=120)
    world.run(120)
    world.repository.step("credit", 10, world.now)
    world.run(120)
    world.repository.step("credit", 25, world.now)
    world.run(600, every=30)
    assert world.repository.written()[-1] == "credit(prod): close canary 2"
    agrees(world)


def aborted(world: World) -> None:
    """Canary 2 begins to fail, and is taken out."""
    world.cluster.loads["credit"].failing = lambda arm, version, when: 0.2 if version == "2" else 0.002
    world.until(lambda: world.repository.written()[-1] == "credit(prod): close canary 2", within=600)


def test_an_abort_after_steps_made_by_hand(world: World) -> None:
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=120)
    for percent in (10, 25):
        world.run(120)
        world.repository.step("credit", percent, world.now)
    world.run(60)
    aborted(world)
    agrees(world)


@pytest.mark.parametrize("skew", [-200, 200])
def test_an_abort_where_a_persons_clock_is_wrong(world: World, skew: int) -> None:
    world.repository.start("credit", "2", world.now + skew)
    world.until(lambda: world.repository.canary("credit") == 5, within=600)
    world.run(120)
    aborted(world)
    agrees(world)


def test_a_first_step_made_by_hand(world: World) -> None:
    world.start("credit", "2")
    world.now += 1
    world.repository.step("credit", 5, world.now)
    world.now += WIDTH - 1
    world.run(900, every=30)
    assert world.repository.written()[-1] == "credit(prod): close canary 2"
    agrees(world)


def test_a_plan_changed_in_the_middle(world: World) -> None:
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 25, within=600)
    text = world.repository.text("apps/credit/rollout.yaml")
    looser = text.replace("dwell: 5m", "dwell: 3m") + "  gates: {errors: {ratio: 1.2}, safety: {floor: 0.01}}\n"
    world.repository.commit("a looser plan", world.now, {"apps/credit/rollout.yaml": looser})
    world.run(600, every=30)
    assert world.repository.written()[-1] == "credit(prod): close canary 2"
    agrees(world)


def test_two_releases_side_by_side(world: World) -> None:
    world.cluster.loads["savings"] = Load(rate=20)
    world.pass_time(600)
    world.start("credit", "2")
    world.run(60)
    world.start("savings", "2")
    world.run(1200, every=30)
    assert world.repository.written("savings")[-1] == "savings(prod): close canary 2"
    agrees(world)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The server's repository after canary 2 walked to 100 %."""
    from .world import beginning  # noqa: PLC0415

    world = World.make(tmp_path_factory.mktemp("story"), beginning())
    world.cluster.loads["credit"] = Load()
    world.pass_time(600)
    walked(world)
    world.stop()
    return world.repository


def forged(
    story: Repository, home: Path, subject: str, *, message: Callable[[str], str] = str, files: dict[str, str] | None = None
) -> Path:
    """A copy of the story in which one commit was rewritten, and what came after it put on top again."""
    work = home / "forged"
    git(home, "clone", "--quiet", str(story.path), str(work))
    chain = story.log()
    place = next(number for number, commit in enumerate(chain) if commit.subject == subject)
    parent = chain[place - 1].id
    for commit in chain[place:]:
        tree, text = f"{commit.id}^{{tree}}", git(work, "log", "-1", "--format=%B", commit.id)
        if commit is chain[place]:
            text = message(text)
            if files:
                git(work, "read-tree", commit.id)
                for name, body in files.items():
                    (work / "forged-file").write_text(body)
                    blob = git(work, "hash-object", "-w", "forged-file").strip()
                    git(work, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
                tree = git(work, "write-tree").strip()
        (work / "message").write_text(text)
        parent = git(work, "commit-tree", tree, "-p", parent, "-F", "message", env=dated(commit.time)).strip()
    git(work, "update-ref", "refs/heads/main", parent)
    return work


def disagreement(work: Path, subject: str) -> str:
    """What the audit says of the one commit it does not agree with."""
    done = audit(work, "--json", "--branch", "main")
    assert done.returncode == 1, done.stdout + done.stderr
    wrong = [one for one in json.loads(done.stdout)["decisions"] if not one["agrees"]]
    assert [one["subject"] for one in wrong] == [subject]
    assert git(work, "log", "-1", "--format=%s", str(wrong[0]["commit"])).strip() == subject
    return str(wrong[0]["problem"])


def fewer_errors(text: str) -> str:
    """The message with one request less in the first recorded batch that has any."""
    packed = re.search(r"Rollout-Batches: (\S+)", text)[1]
    plain = json.loads(zlib.decompress(base64.b64decode(packed)))
    row = next(row for row in plain["batches"] if row[5] and row[5][0])
    row[5][0] -= 1
    return text.replace(packed, base64.b64encode(zlib.compress(json.dumps(plain).encode(), 9)).decode())


def test_nothing_forged_is_agreed_with(story: Repository, tmp_path: Path) -> None:
    work = forged(story, tmp_path, "credit(prod): canary 2 at 25 %")
    done = audit(work, "--branch", "main")
    assert done.stdout.splitlines()[-1] == "5 of 5 decisions follow from their commits", done.stdout


def test_a_number_that_was_changed(story: Repository, tmp_path: Path) -> None:
    subject = "credit(prod): canary 2 at 25 %"
    problem = disagreement(forged(story, tmp_path, subject, message=fewer_errors), subject)
    assert re.match(r"its sentence is .canary .*, its numbers say .canary ", problem)


def test_a_sentence_that_was_changed(story: Repository, tmp_path: Path) -> None:
    subject = "credit(prod): stable 1 -> 2"
    work = forged(story, tmp_path, subject, message=lambda text: text.replace("safety e-value", "safety value"))
    assert re.match(r"its sentence is .*safety value .*, its numbers say .*safety e-value ", disagreement(work, subject))


@pytest.mark.parametrize(("spelled", "agreed"), [("2.8e+03", True), ("2.9e+03", False), ("28e+02", False)])
def test_a_number_in_the_spelling_of_older_commits_is_the_same_number(
    world: World, tmp_path: Path, spelled: str, agreed: bool
) -> None:
    world.cluster.loads["credit"].live = lambda committed: 0
    world.start("credit", "2")
    world.until(lambda: world.repository.written()[-1:] == ["credit(prod): close canary 2"], within=600)
    abort = world.repository.log()[-2].subject

    def before(text: str) -> str:
        assert " share e-value 2 800 >= 900\n" in text
        return text.replace("2 800", spelled)

    done = audit(forged(world.repository, tmp_path, abort, message=before), "--json", "--branch", "main")
    found = {one["subject"]: one["agrees"] for one in json.loads(done.stdout)["decisions"]}
    assert found[abort] is agreed  # the close after it names it by its id, which the forging has changed


def test_a_decision_that_its_numbers_do_not_support(story: Repository, tmp_path: Path) -> None:
    subject = "credit(prod): canary 2 at 25 %"

    def early(text: str) -> str:
        packed = re.search(r"Rollout-Batches: (\S+)", text)[1]
        plain = json.loads(zlib.decompress(base64.b64decode(packed)))
        del plain["batches"][3:]
        return text.replace(packed, base64.b64encode(zlib.compress(json.dumps(plain).encode(), 9)).decode())

    problem = disagreement_first(forged(story, tmp_path, subject, message=early), subject)
    assert problem.startswith("says advance, its numbers say hold: ")


def disagreement_first(work: Path, subject: str) -> str:
    """What the audit says of the first commit it does not agree with; what builds on it may be wrong as well."""
    done = audit(work, "--json", "--branch", "main")
    assert done.returncode == 1
    wrong = [one for one in json.loads(done.stdout)["decisions"] if not one["agrees"]]
    assert wrong[0]["subject"] == subject
    return str(wrong[0]["problem"])


def test_a_tree_that_was_changed(story: Repository, tmp_path: Path) -> None:
    subject = "credit(prod): canary 2 at 0 %"
    path = f"{folder('credit')}/stable.yaml"
    text = story.text(path).replace("ab" * 32, "cd" * 32)
    problem = disagreement_first(forged(story, tmp_path, subject, files={path: text}), subject)
    assert problem == "its files are not what complete writes"


def test_a_commit_that_touches_another_release(story: Repository, tmp_path: Path) -> None:
    subject = "credit(prod): canary 2 at 25 %"
    path = f"{folder('savings')}/traffic.yaml"
    work = forged(story, tmp_path, subject, files={path: story.text(path) + "# forged\n"})
    assert disagreement_first(work, subject) == f"touches {path}, which is not prod/credit's"


def test_batches_that_cannot_be_read(story: Repository, tmp_path: Path) -> None:
    subject = "credit(prod): canary 2 at 25 %"
    work = forged(story, tmp_path, subject, message=lambda text: text.replace("Rollout-Batches: ", "Rollout-Batches: x"))
    assert disagreement_first(work, subject).startswith("batches that cannot be read: ")


def test_a_shallow_clone_is_refused(story: Repository, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{story.path}", "shallow")
    done = audit(tmp_path / "shallow")
    assert done.returncode == 2
    assert done.stderr == f"rollout: --repo: {tmp_path / 'shallow'} is a shallow clone; a full one would be right\n"


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    done = audit(tmp_path)
    assert done.returncode == 2
    said = f"rollout: --repo: {tmp_path} is no git repository; a clone of the deployment repository would be right\n"
    assert done.stderr == said
