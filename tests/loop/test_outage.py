"""Pitfall 8: what fails both arms is not the canary's fault; what then fails the canary alone is found, as fast as batches come.

At 100 requests/s; batches of 15 s, where not said otherwise; a tick at their very end, so that the last one is read a tick later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from .world import WIDTH, Load, World

pytestmark = pytest.mark.scenario
Make = Callable[..., World]


def stepped(make_world: Make, step: int, width: int = WIDTH) -> World:
    """A world in which canary 2 has been at so many percent for two minutes. width: seconds between scrapes, and of a batch."""
    world = make_world()
    world.width, world.settings = width, replace(world.settings, width=float(width))
    world.restart()
    world.cluster.loads["credit"] = Load(rate=100)
    world.pass_time(900)
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == step, within=900)
    world.run(120)
    return world


def failing(world: World, stable: float, canary: float) -> None:
    """From now on both arms fail so often."""
    world.cluster.loads["credit"].failing = lambda arm, _, __: canary if arm == "canary" else stable


@pytest.mark.parametrize("step", [5, 25])
def test_an_outage_of_both_arms_is_held_and_told_and_passes(make_world: Make, step: int) -> None:
    world = stepped(make_world, step)
    failing(world, 0.1, 0.1)
    world.run(60)
    for _ in range(9):
        assert world.run(60, every=60) == []
        assert world.said("credit").startswith("stable itself fails ")
        assert "ceiling 5.00 %: hold and page" in world.said("credit")
    failing(world, 0.002, 0.002)
    world.run(600)
    assert not [one for tick in world.ticks for one in tick.outcomes if one.decision.kind == "abort"]


@pytest.mark.parametrize(("stable", "canary"), [(0.002, 0.1), (0.002, 1.0), (0.1, 0.5)])
def test_a_canary_that_alone_is_ill_after_an_outage_is_aborted_within_two_minutes(
    make_world: Make, stable: float, canary: float
) -> None:
    world = stepped(make_world, 5)
    failing(world, 0.1, 0.1)
    assert world.run(600) == []
    failing(world, stable, canary)
    (abort,) = world.until(lambda: world.repository.canary("credit") == 0, within=120)
    assert "harm e-value" in abort.decision.reason


@pytest.mark.parametrize("step", [5, 25])
@pytest.mark.parametrize("canary", [0.1, 1.0])
def test_a_canary_that_becomes_ill_without_an_outage_is_aborted_within_105_seconds(
    make_world: Make, step: int, canary: float
) -> None:
    world = stepped(make_world, step)
    failing(world, 0.002, canary)
    (abort,) = world.until(lambda: world.repository.canary("credit") == 0, within=105)
    assert "harm e-value" in abort.decision.reason


@pytest.mark.parametrize("step", [5, 25])
def test_with_batches_of_five_seconds_within_a_minute(make_world: Make, step: int) -> None:
    world = stepped(make_world, step, width=5)
    failing(world, 0.002, 0.1)
    (abort,) = world.until(lambda: world.repository.canary("credit") == 0, within=60, every=5)
    assert "harm e-value" in abort.decision.reason
