"""The state of a release: a function of its files along first-parent history, and of nothing else.

A release's history is the list of its snapshots, oldest first, one per first-parent commit that changed its folder.
A *walk* begins with the commit that moves the toggle from at-rest to in-rollout and ends with the one that moves it
back. What a commit says, who wrote it and when do not matter; only what the files were before and after.

| model, stable | toggle, canary % | since the start                     | state        | what may follow                |
|---------------|------------------|-------------------------------------|--------------|--------------------------------|
| any           | at rest          |                                     | rest         | tidy                           |
| differ        | in rollout, 0    | never above 0                       | warming      | first step, or close           |
| differ        | in rollout, > 0  | only rose                           | step         | hold, advance, complete, abort |
| differ        | in rollout, > 0  | fell, or stable once equalled model | veto         | abort                          |
| differ        | in rollout, 0    | was above 0, or vetoed              | draining     | close, taking model.yaml back  |
| equal         | in rollout, > 0  |                                     | handing over | canary to 0                    |
| equal         | in rollout, 0    |                                     | handed over  | close                          |

Taking back any commit of a rollout is a veto on the version that was walked, for good, until a person raises
`attempt` in model.yaml. It is recognised by what it leaves behind:
- in rollout, the canary's traffic fell while model and stable differ (a step taken back, or an abort);
- in rollout, stable.yaml went back after it had named the version (a completion taken back), or the canary rose again;
- in rollout, model.yaml names another version (the start overwritten), or lowers `attempt` to one a veto covers;
- the walk ended with another version in model.yaml (the pull request reverted, or an abort's close);
- at rest, model.yaml went back to a version that ran before (a completed rollout reverted);
- the toggle went back to in-rollout although nothing new is wanted (a close taken back).
A version is the same again when its name is, or when the bytes and the image are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rollout.release import ModelVersion, Release, Toggle


class Kind(StrEnum):
    """The states of the table above."""

    REST = "rest"
    WARMING = "warming"
    STEP = "step"
    VETO = "veto"
    DRAINING = "draining"
    HANDING_OVER = "handing over"
    HANDED_OVER = "handed over"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A release's files after one commit. before: the commit's first parent, empty for the first commit."""

    commit: str
    before: str
    time: int  # the commit's committer time, Unix seconds
    release: Release


@dataclass(frozen=True, slots=True)
class Veto:
    """Why no machine starts a version again: `attempt` is the highest attempt the veto covers."""

    model: ModelVersion
    attempt: int
    commit: str
    reason: str

    def covers(self, model: ModelVersion) -> bool:
        """Whether a start of `model` is vetoed."""
        mine, same = self.model, model.version == self.model.version
        same_bytes = (model.model_uri, model.sha256, model.image) == (mine.model_uri, mine.sha256, mine.image)
        return (same or same_bytes) and model.attempt <= self.attempt


@dataclass(frozen=True, slots=True)
class Walk:
    """One rollout as far as it has come.

    splits: every change of the canary's percent with its commit, the start first. before: the commit whose tree
    holds the release as it was before the start. vetoed: why this walk must be taken out, empty when it need not.
    """

    start: Snapshot
    splits: tuple[Snapshot, ...]
    equalled: bool = False
    vetoed: str = ""

    @property
    def before(self) -> str:
        """The commit before the start."""
        return self.start.before

    @property
    def peak(self) -> int:
        """The highest percent the canary has had."""
        return max(snapshot.release.canary for snapshot in self.splits)


@dataclass(frozen=True, slots=True)
class State:
    """What a release's history says: its state now, the rollout it is in, and what is vetoed."""

    kind: Kind
    head: Snapshot
    walk: Walk | None
    vetoes: tuple[Veto, ...]
    completed: tuple[Walk, ...]  # the walks that ended at rest on their version, oldest first
    ran: tuple[ModelVersion, ...]  # versions that were at rest, oldest first

    @property
    def brought_by(self) -> Walk | None:
        """The walk that brought the version wanted now: the one it is in, or the last completed one of that version."""
        if self.walk is not None:
            return self.walk
        mine = [walk for walk in self.completed if walk.start.release.model.runs_like(self.release.model)]
        return mine[-1] if mine else None

    @property
    def release(self) -> Release:
        """The release's files at HEAD."""
        return self.head.release

    def veto_on(self, model: ModelVersion) -> Veto | None:
        """Return the newest veto that covers a start of `model`."""
        return _newest(self.vetoes, model)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the fold over the snapshots carries along; `state_of` reads it."""

    head: Snapshot
    walk: Walk | None = None
    completed: tuple[Walk, ...] = ()
    vetoes: tuple[Veto, ...] = ()
    ran: tuple[ModelVersion, ...] = ()

    def veto(self, model: ModelVersion, commit: str, reason: str) -> Memory:
        """Return the memory with one more veto."""
        return replace(self, vetoes=(*self.vetoes, Veto(model, model.attempt, commit, reason)))

    def vetoed(self, model: ModelVersion) -> str:
        """Return in words the newest veto that covers `model`, empty when none does."""
        veto = _newest(self.vetoes, model)
        return "" if veto is None else f"{model.version} is vetoed since {veto.commit[:10]}: {veto.reason}"


def _newest(vetoes: Sequence[Veto], model: ModelVersion) -> Veto | None:
    return next((veto for veto in reversed(vetoes) if veto.covers(model)), None)


def derive(history: Sequence[Snapshot]) -> State:
    """Return the state of a release from its snapshots, oldest first, at least one."""
    return state_of(fold(history))


def fold(history: Iterable[Snapshot], memory: Memory | None = None) -> Memory:
    """Carry the history on; a fold over all of it equals folds over its parts, one after another."""
    for snapshot in history:
        memory = _first(snapshot) if memory is None else _next(memory, snapshot)
    if memory is None:
        raise ValueError("a release without a snapshot has no state")
    return memory


def state_of(memory: Memory) -> State:
    """Read the state off a fold."""
    return State(_kind(memory), memory.head, memory.walk, memory.vetoes, memory.completed, memory.ran)


def _kind(memory: Memory) -> Kind:
    release, walk = memory.head.release, memory.walk
    if walk is None:
        return Kind.REST
    if walk.vetoed:
        return Kind.VETO if release.canary else Kind.DRAINING
    if release.stable.runs_like(release.model):
        return Kind.HANDING_OVER if release.canary else Kind.HANDED_OVER
    if walk.peak == 0:
        return Kind.WARMING
    return Kind.STEP


def _first(snapshot: Snapshot) -> Memory:
    memory = Memory(snapshot)
    if snapshot.release.toggle is Toggle.AT_REST:
        return replace(memory, ran=(snapshot.release.model,))
    return replace(memory, walk=_start(memory, snapshot))


def _next(memory: Memory, snapshot: Snapshot) -> Memory:
    was, now = memory.head.release, snapshot.release
    moved = replace(memory, head=snapshot)
    if memory.walk is not None:
        follow = _walked if now.toggle is Toggle.IN_ROLLOUT else _ended
        return follow(moved, memory.walk, was, now)
    if now.toggle is Toggle.IN_ROLLOUT:
        return _started(moved, was, now)
    return _rested(moved, was, now)


def _rested(memory: Memory, was: Release, now: Release) -> Memory:
    """At rest before and after: going back to a version that ran before is a rollback."""
    if now.model.runs_like(was.model):
        return memory
    if any(now.model.runs_like(model) for model in memory.ran):
        reason = f"{was.model.version} was rolled back to {now.model.version}"
        memory = memory.veto(was.model, memory.head.commit, reason)
    return replace(memory, ran=(*memory.ran, now.model))


def _started(memory: Memory, was: Release, now: Release) -> Memory:
    """At rest before, in rollout after: a start, or a close taken back."""
    reopened = now.model.runs_like(was.model) and now.stable.runs_like(now.model)
    last = memory.completed[-1] if memory.completed else None
    if reopened and last is not None and last.start.release.model.runs_like(now.model):
        reason = f"the close of {now.model.version} was taken back"
        memory = memory.veto(now.model, memory.head.commit, reason)
        return replace(memory, walk=replace(last, vetoed=reason))
    return replace(memory, walk=_start(memory, memory.head))


def _start(memory: Memory, snapshot: Snapshot) -> Walk:
    model, canary = snapshot.release.model, snapshot.release.canary
    walk = Walk(snapshot, (snapshot,), snapshot.release.stable.runs_like(model))
    vetoed = memory.vetoed(model)
    if vetoed:
        return replace(walk, vetoed=vetoed)
    if canary:
        return replace(walk, vetoed=f"the start of {model.version} inherited a canary at {canary} %")
    return walk


def _ended(memory: Memory, walk: Walk, was: Release, now: Release) -> Memory:
    """In rollout before, at rest after: completed and closed, or taken out."""
    memory = replace(memory, walk=None, ran=(*memory.ran, now.model))
    if now.model.runs_like(was.model):
        return replace(memory, completed=(*memory.completed, walk))
    reason = walk.vetoed or f"{was.model.version} was taken out for {now.model.version}"
    return memory.veto(was.model, memory.head.commit, reason)


def _walked(memory: Memory, walk: Walk, was: Release, now: Release) -> Memory:
    """In rollout before and after: a step, a part of the completion, or something taken back."""
    commit = memory.head.commit
    if now.canary != was.canary:
        walk = replace(walk, splits=(*walk.splits, memory.head))
    walk = replace(walk, equalled=walk.equalled or now.stable.runs_like(now.model))
    if not now.model.runs_like(was.model):
        memory = memory.veto(was.model, commit, f"{was.model.version} was overwritten by {now.model.version}")
        if walk.peak == 0 and not walk.vetoed:
            return replace(memory, walk=_start(memory, replace(memory.head, before=walk.before)))
    reason = walk.vetoed or _taken_back(walk, was, now, commit) or memory.vetoed(now.model)
    if reason and not walk.vetoed:
        memory = memory.veto(now.model, commit, reason)
    return replace(memory, walk=replace(walk, vetoed=reason))


def _taken_back(walk: Walk, was: Release, now: Release, commit: str) -> str:
    version = now.model.version
    if not now.model.runs_like(was.model):
        return f"model.yaml changed from {was.model.version} to {version} in rollout, in {commit[:10]}"
    if now.stable.runs_like(now.model):
        rose = f"canary {version} rose again from {was.canary} % in {commit[:10]}"
        return rose if now.canary > was.canary else ""
    if walk.equalled:
        return f"stable went back from {version} to {now.stable.version} in {commit[:10]}"
    if now.canary < was.canary:
        return f"canary {version} fell from {was.canary} to {now.canary} % in {commit[:10]}"
    return ""
