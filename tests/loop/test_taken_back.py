"""Pitfalls 1 and 2: what was reverted stays reverted, and an abort leaves no trace in the release's files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .repository import QUICK, folder, toggle_text, traffic_text, version_text
from .world import Load, World

pytestmark = pytest.mark.scenario
Make = Callable[..., World]
MOMENTS = {
    "canary 2 at 20 %": "canary 2 at 50 %",
    "canary 2 at 50 %": "stable 1 -> 2",
    "stable 1 -> 2": "canary 2 at 0 %",
    "canary 2 at 0 %": "close canary 2",
    "close canary 2": "",
}


@pytest.fixture
def quick(make_world: Make) -> World:
    """A world in which credit has many requests, and its plan short steps."""
    world = make_world(steps=QUICK)
    world.cluster.loads["credit"] = Load(rate=200)
    world.pass_time(300)
    return world


def reached(world: World, subject: str) -> None:
    """Run until the controller has committed this."""
    world.until(lambda: world.repository.written()[-1:] == [f"credit(prod): {subject}"], within=600)


def bot_starts(world: World, version: str, uri: str, more: str = "") -> str:
    """A start as a bot writes it that knows nothing of vetoes. uri: the version that the bytes are named after."""
    stable = world.repository.text(f"{folder('credit')}/model.yaml").replace("name: model", "name: stable")
    model = version_text("model", "credit", version, more).replace(f"models/credit/{version}", f"models/credit/{uri}")
    files = {"model": model, "stable": stable, "traffic": traffic_text(0), "kustomization": toggle_text("in-rollout")}
    named = {f"{folder('credit')}/{name}.yaml": text for name, text in files.items()}
    return world.repository.commit(f"bot: start {version}", world.now, named)


def wanted(world: World, commit: str) -> str:
    """The model URI that a commit asks for."""
    text = world.repository.text(f"{folder('credit')}/model.yaml", commit)
    return text.split("modelUri: s3://models/credit/")[1].split("\n")[0]


def since(world: World, commit: str) -> list[str]:
    """The controller's commits after this one."""
    every = world.repository.log()
    place = [one.id for one in every].index(commit)
    return [one.id for one in every[place + 1 :] if one.author == "rollout"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_reverted_pull_request_stays_reverted_whoever_starts_it_again(quick: World, moment: str) -> None:
    start = quick.start("credit", "2")
    reached(quick, moment)
    revert = quick.repository.revert(start, quick.now)
    quick.run(30)
    rest = quick.repository.tree(folder("credit"))
    for version in ("2", "2", "2-r2"):
        bot_starts(quick, version, "2")
        quick.run(15)
        assert quick.repository.tree(folder("credit")) == rest, "within one tick"
        quick.run(45)
    assert quick.repository.tree(folder("credit")) == rest
    assert {wanted(quick, commit) for commit in since(quick, revert)} == {"1"}
    assert quick.repository.canary("credit") == 0


@pytest.mark.parametrize("moment", ["canary 2 at 20 %", "canary 2 at 50 %", "stable 1 -> 2"])
def test_a_commit_of_the_controllers_taken_back_is_a_veto_too(quick: World, moment: str) -> None:
    before = quick.repository.tree(folder("credit"))
    quick.start("credit", "2")
    reached(quick, moment)
    revert = quick.repository.revert(quick.repository.log()[-1].id, quick.now)
    left = quick.repository.canary("credit")
    quick.run(15)
    assert quick.repository.canary("credit") == 0, "within one tick"
    quick.run(60)
    assert quick.repository.tree(folder("credit")) == before
    bot_starts(quick, "2", "2")
    quick.run(15)
    assert quick.repository.tree(folder("credit")) == before
    for commit in since(quick, revert):
        percent, stable = (quick.repository.text(f"{folder('credit')}/{name}.yaml", commit) for name in ("traffic", "stable"))
        assert int(percent.rpartition("canary: ")[2]) < max(left, 1)
        assert 'version: "1"' in stable


@pytest.mark.parametrize(("version", "more"), [("3", ""), ("2", "  attempt: 2\n")], ids=["a new URI", "a person's attempt"])
def test_only_a_new_uri_or_a_persons_attempt_reopens(quick: World, version: str, more: str) -> None:
    start = quick.start("credit", "2")
    reached(quick, "canary 2 at 20 %")
    quick.repository.revert(start, quick.now)
    quick.run(30)
    quick.start("credit", version, more=more)
    reached(quick, f"close canary {version}")
    assert quick.repository.model("credit") == version


@pytest.mark.parametrize("step", [5, 25])
def test_after_an_abort_git_the_cluster_and_stable_are_one_and_as_before(world: World, step: int) -> None:
    tree, neighbour = world.repository.tree(folder("credit")), world.repository.tree("overlays/prod/savings")
    load = world.cluster.loads["credit"]
    load.failing = lambda arm, _, __: 0.3 if arm == "canary" and world.repository.canary("credit") == step else 0.002
    world.start("credit", "2")
    world.until(lambda: world.repository.written()[-1:] == ["credit(prod): close canary 2"], within=900)
    assert world.repository.written()[-2] == "credit(prod): canary 2 at 0 %"
    assert f"fell from {step} to 0 %" in world.repository.log()[-1].subject
    assert world.repository.tree(folder("credit")) == tree
    assert world.repository.tree("overlays/prod/savings") == neighbour
    head = world.repository.head()
    world.run(60)
    assert world.repository.head() == head, "nothing is left to do"
    assert world.cluster.runs("credit") == ("1", "", 0)
    app = world.controller.argocd.applications({"credit-prod"})["credit-prod"] if world.controller.argocd else None
    assert app is not None
    assert (app.sync, app.health, app.revision) == ("Synced", "Healthy", head)
