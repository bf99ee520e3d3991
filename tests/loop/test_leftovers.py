"""Pitfall 7: what an earlier canary left behind under the same predictor name is not the next one's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollout.gate import Evidence

from .prometheus import Sample, counter, labels
from .repository import QUICK
from .world import WIDTH, Load, World, beginning

pytestmark = pytest.mark.scenario
Make = Callable[..., World]
PODS = [("canary", "2", "503", "credit-canary-old"), ("canary", "2", "200", "credit-canary-old"), ("stable", "2", "503", "odd")]


def third(make_world: Make, leftovers: Callable[[World], list[Sample]], begin: int) -> World:
    """Canary 2 fails and is closed; ten seconds later canary 3 starts, and comes to 50 %, among what is left of 2."""
    world = make_world(begin=begin, steps=QUICK)
    load = world.cluster.loads["credit"] = Load()
    load.failing = lambda _, version, __: 0.4 if version == "2" else 0.002
    world.pass_time(300)
    world.start("credit", "2")
    world.until(lambda: world.repository.written()[-1:] == ["credit(prod): close canary 2"], within=300)
    world.repository.start("credit", "3", world.now + 10)
    for _ in range(10):
        world.pass_time(WIDTH)
        if samples := leftovers(world):
            world.prometheus.write(samples)
        world.tick()
    assert world.repository.canary("credit") == 50
    return world


def terminating(world: World) -> list[Sample]:
    """Pods of version 2 that go on to count, and begin anew, under the names of both predictors."""
    value = 100 + world.now % 600
    return [
        one
        for arm, version, code, pod in PODS
        for one in counter(labels("credit", arm, version, code, pod), [(world.now - 5, value)])
    ]


def evidence(world: World) -> Evidence:
    """What a controller knows that sees it all at once."""
    seen = world.seen(controller=world.fresh()).seen
    assert seen is not None
    assert seen.evidence is not None
    return seen.evidence


def test_the_next_canary_is_judged_by_its_own_samples_only_to_the_last_digit(make_world: Make) -> None:
    begin = beginning()
    among, alone = third(make_world, terminating, begin), third(make_world, lambda _: [], begin)
    assert [one.subject for one in among.repository.log()] == [one.subject for one in alone.repository.log()]
    assert among.now == alone.now
    assert evidence(among) == evidence(alone)
    (_, _, first), (_, _, second) = evidence(among).steps
    assert first.errors + second.errors < 0.01 * (first.requests + second.requests)


def test_503s_of_its_own_pod_that_terminates_do_count(make_world: Make) -> None:
    def own(world: World) -> list[Sample]:
        where = labels("credit", "canary", "3", "503", "credit-canary-3-gone")
        return counter(where, [(world.now - 5, 4)]) if world.repository.canary("credit") == 20 else []

    begin = beginning()
    with_them, without = third(make_world, own, begin), third(make_world, lambda _: [], begin)
    assert evidence(with_them).steps[0][2].errors == evidence(without).steps[0][2].errors + 4
