"""The remote: a bare repository with the fleet's whole history, written by one `git fast-import`.

| commits                    | hold                                                                      |
|----------------------------|---------------------------------------------------------------------------|
| the first                  | every release at rest on version 1, its plan, its overlay                 |
| one per release in rollout | the merged start of version 2: model.yaml and the toggle                  |
| one per release in rollout | its first step: traffic.yaml                                              |
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.fleet import BEGIN, ENV, NEW, OLD, WARM, Member, fleet, plan

_WHO = "bench <bench@localhost>"
_MONTH = 30 * 86400


def build(path: Path, size: int) -> int:
    """Make the remote at `path`; return the number of its commits."""
    git = ["git", "-C", str(path)]
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
    commits = 0
    with subprocess.Popen([*git, "-c", "core.compression=1", "fast-import", "--quiet"], stdin=subprocess.PIPE) as importer:
        assert importer.stdin is not None
        for commit in _commits(size):
            importer.stdin.write(commit)
            commits += 1
    if importer.returncode:
        raise RuntimeError(f"git fast-import ended with {importer.returncode}")
    return commits


def _commits(size: int) -> Iterator[bytes]:
    yield _commit(BEGIN - _MONTH, "the fleet", [file for member in fleet(size) for file in _first(member)])
    walks = [member for member in fleet(size) if member.cohort is not None]
    events = [(member.stepped - WARM, _start(member), f"{member.app}: start {NEW}") for member in walks]
    events += [(member.stepped, _step(member), f"{member.app}({ENV}): canary {NEW} at 5 %") for member in walks]
    for when, files, subject in sorted(events, key=lambda event: event[0]):
        yield _commit(when, subject, files)


def _commit(when: int, subject: str, files: list[tuple[str, str]]) -> bytes:
    head = f"commit refs/heads/main\ncommitter {_WHO} {when} +0000\ndata {len(subject)}\n{subject}\n"
    body = [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files]
    return (head + "".join(body)).encode()


def _first(member: Member) -> list[tuple[str, str]]:
    overlay = f"overlays/{ENV}/{member.app}"
    return [
        (f"apps/{member.app}/rollout.yaml", plan(member.app)),
        (
            f"apps/{member.app}/kustomization.yaml",
            f"# {member.app}\nkind: Kustomization\nresources:\n  - ../../base/model-server\n",
        ),
        (
            f"{overlay}/kustomization.yaml",
            f"kind: Kustomization\nnamespace: {member.namespace}\nresources:\n  - ../../../apps/{member.app}\n",
        ),
        (f"{overlay}/release/model.yaml", _version(member, "model", OLD)),
        (f"{overlay}/release/stable.yaml", _version(member, "stable", OLD)),
        (f"{overlay}/release/traffic.yaml", _traffic(0)),
        (f"{overlay}/release/kustomization.yaml", _toggle("at-rest")),
    ]


def _start(member: Member) -> list[tuple[str, str]]:
    folder = f"overlays/{ENV}/{member.app}/release"
    return [(f"{folder}/model.yaml", _version(member, "model", NEW)), (f"{folder}/kustomization.yaml", _toggle("in-rollout"))]


def _step(member: Member) -> list[tuple[str, str]]:
    return [(f"overlays/{ENV}/{member.app}/release/traffic.yaml", _traffic(5))]


def _version(member: Member, name: str, version: str) -> str:
    digest = hashlib.sha256(f"{member.app} {version}".encode()).hexdigest()
    return (
        f'apiVersion: rollout/v1\nkind: ModelVersion\nmetadata:\n  name: {name}\nspec:\n  version: "{version}"\n'
        f"  modelUri: s3://models/{member.app}/{version}\n  sha256: {digest}\n"
    )


def _traffic(canary: int) -> str:
    spec = f"spec:\n  stable: {100 - canary}\n  canary: {canary}\n"
    return f"apiVersion: rollout/v1\nkind: TrafficSplit\nmetadata:\n  name: traffic\n{spec}"


def _toggle(shape: str) -> str:
    files = "resources:\n  - model.yaml\n  - stable.yaml\n  - traffic.yaml\n"
    return f"apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{files}components:\n  - ../../../../base/{shape}\n"
