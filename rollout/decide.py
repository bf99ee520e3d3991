"""The decision: what one release does next, and why. Values in, values out.

- Evidence moves traffic, Argo CD vouches for it: an advance needs the step's commit to be *real* (synced, healthy, and
  so for a while) and the gate's verdict `safe` for the whole dwell. An abort needs samples only.
- No data, and metrics that are down, are neither good nor bad: hold.
- A person's commit wins: a vetoed walk is taken out, whatever the evidence says.
- Traffic first, then shape: a canary leaves through 0 %, unless its weight can no longer be changed.

| state        | decision               | when                                                      | change            |
|--------------|------------------------|-----------------------------------------------------------|-------------------|
| rest         | tidy                   | stable.yaml or traffic.yaml lag behind model.yaml         | tidy              |
| warming      | advance, or complete   | real and warm, within hours, not on hold                  | canary, or stable |
| warming      | abort                  | not real at the ready deadline                            | take back         |
| step         | abort                  | verdict harmful; not real at the ready deadline; degraded | canary 0          |
| step         | abort                  | the same, and its weight would never move                 | take back         |
| step         | advance, or complete   | real, safe for the dwell, within hours, not on hold       | canary, or stable |
| step         | hold, advance or abort | undecided at the verdict deadline: what the plan says     |                   |
| veto         | abort                  | at once                                                   | canary 0          |
| draining     | abort                  | 0 % is real, or `drain` has passed                        | take back         |
| handing over | complete               | stable's new version is real                              | canary 0          |
| handed over  | complete               | 0 % is real                                               | close             |

Everything else is hold, with its reason. Durations in seconds, times in Unix seconds, traffic in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from rollout.gate import Evidence, Verdict
from rollout.plan import Plan
from rollout.state import Kind, State, Walk


class Action(StrEnum):
    """What a tick may decide for a release."""

    HOLD = "hold"
    ADVANCE = "advance"
    COMPLETE = "complete"
    ABORT = "abort"
    TIDY = "tidy"


class Change(StrEnum):
    """What the commit of a decision changes."""

    CANARY = "canary"  # two lines of traffic.yaml
    STABLE = "stable"  # the version's lines of stable.yaml
    CLOSE = "close"  # the toggle line
    TAKE_BACK = "take back"  # release/ as it was before the start
    TIDY = "tidy"  # stable.yaml and traffic.yaml follow model.yaml


@dataclass(frozen=True, slots=True)
class Application:
    """What Argo CD says of a release's Application.

    revision: the commit it compares with; applied: the commit of its last successful sync operation; settled: since
    when (Unix seconds) health and operation have been what they are; failed: the last operation failed.
    """

    revision: str
    sync: str
    health: str
    settled: float = 0.0
    applied: str = ""
    failed: bool = False
    message: str = ""

    @property
    def says(self) -> str:
        """Argo CD's state in words, for a person."""
        operation = ", last sync failed" if self.failed else ""
        return f"Argo CD: {self.sync}, {self.health}{operation}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything a decision depends on.

    app: None when Argo CD does not answer or does not know the release, `silence` says which. reached: Argo CD's revision
    contains the release's last commit; applied: its last successful sync did. settle: how long an Application must stay Synced
    and Healthy to count. evidence: of the walk so far, None before its first step. metrics: why Prometheus does not
    answer, empty when it does.
    """

    now: float
    state: State
    plan: Plan
    app: Application | None
    silence: str = ""
    reached: bool = False
    applied: bool = False
    settle: float = 10.0
    evidence: Evidence | None = None
    metrics: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and the change to commit (None: nothing changes). canary: the percent for Change.CANARY.

    overdue: the verdict deadline has passed and the plan says hold: somebody should look.
    """

    kind: Action
    reason: str
    change: Change | None = None
    canary: int = 0
    overdue: bool = False


def decide(seen: Observation) -> Decision:
    """Return what one release does next."""
    return _TABLE[seen.state.kind](seen)


def _hold(reason: str, *, overdue: bool = False) -> Decision:
    return Decision(Action.HOLD, reason, overdue=overdue)


def _rest(seen: Observation) -> Decision:
    release = seen.state.release
    if release.stale:
        was = f"stable.yaml said {release.stable.version}, traffic.yaml {release.canary} % canary"
        return Decision(Action.TIDY, f"at rest on {release.model.version}; {was}", Change.TIDY)
    return _hold(f"at rest on {release.model.version}")


def _warming(seen: Observation) -> Decision:
    model, start = seen.state.release.model, _walk(seen).start.time
    if not is_real(seen):
        if _overdue(seen, start):
            return Decision(Action.ABORT, f"{_never_real(seen, start)}; it never had traffic, so it is closed", Change.TAKE_BACK)
        return _hold(f"canary {model.version} warms at 0 %: {_not_real(seen)}")
    since = max(start, seen.app.settled if seen.app else start)
    if seen.now - since < seen.plan.warm:
        return _hold(f"canary {model.version} is healthy at 0 % for {span(seen.now - since)} of {span(seen.plan.warm)}")
    asked = "no traffic evidence asked" if not seen.plan.evidence else "evidence begins with its first requests"
    return _forward(seen, f"canary {model.version} is real and healthy at 0 %, warm for {span(seen.now - since)}; {asked}")


def _step(seen: Observation) -> Decision:
    release = seen.state.release
    evidence = seen.evidence
    if evidence is not None and evidence.verdict is Verdict.HARMFUL:
        return _abort(seen, evidence.reason)
    began = _walk(seen).splits[-1].time
    broken = _broken(seen, began)
    if broken:
        return _abort(seen, broken)
    if not seen.plan.evidence:
        return _step_without_evidence(seen, began)
    if seen.metrics:
        return _hold(f"metrics down: {seen.metrics}; no verdict, no change at {release.canary} %")
    if evidence is None:
        return _hold(f"no data: no request of canary {release.model.version} or stable seen yet at {release.canary} %")
    kind, reason, overdue = judge_step(seen.plan, release.canary, evidence, seen.now - began)
    if kind is Action.ABORT:
        return _abort(seen, reason)
    if kind is Action.HOLD:
        return _hold(reason, overdue=overdue)
    if not is_real(seen):
        return _hold(f"{reason}; but {_not_real(seen)}")
    return _forward(seen, reason)


def _step_without_evidence(seen: Observation, began: float) -> Decision:
    canary = seen.state.release.canary
    dwell = seen.plan.steps[seen.plan.index(canary)].dwell
    if not is_real(seen):
        return _hold(f"at {canary} %: {_not_real(seen)}")
    healthy = seen.now - max(began, seen.app.settled if seen.app else began)
    if healthy < dwell:
        return _hold(f"at {canary} %: healthy for {span(healthy)} of {span(dwell)}; no traffic evidence asked")
    return _forward(seen, f"healthy for {span(healthy)} at {canary} %; no traffic evidence asked")


def judge_step(plan: Plan, canary: int, evidence: Evidence, waited: float) -> tuple[Action, str, bool]:
    """Say what the evidence of a step at `canary` percent asks for; the controller and the backtest both ask here.

    waited: seconds since the step began. Returns hold, advance, complete or abort, the sentence, and whether the verdict
    deadline has passed with the plan saying hold.
    """
    dwell = plan.steps[plan.index(canary)].dwell
    onward = Action.COMPLETE if plan.next(canary) == 100 else Action.ADVANCE
    if evidence.verdict is Verdict.HARMFUL:
        return Action.ABORT, evidence.reason, False
    if evidence.verdict is Verdict.SAFE and evidence.window_seconds >= dwell:
        return onward, f"{evidence.reason}; {span(dwell)} at {canary} % are over", False
    if evidence.verdict is Verdict.SAFE:
        return Action.HOLD, f"{evidence.reason}; {span(evidence.window_seconds)} of {span(dwell)} at {canary} %", False
    if evidence.verdict is Verdict.METRICS_DOWN or waited < dwell + plan.verdict:
        return Action.HOLD, evidence.reason, False
    late = f"{evidence.reason}; no verdict {span(waited)} after the step, and the plan says {plan.then}"
    if plan.then == "abort":
        return Action.ABORT, late, False
    if plan.then == "advance" and evidence.verdict is Verdict.UNDECIDED and evidence.cause is None:
        return onward, late, False
    return Action.HOLD, late, True


def _veto(seen: Observation) -> Decision:
    return _abort(seen, _walk(seen).vetoed)


def _draining(seen: Observation) -> Decision:
    walk, passed = _walk(seen), seen.now - seen.state.head.time
    if is_real(seen):
        return Decision(Action.ABORT, f"{walk.vetoed}; 0 % is real", Change.TAKE_BACK)
    if walk.peak == 0 or passed > seen.plan.drain:
        late = "it never had traffic" if walk.peak == 0 else f"0 % is not real after {span(passed)} ({_not_real(seen)})"
        return Decision(Action.ABORT, f"{walk.vetoed}; {late}: closed at once", Change.TAKE_BACK)
    return _hold(f"{walk.vetoed}; canary at 0 %: {_not_real(seen)}")


def _handing_over(seen: Observation) -> Decision:
    version = seen.state.release.model.version
    if is_real(seen):
        return Decision(Action.COMPLETE, f"stable runs {version} and is healthy; the canary is not needed", Change.CANARY, 0)
    late = seen.now - seen.state.head.time > seen.plan.ready
    return _hold(f"stable rolls to {version}: {_not_real(seen)}", overdue=late)


def _handed_over(seen: Observation) -> Decision:
    version = seen.state.release.model.version
    if is_real(seen):
        return Decision(Action.COMPLETE, f"all traffic is on stable {version}, and 0 % for the canary is real", Change.CLOSE)
    late = seen.now - seen.state.head.time > seen.plan.ready
    return _hold(f"canary {version} at 0 %: {_not_real(seen)}", overdue=late)


_TABLE = {
    Kind.REST: _rest,
    Kind.WARMING: _warming,
    Kind.STEP: _step,
    Kind.VETO: _veto,
    Kind.DRAINING: _draining,
    Kind.HANDING_OVER: _handing_over,
    Kind.HANDED_OVER: _handed_over,
}


def is_real(seen: Observation) -> bool:
    """Whether the release's last commit is synced and healthy, and has stayed so for `settle` seconds."""
    app = seen.app
    if app is None or not seen.reached or app.sync != "Synced" or app.health != "Healthy":
        return False
    return seen.now - app.settled >= seen.settle


def _not_real(seen: Observation) -> str:
    app = seen.app
    if app is None:
        return f"not known to be real: {seen.silence}"
    if not seen.reached:
        return f"not real yet: Argo CD has not reached {seen.state.head.commit[:10]} ({app.says})"
    if app.sync == "Synced" and app.health == "Healthy":
        return f"not real yet: Synced and Healthy for {span(max(seen.now - app.settled, 0))} of {span(seen.settle)}"
    return f"not real yet: {app.says}"


def _overdue(seen: Observation, since: float) -> bool:
    """Whether a commit that should be real by now is not, with Argo CD there to say so."""
    if seen.app is None or seen.now - since <= seen.plan.ready:
        return False
    return not (seen.applied and seen.app.health == "Healthy")


def _never_real(seen: Observation, since: float) -> str:
    version = seen.state.release.model.version
    return f"canary {version} not real after {span(seen.now - since)} of {span(seen.plan.ready)}: {_not_real(seen)}"


def _broken(seen: Observation, began: float) -> str:
    """Why a step must end although the evidence does not say so: it never became real, or the canary is ill."""
    app = seen.app
    opened = seen.evidence is not None and seen.evidence.window_start is not None
    if app is None or is_real(seen):
        return ""
    if not opened:
        return _never_real(seen, began) if _overdue(seen, began) else ""
    if not seen.reached or app.health == "Healthy":
        return ""
    if app.health == "Degraded" and seen.now - app.settled >= seen.settle:
        return f"canary {seen.state.release.model.version} was fine and is not any more: {app.says}"
    if seen.now - max(app.settled, began) > seen.plan.ready:
        return f"canary {seen.state.release.model.version} is not healthy for {span(seen.now - app.settled)}: {app.says}"
    return ""


def _abort(seen: Observation, reason: str) -> Decision:
    """Canary to 0 %; or closed at once when its weight could not change any more."""
    app = seen.app
    stuck = app is not None and seen.reached and app.health != "Healthy" and seen.now - app.settled >= seen.settle
    if stuck:
        late = "the canary is not ready, its weight would never move: closed at once"
        return Decision(Action.ABORT, f"{reason}; {late}", Change.TAKE_BACK)
    return Decision(Action.ABORT, reason, Change.CANARY, 0)


def _forward(seen: Observation, reason: str) -> Decision:
    """To the next step, or into the completion, if a person and the hours allow it."""
    release = seen.state.release
    if release.model.hold:
        return _hold(f"on hold by model.yaml at {release.canary} %; {reason}")
    if seen.plan.hours and (opens := seen.plan.hours.opens(seen.now)) > seen.now:
        return _hold(f"outside the plan's hours, which open at {datetime.fromtimestamp(opens, UTC):%a %H:%M} UTC; {reason}")
    following = seen.plan.next(release.canary)
    if following == 100:
        return Decision(Action.COMPLETE, reason, Change.STABLE)
    return Decision(Action.ADVANCE, reason, Change.CANARY, following)


def _walk(seen: Observation) -> Walk:
    assert seen.state.walk is not None, "only releases in rollout come here"
    return seen.state.walk


def span(seconds: float) -> str:
    """Write a duration as a person says it: 45 s, 12 min, 3.5 h, 2.5 d."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} d"
