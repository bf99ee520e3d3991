"""The four DORA figures of every release, from git alone: `rollout dora`.

A deployment is a rollout that has begun. It succeeds when its version is stable and nobody takes it back.

| figure                | is                                                                                             |
|-----------------------|------------------------------------------------------------------------------------------------|
| deployment frequency  | rollouts whose version became stable, per week of the time looked at                           |
| lead time             | median from the merge that started a rollout to the commit that made its version stable        |
| change failure rate   | rollouts taken out before that, or rolled back after it, of all that have ended                |
| time to restore       | median, of those that failed, from the first traffic of the version to the commit that ended it|

A rollout that was taken out before it had traffic failed, and had nothing to restore. One still going counts as begun only.
Times are committer times along the first parents; who wrote a commit, and what it says, do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rollout.decide import span
from rollout.errors import BadInput
from rollout.git import Repo
from rollout.history import History
from rollout.release import Key
from rollout.state import State

_WEEK = 7 * 86400


@dataclass(frozen=True, slots=True)
class Deployment:
    """One rollout. Times are Unix seconds; None where it has not come to that."""

    version: str
    started: int
    traffic: int | None = None
    stable: int | None = None
    failed: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it has come to something."""
        return self.stable is not None or self.failed is not None


@dataclass(frozen=True, slots=True)
class Figures:
    """The four figures, with the counts they are made of; durations in seconds."""

    started: int
    completed: int
    failed: int
    per_week: float
    lead_time: float | None
    failure_rate: float | None
    restore_time: float | None


def follow(known: Sequence[Deployment], before: State | None, after: State) -> list[Deployment]:
    """Carry a release's deployments on over one commit."""
    now, release = after.head.time, after.release
    found = list(known)
    if after.walk is not None and (before is None or before.walk is None):
        found.append(Deployment(release.model.version, now))
    if after.walk is not None and found:
        found[-1] = _walking(found[-1], after, now)
    elif before is not None and before.walk is not None and found:
        found[-1] = _ended(found[-1], before, after, now)
    elif before is not None and not release.model.runs_like(before.release.model):
        gone = before.release.model.version
        places = [place for place, one in enumerate(found) if one.version == gone and one.stable and not one.failed]
        if places and any(release.model.runs_like(model) for model in before.ran):
            found[places[-1]] = replace(found[places[-1]], failed=now)
    return found


def _walking(one: Deployment, state: State, now: int) -> Deployment:
    release = state.release
    if one.traffic is None and release.canary:
        one = replace(one, traffic=now)
    if one.stable is None and release.stable.runs_like(release.model):
        one = replace(one, stable=now)
    if one.failed is None and one.traffic is not None and not release.canary and not release.stable.runs_like(release.model):
        one = replace(one, failed=now)
    return one


def _ended(one: Deployment, before: State, after: State, now: int) -> Deployment:
    if after.release.model.runs_like(before.release.model):
        return one if one.stable or one.failed else replace(one, stable=now)
    return one if one.failed else replace(one, failed=now)


def figures(deployments: Sequence[Deployment], seconds: float) -> Figures:
    """The four figures of deployments within a span of time."""
    stable = [one for one in deployments if one.stable is not None]
    failed = [one for one in deployments if one.failed is not None]
    ended = [one for one in deployments if one.ended]
    restored = [one.failed - one.traffic for one in failed if one.failed is not None and one.traffic is not None]
    return Figures(
        started=len(deployments),
        completed=len(stable),
        failed=len(failed),
        per_week=len(stable) * _WEEK / max(seconds, 1),
        lead_time=median(one.stable - one.started for one in stable if one.stable is not None) if stable else None,
        failure_rate=len(failed) / len(ended) if ended else None,
        restore_time=median(restored) if restored else None,
    )


def read(repo: Repo) -> tuple[dict[Key, list[Deployment]], tuple[int, int]]:
    """Every release's deployments, and the times of the first and the last commit."""
    if repo.shallow():
        raise BadInput("--repo", "", f"{repo.path} is a shallow clone; a full one would be right")
    history, found, times = History(repo.text), dict[Key, list[Deployment]](), list[int]()
    for commit in repo.commits(repo.resolve(repo.branch)):
        before = {key: tracked.state for key, tracked in history.releases.items() if tracked.key in _keys(commit.changes)}
        history.touched.clear()
        history.extend([commit])
        times.append(commit.time)
        for key in history.touched & history.releases.keys():
            state = history.releases[key].state
            if state is not None:
                found[key] = follow(found.get(key, ()), before.get(key), state)
    return found, (times[0], times[-1]) if times else (0, 0)


def _keys(changes: Sequence[tuple[str, str | None]]) -> set[Key]:
    parts = [path.split("/") for path, _ in changes if path.startswith("overlays/")]
    return {Key(part[1], part[2]) for part in parts if len(part) > 3}


def run(repo: Repo, days: float | None, *, as_json: bool) -> None:
    """Print the figures of every release that has deployed, and of all together."""
    found, (first, last) = read(repo)
    since = last - days * 86400 if days else first
    recent = {key: [one for one in all_of if one.started >= since] for key, all_of in sorted(found.items())}
    rows = {str(key): figures(mine, last - since) for key, mine in recent.items() if mine}
    rows["all"] = figures([one for mine in recent.values() for one in mine], last - since)
    if as_json:
        plain = {name: {field: getattr(row, field) for field in row.__slots__} for name, row in rows.items()}
        print(json.dumps({"seconds": last - since, "releases": plain}, indent=2))
    else:
        print("\n".join(table(rows, last - since)))


def table(rows: Mapping[str, Figures], seconds: float) -> Iterator[str]:
    """The figures as markdown."""
    yield f"In {_time(seconds)}, by the commits of this branch:\n"
    yield "| release | started | stable | failed | stable per week | lead time | change failure rate | time to restore |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in rows.items():
        rate = "" if row.failure_rate is None else f"{row.failure_rate:.0%}"
        often = f"{row.per_week:.1f}" if seconds >= 86400 else ""  # a rate per week of less than a day would say nothing
        counts = f"{row.started} | {row.completed} | {row.failed}"
        yield f"| {name} | {counts} | {often} | {_time(row.lead_time)} | {rate} | {_time(row.restore_time)} |"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else span(seconds)
