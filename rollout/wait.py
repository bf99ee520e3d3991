"""What became of a version that was started, read from git as it goes on: `rollout wait`, and `rollout promote --wait`.

| the release's history says, of the version                | outcome    | exit code |
|-----------------------------------------------------------|------------|-----------|
| in rollout, or not started yet                            | going      | 3, when the limit is over |
| at rest on it, or it completed and a newer one came after | completed  | 0         |
| vetoed: aborted, overwritten, reverted, rolled back       | taken out  | 1, with the sentence of the commit that decided |

Nothing but the branch's commits is asked: it works without a cluster, and says the same whoever runs it, whenever.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rollout.decide import span
from rollout.errors import BadInput, Refused
from rollout.git import GitError, Repo
from rollout.history import History
from rollout.release import Key
from rollout.state import State

OVER = 3  # the exit code when the limit is over


class Result(StrEnum):
    """The outcomes of the table above."""

    GOING = "going"
    COMPLETED = "completed"
    OUT = "taken out"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a version. commit: the one that decided, for what was taken out; reason: in words, from the state."""

    result: Result
    commit: str = ""
    reason: str = ""


def outcome(state: State | None, version: str) -> Outcome:
    """Read what became of a version off its release's state."""
    if state is None:
        return Outcome(Result.GOING)
    walk = state.walk
    mine = walk is not None and walk.start.release.model.version == version
    if mine and walk is not None and not walk.vetoed:
        return Outcome(Result.GOING)
    if walk is None and state.release.model.version == version:
        return Outcome(Result.COMPLETED)
    vetoes = [veto for veto in state.vetoes if veto.model.version == version]
    done = [one.start.release.model for one in state.completed if one.start.release.model.version == version]
    if done and not any(veto.covers(done[-1]) for veto in vetoes):
        return Outcome(Result.COMPLETED)
    if vetoes:
        first = next(veto for veto in vetoes if veto.attempt == vetoes[-1].attempt)  # a close repeats what the fall decided
        return Outcome(Result.OUT, first.commit, first.reason)
    return Outcome(Result.OUT, walk.start.commit, walk.vetoed) if mine and walk is not None else Outcome(Result.GOING)


@dataclass(slots=True)
class Watch:
    """Follows the remote's branch. limit, interval: seconds."""

    repo: Repo
    limit: float
    interval: float
    history: History = field(init=False)
    tip: str = ""

    def __post_init__(self) -> None:
        if self.repo.shallow():
            raise BadInput("--repo", "", f"{self.repo.path} is a shallow clone; `git fetch --unshallow` would be right")
        self.history = History(self.repo.text)

    def look(self) -> bool:
        """Read what is new on the branch; return whether there was something."""
        tip = self.repo.fetch()
        if tip == self.tip:
            return False
        if self.tip and not self.repo.is_ancestor(self.tip, tip):
            raise Refused(f"{self.repo.branch} went backwards, from {self.tip[:10]} to {tip[:10]}: nobody may force-push it")
        try:
            self.history.extend(self.repo.commits(tip, self.tip))
        except GitError:  # what was told only in part is read again from the beginning
            self.history, self.tip = History(self.repo.text), ""
            raise
        self.tip = tip
        return True

    def state(self, key: Key) -> State | None:
        """A release's state at what was read last."""
        tracked = self.history.releases.get(key)
        return tracked.state if tracked else None

    def wanted(self, key: Key) -> str:
        """The version that a release wants now; raise BadInput where there is no such release."""
        state = self.state(key)
        if state is None:
            known = ", ".join(str(one) for one in sorted(self.history.releases)) or "none"
            raise BadInput("release", "", f"{key} is not on {self.repo.branch}; known: {known}")
        return state.release.model.version

    def started(self, scope: str) -> list[tuple[Key, str]]:
        """The releases, with their versions, whose rollouts began in BASE..HEAD."""
        ends = self.repo.ends(scope, "--started")
        reader = History(self.repo.text)
        reader.extend(self.repo.commits(ends[1]))
        new = set(self.repo.chain(ends[1], ends[0]))
        states = [(key, tracked.state) for key, tracked in sorted(reader.releases.items())]
        return [
            (key, state.walk.start.release.model.version)
            for key, state in states
            if state and state.walk and state.walk.start.commit in new
        ]

    def follow(self, wanted: Sequence[tuple[Key, str]]) -> dict[Key, Outcome]:
        """Watch until every version has come to something, or the limit is over; tell each change as it comes."""
        until, told, ill = time.monotonic() + self.limit, dict[Key, str](), ""
        while True:
            found = {key: outcome(self.state(key), version) for key, version in wanted}
            for key, version in wanted:
                if told.get(key) != (words := self._words(key, version, found[key])):
                    print(f"{key}: {words}", flush=True)
                    told[key] = words
            left = until - time.monotonic()
            if left <= 0 or all(one.result is not Result.GOING for one in found.values()):
                return found
            time.sleep(min(self.interval, left))
            try:
                self.look()
                ill = ""
            except GitError as error:
                if str(error) != ill:
                    print(f"git: {error}; trying again", flush=True)
                ill = str(error)

    def _words(self, key: Key, version: str, found: Outcome) -> str:
        state = self.state(key)
        if found.result is Result.COMPLETED:
            return f"{version} has completed"
        if found.result is Result.OUT:
            return f"{version} was taken out by {found.commit[:10]}: {self._sentence(found)}"
        if state is None or state.walk is None or state.walk.start.release.model.version != version:
            return f"{version} is not started yet"
        return f"{version} is {state.kind}, canary at {state.release.canary} %"

    def _sentence(self, found: Outcome) -> str:
        """What the deciding commit says: its subject, and the first paragraph of its body."""
        subject, _, body = self.repo.run("log", "-1", "--format=%s%n%b", found.commit).partition("\n")
        first = " ".join(body.strip().partition("\n\n")[0].split())
        return f"{subject}: {first}" if first and not first.startswith("Rollout-") else f"{subject} ({found.reason})"


def run(watch: Watch, release: Key | None, version: str | None, started: str | None, *, as_json: bool) -> int:
    """Wait for one release's version, or for all that began in a span of commits; return the exit code."""
    watch.look()
    wanted = watch.started(started) if started else [(release, version or watch.wanted(release))] if release else []
    if not wanted:
        print(f"no rollout began in {started}")
    found = watch.follow(wanted)
    if as_json:
        plain = {
            str(key): {
                "version": version,
                "outcome": found[key].result,
                "commit": found[key].commit,
                "reason": found[key].reason,
            }
            for key, version in wanted
        }
        print(json.dumps(plain, indent=2))
    results = {one.result for one in found.values()}
    if Result.OUT in results:
        return 1
    if Result.GOING in results:
        print(f"the limit of {span(watch.limit)} is over")
        return OVER
    return 0
