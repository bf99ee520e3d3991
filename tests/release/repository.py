"""A clone of a deployment repository made of this one's own files, and what people and the controller do in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rollout.decide import Application, Decision, Observation, decide
from rollout.document import edit
from rollout.gate import Verdict
from rollout.git import Repo
from rollout.loop import Controller, Outcome, Settings
from rollout.release import Key, ModelVersion, Toggle, write_toggle, write_traffic, write_version
from rollout.state import Kind, State
from tests.core.conftest import evidence

ROOT = Path(__file__).parents[2]
ROLLOUT = str(Path(sys.executable).with_name("rollout"))
KEY = Key("prod", "credit")
FOLDER = KEY.folder
MODEL, STABLE, TRAFFIC, SHAPE = (f"{FOLDER}/{name}.yaml" for name in ("model", "stable", "traffic", "kustomization"))
IMAGE = "registry.example.com/models/model-server@sha256:" + "cd" * 32
PLAN = """\
apiVersion: rollout/v1
kind: Plan
metadata: {name: credit}
spec:
  steps:
    - {canary: 5, dwell: 30m}
    - {canary: 25, dwell: 30m}
    - {canary: 100}
"""
PERSON = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in (("NAME", "Ada"), ("EMAIL", "a@x"))}
ENV = {**os.environ, **PERSON, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
KNOWN = ", ".join(sorted("/".join(path.parts[-3:-1]) for path in ROOT.glob("overlays/*/*/release")))
POINTS = ("warming", "at 5 %", "at 25 %", "handing over", "handed over", "closed")

Edit = Callable[[str], str]


class Answer(NamedTuple):
    """What the command line answered."""

    code: int
    out: str
    err: str


def version(name: str) -> ModelVersion:
    """A version of credit; its bytes are named after it."""
    return ModelVersion(name, f"s3://models/credit/{name}", f"a{name}" * 32)


def wanted(name: str) -> tuple[str, ...]:
    """The words with which a person starts a version."""
    model = version(name)
    return ("--version", name, "--model-uri", model.model_uri, "--sha256", model.sha256)


def rename(old: str, new: str) -> Edit:
    """Put one version's lines in the place of another's."""
    was, now = version(old), version(new)
    pairs = [(f'version: "{old}"', f'version: "{new}"'), (was.model_uri, now.model_uri), (was.sha256, now.sha256)]

    def rename(text: str) -> str:
        for one, other in pairs:
            assert one in text
            text = text.replace(one, other)
        return text

    return rename


def run(folder: Path, *words: str) -> Answer:
    """Run a command in a folder."""
    done = subprocess.run(words, cwd=folder, env=ENV, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Desk:
    """A work tree."""

    path: Path

    @classmethod
    def planted(cls, path: Path) -> Desk:
        """A first commit: the manifests of this repository, with version 7 of credit at rest in prod."""
        for name in ("base", "apps", "overlays", "argocd"):
            shutil.copytree(ROOT / name, path / name)
        desk = cls(path)
        desk.write({
            "apps/credit/rollout.yaml": lambda _: PLAN,
            MODEL: lambda text: edit(write_version(text, version("7"), person=True), ("spec",), {"hold": None}),
            STABLE: lambda text: write_version(text, version("7"), person=False),
            TRAFFIC: lambda text: write_traffic(text, 0),
            SHAPE: lambda text: write_toggle(text, Toggle.AT_REST),
        })  # fmt: skip
        desk.git("init", "--quiet", "--initial-branch=main")
        desk.git("add", ".")
        desk.commit("the releases")
        return desk

    def git(self, *words: str) -> str:
        """Run git; return what it printed."""
        code, out, err = run(self.path, "git", *words)
        assert code == 0, f"git {' '.join(words)}: {out}{err}"
        return out

    def rollout(self, *words: str) -> Answer:
        """Run the command line."""
        return run(self.path, ROLLOUT, *words)

    def write(self, edits: Mapping[str, Edit | str]) -> None:
        """Edit files: path -> what becomes of its text, or a new text."""
        for name, change in edits.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(change if isinstance(change, str) else change(path.read_text()))

    def commit(self, message: str, edits: Mapping[str, Edit | str] | None = None) -> str:
        """Edit and commit, as a person; return the commit."""
        self.write(edits or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.id()

    def start(self, name: str, *more: str) -> str:
        """Start a version of credit in prod, and commit that; return the commit."""
        answer = self.rollout("start", str(KEY), *wanted(name), *more)
        assert answer.code == 0, answer
        return self.commit(f"credit(prod): start {name}")

    def merge(self, branch: str, form: str) -> str:
        """Merge a pull request, as `squash` or as `merge` commit; return the commit."""
        if form == "merge":
            self.git("merge", "--quiet", "--no-ff", "--no-edit", branch)
            return self.id()
        self.git("merge", "--quiet", "--squash", branch)
        return self.commit(f"{branch} (#1)")

    def revert(self, commit: str) -> str:
        """Press Revert on a merged pull request; return the new commit."""
        parents = self.git("rev-list", "--parents", "-n1", commit).split()[1:]
        self.git("revert", "--no-edit", *(["-m", "1"] if len(parents) > 1 else []), commit)
        return self.id()

    def alone(self) -> Desk:
        """Leave no release but credit in prod in the work tree, so that a check is quick; return itself."""
        for other in self.path.glob("overlays/*/*/release"):
            if other != self.path / FOLDER:
                shutil.rmtree(other.parent)
        return self

    def id(self, name: str = "HEAD") -> str:
        """Return the id of a commit, or of a tree as `<commit>:<folder>`; equal trees are equal bytes."""
        return self.git("rev-parse", name).strip()

    def diff(self, before: str, after: str = "HEAD") -> str:
        """Return a whole diff, without the lines that name blobs."""
        text = self.git("diff", "--no-color", "--no-prefix", "--no-renames", "--unified=0", before, after)
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("index "))

    def state(self) -> State:
        """Return what the history says of credit in prod."""
        with self.controller() as controller:
            return self._state(controller)

    @contextmanager
    def controller(self) -> Iterator[Controller]:
        """A controller that has read the history up to HEAD."""
        repo = Repo(self.path, "HEAD", ENV)
        controller = Controller(repo, None, None, Settings(), fetch=False)
        assert not controller.tick(act=False).hold_all
        yield controller
        repo.close()

    @staticmethod
    def _state(controller: Controller) -> State:
        state = controller.history.releases[KEY].state
        assert state is not None
        return state

    def act(self, verdict: Verdict = Verdict.SAFE, health: str = "Healthy", late: int = 0) -> Decision:
        """Commit what the controller decides `late` seconds from now, HEAD long synced and of `health`; return the decision."""
        with self.controller() as controller:
            state, now = self._state(controller), int(time.time()) + late
            seen = Observation(
                now=now,
                state=state,
                plan=controller.history.plan(KEY),
                app=Application(state.head.commit, "Synced", health),
                reached=True,
                applied=True,
                evidence=evidence(verdict) if state.kind is Kind.STEP else None,
            )
            decision = decide(seen)
            if decision.change:
                write = controller._write(Outcome(KEY, seen, decision))
                tip = controller.repo.write(controller.head, [write], now, "rollout <rollout@localhost>")
                self.git("merge", "--quiet", "--ff-only", tip)
        return decision

    def settle(self) -> list[str]:
        """Let the controller act until it holds; return its commits, without an abort's reason, and why it holds."""
        subjects = []
        while (decision := self.act()).change:
            subjects.append(": ".join(self.git("log", "-1", "--format=%s").strip().split(": ")[:2]))
        return [*subjects, decision.reason]
