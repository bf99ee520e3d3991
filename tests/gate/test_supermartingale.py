"""Every outcome of a few small batches under the null: the expectation of each e-value is at most 1, with every rule on.

And Ville's bound by a small seeded simulation.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from math import comb, inf, isclose

import pytest

from rollout.gate import RULES, Arm, Batch, begin, observe
from rollout.plan import Gates

EVERY = Gates(ceiling=0.2, latency_budget=0.5)
TIGHT = replace(RULES, cap=2.0, winsor=0.0, young_gain=1.2, young=20.0)  # so tight that small batches meet every rule


def binomial(n, k, p):
    return comb(n, k) * p**k * (1 - p) ** (n - k)


def outcomes(total, share, p_c, p_s):
    """Every way in which `total` requests are routed at random and fail, with its probability."""
    for n_c in range(total + 1):
        n_s = total - n_c
        for e_c, e_s in product(range(n_c + 1), range(n_s + 1)):
            chance = binomial(total, n_c, share) * binomial(n_c, e_c, p_c) * binomial(n_s, e_s, p_s)
            if chance > 0:
                yield chance, Arm(n_s, e_s, e_s), Arm(n_c, e_c, e_c)


def expected(value, *, totals, traffic, p_c, p_s, gates=EVERY, rules=RULES, share=None, steps=None, history=()):
    """E[value(state)] over the whole tree, the fold being the production code."""
    leaves = [(1.0, begin(gates, history, rules))]
    for i, total in enumerate(totals):
        step = steps[i] if steps else 0
        each = list(outcomes(total, traffic / 100 if share is None else share, p_c, p_s))
        leaves = [
            (weight * chance, observe(state, batch(i, traffic, step, stable, canary), gates))
            for weight, state in leaves
            for chance, stable, canary in each
        ]
    assert isclose(sum(weight for weight, _ in leaves), 1)
    return sum(weight * value(state) for weight, state in leaves)


def batch(i, traffic, step, stable, canary):
    return Batch(end=15.0 * (i + 1), seconds=15.0, traffic=traffic, step=step, stable=stable, canary=canary)


NULLS = [(0.001, 5), (0.004, 50), (0.05, 5), (0.05, 50), (0.3, 5), (0.3, 50), (0.9, 25)]


@pytest.mark.parametrize(
    "rules", [RULES, TIGHT, replace(RULES, young=0.0, cap=inf, winsor=inf)], ids=["as shipped", "tight", "bare"]
)
@pytest.mark.parametrize(("p", "traffic"), NULLS)
def test_a_canary_as_bad_as_stable_wins_nothing(p, traffic, rules):
    e = expected(lambda s: s.errors.value, totals=(3, 6), traffic=traffic, p_c=p, p_s=p, rules=rules)
    assert e <= 1 + 1e-9


@pytest.mark.parametrize(("p", "traffic"), [(0.004, 25), (0.2, 25)])
def test_nor_over_a_step_with_a_history_and_dispersion(p, traffic):
    clumps = [(50, 0), (50, 10)] * 60
    e = expected(
        lambda s: s.errors.value, totals=(3, 2, 3), steps=(0, 0, 1), traffic=traffic, p_c=p, p_s=p, history=clumps
    )  # fmt: skip
    assert e <= 1 + 1e-9
    assert begin(EVERY, clumps).errors.phi > 2


@pytest.mark.parametrize("ratio", [1.5, 3.0])
def test_a_tolerated_ratio_is_tolerated(ratio):
    gates = replace(EVERY, ratio=ratio, latency_ratio=ratio)
    for value in (lambda s: s.errors.value, lambda s: s.slow.value):
        assert expected(value, totals=(4, 5), traffic=25, p_c=0.1 * ratio, p_s=0.1, gates=gates) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("value", "p_c", "p_s", "traffic", "share"),
    [
        pytest.param(lambda s: s.errors.floor.value, RULES.floor_errors, 0.0, 25, None, id="the floor of errors"),
        pytest.param(lambda s: s.slow.floor.value, RULES.floor_slow, 0.0, 25, None, id="the floor of slow requests"),
        pytest.param(lambda s: s.slow.value, 0.1, 0.1, 25, None, id="latency"),
        pytest.param(lambda s: s.ceiling.value, 0.2, 0.0, 50, None, id="the ceiling"),
        pytest.param(lambda s: s.ceiling.value, 0.2, 0.4, 50, None, id="the ceiling in an outage"),
        pytest.param(lambda s: s.share.bets.value, 0.0, 0.0, 50, 0.25, id="half the committed share"),
        pytest.param(lambda s: s.share.bets.value, 0.0, 0.0, 50, 0.5, id="the committed share"),
    ],
)
def test_each_harm_test_wins_nothing_at_the_edge_of_its_null(value, p_c, p_s, traffic, share):
    for rules in (RULES, replace(RULES, young=0.0, share_temper=1.0)):
        e = expected(value, totals=(4, 4), traffic=traffic, p_c=p_c, p_s=p_s, share=share, rules=rules)
        assert e <= 1 + 1e-9


@pytest.mark.parametrize(("p_s", "step"), [(0.0, 0), (0.1, 0), (0.1, 1), (0.3, 1)])
def test_a_canary_that_is_just_not_safe_does_not_look_safe(p_s, step):
    floor = 0.02 if step == 0 else EVERY.safety_floor
    p_c = EVERY.safety_ratio * p_s + floor
    gates = replace(EVERY, ceiling=None)
    e = expected(lambda s: s.safety.value, totals=(4, 5), traffic=25, p_c=p_c, p_s=p_s, steps=(step, step), gates=gates)
    assert e <= 1 + 1e-9


def clumped(rng, n, p, clump):
    return min(n, clump * sum(rng.random() < p / clump for _ in range(n)))


@pytest.mark.parametrize("clump", [1, 5])
def test_a_healthy_canary_is_hardly_ever_aborted_however_often_one_looks(clump):
    """Ville at alpha = 20 %, so that 120 short rollouts tell: a true rate of 30 % would fail this in 99 of 100 seeds."""
    gates = Gates(alpha=0.2)
    aborted = 0
    for seed in range(120):
        rng = random.Random(seed)
        state = begin(gates, [(95, clumped(rng, 95, 0.03, clump)) for _ in range(40)])
        for i in range(60):
            arms = [Arm(n, clumped(rng, n, 0.03, clump)) for n in (75, 25)]
            state = observe(state, batch(i, 25, 0, *arms), gates)
        aborted += state.latched is not None
    assert aborted <= 24
