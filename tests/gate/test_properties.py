"""The laws of the fold, for any batches."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gate import Arm, Batch, Verdict, begin, judge, observe
from rollout.plan import Gates

GATES = Gates(latency_budget=0.5)


@st.composite
def arms(draw):
    requests = draw(st.integers(0, 2000))
    few = st.integers(0, min(requests, 3))
    errors = draw(st.one_of(few, st.integers(0, requests)))
    return Arm(requests, errors, draw(st.one_of(few, st.integers(0, requests))))


@st.composite
def rollouts(draw):
    """Batches of a rollout that walks 5, 25, 50 %."""
    step, end, batches = 0, 0.0, []
    for _ in range(draw(st.integers(1, 25))):
        step = min(2, step + draw(st.sampled_from([0, 0, 0, 1])))
        seconds = draw(st.sampled_from([1.0, 15.0, 60.0]))
        end += seconds
        flags = {name: draw(st.sampled_from([True, True, True, False])) for name in ("up", "share", "routed")}
        batches.append(
            Batch(
                end=end,
                seconds=seconds,
                traffic=(5, 25, 50)[step],
                step=step,
                stable=draw(st.none() | arms()),
                canary=draw(st.none() | arms()),
                **flags,
            )
        )
    return batches


def fold(state, batches):
    for batch in batches:
        state = observe(state, batch, GATES)
    return state


@given(rollouts(), st.integers(0, 25))
@settings(max_examples=120, deadline=None)
def test_the_same_numbers_from_any_interruption_point(batches, cut):
    whole = fold(begin(GATES), batches)
    first = fold(begin(GATES), batches[:cut])
    judge(first, GATES)
    assert fold(first, batches[cut:]) == whole
    assert judge(whole, GATES) == judge(fold(begin(GATES), batches), GATES)


@given(rollouts())
@settings(max_examples=120, deadline=None)
def test_every_number_is_finite_and_harmful_is_for_good(batches):
    state, latched = begin(GATES), False
    for batch in batches:
        before = hash(state)
        after = observe(state, batch, GATES)
        assert hash(state) == before
        state = after
        evidence = judge(state, GATES)
        assert all(
            isfinite(x) and x >= 0 for x in (evidence.harm, evidence.safe, evidence.share, evidence.floor, evidence.two_arm)
        )
        assert isfinite(evidence.ceiling + evidence.latency)
        assert evidence.phi >= 1
        assert not latched or evidence.verdict is Verdict.HARMFUL
        latched = evidence.verdict is Verdict.HARMFUL
        assert evidence.reason


@given(rollouts())
@settings(max_examples=60, deadline=None)
def test_batches_without_the_backend_change_no_evidence(batches):
    gaps = [replace(b, up=False) for b in batches]
    state = fold(begin(GATES), gaps)
    evidence = judge(state, GATES)
    assert (evidence.harm, evidence.safe, evidence.window_seconds, evidence.steps) == (1.0, 1.0, 0.0, ())
    assert evidence.verdict is Verdict.METRICS_DOWN


@given(rollouts())
@settings(max_examples=60, deadline=None)
def test_no_evidence_never_moves_traffic(batches):
    """Law 4: an arm without data is neither good nor bad."""
    for blank in ({"canary": None}, {"stable": None, "canary": None}):
        evidence = judge(fold(begin(GATES), [replace(b, **blank) for b in batches]), GATES)
        assert evidence.verdict in {Verdict.NO_DATA, Verdict.METRICS_DOWN}
