"""The diff of each operation is what the design says, and no more: whole diffs."""

from __future__ import annotations

import pytest

from rollout.gate import Verdict

from .conftest import At
from .repository import IMAGE, KEY, MODEL, POINTS, SHAPE, STABLE, TRAFFIC, version, wanted


def part(path: str, hunk: str) -> str:
    """One file's part of a diff."""
    return f"diff --git {path} {path}\n--- {path}\n+++ {path}\n{hunk}"


def lines(sign: str, name: str, more: str) -> str:
    """A version's lines, and one more."""
    model = version(name)
    texts = [f'version: "{name}"', f"modelUri: {model.model_uri}", f"sha256: {model.sha256}", *([more] if more else [])]
    return "".join(f"{sign}  {text}\n" for text in texts)


def versions(path: str, old: str, new: str, was: str = "", now: str = "") -> str:
    """A file's version changes from old to new. was, now: one more line of each."""
    return part(path, f"@@ -6,{4 if was else 3} +6,{4 if now else 3} @@ spec:\n{lines('-', old, was)}{lines('+', new, now)}")


def traffic(old: int, new: int) -> str:
    """The canary's traffic changes from old to new."""
    was, now = (f"{{0}}  stable: {100 - canary}\n{{0}}  canary: {canary}\n" for canary in (old, new))
    return part(TRAFFIC, f"@@ -6,2 +6,2 @@ spec:\n{was.format('-')}{now.format('+')}")


def toggle(old: str, new: str) -> str:
    """The toggle changes."""
    return part(SHAPE, f"@@ -8 +8 @@ components:\n-  - ../../../../base/{old}\n+  - ../../../../base/{new}\n")


OPEN, SHUT = toggle("at-rest", "in-rollout"), toggle("in-rollout", "at-rest")
START, UNSTART = OPEN + versions(MODEL, "7", "8"), SHUT + versions(MODEL, "8", "7")
COMMITS = {
    "warming": START,
    "at 5 %": traffic(0, 5),
    "at 25 %": traffic(5, 25),
    "handing over": versions(STABLE, "7", "8"),
    "handed over": traffic(25, 0),
    "closed": SHUT,
}


@pytest.mark.parametrize("form", ["squash", "merge"])
@pytest.mark.parametrize("point", POINTS)
def test_a_walks_commits(at: At, point: str, form: str) -> None:
    assert at(point, form).diff("HEAD^") == COMMITS[point]


def test_a_start_prints_its_diff_and_leaves_the_commit_to_the_person(at: At) -> None:
    desk = at("before")
    before = desk.id()
    answer = desk.rollout("start", str(KEY), *wanted("8"))
    assert (answer.code, answer.out, answer.err) == (0, desk.git("diff"), "")
    assert (desk.id(), desk.diff("HEAD", "--")) == (before, START)


OWN = f"image: {IMAGE}"
WITH_IMAGE = {
    "warming": OPEN + versions(MODEL, "7", "8", now=OWN),
    "handing over": versions(STABLE, "7", "8", now=OWN),
    "closed": SHUT,
}


@pytest.mark.parametrize("point", WITH_IMAGE)
def test_an_image_of_its_own_is_one_of_the_versions_lines(at: At, point: str) -> None:
    assert at(point, "squash, an image of its own").diff("HEAD^") == WITH_IMAGE[point]


def test_the_next_version_drops_the_image_of_the_one_before(at: At) -> None:
    desk = at("closed", "squash, an image of its own")
    desk.start("9")
    assert desk.diff("HEAD^") == OPEN + versions(MODEL, "8", "9", was=OWN)


STALE = {
    "warming": "",
    "at 5 %": traffic(5, 0),
    "at 25 %": traffic(25, 0),
    "handing over": versions(STABLE, "8", "7") + traffic(25, 0),
    "handed over": versions(STABLE, "8", "7"),
    "closed": versions(STABLE, "8", "7"),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("form", ["squash", "merge"])
def test_a_rollback_takes_back_the_start_alone_and_the_tidy_what_it_left_stale(at: At, point: str, form: str) -> None:
    desk = at(point, form)
    assert desk.rollout("rollback", str(KEY)).code == 0
    assert desk.diff("HEAD^") == (versions(MODEL, "8", "7") if point == "closed" else UNSTART)
    tip = desk.id()
    desk.settle()
    assert desk.diff(tip) == STALE[point]


@pytest.mark.parametrize("point", POINTS)
def test_a_start_on_stale_files_tidies_them_too(at: At, point: str) -> None:
    desk = at(point)
    desk.rollout("rollback", str(KEY))
    desk.start("9")
    assert desk.diff("HEAD^") == OPEN + versions(MODEL, "7", "9") + STALE[point]


@pytest.mark.parametrize("point", ["before", *POINTS])
def test_a_hold_is_one_line_and_nothing_else_when_it_goes(at: At, point: str) -> None:
    desk = at(point)
    held = part(MODEL, "@@ -9,0 +10 @@ spec:\n+  hold: true\n")
    commit = desk.commit("hold", {MODEL: lambda text: text + "  hold: true\n"})
    assert desk.diff("HEAD^") == held
    desk.revert(commit)
    assert desk.diff("HEAD^") == held.replace("-9,0 +10", "-10 +9,0").replace("+  hold", "-  hold")


@pytest.mark.parametrize("point", ["at 5 %", "at 25 %"])
def test_the_controllers_abort_is_traffic_then_shape(at: At, point: str) -> None:
    desk = at(point)
    began = desk.id()
    desk.act(Verdict.HARMFUL)
    assert desk.diff(began) == traffic(int(point[3:-2]), 0)
    drained = desk.id()
    assert len(desk.settle()) == 2
    assert desk.diff(drained) == UNSTART


ABORTS = {
    "warming": (UNSTART, ""),
    "at 5 %": (traffic(5, 0), UNSTART),
    "at 25 %": (traffic(25, 0), UNSTART),
    "handing over": (UNSTART + versions(STABLE, "8", "7") + traffic(25, 0), ""),
    "handed over": (UNSTART + versions(STABLE, "8", "7"), ""),
}


@pytest.mark.parametrize("point", ABORTS)
def test_a_persons_abort_is_what_the_controllers_would_be(at: At, point: str) -> None:
    desk = at(point)
    began = desk.id()
    assert desk.rollout("abort", str(KEY), "--reason", "the risk team says no").code == 0
    first = desk.id()
    desk.settle()
    assert (desk.diff(began, first), desk.diff(first)) == ABORTS[point]


def test_an_attempt_is_one_more_line_which_the_next_version_drops(at: At) -> None:
    desk = at("warming")
    desk.rollout("abort", str(KEY), "--reason", "no")
    desk.start("8", "--attempt")
    assert desk.diff("HEAD^") == OPEN + versions(MODEL, "7", "8", now="attempt: 2")
    desk.settle()
    desk.start("9")
    assert desk.diff("HEAD^") == OPEN + versions(MODEL, "8", "9", was="attempt: 2")
