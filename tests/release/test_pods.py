"""Which commit changes which pods: start and close add and remove the canary's, the hand-over rolls stable's, a step none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from rollout.gate import Verdict

from .conftest import At, Renders, name
from .repository import KEY, POINTS, Desk

Leaves = dict[tuple[Any, ...], Any]
POD = ("componentSpecs", 0, "spec", "containers", 0)
SAID = ("said in the SeldonDeployment's metadata",)  # version and traffic, for people; no pod is made of it
VERSION = {("annotations", "version"), ("graph", "modelUri"), (*POD, "env", 0, "value"), SAID}
SPLIT = {("traffic",), SAID}
IMAGE = {(*POD, "image")}
ADDED, REMOVED = {"added"}, {"removed"}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Leaves:
    """Every scalar by its path."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {at: leaf for key, inner in items for at, leaf in leaves(inner, (*path, key)).items()}
    return {path: value}


def parts(objects: list[dict[str, Any]]) -> dict[str, Leaves]:
    """A render as its predictors and its other objects, by name."""
    (deployment,) = (one for one in objects if one["kind"] == "SeldonDeployment")
    metadata = deployment["metadata"]
    words = dict(metadata["annotations"])
    predictors = {
        one["name"]: leaves(one) | {SAID: words.pop(f"rollout/{one['name']}")} for one in deployment["spec"]["predictors"]
    }
    spec = {**deployment["spec"], "predictors": None}
    bare = {**deployment, "metadata": {**metadata, "annotations": words}, "spec": spec}
    others = [bare if one is deployment else one for one in objects]
    return predictors | {f"{one['kind']}/{one['metadata']['name']}": leaves(one) for one in others}


def changed(render: Renders, before: Desk, after: Desk) -> dict[str, set[Any]]:
    """What differs between two renders: which leaves of which part."""
    was, now = parts(render(before)), parts(render(after))
    told = {part: REMOVED for part in was.keys() - now.keys()} | {part: ADDED for part in now.keys() - was.keys()}
    for part in was.keys() & now.keys():
        paths = {path for path in was[part].keys() | now[part].keys() if was[part].get(path) != now[part].get(path)}
        told |= {part: paths} if paths else {}
    return told


BUDGET = "PodDisruptionBudget/canary"
WALK = {
    "warming": {"canary": ADDED, BUDGET: ADDED},
    "at 5 %": {"stable": SPLIT, "canary": SPLIT},
    "at 25 %": {"stable": SPLIT, "canary": SPLIT},
    "handing over": {"stable": VERSION},
    "handed over": {"stable": SPLIT, "canary": SPLIT},
    "closed": {"canary": REMOVED, BUDGET: REMOVED},
}


@pytest.mark.parametrize("form", ["squash", "merge"])
@pytest.mark.parametrize(("before", "point"), list(pairwise(("before", *POINTS))), ids=POINTS)
def test_a_walk(at: At, render: Renders, before: str, point: str, form: str) -> None:
    assert changed(render, at(before, form), at(point, form)) == WALK[point]


@pytest.mark.parametrize(("before", "point"), list(pairwise(("before", *POINTS))), ids=POINTS)
def test_a_walk_of_a_version_with_an_image_of_its_own(at: At, render: Renders, before: str, point: str) -> None:
    form = "squash, an image of its own"
    wanted = WALK | {"handing over": {"stable": VERSION | IMAGE}}
    assert changed(render, at(before, form), at(point, form)) == wanted[point]


REVERTED = {
    "warming": {"canary": REMOVED, BUDGET: REMOVED},
    "at 5 %": {"stable": SPLIT, "canary": REMOVED, BUDGET: REMOVED},
    "at 25 %": {"stable": SPLIT, "canary": REMOVED, BUDGET: REMOVED},
    "handing over": {"stable": VERSION | SPLIT, "canary": REMOVED, BUDGET: REMOVED},
    "handed over": {"stable": VERSION, "canary": REMOVED, BUDGET: REMOVED},
    "closed": {"stable": VERSION},
}


@pytest.mark.parametrize("point", POINTS)
def test_a_revert_rolls_stable_only_where_it_was_handed_over_and_the_tidy_nothing(at: At, render: Renders, point: str) -> None:
    desk = at(point)
    desk.revert(name("squash", "warming"))
    assert changed(render, at(point), desk) == REVERTED[point]
    reverted = render(desk)
    desk.settle()
    assert render(desk) == reverted


@pytest.mark.parametrize("point", ["at 5 %", "at 25 %"])
def test_an_abort_never_touches_the_pods_of_stable(at: At, render: Renders, point: str) -> None:
    desk, drained = at(point), at(point)
    drained.act(Verdict.HARMFUL)
    assert changed(render, desk, drained) == {"stable": SPLIT, "canary": SPLIT}
    closed = Desk(drained.path.with_name("closed"))
    drained.git("clone", "--quiet", ".", str(closed.path))
    closed.settle()
    assert changed(render, drained, closed) == {"canary": REMOVED, BUDGET: REMOVED}
    assert render(closed) == render(at("before"))


def test_at_rest_again_all_is_as_after_a_new_version_alone(at: At, render: Renders) -> None:
    assert changed(render, at("before"), at("closed")) == {"stable": VERSION}


@pytest.mark.parametrize("point", POINTS)
def test_no_other_release_is_touched(at: At, point: str) -> None:
    changed = at(point).git("diff", "--name-only", "squash/before", "HEAD").split()
    assert {path.rpartition("/")[0] for path in changed} == {KEY.folder}
