"""A git server: a bare repository made of this repository's own prod releases, and the clone of a person who pushes to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PERSON = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in (("NAME", "Ada"), ("EMAIL", "a@x"))}
PLAN = "    - {canary: 5, dwell: 5m}\n    - {canary: 25, dwell: 5m}\n    - {canary: 100}\n"
QUICK = "    - {canary: 20, dwell: 1m}\n    - {canary: 50, dwell: 1m}\n    - {canary: 100}\n"
SHA = "ab" * 32


class Commit(NamedTuple):
    """One first-parent commit of the server's branch."""

    id: str
    subject: str
    time: int
    author: str


def git(folder: Path, *words: str, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run git in a folder; return what it printed."""
    told = {**os.environ, **(env or {})}
    done = subprocess.run(["git", *words], cwd=folder, env=told, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(words)}: {done.stderr}")
    return done.stdout


def plan(app: str, more: str = "", steps: str = PLAN) -> str:
    """An app's plan. more: further lines of the spec, indented by two."""
    return f"apiVersion: rollout/v1\nkind: Plan\nmetadata: {{name: {app}}}\nspec:\n  steps:\n{steps}{more}"


def folder(app: str) -> str:
    """Where an app's release in prod lies."""
    return f"overlays/prod/{app}/release"


def version_text(name: str, app: str, version: str, more: str = "") -> str:
    """A model.yaml or stable.yaml. more: further lines of the spec, indented by two."""
    return (
        f"apiVersion: rollout/v1\nkind: ModelVersion\nmetadata:\n  name: {name}\nspec:\n"
        f'  version: "{version}"\n  modelUri: s3://models/{app}/{version}\n  sha256: {SHA}\n{more}'
    )


def traffic_text(canary: int) -> str:
    """A traffic.yaml."""
    return (
        "apiVersion: rollout/v1\nkind: TrafficSplit\nmetadata:\n  name: traffic\n"
        f"spec:\n  stable: {100 - canary}\n  canary: {canary}\n"
    )


def toggle_text(toggle: str) -> str:
    """A release's kustomization.yaml."""
    return (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources:\n  - model.yaml\n  - stable.yaml\n"
        f"  - traffic.yaml\ncomponents:\n  - ../../../../base/{toggle}\n"
    )


def plant(root: Path, apps: Sequence[str], more: str = "", steps: str = PLAN) -> None:
    """Lay out prod with these apps, each on version 1, from this repository's credit."""
    shutil.copytree(ROOT / "base", root / "base")
    shutil.copytree(ROOT / "overlays/prod/common", root / "overlays/prod/common")
    for app in apps:
        for name in ("apps/credit/kustomization.yaml", "overlays/prod/credit/kustomization.yaml"):
            target = root / name.replace("credit", app)
            target.parent.mkdir(parents=True)
            target.write_text((ROOT / name).read_text().replace("credit", app))
        (root / f"apps/{app}/rollout.yaml").write_text(plan(app, more, steps))
        release = root / folder(app)
        release.mkdir()
        (release / "model.yaml").write_text(version_text("model", app, "1"))
        (release / "stable.yaml").write_text(version_text("stable", app, "1"))
        (release / "traffic.yaml").write_text(traffic_text(0))
        (release / "kustomization.yaml").write_text(toggle_text("at-rest"))


@dataclass
class Repository:
    """The server's repository `path`, and `desk`, a person's clone."""

    path: Path
    desk: Path

    @classmethod
    def make(
        cls, home: Path, when: float, apps: Sequence[str] = ("credit", "savings"), more: str = "", steps: str = PLAN
    ) -> Repository:
        """Make both; the first commit is of `when`."""
        made = cls(home / "remote.git", home / "desk")
        git(home, "init", "--quiet", "--bare", "--initial-branch=main", str(made.path))
        git(made.path, "config", "receive.denyNonFastForwards", "true")
        git(made.path, "config", "gc.auto", "0")
        git(home, "clone", "--quiet", str(made.path), str(made.desk))
        git(made.desk, "symbolic-ref", "HEAD", "refs/heads/main")
        plant(made.desk, apps, more, steps)
        made.push("the releases", when)
        return made

    @property
    def url(self) -> str:
        """What the controller clones."""
        return str(self.path)

    def commit(self, message: str, when: float, files: Mapping[str, str | None]) -> str:
        """Change files as a person, on top of what is there; None removes. Return the commit."""
        self.pull()
        for name, text in files.items():
            path = self.desk / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return self.push(message, when)

    def pull(self) -> None:
        """Bring the desk up to the server."""
        git(self.desk, "pull", "--quiet", "--ff-only", "origin", "main", check=bool(git(self.path, "branch")))

    def push(self, message: str, when: float) -> str:
        """Commit what lies on the desk and push it; return the commit."""
        git(self.desk, "add", "--all")
        git(self.desk, "commit", "--quiet", "-m", message, env=dated(when))
        git(self.desk, "push", "--quiet", "origin", "HEAD:main")
        return git(self.desk, "rev-parse", "HEAD").strip()

    def revert(self, commit: str, when: float) -> str:
        """Press Revert on a commit, as a person; return the new commit."""
        self.pull()
        git(self.desk, "revert", "--no-edit", commit, env=dated(when))
        git(self.desk, "push", "--quiet", "origin", "HEAD:main")
        return git(self.desk, "rev-parse", "HEAD").strip()

    def start(self, app: str, version: str, when: float, *, stable: str = "", more: str = "") -> str:
        """Merge the pull request that starts a canary; return the commit. more: a person's switches, as lines."""
        stable = stable or self.model(app)
        files = {
            "model.yaml": version_text("model", app, version, more),
            "stable.yaml": version_text("stable", app, stable),
            "traffic.yaml": traffic_text(0),
            "kustomization.yaml": toggle_text("in-rollout"),
        }
        return self.commit(f"{app}: start {version}", when, {f"{folder(app)}/{name}": text for name, text in files.items()})

    def step(self, app: str, canary: int, when: float) -> str:
        """Commit a canary's percent by hand."""
        return self.commit(f"{app}: {canary} % by hand", when, {f"{folder(app)}/traffic.yaml": traffic_text(canary)})

    def text(self, path: str, ref: str = "main") -> str:
        """Return a file of the server's branch."""
        return git(self.path, "show", f"{ref}:{path}")

    def texts(self, paths: Sequence[str], ref: str = "main") -> list[str]:
        """Return files of one commit."""
        return git(self.path, "show", *(f"{ref}:{path}" for path in paths)).split("apiVersion:")[1:]

    def tree(self, path: str, ref: str = "main") -> str:
        """Return a folder's tree id: equal ids are equal bytes."""
        return git(self.path, "rev-parse", f"{ref}:{path}").strip()

    def head(self) -> str:
        """Return the branch's tip; the server never packs its refs."""
        return (self.path / "refs/heads/main").read_text().strip()

    def canary(self, app: str) -> int:
        """Return the committed percent."""
        return int(self.text(f"{folder(app)}/traffic.yaml").rpartition("canary: ")[2])

    def model(self, app: str) -> str:
        """Return the version wanted."""
        return self.text(f"{folder(app)}/model.yaml").split('version: "')[1].split('"')[0]

    def log(self, *words: str) -> list[Commit]:
        """Return the branch's first-parent commits, oldest first."""
        form = "--format=%H%x00%s%x00%ct%x00%an"
        lines = git(self.path, "log", "--first-parent", "--reverse", form, *words, "main").splitlines()
        return [Commit(one, subject, int(time), author) for one, subject, time, author in (line.split("\0") for line in lines)]

    def written(self, app: str = "") -> list[str]:
        """Return the subjects of the controller's commits, oldest first, without the reason of an abort."""
        mine = [commit.subject for commit in self.log() if commit.author == "rollout"]
        return [": ".join(subject.split(": ")[:2]) for subject in mine if subject.startswith(f"{app}(" if app else "")]

    def body(self, commit: str) -> str:
        """Return a commit's message without its subject."""
        return git(self.path, "log", "-1", "--format=%b", commit)

    def changed(self, commit: str) -> list[str]:
        """Return the paths that a commit changes."""
        return git(self.path, "diff-tree", "-r", "--no-commit-id", "--name-only", "-m", "--first-parent", commit).split()

    def hook(self, name: str, script: str) -> None:
        """Give the server a hook, a shell script."""
        path = self.path / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def dated(when: float) -> dict[str, str]:
    """Who and when, for a person's commit."""
    return {**PERSON, "GIT_AUTHOR_DATE": f"{when:.0f} +0000", "GIT_COMMITTER_DATE": f"{when:.0f} +0000"}
