"""Ville's bound over whole steps, with enough rollouts that a truth of 1.5 % would fail (in 99 seeds of 100)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from rollout.plan import Plan, Step
from rollout.simulate import study
from rollout.simulate.policies import ABORT, Ours
from rollout.simulate.scenario import Scenario

RUNS = 6000
STEP = Plan(steps=(Step(25, 1e6), Step(100, 0.0)))


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(name="independent", truth="same", rate=10, errors=0.02),
        Scenario(name="clumps", truth="same", rate=40, errors=0.01, clump=5),
    ],
    ids=lambda scenario: scenario.name,
)
def test_a_canary_like_stable_is_aborted_in_at_most_one_of_a_hundred(scenario):
    parts = [study.run(scenario, partial(Ours, plan=STEP), 2000, (3, chunk), horizon=1200) for chunk in range(RUNS // 2000)]
    aborted = int((np.concatenate([part.outcome for part in parts]) == ABORT).sum())
    assert aborted <= 66  # 1.5 % of 6000 are 90, with a standard deviation of 9.4
