"""Reverting the pull request is the rollback, at any moment: clean, rendering the version of before, and a person's veto."""

from __future__ import annotations

import re

import pytest

from rollout.state import Kind

from .conftest import FORMS, At, Renders, name
from .repository import FOLDER, KEY, MODEL, POINTS, SHAPE, STABLE, TRAFFIC, Desk, Edit, wanted

WHY = {point: "8 was taken out for 7" for point in POINTS} | {"closed": "8 was rolled back to 7"}
TIDIES = {
    "at 5 %": "tidy canary 5 -> 0 %",
    "at 25 %": "tidy canary 25 -> 0 %",
    "handing over": "tidy stable 8 -> 7, canary 25 -> 0 %",
    "handed over": "tidy stable 8 -> 7",
    "closed": "tidy stable 8 -> 7",
}


def above(text: str) -> str:
    """A remark above everything else."""
    return f"# asked for by the risk team\n{text}"


def below(line: str) -> Edit:
    """A line below everything else."""
    return lambda text: f"{text}{line}\n"


BESIDE: dict[str, dict[str, Edit]] = {
    "nothing": {},
    "a hold": {MODEL: below("  hold: true")},
    "a remark in each file": dict.fromkeys((MODEL, STABLE, TRAFFIC, SHAPE), above),
    "the app's image": {"apps/credit/kustomization.yaml": lambda text: re.sub("sha256:.{4}", "sha256:0000", text)},
    "a start in another environment": {
        MODEL.replace("prod", "dev"): lambda text: text.replace('version: "', 'version: "9').replace("/credit/", "/credit/9"),
        SHAPE.replace("prod", "dev"): lambda text: text.replace("at-rest", "in-rollout"),
    },
    "a file more in the release": {f"{FOLDER}/NOTES.md": "asked for by the risk team\n"},
}


@pytest.fixture(scope="session")
def was(walks: Desk, tmp_path_factory: pytest.TempPathFactory, render: Renders):
    """How it was before a walk, had the edit beside it been there already: (tree id, objects)."""
    known = {}

    def was(form: str, beside: str):
        if (form, beside) not in known:
            desk = Desk(tmp_path_factory.mktemp("was") / "desk")
            walks.git("clone", "--quiet", "--shared", "--no-checkout", ".", str(desk.path))
            desk.git("switch", "--quiet", "--force-create", "main", name(form, "before"))
            desk.commit(beside, BESIDE[beside])
            known[form, beside] = (desk.id("HEAD^{tree}"), render(desk))
        return known[form, beside]

    return was


CASES = [(form, beside) for form in FORMS for beside in BESIDE if form == "squash" or beside == "a hold"]


@pytest.mark.parametrize(("form", "beside"), CASES)
@pytest.mark.parametrize("point", POINTS)
def test_the_revert_is_clean_renders_the_version_of_before_and_is_a_veto(
    at: At, was, render: Renders, form: str, point: str, beside: str
) -> None:
    desk = at(point, form)
    desk.commit(beside, BESIDE[beside])
    commit = desk.revert(name(form, "warming"))
    tree, objects = was(form, beside)
    assert render(desk) == objects
    state = desk.state()
    assert (state.kind, state.release.model.version) == (Kind.REST, "7")
    assert [(veto.model.version, veto.commit, veto.reason) for veto in state.vetoes] == [("8", commit, WHY[point])]
    tidied = [f"credit(prod): {TIDIES[point]}"] if point in TIDIES else []
    assert desk.settle() == [*tidied, "at rest on 7"]
    assert desk.id("HEAD^{tree}") == tree


@pytest.mark.parametrize("point", POINTS)
def test_no_machine_starts_it_again_and_a_person_may(at: At, point: str) -> None:
    desk = at(point)
    commit = desk.revert(name("squash", "warming"))
    refused = (
        f"rollout: prod/credit: 8 is vetoed since {commit[:10]}: {WHY[point]}; "
        "a person may try it again with --attempt, a machine may not\n"
    )
    assert desk.rollout("start", str(KEY), *wanted("8")) == (2, "", refused)
    desk.start("8", "--attempt")
    state = desk.state()
    assert (state.kind, state.release.model.attempt) == (Kind.WARMING, 2)


TAKEN_BACK = {
    "warming": [],
    "at 5 %": [],
    "at 25 %": ["canary 8 at 0 %"],
    "handing over": ["canary 8 at 0 %"],
    "handed over": ["canary 8 at 0 %"],
    "closed": [],
}


@pytest.mark.parametrize("point", POINTS)
def test_taking_back_any_commit_of_a_walk_takes_all_of_it_out(at: At, point: str) -> None:
    desk = at(point)
    desk.revert("HEAD")
    vetoed = desk.state().vetoes[-1]
    assert (vetoed.model.version, vetoed.commit) == ("8", desk.id())
    closes = [] if point == "warming" else ["close canary 8"]
    assert desk.settle() == [*(f"credit(prod): {one}" for one in (*TAKEN_BACK[point], *closes)), "at rest on 7"]
    assert desk.id("HEAD^{tree}") == desk.id("squash/before^{tree}")


def test_newer_versions_are_reverted_first(at: At) -> None:
    desk = at("closed")
    start = desk.start("9")
    desk.settle()
    with pytest.raises(AssertionError, match=f"Merge conflict in {MODEL}"):
        desk.revert("squash/warming")
    desk.git("revert", "--abort")
    desk.revert(start)
    assert desk.settle() == ["credit(prod): tidy stable 9 -> 8", "at rest on 8"]
    desk.revert("squash/warming")
    assert desk.settle() == ["credit(prod): tidy stable 8 -> 7", "at rest on 7"]
    assert desk.id("HEAD^{tree}") == desk.id("squash/before^{tree}")
    assert [veto.model.version for veto in desk.state().vetoes] == ["9", "8"]
