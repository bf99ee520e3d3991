"""Pitfall 5: Prometheus is away, or says what is not so. Everything holds, somebody is told, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rollout.gate import Evidence

from . import flaky
from .flaky import Fault
from .world import WIDTH, Load, World

pytestmark = pytest.mark.scenario
Make = Callable[..., World]
AWAY: dict[str, tuple[Fault, str]] = {
    "500": (flaky.http_500, "answers 500: upstream connect error"),
    "overloaded": (flaky.slow, "does not answer: "),
    "cut off": (flaky.cut, "does not speak its API"),
    "a login page": (flaky.html, "does not speak its API (it says '<html>"),
    "in part, with a warning": (flaky.warnings, "answers in part only: store 10.0.0.7:10901 is unreachable"),
}
LYING: dict[str, Fault] = {"empty": flaky.empty, "NaN": flaky.nan}


@pytest.fixture
def stepped(make_world: Make) -> World:
    """A world in which canary 2 has been at 5 % for two minutes."""
    world = make_world()
    world.cluster.loads["credit"] = Load()
    world.pass_time(600)
    world.start("credit", "2")
    world.until(lambda: world.repository.canary("credit") == 5, within=60)
    world.run(120)
    world.patience = 0.2
    world.restart()
    return world


@contextmanager
def ill(world: World, fault: Fault) -> Iterator[None]:
    """Prometheus answers with a fault for a while."""
    world.proxy.fault = fault
    yield
    world.proxy.fault = None


@contextmanager
def gone(world: World) -> Iterator[None]:
    """Prometheus is not there, and scrapes nothing, for a while."""
    world.prometheus.stop()
    world.cluster.loads["credit"].scraped = False
    yield
    world.prometheus.start()
    world.cluster.loads["credit"].scraped = True


@contextmanager
def stale(world: World) -> Iterator[None]:
    """Prometheus answers, and cannot scrape anything for a while."""
    world.cluster.loads["credit"].scraped = False
    yield
    world.cluster.loads["credit"].scraped = True


def evidence(world: World) -> Evidence:
    """What is known after the last tick."""
    seen = world.outcome("credit").seen
    assert seen is not None
    assert seen.evidence is not None
    return seen.evidence


def holds_for_ten_minutes(world: World, told: str, trouble: str) -> None:
    """Fail unless all holds, with these words, and the services' trouble is told at every tick."""
    world.run(60)
    for _ in range(9):
        assert world.run(60, every=60) == []
        assert told in world.said("credit")
        assert all(trouble in text for text in world.ticks[-1].troubles)
        assert bool(world.ticks[-1].troubles) is bool(trouble)
    assert world.repository.canary("credit") == 5


@pytest.mark.parametrize("fault", AWAY)
def test_away_for_ten_minutes_all_holds_and_what_it_saw_meanwhile_counts(stepped: World, fault: str) -> None:
    answer, trouble = AWAY[fault]
    stepped.run(WIDTH)
    with ill(stepped, answer):
        holds_for_ten_minutes(stepped, f"metrics down: prometheus at {stepped.proxy.url} {trouble}", trouble)
    (onward,) = stepped.run(WIDTH)
    assert stepped.repository.canary("credit") == 25
    assert onward.seen
    assert onward.seen.evidence
    assert onward.seen.evidence.window_seconds >= 11 * 60, "the batches were read later, and were there all the time"


@pytest.mark.parametrize("fault", LYING)
def test_empty_or_without_numbers_for_ten_minutes_is_no_data_and_no_dwell(stepped: World, fault: str) -> None:
    stepped.run(WIDTH)
    before = evidence(stepped)
    with ill(stepped, LYING[fault]):
        holds_for_ten_minutes(stepped, "the metrics backend does not answer: hold at 5 %", "")
    resumes_without_the_gap(stepped, before)


def test_stale_for_ten_minutes_is_no_data_and_no_dwell(stepped: World) -> None:
    stepped.run(WIDTH)
    before = evidence(stepped)
    with stale(stepped):
        holds_for_ten_minutes(stepped, "the metrics backend does not answer: hold at 5 %", "")
    resumes_without_the_gap(stepped, before)


def test_down_for_ten_minutes_with_everything_it_would_have_seen(stepped: World) -> None:
    stepped.run(WIDTH)
    before = evidence(stepped)
    with gone(stepped):
        holds_for_ten_minutes(stepped, f"metrics down: prometheus at {stepped.proxy.url} does not answer", "does not answer")
    resumes_without_the_gap(stepped, before)


def resumes_without_the_gap(world: World, before: Evidence) -> None:
    """Fail unless the dwell goes on where it was."""
    world.run(2 * WIDTH)
    assert before.window_seconds < evidence(world).window_seconds <= before.window_seconds + 3 * WIDTH
    world.until(lambda: world.repository.canary("credit") == 25, within=240)


@pytest.mark.parametrize("fault", AWAY)
def test_a_canary_that_failed_meanwhile_is_aborted_though_it_is_well_again(stepped: World, fault: str) -> None:
    stepped.run(WIDTH)
    load = stepped.cluster.loads["credit"]
    with ill(stepped, AWAY[fault][0]):
        load.failing = lambda arm, _, __: 0.3 if arm == "canary" else 0.002
        assert stepped.run(300, every=60) == []
        load.failing = lambda arm, _, __: 0.002
    (abort,) = stepped.run(WIDTH)
    assert abort.decision.kind == "abort"
    assert "harm e-value" in abort.decision.reason


@pytest.mark.parametrize("fault", [*LYING, "stale", "down"])
def test_a_canary_that_began_to_fail_while_nobody_saw_it_is_aborted(stepped: World, fault: str) -> None:
    stepped.run(WIDTH)
    with {"stale": stale, "down": gone}[fault](stepped) if fault in ("stale", "down") else ill(stepped, LYING[fault]):
        stepped.cluster.loads["credit"].failing = lambda arm, _, __: 0.3 if arm == "canary" else 0.002
        assert stepped.run(300, every=60) == []
    (abort,) = stepped.until(lambda: stepped.repository.canary("credit") == 0, within=120)
    assert "harm e-value" in abort.decision.reason


def test_failures_within_a_gap_are_one_event_and_never_safe(stepped: World) -> None:
    stepped.run(WIDTH)
    load = stepped.cluster.loads["credit"]
    with stale(stepped):
        load.failing = lambda arm, _, __: 0.3 if arm == "canary" else 0.002
        assert stepped.run(300, every=60) == []
        load.failing = lambda arm, _, __: 0.002
    assert stepped.run(1800, every=60) == []
    assert evidence(stepped).steps[0][2].errors > 200
