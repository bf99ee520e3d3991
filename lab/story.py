"""What git says happened to a release: its first-parent commits, each with what the release's files say then.

Read with plain git and YAML, not with the controller's code: the demo checks the controller by it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.processes import LabError
from lab.render import git

FIELDS = ("%H", "%ct", "%an", "%s", "%b")
_UNIT, _RECORD = "\x1f", "\x1e"


@dataclass(frozen=True)
class Commit:
    """One commit on the branch, and one release's files after it."""

    sha: str
    time: int
    author: str
    subject: str
    body: str
    paths: tuple[str, ...]
    model: str = ""
    stable: str = ""
    canary: int = 0
    in_rollout: bool = False
    tree: str = ""

    @property
    def sentence(self) -> str:
        """The body without its trailers."""
        return self.body.strip().split("\n\n")[0].replace("\n", " ").strip()


async def log(repository: Path, branch: str, since: str = "", path: str = "") -> list[Commit]:
    """First-parent commits, oldest first; after `since`, touching `path`."""
    revisions = f"{since}..{branch}" if since else branch
    form = f"--format={_RECORD}{_UNIT.join(FIELDS)}{_UNIT}"
    arguments = ["log", "--first-parent", "-m", "--reverse", "--name-only", form, revisions, "--", *([path] if path else [])]
    out = await git(*arguments, cwd=repository)
    found = []
    for record in out.split(_RECORD)[1:]:
        sha, when, author, subject, body, paths = record.split(_UNIT)
        found.append(Commit(sha, int(when), author, subject, body.strip(), tuple(paths.split())))
    return found


def folder(app: str, env: str = "prod") -> str:
    """The release's folder."""
    return f"overlays/{env}/{app}/release"


async def release_log(repository: Path, branch: str, app: str, since: str, env: str = "prod") -> list[Commit]:
    """The commits that touched a release, each with the release's files after it."""
    found = []
    for commit in await log(repository, branch, since, folder(app, env)):
        found.append(await at(repository, commit, app, env))
    return found


async def at(repository: Path, commit: Commit, app: str, env: str = "prod") -> Commit:
    """The commit with the release's files read."""

    async def read(name: str) -> Any:
        return yaml.safe_load(await git("show", f"{commit.sha}:{folder(app, env)}/{name}.yaml", cwd=repository))

    model, stable, traffic, wiring = [await read(name) for name in ("model", "stable", "traffic", "kustomization")]
    tree = (await git("rev-parse", f"{commit.sha}:{folder(app, env)}", cwd=repository)).strip()
    return Commit(
        **{name: getattr(commit, name) for name in ("sha", "time", "author", "subject", "body", "paths")},
        model=model["spec"]["version"],
        stable=stable["spec"]["version"],
        canary=traffic["spec"]["canary"],
        in_rollout=any(component.endswith("in-rollout") for component in wiring["components"]),
        tree=tree,
    )


async def now(repository: Path, branch: str, app: str, env: str = "prod") -> Commit:
    """The release as the branch's head has it."""
    sha = (await git("rev-parse", branch, cwd=repository)).strip()
    return await at(repository, Commit(sha, 0, "", "", "", ()), app, env)


def walk(commits: Iterable[Commit]) -> list[tuple[str, str, int]]:
    """What a release went through: (model, stable or "" at rest, canary percent), repetitions left out."""
    states: list[tuple[str, str, int]] = []
    for commit in commits:
        state = (commit.model, commit.stable, commit.canary) if commit.in_rollout else (commit.model, "", 0)
        if not states or states[-1] != state:
            states.append(state)
    return states


@dataclass(frozen=True)
class Seconds:
    """What a client counted, per second."""

    rows: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> "Seconds":
        """Read a load generator's file; its last line may be half written."""
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return cls(tuple(json.loads(line) for line in whole.splitlines()))

    def between(self, start: float, end: float) -> "Seconds":
        """Whole seconds within a span."""
        return Seconds(tuple(row for row in self.rows if start <= row["t"] < end))

    def last(self, seconds: int) -> "Seconds":
        """The last so many seconds."""
        return Seconds(self.rows[-seconds:])

    def total(self, name: str) -> int:
        """The sum of a count."""
        return sum(row[name] if isinstance(row[name], int) else sum(row[name].values()) for row in self.rows)

    def parts(self, name: str) -> dict[str, int]:
        """The sums of a count by its keys."""
        sums: dict[str, int] = {}
        for row in self.rows:
            for key, count in row[name].items():
                sums[key] = sums.get(key, 0) + count
        return sums

    def as_json(self) -> dict[str, Any]:
        """The totals."""
        counts: dict[str, Any] = {name: self.total(name) for name in ("sent", "ok")}
        return counts | {name: self.parts(name) for name in ("failed", "lost", "served")}


def need(condition: bool, sentence: str) -> None:
    """A step of the story must have happened."""
    if not condition:
        raise LabError(f"the story did not happen: {sentence}")
