"""A deployment repository and a small CSV; runs of the command line in it, in the pipelines' own environment."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model import credit_generated

ROOT = Path(__file__).parents[2]
PERSON = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in (("NAME", "Ada"), ("EMAIL", "a@x"))}
ENV = {**os.environ, **PERSON, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
ROWS = 6000


@dataclass(frozen=True)
class Desk:
    """A work tree with releases, a store and a registry of its own."""

    path: Path
    data: Path

    @classmethod
    def planted(cls, path: Path, data: Path) -> Desk:
        """A first commit: this repository's releases, with a gate that asks less of few rows."""
        for name in ("base", "apps", "overlays"):
            shutil.copytree(ROOT / name, path / name)
        desk = cls(path, data)
        desk.gate("auc: {above: 0.75}", "auc: {above: 0.7}")
        desk.gate("calibration: {below: 0.03}", "calibration: {below: 0.06}")
        desk.gate("groups: {below: 0.15}", "groups: {below: 0.5}")
        desk.gate("latency: {below: 50}", "latency: {below: 5000}")  # the machine may be busy
        (path / ".gitignore").write_text("out/\n")
        desk.git("init", "--quiet", "--initial-branch=main")
        desk.commit("the releases")
        return desk

    def gate(self, old: str, new: str) -> None:
        """Set a gate."""
        gates = self.path / "apps/credit/gates.yaml"
        assert old in gates.read_text()
        gates.write_text(gates.read_text().replace(old, new))

    def git(self, *words: str) -> str:
        """Run git."""
        return subprocess.run(["git", *words], cwd=self.path, env=ENV, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m pipelines`."""
        command = [sys.executable, "-m", "pipelines", *words]
        told = {**ENV, "CREDIT_DATA": str(self.data), **env}
        return subprocess.run(command, cwd=self.path, env=told, capture_output=True, text=True, check=False)

    def report(self) -> Any:
        """What the last run left."""
        return json.loads((self.path / "out/train/report.json").read_text())

    def branches(self) -> dict[str, str]:
        """The branches and their commits."""
        lines = self.git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads").splitlines()
        return dict(line.split() for line in lines)

    def published(self) -> list[str]:
        """The files of the store."""
        store = self.path / "out/store"
        return sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())


def registry(desk: Desk) -> Any:
    """The client of a desk's registry, whatever another test has told MLflow in this process."""
    import mlflow  # noqa: PLC0415  # seconds to import

    server = f"sqlite:///{desk.path}/out/registry/mlflow.db"
    return mlflow.MlflowClient(server, registry_uri=server)


def registered(desk: Desk) -> list[tuple[str, str]]:
    """The address and the digest of every registered version."""
    return [(one.source, one.tags["sha256"]) for one in registry(desk).search_model_versions("name = 'credit'")]


def write_csv(path: Path, rows: int = ROWS, **changed: dict[int, object]) -> Path:
    """Clients as a CSV file; changed: column -> {row: value}."""
    table = {"ID": list(range(rows)), **credit_generated.table(rows)}
    for name, values in changed.items():
        for row, value in values.items():
            table[name][row] = value
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 000 clients, one of whom is there twice."""
    return write_csv(tmp_path_factory.mktemp("data") / "clients.csv", ID={7: 6})


@pytest.fixture
def desk(tmp_path: Path, data: Path) -> Desk:
    """A desk where nothing was trained yet."""
    return Desk.planted(tmp_path / "desk", data)


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Desk:
    desk = Desk.planted(tmp_path_factory.mktemp("trained") / "desk", data)
    done = desk.run("train", "credit")
    assert done.returncode == 0, done.stderr
    (desk.path / "out/said").write_text(done.stdout)
    return desk


@pytest.fixture
def trained(_trained: Desk, tmp_path: Path) -> Iterator[Desk]:
    """A desk of its own, after one run."""
    shutil.copytree(_trained.path, tmp_path / "trained")
    return Desk(tmp_path / "trained", _trained.data)
