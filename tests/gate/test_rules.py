"""The rules of the fold, each by its name: whole input, exact verdict."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from math import isfinite

import pytest

from rollout.gate import RULES, Arm, Batch, Verdict, begin, from_dict, judge, observe, thresholds
from rollout.gate.sentence import number, spelled
from rollout.plan import Gates

GATES = Gates()
WITH_LATENCY = Gates(latency_budget=0.25)


def at(i, stable, canary, *, traffic=5, step=0, seconds=15.0, **more):
    """Batch number i of a rollout that began at 1000; arms as (requests, errors[, slow]) or None."""
    arms = [None if arm is None else Arm(*arm) for arm in (stable, canary)]
    return Batch(
        end=1000 + seconds * (i + 1), seconds=seconds, traffic=traffic, step=step, stable=arms[0], canary=arms[1], **more
    )  # fmt: skip


def fold(batches, gates=GATES, history=(), rules=RULES):
    state = begin(gates, history, rules)
    for batch in batches:
        state = observe(state, batch, gates)
    return state


def told(batches, gates=GATES, history=(), rules=RULES):
    return judge(fold(batches, gates, history, rules), gates)


def repeated(n, stable, canary, first=0, **more):
    return [at(first + i, stable, canary, **more) for i in range(n)]


HEALTHY = {"stable": (950, 2), "canary": (50, 0)}
RICH = repeated(40, **HEALTHY)
BAD = repeated(6, (950, 0), (50, 5))
OUTAGE = repeated(20, (950, 95), (50, 5))

VERDICTS = {
    "nothing yet is no data": ([], GATES, "no data", None),
    "rich traffic and few errors are safe": (RICH, GATES, "safe", None),
    "too few requests are undecided": (RICH[:3], GATES, "undecided", None),
    "ten times stable's errors are harmful": (BAD, GATES, "harmful", "errors"),
    "harmful stays harmful when the canary recovers": (
        BAD + repeated(200, (950, 2), (50, 0), first=6), GATES, "harmful", "errors",
    ),
    "harmful wins over metrics down": ([*BAD, at(6, None, None, up=False)], GATES, "harmful", "errors"),
    "the backend is down now": ([*RICH, at(40, None, None, up=False)], GATES, "metrics down", None),
    "a gap of the backend leaves the evidence as it was": (
        [*RICH, at(40, None, None, up=False), at(41, (950, 2), (50, 0))], GATES, "safe", None,
    ),
    "no request of the canary is no data": (repeated(3, (9, 0), (0, 0)), GATES, "no data", None),
    "no data of the canary is never harm": (repeated(400, (950, 0), None), GATES, "no data", None),
    "no data of either arm is never harm": (repeated(400, None, None), GATES, "no data", None),
    "no request of stable is no data": (
        repeated(4, None, (50, 0), share=False), GATES, "no data", None,
    ),
    "what was safe is no data a minute after an arm's data went missing": (
        RICH + repeated(4, None, None, first=40), GATES, "no data", None,
    ),
    "but not half a minute after": (RICH + repeated(2, None, None, first=40), GATES, "safe", None),
    "what was safe is no data a minute after the canary fell silent": (
        RICH + repeated(4, (950, 2), None, first=40), GATES, "no data", None,
    ),
    "an outage of both arms is held": (OUTAGE, GATES, "undecided", "outage"),
    "after an outage of both arms the canary is judged again": (
        OUTAGE + repeated(60, (950, 2), (50, 0), first=20), GATES, "safe", None,
    ),
    "a canary that stays bad when the outage ends is harmful": (
        OUTAGE + repeated(12, (950, 2), (50, 5), first=20), GATES, "harmful", "errors",
    ),
    "without a ceiling there is no outage": (
        repeated(40, (950, 95), (50, 5)), replace(GATES, ceiling=None), "safe", None,
    ),
    "a canary over the ceiling is harmful however little stable is below": (
        repeated(60, (500, 20), (500, 35), traffic=50), replace(GATES, ratio=3.0), "harmful", "ceiling",
    ),
    "the canary's errors alone count for the ceiling": (
        repeated(12, None, (50, 10), share=False), GATES, "harmful", "ceiling",
    ),
    "every request failing is nobody's fault without stable's data": (
        repeated(400, None, (1, 1)), replace(GATES, ceiling=None), "no data", None,
    ),
    "but it is found where stable has data and just no request": (
        [*repeated(12, (9, 0), (1, 0)), *repeated(4, (0, 0), (1, 1), first=12, share=False)], replace(GATES, ceiling=None),
        "harmful", "errors",
    ),
    "a slow canary is harmful": (repeated(12, (950, 2, 9), (50, 0, 9)), WITH_LATENCY, "harmful", "latency"),
    "a slow canary is nobody's business without a budget": (repeated(40, (950, 2, 9), (50, 0, 9)), GATES, "safe", None),
    "slow requests as in stable are safe": (repeated(40, (950, 2, 19), (50, 0, 1)), WITH_LATENCY, "safe", None),
    "a canary that gets nothing does not answer": (repeated(12, (950, 0), (0, 0)), GATES, "harmful", "share"),
    "a canary that gets a fifth does not answer": (repeated(30, (990, 0), (10, 0)), GATES, "harmful", "share"),
    "a canary that gets four fifths answers": (repeated(400, (960, 2), (40, 0)), GATES, "safe", None),
    "silence is nobody's fault before the data plane should route": (
        repeated(400, (950, 0), (0, 0), routed=False), GATES, "no data", None,
    ),
    "the share is not looked at where the caller says so": (
        repeated(400, (950, 0), (0, 0), share=False), GATES, "no data", None,
    ),
    "a canary above its share is held": (repeated(40, (500, 2), (500, 0)), GATES, "undecided", "share"),
    "above its share is over with a batch that is not": (
        repeated(10, (500, 2), (500, 0)) + repeated(44, (950, 2), (50, 0), first=10), GATES, "safe", None,
    ),
    "a batch that cannot tell does not end it": (
        [*repeated(10, (500, 2), (500, 0)), at(10, (950, 0), None)], GATES, "undecided", "share",
    ),
    "errors of a canary above its share are dropped": (repeated(40, (500, 2), (500, 50)), GATES, "undecided", "share"),
    "a scrape that is late by a batch is neither above nor below": (
        RICH + [at(40 + i, (950, 2), (100 * (i % 2), 0)) for i in range(80)], GATES, "safe", None,
    ),
    "a stable that never fails is no reason to abort a canary below the floor": (
        [at(i, (9500, 0), (500, i % 10 == 0)) for i in range(240)], GATES, "safe", None,
    ),
    "every request failing is found where requests are rare": (
        [at(i, (4, 0), (1, 1) if i % 4 == 0 else (0, 0)) for i in range(12)], GATES, "harmful", "errors",
    ),
    "what was safe is not, once the canary fails": (RICH + repeated(2, (950, 2), (50, 6), first=40), GATES, "undecided", None),
}  # fmt: skip


@pytest.mark.parametrize(("batches", "gates", "verdict", "cause"), VERDICTS.values(), ids=VERDICTS)
def test_verdict(batches, gates, verdict, cause):
    history = [(950, 2)] * 60
    evidence = told(batches, gates, history)
    assert (evidence.verdict, evidence.cause) == (verdict, cause), evidence.reason


def test_no_window_opens_on_the_split_of_the_step_before():
    """The commit says 25 %, the data plane still sends 5 %: the samples count for harm, the dwell waits."""
    batches = [*RICH, *repeated(4, (950, 2), (50, 0), first=40, traffic=25, step=1)]
    before = told(batches)
    assert (before.window_start, before.window_seconds, before.verdict) == (None, 0.0, Verdict.NO_DATA)
    assert before.steps[1] == (25, Arm(3800, 8), Arm(200, 0))
    after = told([*batches, at(44, (750, 2), (250, 0), traffic=25, step=1)])
    assert (after.window_start, after.window_seconds) == (1000 + 44 * 15.0, 15.0)
    assert (after.window_stable, after.window_canary) == (Arm(750, 2), Arm(250, 0))


def test_harm_before_the_window_counts():
    old_split = repeated(8, (950, 0), (50, 5), first=40, traffic=25, step=1)
    assert told([*RICH, *old_split]).verdict is Verdict.HARMFUL


def test_safe_is_what_was_seen_at_the_current_step():
    assert told(RICH).safe >= 20
    assert told([*RICH, at(40, (750, 2), (250, 0), traffic=25, step=1)]).safe < 20


def test_safe_asks_less_of_the_first_step():
    assert told(RICH).safe_limit == (2.5, 0.02)
    assert told([at(0, (750, 0), (250, 0), traffic=25, step=1)]).safe_limit == (2.5, 0.004)
    assert told(RICH, replace(GATES, safety_floor=0.1)).safe_limit == (2.5, 0.1)


def test_the_dwell_counts_neither_gaps_nor_dropped_batches():
    batches = [*RICH[:10], at(10, None, None, up=False), at(11, (300, 0), (700, 0)), at(12, (950, 2), (50, 0))]
    evidence = told(batches)
    assert (evidence.window_seconds, evidence.dropped) == (11 * 15.0, 1)


def test_alpha_is_split_over_the_tests_that_are_on():
    every = thresholds(Gates(latency_budget=1.0))
    assert [round(x) for x in every] == [143, 1000, 1000, 1000, 20]
    assert [round(x, 1) for x in thresholds(GATES)] == [128.6, 900, 900, 900, 20]
    for gates in (GATES, WITH_LATENCY, Gates(ceiling=None)):
        need = thresholds(gates)
        on = [need.errors, need.share]
        on += [need.ceiling] if gates.ceiling is not None else []
        on += [need.latency] if gates.latency_budget is not None else []
        assert sum(1 / x for x in on) == pytest.approx(gates.alpha)


def test_a_burst_is_one_event():
    """Whatever fails within one batch, the canary is not dead by it; without the cap it is."""
    burst = [*RICH, at(40, (950, 2), (50, 50)), *repeated(10, (950, 2), (50, 0), first=41)]
    history = [(950, 2)] * 60
    assert told(burst, history=history).verdict is not Verdict.HARMFUL
    assert told(burst, history=history, rules=replace(RULES, cap=1e9, winsor=1e9)).verdict is Verdict.HARMFUL


def test_cold_pods_are_forgiven_for_thirty_seconds():
    cold = [*repeated(2, (950, 2), (50, 10)), *repeated(40, (950, 2), (50, 0), first=2)]
    assert judge(fold(cold[:2]), GATES).harm <= 3
    assert told(cold).verdict is not Verdict.HARMFUL
    assert told(cold[:2], rules=replace(RULES, young=0.0)).harm > 30
    assert told(repeated(5, (950, 2), (50, 10))).verdict is Verdict.HARMFUL


def test_late_harm_is_met_by_fresh_bets():
    late = [*repeated(400, (950, 2), (50, 0)), *repeated(8, (950, 2), (50, 5), first=400)]
    assert told(late).verdict is Verdict.HARMFUL
    assert told(late, rules=replace(RULES, mass_start=1.0, mass_steps=0.0, mass_later=0.0)).verdict is not Verdict.HARMFUL


def test_clumps_in_the_history_raise_the_tolerance_and_an_outage_does_not():
    clumps = [(950, 10 if i % 7 in (0, 3) else 0) for i in range(240)]
    outage = [(950, 95 if 100 <= i < 140 else 2) for i in range(240)]
    assert begin(GATES, clumps).errors.phi > 4
    assert begin(GATES, outage).errors.phi < 1.5
    assert begin(GATES, [(950, 2)] * 240).errors.phi == 1


def test_a_canary_cannot_buy_tolerance_without_limit():
    bursts = [at(i, (950, 2), (50, 40 if i % 8 == 0 else 0)) for i in range(160)]
    assert told(bursts).phi == RULES.phi_max
    assert told(bursts).verdict is Verdict.HARMFUL


def test_a_test_that_the_plan_switches_on_later_begins_then_and_one_switched_off_is_silent():
    late = fold([*RICH, *repeated(30, (950, 2, 0), (50, 0, 20), first=40)])
    assert judge(late, GATES).latency is None
    gates = replace(WITH_LATENCY, ceiling=0.06)
    state = fold(RICH, replace(GATES, ceiling=None))
    for batch in repeated(30, (950, 2, 0), (50, 0, 20), first=40):
        state = observe(state, batch, gates)
    assert (judge(state, gates).verdict, judge(state, gates).cause) == (Verdict.HARMFUL, "latency")
    off = judge(fold(BAD[:1], WITH_LATENCY), replace(GATES, ceiling=None))
    assert (off.ceiling, off.latency) == (None, None)


def test_wealth_stays_finite():
    huge = [at(i, (10**9, 0), (10**9, 10**9 if i > 4 else 1), traffic=50) for i in range(40)]
    for rules in (RULES, replace(RULES, cap=1e300, winsor=1e9, young=0.0)):
        evidence = told(huge, WITH_LATENCY, rules=rules)
        numbers = [x for x in evidence.as_dict().values() if isinstance(x, float)]
        assert all(isfinite(x) for x in numbers)
        assert evidence.verdict is Verdict.HARMFUL


REFUSED = {
    "traffic: 0 is not between 1 and 99": at(0, None, None, traffic=0),
    "traffic: 100 is not between 1 and 99": at(0, None, None, traffic=100),
    "step: -1 is negative": at(0, None, None, step=-1),
    "seconds: 0.0 is not a positive number": at(0, None, None, seconds=0.0),
    "seconds: nan is not a positive number": replace(at(0, None, None), seconds=float("nan")),
    "end: inf is not a number": replace(at(0, None, None), end=float("inf")),
    "stable.requests: -1 is negative": at(0, (-1, 0), None),
    "canary.errors: -2 is negative": at(0, (9, 0), (5, -2)),
    "canary.errors: 6 of 5 requests": at(0, (9, 0), (5, 6)),
    "stable.slow: 10 of 9 requests": at(0, (9, 0, 10), (5, 0)),
}


@pytest.mark.parametrize(("message", "batch"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_is_refused_by_name(message, batch):
    with pytest.raises(ValueError, match=f"^{message}$"):
        observe(begin(GATES), batch, GATES)


def test_a_history_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^history\.errors: 4 of 3 requests$"):
        begin(GATES, [(3, 4)])


def test_sentences_carry_the_numbers():
    history = [(950, 2)] * 60
    said = {name: told(batches, gates, history).reason for name, (batches, gates, _, _) in VERDICTS.items()}
    expected = {
        "nothing yet is no data": "no batch yet",
        "rich traffic and few errors are safe": "canary 0 of 2 000 requests failed (0.00 %), "
        "stable 80 of 38 000 (0.21 %) at 5 %: safety e-value 400 >= 20: below 2.5 x stable's rate + 2.00 %",
        "a canary that gets nothing does not answer": "does not answer: canary got 0 of 11 400 requests at a committed 5 %: "
        "share e-value 2 800 >= 900",
        "no data of the canary is never harm": "no batch yet fits the committed 5 %: hold; so far canary 0 of 0 requests failed, "
        "stable 0 of 380 000 (0.00 %)",
    }
    for name, sentence in expected.items():
        assert said[name] == sentence
    fragments = {
        "ten times stable's errors are harmful": " requests failed (10.0 %), stable 0 of ",
        "a slow canary is harmful": " requests were slow (18.0 %), stable ",
        "a canary over the ceiling is harmful however little stable is below": "above the ceiling of 5.00 %: ceiling e-value ",
        "an outage of both arms is held": "stable itself fails 10.0 % of its requests, ceiling 5.00 %: hold and page; so far ",
        "a canary above its share is held": "canary is above its share of 5 %: hold, 40 batches dropped; so far canary 0 of 0 ",
        "the backend is down now": "the metrics backend does not answer: hold at 5 %; so far canary 0 of 2 000 ",
        "too few requests are undecided": " of 20 for below 2.5 x stable's rate + 2.00 %",
    }
    for name, fragment in fragments.items():
        assert fragment in said[name], said[name]


SPELLED = {
    0.5: "0.5",
    9.96: "10",
    142.86: "143",
    999.4: "999",
    999.6: "1 000",
    1000.0: "1 000",
    4123.0: "4 100",
    41234.0: "41 000",
}
SPELLED |= {994999.0: "990 000", 999000.0: "1e+06", 4.1e6: "4.1e+06", 1e300: "1e+300"}


@pytest.mark.parametrize(("value", "written"), SPELLED.items())
def test_an_e_value_below_a_million_is_written_out_in_groups_of_three(value, written):
    assert number(value) == written


BEFORE = {
    "share e-value 2.8e+03 >= 900": "share e-value 2 800 >= 900",
    "harm e-value 1e+03 >= 1000; without a label so far: 12": "harm e-value 1 000 >= 1 000; without a label so far: 12",
    "label e-value 8.1e+05 >= 1.2e+03; 3": "label e-value 810 000 >= 1 200; 3",
    "harm e-value 1.1e+06 >= 129": "harm e-value 1.1e+06 >= 129",
    "canary 1 000 of 21000 requests failed (0.00 %)": "canary 1 000 of 21000 requests failed (0.00 %)",
}


@pytest.mark.parametrize(("before", "now"), BEFORE.items(), ids=BEFORE)
def test_a_sentence_of_before_is_spelled_as_today(before, now):
    assert spelled(before) == now
    assert spelled(now) == now


@pytest.mark.parametrize("name", VERDICTS)
def test_evidence_walks_through_json(name):
    batches, gates, _, _ = VERDICTS[name]
    evidence = told(batches, gates)
    plain = json.loads(json.dumps(evidence.as_dict(), allow_nan=False))
    assert from_dict(plain) == evidence
    assert plain["reason"] == evidence.reason


def walked(seed, *, rps=60, p_s=0.003, p_c=0.003, clump=1, batches=120):
    """A seeded rollout at 5 %, batches of 15 s, errors in clumps; the last evidence."""
    rng = random.Random(seed)

    def arm(mean, p):
        n = max(0, round(rng.gauss(mean, mean**0.5)))
        return n, min(n, clump * sum(rng.random() < p / clump for _ in range(n)))

    history = [arm(rps * 15, p_s) for _ in range(60)]
    state = begin(GATES, history)
    for i in range(batches):
        state = observe(state, at(i, arm(rps * 14.25, p_s), arm(rps * 0.75, p_c)), GATES)
        if state.latched:
            break
    return judge(state, GATES)


def test_figures_that_the_study_promises():
    """Small seeds only; the full operating characteristics have a command of their own."""
    assert all(walked(s).verdict is Verdict.SAFE for s in range(4))
    assert all(walked(s, clump=5).verdict is not Verdict.HARMFUL for s in range(4))
    found = [walked(s, p_c=0.03) for s in range(4)]
    assert all(e.verdict is Verdict.HARMFUL and e.window_seconds <= 300 for e in found)
