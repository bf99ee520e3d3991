"""Each policy's rules on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rollout.decide import Action, judge_step
from rollout.gate import Arm, Batch, begin, judge, observe
from rollout.simulate import study
from rollout.simulate.policies import ABORT, COMPLETE, NOTHING, POLICIES, Ours, Start, mann_whitney, z_score
from rollout.simulate.scenario import Scenario
from rollout.simulate.world import WIDTH, Seen

HEALTHY = Scenario(name="healthy", truth="same", rate=60, errors=0.01)
NO_PAST = np.zeros((0, 1), np.int64)


def asked(name, batches):
    """What one rollout's policy asks for, look by look; batches are (canary requests, errors) or None: no metrics."""
    policy = POLICIES[name](Start(HEALTHY, NO_PAST, NO_PAST, np.random.default_rng(0)))
    found = []
    for k, batch in enumerate(batches):
        n, e = batch or (0, 0)
        arms = [tuple(np.array([x]) for x in arm) for arm in ((1000, 10, 0), (n, e, 0))]
        nothing = np.zeros(1)
        seen = Seen((k + 1) * WIDTH, *arms, np.array([batch is not None]), batch is not None, nothing, nothing)
        found.append(int(policy.look(k * WIDTH, seen)[0]))
        if found[-1] in (ABORT, COMPLETE):
            break
    return {k + 1: x for k, x in enumerate(found) if x != NOTHING}


GOOD, BAD, AWFUL = (100, 0), (100, 2), (100, 6)


def test_flagger_rises_by_ten_each_minute_and_promotes_after_the_check_at_fifty():
    assert asked("flagger", [GOOD] * 30) == {4: 20, 8: 30, 12: 40, 16: 50, 20: COMPLETE}


def test_flagger_halts_at_98_percent_and_rolls_back_the_tick_after_the_fifth_failed_check():
    assert asked("flagger", [BAD] * 40) == {24: ABORT}


def test_flagger_never_forgets_a_failed_check():
    minutes = [BAD] * 4 + [GOOD] * 4
    assert asked("flagger", minutes * 10) == {8: 20, 16: 30, 24: 40, 32: 50, 40: ABORT}
    assert asked("flagger", [BAD] * 8 + minutes * 10) == {16: 20, 24: 30, 32: ABORT}


def test_flagger_counts_metrics_that_are_down_as_failed():
    assert asked("flagger", [None] * 40) == {24: ABORT}


def test_flagger_passes_a_minute_without_a_request_once_there_was_one():
    assert asked("flagger", [(0, 0)] * 40) == {24: ABORT}
    assert asked("flagger", [GOOD] + [(0, 0)] * 40)[20] == COMPLETE


def test_argo_inline_looks_once_after_five_minutes_at_the_last_two_samples():
    assert asked("argo-inline", [AWFUL] * 19 + [GOOD] * 9) == {20: COMPLETE}
    assert asked("argo-inline", [GOOD] * 19 + [AWFUL] * 9) == {20: ABORT}
    assert asked("argo-inline", [GOOD] * 19 + [(0, 0)] * 9) == {20: ABORT}


def test_argo_inline_asks_again_when_metrics_are_down_and_gives_up_after_the_fifth_error():
    assert asked("argo-inline", [None] * 23 + [GOOD]) == {24: COMPLETE}
    assert asked("argo-inline", [None] * 40) == {24: ABORT}


def test_argo_background_fails_at_the_fourth_failed_look():
    assert asked("argo-background", [GOOD] * 200) == {40: 40, 80: 60, 120: 80, 160: COMPLETE}
    assert asked("argo-background", [AWFUL] * 200) == {40: 40, 80: 60, 100: ABORT}


def test_the_z_test_looks_at_the_end_of_each_dwell():
    assert asked("z-test", [(50, 0)] * 300) == {120: 25, 240: COMPLETE}
    assert asked("z-test", [(50, 2)] * 300) == {120: ABORT}
    assert asked("z-test", [(0, 0)] * 300) == {120: 25, 240: COMPLETE}


def test_the_peeking_z_test_looks_every_minute():
    assert asked("z-test-peeking", [(50, 2)] * 300) == {4: ABORT}


def test_z_by_hand():
    """30 of 1000 against 10 of 1000: pooled 2 %, z = 0.02 / sqrt(0.02 x 0.98 x 0.002) = 3.194."""
    assert z_score(np.array([[1000.0], [30.0], [1000.0], [10.0]]))[0] == pytest.approx(3.1944, abs=1e-4)


def test_mann_whitney_is_that_of_r():
    """R: wilcox.test(c(1.1,2.2,3.3,4.4,5.6), c(0.1,0.25,0.3,0.45,0.6), conf.int=TRUE, conf.level=0.9, exact=FALSE).

    25 differences; sd = sqrt(25/12 x 11) = 4.787; 12.5 + 0.5 + 1.6449 x 4.787 = 20.87: the 21st from above, the fifth least.
    """
    x, y = np.array([1.1, 2.2, 3.3, 4.4, 5.6]), np.array([0.1, 0.25, 0.3, 0.45, 0.6])
    lower, estimate = mann_whitney(x, y, z=1.6449)
    assert lower == pytest.approx(np.sort(np.subtract.outer(x, y).ravel())[4])
    assert estimate == pytest.approx(3.0)


def test_kayenta_passes_what_is_equal_and_fails_what_is_high():
    assert asked("kayenta", [(1000, 10)] * 300) == {120: 25, 240: COMPLETE}
    assert asked("kayenta", [(1000, 10), (1000, 60), (1000, 80), (1000, 90)] * 90) == {120: ABORT}
    assert asked("kayenta", [(0, 0)] * 300) == {120: ABORT}


class Reference(Ours):
    """Ours, decided by rollout.gate and rollout.decide.judge_step, one rollout at a time."""

    def __init__(self, start):
        super().__init__(start)
        pasts = [
            [(int(n), int(e)) for n, e in zip(start.requests[:, r], start.errors[:, r], strict=True)] for r in range(self.size)
        ]
        self.states = np.array([None] * self.size, object)
        for r, past in enumerate(pasts):
            self.states[r] = begin(self.plan.gates, past)

    def look(self, start, seen):
        at = np.where(self.committed <= start, self.step, self.before)
        step, before, committed = self.step.copy(), self.before.copy(), self.committed.copy()
        found = super().look(start, seen)
        for r in range(self.size):
            arms = [Arm(*(int(column[r]) for column in arm)) if seen.data[r] else None for arm in (seen.stable, seen.canary)]
            percent = self.percents[at[r]]
            batch = Batch(
                end=seen.end, seconds=WIDTH, traffic=percent, step=int(at[r]), stable=arms[0], canary=arms[1],
                up=bool(seen.up and seen.data[r]), routed=True,
            )  # fmt: skip
            self.states[r] = observe(self.states[r], batch, self.plan.gates)
            evidence = judge(self.states[r], self.plan.gates)
            action, _, _ = judge_step(self.plan, percent, evidence, seen.end - committed[r])
            if at[r] != step[r] and action is not Action.ABORT:
                action = Action.HOLD  # the step's first batch is still to come
            wanted = {Action.HOLD: NOTHING, Action.ABORT: ABORT, Action.COMPLETE: COMPLETE, Action.ADVANCE: 25}[action]
            assert found[r] == wanted, (r, start, before[r], evidence.reason)
        return found


@pytest.mark.parametrize(
    "scenario",
    [
        HEALTHY,
        Scenario(name="3x", truth="worse", rate=60, errors=0.01, ratio=3),
        Scenario(name="gaps", truth="same", rate=60, errors=0.01, scrape=0.1, late=0.1, clump=5),
    ],
    ids=lambda scenario: scenario.name,
)
def test_ours_decides_as_the_controller_does(scenario):
    ended = study.run(scenario, Reference, 6, (1, 2), horizon=4500)
    assert (ended.outcome != NOTHING).all()
