"""Pitfall 3: traffic that is not what git says. Above the share nothing is evidence; a canary below it does not answer."""

from __future__ import annotations

import pytest

from rollout.gate import Evidence

from .repository import ROOT
from .world import Load, World

pytestmark = pytest.mark.scenario


def stepped(world: World, canary: int = 5) -> None:
    """Canary 2 walks until it has so many percent."""
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == canary, within=1200)


def evidence(world: World) -> Evidence:
    """What the last tick had."""
    seen = world.outcome("credit").seen
    assert seen is not None
    assert seen.evidence is not None
    return seen.evidence


def test_while_traffic_is_patched_above_the_committed_share_evidence_is_dropped_and_all_holds(world: World) -> None:
    stepped(world)
    world.run(90)
    load = world.cluster.loads["credit"]
    load.live = lambda committed: 50
    load.failing = lambda arm, _, __: 0.3 if arm == "canary" else 0.002
    world.run(15)
    before = evidence(world)
    assert world.run(600) == []
    during = evidence(world)
    assert world.said("credit").startswith("canary is above its share of 5 %: hold, 40 batches dropped")
    assert during.dropped == 40
    assert (during.steps, during.window_seconds, during.harm) == (before.steps, before.window_seconds, before.harm)


def test_when_traffic_is_healed_the_walk_goes_on_and_the_time_above_is_no_dwell(world: World) -> None:
    stepped(world)
    begun = world.now
    world.run(90)
    world.cluster.loads["credit"].live = lambda committed: 50
    assert world.run(600) == []
    world.cluster.loads["credit"].live = lambda committed: committed
    world.until(lambda: world.repository.canary("credit") == 25, within=300)
    assert world.now - begun >= 300 + 600
    world.until(lambda: world.repository.written()[-1] == "credit(prod): close canary 2", within=600)


@pytest.mark.parametrize(("live", "got"), [(0, "0 of"), (1, "")], ids=["silent", "a fifth of its share"])
def test_a_canary_that_gets_less_than_its_share_does_not_answer_and_is_aborted(world: World, live: int, got: str) -> None:
    world.cluster.loads["credit"].live = lambda committed: min(live, committed)
    stepped(world)
    (abort,) = world.until(lambda: world.repository.canary("credit") == 0, within=300)
    assert abort.decision.kind == "abort"
    assert abort.decision.reason.startswith(f"does not answer: canary got {got}")
    assert "at a committed 5 %" in abort.decision.reason


def test_a_canary_that_falls_silent_while_stable_flows_is_aborted(world: World) -> None:
    stepped(world, 25)
    world.run(60)
    world.cluster.loads["credit"].live = lambda committed: 0
    (abort,) = world.until(lambda: world.repository.canary("credit") == 0, within=180)
    assert abort.decision.reason.startswith("does not answer: canary got 0 of")


def test_when_stable_is_silent_too_nobody_is_blamed(world: World) -> None:
    stepped(world, 25)
    world.run(15)
    world.cluster.loads["credit"] = Load(rate=0)
    assert world.run(1800, every=60) == []
    assert "share" not in world.said("credit")


def test_nothing_in_the_repository_has_argo_cd_ignore_a_difference() -> None:
    """Self-heal puts patched traffic back, and works only on what is not ignored."""
    files = (path for folder in ("base", "apps", "overlays", "argocd") for path in (ROOT / folder).rglob("*.yaml"))
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in files}
    assert [name for name, text in texts.items() if "ignoredifferences" in text.lower()] == []
    assert "selfHeal: true" in texts["argocd/applicationset.yaml"]
