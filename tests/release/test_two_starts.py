"""One rollout at a time: two starts of one release conflict by themselves, and one that is forced in is taken out again."""

from __future__ import annotations

import pytest

from rollout.decide import Change
from rollout.state import Kind

from .conftest import At
from .repository import FOLDER, KEY, MODEL, SHAPE, TRAFFIC, Desk, Edit, rename, run, wanted

IN_ROLLOUT = ("warming", "at 5 %", "at 25 %", "handing over", "handed over")


def opened(desk: Desk, branch: str, version: str, *more: str) -> None:
    """Open a pull request that starts a version, from main."""
    desk.git("switch", "--quiet", "--create", branch, "main")
    desk.start(version, *more)
    desk.git("switch", "--quiet", "main")


@pytest.mark.parametrize("form", ["squash", "no-ff"])
@pytest.mark.parametrize("second", ["9", "8"], ids=["another version", "the same version on another image"])
def test_two_open_starts_conflict_so_the_second_waits_for_the_first(at: At, form: str, second: str) -> None:
    desk = at("before")
    opened(desk, "first", "8")
    opened(desk, "second", second, "--image", "registry.example.com/models/model-server:2.0")
    desk.merge("first", "squash" if form == "squash" else "merge")
    code, out, _ = run(desk.path, "git", "merge", f"--{form}", "second")
    assert (code, f"CONFLICT (content): Merge conflict in {MODEL}" in out) == (1, True)


def test_starts_of_two_releases_do_not_conflict(at: At) -> None:
    desk = at("before")
    opened(desk, "first", "8")
    desk.git("switch", "--quiet", "--create", "second")
    words = ("--version", "9", "--model-uri", "s3://models/savings/9", "--sha256", "a9" * 32)
    assert desk.rollout("start", "prod/savings", *words).code == 0
    desk.commit("savings(prod): start 9")
    desk.git("switch", "--quiet", "main")
    desk.merge("first", "squash")
    desk.merge("second", "squash")
    assert desk.state().kind == Kind.WARMING


@pytest.mark.parametrize("point", IN_ROLLOUT)
def test_the_command_starts_one_at_a_time(at: At, point: str) -> None:
    refused = "rollout: prod/credit is in rollout to 8; one at a time: let it end, or revert its pull request\n"
    assert at(point).rollout("start", str(KEY), *wanted("9")) == (2, "", refused)


@pytest.mark.parametrize("point", IN_ROLLOUT)
def test_a_second_version_in_rollout_is_refused(at: At, point: str) -> None:
    desk = at(point).alone()
    desk.commit("9 instead", {MODEL: rename("8", "9")})
    refused = f"{MODEL}: spec.version: is '9' while 8 is in rollout; one at a time\n1 release, 1 problem\n"
    assert desk.rollout("check", "--base", "HEAD^") == (2, refused, "")


@pytest.mark.parametrize("point", IN_ROLLOUT[1:])
def test_a_second_version_forced_in_is_taken_out_with_the_first(at: At, point: str) -> None:
    desk = at(point)
    forced = desk.commit("9 instead", {MODEL: rename("8", "9")})
    walk = desk.state().walk
    assert walk is not None
    assert walk.vetoed == f"model.yaml changed from 8 to 9 in rollout, in {forced[:10]}"
    zero = [] if point == "handed over" else ["credit(prod): canary 9 at 0 %"]
    assert desk.settle() == [*zero, "credit(prod): close canary 9", "at rest on 7"]
    assert desk.id(f"HEAD:{FOLDER}") == desk.id(f"squash/before:{FOLDER}")
    assert {veto.model.version for veto in desk.state().vetoes} == {"8", "9"}


def test_a_second_version_forced_in_before_any_traffic_is_the_one_that_is_walked(at: At) -> None:
    desk = at("warming")
    desk.commit("9 instead", {MODEL: rename("8", "9")})
    state = desk.state()
    assert (state.kind, state.release.model.version, [veto.model.version for veto in state.vetoes]) == (Kind.WARMING, "9", ["8"])
    assert desk.rollout("abort", str(KEY), "--reason", "no").code == 0
    assert desk.id(f"HEAD:{FOLDER}") == desk.id(f"squash/before:{FOLDER}")


BY_HAND: dict[str, Edit] = {MODEL: rename("7", "9"), SHAPE: lambda text: text.replace("at-rest", "in-rollout")}


def test_a_start_that_inherits_traffic_is_refused_and_forced_in_it_is_taken_out(at: At) -> None:
    desk = at("at 25 %")
    desk.revert("squash/warming")
    forced = desk.commit("start 9 by hand", BY_HAND)
    walk = desk.state().walk
    assert walk is not None
    assert walk.vetoed == "the start of 9 inherited a canary at 25 %"
    subjects = ["canary 9 at 0 %", "close canary 9", "tidy canary 25 -> 0 %"]
    assert desk.settle() == [*(f"credit(prod): {one}" for one in subjects), "at rest on 7"]
    assert desk.id(f"HEAD:{FOLDER}") == desk.id(f"squash/before:{FOLDER}")
    desk.git("switch", "--quiet", "--detach", forced)
    refused = f"{TRAFFIC}: spec.canary: is 25 at the start; 0 would be right\n1 release, 1 problem\n"
    assert desk.alone().rollout("check", "--base", "HEAD^") == (2, refused, "")


def test_a_pull_request_of_a_version_aborted_meanwhile_is_refused_and_forced_in_it_is_taken_out(at: At) -> None:
    desk = at("before")
    opened(desk, "first", "8")
    desk.git("branch", "second", "first")
    desk.merge("first", "squash")
    desk.act()
    desk.rollout("abort", str(KEY), "--reason", "the risk team says no")
    abort = desk.id()
    desk.settle()
    closed = desk.id()
    desk.git("switch", "--quiet", "second")
    why = f"vetoed since {closed[:10]}: canary 8 fell from 5 to 0 % in {abort[:10]}"
    refused = f"{MODEL}: spec.version: is '8', {why}; a person's `attempt: 2` reopens it\n1 release, 1 problem\n"
    assert desk.alone().rollout("check", "--base", "main") == (2, refused, "")
    desk.git("restore", ".")
    desk.git("switch", "--quiet", "main")
    desk.merge("second", "squash")
    walk = desk.state().walk
    assert walk is not None
    assert walk.vetoed == f"8 is {why}"
    assert desk.act().change == Change.TAKE_BACK
    assert desk.settle() == ["at rest on 7"]
    assert desk.id(f"HEAD:{FOLDER}") == desk.id(f"squash/before:{FOLDER}")
