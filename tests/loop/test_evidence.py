"""Counters become evidence: hours of samples in a real Prometheus' blocks, looked at from any moment.

Begin + 30 min: canary 2 starts. One minute later it is at 5 %. A scrape every 15 s; stable has 855 requests a scrape, 5 of them
errors, and the canary 45.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import pytest

from rollout.gate import Arm, Evidence, Verdict

from .prometheus import BUCKET, Sample, counter, labels
from .world import WIDTH, World, beginning

pytestmark = pytest.mark.scenario
START, STEP = 1800, 1860  # seconds after the beginning
HOURS = 3 * 3600
Make = Callable[..., World]


def scrapes(begin: float, first: float, last: float) -> Iterator[float]:
    """The times of the scrapes in (begin + first, begin + last]."""
    return (begin + at + 9 for at in range(int(first), int(last), WIDTH))


def rising(times: Iterable[float], by: int, start: int = 0) -> list[tuple[float, float]]:
    """A counter that rises by so much before every scrape."""
    return [(when, start + by * (place + 1)) for place, when in enumerate(times)]


def stable(begin: float, last: float = HOURS) -> list[Sample]:
    """Stable, version 1, for years."""
    times = list(scrapes(begin, 0, last))
    fine = counter(labels("credit", "stable", "1"), rising(times, 850, 1_000_000))
    return fine + counter(labels("credit", "stable", "1", "500"), rising(times, 5, 5_000))


def canary(begin: float, last: float = HOURS) -> list[Sample]:
    """The canary, version 2, from its first requests on; it never fails."""
    return counter(labels("credit", "canary", "2"), rising(scrapes(begin, STEP, last), 45))


def stepped(make_world: Make, begin: float, samples: Iterable[Sample], **tree: str) -> World:
    """A world with these samples in which canary 2 is at 5 %."""
    world = make_world(begin=begin, samples=samples, **tree)
    world.repository.start("credit", "2", begin + START)
    world.repository.step("credit", 5, begin + STEP)
    return world


def evidence(world: World, at: float) -> Evidence:
    """What is known at a moment."""
    seen = world.seen(at=at).seen
    assert seen is not None
    assert seen.evidence is not None
    return seen.evidence


def arms(world: World, at: float) -> tuple[Arm, Arm]:
    """The counts of stable and the canary at 5 %."""
    ((traffic, one, other),) = evidence(world, at).steps
    assert traffic == 5
    return one, other


def test_hours_of_samples_are_counted_to_the_last_request(make_world: Make) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin) + canary(begin))
    found = evidence(world, begin + HOURS)
    number = (HOURS - WIDTH - STEP) // WIDTH
    assert found.steps == ((5, Arm(855 * number, 5 * number), Arm(45 * number, 0)),)
    assert (found.window_start, found.window_seconds) == (begin + STEP, number * WIDTH)
    assert found.verdict is Verdict.SAFE


def test_the_last_batch_counts_once_it_is_complete(make_world: Make) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin) + canary(begin))
    end = begin + STEP + 10 * WIDTH
    assert arms(world, end + 2)[1].requests == 9 * 45
    assert arms(world, end + 3)[1].requests == 10 * 45


def test_a_counter_that_fell_is_a_new_process_and_counts_all_it_has(make_world: Make) -> None:
    begin = beginning()
    mine = [one._replace(value=one.value - 440) if one.time > begin + STEP + 10 * WIDTH else one for one in canary(begin)]
    world = stepped(make_world, begin, stable(begin) + mine)
    assert arms(world, begin + STEP + 20 * WIDTH + 3)[1].requests == 10 * 45 + 55 + 9 * 45


def test_a_pod_that_is_replaced_counts_under_its_new_name(make_world: Make) -> None:
    begin = beginning()
    times = list(scrapes(begin, STEP, 2 * STEP))
    mine = counter(labels("credit", "canary", "2"), rising(times[:10], 45))
    mine += counter(labels("credit", "canary", "2", pod="another"), rising(times[10:20], 45))
    world = stepped(make_world, begin, stable(begin, 2 * STEP) + mine)
    assert arms(world, begin + STEP + 20 * WIDTH + 3)[1].requests == 20 * 45


@pytest.mark.parametrize(("arm", "version"), [("stable", "1"), ("canary", "2")])
def test_errors_of_a_series_that_first_appears_with_value_k_are_k_errors(make_world: Make, arm: str, version: str) -> None:
    begin = beginning()
    times = list(scrapes(begin, STEP, 2 * STEP))
    first = counter(labels("credit", arm, version, "503"), [(when, 7) for when in times[5:]])
    world = stepped(make_world, begin, stable(begin, 2 * STEP) + canary(begin, 2 * STEP) + first)
    one, other = arms(world, begin + STEP + 20 * WIDTH + 3)
    assert (one.errors, other.errors) == ((100 + 7, 0) if arm == "stable" else (100, 7))
    assert one.requests + other.requests == 20 * 900 + 7


def test_a_gap_is_no_dwell_and_its_increase_counts_in_the_batch_after_it(make_world: Make) -> None:
    begin = beginning()
    gap = range(begin + STEP + 20 * WIDTH, begin + STEP + 40 * WIDTH)
    samples = [one for one in stable(begin) + canary(begin) if int(one.time) not in gap]
    world = stepped(make_world, begin, samples)
    inside = evidence(world, begin + STEP + 30 * WIDTH + 3)
    assert (inside.verdict, inside.window_seconds) == (Verdict.METRICS_DOWN, 20 * WIDTH)
    after = evidence(world, begin + STEP + 60 * WIDTH + 3)
    assert after.steps == ((5, Arm(60 * 855, 60 * 5), Arm(60 * 45, 0)),)
    assert after.window_seconds == 40 * WIDTH


def test_nan_samples_are_no_samples(make_world: Make) -> None:
    begin = beginning()
    ill = range(begin + STEP + 20 * WIDTH, begin + STEP + 25 * WIDTH)
    samples = stable(begin) + canary(begin)
    without = stepped(make_world, begin, [one for one in samples if int(one.time) not in ill])
    nan = stepped(make_world, begin, [one._replace(value=math.nan) if int(one.time) in ill else one for one in samples])
    for at in (22, 26, 60):
        assert evidence(nan, begin + STEP + at * WIDTH) == evidence(without, begin + STEP + at * WIDTH)


def test_two_versions_under_one_predictor_name_are_never_mixed(make_world: Make) -> None:
    begin = beginning()
    times = list(scrapes(begin, 0, HOURS))
    old = counter(labels("credit", "canary", "1", "500", "old"), rising(times, 20))
    newer = counter(labels("credit", "stable", "2", "500", "newer"), rising(times, 30))
    world = stepped(make_world, begin, stable(begin) + canary(begin) + old + newer)
    clean = stepped(make_world, begin, stable(begin) + canary(begin))
    assert evidence(world, begin + HOURS) == evidence(clean, begin + HOURS)


def test_series_of_others_are_not_this_releases(make_world: Make) -> None:
    begin = beginning()
    times = list(scrapes(begin, 0, HOURS))
    foreign = [
        counter(labels("credit", "canary", "2", "500", namespace="credit-staging"), rising(times, 20)),
        counter(labels("credit", "canary", "2", "500", deployment_name="savings"), rising(times, 20)),
        counter(labels("credit", "canary", "2", "500", service="feedback"), rising(times, 20)),
        counter(labels("credit", "shadow", "2", "500"), rising(times, 20)),
        counter(labels("credit", "canary", "2", "500"), rising(times, 20), "another_metric_count"),
    ]
    world = stepped(make_world, begin, stable(begin) + canary(begin) + [one for series in foreign for one in series])
    clean = stepped(make_world, begin, stable(begin) + canary(begin))
    assert evidence(world, begin + HOURS) == evidence(clean, begin + HOURS)


def test_a_gate_that_matches_no_series_is_no_data_and_never_zero_errors(make_world: Make) -> None:
    begin = beginning()
    named = [one._replace(name="requests_total") for one in stable(begin) + canary(begin)]
    world = stepped(make_world, begin, named)
    seen = world.seen(at=begin + HOURS)
    assert seen.seen is not None
    assert seen.seen.evidence is not None
    assert seen.seen.evidence.verdict is Verdict.METRICS_DOWN
    assert seen.decision.change is None
    assert seen.decision.reason == (
        "the metrics backend does not answer: hold at 5 %; so far canary 0 of 0 requests failed, stable 0 of 0"
    )


def test_a_canary_without_series_beside_a_stable_that_has_them_does_not_answer(make_world: Make) -> None:
    begin = beginning()
    world = stepped(make_world, begin, stable(begin))
    found = evidence(world, begin + HOURS)
    assert (found.verdict, found.cause) == (Verdict.HARMFUL, "share")


def test_a_stable_without_series_says_nothing(make_world: Make) -> None:
    begin = beginning()
    world = stepped(make_world, begin, canary(begin))
    found = evidence(world, begin + HOURS)
    assert found.verdict is Verdict.NO_DATA
    assert world.seen().decision.change is None


def test_slow_requests_are_those_above_the_budgets_bucket(make_world: Make) -> None:
    begin, budget = beginning(), "  gates: {latency: {budget: 0.5s}}\n"
    times = list(scrapes(begin, STEP, HOURS))
    timed = [
        *counter(labels("credit", "canary", "2", le="0.25"), rising(times, 10), BUCKET),
        *counter(labels("credit", "canary", "2", le="0.5"), rising(times, 42), BUCKET),
        *counter(labels("credit", "canary", "2", le="+Inf"), rising(times, 45), BUCKET),
    ]
    world = stepped(make_world, begin, stable(begin) + canary(begin) + timed, more=budget)
    assert arms(world, begin + STEP + 20 * WIDTH + 3)[1] == Arm(20 * 45, 0, 20 * 3)


@pytest.mark.parametrize("bound", ["1", "1.0"])
def test_a_whole_seconds_bucket_is_found_however_its_bound_is_written(make_world: Make, bound: str) -> None:
    begin, budget = beginning(), "  gates: {latency: {budget: 1s}}\n"
    times = list(scrapes(begin, STEP, HOURS))
    timed = counter(labels("credit", "canary", "2", le=bound), rising(times, 42), BUCKET)
    timed += counter(labels("credit", "canary", "2", le="+Inf"), rising(times, 45), BUCKET)
    world = stepped(make_world, begin, stable(begin) + canary(begin) + timed, more=budget)
    assert arms(world, begin + STEP + 20 * WIDTH + 3)[1].slow == 20 * 3
