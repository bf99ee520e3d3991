"""The repository's history as releases and plans: a fold over first-parent commits, oldest first.

A commit is given as its changes (path, blob id). Of all paths only these matter:

| path                                     | to                                       |
|------------------------------------------|------------------------------------------|
| overlays/<env>/<app>/release/<file>      | the release env/app: one more snapshot   |
| apps/<app>/rollout.yaml                  | the app's plan from this commit on       |
| overlays/<env>/common/rollout.yaml       | the environment's single fields of it    |

A release whose files cannot be read keeps the error, and its history goes on when they can be read again. Texts are asked for by
blob id, once each; ten thousand releases share nearly all their plans, splits and toggles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from rollout import plan as plans
from rollout import release as releases
from rollout.errors import BadInput
from rollout.plan import Plan
from rollout.release import FILES, Key, ModelVersion, Release, Toggle
from rollout.state import Memory, Snapshot, State, fold, state_of

_RELEASE = re.compile(r"overlays/([^/]+)/([^/]+)/release/([^/]+)")
_APP = re.compile(r"apps/([^/]+)/rollout\.yaml")
_COMMON = re.compile(r"overlays/([^/]+)/common/rollout\.yaml")
Text = Callable[[str], str]
Shared = TypeVar("Shared", int, Toggle)


@dataclass(frozen=True, slots=True)
class Commit:
    """One first-parent commit: what it changed, as (path, blob id or None when removed)."""

    id: str
    before: str
    time: int
    changes: tuple[tuple[str, str | None], ...]


@dataclass(slots=True)
class Tracked:
    """One release as far as the history has been read. error: why its files at HEAD cannot be used."""

    key: Key
    files: dict[str, str] = field(default_factory=dict)
    memory: Memory | None = None
    error: BadInput | None = None

    @property
    def state(self) -> State | None:
        """The release's state at HEAD, None while it never had one."""
        return state_of(self.memory) if self.memory else None


@dataclass(slots=True)
class History:
    """Folds commits into releases and plans. text: blob id -> text. envs: the environments followed, empty for all."""

    text: Text
    envs: frozenset[str] = frozenset()
    releases: dict[Key, Tracked] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)
    _plans: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _parsed_plans: dict[tuple[str, str, str | None], Plan] = field(default_factory=dict)
    _parsed: dict[tuple[str, str], int | Toggle] = field(default_factory=dict)

    def extend(self, commits: Iterable[Commit]) -> None:
        """Carry the history on by more commits, oldest first. `touched` collects the releases they changed."""
        for commit in commits:
            changed: dict[Key, set[str]] = {}
            for path, blob in commit.changes:
                if match := _RELEASE.fullmatch(path):
                    self._file(Key(match[1], match[2]), match[3], blob, changed)
                elif match := _APP.fullmatch(path):
                    self._plans.setdefault(f"apps/{match[1]}", []).append((commit.time, blob))
                elif match := _COMMON.fullmatch(path):
                    self._plans.setdefault(f"overlays/{match[1]}", []).append((commit.time, blob))
            for key, names in changed.items():
                self._snapshot(self.releases[key], commit, names)
            self.touched |= changed.keys()

    def _file(self, key: Key, name: str, blob: str | None, changed: dict[Key, set[str]]) -> None:
        if self.envs and key.env not in self.envs:
            return
        files = self.releases.setdefault(key, Tracked(key)).files
        if blob is None:
            files.pop(name, None)
        else:
            files[name] = blob
        changed.setdefault(key, set()).add(name)

    def _snapshot(self, tracked: Tracked, commit: Commit, names: set[str]) -> None:
        if not tracked.files:
            del self.releases[tracked.key]
            return
        try:
            found = self._release(tracked, names)
        except BadInput as error:
            tracked.error = error
            return
        tracked.error = None
        tracked.memory = fold([Snapshot(commit.id, commit.before, commit.time, found)], tracked.memory)

    def _release(self, tracked: Tracked, names: set[str]) -> Release:
        """Read what changed, `names`; the rest is as it was, unless that could not be read."""
        key, files = tracked.key, tracked.files
        last = tracked.memory.head.release if tracked.memory and not tracked.error else None
        for name in FILES:
            if name not in files:
                raise BadInput(f"{key.folder}/{name}", "", f"is missing; a release has {', '.join(FILES)}")
        return Release(
            key=key,
            model=last.model if last and "model.yaml" not in names else self._version(key, "model", files["model.yaml"]),
            stable=last.stable if last and "stable.yaml" not in names else self._version(key, "stable", files["stable.yaml"]),
            canary=self._shared(files["traffic.yaml"], f"{key.folder}/traffic.yaml", releases.parse_traffic),
            toggle=self._shared(files["kustomization.yaml"], f"{key.folder}/kustomization.yaml", releases.parse_toggle),
        )

    def _version(self, key: Key, name: str, blob: str) -> ModelVersion:
        return releases.parse_version(self.text(blob), key, name)

    def _shared(self, blob: str, where: str, parse: Callable[[str, str], Shared]) -> Shared:
        found = self._parsed.get((parse.__name__, blob))
        if found is None:
            found = self._parsed[parse.__name__, blob] = parse(self.text(blob), where)
        return found  # type: ignore[return-value]  # the key holds the parser's name

    def plan(self, key: Key, at: float | None = None) -> Plan:
        """Return a release's plan, as it is now or as it was at a Unix time; raise BadInput when it cannot be used."""
        app, over = self._at(f"apps/{key.app}", at), self._at(f"overlays/{key.env}", at)
        if app is None:
            raise BadInput(f"apps/{key.app}/rollout.yaml", "", "is missing; every app has a plan")
        wanted = (str(key) if over else key.app, app, over)
        if wanted not in self._parsed_plans:
            override = self._text(over) if over else None
            self._parsed_plans[wanted] = plans.parse(key.app, self._text(app), key.env, override)
        return self._parsed_plans[wanted]

    def plan_then(self, key: Key, at: float) -> Plan:
        """Return the plan in force at a Unix time, or the one now where that one cannot be used."""
        try:
            return self.plan(key, at)
        except BadInput:
            return self.plan(key)

    def plans_until(self, key: Key, until: float) -> tuple[tuple[int, str | None], ...]:
        """Return every change of a release's plan up to a Unix time: (time, blob id)."""
        owners = (f"apps/{key.app}", f"overlays/{key.env}")
        return tuple(change for owner in owners for change in self._plans.get(owner, ()) if change[0] <= until)

    def _at(self, owner: str, at: float | None) -> str | None:
        known = [blob for time, blob in self._plans.get(owner, ()) if at is None or time <= at]
        return known[-1] if known else None

    def _text(self, blob: str) -> str:
        if blob not in self._texts:
            self._texts[blob] = self.text(blob)
        return self._texts[blob]
