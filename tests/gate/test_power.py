"""What a step can show: worked by hand, and by the gate itself."""

from __future__ import annotations

import random
from math import exp, inf

import pytest

from rollout.gate import Arm, Batch, begin, observe
from rollout.gate.power import Traffic, _poisson, safe_by, shows, time
from rollout.plan import Gates

GATES = Gates()


@pytest.mark.parametrize(("ratio", "probability"), [(1, 0.0), (2, 0.04), (5, 0.94), (50, 1.0)])
def test_half_an_hour_of_5_percent_of_10_requests_a_second_shows(ratio, probability):
    assert shows(GATES, Traffic(10, 0.005), 0.05, 1800, ratio) == pytest.approx(probability, abs=0.01)


def test_more_share_more_time_more_traffic_show_more():
    base = shows(GATES, Traffic(10, 0.005), 0.05, 1800, 3)
    assert shows(GATES, Traffic(10, 0.005), 0.25, 1800, 3) > base
    assert shows(GATES, Traffic(10, 0.005), 0.05, 3600, 3) > base
    assert shows(GATES, Traffic(20, 0.005), 0.05, 1800, 3) > base


def test_stable_that_never_fails_shows_nothing_by_a_ratio():
    assert shows(GATES, Traffic(10, 0.0), 0.05, 1800, 2) == 0
    assert _poisson(0, 0.0) == 1


def test_the_gate_itself_finds_as_often_as_the_formula_says():
    """200 walks of half an hour at 25 % of 2 requests/s, stable failing in 1 %, the canary four times as often."""
    found, rng = 0, random.Random(5)

    def poisson(mean):
        k, left = 0, rng.random()
        chance = exp(-mean)
        while left > chance:
            left -= chance
            k += 1
            chance *= mean / k
        return k

    for _ in range(200):
        state = begin(GATES)
        for i in range(60):
            arms = [Arm(n, min(n, poisson(n * p))) for n, p in ((poisson(45.0), 0.01), (poisson(15.0), 0.04))]
            batch = Batch(end=30.0 * (i + 1), seconds=30.0, traffic=25, step=0, stable=arms[0], canary=arms[1])
            state = observe(state, batch, GATES)
        found += state.latched is not None
    assert found / 200 == pytest.approx(shows(GATES, Traffic(2, 0.01), 0.25, 1800, 4), abs=0.1)


def test_safe_takes_requests_and_a_lower_floor_takes_more():
    """With no error at all, A = 0.03: n x floor x 0.97 must reach log(20 x 6) or less: some 240 canary requests at 2 %."""
    first = time(0.9, lambda seconds: safe_by(GATES, Traffic(10, 0.0), 0.05, seconds, 0))
    later = time(0.9, lambda seconds: safe_by(GATES, Traffic(10, 0.0), 0.05, seconds, 1))
    assert first * 0.5 == pytest.approx(200, rel=0.2)
    assert later * 0.5 == pytest.approx(1000, rel=0.2)


def test_a_month_is_the_longest_time():
    assert time(0.9, lambda _: 0.0) == inf
    assert time(0.9, lambda seconds: seconds / 1e6) == pytest.approx(9e5, rel=0.01)
    assert time(0.9, lambda _: 1.0) == 15
