"""`rollout rollback` finds the pull request's commit, reverts it, and says what will happen."""

from __future__ import annotations

import pytest

from rollout.gate import Verdict

from .conftest import At, name
from .repository import FOLDER, KEY, KNOWN, MODEL, POINTS, SHAPE, TRAFFIC, Desk

VETOED = "8 is vetoed until a person raises its attempt; push it, and Argo CD does the rest\n"
LEAVES, REPLACED = "canary 8 leaves at once", "stable 8 is replaced pod by pod"
GOING = dict.fromkeys(POINTS, LEAVES) | {
    "handing over": f"{LEAVES}, {REPLACED}",
    "handed over": f"{LEAVES}, {REPLACED}",
    "closed": REPLACED,
}


def rollback(desk: Desk) -> tuple[int, str, str]:
    return desk.rollout("rollback", str(KEY))


@pytest.mark.parametrize("form", ["squash", "merge"])
@pytest.mark.parametrize("point", POINTS)
def test_at_every_point_it_is_the_revert_of_the_pull_request(at: At, form: str, point: str) -> None:
    desk, by_hand = at(point, form), at(point, form)
    start = desk.id(name(form, "warming"))
    code, out, err = rollback(desk)
    told = f"{desk.id()[:10]} reverted {start[:10]}: prod/credit goes back to 7, {GOING[point]}; {VETOED}"
    assert (code, out, err) == (0, told, "")
    assert desk.id("HEAD^") == desk.id(name(form, point))
    by_hand.revert(start)
    assert desk.id("HEAD^{tree}") == by_hand.id("HEAD^{tree}")
    assert desk.git("log", "-1", "--format=%B") == by_hand.git("log", "-1", "--format=%B")


def test_while_an_abort_drains(at: At) -> None:
    desk = at("at 25 %")
    desk.act(Verdict.HARMFUL)
    assert rollback(desk).code == 0
    assert desk.settle() == ["at rest on 7"]
    assert desk.id(f"HEAD:{FOLDER}") == desk.id(f"squash/before:{FOLDER}")


def test_twice_goes_back_two_versions_and_no_further(at: At) -> None:
    desk = at("closed")
    desk.start("9")
    desk.settle()
    assert "prod/credit goes back to 8, stable 9 is replaced pod by pod; 9 is vetoed" in rollback(desk).out
    desk.settle()
    assert "prod/credit goes back to 7, stable 8 is replaced pod by pod; 8 is vetoed" in rollback(desk).out
    desk.settle()
    assert desk.id("HEAD^{tree}") == desk.id("squash/before^{tree}")
    refused = "rollout: prod/credit: no rollout brought 7, so there is no pull request to revert\n"
    assert rollback(desk) == (2, "", refused)


def test_after_an_abort_it_is_the_pull_request_of_the_version_that_runs(at: At) -> None:
    desk = at("closed")
    desk.start("9")
    desk.rollout("abort", str(KEY), "--reason", "no")
    assert "goes back to 7, stable 8 is replaced pod by pod; 8 is vetoed" in rollback(desk).out


def test_after_a_second_attempt_it_is_the_second_pull_request(at: At) -> None:
    desk = at("closed")
    rollback(desk)
    desk.settle()
    again = desk.start("8", "--attempt")
    desk.settle()
    assert f"reverted {again[:10]}: prod/credit goes back to 7" in rollback(desk).out
    desk.settle()
    assert desk.id("HEAD^{tree}") == desk.id("squash/before^{tree}")


def test_nothing_was_ever_walked(at: At) -> None:
    desk = at("before")
    refused = "rollout: prod/credit: no rollout brought 7, so there is no pull request to revert\n"
    assert rollback(desk) == (2, "", refused)


def unharmed(desk: Desk, message: str) -> None:
    """The rollback is refused in these words, and the work tree, index and HEAD stay what they were."""
    was = (desk.id(), desk.git("status", "--porcelain"), desk.git("diff", "HEAD"))
    assert rollback(desk) == (2, "", f"rollout: {message}\n")
    assert (desk.id(), desk.git("status", "--porcelain"), desk.git("diff", "HEAD")) == was


@pytest.mark.parametrize("path", [MODEL, TRAFFIC, "apps/credit/kustomization.yaml"])
@pytest.mark.parametrize("staged", [False, True], ids=["in the work tree", "in the index"])
def test_a_dirty_tree(at: At, path: str, staged: bool) -> None:
    desk = at("at 5 %")
    desk.write({path: lambda text: f"{text}# a remark\n"})
    if staged:
        desk.git("add", path)
    unharmed(desk, f"prod/credit: {path} has changes that are not committed; commit or stash them first")


def test_a_file_that_git_does_not_know_is_no_hindrance(at: At) -> None:
    desk = at("at 5 %")
    desk.write({"notes.txt": "mine\n"})
    assert rollback(desk).code == 0
    assert desk.git("status", "--porcelain") == "?? notes.txt\n"


def test_a_later_edit_of_the_same_lines(at: At) -> None:
    desk = at("closed")
    desk.commit("a remark", {MODEL: lambda text: text.replace("  modelUri", "  # the risk team's\n  modelUri")})
    start = desk.id("squash/warming")[:10]
    unharmed(desk, f"prod/credit: {start} does not revert cleanly: conflict in {MODEL}; newer changes are reverted first")


def test_a_release_that_came_in_rollout_has_nothing_before(at: At) -> None:
    desk = at("warming")
    alone = Desk(desk.path.with_name("alone"))
    desk.git("checkout-index", "--all", f"--prefix={alone.path}/")
    alone.git("init", "--quiet", "--initial-branch=main")
    alone.commit("all at once")
    nothing = "prod/credit: nothing is known from before its start; model.yaml and the toggle are set by hand"
    unharmed(alone, nothing)
    assert alone.rollout("abort", str(KEY), "--reason", "no") == (2, "", f"rollout: {nothing}\n")


def test_a_release_that_came_later_in_rollout_has_nothing_before(at: At) -> None:
    desk = at("warming")
    desk.git("rm", "-r", "--quiet", FOLDER)
    desk.commit("gone")
    desk.git("checkout", "--quiet", "HEAD^", "--", FOLDER)
    desk.commit("back, in rollout")
    unharmed(desk, "prod/credit: nothing is known from before its start; model.yaml and the toggle are set by hand")


@pytest.mark.parametrize("command", [("rollback",), ("abort", "--reason", "no")], ids=["rollback", "abort"])
def test_no_such_release(at: At, command: tuple[str, ...]) -> None:
    desk = at("closed")
    refused = f"rollout: release: prod/loans is not in the repository; known: {KNOWN}\n"
    assert desk.rollout(command[0], "prod/loans", *command[1:]) == (2, "", refused)


@pytest.mark.parametrize("command", [("rollback",), ("abort", "--reason", "no")], ids=["rollback", "abort"])
def test_no_history(at: At, command: tuple[str, ...]) -> None:
    desk = at("closed")
    cut = Desk(desk.path.with_name("cut"))
    desk.git("clone", "--quiet", "--depth=1", f"file://{desk.path}", str(cut.path))
    refused = "rollout: --repo: . is a shallow clone; `git fetch --unshallow` would be right\n"
    assert cut.rollout(command[0], str(KEY), *command[1:]) == (2, "", refused)


def test_no_repository(tmp_path) -> None:
    refused = "rollout: --repo: . is no git repository; a clone of the deployment repository would be right\n"
    assert rollback(Desk(tmp_path)) == (2, "", refused)


def test_a_release_that_cannot_be_read(at: At) -> None:
    desk = at("closed")
    desk.commit("oops", {SHAPE: lambda text: text.replace("at-rest", "paused")})
    code, out, err = rollback(desk)
    right = "one line, ../../../../base/at-rest or ../../../../base/in-rollout, would be right"
    assert (code, out, err) == (2, "", f"rollout: {SHAPE}: components: is ['../../../../base/paused']; {right}\n")
