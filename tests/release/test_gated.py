"""`rollout check --base REF`: what would go past the gate is refused in these words, and what the laws allow is not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import pytest

from rollout.gate import Verdict

from .conftest import At
from .repository import FOLDER, KEY, MODEL, POINTS, ROOT, SHAPE, STABLE, TRAFFIC, Answer, Edit, rename, wanted

GOOD = Answer(0, "1 release, no problems\n", "")
RELEASE = tuple(f"{FOLDER}/{name}.yaml" for name in ("model", "stable", "traffic", "kustomization"))


def split(old: int, new: int) -> Edit:
    """Change the canary's percent."""
    return lambda text: text.replace(f"stable: {100 - old}", f"stable: {100 - new}").replace(f"canary: {old}", f"canary: {new}")


def begin(text: str) -> str:
    """Set the toggle to in-rollout."""
    return text.replace("at-rest", "in-rollout")


def end(text: str) -> str:
    """Set the toggle to at-rest."""
    return text.replace("in-rollout", "at-rest")


def below(line: str) -> Edit:
    """A person's switch."""
    return lambda text: f"{text}  {line}\n"


def straight(version: str) -> str:
    """What a version without a rollout is told."""
    told = f"is '{version}' without in-rollout: it would go straight to 100 %; `rollout start` would be right"
    return f"{MODEL}: spec.version: {told}"


WRITES = f"{STABLE}: spec: changed at rest; the controller writes it"
RAISES = "the controller raises traffic, on evidence"
HANDS = "the controller hands over, on evidence"
REFUSED: dict[str, tuple[str, Mapping[str, Edit], str]] = {
    "a version without a rollout": ("before", {MODEL: rename("7", "8")}, straight("8")),
    "a version without a rollout, in every file": ("before", {MODEL: rename("7", "8"), STABLE: rename("7", "8")}, straight("8")),
    "another image of the version that runs": ("before", {MODEL: below("image: r/i:2")}, straight("7")),
    "a start with traffic": (
        "before",
        {MODEL: rename("7", "8"), SHAPE: begin, TRAFFIC: split(0, 5)},
        f"{TRAFFIC}: spec.canary: is 5 at the start; 0 would be right",
    ),
    "a start on another stable": (
        "before",
        {MODEL: rename("7", "8"), SHAPE: begin, STABLE: rename("7", "6")},
        f"{STABLE}: spec.version: is '6' at the start; '7' would be right",
    ),
    "a start of what runs already": (
        "closed",
        {SHAPE: begin},
        f"{SHAPE}: components: in-rollout, but 8 runs already; at-rest would be right, or a revert of its pull request",
    ),
    "more traffic while it warms": ("warming", {TRAFFIC: split(0, 5)}, f"{TRAFFIC}: spec.canary: is 5, was 0; {RAISES}"),
    "more traffic": ("at 5 %", {TRAFFIC: split(5, 25)}, f"{TRAFFIC}: spec.canary: is 25, was 5; {RAISES}"),
    "all traffic": ("at 25 %", {TRAFFIC: split(25, 100)}, f"{TRAFFIC}: spec.canary: is 100, was 25; {RAISES}"),
    "handing over by hand": ("at 25 %", {STABLE: rename("7", "8")}, f"{STABLE}: spec.version: is '8', was '7'; {HANDS}"),
    "stable to a third version": ("at 25 %", {STABLE: rename("7", "6")}, f"{STABLE}: spec.version: is '6', was '7'; {HANDS}"),
    "closing by hand": ("at 25 %", {SHAPE: end}, straight("8")),
    "closing by hand onto a third version": ("at 25 %", {SHAPE: end, MODEL: rename("8", "9")}, straight("9")),
    "stable.yaml at rest": ("before", {STABLE: rename("7", "6")}, WRITES),
    "traffic.yaml at rest": ("before", {TRAFFIC: split(0, 5)}, WRITES),
}


@pytest.mark.parametrize(("point", "edits", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(at: At, point: str, edits: Mapping[str, Edit], message: str) -> None:
    desk = at(point).alone()
    desk.commit("a pull request", edits)
    assert desk.rollout("check", "--base", "HEAD^") == (2, f"{message}\n1 release, 1 problem\n", "")


def test_taking_back_an_abort_is_refused(at: At) -> None:
    desk = at("at 5 %")
    desk.act(Verdict.HARMFUL)
    desk.revert("HEAD")
    message = f"{TRAFFIC}: spec.canary: is 5, was 0; {RAISES}\n1 release, 1 problem\n"
    assert desk.alone().rollout("check", "--base", "HEAD^") == (2, message, "")


def test_a_start_of_a_vetoed_version_is_refused_and_a_persons_next_attempt_is_not(at: At) -> None:
    desk = at("closed")
    veto = desk.revert("squash/warming")
    desk.settle()
    start = {MODEL: rename("7", "8"), SHAPE: begin}
    desk.commit("again", start)
    why = f"is '8', vetoed since {veto[:10]}: 8 was rolled back to 7; a person's `attempt: 2` reopens it"
    desk.alone()
    assert desk.rollout("check", "--base", "HEAD^") == (2, f"{MODEL}: spec.version: {why}\n1 release, 1 problem\n", "")
    desk.write({MODEL: below("attempt: 2")})
    assert desk.rollout("check", "--base", "HEAD^") == GOOD


ALLOWED: dict[str, tuple[str, Mapping[str, Edit]]] = {
    "a hold at rest": ("before", {MODEL: below("hold: true")}),
    "a hold in rollout": ("at 5 %", {MODEL: below("hold: true")}),
    "less traffic, which is a veto": ("at 25 %", {TRAFFIC: split(25, 5)}),
    "stable handed back, which is a veto": ("handing over", {STABLE: rename("8", "7")}),
    "back to a version that ran here before": ("closed", {MODEL: rename("8", "7")}),
    "a remark in each file": ("at 25 %", dict.fromkeys(RELEASE, lambda text: f"# a remark\n{text}")),
    "another plan": ("at 5 %", {"apps/credit/rollout.yaml": lambda text: text.replace("30m", "1h")}),
    "nothing of a release": ("at 5 %", {"README.md": "words\n"}),
}


@pytest.mark.parametrize(("point", "edits"), ALLOWED.values(), ids=ALLOWED)
def test_allowed(at: At, point: str, edits: Mapping[str, Edit]) -> None:
    desk = at(point).alone()
    desk.commit("a pull request", edits)
    assert desk.rollout("check", "--base", "HEAD^") == GOOD


def test_a_start_is_allowed(at: At) -> None:
    desk = at("before").alone()
    desk.start("8")
    assert desk.rollout("check", "--base", "HEAD^") == GOOD


@pytest.mark.parametrize("point", POINTS)
def test_the_revert_of_the_pull_request_is_allowed_at_every_point(at: At, point: str) -> None:
    desk = at(point, "merge")
    desk.revert("merge/warming")
    assert desk.alone().rollout("check", "--base", "HEAD^") == GOOD


@pytest.mark.parametrize("point", ["at 5 %", "closed"])
def test_so_is_a_tidy_by_hand(at: At, point: str) -> None:
    desk = at(point)
    desk.revert("squash/warming")
    desk.settle()
    assert desk.alone().rollout("check", "--base", "HEAD^") == GOOD


def test_a_new_release_may_begin_on_any_version(at: At) -> None:
    desk = at("before")
    shutil.rmtree(desk.path / f"overlays/{KEY}")
    desk.alone().commit("no credit in prod")
    shutil.copytree(ROOT / f"overlays/{KEY}", desk.path / f"overlays/{KEY}")
    desk.commit("credit in prod")
    assert desk.rollout("check", "--base", "HEAD^") == GOOD


def test_only_what_a_branch_changes_itself_is_asked(at: At) -> None:
    desk = at("at 25 %")
    desk.git("switch", "--quiet", "--create", "behind", "squash/at-5-%")
    desk.commit("a remark", {MODEL: lambda text: f"# a remark\n{text}"})
    assert desk.alone().rollout("check", "--base", "main") == GOOD


def test_the_working_tree_counts_before_it_is_committed(at: At) -> None:
    desk = at("before").alone()
    answer = desk.rollout("start", str(KEY), *wanted("8"))
    assert (answer.code, desk.rollout("check", "--base", "HEAD")) == (0, GOOD)
    desk.write({SHAPE: end})
    assert desk.rollout("check", "--base", "HEAD") == (2, f"{straight('8')}\n1 release, 1 problem\n", "")


def test_a_base_that_is_no_commit(at: At) -> None:
    answer = at("before").alone().rollout("check", "--base", "origin/trunk")
    assert answer == (2, "", "rollout: .: origin/trunk: names no commit of this repository\n")


def test_a_check_changes_nothing(at: At) -> None:
    desk = at("at 5 %").alone()
    before = desk.git("status", "--porcelain")
    assert desk.rollout("check", "--base", "HEAD") == GOOD
    assert desk.git("status", "--porcelain") == before
