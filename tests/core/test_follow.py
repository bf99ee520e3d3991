"""Evidence is a function of git's times and Prometheus' samples: the same to the last digit, wherever reading was cut."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.follow import HISTORY, Follower
from rollout.gate import Arm, Verdict
from rollout.plan import Plan, Step
from rollout.samples import CANARY, LOOKBACK, STABLE, Series
from rollout.state import Snapshot, Walk, derive
from tests.core.conftest import at_rest, rolling

WIDTH, LAG = 15.0, 3.0
PLAN = Plan(steps=(Step(5, 60.0), Step(25, 60.0), Step(100, 0.0)), digest="feed")
START, FIRST, SECOND, END = 6000, 6090, 6300, 6600


def walk_at(now: float, steps: tuple[tuple[int, int], ...] = ((FIRST, 5), (SECOND, 25))) -> Walk:
    """The walk as history shows it at `now`: started at START, then steps."""
    seen = [(0, at_rest()), (START, rolling(0)), *((time, rolling(canary)) for time, canary in steps)]
    history = [Snapshot(f"c{place}", f"c{place - 1}", time, release) for place, (time, release) in enumerate(seen) if time <= now]
    walk = derive(history).walk
    assert walk is not None
    return walk


def counters(requests: dict[str, list[int]], errors: dict[str, list[int]]) -> list[Series]:
    """Two counters per arm, scraped every fifteen seconds from before the history on; below 0: a process began anew."""
    begin = START - HISTORY - LOOKBACK
    found = []
    for arm, kinds in ((arm, {"other": requests[arm], "error": errors[arm]}) for arm in (STABLE, CANARY)):
        for kind, increases in kinds.items():
            value, samples = 0, []
            for place, increase in enumerate(increases):
                value = value + increase if increase >= 0 else -increase
                samples.append((begin + 7 + WIDTH * place, float(value)))
            if arm == CANARY:
                samples = [sample for sample in samples if sample[0] > START + 20]
            found.append(Series(arm, {STABLE: "7", CANARY: "8"}[arm], kind, (("pod", "a"),), samples))
    return found


BATCHES = int((END - (START - HISTORY - LOOKBACK)) / WIDTH)
counts = st.lists(st.integers(-50, 400), min_size=BATCHES, max_size=BATCHES)
few = st.lists(st.sampled_from([0, 0, 0, 0, 0, 1, 2]), min_size=BATCHES, max_size=BATCHES)
ends = [WIDTH * place for place in range(int(6000 / WIDTH), int(END / WIDTH) + 1)]


def followed(found: list[Series], stops: list[float], settled: float | None = None) -> Follower:
    """A controller that reads at each of `stops`, with the history it can see there; the last one is at END."""
    follower = Follower.of(walk_at(END), WIDTH, LAG, LOOKBACK)
    for until in [*stops, END]:
        follower.fold(found, until, walk_at(until), lambda _: PLAN, settled)
    return follower


@given(counts, counts, few, few, st.lists(st.sampled_from(ends), unique=True).map(sorted))
def test_the_same_evidence_from_any_interruption_point(stable, canary, failed, failing, stops):
    found = counters({STABLE: stable, CANARY: canary}, {STABLE: failed, CANARY: failing})
    assert followed(found, stops) == followed(found, [])


STEADY = {STABLE: [285] * BATCHES, CANARY: [15] * BATCHES}
NO_ERRORS = {STABLE: [0] * BATCHES, CANARY: [0] * BATCHES}


def test_once_the_share_fits_it_does_not_matter_when_a_controller_saw_the_split_arrive():
    """The canary is silent for each step's first minute, as if the split came late; a later controller cannot know when."""
    times = [START - HISTORY - LOOKBACK + WIDTH * place for place in range(BATCHES)]
    canary = [0 if time < FIRST + 60 else 15 if time < SECOND else 0 if time < SECOND + 60 else 75 for time in times]
    found = counters({STABLE: [300 - part for part in canary], CANARY: canary}, NO_ERRORS)
    for settled in (FIRST, FIRST + 20, SECOND, SECOND + 20):
        live, later = followed(found, ends, settled), followed(found, [])
        assert (live.state, live.batches) == (later.state, later.batches)
        assert sum(not batch.routed for batch in live.batches) == 10


def test_batches_belong_to_the_step_whose_commit_came_before_they_began():
    follower = followed(counters(STEADY, NO_ERRORS), [])
    by_step = [(step, [batch.end for batch in found]) for step, found in itertools.groupby(follower.batches, lambda b: b.traffic)]
    assert [(step, found[0], found[-1]) for step, found in by_step] == [(5, 6105.0, 6300.0), (25, 6315.0, 6600.0)]
    assert [batch.step for batch in follower.batches if batch.end in (6105.0, 6315.0)] == [0, 1]


def test_the_half_hour_before_the_start_is_the_gates_history():
    follower = followed(counters(STEADY, NO_ERRORS), [])
    assert follower.history == [(285, 0)] * 120


def test_each_batch_is_judged_by_the_plan_in_force_when_it_ended():
    strict, lax = PLAN, replace(PLAN, gates=replace(PLAN.gates, latency_budget=0.5))
    seen: list[float] = []

    def plan_at(time: float) -> Plan:
        seen.append(time)
        return strict if time < 6200 else lax

    follower = Follower.of(walk_at(END), WIDTH, LAG, LOOKBACK)
    follower.fold(counters(STEADY, NO_ERRORS), END, walk_at(END), plan_at, None)
    assert seen[0] == 6105.0
    assert follower.state is not None
    assert follower.state.slow is not None


def test_no_evidence_before_the_first_batch_of_the_present_step():
    found = counters(STEADY, NO_ERRORS)
    follower = Follower.of(walk_at(FIRST), WIDTH, LAG, LOOKBACK)
    follower.fold(found, FIRST, walk_at(FIRST), lambda _: PLAN, None)
    assert follower.evidence(PLAN, walk_at(FIRST)) is None
    follower.fold(found, SECOND, walk_at(SECOND), lambda _: PLAN, None)
    assert follower.evidence(PLAN, walk_at(SECOND)) is None
    follower.fold(found, SECOND + WIDTH, walk_at(END), lambda _: PLAN, None)
    evidence = follower.evidence(PLAN, walk_at(END))
    assert evidence is not None
    assert (evidence.verdict, evidence.traffic) == (Verdict.NO_DATA, 25)


def test_a_canary_at_100_percent_by_hand_is_no_evidence():
    walk = walk_at(END, ((FIRST, 100),))
    follower = Follower.of(walk, WIDTH, LAG, LOOKBACK)
    follower.fold(counters(STEADY, NO_ERRORS), END, walk, lambda _: PLAN, None)
    assert (follower.batches, follower.evidence(PLAN, walk)) == ([], None)


@pytest.mark.parametrize("second", range(SECOND - 10, SECOND + 30, 7))
def test_all_commits_together_record_all_batches(second):
    found, steps = counters(STEADY, NO_ERRORS), ((FIRST, 5), (second, 25))
    follower = Follower.of(walk_at(END, steps), WIDTH, LAG, LOOKBACK)
    until = (second - LAG) // WIDTH * WIDTH
    follower.fold(found, until, walk_at(second - 1, steps), lambda _: PLAN, None)
    first = follower.unrecorded(walk_at(second - 1, steps))
    follower.fold(found, END, walk_at(END, steps), lambda _: PLAN, None)
    assert [*first, *follower.unrecorded(walk_at(END, steps))] == follower.batches


def test_a_silent_canary_is_found_once_argo_cd_says_that_the_split_is_there():
    silent = counters({**STEADY, CANARY: [0] * BATCHES}, NO_ERRORS)
    walk = walk_at(SECOND - 1)
    follower = Follower.of(walk, WIDTH, LAG, LOOKBACK)
    follower.fold(silent, SECOND, walk, lambda _: PLAN, FIRST + 20)
    assert [batch.routed for batch in follower.batches[:4]] == [False, False, True, True]
    evidence = follower.evidence(PLAN, walk)
    assert evidence is not None
    assert (evidence.verdict, evidence.cause) == (Verdict.HARMFUL, "share")
    assert Arm(0, 0) in [batch.canary for batch in follower.batches]
