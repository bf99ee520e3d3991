"""Pitfall 10: git moved, the data plane did not. The clock and the evidence wait; the deadline's sentence names the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollout.decide import Change
from rollout.gate import Verdict

from .argocd import Trouble
from .repository import folder
from .world import World, committed

pytestmark = pytest.mark.scenario
Make = Callable[..., World]
READY = 600
PULL = 'Back-off pulling image "registry.example.com/models/model-server:9"'
QUOTA = 'pods "credit-canary-0" is forbidden: exceeded quota: compute'
TROUBLES: dict[str, tuple[dict[str, Any], str]] = {
    "never ready": ({"health": "Progressing"}, "Argo CD: Synced, Progressing"),
    "the image cannot be pulled": ({"health": "Degraded", "message": PULL}, f"Argo CD: Synced, Degraded: {PULL}"),
    "the model cannot be found": (
        {"health": "Degraded", "message": "initializer: s3://models/credit/2 404"},
        "Argo CD: Synced, Degraded: initializer: s3://models/credit/2 404",
    ),
    "the sync failed": (
        {"health": "Healthy", "sync": "OutOfSync", "failed": True, "message": QUOTA},
        f"Argo CD: OutOfSync, Healthy, last sync failed: {QUOTA}",
    ),
    "outside a sync window": ({"sync": "OutOfSync", "stuck": True}, "Argo CD has not reached "),
}


def trouble(world: World, **what: Any) -> None:
    """Something is wrong with credit's Application since a second ago: nothing committed now arrives."""
    world.argocd.troubles["credit"] = Trouble(world.now - 1, **what)


@pytest.mark.parametrize("name", TROUBLES)
def test_a_canary_that_is_never_there_gets_no_traffic_and_is_closed_at_the_ready_deadline(world: World, name: str) -> None:
    what, words = TROUBLES[name]
    before = world.repository.tree(folder("credit"))
    trouble(world, **what)
    world.start("credit", "2")
    assert world.run(READY, every=60) == []
    seen = world.outcome("credit").seen
    assert seen
    assert seen.evidence is None
    assert words in world.said("credit")
    (closed,) = world.run(60, every=60)
    assert (closed.decision.kind, closed.decision.change) == ("abort", Change.TAKE_BACK)
    assert closed.decision.reason.startswith("canary 2 not real after 11 min of 10 min: not real yet: ")
    assert words in closed.decision.reason
    assert words in world.repository.body(closed.commit)
    assert world.repository.tree(folder("credit")) == before


@pytest.mark.parametrize("name", ["the sync failed", "outside a sync window"])
def test_a_step_that_never_arrives_has_no_evidence_and_is_aborted_at_the_ready_deadline(world: World, name: str) -> None:
    what, words = TROUBLES[name]
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=60)
    trouble(world, **what)
    for _ in range(9):
        assert world.run(60, every=60) == []
        seen = world.outcome("credit").seen
        assert seen
        assert seen.evidence
        assert (seen.evidence.verdict, seen.evidence.window_seconds) == (Verdict.NO_DATA, 0)
    (abort, *_) = world.until(lambda: world.repository.canary("credit") == 0, within=180, every=60)
    assert abort.decision.reason.startswith("canary 2 not real after 11 min of 10 min")
    assert words in abort.decision.reason


def test_the_clock_of_a_step_begins_when_its_share_is_there(world: World) -> None:
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=60)
    trouble(world, sync="OutOfSync", stuck=True)
    assert world.run(480, every=60) == []
    world.argocd.troubles.clear()
    arrived = world.now
    world.until(lambda: world.repository.canary("credit") == 25, within=600)
    assert world.now - arrived >= 300


@pytest.mark.parametrize("harm", [0.002, 0.5], ids=["no request fails", "requests fail"])
def test_a_canary_that_was_fine_at_25_and_crash_loops_is_closed_at_once(world: World, harm: float) -> None:
    before = world.repository.tree(folder("credit"))
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 25, within=900)
    world.run(90)
    trouble(world, health="Degraded", message="back-off restarting failed container model in pod credit-canary-0")
    world.cluster.loads["credit"].failing = lambda arm, _, __: harm if arm == "canary" else 0.002
    (closed,) = world.run(15)
    assert closed.decision.change is Change.TAKE_BACK, "not to 0 %, as its weight would not move"
    assert "canary 2 was fine and is not any more: Argo CD: Synced, Degraded: back-off restarting" in closed.decision.reason
    assert closed.decision.reason.endswith("the canary is not ready, its weight would never move: closed at once")
    assert world.repository.tree(folder("credit")) == before


def test_an_argo_cd_that_is_down_neither_moves_traffic_up_nor_keeps_a_bad_canary_in(world: World) -> None:
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=60)
    world.run(60)
    world.argocd.answer = (503, "no endpoints available")
    assert world.run(1200, every=60) == []
    assert "but not known to be real: argocd at " in world.said("credit")
    assert world.ticks[-1].troubles == [f"argocd at {world.argocd.url} answers 503: no endpoints available"]
    world.cluster.loads["credit"].failing = lambda arm, _, __: 0.5 if arm == "canary" else 0.002
    world.until(lambda: world.repository.model("credit") == "1", within=300)
    assert world.repository.written()[-2:] == ["credit(prod): canary 2 at 0 %", "credit(prod): close canary 2"]
    assert committed(world.tick()) == []


def test_why_a_sync_failed_is_named_also_while_it_is_being_tried_again(world: World) -> None:
    trouble(world, sync="OutOfSync", failed=True, message=QUOTA)
    world.start("credit", "2")
    assert world.run(READY - 60, every=60) == []
    world.argocd.troubles["credit"] = Trouble(world.now - 1, sync="OutOfSync", failed=True, attempt=4)
    (closed,) = world.run(120, every=60)
    again = "Retrying operation with latest revisions. Attempt #4"
    assert f"Argo CD: OutOfSync, Healthy: {again}; {QUOTA}" in closed.decision.reason
