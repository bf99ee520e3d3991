"""Pitfall 6: few requests, or none. Never back and never on without evidence; the deadline's policy, and that once."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from rollout.decide import Change
from rollout.server import Log

from .world import Load, World

pytestmark = pytest.mark.scenario
Make = Callable[..., World]
AN_HOUR = {"none": 0.0, "one": 1.0, "five": 5.0, "five to the canary": 100.0}


def quiet(make_world: Make, then: str, an_hour: float) -> World:
    """A world in which canary 2 has come to 5 % of so many requests an hour; its verdict is due 35 minutes later."""
    world = make_world(more=f"  deadlines: {{verdict: 30m, then: {then}}}\n")
    load = world.cluster.loads["credit"] = Load(rate=10)
    world.pass_time(300)
    load.rate, load.failing = an_hour / 3600, lambda arm, _, __: 0.0
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=60)
    return world


def told(world: World) -> list[str]:
    """What the log has at level warn, of all ticks."""
    out = io.StringIO()
    log = Log(out=out)
    for tick in world.ticks:
        log.show(tick)
    return [line for line in out.getvalue().splitlines() if " warn " in line]


@pytest.mark.parametrize(("then", "an_hour"), [*(("hold", name) for name in AN_HOUR), ("advance", "none"), ("advance", "five")])
def test_neither_back_nor_on_and_told_once(make_world: Make, then: str, an_hour: str) -> None:
    world = quiet(make_world, then, AN_HOUR[an_hour])
    assert world.run(75 * 60, every=300) == []
    assert world.outcome("credit").decision.overdue
    (line,) = told(world)
    assert f"and the plan says {then}" in line


@pytest.mark.parametrize("an_hour", AN_HOUR)
def test_a_plan_that_says_abort_aborts_once_at_its_deadline_and_not_before(make_world: Make, an_hour: str) -> None:
    world = quiet(make_world, "abort", AN_HOUR[an_hour])
    assert world.run(30 * 60, every=300) == []
    done = world.run(30 * 60, every=300)
    assert [one.decision.change for one in done] == [Change.CANARY, Change.TAKE_BACK]
    assert "and the plan says abort" in done[0].decision.reason
    assert world.repository.written()[-1] == "credit(prod): close canary 2"


def test_a_plan_that_says_advance_does_so_once_a_step_and_only_where_both_arms_were_seen(make_world: Make) -> None:
    world = quiet(make_world, "advance", 1000)
    assert world.run(30 * 60, every=300) == []
    done = world.run(50 * 60, every=300)
    assert [one.decision.kind for one in done] == ["advance", "complete", "complete", "complete"]
    for one, step in zip(done, ("5 %", "25 %"), strict=False):
        assert one.seen
        assert one.seen.evidence
        assert one.seen.evidence.window_canary.requests > 0
        assert f"at {step}" in one.decision.reason
        assert one.decision.reason.endswith("and the plan says advance")
