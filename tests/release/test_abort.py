"""An aborted release's folder is, byte for byte, what it was before its start."""

from __future__ import annotations

import pytest

from rollout.gate import Verdict

from .conftest import At
from .repository import FOLDER, KEY, MODEL, POINTS, TRAFFIC, Desk

STEPS = ("at 5 %", "at 25 %")
IN_ROLLOUT = POINTS[:-1]


def is_as_before(desk: Desk) -> bool:
    """Whether the release's folder is what it was before the walk."""
    return desk.id(f"HEAD:{FOLDER}") == desk.id(f"squash/before:{FOLDER}")


@pytest.mark.parametrize("point", STEPS)
def test_harmful(at: At, point: str) -> None:
    desk = at(point)
    assert desk.act(Verdict.HARMFUL).kind == "abort"
    assert (desk.state().kind, is_as_before(desk)) == ("draining", False)
    assert desk.settle() == ["credit(prod): close canary 8", "at rest on 7"]
    assert is_as_before(desk)


@pytest.mark.parametrize("point", STEPS)
def test_harmful_and_its_weight_would_never_move(at: At, point: str) -> None:
    desk = at(point)
    assert desk.act(Verdict.HARMFUL, health="Degraded").reason.endswith("its weight would never move: closed at once")
    assert is_as_before(desk)
    assert desk.settle() == ["at rest on 7"]


@pytest.mark.parametrize("point", STEPS)
def test_zero_percent_is_not_real_in_time(at: At, point: str) -> None:
    desk = at(point)
    desk.act(Verdict.HARMFUL)
    assert desk.act(health="Progressing").change is None
    assert desk.act(health="Progressing", late=70).reason.endswith(": closed at once")
    assert is_as_before(desk)


def test_never_ready(at: At) -> None:
    desk = at("warming")
    assert desk.act(health="Progressing").change is None
    assert desk.act(health="Progressing", late=700).reason.endswith("it never had traffic, so it is closed")
    assert is_as_before(desk)


SAID = {
    "warming": "close canary 8",
    "at 5 %": "canary 8 at 0 %",
    "at 25 %": "canary 8 at 0 %",
    "handing over": "close canary 8",
    "handed over": "close canary 8",
}


@pytest.mark.parametrize("point", SAID)
def test_by_a_person(at: At, point: str) -> None:
    desk = at(point)
    code, out, err = desk.rollout("abort", str(KEY), "--reason", "the risk team says no")
    assert (code, out, err) == (0, f"{desk.id()[:10]} credit(prod): {SAID[point]}: the risk team says no\n", "")
    assert desk.settle()[-1] == "at rest on 7"
    assert is_as_before(desk)
    assert {veto.model.version for veto in desk.state().vetoes} == {"8"}


@pytest.mark.parametrize("point", IN_ROLLOUT)
def test_whatever_else_came_into_the_folder_meanwhile(at: At, point: str) -> None:
    desk = at(point)
    desk.commit("meanwhile", {
        MODEL: lambda text: f"# a remark\n{text}  hold: true\n",
        TRAFFIC: lambda text: f"{text}# another\n",
        f"{FOLDER}/NOTES.md": "a file\n",
    })  # fmt: skip
    desk.rollout("abort", str(KEY), "--reason", "no")
    desk.settle()
    assert is_as_before(desk)


REFUSED = {
    "before": "prod/credit is at rest on 7: nothing to abort; `rollout rollback` goes back",
    "closed": "prod/credit is at rest on 8: nothing to abort; `rollout rollback` goes back",
}


@pytest.mark.parametrize("point", REFUSED)
def test_nothing_to_abort(at: At, point: str) -> None:
    desk = at(point)
    tip = desk.id()
    assert desk.rollout("abort", str(KEY), "--reason", "no") == (2, "", f"rollout: {REFUSED[point]}\n")
    assert desk.id() == tip


@pytest.mark.parametrize("point", IN_ROLLOUT)
def test_a_dirty_tree_is_refused_and_left_as_it_is(at: At, point: str) -> None:
    desk = at(point)
    desk.write({MODEL: lambda text: f"{text}  hold: true\n"})
    tip, dirt = desk.id(), desk.git("diff")
    refused = f"rollout: prod/credit: {MODEL} has changes that are not committed; commit or stash them first\n"
    assert desk.rollout("abort", str(KEY), "--reason", "no") == (2, "", refused)
    assert (desk.id(), desk.git("diff")) == (tip, dirt)
