"""The loop: observe, decide, act, for all releases at once. Every side effect is here or in what it calls; no judgement is.

A tick is one fetch, one reading of Argo CD, a constant number of Prometheus queries, one push. What it keeps between ticks is
a cache of what git and Prometheus hold; losing it changes nothing but the next tick's time.

| when                                            | then                                                            |
|-------------------------------------------------|-----------------------------------------------------------------|
| the remote does not answer, or is refused       | everything holds, and says so                                   |
| history is cut off, or the branch went backwards| everything holds, and says so                                   |
| one release's files or plan cannot be read      | it holds and is reported; the others go on                      |
| the push is rejected because the branch moved   | forget, fetch, look again, after a moment that differs by chance|
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rollout import change, record
from rollout.argocd import ArgoCD
from rollout.decide import Action, Application, Change, Decision, Observation, decide
from rollout.errors import BadInput
from rollout.follow import Follower
from rollout.gate import Batch
from rollout.git import GitError, Rejected, Repo, Write
from rollout.history import History
from rollout.plan import Plan
from rollout.prometheus import Prometheus
from rollout.release import FILES, Key
from rollout.samples import LOOKBACK, WIDTH, complete_until
from rollout.state import Kind, State, Walk
from rollout.web import Unavailable

ATTEMPTS = 5  # pushes per tick; the next tick tries again
FOLLOWED = (Kind.WARMING, Kind.STEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the controller runs. width: seconds per batch of evidence; settle: see decide.Observation."""

    envs: frozenset[str] = frozenset()
    width: float = WIDTH
    settle: float = 10.0
    author: str = "rollout <rollout@localhost>"
    signing_key: Path | None = None

    @property
    def lag(self) -> float:
        """Seconds after a batch's end until its samples are all there."""
        return min(self.width / 2, 3.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One release after a tick: what was seen and decided, or why neither was possible."""

    key: Key
    seen: Observation | None
    decision: Decision
    error: str = ""
    commit: str = ""


@dataclass(slots=True)
class Tick:
    """All of a tick. hold_all: why nothing was looked at. retries: pushes that were rejected."""

    outcomes: list[Outcome] = field(default_factory=list)
    hold_all: str = ""
    retries: int = 0
    pushed: str = ""
    troubles: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Controller:
    """Everything a tick needs. fetch: False looks at the repository as it is (rollout status)."""

    repo: Repo
    prometheus: Prometheus | None
    argocd: ArgoCD | None
    settings: Settings
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    fetch: bool = True
    head: str = ""
    history: History = field(init=False)
    _whole: bool = True
    _positions: dict[str, int] = field(default_factory=dict)
    _active: set[Key] = field(default_factory=set)
    _followers: dict[Key, Follower] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history = History(self.repo.text, self.settings.envs)

    def tick(self, *, act: bool = True) -> Tick:
        """Observe, decide and, when `act`, commit and push; return what happened."""
        done = Tick()
        try:
            self._look()
            now = int(self.clock())
            apps, silence = self._applications(done)
            metrics = self._read_metrics(now, apps, done)
            for attempt in range(ATTEMPTS):
                done.outcomes = list(self._decided(now, apps, silence, metrics))
                if not act or self._pushed(done, now):
                    return done
                self.sleep(random.uniform(0, 0.1 * 2**attempt))
                self._look()
        except (GitError, BadInput) as error:
            done.hold_all = str(error)
        return done

    def _look(self) -> None:
        """Bring the history up to the branch's tip; raise GitError when it cannot be trusted."""
        tip = self.repo.fetch() if self.fetch else self.repo.resolve(self.repo.branch)
        if self.repo.shallow():
            raise GitError("the clone is shallow: without its history no state can be derived; a full clone would be right")
        if tip == self.head and self._whole:
            return
        if self.head and not self.repo.is_ancestor(self.head, tip):
            raise GitError(f"the branch went backwards: {tip[:10]} does not contain {self.head[:10]}, which was its tip")
        news = self.repo.chain(tip, self.head)
        after = self.head
        if not self._whole or (after and self.repo.resolve(f"{news[0]}^") != after):
            after, news = "", self.repo.chain(tip)
            self.history = History(self.repo.text, self.settings.envs)
            self._positions.clear()
            self._active.clear()
        self._whole = False  # until git has told all of it: what it died in the middle of is read again from the beginning
        self.history.extend(self.repo.commits(tip, after))
        self._whole = True
        for commit in news:
            self._positions[commit] = len(self._positions)
        self.head = tip
        self._sort(self.history.touched)
        self.history.touched.clear()

    def _sort(self, touched: Iterable[Key]) -> None:
        """Keep the set of releases that are not simply at rest."""
        for key in touched:
            tracked = self.history.releases.get(key)
            state = tracked.state if tracked else None
            quiet = tracked is None or (state and not state.walk and not state.release.stale and not tracked.error)
            (self._active.discard if quiet else self._active.add)(key)
            walk = state.walk if state else None
            if walk is None or (key in self._followers and self._followers[key].start != walk.start.commit):
                self._followers.pop(key, None)

    def _applications(self, done: Tick) -> tuple[dict[str, Application], str]:
        if self.argocd is None:
            return {}, "Argo CD was not asked"
        if not self._active:
            return {}, ""
        try:
            return self.argocd.applications({key.namespace for key in self._active}), ""
        except Unavailable as error:
            done.troubles.append(str(error))
            return {}, str(error)

    def _read_metrics(self, now: int, apps: dict[str, Application], done: Tick) -> str:
        """Read what is new for every followed release; return why that failed, empty when it did not."""
        if self.prometheus is None:
            return "Prometheus was not asked"
        until = complete_until(now, self.settings.width, self.settings.lag)
        states = dict(self._followed())
        for key, state in states.items():
            known = self._followers.get(key)
            if state.walk and (known is None or known.ground != self._ground(key, state.walk, known.read)):
                self._followers[key] = Follower.of(state.walk, self.settings.width, self.settings.lag, LOOKBACK)
        last = max((self._followers[key].read for key in states), default=until)
        steady = [key for key in states if self._followers[key].read == last]
        behind = [key for key in states if self._followers[key].read < last]
        try:
            for keys in (behind, steady):
                self._read(keys, states, until, apps)
        except Unavailable as error:
            done.troubles.append(str(error))
            return str(error)
        return ""

    def _read(self, keys: list[Key], states: dict[Key, State], until: float, apps: dict[str, Application]) -> None:
        if not keys or self.prometheus is None:
            return
        begin = min(self._followers[key].read for key in keys)
        budgets = {key: budget for key in keys if (budget := self._plan_then(key)(until).gates.latency_budget)}
        for reading in self.prometheus.read(keys, budgets, begin, until, self.settings.width):
            for key in keys:
                walk, follower = states[key].walk, self._followers[key]
                if walk is not None and follower.read < reading.until:
                    routed = self._routed_since(key, states[key], apps)
                    follower.fold(reading.found.get(key, ()), reading.until, walk, self._plan_then(key), routed)
                    follower.ground = self._ground(key, walk, reading.until)

    def _ground(self, key: Key, walk: Walk, until: float) -> tuple[object, ...]:
        """What git says of the time up to `until`; a commit may be pushed later than it was made, or by a slow clock."""
        splits = tuple((split.time, split.release.canary) for split in walk.splits if split.time <= until - self.settings.width)
        return (*splits, *self.history.plans_until(key, until))

    def _followed(self) -> Iterable[tuple[Key, State]]:
        for key in sorted(self._active):
            tracked = self.history.releases[key]
            state = tracked.state
            if state and not tracked.error and state.kind in FOLLOWED and self._has_plan(key):
                yield key, state

    def _has_plan(self, key: Key) -> bool:
        try:
            self.history.plan(key)
        except BadInput:
            return False
        return True

    def _plan_then(self, key: Key) -> Callable[[float], Plan]:
        return lambda at: self.history.plan_then(key, at)

    def _routed_since(self, key: Key, state: State, apps: dict[str, Application]) -> float | None:
        app = apps.get(key.namespace)
        there = app is not None and app.sync == "Synced" and app.health == "Healthy" and self._contains(app.revision, state)
        return app.settled if app is not None and there else None

    def _contains(self, revision: str, state: State) -> bool:
        place = self._positions.get(revision)
        return place is not None and place >= self._positions[state.head.commit]

    def _decided(self, now: int, apps: dict[str, Application], silence: str, metrics: str) -> Iterable[Outcome]:
        for key in sorted(self._active):
            tracked = self.history.releases[key]
            state = tracked.state
            try:
                if tracked.error or state is None:
                    raise tracked.error or BadInput(key.folder, "", "was never whole")
                seen = self._observed(now, key, state, apps, silence, metrics)
            except BadInput as error:
                yield Outcome(key, None, Decision(Action.HOLD, f"cannot be read: {error}"), str(error))
                continue
            yield Outcome(key, seen, self._possible(seen, decide(seen)))

    def _observed(
        self, now: int, key: Key, state: State, apps: dict[str, Application], silence: str, metrics: str
    ) -> Observation:
        plan, app, follower = self.history.plan(key), apps.get(key.namespace), self._followers.get(key)
        evidence = follower.evidence(plan, state.walk) if follower and state.walk and state.kind is Kind.STEP else None
        return Observation(
            now=now,
            state=state,
            plan=plan,
            app=app,
            silence="" if app else silence or f"Argo CD has no Application {key.namespace}",
            reached=app is not None and self._contains(app.revision, state),
            applied=app is not None and self._contains(app.applied, state),
            settle=self.settings.settle,
            evidence=evidence,
            metrics=metrics,
        )

    def _possible(self, seen: Observation, decision: Decision) -> Decision:
        """Taking back needs a commit to go back to; without one a person must say what stable should be."""
        walk = seen.state.walk
        if decision.change is not Change.TAKE_BACK or walk is None:
            return decision
        if walk.before and self.repo.tree(walk.before, seen.state.release.key.folder):
            return decision
        reason = f"{decision.reason}; but nothing is known from before the start: a person must set model.yaml and the toggle"
        return replace(decision, kind=Action.HOLD, change=None, reason=reason, overdue=True)

    def _pushed(self, done: Tick, now: int) -> bool:
        """Commit and push what was decided; False when the branch has moved and everything must be looked at again."""
        acts = [outcome for outcome in done.outcomes if outcome.decision.change and outcome.seen]
        if not acts:
            return True
        try:
            tip = self.repo.write(self.head, [self._write(act) for act in acts], now, self.settings.author)
            if self.settings.signing_key:
                tip = self.repo.sign(self.head, tip, self.settings.signing_key)
            self.repo.push(tip)
        except Rejected as error:
            done.retries += 1
            if error.moved and done.retries < ATTEMPTS:
                return False
            done.troubles.append(f"push rejected: {error}")
            return True
        ids = self.repo.chain(tip, self.head)
        committed = {act.key: commit for act, commit in zip(acts, ids, strict=True)}
        done.outcomes = [replace(outcome, commit=committed.get(outcome.key, "")) for outcome in done.outcomes]
        done.pushed = tip
        return True

    def _write(self, outcome: Outcome) -> Write:
        seen, decision, key = outcome.seen, outcome.decision, outcome.key
        assert seen is not None
        walk, follower = seen.state.walk, self._followers.get(key)
        history: list[tuple[int, int]] = []
        batches: list[Batch] = []
        if walk and follower and seen.state.kind is Kind.STEP:
            since = self._recorded(walk)
            history = follower.history if since is None else []
            batches = follower.unrecorded(walk, since or walk.start.time)
        message = record.message(seen, decision, history, batches)
        if decision.change is Change.TAKE_BACK and walk is not None:
            tree = self.repo.tree(walk.before, key.folder)
            return Write(message, trees={key.folder: tree or ""})
        changed = change.apply(decision, seen.state.release, self.texts(key))
        return Write(message, files={f"{key.folder}/{name}": text for name, text in changed.items()})

    def _recorded(self, walk: Walk) -> int | None:
        """When the walk's last commit that holds batches was made; a step by hand holds none."""
        found = [split.time for split in walk.splits if record.BATCHES in self.repo.text(split.commit)]
        return found[-1] if found else None

    def texts(self, key: Key) -> dict[str, str]:
        """Return the release's four files as they are at HEAD."""
        return {name: self.repo.text(self.history.releases[key].files[name]) for name in FILES}
