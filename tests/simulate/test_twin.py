"""The twin is the gate: any batches, folded through both, give the same numbers, verdicts and causes after every batch."""

from __future__ import annotations

from dataclasses import replace
from math import isinf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gate import RULES, Arm, Batch, begin, judge, observe
from rollout.gate.judge import CAUSES
from rollout.plan import Gates
from rollout.simulate import twin

TRAFFIC = (5, 25, 50)
VERDICTS = {
    twin.HARMFUL: "harmful",
    twin.DOWN: "metrics down",
    twin.SHARE: "undecided",
    twin.NO_DATA: "no data",
    twin.OUTAGE: "undecided",
    twin.SAFE: "safe",
    twin.UNDECIDED: "undecided",
}
ODD = {twin.SHARE: "share", twin.OUTAGE: "outage"}


def folded(seed, scale, rate, size, length, gates, rules, seconds=15.0):
    """Random rollouts through both; compares after every batch. `scale` is requests per batch."""
    rng = np.random.default_rng(seed)
    past_n = rng.poisson(scale, (rng.integers(0, 90), size))
    past_e = np.minimum(past_n, rng.integers(1, 6) * rng.poisson(past_n * rate / 2))
    both = twin.Gate(gates, past_n, past_e, rules)
    one = [begin(gates, [(int(n), int(e)) for n, e in zip(past_n[:, r], past_e[:, r], strict=True)], rules) for r in range(size)]
    step = np.zeros(size, np.int64)
    harm = rng.choice([1, 1, 3, 20], size)
    off = rng.choice([1, 1, 0.1, 2], size)
    for k in range(length):
        step = np.minimum(2, step + (rng.random(size) < 0.05))
        traffic = np.array(TRAFFIC)[step]
        n_c = rng.poisson(scale * np.minimum(traffic / 100 * off, 1))
        n_s = rng.poisson(scale * (1 - traffic / 100))
        bad = np.where(rng.random(size) < 0.1, 0.3, rate)
        clump = rng.choice([1, 4])
        e_s = np.minimum(n_s, clump * rng.poisson(n_s * bad / clump))
        e_c = np.minimum(n_c, clump * rng.poisson(np.minimum(n_c * bad * harm, n_c) / clump))
        s_s, s_c = rng.binomial(n_s, 0.02), rng.binomial(n_c, np.minimum(0.02 * harm, 1))
        has_s, has_c, up = rng.random(size) > 0.05, rng.random(size) > 0.05, rng.random(size) > 0.05
        routed = rng.random(size) > 0.3
        stable, canary = [x * has_s for x in (n_s, e_s, s_s)], [x * has_c for x in (n_c, e_c, s_c)]
        end = (k + 1) * seconds
        both.observe(end, seconds, (step, traffic), tuple(stable), tuple(canary), (has_s, has_c), up, routed)
        seen = both.verdict()
        for r in range(size):
            arms = [Arm(*(int(x[r]) for x in arm)) if there[r] else None for arm, there in ((stable, has_s), (canary, has_c))]
            batch = Batch(
                end=end, seconds=seconds, traffic=int(traffic[r]), step=int(step[r]), stable=arms[0], canary=arms[1],
                up=bool(up[r]), routed=bool(routed[r]),
            )  # fmt: skip
            one[r] = observe(one[r], batch, gates)
            compare(one[r], gates, both, r, int(seen[r]))
    return both


def compare(state, gates, both, r, verdict):
    evidence = judge(state, gates)
    assert VERDICTS[verdict] == evidence.verdict
    assert both.latched[r] == (-1 if state.latched is None else CAUSES.index(state.latched[0]))
    if verdict != twin.HARMFUL:
        assert ODD.get(verdict) == evidence.cause
    mine = {
        "two_arm": both.errors.value[r],
        "floor": both.errors.floor.value[r],
        "phi": both.errors.phi[r],
        "safe": both.safe[r],
        "window_seconds": both.dwelt[r],
        "dropped": both.dropped[r],
    }
    assert mine == pytest.approx({name: getattr(evidence, name) for name in mine}, rel=1e-6)
    assert both.share.bets.value[r] == pytest.approx(state.share.bets.value, rel=1e-6)
    assert both.ceiling.value[r] == pytest.approx(1.0 if state.ceiling is None else state.ceiling.value, rel=1e-6)
    if state.slow is not None:
        assert both.slow.evidence[r] == pytest.approx(state.slow.evidence, rel=1e-6)
    assert isinf(both.opened[r]) == (state.place.opened is None)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 20.0, 300.0, 9000.0]),
    st.sampled_from([0.0, 0.001, 0.02, 0.2]),
    st.sampled_from([Gates(), Gates(latency_budget=0.5), Gates(ceiling=None, ratio=1.5)]),
)
@settings(max_examples=40, deadline=None)
def test_the_twin_says_what_the_gate_says(seed, scale, rate, gates):
    folded(seed, scale, rate, 6, 40, gates, RULES)


@given(st.integers(0, 2**32 - 1), st.sampled_from([{"cap": 1e30}, {"winsor": 1e9}, {"young": 0.0}, {"total_mass": 0.0}]))
@settings(max_examples=12, deadline=None)
def test_also_with_a_rule_switched_off(seed, off):
    folded(seed, 300.0, 0.02, 6, 40, Gates(), replace(RULES, **off))


def test_also_over_a_long_walk_and_after_some_are_over():
    both = folded(7, 900.0, 0.01, 4, 400, Gates(latency_budget=0.5), RULES)
    kept = np.array([True, False, False, True])
    value = both.errors.value[kept]
    both.keep(kept)
    assert (both.errors.value == value).all()
    assert both.share.seen.worst.shape[-1] == 2
