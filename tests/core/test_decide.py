"""The decision of one release: every row of the decision table, with its whole input and its whole sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from zoneinfo import ZoneInfo

import pytest

from rollout.decide import Action, Application, Change, Decision, decide, judge_step, span
from rollout.gate import Verdict
from rollout.plan import Hours, Plan, Step
from tests.core.conftest import BROKEN, HEALTHY, NOW, PLAN, ROLLING, at_rest, evidence, later, rolling, seen, snapshots, started

OLD, NEW, EQUAL = at_rest("7"), at_rest("8"), {"version": "8", "stable": "8"}
SAFE, HARMFUL = evidence(Verdict.SAFE), evidence(Verdict.HARMFUL, cause="errors", harm=4123.0)
UNDECIDED, NO_DATA = evidence(Verdict.UNDECIDED), evidence(Verdict.NO_DATA, stale="canary")
DOWN, ABOVE = evidence(Verdict.METRICS_DOWN), evidence(Verdict.UNDECIDED, cause="share")
UNOPENED = evidence(Verdict.NO_DATA, window=0.0, window_start=None, stale="unopened")

COUNTS = "canary 1 of 100 requests failed (1.00 %), stable 2 of 1 900 (0.11 %)"
LIMIT = "below 2.5 x stable's rate + 2.00 %"
IS_SAFE = f"{COUNTS} at 5 %: safety e-value 31 >= 20: {LIMIT}"
IS_HARMFUL = f"{COUNTS}: harm e-value 4 100 >= 129"
IS_UNDECIDED = f"{COUNTS} at 5 %: harm e-value 0.4 < 129, safety 31 of 20 for {LIMIT}"
IS_NO_DATA = f"no request of the canary at 5 %: hold; so far {COUNTS}"
IS_DOWN = f"the metrics backend does not answer: hold at 5 %; so far {COUNTS}"
IS_ABOVE = f"canary is above its share of 5 %: hold, 0 batches dropped; so far {COUNTS}"
STUCK = "the canary is not ready, its weight would never move: closed at once"
PULL = "Argo CD: Synced, Degraded: ImagePullBackOff"
DOWN_ARGO = {"app": None, "silence": "Argo CD answers 503", "reached": False, "applied": False}
NOT_REACHED = {"app": replace(HEALTHY, revision="c1", applied="c1"), "reached": False, "applied": False}
NONE = replace(PLAN, evidence=False)
DEV = Plan(steps=(Step(100, 0.0),), warm=120.0, evidence=False)


def hold(reason: str, *, overdue: bool = False) -> Decision:
    return Decision(Action.HOLD, reason, overdue=overdue)


def abort(reason: str) -> Decision:
    return Decision(Action.ABORT, reason, Change.CANARY, 0)


def closed(reason: str) -> Decision:
    return Decision(Action.ABORT, reason, Change.TAKE_BACK)


def ended(*releases, ago=20.0):
    return later(snapshots(*releases), ago)


REST = {
    "nothing to do": (seen(ended(OLD)), hold("at rest on 7")),
    "stable.yaml lags: tidy": (
        seen(ended(at_rest("7", stable="8"))),
        Decision(Action.TIDY, "at rest on 7; stable.yaml said 8, traffic.yaml 0 % canary", Change.TIDY),
    ),
    "traffic.yaml lags: tidy": (
        seen(ended(at_rest("7", canary=25))),
        Decision(Action.TIDY, "at rest on 7; stable.yaml said 7, traffic.yaml 25 % canary", Change.TIDY),
    ),
    "tidy needs no Argo CD": (
        seen(ended(at_rest("7", canary=25)), **DOWN_ARGO),
        Decision(Action.TIDY, "at rest on 7; stable.yaml said 7, traffic.yaml 25 % canary", Change.TIDY),
    ),
}

READY = "canary 8 is real and healthy at 0 %, warm for 17 min; evidence begins with its first requests"
LATE = "canary 8 not real after 12 min of 10 min"
WARMING = {
    "real and warm: the first step": (seen(started()), Decision(Action.ADVANCE, READY, Change.CANARY, 5)),
    "on hold": (seen(ended(OLD, rolling(0, hold=True), ago=2000)), hold(f"on hold by model.yaml at 0 %; {READY}")),
    "not warm long enough": (
        seen(started(ago=60), plan=replace(PLAN, warm=120.0)),
        hold("canary 8 is healthy at 0 % for 60 s of 2 min"),
    ),
    "warmth counts from when it became healthy": (
        seen(started(), plan=replace(PLAN, warm=120.0), app=replace(HEALTHY, settled=NOW - 30)),
        hold("canary 8 is healthy at 0 % for 30 s of 2 min"),
    ),
    "a plan of one step completes, and says that no traffic was asked for": (
        seen(started(ago=150), plan=DEV),
        Decision(
            Action.COMPLETE, "canary 8 is real and healthy at 0 %, warm for 2 min; no traffic evidence asked", Change.STABLE
        ),
    ),
    "not reached": (
        seen(started(ago=60), **NOT_REACHED),
        hold("canary 8 warms at 0 %: not real yet: Argo CD has not reached c1 (Argo CD: Synced, Healthy)"),
    ),
    "healthy for a moment only": (
        seen(started(ago=60), app=replace(HEALTHY, settled=NOW - 4)),
        hold("canary 8 warms at 0 %: not real yet: Synced and Healthy for 4 s of 10 s"),
    ),
    "healthy since a moment that another clock has yet to reach": (
        seen(started(ago=60), app=replace(HEALTHY, settled=NOW + 5)),
        hold("canary 8 warms at 0 %: not real yet: Synced and Healthy for 0 s of 10 s"),
    ),
    "still rolling": (
        seen(started(ago=60), app=ROLLING),
        hold("canary 8 warms at 0 %: not real yet: Argo CD: Synced, Progressing"),
    ),
    "not real at the ready deadline: closed, it had no traffic": (
        seen(started(ago=700), app=BROKEN),
        closed(f"{LATE}: not real yet: {PULL}; it never had traffic, so it is closed"),
    ),
    "never synced by the ready deadline": (
        seen(started(ago=700), **NOT_REACHED),
        closed(
            f"{LATE}: not real yet: Argo CD has not reached c1 (Argo CD: Synced, Healthy); it never had traffic, so it is closed"
        ),
    ),
    "the sync failed": (
        seen(started(ago=700), app=replace(ROLLING, sync="OutOfSync", failed=True, message="quota"), applied=False),
        closed(
            f"{LATE}: not real yet: Argo CD: OutOfSync, Progressing, last sync failed: quota; "
            "it never had traffic, so it is closed"
        ),
    ),
    "an Argo CD that is down is no reason to close": (
        seen(started(ago=7000), **DOWN_ARGO),
        hold("canary 8 warms at 0 %: not known to be real: Argo CD answers 503"),
    ),
    "applied and healthy, but another commit is being synced: no reason to close": (
        seen(started(ago=7000), app=replace(HEALTHY, sync="OutOfSync")),
        hold("canary 8 warms at 0 %: not real yet: Argo CD: OutOfSync, Healthy"),
    ),
}

FINE = "canary 8 was fine and is not any more"
STEP = {
    "safe for the dwell: the next step": (
        seen(started(5), evidence=SAFE),
        Decision(Action.ADVANCE, f"{IS_SAFE}; 30 min at 5 % are over", Change.CANARY, 25),
    ),
    "safe for the dwell at the last step: complete": (
        seen(started(5, 25), evidence=replace(SAFE, traffic=25, step=1)),
        Decision(Action.COMPLETE, f"{IS_SAFE.replace('at 5 %', 'at 25 %')}; 30 min at 25 % are over", Change.STABLE),
    ),
    "safe, but not for the whole dwell": (
        seen(started(5), evidence=evidence(Verdict.SAFE, window=600.0)),
        hold(f"{IS_SAFE}; 10 min of 30 min at 5 %"),
    ),
    "safe, but Argo CD is down": (
        seen(started(5), evidence=SAFE, **DOWN_ARGO),
        hold(f"{IS_SAFE}; 30 min at 5 % are over; but not known to be real: Argo CD answers 503"),
    ),
    "safe, but on hold": (
        seen(ended(OLD, rolling(0), rolling(5), rolling(5, hold=True), ago=2000), evidence=SAFE),
        hold(f"on hold by model.yaml at 5 %; {IS_SAFE}; 30 min at 5 % are over"),
    ),
    "harmful": (seen(started(5), evidence=HARMFUL), abort(IS_HARMFUL)),
    "harmful, while Argo CD is down": (seen(started(5), evidence=HARMFUL, **DOWN_ARGO), abort(IS_HARMFUL)),
    "harmful, while on hold": (seen(ended(OLD, rolling(0), rolling(5, hold=True)), evidence=HARMFUL), abort(IS_HARMFUL)),
    "harmful, while Prometheus is down": (seen(started(5), evidence=HARMFUL, metrics="HTTP 500"), abort(IS_HARMFUL)),
    "harmful, and its weight would never move": (
        seen(started(5), evidence=HARMFUL, app=BROKEN),
        closed(f"{IS_HARMFUL}; {STUCK}"),
    ),
    "harmful, and unhealthy for a moment only": (
        seen(started(5), evidence=HARMFUL, app=replace(BROKEN, settled=NOW - 3)),
        abort(IS_HARMFUL),
    ),
    "metrics down": (
        seen(started(5), evidence=SAFE, metrics="HTTP 500"),
        hold("metrics down: HTTP 500; no verdict, no change at 5 %"),
    ),
    "no batch yet": (seen(started(5)), hold("no data: no request of canary 8 or stable seen yet at 5 %")),
    "no data": (seen(started(5), evidence=NO_DATA), hold(IS_NO_DATA)),
    "undecided": (seen(started(5), evidence=UNDECIDED), hold(IS_UNDECIDED)),
    "above its share": (seen(started(5), evidence=ABOVE), hold(IS_ABOVE)),
    "never real by the ready deadline: traffic goes, as its weight may have moved": (
        seen(started(5, ago=700), evidence=UNOPENED, **NOT_REACHED),
        abort(f"{LATE}: not real yet: Argo CD has not reached c2 (Argo CD: Synced, Healthy)"),
    ),
    "never real by the ready deadline, and not ready: closed": (
        seen(started(5, ago=700), app=BROKEN),
        closed(f"{LATE}: not real yet: {PULL}; {STUCK}"),
    ),
    "not real, before the deadline": (
        seen(started(5, ago=60), app=BROKEN),
        hold("no data: no request of canary 8 or stable seen yet at 5 %"),
    ),
    "was fine, and crash-loops": (
        seen(started(5), evidence=UNDECIDED, app=BROKEN),
        closed(f"{FINE}: {PULL}; {STUCK}"),
    ),
    "was fine, and is degraded for a moment": (
        seen(started(5), evidence=UNDECIDED, app=replace(BROKEN, settled=NOW - 3)),
        hold(IS_UNDECIDED),
    ),
    "was fine, and is Progressing": (seen(started(5), evidence=UNDECIDED, app=ROLLING), hold(IS_UNDECIDED)),
    "was fine, and is Progressing for longer than the ready deadline": (
        seen(started(5), evidence=UNDECIDED, app=replace(ROLLING, settled=NOW - 700)),
        closed(f"canary 8 is not healthy for 12 min: Argo CD: Synced, Progressing; {STUCK}"),
    ),
    "was fine, and is OutOfSync": (
        seen(started(5), evidence=UNDECIDED, app=replace(HEALTHY, sync="OutOfSync")),
        hold(IS_UNDECIDED),
    ),
    "was fine, degraded on a commit that Argo CD has not reached": (
        seen(started(5), evidence=UNDECIDED, app=BROKEN, reached=False),
        hold(IS_UNDECIDED),
    ),
}

WAITED = "no verdict 4.6 h after the step, and the plan says"
LATER = {"state": started(5, ago=16_500.0)}
DEADLINE = {
    "hold: somebody should look": (
        seen(**LATER, evidence=UNDECIDED),
        hold(f"{IS_UNDECIDED}; {WAITED} hold", overdue=True),
    ),
    "advance": (
        seen(**LATER, evidence=UNDECIDED, plan=replace(PLAN, then="advance")),
        Decision(Action.ADVANCE, f"{IS_UNDECIDED}; {WAITED} advance", Change.CANARY, 25),
    ),
    "advance, but never without data": (
        seen(**LATER, evidence=NO_DATA, plan=replace(PLAN, then="advance")),
        hold(f"{IS_NO_DATA}; {WAITED} advance", overdue=True),
    ),
    "advance, but never above its share": (
        seen(**LATER, evidence=ABOVE, plan=replace(PLAN, then="advance")),
        hold(f"{IS_ABOVE}; {WAITED} advance", overdue=True),
    ),
    "abort": (seen(**LATER, evidence=UNDECIDED, plan=replace(PLAN, then="abort")), abort(f"{IS_UNDECIDED}; {WAITED} abort")),
    "metrics down is no verdict of anybody": (
        seen(**LATER, evidence=DOWN, plan=replace(PLAN, then="abort")),
        hold(IS_DOWN),
    ),
    "a second before it": (seen(started(5, ago=16_199.0), evidence=UNDECIDED), hold(IS_UNDECIDED)),
}

WITHOUT = {
    "healthy for the dwell": (
        seen(started(5), plan=NONE, app=replace(HEALTHY, settled=NOW - 1900)),
        Decision(Action.ADVANCE, "healthy for 32 min at 5 %; no traffic evidence asked", Change.CANARY, 25),
    ),
    "healthy for less": (seen(started(5), plan=NONE), hold("at 5 %: healthy for 17 min of 30 min; no traffic evidence asked")),
    "not real": (seen(started(5, ago=60), plan=NONE, app=ROLLING), hold("at 5 %: not real yet: Argo CD: Synced, Progressing")),
    "a hand-made canary at 100 % is completed": (
        seen(started(100), plan=NONE),
        Decision(Action.COMPLETE, "healthy for 17 min at 100 %; no traffic evidence asked", Change.STABLE),
    ),
}

TAKEN = "8 was taken out for 7"
FELL = "canary 8 fell from 5 to 0 % in c3"
GONE = [OLD, rolling(0), rolling(5), rolling(0)]
AGAIN = [OLD, rolling(0), OLD, rolling(0)]
TAKEN_OUT = {
    "vetoed with traffic: at once, whatever the evidence": (
        seen(ended(OLD, rolling(0), rolling(25), rolling(5)), evidence=SAFE, **DOWN_ARGO),
        abort("canary 8 fell from 25 to 5 % in c3"),
    ),
    "vetoed, and its weight would never move": (
        seen(ended(OLD, rolling(0), rolling(25), rolling(5)), app=BROKEN),
        closed(f"canary 8 fell from 25 to 5 % in c3; {STUCK}"),
    ),
    "0 % is real: close": (seen(ended(*GONE)), closed(f"{FELL}; 0 % is real")),
    "0 % is not real yet": (
        seen(ended(*GONE), app=ROLLING),
        hold(f"{FELL}; canary at 0 %: not real yet: Argo CD: Synced, Progressing"),
    ),
    "0 % is not real within drain: closed at once": (
        seen(ended(*GONE, ago=61), app=ROLLING),
        closed(f"{FELL}; 0 % is not real after 61 s (not real yet: Argo CD: Synced, Progressing): closed at once"),
    ),
    "an Argo CD that is down does not keep it": (
        seen(ended(*GONE, ago=61), **DOWN_ARGO),
        closed(f"{FELL}; 0 % is not real after 61 s (not known to be real: Argo CD answers 503): closed at once"),
    ),
    "a vetoed version started again never had traffic: closed at once": (
        seen(ended(*AGAIN), app=ROLLING),
        closed(f"8 is vetoed since c2: {TAKEN}; it never had traffic: closed at once"),
    ),
}

HANDING = [OLD, rolling(0), rolling(25), rolling(25, **EQUAL)]
HANDED = [*HANDING, rolling(0, **EQUAL)]
COMPLETION = {
    "stable's new version is real: canary to 0 %": (
        seen(ended(*HANDING)),
        Decision(Action.COMPLETE, "stable runs 8 and is healthy; the canary is not needed", Change.CANARY, 0),
    ),
    "stable is rolling": (
        seen(ended(*HANDING), app=ROLLING),
        hold("stable rolls to 8: not real yet: Argo CD: Synced, Progressing"),
    ),
    "stable is rolling for longer than the ready deadline: somebody should look": (
        seen(ended(*HANDING, ago=601), app=ROLLING),
        hold("stable rolls to 8: not real yet: Argo CD: Synced, Progressing", overdue=True),
    ),
    "0 % is real: close": (
        seen(ended(*HANDED)),
        Decision(Action.COMPLETE, "all traffic is on stable 8, and 0 % for the canary is real", Change.CLOSE),
    ),
    "0 % is not real": (
        seen(ended(*HANDED), app=ROLLING),
        hold("canary 8 at 0 %: not real yet: Argo CD: Synced, Progressing"),
    ),
    "0 % is not real for longer than the ready deadline": (
        seen(ended(*HANDED, ago=601), **DOWN_ARGO),
        hold("canary 8 at 0 %: not known to be real: Argo CD answers 503", overdue=True),
    ),
}

# NOW is Monday, 12 January 1970, 13:46 UTC.
EVENINGS = Hours((0, 1), time(18), time(20), ZoneInfo("UTC"))
MORNINGS = Hours((0, 1), time(8), time(12), ZoneInfo("UTC"))
OFFICE = Hours((0, 1), time(8), time(16), ZoneInfo("UTC"))
CLOSED = "outside the plan's hours, which open at"
HOURS = {
    "before they open": (
        seen(started(), plan=replace(PLAN, hours=EVENINGS)),
        hold(f"{CLOSED} Mon 18:00 UTC; {READY}"),
    ),
    "after they closed for the day": (
        seen(started(), plan=replace(PLAN, hours=MORNINGS)),
        hold(f"{CLOSED} Tue 08:00 UTC; {READY}"),
    ),
    "within": (seen(started(), plan=replace(PLAN, hours=OFFICE)), Decision(Action.ADVANCE, READY, Change.CANARY, 5)),
    "an abort may always": (seen(started(5), plan=replace(PLAN, hours=EVENINGS), evidence=HARMFUL), abort(IS_HARMFUL)),
}

TABLES = {
    "rest": REST, "warming": WARMING, "step": STEP, "verdict deadline": DEADLINE, "no evidence asked": WITHOUT,
    "taken out": TAKEN_OUT, "completion": COMPLETION, "hours": HOURS,
}  # fmt: skip
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}


@pytest.mark.parametrize(("observation", "decision"), CASES.values(), ids=CASES)
def test_decision(observation, decision):
    assert decide(observation) == decision


def test_the_step_without_a_state_for_it_is_judged_harmful_in_a_backtest_too():
    assert judge_step(PLAN, 5, HARMFUL, 0.0) == (Action.ABORT, IS_HARMFUL, False)


def test_a_sentence_writes_time_as_a_person_would():
    assert [span(seconds) for seconds in (0, 45.4, 119, 120, 7199, 7200, 12_600, 172_800)] == [
        "0 s", "45 s", "119 s", "2 min", "120 min", "2.0 h", "3.5 h", "2.0 d",
    ]  # fmt: skip


def test_what_argo_cd_says():
    assert Application("r", "Synced", "Healthy").says == "Argo CD: Synced, Healthy"
