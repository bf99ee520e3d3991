"""The laws, over random lives of a release: a controller, people who take back whatever they like, and bots that start again.

Everything is a pure value: the repository is a list of snapshots, a revert is what git would do with the lines concerned.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import change, release
from rollout.decide import Action, Change, Decision, Observation, decide
from rollout.gate import Evidence, Verdict
from rollout.plan import Plan, Step
from rollout.release import Release, Toggle
from rollout.state import Kind, Snapshot, State, derive, fold, state_of
from tests.core.conftest import (
    BROKEN,
    HEALTHY,
    KEY,
    PLAN,
    ROLLING,
    at_rest,
    evidence,
    later,
    model,
    rolling,
    seen,
    snapshots,
)
from tests.core.test_change import AT_REST as AT_REST_TEXTS
from tests.core.test_change import TEXTS

FIELDS = ("model", "stable", "canary", "toggle")
PLANS = {
    "two steps": PLAN,
    "no evidence": replace(PLAN, evidence=False),
    "no steps": Plan(steps=(Step(100, 0.0),), evidence=False),
    "impatient": replace(PLAN, then="advance"),
}
VERDICTS: dict[str, Evidence | None] = {
    **{str(verdict): evidence(verdict) for verdict in Verdict},
    "share": evidence(Verdict.UNDECIDED, cause="share"),
    "none": None,
}
APPS = {"healthy": HEALTHY, "rolling": ROLLING, "broken": BROKEN, "down": None}


@dataclass
class World:
    """A release's history, and who may act on it."""

    history: list[Snapshot] = field(default_factory=lambda: snapshots(at_rest("7")))

    @property
    def state(self) -> State:
        return derive(self.history)

    @property
    def head(self) -> Release:
        return self.history[-1].release

    def commit(self, now: Release) -> None:
        """One more commit, a minute later, if it changes anything."""
        last = self.history[-1]
        if now != last.release:
            self.history.append(Snapshot(f"c{len(self.history)}", last.commit, last.time + 60, now))

    def at(self, commit: str) -> Release:
        return next(snapshot.release for snapshot in self.history if snapshot.commit == commit)

    def after(self, decision: Decision) -> Release:
        """What a decision's commit leaves."""
        state, now = self.state, self.head
        if decision.change is Change.CANARY:
            return replace(now, canary=decision.canary)
        if decision.change is Change.STABLE:
            return replace(now, stable=replace(now.model, attempt=1))
        if decision.change is Change.CLOSE:
            return replace(now, toggle=Toggle.AT_REST)
        if decision.change is Change.TIDY:
            return replace(now, stable=replace(now.model, attempt=1), canary=0)
        assert state.walk is not None
        return self.at(state.walk.before)

    def decided(self, plan: str, verdict: str, health: str, waited: int) -> Decision:
        app = APPS[health]
        now = self.history[-1].time + waited
        shown = None if app is None else replace(app, settled=now - 3000.0)
        there = shown is not None
        return decide(
            Observation(
                now=now,
                state=self.state,
                plan=PLANS[plan],
                app=shown,
                silence="down",
                reached=there,
                applied=there,
                evidence=VERDICTS[verdict],
            )
        )

    def tick(self, plan: str = "two steps", verdict: str = "safe", health: str = "healthy", waited: int = 4000) -> None:
        """One tick of the controller; what it may never do is asserted here, whatever happened before."""
        state, decision = self.state, self.decided(plan, verdict, health, waited)
        if decision.change is None:
            return
        was, now = self.head, self.after(decision)
        vetoed = state.veto_on(was.model) is not None and state.walk is not None
        raised = (now.toggle is Toggle.IN_ROLLOUT and now.canary > was.canary) or decision.change is Change.STABLE
        assert not (vetoed and raised), "a machine gave traffic to a vetoed version"
        assert not (raised and decision.kind is Action.ABORT)
        if now.model != was.model:
            assert (decision.kind, decision.change) == (Action.ABORT, Change.TAKE_BACK), "model.yaml belongs to people"
            kept = was.stable.runs_like(was.model) or now.stale  # stable runs it as well, or a person brought it at rest by hand
            assert kept or not now.model.runs_like(was.model), "an aborted version is not left behind"
        if now.toggle is not was.toggle:
            broken = health in ("rolling", "broken") or waited > PLAN.drain
            assert now.toggle is Toggle.AT_REST
            assert was.canary == 0 or broken, "a predictor is removed at 0 %, unless its weight cannot move"
        if was.canary and now.canary > was.canary:
            assert verdict == "safe" or plan == "no evidence" or (plan, verdict) == ("impatient", "undecided")
        self.commit(now)

    def revert(self, place: int) -> None:
        """A person takes back any commit, if git can: each of its changes must still stand, or be gone already."""
        place = 1 + place % max(len(self.history) - 1, 1)
        if place >= len(self.history):
            return
        before, after, now = self.history[place - 1].release, self.history[place].release, self.head
        changed = [name for name in FIELDS if getattr(before, name) != getattr(after, name)]
        if all(getattr(now, name) in (getattr(after, name), getattr(before, name)) for name in changed):
            self.commit(replace(now, **{name: getattr(before, name) for name in changed}))

    def start(self, version: str, attempt: int = 1) -> None:
        """A bot, or with an attempt a person, starts a version; in rollout it overwrites model.yaml, as a forced merge would."""
        now = self.head
        wanted = model(version, attempt=attempt)
        if now.toggle is Toggle.AT_REST and not now.model.runs_like(wanted):
            self.commit(Release(KEY, wanted, replace(now.model, attempt=1), 0, Toggle.IN_ROLLOUT))
        elif now.toggle is Toggle.IN_ROLLOUT:
            self.commit(replace(now, model=wanted))

    def settle(self, verdict: str = "safe") -> None:
        """All is healthy from here on, and nobody interferes."""
        for _ in range(20):
            self.tick(verdict=verdict)


waits = st.sampled_from([1, 200, 20_000])
ticks = st.tuples(st.just("tick"), st.sampled_from([*PLANS]), st.sampled_from([*VERDICTS]), st.sampled_from([*APPS]), waits)
good_ticks = st.tuples(st.just("tick"))
reverts = st.tuples(st.just("revert"), st.integers(0, 40))
last_reverts = st.tuples(st.just("revert"), st.just(-2))
starts = st.tuples(st.just("start"), st.sampled_from(["7", "8", "9"]))
attempts = st.tuples(st.just("start"), st.sampled_from(["8", "9"]), st.integers(2, 3))
lives = st.lists(st.one_of(ticks, good_ticks, good_ticks, reverts, last_reverts, starts, attempts), max_size=30)


def lived(life: list[tuple]) -> World:  # type: ignore[type-arg]
    world = World()
    for action, *words in life:
        getattr(world, action)(*words)
    return world


@settings(max_examples=400)
@given(lives, st.sampled_from(["safe", "harmful"]))
def test_a_controller_left_alone_reaches_rest_and_stays_there(life, verdict):
    world = lived(life)
    world.settle(verdict)
    assert (world.state.kind, world.head.stale) == (Kind.REST, False)
    length = len(world.history)
    world.settle(verdict)
    assert len(world.history) == length


@settings(max_examples=400)
@given(lives, st.sampled_from(["8", "9"]), st.integers(0, 6), st.integers(0, 40))
def test_a_version_that_a_person_took_back_gets_no_traffic_from_a_machine(life, version, walked, taken):
    """Whatever commit of a rollout a person takes back: within a tick the canary goes, and no bot's start brings it back."""
    world = lived(life)
    world.settle()
    if world.state.veto_on(model(version)) or world.head.model.runs_like(model(version)):
        return
    world.start(version)
    begun = len(world.history) - 1
    for _ in range(walked):
        world.tick()
    length = len(world.history)
    world.revert(begun + taken % (len(world.history) - begun) - 1)
    if len(world.history) == length:
        return  # git would refuse: a later step stands on these lines
    if not world.state.veto_on(model(version)):
        assert world.history[-2].release.model.runs_like(world.head.model)
        return
    world.settle()
    for _ in range(3):
        world.start(version)
        world.settle()
        assert not world.head.model.runs_like(model(version))


@given(lives)
def test_history_folded_anywhere_in_parts_is_history_at_once(life):
    history = lived(life).history
    for cut in range(1, len(history)):
        assert state_of(fold(history[cut:], fold(history[:cut]))) == derive(history)


@given(lives, ticks)
def test_a_decision_is_a_function_of_its_inputs(life, tick):
    world = lived(life)
    again = World([replace(snapshot) for snapshot in world.history])
    assert world.decided(*tick[1:]) == again.decided(*tick[1:])


WAITING = st.sampled_from(
    [evidence(Verdict.NO_DATA), evidence(Verdict.METRICS_DOWN), evidence(Verdict.UNDECIDED, cause="outage"), None]
)


@given(WAITING, st.sampled_from(["hold", "advance"]), st.floats(0, 1e6), st.sampled_from(["", "HTTP 500"]))
def test_only_harmful_and_safe_move_traffic(verdict, then, waited, metrics):
    """`then: abort` is the plan's own word, and is left out here; so is a canary that Argo CD calls ill."""
    state = later(snapshots(at_rest("7"), rolling(0), rolling(5)), ago=waited)
    decision = decide(seen(state, plan=replace(PLAN, then=then), evidence=verdict, metrics=metrics))
    assert (decision.kind, decision.change) == (Action.HOLD, None)


CHANGES = st.sampled_from([Change.CANARY, Change.STABLE, Change.CLOSE, Change.TIDY])
SWITCHES = st.sampled_from(["", "  hold: true\n", "  attempt: 2\n", "  image: r/i:2\n"])


@given(CHANGES, st.integers(0, 100), st.integers(0, 100), SWITCHES, SWITCHES)
def test_the_controller_writes_its_own_files_and_traffic_sums_to_100(what, was, canary, switch, image):
    texts = {**TEXTS, "model.yaml": TEXTS["model.yaml"].replace("  #", f"{switch}  #")}
    texts["traffic.yaml"] = release.write_traffic(texts["traffic.yaml"], was)
    if "image" in image:
        texts["stable.yaml"] += image
    before = release.parse(KEY, texts)
    changed = change.apply(Decision(Action.ADVANCE, "", what, canary), before, texts)
    assert "model.yaml" not in changed
    after = release.parse(KEY, {**texts, **changed})
    wanted = World([Snapshot("c0", "", 0, before)]).after(Decision(Action.ADVANCE, "", what, canary))
    assert after == replace(wanted, stable=replace(wanted.stable, hold=False))
    assert [line for line in texts["model.yaml"].splitlines() if "#" in line] == ["  # a person's switches"]


@given(st.sampled_from(["9", "9-r2"]), st.integers(1, 3), st.sampled_from([None, "r/i:2"]))
def test_a_start_begins_at_0_percent_with_stable_on_what_ran(version, attempt, image):
    wanted = model(version, attempt=attempt, image=image)
    before = release.parse(KEY, AT_REST_TEXTS)
    after = release.parse(KEY, {**AT_REST_TEXTS, **change.start(before, AT_REST_TEXTS, wanted)})
    assert after == Release(KEY, wanted, before.model, 0, Toggle.IN_ROLLOUT)
