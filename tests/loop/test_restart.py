"""A controller that knows nothing arrives where the one that ran all the time is, to the last digit."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from rollout.loop import Outcome, Tick
from rollout.prometheus import PIECE

from .prometheus import Sample
from .test_evidence import HOURS, START, STEP, canary, stable, stepped
from .world import WIDTH, Load, World, beginning

pytestmark = pytest.mark.scenario


def looked(tick: Tick) -> list[tuple[object, ...]]:
    """What a tick saw and decided, without the commits' ids."""
    assert not tick.hold_all
    return [(one.key, one.seen, one.decision) for one in tick.outcomes]


def torn(begin: int) -> list[Sample]:
    """A bad day: processes that begin anew, samples that are missing or not a number."""
    chance = random.Random(7)
    samples: list[Sample] = []
    for one in stable(begin) + canary(begin):
        fallen = one.value % 20_000 if one.labels[0][1] == "200" else one.value
        fate = chance.random()
        if fate > 0.06:
            samples.append(one._replace(value=float("nan") if fate < 0.1 else fallen))
    return samples


def test_at_any_moment_of_a_bad_day(make_world: Callable[..., World]) -> None:
    begin = beginning()
    world = stepped(make_world, begin, torn(begin))
    chance = random.Random(8)
    world.now = begin + STEP
    while world.now < begin + HOURS:
        world.now += chance.choice([1, 7, 15, 16, 60, 61, 600, 1800])
        fresh = world.fresh()
        assert looked(world.controller.tick(act=False)) == looked(fresh.tick(act=False))
        fresh.repo.close()


def test_at_every_tick_of_a_walk(world: World) -> None:
    world.start("credit", "2")
    for _ in range(70):
        world.pass_time(WIDTH)
        fresh = world.fresh()
        alone = looked(fresh.tick(act=False))
        assert looked(world.tick()) == alone
        fresh.repo.close()
    assert world.repository.written()[-1] == "credit(prod): close canary 2"


def test_a_controller_that_was_away_for_hours_sees_what_it_missed(make_world: Callable[..., World]) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin) + canary(begin))
    world.seen(at=begin + STEP + 60)
    world.now = begin + HOURS
    assert looked(world.controller.tick(act=False)) == looked(world.fresh().tick(act=False))


def test_a_step_that_was_committed_earlier_than_it_was_pushed(make_world: Callable[..., World]) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin) + canary(begin))
    world.seen(at=begin + STEP + 40 * WIDTH)
    world.repository.step("credit", 25, begin + STEP + 20 * WIDTH)
    for at in (41, 60, 90):
        world.now = begin + STEP + at * WIDTH
        assert looked(world.controller.tick(act=False)) == looked(world.fresh().tick(act=False))


def test_a_plan_that_was_committed_earlier_than_it_was_pushed(make_world: Callable[..., World]) -> None:
    begin = beginning()
    world = stepped(make_world, begin, torn(begin))
    world.seen(at=begin + STEP + 40 * WIDTH)
    text = world.repository.text("apps/credit/rollout.yaml") + "  gates: {errors: {ratio: 1.7, ceiling: 0.5}}\n"
    world.repository.commit("a looser plan", begin + STEP + 20 * WIDTH, {"apps/credit/rollout.yaml": text})
    for at in (41, 60, 90):
        world.now = begin + STEP + at * WIDTH
        assert looked(world.controller.tick(act=False)) == looked(world.fresh().tick(act=False))


def test_in_steady_state_only_new_samples_are_read(make_world: Callable[..., World]) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin) + canary(begin))
    world.seen(at=begin + HOURS - 600)
    world.proxy.asked.clear()
    world.seen(at=begin + HOURS - 600 + 15)
    (form,) = world.proxy.asked
    assert re.search(r"\[(\d+)ms\]", form["query"])[1] == "15000"
    world.seen(at=begin + HOURS - 600 + 16)
    assert len(world.proxy.asked) == 1, "no batch was completed, so nothing was asked"


def test_a_restart_reads_from_before_the_start_in_pieces(make_world: Callable[..., World]) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin) + canary(begin))
    world.seen(at=begin + HOURS)
    spans = [int(re.search(r"\[(\d+)ms\]", form["query"])[1]) / 1000 for form in world.proxy.asked]
    assert sum(spans) == HOURS - WIDTH - START + 1800 + 300
    assert max(spans) == PIECE


def queries_per_tick(world: World, apps: list[str]) -> int:
    """Queries of a tick in steady state with these releases in rollout."""
    for app in apps:
        world.cluster.loads[app] = Load(rate=10)
        world.start(app, "2")
    world.run(120)
    assert {world.repository.canary(app) for app in apps} == {5}
    world.proxy.asked.clear()
    world.run(60)
    return len(world.proxy.asked) // 4


def test_the_number_of_queries_does_not_grow_with_the_number_of_releases(make_world: Callable[..., World]) -> None:
    apps = [f"app-{number}" for number in range(20)]
    world = make_world(apps=apps, more="  gates: {latency: {budget: 0.5s}}\n")
    few = queries_per_tick(world, apps[:2])
    many = queries_per_tick(world, apps[2:])
    assert (few, many) == (2, 2)


def test_releases_that_start_at_different_times_share_their_queries(make_world: Callable[..., World]) -> None:
    apps = [f"app-{number}" for number in range(6)]
    world = make_world(apps=apps)
    for app in apps:
        world.cluster.loads[app] = Load(rate=10)
        world.start(app, "2")
        world.run(45)
    world.proxy.asked.clear()
    world.run(60)
    assert len(world.proxy.asked) == 4


def outcome(tick: Tick, app: str) -> Outcome:
    return next(one for one in tick.outcomes if one.key.app == app)
